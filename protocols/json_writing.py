"""A JSON text that is written a part at a time (RFC 8259): the counterpart of `JsonText`.

Python's own writer takes a value in one go, and what it makes of 20 MB of text takes it more than 100 ms.
"""

import base64
import json
from json.encoder import encode_basestring
from typing import Final, final

PART_BYTES: Final = 65_536
"""Bytes of a part, about: to make one takes less than a millisecond."""

_VALUES: Final = 128
"""Values written in one step: a number near the largest takes 10 µs."""

_SHORT: Final = 1_024
"""Characters of a text that is written in one go."""

_SLICE: Final = 16_384
"""Characters, or bytes, of a longer one that are."""

_PACKED_SLICE: Final = 3 * 8_192
"""Base64 stands for three bytes at a time (RFC 4648 §4)."""

_MARKED: Final = bytes([*range(0x20), 0x22, 0x5C])
"""What needs an escape (RFC 8259 §7)."""


# Long values as bytes, in what is written and in what was read.


@final
class Utf8:
    """A text as UTF-8, which it is known to be."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


@final
class Base64:
    """Bytes, as the text that stands for them."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


@final
class Ready:
    """A JSON text of a value, as it is to be written."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


@final
class JsonWriting:
    """One value: what `json.dumps` takes, within which there may be Utf8, Base64 and Ready.

    Call `step` until it is `over`.
    """

    __slots__ = ("_at", "_ends", "_items", "_long", "_long_at", "_names", "over")

    def __init__(self, value: object) -> None:
        # Lists and objects around what comes next: what is in them and its names, how many of that are written, and
        # how they end.  The outermost has no ends of its own: all that is in it is the value.
        self._items: list[list[object]] = [[value]]
        self._names: list[list[str] | None] = [None]
        self._at: list[int] = [0]
        self._ends: list[bytes] = [b""]
        # What is being written in several steps, and from where on.
        self._long: object = None
        self._long_at = 0
        self.over = False
        """All of it has been written."""

    def step(self) -> bytes:
        """The next part, of PART_BYTES at most, about.  Raises ValueError for a number that is none."""
        out: list[bytes] = []
        size = 0
        values = _VALUES
        while not self.over and size < PART_BYTES and values > 0:
            if self._long is not None:
                piece = self._go_on()
            else:
                values -= 1
                piece = self._next()
            size += len(piece)
            out.append(piece)
        return out[0] if len(out) == 1 else b"".join(out)

    def _next(self) -> bytes:
        """Up to the next value, or the end of a list or object."""
        items = self._items[-1]
        at = self._at[-1]
        if at == len(items):
            self._items.pop()
            self._at.pop()
            self._names.pop()
            self.over = not self._items
            return self._ends.pop()
        self._at[-1] = at + 1
        names = self._names[-1]
        head = b"," if at else b""
        if names is not None:
            head += _quoted(names[at]) + b":"
        return head + self._value(items[at])

    def _value(self, value: object) -> bytes:
        """All of a value, or how it begins."""
        if isinstance(value, str):
            if len(value) <= _SHORT:
                return _quoted(value)
            self._begin(value)
            return b'"'
        if value is None:
            return b"null"
        if isinstance(value, bool):
            return b"true" if value else b"false"
        if isinstance(value, (int, float)):
            return json.dumps(value, allow_nan=False).encode()
        if isinstance(value, dict):
            self._open(list(value.values()), list(value), b"}")
            return b"{"
        if isinstance(value, list):
            self._open(value, None, b"]")
            return b"["
        self._begin(value)
        return b"" if isinstance(value, Ready) else b'"'

    def _open(self, items: list[object], names: list[str] | None, end: bytes) -> None:
        self._items.append(items)
        self._names.append(names)
        self._ends.append(end)
        self._at.append(0)

    # -- what is long

    def _begin(self, value: object) -> None:
        self._long = value
        self._long_at = 0

    def _go_on(self) -> bytes:
        """Some more of it."""
        value = self._long
        at = self._long_at
        if isinstance(value, str):
            end = min(at + _SLICE, len(value))
            whole = len(value)
            piece = _quoted(value[at:end])[1:-1]
        elif isinstance(value, Base64):
            end = min(at + _PACKED_SLICE, len(value.data))
            whole = len(value.data)
            piece = base64.b64encode(value.data[at:end])
        else:
            assert isinstance(value, (Utf8, Ready))
            end = min(at + _SLICE, len(value.data))
            whole = len(value.data)
            if isinstance(value, Utf8):
                end = _character_end(value.data, end)
                piece = _escaped(value.data[at:end])
            else:
                piece = value.data[at:end]
        self._long_at = end
        if end < whole:
            return piece
        self._long = None
        return piece if isinstance(value, Ready) else piece + b'"'


def all_of(value: object) -> bytes:
    """The whole text, in one go.  Raises ValueError."""
    writing = JsonWriting(value)
    parts: list[bytes] = []
    while not writing.over:
        parts.append(writing.step())
    return b"".join(parts)


def _quoted(text: str) -> bytes:
    # Half of a surrogate pair cannot be said.
    quoted: str = encode_basestring(text)
    return quoted.encode("utf-8", "replace")


def _character_end(data: bytes, at: int) -> int:
    """Where the character begins that byte `at` is of: none is cut."""
    while at < len(data) and data[at] & 0xC0 == 0x80:
        at -= 1
    return at


def _escaped(piece: bytes) -> bytes:
    """Whole characters, as they stand within quotes."""
    if len(piece.translate(None, _MARKED)) == len(piece):
        return piece
    return _quoted(piece.decode())[1:-1]
