"""The life of a connection: welcome, heart-beats, answers, the end; and how much work its reading is."""

import time

import pytest
from stomp_vectors import VERSIONS, connected, parse, sent

from protocols.errors import LocalProtocolError
from protocols.stomp.connection import StompConnection, StompLimits
from protocols.stomp.frames import Connect, ConnectionFailed, Disconnect, Frame, Send
from protocols.stomp.state import CLOSING, CONNECTED, NEW

CONNECT = b"CONNECT\naccept-version:1.1,1.2\nhost:h\nheart-beat:%b\n\n\0"


def opened(heart_beat: bytes, limits: StompLimits | None = None, now_ms: int = 0) -> StompConnection:
    connection = StompConnection(limits or StompLimits(), now_ms)
    connection.receive_data(CONNECT % heart_beat, now_ms)
    connection.send_connected("s", "test/1")
    connection.data_to_send(now_ms)
    return connection


def test_connected_answers_with_version_and_our_heart_beats() -> None:
    connection = StompConnection(StompLimits(heart_beat_send_ms=5000, heart_beat_want_ms=7000), 0)
    assert (connection.state, connection.version) == (NEW, "")
    (connect,) = connection.receive_data(CONNECT % b"0,0", 0)
    assert isinstance(connect, Connect)
    assert connect.version == "1.2"
    assert (connection.state, connection.version) == (CONNECTED, "1.2")
    connection.send_connected("session-1", "test/1")
    command, headers, body = parse(sent(connection))
    assert (command, body) == ("CONNECTED", b"")
    assert headers == [
        ("version", "1.2"),
        ("heart-beat", "5000,7000"),
        ("session", "session-1"),
        ("server", "test/1"),
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_frames_may_follow_connect_in_the_same_read(version: str) -> None:
    connection = StompConnection(StompLimits(), 0)
    frames = connection.receive_data(
        f"CONNECT\naccept-version:{version}\n\n\0SEND\ndestination:/a\\n\n\n\0".encode()
        if version != "1.0"
        else b"CONNECT\n\n\0SEND\ndestination:/a\\n\n\n\0",
        0,
    )
    assert isinstance(frames[0], Connect)
    # Kept until the CONNECT is answered.
    assert connection.receive_data(b"", 0) == []
    assert not connection.more
    connection.send_connected("s", "server")
    assert connection.more
    frames += connection.receive_data(b"", 0)
    assert not connection.more
    assert isinstance(frames[1], Send)
    assert frames[1].version == version
    assert frames[1].destination == ("/a\\n" if version == "1.0" else "/a\n")


def test_connect_followed_by_a_fault_in_the_same_read_keeps_the_version() -> None:
    connection = StompConnection(StompLimits(), 0)
    frames = connection.receive_data(CONNECT % b"0,0" + b"SEND\nreceipt:a\\cb\n\n\0", 0)
    connection.send_connected("s", "server")
    connection.out.clear()
    frames += connection.receive_data(b"", 0)
    assert [type(frame) for frame in frames] == [Connect, ConnectionFailed]
    assert connection.version == "1.2"
    _, headers, _ = parse(sent(connection))
    assert ("receipt-id", "a\\cb") in headers
    assert "version" not in dict(headers)


def test_disconnect_is_the_last_frame_looked_at_and_the_caller_closes() -> None:
    connection = connected()
    frames = connection.receive_data(b"DISCONNECT\nreceipt:r\n\n\0\nGARBAGE\x01\n\n\0", 0)
    assert frames == [Disconnect("r")]
    assert connection.receive_data(b"\x02more", 0) == []
    assert (connection.state, connection.closing) == (CLOSING, False)
    connection.send_receipt("r")
    assert sent(connection) == b"RECEIPT\nreceipt-id:r\n\n\0\n"
    connection.close()
    assert connection.closing


# -- answers


def test_error_ends_the_connection_and_is_said_once() -> None:
    connection = connected()
    connection.send_error("no", "because", "r")
    connection.send_error("again")
    connection.send_receipt("late")
    command, headers, body = parse(sent(connection))
    assert (command, body) == ("ERROR", b"because")
    assert ("receipt-id", "r") in headers
    assert (connection.closing, connection.state) == (True, CLOSING)
    assert connection.receive_data(b"SEND\ndestination:/a\n\n\0", 0) == []


def test_error_may_come_before_connect() -> None:
    connection = StompConnection(StompLimits(), 0)
    connection.send_error("the gateway is shutting down")
    assert sent(connection).startswith(b"ERROR\nmessage:the gateway is shutting down\n")
    assert connection.closing


def test_our_own_mistakes_are_raised() -> None:
    connection = StompConnection(StompLimits(), 0)
    with pytest.raises(LocalProtocolError):
        connection.send_connected("s", "x")
    with pytest.raises(LocalProtocolError):
        connection.send_receipt("r")
    connection = connected()
    with pytest.raises(LocalProtocolError):
        connection.send_connected("s", "x")


def test_out_is_taken_in_order_with_what_the_caller_appended() -> None:
    connection = connected()
    connection.send_receipt("1")
    connection.out.append(b"MESSAGE\n\n\0")
    connection.send_receipt("2")
    assert connection.data_to_send(5) == [
        b"RECEIPT\nreceipt-id:1\n\n\0\n",
        b"MESSAGE\n\n\0",
        b"RECEIPT\nreceipt-id:2\n\n\0\n",
    ]
    assert connection.last_sent_ms == 5
    assert connection.data_to_send(6) == []
    assert connection.last_sent_ms == 5


def test_eof_within_a_frame_is_the_peers_fault() -> None:
    for half in (b"SEND\nde", b"SEND\ndestination:/a\n\nbody"):
        connection = connected()
        connection.receive_data(half, 0)
        assert connection.receive_eof(0) == [ConnectionFailed("the connection ended within a frame")]
        assert connection.closing


def test_eof_between_frames_is_no_fault() -> None:
    connection = connected()
    connection.receive_data(b"SEND\ndestination:/a\n\n\0\n", 0)
    assert connection.receive_eof(0) == []
    assert connection.closing


# -- time


def test_connect_timeout_is_answered_with_error() -> None:
    connection = StompConnection(StompLimits(connect_timeout_ms=500), 1000)
    assert connection.next_deadline_ms() == 1500
    connection.receive_data(b"\nCONN", 1499)
    assert connection.next_deadline_ms() == 1500
    assert connection.handle_deadline(1499) == []
    assert connection.handle_deadline(1500) == [ConnectionFailed("no CONNECT within 500 ms")]
    assert sent(connection).startswith(b"ERROR\nmessage:no CONNECT within 500 ms\n")
    assert connection.closing
    assert connection.next_deadline_ms() is None
    assert connection.handle_deadline(9999) == []


def test_connect_timeout_of_zero_is_never() -> None:
    assert StompConnection(StompLimits(connect_timeout_ms=0), 0).next_deadline_ms() is None


@pytest.mark.parametrize(
    "ours, theirs, send_every_ms, silence_max_ms",
    [
        ((10_000, 10_000), b"0,0", 0, 0),
        ((10_000, 10_000), b"4000,0", 0, 20_000),
        ((10_000, 10_000), b"0,4000", 8_000, 0),
        ((1_000, 2_000), b"4000,3000", 2_400, 8_000),
        ((5_000, 6_000), b"4000,3000", 4_000, 12_000),
        ((0, 0), b"4000,3000", 0, 0),
        ((0, 1_000), b"4000,3000", 0, 8_000),
    ],
)
def test_heart_beating_is_the_larger_of_both_wishes_each_way_with_slack(
    ours: tuple[int, int], theirs: bytes, send_every_ms: int, silence_max_ms: int
) -> None:
    limits = StompLimits(heart_beat_send_ms=ours[0], heart_beat_want_ms=ours[1])
    connection = opened(theirs, limits)
    assert (connection.send_every_ms, connection.silence_max_ms) == (send_every_ms, silence_max_ms)


def test_there_are_no_heart_beats_in_1_0() -> None:
    connection = StompConnection(StompLimits(), 0)
    connection.receive_data(b"CONNECT\nheart-beat:1000,1000\n\n\0", 0)
    assert (connection.send_every_ms, connection.silence_max_ms) == (0, 0)
    assert connection.next_deadline_ms() is None


def test_heart_beat_is_an_eol_when_nothing_was_sent() -> None:
    connection = opened(b"0,10000")
    assert connection.next_deadline_ms() == 8_000
    assert connection.handle_deadline(7_999) == []
    assert sent(connection, 7_999) == b""
    assert connection.handle_deadline(8_000) == []
    assert sent(connection, 8_000) == b"\n"
    assert connection.next_deadline_ms() == 16_000
    connection.send_receipt("r")
    sent(connection, 15_000)
    assert connection.next_deadline_ms() == 23_000
    connection.last_sent_ms = 18_000
    assert connection.next_deadline_ms() == 26_000


def test_heart_beat_is_not_needed_when_something_is_waiting_to_be_sent() -> None:
    connection = opened(b"0,10000")
    connection.send_receipt("r")
    connection.handle_deadline(10_000)
    assert sent(connection, 10_000) == b"RECEIPT\nreceipt-id:r\n\n\0\n"


def test_silent_peer_is_told_after_two_intervals() -> None:
    connection = opened(b"10000,0")
    assert connection.next_deadline_ms() == 20_000
    connection.receive_data(b"\n", 15_000)
    assert connection.next_deadline_ms() == 35_000
    connection.receive_data(b"SEND\ndest", 30_000)
    assert connection.next_deadline_ms() == 50_000
    (failed,) = connection.handle_deadline(50_000)
    assert isinstance(failed, ConnectionFailed)
    assert "heart-beat timeout" in failed.reason
    assert sent(connection).startswith(b"ERROR\nmessage:heart-beat timeout")
    assert connection.closing


def test_silence_does_not_count_while_we_do_not_read() -> None:
    connection = opened(b"10000,0")
    connection.listen(False, 5_000)
    assert connection.next_deadline_ms() is None
    assert connection.handle_deadline(90_000) == []
    connection.listen(True, 90_000)
    assert connection.next_deadline_ms() == 110_000
    assert len(connection.handle_deadline(110_000)) == 1


def test_both_heart_beats_the_nearer_deadline_counts() -> None:
    connection = opened(b"10000,10000")
    assert connection.next_deadline_ms() == 8_000
    connection.handle_deadline(14_000)
    assert connection.next_deadline_ms() == 20_000
    (failed,) = connection.handle_deadline(20_000)
    assert isinstance(failed, ConnectionFailed)


# -- work and memory


def fed(connection: StompConnection, data: bytes, size: int) -> list[Frame]:
    frames: list[Frame] = []
    for pos in range(0, len(data), size):
        frames += connection.receive_data(data[pos : pos + size], 0)
    return frames


@pytest.mark.parametrize("announced", [True, False], ids=["content-length", "up to NUL"])
def test_reading_a_large_body_in_pieces_is_linear(announced: bool) -> None:
    size = 32 * 1024 * 1024
    length = b"content-length:%d\n" % size if announced else b""
    data = b"SEND\ndestination:/a\n" + length + b"\n" + b"x" * size + b"\0"
    begin = time.process_time()
    (frame,) = fed(connected(), data, 65_536)
    # A copy or two takes some 20 ms; re-reading the body for each piece would take 8 GiB's worth, several seconds.
    assert time.process_time() - begin < 1.5
    assert isinstance(frame, Send)
    assert len(frame.body) == size


@pytest.mark.parametrize("eol", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_reading_a_large_head_byte_by_byte_is_linear(eol: bytes) -> None:
    limits = StompLimits(max_header_bytes=4_000_000, max_headers=100_000)
    data = b"SEND" + eol + b"destination:/a" + eol + (b"k:" + b"v" * 30 + eol) * 10_000 + eol + b"\0"
    begin = time.process_time()
    assert len(fed(connected(limits=limits), data, 1)) == 1
    # 330,000 calls; searching the head again for each would look at 54 GB.
    assert time.process_time() - begin < 5


def test_mixed_line_ends_do_not_multiply_the_work() -> None:
    # Each frame's blank line is found by its CR LF alone; the next LF LF is at the very end.
    data = b"SEND\ndestination:/a\n\r\n\0" * 20_000 + b"\n\n"
    connection = connected()
    begin = time.process_time()
    count = len(connection.receive_data(data, 0))
    while connection.more:
        count += len(connection.receive_data(b"", 0))
    assert count == 20_000
    # Searching to the end each time would look at 4.8 GB.
    assert time.process_time() - begin < 1.5


def test_destinations_remembered_are_bounded_and_right() -> None:
    connection = connected()
    for number in range(3_000):
        (frame,) = connection.receive_data(b"SEND\ndestination:/a%d\n\n\0" % number, 0)
        assert isinstance(frame, Send)
        assert frame.destination == f"/a{number}"


def test_long_destinations_are_read_and_not_remembered() -> None:
    connection = connected()
    for number in range(50):
        destination = f"/{number}".ljust(30_000, "x")
        (frame,) = connection.receive_data(b"SEND\ndestination:%b\n\n\0" % destination.encode(), 0)
        assert isinstance(frame, Send)
        assert frame.destination == destination
    assert not connection._reader._memo


def test_a_destination_is_the_same_string_each_time() -> None:
    connection = connected()
    frames = connection.receive_data(b"SEND\ndestination:/abc\nk:1\n\n\0SEND\ndestination:/abc\nk:2\n\n\0", 0)
    assert isinstance(frames[0], Send)
    assert isinstance(frames[1], Send)
    assert frames[0].destination is frames[1].destination


@pytest.mark.parametrize("size", [10, 1_024, 100_000])
def test_the_same_head_is_taken_apart_once_however_large_the_bodies(size: int) -> None:
    connection = connected()
    head = b"SEND\ndestination:/topic/a\ncontent-length:%d\n\n" % size
    bodies = [bytes((n,)) * size for n in range(3)]
    frames: list[Frame] = []
    for body in bodies:
        frames += connection.receive_data(head + body + b"\0\n", 0)
    sent = [frame for frame in frames if isinstance(frame, Send)]
    assert [frame.body for frame in sent] == bodies
    assert all(frame.lines is sent[0].lines for frame in sent)
