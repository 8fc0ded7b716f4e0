"""Room on the disk: how much there is, what is kept back of it, and when nothing new is to be taken.

Below `free_bytes_min` the store takes nothing new, so that what it has taken can be committed.  Where others fill the
disk nevertheless, a reserve, a file of nothing beside the store, is given up part by part: then what was taken is
committed still, and what is consumed can be removed, which makes room.
"""

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final, final

log = logging.getLogger("gateway.store")

SUFFIX: Final = "-reserve"

LOW_PART: Final = 10
"""On a small disk, free space counts as low below one in so many of its bytes."""

RESERVE_PART: Final = 20
"""And the reserve takes no more than one in so many."""

RESERVE_STEPS: Final = 4
"""What is given up at a time is one in so many: a next run on the same disk needs some too."""

RESERVE_STEP_MIN: Final = 65_536
"""A smaller reserve is not worth a file."""

PENDING_PART: Final = 8
"""Of the free bytes, messages that wait for their commit may take one in so many: they are written twice, at least."""

PENDING_MIN: Final = 1_048_576
"""But always so many."""


class Disk:
    """What Room asks of the system.  Tests put one in its place that is as large as they like."""

    def free(self, directory: Path) -> tuple[int, int]:
        """Bytes that may still be written, and bytes of the whole disk.  Raises OSError."""
        found = shutil.disk_usage(directory)
        return found.free, found.total

    def allocate(self, path: Path, size: int) -> None:
        """Give the file so many bytes of the disk for good.  Raises OSError; then it may have some of them."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _CLOSE_ON_EXEC, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, size)
            else:
                for _ in range(0, size, RESERVE_STEP_MIN):
                    os.write(descriptor, bytes(RESERVE_STEP_MIN))
        finally:
            os.close(descriptor)

    def release(self, path: Path, size: int) -> None:
        """Give the file's bytes back, all but `size`.  Raises OSError."""
        if size:
            os.truncate(path, size)
        else:
            path.unlink(missing_ok=True)

    def size(self, path: Path) -> int:
        """Bytes of the file; 0 when there is none."""
        try:
            return path.stat().st_size
        except OSError:
            return 0


_CLOSE_ON_EXEC: Final = getattr(os, "O_CLOEXEC", 0)


@final
class Room:
    """See the module.  Whoever writes the store calls it; nothing is for two threads at once."""

    def __init__(
        self, store: Path, free_bytes_min: int = 0, reserve_bytes: int = 0, disk: Disk | None = None
    ) -> None:
        """0 looks at nothing, and keeps nothing back."""
        self.low = ""
        """Why nothing new is to be taken, for whoever runs the broker; empty while there is room."""
        self.free = 0
        """Bytes that were free when it was last looked."""
        self._directory = store.parent
        self._reserve = store.with_name(store.name + SUFFIX)
        self._disk = disk or Disk()
        self._min = free_bytes_min
        self._wanted = reserve_bytes
        self._held = self._disk.size(self._reserve)
        # All that it is to hold, on a disk of this size.
        self._whole = self._held
        self._complained = ""

    def look(self, reusable: int = 0) -> None:
        """See how much room there is; `reusable` bytes lie free within the store's own file."""
        if not self._min and not self._wanted:
            return
        try:
            free, total = self._disk.free(self._directory)
        except OSError as error:
            self._complain(error)
            return
        least = min(self._min, total // LOW_PART)
        wanted = self._whole = min(self._wanted, total // RESERVE_PART)
        if self._held < wanted and free >= wanted - self._held + least // 2:
            free -= self._hold(wanted)
        self.free = free
        if self._held < wanted:
            self.low = f"{free:,} bytes are free on the disk, not enough for store.reserve_bytes"
        # What was low is enough only with something to spare: otherwise it would be low again in a moment.
        elif free + reusable < (least + least // LOW_PART if self.low else least):
            self.low = f"{free:,} bytes are free on the disk, store.free_bytes_min is {least:,}"
        else:
            self.low = ""

    def pending_max(self, most: int) -> int:
        """How many bytes of messages may wait for their commit, of the `most` that ever may."""
        if not self._min and not self._wanted:
            return most
        # A power of two: it is not to change all the time.
        return min(most, max(PENDING_MIN, 1 << (self.free // PENDING_PART).bit_length() >> 1))

    def _hold(self, size: int) -> int:
        """Make the reserve so large; returns the bytes that took."""
        before = self._held
        try:
            self._disk.allocate(self._reserve, size)
        except OSError as error:
            self._complain(error)
            self._release(before)
            return 0
        self._held = size
        return size - before

    def give_up(self) -> bool:
        """The disk is full: let go of a part of the reserve.  False when there is none."""
        if not self._held:
            return False
        return self._release(max(0, self._held - max(self._whole // RESERVE_STEPS, RESERVE_STEP_MIN)))

    def _release(self, size: int) -> bool:
        """All but `size` of it."""
        self._held = size
        try:
            self._disk.release(self._reserve, size)
        except OSError as error:
            self._complain(error)
            return False
        return True

    def _complain(self, error: OSError) -> None:
        """Once: a quota, say, is full for longer than a second."""
        text = error.strerror or str(error)
        if text != self._complained:
            self._complained = text
            log.warning("store: %s: %s", self._reserve, text)

    def close(self) -> None:
        """Leave a reserve for the next run, as large as there is room for."""
        with suppress(OSError):
            free, total = self._disk.free(self._directory)
            size = min(self._wanted, total // RESERVE_PART)
            while self._held < size and size >= RESERVE_STEP_MIN:
                if free >= size - self._held:
                    self._hold(size)
                size //= 2
