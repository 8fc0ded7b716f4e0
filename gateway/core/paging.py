"""What a queue has let go of: messages that only the store holds, known by their range and number alone.

In each lane (priority) they are one stretch.  While there is one, what comes into the lane joins it, so everything that
the queue itself holds of the stored messages is older than the stretch.
"""

from typing import Final, final

from gateway.core.delivery import Delivery
from gateway.core.journal import lane_of
from gateway.core.ports import LaneFound, Page

PAGE_MESSAGES_MAX: Final = 1_024
PAGE_BYTES_MAX: Final = 1_048_576
"""Messages, and bytes of them, that are asked of the store at once."""

RESIDENT_MIN: Final = 256
"""Waiting messages that a queue holds before it lets go of any; when fewer are left, the next page is asked for."""

EXPIRY_AGAIN_MS: Final = 1_000
"""How often the store is asked for expired messages, while there are some that can expire."""


@final
class Stretch:
    """The stored messages of one lane."""

    __slots__ = ("bytes", "count", "expires_at_ms", "first", "lane", "last")

    def __init__(self, lane: int, first: int, last: int, count: int, bytes: int, expires_at_ms: int) -> None:
        self.lane = lane
        self.first = first
        """The lowest sequence that may be there."""
        self.last = last
        self.count = count
        self.bytes = bytes
        self.expires_at_ms = expires_at_ms
        """When the store is to be asked for expired ones; 0 for never."""


@final
class Paged:
    """The stretches of one queue, and the question to the store that is not answered yet."""

    __slots__ = ("_stretches", "asked", "bytes", "count", "elsewhere")

    def __init__(self) -> None:
        # The highest lane first.
        self._stretches: list[Stretch] = []
        self.count = 0
        self.bytes = 0
        self.asked: Page | None = None
        self.elsewhere: set[int] | None = None
        """Sequences within the stretches that do not count there: they were fetched at start, out of turn."""

    def found(self, lanes: list[LaneFound]) -> None:
        """Begin with what the store had at start."""
        for lane in lanes:
            self._stretches.append(
                Stretch(lane.lane, lane.first, lane.last, lane.count, lane.bytes, lane.expires_at_ms)
            )
            self.count += lane.count
            self.bytes += lane.bytes
        self._stretches.sort(key=_descending)

    def holds(self, lane: int) -> bool:
        """Is there a stretch in this lane?"""
        return self.stretch(lane) is not None

    def stretch(self, lane: int) -> Stretch | None:
        """The stretch of this lane."""
        for stretch in self._stretches:
            if stretch.lane == lane:
                return stretch
        return None

    def add(self, lane: int, sequence: int, size: int, expires_at_ms: int) -> None:
        """One more message, the newest of its lane."""
        stretch = self.stretch(lane)
        if stretch is None:
            self._stretches.append(Stretch(lane, sequence, sequence, 1, size, expires_at_ms))
            self._stretches.sort(key=_descending)
        else:
            stretch.last = sequence
            stretch.count += 1
            stretch.bytes += size
            if expires_at_ms and (stretch.expires_at_ms == 0 or expires_at_ms < stretch.expires_at_ms):
                stretch.expires_at_ms = expires_at_ms
        self.count += 1
        self.bytes += size

    def take(self, stretch: Stretch, count: int, size: int) -> None:
        """So many messages have left the stretch."""
        stretch.count -= count
        stretch.bytes -= size
        self.count -= count
        self.bytes -= size
        if stretch.count <= 0:
            self.drop(stretch)

    def drop(self, stretch: Stretch) -> None:
        """The stretch is over."""
        self.count -= stretch.count
        self.bytes -= stretch.bytes
        self._stretches.remove(stretch)

    def all(self) -> list[Stretch]:
        """The stretches, the highest lane first."""
        return list(self._stretches)

    def comes_before(self, delivery: Delivery) -> bool:
        """Is the next stored message to leave before this one?"""
        if not self._stretches:
            return False
        head = self._stretches[0]
        lane = lane_of(delivery.message)
        return head.lane > lane or (head.lane == lane and head.first < delivery.sequence)

    def next_page(self, queue: int) -> Page:
        """The question for the next messages to leave."""
        head = self._stretches[0]
        page = Page(queue, head.lane, head.first, head.last, PAGE_MESSAGES_MAX, PAGE_BYTES_MAX)
        self.asked = page
        return page

    def expired_page(self, queue: int, now_ms: int) -> Page | None:
        """The question for messages whose time has run out; None when there can be none."""
        for stretch in self._stretches:
            if 0 < stretch.expires_at_ms <= now_ms:
                page = Page(
                    queue,
                    stretch.lane,
                    stretch.first,
                    stretch.last,
                    PAGE_MESSAGES_MAX,
                    PAGE_BYTES_MAX,
                    now_ms,
                )
                self.asked = page
                return page
        return None

    def clear(self) -> list[tuple[int, int, int]]:
        """Forget everything; returns lane, first and last of what the store is to remove."""
        ranges: list[tuple[int, int, int]] = []
        for stretch in self._stretches:
            first = stretch.first
            for kept in sorted(self.elsewhere or ()):
                if first <= kept <= stretch.last:
                    if first < kept:
                        ranges.append((stretch.lane, first, kept - 1))
                    first = kept + 1
            if first <= stretch.last:
                ranges.append((stretch.lane, first, stretch.last))
        self._stretches = []
        self.count = 0
        self.bytes = 0
        self.asked = None
        return ranges


def _descending(stretch: Stretch) -> int:
    return -stretch.lane
