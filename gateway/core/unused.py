"""Named queues that were only ever read from: one that nobody reads any more is forgotten."""

from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore

if TYPE_CHECKING:
    from gateway.core.queue import Queue
    from gateway.core.router import Broker

LEFT_AT_ONCE: Final = 64
"""Queues that are looked at in one step."""


@final
class UnusedQueues(Chore):
    """The queues whose last reader has left before anything came: looked at once, when nobody is in the midst of it."""

    __slots__ = ("_broker", "_left", "_working")

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._left: list[Queue] = []
        self._working = False

    def __len__(self) -> int:
        return len(self._left)

    def __bool__(self) -> bool:
        return bool(self._left)

    def left(self, queue: "Queue") -> None:
        """Nobody reads `queue` any more, in which nothing has been yet."""
        self._left.append(queue)

    def look(self) -> None:
        """Called each second: forget those that are still unused, in this turn of the loop or later ones."""
        if self._left and not self._working:
            self._working = True
            self._broker.chores.add(self)

    def go_on(self) -> bool:
        """See Chore."""
        left = self._left
        self._working = False
        for _ in range(min(LEFT_AT_ONCE, len(left))):
            self._broker.drop_unused(left.pop())
        self._working = len(left) > 0
        return self._working


def is_unused(queue: "Queue") -> bool:
    """Is it a named queue that nothing was ever in, that nothing is to come into, and that nobody reads?"""
    return (
        queue.enqueued_total == 0
        and queue.number == 0
        and queue.owner is None
        and not queue.bindings
        and queue.consumers_count == 0
        and queue.is_named(queue.destination.name)
    )
