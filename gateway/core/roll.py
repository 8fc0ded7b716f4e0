"""All queues of a broker, for who goes through them some at a time: a list made of them would hold, and cost, one
reference a queue for each that does.
"""

from typing import TYPE_CHECKING, Final, final

from gateway.core.footprint import text_bytes
from gateway.core.limits import CoreLimits, LimitReached

if TYPE_CHECKING:
    from gateway.core.queue import Queue

NAME_BYTES_FREE: Final = 255
"""Bytes of a queue's key that every queue may have; what is beyond them counts."""


@final
class Roll:
    """The queues, in no order that lasts.  Coming and going costs the same for any number."""

    __slots__ = ("_limits", "_queues", "names_bytes")

    def __init__(self, limits: CoreLimits) -> None:
        self._queues: list[Queue] = []
        self._limits = limits
        self.names_bytes = 0
        """Bytes of long names: see NAME_BYTES_FREE."""

    def __len__(self) -> int:
        return len(self._queues)

    def __bool__(self) -> bool:
        return bool(self._queues)

    def check(self, key: str) -> None:
        """Raise LimitReached if there may be no queue more with this key."""
        if len(self._queues) >= self._limits.queues_max:
            raise LimitReached("too many queues")
        size = _long_bytes(key)
        if size and self.names_bytes + size > self._limits.queue_names_bytes_max:
            raise LimitReached("too many queues with long names")

    def add(self, queue: "Queue") -> None:
        """One more, behind all others."""
        queue.place = len(self._queues)
        self._queues.append(queue)
        self.names_bytes += _long_bytes(queue.key.text)

    def remove(self, queue: "Queue") -> None:
        """One less: the last takes its place.  Nothing happens where it is not there."""
        place = queue.place
        if place < 0:
            return
        queue.place = -1
        self.names_bytes -= _long_bytes(queue.key.text)
        last = self._queues.pop()
        if last is not queue:
            self._queues[place] = last
            last.place = place

    def at(self, place: int) -> "Queue":
        """The queue at this place, below the length."""
        return self._queues[place]


@final
class Round:
    """One way through a roll, from its end to its beginning.

    Each queue that was there when it began and is not deleted meanwhile comes up; twice, if another one's end moves it
    down once it has come up.  None that is made meanwhile needs to.
    """

    __slots__ = ("_below", "_roll")

    def __init__(self, roll: Roll) -> None:
        self._roll = roll
        self._below = len(roll)

    def next(self) -> "Queue | None":
        """The next one; None when all have come up."""
        place = min(self._below, len(self._roll)) - 1
        if place < 0:
            self._below = 0
            return None
        self._below = place
        return self._roll.at(place)


def _long_bytes(key: str) -> int:
    return max(text_bytes(key) - NAME_BYTES_FREE, 0)
