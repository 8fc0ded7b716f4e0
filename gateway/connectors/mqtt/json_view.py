"""What `$json/` filters receive."""

from typing import TYPE_CHECKING, final

from gateway.connectors.mqtt.binding import merged_bindings
from gateway.core.flow import Publisher
from gateway.core.message import Message
from gateway.core.queue import Queue
from gateway.core.subscription import Binding, Sink

if TYPE_CHECKING:
    from gateway.connectors.mqtt.session import MqttSession


@final
class JsonView(Sink):
    """A session as it is seen by the topics of its `$json/` filters: those messages are copies of their own."""

    __slots__ = ("_session",)

    def __init__(self, session: "MqttSession") -> None:
        self._session = session

    def offer(self, message: Message, binding: Binding) -> int:
        """See Sink."""
        return self._session.offer(message, binding)

    def passes(self, message: Message, binding: Binding) -> bool:
        """See Sink."""
        return self._session.passes(message, binding)

    def refuser(self, message: Message, binding: Binding) -> Queue | None:
        """See Sink."""
        return self._session.refuser(message, binding)

    def keeps_waiting(self, publisher: Publisher, persistent: bool) -> bool:
        """See Sink."""
        return self._session.keeps_waiting(publisher, persistent)

    def merge(self, bindings: list[Binding]) -> Binding:
        """See Sink."""
        return merged_bindings(bindings, self, self._session.publisher, True)
