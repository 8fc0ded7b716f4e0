"""One socket, driving one Connector."""

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Final, cast, final

from gateway.connectors.base import Connector
from gateway.net.deadlines import Timed

if TYPE_CHECKING:
    from gateway.net.listener import Listener

log = logging.getLogger("gateway.net")

WRITE_HIGH_WATER: Final = 262_144
"""Bytes the socket's buffer holds before its connector is told to wait."""

JOIN_MAX: Final = 1_048_576
"""Frames up to this many bytes are joined into one write; more are handed over as they are."""

CLOSE_TIMEOUT_S: Final = 2.0
"""How long a peer may take to read our last words."""


@final
class Transport(asyncio.Protocol, Timed):
    """asyncio's view of the socket on one side, the connector on the other.  An idle one is all there is per client."""

    __slots__ = ("_closing", "_listener", "_socket", "connector", "refusing")

    def __init__(self, listener: "Listener") -> None:
        Timed.__init__(self)
        self._listener = listener
        self._socket: asyncio.Transport | None = None
        self._closing = False
        self.connector: Connector | None = None
        self.refusing = False
        """It is one too many, and is told so."""

    # -- called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._socket = cast(asyncio.Transport, transport)
        self._socket.set_write_buffer_limits(WRITE_HIGH_WATER)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listener.opened(self)

    def data_received(self, data: bytes) -> None:
        """The client has sent something."""
        connector = self.connector
        if connector is None or self._closing:
            return
        listener = self._listener
        now_ms = listener.clock.now_ms()
        listener.broker.now_ms = now_ms
        try:
            connector.bytes_in(data, now_ms)
        except Exception:
            self.fail()
            return
        listener.deadlines.watch(self)
        if connector.throttled:
            self._read(False)

    def eof_received(self) -> bool:
        """The client will send no more; what it is owed is still written before the socket is closed."""
        return False

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        if self.connector is not None:
            self.connector.writable(False)

    def resume_writing(self) -> None:
        """There is room in the socket's buffer again."""
        if self.connector is not None:
            self._listener.broker.now_ms = self._listener.clock.now_ms()
            self.connector.writable(True)
            self._listener.flusher.turn.mark(self.connector)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, whoever ended it."""
        connector = self.connector
        self._closing = True
        if connector is None:
            return
        now_ms = self._listener.clock.now_ms()
        self._listener.broker.now_ms = now_ms
        try:
            connector.eof(now_ms)
        except Exception:
            log.exception("%s: a connection could not be ended properly", connector.peer)
        self._listener.closed(self)
        self.connector = None

    # -- Timed

    def next_deadline_ms(self) -> int | None:
        """See Timed."""
        connector = self.connector
        return None if connector is None or self._closing else connector.next_deadline_ms()

    def deadline(self, now_ms: int) -> None:
        """See Timed."""
        if self.connector is not None:
            self._listener.broker.now_ms = now_ms
            self.connector.deadline(now_ms)

    # -- called by net

    def flush(self) -> None:
        """Write what the connector has to say; close if it wants that; read on if it wants that again."""
        connector = self.connector
        target = self._socket
        if connector is None or target is None or self._closing:
            return
        if not connector.paused or connector.closing:
            frames = connector.bytes_out(self._listener.clock.now_ms())
            if frames:
                self._write(target, frames)
            connector.written()
        if connector.closing:
            self.close()
        else:
            self._read(not connector.throttled)

    def _write(self, target: asyncio.Transport, frames: list[bytes]) -> None:
        data = frames[0] if len(frames) == 1 else b""
        if not data:
            size = 0
            for frame in frames:
                size += len(frame)
            if size > JOIN_MAX:
                self._listener.counters.bytes_out += size
                target.writelines(frames)
                return
            data = b"".join(frames)
        self._listener.counters.bytes_out += len(data)
        target.write(data)

    def _read(self, yes: bool) -> None:
        target = self._socket
        if target is None or target.is_closing() or target.is_reading() == yes:
            return
        if yes:
            target.resume_reading()
        else:
            target.pause_reading()

    def shutdown(self, now_ms: int) -> None:
        """The gateway stops: say so, then close."""
        if self.connector is not None and not self._closing:
            try:
                self.connector.shutdown(now_ms)
            except Exception:
                self.fail()
                return
            self.flush()

    def close(self) -> None:
        """Close once what was written has gone out, or after a while whether or not it has."""
        target = self._socket
        if target is None or self._closing:
            return
        self._closing = True
        connector = self.connector
        if connector is not None and connector.failure:
            self._listener.report(connector)
        target.close()
        self._listener.loop.call_later(CLOSE_TIMEOUT_S, target.abort)

    def abort(self) -> None:
        """Close at once."""
        self._closing = True
        if self._socket is not None:
            self._socket.abort()

    def peer_name(self) -> str:
        """The client's address as host:port."""
        name = None if self._socket is None else self._socket.get_extra_info("peername")
        return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "local"

    def fail(self) -> None:
        """A bug of ours: it costs this connection, and no other."""
        peer = "" if self.connector is None else self.connector.peer
        log.exception("%s: internal error, the connection is closed", peer)
        self._listener.internal_errors += 1
        self.abort()
