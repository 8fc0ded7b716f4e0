"""A database as its pages, without SQLite: the file with its log laid over it, whatever state both are in.

Nothing is written, and no page depends on another: what is around a damaged one can be read.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Final, final

from gateway.store.wal import PAGE_SIZE, Frame, Index, log_of, read_log

MAP_ENTRY_SIZE: Final = 5
"""A page that tells what others are for has one byte and one number for each."""

MAPPED: Final = PAGE_SIZE // MAP_ENTRY_SIZE
"""Pages of which such a page tells: those that follow it."""

LOCK_PAGE: Final = 0x4000_0000 // PAGE_SIZE + 1
"""Never used: its bytes are what processes lock."""

# Kinds of pages.
ROOT: Final = 1
FREE: Final = 2
FIRST_OVERFLOW: Final = 3
OVERFLOW: Final = 4
INNER: Final = 5
"""A page of a tree that is not its root; said with its parent."""


@final
class Image:
    """The pages of the database at `path`, which may be missing.  `index` is that of its log."""

    def __init__(self, path: Path, index: Index) -> None:
        self._file = os.open(path, os.O_RDONLY) if path.exists() else -1
        log = read_log(path, index)
        self.fault = log.fault
        """What is lost of the log."""
        self._log = os.open(log_of(path), os.O_RDONLY) if log.frames else -1
        self._frames: dict[int, list[Frame]] = {}
        size = os.fstat(self._file).st_size if self._file >= 0 else 0
        self.pages = -(-size // PAGE_SIZE)
        """How many there are."""
        for frame in log.frames:
            if frame.sound:
                self._frames[frame.number] = [frame]
                self.pages = frame.commit or self.pages
            elif 0 < frame.number <= self.pages + len(log.frames):
                # It may be meant, or be meant for another page; what was there before is kept beside it.
                self._frames.setdefault(frame.number, []).insert(0, frame)
        self.pages = max(self.pages, *self._frames) if log.fault and self._frames else self.pages
        self.unreadable: set[int] = set()
        """Pages that the disk does not give back."""

    def __enter__(self) -> "Image":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in (self._file, self._log):
            if descriptor >= 0:
                os.close(descriptor)

    def page(self, number: int) -> bytes:
        """The page, as far as it is there; filled up with zeros."""
        return self.versions(number)[0]

    def versions(self, number: int) -> list[bytes]:
        """The page, and where it is doubtful what it was before too."""
        found: list[bytes] = []
        frames = self._frames.get(number, [])
        for frame in frames:
            found.append(self._read(self._log, frame.offset, number))
        if not frames or not frames[-1].sound:
            found.append(self._read(self._file, (number - 1) * PAGE_SIZE, number))
        return found

    def _read(self, descriptor: int, offset: int, number: int) -> bytes:
        data = b""
        if descriptor >= 0:
            try:
                data = os.pread(descriptor, PAGE_SIZE, offset)
            except OSError:
                # A sector that cannot be read costs its page.
                self.unreadable.add(number)
        return data if len(data) == PAGE_SIZE else data.ljust(PAGE_SIZE, b"\0")

    def is_map(self, number: int) -> bool:
        """Does this page tell of others?"""
        return number == _map_page(number)

    def use_of(self, number: int) -> tuple[int, int]:
        """What the page is for, and whose it is: its parent, or the page before it.  (0, 0) where that is lost."""
        at = _map_page(number)
        entry_at = (number - at - 1) * MAP_ENTRY_SIZE
        if not 0 <= entry_at <= PAGE_SIZE - MAP_ENTRY_SIZE:
            return 0, 0
        entry = self.page(at)[entry_at : entry_at + MAP_ENTRY_SIZE]
        kind, owner = entry[0], int.from_bytes(entry[1:], "big")
        sound = ROOT <= kind <= INNER and (owner > 0) == (kind > FREE)
        return (kind, owner) if sound else (0, 0)


def _map_page(number: int) -> int:
    """The page that tells of this one (fileformat2, "Pointer Map or Ptrmap Pages")."""
    at = (number - 2) // (MAPPED + 1) * (MAPPED + 1) + 2
    return at + 1 if at == LOCK_PAGE else at
