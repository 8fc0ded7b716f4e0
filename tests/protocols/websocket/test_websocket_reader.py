"""The reader beside the `websockets` package's: the same frames, cut anywhere, give the same messages."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol
from ws_frames import frame, parse

from protocols.websocket.connection import WebSocketConnection, WebSocketLimits
from protocols.websocket.constants import BINARY_ONLY, TEXT, TEXT_ONLY
from protocols.websocket.errors import WebSocketError
from protocols.websocket.frames import Close, Data, Event, Ping, Pong
from protocols.websocket.masking import COMPILED, STEPS_MAX, rotated, unmask
from protocols.websocket.reader import FrameReader

LIMITS = WebSocketLimits(max_frame_size=1_000_000)


def masked(opcode: Opcode, payload: bytes, fin: bool = True) -> bytes:
    """A frame as the package writes it."""
    return Frame(opcode, payload, fin).serialize(mask=True)


def read(data: bytes, whole: bool, cuts: list[int]) -> list[Event]:
    """What our reader makes of `data`, cut there."""
    reader = FrameReader(LIMITS, whole)
    events: list[Event] = []
    last = 0
    for cut in [*sorted(cuts), len(data)]:
        reader.feed(data[last:cut], events)
        last = cut
    assert not reader.unfinished
    return events


def read_by_package(data: bytes) -> list[Event]:
    """What the package makes of it."""
    protocol = Protocol(SERVER, max_size=None)
    protocol.receive_data(data)
    events: list[Event] = []
    message = b""
    text = False
    for event in protocol.events_received():
        assert isinstance(event, Frame)
        if event.opcode is Opcode.PING:
            events.append(Ping(bytes(event.data)))
        elif event.opcode is Opcode.PONG:
            events.append(Pong(bytes(event.data)))
        elif event.opcode is Opcode.CLOSE:
            events.append(Close(int.from_bytes(event.data[:2], "big"), bytes(event.data[2:]).decode()))
        else:
            if event.opcode is not Opcode.CONT:
                text = event.opcode is Opcode.TEXT
                message = b""
            message += event.data
            if event.fin:
                events.append(Data(message, text))
    assert protocol.parser_exc is None
    return events


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Whole messages, in fragments or not, with control frames among them; perhaps a Close at the end."""
    data = b""
    for _ in range(draw(st.integers(0, 5))):
        text = draw(st.booleans())
        payload = draw(st.text(max_size=300)).encode() if text else draw(st.binary(max_size=300))
        if draw(st.integers(0, 9)) == 0:
            payload *= 300
        count = draw(st.integers(1, 4))
        edges = sorted(draw(st.lists(st.integers(0, len(payload)), min_size=count - 1, max_size=count - 1)))
        parts = [payload[a:b] for a, b in zip([0, *edges], [*edges, len(payload)], strict=True)]
        for at, part in enumerate(parts):
            opcode = Opcode.CONT if at else (Opcode.TEXT if text else Opcode.BINARY)
            data += masked(opcode, part, at == len(parts) - 1)
            if draw(st.booleans()):
                data += masked(
                    draw(st.sampled_from([Opcode.PING, Opcode.PONG])), draw(st.binary(max_size=125))
                )
    if draw(st.booleans()):
        data += masked(Opcode.CLOSE, b"\x03\xe8" + draw(st.text(max_size=30)).encode())
    return data


@given(streams(), st.lists(st.integers(0, 2_000), max_size=6))
def test_property_same_messages_as_the_package(data: bytes, cuts: list[int]) -> None:
    assert read(data, True, [cut for cut in cuts if cut < len(data)]) == read_by_package(data)


@given(streams(), st.lists(st.integers(0, 2_000), max_size=6))
def test_property_a_stream_is_the_same_bytes(data: bytes, cuts: list[int]) -> None:
    found = read(data, False, [cut for cut in cuts if cut < len(data)])
    ours = b"".join([event.data for event in found if isinstance(event, Data)])
    theirs = b"".join([event.data for event in read_by_package(data) if isinstance(event, Data)])
    assert ours == theirs
    controls = [event for event in found if not isinstance(event, Data)]
    assert controls == [event for event in read_by_package(data) if not isinstance(event, Data)]


@given(st.binary(max_size=400), st.booleans())
def test_garbage_neither_raises_nor_grows_what_is_kept(data: bytes, whole: bool) -> None:
    connection = WebSocketConnection(WebSocketLimits(max_frame_size=1_000), whole)
    for at in range(0, len(data), 7):
        connection.receive_data(data[at : at + 7])
        assert len(connection._reader._rest) <= 131
    connection.taken()
    assert len(connection.last_word()) <= 127


def test_frames_as_the_package_reads_them() -> None:
    for size in (0, 1, 125, 126, 65_535, 65_536):
        for text in (False, True):
            connection = WebSocketConnection(LIMITS, True, TEXT_ONLY if text else BINARY_ONLY)
            wire = b"".join(connection.encode([b"x" * size]))
            protocol = Protocol(CLIENT, max_size=None)
            protocol.receive_data(wire)
            assert protocol.events_received() == [Frame(Opcode.TEXT if text else Opcode.BINARY, b"x" * size)]


# -- masks


@pytest.mark.parametrize("size", [0, 1, 3, 7, 8, 9, 15, 16, 17, 64, 1_023, 1_024, 1_025, 5_000])
@pytest.mark.parametrize("start", [0, 1, 5])
def test_unmasking(size: int, start: int) -> None:
    from librt.strings import BytesWriter

    key = os.urandom(4)
    plain = os.urandom(size)
    data = os.urandom(start) + bytes([byte ^ key[at & 3] for at, byte in enumerate(plain)]) + b"tail"
    out = BytesWriter()
    unmask(out, data, start, start + size, int.from_bytes(key, "little"))
    assert out.getvalue() == plain


def test_a_key_goes_on_where_a_cut_left_it() -> None:
    key = int.from_bytes(b"\x01\x02\x03\xf4", "little")
    assert [rotated(key, count).to_bytes(4, "little") for count in range(5)] == [
        b"\x01\x02\x03\xf4",
        b"\x02\x03\xf4\x01",
        b"\x03\xf4\x01\x02",
        b"\xf4\x01\x02\x03",
        b"\x01\x02\x03\xf4",
    ]


def test_steps_of_eight_are_for_compiled_code() -> None:
    assert (STEPS_MAX > 0) == COMPILED


# -- limits and states


@pytest.mark.parametrize("whole", [False, True])
def test_a_length_is_refused_before_its_bytes_come(whole: bool) -> None:
    reader = FrameReader(WebSocketLimits(max_frame_size=100), whole)
    with pytest.raises(WebSocketError) as caught:
        reader.feed(b"\x82\xfe\x00\x65", [])
    assert caught.value.code == 1009


@pytest.mark.parametrize(("only", "opcode"), [(TEXT_ONLY, 2), (BINARY_ONLY, 1)])
def test_messages_of_the_wrong_kind(only: int, opcode: int) -> None:
    connection = WebSocketConnection(LIMITS, True, only)
    assert connection.receive_data(frame(opcode, b"x")) == []
    assert connection.close_code == 1003


def test_pongs_are_bounded_and_the_latest_ping_is_answered() -> None:
    connection = WebSocketConnection(LIMITS, False)
    connection.receive_data(b"".join([frame(9, b"%d" % n) for n in range(1_000)]))
    out = connection.taken()
    assert len(out) == 16
    assert out[-1] == b"\x8a\x03999"
    connection.receive_data(frame(9, b"again"))
    assert connection.taken() == [b"\x8a\x05again"]


def test_after_our_close_only_the_peers_counts() -> None:
    connection = WebSocketConnection(LIMITS, False)
    connection.send_close(1001, "x" * 200)
    word = connection.last_word()
    assert len(word) == 127
    assert connection.last_word() == b""
    assert connection.encode([b"late"]) == []
    assert connection.receive_data(frame(2, b"late") + frame(9, b"p")) == []
    assert connection.taken() == []
    connection.receive_data(frame(8, b"\x03\xe8"))
    assert connection.state == "closed"
    assert connection.last_word() == b""
    connection.send_ping()
    connection.send_close()
    assert (connection.taken(), connection.last_word()) == ([], b"")


def test_a_reason_is_not_cut_within_a_character() -> None:
    connection = WebSocketConnection(LIMITS, False)
    connection.send_close(1000, "é" * 100)
    assert connection.last_word()[4:].decode() == "é" * 61


def test_what_is_said_is_one_message_or_one_each() -> None:
    stream = WebSocketConnection(LIMITS, False)
    assert b"".join(stream.encode([b"a", b"bc"])) == b"\x82\x03abc"
    whole = WebSocketConnection(LIMITS, True, TEXT_ONLY)
    assert b"".join(whole.encode([b"a", b"bc"])) == b"\x81\x01a\x81\x02bc"
    assert stream.encode([]) == []


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_a_stream_of_text_stays_text_wherever_a_frame_in_parts_is_cut(size: int) -> None:
    """What was cut within a character would be no text (§8.1)."""
    server = WebSocketConnection(LIMITS, False, TEXT_ONLY)
    said = "aé€😀" * 3
    data = said.encode()
    wire: list[bytes] = []
    for at in range(0, len(data), size):
        wire += server.encode_part(data[at : at + size], at == 0, at + size >= len(data))
    found = parse(b"".join(wire))
    assert {opcode for opcode, _, _, _ in found} == {TEXT}
    assert "".join([payload.decode() for _, payload, _, _ in found]) == said


def test_of_bytes_in_a_stream_of_text_nothing_is_lost_in_parts() -> None:
    server = WebSocketConnection(LIMITS, False, TEXT_ONLY)
    parts = [b"\xff", b"\xe2", b"\x80\x80\x80\x80", b"\xf0\x9f", b""]
    wire: list[bytes] = []
    for at, part in enumerate(parts):
        wire += server.encode_part(part, at == 0, at == len(parts) - 1)
    assert b"".join([payload for _, payload, _, _ in parse(b"".join(wire))]) == b"".join(parts)


def test_a_stream_of_text_is_answered_in_text_while_it_is_that() -> None:
    stream = WebSocketConnection(LIMITS, False)
    stream.receive_data(frame(1, b"CONNECT"))
    assert b"".join(stream.encode(["é".encode()])) == b"\x81\x02\xc3\xa9"
    assert b"".join(stream.encode([b"\xff"])) == b"\x82\x01\xff"
