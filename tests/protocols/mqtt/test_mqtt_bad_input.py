"""Every kind of bad packet: what is answered, that nothing else is, and what it may cost."""

from dataclasses import dataclass

import pytest
from bad_packets import CONNECT_HEAD, WITH_ID, body_of, framed, new_connection, outcome_of
from mqtt_vectors import SERVER_READS, Vector

from protocols.errors import LocalProtocolError
from protocols.mqtt import constants as c
from protocols.mqtt.codec import encode_packet, encode_publish
from protocols.mqtt.connection import MqttLimits
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
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
)
from protocols.mqtt.properties import Properties, decode_properties
from protocols.mqtt.strings import encode_binary, encode_varint

FROM_CLIENT = (*WITH_ID, c.PINGREQ, c.DISCONNECT, c.AUTH)


# -- the fixed header


@pytest.mark.parametrize("packet_type", FROM_CLIENT)
@pytest.mark.parametrize("flags", range(16))
def test_2_1_3_reserved_flags_of_every_packet(packet_type: int, flags: int) -> None:
    bodies = {c.SUBSCRIBE: b"\x00\x01\x00\x00\x01a\x00", c.UNSUBSCRIBE: b"\x00\x01\x00\x00\x01a"}
    body = bodies.get(packet_type, b"\x00\x01" if packet_type in WITH_ID else b"")
    good = flags == c.FIXED_FLAGS[packet_type]
    outcome = outcome_of(5, framed(packet_type << 4 | flags, body))
    assert (outcome == ReasonCode.MALFORMED_PACKET) is not good
    if packet_type == c.AUTH:
        return
    bodies = {c.SUBSCRIBE: b"\x00\x01\x00\x01a\x00", c.UNSUBSCRIBE: b"\x00\x01\x00\x01a"}
    data = framed(packet_type << 4 | flags, bodies.get(packet_type, body))
    assert (outcome_of(4, data) == ReasonCode.MALFORMED_PACKET) is not good
    # MQTT 3.1 repeats SUBSCRIBE and PUBREL with DUP, and says nothing against the rest.
    assert outcome_of(3, data) != ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize("flags", range(1, 16))
def test_2_1_3_reserved_flags_of_connect_are_not_answered(flags: int) -> None:
    connection = new_connection()
    data = encode_packet(Connect("c", protocol_version=5), 5)
    [failed] = connection.receive_data(bytes((0x10 | flags,)) + data[1:], 0)
    assert isinstance(failed, ConnectionFailed)
    assert connection.data_to_send() == []
    assert connection.closing


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("first", [0x30, 0x40, 0x82, 0xC0])
def test_2_1_4_remaining_length_of_five_bytes(version: int, first: int) -> None:
    assert outcome_of(version, bytes((first,)) + b"\x80\x80\x80\x80\x01") == ReasonCode.MALFORMED_PACKET
    assert outcome_of(version, bytes((first,)) + b"\xff\xff\xff\xff") == ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize("vector", SERVER_READS, ids=lambda v: v.name)
def test_1_5_5_remaining_length_of_more_bytes_than_it_needs(vector: Vector) -> None:
    body = body_of(vector.data)
    data = vector.data[:1] + bytes((len(body) | 128, 0)) + body
    if vector.version == 5:
        assert outcome_of(5, data) == ReasonCode.MALFORMED_PACKET
    else:
        # MQTT 3.1.1 has no such rule.
        connection = new_connection(0 if isinstance(vector.packet, Connect) else vector.version)
        packets = connection.receive_data(data, 0)
        assert not any(isinstance(packet, ConnectionFailed) for packet in packets)


@pytest.mark.parametrize(
    "data",
    [
        framed(0x30, b"\x00\x01t\x80\x00"),
        framed(0x82, b"\x00\x01\x80\x00\x00\x01a\x00"),
        framed(0x82, b"\x00\x01\x03\x0b\x81\x00\x00\x01a\x00"),
        framed(0x30, b"\x00\x01t\x03\x81\x00\x01"),
    ],
    ids=["property length", "property length of SUBSCRIBE", "subscription identifier", "property identifier"],
)
def test_1_5_5_1_variable_byte_integer_of_more_bytes_than_it_needs(data: bytes) -> None:
    assert outcome_of(5, data) == ReasonCode.MALFORMED_PACKET


# -- packet identifiers


@pytest.mark.parametrize("packet_type", WITH_ID)
@pytest.mark.parametrize("version", [3, 4, 5])
def test_2_2_1_packet_id_0(packet_type: int, version: int) -> None:
    tail = (b"\x00" if version == 5 else b"") + b"\x00\x01a"
    bodies = {c.SUBSCRIBE: b"\x00\x00" + tail + b"\x00", c.UNSUBSCRIBE: b"\x00\x00" + tail}
    data = framed(packet_type << 4 | c.FIXED_FLAGS[packet_type], bodies.get(packet_type, b"\x00\x00"))
    assert outcome_of(version, data) == ReasonCode.PROTOCOL_ERROR


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [1, 2])
def test_2_2_1_packet_id_0_in_publish(version: int, qos: int) -> None:
    block = b"" if version == 5 else None
    assert outcome_of(version, encode_publish("t", b"", qos, False, False, 0, block)) == (
        ReasonCode.PROTOCOL_ERROR
    )


# -- lengths that lie


@pytest.mark.parametrize("vector", SERVER_READS, ids=lambda v: v.name)
def test_each_packet_shortened_by_every_number_of_bytes(vector: Vector) -> None:
    body = body_of(vector.data)
    for size in range(len(body)):
        outcome = outcome_of(vector.version, framed(vector.data[0], body[:size]))
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
    outcome = outcome_of(vector.version, framed(vector.data[0], body_of(vector.data) + b"\x00"))
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
    return vector.version == 5 and len(body_of(vector.data)) <= longest.get(packet_type, -1)


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
        return framed(self.first, self.before + encode_varint(len(block)) + block + self.after)


CARRIERS = {
    "CONNECT": Carrier(c.CONNECT, CONNECT_HEAD + b"\x02\x00\x00", b"\x00\x01c", 0x10),
    "will": Carrier(c.WILL, CONNECT_HEAD + b"\x06\x00\x00\x00\x00\x01c", b"\x00\x01w\x00\x00", 0x10),
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
    outcome = outcome_of(5, carrier.write(_block(carrier, identifier)))
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
    outcome = outcome_of(5, carrier.write(_block(carrier, identifier) + _one(identifier)))
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
        assert outcome_of(5, carrier.write(block[:size])) in (
            [ReasonCode.MALFORMED_PACKET]
            if identifier in c.PROPERTIES_ALLOWED[carrier.packet_type]
            else [ReasonCode.MALFORMED_PACKET, ReasonCode.PROTOCOL_ERROR]
        )


@EACH
def test_2_2_2_2_unknown_properties(name: str) -> None:
    for identifier in set(range(128)) - set(c.PROPERTY_TYPES):
        assert outcome_of(5, CARRIERS[name].write(bytes((identifier, 0)))) == ReasonCode.MALFORMED_PACKET
    assert outcome_of(5, CARRIERS[name].write(b"\xff\x7f\x00")) == ReasonCode.MALFORMED_PACKET


@EACH
def test_2_2_2_1_property_length_beyond_the_packet(name: str) -> None:
    carrier = CARRIERS[name]
    for length in (b"\x7f", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff\x01"):
        data = framed(carrier.first, carrier.before + length + carrier.after)
        assert outcome_of(5, data) == ReasonCode.MALFORMED_PACKET


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
    assert outcome_of(5, CARRIERS[name].write(block)) == ReasonCode.PROTOCOL_ERROR


@pytest.mark.parametrize("alias", [0, 11, 65_535])
def test_3_3_2_3_4_topic_alias_out_of_range(alias: int) -> None:
    data = CARRIERS["PUBLISH"].write(b"\x23" + alias.to_bytes(2, "big"))
    assert outcome_of(5, data) == ReasonCode.TOPIC_ALIAS_INVALID


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
        "client id 3.1.1": (4, framed(0x10, head_4 + b"\x02\x00\x00" + string)),
        "client id": (5, framed(0x10, CONNECT_HEAD + b"\x02\x00\x00\x00" + string)),
        "user name 3.1.1": (4, framed(0x10, head_4 + b"\x82\x00\x00\x00\x01c" + string)),
        "user name": (5, framed(0x10, CONNECT_HEAD + b"\x82\x00\x00\x00\x00\x01c" + string)),
        "will topic 3.1.1": (4, framed(0x10, head_4 + b"\x06\x00\x00\x00\x01c" + string + b"\x00\x00")),
        "will topic": (
            5,
            framed(0x10, CONNECT_HEAD + b"\x06\x00\x00\x00\x00\x01c\x00" + string + b"\x00\x00"),
        ),
        "topic 3.1.1": (4, framed(0x30, string)),
        "topic": (5, framed(0x30, string + b"\x00")),
        "filter 3.1.1": (4, framed(0x82, b"\x00\x01" + string + b"\x00")),
        "filter": (5, framed(0x82, b"\x00\x01\x00" + string + b"\x00")),
        "filter of UNSUBSCRIBE 3.1.1": (4, framed(0xA2, b"\x00\x01" + string)),
        "filter of UNSUBSCRIBE": (5, framed(0xA2, b"\x00\x01\x00" + string)),
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
    assert outcome_of(version, data) == ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", sorted(GOOD_TEXT))
def test_1_5_4_string_with_an_unusual_character_is_read_as_it_is(place: str, text: str) -> None:
    version, data = _string_places(GOOD_TEXT[text].encode())[place]
    outcome = outcome_of(version, data, MqttLimits(control_characters=True))
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
        assert outcome_of(version, data) == ReasonCode.MALFORMED_PACKET
    else:
        assert not isinstance(outcome_of(version, data), ReasonCode)
    assert not isinstance(outcome_of(version, data, MqttLimits(control_characters=True)), ReasonCode)


def test_4_7_3_3_names_of_the_greatest_length() -> None:
    longest = b"a" * 65_535
    for place in ("client id", "topic", "filter", "content type", "user property value of PUBLISH"):
        version, data = _string_places(longest)[place]
        assert not isinstance(outcome_of(version, data), ReasonCode)


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
            assert outcome_of(version, data) == ReasonCode.MALFORMED_PACKET


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
        assert outcome_of(version, data) == ReasonCode.PROTOCOL_ERROR


# -- SUBSCRIBE


@pytest.mark.parametrize("options", range(256))
def test_3_8_3_1_every_byte_of_subscription_options(options: int) -> None:
    outcome = outcome_of(5, framed(0x82, b"\x00\x01\x00\x00\x01a" + bytes((options,))))
    if options & 0xC0:
        assert outcome == ReasonCode.MALFORMED_PACKET
    elif options & 3 == 3 or options & 0x30 == 0x30:
        assert outcome == ReasonCode.PROTOCOL_ERROR
    else:
        assert isinstance(outcome, Subscribe)
        assert outcome.requests == [
            SubscriptionRequest("a", options & 3, options & 4 != 0, options & 8 != 0, options >> 4)
        ]
    outcome = outcome_of(4, framed(0x82, b"\x00\x01\x00\x01a" + bytes((options,))))
    assert isinstance(outcome, Subscribe) == (options < 3)


@pytest.mark.parametrize("identifier", [1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455])
def test_3_8_2_1_2_subscription_identifiers_of_every_length(identifier: int) -> None:
    outcome = outcome_of(5, CARRIERS["SUBSCRIBE"].write(b"\x0b" + encode_varint(identifier)))
    assert isinstance(outcome, Subscribe)
    assert outcome.subscription_id == identifier


def test_3_8_3_4_no_local_on_a_shared_subscription() -> None:
    body = b"\x00\x01\x00" + encode_binary(b"$share/g/a")
    assert outcome_of(5, framed(0x82, body + b"\x04")) == ReasonCode.PROTOCOL_ERROR
    assert isinstance(outcome_of(5, framed(0x82, body + b"\x01")), Subscribe)


# -- packets out of turn


@pytest.mark.parametrize("packet_type", [t for t in range(16) if t != c.CONNECT])
def test_3_1_0_1_first_packet_is_refused_from_its_first_byte(packet_type: int) -> None:
    connection = new_connection()
    [failed] = connection.receive_data(bytes((packet_type << 4,)), 0)
    assert isinstance(failed, ConnectionFailed)
    assert connection.data_to_send() == []
    assert connection.closing


@pytest.mark.parametrize(
    "data", [b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x00", b"\xb0\x02\x00\x01", b"\xd0\x00"]
)
@pytest.mark.parametrize("version", [3, 4, 5])
def test_packets_that_only_a_server_may_send(version: int, data: bytes) -> None:
    assert outcome_of(version, data) == ReasonCode.PROTOCOL_ERROR


@pytest.mark.parametrize("version", [3, 4])
def test_auth_before_mqtt_5(version: int) -> None:
    assert outcome_of(version, b"\xf0\x00") == ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize("version", [3, 4, 5])
def test_packet_type_0(version: int) -> None:
    assert outcome_of(version, b"\x00\x00") == ReasonCode.PROTOCOL_ERROR


@pytest.mark.parametrize("code", range(256))
def test_reason_codes_that_a_packet_may_have(code: int) -> None:
    acks = {
        0x40: {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
        0x50: {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
        0x62: {0x00, 0x92},
        0x70: {0x00, 0x92},
    }
    for first, codes in acks.items():
        outcome = outcome_of(5, framed(first, b"\x00\x01" + bytes((code,))))
        assert (outcome == ReasonCode.PROTOCOL_ERROR) is (code not in codes)
    outcome = outcome_of(5, framed(0xF0, bytes((code,)) + b"\x00"))
    assert (outcome == ReasonCode.PROTOCOL_ERROR) is (code not in (0x00, 0x18, 0x19))


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
