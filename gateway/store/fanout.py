"""Messages that many queues took at once: written once, with a list of their copies, in order of appending.

As rows of the table `entry`, each copy would change a page of its own.  Here a message is one row, its copies a list in
it (`copies.py`); copies that have left are a list too, in a row of its own, one a commit.  So the table is a log: rows
are added at its end only, and removed from its beginning only, once nothing in them is needed; what still is, is written
to the end again.  A row of copies that have left speaks of rows before it, so at the beginning it speaks of nothing.

What is there, and where, is known in memory: 24 bytes a copy, and an object a message.  It is read at start.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final, final

from gateway.core.ports import ANY_LANE, SEQUENCE_BITS, SEQUENCE_MAX, LaneFound, Page
from gateway.core.record import BadRecord
from gateway.store.copies import pack_copies, pack_runs, unpack_copies, unpack_runs
from gateway.store.database import Database
from gateway.store.errors import StoreDamaged
from gateway.store.groups import Group

CLEANED_PER_STEP: Final = 2_097_152
"""Bytes of rows that are looked at in one step of cleaning."""

WASTE_MAX: Final = 16_777_216
"""Bytes that are needed no longer, above which the log is cleaned between commits, not only when there is quiet."""

WASTE_MIN: Final = 65_536
"""Bytes that are not worth cleaning, unless nothing is needed at all."""

WASTE_SHARE: Final = 1
"""How many times what is needed must be wasted, at least, for cleaning to be worth what it writes again."""

_HEADS: Final = (
    "SELECT id, lane, size, expires, length(record), length(copies), copies FROM fanout ORDER BY id"
)
_SIZES: Final = "SELECT id, length(record), length(copies) FROM fanout ORDER BY id"


@final
class Body:
    """One row: a message with copies that are still there."""

    __slots__ = ("each", "expires", "id", "lane", "length", "live", "size")

    def __init__(self, id: int, lane: int, size: int, expires: int, length: int, each: int) -> None:
        self.id = id
        self.lane = lane
        self.size = size
        self.expires = expires
        self.length = length
        """Bytes of its record."""
        self.each = each
        """Bytes of its row that one copy takes."""
        self.live = 0
        """Copies that have not left."""


@final
class Copies:
    """Those of one queue, in order of their sequences."""

    __slots__ = ("_head", "bodies", "notes", "sequences")

    def __init__(self) -> None:
        self.sequences = array("Q")
        self.bodies: list[Body] = []
        self.notes: list[bytes] = []
        # What is before it has left.
        self._head = 0

    def __len__(self) -> int:
        return len(self.bodies) - self._head

    def add(self, sequence: int, body: Body, note: bytes) -> None:
        """One more, mostly the last."""
        sequences = self.sequences
        notes = self.notes
        if notes and notes[-1] == note:
            # One object for all.
            note = notes[-1]
        if len(self) == 0 or sequences[-1] < sequence:
            sequences.append(sequence)
            self.bodies.append(body)
            notes.append(note)
            return
        at = bisect_left(sequences, sequence, self._head)
        sequences.insert(at, sequence)
        self.bodies.insert(at, body)
        notes.insert(at, note)

    def between(self, first: int, last: int) -> range:
        """Where those from `first` to `last` are."""
        sequences = self.sequences
        start = bisect_left(sequences, first, self._head)
        return range(start, bisect_right(sequences, last, start))

    def drop(self, at: range) -> None:
        """Forget some."""
        if at.start == self._head:
            self._head = at.stop
            if 2 * self._head < len(self.bodies) and self._head < _HEAD_MAX:
                return
            at = range(self._head)
            self._head = 0
        del self.sequences[at.start : at.stop]
        del self.bodies[at.start : at.stop]
        del self.notes[at.start : at.stop]


_HEAD_MAX: Final = 1_024


@final
class Fanout:
    """The table `fanout`, and what is known of it.  Whoever writes the store calls it, within its transactions."""

    def __init__(self, database: Database) -> None:
        """Raises StoreError."""
        self._database = database
        self.unreadable: list[tuple[int, str]] = []
        """Rows that cannot be read, and why."""
        self.live = 0
        """Copies that are there."""
        self._queues: dict[int, Copies] = {}
        self._bodies: dict[int, Body] = {}
        self._next = 1
        # Bytes of all rows, and of what is needed of them.
        self._bytes = 0
        self._needed = 0
        # What the running transaction has done, so that it can be taken back: keys that were added, copies that left.
        self._undo: list[list[int] | _Struck] = []
        self._before = 1, 0
        # Messages that it has written again, where, and the bytes of a copy there.
        self._moved: list[tuple[Body, int, int]] = []
        self._read()

    def _read(self) -> None:
        for id, lane, size, expires, length, packed, data in self._database.each(_HEADS):
            self._next = id + 1
            self._bytes += length + packed
            try:
                if length:
                    keys, notes = unpack_copies(data)
                    self._know(Body(id, lane, size, expires, length, _each(packed, keys)), keys, notes)
                else:
                    for first, last in unpack_runs(data):
                        self._strike(first >> SEQUENCE_BITS, first & SEQUENCE_MAX, last & SEQUENCE_MAX)
            except BadRecord as error:
                self.unreadable.append((id, str(error)))
            self.committed()

    # -- what is there

    def one(self, key: int) -> tuple[Body, bytes] | None:
        """The message of a copy and its note; None when it is not here."""
        copies = self._queues.get(key >> SEQUENCE_BITS)
        if copies is None:
            return None
        sequence = key & SEQUENCE_MAX
        for at in copies.between(sequence, sequence):
            return copies.bodies[at], copies.notes[at]
        return None

    def page(self, page: Page) -> list[tuple[int, Body, bytes]]:
        """Sequence, message and note of the copies that `page` asks for; one more than it takes, by their bytes."""
        found: list[tuple[int, Body, bytes]] = []
        copies = self._queues.get(page.queue)
        if copies is None:
            return found
        left = page.bytes_max
        for at in copies.between(page.first, page.last):
            body = copies.bodies[at]
            if page.lane not in (ANY_LANE, body.lane):
                continue
            if page.expired_by_ms and not 0 < body.expires <= page.expired_by_ms:
                continue
            found.append((copies.sequences[at], body, copies.notes[at]))
            left -= body.size
            if len(found) == page.count_max or left < 0:
                break
        return found

    def numbers(self) -> list[int]:
        """The queues of which there are copies, in order."""
        return sorted(self._queues)

    def oldest(self, queue: int, count_max: int) -> list[tuple[int, Body, bytes]]:
        """Sequence, message and note of the first copies of one queue."""
        copies = self._queues.get(queue)
        if copies is None:
            return []
        return [
            (copies.sequences[at], copies.bodies[at], copies.notes[at])
            for at in copies.between(0, SEQUENCE_MAX)[:count_max]
        ]

    def queues(self) -> dict[int, Iterator[tuple[int, Body]]]:
        """Sequence and message of all copies, by queue."""
        return {
            number: zip(copies.sequences[at.start : at.stop], copies.bodies[at.start : at.stop], strict=True)
            for number, copies in self._queues.items()
            for at in (copies.between(0, SEQUENCE_MAX),)
        }

    def lanes(self) -> dict[int, list[LaneFound]]:
        """What is in the queues, as `recovery.lanes` tells it of entries."""
        found: dict[int, list[LaneFound]] = {}
        for number, copies in self.queues().items():
            lanes: dict[int, LaneFound] = {}
            for sequence, body in copies:
                lane = lanes.get(body.lane)
                if lane is None:
                    lane = lanes[body.lane] = LaneFound(body.lane, 0, 0, sequence, sequence, 0)
                lane.count += 1
                lane.bytes += body.size
                lane.last = sequence
                if body.expires and (lane.expires_at_ms == 0 or body.expires < lane.expires_at_ms):
                    lane.expires_at_ms = body.expires
            found[number] = [lanes[lane] for lane in sorted(lanes)]
        return found

    def record(self, body: Body) -> bytes:
        """The record of one message."""
        value = self._database.value("SELECT record FROM fanout WHERE id = ?", (body.id,))
        assert isinstance(value, bytes)
        return value

    # -- within a transaction

    def add(self, groups: list[Group]) -> None:
        """Write these messages."""
        for group in groups:
            keys = group.keys
            packed = pack_copies(keys, group.notes)
            id = self._insert(group.lane, group.size, group.expires, group.record, packed)
            self._undo.append(keys)
            each = _each(len(packed), keys)
            body = Body(id, group.lane, group.size, group.expires, len(group.record), each)
            self._know(body, keys, group.notes)

    def _insert(self, lane: int, size: int, expires: int, record: bytes, copies: bytes) -> int:
        id = self._next
        self._database.execute(
            "INSERT INTO fanout VALUES (?,?,?,?,?,?)", (id, lane, size, expires, record, copies)
        )
        self._next += 1
        self._bytes += len(record) + len(copies)
        return id

    def _know(self, body: Body, keys: list[int], notes: list[bytes]) -> None:
        queues = self._queues
        for key, note in zip(keys, notes, strict=True):
            number = key >> SEQUENCE_BITS
            copies = queues.get(number)
            if copies is None:
                copies = queues[number] = Copies()
            copies.add(key & SEQUENCE_MAX, body, note)
        body.live = len(keys)
        self.live += len(keys)
        self._bodies[body.id] = body
        self._needed += body.length + body.each * len(keys)

    def remove(self, runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Write that these have left; returns the runs of which some are not here, or may not be."""
        struck: list[tuple[int, int]] = []
        others: list[tuple[int, int]] = []
        for run in runs:
            first, last = run
            number = first >> SEQUENCE_BITS
            ours = self._strike(number, first & SEQUENCE_MAX, last & SEQUENCE_MAX)
            if ours is not None:
                base = number << SEQUENCE_BITS
                struck.append((base + ours[0], base + ours[1]))
            if ours is None or ours[2] < last - first + 1:
                others.append(run)
        self._write_struck(struck)
        return others

    def clear(self, queue: int, lane: int, first: int, last: int) -> None:
        """Write that all of one lane, or of all lanes, from `first` to `last` have left a queue."""
        copies = self._queues.get(queue)
        if copies is None:
            return
        base = queue << SEQUENCE_BITS
        struck: list[tuple[int, int]] = []
        within = False
        for at in copies.between(first, last):
            matches = lane in (ANY_LANE, copies.bodies[at].lane)
            if matches:
                key = base + copies.sequences[at]
                struck.append((struck.pop()[0] if within else key, key))
            within = matches
        for start, end in struck:
            self._strike(queue, start - base, end - base)
        self._write_struck(struck)

    def _strike(self, queue: int, first: int, last: int) -> tuple[int, int, int] | None:
        """Forget the copies from `first` to `last`; returns the first, the last and how many; None for none."""
        copies = self._queues.get(queue)
        if copies is None:
            return None
        at = copies.between(first, last)
        if not at:
            return None
        struck = _Struck(queue, copies, at)
        self._undo.append(struck)
        for body in struck.bodies:
            body.live -= 1
            self._needed -= body.each
            if body.live == 0:
                self._needed -= body.length
                del self._bodies[body.id]
        self.live -= len(at)
        copies.drop(at)
        if not len(copies):
            del self._queues[queue]
        return struck.sequences[0], struck.sequences[-1], len(at)

    def _write_struck(self, struck: list[tuple[int, int]]) -> None:
        if struck:
            self._insert(0, 0, 0, b"", pack_runs(_joined(struck)))

    def committed(self) -> None:
        """The transaction is safe."""
        self._undo.clear()
        for body, id, each in self._moved:
            del self._bodies[body.id]
            body.id = id
            self._bodies[id] = body
            self._needed += (each - body.each) * body.live
            body.each = each
        self._moved.clear()
        self._before = self._next, self._bytes

    def take_back(self) -> None:
        """The transaction is undone."""
        for done in reversed(self._undo):
            if isinstance(done, _Struck):
                for sequence, body, note in zip(done.sequences, done.bodies, done.notes, strict=True):
                    self._restore(done.queue, sequence, body, note)
            else:
                for key in done:
                    self._strike(key >> SEQUENCE_BITS, key & SEQUENCE_MAX, key & SEQUENCE_MAX)
        self._moved.clear()
        self._undo.clear()
        self._next, self._bytes = self._before

    def _restore(self, queue: int, sequence: int, body: Body, note: bytes) -> None:
        copies = self._queues.get(queue)
        if copies is None:
            copies = self._queues[queue] = Copies()
        copies.add(sequence, body, note)
        self.live += 1
        self._needed += body.each
        if body.live == 0:
            self._needed += body.length
            self._bodies[body.id] = body
        body.live += 1

    def set_aside(self, faults: list[str]) -> None:
        """Move rows that cannot be read out of the way; says so in `faults`."""
        for id, reason in self.unreadable:
            place = f"fanout, row {id}"
            faults.append(f"{place}: {reason}: its message is set aside, or what had left is there again")
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute(
                "INSERT INTO quarantine SELECT ?, ?, record FROM fanout WHERE id = ?", (place, reason, id)
            )
            self._database.execute("DELETE FROM fanout WHERE id = ?", (id,))
            self._database.execute("COMMIT")
        self.unreadable = []

    # -- cleaning

    @property
    def wasteful(self) -> bool:
        """Is so much of the log not needed that it had better be cleaned at once?"""
        wasted = self._bytes - self._needed
        return wasted > WASTE_MAX and wasted > WASTE_SHARE * self._needed

    @property
    def cleanable(self) -> bool:
        """Is it worth to clean the log while there is nothing else to do?"""
        if self.live == 0:
            return self._bytes > 0
        wasted = self._bytes - self._needed
        return wasted > WASTE_MIN and wasted > WASTE_SHARE * self._needed

    def clean(self) -> None:
        """Remove some rows from the beginning; what is needed of them is written to the end again."""
        upto = 0
        freed = 0
        needed: list[Body] = []
        for id, length, packed in self._database.each(_SIZES):
            upto = id
            freed += length + packed
            if id in self._bodies:
                needed.append(self._bodies[id])
            if freed >= CLEANED_PER_STEP:
                break
        for body in needed:
            self._move(body)
        self._database.execute("DELETE FROM fanout WHERE id <= ?", (upto,))
        self._bytes -= freed

    def _move(self, body: Body) -> None:
        """Write one message to the end, with the copies of it that are there."""
        record, data = self._database.rows("SELECT record, copies FROM fanout WHERE id = ?", (body.id,))[0]
        keys: list[int] = []
        notes: list[bytes] = []
        for key in self._keys_of(body.id, data):
            found = self.one(key)
            if found is not None and found[0] is body:
                keys.append(key)
                notes.append(found[1])
        packed = pack_copies(keys, notes)
        id = self._insert(body.lane, body.size, body.expires, record, packed)
        self._moved.append((body, id, _each(len(packed), keys)))

    @staticmethod
    def _keys_of(id: int, data: bytes) -> list[int]:
        try:
            return unpack_copies(data)[0]
        except BadRecord as error:
            # It could be read at start.
            raise StoreDamaged(f"fanout, row {id}: {error}") from None


@final
class _Struck:
    """Copies that left within the running transaction."""

    __slots__ = ("bodies", "notes", "queue", "sequences")

    def __init__(self, queue: int, copies: Copies, at: range) -> None:
        self.queue = queue
        self.sequences = copies.sequences[at.start : at.stop]
        self.bodies = copies.bodies[at.start : at.stop]
        self.notes = copies.notes[at.start : at.stop]


def _each(packed: int, keys: list[int]) -> int:
    """Bytes that one copy takes."""
    return -(-packed // max(len(keys), 1))


def _joined(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same, in order and apart from each other."""
    runs.sort()
    joined: list[tuple[int, int]] = []
    for first, last in runs:
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return joined
