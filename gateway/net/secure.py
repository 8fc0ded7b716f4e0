"""TLS between a socket and what drives it: asyncio's protocol to the one, asyncio's transport to the other.

A layer of our own rather than the loop's: a connection can turn to TLS after its first bytes were looked at, its
handshake is bounded in time and number before any connector exists, and what a turn writes is encrypted in one go.
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast, final

from cryptography import x509

from gateway.net import tls
from gateway.net.deadlines import Timed
from gateway.net.hello import Hello
from gateway.net.identity import Keeper
from gateway.net.peers import end_output, peer_name
from gateway.net.reports import HANDSHAKES

if TYPE_CHECKING:
    from gateway.net.listener import Listener

RECORD: Final = 16_384
"""Bytes of plaintext in the largest record (RFC 8446 §5.1)."""

CHUNK: Final = 65_536
"""Bytes handed to OpenSSL at a time: its buffers grow to what they are given, and stay so large."""

WRITE_CHUNK: Final = 262_144
"""Bytes encrypted before they are handed to the socket."""

LINGER_MS: Final = 1_000
"""How long a peer that was refused may take to read why."""

OWN_BYTES_MAX: Final = 4_096
"""Answers of TLS's own that may wait for a client to read them: room for a hundred new keys and more, and one is enough
for gigabytes (RFC 8446 §4.6.3, §5.5)."""

QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
"""Linux has it."""

ENCODING_DER: Final = 2
"""As OpenSSL's module has it."""

HANDSHAKE: Final = 0
OPEN: Final = 1
CLOSING: Final = 2


@final
class SecureSocket(asyncio.Protocol, Timed):
    """One connection's TLS.  What drives it is made when the client has shaken hands and said something: who only
    knocks, or shakes hands and leaves, costs no more than that."""

    __slots__ = (
        "_due_ms",
        "_hello",
        "_incoming",
        "_inner",
        "_keeper",
        "_listener",
        "_outgoing",
        "_own_bytes",
        "_socket",
        "_state",
        "_ticket_bytes",
        "_tls",
        "chain",
        "expires",
        "user",
    )

    def __init__(self, listener: "Listener", keeper: Keeper) -> None:
        Timed.__init__(self)
        self._listener = listener
        self._keeper = keeper
        self._inner: asyncio.Protocol | None = None
        """None until the first bytes are there."""
        self._socket: asyncio.Transport | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = keeper.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._hello: Hello | None = Hello() if keeper.settings.more else None
        """The beginning, until it is known which of several names is asked for; None from then on."""
        self._state = HANDSHAKE
        self._due_ms = 0
        # Bytes of what TLS itself has answered since the socket had taken all that was written.
        self._own_bytes = 0
        # Of a session ticket that waits for the first answer.
        self._ticket_bytes = 0
        self.chain: tls.Chain = ()
        """The client's certificate first; empty without one."""
        self.expires: datetime | None = None
        """When that certificate does."""
        self.user: str | None = None
        """Whom it names."""

    # -- called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected, and will now shake hands."""
        self._socket = cast(asyncio.Transport, transport)
        if self._listener.too_many_files(transport):
            self._listener.turned_away()
            self.abort()
            return
        self._due_ms = self._listener.clock.now_ms() + self._keeper.settings.handshake_timeout_ms
        self._listener.waiting(self)

    def data_received(self, data: bytes) -> None:
        """Encrypted bytes; after our end they are read and forgotten."""
        if self._state == OPEN:
            self._receive(data)
        elif self._state == HANDSHAKE:
            self._shake_hands(data)

    def eof_received(self) -> bool | None:
        """The client will send no more."""
        inner = self._inner
        return inner.eof_received() if self._state == OPEN and inner is not None else False

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        if self._state == OPEN and self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """There is room in the socket's buffer again."""
        if self._state == OPEN and self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._listener.no_longer_waiting(self)
        self._socket = None
        self._state = CLOSING
        if self._inner is not None:
            self._inner.connection_lost(exc)

    # -- Timed

    def next_deadline_ms(self) -> int | None:
        """See Timed."""
        return self._due_ms or None

    def deadline(self, now_ms: int) -> None:
        """The handshake takes too long, or nothing follows it, or the peer does not read why it was refused."""
        if self._state == HANDSHAKE:
            self._keeper.handshakes_timed_out += 1
            self._report("TLS handshake not finished in time")
        elif self._state == OPEN:
            self._report("nothing was said after the TLS handshake")
        self.abort()

    def push_out(self) -> None:
        """Others want to shake hands, and this one does not get on with it."""
        if self._state == HANDSHAKE:
            self._keeper.handshakes_pushed_out += 1
        self.abort()

    # -- handshake

    def _shake_hands(self, data: bytes) -> None:
        if self._hello is not None:
            name = self._hello.add(data)
            if name is None:
                return
            data = self._hello.data
            self._hello = None
            self._begin_as(name)
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send()
            return
        except ssl.SSLError as error:
            self._refuse(_reason(error))
            return
        except Exception:
            self._listener.bug(self._peer_name())
            self.abort()
            return
        if self._tls.version() == "TLSv1.3":
            # All that is left is a session ticket, which goes out with the first answer: a client that closes with
            # something unread in its socket sends a reset, and throws away what it has not sent yet.
            self._ticket_bytes = self._outgoing.pending
            if not self._incoming.pending:
                self._acknowledge()
        else:
            self._send()
        problem = self._look_at_certificate()
        if problem:
            self._refuse(problem)
        else:
            self._open()

    def _acknowledge(self) -> None:
        """Let the client's system know now that all has come.

        With Nagle's algorithm it would hold what the client says next back until the delayed acknowledgement, 40 ms.
        """
        sock = None if self._socket is None else self._socket.get_extra_info("socket")
        if sock is not None and QUICKACK is not None:
            # There is nothing to be told to who has gone meanwhile, nor on a Unix socket.
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)

    def _begin_as(self, name: str) -> None:
        """Begin with the context of a name, so that no ticket of another one counts."""
        identity = self._keeper.identity
        assert identity is not None
        if name:
            context = identity.context_for(name)
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def _look_at_certificate(self) -> str:
        """Note whom the client's certificate names; answers why it is not good, which OpenSSL does not ask again
        when a session is resumed."""
        settings = self._keeper.settings
        data = None if settings.client_certificates == "no" else self._tls.getpeercert(True)
        if data is None:
            return ""
        identity = self._keeper.identity
        assert identity is not None
        try:
            certificate = x509.load_der_x509_certificate(data)
            verified = _verified(self._tls) if identity.whole_chains else ()
            self.chain = identity.chain_of(certificate, verified)
            self.user = tls.user_of(certificate, settings.user_from)
        except ValueError:
            return "the client's certificate cannot be read"
        now = datetime.now(UTC)
        if identity.is_revoked(self.chain):
            return "certificate revoked"
        if identity.is_overdue(self.chain, now):
            return "the revocation list of the client's authority is overdue"
        self._keeper.expires(certificate.not_valid_after_utc)
        self.expires = certificate.not_valid_after_utc
        return "certificate has expired" if self.expires < now else ""

    def _open(self) -> None:
        self._keeper.handshakes += 1
        self._state = OPEN
        if self._incoming.pending:
            self._decrypt()

    def _attach(self) -> asyncio.Protocol | None:
        """The client has said something: have somebody listen.  None when its certificate was revoked meanwhile."""
        identity = self._keeper.identity
        if identity is not None and identity.is_revoked(self.chain):
            self._report("TLS: certificate revoked")
            self.close()
            return None
        self._due_ms = 0
        self._listener.no_longer_waiting(self)
        inner = self._inner = self._listener.inner(True)
        # From here on this is a transport to `inner`.
        inner.connection_made(cast(asyncio.BaseTransport, self))
        # It may have made way for another already.
        return self._inner

    def _refuse(self, reason: str) -> None:
        self._keeper.handshakes_failed += 1
        self._report(f"TLS: {reason}")
        self._send()
        self._state = CLOSING
        target = self._socket
        if target is None or not end_output(target):
            self.abort()
            return
        self._due_ms = self._listener.clock.now_ms() + LINGER_MS
        self._listener.deadlines.watch(self)

    def _report(self, reason: str) -> None:
        self._listener.reports.add(
            HANDSHAKES, f"{self._listener.acceptor.name}: {self._peer_name()}: {reason}"
        )

    def _peer_name(self) -> str:
        return peer_name(self._socket)

    # -- bytes in

    def _receive(self, data: bytes) -> None:
        if self._own_bytes and self.get_write_buffer_size() == 0:
            self._own_bytes = 0
        if len(data) <= CHUNK:
            self._incoming.write(data)
            self._decrypt()
            return
        view = memoryview(data)
        for at in range(0, len(data), CHUNK):
            self._incoming.write(view[at : at + CHUNK])
            self._decrypt()
            if self._state != OPEN:
                return

    def _decrypt(self) -> None:
        parts: list[bytes] = []
        read = self._tls.read
        ended = False
        try:
            while True:
                part = read(RECORD)
                if not part:
                    ended = True
                    break
                parts.append(part)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._broken(parts, _reason(error))
            return
        own = self._outgoing.pending - self._ticket_bytes
        if own:
            self._own_bytes += own
            if self._own_bytes > OWN_BYTES_MAX:
                self._broken(parts, "asks for new keys again and again")
                return
        if parts:
            self._hand_on(parts)
        if self._outgoing.pending > self._ticket_bytes and self._state == OPEN:
            # Answers to what is TLS's own, such as a new key.
            self._send()
        if ended and self._state == OPEN and (self._inner is None or not self._inner.eof_received()):
            self.close()

    def _hand_on(self, parts: list[bytes]) -> None:
        inner = self._inner or self._attach()
        if inner is not None and self._state == OPEN:
            inner.data_received(parts[0] if len(parts) == 1 else b"".join(parts))

    def _broken(self, parts: list[bytes], reason: str) -> None:
        """What was whole counts; then the connection is over."""
        if parts:
            self._hand_on(parts)
        self._report(f"TLS: {reason}")
        self._listener.counters.protocol_errors += 1
        self._send()
        self.abort()

    # -- bytes out, as asyncio.Transport has them

    def _send(self) -> None:
        target = self._socket
        if target is not None and self._outgoing.pending:
            self._ticket_bytes = 0
            target.write(self._outgoing.read())

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        if self._state != OPEN or not data:
            return
        write = self._tls.write
        if len(data) <= RECORD:
            write(data)
            self._send()
            return
        view = memoryview(data)
        at = sent = 0
        # OpenSSL takes a record at a time.
        while at < len(data):
            at += write(view[at:])
            if at - sent >= WRITE_CHUNK:
                sent = at
                self._send()
        self._send()

    def writelines(self, frames: list[bytes]) -> None:
        """Encrypt and send: joined, since each write makes records of its own."""
        self.write(b"".join(frames))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See asyncio.Transport."""
        if self._socket is not None:
            self._socket.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """See asyncio.Transport."""
        return 0 if self._socket is None else self._socket.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See asyncio.Transport; `certificate…` is of the client's, `alpn` what was agreed on."""
        if name == "certificate_user":
            return self.user
        if name == "certificate_chain":
            return self.chain
        if name == "certificate_expires":
            return self.expires
        if name == "alpn":
            return self._tls.selected_alpn_protocol()
        if name == "socket":
            # Its options are set already (both loops set TCP_NODELAY), and to ask for it is dear.
            return None
        return default if self._socket is None else self._socket.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See asyncio.Transport."""
        self._inner = cast(asyncio.Protocol, protocol)

    def pause_reading(self) -> None:
        """See asyncio.Transport."""
        if self._socket is not None:
            self._socket.pause_reading()

    def resume_reading(self) -> None:
        """See asyncio.Transport."""
        if self._socket is not None:
            self._socket.resume_reading()

    def is_closing(self) -> bool:
        """See asyncio.Transport."""
        return self._socket is None or self._state == CLOSING or self._socket.is_closing()

    def can_write_eof(self) -> bool:
        """See asyncio.Transport: TLS has an end of its own for each direction."""
        return self._socket is not None and self._socket.can_write_eof()

    def _notify_close(self) -> None:
        self._state = CLOSING
        try:
            self._tls.unwrap()
        except (ssl.SSLError, ValueError):
            # The peer's own notice has not come yet, and need not.
            pass
        self._send()

    def write_eof(self) -> None:
        """Say that no more will come; what the peer still sends is read and forgotten."""
        if self._state == OPEN and self._socket is not None:
            self._notify_close()
            self._socket.write_eof()

    def close(self) -> None:
        """See asyncio.Transport."""
        if self._state == OPEN:
            self._notify_close()
        if self._socket is not None:
            self._socket.close()

    def abort(self) -> None:
        """See asyncio.Transport."""
        self._state = CLOSING
        if self._socket is not None:
            self._socket.abort()


def _verified(connection: ssl.SSLObject) -> list[bytes]:
    """The chain that OpenSSL has verified, as DER, the leaf first; empty for a resumed session."""
    # Public from Python 3.13 on, where it answers with bytes.
    public = getattr(connection, "get_verified_chain", None)
    if public is not None:
        found: list[bytes] = public()
        return found
    inner: Any = connection._sslobj  # type: ignore[attr-defined]
    return [item.public_bytes(ENCODING_DER) for item in inner.get_verified_chain() or ()]


def _reason(error: ssl.SSLError) -> str:
    """What went wrong, in OpenSSL's words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or "certificate not accepted"
    return (error.reason or "protocol error").replace("_", " ").lower()
