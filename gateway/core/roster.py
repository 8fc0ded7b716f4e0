"""The consumers of a queue: they compete, each in turn, or stand by while one has the queue for itself."""

from typing import final

from gateway.core.subscription import Consumer


@final
class Roster:
    """Who gets what a queue delivers, and whose turn it is."""

    __slots__ = ("_competing", "_next", "_standby", "exclusive")

    def __init__(self) -> None:
        self._competing: list[Consumer] = []
        self._next = 0
        # Made when first used: most queues have no exclusive consumer.
        self._standby: list[Consumer] | None = None
        self.exclusive: Consumer | None = None
        """Who has the queue for itself."""

    @property
    def count(self) -> int:
        """All, those that stand by included."""
        return len(self._competing) + (0 if self._standby is None else len(self._standby))

    @property
    def competing(self) -> int:
        """Those that do not stand by."""
        return len(self._competing)

    def all(self) -> list[Consumer]:
        """All, in a list of their own."""
        return [*self._competing, *(self._standby or [])]

    # -- turns

    def next_ready(self) -> Consumer | None:
        """The next in turn that can take a delivery; it has had its turn."""
        consumers = self._competing
        count = len(consumers)
        at = self._next
        for _ in range(count):
            if at >= count:
                at = 0
            consumer = consumers[at]
            at += 1
            if consumer.ready:
                self._next = at
                return consumer
        return None

    def after(self, step: int) -> Consumer:
        """The one whose turn comes after so many others'."""
        return self._competing[(self._next + step) % len(self._competing)]

    def served_after(self, step: int) -> None:
        """That one has had its turn."""
        self._next = (self._next + step) % len(self._competing) + 1

    # -- who comes and goes

    def add(self, consumer: Consumer) -> bool:
        """One more; answers whether it competes, and does not stand by."""
        if self.exclusive is not None:
            assert self._standby is not None
            self._standby.append(consumer)
            return False
        if consumer.exclusive:
            self.exclusive = consumer
            self._standby = self._competing
            self._competing = []
        self._competing.append(consumer)
        return True

    def remove(self, consumer: Consumer) -> bool:
        """One less; answers whether it was there.  The exclusive one leaves its place to others."""
        standby = self._standby
        if consumer in self._competing:
            self._competing.remove(consumer)
        elif standby is not None and consumer in standby:
            standby.remove(consumer)
        else:
            return False
        if consumer is self.exclusive:
            self._let_next_in()
        return True

    def _let_next_in(self) -> None:
        """The oldest one that wants to be exclusive follows, else all compete."""
        standby = self._standby
        assert standby is not None
        self.exclusive = None
        for consumer in standby:
            if consumer.exclusive:
                standby.remove(consumer)
                self.exclusive = consumer
                self._competing = [consumer]
                return
        self._competing = standby
        self._standby = None
