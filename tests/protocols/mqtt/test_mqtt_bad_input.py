"""Every kind of bad packet: what is answered, that nothing else is, and what it may cost."""

from dataclasses import dataclass

import pytest
from mqtt_vectors import SERVER_READS, Vector

from protocols.errors import LocalProtocolError
from protocols.mqtt import constants as c
from protocols.mqtt.accepted import Accepted
from protocols.mqtt.codec import encode_packet, encode_publish
from protocols.mqtt.connection import CONNECT_SIZE_MAX, PENDING_MAX, MqttConnection, MqttLimits
from protocols.mqtt.constants import ReasonCode
from protocols.mqtt.decoder import PacketDecoder
from protocols.mqtt.errors import MqttError
from protocols.mqtt.frames import (
    Auth,
    Connect,
    ConnectionFailed,
    Disconnect,
    Packet,
    Puback,
    Publish,
    Pubrel,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
    Will,
)
from protocols.mqtt.properties import Properties, decode_properties
from protocols.mqtt.strings import encode_binary, encode_varint

WITH_ID = (c.PUBACK, c.PUBREC, c.PUBREL, c.PUBCOMP, c.SUBSCRIBE, c.UNSUBSCRIBE)
FROM_CLIENT = (*WITH_ID, c.PINGREQ, c.DISCONNECT, c.AUTH)


def _connection(version: int = 0, limits: MqttLimits | None = None) -> MqttConnection:
    """A connection; connected in `version` unless that is 0."""
    connection = MqttConnection(limits or MqttLimits(), 0)
    if version:
        connection.receive_data(encode_packet(Connect("c", protocol_version=version), version), 0)
        connection.send_connack(False, ReasonCode.SUCCESS)
        connection.data_to_send()
    return connection


def _frame(first: int, body: bytes) -> bytes:
    return bytes((first,)) + encode_varint(len(body)) + body


def _body(data: bytes) -> bytes:
    """What follows the remaining length."""
    at = 1
    while data[at] > 127:
        at += 1
    return data[at + 1 :]


def _outcome(version: int, data: bytes, limits: MqttLimits | None = None) -> int | Packet:
    """What becomes of a packet: the packet, or the reason code of the failure, whose answer is checked."""
    first = data[0] >> 4 == c.CONNECT
    connection = _connection(0 if first else version, limits)
    packets = connection.receive_data(data, 0)
    if not packets:
        assert not connection.closing
        return -1
    last = packets[-1]
    if not isinstance(last, ConnectionFailed):
        return last
    assert connection.closing
    assert connection._decoder.buffered == 0
    answer = b"".join(connection.data_to_send())
    # A CONNECT that is cut off before its version is not answered.
    if version == 5 and not (first and b"MQTT\x05" not in data):
        assert answer == (b"\x20\x03\x00%c\x00" if first else b"\xe0\x01%c") % last.reason_code.value
    else:
        assert answer == b""
    assert connection.receive_data(b"\xc0\x00", 0) == []
    return last.reason_code


# -- the fixed header


@pytest.mark.parametrize("packet_type", FROM_CLIENT)
@pytest.mark.parametrize("flags", range(16))
def test_2_1_3_reserved_flags_of_every_packet(packet_type: int, flags: int) -> None:
    bodies = {c.SUBSCRIBE: b"\x00\x01\x00\x00\x01a\x00", c.UNSUBSCRIBE: b"\x00\x01\x00\x00\x01a"}
    body = bodies.get(packet_type, b"\x00\x01" if packet_type in WITH_ID else b"")
    good = flags == c.FIXED_FLAGS[packet_type]
    outcome = _outcome(5, _frame(packet_type << 4 | flags, body))
    assert (outcome == ReasonCode.MALFORMED_PACKET) is not good
    if packet_type == c.AUTH:
        return
    bodies = {c.SUBSCRIBE: b"\x00\x01\x00\x01a\x00", c.UNSUBSCRIBE: b"\x00\x01\x00\x01a"}
    data = _frame(packet_type << 4 | flags, bodies.get(packet_type, body))
    assert (_outcome(4, data) == ReasonCode.MALFORMED_PACKET) is not good
    # MQTT 3.1 repeats SUBSCRIBE and PUBREL with DUP, and says nothing against the rest.
    assert _outcome(3, data) != ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize("flags", range(1, 16))
def test_2_1_3_reserved_flags_of_connect_are_not_answered(flags: int) -> None:
    connection = _connection()
    data = encode_packet(Connect("c", protocol_version=5), 5)
    [failed] = connection.receive_data(bytes((0x10 | flags,)) + data[1:], 0)
    assert isinstance(failed, ConnectionFailed)
    assert connection.data_to_send() == []
    assert connection.closing


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("first", [0x30, 0x40, 0x82, 0xC0])
def test_2_1_4_remaining_length_of_five_bytes(version: int, first: int) -> None:
    assert _outcome(version, bytes((first,)) + b"\x80\x80\x80\x80\x01") == ReasonCode.MALFORMED_PACKET
    assert _outcome(version, bytes((first,)) + b"\xff\xff\xff\xff") == ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize("vector", SERVER_READS, ids=lambda v: v.name)
def test_1_5_5_remaining_length_of_more_bytes_than_it_needs(vector: Vector) -> None:
    body = _body(vector.data)
    data = vector.data[:1] + bytes((len(body) | 128, 0)) + body
    if vector.version == 5:
        assert _outcome(5, data) == ReasonCode.MALFORMED_PACKET
    else:
        # MQTT 3.1.1 has no such rule.
        connection = _connection(0 if isinstance(vector.packet, Connect) else vector.version)
        packets = connection.receive_data(data, 0)
        assert not any(isinstance(packet, ConnectionFailed) for packet in packets)


@pytest.mark.parametrize(
    "data",
    [
        _frame(0x30, b"\x00\x01t\x80\x00"),
        _frame(0x82, b"\x00\x01\x80\x00\x00\x01a\x00"),
        _frame(0x82, b"\x00\x01\x03\x0b\x81\x00\x00\x01a\x00"),
        _frame(0x30, b"\x00\x01t\x03\x81\x00\x01"),
    ],
    ids=["property length", "property length of SUBSCRIBE", "subscription identifier", "property identifier"],
)
def test_1_5_5_1_variable_byte_integer_of_more_bytes_than_it_needs(data: bytes) -> None:
    assert _outcome(5, data) == ReasonCode.MALFORMED_PACKET


# -- packet identifiers


@pytest.mark.parametrize("packet_type", WITH_ID)
@pytest.mark.parametrize("version", [3, 4, 5])
def test_2_2_1_packet_id_0(packet_type: int, version: int) -> None:
    tail = (b"\x00" if version == 5 else b"") + b"\x00\x01a"
    bodies = {c.SUBSCRIBE: b"\x00\x00" + tail + b"\x00", c.UNSUBSCRIBE: b"\x00\x00" + tail}
    data = _frame(packet_type << 4 | c.FIXED_FLAGS[packet_type], bodies.get(packet_type, b"\x00\x00"))
    assert _outcome(version, data) == ReasonCode.PROTOCOL_ERROR


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [1, 2])
def test_2_2_1_packet_id_0_in_publish(version: int, qos: int) -> None:
    block = b"" if version == 5 else None
    assert _outcome(version, encode_publish("t", b"", qos, False, False, 0, block)) == (
        ReasonCode.PROTOCOL_ERROR
    )


# -- lengths that lie


@pytest.mark.parametrize("vector", SERVER_READS, ids=lambda v: v.name)
def test_each_packet_shortened_by_every_number_of_bytes(vector: Vector) -> None:
    body = _body(vector.data)
    for size in range(len(body)):
        outcome = _outcome(vector.version, _frame(vector.data[0], body[:size]))
        if _may_end_at(vector, size, len(vector.data) - len(body)):
            assert not isinstance(outcome, ReasonCode), size
        elif isinstance(vector.packet, (Subscribe, Unsubscribe)) and outcome == ReasonCode.PROTOCOL_ERROR:
            # What is left is a whole packet without a filter.
            assert size == (3 + vector.data[4] if vector.version == 5 else 2)
        else:
            assert outcome == ReasonCode.MALFORMED_PACKET, size


def _may_end_at(vector: Vector, size: int, header: int) -> bool:
    """Is a packet with the first `size` bytes of its body another good packet?"""
    packet = vector.packet
    if isinstance(packet, Publish):
        return size + header >= packet.payload_start
    if isinstance(packet, Subscribe):
        return vector.version != 5 and size == 8
    if isinstance(packet, Unsubscribe):
        return vector.version != 5 and size == 5
    if isinstance(packet, (Disconnect, Auth)):
        return size in (0, 1)
    if isinstance(packet, Connect):
        return False
    return size in (2, 3)


@pytest.mark.parametrize("vector", SERVER_READS, ids=lambda v: v.name)
def test_each_packet_with_a_byte_too_many(vector: Vector) -> None:
    outcome = _outcome(vector.version, _frame(vector.data[0], _body(vector.data) + b"\x00"))
    if _may_grow(vector):
        assert not isinstance(outcome, ReasonCode)
    else:
        assert outcome == ReasonCode.MALFORMED_PACKET


def _may_grow(vector: Vector) -> bool:
    """Is a packet with a zero behind its end another good packet: with more payload, or with an optional field?"""
    packet_type = vector.data[0] >> 4
    if packet_type == c.PUBLISH:
        return True
    longest = {c.PUBACK: 3, c.PUBREC: 3, c.PUBREL: 3, c.PUBCOMP: 3, c.DISCONNECT: 1, c.AUTH: 1}
    return vector.version == 5 and len(_body(vector.data)) <= longest.get(packet_type, -1)


# -- properties


@dataclass
class Carrier:
    """A packet that has properties; `write` puts a block, its length in front, where it belongs."""

    packet_type: int
    before: bytes
    after: bytes
    first: int

    def write(self, block: bytes) -> bytes:
        """The packet's bytes."""
        return _frame(self.first, self.before + encode_varint(len(block)) + block + self.after)


_HEAD = b"\x00\x04MQTT\x05"
CARRIERS = {
    "CONNECT": Carrier(c.CONNECT, _HEAD + b"\x02\x00\x00", b"\x00\x01c", 0x10),
    "will": Carrier(c.WILL, _HEAD + b"\x06\x00\x00\x00\x00\x01c", b"\x00\x01w\x00\x00", 0x10),
    "PUBLISH": Carrier(c.PUBLISH, b"\x00\x01t", b"x", 0x30),
    "PUBACK": Carrier(c.PUBACK, b"\x00\x01\x00", b"", 0x40),
    "PUBREC": Carrier(c.PUBREC, b"\x00\x01\x00", b"", 0x50),
    "PUBREL": Carrier(c.PUBREL, b"\x00\x01\x00", b"", 0x62),
    "PUBCOMP": Carrier(c.PUBCOMP, b"\x00\x01\x00", b"", 0x70),
    "SUBSCRIBE": Carrier(c.SUBSCRIBE, b"\x00\x01", b"\x00\x01a\x00", 0x82),
    "UNSUBSCRIBE": Carrier(c.UNSUBSCRIBE, b"\x00\x01", b"\x00\x01a", 0xA2),
    "DISCONNECT": Carrier(c.DISCONNECT, b"\x00", b"", 0xE0),
    "AUTH": Carrier(c.AUTH, b"\x18", b"", 0xF0),
}
VALUES = {
    c.BYTE: b"\x01",
    c.TWO: b"\x00\x05",
    c.FOUR: b"\x00\x00\x00\x05",
    c.VARINT: b"\x05",
    c.BINARY: b"\x00\x02\xff\x00",
    c.STRING: b"\x00\x01a",
    c.PAIR: b"\x00\x01k\x00\x01v",
}


def _one(identifier: int) -> bytes:
    """A property with a good value."""
    return bytes((identifier,)) + VALUES[c.PROPERTY_TYPES[identifier]]


def _welcome(carrier: Carrier, identifier: int) -> bool:
    """May a client send this property there, with nothing else?"""
    if carrier.packet_type == c.PUBLISH and identifier == c.SUBSCRIPTION_IDENTIFIER:
        return False
    return identifier in c.PROPERTIES_ALLOWED[carrier.packet_type]


def _block(carrier: Carrier, identifier: int) -> bytes:
    """The property, with the authentication method that authentication data needs."""
    block = _one(identifier)
    return _one(c.AUTHENTICATION_METHOD) + block if identifier == c.AUTHENTICATION_DATA else block


EACH = pytest.mark.parametrize("name", sorted(CARRIERS))
EVERY = pytest.mark.parametrize("identifier", sorted(c.PROPERTY_TYPES))


@EACH
@EVERY
def test_2_2_2_2_each_property_where_it_belongs_and_where_not(name: str, identifier: int) -> None:
    carrier = CARRIERS[name]
    outcome = _outcome(5, carrier.write(_block(carrier, identifier)))
    if _welcome(carrier, identifier):
        assert not isinstance(outcome, ReasonCode)
    elif identifier in c.PROPERTIES_ALLOWED[carrier.packet_type]:
        # [MQTT-3.3.4-6]: a subscription identifier belongs into a PUBLISH, and a client may not send it.
        assert outcome == ReasonCode.PROTOCOL_ERROR
    else:
        assert outcome == ReasonCode.MALFORMED_PACKET


@EACH
@EVERY
def test_2_2_2_2_each_property_twice(name: str, identifier: int) -> None:
    carrier = CARRIERS[name]
    outcome = _outcome(5, carrier.write(_block(carrier, identifier) + _one(identifier)))
    if identifier not in c.PROPERTIES_ALLOWED[carrier.packet_type]:
        assert outcome == ReasonCode.MALFORMED_PACKET
    elif identifier == c.USER_PROPERTY:
        assert not isinstance(outcome, ReasonCode)
    else:
        assert outcome == ReasonCode.PROTOCOL_ERROR


@EACH
@EVERY
def test_2_2_2_2_each_property_cut_anywhere(name: str, identifier: int) -> None:
    carrier = CARRIERS[name]
    if not _welcome(carrier, identifier) and name != "PUBLISH":
        return
    block = _one(identifier)
    for size in range(1, len(block)):
        assert _outcome(5, carrier.write(block[:size])) in (
            [ReasonCode.MALFORMED_PACKET]
            if identifier in c.PROPERTIES_ALLOWED[carrier.packet_type]
            else [ReasonCode.MALFORMED_PACKET, ReasonCode.PROTOCOL_ERROR]
        )


@EACH
def test_2_2_2_2_unknown_properties(name: str) -> None:
    for identifier in set(range(128)) - set(c.PROPERTY_TYPES):
        assert _outcome(5, CARRIERS[name].write(bytes((identifier, 0)))) == ReasonCode.MALFORMED_PACKET
    assert _outcome(5, CARRIERS[name].write(b"\xff\x7f\x00")) == ReasonCode.MALFORMED_PACKET


@EACH
def test_2_2_2_1_property_length_beyond_the_packet(name: str) -> None:
    carrier = CARRIERS[name]
    for length in (b"\x7f", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff\x01"):
        data = _frame(carrier.first, carrier.before + length + carrier.after)
        assert _outcome(5, data) == ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("CONNECT", b"\x17\x02"),
        ("CONNECT", b"\x19\x02"),
        ("CONNECT", b"\x21\x00\x00"),
        ("CONNECT", b"\x27\x00\x00\x00\x00"),
        ("will", b"\x01\x02"),
        ("PUBLISH", b"\x01\x02"),
        ("SUBSCRIBE", b"\x0b\x00"),
        ("CONNECT", b"\x16\x00\x01x"),
        ("AUTH", b"\x16\x00\x01x"),
        ("PUBLISH", b"\x08\x00\x03a/#"),
        ("will", b"\x08\x00\x01+"),
        ("PUBLISH", b"\x08\x00\x00"),
    ],
)
def test_values_that_a_property_may_not_have(name: str, block: bytes) -> None:
    assert _outcome(5, CARRIERS[name].write(block)) == ReasonCode.PROTOCOL_ERROR


@pytest.mark.parametrize("alias", [0, 11, 65_535])
def test_3_3_2_3_4_topic_alias_out_of_range(alias: int) -> None:
    data = CARRIERS["PUBLISH"].write(b"\x23" + alias.to_bytes(2, "big"))
    assert _outcome(5, data) == ReasonCode.TOPIC_ALIAS_INVALID


# -- strings

BAD_TEXT = {
    "U+0000": b"a\x00b",
    "surrogate": b"\xed\xa0\x80",
    "surrogate pair": b"\xed\xa0\xbd\xed\xb8\x80",
    "cut off": b"\xe2\x82",
    "overlong": b"\xc0\xaf",
    "overlong U+0000": b"\xc0\x80",
    "continuation byte": b"\x80",
    "above U+10FFFF": b"\xf4\x90\x80\x80",
    "0xFF": b"\xff",
}
GOOD_TEXT = {
    "U+FFFF": "\uffff",
    "U+FDD0": "\ufdd0",
    "byte order mark": "\ufeff",
    "U+10FFFF": "\U0010ffff",
    "combining": "e\u0301",
    "private use": "\ue000",
    "space": " ",
}


def _string_places(text: bytes) -> dict[str, tuple[int, bytes]]:
    """Packets that have `text` in each place where a string may be, with their version."""
    string = encode_binary(text)
    pair = encode_binary(b"k")
    head_4 = b"\x00\x04MQTT\x04"
    places: dict[str, tuple[int, bytes]] = {
        "client id 3.1.1": (4, _frame(0x10, head_4 + b"\x02\x00\x00" + string)),
        "client id": (5, _frame(0x10, _HEAD + b"\x02\x00\x00\x00" + string)),
        "user name 3.1.1": (4, _frame(0x10, head_4 + b"\x82\x00\x00\x00\x01c" + string)),
        "user name": (5, _frame(0x10, _HEAD + b"\x82\x00\x00\x00\x00\x01c" + string)),
        "will topic 3.1.1": (4, _frame(0x10, head_4 + b"\x06\x00\x00\x00\x01c" + string + b"\x00\x00")),
        "will topic": (5, _frame(0x10, _HEAD + b"\x06\x00\x00\x00\x00\x01c\x00" + string + b"\x00\x00")),
        "topic 3.1.1": (4, _frame(0x30, string)),
        "topic": (5, _frame(0x30, string + b"\x00")),
        "filter 3.1.1": (4, _frame(0x82, b"\x00\x01" + string + b"\x00")),
        "filter": (5, _frame(0x82, b"\x00\x01\x00" + string + b"\x00")),
        "filter of UNSUBSCRIBE 3.1.1": (4, _frame(0xA2, b"\x00\x01" + string)),
        "filter of UNSUBSCRIBE": (5, _frame(0xA2, b"\x00\x01\x00" + string)),
        "authentication method": (5, CARRIERS["CONNECT"].write(b"\x15" + string)),
        "content type": (5, CARRIERS["PUBLISH"].write(b"\x03" + string)),
        "response topic": (5, CARRIERS["PUBLISH"].write(b"\x08" + string)),
        "will content type": (5, CARRIERS["will"].write(b"\x03" + string)),
        "reason string": (5, CARRIERS["PUBACK"].write(b"\x1f" + string)),
        "server reference": (5, CARRIERS["DISCONNECT"].write(b"\x1c" + string)),
    }
    for name in CARRIERS:
        places[f"user property name of {name}"] = (5, CARRIERS[name].write(b"\x26" + string + pair))
        places[f"user property value of {name}"] = (5, CARRIERS[name].write(b"\x26" + pair + string))
    return places


def _written_out(packet: int | Packet) -> str:
    """The packet's fields, those in property blocks that are passed on unread included."""
    text = repr(packet)
    if isinstance(packet, Publish):
        text += repr(decode_properties(packet.properties))
    elif isinstance(packet, Connect) and packet.will is not None:
        text += repr(decode_properties(packet.will.properties, c.WILL))
    return text


PLACES = sorted(_string_places(b""))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", sorted(BAD_TEXT))
def test_1_5_4_string_that_is_not_well_formed(place: str, text: str) -> None:
    version, data = _string_places(BAD_TEXT[text])[place]
    assert _outcome(version, data) == ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", sorted(GOOD_TEXT))
def test_1_5_4_string_with_an_unusual_character_is_read_as_it_is(place: str, text: str) -> None:
    version, data = _string_places(GOOD_TEXT[text].encode())[place]
    outcome = _outcome(version, data, MqttLimits(control_characters=True))
    assert not isinstance(outcome, ReasonCode)
    assert repr(GOOD_TEXT[text]) in _written_out(outcome)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("code", [0x01, 0x0A, 0x1F, 0x7F, 0x85, 0x9F, 0xFDD0, 0xFFFE, 0x1FFFF])
def test_1_5_4_control_characters_are_refused_in_what_is_passed_on_unless_welcome(
    place: str, code: int
) -> None:
    version, data = _string_places(f"a{chr(code)}b".encode())[place]
    words = ("client id", "user name", "topic", "filter", "content type", "of PUBLISH", "of will")
    if any(word in place for word in words):
        assert _outcome(version, data) == ReasonCode.MALFORMED_PACKET
    else:
        assert not isinstance(_outcome(version, data), ReasonCode)
    assert not isinstance(_outcome(version, data, MqttLimits(control_characters=True)), ReasonCode)


def test_4_7_3_3_names_of_the_greatest_length() -> None:
    longest = b"a" * 65_535
    for place in ("client id", "topic", "filter", "content type", "user property value of PUBLISH"):
        version, data = _string_places(longest)[place]
        assert not isinstance(_outcome(version, data), ReasonCode)


def test_1_5_4_string_too_long_for_the_wire_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        encode_publish("a" * 65_536, b"", 0, False, False, 0, None)
    with pytest.raises(LocalProtocolError):
        encode_packet(Connect("c", password=b"x" * 65_536, username=""), 4)
    properties = Properties()
    properties.user = [("k", "v" * 65_536)]
    with pytest.raises(LocalProtocolError):
        encode_packet(Puback(1, 0, properties), 5)


def test_4_7_1_wildcards_in_topic_names() -> None:
    for topic in (b"#", b"+", b"a/+", b"a/#", b"a+b", b"a#"):
        for place in ("topic", "topic 3.1.1", "will topic", "will topic 3.1.1"):
            version, data = _string_places(topic)[place]
            assert _outcome(version, data) == ReasonCode.MALFORMED_PACKET


def test_4_7_3_1_empty_names() -> None:
    for place in (
        "topic",
        "topic 3.1.1",
        "will topic",
        "will topic 3.1.1",
        "filter",
        "filter 3.1.1",
        "filter of UNSUBSCRIBE",
        "filter of UNSUBSCRIBE 3.1.1",
        "response topic",
    ):
        version, data = _string_places(b"")[place]
        assert _outcome(version, data) == ReasonCode.PROTOCOL_ERROR


# -- SUBSCRIBE


@pytest.mark.parametrize("options", range(256))
def test_3_8_3_1_every_byte_of_subscription_options(options: int) -> None:
    outcome = _outcome(5, _frame(0x82, b"\x00\x01\x00\x00\x01a" + bytes((options,))))
    if options & 0xC0:
        assert outcome == ReasonCode.MALFORMED_PACKET
    elif options & 3 == 3 or options & 0x30 == 0x30:
        assert outcome == ReasonCode.PROTOCOL_ERROR
    else:
        assert isinstance(outcome, Subscribe)
        assert outcome.requests == [
            SubscriptionRequest("a", options & 3, options & 4 != 0, options & 8 != 0, options >> 4)
        ]
    outcome = _outcome(4, _frame(0x82, b"\x00\x01\x00\x01a" + bytes((options,))))
    assert isinstance(outcome, Subscribe) == (options < 3)


@pytest.mark.parametrize("identifier", [1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455])
def test_3_8_2_1_2_subscription_identifiers_of_every_length(identifier: int) -> None:
    outcome = _outcome(5, CARRIERS["SUBSCRIBE"].write(b"\x0b" + encode_varint(identifier)))
    assert isinstance(outcome, Subscribe)
    assert outcome.subscription_id == identifier


def test_3_8_3_4_no_local_on_a_shared_subscription() -> None:
    body = b"\x00\x01\x00" + encode_binary(b"$share/g/a")
    assert _outcome(5, _frame(0x82, body + b"\x04")) == ReasonCode.PROTOCOL_ERROR
    assert isinstance(_outcome(5, _frame(0x82, body + b"\x01")), Subscribe)


# -- packets out of turn


@pytest.mark.parametrize("packet_type", [t for t in range(16) if t != c.CONNECT])
def test_3_1_0_1_first_packet_is_refused_from_its_first_byte(packet_type: int) -> None:
    connection = _connection()
    [failed] = connection.receive_data(bytes((packet_type << 4,)), 0)
    assert isinstance(failed, ConnectionFailed)
    assert connection.data_to_send() == []
    assert connection.closing


@pytest.mark.parametrize(
    "data", [b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x00", b"\xb0\x02\x00\x01", b"\xd0\x00"]
)
@pytest.mark.parametrize("version", [3, 4, 5])
def test_packets_that_only_a_server_may_send(version: int, data: bytes) -> None:
    assert _outcome(version, data) == ReasonCode.PROTOCOL_ERROR


@pytest.mark.parametrize("version", [3, 4])
def test_auth_before_mqtt_5(version: int) -> None:
    assert _outcome(version, b"\xf0\x00") == ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize("version", [3, 4, 5])
def test_packet_type_0(version: int) -> None:
    assert _outcome(version, b"\x00\x00") == ReasonCode.PROTOCOL_ERROR


@pytest.mark.parametrize("code", range(256))
def test_reason_codes_that_a_packet_may_have(code: int) -> None:
    acks = {
        0x40: {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
        0x50: {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
        0x62: {0x00, 0x92},
        0x70: {0x00, 0x92},
    }
    for first, codes in acks.items():
        outcome = _outcome(5, _frame(first, b"\x00\x01" + bytes((code,))))
        assert (outcome == ReasonCode.PROTOCOL_ERROR) is (code not in codes)
    outcome = _outcome(5, _frame(0xF0, bytes((code,)) + b"\x00"))
    assert (outcome == ReasonCode.PROTOCOL_ERROR) is (code not in (0x00, 0x18, 0x19))


# -- CONNECT in particular


@pytest.mark.parametrize("flags", range(256))
def test_3_1_2_3_every_byte_of_connect_flags(flags: int) -> None:
    will = b"\x00\x01w\x00\x00" if flags & 4 else b""
    credentials = (b"\x00\x01u" if flags & 0x80 else b"") + (b"\x00\x01p" if flags & 0x40 else b"")
    bad = flags & 1 != 0 or flags & 0x18 == 0x18 or (not flags & 4 and flags & 0x38 != 0)
    data = _frame(0x10, _HEAD + bytes((flags, 0, 0, 0)) + b"\x00\x01c" + (b"\x00" if will else b"") + will)
    outcome = _outcome(5, data[:1] + encode_varint(len(data) - 2 + len(credentials)) + data[2:] + credentials)
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
    data = _frame(0x10, b"\x00\x04MQTT\x04" + bytes((flags, 0, 0)) + b"\x00\x01c" + will + credentials)
    outcome = _outcome(4, data)
    assert isinstance(outcome, Connect) is not (bad or flags & 0xC0 == 0x40)


def _answer_to(data: bytes, limits: MqttLimits | None = None) -> str:
    connection = _connection(0, limits)
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
    data = _frame(0x10, encode_binary(name) + bytes((level, 2, 0, 0)) + b"\x00\x01c")
    assert _answer_to(data) == answer


@pytest.mark.parametrize(
    ("version", "accepted", "answer"),
    [(3, {4, 5}, "20 02 00 01"), (4, {5}, "20 02 00 01"), (5, {3, 4}, "20 03 00 84 00")],
)
def test_levels_are_accepted_by_configuration(version: int, accepted: set[int], answer: str) -> None:
    data = encode_packet(Connect("c", protocol_version=version), version)
    assert _answer_to(data, MqttLimits(accepted=Accepted(frozenset(accepted)))) == answer
    assert isinstance(_outcome(version, data, MqttLimits(accepted=Accepted(frozenset((version,))))), Connect)


def test_3_1_client_ids_are_not_empty_and_of_limited_length_by_configuration() -> None:
    strict = MqttLimits(client_id_max_3_1=23)
    assert _answer_to(encode_packet(Connect("", protocol_version=3), 3)) == "20 02 00 02"
    assert _answer_to(encode_packet(Connect("c" * 24, protocol_version=3), 3), strict) == "20 02 00 02"
    assert isinstance(_outcome(3, encode_packet(Connect("c" * 23, protocol_version=3), 3), strict), Connect)
    assert isinstance(_outcome(3, encode_packet(Connect("c" * 24, protocol_version=3), 3)), Connect)
    assert isinstance(_outcome(4, encode_packet(Connect("c" * 24, protocol_version=4), 4), strict), Connect)


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
        outcome = _outcome(5, _frame(first, body), limits)
        assert (outcome == ReasonCode.QUOTA_EXCEEDED) is (count == 4)


def test_user_properties_of_a_will_are_bounded_by_configuration() -> None:
    for count in (3, 4):
        connect = Connect("c", protocol_version=5, will=Will("t", b"", 0, False, b"\x26\0\1k\0\1v" * count))
        outcome = _outcome(5, encode_packet(connect, 5), MqttLimits(accepted=FEW))
        assert (outcome == ReasonCode.QUOTA_EXCEEDED) is (count == 4)


@pytest.mark.parametrize("version", [3, 4, 5])
def test_filters_of_one_packet_are_bounded_by_configuration(version: int) -> None:
    for count in (3, 4):
        names = [f"a/{n}" for n in range(count)]
        subscribe = Subscribe(1, [SubscriptionRequest(name, 0, False, False, 0) for name in names])
        for packet in (subscribe, Unsubscribe(1, names)):
            outcome = _outcome(version, encode_packet(packet, version), MqttLimits(accepted=FEW))
            assert (outcome == ReasonCode.QUOTA_EXCEEDED) is (count == 4)


def test_largest_connect_that_the_fields_allow_is_read() -> None:
    text = "x" * 65_535
    connect = Connect(text, will=Will(text, text.encode(), 0, False), username=text, password=text.encode())
    for version in (4, 5):
        connect.protocol_version = version
        assert isinstance(_outcome(version, encode_packet(connect, version)), Connect)


def test_connect_with_5000_user_properties_keeps_them_in_order() -> None:
    properties = Properties()
    properties.user = [(f"name{n % 7}", f"value{n}") for n in range(5_000)]
    will = Will(
        "w", b"", 0, False, b"".join(b"\x26\x00\x01k" + encode_binary(b"%d" % n) for n in range(5_000))
    )
    connect = Connect("c", protocol_version=5, will=will, properties=properties)
    outcome = _outcome(5, encode_packet(connect, 5))
    assert isinstance(outcome, Connect)
    assert outcome.properties is not None
    assert outcome.will is not None
    assert outcome.properties.user == properties.user
    assert decode_properties(outcome.will.properties).user == [("k", str(n)) for n in range(5_000)]


# -- memory


def test_too_large_connect_is_told_so_where_it_names_version_5() -> None:
    head = b"\x10\xff\xff\xff\x7f"
    assert _answer_to(head + _HEAD + b"\x02\x00\x00") == "20 03 00 95 00"
    assert _answer_to(head + b"\x00\x04MQTT\x04\x02\x00\x00") == ""


def test_nobody_unknown_may_announce_a_large_packet() -> None:
    limits = MqttLimits()
    connection = _connection(0, limits)
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
    connection = _connection()
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
        connection = _connection()
        connection.receive_data(bytes((first,)) + b"\xff\xff\xff\x2f", 0)
        for _ in range(20):
            connection.receive_data(b"x" * 65_536, 0)
        held += connection._decoder.buffered
    assert held == 0


def test_pubrel_of_3_1_may_be_repeated_with_dup() -> None:
    assert _outcome(3, b"\x6a\x02\x00\x07") == Pubrel(7)


def test_what_is_remembered_of_publishes_is_bounded_in_bytes() -> None:
    connection = _connection(5)
    for n in range(50):
        topic = f"{n}".rjust(65_000, "t")
        block = b"".join(b"\x26\x00\x01k" + encode_binary(b"%d" % n * 100) for _ in range(50))
        [publish] = connection.receive_data(encode_publish(topic, b"", 0, False, False, 0, block), 0)
        assert isinstance(publish, Publish)
        assert (publish.topic, publish.properties) == (topic, block)
    decoder = connection._decoder
    assert not decoder._block
    assert max(map(len, decoder._topics), default=0) <= 256


# -- what a client reads

SERVER_CARRIERS = {
    "CONNACK": Carrier(c.CONNACK, b"\x00\x00", b"", 0x20),
    "SUBACK": Carrier(c.SUBACK, b"\x00\x01", b"\x00", 0x90),
    "UNSUBACK": Carrier(c.UNSUBACK, b"\x00\x01", b"\x00", 0xB0),
    "PUBLISH": Carrier(c.PUBLISH, b"\x00\x01t", b"x", 0x30),
    "DISCONNECT": Carrier(c.DISCONNECT, b"\x8b", b"", 0xE0),
}


def _read_by_a_client(data: bytes) -> int | Packet:
    decoder = PacketDecoder(1 << 20, 5, -1)
    decoder.push(data)
    frame = decoder.next_frame()
    assert frame == data
    try:
        return decoder.decode(frame)
    except MqttError as error:
        return error.reason_code


@pytest.mark.parametrize("name", sorted(SERVER_CARRIERS))
@EVERY
def test_2_2_2_2_each_property_in_each_packet_of_a_server(name: str, identifier: int) -> None:
    carrier = SERVER_CARRIERS[name]
    block = _block(carrier, identifier)
    outcome = _read_by_a_client(carrier.write(block))
    if identifier not in c.PROPERTIES_ALLOWED[carrier.packet_type]:
        assert outcome == ReasonCode.MALFORMED_PACKET
        return
    assert not isinstance(outcome, ReasonCode)
    twice = _read_by_a_client(carrier.write(block + _one(identifier)))
    # A server's PUBLISH has an identifier for each subscription that matches.
    if identifier == c.USER_PROPERTY or (identifier, name) == (c.SUBSCRIPTION_IDENTIFIER, "PUBLISH"):
        assert not isinstance(twice, ReasonCode)
    else:
        assert twice == ReasonCode.PROTOCOL_ERROR
