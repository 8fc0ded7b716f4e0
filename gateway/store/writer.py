"""The thread that writes: it commits one batch after the other, and between them answers requests for pages.

What comes of it is told on the loop's thread, by a callable that brings it there.  Whoever else uses the database
meanwhile (the loop's thread, for a few operations) holds `lock`.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple, final

from gateway.core.journal import Batch
from gateway.core.ports import Entry, Page
from gateway.store.chores import CHECKPOINT_PAGES, Chores
from gateway.store.errors import StoreDamaged, StoreError, StoreFailed, StoreFull
from gateway.store.opened import OpenedStore
from gateway.store.replace import doubt

log = logging.getLogger("gateway.store")

Call = Callable[[], None]

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


class Outcomes(NamedTuple):
    """Who hears what came of requests; each is called on the loop's thread."""

    committed: Callable[[Batch, float], None]
    """A batch is on the disk, after so many seconds."""
    loaded: Callable[[Page, list[Entry]], None]
    later: Callable[[Page], None]
    """There was no file descriptor to read this page with."""
    full: Callable[[StoreFull], None]
    """The batch waits for room."""
    judged: Callable[[str, int], None]
    """Why there is too little room (empty: there is enough), and how many bytes may wait for their commit."""
    swept: Callable[[int], None]
    """The number of a deleted queue of which nothing is left."""
    failed: Callable[[StoreError], None]
    """Nothing can be written any more."""


@final
class Writer:
    """See the module.  Life: construct, `start`, `put` …, `retire`, `stop`."""

    def __init__(self, opened: OpenedStore, outcomes: Outcomes) -> None:
        self._opened = opened
        self._outcomes = outcomes
        self._across: Callable[[Call], object] = _at_once
        self._requests: SimpleQueue[Batch | Page | _Nudge | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        # Pages of log since the room was looked at.
        self._unlooked = 0
        self._chores = Chores(opened, lambda number: self._tell(partial(outcomes.swept, number)))
        self.lock = threading.Lock()
        """Held by whoever uses the database."""
        self.broken: StoreError | None = None
        """Why nothing is written any more; set by whoever commits, before the loop has heard."""
        self.unwritten: Batch | None = None
        """What was not committed when the thread was told to stop."""

    # -- on the loop's thread

    @property
    def running(self) -> bool:
        """Has it been started, and not stopped?"""
        return self._thread is not None

    @property
    def retired(self) -> bool:
        """Is nothing told any more?"""
        return self._closing.is_set()

    @property
    def compacting(self) -> bool:
        """Is all given back that is not needed?  Until it is done."""
        return self._chores.compacting

    def start(self, across: Callable[[Call], object]) -> None:
        """Begin; `across` has the loop call something, from another thread."""
        self._across = across
        self._thread = threading.Thread(target=self._write, name="store", daemon=True)
        self._thread.start()

    def put(self, request: Batch | Page) -> None:
        """Have a batch committed, or a page read, after what was asked for before."""
        self._requests.put(request)

    def compact(self) -> None:
        """Give back all that is not needed: at once where there is quiet, else a little after each commit."""
        if self.running and not self.compacting:
            self._chores.compacting = True
            self._requests.put(_Nudge())

    def commit_here(self, batch: Batch) -> float | None:
        """Commit a few operations on the caller's thread; the seconds it took.

        None where the thread must be asked after all; less than 0 when it failed, of which `failed` is told.
        """
        if not self.lock.acquire(blocking=False):
            return None
        try:
            if self.broken is not None:
                # The loop has not heard yet that nothing can be kept any more.
                return None
            if not self._chores.log_pages or self._chores.log_pages >= CHECKPOINT_PAGES:
                # It must not sleep through the time to move the log.
                self._requests.put(_Nudge())
            return self._apply(batch)
        except StoreFull:
            # The thread knows how to wait for room.
            return None
        except StoreError as error:
            self._give_up(error)
            return -1.0
        finally:
            self.lock.release()

    def retire(self) -> None:
        """Tell nothing any more."""
        self._closing.set()

    def stop(self) -> None:
        """Wait for the thread to finish what it was asked for."""
        thread = self._thread
        if thread is not None:
            self._requests.put(None)
            thread.join()
            self._thread = None

    # -- on whichever thread writes

    def _apply(self, batch: Batch) -> float:
        """Carry out a batch, under `lock`; returns the seconds that took."""
        began = time.perf_counter()
        if self._opened.uncounted:
            self._opened.count_start()
            self._unlooked = LOOK_PAGES
        try:
            aside = self._opened.tables.apply(batch)
        except StoreError:
            raise
        except Exception as error:
            # Not foreseen, so the state is unknown; a thread that ended without a word would hang everybody.
            log.exception("store: internal error")
            raise StoreFailed(f"{self._opened.path}: {error}") from error
        self._chores.log_pages += (max(batch.bytes - aside, 0) >> 11) + 4
        self._unlooked += (batch.bytes >> 12) + 1
        took = time.perf_counter() - began
        if self._unlooked >= LOOK_PAGES:
            self._guarded(self._look)
        return took

    def _look(self) -> bool:
        """See how much room there is, and tell the loop when that changes what it may do."""
        self._unlooked = 0
        self._opened.count_start()
        found = self._opened.look()
        if found is not None:
            self._tell(partial(self._outcomes.judged, *found))
        return True

    def _give_up(self, error: StoreError) -> None:
        """What is on the disk is not known any more: nothing is tried again on this file."""
        if isinstance(error, StoreDamaged):
            # The next start is to save what can be read, and not to come to the same place.
            doubt(self._opened.path, str(error))
        self.broken = error
        self._tell(partial(self._outcomes.failed, error))

    def _tell(self, what: Call) -> None:
        """Have the loop's thread do something, unless the store is being closed by then."""
        if not self._closing.is_set():
            self._across(partial(self._hear, what))

    def _hear(self, what: Call) -> None:
        if not self._closing.is_set():
            what()

    def _guarded(self, step: Callable[[], bool]) -> bool:
        """Carry out a step that nobody waits for; False when it did nothing."""
        try:
            return step()
        except StoreFull:
            return False
        except StoreError as error:
            self._give_up(error)
            return False

    # -- on the writer thread

    def _write(self) -> None:
        """Serve requests until told to stop."""
        quiet_s = IDLE_S
        while True:
            try:
                request = self._requests.get(timeout=quiet_s)
            except Empty:
                with self.lock:
                    more = self.broken is None and self._guarded(self._chores.tidy)
                    if self.broken is None:
                        self._guarded(self._look)
                quiet_s = min(STEP_S, IDLE_S) if more else LOOK_S
                continue
            quiet_s = IDLE_S
            if request is None:
                return
            if self.broken is not None:
                continue
            with self.lock:
                self._serve(request)

    def _serve(self, request: "Batch | Page | _Nudge") -> None:
        if isinstance(request, Batch):
            self._commit(request)
        elif isinstance(request, Page):
            self._answer(request)
        for step in self._chores.due():
            if self.broken is None:
                self._guarded(step)
        if self.compacting and self.broken is None:
            self._guarded(self._chores.tidy)

    def _commit(self, batch: Batch) -> None:
        while True:
            try:
                took = self._apply(batch)
                break
            except StoreFull as error:
                if self._give_up_reserve():
                    continue
                self._tell(partial(self._outcomes.full, error))
                self._guarded(self._chores.empty_log)
                if not self._wait_for_room():
                    self.unwritten = batch
                    return
            except StoreError as error:
                self._give_up(error)
                return
        self._tell(partial(self._outcomes.committed, batch, took))

    def _give_up_reserve(self) -> bool:
        """The disk is full: make room once, and take nothing new.  False when there is nothing left to give up."""
        if not self._opened.room.give_up():
            return False
        log.error("store: the disk is full, some of the reserve is given up")
        self._guarded(self._look)
        # What is in the log goes into the file, so that the log can begin again where it began.
        self._guarded(self._chores.empty_log)
        return self.broken is None

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
            entries = self._opened.tables.load(page)
        except StoreFull as error:
            log.error("store: %s: what is asked for is read later", error)
            self._tell(partial(self._outcomes.later, page))
            return
        except (TypeError, OverflowError) as error:
            # A row has values of other types, or beyond all bounds.
            self._give_up(StoreDamaged(f"{self._opened.path}: queue {page.queue}: {error}"))
            return
        except StoreError as error:
            self._give_up(error)
            return
        self._tell(partial(self._outcomes.loaded, page, entries))


@final
class _Nudge:
    """A request to look after the file."""


def _at_once(call: Call) -> None:
    call()
