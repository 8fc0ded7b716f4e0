"""Messages for later: when they come, how often, and what bounds them; cron lines."""

from datetime import UTC, datetime, timedelta

import pytest
from core_doubles import COMPILED, needs_outlet
from core_messages import message, pattern, topic_message
from core_queues import broker_with, consume
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.cron import Cron, InvalidCron
from gateway.core.delivery import ACCEPTED
from gateway.core.destination import QUEUE, TOPIC
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.message import Message
from gateway.core.ports import Authorizer
from gateway.core.purging import purge
from gateway.core.router import Broker
from gateway.core.schedule import FOREVER, REFUSED_AGAIN_MS, ScheduleRefused, Timing
from gateway.core.subscription import Binding
from gateway.store.memory import MemoryStore

if not COMPILED:
    from core_doubles import LogOutlet

    class BrokenOutlet(LogOutlet):
        """Fails with each message until it works."""

        __slots__ = ("asked", "works")

        def __init__(self) -> None:
            super().__init__()
            self.asked = 0
            self.works = False

        def offer(self, message: Message, binding: Binding) -> int:
            self.asked += 1
            if not self.works:
                raise RuntimeError("a bug")
            return super().offer(message, binding)


NOW_MS = 1_700_000_000_000
"""2023-11-14 22:13:20 UTC, a Tuesday."""


@pytest.fixture
def broker() -> Broker:
    made = broker_with()
    made.now_ms = NOW_MS
    return made


def depth_at(broker: Broker, ms: int) -> int:
    """Messages in the queue once `ms` have passed since the start."""
    broker.tick(NOW_MS + ms)
    return broker.queue("q").depth


def test_delayed_message_comes_when_its_time_has_come_and_not_before(broker: Broker) -> None:
    broker.schedule.add(message(broker), Timing(5_000))
    assert broker.schedule.next_ms == NOW_MS + 5_000
    assert [depth_at(broker, ms) for ms in (0, 4_999, 5_000, 60_000)] == [0, 0, 1, 1]
    assert (len(broker.schedule), broker.schedule.bytes, broker.schedule.next_ms) == (0, 0, 0)


def test_repeats_are_counted_after_the_first_and_each_is_a_message_of_its_own(broker: Broker) -> None:
    broker.schedule.add(message(broker), Timing(1_000, 500, 2))
    assert [depth_at(broker, ms) for ms in (999, 1_000, 1_499, 1_500, 2_000, 9_000)] == [0, 1, 1, 2, 3, 3]
    assert len({delivery.message.id for delivery in broker.queue("q").browse()}) == 3


def test_repeats_that_were_missed_are_made_up_for_but_not_those_without_end(broker: Broker) -> None:
    broker.schedule.add(message(broker), Timing(1_000, 1_000, 9))
    assert depth_at(broker, 5_000) == 5
    purge(broker.queue("q"))
    broker.schedule.run(NOW_MS + 100_000)
    assert broker.queue("q").depth == 5
    purge(broker.queue("q"))
    broker.schedule.add(message(broker), Timing(1_000, 1_000, FOREVER))
    assert depth_at(broker, 500_000) == 1
    assert depth_at(broker, 501_000) == 2


@needs_outlet
@pytest.mark.parametrize("kind", [QUEUE, TOPIC])
def test_what_was_scheduled_is_not_seen_before_it_is_safe_that_it_is_no_more(kind: int) -> None:
    """Else a crash would bring it again, as a message that never came before."""
    store = MemoryStore(held=True)
    broker = Broker(store, Authorizer(), CoreLimits(), QueuePolicy())
    store.listener = broker
    outlet = LogOutlet(ACCEPTED)
    consume(broker.queue("q"), outlet)
    broker.bind(Binding(pattern("q"), outlet))
    broker.schedule.add(message(broker, kind=kind, persistent=True), Timing(1_000))
    broker.schedule.add(message(broker, kind=kind), Timing(1_000))
    store.commit()
    broker.tick(1_000)
    assert outlet.messages == []
    store.commit()
    assert [one.persistent for one in outlet.messages] == [True, False]


def test_messages_of_the_same_time_come_in_the_order_of_sending(broker: Broker) -> None:
    for body in (b"1", b"2", b"3"):
        broker.schedule.add(message(broker, body=body), Timing(1_000))
    broker.tick(NOW_MS + 1_000)
    assert [d.message.origin.body() for d in broker.queue("q").browse()] == [b"1", b"2", b"3"]


def test_message_that_expires_before_its_time_is_counted_and_does_not_come(broker: Broker) -> None:
    broker.schedule.add(message(broker, expires_at_ms=NOW_MS + 500), Timing(1_000, 1_000, 5))
    assert depth_at(broker, 10_000) == 0
    assert broker.counters.expired == 1
    assert len(broker.schedule) == 0


def test_temporary_queue_that_has_gone_is_not_made_anew(broker: Broker) -> None:
    broker.schedule.add(message(broker, "mx.tmp.x.y"), Timing(1_000))
    broker.tick(NOW_MS + 1_000)
    assert not broker.has_queue("mx.tmp.x.y")
    assert broker.counters.unroutable == 1


def test_what_cannot_be_delivered_when_it_is_due_waits_and_is_tried_again() -> None:
    broker = broker_with(CoreLimits(queues_max=0))
    broker.schedule.add(message(broker), Timing(1_000))
    broker.tick(1_000)
    assert len(broker.schedule) == 1
    broker.limits.queues_max = 1
    broker.tick(1_000 + REFUSED_AGAIN_MS - 1)
    assert not broker.has_queue("q")
    broker.tick(1_000 + REFUSED_AGAIN_MS)
    assert (len(broker.schedule), broker.queue("q").depth, broker.schedule.bytes) == (0, 1, 0)


def test_while_very_much_waits_for_the_disk_nothing_comes_and_afterwards_all_of_it(broker: Broker) -> None:
    for _ in range(3):
        broker.schedule.add(message(broker), Timing(1_000))
    broker.store.congested = True
    assert depth_at(broker, 1_000) == 0
    broker.store.congested = False
    assert depth_at(broker, 2_000) == 3


def test_a_process_that_is_to_end_delivers_no_more_of_what_has_fallen_due(broker: Broker) -> None:
    broker.chores.driven_by(lambda: None)
    for _ in range(500):
        broker.schedule.add(message(broker), Timing(100, 100, 1_000_000))
    broker.tick(NOW_MS + 3_600_000)
    broker.chores.step()
    there = broker.queue("q").depth
    broker.schedule.rest()
    broker.chores.finish()
    assert 0 < there == broker.queue("q").depth
    assert len(broker.schedule) == 500


@needs_outlet
def test_what_fails_when_it_is_due_is_tried_again_ever_later_and_the_others_come_on_time() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    broken = BrokenOutlet()
    broker.bind(Binding(pattern("t"), broken))
    broker.schedule.add(topic_message(broker, "t"), Timing(1_000))
    broker.schedule.add(message(broker), Timing(1_000))
    tried: list[int] = []
    for now_ms in range(1_000, 20_000, 1_000):
        broker.tick(now_ms)
        before = broken.asked
        while broker.chores:
            try:
                broker.chores.step()
            except RuntimeError:
                assert broken.asked > before
        if broken.asked > before:
            tried.append(now_ms)
        assert broker.queue("q").depth == 1
    assert tried == [1_000, 3_000, 7_000, 15_000]
    assert len(broker.schedule) == 1
    broken.works = True
    broker.tick(31_000)
    broker.chores.finish()
    assert (len(broken.ids), len(broker.schedule), broker.schedule.bytes) == (1, 0, 0)


@pytest.mark.parametrize(
    ("limits", "timing", "said"),
    [
        (CoreLimits(scheduled_messages_max=1), Timing(1), "too many"),
        (CoreLimits(scheduled_bytes_max=1), Timing(1), "memory"),
        (CoreLimits(scheduled_delay_max_ms=1_000), Timing(1_001), "1000 ms"),
        (CoreLimits(scheduled_period_min_ms=100), Timing(1, 99, 1), "every 100 ms"),
    ],
)
def test_schedule_is_bounded(limits: CoreLimits, timing: Timing, said: str) -> None:
    broker = broker_with(limits)
    broker.schedule.add(message(broker), Timing(1))
    with pytest.raises(ScheduleRefused, match=said):
        broker.schedule.add(message(broker), timing)


def test_commit_schedules_what_was_held_back_and_abort_does_not(broker: Broker) -> None:
    for commits in (True, False):
        transaction = broker.transaction()
        transaction.schedule(message(broker), Timing(1_000))
        assert len(broker.schedule) == 0
        transaction.abort() if not commits else transaction.commit()
        assert len(broker.schedule) == int(commits)
        broker.schedule.run(NOW_MS + 2_000)


def test_commit_that_would_overfill_the_schedule_is_refused_whole() -> None:
    broker = broker_with(CoreLimits(scheduled_messages_max=1))
    transaction = broker.transaction()
    transaction.publish(message(broker))
    for _ in range(2):
        transaction.schedule(message(broker), Timing(1_000))
    with pytest.raises(ScheduleRefused):
        transaction.commit()
    assert (len(broker.schedule), broker.queue("q").depth) == (0, 0)


def test_cron_line_starts_its_rounds_again_and_again(broker: Broker) -> None:
    broker.schedule.add(message(broker), Timing(1_000, 1_000, 1, Cron("0 * * * *")))
    hour_ms = 3_600_000
    first_ms = 46 * 60_000 + 40_000
    steps = [
        first_ms + 999,
        first_ms + 1_000,
        first_ms + 2_000,
        first_ms + hour_ms,
        first_ms + hour_ms + 5_000,
    ]
    assert [depth_at(broker, ms) for ms in steps] == [0, 1, 2, 2, 4]
    assert len(broker.schedule) == 1


# -- cron


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("line", "now", "then"),
    [
        ("* * * * *", "2023-11-14 22:13:20", "2023-11-14 22:14"),
        ("* * * * *", "2023-11-14 22:14:00", "2023-11-14 22:15"),
        ("0 * * * *", "2023-11-14 22:13", "2023-11-14 23:00"),
        ("30 4 * * *", "2023-11-14 22:13", "2023-11-15 04:30"),
        ("*/15 8-17 * * mon-fri", "2023-11-17 17:50", "2023-11-20 08:00"),
        ("0,20,40 * * * *", "2023-11-14 22:21", "2023-11-14 22:40"),
        ("0 0 1 * *", "2023-12-31 23:59", "2024-01-01 00:00"),
        ("0 0 29 feb *", "2023-03-01 00:00", "2024-02-29 00:00"),
        ("0 0 29 2 *", "2096-03-01 00:00", "2104-02-29 00:00"),
        ("0 0 * * 7", "2023-11-14 22:13", "2023-11-19 00:00"),
        ("0 0 * * sun", "2023-11-14 22:13", "2023-11-19 00:00"),
        ("0 0 13 * 5", "2023-11-14 00:00", "2023-11-17 00:00"),
        ("0 0 16 * 5", "2023-11-14 00:00", "2023-11-16 00:00"),
        ("0 0 29 2 1-5", "2023-03-01 00:00", "2024-02-01 00:00"),
        ("0 0 */30 * mon", "2023-11-14 00:00", "2024-01-01 00:00"),
        ("10 8,20 * * *", "2023-11-14 08:10", "2023-11-14 20:10"),
        ("10 8,20 * * *", "2023-11-14 20:10", "2023-11-15 08:10"),
        ("5/20 * * * *", "2023-11-14 22:06", "2023-11-14 22:25"),
        ("0 12 10-20/5 jan,jul *", "2023-11-14 00:00", "2024-01-10 12:00"),
    ],
)
def test_cron_next_time(line: str, now: str, then: str) -> None:
    assert Cron(line).after(_ms(now)) == _ms(then)


def test_cron_after_the_last_year_there_is_no_time() -> None:
    at_ms = _ms("9999-12-30 00:00")
    assert Cron("0 0 29 feb *").after(at_ms) == -1
    broker = broker_with()
    broker.now_ms = at_ms
    broker.schedule.add(message(broker), Timing(cron=Cron("0 0 29 feb *")))
    assert len(broker.schedule) == 0


@given(
    st.integers(0, 1 << 42), st.sets(st.integers(1, 31), min_size=1), st.sets(st.integers(1, 12), min_size=1)
)
def test_property_cron_finds_the_first_day(now_ms: int, days: set[int], months: set[int]) -> None:
    line = f"7 5 {','.join(map(str, days))} {','.join(map(str, months))} *"
    day = datetime.fromtimestamp(now_ms / 1000, UTC).replace(hour=5, minute=7, second=0, microsecond=0)
    wanted = [day + timedelta(days=n) for n in range(8 * 366 + 2)]
    times = [int(at.timestamp() * 1000) for at in wanted if at.day in days and at.month in months]
    later = [time for time in times if time > now_ms]
    try:
        assert Cron(line).after(now_ms) == later[0]
    except InvalidCron:
        assert not later


@pytest.mark.parametrize(
    "line",
    [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "a * * * *",
        "5-1 * * * *",
        "*/0 * * * *",
        "1- * * * *",
        ", * * * *",
        "-1 * * * *",
        "0 0 30 2 *",
        "0 0 31 feb *",
        "* * 31 2,4,6,9,11 *",
        "*/59 3,5 30,31 2 *",
        "0 0 31 4 */2",
        "* * * * " + "1," * 200 + "1",
    ],
)
def test_cron_line_that_cannot_be(line: str) -> None:
    with pytest.raises(InvalidCron):
        Cron(line)
