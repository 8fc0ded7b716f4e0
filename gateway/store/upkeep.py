"""Giving back what the store's file and its log take and do not need: while there is quiet, or when asked to."""

from pathlib import Path
from typing import Final

from gateway.store.database import Database
from gateway.store.lock import StoreLock
from gateway.store.schema import configure, look

FREE_PAGES_KEPT: Final = 1_024
"""Free pages that are kept for reuse, unless all are to be given back."""

PAGES_PER_STEP: Final = 1_024
"""Free pages that are given back in one step: 4 MiB, for which a commit may have to wait."""

LOG_BYTES_KEPT: Final = 1_048_576
"""The log may be as long as this while there is nothing to do."""


def compact(path: Path) -> tuple[int, int]:
    """Give back all that a store nobody uses does not need; returns its bytes before and after.

    Raises StoreRefused while it is in use, StoreError.
    """
    look(path)
    lock = StoreLock(path)
    try:
        before = _size(path)
        database = Database(str(path))
        try:
            configure(path, database)
            while give_back(database, 0):
                # The log is not to grow as large as the file.
                database.checkpoint_at_once()
            database.checkpoint_at_once()
        finally:
            database.close()
        return before, _size(path)
    finally:
        lock.release()


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in (path, path.with_name(path.name + "-wal")) if file.exists())


def give_back(database: Database, keep: int = FREE_PAGES_KEPT) -> bool:
    """Give some free pages back to the system; False when there are no more than are to be kept."""
    spare: int = database.value("PRAGMA freelist_count") - keep
    if spare <= 0:
        return False
    database.run(f"PRAGMA incremental_vacuum({min(spare, PAGES_PER_STEP)})")
    return True


def shorten_log(path: Path, database: Database, keep: int = LOG_BYTES_KEPT) -> None:
    """Move the log into the file and make it empty if it is long.  Whoever reads the store just now prevents it."""
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size > keep:
        database.checkpoint_at_once()
