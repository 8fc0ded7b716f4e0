"""One SUBSCRIBE: a live subscriber of topics, a consumer of queues, or both."""

from collections import deque
from typing import TYPE_CHECKING, Final, final

from gateway.connectors.parts import Pieces
from gateway.connectors.replay import RetainedOutlet
from gateway.connectors.sources import Source, may_read
from gateway.connectors.stomp.mapping import is_long, message_id, tail_of
from gateway.core.chores import Chore
from gateway.core.credit import UNLIMITED, Credit
from gateway.core.delivery import Delivery
from gateway.core.destination import QUEUE
from gateway.core.flow import Publisher
from gateway.core.leaving import give_back
from gateway.core.limits import LimitReached
from gateway.core.message import Message
from gateway.core.pattern import Pattern
from gateway.core.ports import NOTHING
from gateway.core.queue import Queue
from gateway.core.queue_key import NAMED, SHARED
from gateway.core.selector import Selector
from gateway.core.subscription import Binding, Consumer
from gateway.core.watching import QUEUES_AT_ONCE, QueueWatcher, Watching
from protocols.stomp.codec import MESSAGE_END, encode_browser_end, message_head
from protocols.stomp.constants import V1_2
from protocols.stomp.frames import AckMode

if TYPE_CHECKING:
    from gateway.connectors.stomp.connector import StompConnector


LOOKED_AT_ONCE: Final = 4
"""Queues of which a subscription to many looks whether they are gone, with each that it comes to read."""

LARGE_BYTES: Final = 8_192
"""A tail from this size on is written beside its head: joining them would copy the body once more."""


@final
class StompSubscription(RetainedOutlet):
    """See the module.  `unacked` is in the order of delivery, which a cumulative ACK needs."""

    __slots__ = (
        "_ack_head",
        "_connector",
        "_deliveries",
        "_follower",
        "_handle_prefix",
        "_head",
        "_numbered",
        "_repeats",
        "_shared",
        "_unacked_bytes",
        "bindings",
        "browsed",
        "consumers",
        "credit",
        "destination",
        "ended",
        "exclusive",
        "id",
        "mode",
        "number",
        "private",
        "selector",
        "shown",
        "sources",
        "unacked",
        "window",
    )

    def __init__(
        self,
        connector: "StompConnector",
        number: int,
        id: str,
        destination: str,
        mode: AckMode,
        inflight: Credit,
    ) -> None:
        super().__init__(connector)
        self._connector = connector
        self.number = number
        """Its place among the subscriptions of the connection; part of the ack handles of 1.2."""
        self.id = id
        self.destination = destination
        """As the client wrote it; 1.0 may unsubscribe by it."""
        self.mode = mode
        self.sources: list[Source] = []
        """What it was allowed to read."""
        self.selector: Selector | None = None
        self.exclusive = False
        self.credit = Credit(UNLIMITED, inflight)
        self.window = -1
        """Unacknowledged bytes at most; -1: any."""
        self.bindings: list[Binding] = []
        """Where it is live on topics."""
        self.consumers: deque[Consumer] = deque()
        """Of the queues that it reads."""
        self.private: Queue | None = None
        """A queue that is nobody else's and dies with it."""
        self.browsed = ""
        """Destination of the queue that it is shown, when it is a browser."""
        self.shown = False
        """As a browser it has no more messages coming than it has or that wait in its own queue."""
        self.ended = False
        """As a browser it has been told that this is all."""
        self.unacked: dict[str, Delivery] = {}
        """By ack handle in 1.2, by message-id before."""
        self._unacked_bytes = 0
        self._follower: _Follower | None = None
        # Those of the shared subscriptions that it is a member of.
        self._shared: list[Consumer] = []
        self._deliveries = 0
        # Handles of what is unacknowledged under a message-id that another delivery had before it; made when first used.
        self._repeats: dict[str, deque[str]] | None = None
        version = connector.version
        self._numbered = version == V1_2
        self._head = message_head(id, "", False, 0, version)
        self._handle_prefix = f"{number}-"
        self._ack_head = self._head + b"ack:" + self._handle_prefix.encode()

    # -- Sink: live on topics

    def offer(self, message: Message, binding: Binding) -> int:
        """See Sink."""
        if self.over or binding.is_own(message.publisher):
            return NOTHING
        if self.selector is not None and not self.selector.matches(message):
            return NOTHING
        connector = self._connector
        connector.counters.messages_out += 1
        tail = tail_of(message, connector.target)
        if len(tail) < LARGE_BYTES and message.size < LARGE_BYTES:
            connector.push(self._head + tail)
        else:
            self._send_large(message, self._head, tail, False)
        return NOTHING

    def _send_large(self, message: Message, head: bytes, tail: bytes, sure: bool) -> None:
        """A message that is not to be copied once more."""
        if is_long(message):
            frame = Pieces([head + tail, message.origin.view(), MESSAGE_END])
            self._connector.push_parts(frame, sure)
        else:
            self._connector.push_halves(head, tail, sure)

    def replay(self, message: Message) -> None:
        """See RetainedOutlet."""
        if self.selector is not None and not self.selector.matches(message):
            return
        connector = self._connector
        connector.counters.messages_out += 1
        tail = tail_of(message, connector.target)
        head = self._head + b"retained:true\n"
        if is_long(message):
            self._send_large(message, head, tail, False)
        else:
            connector.push(head + tail)

    # -- Outlet: from a queue

    def deliver(self, delivery: Delivery) -> None:
        """See Outlet."""
        connector = self._connector
        message = delivery.message
        connector.counters.messages_out += 1
        if self.mode == AckMode.AUTO:
            head = self._head
        elif self._numbered:
            self._deliveries += 1
            number = str(self._deliveries)
            self.unacked[self._handle_prefix + number] = delivery
            head = self._ack_head + number.encode() + b"\n"
        else:
            self._note(message_id(message).decode(), delivery)
            head = self._head
        if delivery.failures:
            head += b"redelivered:true\nx-mx-delivery-count:%d\n" % delivery.failures
        elif delivery.redelivered:
            head += b"redelivered:true\n"
        tail = tail_of(message, connector.target)
        if len(tail) < LARGE_BYTES and message.size < LARGE_BYTES:
            connector.push_sure(head + tail)
        else:
            self._send_large(message, head, tail, True)
        if self.window >= 0:
            self._unacked_bytes += message.size
            self.look_at_congestion()
        if self.browsed:
            self.look_at_end()

    def _note(self, key: str, delivery: Delivery) -> None:
        """Before 1.2: a message that has come twice, by way of two queues, is acknowledged twice."""
        handle = key
        if key in self.unacked:
            self._deliveries += 1
            handle = f"{key}\0{self._deliveries}"
            if self._repeats is None:
                self._repeats = {}
            self._repeats.setdefault(key, deque()).append(handle)
        self.unacked[handle] = delivery

    def handle_of(self, message_id: str) -> str:
        """Before 1.2: the handle of the delivery that an acknowledgement by message-id means; empty for none."""
        if message_id in self.unacked:
            return message_id
        repeats = None if self._repeats is None else self._repeats.get(message_id)
        return repeats[0] if repeats else ""

    def _forget_repeat(self, handle: str) -> None:
        assert self._repeats is not None
        key = handle[: handle.find("\0")]
        repeats = self._repeats[key]
        if repeats[0] == handle:
            repeats.popleft()
        else:
            repeats.remove(handle)
        if not repeats:
            del self._repeats[key]

    def meant(self, handle: str) -> list[str]:
        """The handles that an ACK or NACK of `handle` means, left in place; empty when it is unknown.

        A cumulative one means all deliveries before its own too (§SUBSCRIBE ack Header).
        """
        unacked = self.unacked
        if handle not in unacked:
            return []
        if self.mode == AckMode.CLIENT_INDIVIDUAL:
            return [handle]
        handles: list[str] = []
        for known in unacked:
            handles.append(known)
            if known == handle:
                break
        return handles

    def take(self, handles: list[str]) -> list[Delivery]:
        """The deliveries of `handles`, as `meant` has found them, taken out."""
        unacked = self.unacked
        taken = [unacked.pop(handle) for handle in handles]
        if self._repeats is not None:
            for handle in handles:
                if "\0" in handle:
                    self._forget_repeat(handle)
        if self.window >= 0:
            for one in taken:
                self._unacked_bytes -= one.message.size
            self.look_at_congestion()
        return taken

    def look_at_congestion(self) -> None:
        """Hold when the connection is congested, or the window is full."""
        self.congested = self._connector.congested or 0 <= self.window <= self._unacked_bytes

    # -- its life

    def bind(self, pattern: Pattern, no_local: bool) -> None:
        """Be live on the topics of `pattern`.  Raises LimitReached."""
        publisher = self._connector.publisher
        binding = Binding(pattern, self, publisher if no_local else None, publisher)
        self._connector.broker.bind(binding, publisher)
        self.bindings.append(binding)

    def read(self, queue: Queue) -> None:
        """Read `queue` from now on, as far as the credit goes."""
        # What a queue of its own holds has been selected before it came in.  One behind a virtual topic is everybody's.
        selector = self.selector if queue.key.kind == NAMED else None
        consumer = Consumer(
            queue, self, self.credit, self.mode == AckMode.AUTO, None, selector, self.exclusive
        )
        self.consumers.append(consumer)
        if queue.key.kind == SHARED:
            self._shared.append(consumer)
        queue.attach(consumer)

    def follow(self, pattern: Pattern) -> None:
        """Read all queues of `pattern` that the client may read, those to come included."""
        follower = self._follower
        if follower is None:
            follower = self._follower = _Follower(self)
        follower.watches.append(self._connector.broker.watch(follower, pattern, self.reader))

    @property
    def reader(self) -> Publisher:
        """For followers: whose it is."""
        return self._connector.publisher

    @property
    def watching(self) -> Watching:
        """For followers: who tells them."""
        return self._connector.broker.watching

    def give_up(self, why: str) -> None:
        """For followers: not all that it asked for can be read, so its connection ends."""
        connector = self._connector
        if not connector.closing:
            connector.counters.limit_hits += 1
            connector.dismiss(why, connector.broker.now_ms)
            connector.turn.mark(connector)

    def may_read(self, queue: Queue) -> bool:
        """For followers: is it everybody's, or the client's own, and do the rules allow it?"""
        connector = self._connector
        if queue.destination.temporary and queue.owner is not connector:
            return False
        pattern = Pattern((queue.destination.name,))
        return may_read(connector.broker, connector.publisher, QUEUE, pattern, False, connector.owner)

    def wake(self) -> None:
        """Take deliveries again."""
        if self.consumers:
            self.credit.wake()

    def look_at_end(self) -> None:
        """Tell a browser, once, that it has been shown everything (ActiveMQ)."""
        if self.shown and not self.ended and self.consumers and self.consumers[0].queue.waiting == 0:
            self.ended = True
            self._connector.push_sure(encode_browser_end(self.id, self.browsed, self._connector.version))

    def detach(self) -> None:
        """See RetainedOutlet."""
        broker = self._connector.broker
        if self._follower is not None:
            self._follower.end()
            self._follower = None
        for binding in self.bindings:
            broker.unbind(binding)
        self.bindings.clear()
        # Nothing more comes until all have left.
        self.congested = True
        for consumer in self._shared:
            # The last member's end is the queue's: see `give_back`.
            consumer.queue.detach(consumer)
        leaving = _Leaving(self.consumers)
        # Of a thousand subscriptions that end in one go, not a part of each in one go.
        if len(self.consumers) > QUEUES_AT_ONCE or leaving.go_on():
            broker.chores.add(leaving)

    def give_back(self, tried: bool) -> None:
        """See RetainedOutlet.  A shared queue goes with its last member."""
        unacked = list(self.unacked.values())
        self.unacked.clear()
        self._repeats = None
        give_back(unacked, tried)
        self.unclaim()
        broker = self._connector.broker
        if self.private is not None:
            broker.delete_queue(self.private)
        for consumer in self._shared:
            if consumer.queue.consumers_count == 0:
                broker.delete_queue(consumer.queue)


@final
class _Leaving(Chore):
    """Takes a subscription's consumers from their queues, some at a time: it may read all queues that there are."""

    __slots__ = ("_left",)

    def __init__(self, consumers: deque[Consumer]) -> None:
        # Emptied: to free all of them together would take as long as to handle them.
        self._left = consumers

    def go_on(self) -> bool:
        """See Chore."""
        left = self._left
        for _ in range(min(QUEUES_AT_ONCE, len(left))):
            consumer = left.pop()
            queue = consumer.queue
            queue.detach(consumer)
            queue.broker.drop_unused(queue)
        return len(left) > 0


@final
class _Follower(QueueWatcher):
    """Has a subscription read each queue whose name falls under one of its patterns."""

    __slots__ = ("_followed", "_known", "_subscription", "watches")

    def __init__(self, subscription: StompSubscription) -> None:
        self._subscription = subscription
        # Those that it reads, also by name.
        self._known = {consumer.queue for consumer in subscription.consumers}
        # How many of them count as followed.
        self._followed = 0
        self.watches: list[Binding] = []

    def queue_made(self, queue: Queue) -> None:
        """See QueueWatcher."""
        if queue in self._known or not self._subscription.may_read(queue):
            return
        self._forget_deleted()
        try:
            self._subscription.watching.follow(self._subscription.reader)
        except LimitReached as reached:
            self._subscription.give_up(str(reached))
            return
        self._followed += 1
        self._known.add(queue)
        self._subscription.read(queue)

    def end(self) -> None:
        """Follow no more."""
        watching = self._subscription.watching
        for watch in self.watches:
            watching.end(watch)
        # They know it, too.
        self.watches.clear()
        watching.leave(self._subscription.reader, self._followed)
        self._followed = 0

    def _forget_deleted(self) -> None:
        """Look at some, round and round, whether they are gone."""
        consumers = self._subscription.consumers
        for _ in range(min(LOOKED_AT_ONCE, len(consumers))):
            consumer = consumers.popleft()
            if not consumer.queue.deleted:
                consumers.append(consumer)
                continue
            self._known.discard(consumer.queue)
            # One that it reads by name too counts for as long as that is there.
            if self._followed:
                self._followed -= 1
                self._subscription.watching.leave(self._subscription.reader, 1)
