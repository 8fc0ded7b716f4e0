"""What can be wrong with a store.

StoreError
├── StoreRefused    it must not be opened: another program's, a newer version's, in use
├── StoreDamaged    parts of it cannot be read
├── StoreFull       no room on the disk, or no file may be opened: nothing was done, it may be tried again
└── StoreFailed     writing or syncing failed: what is on the disk is not known, so nothing may be tried again
"""


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
