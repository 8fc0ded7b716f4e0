"""One test for each thing a peer can do wrong: ERROR with a reason, ConnectionFailed last, and nothing raised."""

import pytest
from stomp_vectors import VERSIONS, connected, parse, sent

from protocols.stomp.connection import StompConnection, StompLimits
from protocols.stomp.frames import ConnectionFailed, Frame, Send
from protocols.stomp.reader import SKIPPED_AT_ONCE

GOOD = b"SEND\ndestination:/good\n\n\0"


def refused(
    connection: StompConnection, data: bytes, message: str, receipt: str | None = None
) -> list[Frame]:
    """Feed `data`; the connection must end with an ERROR that says `message`.  Returns what was good before."""
    frames = connection.receive_data(data, 0)
    assert isinstance(frames[-1], ConnectionFailed), frames
    assert message in frames[-1].reason
    assert connection.closing
    command, headers, body = parse(sent(connection))
    assert command == "ERROR"
    named = dict(headers)
    assert named["message"]
    assert named["content-type"] == "text/plain"
    assert named["content-length"] == str(len(body))
    assert message in body.decode()
    assert named.get("receipt-id") == receipt
    # The end is the end.
    assert connection.receive_data(GOOD, 0) == []
    assert sent(connection) == b""
    assert connection.next_deadline_ms() is None
    return frames[:-1]


def refused_at_every_cut(version: str, data: bytes, message: str, receipt: str | None = None) -> None:
    assert refused(connected(version), data, message, receipt) == []
    for cut in range(1, len(data)):
        connection = connected(version)
        if not connection.receive_data(data[:cut], 0):
            assert refused(connection, data[cut:], "", receipt) == []


@pytest.mark.parametrize(
    "version, frame, message",
    [
        ("1.2", b"SEND\nreceipt:r\n\nx\0", "SEND without destination"),
        ("1.0", b"SEND\nreceipt:r\n\nx\0", "SEND without destination"),
        ("1.2", b"SEND\ndestination:\nreceipt:r\n\nx\0", "SEND without destination"),
        ("1.2", b"SUBSCRIBE\nid:1\nreceipt:r\n\n\0", "SUBSCRIBE without destination"),
        ("1.1", b"SUBSCRIBE\ndestination:/a\nreceipt:r\n\n\0", "SUBSCRIBE without id"),
        ("1.2", b"SUBSCRIBE\ndestination:/a\nreceipt:r\n\n\0", "SUBSCRIBE without id"),
        ("1.1", b"UNSUBSCRIBE\ndestination:/a\nreceipt:r\n\n\0", "UNSUBSCRIBE without id"),
        ("1.2", b"UNSUBSCRIBE\nreceipt:r\n\n\0", "UNSUBSCRIBE without id"),
        ("1.0", b"UNSUBSCRIBE\nreceipt:r\n\n\0", "UNSUBSCRIBE without id"),
        ("1.2", b"BEGIN\nreceipt:r\n\n\0", "BEGIN without transaction"),
        ("1.2", b"COMMIT\nreceipt:r\n\n\0", "COMMIT without transaction"),
        ("1.2", b"ABORT\nreceipt:r\n\n\0", "ABORT without transaction"),
        ("1.0", b"ACK\nreceipt:r\n\n\0", "ACK without message-id"),
        ("1.1", b"ACK\nsubscription:s\nreceipt:r\n\n\0", "ACK without message-id"),
        ("1.1", b"ACK\nmessage-id:m\nreceipt:r\n\n\0", "ACK without subscription"),
        ("1.2", b"ACK\nmessage-id:m\nsubscription:s\nreceipt:r\n\n\0", "ACK without id"),
        ("1.1", b"NACK\nmessage-id:m\nreceipt:r\n\n\0", "NACK without subscription"),
        ("1.2", b"NACK\nreceipt:r\n\n\0", "NACK without id"),
    ],
)
def test_missing_required_header(version: str, frame: bytes, message: str) -> None:
    refused_at_every_cut(version, frame, message, "r")


def test_nack_of_1_0_needs_a_message_id() -> None:
    refused_at_every_cut("1.0", b"NACK\nsubscription:s\n\n\0", "NACK without message-id")


@pytest.mark.parametrize(
    "command", [b"HELLO", b"send", b"SEND ", b"SENDX", b"MESSAGE", b"CONNECTED", b"\x01", b"\t"]
)
def test_unknown_command(command: bytes) -> None:
    refused_at_every_cut("1.2", command + b"\ndestination:/a\n\n\0", "unknown command")
    refused(connected(), command + b"\nreceipt:r\n\n\0", "unknown command", None if command < b" " else "r")


def test_unknown_command_is_refused_before_its_line_ends() -> None:
    refused(connected(), b"HELLO", "unknown command")
    refused(connected(), b"SENDING", "unknown command")


def test_header_line_without_colon() -> None:
    refused_at_every_cut("1.2", b"SEND\nreceipt:r\ndestination:/a\nnocolon\n\nx\0", "without a colon", "r")
    refused_at_every_cut("1.2", b"SUBSCRIBE\nreceipt:r\nnocolon\n\n\0", "without a colon", "r")


@pytest.mark.parametrize("version, line", [("1.2", b":v"), ("1.1", b":v"), ("1.0", b" :v")])
def test_header_line_without_name(version: str, line: bytes) -> None:
    refused_at_every_cut(
        version, b"SEND\nreceipt:r\ndestination:/a\n" + line + b"\n\nx\0", "without a name", "r"
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "line", [b"destination:/\xff", b"k:\xc3(", b"\xed\xa0\x80:surrogate", b"receipt:\xff"]
)
def test_headers_must_be_utf_8(version: str, line: bytes) -> None:
    refused_at_every_cut(version, b"SEND\ndestination:/a\n" + line + b"\n\nx\0", "not UTF-8")


@pytest.mark.parametrize(
    "version, line",
    [
        ("1.2", b"destination:/a\\t"),
        ("1.2", b"k:a\\"),
        ("1.2", b"k\\x:v"),
        ("1.1", b"k:a\\r"),
        ("1.1", b"transaction:\\0"),
    ],
)
def test_undefined_escape_sequences_are_fatal(version: str, line: bytes) -> None:
    data = b"SEND\nreceipt:r\n" + line + b"\ndestination:/a\n\nx\0"
    refused_at_every_cut(version, data, "escape", "r")
    subscribe = b"SUBSCRIBE\nreceipt:r\nid:1\n" + line + b"\n\n\0"
    refused(connected(version), subscribe, "escape", "r")


def test_bare_cr_in_a_1_2_header() -> None:
    refused_at_every_cut("1.2", b"SEND\nreceipt:r\ndestination:/a\nk:a\rb\n\nx\0", "bare CR", "r")


def test_nul_within_the_headers() -> None:
    data = b"SEND\ndestination:/a\nreceipt:r\0SEND\ndestination:/b\n\nx\0"
    frames = connected().receive_data(data, 0)
    assert isinstance(frames[-1], ConnectionFailed)
    assert "NUL" in frames[-1].reason


@pytest.mark.parametrize("value", [b"-1", b"abc", b"", b"1 ", b" 1", b"1e3", b"0x10", b"9" * 30])
def test_content_length_must_be_a_number(value: bytes) -> None:
    data = b"SEND\ndestination:/a\nreceipt:r\ncontent-length:" + value + b"\n\nx\0"
    refused(connected(), data, "content-length is not a number", "r")


@pytest.mark.parametrize("length", [0, 1, 2, 4])
def test_content_length_that_lies_finds_no_nul(length: int) -> None:
    data = b"SEND\ndestination:/a\nreceipt:r\ncontent-length:%d\n\nabc\0SEND" % length
    refused_at_every_cut("1.2", data, "no NUL where content-length says", "r")


@pytest.mark.parametrize("name", ["priority", "expires", "expiration"])
def test_numbers_of_send_must_be_numbers(name: str) -> None:
    data = f"SEND\ndestination:/a\nreceipt:r\n{name}:soon\n\nx\0".encode()
    refused_at_every_cut("1.2", data, f"{name} is not a number", "r")


def test_subscribe_with_an_unknown_ack_mode() -> None:
    data = b"SUBSCRIBE\ndestination:/a\nid:1\nreceipt:r\nack:maybe\n\n\0"
    refused_at_every_cut("1.2", data, "ack that is none of", "r")


def test_subscribe_with_a_prefetch_that_is_no_number() -> None:
    data = b"SUBSCRIBE\ndestination:/a\nid:1\nreceipt:r\nprefetch-count:many\n\n\0"
    refused_at_every_cut("1.2", data, "prefetch is not a number", "r")


@pytest.mark.parametrize("body", [b"content-length:1\n\nx\0", b"\nx\0", b"\n\n\n x\0"])
def test_only_send_may_have_a_body(body: bytes) -> None:
    refused_at_every_cut(
        "1.2", b"BEGIN\ntransaction:t\nreceipt:r\n" + body, "a body in a frame that has none", "r"
    )


def test_a_body_of_other_frames_is_ignored_in_1_0() -> None:
    assert len(connected("1.0").receive_data(b"BEGIN\ntransaction:t\n\nbody\0", 0)) == 1


def test_frames_before_the_fault_are_still_returned() -> None:
    connection = connected()
    good = refused(connection, GOOD + GOOD + b"SEND\n\n\0" + GOOD, "without destination")
    assert [frame.destination for frame in good if isinstance(frame, Send)] == ["/good", "/good"]


# -- limits


def test_header_section_above_its_limit() -> None:
    limits = StompLimits(max_header_bytes=200, max_line_bytes=100)
    head = b"SEND\ndestination:/a\nreceipt:r\n"
    filler = b"k:" + b"v" * 60 + b"\n"
    fits = head + filler * 2 + b"\n"
    assert len(fits) <= 200
    assert len(connected(limits=limits).receive_data(fits + b"\0", 0)) == 1
    refused(connected(limits=limits), head + filler * 3 + b"\n\0", "header bytes above the limit of 200", "r")


def test_header_section_that_never_ends_is_refused_at_its_limit() -> None:
    connection = connected(limits=StompLimits(max_header_bytes=1000))
    fed = 0
    frames: list[Frame] = []
    while not frames:
        frames = connection.receive_data(b"SEND\nk:" if fed == 0 else b"v" * 50, 0)
        fed += 50
        assert fed <= 1100
    assert isinstance(frames[0], ConnectionFailed)
    assert "header bytes" in frames[0].reason


def test_header_line_above_its_limit() -> None:
    limits = StompLimits(max_line_bytes=50)
    for line, fine in ((b"k:" + b"v" * 48, True), (b"k:" + b"v" * 49, False)):
        data = b"SEND\ndestination:/a\n" + line + b"\n\n\0"
        if fine:
            assert len(connected(limits=limits).receive_data(data, 0)) == 1
        else:
            refused(connected(limits=limits), data, "header line above the limit of 50")


def test_number_of_headers_above_its_limit() -> None:
    limits = StompLimits(max_headers=10)
    data = b"SEND\ndestination:/a\n" + b"k:v\n" * 9
    assert len(connected(limits=limits).receive_data(data + b"\n\0", 0)) == 1
    refused(connected(limits=limits), data + b"k:v\n\n\0", "number of headers above the limit of 10")


def test_default_limits_of_headers() -> None:
    assert len(connected().receive_data(b"SEND\ndestination:/a\n" + b"k:v\n" * 999 + b"\n\0", 0)) == 1
    refused(connected(), b"SEND\ndestination:/a\n" + b"k:v\n" * 1000 + b"\n\0", "number of headers")


@pytest.mark.parametrize("eol", [b"\n", b"\r\n"])
def test_very_many_headers_are_refused_with_the_receipt_they_asked_for(eol: bytes) -> None:
    data = eol.join([b"SEND", b"receipt:r", *[b"k:v"] * 5_000, b"", b""]) + b"\0"
    refused(connected(), data, "number of headers", "r")


@pytest.mark.parametrize("eol", [b"\n", b"\r\n"])
def test_a_head_far_above_its_limit_is_refused_whether_it_has_an_end_or_not(eol: bytes) -> None:
    limits = StompLimits(max_header_bytes=1_000)
    for end in (b"", eol + b"\0"):
        data = b"SEND" + eol + (b"k:v" + eol) * 50_000 + end
        refused(connected(limits=limits), data, "header bytes above the limit of 1000")


@pytest.mark.parametrize("between", [b"\n", b"\r\n", b"\0", b"\n\0\r\n" * 1_000, b"\n" * SKIPPED_AT_ONCE])
def test_whatever_lies_between_frames_is_passed_over(between: bytes) -> None:
    connection = connected()
    frame = b"SEND\ndestination:/a\n\nx\0"
    frames = connection.receive_data(frame + between * 3 + frame + between, 0)
    frames += connection.receive_data(between + frame, 0)
    assert [type(one) for one in frames] == [Send] * 3


def test_body_above_max_frame_size_is_refused_from_content_length_alone() -> None:
    limits = StompLimits(max_frame_size=1000)
    head = b"SEND\ndestination:/a\nreceipt:r\ncontent-length:1001\n\n"
    refused(connected(limits=limits), head, "frame size above the limit of 1000", "r")
    refused(connected(limits=limits), head + b"x" * 1001 + b"\0", "frame size above the limit of 1000", "r")


def test_body_above_max_frame_size_without_content_length_is_refused_as_soon_as_it_exceeds() -> None:
    connection = connected(limits=StompLimits(max_frame_size=1000))
    frames = connection.receive_data(b"SEND\ndestination:/a\nreceipt:r\n\n", 0)
    fed = 0
    while not frames:
        frames = connection.receive_data(b"x" * 100, 0)
        fed += 100
    assert 900 <= fed <= 1000
    assert isinstance(frames[0], ConnectionFailed)
    assert "frame size above the limit of 1000" in frames[0].reason
    assert ("receipt-id", "r") in parse(sent(connection))[1]


def test_whole_frame_above_max_frame_size() -> None:
    for head in (b"SEND\ndestination:/a\n\n", b"SEND\ndestination:/a\ncontent-length:100\n\n"):
        limits = StompLimits(max_frame_size=len(head) + 100)
        assert len(connected(limits=limits).receive_data(head + b"x" * 100 + b"\0", 0)) == 1
        limits = StompLimits(max_frame_size=len(head) + 99)
        refused(connected(limits=limits), head + b"x" * 100 + b"\0", "frame size")


def test_same_head_does_not_escape_max_frame_size() -> None:
    head = b"SEND\ndestination:/a\n\n"
    connection = connected(limits=StompLimits(max_frame_size=len(head) + 100))
    assert len(refused(connection, head + b"x\0" + head + b"x" * 101 + b"\0", "frame size")) == 1


# -- before CONNECT


@pytest.mark.parametrize("frame", [GOOD, b"DISCONNECT\n\n\0", b"ACK\nid:1\n\n\0"])
def test_frame_before_connect(frame: bytes) -> None:
    refused(StompConnection(StompLimits(), 0), frame, "before CONNECT")


def test_body_of_a_send_before_connect_is_not_awaited() -> None:
    refused(
        StompConnection(StompLimits(), 0), b"SEND\ndestination:/a\ncontent-length:50000\n\n", "before CONNECT"
    )


def test_second_connect() -> None:
    refused(connected(), b"CONNECT\naccept-version:1.2\n\n\0", "a second CONNECT")


def test_connect_without_a_version_in_common_lists_ours() -> None:
    connection = StompConnection(StompLimits(), 0)
    frames = connection.receive_data(b"CONNECT\naccept-version:2.0,3.0\nhost:h\n\n\0", 0)
    assert frames == [ConnectionFailed("none of the versions '2.0,3.0' is spoken here")]
    command, headers, body = parse(sent(connection))
    assert command == "ERROR"
    assert ("version", "1.0,1.1,1.2") in headers
    assert ("content-type", "text/plain") in headers
    assert b"unsupported protocol version" in body
    assert connection.closing


def test_connect_with_a_bad_heart_beat() -> None:
    data = b"CONNECT\naccept-version:1.2\nheart-beat:a,b\n\n\0"
    refused(StompConnection(StompLimits(), 0), data, "heart-beat is not a number")
    data = b"CONNECT\naccept-version:1.2\nheart-beat:5\n\n\0"
    refused(StompConnection(StompLimits(), 0), data, "heart-beat is not two numbers")


def test_connect_with_a_body() -> None:
    refused(StompConnection(StompLimits(), 0), b"CONNECT\n\nbody\0", "a body")
    refused(StompConnection(StompLimits(), 0), b"CONNECT\ncontent-length:4\n\nbody\0", "a body")


def test_connect_above_64_kib() -> None:
    limits = StompLimits(max_header_bytes=1_000_000, max_headers=1_000_000, max_line_bytes=1_000_000)
    refused(
        StompConnection(limits, 0), b"CONNECT\nk:" + b"v" * 70_000 + b"\n\n\0", "above the limit of 65536"
    )
    refused(StompConnection(limits, 0), b"CONNECT\nk:" + b"v" * 70_000, "above the limit of 65536")


def test_eols_before_connect_are_counted() -> None:
    connection = StompConnection(StompLimits(), 0)
    assert connection.receive_data(b"\n" * 65_536, 0) == []
    refused(connection, b"\n", "bytes before CONNECT above the limit of 65536")


@pytest.mark.parametrize(
    "data, name",
    [
        (bytes.fromhex("100c00044d5154540502003c0000"), "MQTT"),
        (bytes.fromhex("100a00044d5154540402003c"), "MQTT"),
        (bytes.fromhex("100e00064d51497364700302003c0000"), "MQTT"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP"),
        (b"POST /a HTTP/1.1\nHost: x\n\n", "HTTP"),
        (b"CONNECT example.org:443 HTTP/1.1\r\n\r\n", "HTTP"),
        (b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03", "a TLS hello"),
        (b"AMQP\x00\x00\x09\x01", "AMQP"),
        (b"\0\0\0\xf0\x01ActiveMQ\0\0\0\x0c", "OpenWire"),
    ],
)
def test_other_protocols_are_named_and_not_answered(data: bytes, name: str) -> None:
    for cut in range(len(data)):
        connection = StompConnection(StompLimits(), 0)
        frames = connection.receive_data(data[:cut], 0) + connection.receive_data(data[cut:], 0)
        assert frames == [ConnectionFailed(f"not STOMP: looks like {name}")]
        assert connection.closing
        assert sent(connection) == b""


def test_noise_before_connect_is_refused_soon() -> None:
    connection = StompConnection(StompLimits(), 0)
    assert connection.receive_data(b"\x80", 0) == []
    refused(connection, b"\x81" * 12, "unknown command")
