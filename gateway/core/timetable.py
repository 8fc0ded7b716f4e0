"""When something is due for whom, at one time for each: a heap.

However often they change their minds, no more than about half of its entries are in vain.  Those go a few at a time, with
each change: the entries that count move to another heap.
"""

from heapq import heappop, heappush
from typing import Final, Generic, TypeVar, final

T = TypeVar("T")

VAIN_MIN: Final = 64
"""Entries in vain that are not worth clearing away."""

MOVED_AT_ONCE: Final = 8
"""Entries that are looked at for that with each change."""


@final
class Appointment(Generic[T]):
    """Something is due for `who` at a time; for nobody any more when that is None."""

    __slots__ = ("due_ms", "who")

    def __init__(self, who: T, due_ms: int) -> None:
        self.who: T | None = who
        self.due_ms = due_ms


@final
class Timetable(Generic[T]):
    """See the module.  Whoever has an appointment keeps it, to cancel it."""

    __slots__ = ("_entries", "_heap", "_made", "_older", "count")

    def __init__(self) -> None:
        # The number decides between equal times.
        self._heap: list[tuple[int, int, Appointment[T]]] = []
        # A heap too, which is being emptied from its end: that leaves it one.
        self._older: list[tuple[int, int, Appointment[T]]] = []
        self._made = 0
        self.count = 0
        """Appointments that count."""

    def __len__(self) -> int:
        return len(self._heap) + len(self._older)

    def __bool__(self) -> bool:
        return len(self) > 0

    def plan(self, who: T, due_ms: int) -> Appointment[T]:
        """Something is due for `who` then."""
        appointment = Appointment(who, due_ms)
        self._made += 1
        self.count += 1
        heappush(self._heap, (due_ms, self._made, appointment))
        self._tidy()
        return appointment

    def cancel(self, appointment: Appointment[T] | None) -> None:
        """Undo `plan`; nothing happens where there is none, or it has been taken."""
        if appointment is not None and appointment.who is not None:
            appointment.who = None
            self.count -= 1
            self._tidy()

    @property
    def next_ms(self) -> int:
        """The time of the earliest entry, which may be in vain; 0 where there is none."""
        heap = self._heap
        older = self._older
        if older and (not heap or older[0] < heap[0]):
            heap = older
        return heap[0][0] if heap else 0

    def is_due(self, now_ms: int) -> bool:
        """Has the time of any entry come?"""
        return _is_due(self._heap, now_ms) or _is_due(self._older, now_ms)

    def take(self, now_ms: int) -> T | None:
        """For whom something is due, the earliest; None when there is nobody, or that entry was in vain."""
        heap = self._heap
        older = self._older
        if older and (not heap or older[0] < heap[0]):
            heap = older
        if not _is_due(heap, now_ms):
            return None
        appointment = heappop(heap)[2]
        who = appointment.who
        if who is not None:
            appointment.who = None
            self.count -= 1
        return who

    def _tidy(self) -> None:
        older = self._older
        if not older:
            if len(self._heap) > 2 * self.count + VAIN_MIN:
                self._older = self._heap
                self._heap = older
            return
        for _ in range(min(MOVED_AT_ONCE, len(older))):
            entry = older.pop()
            if entry[2].who is not None:
                heappush(self._heap, entry)


def _is_due(heap: list[tuple[int, int, Appointment[T]]], now_ms: int) -> bool:
    return len(heap) > 0 and heap[0][0] <= now_ms
