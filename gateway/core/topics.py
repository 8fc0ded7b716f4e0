"""The topic space: patterns in a tree, and the topics that are published to, each with its route."""

from collections import deque
from typing import Final, final

from gateway.core.chores import Chores
from gateway.core.destination import TEMPORARY_LEVELS, TEMPORARY_PREFIX, TOPIC, Destination
from gateway.core.pattern import MANY, ONE, Pattern
from gateway.core.ports import Authorizer
from gateway.core.routes import BINDINGS_REMEMBERED_MAX, OVER, Claims, Route, Routes
from gateway.core.subscription import Binding

TOPICS_BYTES_MAX: Final = 67_108_864
"""Bytes of topics that are remembered; above that the oldest are forgotten, and found again on use."""

TOPIC_OVERHEAD: Final = 400
"""Bytes that a remembered topic takes beside its name, about."""

NAME_CACHED_MAX: Final = 512
"""Characters of a topic name that is remembered: a few long ones must not push out all others."""

STALE: Final = -1


@final
class Topic:
    """A concrete topic and its route.  The route is valid while `generation` is the tree's and it is not over."""

    __slots__ = ("cached", "destination", "generation", "name", "receivers", "receivers_generation", "route")

    def __init__(self, name: str, cached: bool) -> None:
        self.name = name
        self.destination = Destination(TOPIC, name)
        self.route: Route = OVER
        self.generation = STALE
        self.cached = cached
        """The tree finds it by its name.  One that it has forgotten and somebody still holds is always looked up."""
        self.receivers: object = None
        """See Authorizer.receivers, asked when its generation was `receivers_generation`."""
        self.receivers_generation = STALE


@final
class _Node:
    """What ends here, and the levels that follow."""

    __slots__ = ("children", "claims", "many", "one", "repeats")

    def __init__(self, repeats: bool) -> None:
        self.claims: Claims | None = None
        self.children: dict[str, _Node] | None = None
        self.one: _Node | None = None
        self.many: _Node | None = None
        self.repeats = repeats
        """It stands for MANY: any number of levels."""

    def empty(self) -> bool:
        """Nothing ends here and nothing follows."""
        return self.claims is None and self.ends()

    def ends(self) -> bool:
        """Nothing follows."""
        return not self.children and self.one is None and self.many is None


@final
class TopicTree:
    """Pattern → bindings.  Publishing costs a dict lookup; the tree is walked only after patterns came or went."""

    __slots__ = (
        "_bytes_max",
        "_hides_temporary",
        "_order",
        "_root",
        "_topics",
        "bindings_count",
        "bytes",
        "generation",
        "routes",
    )

    def __init__(
        self,
        bytes_max: int = TOPICS_BYTES_MAX,
        bindings_max: int = BINDINGS_REMEMBERED_MAX,
        chores: Chores | None = None,
        hides_temporary: bool = True,
    ) -> None:
        """`hides_temporary`: wildcards do not reach temporary names, which are their owner's alone."""
        self._hides_temporary = hides_temporary
        self._root = _Node(False)
        self._topics: dict[str, Topic] = {}
        # The same topics, the oldest first.
        self._order: deque[Topic] = deque()
        self._bytes_max = bytes_max
        self.bytes = 0
        """Of the topics that are remembered, about."""
        self.routes = Routes(bindings_max, Chores() if chores is None else chores)
        self.generation = 0
        """Rises when there may be more patterns for any topic; one with an older one is looked up again."""
        self.bindings_count = 0

    @property
    def topics_cached(self) -> int:
        """How many concrete topics are remembered."""
        return len(self._topics)

    def topic(self, name: str) -> Topic:
        """The topic `name`, the same object for the same name while it is remembered."""
        topic = self._topics.get(name)
        if topic is None:
            if len(name) > NAME_CACHED_MAX:
                return Topic(name, False)
            topic = self._topics[name] = Topic(name, True)
            self._order.append(topic)
            self.bytes += _cost(name)
            while self.bytes > self._bytes_max and len(self._order) > 1:
                self._forget_oldest()
        return topic

    def _forget_oldest(self) -> None:
        oldest = self._order.popleft()
        oldest.cached = False
        oldest.generation = STALE
        del self._topics[oldest.name]
        self.bytes -= _cost(oldest.name)

    def bind(self, binding: Binding) -> None:
        """Let `binding.sink` have what matches `binding.pattern`."""
        node = self._root
        for level in binding.pattern.levels:
            node = _step_in(node, level)
        claims = node.claims
        if claims is None:
            claims = node.claims = Claims([])
            self._appeared(binding.pattern)
        binding.place = len(claims.bindings)
        claims.bindings.append(binding)
        self.bindings_count += 1
        self._changed(node, claims)

    def unbind(self, binding: Binding) -> None:
        """Undo `bind`; unknown bindings are ignored."""
        path = [self._root]
        for level in binding.pattern.levels:
            following = _step(path[-1], level)
            if following is None:
                return
            path.append(following)
        claims = path[-1].claims
        if claims is None or not _take_out(claims.bindings, binding):
            return
        self.bindings_count -= 1
        self._changed(path[-1], claims)
        if claims.bindings:
            return
        path[-1].claims = None
        levels = binding.pattern.levels
        for depth in range(len(levels), 0, -1):
            if not path[depth].empty():
                break
            _cut(path[depth - 1], levels[depth - 1])

    def _appeared(self, pattern: Pattern) -> None:
        """There are bindings of a pattern that had none: who it matches must be looked up again."""
        if pattern.literal:
            topic = self._topics.get(".".join(pattern.levels))
            if topic is not None:
                topic.generation = STALE
        else:
            self.generation += 1

    def _changed(self, node: _Node, claims: Claims) -> None:
        """A pattern has more or fewer bindings than its routes know."""
        instead = self.routes.changed(claims)
        if instead is not None:
            node.claims = instead
            self.generation += 1

    def forget_routes(self) -> None:
        """What the authorizer says about receiving has changed: all routes are made again on use."""
        self.generation += 1
        self.routes.forget()

    def refresh(self, topic: Topic, authorizer: Authorizer | None = None) -> list[Binding]:
        """Look the route of `topic` up: one binding for each sink, merged where several of one sink match.

        Those whose owners may not receive from the topic are left out, if the authorizer restricts that.
        """
        if authorizer is not None and not authorizer.restricts_receive:
            authorizer = None
        if authorizer is not None and topic.receivers_generation != authorizer.generation:
            topic.receivers = authorizer.receivers(topic.destination)
            topic.receivers_generation = authorizer.generation
        claims = self._claims(topic.name)
        route = topic.route = self.routes.find(claims, topic.destination, topic.receivers, authorizer)
        topic.generation = self.generation if topic.cached else STALE
        bindings = route.bindings
        assert bindings is not None
        return bindings

    def match(self, name: str) -> list[Binding]:
        """All bindings whose pattern matches the topic `name`, wildcards included."""
        found: list[Binding] = []
        for claims in self._claims(name):
            found.extend(claims.bindings)
        return found

    def _claims(self, name: str) -> list[Claims]:
        """What ends at the nodes that the topic `name` reaches."""
        levels = name.split(".")
        count = len(levels)
        found: list[Claims] = []
        # (node, depth) pairs still to visit: as long as no MANY was passed, a node is reached at one depth only.
        pending: list[tuple[_Node, int]] = [(self._root, 0)]
        behind: list[tuple[_Node, int]] | None = None
        # Wildcards do not stand for levels before this.
        closed = 0
        if levels[0].startswith("$"):
            closed = 1
        elif self._hides_temporary and name.startswith(TEMPORARY_PREFIX):
            closed = TEMPORARY_LEVELS
        while pending:
            node, depth = pending.pop()
            shown = depth >= closed
            many = node.many
            if many is not None and shown:
                if many.ends():
                    assert many.claims is not None
                    found.append(many.claims)
                else:
                    if behind is None:
                        behind = []
                    behind.append((many, 1 << depth))
            if depth == count:
                if node.claims is not None:
                    found.append(node.claims)
                continue
            if node.children is not None:
                child = node.children.get(levels[depth])
                if child is not None:
                    pending.append((child, depth + 1))
            if node.one is not None and shown:
                pending.append((node.one, depth + 1))
        if behind is not None:
            _claims_behind(levels, behind, found)
        return found


def _claims_behind(levels: list[str], pending: list[tuple[_Node, int]], found: list[Claims]) -> None:
    """Add to `found` what ends at nodes that `levels` reach by way of MANY, `pending` of them to begin with.

    Behind a MANY a node may be reached at many depths.  They are bits of one number, so that each node is looked at once
    whatever stands in front of it: the work is bounded by the nodes that there are.
    """
    count = len(levels)
    every = (2 << count) - 1
    # Where each level stands.
    places: dict[str, int] = {}
    for depth in range(count):
        places[levels[depth]] = places.get(levels[depth], 0) | 1 << depth
    while pending:
        node, at = pending.pop()
        if node.repeats:
            # It stands for any number of levels more: what is reached is the least of them, and all behind it.
            at = every & -(at & -at)
        if node.claims is not None and at >> count:
            found.append(node.claims)
        if node.many is not None:
            pending.append((node.many, at))
        if node.one is not None and at << 1 & every:
            pending.append((node.one, at << 1 & every))
        children = node.children
        if children is None:
            continue
        if len(children) < len(places):
            for level, child in children.items():
                reached = (at & places.get(level, 0)) << 1
                if reached:
                    pending.append((child, reached))
        else:
            for level, depths in places.items():
                reached = (at & depths) << 1
                if reached:
                    next_child = children.get(level)
                    if next_child is not None:
                        pending.append((next_child, reached))


def _cost(name: str) -> int:
    """Bytes that a remembered topic takes, about."""
    return TOPIC_OVERHEAD + (len(name) if name.isascii() else 4 * len(name))


def _take_out(bindings: list[Binding], binding: Binding) -> bool:
    """Take `binding` out of the list, wherever it stands; the last one takes its place.  False when it is not there."""
    place = binding.place
    if place < 0 or place >= len(bindings) or bindings[place] is not binding:
        return False
    last = bindings.pop()
    if last is not binding:
        bindings[place] = last
        last.place = place
    binding.place = -1
    return True


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
        following = _Node(level == MANY)
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
