"""The store in an SQLite file: one writer thread, one commit stream.

The thread of the loop appends and hands batches over; the writer thread commits one after the other, and between them
answers requests for pages, checkpoints and sweeps.  Both meet in three places only: `_requests`, the callable that
brings an outcome back to the loop, and `_writing`, which whoever uses the database holds: where the disk is quick, the
loop's thread commits a few operations itself.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, final

from gateway.core.journal import BATCH_BYTES_MAX, BATCH_OPERATIONS_MAX, Batch, Journal
from gateway.core.ports import DISK_FAILED, Entry, Page, Recovered, StoreListener
from gateway.store import recovery
from gateway.store.database import Database
from gateway.store.errors import StoreDamaged, StoreError, StoreFailed, StoreFull
from gateway.store.lock import StoreLock
from gateway.store.replace import doubt
from gateway.store.room import Room
from gateway.store.schema import PAGE_SIZE, Opener
from gateway.store.segments import Segments
from gateway.store.tables import FANOUT_MAX, Tables
from gateway.store.upkeep import FREE_PAGES_KEPT, LOG_BYTES_KEPT, give_back, shorten_log

log = logging.getLogger("gateway.store")

Call = Callable[[], None]

HOLD_S: Final = 0.002
"""How long messages may wait for their consumers before they are committed, where most leave as fast as that."""

DISTRUST_MAX: Final = 16
"""Batches, at most, that are not held after one was held in vain."""

FEW: Final = 8
"""Operations, at most, that the loop's thread may commit itself."""

FEW_BYTES_MAX: Final = 65_536
"""Bytes of messages among them."""

QUICK_S: Final = 0.001
"""A commit of a few operations that takes no longer may be waited for."""

PROBATION: Final = 64
"""Commits of a few operations that must have been quick, one after the other, before the loop's thread does them."""

SWEEP_S: Final = 1.0
"""How often some entries of deleted queues are removed while there is something else to do."""

FULL_RETRY_S: Final = 1.0
"""How often a full disk is tried again."""

LOOK_S: Final = 1.0
"""How often the disk's room is looked at while there is nothing to do."""

LOOK_PAGES: Final = 64
"""Pages of log after which it is looked at again."""

IDLE_S: Final = 0.5
"""Silence after which the writer thread looks after its file."""

STEP_S: Final = 0.02
"""Silence between two steps of that."""


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
        check_bytes_max: int = recovery.CHECK_BYTES_MAX,
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
        self.damages: list[str] = []
        """What could not be read, one line each; empty for a sound store."""
        self.failure: StoreError | None = None
        """Why nothing can be kept any more; the process should end."""
        self.commits = 0
        """Batches that reached the disk."""
        self.compacting = False
        """Is all given back that is not needed?  Until it is done."""
        recovery.prepare(path)
        self._lock = StoreLock(path)
        self._segments = segments or Segments(path)
        self._check_bytes_max = check_bytes_max
        # Segments beside a file that is not there belong to one that was moved away.
        fresh = not path.exists()
        try:
            self._room = room or Room(path)
            self._database, self._lanes = self._opened(opener)
            try:
                named = self._database.rows("SELECT segment, count(*) FROM part GROUP BY segment")
                self._tables = Tables(self._database, self._segments, fanout_max)
                self._tables.fanout.set_aside(self.damages)
                self._segments.begin(dict(named), keep=fresh or bool(self.damages))
            except StoreError:
                self._database.close()
                raise
        except StoreError:
            self._lock.release()
            raise
        for damage in self.damages:
            log.error("store: %s", damage)
        # Pages of log since the room was looked at.
        self._unlooked = 0
        self._pending_most = bytes_max
        self._batch_operations_most = batch_operations_max
        # Is there too little room, and how much may wait for its commit, as the loop has been told.
        self._said = (False, bytes_max)
        self._requests: SimpleQueue[Batch | Page | _Nudge | None] = SimpleQueue()
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
        self._writing = threading.Lock()
        # With the position that must have been handed over before each.
        self._pages_asked: deque[tuple[int, Page]] = deque()
        self._swept_s = time.monotonic()
        # Why nothing new is taken, as the loop has heard it.
        self._low = ""
        # No room: a batch waits for it, and what is asked meanwhile may be answered before it.
        self._stuck = False
        # Pages of which nothing is on the disk yet: asked for again once the batch before them is there.
        self._early: list[Page] = []
        # What the writer thread had not committed when it was told to stop.
        self._unwritten: Batch | None = None
        # This start's number, until the store has it.
        self._uncounted = 0
        self._log_pages = 0
        self._closing = threading.Event()
        # Set by whoever commits; `failure` is the same as the loop has been told.
        self._broken: StoreError | None = None
        self._listener: StoreListener | None = None
        self._soon: Callable[[Call], object] = _at_once
        self._across: Callable[[Call], object] = _at_once
        self._later: Callable[[float, Call], object] | None = None
        self._on_failure: Callable[[StoreError], None] = _raise
        self._thread: threading.Thread | None = None

    # -- start

    def _opened(self, opener: Opener) -> tuple[Database, recovery.Lanes]:
        """Open the file; where the disk is full, with the reserve's room, or else with as little as can be."""
        try:
            return self._open(opener)
        except StoreFull as error:
            log.warning("store: %s", error)
        while self._room.give_up():
            with suppress(StoreFull):
                return self._open(opener)

        def alone(path: str) -> Database:
            # The index of the log is then in memory, and needs no file; no other process can read meanwhile.
            database = opener(path)
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            return database

        return self._open(alone)

    def _open(self, opener: Opener) -> tuple[Database, recovery.Lanes]:
        self.damages.clear()
        return recovery.open_database(self.path, opener, self.damages, self._check_bytes_max)

    def recover(self) -> Recovered:
        """See Store."""
        recovery.add_lanes(self._lanes, self._tables.fanout.lanes())
        found = recovery.recover(self._database, self._lanes)
        self._lanes = {}
        # Nothing is committed before this start is counted.
        self._uncounted = found.epoch
        try:
            self._count_start()
        except StoreFull as error:
            log.error("store: %s", error)
            while self._uncounted and self._room.give_up():
                with suppress(StoreFull):
                    self._count_start()
        self._room.look(self._reusable())
        if self._uncounted or self._room.low:
            self._said = (True, self._room.pending_max(self._pending_most))
            self._judge(self._room.low or "there is no room on the disk", self._said[1])
        return found

    def _count_start(self) -> None:
        if self._uncounted:
            recovery.count_start(self._database, self._uncounted)
            self._uncounted = 0

    def fetch(self, queue: int, sequences: list[int]) -> list[Entry]:
        """See Store."""
        assert self._thread is None
        return self._tables.fetch(queue, sequences)

    def page(self, page: Page) -> list[Entry]:
        """See Store."""
        assert self._thread is None
        return self._tables.load(page)

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
        self._across = across
        self._on_failure = on_failure
        self._later = later
        self._thread = threading.Thread(target=self._write, name="store", daemon=True)
        self._thread.start()
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
            self._requests.put(page)
        else:
            page.complete = True
            self._pages_asked.append((self.position, page))
            self._schedule()

    def _schedule(self) -> None:
        """Have `_hand_over` called, unless the end of the running commit will do so."""
        if self._scheduled or self._committing or self._thread is None:
            return
        self._scheduled = True
        if self._holding and self._later is not None and not self._pages_asked:
            self._later(HOLD_S, partial(self._after_hold, self.head))
        else:
            self._soon(self._hand_over)

    def _after_hold(self, head: int) -> None:
        """What waits has waited a moment; if what was oldest then has left, what came since may wait as well."""
        if self._closing.is_set():
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
        if not self._announcing and not self._committing and self._thread is not None:
            self._announcing = True
            self._soon(self._announce)

    def _announce(self) -> None:
        """Messages that have left need no commit: who waits for their positions may go on."""
        self._announcing = False
        if self._closing.is_set():
            return
        if not self._committing and self.advance() and self._listener is not None:
            self._listener.on_durable(self.durable)

    def _hand_over(self) -> None:
        """Give the writer thread everything that waits; what is asked comes behind it, so that it is seen."""
        self._scheduled = False
        if self._committing or self.failure is not None or self._closing.is_set():
            return
        try:
            self._hand_over_batch()
        finally:
            self._hand_over_pages()

    def _hand_over_batch(self) -> None:
        if self.position <= self.durable:
            self.rest()
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
                self._requests.put(batch)

    def _hand_over_pages(self) -> None:
        """A question follows the batches with everything that was appended before it."""
        asked = self._pages_asked
        while asked and asked[0][0] <= self.taken:
            self._requests.put(asked.popleft()[1])

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
                self._schedule()
            else:
                # All that came meanwhile has left again.
                self.rest()

    def _commit_here(self, batch: Batch) -> bool:
        """Commit a few operations on the spot: to wake the writer thread and be woken again takes half as long.

        False when that is left to the writer thread after all.
        """
        if not _few(batch) or not self._writing.acquire(blocking=False):
            return False
        try:
            if self._broken is not None:
                # The loop has not heard yet that nothing can be kept any more.
                return False
            if not self._log_pages or self._log_pages >= CHECKPOINT_PAGES:
                # It must not sleep through the time to move the log.
                self._requests.put(_Nudge())
            took = self._apply(batch)
        except StoreFull:
            # It knows how to wait for room.
            return False
        except StoreError as error:
            self._give_up(error)
            return True
        finally:
            self._writing.release()
        self._committed(batch.position, took)
        return True

    def _committed(self, position: int, took_s: float) -> None:
        """A batch is on the disk; `took_s` is not 0 where it was a few operations."""
        if took_s > QUICK_S:
            self._probation = PROBATION
        elif took_s and self._probation:
            self._probation -= 1
        self.commits += 1
        self._committing = False
        self.finish(position)
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
        self.refusal = DISK_FAILED
        log.critical("store: %s: nothing can be kept any more", error)
        self._accept(False, str(error))
        self._on_failure(error)

    def retire(self) -> None:
        """Do nothing more on the loop's thread: `close` follows, and may be called on another."""
        self._closing.set()

    def close(self, clean: bool) -> None:
        """Commit what waits and let go of the file.

        `clean`: no delivery is unsettled, so the next run need not suspect that one was made.  Raises StoreError when
        it failed and nobody has been told.
        """
        # What the writer thread still wants to say is read from `_broken`.
        self.retire()
        thread = self._thread
        if thread is not None:
            self._requests.put(None)
            thread.join()
            self._thread = None
        sure = False
        try:
            if self.failure is None and self._broken is None:
                self._close_in_order(clean)
                sure = True
        except StoreFull as error:
            # Nobody was told that it is kept.
            log.error("store: %s: what was not committed is lost; it was confirmed to nobody", error)
        finally:
            self._segments.close(sure)
            self._database.close()
            self._room.close()
            self._lock.release()
        if self._broken is not None and self.failure is None:
            raise self._broken

    def _close_in_order(self, clean: bool) -> None:
        if self._stuck or self._uncounted:
            self._room.give_up()
        self._count_start()
        if self._unwritten is not None:
            self._tables.apply(self._unwritten)
            self.finish(self._unwritten.position)
        self._committing = False
        while self.position > self.taken:
            batch = self.take()
            if batch is not None:
                self._tables.apply(batch)
                self.finish(batch.position)
        if clean:
            self._database.execute("UPDATE meta SET value = 1 WHERE key = 'clean'")
        with suppress(StoreFull):
            # What stays in the log is read from there.
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    # -- on the writer thread

    def _write(self) -> None:
        """Serve requests until told to stop."""
        quiet_s = IDLE_S
        while True:
            try:
                request = self._requests.get(timeout=quiet_s)
            except Empty:
                with self._writing:
                    more = self._broken is None and self._guarded(self._tidy)
                    if self._broken is None:
                        self._guarded(self._look)
                quiet_s = min(STEP_S, IDLE_S) if more else LOOK_S
                continue
            quiet_s = IDLE_S
            if request is None:
                return
            if self._broken is not None:
                continue
            with self._writing:
                self._serve(request)

    def _serve(self, request: "Batch | Page | _Nudge") -> None:
        if isinstance(request, Batch):
            self._commit(request)
        elif isinstance(request, Page):
            self._answer(request)
        if self._tables.sweeping and time.monotonic() - self._swept_s > SWEEP_S and self._broken is None:
            # A store that is never idle must not keep deleted queues for ever.
            self._guarded(self._sweep)
        if self._log_pages >= (SCARCE_PAGES if self._room.low else CHECKPOINT_PAGES) and self._broken is None:
            self._log_pages = 0
            self._guarded(self._checkpoint)
        if self._tables.fanout.wasteful and self._broken is None:
            self._guarded(self._clean)
        if self.compacting and self._broken is None:
            self._guarded(self._tidy)

    def _commit(self, batch: Batch) -> None:
        while True:
            try:
                took = self._apply(batch)
                break
            except StoreFull as error:
                if self._give_up_reserve():
                    continue
                self._tell(partial(self._full, error))
                self._guarded(self._shorten_log)
                if not self._wait_for_room():
                    self._unwritten = batch
                    return
            except StoreError as error:
                self._give_up(error)
                return
        self._tell(partial(self._committed, batch.position, took))

    def _apply(self, batch: Batch) -> float:
        """Carry out a batch, under `_writing`; returns the seconds that a few operations took, 0 for more."""
        began = time.perf_counter()
        if self._uncounted:
            self._count_start()
            self._unlooked = LOOK_PAGES
        try:
            aside = self._tables.apply(batch)
        except StoreError:
            raise
        except Exception as error:
            # Not foreseen, so the state is unknown; a thread that ended without a word would hang everybody.
            log.exception("store: internal error")
            raise StoreFailed(f"{self.path}: {error}") from error
        self._log_pages += (max(batch.bytes - aside, 0) >> 11) + 4
        self._unlooked += (batch.bytes >> 12) + 1
        took = time.perf_counter() - began if _few(batch) else 0
        if self._unlooked >= LOOK_PAGES:
            self._guarded(self._look)
        return took

    def _look(self) -> bool:
        """See how much room there is, and tell the loop when that changes what it may do."""
        self._unlooked = 0
        self._count_start()
        room = self._room
        room.look(self._reusable())
        found = (bool(room.low), room.pending_max(self._pending_most))
        if found != self._said:
            self._said = found
            self._tell(partial(self._judge, room.low, found[1]))
        return True

    def _reusable(self) -> int:
        """Bytes that lie free within the file."""
        pages: int = self._database.value("PRAGMA freelist_count")
        return pages * PAGE_SIZE

    def _give_up_reserve(self) -> bool:
        """The disk is full: make room once, and take nothing new.  False when there is nothing left to give up."""
        if not self._room.give_up():
            return False
        log.error("store: the disk is full, some of the reserve is given up")
        self._guarded(self._look)
        # What is in the log goes into the file, so that the log can begin again where it began.
        self._guarded(self._shorten_log)
        return self._broken is None

    def _shorten_log(self) -> bool:
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._log_pages = 0
        return True

    def _wait_for_room(self) -> bool:
        """Serve reads for a while; False when the store is being closed."""
        until = time.monotonic() + FULL_RETRY_S
        while (left := until - time.monotonic()) > 0:
            try:
                request = self._requests.get(timeout=left)
            except Empty:
                break
            if request is None:
                # Also for `_write`, which is to end.
                self._requests.put(None)
                return False
            if isinstance(request, Page):
                request.complete = False
                self._answer(request)
        return True

    def _answer(self, page: Page) -> None:
        try:
            entries = self._tables.load(page)
        except StoreFull as error:
            log.error("store: %s: what is asked for is read later", error)
            self._tell(partial(self._read_later, page))
            return
        except (TypeError, OverflowError) as error:
            # A row has values of other types, or beyond all bounds.
            self._give_up(StoreDamaged(f"{self.path}: queue {page.queue}: {error}"))
            return
        except StoreError as error:
            self._give_up(error)
            return
        self._tell(partial(self._loaded, page, entries))

    def _give_up(self, error: StoreError) -> None:
        """What is on the disk is not known any more: nothing is tried again on this file."""
        if isinstance(error, StoreDamaged):
            # The next start is to save what can be read, and not to come to the same place.
            doubt(self.path, str(error))
        self._broken = error
        self._tell(partial(self._failed, error))

    def _tell(self, what: Call) -> None:
        """Have the loop's thread do something, unless the store is being closed by then."""
        if not self._closing.is_set():
            self._across(partial(self._hear, what))

    def _hear(self, what: Call) -> None:
        if not self._closing.is_set():
            what()

    def _checkpoint(self) -> bool:
        """Move the log into the file, as far as readers allow."""
        self._database.execute("PRAGMA wal_checkpoint(PASSIVE)")
        return True

    def compact(self) -> None:
        """Give back all that is not needed: at once where there is quiet, else a little after each commit."""
        if self._thread is not None and not self.compacting:
            self.compacting = True
            self._requests.put(_Nudge())

    def _clean(self) -> bool:
        self._tables.clean()
        self._log_pages += 1
        return True

    def _tidy(self) -> bool:
        """One step of what can wait for quiet; False when nothing is left."""
        if self._tables.sweeping:
            return self._sweep()
        if self._tables.fanout.cleanable:
            return self._clean()
        if (segment := self._tables.sparse()) and self._tables.move(segment):
            self._log_pages += 1
            return True
        if self._log_pages:
            self._log_pages = 0
            return self._checkpoint()
        if give_back(self._database, 0 if self.compacting else FREE_PAGES_KEPT):
            self._log_pages = 1
            return True
        shorten_log(self.path, self._database, 0 if self.compacting else LOG_BYTES_KEPT)
        self.compacting = False
        return False

    def _sweep(self) -> bool:
        """Remove some of what is left of deleted queues."""
        number = self._tables.sweep()
        self._swept_s = time.monotonic()
        if number:
            self._tell(partial(self._swept, number))
        return True

    def _guarded(self, step: Callable[[], bool]) -> bool:
        """Carry out a step that nobody waits for; False when it did nothing."""
        try:
            return step()
        except StoreFull:
            return False
        except StoreError as error:
            self._give_up(error)
            return False


CHECKPOINT_PAGES: Final = 2_048
"""Pages of log after which they are moved into the file: about 8 MiB, which is then written over."""


SCARCE_OPERATIONS: Final = 256
"""Operations of one commit, at most, where there is little room."""

SCARCE_PAGES: Final = 128
"""The same where there is little room: the log is not to grow."""


@final
class _Nudge:
    """A request to look after the file."""


def _few(batch: Batch) -> bool:
    """Is it so little that a quick disk can be waited for?"""
    return batch.operations <= FEW and batch.bytes <= FEW_BYTES_MAX


def _at_once(call: Call) -> None:
    call()


def _raise(error: StoreError) -> None:
    raise error
