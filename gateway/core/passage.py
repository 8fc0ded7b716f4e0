"""A way through what waits in a queue's memory, some at a time."""

from typing import TYPE_CHECKING, final

from gateway.core.delivery import Delivery

if TYPE_CHECKING:
    from gateway.core.queue import Queue


@final
class Passage:
    """Lane by lane, the highest first: each message comes up that waits there from the beginning until its turn.

    What comes meanwhile does not, and what comes back need not.
    """

    __slots__ = ("_lanes", "_last", "_queue", "_sequence")

    def __init__(self, queue: "Queue", last: int | None = None) -> None:
        """`last`: the sequence up to which they come up; that of the last that has come, where it is not given."""
        self._queue = queue
        # The highest last.
        self._lanes = queue.contents.backlog.lanes()[::-1]
        self._sequence = 0
        self._last = queue.last_sequence if last is None else last

    @property
    def over(self) -> bool:
        """Have all come up, as far as is known?"""
        return not self._lanes or self._queue.deleted

    def next(self, count_max: int) -> list[Delivery]:
        """The next ones, left in place; of one lane, and so many at most."""
        if self.over:
            return []
        found = self._queue.contents.backlog.after(self._lanes[-1], self._sequence, self._last, count_max)
        if len(found) < count_max:
            self._lanes.pop()
            self._sequence = 0
        else:
            self._sequence = found[-1].sequence
        return found
