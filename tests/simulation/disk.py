"""The disk: SQLite through a file layer of apsw, segments through theirs; what is not synced may be lost, or torn.

What the running process sees lies in real files, in memory where the system has a file system there, so that all that
reads them (locks, salvage, the log's index) is as in production.  Beside them a `Platter` keeps what a loss of power
leaves, over all processes since the last one.
"""

import errno
import os
import random
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import apsw

from gateway.store.database import Database
from gateway.store.replace import DOUBTFUL, doubt
from gateway.store.room import SUFFIX as RESERVE
from gateway.store.room import Disk as RoomDisk
from gateway.store.segments import Files
from tests.simulation.platter import HERE, File, Platter
from tests.simulation.system import refuse
from tests.simulation.threads import Hub
from tests.store.power_loss import ApswDatabase

IN_MEMORY: Final = Path("/dev/shm")

SYNC_S: Final = (0.0001, 0.0005, 0.002, 0.05)
"""How long a sync takes."""

WRITE_PAUSED: Final = 0.05
"""How often others go on while one writes."""

SLOW_WRITE_S: Final = 0.001

DISK_BYTES: Final = 1 << 40

STORE: Final = "store.db"

REAL: Final = apsw.vfs_names()[0]
"""SQLite's own file layer."""

# Extended result codes of SQLite.
IOERR_WRITE: Final = 778
IOERR_FSYNC: Final = 1_034
IOERR_TRUNCATE: Final = 1_546
IOERR_DELETE: Final = 2_570


class Disk:
    """One machine's, with one directory; processes use it one after the other: `begin`, …, `die`, `let_go`, `rest`."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.directory = Path(tempfile.mkdtemp(prefix="sim-", dir=IN_MEMORY if IN_MEMORY.is_dir() else None))
        self.path = self.directory / STORE
        """The store's file."""
        self.boots = 0
        """How often the machine's power has gone."""
        self.hub: Hub | None = None
        self.used = False
        """Does a process use it, so that what is done to its files is that process's?"""
        self.dead = False
        """The process is gone: nothing that it still tries happens."""
        self.full = False
        self.fails_after = 0
        """Writes and syncs until one fails; 0 is never."""
        self.failed = False
        """One has: this process may give up."""
        self.dies_after = 0
        """Writes and syncs until the process dies within one; 0 is never."""
        self.doubted = False
        """Somebody has said that the store is damaged, so that it is saved at the next start."""
        self.platter = Platter()
        self.descriptors: dict[int, None] = {}
        """What the process has opened by itself, and not closed."""
        self._vfs = FaultyVfs(self.directory.name, self)
        self._databases: list[ApswDatabase] = []
        # The log's index, which lies in memory that is shared and not written.
        self._indexes: dict[Path, bytes] = {}

    def begin(self, hub: Hub) -> None:
        """A process starts to use it."""
        self.hub = hub
        self.used = True
        self.dead = False
        self.failed = False

    def name_of(self, path: Path) -> str:
        """What the platter calls it."""
        return str(path.relative_to(self.directory))

    def opener(self, path: str) -> Database:
        """See Opener."""
        database = ApswDatabase(path, self._vfs.name)
        self._databases.append(database)
        return database

    def die(self) -> None:
        """The process is gone."""
        self.dead = True
        self._indexes = {path: path.read_bytes() for path in sorted(self.directory.glob("*-shm"))}

    def let_go(self) -> None:
        """What the system does for a process that is gone."""
        for descriptor in list(self.descriptors):
            with suppress(OSError):
                os.close(descriptor)
        self.descriptors.clear()
        for database in self._databases:
            database.close()
        self._databases.clear()
        self.used = False

    def rest(self, power_loss: bool) -> None:
        """The next process finds what the last one wrote, or after a loss of power what was synced, or more."""
        if power_loss:
            self._lose_power()
        else:
            for path, data in self._indexes.items():
                path.write_bytes(data)
        # The lock is the system's; who had it, and in which run of the machine, stays there.
        (self.directory / f"{STORE}.lock").write_text(f"1 {self.boot_id()}\n")
        self.boots += power_loss

    def _lose_power(self) -> None:
        for path in self.directory.iterdir():
            # The reserve is taken to be there.
            if path.is_dir():
                shutil.rmtree(path)
            elif not path.name.endswith(RESERVE):
                path.unlink()
        nothing_more = self._chance.random() < 0.2
        for name, data in self.platter.lose_power(None if nothing_more else self._chance).items():
            (self.directory / name).parent.mkdir(exist_ok=True)
            (self.directory / name).write_bytes(data)
        for path, data in self._indexes.items():
            # It is never synced.
            if self._chance.random() < 0.5:
                path.write_bytes(data)

    def doubt(self) -> None:
        """What a process leaves that could not read something: the next one saves all of a store that lacks nothing."""
        if self.path.exists():
            self.doubted = True
            doubt(self.path, "simulated")
            file = self.platter.file(STORE + DOUBTFUL)
            file.write(0, b"simulated")
            file.sync()
            self.platter.sync_names(HERE)

    def random_bytes(self, count: int) -> bytes:
        """What SQLite's random numbers begin with."""
        return self._chance.randbytes(count)

    def boot_id(self) -> str:
        """Which run of the machine this is."""
        return f"boot-{self.boots}"

    def remove(self) -> None:
        """No trace is left."""
        self._vfs.unregister()
        shutil.rmtree(self.directory)

    # -- what the file layers report

    def writes(self, growing: bool) -> str:
        """Something is about to be written: what is to go wrong, if anything."""
        if self.dead:
            return "dead"
        if self.hub is not None and self._chance.random() < WRITE_PAUSED:
            self.hub.pause(self._chance.random() * SLOW_WRITE_S)
        return self._fate(growing)

    def syncs(self) -> str:
        """The same of a sync."""
        if self.dead:
            return "dead"
        if self.hub is not None:
            self.hub.pause(self._chance.random() * self._chance.choice(SYNC_S))
        return self._fate(False)

    def _fate(self, growing: bool) -> str:
        if self.dead:
            return "dead"
        if self.dies_after:
            self.dies_after -= 1
            if not self.dies_after:
                self.dead = True
                return "dead"
        if self.full and growing:
            return "full"
        if self.fails_after:
            self.fails_after -= 1
            if not self.fails_after:
                self.failed = True
                return "failed"
        return ""


def _refuse(fate: str, code: int) -> None:
    """Raise what SQLite knows as full, or as an error of input and output with this extended code."""
    if fate == "full":
        full = apsw.FullError("simulated: full")
        full.result = full.extendedresult = 13
        raise full
    if fate:
        failed = apsw.IOError("simulated")
        failed.result, failed.extendedresult = 10, code
        raise failed


class FaultyVfs(apsw.VFS):  # type: ignore[misc]
    """SQLite's own file layer, under the disk's control."""

    def __init__(self, name: str, disk: Disk) -> None:
        self.name = name
        self.disk = disk
        # SQLite asks whichever is the default for what its random numbers begin with, when it has forgotten the last.
        super().__init__(name, REAL, makedefault=True, iVersion=3)
        apsw.randomness(0)

    def xRandomness(self, count: int) -> bytes:
        return self.disk.random_bytes(count)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return FaultyFile(name, flags, self.disk)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        if self.disk.dead:
            _refuse("dead", IOERR_DELETE)
        super().xDelete(filename, syncdir)
        self.disk.platter.remove(Path(filename).name)
        if syncdir:
            self.disk.platter.sync_names(HERE)


class FaultyFile(apsw.VFSFile):  # type: ignore[misc]
    """See FaultyVfs."""

    def __init__(self, name: Any, flags: list[int], disk: Disk) -> None:
        self._disk = disk
        super().__init__(REAL, name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._file = disk.platter.file(Path(path).name) if path else File()
        # The name of a log or journal is synced with what is written first.
        self._unnamed = bool(path) and path.endswith(("-wal", "-journal"))

    def xWrite(self, data: bytes, offset: int) -> None:
        disk = self._disk
        _refuse(disk.writes(disk.full and offset + len(data) > self.xFileSize()), IOERR_WRITE)
        self._file.write(offset, data)
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        if self._disk.dead:
            _refuse("dead", IOERR_TRUNCATE)
        self._file.truncate(size)
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        _refuse(self._disk.syncs(), IOERR_FSYNC)
        self._file.sync()
        if self._unnamed:
            self._unnamed = False
            self._disk.platter.sync_names(HERE)


class SegmentFiles(Files):
    """The file layer of segments, under the disk's control."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._files: dict[int, File] = {}

    def create(self, path: Path) -> int:
        refuse(self._disk.writes(True))
        descriptor = super().create(path)
        self._files[descriptor] = self._disk.platter.file(self._disk.name_of(path))
        return descriptor

    def write(self, descriptor: int, offset: int, data: bytes) -> None:
        refuse(self._disk.writes(True))
        self._files[descriptor].write(offset, data)
        super().write(descriptor, offset, data)

    def sync(self, descriptor: int) -> None:
        refuse(self._disk.syncs())
        self._files[descriptor].sync()

    def sync_directory(self, directory: Path) -> None:
        refuse(self._disk.syncs())
        self._disk.platter.sync_names(self._disk.name_of(directory))


class SimulatedRoom(RoomDisk):
    """How much room there is."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def free(self, directory: Path) -> tuple[int, int]:
        return (0 if self._disk.full else DISK_BYTES), DISK_BYTES

    def allocate(self, path: Path, size: int) -> None:
        if self._disk.full or self._disk.dead:
            raise OSError(errno.ENOSPC, "simulated")
        super().allocate(path, size)
