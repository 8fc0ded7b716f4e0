"""Canonical values as text, for protocols that carry nothing else (STOMP headers, MQTT 5 user properties).

A value is written plainly; what its type was travels beside it, as a hint that a receiver may ignore.  Lists and maps
are in `typed_json`.
"""

import base64
import json
import re
import struct
from codecs import getincrementaldecoder
from typing import Final, final

from gateway.core.destination import NON_CHARACTERS
from gateway.core.message import Typed

_U64_MAX: Final = (1 << 64) - 1
_HEX: Final = frozenset("0123456789ABCDEFabcdef")
_DIGITS: Final = frozenset("0123456789")


def _all_in(text: str, letters: frozenset[str]) -> bool:
    return letters.issuperset(text)


def is_uuid(text: str) -> bool:
    """32 hexadecimal digits, with or without hyphens?"""
    digits = text.replace("-", "")
    return len(digits) == 32 and len(text) <= 36 and _all_in(digits, _HEX)


def integer(text: str, least: int, most: int) -> int | None:
    """A decimal as we write it (`-` and digits, no zeros in front) within bounds, else nothing."""
    digits = text[1:] if text.startswith("-") else text
    if not digits or len(digits) > 20 or not _all_in(digits, _DIGITS):
        return None
    number = int(text)
    return number if least <= number <= most and str(number) == text else None


# -- bodies


def is_textual(
    content_type: str | None, content_encoding: str | None, body: bytes, known: bool | None = None
) -> bool:
    """Does the content type say text, in UTF-8 and not packed, and is the body that?

    `known`: whether it is UTF-8, where that has been found out already.
    """
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
    return is_utf8(body, known)


LONG_TEXT: Final = 1_048_576
"""Bytes of a body that are looked at in one go where it can be helped: it takes a millisecond a megabyte."""


def is_utf8(body: bytes, known: bool | None = None) -> bool:
    """Is it well-formed UTF-8?"""
    if known is not None:
        return known
    if body.isascii():
        return True
    if len(body) > LONG_TEXT:
        looking = Looking(body)
        while not looking.step():
            pass
        return looking.found
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_plain_text(body: bytes, known: bool | None = None) -> bool:
    """Is it well-formed UTF-8 without NUL: text for who is told nothing else?"""
    return 0 not in body and is_utf8(body, known)


_SLICE: Final = 65_536


@final
class Looking:
    """Finds out whether a long body is UTF-8, some of it at a time.  Call `step` until it says that it has `found` that."""

    __slots__ = ("_at", "_decoder", "body", "found")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self._at = 0
        self._decoder = getincrementaldecoder("utf-8")()
        self.found = False
        """It is."""

    def step(self) -> bool:
        """Look at some more of it; answers whether that was all."""
        at = self._at
        self._at = at + LONG_TEXT
        try:
            while at < self._at:
                end = at + _SLICE
                last = end >= len(self.body)
                self._decoder.decode(self.body[at:end], last)
                if last:
                    self.found = True
                    return True
                at = end
        except UnicodeDecodeError:
            return True
        return False


# -- property values: numbers, text, bytes and what else is no list and no map


def scalar_to_text(value: object) -> tuple[str, str]:
    """A value as text, and the token of its type; an empty token for text itself."""
    if isinstance(value, str):
        return (packed(value), "strb64") if "\0" in value else (value, "")
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
    inner = value.value
    if isinstance(inner, float):
        return (_f32_text(inner) if value.token == "f32" else _float_text(inner)), value.token
    return str(inner), value.token


_UNWELCOME: Final = re.compile("[\x00-\x1f\x7f-\x9f" + "".join([chr(code) for code in NON_CHARACTERS]) + "]")


def has_control_characters(text: str) -> bool:
    """Is there a control character, or a non-character, in `text`?  MQTT clients end the connection on them."""
    return not text.isprintable() and _UNWELCOME.search(text) is not None


def for_mqtt(text: str, token: str) -> tuple[str, str]:
    """What `value_to_text` gave for a value, without characters that end an MQTT client's connection.

    A list or map is JSON, which can say them another way; all else is packed, and its token says so.
    """
    if not has_control_characters(text):
        return text, token
    if token.partition(";")[0] in COLLECTIONS:
        return json_for_mqtt(text), token
    return packed(text), ("strb64" if not token else _PACKED + token)


def json_for_mqtt(text: str) -> str:
    """JSON with such characters escaped: they can only stand in its strings."""
    return _UNWELCOME.sub(_json_escape, text)


def _json_escape(found: re.Match[str]) -> str:
    return json.dumps(found.group())[1:-1]


def packed(text: str) -> str:
    """Text for where not every character may go; its token is `strb64`."""
    return base64.b64encode(text.encode("utf-8", "replace")).decode()


def unpacked(text: str) -> str:
    """Undo `packed`.  Raises ValueError."""
    return base64.b64decode(text, validate=True).decode()


_PACKED: Final = "b64-"
"""Before the token of a value whose text is packed."""


def _float_text(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)


def _f32_text(value: float) -> str:
    """The shortest decimal that is the same single-precision number."""
    if value != value or value in (float("inf"), float("-inf")):
        return _float_text(value)
    for digits in range(6, 10):
        text = f"{value:.{digits}g}"
        if to_f32(float(text)) == value:
            return repr(float(text))
    return repr(value)


def to_f32(value: float) -> float:
    """The nearest single-precision number.  Raises ValueError beyond its range."""
    try:
        packed = struct.pack(">f", value)
    except OverflowError:
        raise ValueError("too large for single precision") from None
    result: float = struct.unpack(">f", packed)[0]
    return result


RANGES: Final = {
    "i8": (-(1 << 7), (1 << 7) - 1),
    "u8": (0, (1 << 8) - 1),
    "i16": (-(1 << 15), (1 << 15) - 1),
    "u16": (0, (1 << 16) - 1),
    "i32": (-(1 << 31), (1 << 31) - 1),
    "u32": (0, (1 << 32) - 1),
    "i64": (-(1 << 63), (1 << 63) - 1),
    "u64": (0, _U64_MAX),
    "ts": (-(1 << 63), (1 << 63) - 1),
}

COLLECTIONS: Final = frozenset({"list", "map", "array"})


def scalar_from_text(text: str, token: str) -> object:
    """The value that was written as `text` with this token.  A text that does not fit its token stays text."""
    try:
        return _scalar_of(text, token)
    except ValueError:
        return text


def _scalar_of(text: str, token: str) -> object:
    if token.startswith(_PACKED):
        return _scalar_of(unpacked(text), token[len(_PACKED) :])
    bounds = RANGES.get(token)
    if bounds is not None:
        number = integer(text, bounds[0], bounds[1])
        if number is None:
            return text
        return number if token == "i64" else Typed(token, number)
    if token == "bool":
        return text == "true" if text in ("true", "false") else text
    if token == "f64":
        return float_of(text)
    if token == "f32":
        return Typed(token, to_f32(float_of(text)))
    if token == "null":
        return text or None
    if token == "bin":
        return base64.b64decode(text, validate=True)
    if token == "strb64":
        return unpacked(text)
    if token == "uuid":
        return Typed(token, text) if is_uuid(text) else text
    if token == "char":
        return Typed(token, text) if len(text) == 1 else text
    if token == "dec9":
        return Typed(token, text) if _is_decimal(text) else text
    if token in ("sym", "d32", "d64", "d128"):
        return Typed(token, text)
    return text


_FLOAT_LETTERS: Final = frozenset("0123456789+-.eE")


def float_of(text: str) -> float:
    """A float as we write it.  Raises ValueError."""
    if text in ("NaN", "Infinity", "-Infinity"):
        return float(text)
    if len(text) > 400 or not _all_in(text, _FLOAT_LETTERS):
        raise ValueError("no float")
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("too large")
    return value


def _is_decimal(text: str) -> bool:
    """`-`, digits, and perhaps a point and more digits (AMQP 0-9-1's decimal-value)."""
    whole, point, fraction = text.removeprefix("-").partition(".")
    return (
        bool(whole)
        and len(text) <= 300
        and _all_in(whole, _DIGITS)
        and (not point or (bool(fraction) and _all_in(fraction, _DIGITS)))
    )


# -- hints: `name:token,name:token`

_ESCAPES: Final = {
    **{chr(code): f"%{code:02X}" for code in (*range(0x20), *range(0x7F, 0xA0))},
    **{chr(code): f"%u{code:06X}" for code in NON_CHARACTERS},
}
_ESCAPED: Final = str.maketrans({**_ESCAPES, "%": "%25", ",": "%2C", ":": "%3A"})
# Inside a token, where a list or map has hints of its own: `name:map;/a=i32;/b/0=bin`.
_ESCAPED_WITHIN: Final = str.maketrans(
    {**_ESCAPES, "%": "%25", ",": "%2C", ":": "%3A", ";": "%3B", "=": "%3D"}
)


def encode_name(name: str) -> str:
    """A name as it may stand in a list of names, at the end of a list too, where STOMP 1.0 takes spaces away."""
    encoded = name.translate(_ESCAPED)
    if not encoded.startswith(" ") and not encoded.endswith(" "):
        return encoded
    inner = encoded.strip(" ")
    leading = len(encoded) - len(encoded.lstrip(" "))
    return "%20" * leading + inner + "%20" * (len(encoded) - leading - len(inner))


def encode_types(types: list[tuple[str, str]]) -> str:
    """The hint for `types`, a list of (name, token)."""
    return ",".join([encode_name(name) + ":" + token for name, token in types])


def decode_types(text: str) -> dict[str, list[str]]:
    """Name → tokens, more than one when the name repeats; what does not parse is left out."""
    types: dict[str, list[str]] = {}
    for part in text.split(","):
        name, colon, token = part.rpartition(":")
        if colon:
            types.setdefault(decode_name(name), []).append(token)
    return types


def encode_within(token: str, hints: list[tuple[str, str]]) -> str:
    """The token of a list or map whose parts have hints: (JSON pointer, token)."""
    parts = [token]
    for pointer, inner in hints:
        parts.append(pointer.translate(_ESCAPED_WITHIN) + "=" + inner)
    return ";".join(parts)


def decode_within(token: str) -> tuple[str, dict[str, str]]:
    """Undo `encode_within`."""
    bare, *parts = token.split(";")
    hints: dict[str, str] = {}
    for part in parts:
        pointer, equals, inner = part.partition("=")
        if equals:
            hints.setdefault(decode_name(pointer), inner)
    return bare, hints


def decode_name(text: str) -> str:
    """Undo the percent-encoding of `encode_name`; a malformed escape stands for itself."""
    if "%" not in text:
        return text
    pieces = text.split("%")
    result = [pieces[0]]
    for piece in pieces[1:]:
        if len(piece) >= 2 and piece[0] in _HEX and piece[1] in _HEX:
            result.append(chr(int(piece[:2], 16)) + piece[2:])
        elif piece.startswith("u") and len(piece) >= 7 and _is_code_point(piece[1:7]):
            result.append(chr(int(piece[1:7], 16)) + piece[7:])
        else:
            result.append("%" + piece)
    return "".join(result)


def _is_code_point(digits: str) -> bool:
    return _all_in(digits, _HEX) and int(digits, 16) in NON_CHARACTERS


@final
class Hints:
    """The tokens of one message's properties.  Of a name that repeats, each occurrence takes the next one."""

    __slots__ = ("_tokens", "_used")

    def __init__(self, text: str | None) -> None:
        self._tokens: dict[str, list[str]] = {} if text is None else decode_types(text)
        self._used: dict[str, int] = {}

    def take(self, name: str) -> str:
        """The token of the next property of that name; empty for text."""
        tokens = self._tokens.get(name)
        if tokens is None:
            return ""
        if len(tokens) == 1:
            return tokens[0]
        used = self._used.get(name, 0)
        self._used[name] = used + 1
        return tokens[used] if used < len(tokens) else ""
