"""Queues are looked into for expired messages when some are due, a few in each turn of the loop."""

from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore
from gateway.core.timetable import Timetable

if TYPE_CHECKING:
    from gateway.core.queue import Queue
    from gateway.core.router import Broker

QUEUES_AT_ONCE: Final = 16
"""Queues that are looked at in one step: each may bury many messages."""

AGAIN_MS: Final = 1_000
"""When a queue that still has something due is looked at again: the store has been asked for it."""


@final
class QueueExpiry(Chore):
    """When to look for expired messages in which queue, of those that have any to come."""

    __slots__ = ("_broker", "_timetable", "_working")

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._timetable: Timetable[Queue] = Timetable()
        self._working = False

    def __len__(self) -> int:
        return len(self._timetable)

    def __bool__(self) -> bool:
        return bool(self._timetable)

    def plan(self, queue: "Queue", due_ms: int) -> None:
        """Look into `queue` at that time, or earlier if that is planned already."""
        contents = queue.contents
        planned = contents.looked_at
        if planned is not None:
            if planned.due_ms <= due_ms:
                return
            self._timetable.cancel(planned)
        contents.looked_at = self._timetable.plan(queue, due_ms)

    def forget(self, queue: "Queue") -> None:
        """It is deleted: its entry must not keep it until it comes up, which may be years away."""
        self._timetable.cancel(queue.contents.looked_at)
        queue.contents.looked_at = None

    def look(self, now_ms: int) -> None:
        """See to it that what is due goes, in this turn of the loop or a later one."""
        if not self._working and self._timetable.is_due(now_ms):
            self._working = True
            self._broker.chores.add(self)

    def go_on(self) -> bool:
        """See Chore."""
        now_ms = self._broker.now_ms
        # Not only at the end: were a step to fail, the next tick would begin anew.
        self._working = False
        for _ in range(QUEUES_AT_ONCE):
            queue = self._timetable.take(now_ms)
            if queue is not None:
                queue.contents.looked_at = None
                self._look_into(queue, now_ms)
        self._working = self._timetable.is_due(now_ms)
        return self._working

    def _look_into(self, queue: "Queue", now_ms: int) -> None:
        queue.expire(now_ms)
        due_ms = queue.contents.expires_at_ms
        if due_ms and not queue.deleted:
            self.plan(queue, max(due_ms, now_ms + AGAIN_MS) if due_ms <= now_ms else due_ms)
