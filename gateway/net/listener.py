"""One listening address: accepts connections up to its limit, and refuses the rest in their own words."""

import asyncio
import os
from dataclasses import dataclass
from typing import Final, final

from gateway.connectors.base import REFUSED_TALKING_MAX, Acceptor, Counters
from gateway.core.router import Broker
from gateway.net.clock import Clock
from gateway.net.deadlines import Deadlines
from gateway.net.reports import Reports
from gateway.net.transport import Transport
from gateway.net.turn import Flusher

BACKLOG: Final = 1_024
"""Connections the kernel holds until they are accepted."""


@final
@dataclass(slots=True)
class Machinery:
    """What all listeners of a gateway share."""

    loop: asyncio.AbstractEventLoop
    clock: Clock
    broker: Broker
    flusher: Flusher
    deadlines: Deadlines
    reports: Reports


@final
class Listener:
    """See the module."""

    def __init__(self, acceptor: Acceptor, host: str, port: int, machinery: Machinery) -> None:
        self.acceptor = acceptor
        self.host = host
        self.port = port
        """The port asked for; after `open`, the one it got."""
        self.loop = machinery.loop
        self.clock = machinery.clock
        self.broker = machinery.broker
        self.flusher = machinery.flusher
        self.deadlines = machinery.deadlines
        self.reports = machinery.reports
        self.internal_errors = 0
        """Connections that were ended by a bug of ours."""
        self.transports: set[Transport] = set()
        """All open sockets, also those whose connector has ended already."""
        self.ping_interval_ms = 0
        """How long a client inside WebSocket may be silent before it is asked whether it is there; 0 is for ever."""
        self._refusing = 0
        self._server: asyncio.Server | None = None
        self._stopped = False

    @property
    def address(self) -> str:
        """Where it listens, as host:port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def counters(self) -> Counters:
        """What this listener's connections count."""
        return self.acceptor.counters

    async def open(self) -> None:
        """Listen.  Raises OSError."""
        self._server = await self.loop.create_server(
            self._transport,
            self.host,
            self.port,
            backlog=BACKLOG,
            # On Windows this option lets others take the port away.
            reuse_address=os.name == "posix",
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def _transport(self) -> Transport:
        return Transport(self)

    def stop_accepting(self) -> None:
        """Close the listening socket; connections stay."""
        self._stopped = True
        if self._server is not None:
            self._server.close()
            self._server = None

    # -- called by its transports

    def opened(self, transport: Transport) -> None:
        """A client has connected: give it a connector, or refuse it."""
        self.transports.add(transport)
        counters = self.counters
        counters.connections_total += 1
        transport.refusing = counters.connections >= self.acceptor.limits.maximum_connections
        if transport.refusing:
            counters.refused += 1
            self._refusing += 1
        else:
            counters.connections += 1
        if self._stopped:
            transport.abort()
        elif self._refusing > REFUSED_TALKING_MAX and transport.refusing:
            self.reports.add(
                f"{self.acceptor.name}: {transport.peer_name()}: maximumConnections is reached, closed unheard"
            )
            transport.abort()
        else:
            self._connect(transport)

    def _connect(self, transport: Transport) -> None:
        now_ms = self.clock.now_ms()
        self.broker.now_ms = now_ms
        connector = self.acceptor.accept(transport.peer_name(), self.flusher.turn, now_ms)
        transport.connector = connector
        self.flusher.transports[connector] = transport
        if transport.refusing:
            connector.refuse(now_ms)
        self.deadlines.watch(transport)

    def closed(self, transport: Transport) -> None:
        """A socket is gone."""
        self.transports.discard(transport)
        if transport.refusing:
            self._refusing -= 1
        else:
            self.counters.connections -= 1
