"""CONNECT and CONNACK: packets to bytes and back, as in codec."""

from typing import Final

from protocols.mqtt import constants as c
from protocols.mqtt.accepted import ANYTHING, Accepted
from protocols.mqtt.constants import ReasonCode
from protocols.mqtt.errors import MalformedPacket, NotMqtt, ProtocolViolation
from protocols.mqtt.frames import Connack, Connect, Will
from protocols.mqtt.framing import block_of, frame_of, take_block
from protocols.mqtt.properties import Properties, decode_properties, without
from protocols.mqtt.strings import (
    check_minimal,
    decode_binary,
    decode_string,
    encode_binary,
    encode_string,
    encode_varint,
)
from protocols.mqtt.topics import check_topic_name
from protocols.wire import u16


def decode_connect(frame: bytes, pos: int, accepted: Accepted = ANYTHING) -> Connect:
    """CONNECT (§3.1)."""
    end = len(frame)
    start = pos
    name, pos = decode_binary(frame, pos, end)
    if pos + 4 > end:
        raise MalformedPacket("CONNECT is cut off")
    version = frame[pos]
    flags = frame[pos + 1]
    keep_alive_s = u16(frame, pos + 2)
    pos += 4
    if name != (b"MQIsdp" if version == c.VERSION_3_1 else b"MQTT"):
        if name not in (b"MQTT", b"MQIsdp"):
            raise NotMqtt("a CONNECT of another protocol")
        raise ProtocolViolation("unknown protocol version", ReasonCode.UNSUPPORTED_PROTOCOL_VERSION)
    if version not in accepted.levels:
        raise ProtocolViolation(
            f"protocol version {version} is not accepted", ReasonCode.UNSUPPORTED_PROTOCOL_VERSION
        )
    if version != c.VERSION_3_1 and frame[0] & 15:
        raise MalformedPacket("reserved flags of CONNECT are set")
    _check_connect_flags(flags, version)
    properties: Properties | None = None
    if version == c.VERSION_5:
        check_minimal(frame, 1, start)
        block, pos = take_block(frame, pos, end)
        properties = decode_properties(block, c.CONNECT, accepted.user_properties_max)
    client_id, pos = decode_string(frame, pos, end)
    will: Will | None = None
    if flags & 0x04:
        will, pos = _decode_will(frame, pos, end, flags, version, accepted)
    username: str | None = None
    password: bytes | None = None
    # MQTT 3.1 §3.1: where nothing follows, the flags of user name and password are not looked at.
    lacking_ok = version == c.VERSION_3_1
    if flags & 0x80 and not (lacking_ok and pos == end):
        username, pos = decode_string(frame, pos, end)
    if flags & 0x40 and not (lacking_ok and pos == end):
        password, pos = decode_binary(frame, pos, end)
    if pos != end:
        raise MalformedPacket("bytes behind the end of CONNECT")
    return Connect(client_id, flags & 0x02 != 0, keep_alive_s, version, will, username, password, properties)


def _check_connect_flags(flags: int, version: int) -> None:
    """§3.1.2.3 to §3.1.2.9."""
    if flags & 0x1C == 0x1C:
        raise MalformedPacket("a will of QoS 3")
    if version == c.VERSION_3_1:
        # MQTT 3.1 §3.1 ignores what it does not use.
        return
    if flags & 0x01:
        raise MalformedPacket("the reserved flag of CONNECT is set")
    if not flags & 0x04 and flags & 0x38:
        raise MalformedPacket("will flags without a will")
    if flags & 0x40 and not flags & 0x80 and version != c.VERSION_5:
        # MQTT 3.1.1 [MQTT-3.1.2-22]; MQTT 5 allows it.
        raise MalformedPacket("a password without a user name")


def _decode_will(
    frame: bytes, pos: int, end: int, flags: int, version: int, accepted: Accepted
) -> tuple[Will, int]:
    block = b""
    delay_s = 0
    if version == c.VERSION_5:
        block, pos = take_block(frame, pos, end)
        if block:
            delay_s = decode_properties(block, c.WILL, accepted.user_properties_max).will_delay_s or 0
            block = without(block, _WILL_DELAY)
    raw, pos = decode_binary(frame, pos, end)
    topic = check_topic_name(raw)
    payload, pos = decode_binary(frame, pos, end)
    return Will(topic, payload, flags >> 3 & 3, flags & 0x20 != 0, block, delay_s), pos


_WILL_DELAY: Final = frozenset((c.WILL_DELAY,))


def encode_connect(connect: Connect) -> bytes:
    """CONNECT."""
    version = connect.protocol_version
    flags = 0x02 if connect.clean_start else 0
    will = connect.will
    parts: list[bytes] = []
    if version == c.VERSION_5:
        parts.append(block_of(connect.properties))
    parts.append(encode_string(connect.client_id))
    if will is not None:
        flags |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
        if version == c.VERSION_5:
            block = will.properties
            if will.delay_s:
                block = bytes((c.WILL_DELAY,)) + will.delay_s.to_bytes(4, "big") + block
            parts.append(encode_varint(len(block)) + block)
        parts.append(encode_string(will.topic) + encode_binary(will.payload))
    if connect.username is not None:
        flags |= 0x80
        parts.append(encode_string(connect.username))
    if connect.password is not None:
        flags |= 0x40
        parts.append(encode_binary(connect.password))
    name = b"\x00\x06MQIsdp" if version == c.VERSION_3_1 else b"\x00\x04MQTT"
    head = name + bytes((version, flags)) + connect.keep_alive_s.to_bytes(2, "big")
    return frame_of(0x10, head + b"".join(parts))


def decode_connack(frame: bytes, pos: int, version: int) -> Connack:
    """CONNACK (§3.2)."""
    end = len(frame)
    if pos + 2 > end:
        raise MalformedPacket("CONNACK is cut off")
    if frame[pos] > 1:
        raise MalformedPacket("reserved flags of CONNACK are set")
    properties: Properties | None = None
    after = pos + 2
    if version == c.VERSION_5:
        block, after = take_block(frame, after, end)
        properties = decode_properties(block, c.CONNACK)
    if after != end:
        raise MalformedPacket("bytes behind the end of CONNACK")
    return Connack(frame[pos] == 1, frame[pos + 1], properties)


def encode_connack(connack: Connack, version: int) -> bytes:
    """CONNACK."""
    body = bytes((1 if connack.session_present else 0, connack.code))
    if version == c.VERSION_5:
        body += block_of(connack.properties)
    return frame_of(0x20, body)
