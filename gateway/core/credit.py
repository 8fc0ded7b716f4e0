"""Credit: how many deliveries an outlet will take before it settles some.

MQTT's Receive Maximum, STOMP's prefetch, AMQP's link credit and OpenWire's prefetchSize are all this.
"""

from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore

if TYPE_CHECKING:
    from gateway.core.router import Broker
    from gateway.core.subscription import Consumer

UNLIMITED: Final = 1 << 62

CALLED_AT_ONCE: Final = 64
"""Parked consumers whose queues look again in one go: who reads all queues that there are may have one in each."""


@final
class Credit:
    """One window, shared by all consumers of one outlet (an MQTT session has one for all its queues).

    A queue that has something for a consumer and finds it not ready parks it here; whoever makes it ready again, by
    credit or because the outlet is no longer congested, calls `give` or `wake`.  Only queues that have something are
    looked at then, each in turn.

    `within`: another window that its deliveries count in too, of all that one client has.  Who has credit of its own and
    waits for that, waits there, behind those that came before, so that no subscription has it for itself.
    """

    __slots__ = ("_automatic", "_line", "_serving", "_waking", "available", "within")

    def __init__(self, available: int, within: "Credit | None" = None) -> None:
        self.available = available
        self.within = within
        # Made when first used.  Automatic consumers need no credit, so they must not stand behind those that do.
        self._line: Line | None = None
        self._automatic: Line | None = None
        self._waking = False
        # It goes on with them in a later turn.
        self._serving = False

    @property
    def open(self) -> bool:
        """May one more delivery go out?"""
        return self.available > 0 and (self.within is None or self.within.available > 0)

    def take(self) -> None:
        """A delivery goes out."""
        self.available -= 1
        if self.within is not None:
            self.within.available -= 1

    def put_back(self) -> None:
        """Undo `take`, and wake nobody."""
        self.available += 1
        if self.within is not None:
            self.within.available += 1

    def regain(self) -> None:
        """A delivery has its outcome."""
        within = self.within
        if within is not None:
            within.available += 1
        self.give(1)
        if within is not None:
            within.give(0)

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
        more: Broker | None = None
        try:
            if self._automatic is not None:
                more = self._serve(self._automatic)
            if self._line is not None:
                more = self._serve(self._line) or more
        finally:
            self._waking = False
        if self.within is not None:
            self.within.give(0)
        if more is not None and not self._serving:
            self._serving = True
            more.chores.add(_Serving(self))

    def go_on(self) -> None:
        """Go on where `wake` has stopped.  For a chore."""
        self._serving = False
        self.wake()

    def _serve(self, line: "Line") -> "Broker | None":
        """Call some; where there are more, answers with the broker that they belong to."""
        for _ in range(CALLED_AT_ONCE):
            consumer = line.first
            if consumer is None:
                return None
            place = consumer.credit.place_of(consumer)
            if place is not self:
                line.remove(consumer)
                place.add(consumer)
            elif consumer.ready:
                line.remove(consumer)
                consumer.line = None
                consumer.queue.call(consumer)
            else:
                return None
        return None if line.first is None else line.first.queue.broker

    def park(self, consumer: "Consumer") -> None:
        """`consumer` was wanted and not ready."""
        self.place_of(consumer).add(consumer)

    def place_of(self, consumer: "Consumer") -> "Credit":
        """Where a consumer of this credit waits: here, or `within` when all that is missing is that."""
        within = self.within
        if within is None or consumer.automatic or self.available <= 0 or consumer.outlet.congested:
            return self
        return within

    def add(self, consumer: "Consumer") -> None:
        """It waits here."""
        if consumer.automatic:
            if self._automatic is None:
                self._automatic = Line()
            line = self._automatic
        else:
            if self._line is None:
                self._line = Line()
            line = self._line
        line.add(consumer)
        consumer.line = line

    def forget(self, consumer: "Consumer") -> None:
        """A parked consumer is gone."""
        line = consumer.line
        assert line is not None
        consumer.line = None
        line.remove(consumer)


@final
class _Serving(Chore):
    """Goes on with who is parked."""

    __slots__ = ("_credit",)

    def __init__(self, credit: Credit) -> None:
        self._credit = credit

    def go_on(self) -> bool:
        """See Chore."""
        # If there is more it is in the line again.
        self._credit.go_on()
        return False


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
