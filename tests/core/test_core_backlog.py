"""gateway/core/backlog.py"""

from core_messages import message
from core_queues import broker_with
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.backlog import Backlog
from gateway.core.delivery import Delivery
from gateway.core.limits import QueuePolicy
from gateway.core.message import PRIORITY_DEFAULT, PRIORITY_NONE
from gateway.core.queue import Queue
from gateway.core.queue_key import named

BROKER = broker_with()
QUEUE = Queue(BROKER, named("q"), QueuePolicy())


def delivery(sequence: int, priority: int = PRIORITY_NONE, expires_at_ms: int = 0) -> Delivery:
    return Delivery(QUEUE, message(BROKER, priority=priority, expires_at_ms=expires_at_ms), sequence, None)


def drain(backlog: Backlog) -> list[int]:
    order = []
    while backlog.count:
        first = backlog.first()
        assert backlog.pop() is first
        order.append(first.sequence)
    return order


def test_without_priorities_first_in_first_out() -> None:
    backlog = Backlog()
    for sequence in (1, 2, 3):
        backlog.push(delivery(sequence))
    assert [d.sequence for d in backlog.all()] == [1, 2, 3]
    assert drain(backlog) == [1, 2, 3]


def test_higher_priority_first_then_age() -> None:
    backlog = Backlog()
    for sequence, priority in enumerate([0, 9, 4, 9, 5, 0, PRIORITY_NONE]):
        backlog.push(delivery(sequence, priority))
    assert [d.sequence for d in backlog.all()] == [1, 3, 4, 2, 6, 0, 5]
    assert drain(backlog) == [1, 3, 4, 2, 6, 0, 5]


def test_no_priority_is_the_default_priority() -> None:
    backlog = Backlog()
    backlog.push(delivery(1, PRIORITY_DEFAULT))
    backlog.push(delivery(2, PRIORITY_NONE))
    backlog.push(delivery(3, PRIORITY_DEFAULT))
    backlog.push(delivery(4, PRIORITY_DEFAULT + 1))
    assert drain(backlog) == [4, 1, 2, 3]


def test_the_returned_take_their_old_places_before_the_fresh() -> None:
    backlog = Backlog()
    for sequence in range(1, 6):
        backlog.push(delivery(sequence))
    taken = [backlog.pop() for _ in range(3)]
    backlog.push(delivery(6))
    for back in (taken[2], taken[0], taken[1]):
        backlog.push_back(back)
    assert [d.sequence for d in backlog.all()] == [1, 2, 3, 4, 5, 6]
    assert drain(backlog) == [1, 2, 3, 4, 5, 6]


def test_those_in_the_midst_are_taken_out_of_whichever_lane_they_wait_in() -> None:
    backlog = Backlog()
    made = [delivery(sequence, 9 if sequence > 6 else PRIORITY_NONE) for sequence in range(1, 9)]
    for one in made:
        backlog.push(one)
    for one in (made[6], made[7], made[0], made[3]):
        backlog.remove(one)
    assert backlog.first() is made[1]
    assert backlog.count == 4
    assert drain(backlog) == [2, 3, 5, 6]


def test_one_that_is_there_already_does_not_wait_twice() -> None:
    backlog = Backlog()
    for sequence in (1, 2, 3):
        backlog.push(delivery(sequence))
    again = delivery(2)
    backlog.push_back(again)
    assert backlog.count == 3
    assert backlog.all()[1] is again


def test_abandoned_it_is_empty_and_may_be_used_anew() -> None:
    backlog = Backlog()
    for sequence, priority in enumerate([1, 2, 3]):
        backlog.push(delivery(sequence, priority))
    assert [d.sequence for block in backlog.abandon() for d in block] == [2, 1, 0]
    assert backlog.count == 0
    assert backlog.all() == []
    backlog.push(delivery(9))
    assert drain(backlog) == [9]


@given(st.lists(st.one_of(st.sampled_from(["pop", "back", "remove"]), st.integers(-1, 9))))
@settings(deadline=None)
def test_always_the_oldest_of_the_highest_priority(steps: list[str | int]) -> None:
    backlog = Backlog()
    waiting: list[Delivery] = []
    taken: list[Delivery] = []

    def rank(d: Delivery) -> tuple[int, int]:
        priority = d.message.priority
        return (-(PRIORITY_DEFAULT if priority == PRIORITY_NONE else priority), d.sequence)

    for sequence, step in enumerate(steps):
        if isinstance(step, int):
            waiting.append(delivery(sequence, step))
            backlog.push(waiting[-1])
        elif step == "pop" and waiting:
            waiting.sort(key=rank)
            taken.append(backlog.pop())
            assert taken[-1] is waiting.pop(0)
        elif step == "remove" and waiting:
            taken.append(waiting.pop(len(waiting) // 2))
            backlog.remove(taken[-1])
        elif step == "back" and taken:
            back = taken.pop(len(taken) // 2)
            backlog.push_back(back)
            waiting.append(back)
        assert backlog.count == len(waiting)
    assert backlog.all() == sorted(waiting, key=rank)
