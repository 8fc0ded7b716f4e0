"""A JSON text that is read a part at a time (RFC 8259): whoever sends a large one is not to hold others up with it.

Python's own parser takes all of a text in one go, some 100 ms for 50,000 values or 10 MB.  Here what is large goes token by
token, and only what lies within some kilobytes, an operation of a batch, goes to that parser as a whole.
"""

import json
import re
from base64 import b64decode
from codecs import getincrementaldecoder, utf_8_decode
from typing import Any, Final, final

from protocols.gatewayjson.constants import BAD_JSON
from protocols.gatewayjson.errors import JsonError
from protocols.json_writing import Base64, JsonWriting, Ready, Utf8
from protocols.pieces import Pieces

VALUES_MAX: Final = 50_000
"""Values in one JSON text, about: each costs some hundred times what a byte within a text does."""

AT_ONCE: Final = 8_192
"""Bytes that are read in one go: up to two thousand values, some 2 ms."""

TOKENS_AT_ONCE: Final = 256
"""Tokens in one step."""

WHOLE: Final = 2_048
"""Bytes of a value within others that is given to Python's parser as a whole."""

NESTED_MAX: Final = 500
"""Lists and objects within each other: Python's own writer of JSON takes some 900, less what has called it."""

BESIDE_MAX: Final = 2_097_152
"""Bytes that one operation or envelope may have beside its body, about: what is in there is looked at, translated and
kept in one go, and no other protocol's headers hold as much."""

INFINITY: Final = float("inf")

BODY: Final = "body"
BODY_PACKED: Final = "body_b64"
"""Members that may be very long."""

# What is wanted next.
_VALUE: Final = 0
_VALUE_OR_END: Final = 1
_NAME: Final = 2
_NAME_OR_END: Final = 3
_COLON: Final = 4
_COMMA_OR_END: Final = 5
_NOTHING: Final = 6

_SPACE: Final = re.compile(rb"[ \t\n\r]{0,4096}")
_SCALAR: Final = re.compile(
    rb"(-?(?:0|[1-9][0-9]{0,4299}+))(\.[0-9]{1,4300}+)?([eE][-+]?[0-9]{1,20}+)?|true|false|null"
)
_PLAIN: Final = re.compile(rb'[^"\\\x00-\x1f]{0,8192}')
_ESCAPED: Final = re.compile(rb'(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})){1,2048}+')
_TEXTS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)

_WORDS: Final[dict[bytes, object]] = {b"true": True, b"false": False, b"null": None}
_MARK: Final = b"\xef\xbb\xbf"
_UTF8: Final = getincrementaldecoder("utf-8")
HALF: Final = "half of a surrogate pair is no text"
"""It can be escaped in JSON, but no other protocol could carry it."""

_QUOTE: Final = 0x22
_COMMA: Final = 0x2C
_COLON_SIGN: Final = 0x3A
_LIST: Final = 0x5B
_LIST_END: Final = 0x5D
_OBJECT: Final = 0x7B
_OBJECT_END: Final = 0x7D


def _begin_of(data: bytes) -> int:
    """RFC 8259 §8.1: a byte order mark may be passed over."""
    return len(_MARK) if data.startswith(_MARK) else 0


def plain_text(data: bytes) -> str:
    """A text as Python's parser is to have it.  Raises ValueError.

    RFC 8259 §8.1: it is UTF-8.  Given bytes that parser takes UTF-16 too, and halves of surrogate pairs, which are no text.
    """
    return data[_begin_of(data) :].decode()


def refuse_constant(name: str) -> None:
    """NaN and Infinity, for Python's parser.  Raises ValueError."""
    raise ValueError(f"{name} is not JSON")


def refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, for Python's parser.  Raises ValueError where a name is there twice, since one would be lost."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def finite(digits: str) -> float:
    """RFC 8259 §6 leaves the range to us: what no double holds would be infinity, which JSON has no word for."""
    value = float(digits)
    if value in (INFINITY, -INFINITY):
        raise JsonError("a number is too large")
    return value


_WHOLE_VALUES: Final = json.JSONDecoder(
    parse_float=finite, parse_constant=refuse_constant, object_pairs_hook=refuse_repeats
)


@final
class _Unpacking:
    """A long base64 text (RFC 4648 §4), piece by piece."""

    __slots__ = ("_rest", "wrong")

    def __init__(self) -> None:
        self._rest = ""
        self.wrong = False
        """It is none."""

    def unpack(self, text: str) -> bytes:
        """What a piece says, which is not the last."""
        text = self._rest + text
        # The last four digits may have padding, and nothing before.
        end = max(len(text) - 1, 0) & ~3
        self._rest = text[end:]
        if "=" in text[:end]:
            self.wrong = True
        return self._bytes_of(text[:end])

    def end(self) -> bytes:
        """What the last piece has left."""
        return self._bytes_of(self._rest)

    def _bytes_of(self, text: str) -> bytes:
        if not self.wrong:
            try:
                return b64decode(text, validate=True)
            except ValueError:
                self.wrong = True
        return b""


@final
class JsonText:
    """One text.  Call `step` until it says that `value` is there.

    With `keeps` it is of operations or envelopes, whose bodies, where they are long, are Utf8, Base64 or Ready: to make
    one text of many parts, and bytes of that, would take a moment for each megabyte.
    """

    __slots__ = (
        "_at",
        "_beside",
        "_buffer",
        "_containers",
        "_count",
        "_data",
        "_decoder",
        "_descends_to",
        "_high",
        "_keeps",
        "_kept",
        "_names",
        "_packed",
        "_parts",
        "_values_max",
        "_wanted",
        "_writing",
        "halves",
        "size",
        "value",
    )

    def __init__(self, data: bytes, values_max: int = VALUES_MAX, keeps: bool = False) -> None:
        self.size = len(data)
        # Are long bodies wanted as bytes?
        self._keeps = keeps
        # Bytes of the operation that is being read, but for its body.
        self._beside = 0
        # The name of the member whose text is being read, if that may be one; what has come of it, and of its base64.
        self._kept = ""
        self._buffer: Pieces | None = None
        self._packed: _Unpacking | None = None
        # A body that is a list or object has been read, and is being written.
        self._writing: JsonWriting | None = None
        self._data = data
        self._values_max = values_max
        self._at = _begin_of(data)
        self._count = 0
        self._wanted = _VALUE
        # The lists and objects around what comes next, and the name it has in each that is an object.
        self._containers: list[object] = []
        self._names: list[str] = []
        # Of a text that is being read; None between texts.
        self._parts: list[str] | None = None
        self._decoder: Any = None
        # The first half of an escaped surrogate pair, at the end of a part: the second may be in the next.
        self._high = ""
        # Before this place nothing more is tried as a whole: it was cut off there.
        self._descends_to = 0
        self.halves: list[int] = []
        """Where half of a surrogate pair is: members of the outermost list, 0 for whatever else that is."""
        self.value: Any = None

    def step(self) -> bool:
        """Read on for a moment; answers whether that was all.  Raises JsonError as `codec.load` does."""
        # By another name: of itself mypyc would go on believing that there is none, whatever has been read meanwhile.
        writing = self._writing
        if writing is not None:
            self._write(writing)
            return False
        tokens = TOKENS_AT_ONCE
        end = min(self._at + AT_ONCE, len(self._data))
        while tokens > 0 and self._at < end and self._writing is None:
            tokens -= 1
            self._token()
        if self._at < len(self._data) or self._writing is not None:
            return False
        if self._wanted != _NOTHING or self._parts is not None:
            raise _no_json("it ends too early")
        return True

    def _token(self) -> None:
        if self._parts is not None:
            self._go_on_with_text()
            return
        data = self._data
        space = _SPACE.match(data, self._at)
        assert space is not None
        self._at = space.end()
        if self._at == len(data):
            return
        byte = data[self._at]
        if space.end() - space.start() == 4_096 and byte in b" \t\n\r":
            return
        wanted = self._wanted
        if wanted == _COMMA_OR_END:
            self._behind_value(byte)
        elif wanted == _COLON:
            if byte != _COLON_SIGN:
                raise self._wrong()
            self._at += 1
            self._wanted = _VALUE
        elif wanted == _NAME or wanted == _NAME_OR_END:
            if byte == _QUOTE:
                self._begin_text()
            elif byte == _OBJECT_END and wanted == _NAME_OR_END:
                self._close()
            else:
                raise self._wrong()
        elif wanted == _NOTHING:
            raise self._wrong()
        elif byte == _LIST_END and wanted == _VALUE_OR_END:
            self._close()
        else:
            self._begin_value(byte)

    def _behind_value(self, byte: int) -> None:
        within = isinstance(self._containers[-1], dict)
        if byte == _COMMA:
            self._at += 1
            self._add_count(1)
            self._wanted = _NAME if within else _VALUE
        elif byte == (_OBJECT_END if within else _LIST_END):
            self._close()
        else:
            raise self._wrong()

    def _begin_value(self, byte: int) -> None:
        if byte == _QUOTE:
            self._begin_text()
        elif byte == _LIST or byte == _OBJECT:
            if not (self._at >= self._descends_to and self._whole()):
                self._open(byte)
        else:
            self._scalar()

    def _scalar(self) -> None:
        found = _SCALAR.match(self._data, self._at)
        if found is None:
            raise self._wrong()
        self._at = found.end()
        self._add_beside(found.end() - found.start())
        digits = found.group(1)
        if digits is None:
            self._put(_WORDS[found.group()])
        elif found.group(2) is None and found.group(3) is None:
            self._put(int(digits))
        else:
            self._put(finite(found.group().decode()))

    # -- lists and objects

    def _whole(self) -> bool:
        """Read a small list or object in one go, if one is there: what is wrong with others is found token by token."""
        at = self._at
        piece = self._data[at : at + WHOLE]
        try:
            text = utf_8_decode(piece, "strict", False)[0]
            value, end = _WHOLE_VALUES.raw_decode(text)
            if end < len(piece):
                piece = piece[:end] if text.isascii() else text[:end].encode()
        except (ValueError, RecursionError):
            self._descends_to = at + WHOLE
            return False
        if b"\\u" in piece and _has_half(json.dumps(value, ensure_ascii=False)):
            if not self._containers:
                # It is to be known in which of its members.
                self._descends_to = at + WHOLE
                return False
            self._note_half()
        bare = _TEXTS.sub(b"", piece)
        brackets = bare.count(b"[") + bare.count(b"{")
        if len(self._containers) + brackets > NESTED_MAX:
            # It could be nested too deeply.
            self._descends_to = at + len(piece)
            return False
        self._add_count(bare.count(b",") + brackets)
        self._add_beside(len(piece))
        self._at = at + len(piece)
        self._put(value)
        return True

    def _open(self, byte: int) -> None:
        if len(self._containers) == NESTED_MAX:
            raise _no_json("nested too deeply")
        self._at += 1
        self._add_count(1)
        within = byte == _OBJECT
        self._containers.append({} if within else [])
        self._names.append("")
        self._wanted = _NAME_OR_END if within else _VALUE_OR_END

    def _close(self) -> None:
        self._at += 1
        self._names.pop()
        value = self._containers.pop()
        if self._member() == BODY:
            self._writing = JsonWriting(value)
            # As it is written here it is hardly longer than the text that it came in.
            self._buffer = Pieces(b"", len(self._data))
        else:
            self._put(value)

    def _write(self, writing: JsonWriting) -> None:
        """A body that is a list or object is kept as its text, as it is written here."""
        buffer = self._buffer
        assert buffer is not None
        buffer.add(writing.step())
        if writing.over:
            self._writing = None
            self._buffer = None
            self._put(Ready(buffer.take()))

    def _member(self) -> str:
        """The name of the value that comes next or has just come, if that is a member of an operation."""
        containers = self._containers
        depth = len(containers)
        if not self._keeps or depth == 0 or not isinstance(containers[-1], dict):
            return ""
        if depth > 1 and not (depth == 2 and isinstance(containers[0], list)):
            return ""
        return self._names[-1]

    def _put(self, value: object) -> None:
        """A value is there."""
        containers = self._containers
        if not containers:
            self.value = value
            self._wanted = _NOTHING
            return
        self._wanted = _COMMA_OR_END
        container = containers[-1]
        if isinstance(container, list):
            container.append(value)
            if len(containers) == 1:
                # The next one begins.
                self._beside = 0
        else:
            assert isinstance(container, dict)
            container[self._names[-1]] = value

    def _add_beside(self, size: int) -> None:
        """So many bytes more have been read, of a body or beside it."""
        containers = self._containers
        if not self._keeps or not containers:
            return
        at = 1 if isinstance(containers[0], list) else 0
        depth = len(containers) - 1
        # Names of an operation's members are none of the body, whatever the last one was.
        own = depth == at and (self._wanted == _NAME or self._wanted == _NAME_OR_END)
        if depth >= at and not own and self._names[at] in (BODY, BODY_PACKED):
            return
        self._beside += size
        if self._beside > BESIDE_MAX:
            raise JsonError(f"more than {BESIDE_MAX} bytes beside a body", BAD_JSON)

    def _add_count(self, count: int) -> None:
        self._count += count
        if self._count > self._values_max:
            raise JsonError(f"more than {self._values_max} values in one JSON text", BAD_JSON)

    # -- texts

    def _begin_text(self) -> None:
        self._at += 1
        self._parts = []
        self._decoder = _UTF8()
        is_name = self._wanted == _NAME or self._wanted == _NAME_OR_END
        self._kept = "" if is_name else self._member()
        self._go_on_with_text()

    def _go_on_with_text(self) -> None:
        """Read the rest of a text, or a part of it."""
        data = self._data
        at = self._at
        plain = _PLAIN.match(data, at)
        assert plain is not None
        piece = plain.group()
        at = plain.end()
        if piece:
            self._add(piece)
        self._at = at
        if at == len(data):
            return
        byte = data[at]
        if byte == _QUOTE:
            self._at += 1
            self._end_text()
        elif byte == 0x5C:
            escaped = _ESCAPED.match(data, at)
            if escaped is None:
                raise self._wrong()
            self._at = escaped.end()
            # What lies before a cut within a character waits in the decoder.
            self._add(escaped.group(), True)
        elif byte < 0x20:
            raise self._wrong()

    def _add(self, piece: bytes, escaped: bool = False) -> None:
        parts = self._parts
        assert parts is not None
        self._add_beside(len(piece))
        try:
            text: str = self._decoder.decode(piece)
        except UnicodeDecodeError:
            raise _no_json("it is not UTF-8") from None
        if escaped:
            # Nothing but whole escapes, and what needs none.
            text = json.loads(f'"{text}"')
        if self._high or (escaped and b"\\u" in piece):
            text = self._paired(text)
        if not text:
            return
        if parts and (self._kept == BODY or self._kept == BODY_PACKED):
            text = "".join(parts) + text
            parts.clear()
            # The end of the text is somewhere before the end of all.
            self._buffer = Pieces(b"", len(self._data) - self._at + AT_ONCE)
            if self._kept == BODY_PACKED:
                self._packed = _Unpacking()
        if self._buffer is None:
            parts.append(text)
        elif self._packed is None:
            self._buffer.add(text.encode("utf-8", "replace"))
        else:
            self._buffer.add(self._packed.unpack(text))

    def _paired(self, text: str) -> str:
        """A part of a text, with what the part before it has left; what it leaves to the next is taken off."""
        high = self._high
        self._high = ""
        if not text:
            self._high = high
            return text
        if high:
            low = ord(text[0])
            if 0xDC00 <= low <= 0xDFFF:
                # Two escapes are one character (RFC 8259 §7).
                text = chr(0x10000 + ((ord(high) - 0xD800) << 10) + low - 0xDC00) + text[1:]
            else:
                text = high + text
        last = text[-1]
        if 0xD800 <= ord(last) <= 0xDBFF:
            self._high = last
            text = text[:-1]
        if _has_half(text):
            self._note_half()
        return text

    def _note_half(self) -> None:
        outermost = self._containers[0] if self._containers else None
        at = len(outermost) if isinstance(outermost, list) else 0
        if not self.halves or self.halves[-1] != at:
            self.halves.append(at)

    def _end_text(self) -> None:
        parts = self._parts
        assert parts is not None
        self._parts = None
        try:
            self._decoder.decode(b"", True)
        except UnicodeDecodeError:
            raise _no_json("it is not UTF-8") from None
        if self._high:
            parts.append(self._high)
            self._high = ""
            self._note_half()
        if self._buffer is not None:
            self._put(self._kept_value(self._buffer))
            return
        text = "".join(parts)
        if self._wanted == _NAME or self._wanted == _NAME_OR_END:
            container = self._containers[-1]
            assert isinstance(container, dict)
            if text in container:
                raise _no_json("a name is there twice")
            self._names[-1] = text
            self._wanted = _COLON
        else:
            self._put(text)

    def _kept_value(self, buffer: Pieces) -> object:
        """A long body."""
        packed = self._packed
        self._buffer = None
        self._packed = None
        if packed is None:
            return Utf8(buffer.take())
        buffer.add(packed.end())
        # What is no base64 is a text that says so.
        return "?" if packed.wrong else Base64(buffer.take())

    def _wrong(self) -> JsonError:
        return _no_json(f"byte {self._at} does not belong there")


def _has_half(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _no_json(reason: str) -> JsonError:
    return JsonError(f"not JSON: {reason}", BAD_JSON)
