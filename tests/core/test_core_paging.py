"""Queues that let go of what the store holds: bounded in memory, in order, and nothing is lost or doubled."""

import pytest
from core_doubles import LogOutlet, needs_outlet
from core_messages import message
from core_queues import consume
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from gateway.core.contents import faults
from gateway.core.credit import Credit
from gateway.core.crowding import RESIDENT_MIN, crowded
from gateway.core.delivery import ACCEPTED, FAILED, RELEASED
from gateway.core.limits import DROP_OLDEST, CoreLimits, QueuePolicy
from gateway.core.paging import EXPIRED_MAX, PAGE_MESSAGES_MAX
from gateway.core.ports import ANY_LANE, Authorizer, Page
from gateway.core.purging import purge
from gateway.core.queue import Queue
from gateway.core.releasing import RELEASED_AT_ONCE
from gateway.core.router import Broker
from gateway.core.selector_parser import parse_selector
from gateway.core.subscription import Consumer
from gateway.store.memory import MemoryStore

pytestmark = needs_outlet

SMALL = 1_048_576
"""The least that may be held in memory."""


def paging_broker(memory_max: int = SMALL, policy: QueuePolicy | None = None) -> tuple[Broker, MemoryStore]:
    store = MemoryStore(held=True, pages=True)
    broker = Broker(
        store, Authorizer(), CoreLimits(memory_max=memory_max), policy or QueuePolicy(bytes_max=0)
    )
    store.listener = broker
    return broker, store


def restarted(store: MemoryStore) -> tuple[Broker, MemoryStore]:
    """A new run over what the store kept."""
    again = MemoryStore(store.kept, held=True, pages=True)
    broker = Broker(again, Authorizer(), CoreLimits(memory_max=SMALL), QueuePolicy(bytes_max=0))
    again.listener = broker
    broker.recover(again.recover())
    return broker, again


def fill(queue: Queue, count: int, size: int = 2_000, **fields: int) -> list[int]:
    messages = [message(queue.broker, persistent=True, size=size, **fields) for _ in range(count)]  # type: ignore[arg-type]
    for one in messages:
        queue.offer(one)
    return [one.id for one in messages]


def drain(store: MemoryStore, outlet: LogOutlet, count: int) -> list[int]:
    """Let the store answer until so many have come."""
    for _ in range(count):
        if len(outlet.messages) >= count:
            break
        store.commit()
    return outlet.ids


def test_what_is_beyond_the_memory_is_the_stores_alone_and_comes_back_in_order() -> None:
    broker, store = paging_broker()
    queue = broker.queue("q")
    ids = fill(queue, 5_000)
    assert queue.depth == 5_000
    assert queue.bytes == 5_000 * 2_000
    assert queue.paged > 4_000
    assert broker.resident_bytes < 2 * SMALL
    outlet = LogOutlet(ACCEPTED)
    consume(queue, outlet, 10)
    assert drain(store, outlet, 5_000) == ids
    store.commit()
    assert (queue.depth, queue.bytes, broker.resident_bytes, len(store.kept.entries)) == (0, 0, 0, 0)


def test_a_few_in_each_of_very_many_queues_are_bounded_too_and_come_in_order() -> None:
    broker, store = paging_broker()
    queues = [broker.queue(f"q.{number}") for number in range(200)]
    ids = [fill(queue, 20) for queue in queues]
    # Each of them has less than a queue may have however full the memory is.
    assert broker.resident_bytes < 2 * SMALL + 200 * 3_000
    assert sum([queue.paged for queue in queues]) > 2_500
    store.commit()
    for queue, expected in zip(queues, ids, strict=True):
        outlet = LogOutlet(ACCEPTED)
        consume(queue, outlet, 10)
        assert drain(store, outlet, 20) == expected
    store.commit()
    assert (broker.resident_bytes, len(store.kept.entries)) == (0, 0)


def test_no_more_than_a_page_is_taken_back_ahead_of_the_consumer() -> None:
    broker, store = paging_broker()
    queue = broker.queue("q")
    fill(queue, 10_000, size=500)
    outlet = LogOutlet()
    consume(queue, outlet, 1)
    for _ in range(20):
        store.commit()
        outlet.open.pop().settle(ACCEPTED)
    assert queue.waiting - queue.paged <= PAGE_MESSAGES_MAX * 2 + RESIDENT_MIN


def test_messages_without_a_place_in_the_store_stay_and_keep_their_turn() -> None:
    broker, store = paging_broker()
    queue = broker.queue("q")
    first = fill(queue, 3_000)
    passing = message(broker)
    queue.offer(passing)
    last = fill(queue, 100)
    outlet = LogOutlet(ACCEPTED)
    consume(queue, outlet, 10)
    assert drain(store, outlet, 3_101) == [*first, passing.id, *last]


def test_higher_priorities_come_first_wherever_they_are() -> None:
    broker, store = paging_broker()
    queue = broker.queue("q")
    low = fill(queue, 2_000)
    high = fill(queue, 2_000, priority=9)
    outlet = LogOutlet(ACCEPTED)
    consume(queue, outlet, 10)
    assert drain(store, outlet, 4_000) == [*high, *low]


def select(queue: Queue, outlet: LogOutlet, text: str) -> None:
    """Attach a consumer with this selector."""
    queue.attach(Consumer(queue, outlet, Credit(10), False, None, parse_selector(text, 4096, 64, False)))


@pytest.mark.parametrize("beside", [False, True])
def test_what_nobody_keeps_is_not_selected_before_older_ones_that_only_the_store_has(beside: bool) -> None:
    broker, store = paging_broker()
    ids = fill(broker.queue("q"), 5)
    store.commit()
    broker, store = restarted(store)
    queue = broker.queue("q")
    passing = message(broker)
    queue.offer(passing)
    ids += [passing.id, *fill(queue, 2)]
    outlet = LogOutlet(ACCEPTED)
    if beside:
        # Who takes everything has turns among those with selectors.
        select(queue, LogOutlet(), "JMSPriority > 9")
        consume(queue, outlet, 10)
    else:
        select(queue, outlet, "JMSPriority < 9")
    assert drain(store, outlet, 8) == ids


def test_where_memory_is_full_a_selector_gets_what_the_store_has_before_what_nobody_keeps() -> None:
    broker, store = paging_broker()
    ids = fill(broker.queue("q"), 5)
    store.commit()
    broker, store = restarted(store)
    queue = broker.queue("q")
    for _ in range(2 * RESIDENT_MIN):
        passing = message(broker, size=SMALL // RESIDENT_MIN)
        queue.offer(passing)
        ids.append(passing.id)
    assert crowded(queue)
    outlet = LogOutlet(ACCEPTED)
    select(queue, outlet, "JMSPriority < 9")
    assert drain(store, outlet, len(ids)) == ids


def test_where_memory_is_full_of_what_nobody_wants_a_selector_gets_what_nobody_keeps() -> None:
    broker, store = paging_broker()
    queue = broker.queue("q")
    fill(queue, 2_000, priority=3)
    assert queue.paged
    outlet = LogOutlet(ACCEPTED)
    select(queue, outlet, "JMSPriority = 2")
    passing = message(broker, priority=2)
    queue.offer(passing)
    assert drain(store, outlet, 1) == [passing.id]
    assert broker.resident_bytes < 2 * SMALL


def test_purge_and_deletion_forget_what_the_store_holds() -> None:
    broker, store = paging_broker()
    queue = broker.queue("q")
    fill(queue, 3_000)
    assert purge(queue).count == 3_000
    store.commit()
    assert (queue.depth, queue.bytes, len(store.kept.entries)) == (0, 0, 0)
    fill(queue, 3_000)
    broker.delete_queue(queue)
    store.commit()
    assert (len(store.kept.entries), store.kept.queues, broker.resident_bytes) == (0, {}, 0)


def test_the_oldest_is_dropped_though_the_store_alone_has_it() -> None:
    policy = QueuePolicy(messages_max=3_000, bytes_max=0, when_full=DROP_OLDEST)
    broker, store = paging_broker(policy=policy)
    queue = broker.queue("q")
    ids = fill(queue, 3_500)
    for _ in range(5):
        store.commit()
    assert queue.depth == 3_000
    outlet = LogOutlet(ACCEPTED)
    consume(queue, outlet, 10)
    assert drain(store, outlet, 3_000) == ids[500:]


def test_expired_messages_leave_the_store_in_time() -> None:
    broker, store = paging_broker()
    queue = broker.queue("q")
    kept = fill(queue, 2_000)
    fill(queue, 1_500, expires_at_ms=1_000)
    for now_ms in range(1_000, 8_000, 1_000):
        broker.tick(now_ms)
        store.commit()
    store.commit()
    assert queue.depth == 2_000
    assert broker.counters.expired == 1_500
    assert len(store.kept.entries) == 2_000
    outlet = LogOutlet(ACCEPTED)
    consume(queue, outlet, 10)
    assert drain(store, outlet, 2_000) == kept


def test_a_record_that_cannot_be_read_is_set_aside_and_the_rest_is_served() -> None:
    broker, store = paging_broker()
    queue = broker.queue("q")
    ids = fill(queue, 2_000)
    store.commit()
    bad = sorted(store.kept.entries)[1_500]
    row = store.kept.entries[bad]
    record = row[6]
    assert isinstance(record, bytes)
    row[6] = record[:-1] + b"?"
    outlet = LogOutlet(ACCEPTED)
    consume(queue, outlet, 10)
    assert drain(store, outlet, 1_999) == ids[:1_500] + ids[1_501:]
    store.commit()
    assert broker.counters.quarantined == 1
    assert [key for key, _, _ in store.kept.quarantine] == [bad]
    assert (queue.depth, queue.bytes) == (0, 0)


def test_what_a_restart_finds_needs_no_memory_until_its_turn_comes() -> None:
    broker, store = paging_broker()
    ids = fill(broker.queue("q"), 4_000)
    store.commit()
    broker, again = restarted(store)
    queue = broker.queue("q")
    assert (queue.depth, queue.paged, broker.resident_bytes) == (4_000, 4_000, 0)
    fresh = message(broker, persistent=True)
    assert fresh.id > max(ids)
    queue.offer(fresh)
    outlet = LogOutlet(ACCEPTED)
    consume(queue, outlet, 10)
    assert len(drain(again, outlet, 4_001)) == 4_001
    assert [one.id for one in outlet.messages][-1] == fresh.id


def test_what_a_consumer_has_again_after_a_restart_does_not_expire_under_its_hands() -> None:
    broker, store = paging_broker()
    fill(broker.queue("q"), 10, expires_at_ms=1_000)
    store.commit()
    broker, store = restarted(store)
    queue = broker.queue("q")
    outlet = LogOutlet()
    [entry] = store.kept.load(Page(queue.number, ANY_LANE, 3, 3, 1, SMALL))
    delivery = queue.reacquire(entry, consume(queue, outlet, 0))
    assert delivery is not None
    for now_ms in (1_000, 2_000, 3_000):
        broker.tick(now_ms)
        store.commit()
    assert (broker.counters.expired, queue.depth, queue.unsettled, queue.bytes) == (9, 1, 1, 2_000)
    delivery.settle(ACCEPTED)
    store.commit()
    assert (queue.depth, queue.bytes, broker.resident_bytes, store.kept.entries) == (0, 0, 0, {})


def test_nor_is_the_store_asked_for_it_again_and_again_and_the_others_expire() -> None:
    broker, store = paging_broker()
    fill(broker.queue("q"), 3 * EXPIRED_MAX, size=20, expires_at_ms=1_000)
    store.commit()
    broker, store = restarted(store)
    queue = broker.queue("q")
    consumer = consume(queue, LogOutlet(), 0)
    # More than an answer has, and those on either side of some.
    again = [*range(1, 2 * EXPIRED_MAX), 2 * EXPIRED_MAX + 5, 3 * EXPIRED_MAX]
    for sequence in again:
        [entry] = store.kept.load(Page(queue.number, ANY_LANE, sequence, sequence, 1, SMALL))
        queue.reacquire(entry, consumer)
    answers = 0
    for now_ms in (1_000, 2_000):
        broker.tick(now_ms)
        while asked := store.take_asked():
            answers += len(asked)
            for page in asked:
                broker.on_loaded(page, store.kept.load(page))
            store.commit()
            assert answers < 10
    assert (broker.counters.expired, queue.depth, queue.unsettled) == (
        3 * EXPIRED_MAX - len(again),
        len(again),
        len(again),
    )


def test_what_cannot_be_read_when_a_consumer_is_to_have_it_again_is_set_aside() -> None:
    broker, store = paging_broker()
    ids = fill(broker.queue("q"), 10)
    store.commit()
    broker, store = restarted(store)
    queue = broker.queue("q")
    outlet = LogOutlet(ACCEPTED)
    consumer = consume(queue, outlet, 0)
    [entry] = store.kept.load(Page(queue.number, ANY_LANE, 3, 3, 1, SMALL))
    entry.record = entry.record[:-1] + b"?"
    assert queue.reacquire(entry, consumer) is None
    assert (broker.counters.quarantined, queue.depth, queue.bytes) == (1, 9, 18_000)
    consumer.credit.give(10)
    consumer.credit.wake()
    assert drain(store, outlet, 9) == ids[:2] + ids[3:]
    assert (queue.depth, queue.bytes, broker.resident_bytes) == (0, 0, 0)


def test_an_answer_from_before_what_waits_for_the_disk_loses_nothing() -> None:
    """A full disk: what is there is read meanwhile, and what comes behind it is asked for again."""
    broker, store = paging_broker()
    queue = broker.queue("q")
    ids = fill(queue, 3_000)
    held = queue.depth - queue.paged
    outlet = LogOutlet(ACCEPTED)
    consume(queue, outlet, 10)
    [page] = store.take_asked()
    broker.on_loaded(page, [])
    assert (queue.depth, len(outlet.messages)) == (3_000 - held, held)
    assert store.take_asked() == []
    assert drain(store, outlet, 3_000) == ids
    store.commit()
    assert (queue.depth, store.kept.entries) == (0, {})


def test_an_incomplete_answer_makes_nobody_expire_twice() -> None:
    broker, store = paging_broker()
    queue = broker.queue("q")
    fill(queue, 600, expires_at_ms=1_000)
    fill(queue, 600)
    store.commit()
    broker.tick(1_000)
    [page] = store.take_asked()
    broker.on_loaded(page, store.kept.load(page))
    expired = broker.counters.expired
    assert expired > 0
    # Their end waits for the disk; a question that is answered before it sees them still.
    outlet = LogOutlet(ACCEPTED)
    consume(queue, outlet, 10)
    while asked := store.take_asked():
        asked[0].complete = False
        broker.on_loaded(asked[0], store.kept.load(asked[0]))
    for now_ms in range(2_000, 20_000, 1_000):
        broker.tick(now_ms)
        store.commit()
    assert (broker.counters.expired, len(outlet.messages)) == (600, 600)
    assert (queue.depth, queue.bytes, broker.resident_bytes, store.kept.entries) == (0, 0, 0, {})


@pytest.mark.parametrize("some", [False, True])
def test_while_a_batch_waits_for_the_disk_what_has_expired_is_asked_for_once_a_tick(some: bool) -> None:
    """What the store answers then leaves as much to be asked for as before: to ask at once would never end."""
    broker, store = paging_broker()
    queue = broker.queue("q")
    fill(queue, 1_200, expires_at_ms=1_000)
    if some:
        store.commit()
    # This one waits for room.
    fill(broker.queue("other"), 1)
    paged = queue.paged
    asked: list[int] = []
    for now_ms in range(1_000, 6_000, 1_000):
        broker.tick(now_ms)
        asked.append(0)
        while asked[-1] < 10 and (questions := store.take_asked()):
            asked[-1] += len(questions)
            for page in questions:
                page.complete = False
                broker.on_loaded(page, store.kept.load(page) if some else [])
    assert asked == [1] * 5
    assert queue.paged == paged > 0
    # There is room again.
    for now_ms in range(6_000, 12_000, 1_000):
        broker.tick(now_ms)
        store.commit()
    assert (queue.depth, broker.counters.expired, len(store.kept.entries)) == (0, 1_200, 1)


class PagingMachine(RuleBasedStateMachine):
    """Offers, deliveries, failures, commits and restarts on a queue that keeps almost nothing in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore(held=True, pages=True)
        self.start()
        self.waiting: list[int] = []
        self.held: dict[int, object] = {}

    def start(self) -> None:
        self.broker = Broker(
            self.store, Authorizer(), CoreLimits(memory_max=SMALL), QueuePolicy(bytes_max=0, deliveries_max=0)
        )
        self.store.listener = self.broker
        self.broker.recover(self.store.recover())
        self.queue = self.broker.queue("q")
        self.outlet: LogOutlet | None = None

    @rule(count=st.integers(1, 700), size=st.sampled_from([100, 5_000]))
    def offer(self, count: int, size: int) -> None:
        self.waiting += fill(self.queue, count, size)

    @precondition(lambda self: self.outlet is None)
    @rule(credit=st.integers(1, 900))
    def attach(self, credit: int) -> None:
        self.outlet = LogOutlet()
        self.consumer = consume(self.queue, self.outlet, credit)

    @precondition(lambda self: self.outlet is not None)
    @rule(outcome=st.sampled_from([ACCEPTED, ACCEPTED, FAILED, RELEASED]), count=st.integers(1, 900))
    def settle(self, outcome: int, count: int) -> None:
        assert self.outlet is not None
        for delivery in self.outlet.open[:count]:
            self.outlet.open.remove(delivery)
            if outcome == ACCEPTED:
                self.waiting.remove(delivery.message.id)
            delivery.settle(outcome)

    @precondition(lambda self: self.outlet is not None)
    @rule()
    def detach(self) -> None:
        assert self.outlet is not None
        self.queue.detach(self.consumer)
        for delivery in self.outlet.open:
            delivery.settle(FAILED)
        self.outlet = None

    @rule()
    def commit(self) -> None:
        self.store.commit()

    @rule()
    def restart(self) -> None:
        self.store.commit()
        self.store = MemoryStore(self.store.kept, held=True, pages=True)
        self.start()

    def teardown(self) -> None:
        if self.outlet is not None:
            self.detach()
        assert self.queue.depth == len(self.waiting)
        outlet = LogOutlet(ACCEPTED)
        consume(self.queue, outlet, 100)
        assert drain(self.store, outlet, len(self.waiting)) == self.waiting
        assert (self.queue.depth, self.queue.bytes, self.broker.resident_bytes) == (0, 0, 0)
        self.store.commit()
        assert self.store.kept.entries == {}


TestPaging = PagingMachine.TestCase
TestPaging.settings = settings(max_examples=settings().max_examples // 4, stateful_step_count=25)


def test_what_was_held_comes_before_what_the_store_gives_back_of_later() -> None:
    broker, store = paging_broker(1)
    broker.chores.driven_by(lambda: None)
    queue = broker.queue("q")
    first, second = fill(queue, 2)
    transaction = broker.transaction()
    for _ in range(RELEASED_AT_ONCE):
        transaction.publish(message(broker, "other", persistent=True))
    held = message(broker, size=100)
    transaction.publish(held)
    transaction.commit()
    (behind,) = fill(queue, 1)
    assert queue.paged == 2
    outlet = LogOutlet()
    consume(queue, outlet, 2)
    store.commit()
    assert outlet.ids == [first, second]
    broker.chores.finish()
    assert [delivery.message.id for delivery in queue.browse()] == [held.id, behind]
    assert not faults(queue)
    purge(queue)
    assert queue.depth == 2
