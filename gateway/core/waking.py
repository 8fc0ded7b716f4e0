"""Queues that are to look again whether they can deliver, one at a time.

They may be very many, when the store accepts again; and each stops early where very many messages leave or have expired.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore, Chores
from gateway.core.roll import Roll, Round

if TYPE_CHECKING:
    from gateway.core.queue import Queue

DELIVERED_AT_ONCE: Final = 128
"""Messages that a queue delivers in one look: a consumer that acknowledges nothing takes thousands of small ones."""

LARGE_BYTES: Final = 8_192
"""Bytes of a message that count as one more."""

PASSED_AT_ONCE: Final = 64
"""Queues that the store keeps nothing of, which one step passes by."""


@final
class Waking(Chore):
    """Those that wait for it."""

    __slots__ = ("_chores", "_once_more", "_queues", "_roll", "_round", "_working")

    def __init__(self, chores: Chores, roll: Roll) -> None:
        self._chores = chores
        self._roll = roll
        # Where all are to look: how far that is, and whether all are to once more then.
        self._round: Round | None = None
        self._once_more = False
        # An ordered set.
        self._queues: OrderedDict[Queue, None] = OrderedDict()
        self._working = False

    def wake_all(self) -> None:
        """Have each queue look that the store keeps something of, in this turn of the loop or a later one."""
        if self._round is None:
            self._round = Round(self._roll)
        else:
            # Begun anew each time, it would never come to the last.
            self._once_more = True
        if not self._working:
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
        try:
            if self._round is not None:
                self._go_round(self._round)
            if self._queues:
                queue = self._queues.popitem(last=False)[0]
                if not queue.deleted:
                    queue.look_again()
        except Exception:
            # Whatever is wrong with one of them, it is the turn of the next, which nobody else makes deliver.
            self._chores.add(self)
            raise
        self._working = len(self._queues) > 0 or self._round is not None
        return self._working

    def _go_round(self, on: Round) -> None:
        """Put one more of all in line: behind those that go on, which may do so without end, and before their next look."""
        for _ in range(PASSED_AT_ONCE):
            queue = on.next()
            if queue is None:
                self._round = Round(self._roll) if self._once_more else None
                self._once_more = False
                return
            if queue.number:
                self._queues[queue] = None
                return
