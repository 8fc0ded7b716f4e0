"""What becomes of memory that is freed."""

import ctypes
import sys
from typing import Final

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
