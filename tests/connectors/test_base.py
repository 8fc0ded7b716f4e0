"""gateway/connectors/base.py"""

from collections.abc import Callable

import pytest

import gateway.connectors.base
from gateway.connectors.base import Acceptor, Confirmations, Connector, Counters, Limits, Service, Turn
from gateway.core.flow import Publisher
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
@pytest.mark.parametrize(
    ("policy", "kept"),
    [(DROP_OLDEST, b"3456"), (DROP_NEWEST, b"1234"), (BLOCK, b"1234")],
)
def test_a_slow_reader_holds_at_most_its_buffer(policy: str, kept: bytes) -> None:
    connector = PlainConnector(Limits(output_buffer=4, slow_consumer=policy))
    connector.writable(False)
    for frame in (b"1", b"2", b"3", b"4", b"5", b"6"):
        connector.push(frame)
    assert connector.counters.dropped_slow == 2
    connector.writable(True)
    assert connector.take() == kept


@needs_connector
@pytest.mark.parametrize("policy", [DROP_OLDEST, DROP_NEWEST, BLOCK])
def test_held_bytes_are_bounded_whatever_the_sizes(policy: str) -> None:
    connector = PlainConnector(Limits(output_buffer=10, slow_consumer=policy))
    connector.writable(False)
    for size in (1, 9, 3, 10, 2, 2, 2, 2, 2, 2):
        connector.push(b"x" * size)
    connector.writable(True)
    assert 0 < len(connector.take()) <= 10


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
    assert connector.counters.dropped_slow == 2


@needs_connector
def test_block_makes_the_publisher_wait_for_the_slow_reader() -> None:
    slow, producer = PlainConnector(Limits(slow_consumer=BLOCK)), PlainConnector(Limits())
    slow.writable(False)
    slow.hold_publisher(producer.publisher)
    slow.hold_publisher(producer.publisher)
    assert producer.throttled
    assert producer.marked
    slow.writable(True)
    assert not producer.throttled


@needs_connector
def test_block_does_not_make_a_publisher_wait_for_itself_or_nobody() -> None:
    connector = PlainConnector(Limits(slow_consumer=BLOCK))
    connector.writable(False)
    connector.hold_publisher(connector.publisher)
    connector.hold_publisher(None)
    connector.hold_publisher(Publisher("will", None))
    assert not connector.throttled


@needs_connector
@pytest.mark.parametrize("policy", [DROP_OLDEST, DROP_NEWEST, DISCONNECT])
def test_the_other_policies_make_nobody_wait(policy: str) -> None:
    slow, producer = PlainConnector(Limits(slow_consumer=policy)), PlainConnector(Limits())
    slow.writable(False)
    slow.hold_publisher(producer.publisher)
    assert not producer.throttled


@needs_connector
def test_a_slow_reader_that_goes_lets_its_publishers_go_on() -> None:
    slow, producer = PlainConnector(Limits(slow_consumer=BLOCK)), PlainConnector(Limits())
    slow.writable(False)
    slow.push(b"held")
    slow.hold_publisher(producer.publisher)
    slow.detach()
    assert not producer.throttled


@needs_connector
def test_a_producer_that_goes_is_not_turned_any_more() -> None:
    slow, producer = PlainConnector(Limits(slow_consumer=BLOCK)), PlainConnector(Limits())
    slow.writable(False)
    slow.hold_publisher(producer.publisher)
    producer.detach()
    producer.take()
    slow.writable(True)
    assert producer.publisher.valve is None
    assert not producer.marked


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
