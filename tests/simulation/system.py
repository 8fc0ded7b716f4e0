"""What the store asks of the operating system by name: renames, links, removals, marks, under the disk's control.

SQLite's files come through `disk.FaultyVfs`, segments through `disk.SegmentFiles`; this is the rest.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from tests.simulation.platter import HERE, Directory

if TYPE_CHECKING:
    from tests.simulation.disk import Disk

UNTOLD: Final = (".lock", "-shm", "-reserve")
"""Files of which the disk itself says what a loss of power makes of them."""


REPLACED: Final = ("replace", "link", "unlink", "mkdir", "fsync", "open", "close")


def refuse(fate: str) -> None:
    """Raise what the system says of a disk that is full, or fails."""
    if fate:
        raise OSError(errno.ENOSPC if fate == "full" else errno.EIO, "simulated")


class System:
    """The functions of `os` and `Path` that take the place of the real ones."""

    def __init__(self, disk: "Disk") -> None:
        self._disk = disk
        self._mine = f"{disk.directory}/"
        self._real = {name: getattr(os, name) for name in REPLACED}
        self._write_text = Path.write_text

    def _name(self, path: Any, named: dict[str, Any]) -> str:
        """What the disk calls that path; empty for what is none of its business."""
        text = path if isinstance(path, str) else os.fspath(path) if isinstance(path, os.PathLike) else ""
        if named.get("dir_fd") is not None or not text.startswith(self._mine) or text.endswith(UNTOLD):
            return ""
        return text[len(self._mine) :] if self._disk.used else ""

    def open(self, path: Any, *arguments: Any, **named: Any) -> int:
        descriptor: int = self._real["open"](path, *arguments, **named)
        if self._disk.used:
            self._disk.descriptors[descriptor] = None
        return descriptor

    def close(self, descriptor: int) -> None:
        self._disk.descriptors.pop(descriptor, None)
        self._real["close"](descriptor)

    def replace(self, old: Any, new: Any, **named: Any) -> None:
        name = self._name(old, named)
        if name:
            refuse(self._disk.writes(False))
        self._real["replace"](old, new, **named)
        if name:
            self._disk.platter.rename(name, self._name(new, named))

    def link(self, old: Any, new: Any, **named: Any) -> None:
        name = self._name(new, named)
        if name:
            refuse(self._disk.writes(True))
        self._real["link"](old, new, **named)
        if name:
            platter = self._disk.platter
            platter.name(name, platter.file(self._name(old, named)))

    def unlink(self, path: Any, **named: Any) -> None:
        name = self._name(path, named)
        if name and os.path.lexists(path):
            refuse(self._disk.writes(False))
        self._real["unlink"](path, **named)
        if name:
            self._disk.platter.remove(name)

    def mkdir(self, path: Any, mode: int = 0o777, **named: Any) -> None:
        name = self._name(path, named)
        if name:
            refuse(self._disk.writes(True))
        self._real["mkdir"](path, mode, **named)
        if name:
            self._disk.platter.name(name, Directory())

    def fsync(self, descriptor: int) -> None:
        """Of a directory, or of a file that was opened by its name."""
        found = os.fstat(descriptor)
        name = self._named(found)
        if name is None:
            return
        refuse(self._disk.syncs())
        if stat.S_ISDIR(found.st_mode):
            self._disk.platter.sync_names(name)
        else:
            self._disk.platter.file(name).sync()

    def _named(self, found: os.stat_result) -> str | None:
        """The name of what is open there; None for what is none of the disk's."""
        directory = self._disk.directory
        if os.path.samestat(found, directory.stat()):
            return HERE
        for path in sorted(directory.rglob("*")):
            if os.path.samestat(found, path.stat()):
                return str(path.relative_to(directory))
        return None

    def write_text(self, path: Path, data: str, *arguments: Any, **named: Any) -> int:
        name = self._name(path, {})
        if name:
            refuse(self._disk.writes(True))
        written = self._write_text(path, data, *arguments, **named)
        if name:
            file = self._disk.platter.file(name)
            file.truncate(0)
            file.write(0, path.read_bytes())
        return written


@contextmanager
def installed(disk: "Disk") -> Iterator[None]:
    """Within, whatever is done to names of that disk is under its control."""
    system = System(disk)
    with ExitStack() as patches:
        for name in REPLACED:
            patches.enter_context(mock.patch.object(os, name, getattr(system, name)))
        patches.enter_context(
            mock.patch.object(
                Path, "write_text", lambda path, *rest, **named: system.write_text(path, *rest, **named)
            )
        )
        yield
