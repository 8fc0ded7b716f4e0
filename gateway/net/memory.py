"""What becomes of memory that is freed."""

import ctypes
import sys
import threading
from collections.abc import Callable
from typing import Final, final

KEPT_BYTES: Final = 64 << 20
"""Freed memory at the end of the heap that is not given back to the system."""

LARGE_BYTES: Final = 32 << 20
"""Allocations from this size are mappings of their own, given back as soon as they are freed (glibc's own maximum)."""

_TRIM_THRESHOLD: Final = -1  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of mallopt(3)
_MMAP_THRESHOLD: Final = -3


def keep_freed_memory() -> bool:
    """Let this process keep some freed memory; False where the C library has no say in it.

    glibc gives the end of the heap back as soon as more than 128 KiB of it are free.  A broker that passes on bodies of
    64 KiB then has the kernel take, clear and map the same pages again and again, for half of its time.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_TRIM_THRESHOLD, KEPT_BYTES)) and bool(mallopt(_MMAP_THRESHOLD, LARGE_BYTES))


TRIM_BYTES: Final = 64 << 20
"""So much less than at the most must messages take before the heap is looked through."""

QUIET_TICKS: Final = 8
"""Looks in a row at which messages took no more and no less memory: nobody is in the midst of anything."""


@final
class HeapTrim:
    """Gives back what messages have left, once they have and it is quiet.

    Bodies lie among longer-lived objects, so the end of the heap stays where it was: of 200,000 messages of 1 KiB that
    had waited in memory 137 of 164 MiB were still resident when all had been drained.  glibc looks through the whole
    heap for pages to give back, which takes a tenth of a second for some hundred MiB, and others who allocate wait; so
    it is done seldom, and on a thread of its own.
    """

    __slots__ = ("_highest", "_last", "_quiet", "_trim")

    def __init__(self, trim: Callable[[], None]) -> None:
        self._trim = trim
        self._highest = 0
        self._last = 0
        self._quiet = 0

    def look(self, resident_bytes: int) -> None:
        """`resident_bytes` is what messages take now.  Called a few times a second."""
        self._highest = max(self._highest, resident_bytes)
        self._quiet = self._quiet + 1 if resident_bytes == self._last else 0
        self._last = resident_bytes
        if self._quiet >= QUIET_TICKS and self._highest - resident_bytes >= TRIM_BYTES:
            self._highest = resident_bytes
            self._trim()


def trim_heap() -> None:
    """Give back free pages of the heap, in a while; nothing where the C library has no such call."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        threading.Thread(target=trim, args=(0,), name="trim", daemon=True).start()
