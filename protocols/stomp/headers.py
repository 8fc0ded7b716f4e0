"""Header lines: escapes, text, numbers (§Value Encoding, §Repeated Header Entries).

1.0 has no escapes, and its examples put spaces around values, so they are trimmed there and nowhere else.
"""

from typing import Final

from protocols.stomp.constants import HOP_HEADERS, NUMBER_DIGITS_MAX, V1_0, V1_2, V_CONNECT
from protocols.stomp.errors import MalformedFrame

_BACKSLASH: Final = 92
_LOWER_C: Final = 99
_LOWER_N: Final = 110
_LOWER_R: Final = 114


def escape(text: str, version: str) -> bytes:
    """`text` as it may stand in a header line of `version`.

    What cannot be said becomes a space, so that no header ends its line or its frame: NUL everywhere, LF and CR where
    there are no escapes.  In 1.1 a CR has no escape and stands for itself.
    """
    raw = text.encode("utf-8", "replace")
    if raw.isalnum():
        return raw
    if 0 in raw:
        raw = raw.replace(b"\0", b" ")
    if version in (V1_0, V_CONNECT):
        return raw.replace(b"\n", b" ").replace(b"\r", b" ")
    if _BACKSLASH in raw:
        raw = raw.replace(b"\\", b"\\\\")
    raw = raw.replace(b":", b"\\c").replace(b"\n", b"\\n")
    return raw.replace(b"\r", b"\\r") if version == V1_2 else raw


def unescape(raw: bytes, version: str) -> str:
    """The text that `raw`, part of a header line of `version`, stands for.  Raises MalformedFrame."""
    if _BACKSLASH in raw and version != V1_0 and version != V_CONNECT:
        raw = _unescape(raw, version)
    return text_of(raw)


def text_of(raw: bytes) -> str:
    """`raw` as UTF-8.  Raises MalformedFrame."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise MalformedFrame("a header is not UTF-8") from None


def _unescape(raw: bytes, version: str) -> bytes:
    result = bytearray()
    pos = 0
    while True:
        mark = raw.find(b"\\", pos)
        if mark < 0:
            result += raw[pos:]
            return bytes(result)
        result += raw[pos:mark]
        result += _escaped(raw[mark + 1] if mark + 1 < len(raw) else 0, version)
        pos = mark + 2


def _escaped(letter: int, version: str) -> bytes:
    """What backslash and `letter` stand for.  An undefined escape is a fatal error (§Value Encoding)."""
    if letter == _LOWER_C:
        return b":"
    if letter == _LOWER_N:
        return b"\n"
    if letter == _BACKSLASH:
        return b"\\"
    if letter == _LOWER_R and version == V1_2:
        return b"\r"
    raise MalformedFrame(f"a header has an escape that STOMP {version} does not define")


def decode_header(line: bytes, version: str) -> tuple[str, str]:
    """Name and value of one header line.  Raises MalformedFrame."""
    colon = line.find(b":")
    if colon < 0:
        raise MalformedFrame(f"header line without a colon: {shown(line)}")
    name = line[:colon]
    value = line[colon + 1 :]
    if version == V1_0:
        name = name.strip(b" ")
        value = value.strip(b" ")
    if not name:
        raise MalformedFrame("header line without a name")
    return unescape(name, version), unescape(value, version)


def decode_headers(lines: list[bytes], version: str) -> list[tuple[str, str]]:
    """Names and values in order, repeats included.  Raises MalformedFrame; not for lines that a Send carries."""
    headers: list[tuple[str, str]] = []
    for line in lines:
        headers.append(decode_header(line, version))
    return headers


def encode_header(name: str, value: str, version: str) -> bytes:
    """A header line without its EOL."""
    if version in (V1_0, V_CONNECT):
        # Without escapes, a colon in the name would move the rest of the name into the value.
        return escape(name.replace(":", "_"), version) + b":" + escape(value, version)
    return escape(name, version) + b":" + escape(value, version)


def passing_lines(lines: list[bytes]) -> list[bytes]:
    """The lines of a SEND that go on to subscribers: all but those that a server writes itself."""
    passing: list[bytes] = []
    for line in lines:
        if line[: line.find(b":")].strip(b" ") not in HOP_HEADERS:
            passing.append(line)
    return passing


def first(headers: list[tuple[str, str]], name: str) -> str | None:
    """The value of `name`; the first one counts when it is repeated (§Repeated Header Entries)."""
    for header in headers:
        if header[0] == name:
            return header[1]
    return None


def number(raw: bytes, what: str) -> int:
    """A decimal without sign.  Raises MalformedFrame naming the header `what`."""
    if not raw or len(raw) > NUMBER_DIGITS_MAX:
        raise MalformedFrame(f"{what} is not a number: {shown(raw)}")
    value = 0
    for byte in raw:
        if byte < 48 or byte > 57:
            raise MalformedFrame(f"{what} is not a number: {shown(raw)}")
        value = value * 10 + byte - 48
    return value


def is_true(raw: bytes) -> bool:
    """`true`, however it is capitalised."""
    return raw == b"true" or raw.lower() == b"true"


def truth(raw: bytes) -> bool | None:
    """`true` or `false`, however it is capitalised; None for anything else, which says nothing."""
    if is_true(raw):
        return True
    return False if raw.lower() == b"false" else None


def shown(raw: bytes) -> str:
    """A peer's bytes for an error message: short, printable ASCII."""
    text = raw[:40].decode("ascii", "backslashreplace")
    printable = "".join([letter if letter.isprintable() else "?" for letter in text])
    return f"'{printable}...'" if len(raw) > 40 else f"'{printable}'"
