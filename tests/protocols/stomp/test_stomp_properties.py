"""Whatever comes in, nothing is raised and nothing grows; and however it is cut, the frames are the same."""

from hypothesis import given
from hypothesis import strategies as st
from stomp_vectors import VERSIONS, connected, vectors

from protocols.stomp.client import encode_frame
from protocols.stomp.connection import StompConnection, StompLimits
from protocols.stomp.frames import Abort, Ack, Begin, Commit, ConnectionFailed, Disconnect, Frame, Nack
from protocols.stomp.headers import decode_headers

LIMITS = StompLimits(max_frame_size=400, max_header_bytes=300, max_line_bytes=100, max_headers=20)
PIECES = st.sampled_from(
    [
        b"SEND\n",
        b"SUBSCRIBE\n",
        b"CONNECT\n",
        b"DISCONNECT\n",
        b"ACK\r\n",
        b"destination:/a\n",
        b"id:1\r\n",
        b"content-length:3\n",
        b"content-length:-3\n",
        b"content-length:300\n",
        b"receipt:r\\c\n",
        b"k:\\q\n",
        b"accept-version:1.2\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"\0",
        b"\n\0",
        b"abc\0",
        b":",
        b"\xff",
        b"\x10\x0c\0\x04MQTT",
        b"x" * 90,
    ]
)
STREAMS = st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=40).map(b"".join))
SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=10)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
MAYBE = st.none() | TEXT


def feed(connection: StompConnection, data: bytes, sizes: list[int]) -> list[Frame]:
    """`data` in pieces of `sizes`, over and over."""
    frames: list[Frame] = []
    pos = 0
    turn = 0
    while pos < len(data):
        size = sizes[turn % len(sizes)]
        turn += 1
        frames += connection.receive_data(data[pos : pos + size], 0)
        pos += size
    return frames


def check_end(connection: StompConnection, frames: list[Frame]) -> None:
    """ConnectionFailed comes once, last, and goes with `closing`."""
    failed = [frame for frame in frames if isinstance(frame, ConnectionFailed)]
    assert len(failed) == connection.closing
    assert not failed or frames[-1] is failed[0]


@given(STREAMS, SIZES, st.sampled_from(["", *VERSIONS]))
def test_garbage_never_raises(data: bytes, sizes: list[int], version: str) -> None:
    connection = connected(version, LIMITS) if version else StompConnection(LIMITS, 0)
    check_end(connection, feed(connection, data, sizes))


@given(STREAMS, st.sampled_from(VERSIONS))
def test_every_cut_gives_the_same_frames(data: bytes, version: str) -> None:
    whole = connected(version, LIMITS)
    pieces = connected(version, LIMITS)
    frames = [frame for frame in whole.receive_data(data, 0) if not isinstance(frame, ConnectionFailed)]
    again = [frame for frame in feed(pieces, data, [1]) if not isinstance(frame, ConnectionFailed)]
    assert again == frames


@given(st.data(), SIZES, st.sampled_from(VERSIONS))
def test_mutated_frames_never_raise(draw: st.DataObject, sizes: list[int], version: str) -> None:
    stream = bytearray(b"".join([data for _, data, _ in vectors(version)[:-1]]))
    for _ in range(draw.draw(st.integers(0, 5))):
        position = draw.draw(st.integers(0, len(stream) - 1))
        stream[position] = draw.draw(st.integers(0, 255))
    connection = connected(version)
    frames = feed(connection, bytes(stream), sizes)
    check_end(connection, frames)


@given(STREAMS, st.sampled_from(VERSIONS))
def test_lines_of_a_send_can_always_be_decoded(data: bytes, version: str) -> None:
    connection = connected(version, LIMITS)
    for frame in connection.receive_data(b"SEND\ndestination:/a\n" + data, 0):
        lines = getattr(frame, "lines", None)
        if lines is not None:
            assert len(decode_headers(lines, version)) == len(lines)


@given(
    st.sampled_from([b"SEND\nk:", b"SEND\ndestination:/a\n\n", b"CONN", b"CONNECT\n", b""]),
    st.binary(min_size=1),
)
def test_no_unfinished_frame_takes_more_than_its_limit(begin: bytes, filler: bytes) -> None:
    for connection in (StompConnection(LIMITS, 0), connected("1.2", LIMITS)):
        taken = 0
        connection.receive_data(begin, 0)
        while not connection.closing and taken < 2_000:
            if connection.receive_data(filler, 0) == [] and not connection._reader.unfinished():
                break
            taken += len(filler)
            assert held(connection) <= 400 + len(filler)


def held(connection: StompConnection) -> int:
    """Bytes kept of an unfinished frame."""
    reader = connection._reader
    return len(reader._head or b"") + (0 if reader._body is None else reader._body.size)


FRAMES = {
    "1.2": st.one_of(
        st.builds(Ack, TEXT, st.none(), st.none(), MAYBE, MAYBE),
        st.builds(Nack, TEXT, st.none(), st.none(), MAYBE, st.none() | st.booleans(), MAYBE),
        st.builds(Begin, TEXT, MAYBE),
        st.builds(Commit, TEXT, MAYBE),
        st.builds(Abort, TEXT, MAYBE),
        st.builds(Disconnect, MAYBE),
    ),
    "1.1": st.one_of(
        st.builds(Ack, st.none(), TEXT, TEXT, MAYBE, MAYBE),
        st.builds(Nack, st.none(), TEXT, TEXT, MAYBE, st.none() | st.booleans(), MAYBE),
        st.builds(Begin, TEXT, MAYBE),
    ),
}


@given(FRAMES["1.2"])
def test_any_text_survives_in_1_2(frame: Frame) -> None:
    assert connected("1.2").receive_data(encode_frame(frame, "1.2"), 0) == [frame]


@given(FRAMES["1.1"])
def test_any_text_survives_in_1_1(frame: Frame) -> None:
    assert connected("1.1").receive_data(encode_frame(frame, "1.1"), 0) == [frame]
