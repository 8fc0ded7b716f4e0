"""One process at a time: a locked file beside the store.  The system frees the lock with the process, however it ends."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from gateway.store.errors import StoreRefused

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
            owner = os.read(self._descriptor, 64).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise StoreRefused(f"{store}: in use by another process (id {owner})") from None
        # Who has it is for people: on a full disk it is not said.
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let others have it.  The file stays: to remove it could remove another's lock."""
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
