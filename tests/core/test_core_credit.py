"""gateway/core/credit.py"""

from core_doubles import COMPILED, broker_with, consume, message, needs_outlet

from gateway.core.credit import UNLIMITED, Credit
from gateway.core.delivery import ACCEPTED

if not COMPILED:
    from core_doubles import LogOutlet


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
