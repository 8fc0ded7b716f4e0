"""Canonical values as text, for protocols that carry nothing else (STOMP headers, MQTT 5 user properties).

A value is written plainly; what its type was travels beside it, as a hint that a receiver may ignore.
"""

import base64
import json
from typing import Final

from gateway.core.message import Typed

# -- identifiers (message and correlation ids)

# The type travels inside the text, because a responder echoes the id and nothing else.
_STRING: Final = "AMQP_STRING:"
_BINARY: Final = "AMQP_BINARY:"
_ULONG: Final = "AMQP_ULONG:"
_UUID: Final = "AMQP_UUID:"


def id_to_text(value: str | bytes | Typed) -> str:
    """An identifier as text that `id_from_text` reads back, type and all."""
    if isinstance(value, bytes):
        return _BINARY + value.hex().upper()
    if isinstance(value, Typed):
        return (_ULONG if value.token == "u64" else _UUID) + str(value.value)
    if value.startswith((_STRING, _BINARY, _ULONG, _UUID)):
        return _STRING + value
    return value


def id_from_text(text: str) -> str | bytes | Typed:
    """The identifier that `text` stands for.  What does not parse is itself."""
    if not text.startswith("AMQP_"):
        return text
    if text.startswith(_STRING):
        return text[len(_STRING) :]
    if text.startswith(_BINARY):
        try:
            return bytes.fromhex(text[len(_BINARY) :])
        except ValueError:
            return text
    if text.startswith(_ULONG):
        digits = text[len(_ULONG) :]
        return (
            Typed("u64", int(digits)) if digits.isascii() and digits.isdigit() and len(digits) <= 20 else text
        )
    if text.startswith(_UUID):
        return Typed("uuid", text[len(_UUID) :])
    return text


# -- bodies


def is_textual(content_type: str | None, content_encoding: str | None, body: bytes) -> bool:
    """Does the content type say text, in UTF-8 and not packed, and is the body that?"""
    if content_type is None or (content_encoding or "").lower() not in ("", "identity", "utf-8"):
        return False
    parts = content_type.lower().split(";")
    kind = parts[0].strip()
    if not (kind.startswith("text/") or kind.endswith(("/json", "/xml", "+json", "+xml"))):
        return False
    for parameter in parts[1:]:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in ("utf-8", "utf8", "us-ascii"):
            return False
    return is_utf8(body)


def is_utf8(body: bytes) -> bool:
    """Is it well-formed UTF-8?"""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


# -- property values


def value_to_text(value: object) -> tuple[str, str]:
    """A property value as text, and the token of its type; an empty token for text itself."""
    if isinstance(value, str):
        if "\0" in value:
            return base64.b64encode(value.encode()).decode(), "strb64"
        return value, ""
    if isinstance(value, bool):
        return ("true" if value else "false"), "bool"
    if isinstance(value, int):
        return str(value), "i64"
    if isinstance(value, float):
        return _float_text(value), "f64"
    if value is None:
        return "", "null"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode(), "bin"
    assert isinstance(value, Typed)
    if value.token in ("list", "map", "array"):
        return json.dumps(value.value, ensure_ascii=False, separators=(",", ":")), value.token
    inner = value.value
    return (_float_text(inner) if isinstance(inner, float) else str(inner)), value.token


def _float_text(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)


_RANGES: Final = {
    "i8": (-(1 << 7), (1 << 7) - 1),
    "u8": (0, (1 << 8) - 1),
    "i16": (-(1 << 15), (1 << 15) - 1),
    "u16": (0, (1 << 16) - 1),
    "i32": (-(1 << 31), (1 << 31) - 1),
    "u32": (0, (1 << 32) - 1),
    "i64": (-(1 << 63), (1 << 63) - 1),
    "u64": (0, (1 << 64) - 1),
    "ts": (-(1 << 63), (1 << 63) - 1),
}


def value_from_text(text: str, token: str) -> object:
    """The value that was written as `text` with this token.  A text that does not fit its token stays text."""
    try:
        return _value_of(text, token)
    except (ValueError, RecursionError):
        return text


def _value_of(text: str, token: str) -> object:
    if token == "bool":
        return text == "true" if text in ("true", "false") else text
    if token in _RANGES:
        if len(text) > 21:
            return text
        low, high = _RANGES[token]
        number = int(text)
        if not low <= number <= high:
            return text
        return number if token == "i64" else Typed(token, number)
    if token == "f64":
        return float(text)
    if token == "f32":
        return Typed(token, float(text))
    if token == "null":
        return text or None
    if token == "bin":
        return base64.b64decode(text, validate=True)
    if token == "strb64":
        return base64.b64decode(text, validate=True).decode()
    if token in ("list", "map", "array"):
        return Typed(token, json.loads(text))
    if token in ("char", "sym", "uuid", "d32", "d64", "d128", "dec9"):
        return Typed(token, text)
    return text


# -- hints: `name:token,name:token`

_ESCAPED: Final = str.maketrans(
    {**{chr(code): f"%{code:02X}" for code in range(32)}, "%": "%25", ",": "%2C", ":": "%3A", "\x7f": "%7F"}
)


def encode_types(types: list[tuple[str, str]]) -> str:
    """The hint for `types`, a list of (name, token)."""
    return ",".join([name.translate(_ESCAPED) + ":" + token for name, token in types])


def decode_types(text: str) -> dict[str, str]:
    """Name → token; what does not parse is left out."""
    types: dict[str, str] = {}
    for part in text.split(","):
        name, colon, token = part.rpartition(":")
        if colon:
            types.setdefault(_unescape(name), token)
    return types


def _unescape(text: str) -> str:
    """Undo the percent-encoding of `encode_types`; a malformed escape stands for itself."""
    if "%" not in text:
        return text
    pieces = text.split("%")
    result = [pieces[0]]
    for piece in pieces[1:]:
        try:
            result.append(chr(int(piece[:2], 16)) + piece[2:])
        except ValueError:
            result.append("%" + piece)
    return "".join(result)
