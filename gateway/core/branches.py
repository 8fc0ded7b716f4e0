"""The tree of patterns, a node for each level, and what a look-up in it costs at the worst.

`Node.steps` is how many nodes the look-up of one name visits at most, whatever the name.  Of literal levels a name follows
one, so the dearest counts; a wildcard for one level is followed as well.  Behind a MANY a name may have every level, so
there all count.  It is kept up as levels come and go, at a cost of the levels of one pattern.
"""

from typing import Final, TypeAlias, final

from gateway.core.pattern import MANY, ONE
from gateway.core.routes import Claims

Made: TypeAlias = tuple[str, str]
"""A user and an address, each empty where it is not known."""

NOT_COUNTED: Final = 0
"""The steps of a node that is not part of its parent's yet."""


@final
class Node:
    """What ends here, and the levels that follow."""

    __slots__ = (
        "_below",
        "_counts",
        "_dearest",
        "behind",
        "children",
        "claims",
        "made",
        "many",
        "one",
        "repeats",
        "steps",
    )

    def __init__(self, repeats: bool, behind: bool) -> None:
        """`behind`: it stands for MANY (`repeats`), or behind one."""
        self.claims: Claims | None = None
        self.children: dict[str, Node] | None = None
        self.one: Node | None = None
        self.many: Node | None = None
        self.repeats = repeats
        """It stands for MANY: any number of levels."""
        self.behind = behind
        self.steps = NOT_COUNTED
        self.made: Made | None = None
        """By whom, if by anybody in particular."""
        # What the literal levels that follow cost.
        self._below = 0
        # Which of them that is, where one counts and it is known.
        self._dearest: Node | None = None
        # How many of these cost how much, where there are several and the dearest counts.
        self._counts: dict[int, int] | None = None

    def empty(self) -> bool:
        """Nothing ends here and nothing follows."""
        return self.claims is None and self.ends()

    def ends(self) -> bool:
        """Nothing follows."""
        return not self.children and self.one is None and self.many is None

    def step(self, level: str) -> "Node | None":
        """The node one pattern level below, if there is one."""
        if level == ONE:
            return self.one
        if level == MANY:
            return self.many
        return None if self.children is None else self.children.get(level)

    def add(self, level: str) -> "Node":
        """A new node one pattern level below."""
        following = Node(level == MANY, self.behind or level == MANY)
        if level == ONE:
            self.one = following
        elif level == MANY:
            self.many = following
        else:
            if self.children is None:
                self.children = {}
            self.children[level] = following
        return following

    def cut(self, level: str) -> None:
        """Forget the node one pattern level below."""
        if level == ONE:
            self.one = None
        elif level == MANY:
            self.many = None
        else:
            assert self.children is not None
            child = self.children.pop(level)
            self._weigh(child, child.steps, NOT_COUNTED)

    def count(self) -> int:
        """Steps from here on, by what is known of the nodes below."""
        steps = 1 + self._below
        if self.one is not None:
            steps += self.one.steps
        if self.many is not None:
            steps += self.many.steps
        return steps

    def changed(self, level: str, before: int, steps: int) -> None:
        """The node one pattern level below costs `steps` now; it cost `before`."""
        if level != ONE and level != MANY:
            assert self.children is not None
            self._weigh(self.children[level], before, steps)

    def dearest(self) -> "Node | None":
        """Of the literal levels that follow the one that costs most; None where there is none."""
        if self._dearest is None and self.children:
            for child in self.children.values():
                if child.steps == self._below:
                    self._dearest = child
                    break
        return self._dearest

    def _weigh(self, child: "Node", before: int, steps: int) -> None:
        """One of the literal levels below costs `steps` now; it cost `before`."""
        if self.behind:
            self._below += steps - before
            return
        counts = self._counts
        if counts is None:
            assert self.children is not None
            if len(self.children) <= 1:
                self._below = steps
                self._dearest = None
                return
            counts = self._counts = {self._below: 1}
        if steps != NOT_COUNTED:
            counts[steps] = counts.get(steps, 0) + 1
        if before != NOT_COUNTED:
            counts[before] -= 1
            if not counts[before]:
                del counts[before]
        if child is self._dearest:
            self._dearest = None
        if steps >= self._below:
            self._below = steps
            self._dearest = child if steps != NOT_COUNTED else None
        elif self._below not in counts:
            # As many different ones as fit in a tree: very few.
            self._below = max(counts, default=0)
            self._dearest = None


def grow(root: Node, levels: tuple[str, ...]) -> tuple[list[Node], int]:
    """The nodes of a pattern, the root first, and how many of them were there; those that are missing are made."""
    path = [root]
    known = 0
    for level in levels:
        following = path[-1].step(level)
        if following is None:
            known = known or len(path)
            following = path[-1].add(level)
        path.append(following)
    if known:
        _count(path, levels, len(levels))
    return path, known or len(path)


def find(root: Node, levels: tuple[str, ...]) -> list[Node] | None:
    """The same, if they are all there."""
    path = [root]
    for level in levels:
        following = path[-1].step(level)
        if following is None:
            return None
        path.append(following)
    return path


def prune(path: list[Node], levels: tuple[str, ...]) -> None:
    """Forget the nodes of a pattern for which there is no use."""
    depth = len(levels)
    while depth and path[depth].empty():
        depth -= 1
        path[depth].cut(levels[depth])
    if depth < len(levels):
        _count(path, levels, depth)


def _count(path: list[Node], levels: tuple[str, ...], depth: int) -> None:
    """What follows the node at `depth` has changed: so may have what it costs, and those above it."""
    while True:
        node = path[depth]
        before = node.steps
        steps = node.count()
        if steps == before:
            return
        node.steps = steps
        if depth == 0:
            return
        depth -= 1
        path[depth].changed(levels[depth], before, steps)
