"""What transactions held back is seen once they are safe: some of it at once, the rest in later turns of the loop."""

from collections import deque
from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore
from gateway.core.holding import HeldPublishes
from gateway.core.routes import may_have

if TYPE_CHECKING:
    from gateway.core.queue import Queue
    from gateway.core.router import Broker

RELEASED_AT_ONCE: Final = 256
"""Messages that come to be seen in one step, about; one to a topic counts once for each of its subscribers."""

TAKEN_AT_ONCE: Final = 32
"""Messages of one topic that are looked for at a time."""

PASSED_AT_ONCE: Final = 256
"""Queues, and topics, that are looked at in one step: of most nothing may be safe yet."""


@final
class Releases(Chore):
    """Queues and topics at which something is held, until the store has it.  What comes behind keeps its place."""

    __slots__ = (
        "_again",
        "_broker",
        "_queues",
        "_queues_left",
        "_stepping",
        "_topics_left",
        "_working",
        "publishes",
    )

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._queues: deque[Queue] = deque()
        # How many of the queues, and of the topics, are still to be looked at since the store had more.
        self._queues_left = 0
        self._topics_left = 0
        self._working = False
        # What is delivered may bury something, which is safe at once: seen in the next step, not in the midst of this one.
        self._stepping = False
        self._again = False
        # Made when first used.
        self.publishes: HeldPublishes | None = None
        """What is held for the live subscribers of topics."""

    @property
    def none(self) -> bool:
        """Is nothing held?"""
        return not self._queues and self.publishes is None

    def hold(self, queue: "Queue") -> None:
        """`queue` holds something from now on."""
        self._queues.append(queue)

    def look(self) -> None:
        """The store has more: let all have what is safe, in this turn of the loop or later ones."""
        self._queues_left = len(self._queues)
        self._topics_left = 0 if self.publishes is None else self.publishes.count
        if self._stepping:
            self._again = True
        elif not self._working and self._step():
            self._working = True
            self._broker.chores.add(self)

    def go_on(self) -> bool:
        """See Chore."""
        # Not only at the end: were a step to fail, the next commit would begin anew.
        self._working = False
        self._working = self._step()
        return self._working

    def _step(self) -> bool:
        """Release some; answers whether there may be more."""
        self._again = False
        self._stepping = True
        try:
            self._release(RELEASED_AT_ONCE - self._release_publishes())
            return self._queues_left > 0 or self._topics_left > 0 or self._again
        finally:
            self._stepping = False

    def _release(self, left: int) -> None:
        """Let queues have so many."""
        durable = self._broker.store.durable
        queues = self._queues
        for _ in range(min(self._queues_left, len(queues), PASSED_AT_ONCE)):
            if left <= 0:
                return
            queue = queues.popleft()
            # Where one fails, it comes again with the next commit.
            queues.append(queue)
            self._queues_left -= 1
            left -= queue.release(durable, left)
            if left <= 0:
                # There may be more of it, now the last.
                self._queues_left = len(queues)
            if queue.contents.held is None:
                # Nearly always the last: to look for it from the beginning would take as long as there are queues.
                if queues[-1] is queue:
                    queues.pop()
                else:
                    queues.remove(queue)
        self._queues_left = min(self._queues_left, len(queues))

    def _release_publishes(self) -> int:
        """Let live subscribers, those of now, have some of what is safe; how many got one."""
        broker = self._broker
        held = self.publishes
        offered = 0
        looked = 0
        while self._topics_left > 0 and offered < RELEASED_AT_ONCE and looked < PASSED_AT_ONCE:
            if held is None:
                self._topics_left = 0
                break
            looked += 1
            safe = held.take(broker.store.durable, TAKEN_AT_ONCE)
            if len(safe) < TAKEN_AT_ONCE:
                self._topics_left -= 1
            if not held.count:
                held = self.publishes = None
            for message, topic in safe:
                route = broker.route(topic)
                unasked = topic.route.unasked
                offered += 1 + len(route)
                for binding in route:
                    if not may_have(binding, unasked, broker.authorizer):
                        continue
                    if binding.sink.passes(message, binding):
                        binding.sink.offer(message, binding)
        return offered
