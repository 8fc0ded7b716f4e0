"""One timer for all connections: no connection has a timer of its own, and no message ever sets one."""

import asyncio
from typing import Final, final

from gateway.core.timetable import Appointment, Timetable
from gateway.net.clock import Clock

LOOK_S: Final = 0.001
"""Sockets are looked at once more before a deadline counts: where the process stood still (a laptop asleep, a debugger),
what clients said in time waits there, and timers come first."""

CALLED_AT_ONCE: Final = 32
"""Deadlines in one turn of the loop: after a pause, or where a network is gone, those of very many come at once."""


class Timed:
    """Something that wants to be called when a time has come."""

    __slots__ = ("appointment",)

    def __init__(self) -> None:
        self.appointment: Appointment[Timed] | None = None
        """Its entry among the deadlines."""

    def next_deadline_ms(self) -> int | None:
        """When `deadline` wants to be called."""
        raise NotImplementedError

    def deadline(self, now_ms: int) -> None:
        """The time has come.  Does not raise."""
        raise NotImplementedError


@final
class Deadlines:
    """When who is to be called.  Entries are corrected when they come up: a deadline that moved on costs nothing before."""

    __slots__ = ("_clock", "_loop", "_timer", "_timer_ms", "_timetable")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock
        self._timetable: Timetable[Timed] = Timetable()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0

    def __len__(self) -> int:
        return len(self._timetable)

    def watch(self, who: Timed) -> None:
        """Look whether `who` has a deadline that is earlier than any entry of it."""
        due_ms = who.next_deadline_ms()
        planned = who.appointment
        if due_ms is not None and (planned is None or due_ms < planned.due_ms):
            self._plan(who, due_ms)
            self._arm()

    def forget(self, who: Timed) -> None:
        """`who` is gone; its entry must not stay until it comes up, which may be a day away."""
        self._timetable.cancel(who.appointment)
        who.appointment = None

    def close(self) -> None:
        """No more calls."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._timetable:
            who = self._timetable.take(self._timetable.next_ms)
            if who is not None:
                who.appointment = None

    def _plan(self, who: Timed, due_ms: int) -> None:
        self._timetable.cancel(who.appointment)
        who.appointment = self._timetable.plan(who, due_ms)

    def _arm(self) -> None:
        due_ms = self._timetable.next_ms
        if due_ms == 0:
            return
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
        try:
            self._call_some(now_ms)
        finally:
            # Whatever is wrong with one of them, it is the turn of the next.
            self._arm()

    def _call_some(self, now_ms: int) -> None:
        for _ in range(CALLED_AT_ONCE):
            if not self._timetable.is_due(now_ms):
                return
            who = self._timetable.take(now_ms)
            if who is not None:
                who.appointment = None
                self._call(who, now_ms)

    def _call(self, who: Timed, now_ms: int) -> None:
        wanted_ms = who.next_deadline_ms()
        if wanted_ms is not None and wanted_ms <= now_ms:
            who.deadline(now_ms)
            wanted_ms = who.next_deadline_ms()
        planned = who.appointment
        if wanted_ms is not None and (planned is None or wanted_ms < planned.due_ms):
            # One whose deadline stays in the past must not hold the loop.
            self._plan(who, max(wanted_ms, now_ms + 1))
