"""gateway/core/router.py"""

import tracemalloc

import pytest
from core_doubles import COMPILED, LogValve, LogWaiter, needs_outlet
from core_messages import message, pattern, topic_message
from core_queues import broker_with, consume, store_of, waiting_ids

from gateway.core.destination import QUEUE, TOPIC, Destination
from gateway.core.flow import Publisher
from gateway.core.limits import REJECT, CoreLimits, QueuePolicy
from gateway.core.message import Message
from gateway.core.pattern import Pattern, literal
from gateway.core.ports import NOTHING, Enqueued, QueueMade, Retained
from gateway.core.queue import Queue
from gateway.core.queue_key import DURABLE, QueueKey
from gateway.core.room import REFUSED
from gateway.core.router import UNROUTED, Broker, LimitReached
from gateway.core.subscription import Binding

if not COMPILED:
    from core_doubles import LogOutlet


ANYONE = Publisher("anyone", None)


def publish(broker: Broker, one: Message) -> int:
    return broker.publish(one, broker.topics.topic(one.destination.name))


# -- topics


@needs_outlet
def test_everybody_bound_gets_one_copy() -> None:
    broker = broker_with()
    outlets = [LogOutlet() for _ in range(3)]
    for outlet, text in zip(outlets, ("a.b", "a.*", "x"), strict=True):
        broker.bind(Binding(pattern(text), outlet))
    broker.bind(Binding(pattern(">"), outlets[0]))
    one = topic_message(broker, "a.b")
    assert publish(broker, one) == NOTHING
    assert [outlet.ids for outlet in outlets] == [[one.id], [one.id], []]


@needs_outlet
def test_a_subscription_counts_from_the_next_message_on() -> None:
    broker = broker_with()
    topic = broker.topics.topic("a")
    outlet = LogOutlet()
    binding = Binding(pattern("a"), outlet)
    assert broker.publish(topic_message(broker, "a"), topic) == UNROUTED
    broker.bind(binding)
    broker.publish(topic_message(broker, "a"), topic)
    broker.unbind(binding)
    assert broker.publish(topic_message(broker, "a"), topic) == UNROUTED
    assert len(outlet.messages) == 1
    assert broker.counters.unroutable == 2
    assert broker.counters.published == 3


def test_the_position_is_the_highest_of_what_took_it() -> None:
    broker = broker_with()
    for number in range(3):
        queue = broker.bound_queue(QueueKey(DURABLE, "c", str(number)), QueuePolicy(durable=number < 2))
        broker.bind_queue(queue, Binding(literal("a"), queue))
    assert publish(broker, topic_message(broker, "a", persistent=True)) == 4
    assert publish(broker, topic_message(broker, "a")) == NOTHING


def test_subscriptions_are_bounded() -> None:
    broker = broker_with(CoreLimits(subscriptions_max=2))
    queue = broker.bound_queue(QueueKey(DURABLE, "c", "x"), QueuePolicy())
    first = Binding(literal("a"), queue)
    broker.bind(first)
    broker.bind(Binding(literal("b"), queue))
    with pytest.raises(LimitReached, match="subscriptions"):
        broker.bind(Binding(literal("c"), queue))
    broker.unbind(first)
    broker.bind(Binding(literal("c"), queue))


# -- queues


def test_publishing_by_name_makes_the_queue() -> None:
    broker = broker_with()
    one = message(broker, "jobs", persistent=True)
    assert broker.publish_to(Destination(QUEUE, "jobs"), one) == 2
    assert waiting_ids(broker.queue("jobs")) == [one.id]
    assert broker.queue("jobs") is broker.queues["queue:jobs"]
    assert broker.counters.published == 1
    assert broker.publish_to(Destination(TOPIC, "jobs"), topic_message(broker, "jobs")) == UNROUTED


def test_a_full_queue_may_refuse() -> None:
    broker = broker_with(policy=QueuePolicy(messages_max=1, when_full=REJECT))
    queue = broker.queue("q")
    assert broker.enqueue(message(broker), queue) == NOTHING
    assert broker.enqueue(message(broker), queue) == REFUSED


def test_queues_are_bounded() -> None:
    broker = broker_with(CoreLimits(queues_max=2))
    broker.queue("a")
    queue = broker.bound_queue(QueueKey(DURABLE, "c", "x"), QueuePolicy())
    with pytest.raises(LimitReached, match="queues"):
        broker.queue("b")
    with pytest.raises(LimitReached):
        broker.publish_to(Destination(QUEUE, "b"), message(broker, "b"))
    assert broker.queue("a").key.text == "queue:a"
    broker.delete_queue(queue)
    broker.queue("b")


def test_long_names_of_queues_are_bounded_in_bytes_and_short_ones_never_in_their_way() -> None:
    broker = broker_with(CoreLimits(queue_names_bytes_max=10_000))
    first = broker.queue("a" * 9_000)
    for _ in range(2):
        with pytest.raises(LimitReached, match="long names"):
            broker.queue("b" * 9_000)
    with pytest.raises(LimitReached):
        broker.bound_queue(QueueKey(DURABLE, "c" * 9_000, "x"), QueuePolicy())
    for number in range(1_000):
        broker.queue(f"{number:0240}")
    broker.delete_queue(first)
    assert broker.roll.names_bytes == 0
    broker.queue("b" * 9_000)


def test_a_long_name_takes_no_more_memory_than_is_said() -> None:
    broker = broker_with()
    tracemalloc.start()
    try:
        for number in range(100):
            broker.queue(f"{number:020000}")
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert broker.roll.names_bytes <= taken <= 4 * broker.roll.names_bytes + 1_000_000


def test_named_queues_and_subscriptions_do_not_share_names() -> None:
    broker = broker_with()
    assert broker.queue("durable:1:c/x") is not broker.bound_queue(QueueKey(DURABLE, "c", "x"), QueuePolicy())


# -- virtual topics (ActiveMQ)


def test_each_consumer_queue_of_a_virtual_topic_gets_its_copy() -> None:
    broker = broker_with()
    one, two = broker.queue("Consumer.A.VirtualTopic.x"), broker.queue("Consumer.B.VirtualTopic.x")
    assert publish(broker, topic_message(broker, "VirtualTopic.x")) == NOTHING
    publish(broker, topic_message(broker, "VirtualTopic.y"))
    assert (one.depth, two.depth) == (1, 1)
    broker.delete_queue(one)
    publish(broker, topic_message(broker, "VirtualTopic.x"))
    assert (one.depth, two.depth) == (0, 2)


@pytest.mark.parametrize(
    "name", ["Consumer.A", "Consumer.VirtualTopic.x", "Consumer.A.xVirtualTopic.x", "x.VirtualTopic.x"]
)
def test_names_that_only_look_like_virtual_topics_are_plain_queues(name: str) -> None:
    broker = broker_with()
    assert broker.queue(name).bindings == []


def test_a_virtual_topics_queue_that_cannot_be_bound_is_not_left_behind() -> None:
    broker = broker_with(CoreLimits(subscriptions_max=0))
    for _ in range(2):
        with pytest.raises(LimitReached, match="subscriptions"):
            broker.queue("Consumer.A.VirtualTopic.x")
    assert broker.queues == {}


# -- retained


def retain(broker: Broker, name: str, body: bytes, persistent: bool = False) -> Message:
    one = topic_message(broker, name, body, retain=True, persistent=persistent)
    publish(broker, one)
    return one


def value(broker: Broker, name: str, body: bytes, persistent: bool = False) -> Message:
    """A client's message that is to be retained."""
    return message(broker, name, body, kind=TOPIC, retain=True, persistent=persistent, publisher=ANYONE)


def found(broker: Broker, wanted: Pattern) -> list[Message]:
    """What a new subscriber is given."""
    search = broker.values.search([wanted], ANYONE)
    while not search.done:
        search.go_on()
    messages = []
    while (message := search.take()) is not None:
        messages.append(message)
    return messages


def test_the_last_value_is_kept_and_an_empty_one_clears_it() -> None:
    # MQTT 5.0 §3.3.1.3
    broker = broker_with()
    retain(broker, "a.b", b"1")
    last = retain(broker, "a.b", b"2")
    assert found(broker, pattern("a.*")) == [last]
    publish(broker, topic_message(broker, "a.b", b"3"))
    assert found(broker, pattern("a.*")) == [last]
    retain(broker, "a.b", b"")
    assert found(broker, pattern("a.*")) == []
    assert broker.retained.count == 0


def test_every_value_goes_to_the_store_and_only_who_publishes_persistently_waits_for_it() -> None:
    # MQTT 5.0 §3.3.1.3: the server must store it, whatever its QoS [MQTT-3.3.1-5].
    broker = broker_with()
    one = value(broker, "a", b"1")
    assert publish(broker, one) == UNROUTED
    two = value(broker, "b", b"1", persistent=True)
    # Nobody has subscribed, and yet there is something to wait for.
    assert publish(broker, two) == 2
    assert publish(broker, value(broker, "b", b"")) == UNROUTED
    assert store_of(broker).operations == [Retained("a", one), Retained("b", two), Retained("b", None)]


def test_what_the_broker_says_of_itself_is_not_kept() -> None:
    broker = broker_with()
    retain(broker, "$SYS.uptime", b"1")
    retain(broker, "$SYS.uptime", b"2")
    assert store_of(broker).operations == []


def test_values_that_the_store_had_no_room_for_are_kept_when_there_is_room() -> None:
    broker = broker_with(CoreLimits(retained_messages_max=2))
    store = store_of(broker)
    store.accepting = False
    for name, body in (("a", b"1"), ("a", b""), ("b", b"2"), ("b", b"3"), ("c", b"4")):
        last = value(broker, name, body)
        publish(broker, last)
    assert store.operations == []
    store.accepting = True
    broker.on_accepting(True)
    # What is remembered of it is bounded as the values are.
    assert store.operations == [Retained("b", broker.retained.get("b")), Retained("a", None)]
    broker.on_accepting(True)
    assert len(store.operations) == 2


def test_expired_values_are_not_given_out() -> None:
    broker = broker_with()
    one = message(broker, "a", b"1", kind=TOPIC, retain=True, expires_at_ms=100)
    publish(broker, one)
    broker.now_ms = 99
    assert found(broker, pattern("a")) == [one]
    broker.now_ms = 100
    assert found(broker, pattern("a")) == []


def test_retained_messages_are_bounded_by_count() -> None:
    broker = broker_with(CoreLimits(retained_messages_max=2))
    for name in ("a", "b", "c"):
        retain(broker, name, b"1")
    assert broker.retained.count == 2
    assert broker.counters.dropped_full == 1
    # A value that is there can be replaced all the same.
    last = retain(broker, "a", b"2")
    assert broker.retained.get("a") is last


def test_retained_messages_are_bounded_by_bytes_also_when_replaced() -> None:
    broker = broker_with(CoreLimits(retained_bytes_max=10))
    retain(broker, "a", b"12345")
    retain(broker, "b", b"12345")
    retain(broker, "b", b"123456789")
    assert broker.retained.bytes <= 10
    assert broker.counters.dropped_full == 1
    # The outdated value is not passed off as the last one.
    assert broker.retained.get("b") is None
    retain(broker, "a", b"1234567890")
    assert broker.retained.bytes == 10


# -- durability


def test_waiters_hear_of_commits_until_they_are_content() -> None:
    broker = broker_with()
    patient, quick = LogWaiter(3), LogWaiter(1)
    broker.wait(patient)
    broker.wait(quick)
    for position in (1, 2, 3, 4):
        broker.on_durable(position)
    assert quick.seen == [1]
    assert patient.seen == [1, 2, 3]


def test_a_waiter_that_comes_while_others_are_told_hears_of_the_next() -> None:
    broker = broker_with()
    late = LogWaiter(9)

    class Inviting(LogWaiter):
        def on_durable(self, position: int) -> bool:
            broker.wait(late)
            return super().on_durable(position)

    broker.wait(Inviting(1))
    broker.on_durable(1)
    assert late.seen == []
    broker.on_durable(2)
    assert late.seen == [2]


def test_the_store_holds_the_position_until_it_has_committed() -> None:
    broker = broker_with()
    store = store_of(broker)
    position = broker.publish_to(Destination(QUEUE, "q"), message(broker, persistent=True))
    assert store.durable < position
    waiter = LogWaiter(position)
    broker.wait(waiter)
    store.release(broker)
    assert waiter.seen == [position]
    assert isinstance(store.operations[-1], Enqueued)


@needs_outlet
def test_counters_by_name() -> None:
    broker = broker_with()
    consume(broker.queue("q"), LogOutlet(), automatic=True)
    broker.publish_to(Destination(QUEUE, "q"), message(broker))
    assert broker.counters.as_dict()["published"] == 1
    assert set(broker.counters.as_dict().values()) == {0, 1}


def test_the_number_of_a_deleted_queue_is_given_again_only_once_the_store_has_nothing_left_of_it() -> None:
    broker = broker_with()
    store = store_of(broker)

    def kept_queue(name: str) -> Queue:
        queue = broker.queue(name)
        queue.offer(message(broker, persistent=True))
        return queue

    first = kept_queue("first")
    number = first.number
    broker.kept.next_number = number
    broker.delete_queue(first)
    store.release(broker)
    assert kept_queue("second").number != number
    broker.kept.next_number = number
    store.numbers_free.append(number)
    assert kept_queue("third").number == number


@needs_outlet
def test_what_the_store_cannot_write_ends_its_publisher_and_is_counted() -> None:
    broker = broker_with()
    valve = LogValve()
    one = message(broker, persistent=True, publisher=Publisher("p", valve))
    broker.on_refused(Enqueued(1, 1, one), "error")
    broker.on_refused(Retained("t", one), "error")
    broker.on_refused(QueueMade(1, "queue:q"), "error")
    assert broker.counters.unstorable == 3
    assert len(valve.cut_offs) == 2
