"""gateway/core/leaving.py: who comes, takes one and goes does not drive the others to the dead letters."""

import pytest
from core_doubles import COMPILED, broker_with, consume, message, needs_outlet

from gateway.core.delivery import ACCEPTED
from gateway.core.leaving import give_back
from gateway.core.limits import QueuePolicy

if not COMPILED:
    from core_doubles import LogOutlet

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
