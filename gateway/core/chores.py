"""Work that goes on in later turns of the loop: done at once it would keep everybody waiting.

Core has no loop and no clock: a chore does a little at a time, and what drives the broker says when it goes on.
"""

from collections import deque
from collections.abc import Callable
from typing import final

from mypy_extensions import mypyc_attr


# Called once for many steps of work, so it may be implemented by what is not compiled.
@mypyc_attr(allow_interpreted_subclasses=True)
class Chore:
    """One piece of such work."""

    __slots__ = ()

    def go_on(self) -> bool:
        """Do as much as takes about a tenth of a millisecond; answers whether there is more."""
        raise NotImplementedError


@final
class Chores:
    """What is to go on, in turn.  Without anybody to say when, all of it is done at once."""

    __slots__ = ("_running", "_schedule", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[Chore] = deque()
        self._schedule: Callable[[], None] | None = None
        self._running = False

    def __len__(self) -> int:
        return len(self._waiting)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def driven_by(self, schedule: Callable[[], None] | None) -> None:
        """`schedule` is called when there is something to do again; it sees to it that `step` is, until that says no."""
        self._schedule = schedule

    def add(self, chore: Chore) -> None:
        """Have `chore` go on later, until it is finished."""
        waiting = self._waiting
        waiting.append(chore)
        if self._schedule is None:
            if not self._running:
                self.finish()
        elif len(waiting) == 1 and not self._running:
            self._schedule()

    def step(self) -> bool:
        """Let the one go on that has waited longest; answers whether anything is left to do.

        One that raises is not asked again.
        """
        waiting = self._waiting
        if not waiting:
            return False
        chore = waiting.popleft()
        self._running = True
        try:
            if chore.go_on():
                waiting.append(chore)
        finally:
            self._running = False
        return len(waiting) > 0

    def finish(self) -> None:
        """Do all that is left."""
        while self.step():
            pass
