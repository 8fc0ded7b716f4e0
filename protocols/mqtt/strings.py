"""The data representations of §1.5: variable byte integers, UTF-8 strings, binary data."""

import re
from typing import Final

from protocols.errors import LocalProtocolError
from protocols.mqtt.errors import MalformedPacket
from protocols.wire import u16

LENGTH_MAX: Final = 65_535
"""Bytes of a string or of binary data (§1.5.4, §1.5.6)."""

ONE_BYTE: Final = [bytes((value,)) for value in range(256)]
"""Every byte: looked up in a third of the time that it takes to make one."""

# Code points that a string should not have, and that a receiver may refuse (§1.5.4): control characters, and what
# Unicode calls non-characters.  libmosquitto ends the connection on either.
NON_CHARACTERS: Final = frozenset(
    [*range(0xFDD0, 0xFDF0), *[plane << 16 | low for plane in range(17) for low in (0xFFFE, 0xFFFF)]]
)
UNWELCOME: Final = re.compile("[\x00-\x1f\x7f-\x9f" + "".join([chr(code) for code in NON_CHARACTERS]) + "]")


def has_control_characters(text: str) -> bool:
    """Is there a control character, or a non-character, in `text`?"""
    return not text.isprintable() and UNWELCOME.search(text) is not None


def decode_varint(data: bytes, pos: int, end: int) -> tuple[int, int]:
    """A variable byte integer (§1.5.5) and the position behind it.  Raises MalformedPacket."""
    start = pos
    value = 0
    shift = 0
    while pos < end:
        byte = data[pos]
        pos += 1
        value |= (byte & 127) << shift
        if byte < 128:
            check_minimal(data, start, pos)
            return value, pos
        shift += 7
        if shift > 21:
            raise MalformedPacket("a variable byte integer of more than four bytes")
    raise MalformedPacket("a variable byte integer is cut off")


def check_minimal(data: bytes, start: int, stop: int) -> None:
    """A variable byte integer has as few bytes as its value needs [MQTT-1.5.5-1].  Raises MalformedPacket."""
    if data[stop - 1] == 0 and stop - start > 1:
        raise MalformedPacket("a variable byte integer of more bytes than it needs")


def encode_varint(value: int) -> bytes:
    """`value`, 0 to 268,435,455, as a variable byte integer."""
    if value < 128:
        return ONE_BYTE[value]
    if value < 16_384:
        return ((value & 127 | 128) << 8 | value >> 7).to_bytes(2, "big")
    result: list[int] = []
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    result.append(value)
    return bytes(result)


def decode_binary(data: bytes, pos: int, end: int) -> tuple[bytes, int]:
    """Binary data (§1.5.6) and the position behind it.  Raises MalformedPacket."""
    if pos + 2 > end:
        raise MalformedPacket("a length is cut off")
    stop = pos + 2 + u16(data, pos)
    if stop > end:
        raise MalformedPacket("a string is longer than its packet")
    return data[pos + 2 : stop], stop


def encode_binary(value: bytes) -> bytes:
    """Binary data.  Raises LocalProtocolError for more than 65,535 bytes."""
    if len(value) > LENGTH_MAX:
        raise LocalProtocolError(f"{len(value)} bytes where MQTT has room for {LENGTH_MAX}")
    return len(value).to_bytes(2, "big") + value


def decode_string(data: bytes, pos: int, end: int) -> tuple[str, int]:
    """A UTF-8 string (§1.5.4) and the position behind it.  Raises MalformedPacket."""
    raw, stop = decode_binary(data, pos, end)
    return text_of(raw), stop


def encode_string(value: str) -> bytes:
    """A UTF-8 string.  Raises LocalProtocolError for more than 65,535 bytes."""
    return encode_binary(value.encode())


def text_of(raw: bytes) -> str:
    """`raw` as text: well-formed UTF-8 without surrogates and U+0000 [MQTT-1.5.4-1, -2].  Raises MalformedPacket."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise MalformedPacket("a string is not UTF-8") from None
    if "\0" in text:
        raise MalformedPacket("a string contains U+0000")
    return text
