"""One SUBSCRIBE: a live subscriber of topics, or a consumer of a queue."""

from typing import TYPE_CHECKING, final

from gateway.connectors.stomp.mapping import message_id, tail_of
from gateway.core.credit import Credit
from gateway.core.delivery import FAILED, Delivery
from gateway.core.message import Message
from gateway.core.ports import NOTHING
from gateway.core.queue import Queue
from gateway.core.subscription import Binding, Consumer, Outlet
from protocols.stomp.codec import message_head
from protocols.stomp.constants import V1_2
from protocols.stomp.frames import AckMode

if TYPE_CHECKING:
    from gateway.connectors.stomp.connector import StompConnector


@final
class StompSubscription(Outlet):
    """See the module.  `unacked` is in the order of delivery, which a cumulative ACK needs."""

    __slots__ = (
        "_connector",
        "_deliveries",
        "_head",
        "binding",
        "consumer",
        "destination",
        "id",
        "mode",
        "number",
        "private",
        "unacked",
    )

    def __init__(
        self, connector: "StompConnector", number: int, id: str, destination: str, mode: AckMode
    ) -> None:
        super().__init__()
        self._connector = connector
        self.number = number
        """Its place among the subscriptions of the connection; part of the ack handles of 1.2."""
        self.id = id
        self.destination = destination
        """As the client wrote it; 1.0 may unsubscribe by it."""
        self.mode = mode
        self.binding: Binding | None = None
        """When it is live on topics."""
        self.consumer: Consumer | None = None
        """When it reads a queue."""
        self.private = False
        """Its queue is nobody else's and dies with it."""
        self.unacked: dict[str, Delivery] = {}
        """By ack handle in 1.2, by message-id before."""
        self._deliveries = 0
        self._head = message_head(id, "", False, 0, connector.version)

    # -- Sink: live on topics

    def offer(self, message: Message, binding: Binding) -> int:
        """See Sink."""
        if binding.no_local is not None and binding.no_local is message.publisher:
            return NOTHING
        connector = self._connector
        if self.congested:
            connector.hold_publisher(message.publisher)
        connector.counters.messages_out += 1
        connector.push(self._head + tail_of(message, connector.target))
        return NOTHING

    def replay(self, message: Message) -> None:
        """Send a retained message to who asked for them."""
        connector = self._connector
        connector.counters.messages_out += 1
        tail = tail_of(message, connector.target)
        connector.push(self._head + b"retained:true\n" + tail)

    # -- Outlet: from a queue

    def deliver(self, delivery: Delivery) -> None:
        """See Outlet."""
        connector = self._connector
        message = delivery.message
        connector.counters.messages_out += 1
        failures = delivery.failures
        consumer = delivery.consumer
        assert consumer is not None
        if consumer.automatic:
            head = self._head
            if failures:
                head = message_head(self.id, "", True, failures, connector.version)
            connector.push_sure(head + tail_of(message, connector.target))
            return
        handle = ""
        if connector.version == V1_2:
            self._deliveries += 1
            handle = f"{self.number}-{self._deliveries}"
            self.unacked[handle] = delivery
        else:
            self.unacked[message_id(message, connector.node)] = delivery
        head = message_head(self.id, handle, failures > 0, failures, connector.version)
        connector.push_sure(head + tail_of(message, connector.target))

    def take(self, handle: str) -> list[Delivery]:
        """The deliveries that an ACK or NACK of `handle` means, taken out; empty when it is unknown."""
        if handle not in self.unacked:
            return []
        if self.mode == AckMode.CLIENT_INDIVIDUAL:
            return [self.unacked.pop(handle)]
        taken: list[Delivery] = []
        for key in list(self.unacked):
            taken.append(self.unacked.pop(key))
            if key == handle:
                break
        return taken

    def wake(self) -> None:
        """Take deliveries again."""
        if self.consumer is not None:
            self.consumer.queue.wake()

    def attach(self, queue: Queue, prefetch: int) -> None:
        """Read `queue` from now on, at most `prefetch` deliveries unacknowledged."""
        automatic = self.mode == AckMode.AUTO
        self.congested = self._connector.congested
        self.consumer = Consumer(queue, self, Credit(prefetch), automatic)
        queue.attach(self.consumer)

    def detach(self) -> None:
        """Get nothing more.  What is unacknowledged stays, until `give_back`."""
        broker = self._connector.broker
        if self.binding is not None:
            broker.unbind(self.binding)
            self.binding = None
        if self.consumer is not None:
            self.consumer.queue.detach(self.consumer)

    def give_back(self) -> None:
        """What was not acknowledged counts as failed; a queue of its own goes, a shared one with its last member."""
        for delivery in list(self.unacked.values()):
            delivery.settle(FAILED)
        self.unacked.clear()
        consumer = self.consumer
        if consumer is not None:
            queue = consumer.queue
            if self.private or (queue.key.startswith("share:") and queue.consumers_count == 0):
                self._connector.broker.delete_queue(queue)
