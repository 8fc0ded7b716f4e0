"""Batches into the tables, pages out of them.  Used by the writer thread, and at start before there is one.

Each statement releases the interpreter's lock and must get it back, which a busy loop can delay; so many rows go into
one statement, in sizes that are powers of two and therefore few to prepare.

Large records go to the segments (see there) before the rows that name them; while there is none, no statement asks.
Messages that many queues took at once lie in the table `fanout` (see there), all others in `entry`: what is told of a
queue's messages here is told of both.
"""

from collections.abc import Sequence
from typing import Final, final

from gateway.core.journal import ENTRY_COLUMNS, Batch
from gateway.core.ports import ANY_LANE, SEQUENCE_BITS, SEQUENCE_MAX, Entry, Page
from gateway.core.record import LongRecord, is_whole
from gateway.store.database import Database
from gateway.store.errors import StoreError
from gateway.store.fanout import Body, Fanout
from gateway.store.groups import Group, divided
from gateway.store.merging import Merging
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

FANOUT_MAX: Final = 1_000_000
"""Copies of messages that many queues took, at most, whose places are known in memory, unless told otherwise."""

SPARSE: Final = 4
"""A segment of whose bytes less than one in so many are needed is given up."""


_Row = tuple[int, int, int, int, int, bytes, bytes | Body]
"""Key, lane, failures, size, expiry, note, and the record or where it is."""


@final
class Tables:
    """See the module."""

    def __init__(self, database: Database, segments: Segments, fanout_max: int = FANOUT_MAX) -> None:
        self.database = database
        self.segments = segments
        self.fanout = Fanout(database)
        self._fanout_max = fanout_max
        self.merging = Merging(self.fanout, fanout_max)
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
        entries = batch.entries
        groups: list[Group] = []
        if batch.long:
            _make_whole(entries, segments.large)
        if batch.shared:
            entries, groups = divided(batch, segments.large, self._fanout_max - self.fanout.live)
        if segments.large and batch.largest >= segments.large:
            return self._apply_large(batch, entries, groups)
        if not groups and self._one_statement(batch):
            # A transaction of its own.
            self.database.execute(_INSERT[len(entries) // ENTRY_COLUMNS], entries)
            return 0
        self._begin()
        try:
            self._change(batch, entries, groups)
            self._commit([])
        except StoreError:
            self._roll_back()
            raise
        return sum(group.saved for group in groups)

    def _apply_large(self, batch: Batch, small: list[object], groups: list[Group]) -> int:
        """The same, the large records first."""
        entries = small.copy()
        records: list[bytes | LongRecord] = []
        # Key, and which of the records: one that went to several queues is written once.
        keys: list[tuple[int, int]] = []
        for at in range(_RECORD_AT, len(entries), ENTRY_COLUMNS):
            record = entries[at]
            key = entries[at - _RECORD_AT]
            assert isinstance(record, (bytes, LongRecord))
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
            self._change(batch, entries, groups)
            self._commit([places[number].segment for _, number in keys])
        except StoreError:
            self._roll_back()
            self.segments.take_back()
            raise
        finally:
            self._adding = False
        return sum(len(records[number]) for _, number in keys) + sum(group.saved for group in groups)

    def _begin(self) -> None:
        self._left = []
        self.database.execute("BEGIN IMMEDIATE")

    def _commit(self, added: list[int]) -> None:
        """`added`: the segments of places that are named now."""
        self.database.execute("COMMIT")
        self.fanout.committed()
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
        self.fanout.take_back()
        if self.database.in_transaction:
            self.database.execute("ROLLBACK")

    def _change(self, batch: Batch, entries: list[object], groups: list[Group]) -> None:
        execute = self.database.execute
        gone = batch.queues_gone
        for number in gone:
            execute("DELETE FROM queue WHERE number = ?", (number,))
            execute("INSERT OR IGNORE INTO gone VALUES (?)", (number,))
            self.fanout.clear(number, ANY_LANE, 0, SEQUENCE_MAX)
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
        if groups:
            self.fanout.add(groups)
        if self.fanout.live:
            self._take_over([key for _, key in batch.failures] + [key for key, _ in batch.aside])
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

    def _take_over(self, keys: list[int]) -> None:
        """Make entries of these copies, which are no longer what their message says of all."""
        taken = {key: found for key in keys if (found := self.fanout.one(key)) is not None}
        for key, (body, note) in taken.items():
            row = (key, body.lane, 0, body.size, body.expires, note, self.fanout.record(body))
            self.database.execute(_INSERT[1], row)
        self.fanout.remove([(key, key) for key in taken])

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
        if self.fanout.live:
            runs = self.fanout.remove(runs)
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
        self.fanout.clear(queue, lane, first, last)
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

    def _retain(self, topic: str, record: bytes | LongRecord | None) -> None:
        if isinstance(record, LongRecord):
            record = record.whole()
        # An update would leave a topic at its old place among the retained; order does not matter, ids tell it.
        if record is None:
            self.database.execute("DELETE FROM retained WHERE topic = ?", (topic,))
        else:
            self.database.execute("INSERT OR REPLACE INTO retained VALUES (?,?)", (topic, record))

    def _note(self, space: str, key: str, value: bytes | LongRecord | None) -> None:
        if isinstance(value, LongRecord):
            value = value.whole()
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

    def clean(self) -> None:
        """Remove some of what is not needed of the table `fanout`, as one transaction."""
        self._begin()
        try:
            self.fanout.clean()
            self._commit([])
        except StoreError:
            self._roll_back()
            raise

    def merge(self) -> None:
        """Make entries of some of the copies in the table `fanout`, as one transaction."""
        self._begin()
        try:
            self._insert(self.merging.take())
            self._commit([])
        except StoreError:
            self._roll_back()
            raise

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
        rows = self._rows(page, base)
        found = self.fanout.page(page)
        if found:
            rows += [
                (base + sequence, body.lane, 0, body.size, body.expires, note, body)
                for sequence, body, note in found
            ]
            rows.sort(key=_key)
        return self._within(rows, base, page)

    def _rows(self, page: Page, base: int) -> list[_Row]:
        """Rows of `entry`: one more than fit, by their bytes."""
        conditions = "id BETWEEN ? AND ?"
        order = "id"
        parameters: list[int] = [base + page.first, base + page.last]
        if page.lane != ANY_LANE:
            conditions += " AND lane = ?"
            parameters.append(page.lane)
        if page.expired_by_ms:
            # In the order of the index, so that no more are looked at than are wanted; `+` keeps the planner from
            # walking the whole range instead.
            conditions = (
                conditions.replace("id", "+id", 1)
                + f" AND expires > 0 AND expires <= ? AND id >> {SEQUENCE_BITS} = ?"
            )
            order = "expires, id"
            parameters += (page.expired_by_ms, page.queue)
        record = "x''" if page.heads_only else "record"
        parameters.append(page.count_max)
        rows: list[_Row] = []
        left = page.bytes_max
        # Row by row: nothing is read that the page has no room for.
        for row in self.database.each(
            f"SELECT id, lane, failures, size, expires, note, {record} FROM entry WHERE {conditions}"
            f" ORDER BY {order} LIMIT ?",
            parameters,
        ):
            rows.append(row)
            left -= row[_SIZE_AT]
            if left < 0:
                break
        return rows

    def fetch(self, queue: int, sequences: list[int]) -> list[Entry]:
        """See Store.fetch."""
        found: list[Entry] = []
        for sequence in sequences:
            found += self.load(Page(queue, ANY_LANE, sequence, sequence, 1, 0))
        return found

    def _within(self, rows: list[_Row], base: int, page: Page) -> list[Entry]:
        """Entries of rows, up to the number and size asked for, but at least one."""
        entries: list[Entry] = []
        left = page.bytes_max
        known: dict[int, bytes] = {}
        for id, lane, failures, size, expires, note, record in rows[: page.count_max]:
            left -= size
            if entries and left < 0:
                break
            if page.heads_only:
                record = b""
            elif isinstance(record, Body):
                if record.id not in known:
                    known[record.id] = self.fanout.record(record)
                record = known[record.id]
            elif not record:
                record = self._record_of(id)
            checked = len(record) >= CHECKED_BYTES and is_whole(record)
            entries.append(Entry(id - base, lane, failures, size, expires, note, record, checked))
        return entries

    def _record_of(self, id: int) -> bytes:
        """A large record; empty when it cannot be read, which no record is."""
        for where in self.database.rows(_PLACE, (id,)):
            return self.segments.read(Place(*where))
        return b""


CHECKED_BYTES: Final = 262_144
"""Bytes of a record from which on its checksum is looked at on the writer thread: that of 90 MB takes 36 ms."""

_PLACE: Final = "SELECT segment, offset, length FROM part WHERE id = ?"

_SIZE_AT: Final = 3


def _key(row: _Row) -> int:
    return row[0]


def _make_whole(entries: list[object], large: int) -> None:
    """Long records that go into the database, since none, or only longer ones, go to segments."""
    for at in range(_RECORD_AT, len(entries), ENTRY_COLUMNS):
        record = entries[at]
        if isinstance(record, LongRecord) and (large == 0 or len(record) < large):
            entries[at] = record.whole()
