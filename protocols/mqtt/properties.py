"""Properties: read, written and checked (§2.2.2)."""

from dataclasses import dataclass
from typing import Final, final

from protocols.mqtt.constants import (
    BINARY,
    BYTE,
    FOUR,
    PACKET_NAMES,
    PAIR,
    PROPERTIES_ALLOWED,
    PROPERTY_TYPES,
    PUBLISH,
    STRING,
    TWO,
    VARINT,
)
from protocols.mqtt.errors import MalformedPacket, ProtocolViolation, TooMany
from protocols.mqtt.strings import (
    ONE_BYTE,
    decode_binary,
    decode_string,
    decode_varint,
    encode_binary,
    encode_string,
    encode_varint,
    has_control_characters,
)
from protocols.wire import u16, u32


@final
@dataclass(init=False, slots=True)
class Properties:
    """One optional field a property; None means absent."""

    payload_format: int | None
    message_expiry_s: int | None
    content_type: str | None
    response_topic: str | None
    correlation_data: bytes | None
    subscription_ids: list[int]
    session_expiry_s: int | None
    assigned_client_id: str | None
    server_keep_alive_s: int | None
    authentication_method: str | None
    authentication_data: bytes | None
    request_problem_information: int | None
    will_delay_s: int | None
    request_response_information: int | None
    response_information: str | None
    server_reference: str | None
    reason_string: str | None
    receive_maximum: int | None
    topic_alias_maximum: int | None
    topic_alias: int | None
    maximum_qos: int | None
    retain_available: int | None
    user: list[tuple[str, str]]
    """User properties in order, with repeats."""
    maximum_packet_size: int | None
    wildcard_available: int | None
    subscription_identifier_available: int | None
    shared_available: int | None

    def __init__(self) -> None:
        self.payload_format = None
        self.message_expiry_s = None
        self.content_type = None
        self.response_topic = None
        self.correlation_data = None
        self.subscription_ids = []
        self.session_expiry_s = None
        self.assigned_client_id = None
        self.server_keep_alive_s = None
        self.authentication_method = None
        self.authentication_data = None
        self.request_problem_information = None
        self.will_delay_s = None
        self.request_response_information = None
        self.response_information = None
        self.server_reference = None
        self.reason_string = None
        self.receive_maximum = None
        self.topic_alias_maximum = None
        self.topic_alias = None
        self.maximum_qos = None
        self.retain_available = None
        self.user = []
        self.maximum_packet_size = None
        self.wildcard_available = None
        self.subscription_identifier_available = None
        self.shared_available = None


# What a number may be, where not every number may (§2.2.2.2 and the sections of each packet).
_ZERO_OR_ONE: Final = frozenset((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A))
_NOT_ZERO: Final = frozenset((0x0B, 0x21, 0x27))

ALIAS_INVALID: Final = 0x94

ANY_NUMBER: Final = 1 << 30
"""Where nothing bounds what may repeat: packets cannot have so many."""


PROPERTY_BYTES_MAX: Final = 1_048_576
"""Bytes of the properties of a packet where those that may repeat are bounded: they are read, and translated, in one go."""


def decode_properties(block: bytes, packet_type: int = PUBLISH, repeats_max: int = ANY_NUMBER) -> Properties:
    """The properties in `block`, which has no length in front.

    Raises MalformedPacket for what cannot be read or does not belong into such a packet, ProtocolViolation for what
    may not be there twice or have that value, TooMany for more than `repeats_max` of those that may repeat, and where
    that is a bound for more bytes than PROPERTY_BYTES_MAX.
    """
    if repeats_max < ANY_NUMBER and len(block) > PROPERTY_BYTES_MAX:
        raise TooMany(PROPERTY_BYTES_MAX, "bytes of properties")
    properties = Properties()
    allowed = PROPERTIES_ALLOWED[packet_type]
    seen = 0
    repeats = 0
    pos = 0
    end = len(block)
    while pos < end:
        identifier, pos = decode_varint(block, pos, end)
        kind = PROPERTY_TYPES.get(identifier)
        if kind is None:
            raise MalformedPacket(f"unknown property 0x{identifier:02x}")
        if identifier not in allowed:
            # §2.2.2.2, unlike one that is there twice.
            raise MalformedPacket(f"property 0x{identifier:02x} in {PACKET_NAMES[packet_type]}")
        # User properties may repeat; subscription identifiers too, in what a server sends (§3.3.2.3.8).
        if kind != PAIR and not (identifier == 0x0B and packet_type == PUBLISH):
            if seen >> identifier & 1:
                raise ProtocolViolation(f"property 0x{identifier:02x} twice")
            seen |= 1 << identifier
        else:
            repeats += 1
            if repeats > repeats_max:
                raise TooMany(repeats_max, "user properties")
        pos = _decode_one(properties, identifier, kind, block, pos, end)
    if properties.authentication_data is not None and properties.authentication_method is None:
        raise ProtocolViolation("authentication data without a method")
    return properties


def _decode_one(properties: Properties, identifier: int, kind: int, block: bytes, pos: int, end: int) -> int:
    """Read one value into its field; returns the position behind it."""
    if kind == PAIR:
        name, pos = decode_string(block, pos, end)
        value, pos = decode_string(block, pos, end)
        properties.user.append((name, value))
        return pos
    if kind == STRING:
        text, pos = decode_string(block, pos, end)
        _set_text(properties, identifier, text)
        return pos
    if kind == BINARY:
        data, pos = decode_binary(block, pos, end)
        if identifier == 0x09:
            properties.correlation_data = data
        else:
            properties.authentication_data = data
        return pos
    number, pos = _decode_number(kind, block, pos, end)
    if (number > 1 and identifier in _ZERO_OR_ONE) or (number == 0 and identifier in _NOT_ZERO):
        raise ProtocolViolation(f"property 0x{identifier:02x} may not be {number}")
    _set_number(properties, identifier, number)
    return pos


def _decode_number(kind: int, block: bytes, pos: int, end: int) -> tuple[int, int]:
    if kind == VARINT:
        return decode_varint(block, pos, end)
    size = kind
    if pos + size > end:
        raise MalformedPacket("a property is cut off")
    if kind == BYTE:
        return block[pos], pos + 1
    if kind == TWO:
        return u16(block, pos), pos + 2
    assert kind == FOUR
    return u32(block, pos), pos + 4


def _set_text(properties: Properties, identifier: int, text: str) -> None:
    if identifier == 0x03:
        properties.content_type = text
    elif identifier == 0x08:
        if "+" in text or "#" in text or not text:
            raise ProtocolViolation("the response topic is no topic name")
        properties.response_topic = text
    elif identifier == 0x12:
        properties.assigned_client_id = text
    elif identifier == 0x15:
        properties.authentication_method = text
    elif identifier == 0x1A:
        properties.response_information = text
    elif identifier == 0x1C:
        properties.server_reference = text
    else:
        assert identifier == 0x1F
        properties.reason_string = text


def _set_number(properties: Properties, identifier: int, number: int) -> None:
    if identifier == 0x01:
        properties.payload_format = number
    elif identifier == 0x02:
        properties.message_expiry_s = number
    elif identifier == 0x0B:
        properties.subscription_ids.append(number)
    elif identifier == 0x11:
        properties.session_expiry_s = number
    elif identifier == 0x13:
        properties.server_keep_alive_s = number
    elif identifier == 0x17:
        properties.request_problem_information = number
    elif identifier == 0x18:
        properties.will_delay_s = number
    elif identifier == 0x19:
        properties.request_response_information = number
    elif identifier == 0x21:
        properties.receive_maximum = number
    elif identifier == 0x22:
        properties.topic_alias_maximum = number
    elif identifier == 0x23:
        properties.topic_alias = number
    elif identifier == 0x24:
        properties.maximum_qos = number
    elif identifier == 0x25:
        properties.retain_available = number
    elif identifier == 0x27:
        properties.maximum_packet_size = number
    elif identifier == 0x28:
        properties.wildcard_available = number
    elif identifier == 0x29:
        properties.subscription_identifier_available = number
    else:
        assert identifier == 0x2A
        properties.shared_available = number


def encode_properties(properties: Properties) -> bytes:
    """The block for `properties`, without the length in front."""
    out: list[bytes] = []
    _put_byte(out, 0x01, properties.payload_format)
    _put_four(out, 0x02, properties.message_expiry_s)
    _put_string(out, 0x03, properties.content_type)
    _put_string(out, 0x08, properties.response_topic)
    _put_binary(out, 0x09, properties.correlation_data)
    for identifier in properties.subscription_ids:
        out.append(b"\x0b" + encode_varint(identifier))
    _put_four(out, 0x11, properties.session_expiry_s)
    _put_string(out, 0x12, properties.assigned_client_id)
    _put_two(out, 0x13, properties.server_keep_alive_s)
    _put_string(out, 0x15, properties.authentication_method)
    _put_binary(out, 0x16, properties.authentication_data)
    _put_byte(out, 0x17, properties.request_problem_information)
    _put_four(out, 0x18, properties.will_delay_s)
    _put_byte(out, 0x19, properties.request_response_information)
    _put_string(out, 0x1A, properties.response_information)
    _put_string(out, 0x1C, properties.server_reference)
    _put_string(out, 0x1F, properties.reason_string)
    _put_two(out, 0x21, properties.receive_maximum)
    _put_two(out, 0x22, properties.topic_alias_maximum)
    _put_two(out, 0x23, properties.topic_alias)
    _put_byte(out, 0x24, properties.maximum_qos)
    _put_byte(out, 0x25, properties.retain_available)
    for name, value in properties.user:
        out.append(b"\x26" + encode_string(name) + encode_string(value))
    _put_four(out, 0x27, properties.maximum_packet_size)
    _put_byte(out, 0x28, properties.wildcard_available)
    _put_byte(out, 0x29, properties.subscription_identifier_available)
    _put_byte(out, 0x2A, properties.shared_available)
    return b"".join(out)


def leave_out(properties: Properties) -> bool:
    """Leave out what is missed least, for a packet that is too large; False when all that is left is needed."""
    if properties.user:
        properties.user = []
    elif properties.reason_string is not None:
        properties.reason_string = None
    elif properties.response_information is not None:
        properties.response_information = None
    elif properties.topic_alias_maximum is not None:
        # Absent means that there are none (§3.2.2.3.8).
        properties.topic_alias_maximum = None
    elif properties.server_reference is not None:
        properties.server_reference = None
    else:
        return False
    return True


def _put_byte(out: list[bytes], identifier: int, value: int | None) -> None:
    if value is not None:
        out.append(bytes((identifier, value)))


def _put_two(out: list[bytes], identifier: int, value: int | None) -> None:
    if value is not None:
        out.append(bytes((identifier, value >> 8, value & 255)))


def _put_four(out: list[bytes], identifier: int, value: int | None) -> None:
    if value is not None:
        out.append(ONE_BYTE[identifier] + value.to_bytes(4, "big"))


def _put_string(out: list[bytes], identifier: int, value: str | None) -> None:
    if value is not None:
        out.append(ONE_BYTE[identifier] + encode_string(value))


def _put_binary(out: list[bytes], identifier: int, value: bytes | None) -> None:
    if value is not None:
        out.append(ONE_BYTE[identifier] + encode_binary(value))


def refuse_control_characters(properties: Properties) -> None:
    """What is passed on has none where they are not welcome (§1.5.4).  Raises MalformedPacket."""
    for text in (properties.content_type, properties.response_topic):
        if text is not None and has_control_characters(text):
            raise MalformedPacket("a control character in a property")
    for name, value in properties.user:
        if has_control_characters(name) or has_control_characters(value):
            raise MalformedPacket("a control character in a user property")


def without(block: bytes, dropped: frozenset[int]) -> bytes:
    """A checked block without the properties in `dropped`; the rest stays as it was, in its order."""
    kept: list[bytes] = []
    pos = 0
    end = len(block)
    while pos < end:
        start = pos
        identifier, pos = decode_varint(block, pos, end)
        pos = behind_value(PROPERTY_TYPES[identifier], block, pos, end)
        if identifier not in dropped:
            kept.append(block[start:pos])
    return b"".join(kept)


_HOP: Final = frozenset((0x02, 0x0B, 0x23))


def without_hop_properties(block: bytes) -> bytes:
    """A PUBLISH's block without what each delivery has its own of: expiry, subscription identifiers, alias."""
    return without(block, _HOP)


def behind_value(kind: int, block: bytes, pos: int, end: int) -> int:
    """The position behind a value of a block that has been checked."""
    if kind == VARINT:
        return decode_varint(block, pos, end)[1]
    if kind == STRING or kind == BINARY:
        return pos + 2 + u16(block, pos)
    if kind == PAIR:
        pos += 2 + u16(block, pos)
        return pos + 2 + u16(block, pos)
    return pos + kind
