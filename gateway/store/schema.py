"""The tables, their version, and how an older version becomes this one.

| table | row |
|---|---|
| meta | epoch (starts so far), clean (the last run ended in order), version (as the header has it, where one flipped bit
could make it a newer one's), damaged (1 since a damage, until a run has ended in order) |
| queue | number → key (the text of a QueueKey) and what it is bound to |
| entry | number << 40 + sequence → one message of one queue; a queue's messages lie together, in order |
| part | the same key → where the record of this entry lies in the segments; that of the entry itself is empty |
| fanout | a message that many queues took at once, with a list of its copies; or, where `record` is empty, a list of
copies that have left.  A log: rows speak of rows before them, so what is read of it must be read by rising `id` |
| gone | numbers of deleted queues whose entries are still being removed |
| retained | topic → last value |
| note | a connector's own state by space and key |
| quarantine | entries that could not be read, with the reason |

A queue's messages are those in `entry` and those in `fanout`; no key is in both.  A row of `fanout` that is lost takes
its message from all queues, or brings back what had left them; the others do not need it.  `store/copies.py` tells
whether a row's list can be read (`unpack_copies`, or `unpack_runs` where `record` is empty), `core/record.py` the same
of its record; Fanout sets aside what cannot when the store is opened.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.core.ports import SEQUENCE_BITS
from gateway.store.database import Database
from gateway.store.errors import StoreDamaged, StoreError, StoreFailed, StoreRefused
from gateway.store.old_keys import rename_queues

APPLICATION_ID: Final = 0x4D58_4757
"""Tells a store from other programs' SQLite files."""

VERSION: Final = 4

PARTS_SINCE: Final = 2
"""The version that brought the table `part`."""

FANOUT_SINCE: Final = 3
"""The version that brought the table `fanout`."""

KEYS_SINCE: Final = 4
"""The version that brought the names of queues in `core/queue_key.py`; its tables are those of the one before."""

PAGE_SIZE: Final = 4_096

_MAGIC: Final = b"SQLite format 3\0"
_PAGE_COUNT_AT: Final = 28
_VERSION_AT: Final = 60
_APPLICATION_AT: Final = 68
_HEADER_SIZE: Final = 100

_PART: Final = (
    "CREATE TABLE part (id INTEGER PRIMARY KEY, segment INTEGER NOT NULL, offset INTEGER NOT NULL,"
    " length INTEGER NOT NULL)"
)

_EXPIRES: Final = (
    # By queue: whoever asks for the expired of one does not walk over those of all others.
    f"CREATE INDEX entry_expires ON entry (id >> {SEQUENCE_BITS}, expires) WHERE expires > 0"
)

_EXPIRES_OF_ALL: Final = "CREATE INDEX entry_expires ON entry (expires) WHERE expires > 0"
"""What it was before."""

_FANOUT: Final = (
    "CREATE TABLE fanout (id INTEGER PRIMARY KEY, lane INTEGER NOT NULL, size INTEGER NOT NULL,"
    " expires INTEGER NOT NULL, record BLOB NOT NULL, copies BLOB NOT NULL)"
)

TABLES: Final = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE queue (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, note BLOB NOT NULL)",
    "CREATE TABLE gone (number INTEGER PRIMARY KEY)",
    "CREATE TABLE entry (id INTEGER PRIMARY KEY, lane INTEGER NOT NULL, failures INTEGER NOT NULL,"
    " size INTEGER NOT NULL, expires INTEGER NOT NULL, note BLOB NOT NULL, record BLOB NOT NULL)",
    _EXPIRES,
    _PART,
    _FANOUT,
    "CREATE TABLE retained (topic TEXT NOT NULL UNIQUE, record BLOB NOT NULL)",
    "CREATE TABLE note (space TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,"
    " PRIMARY KEY (space, key)) WITHOUT ROWID",
    "CREATE TABLE quarantine (place TEXT NOT NULL, reason TEXT NOT NULL, record BLOB NOT NULL)",
    "INSERT INTO meta VALUES ('epoch', 0), ('clean', 1)",
)

MIGRATIONS: Final[dict[int, tuple[str, ...]]] = {
    1: (_PART,),
    2: (_FANOUT, "DROP INDEX entry_expires", _EXPIRES),
    3: (),
}
"""Version → the statements that make the next one of its tables."""


def statements(version: int) -> tuple[str, ...]:
    """What makes an empty store of this version."""
    later = {text for since, made in MIGRATIONS.items() if since >= version for text in made}
    return tuple(
        _BEFORE[text] if text in later else text for text in TABLES if text not in later or text in _BEFORE
    )


_BEFORE: Final = {_EXPIRES: _EXPIRES_OF_ALL}
"""What has taken the place of another, which stood where it stands in an older store."""


Opener = Callable[[str], Database]
"""Opens an existing file for writing."""


def create(path: Path, opener: Opener) -> None:
    """Make an empty store.  It gets its name only when it is whole."""
    new = path.with_name(path.name + ".new")
    for name in (new, Path(f"{new}-journal"), Path(f"{new}-wal"), Path(f"{new}-shm")):
        name.unlink(missing_ok=True)
    begin(new, opener, VERSION).close()
    os.replace(new, path)
    sync_directory(path.parent)


def begin(path: Path, opener: Opener, version: int) -> Database:
    """A new, empty store of this version under its very name, open.  Raises StoreError."""
    path.touch(0o600)
    database = opener(str(path))
    try:
        database.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("BEGIN IMMEDIATE")
        for statement in statements(version):
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {version}")
        note_version(database, version)
        database.execute("COMMIT")
    except StoreError:
        database.close()
        raise
    return database


def look(path: Path) -> None:
    """Refuse what is no store of ours, before anything touches it.  Raises StoreRefused, StoreDamaged."""
    fault = check_header(path)
    if fault:
        raise (StoreDamaged if is_cut_short(path) else StoreRefused)(fault)


def check_header(path: Path) -> str:
    """Why this is no store, by its header; empty when it is one.  Raises StoreRefused for one that must not be opened."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_SIZE)
    except OSError as error:
        raise StoreRefused(f"{path}: {error.strerror or error}") from None
    if not header:
        return f"{path}: offset 0: an empty file, which no store is"
    if header[: len(_MAGIC)] != _MAGIC[: len(header)]:
        return f"{path}: offset 0: not an SQLite file, so not a store"
    if len(header) < _HEADER_SIZE:
        return f"{path}: offset {len(header)}: cut off within its header"
    if number_at(header, _APPLICATION_AT) != APPLICATION_ID:
        return f"{path}: offset {_APPLICATION_AT}: an SQLite file of another program"
    if not 1 <= number_at(header, _VERSION_AT) <= VERSION:
        return _version_fault(path, number_at(header, _VERSION_AT))
    return ""


def is_cut_short(path: Path) -> bool:
    """Does it end within the header, and begin as a store does?  Then nobody can miss anything of it but us."""
    with path.open("rb") as file:
        header = file.read(_HEADER_SIZE)
    return len(header) < _HEADER_SIZE and header[: len(_MAGIC)] == _MAGIC[: len(header)]


def size_of(path: Path) -> int:
    """Bytes that the file should have by its own account."""
    with path.open("rb") as file:
        header = file.read(_HEADER_SIZE)
    page_size = int.from_bytes(header[16:18], "big")
    return number_at(header, _PAGE_COUNT_AT) * (65_536 if page_size == 1 else page_size)


def missing_from(path: Path) -> int | None:
    """The offset at which a file ends that should be longer; None when nothing is missing."""
    size = path.stat().st_size
    return size if size < size_of(path) else None


def configure(path: Path, database: Database) -> None:
    """Set what durability rests on, and read it back."""
    mode = database.value("PRAGMA journal_mode = WAL")
    if mode != "wal":
        raise StoreFailed(f"{path}: journal_mode is {mode!r} where WAL was asked for")
    database.execute("PRAGMA synchronous = FULL")
    synchronous = database.value("PRAGMA synchronous")
    if synchronous != 2:
        raise StoreFailed(f"{path}: synchronous is {synchronous} where FULL (2) was asked for")
    database.execute("PRAGMA temp_store = MEMORY")
    # Where SQLite is built to overwrite what is deleted, whatever is consumed would be written once more, in zeros: on a
    # full disk that would make it impossible to remove anything.
    database.rows("PRAGMA secure_delete = FAST")
    # The writer thread does it between commits: within one, confirmations would wait for it.
    database.execute("PRAGMA wal_autocheckpoint = 0")


def migrate(path: Path, database: Database) -> None:
    """Make this version of an older one, step by step, each in one transaction.  Raises StoreRefused for a newer one."""
    version = database.value("PRAGMA user_version")
    if not 1 <= version <= VERSION:
        raise StoreRefused(_version_fault(path, version))
    while version < VERSION:
        database.execute("BEGIN IMMEDIATE")
        try:
            for statement in MIGRATIONS[version]:
                database.execute(statement)
            version += 1
            if version == KEYS_SINCE:
                rename_queues(database)
            database.execute(f"PRAGMA user_version = {version}")
            note_version(database, version)
            database.execute("COMMIT")
        except StoreError:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise


def note_version(database: Database, version: int = VERSION) -> None:
    """Have the table meta say it too."""
    database.execute("INSERT OR REPLACE INTO meta VALUES ('version', ?)", (version,))


def _version_fault(path: Path, version: int) -> str:
    if version > VERSION:
        return f"{path}: written by a newer version of this program (store version {version}, known are up to {VERSION})"
    return f"{path}: offset {_VERSION_AT}: its version is {version}, which no store has"


def number_at(header: bytes, at: int) -> int:
    return int.from_bytes(header[at : at + 4], "big")


def sync_directory(directory: Path) -> None:
    """Make a new name in `directory` survive a power loss."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
