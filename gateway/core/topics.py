"""The topic space: patterns in a tree, and the topics that are published to, each with its route."""

from collections import deque
from typing import Final, final

from gateway.core.branches import Node, find, grow, prune
from gateway.core.chores import Chores
from gateway.core.destination import TEMPORARY_LEVELS, TEMPORARY_PREFIX, TOPIC, Destination
from gateway.core.even_parts import ASKED_PART, has_even_part, made_by
from gateway.core.flow import Publisher, tire
from gateway.core.limits import LOOKUP_STEPS_MAX, CoreLimits, LimitReached
from gateway.core.pattern import Pattern
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
class TopicTree:
    """Pattern → bindings.  Publishing costs a dict lookup; the tree is walked only after patterns came or went."""

    __slots__ = (
        "_bytes_max",
        "_hides_temporary",
        "_order",
        "_root",
        "_steps_max",
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
        steps_max: int = LOOKUP_STEPS_MAX,
    ) -> None:
        """`hides_temporary`: wildcards do not reach temporary names, which are their owner's alone.

        `steps_max` bounds `steps`.
        """
        self._steps_max = steps_max
        self._hides_temporary = hides_temporary
        self._root = Node(False, False)
        self._root.steps = 1
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

    @property
    def steps(self) -> int:
        """Nodes that the look-up of one name visits at most: some 0.4 µs each."""
        return self._root.steps

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

    def bind(self, binding: Binding, maker: Publisher | None = None) -> None:
        """Let `binding.sink` have what matches `binding.pattern`.

        Raises LimitReached where that is asked for by `maker`, and would make the look-up of a name too long.
        """
        levels = binding.pattern.levels
        before = self._root.steps
        path, known = grow(self._root, levels)
        if known < len(path):
            made = made_by(binding.owner if maker is None else maker)
            for new in path[known:]:
                new.made = made
            if self._root.steps > before and maker is not None and not self._may_add(maker):
                prune(path, levels)
                raise LimitReached("too many filters that match the same names")
        node = path[-1]
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
        levels = binding.pattern.levels
        path = find(self._root, levels)
        if path is None:
            return
        claims = path[-1].claims
        if claims is None or not _take_out(claims.bindings, binding):
            return
        self.bindings_count -= 1
        self._changed(path[-1], claims)
        if claims.bindings:
            return
        path[-1].claims = None
        prune(path, levels)

    def _may_add(self, maker: Publisher) -> bool:
        """May `maker` have made the longest way as long as it is now?"""
        steps = self._root.steps
        if steps * ASKED_PART <= self._steps_max:
            return True
        tire(maker)
        return steps <= self._steps_max and has_even_part(self._root, maker, self._steps_max)

    def _appeared(self, pattern: Pattern) -> None:
        """There are bindings of a pattern that had none: who it matches must be looked up again."""
        if pattern.literal:
            topic = self._topics.get(".".join(pattern.levels))
            if topic is not None:
                topic.generation = STALE
        else:
            self.generation += 1

    def _changed(self, node: Node, claims: Claims) -> None:
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
        pending: list[tuple[Node, int]] = [(self._root, 0)]
        behind: list[tuple[Node, int]] | None = None
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


def _claims_behind(levels: list[str], pending: list[tuple[Node, int]], found: list[Claims]) -> None:
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


def topics_within(limits: CoreLimits, chores: Chores) -> TopicTree:
    """The tree for the topics of a broker."""
    return TopicTree(
        limits.topics_cached_bytes_max,
        limits.route_bindings_max,
        chores,
        steps_max=limits.lookup_steps_max,
    )


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
