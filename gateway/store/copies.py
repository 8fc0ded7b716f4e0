"""Lists of copies as a row of the table `fanout` holds them: sorted, as differences, compressed with a checksum.

Copies that one message has: count, distinct notes, then count × u64 the difference of each key to the one before, count
× u32 which note, and for each note u32 its length and the note.  Copies that have left: count, then count × u64 the
difference of the first key of each run to the last one of the run before, count × u64 how many follow the first.
Integers are little-endian; the whole is a zlib stream, whose checksum tells of damage.
"""

import sys
import zlib
from array import array
from itertools import accumulate
from operator import sub
from struct import Struct
from typing import Final

from gateway.core.record import BadRecord

_HEAD: Final = Struct("<II")
_LENGTH: Final = Struct("<I")
_KEY_MAX: Final = (1 << 63) - 1

UNPACKED_MAX: Final = 1 << 30
"""Bytes of a list; far above any that is written, so that a damaged one does not take all memory."""

# Keys differ in few bytes from row to row; more effort makes little of it smaller.
_LEVEL: Final = 1


def pack_copies(keys: list[int], notes: list[bytes]) -> bytes:
    """`keys` in rising order, and the note of each."""
    numbers: dict[bytes, int] = {}
    which = [numbers.setdefault(note, len(numbers)) for note in notes]
    parts = [
        _HEAD.pack(len(keys), len(numbers)),
        _words("Q", map(sub, keys, [0, *keys])),
        _words("I", which),
    ]
    for note in numbers:
        parts += (_LENGTH.pack(len(note)), note)
    return zlib.compress(b"".join(parts), _LEVEL)


def unpack_copies(data: bytes) -> tuple[list[int], list[bytes]]:
    """Keys and notes.  Raises BadRecord."""
    content = _content(data)
    count, distinct = _HEAD.unpack_from(content)
    at = _HEAD.size + 12 * count
    if len(content) < at:
        raise BadRecord("its list of copies is too short")
    keys = _keys(_read_words("Q", content, _HEAD.size, count))
    which = _read_words("I", content, _HEAD.size + 8 * count, count)
    notes: list[bytes] = []
    for _ in range(distinct):
        end = at + 4
        end += int.from_bytes(content[at:end], "little")
        notes.append(content[at + 4 : end])
        at = end
    if at != len(content) or (count and max(which) >= distinct):
        raise BadRecord("the notes of its copies are not whole")
    return keys, [notes[number] for number in which]


def pack_runs(runs: list[tuple[int, int]]) -> bytes:
    """Runs of keys, first and last, in rising order and apart from each other."""
    firsts = [first for first, _ in runs]
    lasts = [last for _, last in runs]
    return zlib.compress(
        _HEAD.pack(len(runs), 0)
        + _words("Q", map(sub, firsts, [0, *lasts]))
        + _words("Q", map(sub, lasts, firsts)),
        _LEVEL,
    )


def unpack_runs(data: bytes) -> list[tuple[int, int]]:
    """What `pack_runs` was given.  Raises BadRecord."""
    content = _content(data)
    count, _ = _HEAD.unpack_from(content)
    if len(content) != _HEAD.size + 16 * count:
        raise BadRecord("its list of runs has another length")
    steps = _read_words("Q", content, _HEAD.size, count)
    more = _read_words("Q", content, _HEAD.size + 8 * count, count)
    edges = _keys([step for pair in zip(steps, more, strict=True) for step in pair])
    return list(zip(edges[::2], edges[1::2], strict=True))


def _content(data: bytes) -> bytes:
    try:
        unpacking = zlib.decompressobj()
        content = unpacking.decompress(data, UNPACKED_MAX)
    except (zlib.error, TypeError) as error:
        raise BadRecord(f"its list of copies cannot be read: {error}") from None
    # Only at its very end is the checksum compared.
    if not unpacking.eof or unpacking.unused_data or len(content) < _HEAD.size:
        raise BadRecord("its list of copies is not whole")
    return content


def _keys(steps: "list[int] | array[int]") -> list[int]:
    keys = list(accumulate(steps))
    if keys and keys[-1] > _KEY_MAX:
        raise BadRecord("its list of copies names impossible places")
    return keys


def _words(code: str, values: "map[int] | list[int]") -> bytes:
    words = array(code, values)
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()


def _read_words(code: str, content: bytes, at: int, count: int) -> "array[int]":
    words = array(code)
    words.frombytes(content[at : at + count * words.itemsize])
    if sys.byteorder == "big":
        words.byteswap()
    return words
