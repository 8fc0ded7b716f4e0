"""Messages that are in memory alone: what is not persistent, and what is in queues that die with somebody.

The store cannot take them over when memory is full, so over all queues they have one bound.  A queue may hold an even
part of what is left free: one alone about half of all; and if a thousand fill one after the other and nobody reads
them, a thousandth of all is still free behind the last.  So no queue needs to know of the others, whoever comes next
finds room, and as others get rid of theirs each may have more (in the manner of A. K. Choudhury, E. L. Hahne, "Dynamic
queue length thresholds for shared-memory packet switches", 1998).

An eighth of all is only for queues that move: of which something has left a moment ago, or that have been emptied.  So
however many readers are stuck, those that take what comes have room for it.  What is taken and done with as it comes,
by a reader that acknowledges nothing, needs no memory (`Queue.passes_on`).
"""

from collections import OrderedDict
from typing import Final, final

from mypy_extensions import i64

from gateway.core.flow import Place, Places
from gateway.core.message import Message

RESIDENT_OVERHEAD: Final = 600
"""Bytes that a message in a queue's memory takes beside its own size, about."""

MOVING_PART: Final = 8
"""One part in so many of all is for queues that move."""

MOVING_TICKS: Final = 2
"""A queue of which nothing has left for so many seconds does not move."""

LOOKED_AT_ONCE: Final = 64
"""Queues that wait for memory and are looked at in one tick."""


@final
class Unstored:
    """All of them in the broker.  A message that several queues have is in memory once."""

    __slots__ = (
        "bytes",
        "bytes_max",
        "for_moving",
        "holders",
        "line",
        "pages",
        "places",
        "ticks",
        "waiting",
        "wanting",
    )

    def __init__(self, bytes_max: int, places: Places, pages: bool) -> None:
        self.bytes_max: i64 = bytes_max
        self.for_moving: i64 = bytes_max // MOVING_PART
        """Of that, what only queues that move may have."""
        self.places = places
        self.pages = pages
        """Does the store take over from memory what it keeps?  If not, all messages are such."""
        self.bytes: i64 = 0
        """What they take, about."""
        self.holders: i64 = 0
        """Queues that have any."""
        self.ticks: i64 = 0
        """Rises about once a second."""
        self.wanting = 0
        """Messages that came where there was no memory for them: what then happened, the queue's policy says."""
        self.line: OrderedDict[Share, None] = OrderedDict()
        """Queues at which publishers wait for memory: whose turn it is to be looked at first."""
        self.waiting: i64 = 0
        """How many those are."""

    @property
    def free(self) -> i64:
        """Bytes that there is room for; may be less than 0, by what one message was more than that."""
        return self.bytes_max - self.bytes

    @property
    def scarce(self) -> bool:
        """Is all used up but what is for queues that move?"""
        return self.free <= self.for_moving

    def look(self) -> None:
        """There may be more room than there was: let the first in line look."""
        share = next(iter(self.line))
        self.line.move_to_end(share)
        share.again()

    def tick(self) -> None:
        """Called about once a second, for those whose turn does not come with what leaves."""
        self.ticks += 1
        for _ in range(min(LOOKED_AT_ONCE, len(self.line))):
            if not self.line:
                return
            self.look()


@final
class Share(Place):
    """What one queue has of it, and who waits there for more."""

    __slots__ = ("_all", "_moved", "bytes")

    def __init__(self, unstored: Unstored) -> None:
        super().__init__(unstored.places)
        self._all = unstored
        # The tick at which something left last; -1 where nothing ever did.
        self._moved: i64 = -1
        self.bytes: i64 = 0

    def came(self, message: Message) -> None:
        """The queue holds one more message that the store does not keep for it."""
        everything = self._all
        size: i64 = message.size
        if self.bytes == 0:
            everything.holders += 1
        self.bytes += size + RESIDENT_OVERHEAD
        if message.copies == 0:
            everything.bytes += size + RESIDENT_OVERHEAD
        else:
            everything.bytes += RESIDENT_OVERHEAD
        message.copies += 1

    def left(self, message: Message) -> None:
        """Undo `came`."""
        everything = self._all
        size: i64 = message.size
        self.bytes -= size + RESIDENT_OVERHEAD
        if self.bytes == 0:
            everything.holders -= 1
        copies = message.copies - 1
        message.copies = copies
        if copies == 0:
            everything.bytes -= size + RESIDENT_OVERHEAD
        else:
            everything.bytes -= RESIDENT_OVERHEAD
        self._moved = everything.ticks
        if everything.waiting > 0:
            everything.look()

    def _free(self, has: i64) -> i64:
        """What is left free, of which it may have what is even, when it has so much."""
        everything = self._all
        moves = self._moved >= 0 and (has == 0 or everything.ticks - self._moved < MOVING_TICKS)
        return everything.free if moves else everything.free - everything.for_moving

    def takes(self, more_bytes: int) -> bool:
        """Is there room for a message once `more_bytes` of others have come in?"""
        everything = self._all
        more: i64 = more_bytes
        has = self.bytes + more
        # Mostly there is room whether it moves or not, and whether it is one of the holders or will be.
        if (
            has * (everything.holders + 1)
            < everything.bytes_max - everything.bytes - everything.for_moving - more
        ):
            return True
        holders = everything.holders if self.bytes > 0 else everything.holders + 1
        return has * holders < self._free(has) - more

    def within(self, numerator: int, denominator: int) -> bool:
        """Has it less than this part of what it may have?  Where nothing is free it has not, be it empty."""
        return self.bytes * self._all.holders * denominator < self._free(self.bytes) * numerator

    @property
    def pages(self) -> bool:
        """See Unstored."""
        return self._all.pages

    # -- who waits

    def want(self) -> None:
        """Count a message for which there is no room."""
        self._all.wanting += 1

    def again(self) -> None:
        """See Place.  Whoever waits goes on while a good part of the share is free."""
        if self.shut and self.within(3, 4):
            self.let_in()

    def shut_changed(self, shut: bool) -> None:
        """See Place."""
        everything = self._all
        if shut:
            everything.line[self] = None
            everything.waiting += 1
        else:
            del everything.line[self]
            everything.waiting -= 1
