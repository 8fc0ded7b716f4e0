"""A queue that pages almost everything, against a plain model: transactions, selectors, expiry, purges and crashes in
any order, and after each step every message is at one place and counted once (`contents.faults`).
"""

from core_doubles import LogOutlet, needs_outlet
from core_messages import message
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.core.contents import faults
from gateway.core.credit import Credit
from gateway.core.delivery import ACCEPTED, FAILED, RELEASED, Delivery
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.message import Message
from gateway.core.ports import Authorizer
from gateway.core.purging import purge
from gateway.core.router import Broker
from gateway.core.selector_parser import parse_selector
from gateway.core.subscription import Consumer
from gateway.store.memory import MemoryStore

pytestmark = needs_outlet

LARGE = 100_000
"""Bytes of a message: a dozen fill the memory, ten a page."""

HIGH = parse_selector("JMSPriority = 9", 100, 10, False)


class Sent:
    """One message as its sender knows it."""

    def __init__(self, message: Message, position: int, transacted: bool) -> None:
        self.message = message
        self.position = position
        self.transacted = transacted
        self.delivered = False
        self.settled_at: int | None = None


class ModelOutlet(LogOutlet):
    """Tells the model of each delivery."""

    __slots__ = ("machine",)

    def __init__(self, machine: "PlacesMachine") -> None:
        super().__init__()
        self.machine = machine

    def deliver(self, delivery: Delivery) -> None:
        self.machine.delivered(delivery)
        super().deliver(delivery)


class PlacesMachine(RuleBasedStateMachine):
    """`sent` are all messages that may still be in the queue, by id."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore(held=True, pages=True)
        self.sent: dict[int, Sent] = {}
        self.out: dict[int, Delivery] = {}
        self.consumers: list[Consumer] = []
        self.now_ms = 1_000
        self.start()

    def start(self) -> None:
        self.broker = Broker(
            self.store,
            Authorizer(),
            CoreLimits(memory_max=1_000_000),
            QueuePolicy(bytes_max=0, deliveries_max=0),
        )
        self.broker.now_ms = self.now_ms
        self.store.listener = self.broker
        self.broker.recover(self.store.recover())
        self.queue = self.broker.queue("q")
        self.consumers = []
        self.out = {}

    # -- what is seen

    def delivered(self, delivery: Delivery) -> None:
        one = self.sent.get(delivery.message.id)
        assert one is not None, "nobody sent it, or it had left"
        assert one.message.id not in self.out, "two have it"
        assert one.settled_at is None, "it was settled"
        assert not one.message.expired(self.broker.now_ms)
        assert not one.transacted or one.position <= self.store.durable, "a crash could still undo it"
        consumer = delivery.consumer
        assert consumer is not None
        assert consumer.selector is None or one.message.priority == 9
        self.out[one.message.id] = delivery
        one.delivered = True

    # -- steps

    def _message(self, persistent: bool, high: bool, life_ms: int) -> Message:
        return message(
            self.broker,
            persistent=persistent,
            priority=9 if high else 4,
            size=LARGE,
            expires_at_ms=self.now_ms + life_ms if life_ms else 0,
        )

    @rule(
        count=st.integers(1, 12),
        persistent=st.sampled_from([True, True, True, False]),
        high=st.booleans(),
        life_ms=st.sampled_from([0, 0, 0, 300]),
    )
    def offer(self, count: int, persistent: bool, high: bool, life_ms: int) -> None:
        for _ in range(count):
            one = self._message(persistent, high, life_ms)
            self.sent[one.id] = sent = Sent(one, 0, False)
            sent.position = self.queue.offer(one)

    @rule(kinds=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=4), take=st.booleans())
    def transaction(self, kinds: list[tuple[bool, bool]], take: bool) -> None:
        """Messages, and perhaps the outcome of one that was stored: what is not stored waits for what is."""
        transaction = self.broker.transaction()
        unsafe = False
        for persistent, high in kinds:
            one = self._message(persistent, high, 0)
            transaction.publish(one)
            self.sent[one.id] = Sent(one, 1 << 62, True)
            unsafe = unsafe or persistent
        taken = [self.out[number] for number in sorted(self.out)[:1]] if take else []
        for delivery in taken:
            transaction.settle(delivery, ACCEPTED)
            unsafe = unsafe or delivery.stored
            del self.out[delivery.message.id]
        before = list(self.sent)[-len(kinds) :]
        if not unsafe:
            for number in before:
                self.sent[number].position = 0
        position = transaction.commit()
        for number in before:
            self.sent[number].position = position if unsafe else 0
        for delivery in taken:
            self._settled(delivery, position)

    @precondition(lambda self: len(self.consumers) < 3)
    @rule(credit=st.integers(1, 15), selects=st.booleans())
    def attach(self, credit: int, selects: bool) -> None:
        consumer = Consumer(
            self.queue, ModelOutlet(self), Credit(credit), False, None, HIGH if selects else None
        )
        self.consumers.append(consumer)
        self.queue.attach(consumer)

    @precondition(lambda self: self.consumers)
    @rule(data=st.data(), outcome=st.sampled_from([FAILED, RELEASED]))
    def detach(self, data: st.DataObject, outcome: int) -> None:
        consumer = data.draw(st.sampled_from(self.consumers))
        self.consumers.remove(consumer)
        self.queue.detach(consumer)
        for number, delivery in list(self.out.items()):
            if delivery.consumer is consumer:
                del self.out[number]
                delivery.settle(outcome)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), outcome=st.sampled_from([ACCEPTED, ACCEPTED, ACCEPTED, FAILED]))
    def settle(self, data: st.DataObject, outcome: int) -> None:
        for number in data.draw(st.lists(st.sampled_from(sorted(self.out)), unique=True, max_size=8)):
            delivery = self.out.pop(number)
            if outcome == ACCEPTED:
                self._settled(delivery, delivery.settle(outcome))
            else:
                delivery.settle(outcome)

    def _settled(self, delivery: Delivery, position: int) -> None:
        one = self.sent[delivery.message.id]
        one.settled_at = max(position, 0)
        if not delivery.stored:
            del self.sent[delivery.message.id]

    @rule()
    def commit(self) -> None:
        self.store.commit()

    @rule(step_ms=st.sampled_from([100, 400, 2_000]))
    def time_passes(self, step_ms: int) -> None:
        self.now_ms += step_ms
        self.broker.tick(self.now_ms)
        # One that was only ever read from goes with its last reader.
        self.queue = self.broker.queue("q")

    @precondition(lambda self: len(self.sent) > 30)
    @rule()
    def purge(self) -> None:
        purge(self.queue)
        position = self.store.position
        for number, one in list(self.sent.items()):
            if number not in self.out:
                one.settled_at = position
                if not one.message.persistent:
                    del self.sent[number]

    @rule()
    def crash(self) -> None:
        """What was not committed is gone, what was not stored too."""
        durable = self.store.durable
        for number, one in list(self.sent.items()):
            ended = one.settled_at is not None and one.settled_at <= durable
            if ended or not one.message.persistent or one.position > durable:
                del self.sent[number]
        self.store = MemoryStore(self.store.kept, held=True, pages=True)
        self.start()
        kept = self._kept()
        for number, one in list(self.sent.items()):
            # Positions begin anew with each run.
            one.position = 0
            if one.settled_at is not None:
                # Whether its end had been written is not for its sender to know.
                if number in kept:
                    one.settled_at = None
                else:
                    del self.sent[number]

    def _kept(self) -> set[int]:
        decoder = self.broker.decoder
        rows = [self.store.kept.entry(key) for key in self.store.kept.entries]
        return {decoder.message(entry.record).id for entry in rows}

    # -- what must hold

    @invariant()
    def every_message_is_at_one_place(self) -> None:
        assert faults(self.queue) == []

    @invariant()
    def what_is_with_consumers_is_counted(self) -> None:
        assert self.queue.unsettled == len(self.out)

    def teardown(self) -> None:
        for consumer in self.consumers:
            self.queue.detach(consumer)
        for delivery in list(self.out.values()):
            delivery.settle(RELEASED)
        self.out.clear()
        self.store.commit()
        outlet = LogOutlet(ACCEPTED)
        consumer = Consumer(self.queue, outlet, Credit(10), False)
        self.queue.attach(consumer)
        for _ in range(len(self.sent) + 10):
            self.store.commit()
        wanted = [
            number
            for number, one in self.sent.items()
            if one.settled_at is None and not one.message.expired(self.now_ms)
        ]
        assert sorted(outlet.ids) == sorted(wanted), (
            sorted(set(wanted) - set(outlet.ids)),
            sorted(set(outlet.ids) - set(wanted)),
        )
        for priority in (9, 4):
            lane = [one.id for one in outlet.messages if one.priority == priority]
            assert lane == sorted(lane)
        self.now_ms += 10_000
        for _ in range(5):
            self.now_ms += 2_000
            self.broker.tick(self.now_ms)
            self.store.commit()
        assert (self.queue.depth, self.queue.bytes, self.broker.resident_bytes) == (0, 0, 0)
        assert self.store.kept.entries == {}


TestPlaces = PlacesMachine.TestCase
TestPlaces.settings = settings(
    max_examples=settings().max_examples // 2, stateful_step_count=40, deadline=None
)
