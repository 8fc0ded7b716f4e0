"""gateway/core/unused.py"""

from core_messages import message
from core_queues import broker_with, consume

from gateway.core.queue import Queue
from gateway.core.router import Broker
from gateway.core.subscription import Outlet
from gateway.core.unused import LEFT_AT_ONCE


def read_and_left(broker: Broker, name: str) -> Queue:
    queue = broker.queue(name)
    queue.detach(consume(queue, Outlet(), 0))
    return queue


def test_a_queue_that_nothing_was_in_goes_with_its_last_reader_and_others_stay() -> None:
    broker = broker_with()
    broker.queue("made")
    broker.queue("used").offer(message(broker))
    read_and_left(broker, "used")
    read_and_left(broker, "read")
    consume(read_and_left(broker, "read again"), Outlet(), 0)
    read_and_left(broker, "sent to since").offer(message(broker))
    assert broker.has_queue("read")
    broker.tick(1_000)
    assert sorted(broker.queues) == ["queue:made", "queue:read again", "queue:sent to since", "queue:used"]


def test_many_go_in_later_turns_and_a_tick_costs_nothing_for_the_others() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    for number in range(3 * LEFT_AT_ONCE):
        read_and_left(broker, str(number))
        broker.queue(f"other {number}")
    broker.tick(1_000)
    assert len(broker.queues) == 6 * LEFT_AT_ONCE
    broker.chores.step()
    assert len(broker.queues) == 5 * LEFT_AT_ONCE
    broker.tick(2_000)
    assert len(broker.chores) == 1
    broker.chores.finish()
    assert len(broker.queues) == 3 * LEFT_AT_ONCE
    assert len(broker.unused) == 0
