"""Queues that are to look again whether they can deliver, one at a time.

They may be very many, when the store accepts again; and each stops early where it finds very many expired messages.
"""

from collections import deque
from typing import TYPE_CHECKING, final

from gateway.core.chores import Chore, Chores

if TYPE_CHECKING:
    from gateway.core.queue import Queue


@final
class Waking(Chore):
    """Those that wait for it."""

    __slots__ = ("_chores", "_queues", "_working")

    def __init__(self, chores: Chores) -> None:
        self._chores = chores
        self._queues: deque[Queue] = deque()
        self._working = False

    def wake(self, queues: "list[Queue]") -> None:
        """Have them look, in this turn of the loop or a later one."""
        # Whoever waits from an earlier time is among them again.
        self._queues = deque(queues)
        if queues and not self._working:
            self._working = True
            self._chores.add(self)

    def later(self, queue: "Queue") -> None:
        """Have one more look."""
        self._queues.append(queue)
        if not self._working:
            self._working = True
            self._chores.add(self)

    def go_on(self) -> bool:
        """See Chore."""
        # Not only at the end: were a queue to fail, the next call would begin anew.
        self._working = False
        if not self._queues:
            return False
        queue = self._queues.popleft()
        if not queue.deleted:
            queue.wake()
        self._working = len(self._queues) > 0
        return self._working
