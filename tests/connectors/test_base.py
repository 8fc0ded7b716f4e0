"""gateway/connectors/base.py"""

from collections.abc import Callable

import pytest

import gateway.connectors.base
from gateway.connectors.base import (
    FRAME_BYTES,
    RESUME_BYTES,
    Confirmations,
    Connector,
    Counters,
    Limits,
    Turn,
)
from gateway.connectors.output import (
    DROPPED_AT_ONCE,
    HEARD_MS,
    HEARD_TOGETHER_MS,
    HELD_FRAME_MIN,
    HELD_FRAMES_MIN,
    RESUME_FRAMES,
)
from gateway.connectors.service import Acceptor, Service
from gateway.core.flow import LET_IN_MAX, Publisher
from gateway.core.limits import BLOCK, DISCONNECT, DROP_NEWEST, DROP_OLDEST, CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer
from gateway.core.router import Broker
from gateway.store.memory import HeldStore

COMPILED = not str(gateway.connectors.base.__file__).endswith(".py")

needs_connector = pytest.mark.skipif(
    COMPILED, reason="needs an interpreted Connector, which the compiled rooms do not take"
)

if not COMPILED:

    class PlainConnector(Connector):
        """A connector without a protocol: remembers what it is told."""

        def __init__(self, limits: Limits, schedule: Callable[[], None] | None = None) -> None:
            self.store = HeldStore()
            self.schedules = 0
            broker = Broker(self.store, Authorizer(), CoreLimits(), QueuePolicy())
            super().__init__(broker, Turn(schedule or self.scheduled), limits, Counters(), "peer")
            self.log: list[str] = []

        def scheduled(self) -> None:
            self.schedules += 1

        def congestion_changed(self) -> None:
            self.log.append("congested" if self.congested else "clear")

        def resumed(self) -> None:
            self.log.append("resumed")

        def bytes_in(self, data: bytes, now_ms: int) -> None:
            pass

        def reading_changed(self) -> None:
            pass

        def on_too_slow(self, now_ms: int) -> None:
            self.log.append("too slow")
            self.hang_up()

        def take(self) -> bytes:
            """What net does once a turn."""
            self.turn.take()
            return b"".join(self.bytes_out(0))

        def flush(self) -> bytes:
            """What net does when the socket takes it all."""
            data = self.take()
            self.written()
            return data

        def release(self) -> None:
            """The store commits."""
            self.broker.on_durable(self.store.release())

        def later(self) -> int:
            """A position that is not durable yet."""
            self.store.position += 1
            return self.store.position


# -- confirmations


def test_confirmations_go_in_order_up_to_the_position() -> None:
    waiting = Confirmations()
    for position, frame in ((3, b"a"), (0, b"b"), (5, b"c"), (4, b"d")):
        waiting.add(position, frame)
    assert len(waiting) == 4
    assert waiting.take(2) == []
    # What needs nothing waits behind what does: a client may count on the order.
    assert waiting.take(3) == [b"a", b"b"]
    assert waiting.take(4) == []
    assert waiting.take(5) == [b"c", b"d"]
    assert len(waiting) == 0


@needs_connector
def test_what_is_durable_already_is_confirmed_at_once() -> None:
    connector = PlainConnector(Limits())
    connector.confirm(0, b"ok")
    connector.confirm(-1, b"nobody")
    assert connector.take() == b"oknobody"
    assert connector.unconfirmed == 0


@needs_connector
def test_a_confirmation_waits_for_its_position_and_holds_those_behind_it() -> None:
    connector = PlainConnector(Limits())
    connector.confirm(connector.later(), b"1")
    connector.confirm(0, b"2")
    assert connector.unconfirmed == 2
    assert connector.take() == b""
    connector.release()
    assert connector.take() == b"12"
    assert connector.unconfirmed == 0


@needs_connector
def test_commits_come_in_steps() -> None:
    connector = PlainConnector(Limits())
    first = connector.later()
    connector.confirm(first, b"1")
    connector.confirm(connector.later(), b"2")
    connector.broker.on_durable(first)
    assert connector.take() == b"1"
    assert connector.unconfirmed == 1
    connector.release()
    assert connector.take() == b"2"
    # It waits anew after it was through.
    connector.confirm(connector.later(), b"3")
    connector.release()
    assert connector.take() == b"3"


@needs_connector
def test_a_connection_that_ends_is_not_told_and_not_kept() -> None:
    connector = PlainConnector(Limits())
    connector.confirm(connector.later(), b"1")
    connector.detach()
    connector.release()
    assert connector.take() == b""
    assert connector.unconfirmed == 0


# -- the turn


def test_a_turn_schedules_nothing_by_itself() -> None:
    calls: list[int] = []
    turn = Turn(lambda: calls.append(1))
    assert turn.take() == []
    assert calls == []


@needs_connector
def test_one_flush_a_turn_however_much_is_written() -> None:
    connector = PlainConnector(Limits())
    connector.say(b"a")
    connector.push(b"b")
    connector.push_sure(b"c")
    assert connector.schedules == 1
    assert connector.turn.take() == [connector]
    assert not connector.marked
    assert connector.bytes_out(0) == [b"a", b"b", b"c"]
    connector.say(b"d")
    assert connector.schedules == 2


@needs_connector
def test_answers_do_not_count_against_the_output_buffer() -> None:
    connector = PlainConnector(Limits(output_buffer=3))
    connector.say(b"0123456789")
    assert not connector.congested
    assert connector.out_bytes == 0


# -- slow readers


@needs_connector
def test_above_the_output_buffer_it_is_congested_until_written() -> None:
    connector = PlainConnector(Limits(output_buffer=3))
    connector.push_sure(b"123")
    assert connector.log == []
    connector.push_sure(b"4")
    connector.push_sure(b"5")
    assert connector.log == ["congested"]
    assert connector.flush() == b"12345"
    assert connector.log == ["congested", "clear", "resumed"]


@needs_connector
def test_a_socket_that_takes_no_more_congests_and_one_that_does_resumes() -> None:
    connector = PlainConnector(Limits())
    connector.writable(False)
    assert connector.congested
    connector.push(b"held")
    assert connector.flush() == b""
    assert connector.congested
    connector.writable(True)
    assert connector.log == ["congested", "clear", "resumed"]
    assert connector.take() == b"held"


@needs_connector
def test_a_socket_that_was_never_full_resumes_nothing() -> None:
    connector = PlainConnector(Limits())
    connector.writable(True)
    assert connector.log == []


@needs_connector
def test_what_waits_for_its_acknowledgement_is_written_even_when_congested() -> None:
    connector = PlainConnector(Limits(output_buffer=1))
    connector.writable(False)
    for _ in range(5):
        connector.push_sure(b"xx")
    assert connector.take() == b"xx" * 5
    assert connector.counters.dropped_slow == 0


@needs_connector
@pytest.mark.parametrize(("policy", "kept"), [(DROP_OLDEST, b"3456"), (DROP_NEWEST, b"1234")])
def test_a_slow_reader_holds_at_most_its_buffer(policy: str, kept: bytes) -> None:
    connector = PlainConnector(Limits(output_buffer=4, slow_consumer=policy))
    connector.writable(False)
    for frame in (b"1", b"2", b"3", b"4", b"5", b"6"):
        connector.push(frame)
    assert connector.counters.dropped_slow == 2
    connector.writable(True)
    assert connector.take() == kept


@needs_connector
@pytest.mark.parametrize("policy", [DROP_OLDEST, DROP_NEWEST])
def test_held_bytes_are_bounded_whatever_the_sizes(policy: str) -> None:
    connector = PlainConnector(Limits(output_buffer=10, slow_consumer=policy))
    connector.writable(False)
    for size in (1, 9, 3, 10, 2, 2, 2, 2, 2, 2):
        connector.push(b"x" * size)
    connector.writable(True)
    assert 0 < len(connector.take()) <= 10


@needs_connector
def test_a_large_frame_makes_few_small_ones_go_at_a_time_or_goes_itself() -> None:
    connector = PlainConnector(Limits(output_buffer=10_000, slow_consumer=DROP_OLDEST))
    connector.writable(False)
    for _ in range(2_000):
        connector.push(b"12345")
    # Tiny ones are not only their bytes.
    assert connector.counters.dropped_slow == 2_000 - HELD_FRAMES_MIN
    # All of them are not as much as this one, more than the limit is nobody's, and then there is one large one.
    for frame, dropped in ((b"x" * 9_000, HELD_FRAMES_MIN - 200), (b"y" * 10_001, 1), (b"z" * 9_500, 201)):
        connector.counters.dropped_slow = 0
        connector.push(frame)
        assert connector.counters.dropped_slow == dropped
    connector.writable(True)
    assert connector.take() == b"z" * 9_500


@needs_connector
def test_what_too_many_small_ones_would_have_to_make_way_for_is_dropped_itself() -> None:
    connector = PlainConnector(Limits(output_buffer=200_000, slow_consumer=DROP_OLDEST))
    connector.writable(False)
    count = 200_000 // HELD_FRAME_MIN + 1
    for _ in range(count):
        connector.push(b"x" * HELD_FRAME_MIN)
    connector.counters.dropped_slow = 0
    for dropped in (
        DROPPED_AT_ONCE + 1,
        DROPPED_AT_ONCE + 1,
        DROPPED_AT_ONCE + 1,
        count - 1 - 3 * DROPPED_AT_ONCE,
    ):
        before = connector.counters.dropped_slow
        connector.push(b"y" * 199_999)
        assert connector.counters.dropped_slow - before == dropped
    connector.writable(True)
    assert connector.take() == b"y" * 199_999


@needs_connector
def test_what_was_held_is_handed_over_some_a_turn_however_small_it_is() -> None:
    connector = PlainConnector(Limits(slow_consumer=BLOCK, output_buffer=1_000_000))
    producer = PlainConnector(Limits())
    connector.writable(False)
    for _ in range(3 * RESUME_FRAMES):
        connector.push(b"1")
    assert not connector.keeps_waiting(producer.publisher)
    for _ in range(1_000_000 // HELD_FRAME_MIN):
        connector.push(b"1")
    assert connector.keeps_waiting(producer.publisher)
    connector.writable(True)
    assert len(connector.flush()) == RESUME_FRAMES
    assert len(connector.flush()) == RESUME_FRAMES


@needs_connector
def test_disconnect_ends_the_slow_reader_and_counts_it_once() -> None:
    connector = PlainConnector(Limits(output_buffer=4, slow_consumer=DISCONNECT))
    connector.writable(False)
    connector.push(b"1234")
    assert not connector.closing
    connector.push(b"5")
    connector.push(b"6")
    assert connector.closing
    assert connector.failure == "reads too slowly"
    assert connector.marked
    assert connector.counters.limit_hits == 1
    assert connector.counters.ended_slow == 1
    assert connector.counters.dropped_slow == 2


@needs_connector
def test_block_drops_nothing_and_publishers_wait_before_their_next_message() -> None:
    slow, producer = PlainConnector(Limits(slow_consumer=BLOCK, output_buffer=4)), PlainConnector(Limits())
    slow.writable(False)
    slow.push(b"123")
    assert not slow.keeps_waiting(producer.publisher)
    slow.push(b"456")
    assert slow.broker.places.shut == 1
    assert slow.keeps_waiting(producer.publisher)
    assert slow.keeps_waiting(producer.publisher)
    assert producer.throttled
    assert producer.marked
    # Who does not ask is not stopped, and what it says is not lost.
    slow.push(b"7")
    slow.writable(True)
    assert slow.take() == b"1234567"
    assert slow.counters.dropped_slow == 0
    assert slow.broker.places.shut == 0
    assert not producer.throttled
    assert producer.resumes


@needs_connector
def test_the_gate_opens_for_as_much_as_there_is_room() -> None:
    slow = PlainConnector(Limits(slow_consumer=BLOCK, output_buffer=4))
    producers = [PlainConnector(Limits()) for _ in range(3 * LET_IN_MAX)]
    slow.writable(False)
    slow.push(b"1234")
    for producer in producers:
        assert slow.keeps_waiting(producer.publisher)
    slow.writable(True)
    let_in = [producer for producer in producers if not producer.throttled]
    assert len(let_in) == LET_IN_MAX
    slow.writable(False)
    # The first fills it again: whoever else was let in waits once more, and has lost nothing.
    slow.push(b"5678")
    for producer in let_in:
        assert slow.keeps_waiting(producer.publisher)
        producer.go_on(0)
    assert all(producer.throttled for producer in producers)
    slow.writable(True)
    # Those that have not had their turn are the first.
    assert [producer.throttled for producer in producers] == (
        [True] * LET_IN_MAX + [False] * LET_IN_MAX + [True] * LET_IN_MAX
    )
    for producer in producers:
        producer.go_on(0)
    for producer in producers:
        producer.go_on(0)
    assert not any(producer.throttled for producer in producers)


@needs_connector
def test_a_client_waits_for_itself_too_but_may_say_as_much_as_one_frame_holds_before_it_reads() -> None:
    connector = PlainConnector(Limits(slow_consumer=BLOCK, output_buffer=4, max_frame_size=10))
    connector.writable(False)
    for _ in range(3):
        assert not connector.keeps_waiting(connector.publisher)
        connector.push(b"1234")
    assert connector.keeps_waiting(connector.publisher)
    assert connector.throttled
    connector.writable(True)
    assert not connector.throttled


@needs_connector
def test_nobody_and_those_that_have_gone_cannot_be_made_to_wait() -> None:
    connector = PlainConnector(Limits(slow_consumer=BLOCK, output_buffer=4))
    connector.writable(False)
    connector.push(b"1234")
    assert not connector.keeps_waiting(Publisher("will", None))


@needs_connector
@pytest.mark.parametrize("policy", [DROP_OLDEST, DROP_NEWEST, DISCONNECT])
def test_the_other_policies_make_nobody_wait(policy: str) -> None:
    limits = Limits(slow_consumer=policy, output_buffer=4)
    slow, producer = PlainConnector(limits), PlainConnector(Limits())
    slow.writable(False)
    for _ in range(3):
        slow.push(b"1234")
    assert not slow.keeps_waiting(producer.publisher)
    assert not producer.throttled


@needs_connector
def test_what_was_held_is_handed_over_in_parts_and_each_makes_room() -> None:
    size = RESUME_BYTES // 2
    connector = PlainConnector(Limits(slow_consumer=BLOCK, output_buffer=8 * size))
    producer = PlainConnector(Limits())
    connector.writable(False)
    for _ in range(8):
        connector.push(b"x" * size)
    assert connector.keeps_waiting(producer.publisher)
    connector.writable(True)
    assert not producer.throttled
    assert len(connector.flush()) == 2 * size
    # Not all of it is through: queues still hold.
    assert connector.congested
    assert len(connector.flush()) == 2 * size
    assert len(connector.flush()) == 2 * size
    assert len(connector.flush()) == 2 * size
    assert connector.log == ["congested", "clear", "resumed"]


@needs_connector
def test_blocking_has_a_time_after_which_the_reader_is_ended_and_counted() -> None:
    connector = PlainConnector(Limits(slow_consumer=BLOCK, output_buffer=4, slow_consumer_timeout_ms=700))
    producer = PlainConnector(Limits())
    connector.broker.now_ms = 5_000
    connector.writable(False)
    connector.push(b"123")
    connector.push(b"456")
    # Nobody waits for it yet.
    assert connector.slow_by_ms == 0
    assert connector.keeps_waiting(producer.publisher)
    assert connector.slow_by_ms == 5_700
    # It reads in time, and stops again: a new time begins.
    connector.writable(True)
    assert connector.slow_by_ms == 0
    connector.broker.now_ms = 6_000
    connector.writable(False)
    connector.push(b"1234")
    assert connector.keeps_waiting(producer.publisher)
    assert connector.slow_by_ms == 6_700
    connector.give_up(6_700)
    assert connector.log[-1] == "too slow"
    assert connector.failure == "reads too slowly"
    assert connector.counters.ended_slow == 1
    assert connector.counters.dropped_slow == 1
    assert not producer.throttled


@needs_connector
def test_a_slow_reader_that_goes_lets_its_publishers_go_on() -> None:
    slow, producer = PlainConnector(Limits(slow_consumer=BLOCK, output_buffer=4)), PlainConnector(Limits())
    slow.writable(False)
    slow.push(b"held")
    assert slow.keeps_waiting(producer.publisher)
    slow.detach()
    assert not producer.throttled
    assert slow.broker.places.shut == 0


@needs_connector
def test_a_producer_that_goes_is_not_turned_any_more() -> None:
    slow, producer = PlainConnector(Limits(slow_consumer=BLOCK, output_buffer=4)), PlainConnector(Limits())
    slow.writable(False)
    slow.push(b"held")
    assert slow.keeps_waiting(producer.publisher)
    producer.detach()
    producer.take()
    slow.writable(True)
    assert producer.publisher.valve is None
    assert not producer.marked


# -- answers that are not read


@needs_connector
def test_a_client_that_does_not_read_its_answers_is_not_read_until_it_does() -> None:
    connector = PlainConnector(Limits(output_buffer=1_000, slow_consumer_timeout_ms=700))
    connector.writable(False)
    said = 0
    while not connector.throttled:
        connector.say(b"1234")
        said += 1
    # What an answer takes beside its bytes counts.
    assert said * (4 + FRAME_BYTES) <= 1_000 + 4 + FRAME_BYTES
    assert connector.slow_by_ms == 700
    connector.writable(True)
    assert connector.flush() == b"1234" * said
    assert not connector.throttled
    assert connector.resumes
    assert connector.slow_by_ms == 0


@needs_connector
def test_a_client_whose_answers_wait_for_the_store_is_not_read_and_not_blamed() -> None:
    connector = PlainConnector(Limits(output_buffer=1_000))
    while not connector.throttled:
        connector.confirm(connector.later(), b"1234")
    assert connector.slow_by_ms == 0
    connector.release()
    connector.flush()
    assert not connector.throttled


@needs_connector
def test_one_large_answer_does_not_stop_a_client_that_reads() -> None:
    connector = PlainConnector(Limits(output_buffer=1_000))
    connector.say(b"x" * 5_000)
    connector.say_all([b"y" * 5_000])
    assert connector.slow_by_ms == 0
    assert len(connector.flush()) == 10_000
    assert not connector.throttled


# -- rates


@needs_connector
def test_rates_are_counted_by_the_second() -> None:
    connector = PlainConnector(Limits(message_rate=10, byte_rate=1000))
    assert not connector.over_rate(10, 1000, 1_000)
    assert connector.over_rate(1, 0, 1_999)
    assert not connector.over_rate(1, 0, 2_000)
    assert connector.over_rate(0, 1_001, 2_500)


@needs_connector
def test_no_rate_is_any_rate() -> None:
    assert not PlainConnector(Limits()).over_rate(1 << 40, 1 << 40, 0)


# -- records


def test_counters_by_name() -> None:
    counters = Counters()
    counters.refused = 3
    assert counters.as_dict()["refused"] == 3
    assert sum(counters.as_dict().values()) == 3


@needs_connector
def test_a_service_reports_nothing_and_waits_for_nothing_by_default() -> None:
    service = Service()
    assert service.stats() == {}
    service.tick(0)
    service.close(0)
    assert Acceptor("name", "mqtt", Limits()).name == "name"


def test_however_many_say_very_much_each_has_a_step_and_together_they_have_so_long_a_turn() -> None:
    now_ms = 1_000
    turn = Turn(lambda: None, lambda: now_ms)
    for _ in range(2):
        steps: list[int] = []
        for _ in range(60):
            turn.share()
            steps.append(0)
            while True:
                # A step of one millisecond.
                now_ms += 1
                steps[-1] += 1
                if turn.over:
                    break
        together = HEARD_TOGETHER_MS // HEARD_MS
        assert steps == [HEARD_MS] * together + [1] * (60 - together)
        turn.take()
