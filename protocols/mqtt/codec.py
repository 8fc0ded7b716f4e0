"""Packets to bytes and back: one pair of functions a packet.

Decoders get the whole packet and where its variable header starts; they raise MqttError for what is wrong in it.
"""

from typing import Final

from protocols.errors import LocalProtocolError
from protocols.mqtt import constants as c
from protocols.mqtt.accepted import ANYTHING, Accepted
from protocols.mqtt.connecting import decode_connack, decode_connect, encode_connack, encode_connect
from protocols.mqtt.errors import MalformedPacket, ProtocolViolation, TooMany
from protocols.mqtt.frames import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    SubscriptionRequest,
    Unsuback,
    Unsubscribe,
)
from protocols.mqtt.framing import block_of, body_start, frame_of, take_block
from protocols.mqtt.properties import Properties, decode_properties
from protocols.mqtt.strings import (
    LENGTH_MAX,
    check_minimal,
    decode_string,
    encode_string,
    encode_varint,
)
from protocols.mqtt.topics import wildcard_error
from protocols.wire import u16

# -- PUBLISH


def _name(topic: str) -> bytes:
    """A topic name's bytes.  Raises LocalProtocolError for more than 65,535."""
    name = topic.encode()
    if len(name) > LENGTH_MAX:
        raise LocalProtocolError(f"a topic name of {len(name)} bytes, where MQTT has room for {LENGTH_MAX}")
    return name


def encode_publish(
    topic: str, payload: bytes, qos: int, retain: bool, dup: bool, packet_id: int, properties: bytes | None
) -> bytes:
    """PUBLISH.  `properties` is the block without its length; None before MQTT 5."""
    first = 0x30 | (0x08 if dup else 0) | qos << 1 | (1 if retain else 0)
    name = _name(topic)
    parts: list[bytes] = [len(name).to_bytes(2, "big"), name]
    if qos:
        parts.append(packet_id.to_bytes(2, "big"))
    if properties is not None:
        parts.append(encode_varint(len(properties)))
        parts.append(properties)
    parts.append(payload)
    return frame_of(first, b"".join(parts))


def publish_head(
    topic: str, size: int, qos: int, retain: bool, dup: bool, packet_id: int, properties: bytes | None
) -> bytes:
    """The same up to the payload of `size` bytes."""
    first = 0x30 | (0x08 if dup else 0) | qos << 1 | (1 if retain else 0)
    name = _name(topic)
    head = len(name).to_bytes(2, "big") + name
    if qos:
        head += packet_id.to_bytes(2, "big")
    if properties is not None:
        head += encode_varint(len(properties)) + properties
    return bytes((first,)) + encode_varint(len(head) + size) + head


def publish_parts(topic: str, properties: bytes | None, payload: bytes) -> tuple[bytes, bytes]:
    """A PUBLISH of QoS 1 or 2 but for its first byte and packet id: it is first + parts[0] + packet id + parts[1]."""
    name = _name(topic)
    tail = payload
    if properties is not None:
        tail = b"".join((encode_varint(len(properties)), properties, payload))
    head = encode_varint(2 + len(name) + 2 + len(tail)) + len(name).to_bytes(2, "big") + name
    return head, tail


# -- PUBACK, PUBREC, PUBREL, PUBCOMP


def _decode_ack(
    frame: bytes, pos: int, version: int, packet_type: int, accepted: Accepted
) -> tuple[int, int, Properties | None]:
    """Packet id, reason code and properties: all four packets are alike (§3.4 to §3.7)."""
    end = len(frame)
    if pos + 2 > end:
        raise MalformedPacket(f"{c.PACKET_NAMES[packet_type]} is cut off")
    packet_id = u16(frame, pos)
    if packet_id == 0:
        raise ProtocolViolation("packet id 0")
    pos += 2
    if pos == end:
        return packet_id, 0, None
    if version != c.VERSION_5:
        raise MalformedPacket(f"bytes behind the end of {c.PACKET_NAMES[packet_type]}")
    reason_code = frame[pos]
    if reason_code not in _ACK_CODES[packet_type]:
        raise ProtocolViolation(f"reason code 0x{reason_code:02x} in {c.PACKET_NAMES[packet_type]}")
    pos += 1
    if pos == end:
        return packet_id, reason_code, None
    block, pos = take_block(frame, pos, end)
    if pos != end:
        raise MalformedPacket(f"bytes behind the end of {c.PACKET_NAMES[packet_type]}")
    return packet_id, reason_code, decode_properties(block, packet_type, accepted.user_properties_max)


_PUBLISH_CODES: Final = frozenset((0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99))
_RELEASE_CODES: Final = frozenset((0x00, 0x92))
_ACK_CODES: Final = {
    c.PUBACK: _PUBLISH_CODES,
    c.PUBREC: _PUBLISH_CODES,
    c.PUBREL: _RELEASE_CODES,
    c.PUBCOMP: _RELEASE_CODES,
}


def _encode_ack(
    first: int, packet_id: int, reason_code: int, version: int, properties: Properties | None
) -> bytes:
    if version != c.VERSION_5 or (reason_code == 0 and properties is None):
        # The short form; before MQTT 5 the only one.  As one number it is made at once.
        return (first << 24 | 2 << 16 | packet_id).to_bytes(4, "big")
    if properties is None:
        return (first << 32 | 3 << 24 | packet_id << 8 | reason_code).to_bytes(5, "big")
    return frame_of(first, bytes((packet_id >> 8, packet_id & 255, reason_code)) + block_of(properties))


def encode_puback(
    packet_id: int, reason_code: int, version: int, properties: Properties | None = None
) -> bytes:
    """PUBACK; reason and properties only in MQTT 5."""
    return _encode_ack(0x40, packet_id, reason_code, version, properties)


def encode_pubrec(
    packet_id: int, reason_code: int, version: int, properties: Properties | None = None
) -> bytes:
    """PUBREC; reason and properties only in MQTT 5."""
    return _encode_ack(0x50, packet_id, reason_code, version, properties)


def encode_pubrel(
    packet_id: int, reason_code: int, version: int, properties: Properties | None = None
) -> bytes:
    """PUBREL; reason and properties only in MQTT 5."""
    return _encode_ack(0x62, packet_id, reason_code, version, properties)


def encode_pubcomp(
    packet_id: int, reason_code: int, version: int, properties: Properties | None = None
) -> bytes:
    """PUBCOMP; reason and properties only in MQTT 5."""
    return _encode_ack(0x70, packet_id, reason_code, version, properties)


# -- SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK


def _take_packet_id(frame: bytes, pos: int, name: str) -> int:
    if pos + 2 > len(frame):
        raise MalformedPacket(f"{name} is cut off")
    packet_id = u16(frame, pos)
    if packet_id == 0:
        raise ProtocolViolation("packet id 0")
    return packet_id


def decode_subscribe(frame: bytes, pos: int, version: int, accepted: Accepted = ANYTHING) -> Subscribe:
    """SUBSCRIBE (§3.8)."""
    end = len(frame)
    packet_id = _take_packet_id(frame, pos, "SUBSCRIBE")
    pos += 2
    properties: Properties | None = None
    subscription_id = 0
    if version == c.VERSION_5:
        block, pos = take_block(frame, pos, end)
        if block:
            properties = decode_properties(block, c.SUBSCRIBE, accepted.user_properties_max)
            if properties.subscription_ids:
                subscription_id = properties.subscription_ids[0]
    requests: list[SubscriptionRequest] = []
    while pos < end:
        text, pos = decode_string(frame, pos, end)
        if pos >= end:
            raise MalformedPacket("a topic filter without options")
        if len(requests) == accepted.filters_max:
            raise TooMany(accepted.filters_max, "topic filters")
        requests.append(_decode_options(text, frame[pos], version))
        pos += 1
    if not requests:
        raise ProtocolViolation("SUBSCRIBE without a topic filter")
    return Subscribe(packet_id, requests, subscription_id, properties)


def _decode_options(text: str, options: int, version: int) -> SubscriptionRequest:
    """§3.8.3.1; before MQTT 5 only the QoS."""
    _check_filter(text, version)
    if version == c.VERSION_3_1:
        # The other bits are not used there (MQTT 3.1 §3.8).
        options &= 3
    if options & (0xC0 if version == c.VERSION_5 else 0xFC):
        # [MQTT-3.8.3-5]
        raise MalformedPacket("reserved subscription options are set")
    if options & 3 == 3:
        raise ProtocolViolation("a subscription of QoS 3")
    retain_handling = options >> 4 & 3
    if retain_handling == 3:
        raise ProtocolViolation("retain handling 3")
    no_local = options & 0x04 != 0
    if no_local and text.startswith("$share/"):
        # [MQTT-3.8.3-4]
        raise ProtocolViolation("no-local on a shared subscription")
    return SubscriptionRequest(text, options & 3, no_local, options & 0x08 != 0, retain_handling)


def _check_filter(text: str, version: int) -> None:
    """MQTT 5 has a reason code for a filter whose wildcards are wrong; before, the connection ends [MQTT-4.7.1-2, -3]."""
    if not text:
        # [MQTT-4.7.3-1]
        raise ProtocolViolation("an empty topic filter")
    if version != c.VERSION_5:
        wrong = wildcard_error(text)
        if wrong:
            raise MalformedPacket(wrong)


def encode_subscribe(subscribe: Subscribe, version: int) -> bytes:
    """SUBSCRIBE."""
    parts = [subscribe.packet_id.to_bytes(2, "big")]
    if version == c.VERSION_5:
        properties = subscribe.properties
        if properties is None:
            properties = Properties()
            if subscribe.subscription_id:
                properties.subscription_ids = [subscribe.subscription_id]
        parts.append(block_of(properties))
    for request in subscribe.requests:
        options = request.qos
        if version == c.VERSION_5:
            options |= (4 if request.no_local else 0) | (8 if request.retain_as_published else 0)
            options |= request.retain_handling << 4
        parts.append(encode_string(request.filter) + bytes((options,)))
    return frame_of(0x82, b"".join(parts))


def decode_suback(frame: bytes, pos: int, version: int) -> Suback:
    """SUBACK (§3.9)."""
    packet_id = _take_packet_id(frame, pos, "SUBACK")
    pos += 2
    properties: Properties | None = None
    if version == c.VERSION_5:
        block, pos = take_block(frame, pos, len(frame))
        properties = decode_properties(block, c.SUBACK) if block else None
    return Suback(packet_id, list(frame[pos:]), properties)


def encode_suback(suback: Suback, version: int) -> bytes:
    """SUBACK."""
    body = suback.packet_id.to_bytes(2, "big")
    if version == c.VERSION_5:
        body += block_of(suback.properties)
    return frame_of(0x90, body + bytes(suback.codes))


def decode_unsubscribe(frame: bytes, pos: int, version: int, accepted: Accepted = ANYTHING) -> Unsubscribe:
    """UNSUBSCRIBE (§3.10)."""
    end = len(frame)
    packet_id = _take_packet_id(frame, pos, "UNSUBSCRIBE")
    pos += 2
    properties: Properties | None = None
    if version == c.VERSION_5:
        block, pos = take_block(frame, pos, end)
        properties = decode_properties(block, c.UNSUBSCRIBE, accepted.user_properties_max) if block else None
    filters: list[str] = []
    while pos < end:
        text, pos = decode_string(frame, pos, end)
        if len(filters) == accepted.filters_max:
            raise TooMany(accepted.filters_max, "topic filters")
        _check_filter(text, version)
        filters.append(text)
    if not filters:
        raise ProtocolViolation("UNSUBSCRIBE without a topic filter")
    return Unsubscribe(packet_id, filters, properties)


def encode_unsubscribe(unsubscribe: Unsubscribe, version: int) -> bytes:
    """UNSUBSCRIBE."""
    parts = [unsubscribe.packet_id.to_bytes(2, "big")]
    if version == c.VERSION_5:
        parts.append(block_of(unsubscribe.properties))
    for text in unsubscribe.filters:
        parts.append(encode_string(text))
    return frame_of(0xA2, b"".join(parts))


def decode_unsuback(frame: bytes, pos: int, version: int) -> Unsuback:
    """UNSUBACK (§3.11)."""
    packet_id = _take_packet_id(frame, pos, "UNSUBACK")
    pos += 2
    properties: Properties | None = None
    if version == c.VERSION_5:
        block, pos = take_block(frame, pos, len(frame))
        properties = decode_properties(block, c.UNSUBACK) if block else None
    return Unsuback(packet_id, list(frame[pos:]), properties)


def encode_unsuback(unsuback: Unsuback, version: int) -> bytes:
    """UNSUBACK; codes and properties only in MQTT 5."""
    body = unsuback.packet_id.to_bytes(2, "big")
    if version == c.VERSION_5:
        body += block_of(unsuback.properties) + bytes(unsuback.codes)
    return frame_of(0xB0, body)


# -- PINGREQ, PINGRESP, DISCONNECT, AUTH

PINGREQ: Final = b"\xc0\x00"
PINGRESP: Final = b"\xd0\x00"


def decode_disconnect(frame: bytes, pos: int, version: int, accepted: Accepted = ANYTHING) -> Disconnect:
    """DISCONNECT (§3.14)."""
    reason_code, properties = _decode_reason(frame, pos, version, c.DISCONNECT, accepted)
    if reason_code not in _DISCONNECT_CODES:
        raise ProtocolViolation(f"reason code 0x{reason_code:02x} in DISCONNECT")
    return Disconnect(reason_code, properties)


# All that §2.4 lists for DISCONNECT: 0x00, 0x04, 0x80 to 0x83, 0x87, 0x89, 0x8B to 0x90 and 0x93 to 0xA2.
_DISCONNECT_CODES: Final = frozenset(
    [0x00, 0x04, 0x87, 0x89, *range(0x80, 0x84), *range(0x8B, 0x91), *range(0x93, 0xA3)]
)


def encode_disconnect(disconnect: Disconnect, version: int) -> bytes:
    """DISCONNECT; reason and properties only in MQTT 5."""
    if version != c.VERSION_5 or (disconnect.reason_code == 0 and disconnect.properties is None):
        return b"\xe0\x00"
    if disconnect.properties is None:
        return bytes((0xE0, 1, disconnect.reason_code))
    return frame_of(0xE0, bytes((disconnect.reason_code,)) + block_of(disconnect.properties))


def decode_auth(frame: bytes, pos: int, accepted: Accepted = ANYTHING) -> Auth:
    """AUTH (§3.15)."""
    reason_code, properties = _decode_reason(frame, pos, c.VERSION_5, c.AUTH, accepted)
    if reason_code not in (0x00, 0x18, 0x19):
        raise ProtocolViolation(f"reason code 0x{reason_code:02x} in AUTH")
    return Auth(reason_code, properties)


def encode_auth(auth: Auth) -> bytes:
    """AUTH."""
    if auth.reason_code == 0 and auth.properties is None:
        return b"\xf0\x00"
    return frame_of(0xF0, bytes((auth.reason_code,)) + block_of(auth.properties))


def _decode_reason(
    frame: bytes, pos: int, version: int, packet_type: int, accepted: Accepted
) -> tuple[int, Properties | None]:
    """A reason code and properties, either of which may be left out (§3.14.2, §3.15.2)."""
    end = len(frame)
    if pos == end:
        return 0, None
    if version != c.VERSION_5:
        raise MalformedPacket(f"bytes behind the end of {c.PACKET_NAMES[packet_type]}")
    reason_code = frame[pos]
    pos += 1
    if pos == end:
        return reason_code, None
    block, pos = take_block(frame, pos, end)
    if pos != end:
        raise MalformedPacket(f"bytes behind the end of {c.PACKET_NAMES[packet_type]}")
    return reason_code, decode_properties(block, packet_type, accepted.user_properties_max)


# -- any packet


def check_first(first: int, version: int) -> None:
    """What the first byte alone can be blamed for (§2.1.2, §2.1.3).  Raises MalformedPacket.

    MQTT 3.1 lets a client repeat PUBREL, SUBSCRIBE and UNSUBSCRIBE with DUP, and ignores the flags elsewhere: those of
    CONNECT are looked at when it has said its version.
    """
    packet_type = first >> 4
    if packet_type == 0:
        raise MalformedPacket("packet type 0")
    if packet_type == c.AUTH and version in (c.VERSION_3_1, c.VERSION_3_1_1):
        raise MalformedPacket("AUTH before MQTT 5")
    if packet_type == c.PUBLISH:
        if first & 6 == 6:
            raise MalformedPacket("a PUBLISH of QoS 3")
        if first & 14 == 8 and version != c.VERSION_3_1:
            # [MQTT-3.3.1-2]; MQTT 3.1 does not say so.
            raise MalformedPacket("DUP on a QoS 0 PUBLISH")
        return
    if version == c.VERSION_3_1 or packet_type == c.CONNECT:
        return
    if first & 15 != c.FIXED_FLAGS[packet_type]:
        raise MalformedPacket(f"reserved flags of {c.PACKET_NAMES[packet_type]} are set")


def decode_control(frame: bytes, version: int, accepted: Accepted) -> Packet:
    """Any packet but PUBLISH, which needs the connection's memory of topics and aliases.  Raises MqttError."""
    first = frame[0]
    check_first(first, version)
    packet_type = first >> 4
    pos = body_start(frame)
    if version == c.VERSION_5:
        check_minimal(frame, 1, pos)
    if packet_type == c.PUBACK:
        packet_id, reason, properties = _decode_ack(frame, pos, version, packet_type, accepted)
        return Puback(packet_id, reason, properties)
    if packet_type == c.PUBREC:
        packet_id, reason, properties = _decode_ack(frame, pos, version, packet_type, accepted)
        return Pubrec(packet_id, reason, properties)
    if packet_type == c.PUBREL:
        packet_id, reason, properties = _decode_ack(frame, pos, version, packet_type, accepted)
        return Pubrel(packet_id, reason, properties)
    if packet_type == c.PUBCOMP:
        packet_id, reason, properties = _decode_ack(frame, pos, version, packet_type, accepted)
        return Pubcomp(packet_id, reason, properties)
    if packet_type == c.SUBSCRIBE:
        return decode_subscribe(frame, pos, version, accepted)
    if packet_type == c.UNSUBSCRIBE:
        return decode_unsubscribe(frame, pos, version, accepted)
    if packet_type == c.CONNECT:
        return decode_connect(frame, pos, accepted)
    if packet_type == c.CONNACK:
        return decode_connack(frame, pos, version)
    if packet_type == c.SUBACK:
        return decode_suback(frame, pos, version)
    if packet_type == c.UNSUBACK:
        return decode_unsuback(frame, pos, version)
    if packet_type == c.DISCONNECT:
        return decode_disconnect(frame, pos, version, accepted)
    if packet_type == c.AUTH:
        return decode_auth(frame, pos, accepted)
    if pos != len(frame):
        raise MalformedPacket(f"bytes behind the end of {c.PACKET_NAMES[packet_type]}")
    if packet_type == c.PINGREQ:
        return Pingreq()
    if packet_type == c.PINGRESP:
        return Pingresp()
    raise LocalProtocolError("decode_control was given a PUBLISH")


def encode_packet(packet: Packet, version: int) -> bytes:
    """Any packet, for who has it as a record: tests and clients.  A PUBLISH is its own frame."""
    if isinstance(packet, Publish):
        return packet.whole()
    if isinstance(packet, Connect):
        return encode_connect(packet)
    if isinstance(packet, Connack):
        return encode_connack(packet, version)
    if isinstance(packet, Puback):
        return encode_puback(packet.packet_id, packet.reason_code, version, packet.properties)
    if isinstance(packet, Pubrec):
        return encode_pubrec(packet.packet_id, packet.reason_code, version, packet.properties)
    if isinstance(packet, Pubrel):
        return encode_pubrel(packet.packet_id, packet.reason_code, version, packet.properties)
    if isinstance(packet, Pubcomp):
        return encode_pubcomp(packet.packet_id, packet.reason_code, version, packet.properties)
    if isinstance(packet, Subscribe):
        return encode_subscribe(packet, version)
    if isinstance(packet, Suback):
        return encode_suback(packet, version)
    if isinstance(packet, Unsubscribe):
        return encode_unsubscribe(packet, version)
    if isinstance(packet, Unsuback):
        return encode_unsuback(packet, version)
    if isinstance(packet, Pingreq):
        return PINGREQ
    if isinstance(packet, Pingresp):
        return PINGRESP
    if isinstance(packet, Disconnect):
        return encode_disconnect(packet, version)
    if isinstance(packet, Auth):
        return encode_auth(packet)
    raise LocalProtocolError(f"{packet!r} cannot be sent")
