"""gateway/core/expiry.py"""

import pytest
from core_messages import message
from core_queues import broker_with, store_of

from gateway.core.burying import LOOKED_AT_ONCE
from gateway.core.expiry import QUEUES_AT_ONCE
from gateway.core.timetable import VAIN_MIN


def test_a_tick_looks_only_into_queues_of_which_something_is_due() -> None:
    broker = broker_with()
    queues = [broker.queue(str(number)) for number in range(100)]
    for queue in queues:
        queue.offer(message(broker))
    assert len(broker.queue_expiry) == 0
    queues[7].offer(message(broker, expires_at_ms=500))
    queues[8].offer(message(broker, expires_at_ms=5_000))
    assert len(broker.queue_expiry) == 2
    broker.tick(1_000)
    assert broker.counters.expired == 1
    assert len(broker.queue_expiry) == 1
    broker.tick(5_000)
    assert (broker.counters.expired, len(broker.queue_expiry)) == (2, 0)
    assert {queue.waiting for queue in queues} == {1}


def test_a_message_with_less_time_than_the_others_expires_first() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    for expires_at_ms in (900, 300, 600):
        queue.offer(message(broker, expires_at_ms=expires_at_ms))
    left = []
    for now_ms in (299, 300, 600, 900):
        broker.tick(now_ms)
        left.append(queue.waiting)
    assert left == [3, 2, 1, 0]


def test_queues_that_are_due_are_looked_into_a_few_in_each_turn() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    count = 3 * QUEUES_AT_ONCE
    for number in range(count):
        broker.queue(str(number)).offer(message(broker, expires_at_ms=500))
    broker.tick(1_000)
    assert broker.counters.expired == 0
    broker.chores.step()
    assert broker.counters.expired == QUEUES_AT_ONCE
    broker.tick(2_000)
    assert len(broker.chores) == 1
    broker.chores.finish()
    assert broker.counters.expired == count


def test_what_is_known_of_due_queues_is_bounded_by_their_number() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    for number in range(1_000):
        queue.offer(message(broker, expires_at_ms=1_000_000 - number))
    for number in range(1_000):
        one = broker.queue(str(number))
        one.offer(message(broker, expires_at_ms=10_000_000))
        broker.delete_queue(one)
    assert len(broker.queue_expiry) <= 2 * (VAIN_MIN + 2)


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_where_a_step_fails_what_is_left_goes_with_the_next_tick(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    queue = broker.queue("q")
    for _ in range(5 * LOOKED_AT_ONCE):
        queue.offer(message(broker, persistent=True, expires_at_ms=500))
    broker.tick(1_000)
    for _ in range(steps):
        broker.chores.step()
    with monkeypatch.context() as broken:
        broken.setattr(store_of(broker), "append", None)
        with pytest.raises(TypeError):
            broker.chores.finish()
    broker.chores.finish()
    broker.tick(2_000)
    broker.chores.finish()
    assert queue.waiting == 0
