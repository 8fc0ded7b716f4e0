"""One socket, driving one Connector."""

import asyncio
import logging
from datetime import datetime
from typing import TYPE_CHECKING, Final, cast, final

from gateway.connectors.base import CAME, Connector
from gateway.connectors.carriage import Handover
from gateway.connectors.service import Acceptor
from gateway.net.deadlines import Timed
from gateway.net.peers import end_output, peer_name
from gateway.net.reports import ENDED, LEFT
from gateway.net.tls import Chain
from gateway.net.websocket import Carrier

if TYPE_CHECKING:
    from gateway.net.listener import Listener

log = logging.getLogger("gateway.net")

WRITE_HIGH_WATER: Final = 262_144
"""Bytes the socket's buffer holds before its connector is told to wait."""

JOIN_MAX: Final = 1_048_576
"""Frames up to this many bytes are joined into one write; more are handed over as they are."""

JOIN_FRAME_MAX: Final = 8_192
"""So are frames that have more bytes than this on the average: copying them costs more than a longer vector does."""

CLOSED: Final = "by closing the connection"
"""How a client left that did not say so in its protocol, or has no words for it."""

CLOSE_TIMEOUT_MS: Final = 3_000
"""How long a peer may take to read our last words and to close its side."""


@final
class Transport(asyncio.Protocol, Timed):
    """asyncio's view of the socket on one side, the connector on the other.  An idle one is all there is per client.

    The connector is told its end as soon as nothing more will be read from the client or said to it; the socket may
    stay a little longer, until the last words are through.
    """

    __slots__ = (
        "_close_by_ms",
        "_finish_by_ms",
        "_kept",
        "_listener",
        "_loss",
        "_reading",
        "_socket",
        "_written_by_ms",
        "acceptor",
        "carrier",
        "connector",
        "refusing",
        "unfinished",
    )

    def __init__(self, listener: "Listener", acceptor: Acceptor) -> None:
        Timed.__init__(self)
        self.acceptor = acceptor
        """Makes its connector."""
        self._listener = listener
        self._socket: asyncio.Transport | None = None
        # How the socket was lost.
        self._loss = CLOSED
        self._reading = True
        self._close_by_ms = 0
        # The client has ended its side: what is owed to it may take until then; 0 before.
        self._finish_by_ms = 0
        # It is to be closed, once the frames that are written a part at a time are through or this time has come; 0 before.
        self._written_by_ms = 0
        # What came in the same read, for a client that is not to be heard for now.
        self._kept = b""
        self.unfinished = 0
        """Bytes of a frame that is not whole, as far as they are counted: for Unfinished."""
        self.connector: Connector | None = None
        """None before the connection is accepted and after it has ended."""
        self.carrier: Carrier | None = None
        """What lies between the socket and the connector, when that is not carried by TCP itself."""
        self.refusing = False
        """It is one too many, and is told so."""

    @property
    def drained(self) -> bool:
        """Has the kernel taken everything that was to be written?"""
        if self.connector is not None and self.connector.unwritten:
            return self._socket is None
        return self._socket is None or self._socket.get_write_buffer_size() == 0

    @property
    def certificate_chain(self) -> Chain:
        """The client's TLS certificate, and the authorities above it as far as they matter; empty without one."""
        found: Chain = () if self._socket is None else self._socket.get_extra_info("certificate_chain", ())
        return found

    @property
    def certificate_expires(self) -> datetime | None:
        """When that certificate ends."""
        found: datetime | None = (
            None if self._socket is None else self._socket.get_extra_info("certificate_expires")
        )
        return found

    @property
    def certificate_user(self) -> str | None:
        """Whom that certificate names."""
        found: str | None = None if self._socket is None else self._socket.get_extra_info("certificate_user")
        return found

    # -- called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._socket = cast(asyncio.Transport, transport)
        self._socket.set_write_buffer_limits(WRITE_HIGH_WATER)
        # Both loops have set TCP_NODELAY.
        try:
            self._listener.opened(self, self._listener.too_many_files(transport))
        except Exception:
            self.fail()

    def data_received(self, data: bytes) -> None:
        """The client has sent something; what comes after its connection was ended is read and forgotten."""
        connector = self.connector
        if connector is None or connector.closing:
            return
        if connector.unheard:
            # TLS hands on a read in several pieces, and a loop may have read already.
            self._kept += data
            return
        self._listener.flusher.turn.share()
        self._receive(connector, data)

    def _receive(self, connector: Connector, data: bytes) -> None:
        now_ms = self._now_ms()
        try:
            self._take(connector, data, now_ms)
            self._listener.deadlines.watch(self)
        except Exception:
            self.fail()
            return
        if connector.resumes and not self._listener.flusher.turn.over:
            self._hear(connector)
        current = self.connector
        if current is not None and current.unheard:
            self._read(False)

    def _now_ms(self) -> int:
        """The time, which the broker is told too."""
        listener = self._listener
        now_ms = listener.broker.now_ms = listener.clock.now_ms()
        return now_ms

    def _take(self, connector: Connector, data: bytes, now_ms: int) -> None:
        store = self._listener.broker.store
        before = store.position
        if self.carrier is not None:
            self.carrier.bytes_in(data, now_ms)
        else:
            connector.bytes_in(data, now_ms)
            if connector.handover is not None:
                self._hand_over(connector, now_ms)
        self._count_unfinished()
        if store.congested and store.position != before and self.connector is not None:
            # Whatever it was that has to be written: a note takes as much room as a message.
            self._listener.broker.hold_publisher(self.connector.publisher)

    def _count_unfinished(self) -> None:
        """What is kept of a frame that is not whole may have changed."""
        if self.connector is not None:
            kept = self.connector.unfinished if self.carrier is None else self.carrier.unfinished
            if kept or self.unfinished:
                self._listener.machinery.unfinished.note(self, kept)

    def _hand_over(self, connector: Connector, now_ms: int) -> None:
        """The client goes on in WebSocket: from here on there is a carrier."""
        self.flush(now_ms)
        if self.connector is not connector or connector.closing:
            return
        handover = connector.handover
        assert isinstance(handover, Handover)
        self.carrier = Carrier(self, handover, self._listener.ping_interval_ms, now_ms)
        self.carrier.bytes_in(handover.rest, now_ms)

    def adopt(self, connector: Connector, now_ms: int) -> None:
        """Drive `connector` instead of the one that has been driven so far."""
        former = self.connector
        assert former is not None
        connector.certificate_user = former.certificate_user
        transports = self._listener.flusher.transports
        transports.pop(former, None)
        transports[connector] = self
        self.connector = connector
        former.eof(now_ms)
        if former.paused:
            connector.writable(False)

    def accept_inside(self, acceptor: Acceptor, now_ms: int) -> Connector:
        """A connector for the protocol inside the carrier."""
        return acceptor.accept(self.peer_name(), self._listener.flusher.turn, now_ms)

    def eof_received(self) -> bool:
        """The client will send no more, but may still read: what is owed to it is written, then its connection closed.

        True as long as something is owed that has to wait, such as a receipt for what the store does not have yet.
        """
        now_ms = self._now_ms()
        connector = self.connector
        if connector is not None and not connector.closing:
            try:
                connector.finish(now_ms)
            except Exception:
                self.fail()
        self.flush(now_ms)
        connector = self.connector
        if connector is None:
            return False
        if self._finish_by_ms == 0:
            self._finish_by_ms = now_ms + connector.limits.slow_consumer_timeout_ms
            self._listener.deadlines.watch(self)
            self._look_whether_finished(connector)
        return self.connector is not None

    def _look_whether_finished(self, connector: Connector) -> None:
        if not connector.owes:
            self.close()

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        self._writable(False)

    def resume_writing(self) -> None:
        """There is room in the socket's buffer again."""
        self._writable(True)

    def _writable(self, yes: bool) -> None:
        connector = self.connector
        if connector is None:
            return
        self._now_ms()
        try:
            connector.writable(yes)
        except Exception:
            self.fail()
            return
        if yes:
            self._listener.flusher.turn.mark(connector)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, whoever closed it.

        What has been read and only waits for others to have their turn is handled in later turns, as it would have been.
        """
        self._socket = None
        self._loss = CLOSED if exc is None else f"{CLOSED}: {exc}"
        self._listener.deadlines.forget(self)
        connector = self.connector
        if connector is not None and connector.resumes and not connector.throttled and not connector.closing:
            connector.turn.mark(connector)
        else:
            self._gone()

    def give_up(self, why: str) -> None:
        """See Receiving."""
        connector = self.connector
        if connector is not None and not connector.closing:
            connector.on_unfinished(why)
            connector.turn.mark(connector)

    def _gone(self) -> None:
        """Nothing is left to be done for it."""
        self._listener.machinery.unfinished.note(self, 0)
        self._end(self._loss)
        self.carrier = None
        self._listener.closed(self)
        self._listener.deadlines.forget(self)

    def _hear_out(self, connector: Connector, now_ms: int) -> None:
        """Handle some more of what a client has sent that is gone."""
        if connector.notices is not None:
            self._report(connector)
        try:
            if connector.fault is not None:
                raise connector.fault
            connector.bytes_out(now_ms)
        except Exception:
            self.fail()
        if connector.resumes:
            self._listener.flusher.turn.share()
            self._hear(connector)
        current = self.connector
        if current is None or not current.resumes or current.throttled or current.closing:
            self._gone()

    # -- Timed

    def next_deadline_ms(self) -> int | None:
        """See Timed."""
        connector = self.connector
        if connector is None:
            return self._close_by_ms or None
        if self._written_by_ms:
            # Its last words have been said: there is nothing else to do.
            return self._written_by_ms
        due_ms = connector.next_deadline_ms()
        if self.carrier is not None:
            due_ms = _earlier(due_ms, self.carrier.next_deadline_ms())
        if connector.slow_by_ms:
            due_ms = _earlier(due_ms, connector.slow_by_ms)
        return _earlier(due_ms, self._finish_by_ms) if self._finish_by_ms else due_ms

    def deadline(self, now_ms: int) -> None:
        """See Timed."""
        connector = self.connector
        if connector is None:
            self._close_by_ms = 0
            self.abort()
            return
        self._listener.broker.now_ms = now_ms
        if 0 < self._finish_by_ms <= now_ms or 0 < self._written_by_ms <= now_ms:
            self.close()
            return
        if self._written_by_ms:
            return
        try:
            if 0 < connector.slow_by_ms <= now_ms:
                connector.give_up(now_ms)
                return
            if self.carrier is not None:
                self.carrier.deadline(now_ms)
                due_ms = connector.next_deadline_ms()
                if due_ms is None or due_ms > now_ms:
                    return
            connector.deadline(now_ms)
        except Exception:
            self.fail()

    # -- called by net

    def flush(self, now_ms: int) -> None:
        """Write what the connector has to say; close if it wants that; read on if it wants that again."""
        connector = self.connector
        target = self._socket
        if connector is None:
            return
        if target is None:
            self._hear_out(connector, now_ms)
            return
        if connector.notices is not None:
            self._report(connector)
        try:
            if connector.fault is not None:
                raise connector.fault
            if connector.closing and connector.unwritten:
                self._close_later(connector, now_ms)
            if not connector.paused or (connector.closing and not connector.unwritten):
                size = connector.out_bytes
                large = size > JOIN_MAX or size > JOIN_FRAME_MAX * len(connector.out)
                frames = connector.bytes_out(now_ms)
                if self.carrier is not None:
                    frames = self.carrier.wrap(frames, connector)
                if frames:
                    self._write(target, frames, large)
                connector.written()
        except Exception:
            self.fail()
            return
        if connector.closing:
            if not connector.unwritten:
                self.close()
            return
        if connector.slow_by_ms:
            self._listener.deadlines.watch(self)
        if connector.resumes:
            self._listener.flusher.turn.share()
            self._hear(connector)
            if self.connector is None or connector.closing:
                return
        if self._finish_by_ms:
            self._look_whether_finished(connector)
        elif self._reading == connector.unheard:
            self._read(not connector.unheard)

    def _hear(self, connector: Connector) -> None:
        """Have what has waited handled step by step, as long as one client may be heard in one turn of the loop.

        One step at least: its share may be over already, if the process stood still for a moment, and nobody but a step
        sees to it that there is a next turn.
        """
        turn = self._listener.flusher.turn
        while connector.resumes and connector is self.connector:
            self._go_on(connector, self._now_ms())
            if turn.over:
                break

    def _go_on(self, connector: Connector, now_ms: int) -> None:
        """Have what has waited handled before anything more is read."""
        # Another connection's end may have set the clock.
        self._listener.broker.now_ms = now_ms
        try:
            connector.go_on(now_ms)
            if self.carrier is None:
                if connector.handover is not None:
                    self._hand_over(connector, now_ms)
            elif not connector.unheard:
                self.carrier.go_on(now_ms)
            self._count_unfinished()
        except Exception:
            self.fail()
            return
        if self._kept and not connector.unheard:
            kept = self._kept
            self._kept = b""
            current = self.connector
            if current is not None and not current.closing:
                self._receive(current, kept)

    def _write(self, target: asyncio.Transport, frames: list[bytes], large: bool) -> None:
        # Nothing here is done for each frame: a turn may bring thousands.
        if large:
            self._listener.counters.bytes_out += sum(map(len, frames))
            target.writelines(frames)
            return
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        self._listener.counters.bytes_out += len(data)
        target.write(data)

    def _read(self, yes: bool) -> None:
        target = self._socket
        if target is None or target.is_closing() or self._reading == yes:
            return
        self._reading = yes
        if yes:
            # While it was not read, its answer may have changed what it has to do when.
            self._listener.deadlines.watch(self)
            target.resume_reading()
        else:
            target.pause_reading()

    def shutdown(self, now_ms: int) -> None:
        """The gateway stops: say so, then close."""
        if self.connector is not None:
            if self.carrier is not None:
                self.carrier.leaving = True
            try:
                self.connector.shutdown(now_ms)
            except Exception:
                self.fail()
                return
            self.flush(now_ms)

    def end(self, reason: str, now_ms: int) -> None:
        """The client may not stay, because of `reason`: say so in its protocol's words, then close."""
        connector = self.connector
        if connector is None or connector.closing:
            return
        try:
            connector.dismiss(reason, now_ms)
        except Exception:
            self.fail()
            return
        self.flush(now_ms)

    def _close_later(self, connector: Connector, now_ms: int) -> None:
        """What is written a part at a time, and the last words behind it, have as much time as others' last words have."""
        if self._written_by_ms == 0:
            connector.seal(now_ms)
            self._written_by_ms = now_ms + CLOSE_TIMEOUT_MS
            self._listener.deadlines.watch(self)

    def close(self) -> None:
        """End the connection.  What was written goes out; then the peer is waited for, but not for long.

        Closing a socket with unread bytes in it resets the connection, and the reset overtakes our last words: so
        only our direction is closed, and what still comes is read, until the peer has closed its own.
        """
        connector = self.connector
        target = self._socket
        if connector is None or target is None:
            return
        self._end(CLOSED if self._finish_by_ms and not connector.closing else "")
        self._kept = b""
        if self._finish_by_ms or not end_output(target):
            target.close()
        else:
            self._read(True)
        self._close_by_ms = self._listener.clock.now_ms() + CLOSE_TIMEOUT_MS
        self._listener.deadlines.watch(self)

    def _end(self, how: str = "") -> None:
        """Tell the connector that its connection is over, exactly once; `how` is for the log where nothing failed."""
        connector = self.connector
        if connector is None:
            return
        self.connector = None
        listener = self._listener
        listener.flusher.transports.pop(connector, None)
        now_ms = self._now_ms()
        try:
            connector.eof(now_ms)
        except Exception:
            listener.internal_errors += 1
            log.exception("%s: internal error at the end of a connection", connector.peer)
        self._report_end(connector, how)

    def _report_end(self, connector: Connector, how: str) -> None:
        self._report(connector)
        reports = self._listener.reports
        if connector.failure and not connector.reported:
            reports.add(ENDED, f"{self._named(connector)}: {connector.failure}")
        elif reports.detailed:
            reports.add(LEFT, f"{self._named(connector)} has left {how}".rstrip(), logging.DEBUG)

    def _report(self, connector: Connector) -> None:
        """Put into the log what the connector has noticed."""
        reports = self._listener.reports
        for kind, line in connector.notices or ():
            if kind != CAME:
                reports.add(kind, f"{self._named(connector)}: {line}")
            elif reports.detailed:
                reports.add(kind, f"{self._named(connector)} {line}", logging.DEBUG)
        connector.notices = None

    def _named(self, connector: Connector) -> str:
        who = connector.who
        return f"{self._listener.acceptor.name}: {connector.peer}{' ' if who else ''}{who}"

    def abort(self) -> None:
        """Close at once, whatever is still to be written."""
        if self._socket is not None:
            self._socket.abort()

    def fail(self) -> None:
        """A bug of ours, to be called where its exception is handled: it costs this connection, and no other."""
        self._listener.internal_errors += 1
        log.exception("%s: internal error, the connection is closed", self.peer_name())
        self._end()
        self.abort()

    def peer_name(self) -> str:
        """The client's address as host:port."""
        return peer_name(self._socket)


def _earlier(one_ms: int | None, other_ms: int | None) -> int | None:
    """The earlier of two times, of which either may be never."""
    if one_ms is None or other_ms is None:
        return one_ms or other_ms
    return min(one_ms, other_ms)
