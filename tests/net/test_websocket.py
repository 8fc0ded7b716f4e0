"""WebSocket over real sockets, around connectors that do what lines say: carrying, deciding, ending, and hostility.

What a client sends is written by hand or by the `websockets` package, never by the room that is tested.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from ws_frames import frame, parse

from gateway.connectors.base import Limits
from gateway.connectors.carriage import Route
from gateway.connectors.http.service import HttpService
from gateway.connectors.http.settings import HttpSettings
from gateway.connectors.output import HEARD_MS
from gateway.connectors.parts import PART_BYTES
from gateway.connectors.service import Carriage
from gateway.net.clock import Clock
from gateway.net.listener import Listener

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

HANDSHAKE = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


class Ws:
    """A listener that carries lines."""

    def __init__(self, net: Any, settings: HttpSettings) -> None:
        self.net = net
        acceptor = HttpService(net.machinery.broker, settings, {}).acceptor("w", "ws", net.acceptor.limits)
        routes = [
            Route(Carriage(("lines",), False, 0, (b"hello",)), net.acceptor),
            Route(Carriage(("bytes",), False, 2, (b"\x10",)), net.acceptor),
            Route(Carriage(("whole",), True, 1, (b"{",)), net.acceptor),
        ]
        acceptor.carry(routes, True)
        self.listener = Listener(acceptor, "127.0.0.1", 0, net.machinery)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"ws://127.0.0.1:{self.listener.port}/ws"

    async def raw(
        self, subprotocol: str = "lines", behind: bytes = b""
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection whose handshake is done; `behind` was sent together with that."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        self.net.writers.append(writer)
        named = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
        writer.write(f"{HANDSHAKE}{named}\r\n".encode() + behind)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        return reader, writer


@pytest.fixture
def settings() -> HttpSettings:
    """Overridden by tests that want others."""
    return HttpSettings()


@pytest_asyncio.fixture
async def ws(net: Any, settings: HttpSettings) -> AsyncIterator[Ws]:
    """A listener that is open."""
    world = Ws(net, settings)
    await world.listener.open()
    yield world
    world.listener.stop_accepting()
    for transport in list(world.listener.transports):
        transport.abort()
    await net.until(lambda: not world.listener.transports)


async def rest(reader: asyncio.StreamReader) -> list[tuple[int, bytes]]:
    """All frames until the end of the connection."""
    async with asyncio.timeout(5):
        return [(opcode, payload) for opcode, payload, _, _ in parse(await reader.read())]


def code_of(frames: list[tuple[int, bytes]]) -> int:
    """The code of the Close that ends them."""
    opcode, payload = frames[-1]
    assert opcode == CLOSE
    return int.from_bytes(payload[:2], "big")


# -- carrying


async def test_bytes_go_through_however_they_are_cut(ws: Ws) -> None:
    async with connect(ws.url, subprotocols=["bytes"]) as client:
        await client.send(b"a\nb\n")
        assert await client.recv() == b"ok a\nok b\n"
        await client.send([b"c", b"", b"\nd\n"])
        await ws.net.until(lambda: ws.net.acceptor.made[0].heard == b"a\nb\nc\nd\n")
    assert ws.net.acceptor.made[0].ends == 1


async def test_all_that_is_said_in_a_turn_is_one_message(ws: Ws) -> None:
    reader, writer = await ws.raw(behind=frame(BINARY, b"a\n") + frame(BINARY, b"b\n"))
    assert await reader.readexactly(2 + 10) == b"\x82\x0aok a\nok b\n"
    writer.write(frame(BINARY, b"big 200000\n"))
    assert await reader.readexactly(10) == b"\x82\x7f" + (200_000).to_bytes(8, "big")


async def test_who_speaks_text_is_answered_in_text_as_long_as_it_is_that(ws: Ws) -> None:
    async with connect(ws.url, subprotocols=["lines"]) as client:
        await client.send("é\n")
        assert await client.recv() == "ok é\n"
        await client.send(b"b\n")
        assert await client.recv() == b"ok b\n"


async def test_a_protocol_of_messages_gets_them_whole(ws: Ws) -> None:
    async with connect(ws.url, subprotocols=["whole"]) as client:
        await client.send(["a\nb", "\n"])
        assert [await client.recv(), await client.recv()] == ["ok a\n", "ok b\n"]
        assert ws.net.acceptor.made[0].heard == b"a\nb\n"


@pytest.mark.parametrize("settings", [HttpSettings(compression=True, unpacked_max=10_000_000)])
@pytest.mark.parametrize("subprotocol", ["bytes", "whole"])
async def test_with_compression(ws: Ws, subprotocol: str) -> None:
    async with connect(ws.url, subprotocols=[subprotocol], max_size=None) as client:  # type: ignore[list-item]
        line = "x" * 100_000 + "\n"
        for _ in range(3):
            await client.send(line if subprotocol == "whole" else line.encode())
            answer = await client.recv()
            assert len(answer) == len(line) + 3
        # Its window is kept from message to message.
        assert ws.listener.counters.bytes_out < 3_000


async def test_a_ping_is_answered(ws: Ws) -> None:
    async with connect(ws.url, subprotocols=["lines"]) as client:
        await (await client.ping(b"payload"))


# -- which protocol?


@pytest.mark.parametrize(("first", "opcode"), [(b"hello\n", 2), (b"hello\n", 1), (b"{\n", 1), (b"\x10\n", 2)])
@pytest.mark.parametrize("step", [0, 1])
async def test_without_a_subprotocol_the_first_bytes_decide(
    ws: Ws, first: bytes, opcode: int, step: int
) -> None:
    reader, writer = await ws.raw("")
    data = frame(PING) + frame(opcode, first[:1], fin=False) + frame(0, first[1:])
    for at in range(0, len(data), step or len(data)):
        writer.write(data[at : at + (step or len(data))])
        await asyncio.sleep(0)
    assert await reader.readexactly(2) == b"\x8a\x00"
    assert (await reader.readexactly(4))[2:] == b"ok"


async def test_first_bytes_that_say_nothing_end_the_connection(ws: Ws) -> None:
    reader, _ = await ws.raw("", frame(BINARY, b"what?"))
    assert code_of(await rest(reader)) == 1008
    reader, _ = await ws.raw("", frame(BINARY, b"", fin=False) + frame(0, b"", fin=False) * 1_000)
    assert code_of(await rest(reader)) == 1008


async def test_an_unknown_subprotocol_is_refused_with_those_there_are(ws: Ws) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with connect(ws.url, subprotocols=["amqp"]):  # type: ignore[list-item]
            pass
    assert caught.value.response.status_code == 400
    assert b"lines, bytes, whole" in (caught.value.response.body or b"")


# -- ending


async def test_a_close_is_answered_and_the_connector_told(ws: Ws) -> None:
    reader, writer = await ws.raw()
    writer.write(frame(CLOSE, b"\x03\xe8bye"))
    assert await rest(reader) == [(CLOSE, b"\x03\xe8")]
    assert ws.net.acceptor.made[0].ends == 1
    assert ws.listener.counters.protocol_errors == 0


async def test_what_came_before_the_close_is_answered(ws: Ws) -> None:
    reader, _ = await ws.raw(
        behind=frame(BINARY, b"a\n") + frame(CLOSE, b"\x03\xe8") + frame(BINARY, b"late\n")
    )
    assert await rest(reader) == [(BINARY, b"ok a\n"), (CLOSE, b"\x03\xe8")]


class HurriedClock(Clock):
    """Whoever looks at it has used up a share."""

    def __init__(self) -> None:
        super().__init__()
        self.hurry_ms = 0

    def now_ms(self) -> int:
        self.hurry_ms += HEARD_MS
        return super().now_ms() + self.hurry_ms


async def test_a_message_in_parts_is_written_to_its_end_before_the_last_words_and_the_close(ws: Ws) -> None:
    async with connect(ws.url, subprotocols=["whole"], proxy=None) as client:
        size = 4 * PART_BYTES
        await client.send(f"parts {size}\nfail why\n")
        assert await client.recv() == "x" * size + "\n"
        assert await client.recv() == "bad: why\n"
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.reason == "why"


@pytest.mark.parametrize("clock", [HurriedClock()])
@pytest.mark.parametrize("subprotocol", ["lines", "whole"])
async def test_what_came_before_a_close_is_heard_though_it_takes_many_steps(ws: Ws, subprotocol: str) -> None:
    kind = TEXT if subprotocol == "whole" else BINARY
    reader, writer = await ws.raw(subprotocol)
    writer.write(frame(kind, b"steps 3\n") + frame(CLOSE, b"\x03\xe8"))
    found = await rest(reader)
    assert [payload for opcode, payload in found if opcode == kind] == [b"ok steps\n"]
    assert code_of(found) == 1000


@pytest.mark.parametrize("settings", [HttpSettings(compression=True)])
@pytest.mark.parametrize("clock", [HurriedClock()])
async def test_a_compressed_message_that_has_become_whole_in_a_later_turn_counts_no_more_as_one_that_is_not(
    ws: Ws, net: Any
) -> None:
    async with connect(ws.url, subprotocols=["whole"], proxy=None, compression="deflate") as client:
        await client.send("quiet" + " " * 1_000_000, text=True)
        await net.until(lambda: len(net.latest.heard) > 1_000_000)
        await net.until(lambda: not net.latest.resumes)
        assert net.machinery.unfinished.bytes == 0


async def test_a_connector_that_ends_says_why_in_the_close(ws: Ws) -> None:
    reader, _ = await ws.raw(behind=frame(BINARY, b"fail no good\n"))
    assert await rest(reader) == [(BINARY, b"bad: no good\n"), (CLOSE, b"\x03\xf0no good")]


async def test_the_gateway_goes_away(ws: Ws) -> None:
    async with connect(ws.url, subprotocols=["lines"]) as client:
        await client.send(b"a\n")
        await client.recv()
        for transport in list(ws.listener.transports):
            transport.shutdown(0)
        assert await client.recv() == b"bye\n"
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001


async def test_a_bug_of_ours_costs_one_connection(ws: Ws) -> None:
    reader, _ = await ws.raw(behind=frame(BINARY, b"boom\n"))
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    assert ws.listener.internal_errors == 1
    async with connect(ws.url, subprotocols=["lines"]) as client:
        await client.send(b"a\n")
        assert await client.recv() == b"ok a\n"


@pytest.mark.parametrize("limits", [Limits(output_buffer=1 << 30)])
async def test_a_client_that_stops_reading_and_comes_back(ws: Ws) -> None:
    reader, writer = await ws.raw(behind=frame(BINARY, b"big 64000000\n"))
    connector = ws.net.acceptor.made[0]
    await ws.net.until(lambda: connector.paused)
    async with asyncio.timeout(10):
        while connector.paused:
            assert await reader.read(1 << 20)
    writer.write(frame(CLOSE))
    async with asyncio.timeout(10):
        assert (await reader.read()).endswith(b"\x88\x00")


# -- time


@pytest.mark.parametrize("limits", [Limits(connect_timeout_ms=80)])
async def test_a_handshake_that_does_not_end(ws: Ws) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ws.listener.port)
    writer.write(HANDSHAKE.encode())
    async with asyncio.timeout(5):
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    writer.close()
    assert ws.listener.counters.protocol_errors == 1


@pytest.mark.parametrize("limits", [Limits(connect_timeout_ms=80)])
async def test_a_protocol_that_is_never_named(ws: Ws) -> None:
    reader, _ = await ws.raw("")
    assert code_of(await rest(reader)) == 1008


async def test_a_silent_client_is_pinged_and_one_that_does_not_answer_given_up(ws: Ws) -> None:
    ws.listener.ping_interval_ms = 60
    reader, writer = await ws.raw()
    for _ in range(3):
        async with asyncio.timeout(5):
            assert await reader.readexactly(2) == b"\x89\x00"
        writer.write(frame(PONG))
    frames = await rest(reader)
    assert [opcode for opcode, _ in frames] == [PING, CLOSE]
    assert code_of(frames) == 1008


@pytest.mark.parametrize("limits", [Limits(connect_timeout_ms=80, body_rate_min=1_000_000)])
async def test_a_message_that_does_not_end_has_a_deadline(ws: Ws) -> None:
    reader, writer = await ws.raw("whole")
    writer.write(frame(TEXT, b"{", fin=False))
    assert code_of(await rest(reader)) == 1008


@pytest.mark.parametrize("limits", [Limits(connect_frame_size=100)])
async def test_a_stranger_may_say_little_and_who_is_known_more(ws: Ws) -> None:
    reader, writer = await ws.raw("whole")
    writer.write(frame(TEXT, b"a\n"))
    await ws.net.until(lambda: ws.net.acceptor.made)
    connector = ws.net.acceptor.made[0]
    assert not connector.stranger
    writer.write(frame(TEXT, b"x" * 200 + b"\n"))
    await ws.net.until(lambda: connector.heard.endswith(b"x\n"))
    ws.net.acceptor.strangers = True
    reader, writer = await ws.raw("whole")
    writer.write(frame(TEXT, b"x" * 200 + b"\n"))
    assert code_of(await rest(reader)) == 1009
    reader, writer = await ws.raw("whole")
    writer.write(frame(TEXT, b"a\n"))
    await ws.net.until(lambda: ws.net.latest.heard == b"a\n")
    known = ws.net.latest
    known.stranger = False
    writer.write(frame(TEXT, b"x" * 200 + b"\n"))
    await ws.net.until(lambda: known.heard.endswith(b"x\n"))


# -- hostility


async def test_a_ping_flood_is_answered_within_bounds_and_others_are_served(ws: Ws) -> None:
    reader, writer = await ws.raw()
    writer.write(frame(PING, b"x" * 125) * 20_000)
    async with connect(ws.url, subprotocols=["lines"]) as client:
        await client.send(b"a\n")
        assert await client.recv() == b"ok a\n"
    writer.write(frame(CLOSE))
    frames = await rest(reader)
    assert frames[-1] == (CLOSE, b"")
    assert len(frames) < 20_000


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(BINARY, b"a\n", mask=None), 1002, id="unmasked"),
        pytest.param(frame(BINARY, b"a\n", rsv=1), 1002, id="reserved bit"),
        pytest.param(frame(BINARY, length=b"\x7f" + b"\xff" * 8), 1002, id="a length of 2^64"),
        pytest.param(frame(BINARY, length=b"\x7f\x7f" + b"\xff" * 7), 1009, id="a length of 2^63"),
        pytest.param(frame(BINARY, length=b"\x7f" + (100_001).to_bytes(8, "big")), 1009, id="a long frame"),
        pytest.param(
            frame(BINARY, b"x" * 60_000, fin=False) + frame(0, b"x" * 60_000), 1009, id="a long message"
        ),
        pytest.param(frame(BINARY, fin=False) + frame(0, fin=False) * 100_002, 1009, id="endless fragments"),
        pytest.param(frame(TEXT, b"\xff\n"), 1007, id="text that is not UTF-8"),
        pytest.param(frame(3), 1002, id="unknown opcode"),
        pytest.param(frame(CLOSE, b"\x03"), 1002, id="half a close code"),
    ],
)
@pytest.mark.parametrize("limits", [Limits(max_frame_size=100_000)])
async def test_hostile_frames_cost_their_connection_and_are_counted(ws: Ws, data: bytes, code: int) -> None:
    reader, writer = await ws.raw()
    writer.write(frame(BINARY, b"good\n") + data)
    frames = await rest(reader)
    assert frames[0][1] == b"ok good\n"
    assert code_of(frames) == code
    assert ws.listener.counters.protocol_errors == 1
    assert ws.listener.internal_errors == 0
    assert ws.net.acceptor.made[0].ends == 1


@pytest.mark.parametrize("settings", [HttpSettings(compression=True)])
@pytest.mark.parametrize("subprotocol", ["bytes", "whole"])
async def test_a_compression_bomb(ws: Ws, subprotocol: str) -> None:
    async with connect(ws.url, subprotocols=[subprotocol], max_size=None) as client:  # type: ignore[list-item]
        with contextlib.suppress(ConnectionClosed):
            await client.send(b"\0" * 50_000_000 if subprotocol == "bytes" else "\0" * 50_000_000)
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


@pytest.mark.parametrize("settings", [HttpSettings(compression=True)])
async def test_what_is_unpacked_waits_while_its_sender_is_held_back(ws: Ws) -> None:
    async with connect(ws.url, subprotocols=["bytes"]) as client:  # type: ignore[list-item]
        line = b"hold" + b" " * 999_990 + b"\n"
        await client.send(line)
        await client.send(b"x" * 900_000 + b"\n")
        await client.send(b"y" * 900_000 + b"\n")
        await client.send(b"quiet end\n")
        await ws.net.until(lambda: ws.net.acceptor.made and ws.net.acceptor.made[0].throttled)
        connector = ws.net.acceptor.made[0]
        connector.throttle(False)
        await ws.net.until(lambda: connector.heard.endswith(b"quiet end\n"))
        assert len(connector.heard) == len(line) + 2 * 900_001 + 10


async def test_wrong_kind_of_message(ws: Ws) -> None:
    reader, _ = await ws.raw("bytes", frame(TEXT, b"a\n"))
    assert code_of(await rest(reader)) == 1003


async def test_a_connection_that_breaks_within_a_frame(ws: Ws) -> None:
    _, writer = await ws.raw(behind=frame(BINARY, b"hello\n")[:-2])
    await ws.net.until(lambda: ws.net.acceptor.made and ws.net.acceptor.made[0].heard)
    writer.transport.abort()
    await ws.net.until(lambda: ws.net.acceptor.made[0].ends == 1)


async def test_pages_of_other_sites_are_refused(ws: Ws) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with connect(ws.url, subprotocols=["lines"], origin="https://evil.example"):  # type: ignore[arg-type]
            pass
    assert caught.value.response.status_code == 403
    assert ws.net.acceptor.made == []


@pytest.mark.parametrize("limits", [Limits(maximum_connections=1)])
async def test_one_connection_too_many_is_refused_in_https_words(ws: Ws) -> None:
    async with connect(ws.url, subprotocols=["lines"]):
        with pytest.raises(InvalidStatus) as caught:
            async with connect(ws.url, subprotocols=["lines"]):
                pass
        assert caught.value.response.status_code == 503
    assert ws.listener.counters.refused == 1


class TickingClock:
    """Goes on by one millisecond each time somebody looks at it."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def now_ms(self) -> int:
        self.ms += 1
        return self.ms


@pytest.mark.parametrize("clock", [TickingClock()])
async def test_very_many_messages_in_one_read_are_handled_some_a_turn_and_in_order(net, ws, clock) -> None:
    reader, writer = await ws.raw("whole")
    writer.write(b"".join([frame(TEXT, b"%d\n" % number) for number in range(20)]))
    data = b""
    while data.count(b"ok") < 20:
        data += await reader.read(65_536)
    [connector] = net.acceptor.made
    assert connector.heard == b"".join([b"%d\n" % number for number in range(20)])
    # How often it was asked for what it has to say.
    assert len(connector.steps_left) >= 20 // HEARD_MS
