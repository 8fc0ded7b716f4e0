"""A disk that loses power: every write is recorded, and at any moment the files can be had as a crash would leave them.

What was synced is there.  What was not may be there, may be missing, and may be there in part, in any combination.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import apsw

from gateway.store.database import Database, error_of
from gateway.store.errors import StoreError
from gateway.store.segments import Files

SECTOR: Final = 512
"""What a disk writes whole or not at all."""


class Disk:
    """Records what happens to the files of one directory.

    An event is ("write", name, offset, data), ("truncate", name, size), ("sync", name), ("delete", name),
    ("name", name) for a new name that its directory must still be synced for, ("sync names") for that,
    or ("durable", position): what the program believed.
    """

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []


class Image:
    """The files as they are on the platter, and what is on its way there."""

    def __init__(self) -> None:
        self.synced: dict[str, bytearray] = {}
        # New names that a crash may still take away.
        self._unnamed: list[str] = []
        self._pending: list[tuple[Any, ...]] = []

    def apply(self, event: tuple[Any, ...]) -> None:
        """Let one event happen."""
        if event[0] == "sync":
            mine = [e for e in self._pending if e[1] == event[1]]
            self._pending = [e for e in self._pending if e[1] != event[1]]
            for pending in mine:
                _carry_out(self.synced, pending)
        elif event[0] == "name":
            self._unnamed.append(event[1])
            self.synced[event[1]] = bytearray()
        elif event[0] == "sync names":
            self._unnamed.clear()
        elif event[0] == "delete":
            self._pending = [e for e in self._pending if e[1] != event[1]]
            self.synced.pop(event[1], None)
        else:
            self._pending.append(event)

    def crash(self, chance: random.Random | None) -> dict[str, bytes]:
        """The files after a crash now: without a chance nothing that was not synced is there."""
        files = {name: bytearray(data) for name, data in self.synced.items()}
        if chance is not None:
            # Mostly present, or mostly missing, so that both ends are seen often.
            share = chance.choice((0.1, 0.5, 0.9, 1.0))
            for event in self._pending:
                if chance.random() < share:
                    _carry_out(files, _torn(event, chance))
        for name in self._unnamed:
            if chance is None or chance.random() < 0.5:
                files.pop(name, None)
        return {name: bytes(data) for name, data in files.items()}


def _torn(event: tuple[Any, ...], chance: random.Random) -> tuple[Any, ...]:
    """Perhaps only some sectors of a write."""
    if event[0] != "write" or chance.random() < 0.6:
        return event
    _, name, offset, data = event
    end = chance.randrange(0, len(data) + 1)
    # Sectors lie at multiples of their size in the file, wherever the write began.
    end = max(0, (offset + end) // SECTOR * SECTOR - offset)
    return ("write", name, offset, data[:end])


def _carry_out(files: dict[str, bytearray], event: tuple[Any, ...]) -> None:
    data = files.setdefault(event[1], bytearray())
    if event[0] == "truncate":
        del data[event[2] :]
        return
    _, _, offset, written = event
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(written)] = written


class RecordingVfs(apsw.VFS):  # type: ignore[misc]
    """SQLite's own file layer, with every change written down."""

    def __init__(self, name: str, disk: Disk) -> None:
        self.disk = disk
        super().__init__(name, "", iVersion=3)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return RecordingFile(name, flags, self.disk)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.disk.events.append(("delete", Path(filename).name))
        super().xDelete(filename, syncdir)


class RecordingFile(apsw.VFSFile):  # type: ignore[misc]
    def __init__(self, name: Any, flags: list[int], disk: Disk) -> None:
        self._events = disk.events
        self._name = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "temporary").name
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._events.append(("write", self._name, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        self._events.append(("truncate", self._name, size))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        self._events.append(("sync", self._name))
        super().xSync(flags)


class RecordingFiles(Files):
    """The file layer of segments, with every change written down."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self._names: dict[int, str] = {}

    def create(self, path: Path) -> int:
        descriptor = super().create(path)
        self._names[descriptor] = name = f"{path.parent.name}/{path.name}"
        self.disk.events.append(("name", name))
        return descriptor

    def write(self, descriptor: int, offset: int, data: bytes) -> None:
        self.disk.events.append(("write", self._names[descriptor], offset, data))
        super().write(descriptor, offset, data)

    def sync(self, descriptor: int) -> None:
        self.disk.events.append(("sync", self._names[descriptor]))
        super().sync(descriptor)

    def sync_directory(self, directory: Path) -> None:
        self.disk.events.append(("sync names",))
        super().sync_directory(directory)

    def unlink(self, path: Path) -> None:
        self.disk.events.append(("delete", f"{path.parent.name}/{path.name}"))
        super().unlink(path)


class CarelessFiles(RecordingFiles):
    """A deliberate fault: records are not synced before their rows."""

    def sync(self, descriptor: int) -> None:
        pass


class ForgetfulFiles(RecordingFiles):
    """A deliberate fault: the names of new segments are not synced."""

    def sync_directory(self, directory: Path) -> None:
        pass


class ApswDatabase(Database):
    """Database on another build of SQLite, the one that lets its file layer be replaced."""

    def __init__(self, path: str, vfs: str) -> None:
        self.path = path
        self._apsw = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)

    def _run(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        try:
            return list(self._apsw.cursor().execute(sql, tuple(parameters)))
        except apsw.Error as error:
            raise self._translate(error) from None

    def _translate(self, error: apsw.Error) -> StoreError:
        return error_of(self.path, getattr(error, "extendedresult", 0), str(error))

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        self._run(sql, parameters)
        return int(self._apsw.changes())

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self._run(sql, parameters)

    def run(self, statement: str) -> None:
        self._run(statement, ())

    def each(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Any]:
        return iter(self._run(sql, parameters))

    @property
    def in_transaction(self) -> bool:
        return bool(self._apsw.in_transaction)

    def close(self) -> None:
        # As in the standard library: what became of the log's last move into the file is not told.
        with suppress(apsw.Error):
            self._apsw.close()


class CarelessDatabase(ApswDatabase):
    """A deliberate fault: it says that it syncs, and does not."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        return super().execute(sql.replace("synchronous = FULL", "synchronous = OFF"), parameters)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        if sql == "PRAGMA synchronous":
            return [(2,)]
        return super().rows(sql, parameters)
