"""All that waits in a queue goes, some at a time; nobody gets any of it meanwhile, nor what comes behind it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore
from gateway.core.delivery import Delivery
from gateway.core.passage import Passage
from gateway.core.ports import NOTHING, Cleared

if TYPE_CHECKING:
    from gateway.core.queue import Queue

PURGED_AT_ONCE: Final = 64
"""Messages, or ranges of them, that go in one step."""


def purge(queue: "Queue", done: "Callable[[Purging], None] | None" = None) -> "Purging":
    """Let go of everything that waits in `queue`, in this turn or later ones; `done` is told when all of it is gone."""
    purging = Purging(queue, done)
    if purging.go_on():
        queue.broker.chores.add(purging)
    return purging


@final
class Purging(Chore):
    """See the module."""

    __slots__ = ("_cleared", "_done", "_last", "_queue", "_waiting", "count", "position")

    def __init__(self, queue: "Queue", done: "Callable[[Purging], None] | None") -> None:
        self._queue = queue
        self._done = done
        # Begun when nothing is held any more: what becomes safe meanwhile waits behind the rest, in any of the lanes.
        self._waiting: Passage | None = None
        self._last = queue.last_sequence
        # What the store alone has goes first, or it would be fetched.
        paged = queue.contents.paged
        self.count = queue.paged
        """Messages that have gone so far."""
        self.position = NOTHING
        """Once this is durable they do not come again."""
        self._cleared: list[Cleared] = [] if paged is None else paged.clear()
        queue.stop()

    def go_on(self) -> bool:
        """See Chore."""
        queue = self._queue
        try:
            if self._step():
                return True
        except Exception:
            # Whatever is wrong with one of them, the queue must not stand still for ever.
            queue.broker.chores.add(self)
            raise
        queue.room.again()
        queue.start()
        done = self._done
        self._done = None
        if done is not None:
            done(self)
        return False

    def _step(self) -> bool:
        """Let go of some more; is anything left?"""
        queue = self._queue
        if queue.deleted:
            # It lets go of everything at once, here and in the store.
            return False
        cleared = self._cleared
        for _ in range(min(PURGED_AT_ONCE, len(cleared))):
            self.position = queue.broker.store.append(cleared.pop())
        if cleared:
            return True
        if self._drop_held():
            return True
        waiting = self._waiting
        if waiting is None:
            waiting = self._waiting = Passage(queue, self._last)
        for delivery in waiting.next(PURGED_AT_ONCE):
            queue.contents.backlog.remove(delivery)
            self._let_go(delivery)
        return not waiting.over

    def _drop_held(self) -> bool:
        """What waits behind a transaction that is not safe yet; is there more?"""
        contents = self._queue.contents
        for _ in range(PURGED_AT_ONCE):
            held = contents.held
            # All of it may have made room for something else.
            if held is None or not held.count or held.first().sequence > self._last:
                return False
            self._let_go(held.drop())
            if not held.count:
                contents.held = None
        return True

    def _let_go(self, delivery: Delivery) -> None:
        self.count += 1
        self.position = max(self.position, self._queue.forget(delivery))
