"""One timer for all connections: no connection has a timer of its own, and no message ever sets one."""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from typing import final

from gateway.net.clock import Clock


class Timed:
    """Something that wants to be called when a time has come."""

    __slots__ = ("armed_ms",)

    def __init__(self) -> None:
        self.armed_ms = 0
        """The earliest entry of it in the heap; 0 for none."""

    def next_deadline_ms(self) -> int | None:
        """When `deadline` wants to be called."""
        raise NotImplementedError

    def deadline(self, now_ms: int) -> None:
        """The time has come."""
        raise NotImplementedError


@final
class Deadlines:
    """A heap of (when, who).  Entries are corrected when they come up: a deadline that moved on costs nothing before."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, on_error: Callable[[Timed], None]
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._on_error = on_error
        self._heap: list[tuple[int, int, Timed]] = []
        self._entries = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0

    def watch(self, who: Timed) -> None:
        """Look whether `who` has a deadline that is earlier than any entry of it."""
        due_ms = who.next_deadline_ms()
        if due_ms is not None and (who.armed_ms == 0 or due_ms < who.armed_ms):
            who.armed_ms = due_ms
            self._entries += 1
            heappush(self._heap, (due_ms, self._entries, who))
            self._arm()

    def close(self) -> None:
        """No more calls."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._heap.clear()

    def _arm(self) -> None:
        if not self._heap:
            return
        due_ms = self._heap[0][0]
        if self._timer is not None:
            if self._timer_ms <= due_ms:
                return
            self._timer.cancel()
        self._timer_ms = due_ms
        self._timer = self._loop.call_later(max(0, due_ms - self._clock.now_ms()) / 1000, self._run)

    def _run(self) -> None:
        self._timer = None
        now_ms = self._clock.now_ms()
        heap = self._heap
        while heap and heap[0][0] <= now_ms:
            due_ms, _, who = heappop(heap)
            if due_ms != who.armed_ms:
                # An earlier entry of it took this one's place.
                continue
            who.armed_ms = 0
            wanted_ms = who.next_deadline_ms()
            if wanted_ms is not None and wanted_ms <= now_ms:
                try:
                    who.deadline(now_ms)
                except Exception:
                    self._on_error(who)
            self.watch(who)
        self._arm()
