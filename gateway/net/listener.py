"""One listening address: accepts connections up to its limit, and refuses the rest in their own words."""

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, final

from gateway.connectors.base import REFUSED_TALKING_MAX, Counters
from gateway.connectors.service import Acceptor
from gateway.core.router import Broker
from gateway.net.clock import Clock
from gateway.net.deadlines import Deadlines
from gateway.net.doorway import Doorway
from gateway.net.identity import Keeper
from gateway.net.reports import ENDED, Reports
from gateway.net.secure import SecureSocket
from gateway.net.tls import FOREVER, Identity
from gateway.net.transport import Transport
from gateway.net.turn import Flusher
from gateway.net.unfinished import Unfinished
from gateway.net.unix import UnixSocket

log = logging.getLogger("gateway.net")

BACKLOG: Final = 1_024
"""Connections the kernel holds until they are accepted."""

UNFINISHED_BYTES_MAX: Final = 268_435_456
"""Bytes of frames that are not whole, of all connections, unless told otherwise."""

WAITING_MAX: Final = 1_000
"""Connections whose first bytes are waited for, where no TLS says how many."""


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
    connections_max: int = 0
    """Connections of all listeners together; 0 is any number."""
    connections: int = 0
    files_max: int = 0
    """Open files above which no connection is taken: the rest are for the store and the like; 0 is any number."""
    unfinished: Unfinished = field(default_factory=lambda: Unfinished(UNFINISHED_BYTES_MAX))
    """What is not whole of frames."""

    @property
    def full(self) -> bool:
        """Is a further connection one too many?"""
        return 0 < self.connections_max <= self.connections


@final
class Listener:
    """See the module."""

    def __init__(
        self,
        acceptor: Acceptor,
        host: str,
        port: int,
        machinery: Machinery,
        keeper: Keeper | None = None,
        doors: Mapping[str, Acceptor] | None = None,
        secure: bool = True,
        unix: UnixSocket | None = None,
    ) -> None:
        """`keeper`: speaks TLS, on every connection if `secure`, else on those that start with it; the latter only
        where there are `doors`: acceptors by protocol, among which the first bytes choose (`acceptor` is then only
        for name, limits and counters).  `unix`: instead of host and port."""
        self.acceptor = acceptor
        self.keeper = keeper
        self.doors: Mapping[str, Acceptor] = doors or {}
        self.scheme = acceptor.protocol
        """What its URI starts with."""
        self._secure = secure and keeper is not None
        self._waiting: dict[SecureSocket | Doorway, None] = {}
        self.host = host
        self.port = port
        """The port asked for; after `open`, the one it got."""
        self.machinery = machinery
        self.loop = machinery.loop
        self.clock = machinery.clock
        self.broker = machinery.broker
        self.flusher = machinery.flusher
        self.deadlines = machinery.deadlines
        self.reports = machinery.reports
        self.internal_errors = 0
        """Connections that were ended by a bug of ours."""
        self.transports: dict[Transport, None] = {}
        """All open sockets in the order in which they came, also those whose connector has ended already."""
        self.ping_interval_ms = 0
        """How long a client inside WebSocket may be silent before it is asked whether it is there; 0 is for ever."""
        self._unix = unix
        self._refusing = 0
        self._server: asyncio.Server | None = None
        self._stopped = False

    @property
    def address(self) -> str:
        """Where it listens, as host:port, or the path of a Unix socket."""
        if self._unix is not None:
            return str(self._unix.path)
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def counters(self) -> Counters:
        """What this listener's connections count."""
        return self.acceptor.counters

    async def open(self) -> None:
        """Listen.  Raises OSError."""
        if self.keeper is not None:
            self.keeper.on_change = self.identity_changed
        if self._unix is not None:
            bound = self._unix.bind()
            try:
                self._server = await self.loop.create_unix_server(self._protocol, sock=bound, backlog=BACKLOG)
            except OSError:
                bound.close()
                self._unix.remove()
                raise
            return
        self._server = await self.loop.create_server(
            self._protocol,
            self.host,
            self.port,
            backlog=BACKLOG,
            # On Windows this option lets others take the port away.
            reuse_address=os.name == "posix",
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def _protocol(self) -> asyncio.Protocol:
        """What a new connection starts with."""
        if self._secure and self.keeper is not None:
            return SecureSocket(self, self.keeper)
        return self.inner(False)

    def inner(self, secure: bool) -> asyncio.Protocol:
        """What listens to a connection's own bytes; `secure`: they come through TLS."""
        return Doorway(self, secure) if self.doors else Transport(self, self.acceptor)

    def stop_accepting(self) -> None:
        """Close the listening socket; connections stay."""
        self._stopped = True
        if self._server is not None:
            self._server.close()
            self._server = None
            if self._unix is not None:
                self._unix.remove()
        for waiting in list(self._waiting):
            waiting.push_out()

    def identity_changed(self, identity: Identity) -> None:
        """Other certificates and lists are in use: end the sessions of clients that are now revoked."""
        if self.keeper is None or self.keeper.settings.revoked_sessions != "end" or not identity.revoked:
            return
        now_ms = self.clock.now_ms()
        self.broker.now_ms = now_ms
        for transport in list(self.transports):
            if identity.is_revoked(transport.certificate_chain):
                transport.end("the client's certificate was revoked", now_ms)

    def tick(self, now: datetime) -> None:
        """Look after the TLS files, and end sessions whose certificate has, if that is wanted."""
        keeper = self.keeper
        if keeper is None:
            return
        now_ms = self.clock.now_ms()
        keeper.tick(now_ms // 1000)
        if now < keeper.next_expiry:
            return
        keeper.next_expiry = FOREVER
        for transport in list(self.transports):
            expires = transport.certificate_expires
            if expires is None:
                continue
            if expires <= now:
                transport.end("the client's certificate has expired", now_ms)
            else:
                keeper.expires(expires)

    # -- called by its transports, and by what stands before them

    @property
    def waiting_max(self) -> int:
        """Connections that may be without a connector yet."""
        return WAITING_MAX if self.keeper is None else self.keeper.settings.handshakes_max

    def waiting(self, waiting: SecureSocket | Doorway) -> None:
        """A connection has no connector yet.  Of too many, the one that has taken longest makes room: who gets on
        with it is through in a moment, so that slow ones cannot keep others out."""
        if self._stopped:
            waiting.push_out()
            return
        if len(self._waiting) >= self.waiting_max:
            longest = next(iter(self._waiting))
            del self._waiting[longest]
            longest.push_out()
        self._waiting[waiting] = None
        self.deadlines.watch(waiting)

    def no_longer_waiting(self, waiting: SecureSocket | Doorway) -> None:
        """It has got its connector, or is gone."""
        self._waiting.pop(waiting, None)
        self.deadlines.forget(waiting)

    def bug(self, peer: str) -> None:
        """To be called where the exception of a bug of ours is handled."""
        self.internal_errors += 1
        log.exception("%s: internal error, the connection is closed", peer)

    def too_many_files(self, connection: asyncio.BaseTransport) -> bool:
        """Is this connection above what may be open?  The system gives out the lowest number that is free."""
        most = self.machinery.files_max
        raw = connection.get_extra_info("socket") if most else None
        return raw is not None and raw.fileno() >= most

    def turned_away(self) -> None:
        """A connection that has no transport yet is closed unheard, for want of files."""
        self.counters.connections_total += 1
        self.counters.refused += 1
        self._report_files()

    def _report_files(self) -> None:
        self.reports.add(
            ENDED,
            f"{self.acceptor.name}: no more files may be open than {self.machinery.files_max}, closed unheard",
        )

    def opened(self, transport: Transport, scarce: bool = False) -> None:
        """A client has connected: give it a connector, or refuse it; unheard where files are `scarce`."""
        self.transports[transport] = None
        counters = self.counters
        counters.connections_total += 1
        transport.refusing = (
            scarce or self.machinery.full or counters.connections >= self.acceptor.limits.maximum_connections
        )
        if transport.refusing:
            counters.refused += 1
            self._refusing += 1
        else:
            counters.connections += 1
            self.machinery.connections += 1
        if self._stopped:
            transport.abort()
        elif scarce:
            self._report_files()
            transport.abort()
        elif self._refusing > REFUSED_TALKING_MAX and transport.refusing:
            self.reports.add(
                ENDED,
                f"{self.acceptor.name}: {transport.peer_name()}: maximumConnections is reached, closed unheard",
            )
            transport.abort()
        else:
            self._connect(transport)

    def _connect(self, transport: Transport) -> None:
        now_ms = self.clock.now_ms()
        self.broker.now_ms = now_ms
        connector = transport.acceptor.accept(transport.peer_name(), self.flusher.turn, now_ms)
        connector.certificate_user = transport.certificate_user
        transport.connector = connector
        self.flusher.transports[connector] = transport
        if transport.refusing:
            connector.refuse(now_ms)
        self.deadlines.watch(transport)

    def closed(self, transport: Transport) -> None:
        """A socket is gone."""
        self.transports.pop(transport, None)
        if transport.refusing:
            self._refusing -= 1
        else:
            self.counters.connections -= 1
            self.machinery.connections -= 1
