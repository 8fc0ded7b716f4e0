"""gateway/core/holding.py: nobody sees a part of a transaction that a crash could still undo."""

from collections import OrderedDict
from typing import Any

import pytest
from core_doubles import COMPILED, needs_outlet
from core_messages import message, pattern, topic_message
from core_queues import broker_with, consume, store_of

from gateway.core.delivery import ACCEPTED, REJECTED
from gateway.core.flow import Publisher
from gateway.core.holding import HeldPublishes, HoldPoint
from gateway.core.limits import REJECT, QueuePolicy
from gateway.core.ports import NOTHING
from gateway.core.purging import purge
from gateway.core.releasing import PASSED_AT_ONCE
from gateway.core.schedule import Timing
from gateway.core.subscription import Binding

if not COMPILED:
    from core_doubles import LogOutlet, LogValve

pytestmark = needs_outlet


@pytest.mark.parametrize("first", [True, False], ids=["before what is stored", "behind what is stored"])
def test_what_is_not_stored_waits_for_what_is(first: bool) -> None:
    broker = broker_with()
    outlet = LogOutlet()
    consume(broker.queue("passing"), outlet, 10)
    transaction = broker.transaction()
    parts = [message(broker, "passing"), message(broker, "kept", persistent=True)]
    for part in parts if first else reversed(parts):
        transaction.publish(part)
    transaction.commit()
    assert outlet.ids == []
    store_of(broker).release(broker)
    assert outlet.ids == [parts[0].id]


def test_an_earlier_commit_does_not_show_a_transaction_that_came_behind_it() -> None:
    broker = broker_with()
    outlet = LogOutlet()
    consume(broker.queue("passing"), outlet, 10)
    broker.queue("kept").offer(message(broker, "kept", persistent=True))
    earlier = broker.store.position
    transaction = broker.transaction()
    transaction.publish(message(broker, "passing"))
    transaction.publish(message(broker, "kept", persistent=True))
    transaction.commit()
    broker.store.durable = earlier
    broker.on_durable(earlier)
    assert outlet.ids == []
    store_of(broker).release(broker)
    assert len(outlet.ids) == 1


@pytest.mark.parametrize("outcome", [ACCEPTED, REJECTED])
def test_what_is_sent_beside_an_acknowledgement_waits_until_that_is_safe(outcome: int) -> None:
    broker = broker_with(policy=QueuePolicy(dead_letters="DLQ"))
    taker, reader, mourner = LogOutlet(), LogOutlet(), LogOutlet()
    consume(broker.queue("in"), taker, 1)
    consume(broker.queue("out"), reader, 1)
    consume(broker.queue("DLQ"), mourner, 1)
    broker.queue("in").offer(message(broker, "in", persistent=True))
    transaction = broker.transaction()
    transaction.settle(taker.open[0], outcome)
    transaction.publish(message(broker, "out"))
    transaction.commit()
    assert (reader.ids, mourner.ids) == ([], [])
    store_of(broker).release(broker)
    assert (len(reader.ids), len(mourner.ids)) == (1, 1 if outcome == REJECTED else 0)


def test_live_subscribers_of_a_topic_wait_too_and_what_is_behind_keeps_its_place() -> None:
    broker = broker_with()
    outlet, other = LogOutlet(), LogOutlet()
    broker.bind(Binding(pattern("t.a"), outlet))
    broker.bind(Binding(pattern("t.b"), other))
    transaction = broker.transaction()
    within = topic_message(broker, "t.a")
    transaction.publish(within)
    transaction.publish(message(broker, "kept", persistent=True))
    transaction.commit()
    behind, elsewhere = topic_message(broker, "t.a"), topic_message(broker, "t.b")
    broker.publish_to(behind.destination, behind)
    broker.publish_to(elsewhere.destination, elsewhere)
    assert (outlet.ids, other.ids) == ([], [elsewhere.id])
    store_of(broker).release(broker)
    assert outlet.ids == [within.id, behind.id]
    last = topic_message(broker, "t.a")
    broker.publish_to(last.destination, last)
    assert outlet.ids == [within.id, behind.id, last.id]


def test_who_publishes_behind_a_transaction_on_a_topic_is_held_until_it_is_safe() -> None:
    broker = broker_with()
    broker.bind(Binding(pattern("t"), LogOutlet()))
    transaction = broker.transaction()
    transaction.publish(topic_message(broker, "t"))
    transaction.publish(message(broker, "kept", persistent=True))
    transaction.commit()
    valve = LogValve()
    behind = topic_message(broker, "t")
    behind.publisher = Publisher("p", valve)
    broker.publish_to(behind.destination, behind)
    assert valve.shut
    store_of(broker).release(broker)
    assert not valve.shut


def test_a_subscriber_that_has_left_meanwhile_gets_nothing() -> None:
    broker = broker_with()
    outlet = LogOutlet()
    binding = Binding(pattern("t"), outlet)
    broker.bind(binding)
    transaction = broker.transaction()
    transaction.publish(topic_message(broker, "t"))
    transaction.publish(message(broker, "kept", persistent=True))
    transaction.commit()
    broker.unbind(binding)
    store_of(broker).release(broker)
    assert outlet.ids == []


def test_a_transaction_of_which_nothing_is_stored_is_seen_at_once() -> None:
    broker = broker_with()
    outlet, live = LogOutlet(), LogOutlet()
    consume(broker.queue("q"), outlet, 10)
    broker.bind(Binding(pattern("t"), live))
    transaction = broker.transaction()
    transaction.publish(message(broker, "q"))
    transaction.publish(topic_message(broker, "t"))
    assert transaction.commit() == NOTHING
    assert (len(outlet.ids), len(live.ids)) == (1, 1)


def test_a_scheduled_part_that_is_stored_holds_the_others() -> None:
    broker = broker_with()
    outlet = LogOutlet()
    consume(broker.queue("q"), outlet, 10)
    transaction = broker.transaction()
    transaction.publish(message(broker, "q"))
    transaction.schedule(message(broker, "q", persistent=True), Timing(1_000))
    transaction.commit()
    assert outlet.ids == []
    store_of(broker).release(broker)
    assert len(outlet.ids) == 1


def test_a_purge_takes_what_is_held_with_it() -> None:
    broker = broker_with(policy=QueuePolicy(messages_max=2, when_full=REJECT))
    queue = broker.queue("q")
    transaction = broker.transaction()
    transaction.publish(message(broker, "q", persistent=True))
    transaction.commit()
    assert purge(queue).count == 1
    store_of(broker).release(broker)
    assert (queue.depth, queue.bytes, broker.resident_bytes) == (0, 0, 0)


class Looked(OrderedDict[str, Any]):
    """Counts the topics that are looked at."""

    count = 0

    def items(self) -> Any:
        for item in super().items():
            self.count += 1
            yield item


def test_of_very_many_topics_only_those_are_looked_at_that_are_taken() -> None:
    held = HeldPublishes()
    looked = held._waiting = Looked()
    point = HoldPoint()
    point.position = 1
    broker = broker_with()
    for number in range(1_000):
        topic = broker.topics.topic(f"t.{number}")
        held.add(point, topic_message(broker, topic.name), topic)
    taken: list[str] = []
    while held.count:
        taken += [topic.name for _, topic in held.take(1, 32)]
    assert taken == [f"t.{number}" for number in range(1_000)]
    # One more each time at most, and not all that are left.
    assert looked.count < 1_100


def test_of_very_many_queues_and_topics_where_nothing_is_safe_some_are_passed_a_step() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    count = 3 * PASSED_AT_ONCE
    outlet = LogOutlet()
    broker.bind(Binding(pattern(">"), outlet))
    many = broker.transaction()
    for number in range(count):
        many.publish(message(broker, f"q{number}", persistent=True))
        many.publish(topic_message(broker, f"t{number}"))
    many.commit()
    behind = broker.transaction()
    behind.publish(message(broker, "behind", persistent=True))
    behind.commit()
    # As if that had come before: it is safe, and found behind all others.
    held = broker.queue("behind").contents.held
    assert held is not None
    held._last.position = broker.store.durable = 1
    broker.releases.look()
    steps = 1
    while broker.chores:
        assert broker.queue("behind").contents.held is held
        broker.chores.step()
        steps += 1
    assert (steps, outlet.ids, broker.queue("behind").contents.held) == (4, [], None)
    store_of(broker).release(broker)
    while broker.chores:
        before = len(outlet.ids)
        broker.chores.step()
        assert len(outlet.ids) - before <= PASSED_AT_ONCE
    assert len(outlet.ids) == count
    assert broker.releases.none
