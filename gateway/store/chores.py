"""What the writer thread does between commits: deleted queues, the log, free pages, rows that are mostly not needed.

Each step is short, as a commit may have to wait for it.  Used under the writer's lock.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final, final

from gateway.store.opened import OpenedStore
from gateway.store.upkeep import FREE_PAGES_KEPT, LOG_BYTES_KEPT, give_back, shorten_log

SWEEP_S: Final = 1.0
"""How often some entries of deleted queues are removed while there is something else to do."""

CHECKPOINT_PAGES: Final = 2_048
"""Pages of log after which they are moved into the file: about 8 MiB, which is then written over."""

SCARCE_PAGES: Final = 128
"""The same where there is little room: the log is not to grow."""


MERGES_AT_ONCE: Final = 3
"""Steps of merging after one commit: together they take more copies than a batch may bring."""

MERGE_LOG_PAGES: Final = 256
"""Pages of log that a step of it takes, about."""


@final
class Chores:
    """See the module.  Every step raises StoreError; those that return a bool say whether there was anything to do."""

    def __init__(self, opened: OpenedStore, on_swept: Callable[[int], None]) -> None:
        """`on_swept` hears, on the thread that sweeps, the number of a queue of which nothing is left."""
        self._opened = opened
        self._tables = opened.tables
        self._database = opened.database
        self._on_swept = on_swept
        self._swept_s = time.monotonic()
        self.log_pages = 0
        """Pages that may be in the log, about."""
        self.compacting = False
        """Is all given back that is not needed?  Until it is done."""

    def due(self) -> Iterator[Callable[[], bool]]:
        """What must not wait for quiet; each step to be carried out before the next is asked for."""
        if self._tables.sweeping and time.monotonic() - self._swept_s > SWEEP_S:
            # A store that is never idle must not keep deleted queues for ever.
            yield self.sweep
        if self.log_pages >= (SCARCE_PAGES if self._opened.room.low else CHECKPOINT_PAGES):
            yield self.checkpoint
        for _ in range(MERGES_AT_ONCE):
            if self._tables.merging.due:
                yield self.merge
        if self._tables.fanout.wasteful:
            yield self.clean

    def sweep(self) -> bool:
        """Remove some of what is left of deleted queues."""
        number = self._tables.sweep()
        self._swept_s = time.monotonic()
        if number:
            self._on_swept(number)
        return True

    def checkpoint(self) -> bool:
        """Move the log into the file, as far as readers allow."""
        self.log_pages = 0
        self._database.execute("PRAGMA wal_checkpoint(PASSIVE)")
        return True

    def empty_log(self) -> bool:
        """The same, and the log begins again where it began."""
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.log_pages = 0
        return True

    def merge(self) -> bool:
        """Make entries of some of what many queues took."""
        self._tables.merge()
        self.log_pages += MERGE_LOG_PAGES
        return True

    def clean(self) -> bool:
        """Remove some of what is not needed of messages that many queues took."""
        self._tables.clean()
        self.log_pages += 1
        return True

    def tidy(self) -> bool:
        """One step of what can wait for quiet."""
        if self._tables.sweeping:
            return self.sweep()
        if self._tables.fanout.cleanable:
            return self.clean()
        if (segment := self._tables.sparse()) and self._tables.move(segment):
            self.log_pages += 1
            return True
        if self.log_pages:
            return self.checkpoint()
        if give_back(self._database, 0 if self.compacting else FREE_PAGES_KEPT):
            self.log_pages = 1
            return True
        shorten_log(self._opened.path, self._database, 0 if self.compacting else LOG_BYTES_KEPT)
        self.compacting = False
        return False
