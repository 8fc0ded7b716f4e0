"""What can be wrong with a store.

StoreError
├── StoreRefused    it must not be opened: another program's, a newer version's, in use
├── StoreDamaged    parts of it cannot be read
├── StoreFull       no room on the disk, or no file may be opened: nothing was done, it may be tried again
└── StoreFailed     writing or syncing failed: what is on the disk is not known, so nothing may be tried again
"""

import errno
from typing import Final


class StoreError(Exception):
    """`str(error)` names the file, and the offset where that is known."""


class StoreRefused(StoreError):
    """It must not be opened."""


class StoreDamaged(StoreError):
    """Parts of it cannot be read."""


class StoreFull(StoreError):
    """There is no room on the disk."""


class StoreFailed(StoreError):
    """The disk refused to write, or to say that it had written."""


NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
NO_DESCRIPTOR: Final = (errno.EMFILE, errno.ENFILE)


def full_or(kind: type[StoreError], what: str, error: OSError) -> StoreError:
    """The error for one of the system: StoreFull where it says that there is no room, or no file may be opened."""
    if error.errno in NO_ROOM or error.errno in NO_DESCRIPTOR:
        kind = StoreFull
    return kind(f"{what}: {error.strerror or error}")
