"""What the rows of each table look like: what is read of a store is held against this, since a page may have been damaged.

A new table is one line of SHAPES, with the version that brought it.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gateway.core.ports import QUEUE_NUMBER_MAX, SEQUENCE_BITS, SEQUENCE_MAX
from gateway.core.record import BadRecord, check_record
from gateway.store.btree import Value
from gateway.store.copies import unpack_copies, unpack_runs

INTEGER_MAX: Final = (1 << 63) - 1
SIZE_MAX: Final = (1 << 32) - 1
"""Bytes of one message, more than any protocol allows."""

LANE_MAX: Final = 32_767


class Column(NamedTuple):
    """One column."""

    name: str
    type: type
    """int, str or bytes."""
    low: int = 0
    high: int = INTEGER_MAX

    def fits(self, value: Value) -> bool:
        """May this be in it?"""
        if type(value) is not self.type:
            return False
        return not isinstance(value, int) or self.low <= value <= self.high

    def condition(self) -> str:
        """The same in SQL."""
        if self.type is int:
            return f"typeof({self.name}) = 'integer' AND {self.name} BETWEEN {self.low} AND {self.high}"
        return f"typeof({self.name}) = '{'text' if self.type is str else 'blob'}'"


class Shape(NamedTuple):
    """One table."""

    table: str
    columns: tuple[Column, ...]
    since: int = 1
    """The version of the store that brought it."""
    rowid: bool = True
    """False for a table WITHOUT ROWID, which is the tree of its primary key."""
    keyed: bool = True
    """Is the first column the rowid?"""
    bulk: bool = False
    """Too many rows to look at every one at each start."""
    record_at: int = -1
    """The column that has the record, if any has."""
    unique: str = ""
    """A column, not the key, of which every row has another value."""
    check: Callable[[Sequence[Value]], str] | None = None
    """What else is wrong with a row whose columns fit; empty for nothing."""
    place: Callable[[Value], str] | None = None
    """What its first column means to people."""

    @property
    def names(self) -> str:
        """The columns, for SQL."""
        return ", ".join(column.name for column in self.columns)

    def condition(self) -> str:
        """What holds for each row, in SQL."""
        return " AND ".join(column.condition() for column in self.columns)

    def fault(self, values: Sequence[Value]) -> str:
        """What is wrong with a row; empty for nothing."""
        if len(values) != len(self.columns):
            return f"it has {len(values)} columns"
        for column, value in zip(self.columns, values, strict=True):
            if not column.fits(value):
                return f"its {column.name} is {_shown(value)}"
        return "" if self.check is None else self.check(values)

    def name_of(self, values: Sequence[Value]) -> str:
        """A row, as people are told of it."""
        if self.place is not None and values and isinstance(values[0], int):
            return self.place(values[0])
        named = [value for value in values if isinstance(value, str)]
        return f"{self.table} {' '.join(named)!r}" if named else f"a row of {self.table}"


def message_at(key: Value) -> str:
    """The place of a message in a queue."""
    assert isinstance(key, int)
    return f"queue {key >> SEQUENCE_BITS}, message {key & SEQUENCE_MAX}"


def _shown(value: Value) -> str:
    return repr(value) if isinstance(value, int | float | None) else type(value).__name__


def _last_is_record(values: Sequence[Value]) -> str:
    record = values[-1]
    assert isinstance(record, bytes)
    try:
        check_record(record)
    except BadRecord as error:
        return str(error)
    return ""


def _entry(values: Sequence[Value]) -> str:
    # The record of a large message is elsewhere, and looked at where it is.
    return _last_is_record(values) if values[-1] else ""


def _fanout(values: Sequence[Value]) -> str:
    """A message with its copies, or without it a list of those that have left."""
    *_, record, copies = values
    assert isinstance(record, bytes)
    assert isinstance(copies, bytes)
    try:
        if record:
            check_record(record)
            unpack_copies(copies)
        else:
            unpack_runs(copies)
    except BadRecord as error:
        return str(error)
    return ""


_KEY: Final = Column("id", int, 1 << SEQUENCE_BITS)
_EXPIRES: Final = Column("expires", int)
_RECORD: Final = Column("record", bytes)

SHAPES: Final = (
    Shape("meta", (Column("key", str), Column("value", int)), rowid=False),
    Shape("queue", (Column("number", int, 1, QUEUE_NUMBER_MAX), Column("key", str), Column("note", bytes))),
    Shape("gone", (Column("number", int, 1, QUEUE_NUMBER_MAX),)),
    Shape(
        "entry",
        (
            _KEY,
            Column("lane", int, 0, LANE_MAX),
            Column("failures", int, 0, SIZE_MAX),
            Column("size", int, 0, SIZE_MAX),
            _EXPIRES,
            Column("note", bytes),
            _RECORD,
        ),
        bulk=True,
        check=_entry,
        place=message_at,
    ),
    Shape(
        "part",
        (_KEY, Column("segment", int, 1), Column("offset", int), Column("length", int, 1, SIZE_MAX)),
        since=2,
        place=message_at,
    ),
    Shape(
        "fanout",
        (
            Column("id", int, 1),
            Column("lane", int, 0, LANE_MAX),
            Column("size", int, 0, SIZE_MAX),
            _EXPIRES,
            _RECORD,
            Column("copies", bytes),
        ),
        since=3,
        check=_fanout,
        record_at=4,
    ),
    Shape("retained", (Column("topic", str), _RECORD), keyed=False, unique="topic", check=_last_is_record),
    Shape("note", (Column("space", str), Column("key", str), Column("value", bytes)), rowid=False),
    Shape("quarantine", (Column("place", str), Column("reason", str), _RECORD), keyed=False),
)


def shapes_of(version: int) -> list[Shape]:
    """The tables of a store of this version."""
    return [shape for shape in SHAPES if shape.since <= version]
