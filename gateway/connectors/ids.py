"""Message and correlation ids as text.  The type travels inside the text, since who replies sends back the id alone.

Only what this gateway would have written is read as typed: any other text, however much it looks like it, is itself, so
every text that a client sends is the text that it gets back.
"""

from typing import Final

from gateway.connectors.text import integer, is_plain_text, is_uuid
from gateway.core.message import Typed

# Where an id stands, as far as it matters for what may stand there.
ANYWHERE: Final = 0
"""JSON, headers of STOMP 1.2, items."""
IN_DATA: Final = 1
"""MQTT 5's Correlation Data, which may be any bytes: those that are no text go as they are."""
IN_STOMP_1_1: Final = 2
"""There is no escape for CR."""
IN_STOMP_1_0: Final = 3
"""There are no escapes, and spaces at the edges are lost."""

_STRING: Final = "AMQP_STRING:"
_BINARY: Final = "AMQP_BINARY:"
_ULONG: Final = "AMQP_ULONG:"
_UUID: Final = "AMQP_UUID:"
_TEXT: Final = "MX_STRING:"
"""Text of which a version of STOMP cannot say each character, in hexadecimal digits."""

_HEX: Final = frozenset("0123456789ABCDEF")
_U64_MOST: Final = (1 << 64) - 1


def id_to_text(value: str | bytes | Typed, where: int = ANYWHERE) -> str:
    """An identifier as text that `id_from_text` reads back, type and all; text with U+0000 comes back as bytes."""
    if isinstance(value, bytes):
        return _BINARY + value.hex().upper()
    if isinstance(value, Typed):
        return (_ULONG if value.token == "u64" else _UUID) + str(value.value)
    if "\0" in value:
        return _BINARY + value.encode().hex().upper()
    if _unfit(value, where):
        return _TEXT + value.encode().hex().upper()
    # Such a text would be taken for something else.
    return value if id_from_text(value, where) == value else _STRING + value


def id_from_text(text: str, where: int = ANYWHERE) -> str | bytes | Typed:
    """The identifier that `text` stands for.  What `id_to_text` would not have written is itself."""
    if not text.startswith(("AMQP_", "MX_")):
        return text
    start = 0
    while text.startswith(_STRING, start):
        start += len(_STRING)
    if start:
        # Only what would be taken for something else gets the mark, one more each time.
        return text[len(_STRING) :] if _typed(text[start:], where) is not None else text
    typed = _typed(text, where)
    return text if typed is None else typed


def _typed(text: str, where: int) -> str | bytes | Typed | None:
    """What a marked text stands for; None: itself."""
    if text.startswith(_BINARY):
        data = _from_hex(text[len(_BINARY) :])
        return None if data is None or (where == IN_DATA and not is_plain_text(data)) else data
    if text.startswith(_ULONG):
        number = integer(text[len(_ULONG) :], 0, _U64_MOST)
        return None if number is None else Typed("u64", number)
    if text.startswith(_UUID):
        digits = text[len(_UUID) :]
        return Typed("uuid", digits) if is_uuid(digits) else None
    if text.startswith(_TEXT) and where in (IN_STOMP_1_0, IN_STOMP_1_1):
        data = _from_hex(text[len(_TEXT) :])
        if data is not None and is_plain_text(data):
            meant = data.decode()
            return meant if _unfit(meant, where) else None
    return None


def _unfit(text: str, where: int) -> bool:
    """Can it not be said as it is?"""
    if where == IN_STOMP_1_0:
        return "\n" in text or "\r" in text or text.strip(" ") != text
    return where == IN_STOMP_1_1 and "\r" in text


def _from_hex(digits: str) -> bytes | None:
    return bytes.fromhex(digits) if len(digits) % 2 == 0 and _HEX.issuperset(digits) else None
