"""When something is due for a session that has no connection: its will, or its end."""

from heapq import heapify, heappop, heappush
from typing import Final, final

from gateway.connectors.mqtt.session import MqttSession

DEAD_MIN: Final = 64
"""Entries nobody waits for any more that are not worth clearing away."""


@final
class Agenda:
    """A heap of (when, who).  However often a session changes its mind, no more than half of the entries are in vain."""

    __slots__ = ("_dead", "_entries", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, MqttSession]] = []
        self._entries = 0
        # Entries that an earlier one of the same session replaced, or whose session has ended.
        self._dead = 0

    def __len__(self) -> int:
        return len(self._heap)

    def __bool__(self) -> bool:
        return bool(self._heap)

    def plan(self, session: MqttSession) -> None:
        """Look whether something is due for `session` before any entry of it."""
        due_ms = session.due_ms()
        if due_ms == 0 or 0 < session.planned_ms <= due_ms:
            # One that is too early is corrected when it comes up.
            return
        if session.planned_ms:
            self._died()
        session.planned_ms = due_ms
        # The number decides between equal times: sessions cannot be compared.
        self._entries += 1
        heappush(self._heap, (due_ms, self._entries, session))

    def forget(self, session: MqttSession) -> None:
        """`session` has ended; its entry must not stay until it comes up, which may be years away."""
        if session.planned_ms:
            session.planned_ms = 0
            self._died()

    def is_due(self, now_ms: int) -> bool:
        """Has the time of any entry come?"""
        heap = self._heap
        return len(heap) > 0 and heap[0][0] <= now_ms

    def take(self, now_ms: int) -> MqttSession | None:
        """A session whose time has come, now without an entry; None when there is no more."""
        heap = self._heap
        while heap and heap[0][0] <= now_ms:
            due_ms, _, session = heappop(heap)
            if session.planned_ms == due_ms:
                session.planned_ms = 0
                return session
            self._dead -= 1
        return None

    def _died(self) -> None:
        self._dead += 1
        if self._dead > DEAD_MIN and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].planned_ms == entry[0]]
            heapify(self._heap)
            self._dead = 0
