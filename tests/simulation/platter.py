"""What a loss of power leaves: of each file what was synced, of each name what its directory was synced for, or more.

What was not synced may be there, may be missing, and may be there in part, in any combination; the same of changes of
names.  A file is told apart from its name, as on a disk: what is open stays the same file when it is renamed.
"""

import random
from typing import Final

SECTOR: Final = 512
"""What a disk writes whole or not at all."""

HERE: Final = "."
"""The store's own directory."""

WHOLE: Final = 0.6
"""How often a write that was not synced is there as a whole, if it is there."""

SHARES: Final = (0.1, 0.5, 0.9, 1.0)
"""How much of what was not synced is there: mostly missing, or mostly present, so that both ends are seen often."""


class File:
    """A file, whatever it is called."""

    __slots__ = ("_pending", "_synced")

    def __init__(self, data: bytes = b"") -> None:
        self._synced = bytearray(data)
        # Offset and bytes that were written there; None where the file was cut.
        self._pending: list[tuple[int, bytes | None]] = []

    def write(self, offset: int, data: bytes) -> None:
        self._pending.append((offset, data))

    def truncate(self, size: int) -> None:
        self._pending.append((size, None))

    def sync(self) -> None:
        for change in self._pending:
            _carry_out(self._synced, change)
        self._pending.clear()

    def after(self, chance: random.Random | None, share: float) -> bytes:
        """What a loss of power leaves of it now; without a chance only what was synced."""
        found = bytearray(self._synced)
        if chance is not None:
            for change in self._pending:
                if chance.random() < share:
                    _carry_out(found, _torn(change, chance))
        return bytes(found)


class Directory(File):
    """A directory below the store's own: without its name, nothing in it is there."""

    __slots__ = ()


Named = File | None
"""What a name stands for: a file, or nothing any more."""


class Platter:
    """See the module.  Names are relative to the store's directory."""

    def __init__(self) -> None:
        self._names: dict[str, File] = {}
        self._durable: dict[str, File] = {}
        # Changes of names that no sync of their directory has made sure; each happens as a whole or not at all.
        self._changes: list[dict[str, Named]] = []

    def file(self, name: str) -> File:
        """The file of that name, made if there is none."""
        found = self._names.get(name)
        if found is None:
            found = File()
            self.name(name, found)
        return found

    def name(self, name: str, file: File) -> None:
        """Give it a name, or one more."""
        self._change({name: file})

    def rename(self, old: str, new: str) -> None:
        self._change({old: None, new: self.file(old)})

    def remove(self, name: str) -> None:
        if name in self._names:
            self._change({name: None})

    def _change(self, change: dict[str, Named]) -> None:
        _name(self._names, change)
        self._changes.append(change)

    def sync_names(self, directory: str) -> None:
        """The names in that directory are on the disk."""
        left = []
        for change in self._changes:
            if any(_directory_of(name) == directory for name in change):
                _name(self._durable, change)
            else:
                left.append(change)
        self._changes = left

    def lose_power(self, chance: random.Random | None) -> dict[str, bytes]:
        """The files that are there now; without a chance nothing that was not synced."""
        share = 0.0 if chance is None else chance.choice(SHARES)
        names = dict(self._durable)
        for change in self._changes:
            if chance is not None and chance.random() < share:
                _name(names, change)
        there = {name for name, file in names.items() if isinstance(file, Directory)} | {HERE}
        found = {
            name: file.after(chance, share)
            for name, file in names.items()
            if name not in there and _directory_of(name) in there
        }
        self._names = {name: File(data) for name, data in found.items()}
        self._names.update(
            {_directory_of(name): Directory() for name in found if _directory_of(name) != HERE}
        )
        self._durable = dict(self._names)
        self._changes.clear()
        return found


def _directory_of(name: str) -> str:
    return name.rpartition("/")[0] or HERE


def _name(names: dict[str, File], change: dict[str, Named]) -> None:
    for name, file in change.items():
        if file is None:
            names.pop(name, None)
        else:
            names[name] = file


def _torn(change: tuple[int, bytes | None], chance: random.Random) -> tuple[int, bytes | None]:
    """Perhaps only some sectors of a write."""
    offset, data = change
    if data is None or chance.random() < WHOLE:
        return change
    end = chance.randrange(0, len(data) + 1)
    # Sectors lie at multiples of their size in the file, wherever the write began.
    return offset, data[: max(0, (offset + end) // SECTOR * SECTOR - offset)]


def _carry_out(data: bytearray, change: tuple[int, bytes | None]) -> None:
    offset, written = change
    if written is None:
        del data[offset:]
        return
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(written)] = written
