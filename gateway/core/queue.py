"""The queue: an ordered store of messages with competing consumers.

A named queue, a durable or shared topic subscription and an MQTT session's messages are all one of these,
the latter three bound to topic patterns.
"""

from typing import TYPE_CHECKING, final

from gateway.core.burying import LOOKED_AT_ONCE, Expiring, bury, bury_expired
from gateway.core.contents import Contents
from gateway.core.crowding import is_for_store_alone
from gateway.core.delivery import (
    ACCEPTED,
    ACQUIRED,
    EXPIRED,
    FAILED,
    FORFEIT,
    HELD,
    READY,
    REASON_DELIVERY_LIMIT,
    REASON_REJECTED,
    REASON_UNREPRESENTABLE,
    REJECTED,
    RELEASED,
    SETTLED,
    UNREPRESENTABLE,
    Delivery,
)
from gateway.core.destination import QUEUE, Destination
from gateway.core.flow import Publisher
from gateway.core.holding import HeldDeliveries
from gateway.core.leaving import Discarding, Dismissing
from gateway.core.limits import BLOCK, DROP_NEWEST, DROP_OLDEST, REJECT, QueuePolicy
from gateway.core.message import Message
from gateway.core.overflow import drop_for, drop_oldest, hold, make_room
from gateway.core.paging import PAGE_MESSAGES_MAX, Paged, Stretch
from gateway.core.ports import NOTHING, Dequeued, Enqueued, Entry, Page, QueueFound, Redelivered
from gateway.core.queue_key import NAMED, QueueKey
from gateway.core.room import REFUSED, Room
from gateway.core.roster import Roster
from gateway.core.selection import Selections
from gateway.core.subscription import NOBODY, Binding, Consumer, Sink
from gateway.core.unstored import RESIDENT_OVERHEAD
from gateway.core.unused import is_unused
from gateway.core.waking import DELIVERED_AT_ONCE, LARGE_BYTES

if TYPE_CHECKING:
    from gateway.core.router import Broker


@final
class Queue(Sink):
    """One queue.  Invariant: when it has both a waiting message and a ready consumer, it delivers now or soon.

    Where its messages are, and what each step from place to place does, is written in `gateway.core.contents`.
    """

    __slots__ = (
        "_dispatching",
        "_looks_again",
        "_sequence",
        "_stops",
        "bindings",
        "broker",
        "contents",
        "deleted",
        "destination",
        "enqueued_total",
        "gave_back",
        "key",
        "left",
        "noted_at",
        "number",
        "owner",
        "place",
        "room",
        "roster",
        "selections",
        "starved",
        "suspect_through",
    )

    def __init__(self, broker: "Broker", key: QueueKey, policy: QueuePolicy, owner: object = None) -> None:
        self.broker = broker
        self.key = key
        """Unique in the broker; its text is its name in the store."""
        self.destination = Destination(QUEUE, key.name if key.kind == NAMED else key.text)
        self.contents = Contents()
        self.room = Room(self.contents, policy, broker.places, broker.unstored)
        self.owner = owner
        """Who alone may consume, and with whom it dies; None for a queue of everyone's."""
        self.bindings: list[Binding] = []
        self.deleted = False
        self.number = 0
        """Its number in the store; 0 until there is something to keep."""
        self.place = -1
        """In the broker's Roll; -1 once it is deleted."""
        self.noted_at = 0
        """Where the store was told of it, and of what it is bound to, last in this run."""
        self.suspect_through = 0
        """Messages up to this sequence were there at a crash, and may have been delivered before it."""
        self.enqueued_total = 0
        self.gave_back = False
        """Consumers have had messages of it in this run that came back with nothing counted."""
        self.roster = Roster()
        # Made when first used: most queues have no selectors.
        self.selections: Selections | None = None
        self.starved = True
        """Nobody was ready when it looked last: what comes need not have it look again."""
        # It will look in a later turn: nobody makes it deliver before that.
        self._looks_again = False
        self.left = 0
        """Messages that may still be delivered in this look, large ones counted as several."""
        self._dispatching = False
        self._stops = 0
        self._sequence = 0
        self.adopt(policy, owner)

    def adopt(self, policy: QueuePolicy, owner: object) -> None:
        """Behave by `policy` from now on, for `owner`."""
        self.room.policy = policy
        self.owner = owner
        if policy.when_full == REJECT:
            self.broker.refusing = True

    # -- what it holds

    @property
    def policy(self) -> QueuePolicy:
        """How it behaves."""
        return self.room.policy

    @property
    def depth(self) -> int:
        """Messages in it, waiting or unsettled."""
        return self.contents.depth

    @property
    def waiting(self) -> int:
        """Messages that wait for a consumer."""
        return self.contents.waiting

    @property
    def unsettled(self) -> int:
        """Deliveries that wait for their outcome."""
        return self.contents.unsettled

    @property
    def last_sequence(self) -> int:
        """The place of the message that came in last."""
        return self._sequence

    @property
    def paged(self) -> int:
        """Messages that only the store holds."""
        return self.contents.paged_count

    def is_named(self, name: str) -> bool:
        """Is it the named queue of that name?"""
        return self.key.kind == NAMED and self.key.name == name

    @property
    def fetching(self) -> bool:
        """May it deliver more soon: in a later turn, or when the store has answered?"""
        asked = self.contents.paged is not None and self.contents.paged.asked is not None
        return asked or self._dispatching or self._looks_again

    @property
    def bytes(self) -> int:
        """Bytes of the messages in it."""
        return self.contents.bytes

    @property
    def consumers_count(self) -> int:
        """Consumers attached to it, those that stand by for an exclusive one included."""
        return self.roster.count

    def browse(self) -> list[Delivery]:
        """What waits, in the order in which it would leave, as far as it is in memory.  Nothing is taken."""
        return self.contents.backlog.all()

    def stretches(self) -> list[Stretch]:
        """What waits beyond that, in the store alone."""
        return [] if self.contents.paged is None else self.contents.paged.all()

    def elsewhere(self, sequence: int) -> bool:
        """Does this message, though within a stretch, wait elsewhere?"""
        return self.contents.paged is not None and self.contents.paged.elsewhere(sequence)

    # -- messages come in

    def offer(self, message: Message, binding: Binding | None = None) -> int:
        """Take one message; see Sink.offer.  REFUSED when there is no room and the policy is to reject."""
        if binding is not None and binding.unwanted(message):
            return NOTHING
        copying = self.broker.copying
        if copying is not None and self.number in copying.had:
            return NOTHING
        if self.room.full_for(message) and not make_room(self, message, binding):
            return REFUSED if self.policy.when_full in (REJECT, BLOCK) else NOTHING
        return self.take_in(message, binding)

    def inter(self, message: Message) -> int:
        """Take a message that was buried here: as `offer`, but nobody is there to be told no, or to be kept waiting.

        So what the store keeps comes in even where the queue is full, unless its policy is to drop.
        """
        if self.room.full_for(message):
            if self.policy.when_full == DROP_OLDEST:
                comes = drop_for(self, message)
            else:
                comes = self.policy.when_full != DROP_NEWEST and self.room.keeps(message)
            if not comes:
                self.broker.counters.dropped_full += 1
                return NOTHING
        return self.take_in(message, None)

    def refuser(self, message: Message, binding: Binding | None) -> "Queue | None":
        """See Sink."""
        if self.policy.when_full != REJECT or (binding is not None and binding.unwanted(message)):
            return None
        return self

    def take_in(self, message: Message, binding: Binding | None) -> int:
        """Take one message, however full it is here: who says so has seen to that; returns as Sink.offer."""
        broker = self.broker
        kept = self.room.keeps(message)
        if kept and self.number == 0:
            broker.kept.keep(self)
        self._sequence += 1
        self.enqueued_total += 1
        delivery = Delivery(self, message, self._sequence, binding)
        if self.room.is_alone(message):
            self.room.share.came(message)
        if not kept:
            self._wait(delivery)
            return NOTHING
        position = self._keep(delivery)
        if (self.contents.paged is not None or self.starved) and is_for_store_alone(self, message):
            self._page_out(delivery)
        else:
            self._wait(delivery)
        return position if self.policy.synchronous else NOTHING

    def _keep(self, delivery: Delivery) -> int:
        """Have the store keep it; its position."""
        broker = self.broker
        store = broker.store
        binding = delivery.binding
        note = b"" if binding is None else binding.stored()
        position = store.append(Enqueued(self.number, delivery.sequence, delivery.message, note))
        delivery.position = position
        if broker.copying is not None:
            broker.copying.queues.append(self.number)
        if store.congested and store.accepting:
            broker.hold_publisher(delivery.message.publisher)
        return position

    def _page_out(self, delivery: Delivery) -> None:
        """Leave it to the store.  It comes back when it is safe, so there is no need to hold it back."""
        paged = self.contents.paged
        if paged is None:
            paged = self.contents.paged = Paged(self)
        paged.add(delivery)
        self.plan_expiry(delivery.message.expires_at_ms)
        if not self.starved:
            self.wake()

    def _wait(self, delivery: Delivery) -> None:
        """Let a new message wait in memory, and go at once if there is a consumer for it."""
        self._note_resident(delivery)
        if self.contents.held is not None or self.broker.holding is not None:
            self._hold_back(delivery)
            return
        self.contents.backlog.push(delivery)
        self.plan_expiry(delivery.message.expires_at_ms)
        if self.selections is not None:
            self.selections.offer(delivery)
        if not self.starved:
            self.wake()

    def _hold_back(self, delivery: Delivery) -> None:
        """Keep it from the consumers until the transaction, its own or the one before it, is safe."""
        delivery.state = HELD
        if self.contents.held is None:
            self.contents.held = HeldDeliveries()
            self.broker.releases.hold(self)
        self.contents.held.add(self.broker.holding, delivery)

    def release(self, durable: int, count_max: int) -> int:
        """Let the consumers have what is safe now, so many at most; how many those were."""
        held = self.contents.held
        if held is None:
            return 0
        count = 0
        while count < count_max:
            delivery = held.take(durable)
            if delivery is None:
                break
            count += 1
            delivery.state = READY
            # In its place: what came behind it may have come back from the store by now.
            self._put_back(delivery)
            if not self.starved:
                self.wake()
        if not held.count:
            self.contents.held = None
        return count

    # -- room

    def keeps_waiting(self, publisher: Publisher, persistent: bool) -> bool:
        """See Sink."""
        if not self.room.keeps_waiting(publisher, persistent) or (self.passes_on and not self.room.full):
            return False
        return hold(self, publisher, persistent)

    @property
    def passes_on(self) -> bool:
        """Would the next message be taken at once, and done with?  Then it needs no memory."""
        return self.waiting == 0 and self.broker.holding is None and self.roster.passes_on

    def refuses(self, message: Message) -> bool:
        """Has it no room for this one?  Asked where its policy is to say so."""
        room = self.room
        if room.full or not room.short_for(message) or self.passes_on:
            return room.full
        room.share.want()
        return True

    # -- messages go out

    def call(self, consumer: Consumer) -> None:
        """A consumer that was not ready may be now: let it have its turn again.  Called by its Credit."""
        self.roster.call(consumer)
        self.wake()

    def stop(self) -> None:
        """Deliver nothing until as many calls of `start`: what is to leave first is still on its way back."""
        self._stops += 1
        self._dispatching = True

    def start(self) -> None:
        """See `stop`."""
        self._stops -= 1
        if self._stops == 0:
            self._dispatching = False
            self.wake()

    def wake(self) -> None:
        """Deliver as long as there are waiting messages and ready consumers, as many as one look may bring."""
        if self._dispatching or self._looks_again:
            return
        self._dispatching = True
        self.left = DELIVERED_AT_ONCE
        # A connector that fails must not stop the queue for the others: whatever comes next tries again.
        starved = False
        counters = self.broker.counters
        expired_max = counters.expired + LOOKED_AT_ONCE
        try:
            starved = not self._dispatch(expired_max)
        finally:
            self.starved = starved
            self._dispatching = self._stops > 0
        if self.left <= 0 or counters.expired >= expired_max:
            self._looks_again = True
            self.broker.waking.later(self)

    def look_again(self) -> None:
        """Go on where the last look has stopped."""
        self._looks_again = False
        self.wake()

    def _dispatch(self, expired_max: int) -> bool:
        """Deliver until nothing waits, or as much as one look may; False when nobody is ready before that."""
        if self.selections is not None:
            self.selections.dispatch(expired_max)
            # Whatever comes may find its consumer, whoever was ready for what there is.
            return True
        backlog = self.contents.backlog
        while backlog.count or self.paged:
            if self.left <= 0:
                return True
            consumer = self.roster.next_ready()
            if consumer is None:
                return False
            paged = self.contents.paged
            if paged is not None:
                if paged.done:
                    self.contents.paged = None
                elif paged.fetch_before(backlog):
                    return False
            delivery = backlog.pop()
            if delivery.message.expires_at_ms and delivery.message.expired(self.broker.now_ms):
                bury_expired(self, delivery)
                if self.broker.counters.expired >= expired_max:
                    return True
            else:
                self.hand_over(delivery, consumer)
        return True

    def hand_over(self, delivery: Delivery, consumer: Consumer) -> None:
        """Let `consumer` have what was taken out of the backlog for it."""
        delivery.state = ACQUIRED
        delivery.consumer = consumer
        self.contents.unsettled += 1
        self.left -= 1 + delivery.message.size // LARGE_BYTES
        if not consumer.automatic:
            consumer.credit.take()
        try:
            consumer.outlet.deliver(delivery)
        except Exception as error:
            self._let_down(delivery, consumer, error)
            return
        if consumer.automatic:
            self.settle(delivery, ACCEPTED)

    def _let_down(self, delivery: Delivery, consumer: Consumer, error: Exception) -> None:
        """The outlet failed to take it, a bug of ours: that costs its connection, and neither the message nor others."""
        if delivery.state != ACQUIRED:
            # It had been settled meanwhile.
            consumer.outlet.broke(error)
            return
        self.contents.unsettled -= 1
        if not consumer.automatic:
            consumer.credit.put_back()
        outlet = consumer.outlet
        outlet.congested = True
        self._conclude(delivery.again(), FAILED)
        outlet.broke(error)

    def settle(self, delivery: Delivery, outcome: int) -> int:
        """See Delivery.settle.  Settling twice is our own mistake."""
        if delivery.state == FORFEIT:
            return NOTHING
        assert delivery.state == ACQUIRED
        consumer = delivery.consumer
        assert consumer is not None
        delivery.consumer = None
        self.contents.unsettled -= 1
        position = self._conclude(delivery, outcome)
        if not consumer.automatic:
            consumer.credit.regain()
        if outcome != ACCEPTED:
            # It may be somebody else's turn now.
            self.wake()
        return position

    def _conclude(self, delivery: Delivery, outcome: int) -> int:
        """Let the message go, or put it back."""
        if outcome == ACCEPTED or self.deleted:
            return self.forget(delivery)
        if outcome == REJECTED:
            return bury(self, delivery, REASON_REJECTED)
        if outcome == UNREPRESENTABLE:
            return bury(self, delivery, REASON_UNREPRESENTABLE)
        if outcome == EXPIRED:
            return bury_expired(self, delivery)
        position = NOTHING
        if outcome == FAILED:
            delivery.failures += 1
            limit = self.policy.deliveries_max
            if limit and delivery.failures >= limit:
                return bury(self, delivery, REASON_DELIVERY_LIMIT)
            if self.room.keeps(delivery.message):
                position = self.broker.store.append(
                    Redelivered(self.number, delivery.sequence, delivery.failures)
                )
        else:
            assert outcome == RELEASED
            self.gave_back = self.gave_back or delivery.returned
        delivery.state = READY
        self._put_back(delivery)
        return position

    def _put_back(self, delivery: Delivery) -> None:
        """Let it wait in its old place again."""
        self.contents.backlog.push_back(delivery)
        self.plan_expiry(delivery.message.expires_at_ms)
        if self.selections is not None:
            self.selections.offer(delivery)

    def forget(self, delivery: Delivery) -> int:
        """The message leaves this queue."""
        delivery.state = SETTLED
        message = delivery.message
        if self.room.is_alone(message):
            self.room.share.left(message)
        if self.deleted:
            # It let go of the rest at once.
            return NOTHING
        self.contents.resident_bytes -= message.size
        self.broker.resident_bytes -= message.size + RESIDENT_OVERHEAD
        self.room.again()
        if self.room.keeps(message):
            return self.broker.store.append(Dequeued(self.number, delivery.sequence, delivery.position))
        return NOTHING

    # -- time

    def expire(self, now_ms: int) -> None:
        """Bury the waiting messages whose time has run out.  Costs nothing before the first one is due."""
        if self.contents.paged is not None:
            self.contents.paged.ask_expired(now_ms)
        backlog = self.contents.backlog
        if 0 < backlog.expires_at_ms <= now_ms and not self.contents.expiring:
            expiring = Expiring(self, now_ms)
            if expiring.go_on():
                self.broker.chores.add(expiring)

    def plan_expiry(self, expires_at_ms: int) -> None:
        """Something in it expires at that time, if that is not 0."""
        if expires_at_ms:
            self.broker.queue_expiry.plan(self, expires_at_ms)

    # -- consumers

    def attach(self, consumer: Consumer) -> None:
        """Let `consumer` compete for the messages from now on, or stand by while another has them for itself."""
        self.room.count_own(consumer.outlet.publishes_as, 1)
        if consumer.selector is not None:
            if self.selections is None:
                self.selections = Selections(self)
                self.starved = False
            self.selections.begin(consumer, consumer.selector)
        if self.roster.add(consumer):
            self.wake()

    def detach(self, consumer: Consumer) -> None:
        """`consumer` gets no more.  What it has acquired stays with it until each delivery is settled."""
        others_let_in = consumer is self.roster.exclusive
        there = self.roster.remove(consumer)
        if there:
            self.room.count_own(consumer.outlet.publishes_as, -1)
        # An outlet knows its consumers: together they would stay until the collector comes.
        consumer.outlet = NOBODY
        if not there:
            return
        if self.enqueued_total == 0 and is_unused(self):
            self.broker.unused.left(self)
        if consumer.selector is not None:
            assert self.selections is not None
            if not self.selections.end(consumer):
                self.selections = None
                # Others may have waited beside it, but for something else than it.
                self.wake()
        if others_let_in:
            self.wake()

    # -- what only the store holds: see Paged

    def on_loaded(self, page: Page, entries: list[Entry]) -> None:
        """The store's answer: the messages wait here again.  One that was not waited for any more is left alone."""
        paged = self.contents.paged
        if paged is None or paged.asked is not page:
            return
        whole = paged.whole(page)
        if entries:
            # What is held before them is safe too.
            self.release(self.broker.store.durable, PAGE_MESSAGES_MAX)
        for delivery in paged.answered(page, entries):
            self._note_resident(delivery)
            if page.expired_by_ms:
                bury_expired(self, delivery)
            else:
                self._put_back(delivery)
        if self.policy.when_full == DROP_OLDEST and not page.expired_by_ms:
            drop_oldest(self, False)
        if whole or entries or page.expired_by_ms:
            if whole:
                # The next ones; else nothing is known of them before the disk has room, and the next tick asks.
                paged.ask_expired(page.expired_by_ms)
            self.wake()
        else:
            # What is there is still on its way to the disk.
            self.broker.wake_when_durable(self)

    def recovered(self, found: QueueFound, clean: bool) -> None:
        """Begin with what the store holds of an earlier run."""
        self.contents.paged = Paged(self)
        self.contents.paged.found(found.lanes)
        self.number = found.number
        for lane in found.lanes:
            self._sequence = max(self._sequence, lane.last)
            self.plan_expiry(lane.expires_at_ms)
        if not clean:
            self.suspect_through = self._sequence

    def reacquire(self, entry: Entry, consumer: Consumer) -> Delivery | None:
        """Give `consumer` again what it had before a restart, out of turn and credit; None when it cannot be read."""
        assert self.contents.paged is not None
        delivery = self.contents.paged.take_out(entry)
        if delivery is None:
            return None
        self._note_resident(delivery)
        delivery.state = ACQUIRED
        delivery.consumer = consumer
        self.contents.unsettled += 1
        return delivery

    def _note_resident(self, delivery: Delivery) -> None:
        """The message is in memory from now on."""
        size = delivery.message.size
        self.contents.resident_bytes += size
        self.broker.resident_bytes += size + RESIDENT_OVERHEAD

    # -- the end

    def close(self) -> None:
        """The queue is being deleted: let go of everything and let everybody go.  Called by Broker.delete_queue."""
        # From here on the store is told of the queue as a whole, not of its messages.
        self.deleted = True
        contents = self.contents
        # What consumers still have counts no more either: they may be gone without a word.
        self.broker.resident_bytes -= contents.resident_bytes + RESIDENT_OVERHEAD * contents.resident
        contents.resident_bytes = 0
        discarding = Discarding(contents.backlog.abandon(), contents.held)
        contents.held = None
        if contents.paged is not None:
            contents.paged.clear()
        if discarding.go_on():
            self.broker.chores.add(discarding)
        dismissing = Dismissing(self)
        if dismissing.go_on():
            self.broker.chores.add(dismissing)
        self.room.close()
