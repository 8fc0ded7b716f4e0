"""Segment files: large records lie outside the database, in files that only grow and are removed as a whole.

In the database a large record would be written twice, to the log and to its pages.  Here the records of a batch go to
the end of one file, which is synced before the rows that name their places are committed.  So a place that a row names
is always on the disk; what no row names is left over from a crash, and nobody reads it.
"""

import errno
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, final

from gateway.core.record import LongRecord
from gateway.store.errors import NO_DESCRIPTOR, StoreFailed, StoreFull, StoreRefused, full_or
from gateway.store.schema import sync_directory
from gateway.store.spare import Spares

log = logging.getLogger("gateway.store")

LARGE: Final = 65_536
"""Bytes from which on a record goes to a segment, unless told otherwise."""

SEGMENT_BYTES: Final = 67_108_864
"""Bytes after which a new segment is begun, unless told otherwise."""

OPEN_MAX: Final = 16
"""Segments that are held open for reading."""

JOINED: Final = 1_048_576
"""Bytes of records that are written at once, about; a longer one is written part by part."""

SUFFIX: Final = ".seg"

KEPT_SUFFIX: Final = ".kept"
"""What no row names though it may be named elsewhere: by a damaged database that is kept, or one that was moved away."""


_UNREADABLE: Final = (errno.ENOENT, errno.EIO)
"""The disk does not have it, or not any more: that concerns one record.  Anything else says nothing of the record."""


class Place(NamedTuple):
    """Where a record lies."""

    segment: int
    offset: int
    length: int


class Files:
    """What segments ask of the system.  Tests put one in its place that fails, or writes down what is done."""

    def create(self, path: Path) -> int:
        """A new, empty file; its descriptor."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)

    def write(self, descriptor: int, offset: int, data: bytes | memoryview) -> None:
        """All of `data` from `offset` on."""
        os.lseek(descriptor, offset, os.SEEK_SET)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def sync(self, descriptor: int) -> None:
        """What was written is on the disk when this returns."""
        _sync(descriptor)

    def sync_directory(self, directory: Path) -> None:
        """So are the names in it."""
        sync_directory(directory)

    def unlink(self, path: Path) -> None:
        """Remove it, if it is there."""
        path.unlink(missing_ok=True)


_BINARY: Final = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_sync = getattr(os, "fdatasync", os.fsync)


def directory_of(store: Path) -> Path:
    """Where the segments of the store at `store` are."""
    return store.with_name(store.name + "-segments")


def name_of(segment: int) -> str:
    """The name of a segment's file."""
    return f"{segment:010}{SUFFIX}"


def segments_in(directory: Path, suffix: str = SUFFIX) -> dict[int, Path]:
    """The segments that are there, by number, in its order: whatever else the file system says first."""
    found: dict[int, Path] = {}
    if directory.is_dir():
        for path in directory.iterdir():
            number = path.name.removesuffix(suffix)
            if number != path.name and number.isdecimal():
                found[int(number)] = path
    return dict(sorted(found.items()))


@final
class Segments:
    """The segments of one store.  Whoever writes the store calls it; nothing here is for two threads at once."""

    def __init__(
        self,
        store: Path,
        large: int = LARGE,
        segment_bytes: int = SEGMENT_BYTES,
        files: Files | None = None,
    ) -> None:
        self.directory = directory_of(store)
        self.large = large
        """Bytes from which on a record belongs here; 0 is never."""
        self._segment_bytes = segment_bytes
        self._files = files or Files()
        self._spares = Spares()
        # Segment → how many rows name a place in it.
        self._live: dict[int, int] = {}
        self._next = 1
        # The one that grows: number, descriptor and where it ends, and where it ended before the last append.
        self._active = 0
        self._descriptor = -1
        self._end = 0
        self._before = 0
        # Directories with names that are not on the disk yet.
        self._unsynced: list[Path] = []
        self._readers: dict[int, int] = {}

    @property
    def used(self) -> bool:
        """Does any row name a place?"""
        return bool(self._live)

    @property
    def active(self) -> int:
        """The segment that grows; 0 before the first record of this run."""
        return self._active

    def begin(self, live: dict[int, int], keep: bool) -> None:
        """Start with what the rows name: segment → rows.  Other segments are removed, or set aside if `keep`.

        Raises StoreRefused.
        """
        self._live = dict(live)
        there = segments_in(self.directory)
        kept = segments_in(self.directory, SUFFIX + KEPT_SUFFIX)
        # Never at the end of an older one: what lies there may be half written.
        self._next = max([0, *there, *kept, *live]) + 1
        for number, path in there.items():
            if number in live:
                continue
            if keep:
                self._set_aside(path)
            else:
                self._unlink(path)
        for number in sorted(live.keys() - there.keys()):
            log.error("store: %s is missing", self.directory / name_of(number))

    def append(self, records: Sequence[bytes | LongRecord]) -> list[Place]:
        """Put `records` on the disk; on return they are safe.  Raises StoreFull with nothing done, StoreFailed."""
        places: list[Place] = []
        self._spares.regain()
        try:
            if self._active == 0 or self._end >= self._segment_bytes:
                self._begin_segment()
            self._before = at = self._end
            for record in records:
                places.append(Place(self._active, at, len(record)))
                at += len(record)
            self._write(records)
        except OSError as error:
            raise full_or(StoreFailed, str(self.directory), error) from None
        try:
            self._files.sync(self._descriptor)
            for directory in self._unsynced:
                self._spares.attempt(partial(self._files.sync_directory, directory))
        except OSError as error:
            if error.errno in NO_DESCRIPTOR:
                # The directory could not be opened, so nothing was synced that could have failed.
                raise StoreFull(f"{self.directory}: {error.strerror or error}") from None
            # Whatever the reason: after a sync that failed there is no telling what is on the disk.
            text = f"{self.directory / name_of(self._active)}: {error.strerror or error}"
            raise StoreFailed(text) from None
        self._unsynced.clear()
        self._end = at
        return places

    def _write(self, records: Sequence[bytes | LongRecord]) -> None:
        """At the end of the segment that grows, some at a time: while they are joined, no other thread runs."""
        at = self._end
        gathered: list[bytes | memoryview] = []
        size = 0
        for record in records:
            parts = record.sealed() if isinstance(record, LongRecord) else [record]
            if len(record) < JOINED:
                gathered.extend(parts)
                size += len(record)
                parts = []
            if gathered and (parts or size >= JOINED):
                self._files.write(self._descriptor, at, b"".join(gathered))
                at += size
                gathered = []
                size = 0
            for part in parts:
                self._files.write(self._descriptor, at, part)
                at += len(part)
        if gathered:
            self._files.write(self._descriptor, at, b"".join(gathered))

    def take_back(self) -> None:
        """The rows for what was appended last were not committed: its place is used again."""
        self._end = self._before

    def _begin_segment(self) -> None:
        self._end_active()
        if not self.directory.exists():
            self.directory.mkdir(mode=0o700)
            self._unsynced.append(self.directory.parent)
        number = self._next
        self._next += 1
        self._descriptor = self._spares.attempt(partial(self._files.create, self.directory / name_of(number)))
        self._active = number
        self._end = self._before = 0
        self._unsynced.append(self.directory)

    def _end_active(self) -> None:
        if self._active:
            _let_go(self._descriptor)
            ended = self._active
            self._active = 0
            self._drop_if_empty(ended)

    def committed(self, added: list[int], left: list[int]) -> None:
        """Rows that name places in these segments are there now, others have gone: once each."""
        live = self._live
        for number in added:
            live[number] = live.get(number, 0) + 1
        for number in left:
            live[number] -= 1
        for number in set(left):
            self._drop_if_empty(number)

    def _drop_if_empty(self, number: int) -> None:
        if self._live.get(number, 0) > 0:
            return
        self._live.pop(number, None)
        if number != self._active:
            reader = self._readers.pop(number, None)
            if reader is not None:
                _let_go(reader)
            self._unlink(self.directory / name_of(number))

    def _unlink(self, path: Path) -> None:
        """Remove a file that is not needed; where that cannot be, the next start tries again."""
        try:
            self._files.unlink(path)
        except OSError as error:
            log.warning("store: %s cannot be removed: %s", path, error.strerror or error)

    @staticmethod
    def _set_aside(path: Path) -> None:
        kept = path.with_name(path.name + KEPT_SUFFIX)
        log.warning("store: nothing names %s; it is kept as %s", path, kept)
        try:
            os.replace(path, kept)
        except OSError as error:
            raise StoreRefused(f"{path}: cannot be set aside: {error.strerror or error}") from None

    def size(self, number: int) -> int:
        """Bytes of a segment's file; 0 when it is not there."""
        try:
            return (self.directory / name_of(number)).stat().st_size
        except OSError:
            return 0

    def read(self, place: Place) -> bytes:
        """The record; empty, and a line in the log, when it is not there.  Raises StoreFailed, StoreFull."""
        path = self.directory / name_of(place.segment)
        try:
            reader = self._reader(place.segment, path)
            data = read_at(reader, place)
        except OSError as error:
            text = f"{path}: offset {place.offset}: {error.strerror or error}"
            if error.errno in NO_DESCRIPTOR:
                raise StoreFull(text) from None
            if error.errno in _UNREADABLE:
                log.error("store: %s", text)
                return b""
            raise StoreFailed(text) from None
        if len(data) < place.length:
            log.error("store: %s: offset %d: the file ends within a record", path, place.offset)
            return b""
        return data

    def _reader(self, number: int, path: Path) -> int:
        if number == self._active:
            return self._descriptor
        readers = self._readers
        reader = readers.get(number)
        if reader is None:
            if len(readers) >= OPEN_MAX:
                _let_go(readers.pop(next(iter(readers))))
            reader = self._spares.attempt(partial(os.open, path, os.O_RDONLY | _BINARY))
            readers[number] = reader
        return reader

    def close(self, sure: bool) -> None:
        """Let go of the files.  Unless it is `sure` what the rows name, none is removed."""
        self._spares.close()
        if sure:
            self._end_active()
        elif self._active:
            _let_go(self._descriptor)
            self._active = 0
        for reader in self._readers.values():
            _let_go(reader)
        self._readers.clear()


def _let_go(descriptor: int) -> None:
    # What matters is synced, so nothing can come of an error.
    with suppress(OSError):
        os.close(descriptor)


def read_at(descriptor: int, place: Place) -> bytes:
    """What lies at `place`, as far as it is there."""
    os.lseek(descriptor, place.offset, os.SEEK_SET)
    parts: list[bytes] = []
    left = place.length
    while left and (part := os.read(descriptor, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
