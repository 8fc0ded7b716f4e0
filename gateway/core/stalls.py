"""Whom others wait for waits for no room without end, and a topic waits for none of its queues without end.

Where a full queue has let nothing go for so long while others waited, those of its readers that wait for room themselves
do so no longer: what they say next is taken, up to twice as much as there may be, or refused.  They were not heard, so
they could acknowledge nothing; were they to go on waiting, two that send to the queues of each other would do so for ever.

A queue behind a topic (a durable, shared or private subscription, a virtual consumer) that is full makes all wait that
publish there, whoever else listens.  Where nothing has left it for so long its other readers are ended, and it becomes lax:
what is not kept makes room instead of making others wait.  Once it has been emptied by half it may make them wait again.
What the store keeps was promised: for that alone they go on waiting, and only where the operator has limited how many
messages or bytes a queue may hold beyond memory.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore

if TYPE_CHECKING:
    from gateway.core.queue import Queue
    from gateway.core.router import Broker

ENDED_AT_ONCE: Final = 8
"""Readers that are ended, or let go on, in one step."""

LOOKED_AT_ONCE: Final = 64
"""Queues that are looked at in one tick; the others are with the next."""


@final
class Stalls:
    """The queues that make publishers wait, or did: by when each is looked at."""

    __slots__ = ("_broker", "_due")

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._due: OrderedDict[Queue, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._due)

    def __bool__(self) -> bool:
        return bool(self._due)

    def watch(self, queue: "Queue") -> None:
        """Somebody waits for room in `queue`: its time runs, unless it does already."""
        wait_ms = queue.policy.topic_wait_max_ms
        if wait_ms and queue not in self._due:
            queue.room.moved = False
            self._due[queue] = self._broker.now_ms + wait_ms

    def look(self, now_ms: int) -> None:
        """Called each second."""
        due = self._due
        for _ in range(min(LOOKED_AT_ONCE, len(due))):
            queue = next(iter(due))
            if due[queue] > now_ms:
                return
            del due[queue]
            if not queue.deleted and self._goes_on(queue):
                self.watch(queue)

    def _goes_on(self, queue: "Queue") -> bool:
        """Look at one whose time is over; is it to be looked at again?"""
        room = queue.room
        if room.lax:
            room.lax = not (room.within(1, 2) and room.share.within(1, 2))
            return room.lax
        if not room.anybody_waits:
            return False
        if not room.moved:
            self._give_up(queue)
        return True

    def _give_up(self, queue: "Queue") -> None:
        behind_topic = len(queue.bindings) > 0
        queue.room.lax = behind_topic
        ending = _Ending(queue, behind_topic)
        if ending.go_on():
            self._broker.chores.add(ending)
        if behind_topic and not queue.room.full_of_kept:
            queue.room.close()


@final
class _Ending(Chore):
    """Lets those readers of a queue go on that wait themselves, and ends the others that take nothing, some at a time."""

    __slots__ = ("_ends", "_queue", "_readers")

    def __init__(self, queue: "Queue", ends: bool) -> None:
        """`ends`: the others are ended; if not, they are left alone."""
        self._ends = ends
        self._queue = queue
        self._readers = queue.roster.all()

    def go_on(self) -> bool:
        """See Chore."""
        readers = self._readers
        # Who is ready and has left something there wants none of it.
        some_left = self._queue.waiting > 0
        for _ in range(min(ENDED_AT_ONCE, len(readers))):
            reader = readers.pop()
            publisher = reader.outlet.publishes_as
            if publisher is not None and publisher.wait_no_longer():
                # It was not heard, whatever it has taken.
                continue
            if self._ends and not (reader.ready and some_left):
                reader.outlet.holds_up()
        return len(readers) > 0
