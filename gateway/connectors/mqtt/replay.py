"""Retained messages on their way to a new subscription, at the pace of its client (MQTT 5.0 §3.8.4)."""

from typing import TYPE_CHECKING, Final, final

from gateway.connectors.mqtt.binding import MqttBinding
from gateway.connectors.replay import TURN_MESSAGES, ReplayLine
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


@final
class Replays(Seeker):
    """Those of one session, one after the other."""

    __slots__ = ("_session", "_waiting")

    def __init__(self, session: "MqttSession") -> None:
        self._session = session
        # By sink and pattern of their subscriptions: one filter may be there as JSON too.
        self._waiting = ReplayLine()

    @property
    def over(self) -> bool:
        """Is nothing left to be sent?"""
        return self._waiting.empty

    def add(self, replay: Replay) -> None:
        """One more, behind the others."""
        self._waiting.add((replay.binding.sink, replay.binding.pattern), replay)

    def drop(self, binding: MqttBinding | None) -> None:
        """Those of this subscription, or all, are not wanted any more."""
        if binding is None:
            self._waiting.end()
        else:
            self._waiting.drop((binding.sink, binding.pattern))

    def found(self) -> None:
        """See Seeker."""
        self._session.go_on_replaying()

    def go_on(self) -> None:
        """Send as long as the client takes them, as many as one turn may bring."""
        session = self._session
        waiting = self._waiting
        steps = 0
        while not waiting.empty:
            connector = session.connector
            if connector is None or connector.congested or session.queued >= REPLAY_WINDOW:
                return
            if steps >= TURN_MESSAGES or len(connector.out) >= TURN_MESSAGES:
                # Once they are written this is called again.
                connector.turn.mark(connector)
                return
            steps += 1
            replay = waiting.first
            assert isinstance(replay, Replay)
            if not replay.ready(self):
                # It comes back here by way of `found`.
                return
            if replay.over:
                waiting.pass_first()
                continue
            message = replay.step(session.broker)
            if message is not None:
                session.offer(message, replay.binding)
