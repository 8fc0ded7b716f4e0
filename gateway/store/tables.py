"""Batches into the tables, pages out of them.  Used by the writer thread, and at start before there is one.

Each statement releases the interpreter's lock and must get it back, which a busy loop can delay; so many rows go into
one statement, in sizes that are powers of two and therefore few to prepare.

Large records go to the segments (see there) before the rows that name them; while there is none, no statement asks.
"""

from collections.abc import Sequence
from typing import Final, final

from gateway.core.journal import ENTRY_COLUMNS, Batch
from gateway.core.ports import ANY_LANE, SEQUENCE_BITS, SEQUENCE_MAX, Entry, Page
from gateway.store.database import Database
from gateway.store.errors import StoreError
from gateway.store.segments import Place, Segments

ROWS_MAX: Final = 512
"""Rows in one statement; times ENTRY_COLUMNS it stays below SQLite's 32,766 parameters."""

SWEPT_PER_STEP: Final = 5_000
"""Entries of deleted queues that are removed in one commit."""

_ROW: Final = "(?,?,?,?,?,?,?)"
_INSERT: Final = {
    1 << bit: "INSERT INTO entry VALUES " + ",".join([_ROW] * (1 << bit))
    for bit in range(ROWS_MAX.bit_length())
}
_ONE_OF: Final = {1 << bit: f"id IN ({','.join('?' * (1 << bit))})" for bit in range(ROWS_MAX.bit_length())}
_DELETE: Final = {rows: f"DELETE FROM entry WHERE {condition}" for rows, condition in _ONE_OF.items()}


_RECORD_AT: Final = ENTRY_COLUMNS - 1

MOVED_PER_STEP: Final = 4_194_304
"""Bytes of records that are moved out of a mostly empty segment in one commit."""

NEEDED: Final = (
    "SELECT segment, sum(length) FROM (SELECT DISTINCT segment, offset, length FROM part) GROUP BY segment"
)
"""Segment and how many of its bytes are needed: once each, however many entries name them."""

SPARSE: Final = 4
"""A segment of whose bytes less than one in so many are needed is given up."""


@final
class Tables:
    """See the module."""

    def __init__(self, database: Database, segments: Segments) -> None:
        self.database = database
        self.segments = segments
        # Segments of places that the running transaction names no longer.
        self._left: list[int] = []
        self._adding = False
        # May a segment have become mostly empty since they were looked at?  Those that could not be emptied.
        self._shrunk = True
        self._stuck: set[int] = set()
        self.sweeping = bool(database.rows("SELECT 1 FROM gone LIMIT 1"))
        """Are there entries of deleted queues to remove?"""

    # -- writing

    def apply(self, batch: Batch) -> int:
        """Carry out `batch` as one transaction; on return it is on the disk.  Raises StoreError with nothing done.

        Returns the bytes of its records, counted for each entry, that the database need not hold.
        """
        segments = self.segments
        if segments.large and batch.largest >= segments.large:
            return self._apply_large(batch)
        if self._one_statement(batch):
            # A transaction of its own.
            self.database.execute(_INSERT[len(batch.entries) // ENTRY_COLUMNS], batch.entries)
            return 0
        self._begin()
        try:
            self._change(batch, batch.entries)
            self._commit([])
        except StoreError:
            self._roll_back()
            raise
        return 0

    def _apply_large(self, batch: Batch) -> int:
        """The same, the large records first."""
        entries = batch.entries.copy()
        records: list[bytes] = []
        # Key, and which of the records: one that went to several queues is written once.
        keys: list[tuple[int, int]] = []
        for at in range(_RECORD_AT, len(entries), ENTRY_COLUMNS):
            record = entries[at]
            key = entries[at - _RECORD_AT]
            assert isinstance(record, bytes)
            assert isinstance(key, int)
            if len(record) >= self.segments.large:
                entries[at] = b""
                if not records or records[-1] is not record:
                    records.append(record)
                keys.append((key, len(records) - 1))
        places = self.segments.append(records)
        self._begin()
        self._adding = True
        try:
            for key, number in keys:
                self.database.execute("INSERT INTO part VALUES (?,?,?,?)", (key, *places[number]))
            self._change(batch, entries)
            self._commit([places[number].segment for _, number in keys])
        except StoreError:
            self._roll_back()
            self.segments.take_back()
            raise
        finally:
            self._adding = False
        return sum(len(records[number]) for _, number in keys)

    def _begin(self) -> None:
        self._left = []
        self.database.execute("BEGIN IMMEDIATE")

    def _commit(self, added: list[int]) -> None:
        """`added`: the segments of places that are named now."""
        self.database.execute("COMMIT")
        if added or self._left:
            self.segments.committed(added, self._left)
            self._left = []

    @staticmethod
    def _one_statement(batch: Batch) -> bool:
        """Is it nothing but new entries, as many as one statement takes?"""
        return len(batch.entries) // ENTRY_COLUMNS in _INSERT and not (
            batch.queues_made
            or batch.queues_gone
            or batch.failures
            or batch.aside
            or batch.removed
            or batch.cleared
            or batch.retained
            or batch.notes
        )

    def _roll_back(self) -> None:
        # A full disk or a failing one makes SQLite roll back on its own.
        if self.database.in_transaction:
            self.database.execute("ROLLBACK")

    def _change(self, batch: Batch, entries: list[object]) -> None:
        execute = self.database.execute
        gone = batch.queues_gone
        for number in gone:
            execute("DELETE FROM queue WHERE number = ?", (number,))
            execute("INSERT OR IGNORE INTO gone VALUES (?)", (number,))
            self.sweeping = True
        for made in batch.queues_made:
            if made.number in gone:
                continue
            execute(
                "INSERT INTO queue VALUES (?,?,?) ON CONFLICT (number) DO UPDATE SET note = excluded.note",
                (made.number, made.key, made.note),
            )
        if entries:
            self._insert(entries)
        for failures, key in batch.failures:
            execute("UPDATE entry SET failures = ? WHERE id = ?", (failures, key))
        for key, reason in batch.aside:
            self._set_aside(key, reason)
        if batch.removed:
            self._remove(batch.removed)
        for cleared in batch.cleared:
            self._clear(cleared.queue, cleared.lane, cleared.first, cleared.last)
        for topic, record in batch.retained.items():
            self._retain(topic, record)
        for (space, name), value in batch.notes.items():
            self._note(space, name, value)

    def _insert(self, entries: list[object]) -> None:
        at = 0
        left = len(entries) // ENTRY_COLUMNS
        while left:
            rows = min(ROWS_MAX, 1 << (left.bit_length() - 1))
            end = at + rows * ENTRY_COLUMNS
            self.database.execute(_INSERT[rows], entries[at:end])
            at = end
            left -= rows

    def _remove(self, runs: list[tuple[int, int]]) -> None:
        singles: list[int] = []
        for first, last in runs:
            if first == last:
                singles.append(first)
            else:
                self.database.execute("DELETE FROM entry WHERE id BETWEEN ? AND ?", (first, last))
                if self._parts:
                    self._leave("id BETWEEN ? AND ?", (first, last))
        at = 0
        while at < len(singles):
            rows = min(ROWS_MAX, 1 << ((len(singles) - at).bit_length() - 1))
            self.database.execute(_DELETE[rows], singles[at : at + rows])
            if self._parts:
                self._leave(_ONE_OF[rows], singles[at : at + rows])
            at += rows

    def _clear(self, queue: int, lane: int, first: int, last: int) -> None:
        base = queue << SEQUENCE_BITS
        condition = "id BETWEEN ? AND ?"
        parameters = [base + first, base + last]
        if lane != ANY_LANE:
            condition += " AND lane = ?"
            parameters.append(lane)
        if self._parts:
            self._leave(f"id IN (SELECT id FROM entry WHERE {condition})", parameters)
        self.database.execute(f"DELETE FROM entry WHERE {condition}", parameters)

    @property
    def _parts(self) -> bool:
        """May there be rows that name places?"""
        return self._adding or self.segments.used

    def _leave(self, condition: str, parameters: Sequence[int]) -> None:
        """Forget where the records of these entries lie."""
        rows = self.database.rows(f"DELETE FROM part WHERE {condition} RETURNING segment", parameters)
        self._left += [segment for (segment,) in rows]
        if rows:
            self._shrunk = True
            self._stuck.difference_update(self._left)

    def _set_aside(self, key: int, reason: str) -> None:
        place = f"queue {key >> SEQUENCE_BITS}, message {key & SEQUENCE_MAX}"
        self.database.execute(
            "INSERT INTO quarantine SELECT ?, ?, record FROM entry WHERE id = ?", (place, reason, key)
        )
        if self._parts:
            for where in self.database.rows(_PLACE, (key,)):
                self.database.execute(
                    "UPDATE quarantine SET record = ? WHERE place = ? AND record = x''",
                    (self.segments.read(Place(*where)), place),
                )
            self._leave("id = ?", (key,))
        self.database.execute("DELETE FROM entry WHERE id = ?", (key,))

    def _retain(self, topic: str, record: bytes | None) -> None:
        # An update would leave a topic at its old place among the retained; order does not matter, ids tell it.
        if record is None:
            self.database.execute("DELETE FROM retained WHERE topic = ?", (topic,))
        else:
            self.database.execute("INSERT OR REPLACE INTO retained VALUES (?,?)", (topic, record))

    def _note(self, space: str, key: str, value: bytes | None) -> None:
        if value is None:
            self.database.execute("DELETE FROM note WHERE space = ? AND key = ?", (space, key))
        else:
            self.database.execute("INSERT OR REPLACE INTO note VALUES (?,?,?)", (space, key, value))

    def sweep(self) -> int:
        """Remove some entries of deleted queues, as one transaction.  Lowers `sweeping` when none are left.

        Returns the number of a queue of which nothing is left, 0 when there is none.
        """
        database = self.database
        number: int | None = database.value("SELECT number FROM gone LIMIT 1")
        if number is None:
            self.sweeping = False
            return 0
        base = number << SEQUENCE_BITS
        self._begin()
        try:
            last = database.value(
                "SELECT max(id) FROM (SELECT id FROM entry WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?)",
                (base, base + SEQUENCE_MAX, SWEPT_PER_STEP),
            )
            removed = 0
            if last is not None:
                # No more places than entries: what is left of the queue stays whole for a backup and a check.
                if self._parts:
                    self._leave("id BETWEEN ? AND ?", (base, last))
                removed = database.execute("DELETE FROM entry WHERE id BETWEEN ? AND ?", (base, last))
            done = removed < SWEPT_PER_STEP
            if done:
                database.execute("DELETE FROM gone WHERE number = ?", (number,))
            # What was set aside bears the number as well, and stays.
            aside = done and database.value(
                "SELECT 1 FROM quarantine WHERE place LIKE ? LIMIT 1", (f"queue {number},%",)
            )
            self._commit([])
        except StoreError:
            self._roll_back()
            raise
        return number if done and not aside else 0

    def sparse(self) -> int:
        """A segment that is no longer written to and mostly not needed any more; 0 when there is none."""
        if not self._shrunk or not self._parts:
            return 0
        self._shrunk = False
        for segment, needed in self.database.rows(NEEDED):
            if segment not in self._stuck and needed * SPARSE < self.segments.size(segment):
                self._shrunk = True
                # The one that grows has to wait until it does not.
                if segment != self.segments.active:
                    return int(segment)
        return 0

    def move(self, segment: int) -> bool:
        """Move some records of a segment to the one that grows, as one transaction; False when none could be."""
        rows: list[tuple[int, int, int]] = []
        size = 0
        for row in self.database.rows(
            "SELECT id, offset, length FROM part WHERE segment = ? ORDER BY offset", (segment,)
        ):
            # Several entries may name one place, and move together.
            if not rows or row[1] != rows[-1][1]:
                if size >= MOVED_PER_STEP:
                    break
                size += row[2]
            rows.append(row)
        records = {offset: self.segments.read(Place(segment, offset, length)) for _, offset, length in rows}
        whole = [offset for offset, record in records.items() if record]
        if not whole:
            self._stuck.add(segment)
            return False
        places = dict(zip(whole, self.segments.append([records[offset] for offset in whole]), strict=True))
        self._begin()
        try:
            added: list[int] = []
            for id, offset, _ in rows:
                place = places.get(offset)
                if place is not None:
                    self.database.execute(
                        "UPDATE part SET segment = ?, offset = ? WHERE id = ?",
                        (place.segment, place.offset, id),
                    )
                    added.append(place.segment)
            self._left = [segment] * len(added)
            self._commit(added)
        except StoreError:
            self._roll_back()
            self.segments.take_back()
            raise
        return True

    # -- reading

    def load(self, page: Page) -> list[Entry]:
        """The entries that `page` asks for."""
        base = page.queue << SEQUENCE_BITS
        conditions = "id BETWEEN ? AND ?"
        parameters: list[int] = [base + page.first, base + page.last]
        if page.lane != ANY_LANE:
            conditions += " AND lane = ?"
            parameters.append(page.lane)
        if page.expired_by_ms:
            # `+` keeps the planner from walking the whole range: few entries have expired.
            conditions = conditions.replace("id", "+id", 1) + " AND expires > 0 AND expires <= ?"
            parameters.append(page.expired_by_ms)
        record = "x''" if page.heads_only else "record"
        parameters.append(page.count_max)
        rows = self.database.rows(
            f"SELECT id, lane, failures, size, expires, note, {record} FROM entry WHERE {conditions}"
            " ORDER BY id LIMIT ?",
            parameters,
        )
        return self._within(rows, base, page.bytes_max, page.heads_only)

    def fetch(self, queue: int, sequences: list[int]) -> list[Entry]:
        """See Store.fetch."""
        found: list[Entry] = []
        base = queue << SEQUENCE_BITS
        for sequence in sequences:
            rows = self.database.rows(
                "SELECT id, lane, failures, size, expires, note, record FROM entry WHERE id = ?",
                (base + sequence,),
            )
            found += self._within(rows, base, 0, False)
        return found

    def _within(
        self,
        rows: list[tuple[int, int, int, int, int, bytes, bytes]],
        base: int,
        bytes_max: int,
        heads_only: bool,
    ) -> list[Entry]:
        """Entries of rows, up to the size asked for, but at least one."""
        entries: list[Entry] = []
        size_sum = 0
        for id, lane, failures, size, expires, note, record in rows:
            size_sum += size
            if entries and size_sum > bytes_max:
                break
            if not record and not heads_only:
                record = self._record_of(id)
            entries.append(Entry(id - base, lane, failures, size, expires, note, record))
        return entries

    def _record_of(self, id: int) -> bytes:
        """A large record; empty when it cannot be read, which no record is."""
        for where in self.database.rows(_PLACE, (id,)):
            return self.segments.read(Place(*where))
        return b""


_PLACE: Final = "SELECT segment, offset, length FROM part WHERE id = ?"
