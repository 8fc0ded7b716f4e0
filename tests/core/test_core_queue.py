"""gateway/core/queue.py"""

import pytest
from core_doubles import COMPILED, needs_outlet
from core_messages import message, pattern, topic_message
from core_queues import broker_with, consume, dead, fill, queue_with, store_of, waiting_ids

from gateway.core.credit import Credit
from gateway.core.delivery import ACCEPTED, EXPIRED, FAILED, READY, REJECTED, RELEASED, SETTLED, Delivery
from gateway.core.flow import Publisher
from gateway.core.limits import QueuePolicy
from gateway.core.ports import NOTHING, Dequeued, Enqueued, QueueMade, Redelivered
from gateway.core.purging import purge
from gateway.core.queue_key import DURABLE, QueueKey
from gateway.core.subscription import Binding

if not COMPILED:
    from core_doubles import LogOutlet


# -- holding


def test_messages_wait_until_somebody_consumes() -> None:
    queue = queue_with()
    ids = fill(queue, 3)
    assert waiting_ids(queue) == ids
    assert (queue.depth, queue.waiting, queue.unsettled, queue.bytes) == (3, 3, 0, 3)
    assert queue.enqueued_total == 3


def test_purge_lets_go_of_what_waits_and_tells_the_store() -> None:
    queue = queue_with()
    queue.offer(message(queue.broker, persistent=True))
    queue.offer(message(queue.broker))
    assert purge(queue).count == 2
    assert (queue.depth, queue.bytes) == (0, 0)
    assert store_of(queue.broker).operations[2:] == [Dequeued(1, 1, 2)]


# -- delivering


@needs_outlet
def test_consumers_compete_in_turn() -> None:
    queue = queue_with()
    one, two = LogOutlet(), LogOutlet()
    consume(queue, one)
    consume(queue, two)
    ids = fill(queue, 5)
    assert one.ids == ids[0::2]
    assert two.ids == ids[1::2]
    assert queue.unsettled == 5


@needs_outlet
def test_what_waited_is_delivered_at_once_to_a_new_consumer() -> None:
    queue = queue_with()
    ids = fill(queue, 3)
    outlet = LogOutlet()
    consume(queue, outlet, 2)
    assert outlet.ids == ids[:2]
    assert queue.waiting == 1


@needs_outlet
def test_credit_is_the_most_that_is_unsettled() -> None:
    queue = queue_with()
    outlet = LogOutlet()
    credit = Credit(2)
    consume(queue, outlet, credit)
    ids = fill(queue, 4)
    assert outlet.ids == ids[:2]
    assert credit.available == 0
    outlet.open[0].settle(ACCEPTED)
    assert outlet.ids == ids[:3]
    assert credit.available == 0
    credit.give(5)
    assert outlet.ids == ids
    assert credit.available == 4


@needs_outlet
def test_one_without_credit_leaves_its_turn_to_the_others() -> None:
    queue = queue_with()
    poor, rich = LogOutlet(), LogOutlet()
    consume(queue, poor, 0)
    consume(queue, rich)
    ids = fill(queue, 3)
    assert poor.ids == []
    assert rich.ids == ids


@needs_outlet
def test_a_congested_outlet_gets_nothing_until_it_is_woken() -> None:
    queue = queue_with()
    outlet = LogOutlet()
    outlet.congested = True
    credit = Credit(5)
    consume(queue, outlet, credit)
    ids = fill(queue, 2)
    assert outlet.ids == []
    outlet.congested = False
    credit.wake()
    assert outlet.ids == ids


@needs_outlet
def test_an_automatic_consumer_needs_no_credit_and_settles_on_return() -> None:
    queue = queue_with()
    outlet = LogOutlet()
    credit = Credit(0)
    consume(queue, outlet, credit, automatic=True)
    ids = fill(queue, 3)
    assert outlet.ids == ids
    assert (queue.depth, queue.bytes, credit.available) == (0, 0, 0)
    assert [d.state for d in outlet.taken] == [SETTLED] * 3


@needs_outlet
def test_a_detached_consumer_gets_no_more_and_keeps_what_it_has() -> None:
    queue = queue_with()
    outlet = LogOutlet()
    credit = Credit(5)
    consumer = consume(queue, outlet, credit)
    fill(queue, 1)
    queue.detach(consumer)
    queue.detach(consumer)
    assert queue.consumers_count == 0
    fill(queue, 1)
    assert (queue.unsettled, queue.waiting, len(outlet.taken)) == (1, 1, 1)
    outlet.taken[0].settle(ACCEPTED)
    assert queue.depth == 1
    assert credit.available == 5


@needs_outlet
def test_the_turn_stays_fair_when_consumers_come_and_go() -> None:
    queue = queue_with()
    outlets = [LogOutlet() for _ in range(3)]
    consumers = [consume(queue, outlet, 100) for outlet in outlets]
    fill(queue, 2)
    queue.detach(consumers[2])
    fill(queue, 10)
    assert sorted([len(outlet.ids) for outlet in outlets]) == [0, 6, 6]


@needs_outlet
def test_the_tag_is_found_again_on_delivery() -> None:
    queue = queue_with()
    outlet = LogOutlet()
    consume(queue, outlet, tag="mine")
    fill(queue, 1)
    consumer = outlet.taken[0].consumer
    assert consumer is not None
    assert consumer.tag == "mine"


# -- outcomes


@needs_outlet
def test_accepted_leaves_the_queue() -> None:
    queue = queue_with()
    outlet = LogOutlet()
    consume(queue, outlet, 1)
    fill(queue, 1)
    assert outlet.taken[0].settle(ACCEPTED) == NOTHING
    assert (queue.depth, queue.unsettled, queue.bytes) == (0, 0, 0)
    assert outlet.taken[0].state == SETTLED


@needs_outlet
@pytest.mark.parametrize(("outcome", "failures"), [(RELEASED, 0), (FAILED, 1)])
def test_released_and_failed_take_their_old_place_again(outcome: int, failures: int) -> None:
    queue = queue_with()
    outlet = LogOutlet()
    consumer = consume(queue, outlet, 3)
    ids = fill(queue, 5)
    queue.detach(consumer)
    for index in (1, 2, 0):
        outlet.taken[index].settle(outcome)
    assert waiting_ids(queue) == ids
    assert [d.failures for d in queue.browse()] == [failures] * 3 + [0, 0]
    assert [d.state for d in queue.browse()] == [READY] * 5


@needs_outlet
def test_what_comes_back_goes_to_another_consumer() -> None:
    queue = queue_with()
    one, two = LogOutlet(), LogOutlet()
    consume(queue, one, 1)
    fill(queue, 1)
    consume(queue, two, 1)
    one.taken[0].settle(FAILED)
    assert len(one.taken) + len(two.taken) == 2
    assert two.ids == one.ids or len(one.taken) == 2


@needs_outlet
def test_rejected_goes_to_the_dead_letters() -> None:
    queue = queue_with(QueuePolicy(dead_letters="DLQ"))
    broker = queue.broker
    outlet = LogOutlet()
    consume(queue, outlet)
    ids = fill(queue, 1)
    broker.now_ms = 77
    outlet.taken[0].settle(REJECTED)
    assert queue.depth == 0
    (letter,) = dead(broker)
    assert letter.message.id == ids[0]
    assert str(letter.message.destination) == "queue:DLQ"
    assert str(letter.message.original) == "queue:q"
    deaths = letter.message.deaths
    assert deaths is not None
    (death,) = deaths
    assert (death.queue, death.reason, death.count) == ("queue:q", "rejected", 1)
    assert (death.first_ms, death.last_ms) == (77, 77)
    assert broker.counters.dead_lettered == 1


@needs_outlet
def test_without_dead_letters_the_rejected_are_discarded_and_counted() -> None:
    queue = queue_with(QueuePolicy(dead_letters=None))
    outlet = LogOutlet()
    consume(queue, outlet)
    fill(queue, 1)
    outlet.taken[0].settle(REJECTED)
    assert queue.depth == 0
    assert queue.broker.counters.discarded == 1
    assert queue.broker.counters.dead_lettered == 0


@needs_outlet
def test_the_dead_letters_own_rejects_are_discarded_and_do_not_go_round() -> None:
    broker = broker_with(policy=QueuePolicy(dead_letters="DLQ"))
    queue = broker.queue("DLQ")
    outlet = LogOutlet()
    consume(queue, outlet)
    fill(queue, 1)
    outlet.taken[0].settle(REJECTED)
    assert queue.depth == 0
    assert broker.counters.discarded == 1


@needs_outlet
def test_the_delivery_limit_ends_in_the_dead_letters() -> None:
    queue = queue_with(QueuePolicy(deliveries_max=2, dead_letters="DLQ"))
    outlet = LogOutlet()
    consume(queue, outlet, 1)
    fill(queue, 1)
    for failures in (0, 1):
        assert outlet.taken[-1].failures == failures
        outlet.taken[-1].settle(FAILED)
    assert len(outlet.taken) == 2
    assert queue.depth == 0
    (letter,) = dead(queue.broker)
    assert letter.message.deaths is not None
    assert letter.message.deaths[0].reason == "delivery_limit"


@needs_outlet
def test_no_delivery_limit_when_it_is_zero() -> None:
    queue = queue_with(QueuePolicy(deliveries_max=0))
    outlet = LogOutlet()
    consume(queue, outlet, 1)
    fill(queue, 1)
    for _ in range(100):
        outlet.taken[-1].settle(FAILED)
    assert queue.depth == 1


@needs_outlet
def test_deaths_count_up_by_queue_and_reason_newest_first() -> None:
    broker = broker_with(policy=QueuePolicy(dead_letters="DLQ"))
    queue = broker.queue("q")
    outlet = LogOutlet()
    consume(queue, outlet)
    original = message(broker)
    for now_ms, outcome in ((10, REJECTED), (20, EXPIRED), (30, REJECTED)):
        broker.now_ms = now_ms
        again = original.redirected(original.destination)
        queue.offer(again)
        outlet.taken[-1].settle(outcome)
        original = dead(broker)[-1].message
    assert original.deaths is not None
    assert [(d.reason, d.count, d.first_ms, d.last_ms) for d in original.deaths] == [
        ("rejected", 2, 10, 30),
        ("expired", 1, 20, 20),
    ]


@needs_outlet
def test_settling_twice_is_our_own_mistake() -> None:
    queue = queue_with()
    outlet = LogOutlet()
    consume(queue, outlet)
    fill(queue, 1)
    outlet.taken[0].settle(ACCEPTED)
    with pytest.raises(AssertionError):
        outlet.taken[0].settle(ACCEPTED)


# -- durability


@needs_outlet
def test_persistent_messages_are_kept_by_the_store() -> None:
    queue = queue_with()
    store = store_of(queue.broker)
    kept = message(queue.broker, persistent=True)
    assert queue.offer(kept) == 2
    outlet = LogOutlet()
    consume(queue, outlet, 1)
    assert outlet.taken[0].settle(FAILED) == 3
    assert outlet.taken[1].settle(ACCEPTED) == 4
    assert store.operations == [
        QueueMade(1, "queue:q"),
        Enqueued(1, 1, kept),
        Redelivered(1, 1, 1),
        Dequeued(1, 1, 2),
    ]


@needs_outlet
def test_released_leaves_no_trace_in_the_store() -> None:
    queue = queue_with()
    queue.offer(message(queue.broker, persistent=True))
    outlet = LogOutlet()
    queue.detach(consume(queue, outlet, 1))
    assert outlet.taken[0].settle(RELEASED) == NOTHING
    assert len(store_of(queue.broker).operations) == 2


def test_a_queue_that_is_not_durable_asks_nothing_of_the_store() -> None:
    queue = queue_with(QueuePolicy(durable=False))
    assert queue.offer(message(queue.broker, persistent=True)) == NOTHING
    purge(queue)
    assert store_of(queue.broker).operations == []


@needs_outlet
def test_moving_to_the_dead_letters_is_one_step_for_the_store() -> None:
    queue = queue_with(QueuePolicy(dead_letters="DLQ"))
    store = store_of(queue.broker)
    queue.offer(message(queue.broker, persistent=True))
    outlet = LogOutlet()
    consume(queue, outlet)
    position = outlet.taken[0].settle(REJECTED)
    assert position == 5
    assert [type(operation) for operation in store.operations] == [
        QueueMade,
        Enqueued,
        Dequeued,
        QueueMade,
        Enqueued,
    ]
    assert store.depth == 0


# -- expiry


@needs_outlet
def test_expired_messages_are_not_delivered() -> None:
    queue = queue_with(QueuePolicy(dead_letters="DLQ"))
    broker = queue.broker
    late = message(broker, expires_at_ms=100)
    good = message(broker, expires_at_ms=101)
    queue.offer(late)
    queue.offer(good)
    broker.now_ms = 100
    outlet = LogOutlet()
    consume(queue, outlet)
    assert outlet.ids == [good.id]
    (letter,) = dead(broker)
    assert letter.message.id == late.id
    # It must not die again where it waits to be looked at.
    assert letter.message.expires_at_ms == 0
    assert broker.counters.expired == 1


def test_time_alone_expires_what_waits() -> None:
    queue = queue_with(QueuePolicy(dead_letters=None))
    broker = queue.broker
    for expires_at_ms in (300, 100, 0, 200):
        queue.offer(message(broker, expires_at_ms=expires_at_ms))
    for now_ms, left in ((99, 4), (100, 3), (250, 2), (300, 1), (10_000, 1)):
        broker.tick(now_ms)
        assert queue.waiting == left
    assert broker.counters.expired == 3
    assert broker.counters.discarded == 3
    assert queue.bytes == 1


@needs_outlet
def test_what_comes_back_still_expires() -> None:
    queue = queue_with()
    broker = queue.broker
    queue.offer(message(broker, expires_at_ms=100))
    outlet = LogOutlet()
    queue.detach(consume(queue, outlet))
    broker.tick(50)
    outlet.taken[0].settle(RELEASED)
    broker.tick(100)
    assert queue.depth == 0


# -- no-local


def test_no_local_leaves_out_ones_own() -> None:
    queue = queue_with()
    me, other = Publisher("me", None), Publisher("other", None)
    binding = Binding(pattern("t"), queue, me)
    assert queue.offer(message(queue.broker, publisher=me), binding) == NOTHING
    assert queue.depth == 0
    queue.offer(message(queue.broker, publisher=other), binding)
    queue.offer(message(queue.broker, publisher=None), binding)
    assert queue.depth == 2


# -- bound to topics


def test_a_bound_queue_keeps_what_its_pattern_matches() -> None:
    broker = broker_with()
    queue = broker.bound_queue(QueueKey(DURABLE, "c", "n"), QueuePolicy())
    broker.bind_queue(queue, Binding(pattern("a.>"), queue))
    broker.bind_queue(queue, Binding(pattern("*.b"), queue))
    wanted = topic_message(broker, "a.b")
    broker.publish(wanted, broker.topics.topic("a.b"))
    broker.publish(topic_message(broker, "x"), broker.topics.topic("x"))
    # Both patterns match a.b: one copy.
    assert waiting_ids(queue) == [wanted.id]
    broker.unbind_queue(queue, queue.bindings[0])
    broker.publish(topic_message(broker, "a.x"), broker.topics.topic("a.x"))
    assert queue.depth == 1


# -- the end, and re-entrancy


@needs_outlet
def test_deleting_ends_everything_and_late_outcomes_are_harmless() -> None:
    broker = broker_with(policy=QueuePolicy(dead_letters="DLQ"))
    queue = broker.bound_queue(QueueKey(DURABLE, "c", "n"), broker.policy)
    broker.bind_queue(queue, Binding(pattern("a"), queue))
    outlet = LogOutlet()
    credit = Credit(3)
    consume(queue, outlet, credit)
    fill(queue, 5)
    broker.delete_queue(queue)
    broker.delete_queue(queue)
    assert queue.deleted
    assert "durable:1:c/n" not in broker.queues
    assert broker.topics.bindings_count == 0
    assert queue.consumers_count == 0
    for delivery, outcome in zip(outlet.taken, (ACCEPTED, FAILED, REJECTED), strict=True):
        assert delivery.settle(outcome) == NOTHING
        assert delivery.state == SETTLED
    assert credit.available == 3
    assert (queue.waiting, queue.unsettled) == (0, 0)
    assert broker.counters.dead_lettered == 0


@needs_outlet
def test_settling_inside_deliver_keeps_the_order() -> None:
    queue = queue_with()
    ids = fill(queue, 2_000)
    outlet = LogOutlet(at_once=ACCEPTED)
    consume(queue, outlet, 1)
    assert outlet.ids == ids
    assert queue.depth == 0


@needs_outlet
def test_rejecting_inside_deliver_does_not_recurse() -> None:
    queue = queue_with(QueuePolicy(dead_letters="DLQ"))
    ids = fill(queue, 2_000)
    consume(queue, LogOutlet(at_once=REJECTED), 1)
    assert waiting_ids(queue.broker.queue("DLQ")) == ids


@needs_outlet
def test_failing_inside_deliver_ends_at_the_delivery_limit() -> None:
    queue = queue_with(QueuePolicy(deliveries_max=3, dead_letters="DLQ"))
    ids = fill(queue, 3)
    outlet = LogOutlet(at_once=FAILED)
    consume(queue, outlet, 1)
    assert outlet.ids == [one for one in ids for _ in range(3)]
    assert waiting_ids(queue.broker.queue("DLQ")) == ids


@needs_outlet
def test_a_thousand_queues_behind_one_window_do_not_recurse() -> None:
    broker = broker_with()
    credit = Credit(0)
    outlet = LogOutlet(at_once=ACCEPTED)
    queues = [broker.queue(f"q{number}") for number in range(1_000)]
    for queue in queues:
        fill(queue, 2)
        consume(queue, outlet, credit)
    credit.give(1)
    assert len(outlet.taken) == 2_000
    assert [queue.depth for queue in queues] == [0] * 1_000


@needs_outlet
def test_an_outlet_that_fails_does_not_stop_the_queue_for_the_others() -> None:
    """Nor does it cost who sent the message, nor the message: somebody else gets it, and it counts as failed."""

    class Broken(LogOutlet):
        __slots__ = ("errors",)

        def __init__(self) -> None:
            super().__init__()
            self.errors: list[Exception] = []

        def deliver(self, delivery: Delivery) -> None:
            super().deliver(delivery)
            raise RuntimeError("a bug of ours")

        def broke(self, error: Exception) -> None:
            self.errors.append(error)

    queue = queue_with(QueuePolicy(dead_letters="DLQ"))
    broken = Broken()
    consumer = consume(queue, broken, 5)
    ids = fill(queue, 2)
    assert (len(broken.errors), queue.waiting, queue.unsettled) == (1, 2, 0)
    assert consumer.credit.available == 5
    queue.detach(consumer)
    outlet = LogOutlet()
    consume(queue, outlet, 5)
    assert outlet.ids == ids
    assert [delivery.failures for delivery in outlet.taken] == [1, 0]
    # What the broken one still believes to have settles nothing.
    assert broken.open[0].settle(REJECTED) == NOTHING
    for delivery in outlet.open:
        delivery.settle(ACCEPTED)
    assert (queue.depth, queue.bytes, queue.broker.counters.dead_lettered) == (0, 0, 0)
