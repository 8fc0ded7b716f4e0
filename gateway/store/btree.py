"""What is in one page of a tree: cells, and the values in them.  SQLite's file format, "B-tree Pages" and "Record Format".

Nothing here trusts what it reads: a cell that makes no sense is left out, and the others of its page are there.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple

from gateway.store.wal import PAGE_SIZE

INDEX_INNER: Final = 2
TABLE_INNER: Final = 5
INDEX_LEAF: Final = 10
TABLE_LEAF: Final = 13
KINDS: Final = (INDEX_INNER, TABLE_INNER, INDEX_LEAF, TABLE_LEAF)

HEADER_SIZE: Final = 100
"""Of the database, before the tree in its first page."""

_TABLE_LOCAL_MAX: Final = PAGE_SIZE - 35
_INDEX_LOCAL_MAX: Final = (PAGE_SIZE - 12) * 64 // 255 - 23
_LOCAL_MIN: Final = (PAGE_SIZE - 12) * 32 // 255 - 23
_OVERFLOW_SIZE: Final = PAGE_SIZE - 4

_INTEGER_SIZES: Final = (0, 1, 2, 3, 4, 6, 8)
_FLOAT: Final = 7
_ZERO: Final = 8
_ONE: Final = 9
_BLOB: Final = 12
_DOUBLE: Final = Struct(">d")

Value = int | float | str | bytes | None

PageOf = Callable[[int], bytes]


class Cell(NamedTuple):
    """A row, or an entry of an index."""

    key: int | None
    """Its rowid, if its tree has such."""
    record: bytes
    """Its values, encoded."""


class BadCell(Exception):
    """What lies there is no cell, or not a whole one; `str(error)` says why."""


class Page(NamedTuple):
    """One page of a tree."""

    kind: int
    """0 where it is no page of a tree."""
    cells: list[int]
    """Where they begin."""
    children: list[int]
    """Pages below it."""
    bounds: list[int]
    """The highest key in the child of the same place; none for the last one, and in a tree without keys."""


NO_PAGE: Final = Page(0, [], [], [])


def read_page(data: bytes, number: int) -> Page:
    """What page `number` says of itself."""
    at = HEADER_SIZE if number == 1 else 0
    kind = data[at]
    count = _u16(data, at + 3)
    inner = kind in (INDEX_INNER, TABLE_INNER)
    pointers = at + (12 if inner else 8)
    if kind not in KINDS or pointers + 2 * count > PAGE_SIZE:
        return NO_PAGE
    found = [_u16(data, pointers + 2 * cell) for cell in range(count)]
    cells = [cell for cell in found if pointers + 2 * count <= cell < PAGE_SIZE - 3]
    if not inner:
        return Page(kind, cells, [], [])
    children = [_u32(data, cell) for cell in cells]
    bounds: list[int] = []
    if kind == TABLE_INNER:
        bounds = [_bound(data, cell) for cell in cells]
        cells = []
    return Page(kind, cells, [*children, _u32(data, at + 8)], bounds)


def _bound(data: bytes, cell: int) -> int:
    try:
        return _varint(data, cell + 4)[0]
    except BadCell:
        return 0


def read_cell(data: bytes, kind: int, at: int, page_of: PageOf) -> Cell:
    """The cell that begins at `at`; what of it lies in other pages is fetched by `page_of`.  Raises BadCell."""
    if kind == INDEX_INNER:
        at += 4
    size, at = _varint(data, at)
    key: int | None = None
    local_max = _INDEX_LOCAL_MAX
    if kind == TABLE_LEAF:
        key, at = _varint(data, at)
        key = key - (1 << 64) if key >> 63 else key
        local_max = _TABLE_LOCAL_MAX
    if not 2 <= size <= RECORD_SIZE_MAX:
        raise BadCell(f"a record of {size} bytes")
    local = size
    if size > local_max:
        local = _LOCAL_MIN + (size - _LOCAL_MIN) % _OVERFLOW_SIZE
        if local > local_max:
            local = _LOCAL_MIN
    record = data[at : at + local]
    if len(record) < local:
        raise BadCell("it goes beyond its page")
    if local < size:
        record += _overflow(data, at + local, size - local, page_of)
    return Cell(key, record)


RECORD_SIZE_MAX: Final = 1 << 30


def _overflow(data: bytes, at: int, size: int, page_of: PageOf) -> bytes:
    """The rest of a record, a chain of pages."""
    parts: list[bytes] = []
    seen: set[int] = set()
    following = _u32(data, at) if at + 4 <= PAGE_SIZE else 0
    while size > 0:
        if following == 0 or following in seen:
            raise BadCell(f"{size} bytes of it are missing")
        seen.add(following)
        page = page_of(following)
        if not page:
            raise BadCell(f"{size} bytes of it are in page {following}, which is not there")
        parts.append(page[4 : 4 + size])
        size -= _OVERFLOW_SIZE
        following = _u32(page, 0)
    return b"".join(parts)


def values_of(record: bytes) -> list[Value]:
    """The values of a record.  Text that is none comes as bytes.  Raises BadCell."""
    header_size, at = _varint(record, 0)
    if not at <= header_size <= len(record):
        raise BadCell("its header is longer than it is")
    end = header_size
    values: list[Value] = []
    while at < header_size:
        kind, at = _varint(record, at)
        start = end
        end += _size_of(kind)
        if end > len(record):
            raise BadCell("a value is longer than it is")
        values.append(_value(record[start:end], kind))
    if at != header_size or end != len(record):
        raise BadCell("its lengths do not add up")
    return values


def _size_of(kind: int) -> int:
    if kind < len(_INTEGER_SIZES):
        return _INTEGER_SIZES[kind]
    if kind == _FLOAT:
        return 8
    return (kind - _BLOB) // 2 if kind >= _BLOB else 0


def _value(data: bytes, kind: int) -> Value:
    if kind == 0:
        return None
    if kind < _FLOAT:
        return int.from_bytes(data, "big", signed=True)
    if kind == _FLOAT:
        value: float = _DOUBLE.unpack(data)[0]
        return value
    if kind in (_ZERO, _ONE):
        return kind - _ZERO
    if kind < _BLOB:
        raise BadCell(f"a value of the unknown form {kind}")
    if kind % 2 == 0:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _u16(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of 1 to 9 bytes, and where it ends.  Raises BadCell."""
    value = 0
    for byte in data[at : at + 8]:
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    if at >= len(data):
        raise BadCell("it ends within a number")
    return value << 8 | data[at], at + 1
