"""SQLite's log, read without SQLite: which pages it holds, and whether any of it was lost.

SQLite ends its log at the first frame whose checksum does not match.  That is right for a commit that a crash broke
off; where the log was damaged, everything that was committed behind it would be gone without a word.

    header: magic, version, page size, checkpoints, salt (8 bytes), checksum (8 bytes)
    frame:  page number, pages of the database if it ends a commit (0 otherwise), salt, checksum, the page

A checksum goes on from that of the frame before (https://www.sqlite.org/fileformat2.html, "The Write-Ahead Log").
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final, NamedTuple

PAGE_SIZE: Final = 4_096

_HEADER: Final = Struct(">8I")
_FRAME: Final = Struct(">6I")
FRAME_SIZE: Final = _FRAME.size + PAGE_SIZE
_SALT_AT: Final = 16
_SALT_SIZE: Final = 8

_MAGIC: Final = 0x377F0682
"""With bit 0: checksums are of big-endian words."""

_MASK: Final = 0xFFFF_FFFF

# The index of the log, in the machine's own byte order: what it says of its version, size, salt and checkpoint.
_INDEX: Final = Struct("=III??HII8s8s8s")
_CHECKPOINTED_AT: Final = 2 * _INDEX.size

INDEX_SUFFIX: Final = ".index"
"""Where `found_index` keeps what it found."""

Sums = tuple[int, int]


class Index(NamedTuple):
    """What SQLite's index of the log (the file `-shm`) says."""

    frames: int
    """Committed."""
    done: int
    """Of those, the ones that were moved into the database."""
    salt: bytes
    """Tells one round of the log from the next."""

    @property
    def only_there(self) -> int:
        """Frames that are nowhere else."""
        return self.frames if self.frames > self.done else 0


NO_INDEX: Final = Index(0, 0, b"")


class Frame(NamedTuple):
    """One page in the log."""

    number: int
    commit: int
    """Pages of the database, where it ends a commit; else 0."""
    offset: int
    """Of the page, in the file."""
    sound: bool
    """Its checksum matches."""


class Log(NamedTuple):
    """What the log of a database holds."""

    frames: list[Frame]
    """Up to the last commit that counts."""
    fault: str
    """What was lost of it; empty for nothing."""


def log_of(database: Path) -> Path:
    """Where its log is."""
    return database.with_name(database.name + "-wal")


def found_index(database: Path, rebooted: bool = False) -> Index:
    """The index as whoever used the database last has left it: SQLite makes a new one when it opens the database.

    It is kept until `forget_index`, in case this start is the last one to see it.  It is never synced: once the machine
    has `rebooted` it tells nothing.
    """
    path = database.with_name(database.name + INDEX_SUFFIX)
    with suppress(OSError, ValueError):
        frames, done, salt = path.read_text("ascii").split()
        return Index(int(frames), int(done), bytes.fromhex(salt))
    if rebooted:
        return NO_INDEX
    index = read_index(database)
    if index.only_there:
        with suppress(OSError):
            _keep(path, index)
    return index


def disown_index(database: Path) -> bool:
    """Have `found_index` not go by what is there now, unless it has kept what it found before; was there room to note it?"""
    path = database.with_name(database.name + INDEX_SUFFIX)
    try:
        if not path.exists() and read_index(database).only_there:
            _keep(path, NO_INDEX)
    except OSError:
        return False
    return True


def _keep(path: Path, index: Index) -> None:
    # A salt of no bytes would be no word.
    path.write_text(f"{index.frames} {index.done} {index.salt.hex() or '00'}", "ascii")


def forget_index(database: Path) -> None:
    """What it told is known by now."""
    with suppress(OSError):
        database.with_name(database.name + INDEX_SUFFIX).unlink()


def read_index(database: Path) -> Index:
    """The index of the log, as it is now.

    Not to be called while this process has it open: to close the file here would let go of SQLite's locks.
    """
    try:
        with database.with_name(database.name + "-shm").open("rb") as file:
            data = file.read(_CHECKPOINTED_AT + 4)
    except OSError:
        return NO_INDEX
    first, second = data[: _INDEX.size], data[_INDEX.size : _CHECKPOINTED_AT]
    if len(data) < _CHECKPOINTED_AT + 4 or first != second:
        return NO_INDEX
    fields = _INDEX.unpack(first)
    if not fields[3] or _sums(first[:-8], "=", (0, 0)) != Struct("=2I").unpack(fields[10]):
        return NO_INDEX
    return Index(fields[6], int.from_bytes(data[_CHECKPOINTED_AT:], sys.byteorder), fields[9])


def is_cut(database: Path, before: Index) -> bool:
    """Is the log shorter than its index knows, which was found so?  A look at no more than its size."""
    path = log_of(database)
    size = path.stat().st_size if path.exists() else 0
    return before.only_there > 0 and size < _HEADER.size + before.frames * FRAME_SIZE


def may_lack(database: Path, before: Index, now: Index) -> bool:
    """A quick look: may something of the log be lost, of which SQLite has read what `now` says?

    `before` is the index as it was found.
    """
    if before.only_there and (before.salt != now.salt or before.frames > now.frames):
        return True
    try:
        file = log_of(database).open("rb")
    except FileNotFoundError:
        return False
    with file:
        header = file.read(_HEADER.size)
        if not header:
            return False
        salt = header[_SALT_AT : _SALT_AT + _SALT_SIZE]
        if not _sound(header) or (now.frames and now.salt != salt):
            return True
        return sum(1 for _ in _commits_after(file, now.frames, salt)) > 1


def _commits_after(file: BinaryIO, frames: int, salt: bytes) -> Iterator[int]:
    """Frames behind so many that end a commit, by their own account."""
    at = _HEADER.size + frames * FRAME_SIZE
    while True:
        file.seek(at)
        head = file.read(_FRAME.size)
        if len(head) < _FRAME.size:
            return
        if head[8:16] == salt and head[4:8] != b"\0\0\0\0":
            yield at
        at += FRAME_SIZE


def read_log(database: Path, before: Index) -> Log:
    """The log of `database`: what of it counts, and what is known to be lost; frame by frame, so it takes its time."""
    path = log_of(database)
    known = before.only_there
    try:
        with path.open("rb") as file:
            return _read(path, file, before)
    except FileNotFoundError:
        fault = f"{path}: is missing, with {known} pages that were nowhere else" if known else ""
        return Log([], fault)


def _read(path: Path, file: BinaryIO, before: Index) -> Log:
    header = file.read(_HEADER.size)
    if not header:
        return Log([], f"{path}: is empty, {before.only_there} pages are lost" if before.only_there else "")
    sound = _sound(header)
    salt = header[_SALT_AT : _SALT_AT + _SALT_SIZE]
    if not sound:
        # That of the first frame, which then counts as doubtful.
        salt = os.pread(file.fileno(), _SALT_SIZE, _HEADER.size + 8)
    words = _HEADER.unpack(header.ljust(_HEADER.size, b"\0"))
    seeds = [(words[6], words[7])] if sound else []
    frames = _frames(file, salt, seeds, ">" if words[0] == _MAGIC | 1 else "<")
    return _judged(path, frames, sound, before.frames if before.salt == salt else 0)


def _sound(header: bytes) -> bool:
    if len(header) < _HEADER.size:
        return False
    words = _HEADER.unpack(header)
    order = ">" if words[0] & 1 else "<"
    return words[0] & ~1 == _MAGIC and _sums(header[:24], order, (0, 0)) == words[6:]


def _frames(file: BinaryIO, salt: bytes, seeds: list[Sums], order: str) -> list[Frame]:
    """All frames that are there, with those that cannot be relied on."""
    found: list[Frame] = []
    file.seek(_HEADER.size)
    while len(data := file.read(FRAME_SIZE)) == FRAME_SIZE:
        number, commit, *_, first, second = _FRAME.unpack_from(data)
        ours = data[8:16] == salt
        content = data[:8] + data[_FRAME.size :]
        computed: list[Sums] = []
        sound = False
        for seed in seeds:
            computed.append(_sums(content, order, seed))
            if ours and computed[-1] == (first, second):
                sound = True
                break
        offset = _HEADER.size + len(found) * FRAME_SIZE + _FRAME.size
        found.append(Frame(number, commit if ours else 0, offset, sound))
        # The next one goes on from what this one says, or from what it should say where that was damaged.
        seeds = [(first, second)] if sound else [(first, second), *computed[:1]]
    return found


def _sums(data: bytes, order: str, start: Sums) -> Sums:
    one, two = start
    words = iter(Struct(f"{order}{len(data) // 4}I").unpack(data))
    for first, second in zip(words, words, strict=True):
        one = (one + first + two) & _MASK
        two = (two + second + one) & _MASK
    return one, two


def _judged(path: Path, frames: list[Frame], header_sound: bool, known: int) -> Log:
    """Is what is missing a commit that a crash broke off, or was it there once?"""
    first_bad = next((at for at, frame in enumerate(frames) if not frame.sound), len(frames))
    commits = [at for at, frame in enumerate(frames) if frame.sound and frame.commit]
    behind = [at for at in commits if at >= first_bad]
    committed = max((at + 1 for at in commits if at < first_bad), default=0)
    if not header_sound and commits:
        return Log(frames[: commits[-1] + 1], f"{path}: offset 0: its header cannot be read")
    # A commit is synced before the next one begins: what lies before two of them was once whole.
    if len(behind) > 1 or known > committed:
        end = max(min(known, len(frames)), behind[-1] + 1 if behind else committed)
        offset = _HEADER.size + first_bad * FRAME_SIZE
        lost = sum(not frame.sound for frame in frames[:end]) + max(known - len(frames), 0)
        return Log(frames[:end], f"{path}: offset {offset}: {lost} pages of the log cannot be read")
    return Log(frames[:committed], "")
