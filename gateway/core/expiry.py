"""Queues are looked into for expired messages when some are due, a few in each turn of the loop."""

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore

if TYPE_CHECKING:
    from gateway.core.queue import Queue
    from gateway.core.router import Broker

QUEUES_AT_ONCE: Final = 16
"""Queues that are looked at in one step: each may bury many messages."""

AGAIN_MS: Final = 1_000
"""When a queue that still has something due is looked at again: the store has been asked for it."""

DEAD_MIN: Final = 64
"""Entries nobody waits for any more that are not worth clearing away."""


@final
class QueueExpiry(Chore):
    """When to look for expired messages in which queue: a heap with an entry that counts for each that has any to come."""

    __slots__ = ("_broker", "_dead", "_entries", "_heap", "_working")

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        # The number decides between equal times: queues cannot be compared.
        self._heap: list[tuple[int, int, Queue]] = []
        self._entries = 0
        # Entries that an earlier one of the same queue replaced, or whose queue is deleted.
        self._dead = 0
        self._working = False

    def __len__(self) -> int:
        return len(self._heap)

    def __bool__(self) -> bool:
        return bool(self._heap)

    def plan(self, queue: "Queue", due_ms: int) -> None:
        """Look into `queue` at that time, or earlier if that is planned already."""
        if 0 < queue.contents.looked_at_ms <= due_ms:
            return
        if queue.contents.looked_at_ms:
            self._died()
        queue.contents.looked_at_ms = due_ms
        self._entries += 1
        heappush(self._heap, (due_ms, self._entries, queue))

    def forget(self, queue: "Queue") -> None:
        """It is deleted: its entry must not keep it until it comes up, which may be years away."""
        if queue.contents.looked_at_ms:
            queue.contents.looked_at_ms = 0
            self._died()

    def _died(self) -> None:
        self._dead += 1
        if self._dead > DEAD_MIN and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].contents.looked_at_ms == entry[0]]
            heapify(self._heap)
            self._dead = 0

    def look(self, now_ms: int) -> None:
        """See to it that what is due goes, in this turn of the loop or a later one."""
        if not self._working and self._is_due(now_ms):
            self._working = True
            self._broker.chores.add(self)

    def _is_due(self, now_ms: int) -> bool:
        heap = self._heap
        return len(heap) > 0 and heap[0][0] <= now_ms

    def go_on(self) -> bool:
        """See Chore."""
        now_ms = self._broker.now_ms
        # Not only at the end: were a step to fail, the next tick would begin anew.
        self._working = False
        for _ in range(QUEUES_AT_ONCE):
            if not self._is_due(now_ms):
                return False
            due_ms, _entry, queue = heappop(self._heap)
            if queue.contents.looked_at_ms == due_ms:
                queue.contents.looked_at_ms = 0
                self._look_into(queue, now_ms)
            else:
                self._dead -= 1
        self._working = True
        return True

    def _look_into(self, queue: "Queue", now_ms: int) -> None:
        queue.expire(now_ms)
        due_ms = queue.contents.expires_at_ms
        if due_ms and not queue.deleted:
            self.plan(queue, max(due_ms, now_ms + AGAIN_MS) if due_ms <= now_ms else due_ms)
