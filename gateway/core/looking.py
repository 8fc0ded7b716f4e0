"""Whether there is room on the way to very many is looked at some at a time, while who is to publish waits.

It waits at all places at once where there is none, and only those are asked again: however often it waits, each is looked
at once.  What others do meanwhile is as if they had done it behind its message.
"""

from typing import Final, final

from gateway.core.chores import Chore, Chores
from gateway.core.flow import LOOK, Gate, Publisher, nobody_is_next
from gateway.core.limits import CoreLimits
from gateway.core.ports import Authorizer
from gateway.core.routes import Route, may_have
from gateway.core.subscription import Binding
from gateway.core.topics import Topic

LOOKED_AT_ONCE: Final = 64
"""Subscribers that are looked at in one step."""


@final
class Look(Chore):
    """The way from one publisher to one topic."""

    __slots__ = (
        "_at",
        "_authorizer",
        "_chores",
        "_gate",
        "_loose",
        "_persistent",
        "_publisher",
        "_to_ask",
        "_unasked",
        "_waited",
        "_working",
    )

    def __init__(
        self, chores: Chores, authorizer: Authorizer, publisher: Publisher, route: Route, persistent: bool
    ) -> None:
        self._chores = chores
        self._authorizer = authorizer
        self._publisher = publisher
        self._persistent = persistent
        # Those to be asked in this round; in the first not ours alone, then those that had no room the last time: the
        # publisher waits there, or did.
        self._to_ask = route.bindings or []
        self._unasked = route.unasked
        self._loose = route.loose()
        self._at = 0
        # Those for the next.
        self._waited: list[Binding] = []
        self._working = False
        self._gate = Gate(nobody_is_next, LOOK)

    def keeps_waiting(self) -> bool:
        """Look at all that is left; does the publisher wait for that, or for room?

        Of who cannot wait nothing is looked at.
        """
        if self._working:
            return True
        # A new one: the turn for which the last has let it go on may not be over.
        self._gate = Gate(nobody_is_next, LOOK)
        if not self._to_ask or not self._gate.hold(self._publisher):
            return False
        self._working = True
        self._chores.add(self)
        # Where nobody drives the chores it is done by now.
        return self._working or len(self._to_ask) > 0

    def go_on(self) -> bool:
        """See Chore."""
        publisher = self._publisher
        self._working = publisher.valve is not None
        try:
            if self._working and self._some(publisher):
                self._working = False
        except Exception:
            # Whatever is wrong with one of them, it is the turn of the next.
            self._chores.add(self)
            raise
        if not self._working:
            self._gate.open()
        return self._working

    def _some(self, publisher: Publisher) -> bool:
        """Ask some more; answers whether the round is over."""
        to_ask = self._to_ask
        end = min(self._at + LOOKED_AT_ONCE, len(to_ask))
        while self._at < end:
            binding = to_ask[self._at]
            self._at += 1
            # Who has left since is waited for no more.
            there = binding.place >= 0 or binding in self._loose
            if not there or binding.is_own(publisher):
                continue
            if not may_have(binding, self._unasked, self._authorizer):
                continue
            if binding.sink.keeps_waiting(publisher, self._persistent):
                self._waited.append(binding)
        if self._at < len(to_ask):
            return False
        # Nobody else is held in memory by what is known.
        self._to_ask, self._waited = self._waited, []
        self._loose = self._loose.intersection(self._to_ask)
        self._at = 0
        return True


def look(
    chores: Chores,
    authorizer: Authorizer,
    limits: CoreLimits,
    publisher: Publisher,
    topic: Topic,
    persistent: bool,
) -> bool:
    """Does `publisher` wait before it may publish to `topic`, whose route is up to date?  Ask until it does not."""
    looks = publisher.looks
    if looks is None:
        looks = publisher.looks = {}
    found = looks.get(topic.name)
    if found is None:
        # What one frame names, if it is several, is a transaction: were not all of that known at once, it would be asked
        # about for ever.
        if len(looks) >= limits.transaction_operations_max:
            del looks[next(iter(looks))]
        found = looks[topic.name] = Look(chores, authorizer, publisher, topic.route, persistent)
    return found.keeps_waiting()
