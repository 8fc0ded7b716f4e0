"""The consumers of a queue: they compete, each in turn, or stand by while one has the queue for itself.

A consumer that was found not ready in its turn is parked: it is not looked at again until its `Credit` calls it, which
costs the same however many there are.  One whose selector has selected nothing rests until it has.
"""

from typing import TYPE_CHECKING, final

from gateway.core.subscription import Consumer

if TYPE_CHECKING:
    from gateway.core.selection import Selection


@final
class Ring:
    """Consumers in a circle.  The links lie in the consumers, so coming and leaving cost the same for any number."""

    __slots__ = ("count", "turn")

    def __init__(self) -> None:
        self.turn: Consumer | None = None
        """Whose turn it is; None when it is empty."""
        self.count = 0

    def add(self, consumer: Consumer) -> None:
        """One more, whose turn comes after all others'."""
        turn = self.turn
        if turn is None:
            consumer.following = consumer.preceding = consumer
            self.turn = consumer
        else:
            last = turn.preceding
            assert last is not None
            consumer.following = turn
            consumer.preceding = last
            last.following = turn.preceding = consumer
        self.count += 1

    def remove(self, consumer: Consumer) -> None:
        """One less; it must be there."""
        following = consumer.following
        preceding = consumer.preceding
        assert following is not None
        assert preceding is not None
        preceding.following = following
        following.preceding = preceding
        if self.turn is consumer:
            self.turn = None if following is consumer else following
        consumer.following = consumer.preceding = None
        self.count -= 1

    def all(self) -> list[Consumer]:
        """All, from whose turn it is on."""
        found: list[Consumer] = []
        consumer = self.turn
        for _ in range(self.count):
            assert consumer is not None
            found.append(consumer)
            consumer = consumer.following
        return found


@final
class Roster:
    """Who gets what a queue delivers, and whose turn it is."""

    __slots__ = ("_heirs", "_parked", "_ready", "_resting", "_standby", "exclusive")

    def __init__(self) -> None:
        # Those that may be ready: each is, or is found out when its turn comes.
        self._ready = Ring()
        # The others are made when first used: most queues have no exclusive consumer, and many are always ready.
        self._parked: Ring | None = None
        self._resting: Ring | None = None
        self._standby: Ring | None = None
        # Those that stand by and want to be exclusive, the oldest first.
        self._heirs: dict[Consumer, None] | None = None
        self.exclusive: Consumer | None = None
        """Who has the queue for itself."""

    @property
    def count(self) -> int:
        """All, those that stand by included."""
        count = self._ready.count
        if self._parked is not None:
            count += self._parked.count
        if self._resting is not None:
            count += self._resting.count
        if self._standby is not None:
            count += self._standby.count
        return count

    def all(self) -> list[Consumer]:
        """All, in a list of their own."""
        found = self._ready.all()
        if self._parked is not None:
            found += self._parked.all()
        if self._resting is not None:
            found += self._resting.all()
        if self._standby is not None:
            found += self._standby.all()
        return found

    @property
    def anyone(self) -> Consumer | None:
        """One of them; None when there is nobody."""
        for ring in (self._ready, self._parked, self._resting, self._standby):
            if ring is not None and ring.turn is not None:
                return ring.turn
        return None

    @property
    def passes_on(self) -> bool:
        """Does the next in turn take whatever comes, and is it done with that at once?"""
        turn = self._ready.turn
        return turn is not None and turn.automatic and turn.selection is None and turn.ready

    # -- turns

    def next_ready(self) -> Consumer | None:
        """The next in turn that can take a delivery; it has had its turn.  Who cannot is parked."""
        ready = self._ready
        while True:
            consumer = ready.turn
            if consumer is None:
                return None
            if consumer.ready:
                ready.turn = consumer.following
                return consumer
            self._park(consumer)

    def has_ready(self) -> bool:
        """Can anybody take a delivery, were there one that it wants?  Who is found that cannot is parked."""
        if self.exclusive is not None:
            return self.exclusive.ready
        for ring in (self._ready, self._resting):
            while ring is not None and ring.turn is not None:
                if ring.turn.ready:
                    return True
                self._park(ring.turn)
        return False

    def _park(self, consumer: Consumer) -> None:
        if self._parked is None:
            self._parked = Ring()
        if consumer.resting:
            self._end_rest(consumer)
        else:
            self._ready.remove(consumer)
        self._parked.add(consumer)
        consumer.parked = True
        consumer.credit.park(consumer)
        self._leave_to_others(consumer)

    # -- selections

    def rest(self, consumer: Consumer) -> None:
        """Its selector has selected nothing of what waits."""
        assert consumer.selection is not None
        if self._resting is None:
            self._resting = Ring()
        self._ready.remove(consumer)
        self._resting.add(consumer)
        consumer.resting = True
        consumer.selection.resting.add(consumer)

    def rouse(self, selection: "Selection") -> None:
        """It has selected something: the consumer that has rested longest has turns again, if any rests."""
        consumer = selection.resting.first
        if consumer is not None:
            self._end_rest(consumer)
            self._ring_of(consumer).add(consumer)

    def _end_rest(self, consumer: Consumer) -> None:
        assert self._resting is not None
        assert consumer.selection is not None
        self._resting.remove(consumer)
        consumer.selection.resting.remove(consumer)
        consumer.resting = False

    def _leave_to_others(self, consumer: Consumer) -> None:
        """It has no more turns: what is selected for it goes to another with the same selector, though that one rests."""
        selection = consumer.selection
        if selection is not None and selection.entries:
            self.rouse(selection)

    def call(self, consumer: Consumer) -> None:
        """A parked consumer may be ready now: called by its Credit, by way of the queue."""
        parked = self._parked
        assert parked is not None
        parked.remove(consumer)
        consumer.parked = False
        self._ring_of(consumer).add(consumer)

    # -- who comes and goes

    def add(self, consumer: Consumer) -> bool:
        """One more; answers whether it competes, and does not stand by."""
        standby = self._standby
        if standby is not None:
            standby.add(consumer)
            if consumer.exclusive:
                if self._heirs is None:
                    self._heirs = {}
                self._heirs[consumer] = None
            return False
        if consumer.exclusive:
            self.exclusive = consumer
            self._standby = self._ready
            self._ready = Ring()
        self._ready.add(consumer)
        return True

    def remove(self, consumer: Consumer) -> bool:
        """One less; answers whether it was there.  The exclusive one leaves its place to others."""
        if consumer.following is None:
            return False
        if consumer.parked:
            assert self._parked is not None
            self._parked.remove(consumer)
            consumer.parked = False
            consumer.credit.forget(consumer)
        elif consumer.resting:
            self._end_rest(consumer)
        else:
            self._ring_of(consumer).remove(consumer)
            self._leave_to_others(consumer)
        if consumer is self.exclusive:
            self._let_next_in()
        elif self._heirs is not None:
            self._heirs.pop(consumer, None)
        return True

    def _ring_of(self, consumer: Consumer) -> Ring:
        """Where a consumer is that is not parked."""
        if self._standby is None or consumer is self.exclusive:
            return self._ready
        return self._standby

    def _let_next_in(self) -> None:
        """The oldest one that wants to be exclusive follows, else all compete."""
        standby = self._standby
        assert standby is not None
        self.exclusive = None
        if self._heirs:
            heir = next(iter(self._heirs))
            del self._heirs[heir]
            self.exclusive = heir
            standby.remove(heir)
            self._ready.add(heir)
            return
        self._heirs = None
        self._ready = standby
        self._standby = None
