"""The queue: an ordered store of messages with competing consumers.

A named queue, a durable or shared topic subscription and an MQTT session's messages are all one of these,
the latter three bound to topic patterns.
"""

from collections import deque
from typing import TYPE_CHECKING, Final, final

from gateway.core.backlog import Backlog
from gateway.core.delivery import (
    ACCEPTED,
    ACQUIRED,
    EXPIRED,
    FAILED,
    READY,
    REASON_DELIVERY_LIMIT,
    REASON_EXPIRED,
    REASON_MAXLEN,
    REASON_REJECTED,
    REASON_UNREPRESENTABLE,
    REJECTED,
    RELEASED,
    SETTLED,
    UNREPRESENTABLE,
    Delivery,
)
from gateway.core.destination import QUEUE, Destination
from gateway.core.flow import Gate
from gateway.core.journal import lane_of
from gateway.core.limits import BLOCK, DROP_OLDEST, REJECT, QueuePolicy
from gateway.core.message import Message
from gateway.core.paging import PAGE_BYTES_MAX, RESIDENT_MIN, Paged, Stretch
from gateway.core.ports import NOTHING, Dequeued, Enqueued, Entry, Page, QueueFound, Redelivered
from gateway.core.roster import Roster
from gateway.core.selection import Selections
from gateway.core.subscription import Binding, Consumer, Sink

if TYPE_CHECKING:
    from gateway.core.router import Broker

QUEUE_PREFIX: Final = "queue:"

REFUSED: Final = -2
"""What `offer` answers when the queue is full and its policy is to reject."""

PAGED: Final = -3

RESIDENT_OVERHEAD: Final = 600
"""Bytes that a message in memory takes beside its own size, about."""


@final
class Queue(Sink):
    """One queue.  Invariant: when it has both a waiting message and a ready consumer, it delivers before it returns."""

    __slots__ = (
        "_backlog",
        "_dispatching",
        "_gate",
        "_held",
        "_paged",
        "_resident_bytes",
        "_roster",
        "_selections",
        "_sequence",
        "_starved",
        "bindings",
        "broker",
        "deleted",
        "destination",
        "enqueued_total",
        "key",
        "noted_at",
        "number",
        "owner",
        "policy",
        "suspect_through",
        "unsettled",
    )

    def __init__(self, broker: "Broker", key: str, policy: QueuePolicy, owner: object = None) -> None:
        self.broker = broker
        self.key = key
        """`queue:NAME`, `sub:CLIENT/NAME` or `share:GROUP/FILTER`: unique in the broker, and its name in the store."""
        self.destination = Destination(QUEUE, key.removeprefix(QUEUE_PREFIX))
        self.policy = policy
        self.owner = owner
        """Who alone may consume, and with whom it dies; None for a queue of everyone's."""
        self.bindings: list[Binding] = []
        self.deleted = False
        self.number = 0
        """Its number in the store; 0 until there is something to keep."""
        self.noted_at = 0
        """Where the store was told of it, and of what it is bound to, last in this run."""
        self.suspect_through = 0
        """Messages up to this sequence were there at a crash, and may have been delivered before it."""
        self.unsettled = 0
        """Deliveries that wait for their outcome."""
        self.enqueued_total = 0
        self._backlog = Backlog()
        self._resident_bytes = 0
        self._roster = Roster()
        # Made when first used: most queues have no selectors.
        self._selections: Selections | None = None
        self._starved = True
        self._dispatching = False
        self._sequence = 0
        self._gate: Gate | None = None
        # Messages of a transaction that is not durable yet, and all behind them, each with the position to wait for.
        self._held: deque[tuple[int, Delivery]] | None = None
        self._paged: Paged | None = None

    # -- what it holds

    @property
    def depth(self) -> int:
        """Messages in it, waiting or unsettled."""
        return self.waiting + self.unsettled

    @property
    def waiting(self) -> int:
        """Messages that wait for a consumer."""
        held = 0 if self._held is None else len(self._held)
        return self._backlog.count + held + self.paged

    @property
    def last_sequence(self) -> int:
        """The place of the message that came in last."""
        return self._sequence

    @property
    def paged(self) -> int:
        """Those of them that only the store holds."""
        return 0 if self._paged is None else self._paged.count

    @property
    def fetching(self) -> bool:
        """Has the store been asked for some of them, and not answered yet?"""
        return self._paged is not None and self._paged.asked is not None

    @property
    def bytes(self) -> int:
        """Bytes of the messages in it."""
        return self._resident_bytes + (0 if self._paged is None else self._paged.bytes)

    @property
    def consumers_count(self) -> int:
        """Consumers attached to it, those that stand by for an exclusive one included."""
        return self._roster.count

    def browse(self) -> list[Delivery]:
        """What waits, in the order in which it would leave, as far as it is in memory.  Nothing is taken."""
        return self._backlog.all()

    def stretches(self) -> list[Stretch]:
        """What waits beyond that, in the store alone."""
        return [] if self._paged is None else self._paged.all()

    # -- messages come in

    def offer(self, message: Message, binding: Binding | None = None) -> int:
        """Take one message; see Sink.offer.  REFUSED when there is no room and the policy is to reject."""
        if binding is not None and binding.unwanted(message):
            return NOTHING
        if self._full() and not self._make_room(message):
            return REFUSED if self.policy.when_full == REJECT else NOTHING
        self._sequence += 1
        self.enqueued_total += 1
        self._resident_bytes += message.size
        delivery = Delivery(self, message, self._sequence, binding)
        broker = self.broker
        position = NOTHING
        if message.persistent and self.policy.durable:
            position = self._keep(delivery)
            if position == PAGED:
                return broker.store.position if self.policy.synchronous else NOTHING
        broker.resident_bytes += message.size + RESIDENT_OVERHEAD
        if self._held is not None or broker.holding:
            self._hold_back(delivery)
        else:
            self._admit(delivery)
        return position if self.policy.synchronous else NOTHING

    def _keep(self, delivery: Delivery) -> int:
        """Have the store keep it; its position, or PAGED when the queue itself lets go of it at once."""
        broker = self.broker
        store = broker.store
        message = delivery.message
        if self.number == 0:
            broker.keep_queue(self)
        binding = delivery.binding
        note = b"" if binding is None else binding.stored()
        position = store.append(Enqueued(self.number, delivery.sequence, message, note))
        delivery.position = position
        if store.congested:
            broker.hold_publisher(message.publisher)
        if store.pages and self._starved and self._lets_go(message):
            paged = self._paged
            if paged is None:
                paged = self._paged = Paged(self)
            paged.add(delivery)
            self._resident_bytes -= message.size
            return PAGED
        return position

    def _lets_go(self, message: Message) -> bool:
        """Is this message, which waits for nobody in particular, better left to the store alone?"""
        if self._held is not None or self.broker.holding:
            return False
        if self._paged is not None and self._paged.holds(lane_of(message)):
            return True
        if self._backlog.count < RESIDENT_MIN and self._resident_bytes < PAGE_BYTES_MAX:
            return False
        broker = self.broker
        bytes_max = self.policy.bytes_max
        return broker.resident_bytes >= broker.limits.memory_max or (
            bytes_max != 0 and self._resident_bytes >= bytes_max // 2
        )

    def _admit(self, delivery: Delivery) -> None:
        """Let a new message wait, and go at once if there is a consumer for it."""
        self._backlog.push(delivery)
        if self._selections is not None:
            self._selections.offer(delivery, False)
        if not self._starved:
            self.wake()

    # -- messages of transactions: nobody sees them before they are sure

    def _hold_back(self, delivery: Delivery) -> None:
        """Keep it from the consumers until what is before it is durable."""
        if self._held is None:
            self._held = deque()
            self.broker.hold_queue(self)
        self._held.append((self.broker.store.position, delivery))

    def release(self, durable: int) -> bool:
        """Let the consumers have what is durable now; answers whether there is more to hold back."""
        held = self._held
        while held and held[0][0] <= durable:
            delivery = held.popleft()[1]
            if not self.deleted:
                self._admit(delivery)
        if held:
            return True
        self._held = None
        return False

    # -- room

    def takes(self, more: int) -> bool:
        """Would it have room for a message once `more` have come in?"""
        policy = self.policy
        return not self._full() and (policy.messages_max == 0 or self.depth + more < policy.messages_max)

    def _full(self) -> bool:
        """Is there no room for one more?"""
        policy = self.policy
        return (
            (policy.bytes_max != 0 and self._resident_bytes >= policy.bytes_max)
            or (policy.messages_max != 0 and self.depth >= policy.messages_max)
            or (policy.stored_bytes_max != 0 and self.bytes >= policy.stored_bytes_max)
        )

    def _overfull(self) -> bool:
        """Is there more than there may be?"""
        policy = self.policy
        return (
            (policy.bytes_max != 0 and self._resident_bytes > policy.bytes_max)
            or (policy.messages_max != 0 and self.depth > policy.messages_max)
            or (policy.stored_bytes_max != 0 and self.bytes > policy.stored_bytes_max)
        )

    def _make_room(self, message: Message) -> bool:
        """Apply the policy of a full queue; False when the message may not come in."""
        when_full = self.policy.when_full
        if when_full == BLOCK:
            # One read of each producer may still follow; that bounds the excess.
            if self._gate is None:
                self._gate = Gate()
            self._gate.hold(message.publisher)
            return True
        if when_full == DROP_OLDEST and (self._backlog.count or self.paged):
            self._drop_oldest(True)
            return True
        self.broker.counters.dropped_full += 1
        return False

    def _drop_oldest(self, for_one_more: bool) -> None:
        """Let the oldest go until there is room; one may not be enough: a large message among small ones."""
        backlog = self._backlog
        while self._full() if for_one_more else self._overfull():
            paged = self._paged
            if paged is not None and paged.next_before(backlog):
                # It makes room when the store has given it back.
                paged.ask()
                return
            if not backlog.count:
                return
            self.broker.counters.dropped_full += 1
            self._bury(backlog.pop(), REASON_MAXLEN)

    def _room_again(self) -> None:
        """Let producers go on once a good part of the queue is free."""
        gate = self._gate
        if gate is None:
            return
        policy = self.policy
        if (
            (policy.bytes_max == 0 or self._resident_bytes <= policy.bytes_max * 3 // 4)
            and (policy.messages_max == 0 or self.depth <= policy.messages_max * 3 // 4)
            and (policy.stored_bytes_max == 0 or self.bytes <= policy.stored_bytes_max * 3 // 4)
        ):
            self._gate = None
            gate.open()

    # -- messages go out

    def call(self, consumer: Consumer) -> None:
        """A consumer that was not ready may be now: let it have its turn again.  Called by its Credit."""
        self._roster.call(consumer)
        self.wake()

    def wake(self) -> None:
        """Deliver as long as there are waiting messages and ready consumers."""
        if self._dispatching:
            return
        self._dispatching = True
        # A connector that fails must not stop the queue for the others: whatever comes next tries again.
        starved = False
        try:
            starved = not self._dispatch()
        finally:
            self._starved = starved
            self._dispatching = False

    def _dispatch(self) -> bool:
        """Deliver until nothing waits; False when it stopped earlier for want of a ready consumer."""
        if self._selections is not None:
            self._dispatch_selected(self._selections)
            # Whatever comes may find its consumer, whoever was ready for what there is.
            return True
        backlog = self._backlog
        while backlog.count or self.paged:
            consumer = self._roster.next_ready()
            if consumer is None:
                return False
            paged = self._paged
            if paged is not None:
                if paged.count == 0:
                    self._paged = None
                elif paged.fetch_before(backlog):
                    return False
            delivery = backlog.pop()
            if delivery.message.expires_at_ms and delivery.message.expired(self.broker.now_ms):
                self._bury_expired(delivery)
            else:
                self._hand_over(delivery, consumer)
        return True

    def _dispatch_selected(self, selections: Selections) -> None:
        """The same where consumers have selectors: in turn, each takes the first that it wants."""
        if self._paged is not None and self._backlog.count < RESIDENT_MIN:
            self._paged.ask()
        while self._backlog.count and self._serve_selected(selections):
            pass
        paged = self._paged
        memory_max = self.broker.limits.memory_max
        if paged is not None and self.broker.resident_bytes < memory_max and self._roster.ready():
            # What waits is wanted by nobody who is ready; what they want may be further back.
            paged.ask()

    def _serve_selected(self, selections: Selections) -> bool:
        """Hand over one message; False when nobody who is ready wants any."""
        for consumer in self._roster.ready():
            delivery = self._take_for(consumer, selections)
            if delivery is not None:
                self._roster.served(consumer)
                self._hand_over(delivery, consumer)
                return True
        return False

    def _take_for(self, consumer: Consumer, selections: Selections) -> Delivery | None:
        """Take the first live message that `consumer` wants; None when nothing does."""
        while True:
            delivery = selections.take(consumer)
            if delivery is None:
                return None
            if not delivery.message.expires_at_ms or not delivery.message.expired(self.broker.now_ms):
                return delivery
            self._bury_expired(delivery)

    def _hand_over(self, delivery: Delivery, consumer: Consumer) -> None:
        delivery.state = ACQUIRED
        delivery.consumer = consumer
        self.unsettled += 1
        if not consumer.automatic:
            consumer.credit.available -= 1
        consumer.outlet.deliver(delivery)
        if consumer.automatic:
            self.settle(delivery, ACCEPTED)

    def settle(self, delivery: Delivery, outcome: int) -> int:
        """See Delivery.settle.  Settling twice is our own mistake."""
        assert delivery.state == ACQUIRED
        consumer = delivery.consumer
        assert consumer is not None
        delivery.consumer = None
        self.unsettled -= 1
        position = self._conclude(delivery, outcome)
        if not consumer.automatic:
            consumer.credit.give(1)
        if outcome != ACCEPTED:
            # It may be somebody else's turn now.
            self.wake()
        return position

    def _conclude(self, delivery: Delivery, outcome: int) -> int:
        """Let the message go, or put it back."""
        if outcome == ACCEPTED or self.deleted:
            return self._forget(delivery)
        if outcome == REJECTED:
            return self._bury(delivery, REASON_REJECTED)
        if outcome == UNREPRESENTABLE:
            return self._bury(delivery, REASON_UNREPRESENTABLE)
        if outcome == EXPIRED:
            return self._bury_expired(delivery)
        position = NOTHING
        if outcome == FAILED:
            delivery.failures += 1
            limit = self.policy.deliveries_max
            if limit and delivery.failures > limit:
                return self._bury(delivery, REASON_DELIVERY_LIMIT)
            if delivery.message.persistent and self.policy.durable:
                position = self.broker.store.append(
                    Redelivered(self.number, delivery.sequence, delivery.failures)
                )
        else:
            assert outcome == RELEASED
        delivery.state = READY
        self._put_back(delivery)
        return position

    def _put_back(self, delivery: Delivery) -> None:
        """Let it wait in its old place again."""
        self._backlog.push_back(delivery)
        if self._selections is not None:
            self._selections.offer(delivery, True)

    def _forget(self, delivery: Delivery) -> int:
        """The message leaves this queue."""
        delivery.state = SETTLED
        message = delivery.message
        self._resident_bytes -= message.size
        self.broker.resident_bytes -= message.size + RESIDENT_OVERHEAD
        if self._gate is not None:
            self._room_again()
        if message.persistent and self.policy.durable and not self.deleted:
            return self.broker.store.append(Dequeued(self.number, delivery.sequence, delivery.position))
        return NOTHING

    def _bury(self, delivery: Delivery, reason: str) -> int:
        """The message leaves for the dead letters, or for nowhere when there are none."""
        broker = self.broker
        broker.store.begin()
        try:
            return self._move_away(delivery, reason)
        finally:
            broker.store.end()

    def _move_away(self, delivery: Delivery, reason: str) -> int:
        broker = self.broker
        position = self._forget(delivery)
        dead_letters = self.policy.dead_letters
        if self.policy.buries_refused_only and reason in (REASON_EXPIRED, REASON_MAXLEN):
            dead_letters = None
        if dead_letters is None or QUEUE_PREFIX + dead_letters == self.key:
            broker.counters.discarded += 1
        else:
            position = max(position, broker.bury(delivery, dead_letters, reason))
        return position

    # -- time

    def expire(self, now_ms: int) -> None:
        """Bury the waiting messages whose time has run out.  Costs nothing before the first one is due."""
        if self._paged is not None:
            self._paged.ask_expired(now_ms)
        backlog = self._backlog
        if 0 < backlog.expires_at_ms <= now_ms:
            for delivery in backlog.remove_expired(now_ms):
                self._bury_expired(delivery)

    def _bury_expired(self, delivery: Delivery) -> int:
        self.broker.counters.expired += 1
        return self._bury(delivery, REASON_EXPIRED)

    # -- consumers

    def attach(self, consumer: Consumer) -> None:
        """Let `consumer` compete for the messages from now on, or stand by while another has them for itself."""
        if consumer.selector is not None:
            if self._selections is None:
                self._selections = Selections(self._backlog)
                self._starved = False
            self._selections.begin(consumer.selector)
        if self._roster.add(consumer):
            self.wake()

    def detach(self, consumer: Consumer) -> None:
        """`consumer` gets no more.  What it has acquired stays with it until each delivery is settled."""
        others_let_in = consumer is self._roster.exclusive
        if not self._roster.remove(consumer):
            return
        if consumer.selector is not None:
            assert self._selections is not None
            if not self._selections.end(consumer.selector):
                self._selections = None
                # Others may have waited beside it, but for something else than it.
                self.wake()
        if others_let_in:
            self.wake()

    # -- what only the store holds: see Paged

    def on_loaded(self, page: Page, entries: list[Entry]) -> None:
        """The store's answer: the messages wait here again.  One that was not waited for any more is left alone."""
        paged = self._paged
        if paged is None or paged.asked is not page:
            return
        for delivery in paged.answered(page, entries):
            self._note_resident(delivery)
            if page.expired_by_ms:
                self._bury_expired(delivery)
            else:
                self._put_back(delivery)
        if self.policy.when_full == DROP_OLDEST and not page.expired_by_ms:
            self._drop_oldest(False)
        if page.complete or entries or page.expired_by_ms:
            self.wake()

    def recovered(self, found: QueueFound, clean: bool) -> None:
        """Begin with what the store holds of an earlier run."""
        self._paged = Paged(self)
        self._paged.found(found.lanes)
        self.number = found.number
        for lane in found.lanes:
            self._sequence = max(self._sequence, lane.last)
        if not clean:
            self.suspect_through = self._sequence

    def reacquire(self, entry: Entry, consumer: Consumer) -> Delivery | None:
        """Give `consumer` a message again that it had before a restart, out of turn.  It takes no credit.

        None when it cannot be read.
        """
        assert self._paged is not None
        delivery = self._paged.take_out(entry)
        if delivery is None:
            return None
        self._note_resident(delivery)
        delivery.state = ACQUIRED
        delivery.consumer = consumer
        self.unsettled += 1
        return delivery

    def _note_resident(self, delivery: Delivery) -> None:
        """The message is in memory from now on."""
        size = delivery.message.size
        self._resident_bytes += size
        self.broker.resident_bytes += size + RESIDENT_OVERHEAD

    # -- the end

    def purge(self) -> int:
        """Let go of everything that waits; returns how many messages that were."""
        count = self.waiting
        gone = self._backlog.clear()
        for delivery in gone:
            self._forget(delivery)
        held = self._held
        if held is not None:
            while held:
                self._forget(held.popleft()[1])
        if self._paged is not None:
            self._paged.clear()
        return count

    def close(self) -> None:
        """The queue is being deleted: let go of everything and let everybody go.  Called by Broker.delete_queue."""
        # From here on the store is told of the queue as a whole, not of its messages.
        self.deleted = True
        self.purge()
        for consumer in self._roster.all():
            self.detach(consumer)
        if self._gate is not None:
            self._gate.open()
            self._gate = None
