"""Queues that are to look again whether they can deliver, one at a time.

They may be very many, when the store accepts again; and each stops early where very many messages leave or have expired.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore, Chores

if TYPE_CHECKING:
    from gateway.core.queue import Queue

DELIVERED_AT_ONCE: Final = 128
"""Messages that a queue delivers in one look: a consumer that acknowledges nothing takes thousands of small ones."""


@final
class Waking(Chore):
    """Those that wait for it."""

    __slots__ = ("_chores", "_queues", "_working")

    def __init__(self, chores: Chores) -> None:
        self._chores = chores
        # An ordered set.
        self._queues: OrderedDict[Queue, None] = OrderedDict()
        self._working = False

    def wake(self, queues: "list[Queue]") -> None:
        """Have them look, in this turn of the loop or a later one."""
        self._queues.update(dict.fromkeys(queues))
        if queues and not self._working:
            self._working = True
            self._chores.add(self)

    def later(self, queue: "Queue") -> None:
        """Have one more look."""
        self._queues[queue] = None
        if not self._working:
            self._working = True
            self._chores.add(self)

    def go_on(self) -> bool:
        """See Chore."""
        if self._queues:
            queue = self._queues.popitem(last=False)[0]
            try:
                if not queue.deleted:
                    queue.look_again()
            except Exception:
                # Whatever is wrong with one of them, it is the turn of the next, which nobody else makes deliver.
                self._chores.add(self)
                raise
        self._working = len(self._queues) > 0
        return self._working
