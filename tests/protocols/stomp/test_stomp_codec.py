"""Every frame both ways, whole and cut anywhere; what a server says."""

import pytest
from stomp_vectors import ALL, ALL_IDS, VERSIONS, connected, parse, send, vectors

from protocols.stomp.client import encode_frame, encode_send
from protocols.stomp.codec import (
    encode_connected,
    encode_error,
    encode_receipt,
    heart_beat_of,
    message_constant,
    message_head,
    message_tail,
    negotiate,
)
from protocols.stomp.connection import StompConnection, StompLimits
from protocols.stomp.constants import SPECIAL_MESSAGE_ID, SPECIAL_REPLY_TO, SPECIAL_SCHEDULED
from protocols.stomp.errors import MalformedFrame, UnsupportedVersion
from protocols.stomp.frames import (
    Ack,
    AckMode,
    Connect,
    ConnectionFailed,
    Frame,
    Nack,
    Send,
    Subscribe,
    Unsubscribe,
)

CONNECTS = [
    (
        b"CONNECT\naccept-version:1.1,1.2\nhost:h\nlogin:u\npasscode:p:w\nheart-beat:100,200\nclient-id:c\n\n\0",
        Connect(
            ["1.1", "1.2"],
            "h",
            "u",
            "p:w",
            (100, 200),
            [
                ("accept-version", "1.1,1.2"),
                ("host", "h"),
                ("login", "u"),
                ("passcode", "p:w"),
                ("heart-beat", "100,200"),
                ("client-id", "c"),
            ],
            "1.2",
            "c",
        ),
    ),
    (b"CONNECT\n\n\0", Connect([], None, None, None, (0, 0), [], "1.0")),
    (
        b"CONNECT\nlogin: u\npasscode:p\n\n\0",
        Connect([], None, "u", "p", (0, 0), [("login", "u"), ("passcode", "p")], "1.0"),
    ),
]


@pytest.mark.parametrize("version, name, data, frame", ALL, ids=ALL_IDS)
def test_frame_whole(version: str, name: str, data: bytes, frame: Frame) -> None:
    connection = connected(version)
    assert connection.receive_data(data, 0) == [frame]
    assert not connection.closing


@pytest.mark.parametrize("version, name, data, frame", ALL, ids=ALL_IDS)
def test_frame_at_every_cut(version: str, name: str, data: bytes, frame: Frame) -> None:
    for cut in range(1, len(data)):
        connection = connected(version)
        assert connection.receive_data(data[:cut], 0) == []
        assert connection.receive_data(data[cut:], 0) == [frame]


@pytest.mark.parametrize("version, name, data, frame", ALL, ids=ALL_IDS)
def test_frame_byte_by_byte_between_heart_beats(version: str, name: str, data: bytes, frame: Frame) -> None:
    connection = connected(version)
    received: list[Frame] = []
    for byte in b"\n" + data + b"\r\n":
        received += connection.receive_data(bytes([byte]), 0)
    assert received == [frame]


@pytest.mark.parametrize("version, name, data, frame", ALL, ids=ALL_IDS)
def test_frame_encodes_to_its_bytes(version: str, name: str, data: bytes, frame: Frame) -> None:
    assert encode_frame(frame, version) == data


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("eol", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_all_frames_in_one_read_and_in_reads_of_every_size(version: str, eol: bytes) -> None:
    data = b""
    for _, wire, _ in vectors(version):
        head, body = wire.split(b"\n\n", 1)
        data += head.replace(b"\n", eol) + eol + eol + body + eol
    expected = [frame for _, _, frame in vectors(version)]
    for size in [1, 2, 3, 5, 7, 16, 64, 100, len(data)]:
        connection = connected(version)
        received: list[Frame] = []
        for pos in range(0, len(data), size):
            received += connection.receive_data(data[pos : pos + size], 0)
        assert received == expected


@pytest.mark.parametrize("data, frame", CONNECTS, ids=["1.2", "bare", "1.0 with spaces"])
@pytest.mark.parametrize("command", [b"CONNECT", b"STOMP"])
def test_connect_or_stomp_frame(data: bytes, frame: Connect, command: bytes) -> None:
    data = data.replace(b"CONNECT", command)
    for cut in range(len(data)):
        connection = StompConnection(StompLimits(), 0)
        received = connection.receive_data(data[:cut], 0) + connection.receive_data(data[cut:], 0)
        assert received == [frame]
        assert connection.version == frame.version


@pytest.mark.parametrize("frame", [frame for _, frame in CONNECTS])
def test_connect_encodes_and_decodes_to_itself(frame: Connect) -> None:
    connection = StompConnection(StompLimits(), 0)
    assert connection.receive_data(encode_frame(frame, frame.version), 0) == [frame]


def test_connect_values_are_not_escaped() -> None:
    data = b"CONNECT\naccept-version:1.2\nhost:h\npasscode:a\\c:\\q \nheart-beat:0,0\n\n\0"
    (connect,) = StompConnection(StompLimits(), 0).receive_data(data, 0)
    assert isinstance(connect, Connect)
    assert connect.passcode == "a\\c:\\q "
    assert encode_frame(connect, "1.2") == data


def test_frames_are_completed_from_their_fields_when_encoded() -> None:
    subscribe = Subscribe("/topic/t", "1", AckMode.CLIENT, 5, "durable", "x = 1", True, [], "r")
    data = encode_frame(subscribe, "1.2")
    (again,) = connected().receive_data(data, 0)
    assert isinstance(again, Subscribe)
    assert (again.destination, again.id, again.ack, again.prefetch) == ("/topic/t", "1", AckMode.CLIENT, 5)
    assert (again.durable_name, again.selector, again.no_local, again.receipt) == (
        "durable",
        "x = 1",
        True,
        "r",
    )
    (again,) = connected().receive_data(encode_frame(Unsubscribe("1", None, "durable", []), "1.2"), 0)
    assert isinstance(again, Unsubscribe)
    assert (again.id, again.durable_name) == ("1", "durable")
    connect = Connect(["1.2"], "h", "u", "p", (1, 2), [], "1.2", "me")
    (welcome,) = StompConnection(StompLimits(), 0).receive_data(encode_frame(connect, "1.2"), 0)
    assert isinstance(welcome, Connect)
    assert (welcome.login, welcome.passcode, welcome.heart_beat) == ("u", "p", (1, 2))
    assert (welcome.host, welcome.client_id) == ("h", "me")


def test_encode_send_announces_its_body() -> None:
    data = encode_send("/queue/a:b", b"\0\n", [("k", "a\nb")], "1.2")
    assert data == b"SEND\ndestination:/queue/a\\cb\nk:a\\nb\ncontent-length:2\n\n\0\n\0"
    (frame,) = connected().receive_data(data, 0)
    assert isinstance(frame, Send)
    assert (frame.destination, frame.body) == ("/queue/a:b", b"\0\n")


def test_repeated_header_entries_first_one_counts_and_all_are_kept() -> None:
    (frame,) = connected().receive_data(
        b"SEND\ndestination:/a\npriority:1\npriority:2\nreceipt:r\nreceipt:s\n\n\0", 0
    )
    assert isinstance(frame, Send)
    assert (frame.priority, frame.receipt) == (1, "r")
    assert frame.lines == [b"destination:/a", b"priority:1", b"priority:2", b"receipt:r", b"receipt:s"]


def test_values_may_contain_colons() -> None:
    (frame,) = connected().receive_data(b"SEND\ndestination:/queue/a:b:c\n\n\0", 0)
    assert isinstance(frame, Send)
    assert frame.destination == "/queue/a:b:c"


def test_spaces_are_trimmed_in_1_0_and_kept_since() -> None:
    data = b"SEND\ndestination: /queue/a \npriority: 3\ncontent-length: 1\n\nx\0"
    (frame,) = connected("1.0").receive_data(data, 0)
    assert isinstance(frame, Send)
    assert (frame.destination, frame.priority, frame.body) == ("/queue/a", 3, b"x")
    (frame,) = connected("1.1").receive_data(b"SEND\ndestination: /queue/a \n\n\0", 0)
    assert isinstance(frame, Send)
    assert frame.destination == " /queue/a "


def test_eol_may_be_cr_lf_in_1_2_on_any_line() -> None:
    (frame,) = connected("1.2").receive_data(b"SEND\ndestination:/a\r\nk:v\n\r\nbody\0", 0)
    assert frame == send("/a", [b"destination:/a", b"k:v"], b"body")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_cr_lf_is_tolerated_before_1_2_when_the_command_has_it(version: str) -> None:
    (frame,) = connected(version).receive_data(b"SEND\r\ndestination:/a\r\nk:v\r\n\r\nbody\0", 0)
    assert frame == send("/a", [b"destination:/a", b"k:v"], b"body", version)


def test_cr_is_part_of_a_1_1_value_when_lines_end_with_lf() -> None:
    (frame,) = connected("1.1").receive_data(b"SEND\ndestination:/a\nk:v\r\n\nbody\0", 0)
    assert frame == send("/a", [b"destination:/a", b"k:v\r"], b"body", "1.1")


def test_stray_nul_before_a_command_is_tolerated() -> None:
    assert (
        len(connected().receive_data(b"\0\n\0SEND\ndestination:/a\n\n\0\0\0SEND\ndestination:/a\n\n\0", 0))
        == 2
    )


def test_same_head_again_gives_frames_of_their_own() -> None:
    connection = connected()
    data = b"SEND\ndestination:/a\nk:v\n\n%d\0"
    frames = connection.receive_data(b"".join([data % number for number in range(5)]), 0)
    assert frames == [send("/a", [b"destination:/a", b"k:v"], b"%d" % number) for number in range(5)]
    counted = b"SEND\ndestination:/a\ncontent-length:1\n\n%b\0"
    frames = connection.receive_data(b"".join([counted % byte for byte in (b"x", b"\0", b"y")]), 0)
    assert [frame.body for frame in frames if isinstance(frame, Send)] == [b"x", b"\0", b"y"]


def test_same_head_cut_in_its_body() -> None:
    connection = connected()
    data = b"SEND\ndestination:/a\ncontent-length:4\n\nabcd\0"
    for cut in range(len(data)):
        frames = connection.receive_data(data + data[:cut], 0) + connection.receive_data(data[cut:], 0)
        assert [frame.body for frame in frames if isinstance(frame, Send)] == [b"abcd", b"abcd"]


@pytest.mark.parametrize(
    "headers, name",
    [
        (b"activemq.subscriptionName:n\n", "n"),
        (b"durable-subscription-name:n\n", "n"),
        (b"durable:true\n", "1"),
        (b"persistent:true\n", "1"),
        (b"durable:false\n", None),
        (b"", None),
    ],
)
def test_durable_subscriptions_of_three_brokers(headers: bytes, name: str | None) -> None:
    subscribe, unsubscribe = connected().receive_data(
        b"SUBSCRIBE\ndestination:/topic/t\nid:1\n%b\n\0UNSUBSCRIBE\nid:1\n%b\n\0" % (headers, headers), 0
    )
    assert isinstance(subscribe, Subscribe)
    assert isinstance(unsubscribe, Unsubscribe)
    assert subscribe.durable_name == name
    assert unsubscribe.durable_name == name


@pytest.mark.parametrize("header", [b"prefetch-count:7", b"activemq.prefetchSize:7"])
def test_prefetch_of_two_brokers(header: bytes) -> None:
    (frame,) = connected().receive_data(b"SUBSCRIBE\ndestination:/a\nid:1\n%b\n\n\0" % header, 0)
    assert isinstance(frame, Subscribe)
    assert frame.prefetch == 7


@pytest.mark.parametrize("mode", list(AckMode))
def test_subscribe_ack_header(mode: AckMode) -> None:
    (frame,) = connected().receive_data(
        f"SUBSCRIBE\ndestination:/a\nid:1\nack:{mode.value}\n\n\0".encode(), 0
    )
    assert isinstance(frame, Subscribe)
    assert frame.ack is mode


@pytest.mark.parametrize(
    "text, requeue",
    [
        ("true", True),
        ("TRUE", True),
        ("false", False),
        ("False", False),
        ("FALSE", False),
        ("no", None),
        ("", None),
    ],
)
def test_nack_requeue(text: str, requeue: bool | None) -> None:
    (frame,) = connected().receive_data(f"NACK\nid:1\nrequeue:{text}\n\n\0".encode(), 0)
    assert isinstance(frame, Nack)
    assert frame.requeue is requeue


@pytest.mark.parametrize(
    "asked, agreed",
    [
        ([], "1.0"),
        (["1.0"], "1.0"),
        (["1.0", "1.1"], "1.1"),
        (["2.0", "1.2", "1.1"], "1.2"),
        (["1.1", "9"], "1.1"),
    ],
)
def test_negotiation_picks_the_highest_version_in_common(asked: list[str], agreed: str) -> None:
    assert negotiate(asked) == agreed


def test_negotiation_without_a_version_in_common() -> None:
    with pytest.raises(UnsupportedVersion):
        negotiate(["2.0", ""])


@pytest.mark.parametrize("text", ["", "1", "1,", ",1", "-1,1", "1,a", "1;2", "1,2,3", "1,²"])
def test_heart_beat_must_be_two_numbers(text: str) -> None:
    with pytest.raises(MalformedFrame):
        heart_beat_of(text)


def test_connected_has_heart_beats_and_is_not_escaped() -> None:
    assert (
        encode_connected("1.0", "s", "x/1", (1, 2))
        == b"CONNECTED\nversion:1.0\nheart-beat:1,2\nsession:s\nserver:x/1\n\n\0\n"
    )
    assert (
        encode_connected("1.2", "a:b", "x/1", (1, 2))
        == b"CONNECTED\nversion:1.2\nheart-beat:1,2\nsession:a:b\nserver:x/1\n\n\0\n"
    )


@pytest.mark.parametrize("version, raw", [("1.0", "a:b\\"), ("1.1", "a\\cb\\\\"), ("1.2", "a\\cb\\\\")])
def test_receipt_is_escaped_as_its_version_does(version: str, raw: str) -> None:
    assert encode_receipt("a:b\\", version) == f"RECEIPT\nreceipt-id:{raw}\n\n\0\n".encode()


def test_error_names_the_receipt_and_measures_its_body() -> None:
    assert parse(encode_error("no", "r1", "bé", "1.2")) == (
        "ERROR",
        [("message", "no"), ("receipt-id", "r1"), ("content-type", "text/plain"), ("content-length", "3")],
        "bé".encode(),
    )


def test_error_before_a_version_is_agreed_on_lists_ours() -> None:
    _, headers, _ = parse(encode_error("no", None, "", ""))
    assert ("version", "1.0,1.1,1.2") in headers


def test_message_in_two_halves() -> None:
    head = message_head("s:1", "a1", True, 2, "1.2")
    assert head == b"MESSAGE\nsubscription:s\\c1\nack:a1\nredelivered:true\nx-mx-delivery-count:2\n"
    tail = message_tail(b"m-1", message_constant("/queue/q", [b"k:v", b"k:w"], "1.2"), b"\0\0")
    assert tail == b"destination:/queue/q\nk:v\nk:w\nmessage-id:m-1\ncontent-length:2\n\n\0\0\0\n"


def test_message_leaves_out_what_there_is_not() -> None:
    assert message_head("", "", False, 0, "1.0") == b"MESSAGE\n"
    constant = message_constant("/q", [], "1.0")
    assert message_tail(b"m", constant, b"") == b"destination:/q\nmessage-id:m\ncontent-length:0\n\n\0\n"


def test_connection_failed_is_no_frame_of_the_wire() -> None:
    assert ConnectionFailed("why").receipt is None
    assert repr(ConnectionFailed("why")) == "ConnectionFailed(receipt=None, reason='why')"


@pytest.mark.parametrize(
    ("line", "special"),
    [
        ("reply-to:/temp-queue/r", SPECIAL_REPLY_TO),
        ("reply-to:/queue/r", 0),
        ("message-id:m", SPECIAL_MESSAGE_ID),
        ("AMQ_SCHEDULED_DELAY:5", SPECIAL_SCHEDULED),
        ("AMQ-SCHEDULED-CRON:* * * * *", SPECIAL_SCHEDULED),
        ("plain:x", 0),
    ],
)
def test_send_with_a_rare_header_is_marked(line: str, special: int) -> None:
    """Frames that follow with the same head are marked too, though they are not decoded again."""
    frames = connected().receive_data(f"SEND\ndestination:/queue/a\n{line}\n\nx\0".encode() * 3, 0)
    assert [frame.special for frame in frames if isinstance(frame, Send)] == [special] * 3


def test_subscribe_headers_of_activemq_artemis_and_rabbitmq() -> None:
    subscribe = Subscribe("/queue/q", "1", AckMode.AUTO, -1, None, None, False, [], None, True, True, True, 5)
    data = encode_frame(subscribe, "1.2")
    (again,) = connected().receive_data(data, 0)
    assert isinstance(again, Subscribe)
    assert (again.exclusive, again.browser, again.retained, again.window) == (True, True, True, 5)
    (plain,) = connected().receive_data(b"SUBSCRIBE\nid:1\ndestination:q\nconsumer-window-size:-1\n\n\0", 0)
    assert isinstance(plain, Subscribe)
    assert (plain.exclusive, plain.browser, plain.retained, plain.window) == (False, False, False, -1)


@pytest.mark.parametrize(
    "data",
    [
        b"ACK\nid:1-1\r\n\r\n\0",
        b"ACK\nid:1-1\n\n\0",
        b"ACK\nid:1-1\nid:2\n\n\0",
        b"ACK\nx:y\nid:1-1\n\n\0",
    ],
)
def test_ack_known_at_a_glance_and_others_are_the_same(data: bytes) -> None:
    for cut in range(len(data)):
        connection = connected()
        frames = connection.receive_data(data[:cut], 0) + connection.receive_data(data[cut:] + b"\n", 0)
        assert frames == [Ack("1-1", None, None, None)]


@pytest.mark.parametrize(
    "id", ["1", "12-345", "-", "1-", "9" * 47, "9" * 48, "9" * 49, "1:1", "1/1", "1 1", "a-1", "1-1\x1f"]
)
def test_ack_has_the_same_id_whether_or_not_it_is_known_at_a_glance(id: str) -> None:
    glance, looked_at = connected().receive_data(f"ACK\nid:{id}\n\n\0ACK\nid:{id}\nx:y\n\n\0".encode(), 0)
    assert glance == looked_at == Ack(id, None, None, None)


@pytest.mark.parametrize("data", [b"ACK\nid:\n\n\0", b"ACK\nid:1\n\n1\0", b"ACK\nid:1\0\n\n\0"])
def test_ack_that_begins_as_a_plain_one_is_looked_at_to_its_end(data: bytes) -> None:
    (failed,) = connected().receive_data(data + b"\n", 0)
    assert isinstance(failed, ConnectionFailed)


def test_connect_that_is_left_out_stands_before_the_first_frame() -> None:
    connection = StompConnection(StompLimits(implicit_connect=True), 0)
    (connect,) = connection.receive_data(b"SEND\ndestination:q\n\nx\0\n", 0)
    assert isinstance(connect, Connect)
    assert (connect.implicit, connect.version, connection.version) == (True, "1.0", "1.0")
    assert connection.receive_data(b"", 0) == []
    connection.send_connected("s", "test/1")
    assert connection.data_to_send(0) == []
    (send,) = connection.receive_data(b"", 0)
    assert isinstance(send, Send)
    assert send.body == b"x"


def test_connect_that_is_left_out_may_also_be_written_out() -> None:
    connection = StompConnection(StompLimits(implicit_connect=True), 0)
    (connect,) = connection.receive_data(b"CONNECT\naccept-version:1.2\n\n\0", 0)
    assert isinstance(connect, Connect)
    assert (connect.implicit, connect.version) == (False, "1.2")


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
@pytest.mark.parametrize("length", ["", "content-length:0\n", "content-length:5\n", "content-length:many\n"])
@pytest.mark.parametrize("ends", ["", "\n", "\n\n", "\r\n\r\n\n"])
def test_frames_without_a_body_may_carry_line_ends_and_any_content_length(
    version: str, length: str, ends: str
) -> None:
    frames = [
        "SUBSCRIBE\nid:1\ndestination:/queue/q\n",
        "UNSUBSCRIBE\nid:1\n",
        "ACK\nid:1\nmessage-id:1\nsubscription:1\n",
        "NACK\nid:1\nmessage-id:1\nsubscription:1\n",
        "BEGIN\ntransaction:t\n",
        "COMMIT\ntransaction:t\n",
        "ABORT\ntransaction:t\n",
        "DISCONNECT\n",
    ]
    data = "".join(f"{frame}{length}\n{ends}\0" for frame in frames).encode()
    names = ["Subscribe", "Unsubscribe", "Ack", "Nack", "Begin", "Commit", "Abort", "Disconnect"]
    for cut in range(len(data) + 1):
        connection = connected(version)
        found = connection.receive_data(data[:cut], 0) + connection.receive_data(data[cut:], 0)
        assert [type(frame).__name__ for frame in found] == names


@pytest.mark.parametrize("ends", ["", "\n", "\r\n\n"])
def test_connect_may_carry_line_ends_and_a_content_length(ends: str) -> None:
    data = f"CONNECT\naccept-version:1.2\nhost:h\ncontent-length:3\n\n{ends}\0".encode()
    for cut in range(len(data) + 1):
        connection = StompConnection(StompLimits(), 0)
        found = connection.receive_data(data[:cut], 0) + connection.receive_data(data[cut:], 0)
        assert [type(frame).__name__ for frame in found] == ["Connect"]


@pytest.mark.parametrize(
    "name",
    [
        "activemq.subscriptionName",
        "activemq.subcriptionName",
        "durable-subscription-name",
        "durable-subscriber-name",
    ],
)
def test_each_broker_s_name_for_a_durable_subscription(name: str) -> None:
    (frame,) = connected().receive_data(f"SUBSCRIBE\nid:1\ndestination:/topic/t\n{name}:d\n\n\0".encode(), 0)
    assert isinstance(frame, Subscribe)
    assert frame.durable_name == "d"
    (frame,) = connected().receive_data(f"UNSUBSCRIBE\nid:1\n{name}:d\n\n\0".encode(), 0)
    assert isinstance(frame, Unsubscribe)
    assert frame.durable_name == "d"
