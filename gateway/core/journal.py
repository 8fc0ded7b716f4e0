"""What waits for the next commit: a store's front, on the thread that appends.

Operations gather while the previous commit runs; `take` makes one batch of them.  A message that leaves again before
its commit began is struck from the batch: what is consumed at once never touches the disk.
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
from gateway.core.record import encode_record

ENTRY_COLUMNS: Final = 7
"""Values of one entry in `Batch.entries`: key, lane, failures, size, expiry, note, record."""


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
        "notes",
        "operations",
        "position",
        "queues_gone",
        "queues_made",
        "removed",
        "retained",
    )

    def __init__(self, position: int) -> None:
        self.position = position
        """Everything up to here is durable once it is committed."""
        # A message that went to several queues is encoded once: its entries follow each other.
        self._message: Message | None = None
        self._record = b""
        self.bytes = 0
        self.largest = 0
        """Bytes of the largest record among the entries."""
        self.operations = 0
        self.queues_made: list[QueueMade] = []
        self.queues_gone: list[int] = []
        self.entries: list[object] = []
        """ENTRY_COLUMNS values for each, one after the other."""
        self.failures: list[tuple[int, int]] = []
        """Failures and key."""
        self.aside: list[tuple[int, str]] = []
        """Key and reason."""
        self.removed: list[tuple[int, int]] = []
        """Runs of keys, first and last."""
        self.cleared: list[Cleared] = []
        self.retained: dict[str, bytes | None] = {}
        self.notes: dict[tuple[str, str], bytes | None] = {}

    def add(self, operation: Operation) -> None:
        """Take one operation in, behind the others."""
        self.operations += 1
        if isinstance(operation, Enqueued):
            self._enqueue(operation)
        elif isinstance(operation, Dequeued):
            self._remove((operation.queue << SEQUENCE_BITS) + operation.sequence)
        elif isinstance(operation, Noted):
            self.notes[(operation.space, operation.key)] = operation.value
        elif isinstance(operation, Redelivered):
            key = (operation.queue << SEQUENCE_BITS) + operation.sequence
            self.failures.append((operation.failures, key))
        elif isinstance(operation, Retained):
            message = operation.message
            self.retained[operation.topic] = None if message is None else encode_record(message)
        elif isinstance(operation, QueueMade):
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
        else:
            record = self._record = encode_record(message)
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


@mypyc_attr(allow_interpreted_subclasses=True)
class Journal(Store):
    """The appending half of a store that commits on a thread of its own.

    A subclass implements `wake` and the reading half; it calls `take` when no commit runs, and `finish` after one.
    """

    __slots__ = (
        "_base",
        "_bytes",
        "_bytes_max",
        "_committing_bytes",
        "_depth",
        "_head",
        "_late",
        "_live",
        "_pending",
        "_previous",
        "_taken",
        "_woken",
    )

    def __init__(self, bytes_max: int) -> None:
        super().__init__()
        # Of messages that wait for their commit; above it publishers wait too.
        self._bytes_max = bytes_max
        self._base = 0
        self._bytes = 0
        self._committing_bytes = 0
        self._depth = 0
        # Operations at the front of the pending ones that have been struck.
        self._head = 0
        # Of the messages in the batch taken last: how many there were, and how many left while it was committed.
        self._taken = 0
        self._late = 0
        self._previous = 0
        self._live = 0
        self._pending: list[Operation | None] = []
        self._woken = False

    def wake(self) -> None:
        """There is something to take: see to it that `take` is called, from outside the present call."""
        raise NotImplementedError

    def cleared(self) -> None:
        """The oldest operations that waited have been struck: see to it that `advance` is called."""
        raise NotImplementedError

    def append(self, operation: Operation) -> int:
        """See Store."""
        pending = self._pending
        if isinstance(operation, Dequeued):
            at = operation.enqueued - self._base - 1
            if at >= 0:
                self._strike(at)
                return self.position
            if operation.enqueued > self._previous:
                self._late += 1
        elif isinstance(operation, Enqueued):
            self._bytes += operation.message.size
            if self._bytes + self._committing_bytes > self._bytes_max:
                self.congested = True
        self.position += 1
        self._live += 1
        pending.append(operation)
        if not self._woken:
            self._woken = True
            self.wake()
        return self.position

    def _strike(self, at: int) -> None:
        """The message enqueued at this place of the pending ones is gone again."""
        pending = self._pending
        enqueued = pending[at]
        assert isinstance(enqueued, Enqueued)
        pending[at] = None
        self._live -= 1
        self._bytes -= enqueued.message.size
        if at == self._head:
            count = len(pending)
            at += 1
            while at < count and pending[at] is None:
                at += 1
            self._head = at
            self.cleared()

    def begin(self) -> None:
        """See Store."""
        self._depth += 1

    def end(self) -> None:
        """See Store."""
        assert self._depth > 0
        self._depth -= 1

    @property
    def waiting(self) -> int:
        """Operations that wait for the next commit."""
        return self._live

    @property
    def uncommitted_bytes(self) -> int:
        """Bytes of messages that wait for a commit or are in one."""
        return self._bytes + self._committing_bytes

    @property
    def head(self) -> int:
        """Everything up to this position needs no commit; what follows it has waited longest."""
        return self._base + self._head

    @property
    def short_lived(self) -> bool:
        """Did most messages of the batch taken last leave while it was committed?  Then it had better have waited."""
        return self._taken > 0 and self._late * 2 >= self._taken

    def advance(self) -> bool:
        """With no batch unfinished: what has been struck at the front is as good as committed.  Was there any?"""
        head = self._head
        if head == 0:
            return False
        self._base += head
        self._pending = self._pending[head:]
        self._head = 0
        self.durable = self._base
        return True

    def rest(self) -> None:
        """Nothing waits any more: the next operation wakes the store again."""
        assert self._live == 0
        self._woken = False

    def take(self) -> Batch | None:
        """Everything that waits, as one batch; None when nothing of it needs the disk.

        To be called between calls into the core, and not while an earlier batch is unfinished.
        """
        assert self._depth == 0
        self._woken = False
        pending = self._pending
        self._pending = []
        self._previous = self._base
        self._base = self.position
        self._head = 0
        self._taken = 0
        self._late = 0
        self._committing_bytes = self._bytes
        self._bytes = 0
        if self._live == 0:
            self.finish(self.position)
            return None
        self._live = 0
        batch = Batch(self.position)
        for operation in pending:
            if operation is not None:
                batch.add(operation)
        self._taken = len(batch.entries) // ENTRY_COLUMNS
        return batch

    def finish(self, position: int) -> None:
        """Everything up to `position` is durable; the listener is still to be told."""
        self.durable = position
        self._committing_bytes = 0
        self.congested = self._bytes > self._bytes_max
