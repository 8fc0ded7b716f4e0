"""gateway/core/watching.py"""

import pytest
from core_doubles import COMPILED, needs_outlet
from core_messages import pattern
from core_queues import broker_with

from gateway.core.flow import Publisher
from gateway.core.limits import CoreLimits, LimitReached
from gateway.core.queue import Queue
from gateway.core.queue_key import DURABLE, QueueKey
from gateway.core.roll import Round
from gateway.core.watching import QUEUES_AT_ONCE, QueueWatcher

if not COMPILED:

    class LogWatcher(QueueWatcher):
        """Remembers the queues that it was told of."""

        __slots__ = ("told",)

        def __init__(self) -> None:
            self.told: list[str] = []

        def queue_made(self, queue: Queue) -> None:
            self.told.append(queue.destination.name)


@needs_outlet
def test_a_watcher_is_told_of_queues_that_are_there_and_that_are_made() -> None:
    broker = broker_with()
    for name in ("a.1", "b.1"):
        broker.queue(name)
    broker.bound_queue(QueueKey(DURABLE, "a.c", "n"), broker.policy)
    watcher = LogWatcher()
    watch = broker.watch(watcher, pattern("a.*"))
    for name in ("a.2", "b.2", "a.2.x"):
        broker.queue(name)
    assert watcher.told == ["a.1", "a.2"]
    broker.watching.end(watch)
    broker.queue("a.3")
    assert watcher.told == ["a.1", "a.2"]


@needs_outlet
def test_making_a_queue_asks_only_those_who_watch_it() -> None:
    broker = broker_with()
    watchers = [LogWatcher() for _ in range(50)]
    for number, watcher in enumerate(watchers):
        broker.watch(watcher, pattern(f"a.{number}.>"))
    broker.queue("a.7.x")
    assert [watcher.told for watcher in watchers if watcher.told] == [["a.7.x"]]
    assert watchers[7].told == ["a.7.x"]


@needs_outlet
def test_many_queues_are_told_of_in_later_turns() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    queues = [broker.queue(f"q.{number}") for number in range(3 * QUEUES_AT_ONCE)]
    watcher = LogWatcher()
    broker.watch(watcher, pattern(">"))
    assert watcher.told == []
    broker.chores.step()
    assert len(watcher.told) == QUEUES_AT_ONCE
    # What happens meanwhile is noticed: each queue that is there in the end is told of.
    broker.delete_queue(queues[0])
    broker.delete_queue(queues[QUEUES_AT_ONCE])
    broker.queue("new")
    before = 0
    while broker.chores:
        before = len(watcher.told)
        broker.chores.step()
        assert len(watcher.told) - before <= QUEUES_AT_ONCE
    there = [queue.destination.name for queue in queues if not queue.deleted]
    assert set(watcher.told) == {*there, "new"}


@needs_outlet
def test_each_queue_comes_up_in_a_round_whatever_is_deleted_meanwhile() -> None:
    for at in range(20):
        broker = broker_with()
        queues = [broker.queue(f"q.{number}") for number in range(20)]
        way = Round(broker.roll)
        seen = [way.next() for _ in range(at)]
        for queue in queues[:: at + 1]:
            broker.delete_queue(queue)
        while (queue := way.next()) is not None:
            seen.append(queue)
        assert {queue for queue in queues if not queue.deleted} <= set(seen)
        assert not [queue for queue in seen[at:] if queue is None or queue.deleted]


@needs_outlet
def test_a_thousand_watchers_of_many_queues_tell_nothing_in_the_turn_in_which_they_begin() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    for number in range(QUEUES_AT_ONCE + 1):
        broker.queue(f"q.{number}")
    watchers = [LogWatcher() for _ in range(1_000)]
    for watcher in watchers:
        broker.watch(watcher, pattern(">"))
    assert not [watcher for watcher in watchers if watcher.told]
    broker.chores.step()
    assert sum(len(watcher.told) for watcher in watchers) == QUEUES_AT_ONCE


def test_no_more_queues_are_followed_than_the_limit_says() -> None:
    watching = broker_with(CoreLimits(followed_queues_max=2)).watching
    reader = Publisher("r", None)
    watching.follow(reader)
    watching.follow(reader)
    with pytest.raises(LimitReached):
        watching.follow(reader)
    watching.leave(reader, 1)
    watching.follow(reader)
    assert watching.followed == 2


def test_one_user_and_one_address_have_a_share_of_them() -> None:
    watching = broker_with(
        CoreLimits(followed_queues_per_user_max=2, followed_queues_per_address_max=3)
    ).watching
    ann, bob, other = (Publisher(name, None) for name in ("ann", "bob", "other"))
    ann.user, ann.address = "ann", "10.0.0.1"
    bob.user, bob.address = "bob", "10.0.0.1"
    other.user, other.address = "bob", "10.0.0.2"
    for reader in (ann, ann, bob):
        watching.follow(reader)
    for reader in (ann, bob):
        with pytest.raises(LimitReached, match="one user or address"):
            watching.follow(reader)
    watching.follow(other)
    watching.leave(ann, 2)
    watching.follow(ann)
    assert watching.followed == 3


@needs_outlet
def test_who_stops_watching_is_told_no_more() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    for number in range(2 * QUEUES_AT_ONCE):
        broker.queue(f"q.{number}")
    watcher = LogWatcher()
    watch = broker.watch(watcher, pattern(">"))
    broker.chores.step()
    broker.watching.end(watch)
    assert not broker.chores.step()
    assert len(watcher.told) == QUEUES_AT_ONCE
