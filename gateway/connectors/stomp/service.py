"""What all STOMP connections of a broker share, and what makes them."""

from typing import final

from gateway.connectors.base import Connector, Turn
from gateway.connectors.owners import Owners, new_node
from gateway.connectors.service import Acceptor, Carriage, Service
from gateway.connectors.stomp.connector import StompConnector
from gateway.connectors.stomp.recovery import StompRestorer
from gateway.connectors.stomp.settings import StompSettings
from gateway.connectors.stomp.stored import WIRE_ID
from gateway.core.router import Broker


@final
class StompService(Service):
    """STOMP on one broker."""

    __slots__ = ("_owners", "broker", "node", "settings", "spelling")

    def __init__(self, broker: Broker, settings: StompSettings) -> None:
        self.broker = broker
        self.settings = settings
        self.spelling = settings.spelling()
        broker.decoder.restorers[WIRE_ID] = StompRestorer()
        self.node = new_node()
        self._owners = Owners(self.node)

    def connector(self, acceptor: Acceptor, peer: str, turn: Turn, now_ms: int) -> Connector:
        """See Service."""
        return StompConnector(
            self.broker,
            turn,
            acceptor.limits,
            acceptor.counters,
            peer,
            self.settings,
            self.spelling,
            self.node,
            self._owners.next(),
            now_ms,
        )

    def carriage(self) -> Carriage | None:
        """See Service.  Text or binary: browsers' libraries speak either."""
        starts = (b"CONNECT\n", b"CONNECT\r", b"STOMP\n", b"STOMP\r")
        return Carriage(("v12.stomp", "v11.stomp", "v10.stomp"), False, 0, starts)

    def tick(self, now_ms: int) -> None:
        """See Service.  What is scheduled is due more exactly than queues' time passes."""
        self.broker.schedule.run(now_ms)
