"""Every kind of bad CONNECT, and what those who are not known yet may cost."""

import pytest
from bad_packets import CONNECT_HEAD, WITH_ID, framed, new_connection, outcome_of

from protocols.mqtt import constants as c
from protocols.mqtt.accepted import Accepted
from protocols.mqtt.codec import encode_packet, encode_publish
from protocols.mqtt.connection import CONNECT_SIZE_MAX, PENDING_MAX, MqttLimits
from protocols.mqtt.constants import ReasonCode
from protocols.mqtt.frames import (
    Connect,
    ConnectionFailed,
    Publish,
    Pubrel,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
    Will,
)
from protocols.mqtt.properties import Properties, decode_properties
from protocols.mqtt.strings import encode_binary, encode_varint

# -- CONNECT in particular


@pytest.mark.parametrize("flags", range(256))
def test_3_1_2_3_every_byte_of_connect_flags(flags: int) -> None:
    will = b"\x00\x01w\x00\x00" if flags & 4 else b""
    credentials = (b"\x00\x01u" if flags & 0x80 else b"") + (b"\x00\x01p" if flags & 0x40 else b"")
    bad = flags & 1 != 0 or flags & 0x18 == 0x18 or (not flags & 4 and flags & 0x38 != 0)
    data = framed(
        0x10, CONNECT_HEAD + bytes((flags, 0, 0, 0)) + b"\x00\x01c" + (b"\x00" if will else b"") + will
    )
    outcome = outcome_of(
        5, data[:1] + encode_varint(len(data) - 2 + len(credentials)) + data[2:] + credentials
    )
    if bad:
        assert outcome == ReasonCode.MALFORMED_PACKET
    else:
        assert isinstance(outcome, Connect)
        assert (outcome.will is not None, outcome.username, outcome.password, outcome.clean_start) == (
            flags & 4 != 0,
            "u" if flags & 0x80 else None,
            b"p" if flags & 0x40 else None,
            flags & 2 != 0,
        )
        if outcome.will is not None:
            assert (outcome.will.qos, outcome.will.retain) == (flags >> 3 & 3, flags & 0x20 != 0)
    data = framed(0x10, b"\x00\x04MQTT\x04" + bytes((flags, 0, 0)) + b"\x00\x01c" + will + credentials)
    outcome = outcome_of(4, data)
    assert isinstance(outcome, Connect) is not (bad or flags & 0xC0 == 0x40)


def _answer_to(data: bytes, limits: MqttLimits | None = None) -> str:
    connection = new_connection(0, limits)
    [failed] = connection.receive_data(data, 0)
    assert isinstance(failed, ConnectionFailed)
    assert connection.closing
    return b"".join(connection.data_to_send()).hex(" ")


@pytest.mark.parametrize(
    ("name", "level", "answer"),
    [
        (b"MQTT", 0, "20 02 00 01"),
        (b"MQTT", 2, "20 02 00 01"),
        (b"MQTT", 3, "20 02 00 01"),
        (b"MQTT", 6, "20 03 00 84 00"),
        (b"MQTT", 0x7F, "20 03 00 84 00"),
        (b"MQTT", 0x84, "20 02 00 01"),
        (b"MQIsdp", 4, "20 02 00 01"),
        (b"MQIsdp", 0x83, "20 02 00 01"),
        (b"mqtt", 4, ""),
        (b"MQTT ", 4, ""),
        (b"", 4, ""),
    ],
)
def test_3_1_2_2_protocol_names_and_levels(name: bytes, level: int, answer: str) -> None:
    data = framed(0x10, encode_binary(name) + bytes((level, 2, 0, 0)) + b"\x00\x01c")
    assert _answer_to(data) == answer


@pytest.mark.parametrize(
    ("version", "accepted", "answer"),
    [(3, {4, 5}, "20 02 00 01"), (4, {5}, "20 02 00 01"), (5, {3, 4}, "20 03 00 84 00")],
)
def test_levels_are_accepted_by_configuration(version: int, accepted: set[int], answer: str) -> None:
    data = encode_packet(Connect("c", protocol_version=version), version)
    assert _answer_to(data, MqttLimits(accepted=Accepted(frozenset(accepted)))) == answer
    assert isinstance(
        outcome_of(version, data, MqttLimits(accepted=Accepted(frozenset((version,))))), Connect
    )


def test_3_1_client_ids_are_not_empty_and_of_limited_length_by_configuration() -> None:
    strict = MqttLimits(client_id_max_3_1=23)
    assert _answer_to(encode_packet(Connect("", protocol_version=3), 3)) == "20 02 00 02"
    assert _answer_to(encode_packet(Connect("c" * 24, protocol_version=3), 3), strict) == "20 02 00 02"
    assert isinstance(outcome_of(3, encode_packet(Connect("c" * 23, protocol_version=3), 3), strict), Connect)
    assert isinstance(outcome_of(3, encode_packet(Connect("c" * 24, protocol_version=3), 3)), Connect)
    assert isinstance(outcome_of(4, encode_packet(Connect("c" * 24, protocol_version=4), 4), strict), Connect)


FEW = Accepted(frozenset((3, 4, 5)), user_properties_max=3, filters_max=3)


@pytest.mark.parametrize("packet_type", [*WITH_ID, c.DISCONNECT, c.PUBLISH, c.CONNECT])
def test_user_properties_of_one_packet_are_bounded_by_configuration(packet_type: int) -> None:
    limits = MqttLimits(accepted=FEW)
    for count in (3, 4):
        pairs = b"\x26\x00\x01k\x00\x01v" * count
        block = encode_varint(len(pairs)) + pairs
        bodies = {
            c.CONNECT: b"\x00\x04MQTT\x05\x02\x00\x00" + block + b"\x00\x01c",
            c.PUBLISH: b"\x00\x01t" + block,
            c.SUBSCRIBE: b"\x00\x01" + block + b"\x00\x01a\x00",
            c.UNSUBSCRIBE: b"\x00\x01" + block + b"\x00\x01a",
            c.DISCONNECT: b"\x00" + block,
        }
        body = bodies.get(packet_type, b"\x00\x01\x00" + block)
        first = packet_type << 4 | c.FIXED_FLAGS[packet_type] if packet_type != c.PUBLISH else 0x30
        outcome = outcome_of(5, framed(first, body), limits)
        assert (outcome == ReasonCode.QUOTA_EXCEEDED) is (count == 4)


def test_user_properties_of_a_will_are_bounded_by_configuration() -> None:
    for count in (3, 4):
        connect = Connect("c", protocol_version=5, will=Will("t", b"", 0, False, b"\x26\0\1k\0\1v" * count))
        outcome = outcome_of(5, encode_packet(connect, 5), MqttLimits(accepted=FEW))
        assert (outcome == ReasonCode.QUOTA_EXCEEDED) is (count == 4)


@pytest.mark.parametrize("version", [3, 4, 5])
def test_filters_of_one_packet_are_bounded_by_configuration(version: int) -> None:
    for count in (3, 4):
        names = [f"a/{n}" for n in range(count)]
        subscribe = Subscribe(1, [SubscriptionRequest(name, 0, False, False, 0) for name in names])
        for packet in (subscribe, Unsubscribe(1, names)):
            outcome = outcome_of(version, encode_packet(packet, version), MqttLimits(accepted=FEW))
            assert (outcome == ReasonCode.QUOTA_EXCEEDED) is (count == 4)


def test_largest_connect_that_the_fields_allow_is_read() -> None:
    text = "x" * 65_535
    connect = Connect(text, will=Will(text, text.encode(), 0, False), username=text, password=text.encode())
    for version in (4, 5):
        connect.protocol_version = version
        assert isinstance(outcome_of(version, encode_packet(connect, version)), Connect)


def test_connect_with_5000_user_properties_keeps_them_in_order() -> None:
    properties = Properties()
    properties.user = [(f"name{n % 7}", f"value{n}") for n in range(5_000)]
    will = Will(
        "w", b"", 0, False, b"".join(b"\x26\x00\x01k" + encode_binary(b"%d" % n) for n in range(5_000))
    )
    connect = Connect("c", protocol_version=5, will=will, properties=properties)
    outcome = outcome_of(5, encode_packet(connect, 5))
    assert isinstance(outcome, Connect)
    assert outcome.properties is not None
    assert outcome.will is not None
    assert outcome.properties.user == properties.user
    assert decode_properties(outcome.will.properties).user == [("k", str(n)) for n in range(5_000)]


# -- memory


def test_too_large_connect_is_told_so_where_it_names_version_5() -> None:
    head = b"\x10\xff\xff\xff\x7f"
    assert _answer_to(head + CONNECT_HEAD + b"\x02\x00\x00") == "20 03 00 95 00"
    assert _answer_to(head + b"\x00\x04MQTT\x04\x02\x00\x00") == ""


def test_nobody_unknown_may_announce_a_large_packet() -> None:
    limits = MqttLimits()
    connection = new_connection(0, limits)
    properties = Properties()
    properties.authentication_method = "m"
    connection.receive_data(encode_packet(Connect("c", protocol_version=5, properties=properties), 5), 0)
    connection.send_auth(ReasonCode.CONTINUE_AUTHENTICATION, properties)
    connection.data_to_send()
    [failed] = connection.receive_data(b"\xf0" + encode_varint(limits.max_packet_size - 5), 0)
    assert isinstance(failed, ConnectionFailed)
    assert connection.data_to_send() == [b"\x20\x03\x00\x95\x00"]
    assert limits.max_packet_size > CONNECT_SIZE_MAX


def test_what_is_sent_behind_an_unanswered_connect_is_bounded() -> None:
    connection = new_connection()
    connection.receive_data(encode_packet(Connect("c", protocol_version=5), 5), 0)
    for _ in range(PENDING_MAX // 65_536):
        assert connection.receive_data(b"\x30" * 65_536, 0) == []
    [failed] = connection.receive_data(b"\x30" * 65_536, 0)
    assert isinstance(failed, ConnectionFailed)
    assert connection._decoder.buffered == 0
    assert connection.closing


@pytest.mark.parametrize("first", [0x10, 0x30, 0x82, 0xFF])
def test_garbage_of_unknown_clients_is_not_collected(first: int) -> None:
    held = 0
    for _ in range(14):
        connection = new_connection()
        connection.receive_data(bytes((first,)) + b"\xff\xff\xff\x2f", 0)
        for _ in range(20):
            connection.receive_data(b"x" * 65_536, 0)
        held += connection._decoder.buffered
    assert held == 0


def test_pubrel_of_3_1_may_be_repeated_with_dup() -> None:
    assert outcome_of(3, b"\x6a\x02\x00\x07") == Pubrel(7)


def test_what_is_remembered_of_publishes_is_bounded_in_bytes() -> None:
    connection = new_connection(5)
    for n in range(50):
        topic = f"{n}".rjust(65_000, "t")
        block = b"".join(b"\x26\x00\x01k" + encode_binary(b"%d" % n * 100) for _ in range(50))
        [publish] = connection.receive_data(encode_publish(topic, b"", 0, False, False, 0, block), 0)
        assert isinstance(publish, Publish)
        assert (publish.topic, publish.properties) == (topic, block)
    decoder = connection._decoder
    assert not decoder._block
    assert max(map(len, decoder._topics), default=0) <= 256
