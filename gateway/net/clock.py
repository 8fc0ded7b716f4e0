"""Milliseconds since the epoch that never go back."""

import time
from typing import final


@final
class Clock:
    """Wall clock at the start, plus what a monotonic clock has counted since.

    A wall clock that is set back (or forward) would end every keep-alive at once; this one drifts with the machine
    instead, which is little over the life of a process.
    """

    __slots__ = ("_start_ms",)

    def __init__(self) -> None:
        self._start_ms = int(time.time() * 1000) - int(time.monotonic() * 1000)

    def now_ms(self) -> int:
        """The time to tell others."""
        return self._start_ms + int(time.monotonic() * 1000)
