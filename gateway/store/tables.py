"""Batches into the tables, pages out of them.  Used by the writer thread, and at start before there is one.

Each statement releases the interpreter's lock and must get it back, which a busy loop can delay; so many rows go into
one statement, in sizes that are powers of two and therefore few to prepare.
"""

from typing import Final, final

from gateway.core.journal import ENTRY_COLUMNS, Batch
from gateway.core.ports import ANY_LANE, SEQUENCE_BITS, SEQUENCE_MAX, Entry, Page
from gateway.store.database import Database
from gateway.store.errors import StoreError

ROWS_MAX: Final = 512
"""Rows in one statement; times ENTRY_COLUMNS it stays below SQLite's 32,766 parameters."""

SWEPT_PER_STEP: Final = 5_000
"""Entries of deleted queues that are removed in one commit."""

_ROW: Final = "(?,?,?,?,?,?,?)"
_INSERT: Final = {
    1 << bit: "INSERT INTO entry VALUES " + ",".join([_ROW] * (1 << bit))
    for bit in range(ROWS_MAX.bit_length())
}
_DELETE: Final = {
    1 << bit: f"DELETE FROM entry WHERE id IN ({','.join('?' * (1 << bit))})"
    for bit in range(ROWS_MAX.bit_length())
}


@final
class Tables:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.sweeping = bool(database.rows("SELECT 1 FROM gone LIMIT 1"))
        """Are there entries of deleted queues to remove?"""

    # -- writing

    def apply(self, batch: Batch) -> None:
        """Carry out `batch` as one transaction; on return it is on the disk.  Raises StoreError with nothing done."""
        database = self.database
        if self._one_statement(batch):
            # A transaction of its own.
            database.execute(_INSERT[len(batch.entries) // ENTRY_COLUMNS], batch.entries)
            return
        database.execute("BEGIN IMMEDIATE")
        try:
            self._change(batch)
            database.execute("COMMIT")
        except StoreError:
            self._roll_back()
            raise

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

    def _change(self, batch: Batch) -> None:
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
        if batch.entries:
            self._insert(batch.entries)
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
        at = 0
        while at < len(singles):
            rows = min(ROWS_MAX, 1 << ((len(singles) - at).bit_length() - 1))
            self.database.execute(_DELETE[rows], singles[at : at + rows])
            at += rows

    def _clear(self, queue: int, lane: int, first: int, last: int) -> None:
        base = queue << SEQUENCE_BITS
        sql = "DELETE FROM entry WHERE id BETWEEN ? AND ?"
        if lane == ANY_LANE:
            self.database.execute(sql, (base + first, base + last))
        else:
            self.database.execute(sql + " AND lane = ?", (base + first, base + last, lane))

    def _set_aside(self, key: int, reason: str) -> None:
        place = f"queue {key >> SEQUENCE_BITS}, message {key & SEQUENCE_MAX}"
        self.database.execute(
            "INSERT INTO quarantine SELECT ?, ?, record FROM entry WHERE id = ?", (place, reason, key)
        )
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

    def sweep(self) -> None:
        """Remove some entries of deleted queues, as one transaction.  Lowers `sweeping` when none are left."""
        database = self.database
        number = database.value("SELECT number FROM gone LIMIT 1")
        if number is None:
            self.sweeping = False
            return
        base = number << SEQUENCE_BITS
        database.execute("BEGIN IMMEDIATE")
        try:
            removed = database.execute(
                "DELETE FROM entry WHERE id IN (SELECT id FROM entry WHERE id BETWEEN ? AND ? LIMIT ?)",
                (base, base + SEQUENCE_MAX, SWEPT_PER_STEP),
            )
            if removed < SWEPT_PER_STEP:
                database.execute("DELETE FROM gone WHERE number = ?", (number,))
            database.execute("COMMIT")
        except StoreError:
            self._roll_back()
            raise

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
        return _within(rows, base, page.bytes_max)

    def fetch(self, queue: int, sequences: list[int]) -> list[Entry]:
        """See Store.fetch."""
        found: list[Entry] = []
        base = queue << SEQUENCE_BITS
        for sequence in sequences:
            rows = self.database.rows(
                "SELECT id, lane, failures, size, expires, note, record FROM entry WHERE id = ?",
                (base + sequence,),
            )
            found += _within(rows, base, 0)
        return found


def _within(
    rows: list[tuple[int, int, int, int, int, bytes, bytes]], base: int, bytes_max: int
) -> list[Entry]:
    """Entries of rows, up to the size asked for, but at least one."""
    entries: list[Entry] = []
    size_sum = 0
    for id, lane, failures, size, expires, note, record in rows:
        size_sum += size
        if entries and size_sum > bytes_max:
            break
        entries.append(Entry(id - base, lane, failures, size, expires, note, record))
    return entries
