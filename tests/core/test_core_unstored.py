"""gateway/core/unstored.py: what is in memory alone has one bound over all queues, and no queue can use it up."""

import pytest
from core_doubles import COMPILED, needs_outlet
from core_messages import message, pattern, topic_message
from core_queues import broker_with, consume, dead

from gateway.core.contents import faults
from gateway.core.delivery import ACCEPTED, FAILED, REJECTED, Delivery
from gateway.core.destination import QUEUE, TOPIC, Destination
from gateway.core.flow import Publisher
from gateway.core.limits import BLOCK, DROP_NEWEST, DROP_OLDEST, REJECT, CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer
from gateway.core.purging import purge
from gateway.core.room import REFUSED
from gateway.core.router import Broker
from gateway.core.subscription import Binding
from gateway.core.transaction import TransactionRefused
from gateway.core.unstored import LOOKED_AT_ONCE, RESIDENT_OVERHEAD
from gateway.store.memory import MemoryStore

if not COMPILED:
    from core_doubles import LogOutlet, LogValve

pytestmark = needs_outlet

MAX = 1_000_000
SIZE = 1_000 - RESIDENT_OVERHEAD
"""Bytes of a message that takes 1,000 of memory: a thousand of them are as much as there may be."""

ALONE = 438
"""So many of them one queue takes: half of all but the eighth that is for queues that move."""


def bounded(
    when_full: str = BLOCK, dead_letters: str | None = None, pages: bool = True, bytes_max: int = MAX
) -> Broker:
    return Broker(
        MemoryStore(pages=pages),
        Authorizer(),
        CoreLimits(unstored_bytes_max=bytes_max),
        QueuePolicy(when_full=when_full, dead_letters=dead_letters),
    )


def send(
    broker: Broker,
    name: str,
    count: int = 1,
    publisher: Publisher | None = None,
    persistent: bool = False,
    size: int = SIZE,
) -> list[int]:
    return [
        broker.queue(name).offer(message(broker, name, persistent=persistent, publisher=publisher, size=size))
        for _ in range(count)
    ]


@pytest.mark.parametrize("queues", [1, 2, 9, 1_000])
def test_any_number_of_queues_that_nobody_reads_hold_no_more_than_the_bound_and_each_as_much(
    queues: int,
) -> None:
    broker = bounded(REJECT)
    for _ in range(MAX // 1_000 // queues + 1):
        for number in range(queues):
            send(broker, f"q{number}")
    assert broker.unstored.bytes <= MAX
    depths = [queue.depth for queue in broker.queues.values()]
    assert max(depths) - min(depths) <= 1
    assert sum(depths) >= ALONE
    assert not [fault for queue in broker.queues.values() for fault in faults(queue)]


def test_of_queues_that_fill_one_after_the_other_the_last_has_room_too() -> None:
    broker = bounded(REJECT, bytes_max=20 * MAX)
    for number in range(100):
        while send(broker, f"q{number}") != [REFUSED]:
            pass
    for_all = 20 * MAX - broker.unstored.for_moving
    assert broker.unstored.free - broker.unstored.for_moving == pytest.approx(for_all / 101, rel=0.3)
    outlet = LogOutlet()
    consume(broker.queue("read"), outlet, 1_000)
    assert send(broker, "read") == [0]
    outlet.open.pop().settle(ACCEPTED)
    # Since it moves, it may have some of what the others may not.
    assert send(broker, "read", 20) == [0] * 20
    for _ in range(20):
        broker.tick(1)
    assert send(broker, "read") == [REFUSED]


@pytest.mark.parametrize("when_full", [BLOCK, REJECT, DROP_OLDEST, DROP_NEWEST])
def test_beside_a_thousand_that_are_stuck_a_queue_that_is_read_goes_on(when_full: str) -> None:
    broker = bounded(when_full)
    stuck = Publisher("stuck", LogValve())
    for _ in range(3):
        for number in range(999):
            queue = broker.queue(f"stuck{number}")
            if not queue.keeps_waiting(stuck, False):
                send(broker, queue.destination.name, 1, stuck, size=100)
    full = broker.unstored.bytes
    assert MAX // 2 < full < MAX
    valve = LogValve()
    publisher = Publisher("p", valve)
    outlet = LogOutlet(ACCEPTED)
    queue = broker.queue("read")
    consume(queue, outlet)
    for _ in range(5_000):
        assert not queue.keeps_waiting(publisher, False)
        send(broker, "read", 1, publisher)
    assert len(outlet.messages) == 5_000
    assert valve.turns == []
    assert broker.unstored.bytes == full


def test_who_waits_for_a_reader_that_acknowledges_one_by_one_goes_on_beside_those_that_are_stuck() -> None:
    broker = bounded()
    for number in range(999):
        send(broker, f"stuck{number}", 1, size=100)
    valve = LogValve()
    publisher = Publisher("p", valve)
    outlet = LogOutlet()
    queue = broker.queue("read")
    consume(queue, outlet, 100)
    sent = 0
    for _ in range(2_000):
        if not valve.shut and not queue.keeps_waiting(publisher, False):
            send(broker, "read", 1, publisher)
            sent += 1
        elif outlet.open:
            outlet.open.pop(0).settle(ACCEPTED)
        assert broker.unstored.bytes <= MAX
    assert sent > 900


def test_a_message_that_many_queues_have_is_in_memory_once() -> None:
    broker = bounded()
    queues = [broker.queue(f"q{number}") for number in range(10)]
    for queue in queues:
        broker.bind_queue(queue, Binding(pattern("t"), queue))
    one = topic_message(broker, "t", b"x" * 50_000)
    broker.publish_to(one.destination, one)
    assert broker.unstored.bytes == 50_000 + 10 * RESIDENT_OVERHEAD
    for queue in queues[:9]:
        purge(queue)
    assert broker.unstored.bytes == 50_000 + RESIDENT_OVERHEAD
    broker.delete_queue(queues[9])
    broker.chores.finish()
    assert broker.unstored.bytes == 0


def test_what_the_store_takes_over_is_not_counted_and_nobody_who_sends_it_waits() -> None:
    broker = bounded()
    valve = LogValve()
    transient, persistent = Publisher("t", valve), Publisher("p", LogValve())
    send(broker, "q", ALONE + 1, transient)
    taken = broker.unstored.bytes
    assert valve.turns == [True]
    queue = broker.queue("q")
    assert queue.keeps_waiting(Publisher("other", LogValve()), False)
    assert not queue.keeps_waiting(persistent, True)
    send(broker, "q", 600, persistent, persistent=True)
    assert broker.unstored.bytes == taken
    assert not persistent.held


def test_where_no_store_takes_over_anything_all_messages_are_counted() -> None:
    broker = bounded(REJECT, pages=False)
    assert REFUSED in send(broker, "q", 600, persistent=True)
    assert broker.queue("q").depth == ALONE
    purge(broker.queue("q"))
    assert broker.unstored.bytes == 0


def test_who_waits_goes_on_when_its_queue_has_got_rid_of_a_quarter() -> None:
    broker = bounded()
    valve = LogValve()
    send(broker, "q", 501, Publisher("p", valve))
    assert valve.turns == [True]
    assert broker.places.shut == 1
    outlet = LogOutlet()
    consume(broker.queue("q"), outlet, 1_000)
    while valve.shut:
        outlet.open.pop(0).settle(ACCEPTED)
    # Three quarters of what is free, now that it moves: 428 of 1,000 here, and 572 there.
    assert broker.unstored.bytes == 428_000
    assert broker.places.shut == 0
    assert not broker.unstored.line


def test_who_waits_at_one_queue_goes_on_when_another_has_made_room() -> None:
    broker = bounded()
    valves = [LogValve(), LogValve()]
    for number, valve in enumerate(valves):
        send(broker, f"q{number}", 300, Publisher(str(number), valve))
    assert [valve.shut for valve in valves] == [False, True]
    purge(broker.queue("q0"))
    assert [valve.shut for valve in valves] == [False, False]
    assert broker.places.shut == 0


def test_those_whose_turn_does_not_come_with_what_leaves_are_looked_at_as_time_passes() -> None:
    broker = bounded()
    valves = [LogValve() for _ in range(3 * LOOKED_AT_ONCE)]
    send(broker, "large", size=MAX)
    for number, valve in enumerate(valves):
        send(broker, f"q{number}", 1, Publisher(str(number), valve))
    assert not [valve for valve in valves if not valve.shut]
    purge(broker.queue("large"))
    assert len([valve for valve in valves if not valve.shut]) == 1
    for second in range(4):
        broker.tick(second * 1_000)
    assert not [valve for valve in valves if valve.shut]
    assert broker.places.shut == 0


def test_nobody_is_let_in_where_nothing_at_all_is_free() -> None:
    """It would come back at once, and be let in again, without end."""
    broker = bounded()
    broker.unstored.bytes = broker.unstored.bytes_max - broker.unstored.for_moving
    valve = LogValve()
    publisher = Publisher("p", valve)
    assert broker.keeps_waiting_at(publisher, Destination(QUEUE, "q"), False)
    broker.tick(1_000)
    assert valve.turns == [True]
    broker.unstored.bytes -= 1
    broker.tick(2_000)
    assert not valve.shut


def test_the_policy_of_the_queue_says_what_becomes_of_a_message_for_which_there_is_no_memory() -> None:
    for when_full, answers, dropped in ((REJECT, REFUSED, 1), (DROP_NEWEST, 0, 1), (DROP_OLDEST, 0, 1)):
        broker = bounded(when_full)
        send(broker, "q", ALONE)
        queue = broker.queue("q")
        first = queue.browse()[0].message.id
        assert send(broker, "q") == [answers]
        assert broker.counters.dropped_full == dropped
        assert broker.unstored.wanting == 1
        assert queue.depth == ALONE
        assert (queue.browse()[0].message.id == first) is (when_full != DROP_OLDEST)
        assert not faults(queue)


def test_the_oldest_make_room_only_where_they_are_in_memory_alone() -> None:
    broker = bounded(DROP_OLDEST)
    send(broker, "q", 1, persistent=True)
    send(broker, "q", ALONE + 1)
    # What is persistent is the oldest, and would make no room.
    assert broker.queue("q").browse()[0].message.persistent
    assert broker.queue("q").depth == ALONE + 1
    assert broker.counters.dropped_full == 1


def test_a_queue_far_above_what_it_may_have_comes_down_bit_by_bit() -> None:
    """All in one go would hold up everybody."""
    broker = bounded(DROP_OLDEST)
    send(broker, "q", ALONE)
    send(broker, "large", size=500_000)
    depth = broker.queue("q").depth
    for number in range(100):
        send(broker, "q")
        assert broker.queue("q").depth == depth - number - 1


def test_what_is_dropped_for_memory_goes_to_the_dead_letters_while_there_is_memory_for_those() -> None:
    broker = bounded(DROP_OLDEST, "DLQ")
    send(broker, "q", 5_000)
    assert broker.unstored.bytes <= MAX
    letters = dead(broker)
    assert letters
    assert letters[0].message.deaths is not None
    assert letters[0].message.deaths[0].reason == "maxlen"


def test_dead_letters_of_what_is_not_kept_are_dropped_where_there_is_no_memory() -> None:
    broker = bounded(BLOCK, "DLQ")
    send(broker, "DLQ", ALONE)
    outlet = LogOutlet(REJECTED)
    consume(broker.queue("q"), outlet)
    before = broker.unstored.bytes
    send(broker, "q", 10)
    assert broker.unstored.bytes == before
    assert broker.counters.dropped_full == 10


def test_a_transaction_for_which_there_is_no_memory_is_refused_whole() -> None:
    broker = bounded(REJECT)
    transaction = broker.transaction()
    for _ in range(ALONE + 1):
        transaction.publish(message(broker, "q", size=SIZE))
    with pytest.raises(TransactionRefused, match="queue:q is full"):
        transaction.commit()
    assert broker.unstored.bytes == 0
    transaction = broker.transaction()
    for _ in range(ALONE - 1):
        transaction.publish(message(broker, "q", size=SIZE))
    transaction.commit()
    assert broker.queue("q").depth == ALONE - 1


def test_a_topic_is_refused_by_a_queue_without_memory_that_refuses() -> None:
    broker = bounded(REJECT)
    queue = broker.queue("q")
    broker.bind_queue(queue, Binding(pattern("t"), queue))
    send(broker, "q", ALONE)
    one = topic_message(broker, "t")
    assert broker.publish_to(one.destination, one) == REFUSED
    kept = topic_message(broker, "t", persistent=True)
    assert broker.publish_to(kept.destination, kept) > 0
    assert broker.unstored.wanting == 1


def test_a_topic_waits_for_memory_no_longer_than_for_a_full_queue() -> None:
    """Then what is not kept makes room, until the queue is half empty."""
    broker = bounded()
    queue = broker.queue("q")
    broker.bind_queue(queue, Binding(pattern("t"), queue))
    valve = LogValve()
    publisher = Publisher("p", valve)
    topic = broker.topics.topic("t")

    def publish() -> None:
        broker.publish(message(broker, "t", kind=TOPIC, publisher=publisher, size=SIZE), topic)

    for _ in range(ALONE + 1):
        publish()
    assert valve.shut
    assert broker.keeps_waiting(publisher, topic, False)
    broker.tick(broker.now_ms + 11_000)
    assert not valve.shut
    assert not broker.keeps_waiting(publisher, topic, False)
    for _ in range(1_000):
        publish()
    assert not valve.shut
    assert broker.unstored.bytes <= MAX // 2 + 1_000
    assert broker.counters.dropped_full >= 900


def test_who_reads_the_queue_it_sends_to_goes_on_up_to_twice_and_is_then_refused() -> None:
    broker = bounded()
    valve = LogValve()
    publisher = Publisher("own", valve)
    outlet = LogOutlet()
    outlet.publishes_as = publisher
    consume(broker.queue("q"), outlet, 10)
    answers = send(broker, "q", 1_000, publisher)
    assert valve.turns == []
    assert REFUSED in answers
    # Twice as much as is left free, but for what is for queues that move.
    assert broker.queue("q").depth == 584


def test_what_a_consumer_has_counts_until_it_is_settled_also_of_a_queue_that_is_deleted() -> None:
    broker = bounded()
    queue = broker.queue("q")
    outlet = LogOutlet()
    consume(queue, outlet, 5)
    send(broker, "q", 10)
    assert broker.unstored.bytes == 10_000
    broker.delete_queue(queue)
    broker.chores.finish()
    assert broker.unstored.bytes == 5_000
    for delivery in outlet.open:
        delivery.settle(FAILED)
    assert broker.unstored.bytes == 0


def test_a_delivery_that_its_consumer_failed_to_take_counts_once() -> None:
    class Broken(LogOutlet):
        def deliver(self, delivery: Delivery) -> None:
            raise RuntimeError("a bug")

        def broke(self, error: Exception) -> None:
            pass

    broker = bounded()
    queue = broker.queue("q")
    consume(queue, Broken(), 5)
    send(broker, "q", 3)
    assert broker.unstored.bytes == 3_000
    assert not faults(queue)
    purge(queue)
    assert broker.unstored.bytes == 0


def test_a_queue_that_is_deleted_lets_those_go_that_waited_for_memory() -> None:
    broker = bounded()
    valve = LogValve()
    send(broker, "q", ALONE + 1, Publisher("p", valve))
    broker.delete_queue(broker.queue("q"))
    assert not valve.shut
    assert broker.places.shut == 0
    assert not broker.unstored.line


def test_by_default_one_queue_may_have_nearly_as_much_as_its_own_limit() -> None:
    assert broker_with().unstored.bytes_max // 2 == QueuePolicy().bytes_max
