# ruff: noqa: E501
"""permessage-deflate (RFC 7692): against the package's own extension, its parameters, and bombs."""

import os
import zlib

import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from ws_frames import Echo, frame, parse

from protocols.websocket.connection import WebSocketConnection, WebSocketLimits
from protocols.websocket.constants import BINARY, CONTINUATION, EITHER
from protocols.websocket.deflate import UNPACKED_AT_ONCE, Deflater, Inflater
from protocols.websocket.handshake import Handshake

KEY = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
]


def handshake(offer: str, window_bits: int = 12) -> Handshake:
    """A handshake with this offer."""
    return Handshake("/", [*KEY, ("Sec-WebSocket-Extensions", offer)], (), True, window_bits, 1_000_000)


def agreed(done: Handshake) -> str:
    """What was agreed on."""
    return dict(done.headers).get("Sec-WebSocket-Extensions", "")


def pair(
    takeover: bool = True, bits: int = 15, limit: int = 1_000_000
) -> tuple[WebSocketConnection, PerMessageDeflate]:
    """Our side and the package's, as a client would have it."""
    ours = WebSocketConnection(
        WebSocketLimits(max_unpacked=limit),
        True,
        EITHER,
        Inflater(limit, bits, not takeover),
        Deflater(bits, not takeover),
    )
    return ours, PerMessageDeflate(not takeover, not takeover, bits, bits)


def packed(extension: PerMessageDeflate, opcode: Opcode, payload: bytes) -> bytes:
    """A message as the package packs and masks it."""
    return Frame(opcode, payload).serialize(mask=True, extensions=[extension])


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("bits", [9, 12, 15])
@pytest.mark.parametrize("step", [0, 1])
def test_both_ways_with_the_package(takeover: bool, bits: int, step: int) -> None:
    ours, theirs = pair(takeover, bits)
    echo = Echo(ours)
    for payload in ("é" * 500, "", "again " * 300, "x"):
        for opcode in (Opcode.TEXT, Opcode.BINARY):
            [(kind, data, fin, rsv)] = echo.feed(packed(theirs, opcode, payload.encode()), step)
            assert kind == opcode
            assert echo.messages[-1].data == payload.encode()
            back = theirs.decode(Frame(Opcode(kind), data, fin, bool(rsv & 4)))
            assert bytes(back.data) == payload.encode()


def test_short_messages_are_not_packed() -> None:
    ours, _ = pair()
    assert b"".join(ours.encode([b"short"])) == b"\x82\x05short"
    assert ours.encode([b"x" * 64])[0][0] == 0xC2


def test_fragments_of_a_packed_message() -> None:
    ours, theirs = pair()
    data = theirs.encode(Frame(Opcode.TEXT, b"fragment " * 100)).data
    wire = frame(1, bytes(data[:10]), fin=False, rsv=4) + frame(9, b"p") + frame(0, bytes(data[10:]))
    echo = Echo(ours)
    echo.feed(wire, 3)
    assert echo.messages[0].data == b"fragment " * 100


def test_a_continuation_may_not_say_that_it_is_packed() -> None:
    ours, _ = pair()
    echo = Echo(ours)
    echo.feed(frame(1, b"", fin=False, rsv=4) + frame(0, b"", rsv=4))
    assert echo.closed_with == 1002


def test_packed_text_must_be_utf8_too() -> None:
    ours, theirs = pair()
    echo = Echo(ours)
    echo.feed(packed(theirs, Opcode.BINARY, b"\xff").replace(b"\xc2", b"\xc1", 1))
    assert echo.closed_with == 1007


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x07"])
def test_damaged_data(data: bytes) -> None:
    ours, _ = pair()
    echo = Echo(ours)
    echo.feed(frame(2, data, rsv=4))
    assert echo.closed_with == 1007


@pytest.mark.parametrize("step", [0, 100])
def test_a_bomb_is_stopped_at_the_limit(step: int) -> None:
    ours, theirs = pair(limit=10_000)
    echo = Echo(ours)
    echo.feed(packed(theirs, Opcode.BINARY, bytes(10_000)))
    assert echo.closed_with == 0
    echo.feed(packed(theirs, Opcode.BINARY, bytes(10_000_000)), step)
    assert echo.closed_with == 1009
    assert [len(message.data) for message in echo.messages] == [10_000]


def test_many_small_bombs_do_not_become_one_large_read() -> None:
    ours, theirs = pair(limit=1_000_000)
    data = b"".join([packed(theirs, Opcode.BINARY, bytes(1_000_000)) for _ in range(5)])
    sizes = [[len(piece.data) for piece in ours.receive_data(data)]]
    while ours.more:
        sizes.append([len(piece.data) for piece in ours.receive_data(b"")])
    assert max(sum(piece) for piece in sizes) <= 2_000_000
    assert sum(sum(piece) for piece in sizes) == 5_000_000


def test_a_stream_that_says_it_ends_starts_anew() -> None:
    ours, _ = pair()
    packer = zlib.compressobj(wbits=-15)
    data = packer.compress(b"x" * 100) + packer.flush(zlib.Z_FINISH)
    echo = Echo(ours)
    echo.feed(frame(2, data, rsv=4) * 2)
    assert [message.data for message in echo.messages] == [b"x" * 100] * 2


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize(("behind", "code"), [(b"\0", 0), (b"", 0), (b"\0x", 1007), (b"junk" * 1_000, 1007)])
def test_7692_7_2_3_4_nothing_but_an_empty_block_follows_a_final_one(
    behind: bytes, code: int, step: int
) -> None:
    ours, _ = pair()
    packer = zlib.compressobj(wbits=-15)
    data = packer.compress(b"x" * 100) + packer.flush(zlib.Z_FINISH) + behind
    for cut in (0, 3, len(data) - len(behind)):
        ours, _ = pair()
        echo = Echo(ours)
        echo.feed(frame(2, data[:cut], rsv=4, fin=False) + frame(0, data[cut:]), step)
        assert echo.closed_with == code
        assert [message.data for message in echo.messages] == ([] if code else [b"x" * 100])


def test_a_message_that_is_wanted_whole_unpacks_to_no_more_than_a_message_may_have() -> None:
    ours, theirs = pair(limit=1_000_000)
    ours.limit(1_000)
    echo = Echo(ours)
    echo.feed(packed(theirs, Opcode.TEXT, b"x" * 1_000))
    ours.limit(2_000_000)
    echo.feed(packed(theirs, Opcode.TEXT, b"x" * 1_000_000))
    assert [len(message.data) for message in echo.messages] == [1_000, 1_000_000]
    ours.limit(1_000)
    echo.feed(packed(theirs, Opcode.TEXT, b"x" * 1_001))
    assert echo.closed_with == 1009


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate", "permessage-deflate; server_max_window_bits=12"),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"),
        ("permessage-deflate; server_max_window_bits=10", "permessage-deflate; server_max_window_bits=10"),
        ("permessage-deflate; client_no_context_takeover; server_no_context_takeover",
         "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12"),
        ("permessage-deflate; unknown=1, permessage-deflate", "permessage-deflate; server_max_window_bits=12"),
        ("permessage-deflate; server_max_window_bits=99", ""),
        ("x-webkit-deflate-frame", ""),
    ],
)  # fmt: skip
def test_what_is_agreed_on(offer: str, answer: str) -> None:
    done = handshake(offer)
    assert (done.status, agreed(done)) == (101, answer)
    assert (done.inflater() is not None) == bool(answer)
    assert (done.deflater() is not None) == bool(answer)


def test_an_offer_where_there_is_no_compression() -> None:
    done = Handshake("/", [*KEY, ("Sec-WebSocket-Extensions", "permessage-deflate")], (), False, 12, 1_000)
    assert (done.status, agreed(done), done.inflater()) == (101, "", None)


def test_a_frame_that_comes_in_parts_is_one_message_in_fragments() -> None:
    """RFC 6455 §5.4, RFC 7692 §6.1: the first says that it is packed."""
    for no_context_takeover in (False, True):
        server = WebSocketConnection(WebSocketLimits(), True, EITHER, None, Deflater(15, no_context_takeover))
        client = PerMessageDeflate(no_context_takeover, False, 15, 15)
        large = [os.urandom(70_000).hex().encode() for _ in range(3)]
        wire = b"".join(server.encode([b"whole" * 30]))
        for at, part in enumerate(large):
            wire += b"".join(server.encode_part(part, at == 0, at == 2))
        # Nothing comes of a part that packs well, and of the last something in any case.
        assert server.encode_part(b"x" * 1_000, True, False) == []
        wire += b"".join(server.encode_part(b"", False, True))
        wire += b"".join(server.encode_part(b"one" * 30, True, True))
        messages = [b""]
        for opcode, payload, fin, rsv in parse(wire):
            one = client.decode(Frame(Opcode(opcode), payload, fin, rsv1=rsv == 4))
            messages[-1] += bytes(one.data)
            if fin:
                messages.append(b"")
        assert messages == [b"whole" * 30, b"".join(large), b"x" * 1_000, b"one" * 30, b""]


def test_parts_are_fragments_without_compression_too() -> None:
    server = WebSocketConnection(WebSocketLimits(), True)
    wire = server.encode_part(b"a", True, False) + server.encode_part(b"b", False, False)
    wire += server.encode_part(b"c", False, True) + server.encode([b"d"])
    assert [(opcode, payload, fin) for opcode, payload, fin, _ in parse(b"".join(wire))] == [
        (BINARY, b"a", False),
        (CONTINUATION, b"b", False),
        (CONTINUATION, b"c", True),
        (BINARY, b"d", True),
    ]


@pytest.mark.parametrize("step", [1_000, 1_000_000])
def test_a_large_message_is_unpacked_in_many_turns(step: int) -> None:
    """A kilobyte may be a megabyte."""
    client = PerMessageDeflate(False, False, 15, 15)
    message = b"x" * 5_000_000 + os.urandom(10)
    wire = packed(client, Opcode.BINARY, message) + packed(client, Opcode.BINARY, b"next" * 100)
    server = WebSocketConnection(WebSocketLimits(), True, EITHER, Inflater(1 << 30, 15, False))
    found: list[bytes] = []
    turns = 0
    for at in range(0, len(wire), step):
        found += [data.data for data in server.receive_data(wire[at : at + step])]
        while server.more:
            turns += 1
            found += [data.data for data in server.receive_data(b"")]
    assert found == [message, b"next" * 100]
    assert turns >= len(message) // UNPACKED_AT_ONCE // 2
