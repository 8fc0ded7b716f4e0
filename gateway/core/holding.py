"""Messages of transactions that a crash could still undo: nobody sees a part before all of it is safe.

What comes behind them waits too, in queues as on topics, so that order is kept.
"""

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, final

from gateway.core.delivery import Delivery

if TYPE_CHECKING:
    from gateway.core.message import Message
    from gateway.core.topics import Topic

OPEN: Final = 1 << 62
"""A position that is never reached."""


@final
class HoldPoint:
    """The position with which one transaction is safe, known once all of it is with the store."""

    __slots__ = ("position",)

    def __init__(self) -> None:
        self.position = OPEN


@final
class HeldDeliveries:
    """What waits so in one queue, in order."""

    __slots__ = ("_last", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[tuple[HoldPoint, Delivery]] = deque()
        self._last = HoldPoint()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._waiting)

    def all(self) -> list[Delivery]:
        """They, in order."""
        return [delivery for _, delivery in self._waiting]

    def add(self, point: HoldPoint | None, delivery: Delivery) -> None:
        """One more, of the transaction of `point`, or behind whatever waits (None)."""
        if point is not None:
            self._last = point
        self._waiting.append((self._last, delivery))

    def first(self) -> Delivery:
        """The oldest, left in place.  There must be one."""
        return self._waiting[0][1]

    def drop(self) -> Delivery:
        """The oldest, though it may not be safe yet.  There must be one."""
        return self._waiting.popleft()[1]

    def take(self, durable: int) -> Delivery | None:
        """The first, if it is safe now."""
        waiting = self._waiting
        if waiting and waiting[0][0].position <= durable:
            return waiting.popleft()[1]
        return None


@final
class HeldPublishes:
    """Messages to the live subscribers of topics that wait so, in order for each topic."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        # Ordered so that the first can go, or become the last, without a look at where others were.
        self._waiting: OrderedDict[str, deque[tuple[HoldPoint, Message, Topic]]] = OrderedDict()

    def holds(self, topic: "Topic") -> bool:
        """Does anything wait on this topic?"""
        return topic.name in self._waiting

    def last_point(self, topic: "Topic") -> HoldPoint | None:
        """Behind which what is published on this topic now comes."""
        waiting = self._waiting.get(topic.name)
        return None if waiting is None else waiting[-1][0]

    def add(self, point: HoldPoint | None, message: "Message", topic: "Topic") -> None:
        """One more, of the transaction of `point`, or behind whatever waits on the topic (None)."""
        waiting = self._waiting.get(topic.name)
        if waiting is None:
            waiting = self._waiting[topic.name] = deque()
        waiting.append((waiting[-1][0] if point is None else point, message, topic))

    def take(self, durable: int, count_max: int) -> "list[tuple[Message, Topic]]":
        """Those of the first topic that are safe now, so many at most, in order; its turn is over if they are fewer."""
        name, waiting = next(iter(self._waiting.items()))
        safe: list[tuple[Message, Topic]] = []
        while waiting and waiting[0][0].position <= durable and len(safe) < count_max:
            _, message, topic = waiting.popleft()
            safe.append((message, topic))
        if not waiting:
            del self._waiting[name]
        elif len(safe) < count_max:
            self._waiting.move_to_end(name)
        return safe

    @property
    def count(self) -> int:
        """Topics on which something waits."""
        return len(self._waiting)
