"""Who waits until something is durable, and hears of it: a slice at once, the rest in later turns of the loop.

One commit may release as many confirmations as there are operations in a batch, or far more when all of them were
struck; written in one go they would keep everybody else waiting.
"""

from collections import deque
from typing import Final, final

from mypy_extensions import mypyc_attr

from gateway.core.chores import Chore, Chores

DONE: Final = 0
WAITS: Final = 1
GOES_ON: Final = 2
"""What a waiter answers: it waits for nothing more, for a later position, for its next turn."""

SLICE: Final = 1_024
"""Confirmations that are written in one go, about."""

FIRST_COST: Final = 8
"""Writing the first confirmation of a connection takes as long as this many more."""


# Called once a commit, so it may be implemented by what is not compiled.
@mypyc_attr(allow_interpreted_subclasses=True)
class Waiter:
    """Has confirmations to send once a position is durable: a connection."""

    __slots__ = ()

    def on_durable(self, position: int) -> int:
        """All up to `position` is safe now; DONE, WAITS or GOES_ON."""
        raise NotImplementedError


@final
class Waiters(Chore):
    """All of them."""

    __slots__ = ("_chores", "_due", "_later", "_position", "_waiting", "confirmed")

    def __init__(self, chores: Chores) -> None:
        self._chores = chores
        self._waiting: list[Waiter] = []
        # Those that have not been told of the last position yet.
        self._due: deque[Waiter] = deque()
        self._position = 0
        self._later = False
        self.confirmed = 0
        """Confirmations written so far; raised by whoever writes them."""

    def __len__(self) -> int:
        return len(self._waiting) + len(self._due)

    def __bool__(self) -> bool:
        return len(self) > 0

    def add(self, waiter: Waiter) -> None:
        """Tell `waiter` about each commit until it says that it waits for nothing more."""
        self._waiting.append(waiter)

    def on_durable(self, position: int) -> None:
        """Everything up to `position` is safe."""
        self._position = position
        if self._waiting:
            self._due.extend(self._waiting)
            self._waiting.clear()
        if self._due and not self._later and self._tell():
            self._later = True
            self._chores.add(self)

    def go_on(self) -> bool:
        """See Chore."""
        # One that raises is not asked again: so it is only while it is at work that it counts as such.
        self._later = False
        self._later = self._tell()
        return self._later

    def _tell(self) -> bool:
        """Tell some of them; answers whether there are more."""
        due = self._due
        try:
            return self._tell_slice(due)
        except Exception:
            # One that raises is out of the way for the others, for whom no further commit may come.
            if due and not self._later:
                self._later = True
                self._chores.add(self)
            raise

    def _tell_slice(self, due: deque[Waiter]) -> bool:
        room = self.confirmed + SLICE
        while due and self.confirmed < room:
            waiter = due.popleft()
            room -= FIRST_COST
            answer = waiter.on_durable(self._position)
            if answer == GOES_ON:
                due.append(waiter)
            elif answer == WAITS:
                self._waiting.append(waiter)
        return len(due) > 0
