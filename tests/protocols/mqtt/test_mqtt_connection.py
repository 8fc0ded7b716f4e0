"""The server's side of a connection: what is legal, what is answered to what is not, and when silence ends it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mqtt_vectors import SERVER_READS

from protocols.errors import LocalProtocolError
from protocols.mqtt import constants as c
from protocols.mqtt.codec import encode_packet, encode_publish
from protocols.mqtt.connection import CONNECT_SIZE_MAX, MqttConnection, MqttLimits
from protocols.mqtt.constants import ReasonCode
from protocols.mqtt.frames import Connect, ConnectionFailed, Packet, Publish
from protocols.mqtt.properties import Properties
from protocols.mqtt.state import (
    AUTHENTICATING,
    CLOSING,
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    LEGAL,
    NEW,
    may_receive,
)


def _connection(version: int = 0, **limits: int) -> MqttConnection:
    """A connection; connected in `version` unless that is 0."""
    connection = MqttConnection(MqttLimits(**limits), 0)  # type: ignore[arg-type]
    if version:
        connection.receive_data(encode_packet(Connect("c", protocol_version=version), version), 0)
        connection.send_connack(False, ReasonCode.SUCCESS)
        connection.data_to_send()
    return connection


def _failure(packets: list[Packet]) -> ConnectionFailed:
    assert packets
    failure = packets[-1]
    assert isinstance(failure, ConnectionFailed)
    return failure


# -- the table of states


@pytest.mark.parametrize("state", [NEW, CONNECTING, AUTHENTICATING, CONNECTED, DISCONNECTED, CLOSING])
@pytest.mark.parametrize("packet_type", range(1, 16))
def test_state_table(state: int, packet_type: int) -> None:
    expected = {
        NEW: packet_type == c.CONNECT,
        CONNECTING: False,
        AUTHENTICATING: packet_type in (c.AUTH, c.DISCONNECT),
        CONNECTED: packet_type not in (c.CONNECT, c.CONNACK, c.SUBACK, c.UNSUBACK, c.PINGRESP),
        DISCONNECTED: False,
        CLOSING: False,
    }
    assert may_receive(state, packet_type) is expected[state]
    assert set(LEGAL) == set(expected)


# -- bad input; each ends the connection, in the words that its version has

BAD_CONNECTS = [
    ("3.1.0-1 a packet before CONNECT", "c0 00", ""),
    ("3.1.2.1 HTTP", b"GET / HTTP/1.1\r\n\r\n".hex(), ""),
    ("3.1.2.1 TLS hello", "16 03 01 02 00 01 00", ""),
    ("3.1.2.1 STOMP", b"CONNECT\naccept-version:1.2\n\n\0".hex(), ""),
    ("3.1.2.1 AMQP", b"AMQP\0\x01\0\0".hex(), ""),
    ("3.1.2.1 another protocol name", "10 0c 0004 58585858 04 02 0000 0000", ""),
    ("3.1.2.2 level 9 gets 0x84", "10 0d 0004 4d515454 09 02 0000 00 0000", "20 03 00 84 00"),
    ("3.1.2.2 level 2 gets return code 1", "10 0c 0004 4d515454 02 02 0000 0000", "20 02 00 01"),
    ("3.1.2.3 reserved flag 3.1.1 gets no answer", "10 0c 0004 4d515454 04 03 0000 0000", ""),
    ("3.1.2.3 reserved flag 5 gets 0x81", "10 0d 0004 4d515454 05 03 0000 00 0000", "20 03 00 81 00"),
    ("3.1.2.6 will QoS 3", "10 0d 0004 4d515454 05 1c 0000 00 0000", "20 03 00 81 00"),
    ("3.1.2.6 will flags without a will", "10 0d 0004 4d515454 05 20 0000 00 0000", "20 03 00 81 00"),
    ("3.1.2.9 password without user 3.1.1", "10 0e 0004 4d515454 04 42 0000 0000 0000", ""),
    (
        "3.1.2.11 property twice gets 0x82",
        "10 17 0004 4d515454 05 02 0000 0a 1100000001 1100000001 0000",
        "20 03 00 82 00",
    ),
    (
        "2.2.2.2 property of PUBLISH gets 0x81",
        "10 0f 0004 4d515454 05 02 0000 02 0101 0000",
        "20 03 00 81 00",
    ),
    ("2.2.2.2 unknown property gets 0x81", "10 0f 0004 4d515454 05 02 0000 02 7f01 0000", "20 03 00 81 00"),
    (
        "3.1.2.11.3 receive maximum 0 gets 0x82",
        "10 10 0004 4d515454 05 02 0000 03 210000 0000",
        "20 03 00 82 00",
    ),
    ("1.5.4 client id with U+0000", "10 0e 0004 4d515454 05 02 0000 00 0001 00", "20 03 00 81 00"),
    ("1.5.4 client id with a surrogate", "10 10 0004 4d515454 05 02 0000 00 0003 eda080", "20 03 00 81 00"),
    ("3.1.3.3 empty will topic", "10 12 0004 4d515454 05 06 0000 00 0000 00 0000 0000", "20 03 00 82 00"),
    ("3.1 bytes behind the end", "10 0e 0004 4d515454 05 02 0000 00 0000 00", "20 03 00 81 00"),
]


@pytest.mark.parametrize(("name", "data", "answer"), BAD_CONNECTS, ids=[case[0] for case in BAD_CONNECTS])
def test_bad_first_bytes(name: str, data: str, answer: str) -> None:
    raw = bytes.fromhex(data)
    connection = _connection()
    failure = _failure(connection.receive_data(raw, 0))
    assert failure.reason
    assert b"".join(connection.data_to_send()) == bytes.fromhex(answer)
    assert connection.closing
    assert connection.receive_data(b"\xc0\x00" * 5, 0) == []


BAD_PACKETS = [
    ("2.1.3 reserved flags of PUBREL", "60 02 0001", 0x81),
    ("2.1.3 reserved flags of SUBSCRIBE", "80 06 0001 00 0001 61 00", 0x81),
    ("2.1.2 packet type 0", "00 00", 0x82),
    ("2.1.4 remaining length of five bytes", "30 ffffffff7f", 0x81),
    ("3.1.0-2 a second CONNECT", "10 0d 0004 4d515454 05 02 0000 00 0000", 0x82),
    ("3.2 CONNACK from a client", "20 03 00 00 00", 0x82),
    ("3.9 SUBACK from a client", "90 04 0001 00 00", 0x82),
    ("3.3.1.2 QoS 3", "36 06 0001 74 0001 00", 0x81),
    ("3.3.1.1 DUP at QoS 0", "38 04 0001 74 00", 0x81),
    ("2.2.1 packet id 0", "32 06 0001 74 0000 00", 0x82),
    ("3.3.2.1 wildcard in a topic name", "30 04 0001 23 00", 0x81),
    ("3.3.2.1 topic longer than its packet", "30 04 0009 74 00", 0x81),
    ("3.3.2.1 empty topic without alias", "30 03 0000 00", 0x82),
    ("1.5.4 topic that is not UTF-8", "30 05 0002 c328 00", 0x81),
    ("3.3.2.3.4 alias 0", "30 07 0001 74 03 230000", 0x94),
    ("3.3.2.3.4 alias above the maximum", "30 07 0001 74 03 23000b", 0x94),
    ("3.3.2.3.4 alias that was never set", "30 06 0000 03 230003", 0x82),
    ("3.3.2.3.8 subscription identifier from a client", "30 06 0001 74 02 0b01", 0x82),
    ("3.3.2.3 property longer than its packet", "30 04 0001 74 09", 0x81),
    ("3.3.2.3.3 expiry cut off", "30 06 0001 74 02 0200", 0x81),
    ("3.3.2.3.2 payload format 2", "30 06 0001 74 02 0102", 0x82),
    ("3.3.2.3.5 wildcard in the response topic", "30 08 0001 74 04 08000123", 0x82),
    ("3.8.3 SUBSCRIBE without filters", "82 03 0001 00", 0x82),
    ("3.8.3.1 QoS 3", "82 07 0001 00 0001 61 03", 0x82),
    ("3.8.3.1 reserved option bits", "82 07 0001 00 0001 61 c0", 0x81),
    ("3.8.3.1 retain handling 3", "82 07 0001 00 0001 61 30", 0x82),
    ("3.8.3.1 no-local on a shared subscription", "82 10 0001 00 000a 2473686172652f672f61 04", 0x82),
    ("3.8.2.1.2 subscription identifier 0", "82 09 0001 02 0b00 0001 61 00", 0x82),
    ("3.10.3 UNSUBSCRIBE without filters", "a2 03 0001 00", 0x82),
    ("3.4.2.1 unknown reason code", "40 03 0001 55", 0x82),
    ("3.12 PINGREQ with a body", "c0 01 00", 0x81),
    ("3.14.2.1 unknown reason code", "e0 01 55", 0x82),
    ("3.15 authentication data without a method", "f0 06 18 04 16 0001 ff", 0x82),
]


@pytest.mark.parametrize(("name", "data", "code"), BAD_PACKETS, ids=[case[0] for case in BAD_PACKETS])
def test_bad_packet_is_told_why_in_mqtt_5(name: str, data: str, code: int) -> None:
    connection = _connection(5)
    good = encode_publish("good", b"1", 0, False, False, 0, b"")
    packets = connection.receive_data(good + bytes.fromhex(data), 0)
    assert isinstance(packets[0], Publish)
    assert _failure(packets).reason_code == code
    assert connection.data_to_send() == [bytes((0xE0, 1, code))]
    assert connection.closing


@pytest.mark.parametrize(
    "data", ["60 02 0001", "36 05 0001 74 0001", "82 02 0001", "f0 00", "40 03 0001 00", "e0 01 00"]
)
def test_bad_packet_before_mqtt_5_is_answered_by_closing(data: str) -> None:
    connection = _connection(4)
    _failure(connection.receive_data(bytes.fromhex(data), 0))
    assert connection.data_to_send() == []
    assert connection.closing


def test_packet_above_the_limit_is_refused_from_its_length_field() -> None:
    connection = _connection(5, max_packet_size=1000)
    failure = _failure(connection.receive_data(b"\x30\xe9\x07", 0))
    assert failure.reason_code == ReasonCode.PACKET_TOO_LARGE
    assert connection.data_to_send() == [b"\xe0\x01\x95"]


def test_connect_is_bounded_before_anybody_is_known() -> None:
    connection = _connection()
    failure = _failure(connection.receive_data(b"\x10\xff\xff\xff\x7f", 0))
    assert failure.reason_code == ReasonCode.PACKET_TOO_LARGE
    assert CONNECT_SIZE_MAX < 1_000_000


def test_announced_length_takes_no_memory_before_the_bytes_come() -> None:
    connection = _connection(4)
    connection.receive_data(b"\x30\x80\x80\x80\x20" + b"x" * 10, 0)
    assert connection._decoder.buffered == 15


# -- properties x packets

_CARRIERS = {
    c.PUBLISH: lambda block: b"\x00\x01t" + block,
    c.PUBACK: lambda block: b"\x00\x01\x00" + block,
    c.PUBREC: lambda block: b"\x00\x01\x00" + block,
    c.PUBREL: lambda block: b"\x00\x01\x00" + block,
    c.PUBCOMP: lambda block: b"\x00\x01\x00" + block,
    c.SUBSCRIBE: lambda block: b"\x00\x01" + block + b"\x00\x01a\x00",
    c.UNSUBSCRIBE: lambda block: b"\x00\x01" + block + b"\x00\x01a",
    c.DISCONNECT: lambda block: b"\x00" + block,
    c.AUTH: lambda block: b"\x18" + block,
}
_VALUES = {c.BYTE: b"\x01", c.TWO: b"\x00\x05", c.FOUR: b"\x00\x00\x00\x05", c.VARINT: b"\x05"}


@pytest.mark.parametrize("packet_type", sorted(_CARRIERS))
@pytest.mark.parametrize("identifier", sorted(c.PROPERTY_TYPES))
def test_2_2_2_2_each_property_in_each_packet(packet_type: int, identifier: int) -> None:
    kind = c.PROPERTY_TYPES[identifier]
    value = _VALUES.get(kind, b"\x00\x01a" * (2 if kind == c.PAIR else 1))
    block = bytes((identifier,)) + value
    body = _CARRIERS[packet_type](bytes((len(block),)) + block)
    first = packet_type << 4 | (2 if packet_type in (c.PUBREL, c.SUBSCRIBE, c.UNSUBSCRIBE) else 0)
    connection = _connection(5)
    packets = connection.receive_data(bytes((first, len(body))) + body, 0)
    allowed = identifier in c.PROPERTIES_ALLOWED[packet_type]
    # A client's PUBLISH may not have a subscription identifier; authentication data needs its method.
    refused = (packet_type, identifier) in ((c.PUBLISH, 0x0B), (c.AUTH, 0x16))
    if allowed and not refused:
        assert not isinstance(packets[-1], ConnectionFailed)
    else:
        expected = ReasonCode.PROTOCOL_ERROR if allowed else ReasonCode.MALFORMED_PACKET
        assert _failure(packets).reason_code == expected


# -- first bytes


@pytest.mark.parametrize(
    ("first", "version", "code"),
    [
        (0x00, 5, 0x82),
        (0x00, 4, 0x82),
        (0x00, 3, 0x82),
        (0x0F, 5, 0x82),
        (0xF0, 4, 0x81),
        (0xF0, 3, 0x81),
        (0x36, 5, 0x81),
        (0x38, 5, 0x81),
        (0x38, 4, 0x81),
        (0x60, 5, 0x81),
        (0x80, 4, 0x81),
        (0xC1, 5, 0x81),
        (0x10, 5, 0x82),
        (0x20, 5, 0x82),
        (0xD0, 4, 0x82),
    ],
    ids=hex,
)
def test_2_1_2_and_2_1_3_what_no_packet_begins_with_ends_the_connection_at_once(
    first: int, version: int, code: int
) -> None:
    for begun in (b"", b"\xff", b"\xff\xff\x03", b"\xff\xff\x03and the begin of its body"):
        connection = _connection(version)
        assert _failure(connection.receive_data(bytes((first,)) + begun, 0)).reason_code == code


def test_2_1_3_mqtt_3_1_waits_for_packets_whose_flags_it_ignores() -> None:
    for first in (0x38, 0x6A, 0x8A, 0xC3):
        assert _connection(3).receive_data(bytes((first,)), 0) == []


# -- time


def test_no_connect_in_time() -> None:
    connection = _connection(connect_timeout_ms=100)
    assert connection.next_deadline_ms() == 100
    assert connection.handle_deadline(99) == []
    assert _failure(connection.handle_deadline(100)).reason == "no CONNECT in time"


def test_3_1_2_10_any_packet_keeps_the_connection_alive() -> None:
    connection = MqttConnection(MqttLimits(), 0)
    connection.receive_data(encode_packet(Connect("c", keep_alive_s=10), 4), 0)
    connection.send_connack(False, ReasonCode.SUCCESS)
    connection.receive_data(b"\xc0\x00", 14_000)
    assert connection.next_deadline_ms() == 29_000
    assert connection.handle_deadline(28_999) == []
    assert _failure(connection.handle_deadline(29_000)).reason_code == ReasonCode.KEEP_ALIVE_TIMEOUT


def test_3_1_2_10_keep_alive_0_turns_it_off() -> None:
    assert _connection(4).next_deadline_ms() is None


# -- answers


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (ReasonCode.NOT_AUTHORIZED, 5),
        (ReasonCode.BAD_USER_NAME_OR_PASSWORD, 4),
        (ReasonCode.QUOTA_EXCEEDED, 3),
    ],
)
def test_3_2_2_3_reason_codes_become_return_codes_before_mqtt_5(reason: ReasonCode, code: int) -> None:
    connection = MqttConnection(MqttLimits(), 0)
    connection.receive_data(encode_packet(Connect("c"), 4), 0)
    connection.send_connack(True, reason, Properties())
    assert connection.data_to_send() == [bytes((0x20, 2, 0, code))]
    assert connection.closing


def test_a_second_connack_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        _connection(4).send_connack(False, ReasonCode.SUCCESS)


# -- properties of any input


@given(st.lists(st.binary(max_size=200), max_size=8), st.sampled_from([0, 3, 4, 5]))
def test_garbage_neither_raises_nor_grows_the_buffer(pieces: list[bytes], version: int) -> None:
    connection = _connection(version, max_packet_size=300)
    for piece in pieces:
        connection.receive_data(piece, 0)
        assert connection._decoder.buffered <= 300
    if connection.closing:
        assert connection._decoder.buffered == 0


@given(st.data())
def test_mutated_packets_never_raise(data: st.DataObject) -> None:
    vector = data.draw(st.sampled_from(SERVER_READS))
    raw = bytearray(vector.data)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    connection = _connection(0 if isinstance(vector.packet, Connect) else vector.version)
    cut = data.draw(st.integers(0, len(raw)))
    connection.receive_data(bytes(raw[:cut]), 0)
    connection.receive_data(bytes(raw[cut:]), 0)
    connection.receive_data(b"\xc0\x00", 0)
