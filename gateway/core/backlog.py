"""The messages of a queue that wait for a consumer: by priority, then by age; what comes back takes its old place."""

from collections import deque
from heapq import heappop, heappush
from typing import final

from gateway.core.delivery import Delivery
from gateway.core.message import PRIORITY_DEFAULT, PRIORITY_NONE


@final
class _Lane:
    """The waiting messages of one priority."""

    __slots__ = ("fresh", "returned")

    def __init__(self) -> None:
        self.fresh: deque[Delivery] = deque()
        # A heap by sequence.  All of it is older than anything in `fresh`, or it could not have been taken before.
        self.returned: list[Delivery] = []

    def __len__(self) -> int:
        return len(self.fresh) + len(self.returned)

    def first(self) -> Delivery:
        """The oldest, left in place."""
        return self.returned[0] if self.returned else self.fresh[0]

    def pop(self) -> Delivery:
        """The oldest, taken out."""
        return heappop(self.returned) if self.returned else self.fresh.popleft()


@final
class Backlog:
    """Waiting deliveries in the order in which they are to leave."""

    __slots__ = ("_lanes", "_only", "count")

    def __init__(self) -> None:
        # Most queues see one priority, which needs no search among lanes.
        self._only: _Lane | None = None
        self._lanes: dict[int, _Lane] | None = None
        self.count = 0

    def push(self, delivery: Delivery) -> None:
        """Put a new delivery behind the others of its priority."""
        self._lane(delivery.message.priority).fresh.append(delivery)
        self.count += 1

    def push_back(self, delivery: Delivery) -> None:
        """Give a delivery that was taken before its old place again."""
        heappush(self._lane(delivery.message.priority).returned, delivery)
        self.count += 1

    def first(self) -> Delivery:
        """The delivery that `pop` would take."""
        return self._first_lane().first()

    def pop(self) -> Delivery:
        """Take out the oldest delivery of the highest priority.  There must be one."""
        self.count -= 1
        return self._first_lane().pop()

    def all(self) -> list[Delivery]:
        """Every waiting delivery, in the order in which they would leave."""
        lanes = self._lanes
        if lanes is None:
            chosen = [] if self._only is None else [self._only]
        else:
            chosen = [lanes[priority] for priority in sorted(lanes, reverse=True)]
        result: list[Delivery] = []
        for lane in chosen:
            result.extend(sorted(lane.returned))
            result.extend(lane.fresh)
        return result

    def remove_expired(self, now_ms: int) -> list[Delivery]:
        """Take out all whose time has run out."""
        lanes = self._lanes
        chosen = ([] if self._only is None else [self._only]) if lanes is None else list(lanes.values())
        gone: list[Delivery] = []
        for lane in chosen:
            late = [d for d in lane.fresh if d.message.expired(now_ms)]
            late_returned = [d for d in lane.returned if d.message.expired(now_ms)]
            if late:
                lane.fresh = deque([d for d in lane.fresh if not d.message.expired(now_ms)])
            if late_returned:
                # A sorted list is a heap.
                lane.returned = sorted([d for d in lane.returned if not d.message.expired(now_ms)])
            gone.extend(late_returned)
            gone.extend(late)
        self.count -= len(gone)
        return gone

    def clear(self) -> list[Delivery]:
        """Take out everything."""
        everything = self.all()
        self._only = None
        self._lanes = None
        self.count = 0
        return everything

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
