"""One process at a time: a locked file beside the store.  The system frees the lock with the process, however it ends."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from gateway.store.boot import boot_id
from gateway.store.errors import StoreRefused
from gateway.store.wal import disown_index

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class StoreLock:
    """Held from construction until `release`."""

    def __init__(self, store: Path) -> None:
        """Take the lock.  Raises StoreRefused when another process has it."""
        self.path = store.with_name(store.name + ".lock")
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError as error:
            raise StoreRefused(f"{self.path}: {error.strerror or error}") from None
        try:
            _lock(self._descriptor)
        except OSError:
            owner = next(iter(self._said()), "unknown")
            os.close(self._descriptor)
            raise StoreRefused(f"{store}: in use by another process (id {owner})") from None
        boot = boot_id()
        self.rebooted = self._said()[1:] not in ([], [boot])
        """The machine was started again since somebody had the store: the log's index is from any moment before that."""
        # It must not be believed later either; and on a full disk it is not said who has the store.
        if not self.rebooted or disown_index(store):
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, f"{os.getpid()} {boot}\n".encode(), 0)

    def _said(self) -> list[str]:
        """The id of the process that has the store, or had it, and of the machine's run that this was in."""
        return os.pread(self._descriptor, 128, 0).decode("ascii", "replace").split()

    def release(self) -> None:
        """Let others have it.  The file stays: to remove it could remove another's lock."""
        os.close(self._descriptor)


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
