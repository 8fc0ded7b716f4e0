"""One timer for all connections: no connection has a timer of its own, and no message ever sets one."""

import asyncio
from heapq import heapify, heappop, heappush
from typing import Final, final

from gateway.net.clock import Clock

LOOK_S: Final = 0.001
"""Sockets are looked at once more before a deadline counts: where the process stood still (a laptop asleep, a debugger),
what clients said in time waits there, and timers come first."""

DEAD_MIN: Final = 64
"""Entries nobody waits for any more that are not worth clearing away."""


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
        """The time has come.  Does not raise."""
        raise NotImplementedError


@final
class Deadlines:
    """A heap of (when, who).  Entries are corrected when they come up: a deadline that moved on costs nothing before."""

    __slots__ = ("_clock", "_dead", "_entries", "_heap", "_loop", "_timer", "_timer_ms")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock
        self._heap: list[tuple[int, int, Timed]] = []
        self._entries = 0
        # Entries that an earlier one of the same owner replaced, or whose owner is gone.
        self._dead = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0

    def __len__(self) -> int:
        return len(self._heap)

    def watch(self, who: Timed) -> None:
        """Look whether `who` has a deadline that is earlier than any entry of it."""
        due_ms = who.next_deadline_ms()
        if due_ms is not None and (who.armed_ms == 0 or due_ms < who.armed_ms):
            self._push(who, due_ms)
            self._arm()

    def forget(self, who: Timed) -> None:
        """`who` is gone; its entry must not stay until it comes up, which may be a day away."""
        if who.armed_ms:
            who.armed_ms = 0
            self._died()

    def close(self) -> None:
        """No more calls."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._heap.clear()

    def _push(self, who: Timed, due_ms: int) -> None:
        if who.armed_ms:
            self._died()
        who.armed_ms = due_ms
        # The number decides between equal times: owners cannot be compared.
        self._entries += 1
        heappush(self._heap, (due_ms, self._entries, who))

    def _died(self) -> None:
        self._dead += 1
        if self._dead > DEAD_MIN and self._dead * 2 > len(self._heap):
            self._heap[:] = [entry for entry in self._heap if entry[0] == entry[2].armed_ms]
            heapify(self._heap)
            self._dead = 0

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
        """A deadline has come, by the clock.  What is armed meanwhile is no earlier than this."""
        self._timer = self._loop.call_later(LOOK_S, self._behind_input)

    def _behind_input(self) -> None:
        self._timer = None
        now_ms = self._clock.now_ms()
        heap = self._heap
        while heap and heap[0][0] <= now_ms:
            due_ms, _, who = heappop(heap)
            if due_ms == who.armed_ms:
                who.armed_ms = 0
                self._call(who, now_ms)
            elif self._dead:
                self._dead -= 1
        self._arm()

    def _call(self, who: Timed, now_ms: int) -> None:
        wanted_ms = who.next_deadline_ms()
        if wanted_ms is not None and wanted_ms <= now_ms:
            who.deadline(now_ms)
            wanted_ms = who.next_deadline_ms()
        if wanted_ms is not None and (who.armed_ms == 0 or wanted_ms < who.armed_ms):
            # One whose deadline stays in the past must not hold the loop.
            self._push(who, max(wanted_ms, now_ms + 1))
