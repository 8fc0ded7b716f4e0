"""The socket's side of a connection: reading, writing once a turn, back-pressure, and every way to end."""

import asyncio
import errno
import logging

import pytest

from gateway.connectors.base import Limits
from gateway.connectors.output import HEARD_MS
from gateway.connectors.parts import PART_BYTES
from gateway.core.timetable import VAIN_MIN
from gateway.net.transport import CLOSE_TIMEOUT_MS, JOIN_MAX, WRITE_HIGH_WATER


async def test_answers_come_back_and_bytes_are_counted(net) -> None:
    reader, writer = await net.client()
    writer.write(b"a\nb\n")
    assert await reader.readexactly(10) == b"ok a\nok b\n"
    assert net.listener.counters.bytes_out == 10


async def test_what_is_said_in_a_turn_is_one_write(net) -> None:
    reader, writer = await net.client()
    writer.write(b"a\n")
    await reader.readline()
    transport = next(iter(net.listener.transports))
    writes: list[bytes] = []
    socket = transport._socket

    class Spy:
        def write(self, data: bytes) -> None:
            writes.append(data)
            socket.write(data)

        def __getattr__(self, name: str) -> object:
            return getattr(socket, name)

    transport._socket = Spy()
    writer.write(b"b\nc\nd\n")
    assert await reader.readexactly(15) == b"ok b\nok c\nok d\n"
    assert writes == [b"ok b\nok c\nok d\n"]


@pytest.mark.parametrize("limits", [Limits(output_buffer=1 << 30)])
async def test_more_than_is_joined_arrives_whole(net) -> None:
    size = JOIN_MAX * 4
    reader, writer = await net.client()
    writer.write(b"big %d\n" % size)
    assert await reader.readexactly(size) == b"x" * size
    assert net.listener.counters.bytes_out == size


@pytest.mark.parametrize("limits", [Limits(output_buffer=1 << 30)])
async def test_a_client_that_does_not_read_pauses_its_connector_until_it_does(net) -> None:
    # More than the sockets' own buffers hold.
    size = 64 << 20
    reader, writer = await net.client()
    writer.write(b"big %d\n" % size)
    await net.until(lambda: net.acceptor.made and net.acceptor.made[0].writable_calls == [False])
    connector = net.acceptor.made[0]
    assert connector.paused
    held = net.listener.counters.bytes_out
    writer.write(b"more\n")
    await net.until(lambda: connector.heard.endswith(b"more\n"))
    assert net.listener.counters.bytes_out == held
    assert await reader.readexactly(size + 8) == b"x" * size + b"ok more\n"
    assert connector.writable_calls[:2] == [False, True]
    assert not connector.paused
    assert held > WRITE_HIGH_WATER


async def test_the_last_words_behind_a_frame_in_parts_are_written_and_nothing_behind_them(net) -> None:
    size = 4 * PART_BYTES
    reader, writer = await net.client()
    writer.write(b"parts %d\nok\nfail why\n" % size)
    await net.until(lambda: net.acceptor.made and net.latest.closing)
    net.latest.push(b"too late\n")
    assert await reader.read() == b"x" * size + b"\nok ok\nbad: why\n"
    assert net.latest.ends == 1


async def test_a_client_whose_last_words_wait_has_no_other_deadline(net) -> None:
    reader, writer = await net.client()
    writer.write(b"due 1\nparts %d\nfail why\n" % (64 << 20))
    await net.until(lambda: net.acceptor.made and net.latest.closing)
    await net.until(lambda: net.latest.paused)
    transport = next(iter(net.listener.transports))
    assert transport.next_deadline_ms() > net.latest.due_ms
    assert (await reader.read()).endswith(b"x\nbad: why\n")


class HandClock:
    """Moves only when it is told to."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def now_ms(self) -> int:
        return self.ms


@pytest.mark.parametrize("clock", [HandClock()])
async def test_one_client_is_heard_for_some_milliseconds_in_a_turn_and_goes_on_in_the_next(
    net, clock
) -> None:
    def stepped() -> None:
        clock.ms += 1

    net.acceptor.stepped = stepped
    reader, writer = await net.client()
    writer.write(b"steps 10\n")
    assert await reader.readline() == b"ok steps\n"
    connector = net.acceptor.made[0]
    # What is left before each turn's words are written.
    assert connector.steps_left[:3] == [10 - HEARD_MS, 10 - 2 * HEARD_MS, 0]


class HurriedClock(HandClock):
    """Whoever looks at it has used up a share."""

    def now_ms(self) -> int:
        self.ms += HEARD_MS
        return self.ms


@pytest.mark.parametrize("clock", [HurriedClock()])
async def test_a_share_that_is_over_before_it_begins_is_one_step_and_no_end(net, clock) -> None:
    reader, writer = await net.client()
    writer.write(b"steps 10\n")
    assert await reader.readline() == b"ok steps\n"


@pytest.mark.parametrize("clock", [HandClock()])
@pytest.mark.parametrize("how", ["output", "fault"])
async def test_one_that_fails_after_its_client_has_gone_ends_and_no_other(net, clock, how: str) -> None:
    def stepped() -> None:
        clock.ms += 1
        if connector.steps == 19:
            [transport] = [item for item in net.listener.transports if item.connector is connector]
            transport.abort()
        elif connector.steps == 10:
            connector.broken_output = how == "output"
            if how == "fault":
                connector.broke(RuntimeError("a bug of ours"))

    reader, writer = await net.client()
    writer.write(b"a\n")
    await reader.readline()
    [connector] = net.acceptor.made
    net.acceptor.stepped = stepped
    writer.write(b"steps 20\n")
    await net.until(lambda: not net.listener.transports)
    assert connector.ends == 1
    assert net.listener.internal_errors == 1
    assert 0 < connector.steps < 20


@pytest.mark.parametrize("clock", [HandClock()])
async def test_what_was_read_from_a_client_that_is_gone_is_handled_in_turns_too(net, clock) -> None:
    def stepped() -> None:
        clock.ms += 1
        if connector.steps == 19:
            [transport] = net.listener.transports
            transport.abort()

    reader, writer = await net.client()
    writer.write(b"a\n")
    await reader.readline()
    [connector] = net.acceptor.made
    net.acceptor.stepped = stepped
    writer.write(b"steps 20\n")
    await net.until(lambda: not net.listener.transports)
    assert connector.steps == 0
    assert connector.ends == 1
    # What was left at the end of each turn but the last.
    assert connector.steps_left[1:] == list(range(20 - HEARD_MS, 0, -HEARD_MS))
    assert net.machinery.flusher.transports == {}
    assert net.listener.counters.connections == 0


async def test_a_throttled_client_is_not_read_until_released(net) -> None:
    reader, writer = await net.client()
    writer.write(b"hold\n")
    await net.until(lambda: net.acceptor.made and net.acceptor.made[0].throttled)
    connector = net.acceptor.made[0]
    writer.write(b"later\n")
    # Another client's round trip shows that the loop has had every chance to read.
    other_reader, other_writer = await net.client()
    other_writer.write(b"x\n")
    await other_reader.readline()
    assert connector.heard == b"hold\n"
    connector.throttle(False)
    assert await reader.readline() == b"ok later\n"


async def test_a_failing_connector_loses_its_connection_and_no_other(
    net, caplog: pytest.LogCaptureFixture
) -> None:
    other_reader, other_writer = await net.client()
    reader, writer = await net.client()
    writer.write(b"boom secret-payload\n")
    with pytest.raises(ConnectionError):
        if await reader.read() == b"":
            raise ConnectionResetError("closed")
    other_writer.write(b"fine\n")
    assert await other_reader.readline() == b"ok fine\n"
    assert net.listener.internal_errors == 1
    record = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert record.exc_info is not None
    assert "secret-payload" not in record.getMessage()
    await net.until(lambda: [connector.ends for connector in net.acceptor.made] == [0, 1])


async def test_one_that_fails_at_the_end_of_a_turn_does_not_keep_others_from_writing(net) -> None:
    reader, writer = await net.client()
    other_reader, other_writer = await net.client()
    for pair in ((reader, writer), (other_reader, other_writer)):
        pair[1].write(b"x\n")
        await pair[0].readline()
    broken, fine = net.acceptor.made
    broken.broken_output = True
    broken.say(b"never\n")
    fine.say(b"arrives\n")
    assert await other_reader.readline() == b"arrives\n"
    await net.until(lambda: broken.ends == 1)
    assert net.listener.internal_errors == 1


async def test_last_words_arrive_although_the_client_is_still_sending(net) -> None:
    reader, writer = await net.client()
    writer.write(b"fail enough\n" + b"quiet\n" * 100_000)
    assert await reader.readline() == b"bad: enough\n"
    assert await reader.read() == b""
    writer.write(b"quiet\n" * 100_000)
    await writer.drain()
    connector = net.acceptor.made[0]
    assert connector.ends == 1
    writer.close()
    await net.until(lambda: not net.listener.transports)
    assert connector.ends == 1


async def test_the_connector_ends_at_once_even_when_the_client_does_not_close(net) -> None:
    reader, writer = await net.client()
    writer.write(b"fail over\n")
    assert await reader.read() == b"bad: over\n"
    assert net.acceptor.made[0].ends == 1
    assert net.machinery.flusher.transports == {}
    assert len(net.listener.transports) == 1


async def test_a_client_that_never_closes_is_cut_off(net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.net.transport.CLOSE_TIMEOUT_MS", 50)
    assert CLOSE_TIMEOUT_MS <= 5_000
    reader, writer = await net.client()
    writer.write(b"fail over\n")
    assert await reader.read() == b"bad: over\n"
    await net.until(lambda: not net.listener.transports)


@pytest.mark.parametrize("limits", [Limits(output_buffer=1 << 30)])
async def test_a_client_that_never_reads_is_cut_off(net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.net.transport.CLOSE_TIMEOUT_MS", 50)
    _, writer = await net.client()
    writer.write(b"big %d\nfail slow\n" % (64 << 20))
    await net.until(lambda: net.acceptor.made and net.acceptor.made[0].ends == 1)
    await net.until(lambda: not net.listener.transports)


async def test_a_client_that_has_gone_when_it_is_ended_takes_no_answers_from_others(net) -> None:
    """As asyncio's own loop says it: shutdown(2) of a socket that was reset is an error."""
    gone_reader, gone = await net.client()
    reader, writer = await net.client()
    gone.write(b"a\n")
    await gone_reader.readline()
    writer.write(b"a\n")
    await reader.readline()
    transport, other = list(net.listener.transports)
    socket = transport._socket

    class Gone:
        def write_eof(self) -> None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

        def __getattr__(self, name: str) -> object:
            return getattr(socket, name)

    transport._socket = Gone()
    # Both are written in the same turn, who has gone first.
    transport.data_received(b"fail gone\n")
    other.data_received(b"b\n")
    async with asyncio.timeout(5):
        assert await reader.readline() == b"ok b\n"
    await net.until(lambda: list(net.listener.transports) == [other])


async def test_a_client_that_closes_its_side_still_gets_its_answers(net) -> None:
    reader, writer = await net.client()
    writer.write(b"a\nb\n")
    writer.write_eof()
    assert await reader.read() == b"ok a\nok b\n"
    await net.until(lambda: not net.listener.transports)
    assert net.acceptor.made[0].ends == 1


async def test_a_client_that_closes_its_side_still_gets_what_is_confirmed_later(net) -> None:
    reader, writer = await net.client()
    writer.write(b"a\nstored\n")
    writer.write_eof()
    assert await reader.readline() == b"ok a\n"
    transport = next(iter(net.listener.transports))
    await net.until(lambda: transport._finish_by_ms)
    assert net.acceptor.made[0].ends == 0
    broker = net.machinery.broker
    broker.on_durable(broker.store.durable + 1)
    assert await reader.read() == b"ok stored\n"
    await net.until(lambda: not net.listener.transports)
    assert net.acceptor.made[0].ends == 1


@pytest.mark.parametrize("limits", [Limits(slow_consumer_timeout_ms=50)])
async def test_a_client_that_has_closed_its_side_is_not_kept_for_what_never_comes(net) -> None:
    reader, writer = await net.client()
    writer.write(b"stored\n")
    writer.write_eof()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    await net.until(lambda: not net.listener.transports)


@pytest.mark.parametrize(
    "limits", [Limits(slow_consumer="block", output_buffer=4_096, slow_consumer_timeout_ms=50)]
)
async def test_a_reader_that_makes_others_wait_is_ended_in_time(net) -> None:
    _, slow_writer = await net.client()
    slow_writer.write(b"big %d\n" % (64 << 20))
    await net.until(lambda: net.acceptor.made and net.acceptor.made[0].shut)
    reader, writer = await net.client()
    writer.write(b"a\n")
    assert await reader.readline() == b"ok a\n"
    slow, waiting = net.acceptor.made
    assert slow.keeps_waiting(waiting.publisher)
    assert waiting.throttled
    # What it says meanwhile is heard when the other is gone.
    writer.write(b"b\n")
    async with asyncio.timeout(5):
        assert await reader.readline() == b"ok b\n"
    assert slow.ends == 1
    assert net.listener.counters.ended_slow == 1


async def test_a_client_that_vanishes_ends_its_connector_once(net) -> None:
    reader, writer = await net.client()
    writer.write(b"a\n")
    await reader.readline()
    writer.transport.abort()
    await net.until(lambda: not net.listener.transports)
    assert net.acceptor.made[0].ends == 1
    assert net.machinery.flusher.transports == {}
    assert net.listener.counters.connections == 0


async def test_shutdown_says_so_and_closes(net) -> None:
    reader, writer = await net.client()
    writer.write(b"a\n")
    await reader.readline()
    for transport in list(net.listener.transports):
        transport.shutdown(net.machinery.clock.now_ms())
    assert await reader.read() == b"bye\n"


async def test_a_deadline_is_called_when_it_has_come(net) -> None:
    reader, writer = await net.client()
    writer.write(b"due 30\n")
    start = net.machinery.clock.now_ms()
    async with asyncio.timeout(5):
        assert await reader.readline() == b"due\n"
    assert net.machinery.clock.now_ms() - start >= 25


async def test_the_end_of_input_flushes_what_was_said_in_the_same_turn(net) -> None:
    reader, writer = await net.client()
    writer.write(b"a\n")
    await reader.readline()
    transport = next(iter(net.listener.transports))
    net.acceptor.made[0].say(b"last\n")
    transport.eof_received()
    assert net.acceptor.made[0].out == []
    assert await reader.readline() == b"last\n"


async def test_what_comes_after_the_end_was_decided_is_not_heard(net) -> None:
    reader, writer = await net.client()
    writer.write(b"a\n")
    await reader.readline()
    connector = net.acceptor.made[0]
    connector.closing = True
    # uvloop may read several times before the turn ends.
    next(iter(net.listener.transports)).data_received(b"b\n")
    assert connector.heard == b"a\n"


async def test_connections_that_are_gone_leave_no_deadline_behind(net) -> None:
    net.acceptor.limits.maximum_connections = 1_000
    for _ in range(200):
        reader, writer = await net.client()
        writer.write(b"due 86400000\na\n")
        while await reader.readline() != b"ok a\n":
            pass
        writer.transport.abort()
    await net.until(lambda: not net.listener.transports)
    assert len(net.machinery.deadlines) <= 2 * VAIN_MIN
