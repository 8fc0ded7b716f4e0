"""What an HTTP client reads with: one pull from a queue, or one stream of events."""

from typing import TYPE_CHECKING, Final, final

from gateway.connectors.websocket.messages import json_of
from gateway.core.credit import Credit
from gateway.core.delivery import RELEASED, Delivery
from gateway.core.flow import Publisher
from gateway.core.message import Message
from gateway.core.pattern import Pattern
from gateway.core.ports import NOTHING
from gateway.core.queue import Queue
from gateway.core.subscription import Binding, Consumer, Outlet

if TYPE_CHECKING:
    from gateway.connectors.http.connector import HttpConnector


@final
class Pull(Outlet):
    """One GET: takes up to so many deliveries, now or when they come."""

    __slots__ = ("_connector", "_consumer", "deliveries", "until_ms")

    def __init__(self, connector: "HttpConnector", queue: Queue, count: int, until_ms: int) -> None:
        super().__init__()
        self._connector = connector
        self._consumer = Consumer(queue, self, Credit(count), False)
        self.deliveries: list[Delivery] = []
        self.until_ms = until_ms
        """When to answer with what there is."""

    def begin(self) -> None:
        """Take what is there."""
        self._consumer.queue.attach(self._consumer)

    def deliver(self, delivery: Delivery) -> None:
        """See Outlet."""
        self.deliveries.append(delivery)
        # The answer is made at the end of the turn, with all that has come by then.
        self._connector.pulled()

    def end(self) -> None:
        """Take no more."""
        self._consumer.queue.detach(self._consumer)

    def give_back(self) -> None:
        """The client is gone before it had its answer: nothing was tried."""
        self.end()
        for delivery in self.deliveries:
            delivery.settle(RELEASED)
        self.deliveries = []


_DATA: Final = b"\ndata: "
_END: Final = b"\n\n"


@final
class Events(Outlet):
    """One stream of server-sent events: topics, read only."""

    __slots__ = ("_bindings", "_connector")

    def __init__(self, connector: "HttpConnector", patterns: list[Pattern], owner: Publisher) -> None:
        super().__init__()
        self._connector = connector
        self._bindings = [Binding(pattern, self, None, owner) for pattern in patterns]

    def begin(self) -> None:
        """Let it have what comes.  Raises LimitReached, with nothing bound."""
        broker = self._connector.broker
        bound: list[Binding] = []
        try:
            for binding in self._bindings:
                broker.bind(binding)
                bound.append(binding)
        finally:
            self._bindings = bound

    def offer(self, message: Message, binding: Binding) -> int:
        """See Sink."""
        connector = self._connector
        if self.congested:
            connector.hold_publisher(message.publisher)
        connector.counters.messages_out += 1
        connector.push(connector.chunk(event_of(message, connector.limits.publish_identity)))
        return NOTHING

    def end(self) -> None:
        """No more of it."""
        for binding in self._bindings:
            self._connector.broker.unbind(binding)
        self._bindings = []


def event_of(message: Message, identity: bool) -> bytes:
    """One event, named after its message; JSON without needless spaces has no line breaks."""
    return b"id: %d" % message.id + _DATA + json_of(message, identity) + _END
