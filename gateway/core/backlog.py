"""The messages of a queue that wait for a consumer: by priority, then by age; what comes back takes its old place.

Where consumers have selectors, a message may be taken that is not the first.
"""

from collections import deque
from typing import final

from gateway.core.delivery import Delivery
from gateway.core.message import PRIORITY_DEFAULT, PRIORITY_NONE
from gateway.core.ordered import Ordered


@final
class Backlog:
    """Waiting deliveries in the order in which they are to leave."""

    __slots__ = ("_lanes", "_only", "count", "expires_at_ms")

    def __init__(self) -> None:
        # Most queues see one priority, which needs no search among lanes.
        self._only: Ordered | None = None
        self._lanes: dict[int, Ordered] | None = None
        self.count = 0
        self.expires_at_ms = 0
        """The earliest expiry among them may be this; 0 when none has one."""

    def push(self, delivery: Delivery) -> None:
        """Put a new delivery behind the others of its priority."""
        self._lane(delivery.message.priority).push(delivery)
        self.count += 1
        if delivery.message.expires_at_ms:
            self.note_expiry(delivery.message.expires_at_ms)

    def push_back(self, delivery: Delivery) -> None:
        """Give a delivery that was taken before its old place again, unless it is there already."""
        if self._lane(delivery.message.priority).put(delivery):
            self.count += 1
        if delivery.message.expires_at_ms:
            self.note_expiry(delivery.message.expires_at_ms)

    def note_expiry(self, expires_at_ms: int) -> None:
        """One of them expires at that time."""
        if self.expires_at_ms == 0 or expires_at_ms < self.expires_at_ms:
            self.expires_at_ms = expires_at_ms

    def first(self) -> Delivery:
        """The delivery that `pop` would take."""
        return self._first_lane().first()

    def pop(self) -> Delivery:
        """Take out the oldest delivery of the highest priority.  There must be one."""
        self.count -= 1
        return self._first_lane().pop()

    def remove(self, delivery: Delivery) -> None:
        """Take out this one, wherever it stands; it must be there."""
        self._lane(delivery.message.priority).remove(delivery)
        self.count -= 1

    # -- looking through them

    def lanes(self) -> list[int]:
        """The priorities in which something may wait, the highest first."""
        if self._lanes is not None:
            return sorted(self._lanes, reverse=True)
        return [PRIORITY_DEFAULT] if self.count else []

    def after(self, lane: int, sequence: int, last: int, count_max: int) -> list[Delivery]:
        """Of one priority: what waits behind `sequence`, up to `last`, the oldest first; so many at most."""
        chosen = self._only if lane == PRIORITY_DEFAULT else None
        if self._lanes is not None:
            chosen = self._lanes.get(lane)
        return [] if chosen is None else chosen.after(sequence, last, count_max)

    def all(self) -> list[Delivery]:
        """Every waiting delivery, in the order in which they would leave.  Takes as long as there are: for tests."""
        return [delivery for block in self._blocks() for delivery in block]

    def abandon(self) -> list[deque[Delivery]]:
        """Take out everything, at next to no cost for any number."""
        blocks = self._blocks()
        self._only = None
        self._lanes = None
        self.count = 0
        self.expires_at_ms = 0
        return blocks

    def _blocks(self) -> list[deque[Delivery]]:
        lanes = self._lanes
        if lanes is None:
            return [] if self._only is None else self._only.blocks
        blocks: list[deque[Delivery]] = []
        for priority in sorted(lanes, reverse=True):
            blocks.extend(lanes[priority].blocks)
        return blocks

    # -- lanes

    def _lane(self, priority: int) -> Ordered:
        if priority == PRIORITY_NONE:
            priority = PRIORITY_DEFAULT
        lanes = self._lanes
        if lanes is None:
            if self._only is None:
                self._only = Ordered()
            if priority == PRIORITY_DEFAULT:
                return self._only
            lanes = self._lanes = {PRIORITY_DEFAULT: self._only}
        lane = lanes.get(priority)
        if lane is None:
            lane = lanes[priority] = Ordered()
        return lane

    def _first_lane(self) -> Ordered:
        if self._lanes is None:
            assert self._only is not None
            return self._only
        best = -1
        for priority, lane in self._lanes.items():
            if priority > best and not lane.empty:
                best = priority
        return self._lanes[best]
