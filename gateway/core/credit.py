"""Credit: how many deliveries an outlet will take before it settles some.

MQTT's Receive Maximum, STOMP's prefetch, AMQP's link credit and OpenWire's prefetchSize are all this.
"""

from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from gateway.core.subscription import Consumer

UNLIMITED: Final = 1 << 62


@final
class Credit:
    """One window, shared by all consumers of one outlet (an MQTT session has one for all its queues).

    A queue that has something for a consumer and finds it not ready parks it here; whoever makes it ready again, by
    credit or because the outlet is no longer congested, calls `give` or `wake`.  Only queues that have something are
    looked at then, each in turn.
    """

    __slots__ = ("_automatic", "_line", "_waking", "available")

    def __init__(self, available: int) -> None:
        self.available = available
        # Made when first used.  Automatic consumers need no credit, so they must not stand behind those that do.
        self._line: Line | None = None
        self._automatic: Line | None = None
        self._waking = False

    def give(self, count: int) -> None:
        """Add to the window and let the queues behind it deliver."""
        self.available += count
        line = self._line
        if line is not None and line.first is not None and self.available > 0:
            self.wake()

    def wake(self) -> None:
        """Let the queues that found nobody ready look again, as long as somebody is."""
        # A delivery that is settled at once gives credit and wakes in turn: another step here, not a call deeper.
        if self._waking:
            return
        self._waking = True
        try:
            if self._automatic is not None:
                self._serve(self._automatic)
            if self._line is not None:
                self._serve(self._line)
        finally:
            self._waking = False

    def _serve(self, line: "Line") -> None:
        while True:
            consumer = line.first
            if consumer is None or not consumer.ready:
                return
            line.remove(consumer)
            consumer.queue.call(consumer)

    def park(self, consumer: "Consumer") -> None:
        """`consumer` was wanted and not ready."""
        if consumer.automatic:
            if self._automatic is None:
                self._automatic = Line()
            self._automatic.add(consumer)
        else:
            if self._line is None:
                self._line = Line()
            self._line.add(consumer)

    def forget(self, consumer: "Consumer") -> None:
        """A parked consumer is gone."""
        line = self._automatic if consumer.automatic else self._line
        assert line is not None
        line.remove(consumer)


@final
class Line:
    """Parked consumers in the order in which they were parked.  The links lie in the consumers."""

    __slots__ = ("first", "last")

    def __init__(self) -> None:
        self.first: Consumer | None = None
        self.last: Consumer | None = None

    def add(self, consumer: "Consumer") -> None:
        """One more, behind the others."""
        last = self.last
        consumer.before = last
        if last is None:
            self.first = consumer
        else:
            last.behind = consumer
        self.last = consumer

    def remove(self, consumer: "Consumer") -> None:
        """One less; it must be there."""
        before = consumer.before
        behind = consumer.behind
        if before is None:
            self.first = behind
        else:
            before.behind = behind
        if behind is None:
            self.last = before
        else:
            behind.before = before
        consumer.before = consumer.behind = None
