"""The store in an SQLite file: one writer thread, one commit stream.

The thread of the loop appends and hands batches over; the writer thread commits one after the other, and between them
answers requests for pages, checkpoints and sweeps.  This is the half of the loop's thread, `writer.py` the other; where
the disk is quick, the loop's thread commits a few operations itself.
"""

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, final

from gateway.core.journal import BATCH_BYTES_MAX, BATCH_OPERATIONS_MAX, Batch, Journal
from gateway.core.ports import DISK_FAILED, Entry, Page, Recovered, StoreListener
from gateway.store.database import Database
from gateway.store.errors import StoreError, StoreFull
from gateway.store.opened import OpenedStore
from gateway.store.recovery import CHECK_BYTES_MAX
from gateway.store.room import Room
from gateway.store.schema import Opener
from gateway.store.segments import Segments
from gateway.store.tables import FANOUT_MAX
from gateway.store.writer import FULL_RETRY_S, Call, Outcomes, Writer

log = logging.getLogger("gateway.store")

HOLD_S: Final = 0.002
"""How long messages may wait for their consumers before they are committed, where most leave as fast as that."""

DISTRUST_MAX: Final = 16
"""Batches, at most, that are not held after one was held in vain."""

FEW: Final = 8
"""Operations, at most, that the loop's thread may commit itself."""

FEW_BYTES_MAX: Final = 65_536
"""Bytes of messages and notes among them."""

QUICK_S: Final = 0.001
"""A commit of a few operations that takes no longer may be waited for."""

PROBATION: Final = 64
"""Commits of a few operations that must have been quick, one after the other, before the loop's thread does them."""

SCARCE_OPERATIONS: Final = 256
"""Operations of one commit, at most, where there is little room."""


@final
class SqliteStore(Journal):
    """See the module.

    Life: construct (opens, recovers the file, takes the lock), `recover` and `fetch`, `start`, `append` …, `close`.
    """

    def __init__(
        self,
        path: Path,
        bytes_max: int = 67_108_864,
        opener: Opener = Database,
        segments: Segments | None = None,
        room: Room | None = None,
        batch_operations_max: int = BATCH_OPERATIONS_MAX,
        batch_bytes_max: int = BATCH_BYTES_MAX,
        fanout_max: int = FANOUT_MAX,
        check_bytes_max: int = CHECK_BYTES_MAX,
    ) -> None:
        """Open or make the store at `path`.

        `bytes_max` of operations may wait for their commit before publishers must; one commit has no more of them
        than `batch_operations_max` and `batch_bytes_max`; see Tables for `fanout_max`.  A file of up to `check_bytes_max`
        is looked at in full.  Raises StoreError.
        """
        super().__init__(bytes_max, batch_operations_max, batch_bytes_max)
        self.path = path
        self.pages = True
        self.trouble = ""
        """Why it is not accepting, for whoever runs the broker; empty while it is."""
        self.failure: StoreError | None = None
        """Why nothing can be kept any more; the process should end."""
        self.commits = 0
        """Batches that reached the disk."""
        self._opened = OpenedStore(path, opener, segments, room, bytes_max, fanout_max, check_bytes_max)
        self.damages = self._opened.damages
        """What could not be read, one line each; empty for a sound store."""
        self._writer = Writer(self._opened, self._outcomes())
        self._batch_operations_most = batch_operations_max
        self._committing = False
        self._scheduled = False
        self._announcing = False
        # Do commits wait for messages to leave first?  How many batches must go by before they may, after one that
        # waited in vain.
        self._holding = False
        self._distrust = 0
        self._distrusted = 0
        # Quick commits that are still to be seen on the writer thread.
        self._probation = PROBATION
        # With the position that must have been handed over before each.
        self._pages_asked: deque[tuple[int, Page]] = deque()
        # Why nothing new is taken, as the loop has heard it.
        self._low = ""
        # No room: a batch waits for it, and what is asked meanwhile may be answered before it.
        self._stuck = False
        # Pages of which nothing is on the disk yet: asked for again once the batch before them is there.
        self._early: list[Page] = []
        self._listener: StoreListener | None = None
        self._soon: Callable[[Call], object] = _at_once
        self._later: Callable[[float, Call], object] | None = None
        self._on_failure: Callable[[StoreError], None] = _raise

    def _outcomes(self) -> Outcomes:
        return Outcomes(
            committed=self._committed,
            loaded=self._loaded,
            later=self._read_later,
            full=self._full,
            judged=self._judge,
            swept=self._swept,
            failed=self._failed,
        )

    # -- start

    def recover(self) -> Recovered:
        """See Store."""
        found = self._opened.recover()
        if (judged := self._opened.look()) is not None:
            self._judge(*judged)
        return found

    def fetch(self, queue: int, sequences: list[int]) -> list[Entry]:
        """See Store."""
        assert not self._writer.running
        return self._opened.tables.fetch(queue, sequences)

    def page(self, page: Page) -> list[Entry]:
        """See Store."""
        assert not self._writer.running
        return self._opened.tables.load(page)

    def start(
        self,
        listener: StoreListener,
        soon: Callable[[Call], object],
        across: Callable[[Call], object],
        on_failure: Callable[[StoreError], None],
        later: Callable[[float, Call], object] | None = None,
    ) -> None:
        """Begin to commit.

        `soon` has the loop call something after the present call (`call_soon`), `across` does the same from another
        thread (`call_soon_threadsafe`), `later` after some seconds (`call_later`); without it no commit waits.
        `on_failure` hears, on the loop, that nothing can be kept any more.
        """
        self._listener = listener
        self._soon = soon
        self._on_failure = on_failure
        self._later = later
        self._writer.start(across)
        if self.waiting:
            self.wake()

    # -- on the loop's thread

    def wake(self) -> None:
        """See Journal."""
        self._schedule()

    def load(self, page: Page) -> None:
        """See Store.  While a batch waits for room the answer holds what is on the disk, and is not complete."""
        if self._stuck:
            page.complete = False
            self._writer.put(page)
        else:
            page.complete = True
            self._pages_asked.append((self.position, page))
            self._schedule()

    def _schedule(self) -> None:
        """Have `_hand_over` called, unless the end of the running commit will do so."""
        if self._scheduled or self._committing or not self._writer.running:
            return
        self._scheduled = True
        if self._holding and self._later is not None and not self._pages_asked:
            self._later(HOLD_S, partial(self._after_hold, self.head))
        else:
            self._soon(self._hand_over)

    def _after_hold(self, head: int) -> None:
        """What waits has waited a moment; if what was oldest then has left, what came since may wait as well."""
        if self._writer.retired:
            return
        if self.head > head and not self._pages_asked:
            self._distrust = 0
            self._scheduled = False
            if self.waiting:
                self._schedule()
            else:
                self.rest()
            return
        self._holding = False
        self._distrust = min(2 * self._distrust + 1, DISTRUST_MAX)
        self._distrusted = self._distrust
        self._hand_over()

    def cleared(self) -> None:
        """See Journal."""
        if not self._announcing and not self._committing and self._writer.running:
            self._announcing = True
            self._soon(self._announce)

    def _announce(self) -> None:
        """Messages that have left need no commit: who waits for their positions may go on."""
        self._announcing = False
        if self._writer.retired:
            return
        if not self._committing and self.advance() and self._listener is not None:
            self._listener.on_durable(self.durable)

    def _hand_over(self) -> None:
        """Give the writer thread everything that waits; what is asked comes behind it, so that it is seen."""
        self._scheduled = False
        if self._committing or self.failure is not None or self._writer.retired:
            return
        try:
            self._hand_over_batch()
        finally:
            self._hand_over_pages()

    def _hand_over_batch(self) -> None:
        if self.position <= self.durable:
            self.rest()
            return
        if not self.takes_more():
            return
        if self._distrusted:
            self._distrusted -= 1
        else:
            self._holding = self._holding or self.short_lived
        batch = self.take()
        if batch is None:
            self._proceed()
            return
        self._committing = True
        try:
            self._tell_refused()
        finally:
            if self._probation or not self._commit_here(batch):
                self._writer.put(batch)

    def _hand_over_pages(self) -> None:
        """A question follows the batches with everything that was appended before it."""
        asked = self._pages_asked
        while asked and asked[0][0] <= self.taken:
            self._writer.put(asked.popleft()[1])

    def _tell_refused(self) -> None:
        refused = self.refused
        self.refused = []
        for group in refused:
            for operation in group.operations:
                if self._listener is not None:
                    self._listener.on_refused(operation, group.why)

    def _proceed(self) -> None:
        """Tell the listener what is durable, and see to what waits, whatever comes of that."""
        try:
            self._tell_refused()
            if self._listener is not None:
                self._listener.on_durable(self.durable)
        finally:
            # Also when nothing that waits needs the disk: somebody may wait for its position.
            if self.position > self.durable or self._pages_asked:
                if self._pages_asked or self.takes_more():
                    self._schedule()
            else:
                # All that came meanwhile has left again.
                self.rest()

    def _commit_here(self, batch: Batch) -> bool:
        """Commit a few operations on the spot: to wake the writer thread and be woken again takes half as long.

        False when that is left to the writer thread after all.
        """
        if not _few(batch):
            return False
        took = self._writer.commit_here(batch)
        if took is None:
            return False
        if took >= 0:
            self._committed(batch, took)
        return True

    def _committed(self, batch: Batch, took_s: float) -> None:
        """A batch is on the disk."""
        if _few(batch):
            self._probation = PROBATION if took_s > QUICK_S else max(self._probation - 1, 0)
        self.commits += 1
        self._committing = False
        self.finish(batch.position)
        self.advance()
        try:
            if self._stuck:
                self._room_again()
        finally:
            self._proceed()

    def _swept(self, number: int) -> None:
        """Nothing is left of a deleted queue."""
        self.numbers_free.append(number)

    def _room_again(self) -> None:
        """The batch that waited for room is on the disk."""
        self._stuck = False
        early = self._early
        self._early = []
        for page in early:
            self.load(page)
        # The writer thread has looked since, and says what came of it.
        self._accept(not self._low, self._low)

    def _loaded(self, page: Page, entries: list[Entry]) -> None:
        if self._listener is None:
            return
        if page.complete or entries or page.expired_by_ms or page.reader is not None:
            self._listener.on_loaded(page, entries)
        elif self._stuck:
            # What was asked for is in a batch that waits: to say that there is nothing would lose it.
            self._early.append(page)
        else:
            self.load(page)

    def _read_later(self, page: Page) -> None:
        """There was no file descriptor to read it with."""
        if self._later is not None:
            self._later(FULL_RETRY_S, partial(self.load, page))
        else:
            self.load(page)

    def _full(self, error: StoreFull) -> None:
        if self._stuck:
            return
        self._stuck = True
        log.error("store: %s: nothing is confirmed until there is room", error)
        self._accept(False, str(error))
        asked = self._pages_asked
        self._pages_asked = deque()
        for _, page in asked:
            self.load(page)

    def _judge(self, low: str, pending_max: int) -> None:
        """There is too little room on the disk, or enough again (`low` is empty)."""
        self._low = low
        self._bytes_max = pending_max
        # Each batch is in the log as a whole before anything of it makes room.
        most = self._batch_operations_most
        self._batch_operations_max = min(most, SCARCE_OPERATIONS) if low else most
        if not self._stuck and self.failure is None:
            self._accept(not low, low)

    def _accept(self, accepting: bool, trouble: str) -> None:
        self.trouble = trouble
        if accepting == self.accepting:
            return
        self.accepting = accepting
        if accepting:
            log.info("store: there is room again, going on")
        else:
            log.error("store: %s: nothing new is kept until there is more room", trouble)
        if self._listener is not None:
            self._listener.on_accepting(accepting)

    def _failed(self, error: StoreError) -> None:
        self.failure = error
        self.failed = True
        self.refusal = DISK_FAILED
        log.critical("store: %s: nothing can be kept any more", error)
        self._accept(False, str(error))
        self._on_failure(error)

    def retire(self) -> None:
        """Do nothing more on the loop's thread: `close` follows, and may be called on another."""
        self._writer.retire()

    def close(self, clean: bool) -> None:
        """Commit what waits and let go of the file.

        `clean`: no delivery is unsettled, so the next run need not suspect that one was made.  Raises StoreError when
        it failed and nobody has been told.
        """
        # What the writer thread still wants to say is read from `broken`.
        self.retire()
        self._writer.stop()
        broken = self._writer.broken
        sure = False
        try:
            if self.failure is None and broken is None:
                self._close_in_order(clean)
                sure = True
        except StoreFull as error:
            # Nobody was told that it is kept.
            log.error("store: %s: what was not committed is lost; it was confirmed to nobody", error)
        finally:
            self._opened.close(sure)
        if broken is not None and self.failure is None:
            raise broken

    def _close_in_order(self, clean: bool) -> None:
        opened = self._opened
        if self._stuck or opened.uncounted:
            opened.room.give_up()
        opened.count_start()
        if (unwritten := self._writer.unwritten) is not None:
            opened.tables.apply(unwritten)
            self.finish(unwritten.position)
        self._committing = False
        # A group that is still open is not whole, so nothing of it is to be kept.
        while self.takes_more():
            batch = self.take()
            if batch is not None:
                opened.tables.apply(batch)
                self.finish(batch.position)
        opened.note_clean(clean)

    @property
    def compacting(self) -> bool:
        """Is all given back that is not needed?  Until it is done."""
        return self._writer.compacting

    def compact(self) -> None:
        """Give back all that is not needed: at once where there is quiet, else a little after each commit."""
        self._writer.compact()


def _few(batch: Batch) -> bool:
    """Is it so little that a quick disk can be waited for?"""
    return batch.operations <= FEW and batch.bytes <= FEW_BYTES_MAX


def _at_once(call: Call) -> None:
    call()


def _raise(error: StoreError) -> None:
    raise error
