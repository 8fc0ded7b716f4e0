"""What can be read of a damaged store goes into a new one, row by row; what cannot is named.

The damaged one is only read, page by page (`image.py`), so no damage can hide what is beside it.  A row that does not
look as a row of its table must is not believed: it is set aside in the table `quarantine`, as it was found.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, final

from gateway.core.ports import EPOCH_SHIFT, SEQUENCE_BITS
from gateway.core.record import BadRecord, id_of
from gateway.store.btree import BadCell, Value, read_cell, values_of
from gateway.store.database import Database
from gateway.store.errors import StoreFailed
from gateway.store.image import Image
from gateway.store.rising import rising
from gateway.store.schema import APPLICATION_ID, VERSION, Opener, begin, note_version, number_at
from gateway.store.shapes import Shape, message_at, shapes_of
from gateway.store.strays import find_strays
from gateway.store.trees import Account, Lost, Trees, account_of, page_of, row_of, texts_of
from gateway.store.wal import PAGE_SIZE, Index

COPIED_PER_STEP: Final = 1_000
"""Rows copied in one transaction."""

NAMED_MAX: Final = 20
"""Pages and rows of one table that a report names; it counts all."""

UNREADABLE_MAX: Final = 1_000
"""Sectors that may be bad; with more of them it is the disk that fails, not the store."""


EPOCHS_SKIPPED: Final = 1_000
"""Starts that may have been, of which no message is left."""


class Row(NamedTuple):
    """One row as it was found."""

    values: list[Value]
    record: bytes
    """The same, encoded."""
    fault: str
    """What is wrong with it; empty for nothing."""
    doubtful: bool
    """It may be an older form of a row that is there too."""


def is_ours(path: Path, index: Index) -> bool:
    """Is there a store at `path`, whatever its header says?"""
    with Image(path, index) as image:
        account = account_of(image)
        if account.texts & texts_of(VERSION) and account.version <= VERSION:
            return True
        meta = _meta_of(image, account)
        if account.version > VERSION and account.texts:
            # Written by a newer version of this program, unless the store says otherwise in another place.
            return 1 <= meta.get("version", account.version) <= VERSION
        return not meta.keys().isdisjoint(("epoch", "clean"))


def _meta_of(image: Image, account: Account) -> dict[str, int]:
    """What can be read of the table meta; of several values the highest."""
    trees = Trees(image, VERSION, account.roots)
    shape = next(shape for shape in shapes_of(VERSION) if shape.table == "meta")
    found: dict[str, int] = {}
    for number in trees.pages_of("meta"):
        for row in rows_in(image, number, shape):
            if not row.fault:
                key, value = row.values
                assert isinstance(key, str)
                assert isinstance(value, int)
                found[key] = max(value, found.get(key, 0))
    return found


def version_of(image: Image, account: Account) -> int:
    """Which version wrote it: by its header, unless its tables are those of another."""
    # Of two with the same tables the older one: what makes the newer one of it leaves alone what is done already.
    for version in range(1, VERSION + 1):
        if account.texts == texts_of(version):
            return version
    there = {shape.table for shape in shapes_of(VERSION)} & account.roots.keys()
    needed = max((shape.since for shape in shapes_of(VERSION) if shape.table in there), default=1)
    header_sound = number_at(image.page(1), 68) == APPLICATION_ID
    said = account.version if header_sound and 1 <= account.version <= VERSION else VERSION
    return max(needed, said)


def salvage(path: Path, part: Path, index: Index, opener: Opener) -> list[str]:
    """Copy what can be read of the store at `path` into the new file `part`; returns what was lost, one line each.

    On return `part` is on the disk.  Raises StoreError.
    """
    with Image(path, index) as image:
        account = account_of(image)
        version = version_of(image, account)
        trees = Trees(image, version, account.roots)
        copy = begin(part, opener, version)
        try:
            copy.execute("PRAGMA journal_mode = OFF")
            copy.execute("PRAGMA synchronous = OFF")
            report = _Copying(path, image, trees, copy, version).all(shapes_of(version))
        finally:
            copy.close()
        if len(image.unreadable) > UNREADABLE_MAX:
            raise StoreFailed(f"{path}: {len(image.unreadable)} pages cannot be read from the disk")
        if image.fault:
            report.insert(0, image.fault)
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    return report


def rows_in(image: Image, number: int, shape: Shape) -> Iterator[Row]:
    """The rows in one page, and where it is doubtful those of its older forms."""
    for at, data in enumerate(image.versions(number)):
        page = page_of(data, shape)
        found: list[Row] = []
        for cell_at in page.cells:
            try:
                cell = read_cell(data, page.kind, cell_at, image.page)
            except BadCell as error:
                found.append(Row([], data[cell_at : cell_at + 64], str(error), at > 0))
                continue
            try:
                values: list[Value] = row_of(shape, cell.key, values_of(cell.record))
                fault = shape.fault(values)
            except BadCell as error:
                values, fault = [], str(error)
            found.append(Row(values, cell.record, fault, at > 0))
        yield from _in_order(found, shape)


def _id_of(row: Row) -> int:
    record = row.values[-1]
    assert isinstance(record, bytes)
    return id_of(record)


def _in_order(rows: list[Row], shape: Shape) -> list[Row]:
    """The same; a row that is not at its place has another key than it was written with."""
    keys = [_key_of(row, shape) for row in rows]
    sound = [at for at, row in enumerate(rows) if not row.fault]
    kept = {sound[at] for at in rising([keys[at] for at in sound])} if shape.keyed else set(sound)
    return [
        row if row.fault or at in kept else row._replace(fault="it is not at the place of its key")
        for at, row in enumerate(rows)
    ]


def _key_of(row: Row, shape: Shape) -> tuple[object, ...]:
    width = 1 if shape.rowid else len(shape.columns) - 1
    return tuple(value.encode() if isinstance(value, str) else value for value in row.values[:width])


@final
class _Copying:
    """Fills `copy` with what the trees of `image` hold."""

    def __init__(self, store: Path, image: Image, trees: Trees, copy: Database, version: int) -> None:
        self._store = store
        self._version = version
        self._image = image
        self._trees = trees
        self._copy = copy
        self._report: list[str] = []
        self._names: dict[int, str] = {}
        self._in_step = 0
        self._aside = 0
        # The highest number of a message.
        self._newest = 0

    def all(self, shapes: list[Shape]) -> list[str]:
        """Copy every table; returns what was lost."""
        # The copy has rows of its own, which say that nothing was there before.
        self._copy.execute("BEGIN IMMEDIATE")
        self._copy.execute("DELETE FROM meta")
        for shape in shapes:
            self._copy_table(shape)
            if shape.table == "queue":
                self._names = dict(self._copy.rows("SELECT number, key FROM queue"))
        if any(shape.table == "part" for shape in shapes):
            self._drop_parts_of_nothing()
        self._count_starts()
        self._copy.execute("COMMIT")
        if self._aside:
            self._report.append(f"{self._aside} rows are set aside in the table quarantine")
        return self._report

    def _copy_table(self, shape: Shape) -> None:
        faults: Counter[str] = Counter()
        places: list[str] = []
        copied = 0
        for number in self._trees.pages_of(shape.table):
            for row in rows_in(self._image, number, shape):
                fault = row.fault or self._insert(shape, row)
                if not fault:
                    copied += 1
                    self._see_message(shape, row.values)
                elif not row.doubtful:
                    faults[fault] += 1
                    places.append(shape.name_of(row.values) if row.values else f"page {number}")
                    self._set_aside(shape, row, fault, number)
        self._say_lost(shape)
        if faults:
            what = "; ".join(f"{count}: {fault}" for fault, count in faults.most_common(NAMED_MAX))
            where = ", ".join(places[:NAMED_MAX]) + (" …" if len(places) > NAMED_MAX else "")
            self._report.append(
                f"table {shape.table}: {faults.total()} rows are set aside, {copied} are there ({what}): {where}"
            )

    def _insert(self, shape: Shape, row: Row) -> str:
        """Put a row into the copy; returns why not."""
        self._in_step += 1
        if self._in_step >= COPIED_PER_STEP:
            self._in_step = 0
            self._copy.execute("COMMIT")
            self._copy.execute("BEGIN IMMEDIATE")
        places = ",".join("?" * len(shape.columns))
        added = self._copy.execute(
            f"INSERT OR IGNORE INTO {shape.table} ({shape.names}) VALUES ({places})", row.values
        )
        if added or row.doubtful or self._is_there(shape, row):
            return ""
        if shape.unique:
            return self._newer_wins(shape, row)
        return "another one has its key"

    def _newer_wins(self, shape: Shape, row: Row) -> str:
        """Two values of one thing, of which a damaged log has brought back the older: that is the one to go."""
        (other,) = self._copy.rows(
            f"SELECT {shape.columns[-1].name} FROM {shape.table} WHERE {shape.unique} = ?", row.values[:1]
        )
        if id_of(other[0]) < _id_of(row):
            places = ",".join("?" * len(shape.columns))
            self._copy.execute(
                f"INSERT OR REPLACE INTO {shape.table} ({shape.names}) VALUES ({places})", row.values
            )
        return ""

    def _is_there(self, shape: Shape, row: Row) -> bool:
        same = " AND ".join(f"{column.name} = ?" for column in shape.columns)
        return bool(self._copy.rows(f"SELECT 1 FROM {shape.table} WHERE {same}", row.values))

    def _set_aside(self, shape: Shape, row: Row, fault: str, number: int) -> None:
        place = f"page {number}: {shape.name_of(row.values)}"
        held = row.values[shape.record_at] if len(row.values) == len(shape.columns) else None
        record = held if isinstance(held, bytes) else row.record
        self._copy.execute("INSERT INTO quarantine VALUES (?,?,?)", (place, fault, record))
        self._aside += 1

    def _say_lost(self, shape: Shape) -> None:
        lost = sorted(self._trees.lost.get(shape.table, []))
        for page in lost[:NAMED_MAX]:
            offset = (page.number - 1) * PAGE_SIZE
            self._report.append(
                f"table {shape.table}: page {page.number} (offset {offset}) cannot be read{self._between(shape, page)}"
            )
        if len(lost) > NAMED_MAX:
            self._report.append(f"table {shape.table}: {len(lost)} pages cannot be read")

    def _between(self, shape: Shape, page: Lost) -> str:
        """Which messages were in a page."""
        if shape.place is None or page.high <= page.low:
            return ""
        number = page.high >> SEQUENCE_BITS
        name = self._names.get(number, f"queue {number}")
        return f": messages up to {message_at(page.high)} ({name}), from behind {message_at(page.low)}"

    def _see_message(self, shape: Shape, values: list[Value]) -> None:
        record = values[shape.record_at]
        if isinstance(record, bytes):
            with suppress(BadRecord):
                self._newest = max(self._newest, id_of(record))

    def _count_starts(self) -> None:
        """Messages are numbered by the starts: where their count is lost it goes on well above what was seen."""
        # Until a run has ended in order, what is not there may be lost: no start is to tidy it away.
        self._copy.execute("INSERT OR REPLACE INTO meta VALUES ('damaged', 1)")
        note_version(self._copy, self._version)
        if self._copy.rows("SELECT 1 FROM meta WHERE key = 'epoch'"):
            return
        epoch = (self._newest >> EPOCH_SHIFT) + EPOCHS_SKIPPED
        self._copy.execute("INSERT INTO meta VALUES ('epoch', ?)", (epoch,))
        self._report.append(f"table meta: how often it was started is lost; it goes on with {epoch}")

    def _drop_parts_of_nothing(self) -> None:
        """Places of what is not there, and what is there without its place."""
        self._copy.execute("DELETE FROM part WHERE id NOT IN (SELECT id FROM entry)")
        found = find_strays(self._store, self._copy)
        if found:
            self._report.append(f"table part: the records of {found} large messages were found again")
        nowhere = "record = x'' AND id NOT IN (SELECT id FROM part)"
        for id, note in self._copy.rows(f"SELECT id, note FROM entry WHERE {nowhere}"):
            self._copy.execute(
                "INSERT INTO quarantine VALUES (?,?,?)",
                (message_at(id), "nothing tells where its record lies", note),
            )
            self._aside += 1
            self._report.append(f"table part: {message_at(id)}: nothing tells where its record lies")
        self._copy.execute(f"DELETE FROM entry WHERE {nowhere}")
