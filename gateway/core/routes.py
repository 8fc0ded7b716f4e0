"""Routes: whom a message goes to.  Topics that match the same patterns share one.

A route lasts until one of its patterns gains or loses a binding; others are not touched by that.  A topic that holds one
that is over looks its patterns up again, and finds the route that another topic may have had made meanwhile.

Rules about receiving are asked when it is made, but for a wide one: there each is asked when it is to have a message, a step
at a time (`FanOuts`), for to ask ten thousand users in one go takes a tenth of a second.
"""

from collections import OrderedDict
from typing import Final, final

from gateway.core.chores import Chore, Chores
from gateway.core.destination import Destination
from gateway.core.ports import Authorizer
from gateway.core.subscription import Binding, Sink

BINDINGS_REMEMBERED_MAX: Final = 1_000_000
"""Bindings in all routes that are remembered; above that the oldest routes are forgotten, and made again on use."""

WIDE: Final = 1_024
"""Up to so many get a message at once; a route to more is wide."""

DROPPED_AT_ONCE: Final = 256
"""Routes that end in one go; more end in later turns."""


@final
class Claims:
    """The bindings of one pattern, and the routes that they are part of."""

    __slots__ = ("bindings", "routes")

    def __init__(self, bindings: list[Binding]) -> None:
        self.bindings = bindings
        self.routes: dict[Route, None] | None = None


@final
class Route:
    """One binding for each sink that gets what is published to its topics."""

    __slots__ = ("_loose", "bindings", "claims", "key", "unasked")

    def __init__(
        self,
        key: tuple[object, ...],
        claims: list[Claims],
        bindings: list[Binding] | None,
        unasked: Destination | None = None,
    ) -> None:
        self.key = key
        self.claims = claims
        self.bindings = bindings
        """None when it is over; else it stays as it is."""
        self.unasked = unasked
        """Where its bindings are still to be asked whether their owners may receive: from here, and so from all its topics;
        None where all may."""
        # Looked for when first asked.
        self._loose: set[Binding] | None = None

    def loose(self) -> set[Binding]:
        """Those of its bindings that stand for several of one sink, and are never bound themselves."""
        if self._loose is None:
            self._loose = {binding for binding in self.bindings or () if binding.place < 0}
        return self._loose

    @property
    def cost(self) -> int:
        """What it counts for in the bound: its bindings, and one for itself."""
        return 1 + (0 if self.bindings is None else len(self.bindings))


OVER: Final = Route((), [], None)
"""The route of a topic that has not been looked up yet."""


@final
class Routes:
    """All routes that are remembered, by the claims that make them and what the rules about receiving make of them."""

    __slots__ = ("_by_key", "_chores", "_cost_max", "_shrinking", "cost")

    def __init__(self, bindings_max: int, chores: Chores) -> None:
        self._by_key: OrderedDict[tuple[object, ...], Route] = OrderedDict()
        self._cost_max = bindings_max
        self._chores = chores
        self._shrinking = False
        self.cost = 0

    def __len__(self) -> int:
        return len(self._by_key)

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def find(
        self, claims: list[Claims], destination: Destination, receivers: object, authorizer: Authorizer | None
    ) -> Route:
        """The route of a topic with these claims, whose answers by `may_receive` are those of `receivers`."""
        key: tuple[object, ...] = tuple(claims) if authorizer is None else (*claims, receivers)
        route = self._by_key.get(key)
        if route is None:
            bindings = _one_each(claims)
            unasked: Destination | None = None
            if authorizer is not None:
                if len(bindings) > WIDE:
                    unasked = destination
                else:
                    bindings = [b for b in bindings if may_have(b, destination, authorizer)]
            route = Route(key, claims, bindings, unasked)
            self._remember(route)
        return route

    def _remember(self, route: Route) -> None:
        self._by_key[route.key] = route
        self.cost += route.cost
        for claims in route.claims:
            if claims.routes is None:
                claims.routes = {}
            claims.routes[route] = None
        if self.cost > self._cost_max and not self._shrinking:
            self._shrinking = True
            if self.shrink():
                self._chores.add(_Shrink(self))

    def shrink(self) -> bool:
        """Forget some of the oldest, if there is more than may be remembered; is there more to forget?"""
        for _ in range(DROPPED_AT_ONCE):
            if self.cost <= self._cost_max or len(self._by_key) <= 1:
                self._shrinking = False
                return False
            self.drop(next(iter(self._by_key.values())))
        return True

    def drop(self, route: Route) -> None:
        """The route is over: it holds nobody in memory any more."""
        if route.bindings is None:
            return
        if self._by_key.get(route.key) is route:
            del self._by_key[route.key]
        self.cost -= route.cost
        for claims in route.claims:
            if claims.routes is not None:
                claims.routes.pop(route, None)
        route.bindings = None
        route._loose = None
        route.claims = []
        route.key = ()

    def changed(self, claims: Claims) -> Claims | None:
        """The bindings of a pattern have changed: its routes are over.

        Where there are too many to end at once, returns new claims to stand for the pattern: no topic may go on
        with the old ones.
        """
        routes = claims.routes
        if routes is None:
            return None
        if len(routes) <= DROPPED_AT_ONCE:
            for route in list(routes):
                self.drop(route)
            return None
        self._chores.add(_Drop(self, list(routes)))
        return Claims(claims.bindings)

    def forget(self) -> None:
        """All are over.  No topic may go on with what it has."""
        routes = list(self._by_key.values())
        self._by_key = OrderedDict()
        self._chores.add(_Drop(self, routes))


@final
class _Drop(Chore):
    """Ends routes that nobody finds any more."""

    __slots__ = ("_left", "_routes")

    def __init__(self, routes: Routes, left: list[Route]) -> None:
        self._routes = routes
        self._left = left

    def go_on(self) -> bool:
        """See Chore."""
        left = self._left
        for _ in range(min(DROPPED_AT_ONCE, len(left))):
            self._routes.drop(left.pop())
        return len(left) > 0


@final
class _Shrink(Chore):
    """Ends the oldest routes, until no more are remembered than may be: a wide one may take the place of very many."""

    __slots__ = ("_routes",)

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def go_on(self) -> bool:
        """See Chore."""
        return self._routes.shrink()


def _one_each(claims: list[Claims]) -> list[Binding]:
    """All bindings, those of the same sink merged, keeping the order in which sinks were found."""
    every: list[Binding] = []
    for claim in claims:
        every.extend(claim.bindings)
    if len({binding.sink for binding in every}) == len(every):
        # Nearly always, and of very many a good deal quicker.
        return every
    by_sink: dict[Sink, Binding | list[Binding]] = {}
    for claim in claims:
        for binding in claim.bindings:
            sink = binding.sink
            known = by_sink.get(sink)
            if known is None:
                by_sink[sink] = binding
            elif isinstance(known, Binding):
                by_sink[sink] = [known, binding]
            else:
                known.append(binding)
    return [known if isinstance(known, Binding) else sink.merge(known) for sink, known in by_sink.items()]


def may_have(binding: Binding, unasked: Destination | None, authorizer: Authorizer) -> bool:
    """May the owner of `binding` have what goes to its route?  See Route.unasked."""
    owner = binding.owner
    return unasked is None or owner is None or authorizer.may_receive(owner, unasked)
