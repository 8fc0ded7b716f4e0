"""What becomes of deliveries that a consumer leaves behind without a word.

Very many go back some at a time.  Until all of one consumer's are back their queues deliver nothing: others get them in
their old order, before what is newer.
"""

from collections import deque
from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore, Chores
from gateway.core.delivery import ACCEPTED, FAILED, HELD, READY, RELEASED, SETTLED, Delivery
from gateway.core.flow import Publisher, Valve
from gateway.core.holding import HeldDeliveries
from gateway.core.waiters import DONE, WAITS, Waiter

if TYPE_CHECKING:
    from gateway.core.queue import Queue
    from gateway.core.router import Broker

LEFT_AT_ONCE: Final = 64
"""Deliveries that are seen to in one step, and twice as many where that is all."""

QUEUES_AT_ONCE: Final = 4
"""Queues that may deliver again after one step: each delivers what one look may bring."""

DISCARDED_AT_ONCE: Final = 256
"""Messages of a deleted queue that are let go of in one step."""

DISMISSED_AT_ONCE: Final = 64
"""Consumers of a deleted queue that are sent away in one step."""


def give_back(deliveries: list[Delivery], tried: bool) -> None:
    """Let all of them, in the order of delivery, wait in their queues again, as redelivered.

    `tried`: the consumer was lost, perhaps over the one that it had at hand: the oldest of each queue.  That counts as
    failed, so that what ends each consumer ends in the dead letters.  The others it had only been sent ahead; they must
    not get nearer to the dead letters with each client that comes and goes.
    """
    _leave(Leaver(deliveries, FAILED if tried else RELEASED, RELEASED))


def be_done_with(deliveries: list[Delivery]) -> None:
    """Nobody is to have them again, though their consumer has not said that it is done with them."""
    _leave(Leaver(deliveries, ACCEPTED, ACCEPTED))


def fail(deliveries: list[Delivery], publisher: Publisher | None) -> None:
    """What was to become of them does not: each counts as failed.

    Nothing is confirmed to `publisher`, who has it so, before that is safe, also where it takes several turns.
    """
    _leave(Leaver(deliveries, FAILED, FAILED, None if publisher is None else publisher.valve))


def _leave(leaver: "Leaver") -> None:
    first = leaver.first
    if first is not None:
        first.queue.broker.leavers.add(leaver)


@final
class Leaver:
    """What one consumer has left behind."""

    __slots__ = ("_at_hand", "_left", "_oldest", "_others", "_stopped", "_valve")

    def __init__(
        self, deliveries: list[Delivery], oldest: int, others: int, valve: Valve | None = None
    ) -> None:
        """`valve`: of who is told that it is done."""
        self._valve = valve
        # The oldest last, so that each can be let go of when it has been seen to.
        self._left = deliveries[::-1]
        # Outcomes: of the oldest of each queue, and of the others.
        self._oldest = oldest
        self._others = others
        self._at_hand: set[Queue] = set()
        # Those that deliver nothing meanwhile.
        self._stopped: list[Queue] = []

    @property
    def count(self) -> int:
        """How many are left."""
        return len(self._left)

    @property
    def first(self) -> Delivery | None:
        """The oldest of them."""
        return self._left[-1] if self._left else None

    def begin(self) -> None:
        """It goes on in later turns, until `end`."""
        if self._valve is not None:
            self._valve.suspend()

    def end(self, broker: "Broker") -> None:
        """See `begin`."""
        valve = self._valve
        if valve is None:
            return
        store = broker.store
        if store.position <= store.durable:
            valve.resume()
        else:
            broker.wait(_Safe(valve, store.position))

    def stop_queues(self) -> None:
        """Until `start_queues`."""
        self._stopped = list({delivery.queue for delivery in self._left})
        for queue in self._stopped:
            queue.stop()

    def start_queues(self, count: int) -> bool:
        """See `stop_queues`; so many of them, and answers whether there are more."""
        stopped = self._stopped
        for _ in range(min(count, len(stopped))):
            stopped.pop().start()
        return len(stopped) > 0

    def step(self, count: int) -> None:
        """See to so many of them."""
        left = self._left
        for _ in range(min(count, len(left))):
            delivery = left.pop()
            outcome = self._others
            if outcome != self._oldest and delivery.queue not in self._at_hand:
                self._at_hand.add(delivery.queue)
                outcome = self._oldest
            delivery.returned = delivery.returned or outcome != ACCEPTED
            delivery.settle(outcome)


@final
class _Safe(Waiter):
    """Lets what was suspended be confirmed once a position is durable."""

    __slots__ = ("_position", "_valve")

    def __init__(self, valve: Valve, position: int) -> None:
        self._valve = valve
        self._position = position

    def on_durable(self, position: int) -> int:
        """See Waiter."""
        if position < self._position:
            return WAITS
        self._valve.resume()
        return DONE


@final
class Leavers(Chore):
    """Consumers that have left very many behind, one after the other.  One a broker."""

    __slots__ = ("_broker", "_chores", "_line", "_working")

    def __init__(self, broker: "Broker", chores: Chores) -> None:
        self._broker = broker
        self._chores = chores
        self._line: deque[Leaver] = deque()
        self._working = False

    def add(self, leaver: Leaver) -> None:
        """See to what it has left, at once or in later turns."""
        if leaver.count <= 2 * LEFT_AT_ONCE:
            leaver.step(leaver.count)
            return
        leaver.begin()
        leaver.stop_queues()
        self._line.append(leaver)
        if not self._working:
            self._working = True
            self._chores.add(self)

    def go_on(self) -> bool:
        """See Chore."""
        leaver = self._line[0]
        try:
            leaver.step(LEFT_AT_ONCE)
            if leaver.count == 0 and not leaver.start_queues(QUEUES_AT_ONCE):
                self._line.popleft()
                # Who is told so may leave something behind in turn.
                leaver.end(self._broker)
        except Exception:
            # Whatever is wrong with one of them, it is the turn of the next.
            self._working = len(self._line) > 0
            if self._working:
                self._chores.add(self)
            raise
        self._working = len(self._line) > 0
        return self._working


@final
class Discarding(Chore):
    """Lets go of what was in a queue that has been deleted: to free it all in one go takes as long as to handle it."""

    __slots__ = ("_held", "_lanes")

    def __init__(self, lanes: list[deque[Delivery]], held: HeldDeliveries | None) -> None:
        self._lanes = lanes
        self._held = held

    def go_on(self) -> bool:
        """See Chore."""
        for _ in range(DISCARDED_AT_ONCE):
            delivery = self._next()
            if delivery is None:
                return False
            if delivery.state in (READY, HELD):
                delivery.state = SETTLED
                room = delivery.queue.room
                if room.is_alone(delivery.message):
                    room.share.left(delivery.message)
        return True

    def _next(self) -> Delivery | None:
        lanes = self._lanes
        while lanes:
            lane = lanes[-1]
            if lane:
                return lane.pop()
            lanes.pop()
        held = self._held
        return held.drop() if held is not None and held.count else None


@final
class Dismissing(Chore):
    """Sends away the consumers of a queue that has been deleted: they get nothing more anyway."""

    __slots__ = ("_queue",)

    def __init__(self, queue: "Queue") -> None:
        self._queue = queue

    def go_on(self) -> bool:
        """See Chore."""
        queue = self._queue
        for _ in range(DISMISSED_AT_ONCE):
            consumer = queue.roster.anyone
            if consumer is None:
                return False
            queue.detach(consumer)
        return True
