"""The file of a Unix socket: made with its mode, never taken from another process, removed at the end."""

import errno
import os
import socket
import stat
from pathlib import Path
from typing import final


@final
class UnixSocket:
    """A listening socket's file.  Construct, `bind`, then `remove`."""

    def __init__(self, path: str, mode: int) -> None:
        self.path = Path(path)
        self._mode = mode
        self._inode: int | None = None

    def bind(self) -> socket.socket:
        """A socket bound to the path.  A file that a crash left there goes.  Raises OSError."""
        self._clear()
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Nobody can connect before the mode is right.
        before = os.umask(0o177)
        try:
            bound.bind(str(self.path))
            os.chmod(self.path, self._mode)
        except OSError:
            bound.close()
            raise
        finally:
            os.umask(before)
        self._inode = self.path.stat().st_ino
        bound.setblocking(False)
        return bound

    def _clear(self) -> None:
        try:
            there = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(there.st_mode):
            raise OSError(errno.EEXIST, "there is a file of that name, which is no socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self.path))
            except ConnectionRefusedError:
                self.path.unlink()
                return
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))

    def remove(self) -> None:
        """Take the name away, unless it is another's by now."""
        inode, self._inode = self._inode, None
        try:
            if inode is not None and self.path.lstat().st_ino == inode:
                self.path.unlink()
        except OSError:
            # Gone already, or its directory is.
            pass
