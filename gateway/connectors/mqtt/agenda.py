"""When something is due for a session that has no connection: its will, or its end."""

from typing import final

from gateway.connectors.mqtt.session import MqttSession
from gateway.core.timetable import Timetable


@final
class Agenda:
    """What is due for whom, as each session says itself."""

    __slots__ = ("_timetable",)

    def __init__(self) -> None:
        self._timetable: Timetable[MqttSession] = Timetable()

    def __len__(self) -> int:
        return len(self._timetable)

    def __bool__(self) -> bool:
        return bool(self._timetable)

    def plan(self, session: MqttSession) -> None:
        """Look whether something is due for `session` before any entry of it."""
        due_ms = session.due_ms()
        planned = session.planned
        if due_ms == 0 or (planned is not None and planned.due_ms <= due_ms):
            # One that is too early is corrected when it comes up.
            return
        self._timetable.cancel(planned)
        session.planned = self._timetable.plan(session, due_ms)

    def forget(self, session: MqttSession) -> None:
        """`session` has ended; its entry must not stay until it comes up, which may be years away."""
        self._timetable.cancel(session.planned)
        session.planned = None

    def is_due(self, now_ms: int) -> bool:
        """Has the time of any entry come?"""
        return self._timetable.is_due(now_ms)

    def take(self, now_ms: int) -> MqttSession | None:
        """A session whose time has come, now without an entry; None when there is none, or its entry was in vain."""
        session = self._timetable.take(now_ms)
        if session is not None:
            session.planned = None
        return session
