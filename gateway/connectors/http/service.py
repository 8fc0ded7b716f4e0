"""What all HTTP connections of a broker share, and what makes them."""

from typing import final

from gateway.connectors.base import Connector, Limits, Turn
from gateway.connectors.carriage import Route
from gateway.connectors.http.connector import HttpConnector
from gateway.connectors.http.receipts import Receipts
from gateway.connectors.http.settings import HttpSettings, Page
from gateway.connectors.http.trails import Trails
from gateway.connectors.service import Acceptor, Service
from gateway.core.router import Broker


@final
class HttpAcceptor(Acceptor):
    """Makes connectors for one listener of `ws`."""

    __slots__ = ("_service", "names", "on_loopback", "routes")

    def __init__(self, name: str, protocol: str, limits: Limits, service: "HttpService") -> None:
        super().__init__(name, protocol, limits)
        self._service = service
        self.routes: list[Route] = []
        """What can be carried here."""
        self.names: list[str] = []
        """Its subprotocols."""
        self.on_loopback = True
        """Nobody but this machine can reach it."""

    def carry(self, routes: list[Route], on_loopback: bool) -> None:
        """Let these protocols travel inside WebSocket here; what they count is counted with this listener's."""
        self.routes = routes
        self.on_loopback = on_loopback
        self.names = []
        for route in routes:
            route.acceptor.counters = self.counters
            self.names.extend(route.carriage.names)

    def accept(self, peer: str, turn: Turn, now_ms: int) -> Connector:
        """See Acceptor."""
        service = self._service
        return HttpConnector(service.broker, turn, self.limits, self.counters, peer, service, self, now_ms)


@final
class HttpService(Service):
    """HTTP on one broker."""

    __slots__ = ("broker", "pages", "receipts", "settings", "trails")

    def __init__(self, broker: Broker, settings: HttpSettings, pages: dict[str, Page]) -> None:
        self.broker = broker
        self.settings = settings
        self.pages = pages
        """By path."""
        self.receipts = Receipts(broker.chores, settings.receipts_max, settings.visibility_timeout_ms)
        self.trails = Trails(broker, settings)

    def acceptor(self, name: str, scheme: str, limits: Limits) -> Acceptor:
        """See Service.  The acceptor carries nothing until `HttpAcceptor.carry` says what."""
        return HttpAcceptor(name, scheme, limits, self)

    def tick(self, now_ms: int) -> None:
        """See Service."""
        self.receipts.tick(now_ms)
        self.trails.tick(now_ms)

    def stats(self) -> dict[str, int]:
        """See Service."""
        return {"http_receipts": len(self.receipts), "http_streams_kept": self.trails.broken}

    def close(self, now_ms: int) -> None:
        """See Service."""
        self.receipts.close()
        self.trails.close()
