"""The messages of a queue that wait for a consumer: by priority, then by age; what comes back takes its old place.

Where consumers have selectors, a message may be taken that is not the first.  Its entry stays until it comes to the
front or `_tidy` finds it: an entry counts only while its delivery is READY.
"""

from bisect import bisect_right
from collections import deque
from heapq import heappop, heappush
from operator import attrgetter
from typing import Final, final

from gateway.core.delivery import READY, Delivery
from gateway.core.message import PRIORITY_DEFAULT, PRIORITY_NONE

STALE_MAX: Final = 32
"""Entries of messages that are gone, beyond as many as wait: then they are cleared away."""

_SEQUENCE: Final = attrgetter("sequence")


@final
class _Lane:
    """The waiting messages of one priority."""

    __slots__ = ("fresh", "returned")

    def __init__(self) -> None:
        self.fresh: deque[Delivery] = deque()
        # A heap by sequence.  Without selectors all of it is older than anything in `fresh`.
        self.returned: list[Delivery] = []

    def __len__(self) -> int:
        return len(self.fresh) + len(self.returned)

    def __bool__(self) -> bool:
        return bool(self.fresh) or bool(self.returned)

    def first(self) -> Delivery:
        """The oldest, left in place."""
        returned = self.returned
        fresh = self.fresh
        if returned and (not fresh or returned[0] < fresh[0]):
            return returned[0]
        return fresh[0]

    def pop(self) -> Delivery:
        """The oldest, taken out."""
        returned = self.returned
        fresh = self.fresh
        if returned and (not fresh or returned[0] < fresh[0]):
            return heappop(returned)
        return fresh.popleft()

    def all(self) -> list[Delivery]:
        """All, in order: of many, a list is all that is made."""
        if not self.returned:
            return list(self.fresh)
        returned = sorted(self.returned)
        if self.fresh and self.fresh[0] < returned[-1]:
            # Mostly in order already, which sorting notices.
            return sorted([*returned, *self.fresh])
        returned.extend(self.fresh)
        return returned

    def after(self, sequence: int, last: int, count_max: int) -> list[Delivery]:
        """The oldest that wait with a higher sequence, up to `last`, so many at most; left in place."""
        if self.returned:
            # A sorted list is a heap.
            self.returned.sort()
            if not self.fresh or self.returned[-1] < self.fresh[0]:
                # Nobody needs to sort those again.
                self.fresh.extendleft(reversed(self.returned))
                self.returned = []
        returned = self.returned
        fresh = self.fresh
        there = bisect_right(returned, sequence, key=_SEQUENCE)
        here = bisect_right(fresh, sequence, key=_SEQUENCE)
        found: list[Delivery] = []
        while len(found) < count_max:
            if there < len(returned) and (here >= len(fresh) or returned[there] < fresh[here]):
                delivery = returned[there]
                there += 1
            elif here < len(fresh):
                delivery = fresh[here]
                here += 1
            else:
                break
            if delivery.sequence > last:
                break
            # One that was taken out of turn and came back may have two entries.
            if delivery.state == READY and delivery.sequence > sequence:
                sequence = delivery.sequence
                found.append(delivery)
        return found

    def tidy(self) -> None:
        """Leave one entry of each message that still waits."""
        seen: set[int] = set()
        kept: list[Delivery] = []
        for delivery in self.returned:
            if delivery.state == READY and delivery.sequence not in seen:
                seen.add(delivery.sequence)
                kept.append(delivery)
        # A sorted list is a heap.
        kept.sort()
        self.returned = kept
        fresh: deque[Delivery] = deque()
        for delivery in self.fresh:
            if delivery.state == READY and delivery.sequence not in seen:
                fresh.append(delivery)
        self.fresh = fresh


@final
class Backlog:
    """Waiting deliveries in the order in which they are to leave."""

    __slots__ = ("_lanes", "_only", "_stale", "count", "expires_at_ms")

    def __init__(self) -> None:
        # Most queues see one priority, which needs no search among lanes.
        self._only: _Lane | None = None
        self._lanes: dict[int, _Lane] | None = None
        self.count = 0
        self.expires_at_ms = 0
        """The earliest expiry among them may be this; 0 when none has one."""
        self._stale = 0

    def push(self, delivery: Delivery) -> None:
        """Put a new delivery behind the others of its priority."""
        self._lane(delivery.message.priority).fresh.append(delivery)
        self.count += 1
        if delivery.message.expires_at_ms:
            self.note_expiry(delivery.message.expires_at_ms)

    def push_back(self, delivery: Delivery) -> None:
        """Give a delivery that was taken before its old place again."""
        heappush(self._lane(delivery.message.priority).returned, delivery)
        self.count += 1
        if delivery.message.expires_at_ms:
            self.note_expiry(delivery.message.expires_at_ms)

    def note_expiry(self, expires_at_ms: int) -> None:
        """One of them expires at that time."""
        if self.expires_at_ms == 0 or expires_at_ms < self.expires_at_ms:
            self.expires_at_ms = expires_at_ms

    def first(self) -> Delivery:
        """The delivery that `pop` would take."""
        lane = self._first_lane()
        while self._stale and lane.first().state != READY:
            lane.pop()
            self._stale -= 1
            lane = self._first_lane()
        return lane.first()

    def pop(self) -> Delivery:
        """Take out the oldest delivery of the highest priority.  There must be one."""
        if self._stale:
            return self._pop_ready()
        self.count -= 1
        return self._first_lane().pop()

    def _pop_ready(self) -> Delivery:
        """The same, stepping over the entries of what is gone."""
        while True:
            delivery = self._first_lane().pop()
            if delivery.state == READY:
                self.count -= 1
                return delivery
            self._stale -= 1

    def taken(self) -> None:
        """Somebody has taken a delivery that waits here, wherever it stood.  Call once it is no longer READY."""
        self.count -= 1
        self._stale += 1
        if self._stale > self.count + STALE_MAX:
            self._tidy()

    def keep_ready(self) -> None:
        """For who pushes what others hold too: leave one entry of each delivery that is READY."""
        self._tidy()
        self.count = 0
        for lane in self._chosen():
            self.count += len(lane)

    def _tidy(self) -> None:
        for lane in self._chosen():
            lane.tidy()
        self._stale = 0

    def _chosen(self) -> list[_Lane]:
        """All lanes, the highest priority first."""
        lanes = self._lanes
        if lanes is None:
            return [] if self._only is None else [self._only]
        return [lanes[priority] for priority in sorted(lanes, reverse=True)]

    def all(self) -> list[Delivery]:
        """Every waiting delivery, in the order in which they would leave."""
        if self._stale:
            self._tidy()
        result: list[Delivery] = []
        for lane in self._chosen():
            result.extend(lane.all())
        return result

    def lanes(self) -> list[int]:
        """The priorities in which something may wait."""
        if self._lanes is not None:
            return list(self._lanes)
        return [PRIORITY_DEFAULT] if self.count else []

    def after(self, lane: int, sequence: int, last: int, count_max: int) -> list[Delivery]:
        """Of one priority: what waits behind `sequence`, up to `last`, the oldest first; so many at most."""
        chosen = self._only if lane == PRIORITY_DEFAULT else None
        if self._lanes is not None:
            chosen = self._lanes.get(lane)
        return [] if chosen is None else chosen.after(sequence, last, count_max)

    def clear(self) -> list[Delivery]:
        """Take out everything."""
        everything = self.all()
        self.abandon()
        return everything

    def abandon(self) -> list[deque[Delivery]]:
        """The same, in no order, and with what is gone: what costs next to nothing for any number."""
        lanes = self._chosen()
        self._only = None
        self._lanes = None
        self.count = 0
        self.expires_at_ms = 0
        self._stale = 0
        return [lane.fresh for lane in lanes] + [deque(lane.returned) for lane in lanes]

    def _lane(self, priority: int) -> _Lane:
        if priority == PRIORITY_NONE:
            priority = PRIORITY_DEFAULT
        lanes = self._lanes
        if lanes is None:
            if self._only is None:
                self._only = _Lane()
            if priority == PRIORITY_DEFAULT:
                return self._only
            lanes = self._lanes = {PRIORITY_DEFAULT: self._only}
        lane = lanes.get(priority)
        if lane is None:
            lane = lanes[priority] = _Lane()
        return lane

    def _first_lane(self) -> _Lane:
        if self._lanes is None:
            assert self._only is not None
            return self._only
        best = -1
        for priority, lane in self._lanes.items():
            if priority > best and len(lane):
                best = priority
        return self._lanes[best]
