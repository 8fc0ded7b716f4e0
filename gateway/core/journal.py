"""What waits for the next commit: a store's front, on the thread that appends.

Operations gather while the previous commit runs; `take` makes a batch of the oldest of them.  A message that leaves
again before its commit began is struck: what is consumed at once never touches the disk.

Operations between `begin` and `end` are a group, which is never split over two batches; while one is open, over several
turns, no batch goes beyond its beginning.  What leaves within a group
that also puts something in (a dead letter, the messages of a transaction) must not be struck: were its place called
durable before the group is, a crash would leave neither.  It meets its place only if one batch holds both.
"""

from typing import Final, final

from mypy_extensions import mypyc_attr

from gateway.core.message import PRIORITY_DEFAULT, PRIORITY_NONE, Message
from gateway.core.ports import (
    SEQUENCE_BITS,
    Cleared,
    Dequeued,
    Enqueued,
    Noted,
    Operation,
    Quarantined,
    QueueDeleted,
    QueueMade,
    Redelivered,
    Retained,
    Store,
)
from gateway.core.record import LONG_RECORD, LongRecord, encode_record, record_of

OPERATION_BYTES: Final = 256
"""Bytes of memory that an operation takes beside what it carries, about."""

BATCH_OPERATIONS_MAX: Final = 4_096
BATCH_BYTES_MAX: Final = 8_388_608
"""Operations, and bytes of memory, after which a batch is full.  One group may exceed them."""

ENTRY_COLUMNS: Final = 7
"""Values of one entry in `Batch.entries`: key, lane, failures, size, expiry, note, record."""


@final
class Refused:
    """Operations that could not be written, because one of them could not be."""

    __slots__ = ("operations", "why")

    def __init__(self, operations: list[Operation], why: str) -> None:
        self.operations = operations
        self.why = why


@final
class Batch:
    """The operations of one commit, sorted so that a database can carry them out in few steps.

    In this order: queues gone, queues made (unless they are gone too), entries added, failures set, entries set aside,
    entries removed, ranges cleared.  The last word on a topic or a note has replaced the earlier ones.
    """

    __slots__ = (
        "_message",
        "_record",
        "aside",
        "bytes",
        "cleared",
        "entries",
        "failures",
        "largest",
        "long",
        "notes",
        "operations",
        "position",
        "queues_gone",
        "queues_made",
        "removed",
        "retained",
        "shared",
    )

    def __init__(self, position: int) -> None:
        self.position = position
        """Everything up to here is durable once it is committed."""
        # A message that went to several queues is encoded once: its entries follow each other.
        self._message: Message | None = None
        self._record: bytes | LongRecord = b""
        self.bytes = 0
        """Of all records and notes."""
        self.largest = 0
        """Bytes of the largest record among the entries."""
        self.long = False
        """There is a LongRecord among the entries."""
        self.operations = 0
        self.queues_made: list[QueueMade] = []
        self.queues_gone: list[int] = []
        self.entries: list[object] = []
        """ENTRY_COLUMNS values for each, one after the other; a record may be a LongRecord."""
        self.shared: list[tuple[int, int]] = []
        """Entries that are of one message: the number of the first, and how many they are."""
        self.failures: list[tuple[int, int]] = []
        """Failures and key."""
        self.aside: list[tuple[int, str]] = []
        """Key and reason."""
        self.removed: list[tuple[int, int]] = []
        """Runs of keys, first and last."""
        self.cleared: list[Cleared] = []
        self.retained: dict[str, bytes | LongRecord | None] = {}
        self.notes: dict[tuple[str, str], bytes | LongRecord | None] = {}

    def add(self, operation: Operation) -> None:
        """Take one operation in, behind the others.  Raises whatever error shows that it cannot be written."""
        self.operations += 1
        if isinstance(operation, Enqueued):
            self._enqueue(operation)
        elif isinstance(operation, Dequeued):
            self._remove((operation.queue << SEQUENCE_BITS) + operation.sequence)
        elif isinstance(operation, Noted):
            check_text(operation.key)
            value = operation.value
            self.notes[(operation.space, operation.key)] = value
            if value is not None:
                self.bytes += len(value)
        elif isinstance(operation, Redelivered):
            key = (operation.queue << SEQUENCE_BITS) + operation.sequence
            self.failures.append((operation.failures, key))
        elif isinstance(operation, Retained):
            self._retain(operation)
        elif isinstance(operation, QueueMade):
            check_text(operation.key)
            self.queues_made.append(operation)
        elif isinstance(operation, QueueDeleted):
            self.queues_gone.append(operation.number)
        elif isinstance(operation, Cleared):
            self.cleared.append(operation)
        else:
            assert isinstance(operation, Quarantined)
            key = (operation.queue << SEQUENCE_BITS) + operation.sequence
            self.aside.append((key, operation.reason))

    def _enqueue(self, operation: Enqueued) -> None:
        message = operation.message
        if message is self._message:
            record = self._record
            self._repeat(len(self.entries) // ENTRY_COLUMNS)
        else:
            ahead = operation.record
            record = self._record = record_of(message) if ahead is None else ahead
            if isinstance(record, LongRecord):
                self.long = True
            self._message = message
            if len(record) > self.largest:
                self.largest = len(record)
        self.bytes += len(record)
        entries = self.entries
        entries.append((operation.queue << SEQUENCE_BITS) + operation.sequence)
        entries.append(lane_of(message))
        entries.append(0)
        entries.append(message.size)
        entries.append(message.expires_at_ms)
        entries.append(operation.note)
        entries.append(record)

    def _retain(self, operation: Retained) -> None:
        check_text(operation.topic)
        message = operation.message
        if message is None:
            self.retained[operation.topic] = None
            return
        record = self.retained[operation.topic] = record_of(message)
        self.bytes += len(record)

    def _repeat(self, number: int) -> None:
        """Entry `number` is of the same message as the one before it."""
        shared = self.shared
        if shared:
            first, count = shared[-1]
            if first + count == number:
                shared[-1] = (first, count + 1)
                return
        shared.append((number - 1, 2))

    def _remove(self, key: int) -> None:
        removed = self.removed
        if removed:
            first, last = removed[-1]
            if key == last + 1:
                removed[-1] = (first, key)
                return
        removed.append((key, key))


def lane_of(message: Message) -> int:
    """The priority under which a message waits."""
    return PRIORITY_DEFAULT if message.priority == PRIORITY_NONE else message.priority


def check_text(text: str) -> None:
    """Raises UnicodeEncodeError for a lone surrogate, which no database takes."""
    text.encode()


def weight_of(operation: Operation) -> int:
    """Bytes of memory that an operation takes until it is committed, about."""
    if isinstance(operation, Enqueued):
        ahead = operation.record
        return operation.message.size + OPERATION_BYTES + (0 if ahead is None else len(ahead))
    if isinstance(operation, Noted):
        value = operation.value
        return OPERATION_BYTES + len(operation.key) + (0 if value is None else len(value))
    if isinstance(operation, Retained):
        message = operation.message
        return OPERATION_BYTES + len(operation.topic) + (0 if message is None else message.size)
    if isinstance(operation, QueueMade):
        return OPERATION_BYTES + len(operation.key) + len(operation.note)
    return OPERATION_BYTES


def _puts_in(operation: Operation) -> bool:
    """Does it leave something behind that a crash could lose?"""
    if isinstance(operation, Noted):
        return operation.value is not None
    return isinstance(operation, (Enqueued, Retained, QueueMade))


@mypyc_attr(allow_interpreted_subclasses=True)
class Journal(Store):
    """The appending half of a store that commits on a thread of its own.

    A subclass implements `wake` and the reading half; it calls `take` when no commit runs, and `finish` after one.
    """

    __slots__ = (
        "_base",
        "_batch_bytes_max",
        "_batch_operations_max",
        "_began",
        "_bytes",
        "_bytes_max",
        "_committing_bytes",
        "_depth",
        "_encoded",
        "_groups",
        "_head",
        "_late",
        "_leaving",
        "_live",
        "_pairs",
        "_pending",
        "_previous",
        "_put_off",
        "_putting_in",
        "_taken",
        "_woken",
        "refused",
    )

    def __init__(
        self,
        bytes_max: int,
        batch_operations_max: int = BATCH_OPERATIONS_MAX,
        batch_bytes_max: int = BATCH_BYTES_MAX,
    ) -> None:
        super().__init__()
        # Of what waits for its commit or is in one; above it publishers wait too.
        self._bytes_max = bytes_max
        self._batch_operations_max = batch_operations_max
        self._batch_bytes_max = batch_bytes_max
        # The position before the first of the pending operations.
        self._base = 0
        self._bytes = 0
        self._committing_bytes = 0
        self._depth = 0
        # Up to here the open group's messages have been encoded ahead.
        self._encoded = 0
        # Something was not taken, because of the open group: its end is to say that it can be.
        self._put_off = False
        # Of the open group: the position before it, the positions at which messages leave that are still pending,
        # and whether it puts something in.
        self._began = 0
        self._leaving: list[int] = []
        self._putting_in = False
        # Of groups of several operations: the position before the first, and of the last.
        self._groups: list[tuple[int, int]] = []
        # Positions of Dequeued whose messages may be in the same batch.
        self._pairs: list[int] = []
        # Operations at the front of the pending ones that have been struck.
        self._head = 0
        # Of the messages in the batch taken last: how many there were, and how many left while it was committed.
        self._taken = 0
        self._late = 0
        self._previous = 0
        self._live = 0
        self._pending: list[Operation | None] = []
        self._woken = False
        self.refused: list[Refused] = []
        """What could not be written, each with all of its group, found by `take`: for the listener to be told."""

    def wake(self) -> None:
        """There is something to take: see to it that `take` is called, from outside the present call."""
        raise NotImplementedError

    def cleared(self) -> None:
        """The oldest operations that waited have been struck: see to it that `advance` is called."""
        raise NotImplementedError

    def append(self, operation: Operation) -> int:
        """See Store."""
        if isinstance(operation, Dequeued):
            at = operation.enqueued - self._base - 1
            if at >= 0:
                if self._depth == 0:
                    self._strike(at)
                    return self.position
                self._leaving.append(self.position + 1)
            elif operation.enqueued > self._previous:
                self._late += 1
        elif self._depth and not self._putting_in:
            self._putting_in = _puts_in(operation)
        self._bytes += weight_of(operation)
        if self._bytes + self._committing_bytes > self._bytes_max:
            self.congested = True
        self.position += 1
        self._live += 1
        self._pending.append(operation)
        if not self._woken:
            self._woken = True
            self.wake()
        return self.position

    def _strike(self, at: int) -> None:
        """The message enqueued at this place of the pending ones is gone again."""
        pending = self._pending
        enqueued = pending[at]
        assert isinstance(enqueued, Enqueued)
        self._drop(at)
        if at == self._head:
            self._head = self._first_live(at + 1)
            self.cleared()

    def _drop(self, at: int) -> int:
        """Forget the pending operation at this place; returns its weight."""
        operation = self._pending[at]
        assert operation is not None
        self._pending[at] = None
        self._live -= 1
        weight = weight_of(operation)
        self._bytes -= weight
        return weight

    def _first_live(self, at: int) -> int:
        """The first place from here on that has not been struck."""
        pending = self._pending
        count = len(pending)
        while at < count and pending[at] is None:
            at += 1
        return at

    def begin(self) -> None:
        """See Store."""
        if self._depth == 0:
            self._began = self.position
        self._depth += 1

    def end(self) -> None:
        """See Store."""
        assert self._depth > 0
        self._depth -= 1
        if self._depth == 0:
            if self.position > self._began:
                self._close_group()
            if self._put_off:
                self._put_off = False
                self.wake()

    def encode_ahead(self) -> None:
        """See Store.  What cannot be encoded is found again by `take`."""
        pending = self._pending
        at = max(self._encoded, self._began) - self._base
        message: Message | None = None
        record = b""
        while at < len(pending):
            operation = pending[at]
            at += 1
            if isinstance(operation, Enqueued) and operation.message.size < LONG_RECORD:
                if operation.message is not message:
                    try:
                        record = encode_record(operation.message)
                    except Exception:
                        continue
                    message = operation.message
                operation.record = record
                self._bytes += len(record)
        self._encoded = self.position

    def _close_group(self) -> None:
        """The group is whole: if nothing has come in, what has left is struck after all."""
        leaving = self._leaving
        if leaving:
            self._leaving = []
            if self._putting_in:
                self._pairs.extend(leaving)
            else:
                for position in leaving:
                    self._withdraw(position - self._base - 1)
        self._putting_in = False
        if self.position - self._began > 1:
            self._groups.append((self._began, self.position))

    def _withdraw(self, at: int) -> None:
        """Strike what the Dequeued at this place names, and itself."""
        dequeued = self._pending[at]
        assert isinstance(dequeued, Dequeued)
        if dequeued.enqueued <= self._base:
            # Its message was taken while the group was open.
            return
        self._drop(at)
        self._strike(dequeued.enqueued - self._base - 1)

    def takes_more(self) -> bool:
        """Is there anything for a batch?  While a group is open that may have to wait: `wake` is called at its end."""
        if self._depth == 0:
            return self.position > self._base
        self._put_off = True
        return self._began > self._base

    @property
    def waiting(self) -> int:
        """Operations that wait for the next commit."""
        return self._live

    @property
    def uncommitted_bytes(self) -> int:
        """Bytes of memory of what waits for a commit or is in one."""
        return self._bytes + self._committing_bytes

    @property
    def head(self) -> int:
        """Everything up to this position needs no commit; what follows it has waited longest."""
        return self._base + self._head

    @property
    def taken(self) -> int:
        """Everything up to this position is in a batch that was taken, or needs none."""
        return self._base

    @property
    def short_lived(self) -> bool:
        """Did most messages of the batch taken last leave while it was committed?  Then it had better have waited."""
        return self._taken > 0 and self._late * 2 >= self._taken

    def advance(self) -> bool:
        """With no batch unfinished: what has been struck at the front is as good as committed.  Was there any?"""
        self._look_at_room()
        head = self._head
        if head == 0:
            return False
        self._base += head
        del self._pending[:head]
        self._head = 0
        self.durable = self._base
        return True

    def rest(self) -> None:
        """Nothing waits any more: the next operation wakes the store again."""
        assert self._live == 0
        self._woken = False

    def take(self) -> Batch | None:
        """The oldest of what waits, as one batch; None when nothing of it needs the disk.

        To be called between calls into the core, and not while an earlier batch is unfinished.
        """
        assert self._depth == 0 or self._began > self._base
        self._woken = False
        self._taken = 0
        self._late = 0
        count, weight = self._measure()
        position = self._base + count
        before = self._bytes
        met = self._meet(position)
        weight -= before - self._bytes
        # Nothing is forgotten before all of it has been encoded.
        try:
            batch = self._encode(count)
        except Exception:
            self._put_back(met)
            self._refuse(count)
            batch = self._encode(count)
            weight = self._weigh(0, count)
        self._previous = self._base
        self._base = position
        self._live -= batch.operations
        del self._pending[:count]
        self._bytes -= weight
        self._committing_bytes = weight
        self._forget_groups()
        self._head = self._first_live(0)
        if batch.operations == 0:
            self.finish(position)
            return None
        self._taken = len(batch.entries) // ENTRY_COLUMNS
        return batch

    def _measure(self) -> tuple[int, int]:
        """How many of the pending operations, struck ones included, make the next batch, and their weight."""
        total = len(self._pending) if self._depth == 0 else self._began - self._base
        if (
            self._depth == 0
            and self._live <= self._batch_operations_max
            and self._bytes <= self._batch_bytes_max
        ):
            return total, self._bytes
        operations = weight = at = passed = 0
        while at < total and operations < self._batch_operations_max and weight < self._batch_bytes_max:
            end = at + 1
            while passed < len(self._groups) and self._groups[passed][0] - self._base <= at:
                end = max(end, self._groups[passed][1] - self._base)
                passed += 1
            operations += self._count(at, end)
            weight += self._weigh(at, end)
            at = end
        return at, weight

    def _count(self, at: int, end: int) -> int:
        """How many of these operations have not been struck."""
        count = 0
        while at < end:
            if self._pending[at] is not None:
                count += 1
            at += 1
        return count

    def _weigh(self, at: int, end: int) -> int:
        """The weight of these operations."""
        weight = 0
        while at < end:
            operation = self._pending[at]
            if operation is not None:
                weight += weight_of(operation)
            at += 1
        return weight

    def _forget_groups(self) -> None:
        """Those that are in no pending operation any more."""
        passed = 0
        while passed < len(self._groups) and self._groups[passed][1] <= self._base:
            passed += 1
        del self._groups[:passed]

    def _meet(self, position: int) -> list[tuple[int, Operation]]:
        """Take out what comes in and leaves within this batch; returns it with its places."""
        met: list[tuple[int, Operation]] = []
        passed = 0
        pairs = self._pairs
        while passed < len(pairs) and pairs[passed] <= position:
            at = pairs[passed] - self._base - 1
            passed += 1
            dequeued = self._pending[at]
            assert isinstance(dequeued, Dequeued)
            came_at = dequeued.enqueued - self._base - 1
            if came_at >= 0:
                enqueued = self._pending[came_at]
                assert enqueued is not None
                met.append((came_at, enqueued))
                met.append((at, dequeued))
                self._drop(came_at)
                self._drop(at)
        del pairs[:passed]
        return met

    def _put_back(self, met: list[tuple[int, Operation]]) -> None:
        """Undo `_meet`."""
        for at, operation in met:
            self._pending[at] = operation
            self._live += 1
            self._bytes += weight_of(operation)

    def _encode(self, count: int) -> Batch:
        """A batch of so many operations.  Raises what `Batch.add` raises, with nothing changed."""
        batch = Batch(self._base + count)
        pending = self._pending
        for at in range(count):
            operation = pending[at]
            if operation is not None:
                batch.add(operation)
        return batch

    def _refuse(self, count: int) -> None:
        """Take out what cannot be written, each time with all of its group: the rest is not to suffer for it."""
        at = passed = 0
        while at < count:
            end = at + 1
            while passed < len(self._groups) and self._groups[passed][0] - self._base <= at:
                end = max(end, self._groups[passed][1] - self._base)
                passed += 1
            unit = [operation for operation in self._pending[at:end] if operation is not None]
            try:
                batch = Batch(0)
                for operation in unit:
                    batch.add(operation)
            except Exception as error:
                self.refused.append(Refused(unit, f"{type(error).__name__}: {error}"))
                for place in range(at, end):
                    if self._pending[place] is not None:
                        self._drop(place)
            at = end

    def finish(self, position: int) -> None:
        """Everything up to `position` is durable; the listener is still to be told."""
        self.durable = position
        self._committing_bytes = 0
        self._look_at_room()

    def _look_at_room(self) -> None:
        """Publishers may go on as soon as little enough waits, whether it was committed or struck."""
        self.congested = self._bytes + self._committing_bytes > self._bytes_max
