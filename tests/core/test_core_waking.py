"""gateway/core/waking.py"""

import pytest
from core_doubles import LogOutlet, needs_outlet
from core_messages import message
from core_queues import broker_with, consume, store_of

from gateway.core.destination import TOPIC
from gateway.core.flow import Publisher
from gateway.core.last_values import VALUES_AT_ONCE
from gateway.core.ports import Retained
from gateway.core.router import Broker
from gateway.core.waking import DELIVERED_AT_ONCE, LARGE_BYTES

pytestmark = needs_outlet


def _uncalled(broker: Broker, count: int) -> list[LogOutlet]:
    """Queues that could deliver, as if their Credit had not called them: they are to look by themselves."""
    outlets = []
    for number in range(count):
        queue = broker.queue(f"q{number}")
        outlet = LogOutlet()
        outlet.congested = True
        consumer = consume(queue, outlet, 10)
        queue.offer(message(broker, f"q{number}", persistent=True))
        outlet.congested = False
        consumer.credit.forget(consumer)
        queue.roster.call(consumer)
        outlets.append(outlet)
    return outlets


def test_when_the_store_accepts_again_queues_look_one_at_a_time() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    outlets = _uncalled(broker, 5)
    broker.on_accepting(True)
    served = [0]
    while broker.chores:
        broker.chores.step()
        served.append(sum(len(outlet.ids) for outlet in outlets))
    # The last step finds that there are no more.
    assert served == [0, 1, 2, 3, 4, 5, 5]


def test_values_that_the_store_had_no_room_for_follow_some_a_turn_and_stop_when_it_is_full_again() -> None:
    broker = broker_with()
    store = store_of(broker)
    broker.chores.driven_by(lambda: None)
    store.accepting = False
    publisher = Publisher("c", None)
    for number in range(3 * VALUES_AT_ONCE):
        one = message(broker, f"t.{number}", kind=TOPIC, retain=True, publisher=publisher)
        broker.publish(one, broker.topics.topic(f"t.{number}"))
    store.accepting = True
    broker.on_accepting(True)
    broker.chores.step()
    assert len(store.operations) == VALUES_AT_ONCE
    store.accepting = False
    broker.chores.finish()
    assert len(store.operations) == VALUES_AT_ONCE
    store.accepting = True
    broker.on_accepting(True)
    broker.chores.finish()
    kept = [operation.topic for operation in store.operations if isinstance(operation, Retained)]
    assert sorted(kept) == sorted([f"t.{number}" for number in range(3 * VALUES_AT_ONCE)])


def test_who_acknowledges_nothing_is_given_some_a_turn_and_in_order() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    queue = broker.queue("q")
    ids = []
    for _ in range(3 * DELIVERED_AT_ONCE):
        ids.append(broker.next_message_id())
        one = message(broker, "q")
        ids[-1] = one.id
        queue.offer(one)
    outlet = LogOutlet()
    consume(queue, outlet, 0, automatic=True)
    assert len(outlet.ids) == DELIVERED_AT_ONCE
    assert queue.fetching
    # What comes meanwhile waits for its turn, and makes nothing leave earlier.
    last = message(broker, "q")
    queue.offer(last)
    assert len(outlet.ids) == DELIVERED_AT_ONCE
    served = []
    while broker.chores:
        before = len(outlet.ids)
        broker.chores.step()
        # It stands in the line of chores once, however often it goes on.
        assert len(broker.chores) <= 1
        served.append(len(outlet.ids) - before)
    assert max(served) == DELIVERED_AT_ONCE
    assert outlet.ids == [*ids, last.id]
    assert not queue.fetching


def test_of_large_messages_a_turn_gives_fewer() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    queue = broker.queue("q")
    for _ in range(DELIVERED_AT_ONCE):
        queue.offer(message(broker, size=7 * LARGE_BYTES))
    outlet = LogOutlet()
    consume(queue, outlet, 0, automatic=True)
    seen = [len(outlet.ids)]
    while broker.chores:
        broker.chores.step()
        seen.append(len(outlet.ids))
    # The last look finds nothing more.
    assert seen[:-1] == [*range(DELIVERED_AT_ONCE // 8, DELIVERED_AT_ONCE + 1, DELIVERED_AT_ONCE // 8)]


def test_a_queue_that_fails_keeps_no_other_from_going_on() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    outlets = [LogOutlet(), LogOutlet()]
    for name, outlet in zip("ab", outlets, strict=True):
        queue = broker.queue(name)
        for _ in range(2 * DELIVERED_AT_ONCE):
            queue.offer(message(broker, name))
        consume(queue, outlet, 0, automatic=True)
    broker.queue("a").contents.backlog = None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        broker.chores.step()
    broker.chores.finish()
    assert [len(outlet.ids) for outlet in outlets] == [DELIVERED_AT_ONCE, 2 * DELIVERED_AT_ONCE]


def test_a_queue_that_looks_again_is_not_forgotten_when_the_store_accepts_again() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    queue = broker.queue("not-kept")
    for _ in range(2 * DELIVERED_AT_ONCE):
        queue.offer(message(broker, "not-kept"))
    assert queue.number == 0
    outlet = LogOutlet()
    consume(queue, outlet, 0, automatic=True)
    broker.on_accepting(True)
    broker.chores.finish()
    assert len(outlet.ids) == 2 * DELIVERED_AT_ONCE


def test_a_queue_with_very_much_to_deliver_keeps_none_from_looking_when_the_store_accepts_again() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    [outlet] = _uncalled(broker, 1)
    busy = broker.queue("busy")
    for _ in range(50 * DELIVERED_AT_ONCE):
        busy.offer(message(broker, "busy", persistent=True))
    consume(busy, LogOutlet(), 0, automatic=True)
    broker.on_accepting(True)
    for _ in range(5):
        broker.chores.step()
    assert outlet.ids
    assert busy.waiting


def test_each_queue_comes_to_look_however_often_the_store_accepts_again() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    outlets = _uncalled(broker, 30)
    for _ in range(40):
        broker.on_accepting(True)
        broker.chores.step()
        broker.chores.step()
    assert [len(outlet.ids) for outlet in outlets] == [1] * 30
    broker.chores.finish()
    assert not broker.chores
