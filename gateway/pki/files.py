"""Files that are whole or not there, and keys that nobody else can read."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.pki.errors import PkiError

PUBLIC: Final = 0o644
PRIVATE: Final = 0o600
PRIVATE_DIRECTORY: Final = 0o700

FILE_BYTES_MAX: Final = 16_777_216
"""No certificate, key or list that is read is larger."""


def write(path: Path, data: bytes, mode: int = PUBLIC) -> None:
    """Put `data` at `path` with `mode`, all of it or nothing; what was there is replaced.  Raises PkiError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            # mkstemp made it readable by its owner only; it is never more open than it will be in the end.
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(mode)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise PkiError(f"{path}: {error.strerror}") from None


def read(path: Path) -> bytes:
    """What is in `path`.  Raises PkiError."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise PkiError(f"{path}: {error.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise PkiError(f"{path}: larger than {FILE_BYTES_MAX} bytes")
    return data


def read_text(path: Path) -> str:
    """What is in `path`, as text.  Raises PkiError."""
    try:
        return read(path).decode()
    except UnicodeDecodeError:
        raise PkiError(f"{path}: is no text") from None


def make_directory(path: Path) -> None:
    """A directory.  Raises PkiError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PkiError(f"{path}: {error.strerror}") from None


def make_private_directory(path: Path) -> None:
    """A directory that only its owner may enter.  Raises PkiError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(PRIVATE_DIRECTORY)
    except OSError as error:
        raise PkiError(f"{path}: {error.strerror}") from None


def too_open(path: Path) -> str:
    """Why a key in `path` is not private: its mode; empty when it is (or where files have no such modes)."""
    if os.name != "posix":
        return ""
    mode = path.stat().st_mode & 0o777
    return f"mode {mode:04o} lets others read it" if mode & 0o077 else ""


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Nobody else changes the folder meanwhile.  Raises PkiError."""
    path = directory / ".lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE)
    except OSError as error:
        raise PkiError(f"{path}: {error.strerror}") from None
    try:
        if os.name == "posix":
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
