"""One listening address: accepts connections up to its limit, and refuses the rest in their own words."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final, final

from gateway.connectors.base import REFUSED_TALKING_MAX, Acceptor, Connector, Counters
from gateway.core.router import Broker
from gateway.net.clock import Clock
from gateway.net.deadlines import Deadlines
from gateway.net.transport import Transport
from gateway.net.turn import Flusher

log = logging.getLogger("gateway.net")

BACKLOG: Final = 1_024
"""Connections the kernel holds until they are accepted."""

REPORTS_A_SECOND: Final = 10
"""Ended connections that are logged; the others are only counted."""


@final
@dataclass(slots=True)
class Machinery:
    """What all listeners of a gateway share."""

    loop: asyncio.AbstractEventLoop
    clock: Clock
    broker: Broker
    flusher: Flusher
    deadlines: Deadlines


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
        self.internal_errors = 0
        self.transports: set[Transport] = set()
        self._refusing = 0
        self._server: asyncio.Server | None = None
        self._report_second = 0
        self._reports = 0
        self._unreported = 0

    @property
    def counters(self) -> Counters:
        """What this listener's connections count."""
        return self.acceptor.counters

    async def open(self) -> None:
        """Listen.  Raises OSError."""
        self._server = await self.loop.create_server(
            lambda: Transport(self), self.host, self.port, backlog=BACKLOG, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def stop_accepting(self) -> None:
        """Close the listening socket; connections stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    # -- called by its transports

    def opened(self, transport: Transport) -> None:
        """A client has connected: give it a connector, or refuse it."""
        counters = self.counters
        counters.connections_total += 1
        over = counters.connections >= self.acceptor.limits.maximum_connections
        if over:
            counters.refused += 1
            if self._refusing >= REFUSED_TALKING_MAX:
                transport.abort()
                return
            self._refusing += 1
            transport.refusing = True
        else:
            counters.connections += 1
        now_ms = self.clock.now_ms()
        self.broker.now_ms = now_ms
        connector = self.acceptor.accept(transport.peer_name(), self.flusher.turn, now_ms)
        transport.connector = connector
        self.transports.add(transport)
        self.flusher.transports[connector] = transport
        if over:
            connector.refuse(now_ms)
        self.deadlines.watch(transport)

    def closed(self, transport: Transport) -> None:
        """A connection is gone."""
        self.transports.discard(transport)
        if transport.connector is not None:
            self.flusher.transports.pop(transport.connector, None)
        if transport.refusing:
            self._refusing -= 1
        else:
            self.counters.connections -= 1

    def report(self, connector: Connector) -> None:
        """Log why a connection was ended, but not more often than a log can bear."""
        second = self.clock.now_ms() // 1000
        if second != self._report_second:
            if self._unreported:
                log.info("%s: %d more connections ended with errors", self.acceptor.name, self._unreported)
            self._report_second = second
            self._reports = 0
            self._unreported = 0
        self._reports += 1
        if self._reports > REPORTS_A_SECOND:
            self._unreported += 1
        else:
            log.info("%s: %s: %s", self.acceptor.name, connector.peer, connector.failure)
