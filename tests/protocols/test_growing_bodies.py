"""A large body that comes in pieces is never moved to a larger place: that would take a millisecond a megabyte, in one go.

So once it is clear that much will come, there is room for all that may, and memory stays what it is.
"""

import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import pytest

from protocols.http.connection import HttpConnection, HttpLimits
from protocols.mqtt.decoder import PacketDecoder
from protocols.pieces import SURE_BYTES
from protocols.stomp.reader import FrameReader as StompReader
from protocols.stomp.reader import StompLimits
from protocols.websocket.deflate import Inflater
from protocols.websocket.reader import FrameReader, WebSocketLimits

BODY = 10_000_000
LIMIT = 50_000_000
READ = 262_144

Feed = Callable[[bytes], object]


@pytest.fixture(autouse=True)
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def http(framing: bytes) -> Feed:
    connection = HttpConnection(HttpLimits(max_body_bytes=LIMIT, asked_body_bytes=LIMIT))
    # Some of the body comes in the same read.
    connection.receive_data(b"POST /queues/a HTTP/1.1\r\nHost: a\r\n%b" % framing)
    return connection.receive_data


def stomp(head: bytes) -> Feed:
    reader = StompReader(StompLimits(max_frame_size=LIMIT))
    reader.feed(b"CONNECT\naccept-version:1.2\nhost:a\n\n\0", [])
    reader.feed(b"SEND\ndestination:/queue/a\n%b\n" % head, [])
    return lambda data: reader.feed(data, [])


def websocket(head: bytes, packed: bool = False) -> Feed:
    inflater = Inflater(LIMIT, 15, False) if packed else None
    reader = FrameReader(WebSocketLimits(LIMIT, LIMIT), True, inflater=inflater)
    reader.feed(head, [])
    return lambda data: reader.feed(data, [])


def mqtt(head: bytes) -> Feed:
    decoder = PacketDecoder(LIMIT, 4)

    def feed(data: bytes) -> None:
        decoder.push(data)
        decoder.next_frame()

    feed(head)
    return feed


def frame_head(first: int, size: int) -> bytes:
    return bytes((first, 0xFF)) + size.to_bytes(8, "big") + bytes(4)


def reads(piece: bytes) -> Iterator[bytes]:
    """BODY bytes, in frames or chunks that hold READ of them."""
    for _ in range(BODY // READ):
        yield piece


def packed() -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=-15)
    for _ in range(BODY // READ):
        data = packer.compress(bytes(READ)) + packer.flush(zlib.Z_SYNC_FLUSH)
        yield frame_head(0x00, len(data)) + data


PLAIN = bytes(READ)
CHUNK = b"%x\r\n%b\r\n" % (READ, PLAIN)
LENGTH = 45_000_000
VARINT = bytes((LENGTH & 127 | 128, LENGTH >> 7 & 127 | 128, LENGTH >> 14 & 127 | 128, LENGTH >> 21))

FRAMINGS: dict[str, tuple[Callable[[], Feed], Callable[[], Iterator[bytes]]]] = {
    "HTTP, by length": (lambda: http(b"Content-Length: %d\r\n\r\n0" % LENGTH), lambda: reads(PLAIN)),
    "HTTP, in chunks": (lambda: http(b"Transfer-Encoding: chunked\r\n\r\n1\r\n0\r\n"), lambda: reads(CHUNK)),
    "STOMP, by length": (lambda: stomp(b"content-length:%d\n" % LENGTH), lambda: reads(PLAIN)),
    "STOMP, up to NUL": (lambda: stomp(b""), lambda: reads(b"x" * READ)),
    "MQTT": (lambda: mqtt(b"\x30" + VARINT + b"\0\1a0"), lambda: reads(PLAIN)),
    "WebSocket, one frame": (lambda: websocket(frame_head(0x82, LENGTH)), lambda: reads(PLAIN)),
    "WebSocket, fragments": (
        lambda: websocket(frame_head(0x02, 1) + b"0"),
        lambda: reads(frame_head(0x00, READ) + PLAIN),
    ),
    "WebSocket, packed": (lambda: websocket(frame_head(0x42, 0), True), packed),
}


@pytest.mark.parametrize("framing", FRAMINGS)
def test_there_is_room_for_all_that_may_come_before_much_of_it_has_come(framing: str) -> None:
    begin, pieces = FRAMINGS[framing]
    feed = begin()
    before = tracemalloc.get_traced_memory()[0]
    there: list[int] = []
    for count, piece in enumerate(pieces()):
        feed(piece)
        if count * READ > SURE_BYTES:
            there.append(tracemalloc.get_traced_memory()[0] - before)
    assert min(there) >= BODY
    assert max(there) - min(there) < 4 * READ
