"""One subscription of a JSON client: live on topics, or a consumer of a queue."""

from typing import TYPE_CHECKING, Final, final

from gateway.connectors.parts import LONG
from gateway.connectors.reading import Reading
from gateway.connectors.replay import RetainedOutlet
from gateway.connectors.sources import Source
from gateway.connectors.websocket.long_messages import JsonParts
from gateway.connectors.websocket.messages import json_of
from gateway.connectors.websocket.refusal import JsonRefusal
from gateway.core.credit import Credit
from gateway.core.delivery import Delivery
from gateway.core.destination import QUEUE, TOPIC
from gateway.core.footprint import pattern_bytes, text_bytes
from gateway.core.leaving import give_back
from gateway.core.message import Message
from gateway.core.ports import NOTHING
from gateway.core.queue import Queue
from gateway.core.queue_key import SHARED
from gateway.core.subscription import Binding, Consumer
from protocols.gatewayjson import constants as c
from protocols.gatewayjson.codec import message_head
from protocols.gatewayjson.frames import Subscribe

if TYPE_CHECKING:
    from gateway.connectors.websocket.connector import JsonConnector

ID_COPIES: Final = 3
"""How often its name is there: by itself, within the head of its messages, and within the name of a queue of its own."""

_MORE: Final = b","


@final
class JsonSubscription(RetainedOutlet):
    """See the module.  `unacked` is in the order of delivery, which `upto` needs."""

    __slots__ = (
        "_connector",
        "_counts_credit",
        "_head",
        "automatic",
        "binding",
        "consumer",
        "id",
        "private",
        "reading",
        "unacked",
    )

    def __init__(
        self, connector: "JsonConnector", id: str, reading: Reading, automatic: bool, counts_credit: bool
    ) -> None:
        super().__init__(connector)
        self._connector = connector
        self.id = id
        self.automatic = automatic
        # Deliveries use credit up for good; otherwise an outcome gives it back.
        self._counts_credit = counts_credit
        self.binding: Binding | None = None
        """When it is live on topics."""
        self.consumer: Consumer | None = None
        """When it reads a queue."""
        self.private = False
        """Its queue is nobody else's and dies with it."""
        self.reading = reading
        """What it was allowed to read."""
        self.unacked: dict[int, Delivery] = {}
        """By tag."""
        self._head = message_head(id)

    @property
    def size(self) -> int:
        """Bytes that it takes beside what each takes in any case; see Footprint."""
        reading = self.reading
        return ID_COPIES * text_bytes(self.id) + text_bytes(reading.name) + pattern_bytes(reading.pattern)

    # -- Sink: live on topics

    def offer(self, message: Message, binding: Binding) -> int:
        """See Sink."""
        if self.over or binding.is_own(message.publisher):
            return NOTHING
        connector = self._connector
        connector.counters.messages_out += 1
        self._send(message, self._head + _MORE, False)
        return NOTHING

    def replay(self, message: Message) -> None:
        """See RetainedOutlet."""
        connector = self._connector
        connector.counters.messages_out += 1
        self._send(message, self._head + b',"retained":true,', False)

    def _send(self, message: Message, head: bytes, sure: bool) -> None:
        """A frame: `head`, and the members of the message's JSON."""
        connector = self._connector
        identity = connector.limits.publish_identity
        if message.size >= LONG:
            connector.push_parts(JsonParts(message, identity, head), sure)
        elif sure:
            connector.push_sure(head + json_of(message, identity)[1:])
        else:
            connector.push(head + json_of(message, identity)[1:])

    # -- Outlet: from a queue

    def deliver(self, delivery: Delivery) -> None:
        """See Outlet."""
        connector = self._connector
        connector.counters.messages_out += 1
        head = self._head
        if not self.automatic:
            tag = connector.next_tag()
            self.unacked[tag] = delivery
            connector.tags[tag] = self
            head += b',"tag":%d' % tag
        if delivery.redelivered:
            head += b',"redelivered":true'
        if delivery.failures:
            head += b',"delivery_count":%d' % delivery.failures
        self._send(delivery.message, head + _MORE, True)

    def up_to(self, tag: int) -> list[int]:
        """The tags that wait for an outcome, from the first to `tag`."""
        tags: list[int] = []
        for known in self.unacked:
            # Tags rise.
            if known > tag:
                break
            tags.append(known)
        return tags

    def take(self, tag: int) -> Delivery:
        """The delivery of `tag`, taken out."""
        del self._connector.tags[tag]
        return self.unacked.pop(tag)

    def spend(self) -> None:
        """One delivery is about to be settled: where credit counts, it does not come back."""
        if self._counts_credit and self.consumer is not None:
            self.consumer.credit.available -= 1

    def give(self, count: int) -> None:
        """More credit."""
        if self.consumer is not None:
            self.consumer.credit.give(count)

    def wake(self) -> None:
        """Take deliveries again."""
        if self.consumer is not None:
            self.consumer.credit.wake()

    def attach(self, queue: Queue, credit: Credit) -> None:
        """Read `queue` from now on."""
        self.congested = self._connector.congested
        self.consumer = Consumer(queue, self, credit, self.automatic)
        queue.attach(self.consumer)

    def detach(self) -> None:
        """See RetainedOutlet."""
        if self.binding is not None:
            self._connector.broker.unbind(self.binding)
            self.binding = None
        if self.consumer is not None:
            self.consumer.queue.detach(self.consumer)

    def give_back(self, tried: bool) -> None:
        """See RetainedOutlet."""
        for tag in self.unacked:
            self._connector.tags.pop(tag, None)
        unacked = list(self.unacked.values())
        self.unacked.clear()
        give_back(unacked, tried)
        self.unclaim()
        consumer = self.consumer
        if consumer is not None:
            queue = consumer.queue
            if self.private or (queue.key.kind == SHARED and queue.consumers_count == 0):
                self._connector.broker.delete_queue(queue)
            else:
                self._connector.broker.drop_unused(queue)


def check_options(subscribe: Subscribe, source: Source, client_id: str) -> None:
    """Raise JsonRefusal for what there is not for such a source, or such a client."""
    if subscribe.durable is not None and not (client_id and source.kind == TOPIC and not source.group):
        raise JsonRefusal(c.BAD_REQUEST, "`durable` is for topics, and for clients that have a client_id")
    if subscribe.no_local and (source.kind == QUEUE or source.group):
        raise JsonRefusal(c.BAD_REQUEST, "`no_local` is for topics, and for who reads them alone")
