"""The files of a store while it is open: its database, its segments, the reserve; and how much room there is.

Used by one thread at a time: at start by the one that opens it, then by whoever holds the writer's lock.
"""

import logging
from contextlib import suppress
from pathlib import Path
from typing import final

from gateway.core.ports import Recovered
from gateway.store import recovery
from gateway.store.database import Database
from gateway.store.errors import StoreError, StoreFull
from gateway.store.lock import StoreLock
from gateway.store.room import Room
from gateway.store.schema import PAGE_SIZE, Opener
from gateway.store.segments import Segments
from gateway.store.tables import Tables

log = logging.getLogger("gateway.store")


@final
class OpenedStore:
    """See the module.  Life: construct, `recover`, …, `close`."""

    def __init__(
        self,
        path: Path,
        opener: Opener,
        segments: Segments | None,
        room: Room | None,
        bytes_max: int,
        fanout_max: int,
        check_bytes_max: int,
    ) -> None:
        """Open or make the store at `path`; see SqliteStore for the rest.  Raises StoreError."""
        self.path = path
        self.damages: list[str] = []
        """What could not be read, one line each; empty for a sound store."""
        recovery.prepare(path)
        unbegun = recovery.is_unbegun(path)
        self._lock = StoreLock(path)
        if unbegun and path.stat().st_size == 0:
            path.unlink()
        self.segments = segments or Segments(path)
        self._check_bytes_max = check_bytes_max
        # Segments beside a file that is not there belong to one that was moved away.
        fresh = not path.exists()
        try:
            self.room = room or Room(path)
            self.database, self._lanes = self._open_with_reserve(opener)
            try:
                named = self.database.rows("SELECT segment, count(*) FROM part GROUP BY segment")
                self.tables = Tables(self.database, self.segments, fanout_max)
                self.tables.fanout.set_aside(self.damages)
                self.segments.begin(dict(named), keep=fresh or bool(self.damages))
            except StoreError:
                self.database.close()
                raise
        except StoreError:
            self._lock.release()
            raise
        for damage in self.damages:
            log.error("store: %s", damage)
        self._pending_most = bytes_max
        # Is there too little room, and how much may wait for its commit, as has been said.
        self._said = (False, bytes_max)
        # Has a damage taken something of what `recover` found?  Nobody has seen to it before that.
        self._damaged: bool | None = None
        self.uncounted = 0
        """This start's number, until the store has it."""

    def _open_with_reserve(self, opener: Opener) -> tuple[Database, recovery.Lanes]:
        """Open the file; where the disk is full, with the reserve's room, or else with as little as can be."""
        try:
            return self._open(opener)
        except StoreFull as error:
            log.warning("store: %s", error)
        while self.room.give_up():
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
        return recovery.open_database(
            self.path, opener, self.damages, self._check_bytes_max, self._lock.rebooted
        )

    def recover(self) -> Recovered:
        """See Store; `said` then tells what there is room for."""
        recovery.add_lanes(self._lanes, self.tables.fanout.lanes())
        found = recovery.recover(self.database, self._lanes)
        self._lanes = {}
        found.damaged = self._damaged = found.damaged or bool(self.damages)
        # Nothing is committed before this start is counted.
        self.uncounted = found.epoch
        try:
            self.count_start()
        except StoreFull as error:
            log.error("store: %s", error)
            while self.uncounted and self.room.give_up():
                with suppress(StoreFull):
                    self.count_start()
        return found

    def count_start(self) -> None:
        """Have the store remember this start, unless it does.  Raises StoreError."""
        if self.uncounted:
            recovery.count_start(self.database, self.uncounted, bool(self._damaged))
            self.uncounted = 0

    def look(self) -> tuple[str, int] | None:
        """See how much room there is; None when that is as it was said last.

        Else why there is too little (empty: there is enough), and how many bytes may wait for their commit.
        """
        room = self.room
        room.look(self._reusable())
        low = room.low or ("there is no room on the disk" if self.uncounted else "")
        found = (bool(low), room.pending_max(self._pending_most))
        if found == self._said:
            return None
        self._said = found
        return low, found[1]

    def _reusable(self) -> int:
        """Bytes that lie free within the file."""
        pages: int = self.database.value("PRAGMA freelist_count")
        return pages * PAGE_SIZE

    def note_clean(self, clean: bool) -> None:
        """The run ends in order: say so in the store, and move the log into the file if there is room."""
        if clean:
            recovery.count_end(self.database, seen_to=self._damaged is not None)
        with suppress(StoreFull):
            # What stays in the log is read from there.
            self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self, sure: bool) -> None:
        """Let go of the files; `sure`: all that was to be written has been."""
        self.segments.close(sure)
        self.database.close()
        self.room.close()
        self._lock.release()
