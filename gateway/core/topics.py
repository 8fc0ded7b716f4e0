"""The topic space: patterns in a tree, and a route cached for each concrete topic that is published to."""

from typing import Final, final

from gateway.core.destination import TOPIC, Destination
from gateway.core.pattern import MANY, ONE
from gateway.core.subscription import Binding, Sink

TOPICS_CACHED_MAX: Final = 100_000
"""Concrete topics whose route is remembered; above that all are forgotten and found again on use."""

NAME_CACHED_MAX: Final = 512
"""Characters of a topic name that is remembered: a few long ones must not fill the memory."""


@final
class Topic:
    """A concrete topic and its route.  The route is valid while `generation` is the tree's."""

    __slots__ = ("destination", "generation", "name", "route")

    def __init__(self, name: str) -> None:
        self.name = name
        self.destination = Destination(TOPIC, name)
        self.route: list[Binding] = []
        self.generation = -1


@final
class _Node:
    """The bindings whose pattern ends here, and the levels that follow."""

    __slots__ = ("bindings", "children", "many", "one")

    def __init__(self) -> None:
        self.bindings: list[Binding] | None = None
        self.children: dict[str, _Node] | None = None
        self.one: _Node | None = None
        self.many: _Node | None = None

    def empty(self) -> bool:
        """Nothing ends here and nothing follows."""
        return not self.bindings and not self.children and self.one is None and self.many is None


@final
class TopicTree:
    """Pattern → bindings.  Publishing costs a dict lookup; the tree is walked only after a subscription changed."""

    __slots__ = ("_root", "_topics", "bindings_count", "generation")

    def __init__(self) -> None:
        self._root = _Node()
        self._topics: dict[str, Topic] = {}
        self.generation = 0
        """Rises with every change of the bindings; a topic with an older one looks its route up again."""
        self.bindings_count = 0

    @property
    def topics_cached(self) -> int:
        """How many concrete topics have their route remembered."""
        return len(self._topics)

    def topic(self, name: str) -> Topic:
        """The topic `name`, the same object for the same name while it is cached."""
        topic = self._topics.get(name)
        if topic is None:
            if len(name) > NAME_CACHED_MAX:
                return Topic(name)
            if len(self._topics) >= TOPICS_CACHED_MAX:
                # A topic that somebody still holds goes on working: its generation tells when it is stale.
                self._topics.clear()
            topic = self._topics[name] = Topic(name)
        return topic

    def bind(self, binding: Binding) -> None:
        """Let `binding.sink` have what matches `binding.pattern`."""
        node = self._root
        for level in binding.pattern.levels:
            node = _step_in(node, level)
        if node.bindings is None:
            node.bindings = []
        node.bindings.append(binding)
        self.bindings_count += 1
        self.generation += 1

    def unbind(self, binding: Binding) -> None:
        """Undo `bind`; unknown bindings are ignored."""
        path = [self._root]
        for level in binding.pattern.levels:
            following = _step(path[-1], level)
            if following is None:
                return
            path.append(following)
        bindings = path[-1].bindings
        if bindings is None or binding not in bindings:
            return
        bindings.remove(binding)
        self.bindings_count -= 1
        self.generation += 1
        levels = binding.pattern.levels
        for depth in range(len(levels), 0, -1):
            if not path[depth].empty():
                break
            _cut(path[depth - 1], levels[depth - 1])

    def refresh(self, topic: Topic) -> None:
        """Find the route of `topic` anew: one binding for each sink, merged where several of one sink match."""
        topic.generation = self.generation
        topic.route = _one_each(self.match(topic.name))

    def match(self, name: str) -> list[Binding]:
        """All bindings whose pattern matches the topic `name`, wildcards included."""
        levels = name.split(".")
        found: list[Binding] = []
        # (node, depth) pairs still to visit.  MANY may stand anywhere in a pattern, so one pair can be reached
        # on several ways; `seen` keeps the walk within nodes x levels.
        pending: list[tuple[_Node, int]] = [(self._root, 0)]
        seen: set[tuple[int, int]] | None = None
        hidden = levels[0].startswith("$")
        while pending:
            node, depth = pending.pop()
            if node.many is not None and not (hidden and depth == 0):
                if seen is None:
                    seen = set()
                # MANY stands for the rest from any depth on: none, one or more levels.
                for rest in range(depth, len(levels) + 1):
                    key = (id(node.many), rest)
                    if key not in seen:
                        seen.add(key)
                        pending.append((node.many, rest))
            if depth == len(levels):
                if node.bindings:
                    found.extend(node.bindings)
                continue
            if node.children is not None:
                child = node.children.get(levels[depth])
                if child is not None:
                    pending.append((child, depth + 1))
            if node.one is not None and not (hidden and depth == 0):
                pending.append((node.one, depth + 1))
        return found


def _one_each(bindings: list[Binding]) -> list[Binding]:
    """Merge bindings of the same sink, keeping the order in which sinks were found."""
    if len(bindings) < 2:
        return bindings
    by_sink: dict[Sink, list[Binding]] = {}
    for binding in bindings:
        claims = by_sink.get(binding.sink)
        if claims is None:
            by_sink[binding.sink] = [binding]
        else:
            claims.append(binding)
    return [claims[0] if len(claims) == 1 else sink.merge(claims) for sink, claims in by_sink.items()]


def _step(node: _Node, level: str) -> _Node | None:
    """The node one pattern level below, if there is one."""
    if level == ONE:
        return node.one
    if level == MANY:
        return node.many
    return None if node.children is None else node.children.get(level)


def _step_in(node: _Node, level: str) -> _Node:
    """The node one pattern level below, made if need be."""
    following = _step(node, level)
    if following is None:
        following = _Node()
        if level == ONE:
            node.one = following
        elif level == MANY:
            node.many = following
        else:
            if node.children is None:
                node.children = {}
            node.children[level] = following
    return following


def _cut(node: _Node, level: str) -> None:
    """Forget the node one pattern level below."""
    if level == ONE:
        node.one = None
    elif level == MANY:
        node.many = None
    else:
        assert node.children is not None
        del node.children[level]
