"""gateway/core/room.py, and what a full queue means to those who send to it."""

import pytest
from core_doubles import COMPILED, needs_outlet
from core_messages import message, pattern, topic_message
from core_queues import broker_with, consume, store_of

from gateway.core.delivery import ACCEPTED, REJECTED
from gateway.core.flow import Publisher
from gateway.core.limits import BLOCK, DROP_NEWEST, DROP_OLDEST, REJECT, QueuePolicy
from gateway.core.ports import NOTHING
from gateway.core.purging import purge
from gateway.core.room import REFUSED
from gateway.core.schedule import REFUSED_AGAIN_MS, Timing
from gateway.core.subscription import Binding
from gateway.core.transaction import TransactionRefused

if not COMPILED:
    from core_doubles import LogOutlet, LogValve

pytestmark = needs_outlet

# -- all of a route take a message, or none does


def test_a_publish_to_a_topic_is_refused_when_one_of_its_queues_refuses_and_nobody_gets_it() -> None:
    broker = broker_with(policy=QueuePolicy(messages_max=1, when_full=REJECT))
    full, roomy = broker.queue("Consumer.a.VirtualTopic.x"), broker.queue("Consumer.b.VirtualTopic.x")
    live = LogOutlet()
    broker.bind(Binding(pattern("VirtualTopic.x"), live))
    full.offer(message(broker))
    one = topic_message(broker, "VirtualTopic.x", persistent=True)
    assert broker.publish_to(one.destination, one) == REFUSED
    assert (full.depth, roomy.depth, live.ids) == (1, 0, [])
    assert broker.counters.refused == 1
    purge(full)
    assert broker.publish_to(one.destination, one) > 0
    assert (full.depth, roomy.depth, live.ids) == (1, 1, [one.id])


@pytest.mark.parametrize(
    "policy",
    [
        QueuePolicy(messages_max=3, when_full=REJECT),
        QueuePolicy(bytes_max=300, when_full=REJECT),
        QueuePolicy(bytes_max=0, stored_bytes_max=300, when_full=REJECT),
    ],
    ids=["messages", "bytes in memory", "bytes"],
)
@pytest.mark.parametrize("topic", [False, True])
def test_a_transaction_for_which_there_is_no_room_is_refused_whole(policy: QueuePolicy, topic: bool) -> None:
    broker = broker_with(policy=policy)
    queue = broker.queue("q")
    if topic:
        broker.bind_queue(queue, Binding(pattern("q"), queue))
    for count, fits in ((4, False), (3, True)):
        transaction = broker.transaction()
        for _ in range(count):
            transaction.publish(
                topic_message(broker, "q", b"x" * 100)
                if topic
                else message(broker, size=100, body=b"x" * 100)
            )
        if fits:
            transaction.commit()
            assert queue.depth == 3
        else:
            with pytest.raises(TransactionRefused, match="queue:q is full"):
                transaction.commit()
            assert queue.depth == 0


# -- dead letters


def reject_one(broker_policy: QueuePolicy, *, persistent: bool) -> tuple[int, int, int]:
    """Reject a message where the dead letters are full; how many there are then, and what was dropped."""
    broker = broker_with(policy=broker_policy)
    dead = broker.queue("DLQ")
    dead.offer(message(broker, "DLQ", persistent=True))
    outlet = LogOutlet()
    consume(broker.queue("q"), outlet, 1)
    broker.queue("q").offer(message(broker, persistent=persistent))
    outlet.open[0].settle(REJECTED)
    return dead.depth, broker.counters.dropped_full, broker.queue("q").depth


@pytest.mark.parametrize("when_full", [BLOCK, REJECT])
def test_what_is_stored_is_buried_though_the_dead_letters_are_full(when_full: str) -> None:
    policy = QueuePolicy(messages_max=1, when_full=when_full, dead_letters="DLQ")
    assert reject_one(policy, persistent=True) == (2, 0, 0)


@pytest.mark.parametrize(
    ("when_full", "persistent"), [(REJECT, False), (DROP_NEWEST, True), (DROP_OLDEST, True)]
)
def test_what_full_dead_letters_do_not_take_is_counted(when_full: str, persistent: bool) -> None:
    policy = QueuePolicy(messages_max=1, when_full=when_full, dead_letters="DLQ")
    assert reject_one(policy, persistent=persistent) == (1, 1, 0)


def test_full_dead_letters_hold_nobody_whose_message_died() -> None:
    broker = broker_with(policy=QueuePolicy(messages_max=1, when_full=BLOCK, dead_letters="DLQ"))
    broker.queue("DLQ").offer(message(broker, "DLQ"))
    valve = LogValve()
    outlet = LogOutlet()
    consume(broker.queue("q"), outlet, 1)
    broker.queue("q").offer(message(broker, persistent=True, publisher=Publisher("p", valve)))
    outlet.open[0].settle(REJECTED)
    assert not valve.shut


# -- who waits


def test_who_waits_for_the_store_goes_on_when_its_disk_is_full_and_hears_it() -> None:
    broker = broker_with()
    store = store_of(broker)
    valve = LogValve()
    publisher = Publisher("p", valve)
    store.congested = True
    broker.queue("q").offer(message(broker, persistent=True, publisher=publisher))
    assert valve.shut
    broker.on_durable(0)
    assert valve.shut
    store.accepting = False
    broker.on_accepting(False)
    assert not valve.shut
    assert broker.enqueue(message(broker, persistent=True, publisher=publisher), broker.queue("q")) == REFUSED
    assert not valve.shut


def test_a_purge_lets_producers_go_on() -> None:
    broker = broker_with(policy=QueuePolicy(messages_max=1, when_full=BLOCK))
    valve = LogValve()
    publisher = Publisher("p", valve)
    for _ in range(2):
        broker.queue("q").offer(message(broker, publisher=publisher))
    assert valve.shut
    purge(broker.queue("q"))
    assert not valve.shut


def test_who_fills_a_queue_that_it_consumes_itself_is_read_up_to_twice_the_limit_and_then_refused() -> None:
    broker = broker_with(policy=QueuePolicy(messages_max=4, when_full=BLOCK))
    queue = broker.queue("q")
    valve = LogValve()
    publisher = Publisher("p", valve)
    outlet = LogOutlet()
    outlet.publishes_as = publisher
    consumer = consume(queue, outlet, 1)
    answers = [queue.offer(message(broker, publisher=publisher)) for _ in range(12)]
    assert not valve.shut
    assert answers == [NOTHING] * 9 + [REFUSED] * 3
    outlet.open.pop().settle(ACCEPTED)
    assert queue.offer(message(broker, publisher=publisher)) == NOTHING
    # Others wait as ever, and it does when it consumes no more.
    other = LogValve()
    queue.offer(message(broker, publisher=Publisher("o", other)))
    assert other.shut
    queue.detach(consumer)
    queue.offer(message(broker, publisher=publisher))
    assert valve.shut


def test_a_queue_that_is_deleted_lets_go_of_what_its_consumers_have_and_late_outcomes_count_nothing() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    outlet = LogOutlet()
    consume(queue, outlet, 2)
    for _ in range(5):
        queue.offer(message(broker, size=100))
    broker.delete_queue(queue)
    assert (broker.resident_bytes, queue.bytes) == (0, 0)
    for delivery in outlet.open:
        delivery.settle(ACCEPTED)
    assert (broker.resident_bytes, queue.bytes, queue.unsettled) == (0, 0, 0)


# -- what nobody waits for


@pytest.mark.parametrize("reason", ["a full queue", "a full store"])
def test_a_scheduled_message_that_is_refused_when_it_is_due_is_tried_again(reason: str) -> None:
    broker = broker_with(policy=QueuePolicy(messages_max=1, when_full=REJECT))
    queue = broker.queue("q")
    broker.schedule.add(message(broker, persistent=True), Timing(1_000))
    if reason == "a full queue":
        queue.offer(message(broker))
    else:
        store_of(broker).accepting = False
    broker.tick(1_000)
    assert len(broker.schedule) == 1
    purge(queue)
    store_of(broker).accepting = True
    broker.tick(1_000 + REFUSED_AGAIN_MS)
    assert (len(broker.schedule), queue.depth) == (0, 1)


def test_what_expires_while_it_is_scheduled_goes_to_the_dead_letters_of_its_queue() -> None:
    broker = broker_with(policy=QueuePolicy(dead_letters="DLQ"))
    broker.schedule.add(message(broker, persistent=True, expires_at_ms=500), Timing(1_000))
    broker.tick(1_000)
    # Not before it is safe that its time has come.
    store_of(broker).release(broker)
    broker.tick(2_000)
    assert (len(broker.schedule), broker.queue("q").depth, broker.queue("DLQ").depth) == (0, 0, 1)
    assert broker.counters.expired == 1


# -- what comes too late


def test_a_message_that_has_expired_already_reaches_nobody_and_is_no_last_value() -> None:
    broker = broker_with()
    broker.now_ms = 1_000
    live = LogOutlet()
    broker.bind(Binding(pattern("t"), live))
    earlier = topic_message(broker, "t", retain=True)
    broker.publish_to(earlier.destination, earlier)
    late = topic_message(broker, "t", retain=True)
    late.expires_at_ms = 1_000
    assert broker.publish_to(late.destination, late) == NOTHING
    assert live.ids == [earlier.id]
    assert broker.counters.expired == 1
    assert broker.retained.get("t") is None


@pytest.mark.parametrize("behind", [False, True], ids=["within a transaction", "behind one"])
def test_the_oldest_is_dropped_though_a_transaction_holds_it_back(behind: bool) -> None:
    broker = broker_with(policy=QueuePolicy(messages_max=10, when_full=DROP_OLDEST))
    queue = broker.queue("q")
    transaction = broker.transaction()
    ids = []
    for number in range(15):
        one = message(broker, persistent=True)
        ids.append(one.id)
        if number == 0 or not behind:
            transaction.publish(one)
            if number in (0 if behind else 14, 14):
                transaction.commit()
        else:
            assert queue.offer(one) > 0
    assert (queue.depth, broker.counters.dropped_full) == (10, 5)
    store_of(broker).release(broker)
    outlet = LogOutlet(ACCEPTED)
    consume(queue, outlet, 1)
    assert outlet.ids == ids[5:]
