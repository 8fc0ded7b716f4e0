"""What all packets have in common: the fixed header, and the block of properties."""

from typing import Final

from protocols.mqtt.errors import MalformedPacket, PacketTooLarge
from protocols.mqtt.properties import Properties, encode_properties
from protocols.mqtt.strings import ONE_BYTE, decode_varint, encode_varint

NEED_MORE: Final = -1


def frame_end(data: bytes, pos: int, limit: int) -> int:
    """Where the packet that begins at `pos` ends, which may be beyond `data`; NEED_MORE when that is not known yet.

    Raises PacketTooLarge as soon as the length is known, MalformedPacket for a length of more than four bytes.
    """
    have = len(data)
    if have - pos < 2:
        return NEED_MORE
    byte = data[pos + 1]
    if byte < 128:
        size = byte + 2
    else:
        length = byte & 127
        shift = 7
        at = pos + 2
        while True:
            if at >= have:
                if at - pos > 4:
                    raise MalformedPacket("a remaining length of more than four bytes")
                return NEED_MORE
            byte = data[at]
            at += 1
            length |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
            if shift > 21:
                raise MalformedPacket("a remaining length of more than four bytes")
        size = length + at - pos
    if size > limit:
        raise PacketTooLarge(size, limit)
    return pos + size


def body_start(frame: bytes) -> int:
    """Where the variable header begins in a whole packet."""
    at = 1
    while frame[at] > 127:
        at += 1
    return at + 1


def frame_of(first: int, body: bytes) -> bytes:
    """A packet from its first byte and what follows the remaining length."""
    return ONE_BYTE[first] + encode_varint(len(body)) + body


def looks_like(data: bytes) -> str:
    """Which other protocol the first bytes of a connection are of; empty when they may be MQTT."""
    if data[:1] == b"\x16" and data[1:2] in (b"", b"\x03"):
        return "TLS"
    head = data[:8]
    for word, name in _OTHERS:
        if head.startswith(word):
            return name
    return ""


_OTHERS: Final = (
    (b"GET ", "HTTP"),
    (b"POST ", "HTTP"),
    (b"PUT ", "HTTP"),
    (b"HEAD ", "HTTP"),
    (b"OPTIONS ", "HTTP"),
    (b"PRI * HT", "HTTP/2"),
    (b"CONNECT\n", "STOMP"),
    (b"CONNECT\r", "STOMP"),
    (b"CONNECT ", "HTTP"),
    (b"STOMP\n", "STOMP"),
    (b"STOMP\r", "STOMP"),
    (b"AMQP", "AMQP"),
)


def take_block(frame: bytes, pos: int, end: int) -> tuple[bytes, int]:
    """A property block without its length, and the position behind it."""
    size, pos = decode_varint(frame, pos, end)
    if pos + size > end:
        raise MalformedPacket("the properties are longer than their packet")
    return frame[pos : pos + size], pos + size


def block_of(properties: Properties | None) -> bytes:
    """A property block with its length."""
    if properties is None:
        return b"\x00"
    block = encode_properties(properties)
    return encode_varint(len(block)) + block
