"""gateway/core/burying.py"""

import pytest
from core_doubles import LogOutlet, LogValve, needs_outlet
from core_messages import message
from core_queues import broker_with, consume, store_of, waiting_ids
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.burying import LOOKED_AT_ONCE
from gateway.core.contents import faults
from gateway.core.credit import Credit
from gateway.core.delivery import REJECTED
from gateway.core.destination import TOPIC, Destination
from gateway.core.flow import Publisher
from gateway.core.limits import CoreLimits, LimitReached, QueuePolicy
from gateway.core.purging import purge
from gateway.core.queue import Queue
from gateway.core.router import Broker
from gateway.core.selector_parser import parse_selector
from gateway.core.subscription import Consumer


def driven() -> tuple[Broker, Queue]:
    broker = broker_with(policy=QueuePolicy(dead_letters="DLQ"))
    broker.chores.driven_by(lambda: None)
    return broker, broker.queue("q")


def put(broker: Broker, queue: Queue, expires_at_ms: int = 0) -> int:
    one = message(broker, "q", expires_at_ms=expires_at_ms)
    queue.offer(one)
    return one.id


def test_many_that_expire_in_one_queue_are_buried_some_a_turn() -> None:
    broker, queue = driven()
    count = 10 * LOOKED_AT_ONCE
    for _ in range(count):
        put(broker, queue, 500)
    stays = put(broker, queue)
    broker.tick(1_000)
    buried = 0
    while broker.chores:
        broker.chores.step()
        assert broker.counters.expired - buried <= LOOKED_AT_ONCE
        buried = broker.counters.expired
        assert faults(queue) == []
    assert buried == count == broker.queue("DLQ").depth
    assert waiting_ids(queue) == [stays]


def test_what_expires_while_others_are_looked_through_goes_in_its_own_time() -> None:
    broker, queue = driven()
    for number in range(3 * LOOKED_AT_ONCE):
        put(broker, queue, 500 if number % 2 else 5_000)
    broker.tick(1_000)
    broker.chores.step()
    broker.now_ms = 1_001
    put(broker, queue, 1_500)
    broker.chores.finish()
    assert broker.counters.expired == 3 * LOOKED_AT_ONCE // 2
    broker.tick(2_000)
    broker.chores.finish()
    assert broker.counters.expired == 3 * LOOKED_AT_ONCE // 2 + 1
    broker.tick(5_000)
    broker.chores.finish()
    assert queue.depth == 0


@needs_outlet
def test_messages_that_were_delivered_or_purged_meanwhile_are_left_alone() -> None:
    broker, queue = driven()
    outlet = LogOutlet()
    for _ in range(3 * LOOKED_AT_ONCE):
        put(broker, queue, 500)
    broker.now_ms = 400
    broker.tick(1_000)
    broker.chores.step()
    broker.now_ms = 400
    consume(queue, outlet, 10)
    assert len(outlet.ids) == 10
    purged = purge(queue)
    broker.chores.finish()
    assert broker.counters.expired + purged.count == 3 * LOOKED_AT_ONCE - 10
    assert purged.count > 0
    assert queue.depth == 10
    assert faults(queue) == []


@needs_outlet
@pytest.mark.parametrize("text", [None, "JMSPriority = 4", "TRUE"])
def test_expired_messages_before_a_live_one_are_buried_some_a_turn_when_a_consumer_comes(
    text: str | None,
) -> None:
    broker, queue = driven()
    outlet = LogOutlet()
    selector = None if text is None else parse_selector(text, 100, 10, False)
    count = 5 * LOOKED_AT_ONCE
    for _ in range(count):
        put(broker, queue, 500)
    live = put(broker, queue)
    broker.now_ms = 1_000
    queue.attach(Consumer(queue, outlet, Credit(9), False, None, selector))
    assert broker.counters.expired <= LOOKED_AT_ONCE
    buried = broker.counters.expired
    while broker.chores:
        broker.chores.step()
        assert broker.counters.expired - buried <= LOOKED_AT_ONCE
        buried = broker.counters.expired
    assert buried == count
    assert outlet.ids == [live]


@given(st.lists(st.sampled_from([0, 100, 200, 300]), max_size=12), st.lists(st.integers(0, 400), max_size=4))
@settings(deadline=None)
def test_after_each_tick_exactly_the_expired_are_gone(lives_ms: list[int], ticks: list[int]) -> None:
    broker = broker_with()
    queue = broker.queue("q")
    lives = {put(broker, queue, life_ms): life_ms for life_ms in lives_ms}
    for now_ms in sorted(ticks):
        broker.tick(now_ms)
        assert waiting_ids(queue) == [
            one for one, life_ms in lives.items() if not life_ms or life_ms > now_ms
        ]
        assert faults(queue) == []


@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize("asked", [True, False])
def test_expired_messages_of_topics_are_dead_letters_if_persistent_or_asked_for(
    persistent: bool, asked: bool
) -> None:
    policy = QueuePolicy(dead_letters="DLQ", dead_letters_of_expired_topics=asked)
    broker = broker_with(policy=policy)
    queue = broker.queue("q")
    one = message(broker, "q", expires_at_ms=500, persistent=persistent)
    one.destination = Destination(TOPIC, "t")
    queue.offer(one)
    broker.tick(1_000)
    broker.chores.finish()
    assert broker.counters.expired == 1
    assert broker.queue("DLQ").depth == (1 if persistent or asked else 0)


def test_dead_letters_are_kept_though_there_are_too_many_queues() -> None:
    broker = broker_with(CoreLimits(queues_max=1), QueuePolicy(dead_letters="DLQ"))
    queue = broker.queue("q")
    put(broker, queue, 500)
    with pytest.raises(LimitReached):
        broker.queue("another")
    broker.tick(1_000)
    assert broker.counters.discarded == 0
    assert broker.queue("DLQ").depth == 1
    with pytest.raises(LimitReached):
        broker.queue("another")


@needs_outlet
def test_on_a_full_disk_nobody_waits_since_a_message_of_his_is_buried() -> None:
    """He would not be heard, and what he acknowledges is what makes room."""
    broker, queue = driven()
    store = store_of(broker)
    valve = LogValve()
    queue.offer(message(broker, "q", persistent=True, publisher=Publisher("p", valve)))
    store.congested = True
    store.accepting = False
    broker.on_accepting(False)
    consume(queue, LogOutlet(at_once=REJECTED))
    assert broker.queue("DLQ").depth == 1
    assert not valve.shut
