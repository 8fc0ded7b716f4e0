"""Who gets a message.  Start at `Broker.publish`."""

from typing import Final, final

from gateway.core.aside import RETAINED_SPACE, Aside
from gateway.core.bindings import stored_bindings
from gateway.core.chores import Chores
from gateway.core.committing import Committing
from gateway.core.copying import Copying
from gateway.core.counters import CoreCounters
from gateway.core.dedup import SPACE as DEDUP_SPACE
from gateway.core.dedup import Dedup
from gateway.core.destination import QUEUE, TEMPORARY_PREFIX, TOPIC, Destination
from gateway.core.expiry import QueueExpiry
from gateway.core.fan_out import FEW, FanOuts
from gateway.core.flow import Gate, Places, Publisher, tire
from gateway.core.footprint import Footprint, binding_bytes
from gateway.core.holding import HeldPublishes, HoldPoint
from gateway.core.kept import KeptQueues
from gateway.core.last_values import LastValues
from gateway.core.leaving import Leavers
from gateway.core.limits import FEW_STEPS, CoreLimits, LimitReached, QueuePolicy
from gateway.core.looking import look
from gateway.core.message import Message
from gateway.core.pattern import Pattern
from gateway.core.ports import (
    EPOCH_SHIFT,
    NOTHING,
    Authorizer,
    Enqueued,
    Entry,
    Operation,
    Page,
    QueueMade,
    Recovered,
    Retained,
    Store,
    StoreListener,
)
from gateway.core.queue import Queue
from gateway.core.queue_key import NAMED, NAMED_PREFIX, QueueKey, named
from gateway.core.quota import Quota
from gateway.core.record import BadRecord, Decoder
from gateway.core.releasing import Releases
from gateway.core.roll import Roll
from gateway.core.room import REFUSED
from gateway.core.routes import WIDE, may_have
from gateway.core.schedule import SPACE as SCHEDULE_SPACE
from gateway.core.schedule import Schedule
from gateway.core.stalls import Stalls
from gateway.core.subscription import Binding
from gateway.core.topics import Topic, topics_within
from gateway.core.transaction import Transaction
from gateway.core.unstored import Unstored
from gateway.core.unused import UnusedQueues, is_unused
from gateway.core.virtual import bindings_of_name
from gateway.core.waiters import Waiter, Waiters
from gateway.core.waking import Waking
from gateway.core.watching import QueueWatcher, Watching

__all__ = ["UNROUTED", "Broker", "LimitReached", "QueueGone"]

UNROUTED: Final = -1
"""What publishing answers when nobody has subscribed."""


class QueueGone(LimitReached):
    """A temporary queue whose owner is not there: made anew, nobody could read it and it would never go."""


@final
class Broker(StoreListener):
    """The core in one object: topics, queues, retained values, and the ports to the world."""

    __slots__ = (
        "_gate",
        "_made_by",
        "_next_message",
        "_passing_policy",
        "_relaxed_policy",
        "_unanswered",
        "aside",
        "assured",
        "asynchronous",
        "authorizer",
        "chores",
        "committing",
        "copying",
        "counters",
        "decoder",
        "dedup",
        "fan_outs",
        "footprint",
        "holding",
        "kept",
        "leavers",
        "limits",
        "now_ms",
        "places",
        "policy",
        "queue_expiry",
        "queues",
        "refusing",
        "releases",
        "resident_bytes",
        "retained",
        "roll",
        "schedule",
        "stalls",
        "store",
        "topics",
        "transactions_bytes",
        "unstored",
        "unused",
        "values",
        "waiters",
        "waking",
        "watching",
    )

    def __init__(self, store: Store, authorizer: Authorizer, limits: CoreLimits, policy: QueuePolicy) -> None:
        self.store = store
        self.authorizer = authorizer
        self.limits = limits
        self.policy = policy
        """For queues that name no policy of their own."""
        self._relaxed_policy = policy.relaxed()
        self._passing_policy = policy.passing()
        self.asynchronous: list[Pattern] = []
        """Names of queues whose producers do not wait until their messages are safe."""
        self.now_ms = 0
        """Wall clock, set from outside before each call in."""
        self.chores = Chores()
        """What goes on in later turns."""
        self.copying: Copying | None = None
        """What is published now is the next step of a message for very many."""
        self.fan_outs = FanOuts(self)
        """Messages for very many."""
        self.aside = Aside(self)
        """What earlier runs have left that cannot be read."""
        self.queues: dict[str, Queue] = {}
        """By the text of the key."""
        self.roll = Roll(limits)
        """The same, for who goes through all of them."""
        self._made_by = Quota(limits.queues_per_user_max, limits.queues_per_address_max)
        self.queue_expiry = QueueExpiry(self)
        """Which queues are to be looked into for expired messages, and when."""
        self.unused = UnusedQueues(self)
        """Queues that nobody reads any more."""
        self.leavers = Leavers(self, self.chores)
        """Consumers that have left very many deliveries behind."""
        self.waking = Waking(self.chores, self.roll)
        """Queues that are to look again whether they can deliver."""
        self.watching = Watching(self.roll, self.chores, limits)
        """Subscriptions to all queues of a pattern."""
        self.counters = CoreCounters()
        self.footprint = Footprint(
            limits.subscriptions_bytes_per_client_max, limits.subscriptions_bytes_max, "subscriptions"
        )
        """What the subscriptions of connections take beside what each takes in any case."""
        self.topics = topics_within(limits, self.chores)
        self._next_message = 0
        self.kept = KeptQueues(self)
        """Queues that the store remembers."""
        self._gate: Gate | None = None
        self.decoder = Decoder()
        """Reads back what the store kept; connectors register their Restorer with it."""
        self.holding: HoldPoint | None = None
        """What is published now belongs to this transaction: consumers get it when that is safe."""
        self.releases = Releases(self)
        """What waits for transactions to be safe."""
        self.committing: Committing | None = None
        """The large transaction that is under way."""
        self.assured = False
        """What is published now belongs to a transaction that was promised room: nothing refuses it any more."""
        # Queues that asked the store for what was not durable yet.
        self._unanswered: list[Queue] = []
        self.refusing = False
        """Is there a queue that may refuse a message?"""
        self.places = Places()
        """Queues and slow subscribers where publishers wait."""
        self.unstored = Unstored(limits.unstored_bytes_max, self.places, store.pages)
        """What is in memory alone."""
        self.resident_bytes = 0
        """Bytes of the messages that queues have in memory, about."""
        self.transactions_bytes = 0
        """Bytes of the messages that open transactions hold back, about."""
        self.waiters = Waiters(self.chores)
        """Who waits for positions."""
        self.values = LastValues(self)
        self.retained = self.values.tree
        """Retained values."""
        self.stalls = Stalls(self)
        """Queues that make who publishes to a topic wait."""
        self.dedup = Dedup(self)
        """What was done under the keys of producers."""
        self.schedule = Schedule(self)
        """Messages that are to be delivered later."""

    def use(self, store: Store) -> None:
        """Have this store keep what is to be kept; before there is anything."""
        self.store = store
        self.unstored.pages = store.pages

    # -- publishing

    def next_message_id(self) -> int:
        """A number for a new message, above all earlier ones."""
        self._next_message += 1
        return self._next_message

    def publish(self, message: Message, topic: Topic) -> int:
        """Hand `message` to everything bound to `topic`, and keep it there if it is to be retained.

        Returns the store's position to wait for before confirming, NOTHING (0) when nothing durable took the
        message, UNROUTED when nobody took it at all, REFUSED when it is persistent and the store can keep nothing.
        Where very many are to have it they get it in later turns, and its publisher's confirmations wait for that.
        """
        if message.persistent and not self.store.accepting and not self.assured:
            self.counters.refused += 1
            return REFUSED
        if self.refusing and not self.assured and self._refused_by_any(message, topic):
            self.counters.refused += 1
            return REFUSED
        self.counters.published += 1
        if message.expires_at_ms and message.expired(self.now_ms):
            return self._stillborn(message, topic)
        position = self.announce(message, topic)
        if position == UNROUTED:
            self.counters.unroutable += 1
        return position

    def keeps_waiting(self, publisher: Publisher, topic: Topic, persistent: bool) -> bool:
        """Is there a place without room on the way from `publisher` to `topic`, for what is `persistent` or is not?

        Then its message must not be published yet: it waits at the gate of each such place, and is to try again when its
        valve is opened.  Whoever publishes without asking has its message taken nevertheless.
        """
        waits = False
        route = self.route(topic, publisher)
        if len(route) > WIDE:
            return look(self.chores, self.authorizer, self.limits, publisher, topic, persistent)
        for binding in route:
            if not binding.is_own(publisher) and binding.sink.keeps_waiting(publisher, persistent):
                waits = True
        return waits

    def keeps_waiting_at(self, publisher: Publisher, destination: Destination, persistent: bool) -> bool:
        """The same by name."""
        if destination.kind == TOPIC:
            return self.keeps_waiting(publisher, self.topics.topic(destination.name), persistent)
        queue = self.queues.get(NAMED_PREFIX + destination.name)
        if queue is None and not persistent and self.unstored.scarce and not destination.temporary:
            # Of a thousand new queues not each is to begin with one message.
            try:
                queue = self.queue(destination.name, maker=publisher)
            except LimitReached:
                return False
        return queue is not None and queue.keeps_waiting(publisher, persistent)

    def announce(self, message: Message, topic: Topic) -> int:
        """As `publish`, for what the broker has to say itself, which is not counted."""
        position = NOTHING
        if message.retain:
            position = self.values.take(message, topic.name)
        # As `route`, which is one call more.
        route = topic.route.bindings
        if route is None or topic.generation != self.topics.generation:
            route = self.topics.refresh(topic, self.authorizer)
            tire(message.publisher)
        if not route:
            return position or UNROUTED
        if len(route) > FEW or self.fan_outs.count:
            if self.fan_outs.takes(message, len(route)):
                return max(position, self.fan_outs.begin(message, topic.route, self._point_of(topic)))
            tire(message.publisher)
        if self.holding is not None or self.releases.publishes is not None:
            return max(position, self._announce_held(message, topic))
        for binding in route:
            taken = binding.sink.offer(message, binding)
            if taken > position:
                position = taken
        return position

    @property
    def looks_up_long(self) -> bool:
        """May it take long to find who is to have what goes to a name that is new?"""
        return self.topics.steps > FEW_STEPS or self.watching.steps > FEW_STEPS

    def route(self, topic: Topic, publisher: Publisher | None = None) -> list[Binding]:
        """Who gets what is published to `topic` now, by `publisher`."""
        route = topic.route.bindings
        if route is None or topic.generation != self.topics.generation:
            route = self.topics.refresh(topic, self.authorizer)
            tire(publisher)
        return route

    def reach(self, destination: Destination) -> int:
        """How many get what is published there, as far as is known: for who publishes much in one go."""
        if destination.kind != TOPIC:
            return 0
        route = self.topics.topic(destination.name).route.bindings
        return 0 if route is None else len(route)

    def _point_of(self, topic: Topic) -> HoldPoint | None:
        """What is published on `topic` now waits until this is safe."""
        held = self.releases.publishes
        if self.holding is not None or held is None:
            return self.holding
        return held.last_point(topic)

    def _announce_held(self, message: Message, topic: Topic) -> int:
        """The same where transactions are not safe yet: live subscribers see nothing of them, nor what is behind."""
        point = self.holding
        held = self.releases.publishes
        late = point is not None or (held is not None and held.holds(topic))
        position = NOTHING
        passes = False
        for binding in self.route(topic):
            if late and binding.sink.passes(message, binding):
                passes = True
            else:
                position = max(position, binding.sink.offer(message, binding))
        if passes:
            if held is None:
                held = self.releases.publishes = HeldPublishes()
            held.add(point, message, topic)
            if point is None:
                # They would gather without end behind a store that is slow.
                self.hold_publisher(message.publisher)
        return position

    def _refused_by_any(self, message: Message, topic: Topic) -> bool:
        """Is there no room for it in a queue that refuses?  All of a route take a message, or none does."""
        return bool([queue for queue in self.refusers(message, topic) if queue.refuses(message)])

    def refusers(self, message: Message, topic: Topic) -> list[Queue]:
        """The queues to which `message` would go and that may refuse it."""
        found: list[Queue] = []
        route = self.route(topic, message.publisher)
        unasked = topic.route.unasked
        for binding in route:
            queue = binding.sink.refuser(message, binding)
            # In this order: few refuse, and to ask the rules about very many takes long.
            if queue is not None and may_have(binding, unasked, self.authorizer):
                found.append(queue)
        return found

    def _stillborn(self, message: Message, topic: Topic) -> int:
        """Its time had run out before it came: nobody gets it, and it is no topic's last value."""
        self.counters.expired += 1
        return self.values.clear(message, topic.name) if message.retain else NOTHING

    def publish_to(self, destination: Destination, message: Message) -> int:
        """Publish by name, for who has no Topic or Queue at hand.  As `publish`; REFUSED by a full queue.

        Raises LimitReached when the queue would have to be made and there are too many.
        """
        if destination.kind == TOPIC:
            return self.publish(message, self.topics.topic(destination.name))
        return self.enqueue(message, self.queue(destination.name, maker=message.publisher))

    def enqueue(self, message: Message, queue: Queue) -> int:
        """Put `message` into a named queue; returns as `publish`, or REFUSED."""
        if message.persistent and not self.store.accepting and not self.assured:
            self.counters.refused += 1
            return REFUSED
        self.counters.published += 1
        return queue.offer(message, None)

    def why_refused(self, persistent: bool, where: str = "the queue") -> str:
        """Why a message was REFUSED, in words for its sender, who calls its destination `where`."""
        if persistent and not self.store.accepting:
            return self.store.refusal
        return f"{where} is full"

    def publish_late(self, message: Message) -> bool:
        """Publish what was scheduled: nobody waits for the answer.  False when it is refused, for now."""
        try:
            return self.publish_to(message.destination, message) != REFUSED
        except LimitReached:
            return False

    # -- subscribing

    def bind(self, binding: Binding, maker: Publisher | None = None) -> None:
        """Let the binding's sink have what matches its pattern, as `maker` asks for.  Raises LimitReached."""
        if self.topics.bindings_count >= self.limits.subscriptions_max:
            raise LimitReached("too many subscriptions")
        self.topics.bind(binding, maker)

    def unbind(self, binding: Binding) -> None:
        """Undo `bind`."""
        self.topics.unbind(binding)

    def bind_queue(self, queue: Queue, binding: Binding, maker: Publisher | None = None) -> None:
        """Bind a queue, as `maker` asks for; deleting the queue undoes it.  Raises LimitReached."""
        if maker is not None:
            self.footprint.check(0, binding_bytes(binding))
        self.bind(binding, maker)
        self.add_binding(queue, binding)
        self._note_bindings(queue)

    def unbind_queue(self, queue: Queue, binding: Binding) -> None:
        """Undo `bind_queue`."""
        self.unbind(binding)
        queue.bindings.remove(binding)
        self.footprint.total -= binding_bytes(binding)
        self._note_bindings(queue)

    def add_binding(self, queue: Queue, binding: Binding) -> None:
        """It is bound; what its filter and selector take counts beside what its reader's do, for it outlives that."""
        queue.bindings.append(binding)
        self.footprint.total += binding_bytes(binding)

    def _note_bindings(self, queue: Queue) -> None:
        """Have the store remember what a durable queue is bound to; a named one that is bound by its name need not."""
        if not queue.policy.durable or queue.owner is not None or queue.key.kind == NAMED:
            return
        if queue.number == 0:
            self.kept.keep(queue)
        else:
            queue.noted_at = self.store.append(
                QueueMade(queue.number, queue.key.text, stored_bindings(queue.bindings))
            )

    # -- queues

    def queue(
        self,
        name: str,
        policy: QueuePolicy | None = None,
        owner: object = None,
        maker: Publisher | None = None,
    ) -> Queue:
        """The queue `name`, made on first use; a temporary one by its owner alone.  Raises LimitReached.

        `maker`: for whom it is made, if it is; it counts as one of theirs.
        """
        queue = self.queues.get(NAMED_PREFIX + name)
        if queue is None:
            if owner is None and name.startswith(TEMPORARY_PREFIX):
                raise QueueGone("the temporary queue is gone")
            if not self.assured and not self._made_by.has_room(maker):
                self.counters.over_quota += 1
                raise LimitReached("too many queues of one user or address")
            queue = self.bound_queue(named(name), policy or self.policy_for(name, owner), owner)
            for binding in bindings_of_name(queue):
                try:
                    self.bind_queue(queue, binding)
                except LimitReached:
                    # A queue that seems to be there and gets nothing would be worse than none.
                    self.delete_queue(queue)
                    raise
            self._made_by.made(queue, maker)
            self.watching.made(queue)
            tire(maker)
        return queue

    def has_queue(self, name: str) -> bool:
        """Is there a queue of that name already?"""
        return NAMED_PREFIX + name in self.queues

    def is_gone(self, destination: Destination) -> bool:
        """Is it a temporary queue whose owner has left?  It must not come to life again, for nobody would empty it."""
        return (
            destination.temporary
            and destination.kind == QUEUE
            and NAMED_PREFIX + destination.name not in self.queues
        )

    def watch(self, watcher: QueueWatcher, pattern: Pattern, maker: Publisher | None = None) -> Binding:
        """Tell `watcher` of each named queue of the pattern; the answer is for `Watching.end`.  Raises LimitReached."""
        return self.watching.begin(watcher, pattern, maker)

    def bound_queue(self, key: QueueKey, policy: QueuePolicy, owner: object = None) -> Queue:
        """The queue with this key, made on first use: for subscriptions, which live beside the named queues."""
        queue = self.queues.get(key.text)
        if queue is None:
            if not self.assured:
                self.roll.check(key.text)
            queue = Queue(self, key, policy, owner)
            self.enter(queue)
        return queue

    def enter(self, queue: Queue) -> None:
        """There is this queue from now on."""
        self.queues[queue.key.text] = queue
        self.roll.add(queue)

    def drop_unused(self, queue: Queue) -> None:
        """Forget a named queue that was only ever read from, once nobody does; whoever reads it again makes it again."""
        if is_unused(queue):
            self.delete_queue(queue)

    def delete_queue(self, queue: Queue) -> None:
        """Forget the queue, its bindings and all that waits in it."""
        if queue.deleted:
            return
        for binding in queue.bindings:
            self.unbind(binding)
            self.footprint.total -= binding_bytes(binding)
        queue.bindings.clear()
        queue.close()
        self.queue_expiry.forget(queue)
        self._made_by.gone(queue)
        if queue.number:
            self.kept.forget(queue)
        self.queues.pop(queue.key.text, None)
        self.roll.remove(queue)

    def policy_for(self, name: str, owner: object) -> QueuePolicy:
        """How a named queue behaves."""
        if owner is not None or name.startswith(TEMPORARY_PREFIX):
            # It dies with its owner, so the store need not know of it.
            return self._passing_policy
        for pattern in self.asynchronous:
            if pattern.matches(name):
                return self._relaxed_policy
        return self.policy

    # -- transactions, time, durability

    def transaction(self, publisher: Publisher | None = None) -> Transaction:
        """A new transaction, of `publisher`."""
        return Transaction(self, publisher)

    def tick(self, now_ms: int) -> None:
        """Let time pass where nothing else happens: about once a second."""
        self.now_ms = now_ms
        self.schedule.run(now_ms)
        self.values.look(now_ms)
        self.queue_expiry.look(now_ms)
        self.unused.look()
        self.stalls.look(now_ms)
        self.unstored.tick()
        self.dedup.look(now_ms)

    def wait(self, waiter: Waiter) -> None:
        """Tell `waiter` about each commit until it says that it waits for nothing more."""
        self.waiters.add(waiter)

    def on_durable(self, position: int) -> None:
        """See StoreListener."""
        try:
            if not self.releases.none:
                self.releases.look()
            if self._unanswered:
                self._ask_again()
        finally:
            if self.fan_outs.count:
                self.fan_outs.look()
            # Whatever goes wrong with one queue, the others do not wait for ever.
            if self._gate is not None:
                self._let_publishers_in()
            self.waiters.on_durable(position)

    def _ask_again(self) -> None:
        """Let queues have what was on its way to the disk when they asked for it."""
        unanswered = self._unanswered
        self._unanswered = []
        for queue in unanswered:
            queue.wake()

    def on_refused(self, operation: Operation, why: str) -> None:
        """See StoreListener.  Whoever published it may not take it for safe: the connection ends unconfirmed."""
        self.counters.unstorable += 1
        self.dedup.on_refused(operation)
        message = operation.message if isinstance(operation, (Enqueued, Retained)) else None
        if message is not None and message.publisher is not None and message.publisher.valve is not None:
            message.publisher.valve.cut_off(f"sent what cannot be stored: {why}")

    def on_loaded(self, page: Page, entries: list[Entry]) -> None:
        """See StoreListener."""
        if page.reader is not None:
            page.reader.on_page(page, entries)
            return
        queue = self.kept.get(page.queue)
        if queue is not None:
            queue.on_loaded(page, entries)

    def on_accepting(self, accepting: bool) -> None:
        """See StoreListener."""
        if accepting:
            self.values.catch_up()
            self.waking.wake_all()
        else:
            # A disk that is full may stay so: who waits for it hears that, and what they consume makes room.
            self._let_publishers_in()

    def hold_publisher(self, publisher: Publisher | None) -> None:
        """The store is behind: make a publisher wait for it."""
        if self._gate is None:
            self._gate = Gate(self._let_publishers_in)
        self._gate.hold(publisher)

    def _let_publishers_in(self) -> None:
        """Some of those that wait for the store go on, as long as it keeps up, or has no room at all."""
        gate = self._gate
        if gate is not None and not (self.store.congested and self.store.accepting):
            gate.let_in()
            if not gate.waiting:
                self._gate = None

    def wake_when_durable(self, queue: Queue) -> None:
        """Have the queue look again after the next commit."""
        self._unanswered.append(queue)

    def hold(self) -> HoldPoint:
        """From now on nobody sees what is published, until `release_hold`, and then not before it is safe."""
        assert self.holding is None
        point = self.holding = HoldPoint()
        return point

    def release_hold(self) -> None:
        """All that belongs together is with the store."""
        point = self.holding
        if point is None:
            return
        self.holding = None
        self.whole(point)

    def whole(self, point: HoldPoint) -> None:
        """All that is held by `point` is with the store."""
        store = self.store
        point.position = store.position
        if store.position <= store.durable:
            # Nothing of it had to be stored: no commit will come for it.
            self.releases.look()
            self.fan_outs.look()
            self._let_publishers_in()

    # -- what earlier runs left

    def recover(self, found: Recovered) -> None:
        """Begin with what the store kept.  Sessions and the like are for their connectors to bring back."""
        # Numbers of messages never repeat, and rise over all runs.
        self._next_message = found.epoch << EPOCH_SHIFT
        self.kept.recover(found)
        self.dedup.recover(found.notes.get(DEDUP_SPACE, {}))
        self.schedule.recover(found.notes.get(SCHEDULE_SPACE, {}))
        self.fan_outs.recover(found)
        decoder = self.decoder
        for topic, record in found.retained:
            try:
                self.retained.set(topic, decoder.message(record))
            except BadRecord as error:
                self.aside.keep(RETAINED_SPACE, topic, record, str(error))
                self.store.append(Retained(topic, None))
