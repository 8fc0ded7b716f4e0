"""gateway/core/leaving.py: who comes, takes one and goes does not drive the others to the dead letters."""

import gc

import pytest
from core_doubles import COMPILED, needs_outlet
from core_messages import message
from core_queues import broker_with, consume

from gateway.core.delivery import ACCEPTED, Delivery
from gateway.core.flow import Publisher
from gateway.core.leaving import DISCARDED_AT_ONCE, LEFT_AT_ONCE, fail, give_back
from gateway.core.limits import QueuePolicy
from gateway.core.router import Broker

if not COMPILED:
    from core_doubles import LogOutlet, LogValve

    class LeavingValve(LogValve):
        """Its connection ends by what it is told, and leaves behind what it had; that may fail as well."""

        def __init__(self, left: list[Delivery], fails: bool) -> None:
            super().__init__()
            self._left = left
            self._fails = fails

        def resume(self) -> None:
            give_back(self._left, False)
            if self._fails:
                raise ValueError


pytestmark = needs_outlet


@pytest.mark.parametrize("tried", [False, True], ids=["in good order", "lost"])
def test_clients_that_take_one_and_leave_bury_nothing(tried: bool) -> None:
    broker = broker_with(policy=QueuePolicy(deliveries_max=3, dead_letters="DLQ"))
    queue = broker.queue("q")
    for _ in range(50):
        queue.offer(message(broker))
    for left in range(49, 0, -1):
        outlet = LogOutlet()
        consumer = consume(queue, outlet, 100)
        outlet.open.pop(0).settle(ACCEPTED)
        queue.detach(consumer)
        give_back(outlet.open, tried)
        assert queue.depth == left
        assert [delivery.redelivered for delivery in queue.browse()] == [True] * left
    assert not broker.has_queue("DLQ")


def test_what_ends_each_consumer_ends_in_the_dead_letters_alone() -> None:
    broker = broker_with(policy=QueuePolicy(deliveries_max=3, dead_letters="DLQ"))
    queue = broker.queue("q")
    poison, *others = [message(broker) for _ in range(5)]
    for one in (poison, *others):
        queue.offer(one)
    for _ in range(3):
        outlet = LogOutlet()
        consumer = consume(queue, outlet, 100)
        queue.detach(consumer)
        give_back(outlet.open, True)
    assert [delivery.message.id for delivery in broker.queue("DLQ").browse()] == [poison.id]
    assert [delivery.message.id for delivery in queue.browse()] == [one.id for one in others]
    assert [delivery.failures for delivery in queue.browse()] == [0, 0, 0, 0]


# -- very many


MANY = 5 * LEFT_AT_ONCE


def _stepwise(broker: Broker) -> None:
    """Let chores go on step by step from now on."""
    broker.chores.driven_by(lambda: None)


def test_very_many_go_back_so_many_a_step_and_others_get_them_in_their_order() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    leaving, heir = LogOutlet(), LogOutlet()
    consumer = consume(queue, leaving, MANY)
    for _ in range(MANY + 10):
        queue.offer(message(broker))
    queue.detach(consumer)
    _stepwise(broker)
    give_back(leaving.open, True)
    consume(queue, heir, 1_000)
    late = message(broker)
    queue.offer(late)
    for left in range(MANY - LEFT_AT_ONCE, 0, -LEFT_AT_ONCE):
        broker.chores.step()
        # Nothing newer before all are back.
        assert heir.ids == []
        assert queue.unsettled == left
    broker.chores.finish()
    assert heir.ids == sorted(heir.ids)
    assert heir.ids[-1] == late.id
    assert len(heir.ids) == MANY + 11
    assert [delivery.redelivered for delivery in heir.taken] == [True] * MANY + [False] * 11
    assert [delivery.failures for delivery in heir.taken] == [1] + [0] * (MANY + 10)


def test_two_that_leave_one_queue_are_seen_to_one_after_the_other() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    outlets = [LogOutlet(), LogOutlet()]
    consumers = [consume(queue, outlet, MANY) for outlet in outlets]
    for _ in range(2 * MANY):
        queue.offer(message(broker))
    for consumer in consumers:
        queue.detach(consumer)
    _stepwise(broker)
    for outlet in outlets:
        give_back(outlet.open, False)
    heir = LogOutlet()
    consume(queue, heir, 1_000)
    for _ in range(2 * MANY // LEFT_AT_ONCE):
        assert heir.ids == []
        broker.chores.step()
    broker.chores.finish()
    assert heir.ids == sorted(outlets[0].ids + outlets[1].ids)


def test_a_queue_that_is_deleted_meanwhile_takes_back_nothing() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    outlet = LogOutlet()
    consumer = consume(queue, outlet, MANY)
    for _ in range(MANY):
        queue.offer(message(broker))
    queue.detach(consumer)
    _stepwise(broker)
    give_back(outlet.open, True)
    broker.chores.step()
    broker.delete_queue(queue)
    broker.chores.finish()
    assert (queue.depth, broker.resident_bytes) == (0, 0)


def test_what_a_deleted_queue_held_is_let_go_of_some_at_a_time() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    for _ in range(3 * DISCARDED_AT_ONCE):
        queue.offer(message(broker))
    _stepwise(broker)
    broker.delete_queue(queue)
    assert (queue.depth, broker.resident_bytes) == (0, 0)
    alive = []
    while broker.chores:
        broker.chores.step()
        alive.append(len([1 for one in gc.get_objects() if isinstance(one, Delivery) and one.queue is queue]))
    # The first of them at once; the last step finds that there are no more.
    assert alive == [DISCARDED_AT_ONCE, 0, 0]


@pytest.mark.parametrize("leaves", [0, MANY], ids=["nothing", "very many"])
@pytest.mark.parametrize("fails", [False, True], ids=["", "and fails"])
def test_who_leaves_something_behind_when_it_is_told_that_all_is_done_is_next_in_line(
    leaves: int, fails: bool
) -> None:
    broker = broker_with()
    queue = broker.queue("q")
    outlet = LogOutlet()
    consumer = consume(queue, outlet, MANY + leaves)
    for _ in range(MANY + leaves):
        queue.offer(message(broker))
    queue.detach(consumer)
    _stepwise(broker)
    fail(outlet.open[:MANY], Publisher("p", LeavingValve(outlet.open[MANY:], fails)))
    failures = 0
    while broker.chores:
        assert len(broker.chores) == 1
        try:
            broker.chores.step()
        except ValueError:
            failures += 1
    assert failures == fails
    assert (queue.waiting, queue.unsettled) == (MANY + leaves, 0)
    heir = LogOutlet()
    consume(queue, heir, 1)
    assert heir.ids == outlet.ids[:1]
