"""Where a connection waits until its first bytes have said what it speaks."""

import asyncio
from typing import TYPE_CHECKING, Final, cast, final

from gateway.net import detect
from gateway.net.deadlines import Timed
from gateway.net.peers import end_output, peer_name
from gateway.net.reports import ENDED
from gateway.net.secure import SecureSocket
from gateway.net.transport import Transport

if TYPE_CHECKING:
    from gateway.net.listener import Listener

LINGER_MS: Final = 1_000
"""How long somebody who was refused may take to read why."""


@final
class Doorway(asyncio.Protocol, Timed):
    """Looks at the first bytes, makes way for who understands them, and hands them on."""

    __slots__ = ("_due_ms", "_head", "_listener", "_refused", "_secure", "_socket")

    def __init__(self, listener: "Listener", secure: bool = False) -> None:
        """`secure`: the bytes have come through TLS already."""
        Timed.__init__(self)
        self._listener = listener
        self._secure = secure
        self._socket: asyncio.Transport | None = None
        self._head = b""
        self._refused = False
        self._due_ms = 0

    # -- called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected, and will say something now."""
        self._socket = cast(asyncio.Transport, transport)
        listener = self._listener
        if listener.too_many_files(transport):
            listener.turned_away()
            self._socket.abort()
            return
        self._due_ms = listener.clock.now_ms() + listener.acceptor.limits.connect_timeout_ms
        listener.waiting(self)
        agreed = transport.get_extra_info("alpn")
        if agreed in listener.doors:
            self._make_way(Transport(listener, listener.doors[agreed]))

    def data_received(self, data: bytes) -> None:
        """The first bytes, or some more of them; what comes after a refusal is read and forgotten."""
        if self._refused or self._socket is None:
            return
        self._head += data
        found = detect.recognise(self._head[: detect.HEAD_BYTES_MAX])
        if found is None and len(self._head) < detect.HEAD_BYTES_MAX:
            return
        listener = self._listener
        keeper = listener.keeper
        if found == detect.TLS and keeper is not None and not self._secure:
            self._make_way(SecureSocket(listener, keeper))
        elif found is not None and found in listener.doors:
            self._make_way(Transport(listener, listener.doors[found]))
        else:
            self._refuse(found or detect.UNKNOWN)

    def eof_received(self) -> bool:
        """The client says no more."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._listener.no_longer_waiting(self)
        self._socket = None

    # -- Timed

    def next_deadline_ms(self) -> int | None:
        """See Timed."""
        return self._due_ms or None

    def deadline(self, now_ms: int) -> None:
        """Nothing understandable has come in time."""
        self.push_out()

    def push_out(self) -> None:
        """Others wait, and this one has not said what it wants."""
        if self._socket is not None:
            self._socket.abort()

    def _make_way(self, successor: Transport | SecureSocket) -> None:
        target = self._socket
        assert target is not None
        self._socket = None
        self._due_ms = 0
        self._listener.no_longer_waiting(self)
        target.set_protocol(successor)
        successor.connection_made(target)
        if self._head:
            successor.data_received(self._head)

    def _refuse(self, found: str) -> None:
        listener = self._listener
        target = self._socket
        assert target is not None
        known = ", ".join(sorted(listener.doors))
        what = f"speaks {found}, which is not spoken here" if found else "speaks no protocol that is known"
        listener.reports.add(ENDED, f"{listener.acceptor.name}: {peer_name(target)}: {what} (but {known})")
        listener.counters.protocol_errors += 1
        if found == detect.HTTP:
            text = f"This port speaks {known}, and no HTTP.\n".encode()
            target.write(
                b"HTTP/1.1 501 Not Implemented\r\nConnection: close\r\nContent-Type: text/plain\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(text), text)
            )
        self._head = b""
        self._refused = True
        if not end_output(target):
            target.close()
            return
        self._due_ms = listener.clock.now_ms() + LINGER_MS
        listener.deadlines.watch(self)
