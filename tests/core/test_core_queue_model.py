"""The queue against a plain model: nothing is lost, nothing is delivered twice at once, order is kept."""

import pytest
from core_doubles import COMPILED
from core_messages import message
from core_queues import broker_with
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from gateway.core.credit import Credit
from gateway.core.delivery import ACCEPTED, EXPIRED, FAILED, REJECTED, RELEASED, Delivery
from gateway.core.limits import QueuePolicy
from gateway.core.message import PRIORITY_DEFAULT
from gateway.core.queue_key import DURABLE, QueueKey
from gateway.core.subscription import Consumer

if COMPILED:
    pytest.skip("needs an interpreted Outlet, which the compiled core does not take", allow_module_level=True)

from core_doubles import LogOutlet

from gateway.core.purging import purge

FAILURES_MAX = 3


class CheckedOutlet(LogOutlet):
    """Checks each delivery against the model as it comes."""

    __slots__ = ("machine",)

    def __init__(self, machine: "QueueMachine") -> None:
        super().__init__()
        self.machine = machine

    def deliver(self, delivery: Delivery) -> None:
        self.machine.delivered(delivery)


class QueueMachine(RuleBasedStateMachine):
    """`waiting`, `held` and `gone` partition the ids of all messages that were offered."""

    consumers = Bundle("consumers")

    @initialize()
    def start(self) -> None:
        self.broker = broker_with(policy=QueuePolicy(deliveries_max=FAILURES_MAX, dead_letters="DLQ"))
        self.queue = self.broker.bound_queue(QueueKey(DURABLE, "model", "q"), self.broker.policy)
        self.shared = Credit(0)
        self.sharing = CheckedOutlet(self)
        self.priorities: dict[int, int] = {}
        self.expiries: dict[int, int] = {}
        self.waiting: set[int] = set()
        self.held: dict[int, Delivery] = {}
        self.gone: set[int] = set()
        self.dead: list[int] = []
        self.failures: dict[int, int] = {}
        self.attached: list[Consumer] = []
        self.window: dict[int, int] = {}
        self.deliveries = 0

    def delivered(self, delivery: Delivery) -> None:
        """The queue hands one over."""
        number = delivery.message.id
        consumer = delivery.consumer
        assert consumer is not None
        assert consumer in self.attached
        assert not consumer.outlet.congested
        assert number in self.waiting
        assert number not in self.held
        self._expire_before(number)
        # The oldest of the highest priority.
        assert number == min(self.waiting, key=self._rank)
        assert delivery.failures == self.failures[number]
        self.waiting.remove(number)
        self.deliveries += 1
        if consumer.automatic:
            self.gone.add(number)
        else:
            self.held[number] = delivery
            self.window[id(consumer.credit)] -= 1

    def _rank(self, number: int) -> tuple[int, int]:
        return (-self.priorities[number], number)

    def _expire_before(self, number: int) -> None:
        """The queue looks at expiry when a message's turn comes: those before `number` may have gone meanwhile."""
        for other in sorted(self.waiting, key=self._rank):
            if other == number:
                return
            if 0 < self.expiries[other] <= self.broker.now_ms:
                self._die(other)

    def _die(self, number: int) -> None:
        self.waiting.discard(number)
        self.gone.add(number)
        self.dead.append(number)

    @rule(
        priority=st.sampled_from([PRIORITY_DEFAULT] * 3 + [1, 9]), life_ms=st.sampled_from([0, 0, 0, 50, 200])
    )
    def offer(self, priority: int, life_ms: int) -> None:
        expires_at_ms = self.broker.now_ms + life_ms if life_ms else 0
        one = message(self.broker, priority=priority, expires_at_ms=expires_at_ms, persistent=True)
        self.priorities[one.id] = priority
        self.expiries[one.id] = expires_at_ms
        self.failures[one.id] = 0
        self.waiting.add(one.id)
        assert self.queue.offer(one) > 0

    @rule(target=consumers, credit=st.integers(0, 3), automatic=st.booleans(), share=st.booleans())
    def attach(self, credit: int, automatic: bool, share: bool) -> Consumer:
        window = self.shared if share else Credit(credit)
        self.window.setdefault(id(window), window.available)
        # A window is shared by consumers of one outlet.
        outlet = self.sharing if share else CheckedOutlet(self)
        consumer = Consumer(self.queue, outlet, window, automatic)
        self.attached.append(consumer)
        self.queue.attach(consumer)
        return consumer

    @rule(consumer=consumes(consumers))
    def detach(self, consumer: Consumer) -> None:
        self.attached.remove(consumer)
        self.queue.detach(consumer)

    @rule(consumer=consumers, count=st.integers(1, 3))
    def give(self, consumer: Consumer, count: int) -> None:
        self.window[id(consumer.credit)] += count
        consumer.credit.give(count)

    @rule(consumer=consumers, congested=st.booleans())
    def congest(self, consumer: Consumer, congested: bool) -> None:
        consumer.outlet.congested = congested
        if not congested:
            consumer.credit.wake()

    @rule(data=st.data(), outcome=st.sampled_from([ACCEPTED, ACCEPTED, RELEASED, FAILED, REJECTED, EXPIRED]))
    def settle(self, data: st.DataObject, outcome: int) -> None:
        if not self.held:
            return
        number = data.draw(st.sampled_from(sorted(self.held)))
        delivery = self.held.pop(number)
        assert delivery.consumer is not None
        self.window[id(delivery.consumer.credit)] += 1
        if outcome == FAILED:
            self.failures[number] += 1
        if outcome == ACCEPTED:
            self.gone.add(number)
        elif outcome in (REJECTED, EXPIRED) or self.failures[number] >= FAILURES_MAX:
            self._die(number)
        else:
            self.waiting.add(number)
        delivery.settle(outcome)

    @rule(step_ms=st.integers(1, 100))
    def time_passes(self, step_ms: int) -> None:
        now_ms = self.broker.now_ms + step_ms
        for number in sorted(self.waiting):
            if 0 < self.expiries[number] <= now_ms:
                self._die(number)
        self.broker.tick(now_ms)

    @rule()
    def purge(self) -> None:
        if len(self.waiting) < 4:
            return
        assert purge(self.queue).count == len(self.waiting)
        self.gone |= self.waiting
        self.waiting.clear()

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        seen = {delivery.message.id for delivery in self.queue.browse()}
        # A message whose time ran out may have gone while its turn had come, with nobody told.
        for number in self.waiting - seen:
            assert 0 < self.expiries[number] <= self.broker.now_ms
            self._die(number)
        assert seen == self.waiting
        assert self.queue.unsettled == len(self.held)
        assert self.queue.depth == len(self.waiting) + len(self.held)
        assert self.queue.bytes == self.queue.depth
        assert self.waiting | set(self.held) | self.gone == set(self.priorities)
        # A dead letter is seen once its move is safe: until then it is held.
        letters = self.broker.queue("DLQ").contents
        held = [] if letters.held is None else letters.held.all()
        assert sorted([letter.message.id for letter in letters.backlog.all() + held]) == sorted(self.dead)

    @invariant()
    def they_leave_in_order(self) -> None:
        assert [delivery.message.id for delivery in self.queue.browse()] == sorted(
            self.waiting, key=self._rank
        )

    @invariant()
    def credit_is_exact_and_never_negative(self) -> None:
        for consumer in self.attached:
            assert consumer.credit.available == self.window[id(consumer.credit)]
            assert consumer.credit.available >= 0

    @invariant()
    def nobody_waits_who_could_be_served(self) -> None:
        # Not `self.waiting`: that may still have what expired when its turn came.
        if self.queue.waiting:
            assert not [consumer for consumer in self.attached if consumer.ready]


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
