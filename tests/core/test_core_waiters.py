"""Confirmations leave in slices: one commit may release more than the loop can write at once."""

import pytest

from gateway.core.chores import Chores
from gateway.core.waiters import DONE, GOES_ON, SLICE, WAITS, Waiter, Waiters


class Owing(Waiter):
    """Has `count` confirmations for one position, and writes up to 100 at a time."""

    def __init__(self, waiters: Waiters, count: int, position: int = 1) -> None:
        self.waiters = waiters
        self.count = count
        self.position = position

    def on_durable(self, position: int) -> int:
        if position < self.position:
            return WAITS
        written = min(self.count, 100)
        self.count -= written
        self.waiters.confirmed += written
        return GOES_ON if self.count else DONE


class Failing(Waiter):
    def on_durable(self, position: int) -> int:
        raise ValueError


def driven() -> tuple[Chores, Waiters]:
    """Waiters whose chore goes on when it is told to."""
    chores = Chores()
    chores.driven_by(lambda: None)
    return chores, Waiters(chores)


def test_one_commit_releases_a_slice_at_once_and_the_rest_in_later_turns() -> None:
    chores, waiters = driven()
    owing = Owing(waiters, 10 * SLICE)
    waiters.add(owing)
    waiters.on_durable(1)
    turns = 1
    while chores.step():
        turns += 1
        assert waiters.confirmed <= turns * (SLICE + 100)
    assert owing.count == 0
    assert turns >= 10
    assert not waiters


def test_connections_take_turns() -> None:
    chores, waiters = driven()
    one, other = Owing(waiters, 10 * SLICE), Owing(waiters, 50)
    waiters.add(one)
    waiters.add(other)
    waiters.on_durable(1)
    assert other.count == 0
    assert one.count > 0
    chores.finish()


def test_a_later_commit_is_heard_of_while_an_earlier_one_is_being_told() -> None:
    chores, waiters = driven()
    waiters.add(Owing(waiters, 5 * SLICE))
    late = Owing(waiters, 1, position=2)
    waiters.add(late)
    waiters.on_durable(1)
    assert late.count == 1
    waiters.on_durable(2)
    chores.finish()
    assert late.count == 0
    assert not waiters


def test_many_connections_with_one_confirmation_each_are_told_in_slices_too() -> None:
    chores, waiters = driven()
    several = [Owing(waiters, 1) for _ in range(SLICE)]
    for owing in several:
        waiters.add(owing)
    waiters.on_durable(1)
    assert 0 < sum(owing.count for owing in several) < SLICE
    chores.finish()
    assert not any(owing.count for owing in several)


def test_those_that_fail_keep_nobody_from_hearing_though_no_other_commit_comes() -> None:
    chores, waiters = driven()
    owing = Owing(waiters, 1)
    waiters.add(Failing())
    waiters.add(Failing())
    waiters.add(owing)
    with pytest.raises(ValueError):
        waiters.on_durable(1)
    with pytest.raises(ValueError):
        chores.step()
    chores.finish()
    assert owing.count == 0
    assert not waiters
    assert not chores
