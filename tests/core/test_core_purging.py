"""gateway/core/purging.py"""

from itertools import pairwise

import pytest
from core_doubles import COMPILED, needs_outlet
from core_messages import message
from core_queues import broker_with, consume, store_of, waiting_ids

from gateway.core.contents import faults
from gateway.core.delivery import ACCEPTED, RELEASED
from gateway.core.limits import DROP_OLDEST, CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer
from gateway.core.purging import PURGED_AT_ONCE, Purging, purge
from gateway.core.queue import Queue
from gateway.core.router import Broker
from gateway.store.memory import MemoryStore

if not COMPILED:
    from core_doubles import LogOutlet

COUNT = 5 * PURGED_AT_ONCE


def filled(**fields: object) -> tuple[Broker, Queue]:
    """A queue in which many wait, and a broker whose chores go on step by step."""
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    queue = broker.queue("q")
    for _ in range(COUNT):
        queue.offer(message(broker, **fields))  # type: ignore[arg-type]
    return broker, queue


def test_a_step_lets_so_many_go_and_who_asked_is_told_at_the_end() -> None:
    broker, queue = filled(persistent=True)
    told: list[Purging] = []
    purging = purge(queue, told.append)
    left = [COUNT, queue.waiting]
    while broker.chores:
        assert not told
        broker.chores.step()
        left.append(queue.waiting)
    assert max([before - after for before, after in pairwise(left)]) == PURGED_AT_ONCE
    assert told == [purging]
    assert purging.count == COUNT
    assert purging.position == store_of(broker).position
    assert (broker.resident_bytes, queue.bytes) == (0, 0)


@needs_outlet
def test_nobody_gets_any_of_it_meanwhile_and_what_came_behind_it_afterwards() -> None:
    broker, queue = filled()
    purge(queue)
    outlet = LogOutlet(ACCEPTED)
    consume(queue, outlet, 1)
    later = message(broker, priority=9)
    queue.offer(later)
    broker.chores.step()
    assert outlet.ids == []
    broker.chores.finish()
    assert outlet.ids == [later.id]
    assert queue.depth == 0


@needs_outlet
def test_what_a_consumer_has_is_not_touched_and_what_it_gives_back_meanwhile_waits_again() -> None:
    broker, queue = filled()
    outlet = LogOutlet()
    consume(queue, outlet, 2)
    purging = purge(queue)
    broker.chores.step()
    broker.chores.step()
    kept, back = outlet.open
    back.settle(RELEASED)
    broker.chores.finish()
    assert purging.count in (COUNT - 2, COUNT - 1)
    assert queue.unsettled + queue.waiting + purging.count == COUNT
    kept.settle(ACCEPTED)
    assert faults(queue) == []


def test_a_queue_that_is_deleted_meanwhile_is_gone_and_who_asked_is_told() -> None:
    broker, queue = filled(persistent=True)
    told: list[Purging] = []
    purge(queue, told.append)
    broker.chores.step()
    broker.delete_queue(queue)
    again = broker.queue("q")
    again.offer(message(broker))
    broker.chores.finish()
    assert [purging.count for purging in told] == [2 * PURGED_AT_ONCE]
    assert again.waiting == 1
    assert broker.resident_bytes > 0


def test_two_that_purge_at_once_let_each_message_go_once() -> None:
    broker, queue = filled()
    both = [purge(queue), purge(queue)]
    kept = message(broker)
    queue.offer(kept)
    broker.chores.finish()
    assert sum(purging.count for purging in both) == COUNT
    assert waiting_ids(queue) == [kept.id]


def test_what_waits_behind_a_transaction_goes_too_some_a_step() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    transaction = broker.transaction()
    for _ in range(COUNT):
        transaction.publish(message(broker, persistent=True))
    transaction.commit()
    queue = broker.queue("q")
    assert queue.contents.held is not None
    purging = purge(queue)
    assert queue.waiting >= COUNT - PURGED_AT_ONCE
    behind = message(broker, persistent=True)
    queue.offer(behind)
    broker.chores.finish()
    assert purging.count == COUNT
    store_of(broker).release(broker)
    broker.chores.finish()
    assert waiting_ids(queue) == [behind.id]
    assert faults(queue) == []


@pytest.mark.parametrize("behind", [0, 3])
def test_what_only_the_store_has_is_not_fetched_for_that(behind: int) -> None:
    store = MemoryStore(held=True)
    store.pages = True
    broker = Broker(store, Authorizer(), CoreLimits(memory_max=1), QueuePolicy())
    store.listener = broker
    broker.chores.driven_by(lambda: None)
    queue = broker.queue("q")
    for _ in range(1_000):
        queue.offer(message(broker, persistent=True))
    assert queue.paged > 0
    store.commit()
    purging = purge(queue)
    for _ in range(behind):
        queue.offer(message(broker, persistent=True))
    broker.chores.finish()
    assert purging.count == 1_000
    assert queue.waiting == behind
    store.commit()
    assert len(store.kept.entries) == behind
    assert purging.position <= store.durable
    assert faults(queue) == []


@pytest.mark.parametrize("waits", [0, COUNT], ids=["held alone", "some wait before it"])
def test_what_becomes_safe_meanwhile_goes_too(waits: int) -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    queue = broker.queue("q")
    for _ in range(waits):
        queue.offer(message(broker, priority=1))
    transaction = broker.transaction()
    for _ in range(COUNT):
        transaction.publish(message(broker, persistent=True, priority=5))
    transaction.commit()
    purging = purge(queue)
    behind = message(broker, persistent=True)
    queue.offer(behind)
    broker.chores.step()
    store_of(broker).release(broker)
    broker.chores.finish()
    assert purging.count == waits + COUNT
    assert waiting_ids(queue) == [behind.id]
    assert faults(queue) == []


@needs_outlet
def test_a_queue_of_which_one_step_fails_delivers_again_and_who_asked_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, queue = filled(persistent=True)
    told: list[Purging] = []
    purge(queue, told.append)
    with monkeypatch.context() as broken:
        broken.setattr(store_of(broker), "append", None)
        with pytest.raises(TypeError):
            broker.chores.step()
    broker.chores.finish()
    assert len(told) == 1
    later = message(broker)
    queue.offer(later)
    outlet = LogOutlet(ACCEPTED)
    consume(queue, outlet, 1)
    broker.chores.finish()
    assert outlet.ids[-1] == later.id


def test_what_was_held_may_have_made_room_for_something_else() -> None:
    broker = broker_with(policy=QueuePolicy(messages_max=1, when_full=DROP_OLDEST))
    queue = broker.queue("q")
    transaction = broker.transaction()
    transaction.publish(message(broker, persistent=True))
    transaction.commit()
    # There is no memory either, so this does not come in itself.
    broker.unstored.bytes = 2 * broker.unstored.bytes_max
    queue.offer(message(broker))
    assert queue.waiting == 0
    assert purge(queue).count == 0
    assert not queue.fetching
