"""gateway/core/credit.py"""

from core_doubles import COMPILED, needs_outlet
from core_messages import message
from core_queues import broker_with, consume
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.credit import CALLED_AT_ONCE, UNLIMITED, Credit
from gateway.core.delivery import ACCEPTED
from gateway.core.purging import purge
from gateway.core.subscription import Consumer

if not COMPILED:
    from core_doubles import LogOutlet, LookedAtOutlet


def test_a_window_that_nobody_uses_only_counts() -> None:
    credit = Credit(1)
    credit.give(2)
    credit.wake()
    assert credit.available == 3


@needs_outlet
def test_one_window_for_several_queues() -> None:
    broker = broker_with()
    credit = Credit(2)
    outlet = LogOutlet()
    queues = [broker.queue(name) for name in ("a", "b", "c")]
    for queue in queues:
        queue.offer(message(broker))
        consume(queue, outlet, credit)
    assert [queue.unsettled for queue in queues] == [1, 1, 0]
    assert credit.available == 0
    # Room made by one queue serves another.
    outlet.open[0].settle(ACCEPTED)
    assert [queue.unsettled for queue in queues] == [0, 1, 1]
    assert credit.available == 0


@needs_outlet
def test_a_window_below_zero_is_filled_before_it_serves() -> None:
    # A client that comes back with a smaller Receive Maximum than it has in flight.
    broker = broker_with()
    credit = Credit(-2)
    outlet = LogOutlet()
    queue = broker.queue("q")
    queue.offer(message(broker))
    consume(queue, outlet, credit)
    for _ in range(2):
        credit.give(1)
        assert outlet.taken == []
    credit.give(1)
    assert len(outlet.taken) == 1


@needs_outlet
def test_unlimited_is_more_than_anybody_takes() -> None:
    broker = broker_with()
    outlet = LogOutlet()
    queue = broker.queue("q")
    consume(queue, outlet, UNLIMITED)
    for _ in range(100):
        queue.offer(message(broker))
    assert len(outlet.taken) == 100


@needs_outlet
def test_only_queues_that_have_something_are_looked_at() -> None:
    broker = broker_with()
    credit = Credit(1)
    outlet = LookedAtOutlet()
    queues = [broker.queue(str(number)) for number in range(200)]
    for queue in queues:
        consume(queue, outlet, credit)
    queues[7].offer(message(broker))
    queues[8].offer(message(broker))
    outlet.looks = 0
    outlet.open[0].settle(ACCEPTED)
    assert [delivery.queue for delivery in outlet.taken] == [queues[7], queues[8]]
    # Whether the one that waited is ready, in its line and in its queue.
    assert outlet.looks <= 4


@needs_outlet
def test_queues_behind_one_window_have_their_turns() -> None:
    broker = broker_with()
    credit = Credit(0)
    outlet = LogOutlet()
    queues = [broker.queue(name) for name in ("a", "b", "c")]
    for queue in queues:
        for _ in range(2):
            queue.offer(message(broker))
        consume(queue, outlet, credit)
    for _ in range(6):
        credit.give(1)
    assert [delivery.queue.destination.name for delivery in outlet.taken] == ["a", "b", "c", "a", "b", "c"]


@needs_outlet
def test_who_needs_no_credit_does_not_wait_behind_who_has_none() -> None:
    broker = broker_with()
    credit = Credit(0)
    outlet = LogOutlet()
    outlet.congested = True
    counted, free = broker.queue("counted"), broker.queue("free")
    for queue, automatic in ((counted, False), (free, True)):
        queue.offer(message(broker))
        consume(queue, outlet, credit, automatic=automatic)
    outlet.congested = False
    credit.wake()
    assert (counted.waiting, free.waiting) == (1, 0)


@needs_outlet
def test_credit_does_not_serve_who_is_congested() -> None:
    broker = broker_with()
    credit = Credit(0)
    outlet = LookedAtOutlet()
    outlet.congested = True
    for number in range(100):
        queue = broker.queue(str(number))
        queue.offer(message(broker))
        consume(queue, outlet, credit)
    outlet.looks = 0
    credit.give(50)
    assert (outlet.taken, outlet.looks) == ([], 1)
    outlet.congested = False
    credit.wake()
    assert len(outlet.taken) == 50


@needs_outlet
@given(
    st.lists(
        st.tuples(st.sampled_from(["offer", "settle", "hold", "give", "leave"]), st.integers(0, 5)),
        max_size=60,
    )
)
def test_property_windows_within_one_are_kept_and_nobody_is_forgotten(steps: list[tuple[str, int]]) -> None:
    broker = broker_with()
    whole = Credit(2)
    outlets = [LogOutlet() for _ in range(3)]
    credits = [Credit(n, whole) for n in range(3)]
    queues = [broker.queue(str(n)) for n in range(6)]
    consumers = [consume(queue, outlets[n % 3], credits[n % 3]) for n, queue in enumerate(queues)]
    for step, n in steps:
        outlet = outlets[n % 3]
        if step == "offer":
            queues[n].offer(message(broker))
        elif step == "settle" and outlet.open:
            outlet.open.pop(n % len(outlet.open)).settle(ACCEPTED)
        elif step == "hold":
            outlet.congested = not outlet.congested
            if not outlet.congested:
                credits[n % 3].wake()
        elif step == "give":
            credits[n % 3].give(1)
        elif step == "leave":
            queues[n].detach(consumers[n])
        assert whole.available == 2 - sum(len(outlet.open) for outlet in outlets) >= 0
        for queue, consumer in zip(queues, consumers, strict=True):
            assert not queue.waiting or not consumer.ready or consumer.outlet not in outlets


@needs_outlet
def test_who_is_parked_at_very_many_queues_is_called_some_a_step_though_nothing_waits_there() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    outlet = LogOutlet()
    outlet.congested = True
    credit = Credit(10)
    queues = [broker.queue(f"q{number}") for number in range(5 * CALLED_AT_ONCE)]
    for queue in queues:
        queue.attach(Consumer(queue, outlet, credit, False))
        queue.offer(message(broker))
        purge(queue)
    outlet.congested = False
    called = []
    credit.wake()
    while True:
        parked = [one for queue in queues for one in queue.roster.all() if one.parked]
        called.append(len(queues) - len(parked))
        if not broker.chores:
            break
        broker.chores.step()
    assert called == [*range(CALLED_AT_ONCE, len(queues) + 1, CALLED_AT_ONCE)]
