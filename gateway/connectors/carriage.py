"""From a carrier's handshake to the protocol inside it: what a connector says when its client goes on in WebSocket."""

from dataclasses import dataclass
from typing import final

from gateway.connectors.service import Acceptor, Carriage
from gateway.core.ports import Credentials
from protocols.websocket.connection import WebSocketConnection, WebSocketLimits
from protocols.websocket.handshake import Handshake


@final
@dataclass(init=False, slots=True)
class Route:
    """A protocol that can be carried, and what makes its connectors."""

    carriage: Carriage
    acceptor: Acceptor

    def __init__(self, carriage: Carriage, acceptor: Acceptor) -> None:
        self.carriage = carriage
        self.acceptor = acceptor


@final
class Handover:
    """The handshake is done; what comes now are frames."""

    __slots__ = ("_handshake", "_limits", "offered", "rest", "route", "routes")

    def __init__(
        self,
        routes: list[Route],
        handshake: Handshake,
        limits: WebSocketLimits,
        rest: bytes,
        offered: Credentials | None,
    ) -> None:
        self.routes = routes
        self.route: Route | None = None
        """The protocol that the client named; None when it named none: its first bytes decide."""
        for route in routes:
            if handshake.subprotocol in route.carriage.names:
                self.route = route
        self.rest = rest
        """Frames that came behind the handshake."""
        self.offered = offered
        self._handshake = handshake
        self._limits = limits

    def probe(self) -> WebSocketConnection:
        """Something to look at the first frames with, before the protocol is known."""
        return WebSocketConnection(self._limits, False)

    def wire(self, route: Route) -> WebSocketConnection:
        """The frames that carry the protocol of `route`."""
        carriage = route.carriage
        handshake = self._handshake
        return WebSocketConnection(
            self._limits, carriage.whole, carriage.only, handshake.inflater(), handshake.deflater()
        )

    def recognised(self, first: bytes) -> Route | None:
        """The protocol that says `first`."""
        for route in self.routes:
            if first.startswith(route.carriage.starts):
                return route
        return None

    def recognisable(self, first: bytes) -> bool:
        """May `first` be the beginning of what a known protocol says?"""
        for route in self.routes:
            for start in route.carriage.starts:
                if start.startswith(first):
                    return True
        return False
