"""What all connections of `gateway.json` share, and what makes them."""

from typing import final

from gateway.connectors.base import Connector, Turn
from gateway.connectors.owners import Owners, new_node
from gateway.connectors.service import Acceptor, Carriage, Service
from gateway.connectors.websocket.connector import JsonConnector
from gateway.connectors.websocket.settings import JsonSettings
from gateway.core.router import Broker
from protocols.gatewayjson import constants as c


@final
class JsonService(Service):
    """`gateway.json` on one broker."""

    __slots__ = ("_owners", "broker", "node", "settings")

    def __init__(self, broker: Broker, settings: JsonSettings) -> None:
        self.broker = broker
        self.settings = settings
        self.node = new_node()
        self._owners = Owners(self.node)

    def connector(self, acceptor: Acceptor, peer: str, turn: Turn, now_ms: int) -> Connector:
        """See Service."""
        return JsonConnector(
            self.broker,
            turn,
            acceptor.limits,
            acceptor.counters,
            peer,
            self.settings,
            self.node,
            self._owners.next(),
            now_ms,
        )

    def carriage(self) -> Carriage | None:
        """See Service.  One text message is one operation, or one array of them."""
        return Carriage((c.NAME,), True, 1, (b"{", b"["))
