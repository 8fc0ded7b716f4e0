"""gateway/core/queue.py when it is full: each policy, and the producers that it holds."""

import pytest
from core_doubles import COMPILED, needs_outlet
from core_messages import message
from core_queues import broker_with, consume, dead, fill, queue_with, waiting_ids

from gateway.core.delivery import ACCEPTED
from gateway.core.flow import Publisher
from gateway.core.limits import BLOCK, DROP_NEWEST, DROP_OLDEST, REJECT, QueuePolicy
from gateway.core.ports import NOTHING
from gateway.core.purging import purge
from gateway.core.room import REFUSED

if not COMPILED:
    from core_doubles import LogOutlet, LogValve


def test_reject_tells_the_producer() -> None:
    queue = queue_with(QueuePolicy(messages_max=2, when_full=REJECT))
    fill(queue, 2)
    assert queue.offer(message(queue.broker)) == REFUSED
    assert queue.depth == 2
    assert queue.broker.counters.dropped_full == 1


def test_drop_newest_keeps_the_old_ones() -> None:
    queue = queue_with(QueuePolicy(messages_max=2, when_full=DROP_NEWEST))
    ids = fill(queue, 2)
    assert queue.offer(message(queue.broker)) == NOTHING
    assert waiting_ids(queue) == ids
    assert queue.broker.counters.dropped_full == 1


def test_drop_oldest_makes_room() -> None:
    queue = queue_with(QueuePolicy(messages_max=2, when_full=DROP_OLDEST, dead_letters="DLQ"))
    ids = fill(queue, 4)
    assert waiting_ids(queue) == ids[2:]
    assert queue.broker.counters.dropped_full == 2
    assert [d.message.deaths[0].reason for d in dead(queue.broker) if d.message.deaths] == ["maxlen"] * 2


def test_drop_oldest_makes_room_for_a_large_message_among_small_ones() -> None:
    queue = queue_with(QueuePolicy(bytes_max=100, when_full=DROP_OLDEST))
    for _ in range(100):
        queue.offer(message(queue.broker, size=1))
    for _ in range(50):
        queue.offer(message(queue.broker, size=90))
        # What is in it may exceed the limit by the message that came last.
        assert queue.bytes <= 190


@needs_outlet
def test_drop_oldest_leaves_the_unsettled_alone() -> None:
    queue = queue_with(QueuePolicy(messages_max=2, when_full=DROP_OLDEST))
    outlet = LogOutlet()
    consume(queue, outlet, 2)
    fill(queue, 2)
    assert queue.offer(message(queue.broker)) == NOTHING
    assert (queue.unsettled, queue.waiting) == (2, 0)
    assert queue.broker.counters.dropped_full == 1


@needs_outlet
@pytest.mark.parametrize("policy", [QueuePolicy(messages_max=8), QueuePolicy(bytes_max=8)])
def test_block_shuts_the_producers_valve_until_a_quarter_is_free(policy: QueuePolicy) -> None:
    assert policy.when_full == BLOCK
    queue = queue_with(policy)
    valve = LogValve()
    publisher = Publisher("p", valve)
    for _ in range(8):
        queue.offer(message(queue.broker, publisher=publisher))
    assert valve.turns == []
    for _ in range(3):
        # What had been read already is taken nevertheless.
        queue.offer(message(queue.broker, publisher=publisher))
    assert valve.turns == [True]
    assert publisher.held
    assert queue.depth == 11
    outlet = LogOutlet()
    consume(queue, outlet, 100)
    while queue.depth > 6:
        assert valve.turns == [True]
        outlet.open.pop(0).settle(ACCEPTED)
    assert valve.turns == [True, False]
    assert not publisher.held


@needs_outlet
def test_block_holds_each_producer_once_and_releases_all() -> None:
    queue = queue_with(QueuePolicy(messages_max=1))
    valves = [LogValve() for _ in range(3)]
    publishers = [Publisher(str(number), valve) for number, valve in enumerate(valves)]
    for publisher in publishers * 2:
        queue.offer(message(queue.broker, publisher=publisher))
    assert [valve.turns for valve in valves] == [[True]] * 3
    purge(queue)
    assert [valve.turns for valve in valves] == [[True, False]] * 3


@needs_outlet
def test_a_producer_held_by_two_queues_waits_for_both() -> None:
    broker = broker_with(policy=QueuePolicy(messages_max=1))
    valve = LogValve()
    publisher = Publisher("p", valve)
    queues = [broker.queue("a"), broker.queue("b")]
    for queue in queues * 2:
        queue.offer(message(broker, publisher=publisher))
    assert valve.turns == [True]
    purge(queues[0])
    assert valve.turns == [True]
    purge(queues[1])
    assert valve.turns == [True, False]


@needs_outlet
def test_deleting_a_full_queue_lets_its_producers_go() -> None:
    queue = queue_with(QueuePolicy(messages_max=1))
    valve = LogValve()
    for _ in range(2):
        queue.offer(message(queue.broker, publisher=Publisher("p", valve)))
    queue.broker.delete_queue(queue)
    assert valve.turns == [True, False]


def test_a_producer_whose_connection_is_gone_is_not_held() -> None:
    queue = queue_with(QueuePolicy(messages_max=1))
    publisher = Publisher("p", None)
    for _ in range(2):
        queue.offer(message(queue.broker, publisher=publisher))
    assert not publisher.held
    assert queue.depth == 2
