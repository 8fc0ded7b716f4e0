# ruff: noqa: E501
"""The cases of the Autobahn test suite by its numbers, restated against an echo that only the tests have.

Where the suite sends a message a thousand times to see how long that takes, 12 and 13 send it twenty times here, and
contents are made up that are of the same kind: text in JSON, German and HTML, and bytes that cannot be packed.
test_websocket_deflate.py has the parameters' meaning.
"""

import json
import random

import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from ws_frames import Echo, frame, masked, parse

from protocols.websocket.connection import WebSocketConnection, WebSocketLimits
from protocols.websocket.constants import EITHER
from protocols.websocket.deflate import Deflater, Inflater

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def case(number: str, *values: object) -> object:
    return pytest.param(*values, id=number)


def closed(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


# -- 1: framing


@pytest.mark.parametrize("step", [0, 1, 997])
@pytest.mark.parametrize(
    ("opcode", "size"),
    [case(f"1.{kind}.{at}", kind, size) for kind in (1, 2) for at, size in enumerate((0, 125, 126, 127, 128, 65535, 65536, 65536), 1)],
)  # fmt: skip
def test_1_messages_of_every_length_come_back(opcode: int, size: int, step: int) -> None:
    if step == 1 and size > 70:
        step = 61
    payload = b"*" * size
    assert Echo().feed(frame(opcode, payload), step) == [(opcode, payload, True, 0)]


# -- 2: pings and pongs


@pytest.mark.parametrize(
    "payload",
    [
        case("2.1", b""),
        case("2.2", b"Hello, world!"),
        case("2.3", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"),
        case("2.4", b"\xfe" * 125),
        case("2.6", b"\xfe" * 125),
    ],
)
@pytest.mark.parametrize("step", [0, 1])
def test_2_a_ping_is_answered_with_its_payload(payload: bytes, step: int) -> None:
    assert Echo().feed(frame(PING, payload), step) == [(PONG, payload, True, 0)]


def test_2_5_a_ping_of_126_bytes_ends_the_connection() -> None:
    echo = Echo()
    echo.feed(frame(PING, b"\xfe" * 126))
    assert echo.closed_with == 1002


@pytest.mark.parametrize("payload", [case("2.7", b""), case("2.8", b"unsolicited")])
def test_2_a_pong_that_nobody_asked_for_is_ignored(payload: bytes) -> None:
    echo = Echo()
    assert echo.feed(frame(PONG, payload)) == []
    assert echo.closed_with == 0


def test_2_9_a_pong_then_a_ping() -> None:
    assert Echo().feed(frame(PONG, b"unsolicited") + frame(PING, b"p")) == [(PONG, b"p", True, 0)]


@pytest.mark.parametrize("step", [case("2.10", 0), case("2.11", 1)])
def test_2_ten_pings_get_ten_pongs(step: int) -> None:
    pings = b"".join([frame(PING, b"payload-%d" % n) for n in range(10)])
    assert Echo().feed(pings, step) == [(PONG, b"payload-%d" % n, True, 0) for n in range(10)]


# -- 3: reserved bits


@pytest.mark.parametrize(
    ("data", "echoed"),
    [
        case("3.1", frame(TEXT, b"x", rsv=1), 0),
        case("3.2", frame(TEXT, b"x") + frame(TEXT, b"y", rsv=2) + frame(PING), 1),
        case("3.3", frame(TEXT, b"x") + frame(TEXT, b"y", rsv=3) + frame(PING), 1),
        case("3.4", frame(TEXT, b"x") + frame(TEXT, b"y", rsv=4) + frame(PING), 1),
        case("3.5", frame(BINARY, b"\x00\xff", rsv=5), 0),
        case("3.6", frame(PING, b"Hello", rsv=6), 0),
        case("3.7", frame(CLOSE, b"\x03\xe8", rsv=7), 0),
    ],
)
@pytest.mark.parametrize("step", [0, 1])
def test_3_reserved_bits_end_the_connection(data: bytes, echoed: int, step: int) -> None:
    echo = Echo()
    echo.feed(data, step)
    assert len(echo.messages) == echoed
    assert echo.closed_with == 1002


# -- 4: opcodes


@pytest.mark.parametrize(
    ("opcode", "payload", "before"),
    [
        case(f"4.{group}.{at}", base + at - 1 if at < 6 else base + 4, payload, before)
        for group, base in ((1, 3), (2, 11))
        for at, (payload, before) in enumerate(((b"", b""), (b"reserved", b""), (b"", b"x"), (b"reserved", b"x"), (b"", b"x")), 1)
    ],
)  # fmt: skip
@pytest.mark.parametrize("step", [0, 1])
def test_4_reserved_opcodes_end_the_connection(opcode: int, payload: bytes, before: bytes, step: int) -> None:
    echo = Echo()
    echo.feed((frame(TEXT, before) if before else b"") + frame(opcode, payload) + frame(PING), step)
    assert len(echo.messages) == bool(before)
    assert echo.closed_with == 1002


# -- 5: fragments


@pytest.mark.parametrize("opcode", [case("5.1", PING), case("5.2", PONG)])
def test_5_control_frames_may_not_be_fragmented(opcode: int) -> None:
    echo = Echo()
    echo.feed(frame(opcode, b"a", fin=False) + frame(0, b"b"))
    assert echo.closed_with == 1002


PING_BETWEEN = frame(TEXT, b"fragment1", fin=False) + frame(PING, b"p") + frame(0, b"fragment2")
FIVE = [
    frame(TEXT, b"fragment1", fin=False) + frame(0, b"fragment2", fin=False),
    frame(PING, b"1"),
    frame(0, b"fragment3", fin=False) + frame(0, b"fragment4", fin=False),
    frame(PING, b"2"),
    frame(0, b"fragment5"),
]


@pytest.mark.parametrize(
    ("data", "step", "expected"),
    [
        case("5.3", frame(TEXT, b"fragment1", fin=False) + frame(0, b"fragment2"), 0, [(TEXT, b"fragment1fragment2")]),
        case("5.4", frame(TEXT, b"fragment1", fin=False) + frame(0, b"fragment2"), 5, [(TEXT, b"fragment1fragment2")]),
        case("5.5", frame(TEXT, b"fragment1", fin=False) + frame(0, b"fragment2"), 1, [(TEXT, b"fragment1fragment2")]),
        case("5.6", PING_BETWEEN, 0, [(PONG, b"p"), (TEXT, b"fragment1fragment2")]),
        case("5.7", PING_BETWEEN, 7, [(PONG, b"p"), (TEXT, b"fragment1fragment2")]),
        case("5.8", PING_BETWEEN, 1, [(PONG, b"p"), (TEXT, b"fragment1fragment2")]),
        case("5.19", b"".join(FIVE), 0, [(PONG, b"1"), (PONG, b"2"), (TEXT, b"fragment1fragment2fragment3fragment4fragment5")]),
        case("5.20", b"".join(FIVE), 1, [(PONG, b"1"), (PONG, b"2"), (TEXT, b"fragment1fragment2fragment3fragment4fragment5")]),
    ],
)  # fmt: skip
def test_5_fragments_become_one_message(data: bytes, step: int, expected: list[tuple[int, bytes]]) -> None:
    came = [(opcode, payload) for opcode, payload, _, _ in Echo().feed(data, step)]
    assert sorted(came) == sorted(expected)
    assert came[-1][0] == TEXT or not step


@pytest.mark.parametrize(
    "data",
    [
        case("5.9", frame(0, b"x") + frame(TEXT, b"Hello")),
        case("5.10", frame(0, b"x") + frame(TEXT, b"Hello")),
        case("5.11", frame(0, b"x") + frame(TEXT, b"Hello")),
        case("5.12", frame(0, b"x", fin=False) + frame(TEXT, b"Hello")),
        case("5.13", frame(0, b"x", fin=False) + frame(TEXT, b"Hello")),
        case("5.14", frame(0, b"x", fin=False) + frame(TEXT, b"Hello")),
        case("5.16", frame(0, b"1", fin=False) + frame(TEXT, b"2", fin=False) + frame(0, b"3")),
        case("5.17", frame(0, b"1") + frame(TEXT, b"2", fin=False) + frame(0, b"3")),
        case("5.18", frame(TEXT, b"1", fin=False) + frame(TEXT, b"2")),
    ],
)
@pytest.mark.parametrize("step", [0, 1])
def test_5_frames_out_of_order_end_the_connection(data: bytes, step: int) -> None:
    echo = Echo()
    echo.feed(data, step)
    assert echo.messages == []
    assert echo.closed_with == 1002


def test_5_15_what_was_whole_before_the_fault_is_delivered() -> None:
    echo = Echo()
    echo.feed(
        frame(TEXT, b"fragment1", fin=False)
        + frame(0, b"fragment2")
        + frame(0, b"x", fin=False)
        + frame(TEXT, b"y")
    )
    assert [message.data for message in echo.messages] == [b"fragment1fragment2"]
    assert echo.closed_with == 1002


# -- 6: UTF-8

K = "Hello-µ@ßöäüàá-UTF-8!!".encode()
KOSME = bytes.fromhex("cebae1bdb9cf83cebcceb5")

VALID = {
    "6.2.1": K, "6.2.3": K, "6.2.4": KOSME, "6.5.1": b"\x7f", "6.5.2": "\u07ff".encode(), "6.5.3": "\uffff".encode(),
    "6.5.4": "\U0010ffff".encode(), "6.6.1": KOSME[:2], "6.6.3": KOSME[:5], "6.6.11": KOSME, "6.7.1": b"\x00",
    "6.7.2": b"\xc2\x80", "6.7.3": b"\xe0\xa0\x80", "6.7.4": b"\xf0\x90\x80\x80", "6.9.1": b"\x7f", "6.9.2": b"\xdf\xbf",
    "6.9.3": b"\xef\xbf\xbf", "6.9.4": b"\xf4\x8f\xbf\xbf", "6.11.1": b"\xed\x9f\xbf", "6.11.2": b"\xee\x80\x80",
    "6.11.3": b"\xef\xbf\xbd", "6.11.4": b"\xf4\x8f\xbf\xbf", "6.22.1": b"\xef\xbf\xbe", "6.22.2": b"\xef\xbf\xbf",
    "6.22.34": b"\xf4\x8f\xbf\xbf", "6.23.1": b"\xef\xbf\xbd",
}  # fmt: skip

INVALID = {
    "6.3.1": KOSME + b"\xed\xa0\x80" + b"edited", "6.3.2": KOSME + b"\xed\xa0\x80" + b"edited",
    "6.4.1": KOSME + b"\xf4\x90\x80\x80" + b"edited", "6.6.2": KOSME[:3], "6.6.4": KOSME[:6], "6.6.5": KOSME[:1],
    "6.6.7": KOSME[:4], "6.6.9": KOSME[:8], "6.8.1": b"\xf8\x88\x80\x80\x80", "6.8.2": b"\xfc\x84\x80\x80\x80\x80",
    "6.10.1": b"\xf7\xbf\xbf\xbf", "6.10.2": b"\xfb\xbf\xbf\xbf\xbf", "6.10.3": b"\xfd\xbf\xbf\xbf\xbf\xbf",
    "6.11.5": b"\xf4\x90\x80\x80", "6.12.1": b"\x80", "6.12.2": b"\xbf", "6.12.3": b"\x80\xbf", "6.12.8": bytes(range(0x80, 0xC0)),
    "6.13.1": b"".join([bytes((n, 0x20)) for n in range(0xC0, 0xE0)]), "6.13.5": b"\xfc\x20\xfd\x20", "6.14.1": b"\xc0",
    "6.14.2": b"\xe0\x80", "6.14.3": b"\xf0\x80\x80", "6.14.6": b"\xdf", "6.14.10": b"\xf7\xbf\xbf", "6.15.1": b"\xc0\xe0\x80\xf0\x80\x80",
    "6.16.1": b"\xfe", "6.16.2": b"\xff", "6.16.3": b"\xfe\xfe\xff\xff", "6.17.1": b"\xc0\xaf", "6.17.2": b"\xe0\x80\xaf",
    "6.17.5": b"\xfc\x80\x80\x80\x80\xaf", "6.18.1": b"\xc1\xbf", "6.18.2": b"\xe0\x9f\xbf", "6.18.3": b"\xf0\x8f\xbf\xbf",
    "6.19.1": b"\xc0\x80", "6.19.2": b"\xe0\x80\x80", "6.20.1": b"\xed\xa0\x80", "6.20.2": b"\xed\xad\xbf", "6.20.7": b"\xed\xbf\xbf",
    "6.21.1": b"\xed\xa0\x80\xed\xb0\x80", "6.21.8": b"\xed\xaf\xbf\xed\xbf\xbf",
}  # fmt: skip


@pytest.mark.parametrize("text", [case(number, text) for number, text in VALID.items()])
@pytest.mark.parametrize("step", [0, 1])
def test_6_text_that_is_utf8_comes_back(text: bytes, step: int) -> None:
    assert Echo().feed(frame(TEXT, text), step) == [(TEXT, text, True, 0)]
    fragments = b"".join([frame(0 if at else TEXT, text[at : at + 1], fin=False) for at in range(len(text))])
    assert Echo().feed(fragments + frame(0), step) == [(TEXT, text, True, 0)]


@pytest.mark.parametrize("text", [case(number, text) for number, text in INVALID.items()])
@pytest.mark.parametrize("step", [0, 1])
def test_6_text_that_is_not_utf8_ends_the_connection(text: bytes, step: int) -> None:
    for data in (
        frame(TEXT, text),
        b"".join([frame(0 if at else TEXT, text[at : at + 1], fin=False) for at in range(len(text))])
        + frame(0),
    ):
        echo = Echo()
        echo.feed(data, step)
        assert echo.messages == []
        assert echo.closed_with == 1007


@pytest.mark.parametrize("at", [case("6.1.1", 0), case("6.1.2", 1), case("6.1.3", 2)])
def test_6_1_empty_fragments(at: int) -> None:
    data = [
        frame(TEXT),
        frame(TEXT, fin=False) + frame(0, fin=False) + frame(0),
        frame(TEXT, fin=False) + frame(0, b"m", fin=False) + frame(0),
    ]
    assert Echo().feed(data[at]) == [(TEXT, b"m" if at == 2 else b"", True, 0)]


def test_6_4_bad_text_is_refused_before_its_message_ends() -> None:
    echo = Echo()
    echo.feed(frame(TEXT, KOSME + b"\xf4\x90", fin=False))
    assert echo.closed_with == 1007


def test_6_binary_messages_need_be_no_text() -> None:
    assert Echo().feed(frame(BINARY, b"\xff\xfe")) == [(BINARY, b"\xff\xfe", True, 0)]


# -- 7: closing


def test_7_1_1_a_message_then_a_close() -> None:
    assert Echo().feed(frame(TEXT, b"Hello") + closed(1000)) == [
        (TEXT, b"Hello", True, 0),
        (CLOSE, b"\x03\xe8", True, 0),
    ]


@pytest.mark.parametrize(
    "behind", [case("7.1.2", closed(1000)), case("7.1.3", frame(PING)), case("7.1.4", frame(TEXT, b"late"))]
)
@pytest.mark.parametrize("step", [0, 1])
def test_7_nothing_counts_behind_a_close(behind: bytes, step: int) -> None:
    echo = Echo()
    assert echo.feed(closed(1000) + behind, step) == [(CLOSE, b"\x03\xe8", True, 0)]
    assert echo.messages == []


def test_7_1_5_a_close_within_a_message() -> None:
    echo = Echo()
    assert echo.feed(frame(TEXT, b"fragment1", fin=False) + closed(1000) + frame(0, b"fragment2")) == [
        (CLOSE, b"\x03\xe8", True, 0)
    ]
    assert echo.messages == []


def test_7_1_6_a_large_message_a_close_and_a_ping() -> None:
    came = Echo().feed(frame(TEXT, b"B" * 262_144) + frame(TEXT, b"Hello") + closed(1000) + frame(PING))
    assert [opcode for opcode, _, _, _ in came] == [TEXT, TEXT, CLOSE]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        case("7.3.1", b"", 1005),
        case("7.3.2", b"a", 1002),
        case("7.3.3", b"\x03\xe8", 1000),
        case("7.3.4", b"\x03\xe8Hello World!", 1000),
        case("7.3.5", b"\x03\xe8" + b"*" * 123, 1000),
        case("7.3.6", b"\x03\xe8" + b"*" * 124, 1002),
        case("7.5.1", b"\x03\xe8" + KOSME + b"\xed\xa0\x80edited", 1007),
    ],
)
@pytest.mark.parametrize("step", [0, 1])
def test_7_payload_of_a_close(payload: bytes, code: int, step: int) -> None:
    echo = Echo()
    came = echo.feed(frame(CLOSE, payload), step)
    assert echo.closed_with == code
    assert came[0][0] == CLOSE
    assert came[0][1][:2] == (b"" if code == 1005 else code.to_bytes(2, "big"))


@pytest.mark.parametrize(
    "code",
    [case(f"7.7.{at}", code) for at, code in enumerate((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999), 1)],
)  # fmt: skip
def test_7_7_valid_close_codes_are_repeated(code: int) -> None:
    echo = Echo()
    assert echo.feed(closed(code)) == [(CLOSE, code.to_bytes(2, "big"), True, 0)]
    assert echo.closed_with == code


@pytest.mark.parametrize(
    "code",
    [case(f"7.9.{at}", code) for at, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999), 1)]
    + [case(f"7.13.{at}", code) for at, code in enumerate((5000, 65535), 1)],
)
def test_7_other_close_codes_are_refused(code: int) -> None:
    echo = Echo()
    assert echo.feed(closed(code))[0][1][:2] == b"\x03\xea"
    assert echo.closed_with == 1002


# -- 9: large messages, 10: many fragments


@pytest.mark.parametrize("opcode", [case("9.1", TEXT), case("9.2", BINARY)])
@pytest.mark.parametrize("size", [65_536, 1 << 20, 16 << 20])
def test_9_large_messages_come_back(opcode: int, size: int) -> None:
    payload = bytes(range(32, 127)) * (size // 95)
    assert Echo().feed(frame(opcode, payload), 262_144) == [(opcode, payload, True, 0)]


@pytest.mark.parametrize(
    "fragment", [case("9.3.1", 64), case("9.3.2", 256), case("9.3.3", 1024), case("9.3.5", 65_536)]
)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_9_large_messages_in_fragments(opcode: int, fragment: int) -> None:
    payload = b"0123456789abcdef" * 65_536
    parts = [payload[at : at + fragment] for at in range(0, len(payload), fragment)]
    data = b"".join(
        [frame(0 if at else opcode, part, fin=at == len(parts) - 1) for at, part in enumerate(parts)]
    )
    assert Echo().feed(data, 262_144) == [(opcode, payload, True, 0)]


@pytest.mark.parametrize("step", [case("9.5.1", 64), case("9.5.3", 256), case("9.5.6", 2048)])
def test_9_5_a_large_message_in_small_pieces(step: int) -> None:
    payload = b"*" * (1 << 18)
    assert Echo().feed(frame(TEXT, payload), step) == [(TEXT, payload, True, 0)]


def test_10_1_1_a_message_in_1300_byte_fragments() -> None:
    payload = b"*" * 65_536
    parts = [payload[at : at + 1300] for at in range(0, len(payload), 1300)]
    data = b"".join(
        [frame(0 if at else TEXT, part, fin=at == len(parts) - 1) for at, part in enumerate(parts)]
    )
    assert Echo().feed(data) == [(TEXT, payload, True, 0)]
    assert parse(b"") == []


@pytest.mark.parametrize("opcode", [case("9.7", TEXT), case("9.8", BINARY)])
@pytest.mark.parametrize("size", [0, 16, 64, 256, 1024, 4096])
def test_9_a_thousand_messages_one_after_the_other(opcode: int, size: int) -> None:
    echo = Echo()
    sent = masked(opcode, b"*" * size)
    for _ in range(1_000):
        assert echo.feed(sent) == [(opcode, b"*" * size, True, 0)]


# -- 12, 13: packed messages

SIZES = (16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072)
LARGEST = SIZES[-1]
REPEATS = 20


def _contents() -> dict[str, tuple[Opcode, bytes]]:
    chance = random.Random(12)
    rows = [
        {"id": n, "name": f"device-{n}", "on": n % 3 == 0, "level": chance.random()} for n in range(3_000)
    ]
    faust = "Habe nun, ach! Philosophie, Juristerei und Medizin, und leider auch Theologie durchaus studiert, mit heißem Bemühn. "
    page = "".join([f"<tr><td class='n'>{n}</td><td>{chance.random():.6f}</td></tr>\n" for n in range(5_000)])
    return {
        "12.1": (Opcode.TEXT, json.dumps(rows).encode()),
        "12.2": (Opcode.BINARY, chance.randbytes(LARGEST)),
        "12.3": (Opcode.BINARY, (faust * 1_500).encode()),
        "12.4": (Opcode.TEXT, page.encode()),
        "12.5": (Opcode.BINARY, (chance.randbytes(500) + bytes(1_500)) * 100),
    }


CONTENTS = _contents()


def packing(
    takeover: bool = True, bits: int = 15, client_takeover: bool = True, client_bits: int = 15
) -> tuple[Echo, PerMessageDeflate]:
    """An echo that packs, and the package's extension as its client has it.

    `takeover` and `bits` are what the server's packing was bound to, the other two the client's.
    """
    server = WebSocketConnection(
        WebSocketLimits(max_unpacked=1 << 20),
        True,
        EITHER,
        Inflater(1 << 20, client_bits, not client_takeover),
        Deflater(bits, not takeover),
    )
    return Echo(server), PerMessageDeflate(not takeover, not client_takeover, bits, client_bits)


def exchange(
    echo: Echo, client: PerMessageDeflate, opcode: Opcode, payload: bytes, fragment: int = 0
) -> None:
    """The client sends a packed message, perhaps in fragments, and unpacks what comes back."""
    packed = client.encode(Frame(opcode, payload))
    data = bytes(packed.data)
    size = fragment or len(data) or 1
    pieces = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
    wire = b"".join(
        [
            frame(0 if at else opcode, piece, fin=at == len(pieces) - 1, rsv=0 if at else 4)
            for at, piece in enumerate(pieces)
        ]
    )
    [(got, back, fin, rsv)] = echo.feed(wire)
    assert (got, fin) == (opcode, True)
    assert bytes(client.decode(Frame(Opcode(got), back, fin, rsv1=rsv == 4)).data) == payload


@pytest.mark.parametrize("content", [case(number, number) for number in CONTENTS])
@pytest.mark.parametrize("size", SIZES)
def test_12_packed_messages_of_every_size(content: str, size: int) -> None:
    opcode, whole = CONTENTS[content]
    echo, client = packing()
    for at in range(REPEATS):
        start = at * 997 % (len(whole) - size + 1)
        exchange(echo, client, opcode, whole[start : start + size])


@pytest.mark.parametrize("content", [case(number, number) for number in CONTENTS])
@pytest.mark.parametrize("fragment", [256, 1024, 4096, 32768])
def test_12_packed_messages_in_fragments(content: str, fragment: int) -> None:
    opcode, whole = CONTENTS[content]
    echo, client = packing()
    for _ in range(3):
        exchange(echo, client, opcode, whole[:LARGEST], fragment)


@pytest.mark.parametrize(
    ("takeover", "bits"),
    [
        case("13.1", True, 15),
        case("13.2", False, 15),
        case("13.3", True, 9),
        case("13.4", True, 15),
        case("13.5", False, 9),
        case("13.6", False, 15),
    ],
)
@pytest.mark.parametrize("side", ["server", "client", "both"])
@pytest.mark.parametrize("size", SIZES)
def test_13_every_agreement_at_every_size(takeover: bool, bits: int, side: str, size: int) -> None:
    bound = (takeover, bits)
    server, client_side = bound if side != "client" else (True, 15), bound if side != "server" else (True, 15)
    echo, client = packing(*server, *client_side)
    opcode, whole = CONTENTS["12.1"]
    for _ in range(REPEATS):
        exchange(echo, client, opcode, whole[:size])
