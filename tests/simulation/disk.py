"""The disk: SQLite through a file layer of apsw, segments through theirs; what is not synced may be lost, or torn.

What the running process sees lies in real files, in memory where the system has a file system there, so that all that
reads them (locks, salvage, the log's index) is as in production.  Beside them `Image` keeps what a loss of power leaves.
"""

import errno
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import apsw

from gateway.store.database import Database
from gateway.store.room import Disk as RoomDisk
from gateway.store.segments import Files
from tests.simulation.threads import Hub
from tests.store.power_loss import ApswDatabase, Image

IN_MEMORY: Final = Path("/dev/shm")

SYNC_S: Final = (0.0001, 0.0005, 0.002, 0.05)
"""How long a sync takes."""

WRITE_PAUSED: Final = 0.05
"""How often others go on while one writes."""

SLOW_WRITE_S: Final = 0.001

DISK_BYTES: Final = 1 << 40

STORE: Final = "store.db"

# Extended result codes of SQLite.
IOERR_WRITE: Final = 778
IOERR_FSYNC: Final = 1_034
IOERR_TRUNCATE: Final = 1_546
IOERR_DELETE: Final = 2_570


class Disk:
    """One machine's; a process that uses it is a life, with a directory of its own that begins as the last one left it."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._root = Path(tempfile.mkdtemp(prefix="sim-", dir=IN_MEMORY if IN_MEMORY.is_dir() else None))
        self._lives = 0
        self.boots = 0
        """How often the machine's power has gone."""
        self.directory = self._root / "0"
        self.directory.mkdir()
        self.hub: Hub | None = None
        self.dead = False
        """The process is gone: nothing that it still tries happens."""
        self.full = False
        self.fails_after = 0
        """Writes and syncs until one fails; 0 is never."""
        self.failed = False
        """One has: this process may give up."""
        self.dies_after = 0
        """Writes and syncs until the process dies within one; 0 is never."""
        self._image: Image | None = None
        self._vfs: FaultyVfs | None = None

    @property
    def path(self) -> Path:
        """The store's file."""
        return self.directory / STORE

    def begin(self, hub: Hub) -> None:
        """A process starts to use it."""
        self.hub = hub
        self.dead = False
        self.failed = False
        self._image = None
        self._vfs = FaultyVfs(f"sim-{id(self)}-{self._lives}", self)

    def settle(self) -> None:
        """All that is there counts as synced: what a start does is no part of what a loss of power may undo."""
        self._image = Image()
        for path in self._files():
            self._image.synced[str(path.relative_to(self.directory))] = bytearray(path.read_bytes())

    def _files(self) -> list[Path]:
        return [
            path for path in sorted(self.directory.rglob("*")) if path.is_file() and path.suffix != ".lock"
        ]

    def opener(self, path: str) -> Database:
        """See Opener."""
        assert self._vfs is not None
        return ApswDatabase(path, self._vfs.name)

    def kill(self, power_loss: bool) -> None:
        """The process is gone: the next finds what it wrote, or after a loss of power what was synced, or more."""
        self.dead = True
        self._lives += 1
        after = self._root / str(self._lives)
        after.mkdir()
        if power_loss and self._image is not None:
            found = self._image.crash(self._chance if self._chance.random() < 0.8 else None)
            for name, data in found.items():
                (after / name).parent.mkdir(exist_ok=True)
                (after / name).write_bytes(data)
        else:
            for path in self._files():
                target = after / path.relative_to(self.directory)
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(path, target)
        # The lock is the system's; who had it, and in which run of the machine, stays there.
        (after / f"{STORE}.lock").write_text(f"1 {self.boot_id()}\n")
        self.boots += power_loss
        self._former = self.directory
        self.directory = after

    def boot_id(self) -> str:
        """Which run of the machine this is."""
        return f"boot-{self.boots}"

    def forget_former(self) -> None:
        """Everything that used the directory of the last life has let go of it."""
        shutil.rmtree(self._former)
        if self._vfs is not None:
            self._vfs.unregister()
            self._vfs = None

    def remove(self) -> None:
        """No trace is left."""
        shutil.rmtree(self._root)

    # -- what the file layers report

    def happened(self, *event: Any) -> None:
        if self._image is not None:
            self._image.apply(event)

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


def _refuse_files(fate: str) -> None:
    if fate:
        raise OSError(errno.ENOSPC if fate == "full" else errno.EIO, "simulated")


class FaultyVfs(apsw.VFS):  # type: ignore[misc]
    """SQLite's own file layer, under the disk's control."""

    def __init__(self, name: str, disk: Disk) -> None:
        self.name = name
        self.disk = disk
        super().__init__(name, "", iVersion=3)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return FaultyFile(name, flags, self.disk)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        if self.disk.dead:
            _refuse("dead", IOERR_DELETE)
        self.disk.happened("delete", Path(filename).name)
        super().xDelete(filename, syncdir)


class FaultyFile(apsw.VFSFile):  # type: ignore[misc]
    """See FaultyVfs."""

    def __init__(self, name: Any, flags: list[int], disk: Disk) -> None:
        self._disk = disk
        self._name = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "temporary").name
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        _refuse(self._disk.writes(offset + len(data) > self.xFileSize()), IOERR_WRITE)
        self._disk.happened("write", self._name, offset, bytes(data))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        if self._disk.dead:
            _refuse("dead", IOERR_TRUNCATE)
        self._disk.happened("truncate", self._name, size)
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        _refuse(self._disk.syncs(), IOERR_FSYNC)
        self._disk.happened("sync", self._name)


class SegmentFiles(Files):
    """The file layer of segments, under the disk's control."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._names: dict[int, str] = {}

    def create(self, path: Path) -> int:
        _refuse_files(self._disk.writes(True))
        descriptor = super().create(path)
        self._names[descriptor] = name = f"{path.parent.name}/{path.name}"
        self._disk.happened("name", name)
        return descriptor

    def write(self, descriptor: int, offset: int, data: bytes) -> None:
        _refuse_files(self._disk.writes(True))
        self._disk.happened("write", self._names[descriptor], offset, bytes(data))
        super().write(descriptor, offset, data)

    def sync(self, descriptor: int) -> None:
        _refuse_files(self._disk.syncs())
        self._disk.happened("sync", self._names[descriptor])

    def sync_directory(self, directory: Path) -> None:
        _refuse_files(self._disk.syncs())
        self._disk.happened("sync names")

    def unlink(self, path: Path) -> None:
        if self._disk.dead:
            raise OSError(errno.EIO, "simulated")
        self._disk.happened("delete", f"{path.parent.name}/{path.name}")
        super().unlink(path)


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
