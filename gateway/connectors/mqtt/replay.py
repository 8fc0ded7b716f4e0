"""Retained messages on their way to a new subscription, at the pace of its client (MQTT 5.0 §3.8.4)."""

from typing import TYPE_CHECKING, final

from gateway.connectors.mqtt.binding import MqttBinding
from gateway.connectors.replay import Replay as AnyReplay
from gateway.core.searching import Search, Seeker

if TYPE_CHECKING:
    from gateway.connectors.mqtt.session import MqttSession


@final
class Replay(AnyReplay):
    """What one subscription is to find and is not yet sent."""

    __slots__ = ("binding",)

    def __init__(self, binding: MqttBinding, search: Search) -> None:
        super().__init__(search)
        self.binding = binding
        """The subscription's, with `replay` set."""

    def ready_for(self, session: "MqttSession") -> bool:
        """Has it found what there is?  Else `session` goes on when it has."""
        return self._search.done or self.ready(_Waiting(session))

    def serves(self, binding: MqttBinding) -> bool:
        """Is it that of this subscription?"""
        return self.binding.sink is binding.sink and self.binding.pattern == binding.pattern


@final
class _Waiting(Seeker):
    """A session that waits for what its first replay finds."""

    __slots__ = ("_session",)

    def __init__(self, session: "MqttSession") -> None:
        self._session = session

    def found(self) -> None:
        """See Seeker."""
        self._session.go_on_replaying()
