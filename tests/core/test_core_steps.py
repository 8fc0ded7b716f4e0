"""What would hold up the loop goes on in later turns, and stays right whatever happens between two steps."""

from itertools import pairwise

from core_doubles import COMPILED, needs_outlet
from core_messages import message, pattern, topic_message
from core_queues import broker_with, consume, waiting_ids

from gateway.core.contents import faults
from gateway.core.dedup import FORGOTTEN_AT_ONCE, summed
from gateway.core.delivery import ACCEPTED
from gateway.core.flow import Publisher
from gateway.core.leaving import DISMISSED_AT_ONCE
from gateway.core.limits import DROP_OLDEST, CoreLimits, QueuePolicy
from gateway.core.overflow import DROPPED_AT_ONCE, hold
from gateway.core.router import Broker
from gateway.core.routes import DROPPED_AT_ONCE as ROUTES_AT_ONCE
from gateway.core.schedule import FIRED_AT_ONCE, Timing
from gateway.core.stalls import ENDED_AT_ONCE
from gateway.core.subscription import Binding
from gateway.core.watching import WATCHERS_AT_ONCE, QueueWatcher

if not COMPILED:
    from core_doubles import LogOutlet, LogValve

    class Stopper(LogOutlet):
        """Is ended when it holds up others."""

        __slots__ = ("ended",)

        def __init__(self) -> None:
            super().__init__()
            self.ended = False

        def holds_up(self) -> None:
            self.ended = True

    class LogWatcher(QueueWatcher):
        """Remembers the queues that it was told of."""

        __slots__ = ("told",)

        def __init__(self) -> None:
            self.told: list[str] = []

        def queue_made(self, queue: object) -> None:
            self.told.append(str(queue))


pytestmark = needs_outlet


def driven(limits: CoreLimits | None = None, policy: QueuePolicy | None = None) -> Broker:
    """Its chores go on step by step."""
    broker = broker_with(limits, policy)
    broker.chores.driven_by(lambda: None)
    return broker


def changes(counts: list[int]) -> list[int]:
    return [after - before for before, after in pairwise(counts)]


# -- a large message that takes the place of very many small ones

SMALL_ONES = 10 * DROPPED_AT_ONCE


def overfull() -> tuple[Broker, list[int]]:
    """A queue in which a large message has come behind small ones, and one more behind that; the ids of the two."""
    broker = driven(policy=QueuePolicy(bytes_max=SMALL_ONES, when_full=DROP_OLDEST))
    queue = broker.queue("q")
    for _ in range(SMALL_ONES):
        queue.offer(message(broker, size=1))
    last = [message(broker, size=SMALL_ONES - 10), message(broker, size=1)]
    for one in last:
        queue.offer(one)
    return broker, [one.id for one in last]


def test_what_a_large_message_displaces_goes_some_a_step() -> None:
    broker, last = overfull()
    queue = broker.queue("q")
    dropped = [0, broker.counters.dropped_full]
    while broker.chores:
        broker.chores.step()
        dropped.append(broker.counters.dropped_full)
    assert max(changes(dropped)) <= DROPPED_AT_ONCE + 1
    assert queue.bytes <= SMALL_ONES
    assert waiting_ids(queue)[-2:] == last
    assert broker.counters.dropped_full + queue.waiting == SMALL_ONES + 2
    assert faults(queue) == []


def test_a_queue_that_is_deleted_while_it_makes_room_drops_nothing_more() -> None:
    broker, _ = overfull()
    broker.chores.step()
    dropped = broker.counters.dropped_full
    broker.delete_queue(broker.queue("q"))
    broker.chores.finish()
    assert broker.counters.dropped_full == dropped
    assert broker.resident_bytes == 0


def test_a_consumer_that_comes_while_a_queue_makes_room_has_each_message_once() -> None:
    broker, last = overfull()
    broker.chores.step()
    outlet = LogOutlet(ACCEPTED)
    queue = broker.queue("q")
    consume(queue, outlet, 1)
    broker.chores.finish()
    assert len(set(outlet.ids)) == len(outlet.ids)
    assert len(outlet.ids) + broker.counters.dropped_full == SMALL_ONES + 2
    assert outlet.ids[-2:] == last
    assert faults(queue) == []


# -- the consumers of a queue that goes


def test_the_consumers_of_a_deleted_queue_are_sent_away_some_a_step() -> None:
    broker = driven()
    queue = broker.queue("q")
    consumers = [consume(queue, LogOutlet(), 1) for _ in range(3 * DISMISSED_AT_ONCE)]
    broker.delete_queue(queue)
    left = [len(consumers), queue.consumers_count]
    assert left[1] == len(consumers) - DISMISSED_AT_ONCE
    # One that leaves by itself meanwhile.
    queue.detach(consumers[-1])
    while broker.chores:
        broker.chores.step()
        left.append(queue.consumers_count)
    assert min(changes(left)) >= -DISMISSED_AT_ONCE - 1
    assert left[-1] == 0
    assert broker.queue("q").consumers_count == 0


# -- readers that hold up others


def test_readers_of_a_queue_that_lets_nothing_go_are_ended_some_a_step() -> None:
    broker = driven(policy=QueuePolicy(messages_max=1, topic_wait_max_ms=1_000))
    queue = broker.queue("q")
    broker.bind_queue(queue, Binding(pattern("t"), queue))
    readers = [Stopper() for _ in range(3 * ENDED_AT_ONCE)]
    for reader in readers:
        reader.congested = True
        consume(queue, reader, 1)
    queue.offer(message(broker))
    assert hold(queue, Publisher("p", LogValve()), False)
    broker.tick(2_000)
    ended = [0, sum(reader.ended for reader in readers)]
    while broker.chores:
        broker.chores.step()
        ended.append(sum(reader.ended for reader in readers))
    assert max(changes(ended)) <= ENDED_AT_ONCE
    assert ended[-1] == len(readers)


def test_readers_go_on_and_stay_where_those_that_waited_have_left() -> None:
    """Others wait no longer: there is nobody whom the queue holds up."""
    broker = driven(policy=QueuePolicy(messages_max=1, topic_wait_max_ms=1_000))
    queue = broker.queue("q")
    broker.bind_queue(queue, Binding(pattern("t"), queue))
    reader = Stopper()
    reader.congested = True
    consume(queue, reader, 1)
    queue.offer(message(broker))
    publisher = Publisher("p", LogValve())
    assert hold(queue, publisher, False)
    publisher.leave()
    for now_ms in range(2_000, 10_000, 1_000):
        broker.tick(now_ms)
        broker.chores.finish()
    assert (reader.ended, len(broker.stalls)) == (False, 0)
    # Its time begins anew with the next that waits.
    assert queue.keeps_waiting(Publisher("q", LogValve()), False)
    broker.tick(9_999)
    assert not reader.ended
    broker.tick(10_000)
    assert reader.ended


# -- what is due


def test_what_is_scheduled_comes_some_a_step() -> None:
    broker = driven()
    for _ in range(4 * FIRED_AT_ONCE):
        broker.schedule.add(message(broker), Timing(1_000))
    broker.tick(2_000)
    came = [broker.queue("q").depth]
    while broker.chores:
        broker.chores.step()
        came.append(broker.queue("q").depth)
    assert max(changes(came)) == FIRED_AT_ONCE
    assert came[-1] == 4 * FIRED_AT_ONCE


def test_what_is_scheduled_to_a_topic_with_many_subscribers_comes_one_a_step() -> None:
    broker = driven()
    outlets = [LogOutlet() for _ in range(600)]
    for outlet in outlets:
        broker.bind(Binding(pattern("t"), outlet))
    broker.route(broker.topics.topic("t"))
    for _ in range(5):
        broker.schedule.add(topic_message(broker, "t"), Timing(1_000))
    broker.tick(2_000)
    came = [0]
    while broker.chores:
        broker.chores.step()
        came.append(len(outlets[-1].ids))
    assert changes(came) == [1] * 5


def test_keys_whose_time_is_over_are_forgotten_some_a_step_but_not_one_that_is_used_anew() -> None:
    broker = driven()
    publisher = Publisher("p", None)
    publisher.client_id = "p"
    for number in range(4 * FORGOTTEN_AT_ONCE):
        broker.dedup.done(broker.dedup.once(publisher, str(number), summed([])), 0, True)
    broker.now_ms = broker.limits.dedup_window_ms
    broker.tick(broker.now_ms)
    broker.chores.step()
    anew = broker.dedup.once(publisher, str(4 * FORGOTTEN_AT_ONCE - 1), summed([]))
    assert broker.dedup.find(anew) is None
    broker.dedup.done(anew, 0, True)
    left = [broker.dedup.count]
    while broker.chores:
        broker.chores.step()
        left.append(broker.dedup.count)
    assert min(changes(left)) >= -FORGOTTEN_AT_ONCE
    assert left[-1] == 1
    assert broker.dedup.find(anew) is not None


# -- subscriptions


def test_very_many_are_told_of_a_new_queue_some_a_step_and_who_has_left_is_not() -> None:
    broker = driven()
    watchers = [LogWatcher() for _ in range(3 * WATCHERS_AT_ONCE)]
    watches = [broker.watch(watcher, pattern(">")) for watcher in watchers]
    broker.chores.finish()
    broker.queue("q")
    told = [sum(len(watcher.told) for watcher in watchers)]
    assert told == [WATCHERS_AT_ONCE]
    broker.watching.end(watches[-1])
    while broker.chores:
        broker.chores.step()
        told.append(sum(len(watcher.told) for watcher in watchers))
    assert max(changes(told)) <= WATCHERS_AT_ONCE
    assert [len(watcher.told) for watcher in watchers] == [1] * (len(watchers) - 1) + [0]


def test_a_queue_that_is_gone_before_all_were_told_of_it_is_told_of_no_more() -> None:
    broker = driven()
    watchers = [LogWatcher() for _ in range(3 * WATCHERS_AT_ONCE)]
    for watcher in watchers:
        broker.watch(watcher, pattern(">"))
    broker.chores.finish()
    broker.delete_queue(broker.queue("q"))
    broker.chores.finish()
    assert sum(len(watcher.told) for watcher in watchers) == WATCHERS_AT_ONCE


def test_routes_that_make_way_for_a_wide_one_end_some_a_step() -> None:
    narrow = 3 * ROUTES_AT_ONCE
    broker = driven(CoreLimits(route_bindings_max=2 * narrow))
    for number in range(narrow):
        broker.bind(Binding(pattern(f"n.{number}"), LogOutlet()))
        broker.route(broker.topics.topic(f"n.{number}"))
    for _ in range(2 * narrow - 10):
        broker.bind(Binding(pattern("wide"), LogOutlet()))
    routes = broker.topics.routes
    count = [len(routes)]
    assert len(broker.route(broker.topics.topic("wide"))) == 2 * narrow - 10
    count.append(len(routes))
    while broker.chores:
        broker.chores.step()
        count.append(len(routes))
    assert min(changes(count)) >= -ROUTES_AT_ONCE
    assert routes.cost <= 2 * narrow
    assert len(broker.route(broker.topics.topic("n.0"))) == 1
