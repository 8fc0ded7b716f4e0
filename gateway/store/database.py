"""One SQLite connection, with errors that say what to do about them."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final

from gateway.store.errors import StoreDamaged, StoreError, StoreFailed, StoreFull, StoreRefused

# Primary result codes of SQLite.
_BUSY: Final = 5
_READONLY: Final = 8
_IOERR: Final = 10
_CORRUPT: Final = 11
_FULL: Final = 13
_CANTOPEN: Final = 14
_NOTADB: Final = 26

_TOOBIG: Final = 18
"""A length that no row of ours has."""

_UNREADABLE: Final = (10 | 1 << 8, 10 | 2 << 8, 10 | 32 << 8, 10 | 33 << 8)
"""A sector that cannot be read, the end of the file where a page should be, a file system that says it is damaged."""

_IOERR_SHMSIZE: Final = 10 | 19 << 8
"""The index of the log could not grow: a full disk in other words."""

STATEMENTS_CACHED: Final = 128


class Database:
    """What the store asks of SQLite.  Tests put another build of it in its place (see `Opener`)."""

    def __init__(self, path: str, read_only: bool = False) -> None:
        self.path = path
        mode = "ro" if read_only else "rw"
        try:
            self._connection = sqlite3.connect(
                f"file:{_escaped(path)}?mode={mode}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=STATEMENTS_CACHED,
                timeout=BUSY_TIMEOUT_S,
            )
        except sqlite3.Error as error:
            raise translated(path, error) from None

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Carry out one statement; returns how many rows it changed."""
        try:
            return self._connection.execute(sql, parameters).rowcount
        except sqlite3.Error as error:
            raise translated(self.path, error) from None

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query, as tuples."""
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise translated(self.path, error) from None

    def each(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Any]:
        """The rows of a query one by one, for whoever does not know how many are wanted."""
        try:
            yield from self._connection.execute(sql, parameters)
        except sqlite3.Error as error:
            raise translated(self.path, error) from None

    def run(self, statement: str) -> None:
        """Carry out a statement that does a little at each step and gives no rows, to its end."""
        try:
            # `execute` stops such a statement after its first step.
            self._connection.executescript(statement)
        except sqlite3.Error as error:
            raise translated(self.path, error) from None

    def checkpoint_at_once(self) -> bool:
        """Move the whole log into the file and empty it; False when a reader is in the way, which is not waited for."""
        self.rows("PRAGMA busy_timeout = 0")
        try:
            busy: int = self.value("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self.rows(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1_000)}")
        return busy == 0

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The first value of the first row; None when there is no row."""
        rows = self.rows(sql, parameters)
        return rows[0][0] if rows else None

    @property
    def in_transaction(self) -> bool:
        """Has a transaction begun that is neither committed nor rolled back?"""
        return self._connection.in_transaction

    def raw(self) -> sqlite3.Connection:
        """The connection itself, for SQLite's own backup."""
        return self._connection

    def close(self) -> None:
        """Let go of the files."""
        try:
            self._connection.close()
        except sqlite3.Error as error:
            raise translated(self.path, error) from None


BUSY_TIMEOUT_S: Final = 5.0
"""Another process that reads (a backup, a check) may hold a lock for a moment."""


def error_of(path: str, code: int, text: str) -> StoreError:
    """The error for an extended result code of SQLite."""
    primary = code & 0xFF
    if primary == _FULL or code == _IOERR_SHMSIZE:
        return StoreFull(f"{path}: {text}")
    if primary in (_CORRUPT, _NOTADB, _TOOBIG) or code in _UNREADABLE:
        return StoreDamaged(f"{path}: {text}")
    if primary in (_CANTOPEN, _BUSY):
        return StoreRefused(f"{path}: {text}")
    # An input or output error, a read-only file, and whatever else was not foreseen: the state is unknown.
    return StoreFailed(f"{path}: {text} (code {code})")


def translated(path: str, error: sqlite3.Error) -> StoreError:
    """The error for one of the library."""
    # Errors of the Python layer (wrong types, closed connection) carry no code.
    code = getattr(error, "sqlite_errorcode", 0) or 0
    if not code and "Could not decode" in str(error):
        return StoreDamaged(f"{path}: {error}")
    return error_of(path, code, str(error))


def _escaped(path: str) -> str:
    """A path inside a URI."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
