"""Last values searched by pattern when somebody subscribes: a few at a time, since there may be very many of them.

What is set while a search goes on reaches the subscriber as a live message, so a search passes over it: it finds only
what was there when it was asked for.
"""

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, final

from mypy_extensions import mypyc_attr

from gateway.core.chores import Chore
from gateway.core.flow import Publisher
from gateway.core.message import Message
from gateway.core.pattern import MANY, ONE, Pattern
from gateway.core.retained import Node

if TYPE_CHECKING:
    from gateway.core.router import Broker

NODES_AT_ONCE: Final = 128
"""Levels of names that are looked at in one step."""

PATTERNS_AT_ONCE: Final = 4
"""Patterns of which a step sees the end."""


# Called once a search, so it may be implemented by what is not compiled.
@mypyc_attr(allow_interpreted_subclasses=True)
class Seeker:
    """Who waits for a search."""

    __slots__ = ()

    def found(self) -> None:
        """All is found that there is."""
        raise NotImplementedError


@final
class Search(Chore):
    """The values of all topics under some patterns that `receiver` may have and that live, in order of publication."""

    __slots__ = ("_broker", "_found", "_last", "_receiver", "_seeker", "_walks", "begun", "done")

    def __init__(self, broker: "Broker", patterns: list[Pattern], receiver: Publisher) -> None:
        self._broker = broker
        self._receiver = receiver
        tree = broker.retained
        self._walks = [Walk(tree.root, pattern, tree.changes) for pattern in patterns]
        # A heap by id.
        self._found: list[Message] = []
        self._last: Message | None = None
        self._seeker: Seeker | None = None
        self.begun = False
        self.done = False
        """It is known what there is."""

    @property
    def over(self) -> bool:
        """Has everything been found and taken?"""
        return self.done and not self._found

    def begin(self, seeker: Seeker) -> None:
        """Look; when not all is found at once, `seeker` is told later."""
        self.begun = True
        if self.go_on():
            self._broker.chores.add(self)
            # Where nobody drives the chores it is done by now.
            if not self.done:
                self._seeker = seeker

    def stop(self) -> None:
        """Nobody wants to know any more."""
        self._walks = []
        self._found = []
        self._seeker = None
        self.done = True

    def go_on(self) -> bool:
        """See Chore."""
        for _ in range(PATTERNS_AT_ONCE):
            if not self._walks:
                break
            walk = self._walks[-1]
            for message in walk.step():
                if self._wanted(message):
                    heappush(self._found, message)
            if not walk.over:
                return True
            self._walks.pop()
        if self._walks:
            return True
        self.done = True
        seeker = self._seeker
        self._seeker = None
        if seeker is not None:
            seeker.found()
        return False

    def _wanted(self, message: Message) -> bool:
        broker = self._broker
        if message.expired(broker.now_ms):
            return False
        authorizer = broker.authorizer
        return not authorizer.restricts_receive or authorizer.may_receive(self._receiver, message.destination)

    def take(self) -> Message | None:
        """The next that it has found, each once however many patterns match it; None when there is no other."""
        while self._found:
            message = heappop(self._found)
            if message is not self._last:
                self._last = message
                return message
        self._last = None
        return None


@final
class _Visit:
    """A node whose children are looked at, and which levels of the pattern they may stand for."""

    __slots__ = ("at", "names", "next", "node")

    def __init__(self, node: Node, at: int, names: list[str]) -> None:
        self.node = node
        self.at = at
        self.names = names
        self.next = 0


@final
class Walk:
    """One pattern's way through the tree.  The tree may change between its steps.

    `at` is a set of levels of the pattern, as bits: those that the next level of a name may stand for, so that each node
    is looked at once, wherever MANY stands.  The bit behind the last one says that the name matches.
    """

    __slots__ = ("_end", "_levels", "_literals", "_many", "_one", "_since", "_visits")

    def __init__(self, root: Node, pattern: Pattern, since: int) -> None:
        levels = pattern.levels
        self._levels = levels
        self._since = since
        self._many = 0
        self._one = 0
        self._literals: dict[str, int] = {}
        for at, level in enumerate(levels):
            if level == MANY:
                self._many |= 1 << at
            elif level == ONE:
                self._one |= 1 << at
            else:
                self._literals[level] = self._literals.get(level, 0) | 1 << at
        self._end = 1 << len(levels)
        self._visits: list[_Visit] = []
        self._visit(root, self._skip_many(1))

    @property
    def over(self) -> bool:
        """Has it seen everything?"""
        return not self._visits

    def step(self) -> list[Message]:
        """Look at as many nodes as one step may; returns the values that match."""
        return self.look(NODES_AT_ONCE)

    def look(self, count: int) -> list[Message]:
        """Look at `count` nodes more, about."""
        found: list[Message] = []
        visits = self._visits
        for _ in range(count):
            if not visits:
                break
            visit = visits[-1]
            if visit.next == len(visit.names):
                visits.pop()
                continue
            name = visit.names[visit.next]
            visit.next += 1
            child = visit.node.children.get(name)
            # The first visit is the root's, until all are over.
            at = self._behind(visit.at, name, len(visits) == 1)
            if child is not None and at:
                message = child.message
                if message is not None and at & self._end and child.changed <= self._since:
                    found.append(message)
                self._visit(child, at)
        return found

    def _behind(self, at: int, name: str, first: bool) -> int:
        """What is reached from `at` by a level `name`."""
        if first and name.startswith("$"):
            # Hidden from a leading wildcard, even one that stood for no level (MQTT 5.0 §4.7.2).
            return self._skip_many(2) if self._levels[0] == name else 0
        many = at & self._many
        return self._skip_many(many | (at & (self._one | self._literals.get(name, 0))) << 1)

    def _skip_many(self, at: int) -> int:
        """`at`, and what is reached by letting a MANY stand for no level."""
        while True:
            more = at | (at & self._many) << 1
            if more == at:
                return at
            at = more

    def _visit(self, node: Node, at: int) -> None:
        """Look at the children of `node` too, those that can match."""
        children = node.children
        if not children or at == self._end:
            return
        if at & (self._many | self._one):
            names = list(children)
        else:
            names = [name for name, bits in self._literals.items() if at & bits and name in children]
        if names:
            self._visits.append(_Visit(node, at, names))
