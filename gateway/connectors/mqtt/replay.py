"""Retained messages on their way to a new subscription, at the pace of its client (MQTT 5.0 §3.8.4)."""

from collections import deque
from typing import TYPE_CHECKING, Final, final

from gateway.connectors.mqtt.binding import MqttBinding
from gateway.connectors.replay import TURN_MESSAGES
from gateway.connectors.replay import Replay as AnyReplay
from gateway.core.searching import Search, Seeker

if TYPE_CHECKING:
    from gateway.connectors.mqtt.session import MqttSession

REPLAY_WINDOW: Final = 100
"""Retained messages that wait in the session's queue at a time; more follow as they leave."""


@final
class Replay(AnyReplay):
    """What one subscription is to find and is not yet sent."""

    __slots__ = ("binding",)

    def __init__(self, binding: MqttBinding, search: Search) -> None:
        super().__init__(search)
        self.binding = binding
        """The subscription's, with `replay` set."""

    def serves(self, binding: MqttBinding) -> bool:
        """Is it that of this subscription?"""
        return self.binding.sink is binding.sink and self.binding.pattern == binding.pattern


@final
class Replays(Seeker):
    """Those of one session, one after the other."""

    __slots__ = ("_session", "_waiting")

    def __init__(self, session: "MqttSession") -> None:
        self._session = session
        self._waiting: deque[Replay] = deque()

    @property
    def over(self) -> bool:
        """Is nothing left to be sent?"""
        return not self._waiting

    def add(self, replay: Replay) -> None:
        """One more, behind the others."""
        self._waiting.append(replay)

    def drop(self, binding: MqttBinding | None) -> None:
        """Those of this subscription, or all, are not wanted any more."""
        kept: deque[Replay] = deque()
        for replay in self._waiting:
            if binding is None or replay.serves(binding):
                replay.drop()
            else:
                kept.append(replay)
        self._waiting = kept

    def found(self) -> None:
        """See Seeker."""
        self._session.go_on_replaying()

    def go_on(self) -> None:
        """Send as long as the client takes them, as many as one turn may bring."""
        session = self._session
        waiting = self._waiting
        steps = 0
        while waiting:
            connector = session.connector
            if connector is None or connector.congested or session.queued >= REPLAY_WINDOW:
                return
            if steps >= TURN_MESSAGES or len(connector.out) >= TURN_MESSAGES:
                # Once they are written this is called again.
                connector.turn.mark(connector)
                return
            steps += 1
            replay = waiting[0]
            if not replay.ready(self):
                # It comes back here by way of `found`.
                return
            if replay.over:
                waiting.popleft()
                continue
            message = replay.step(session.broker)
            if message is not None:
                session.offer(message, replay.binding)
