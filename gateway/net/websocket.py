"""WebSocket between a socket and a connector: frames on one side, what the protocol inside says on the other."""

from typing import TYPE_CHECKING, Final, final

from gateway.connectors.base import Connector
from gateway.connectors.carriage import Handover, Route
from gateway.connectors.parts import BEGINS, ENDS, WHOLE
from protocols.websocket.connection import WebSocketConnection
from protocols.websocket.constants import GOING_AWAY, NORMAL, POLICY_VIOLATION
from protocols.websocket.frames import Data
from protocols.websocket.state import OPEN

if TYPE_CHECKING:
    from gateway.net.transport import Transport

UNDECIDED_MAX: Final = 4_096
"""Bytes of frames that are kept until it is clear which protocol they carry."""


@final
class Carrier:
    """One WebSocket.  Until its client has said enough to know the protocol, the connector of its handshake stays."""

    __slots__ = (
        "_begun_bytes",
        "_begun_ms",
        "_handover",
        "_heard_ms",
        "_pieces",
        "_ping_interval_ms",
        "_pinged",
        "_raw",
        "_strange",
        "_transport",
        "_whole",
        "_wire",
        "leaving",
    )

    def __init__(
        self, transport: "Transport", handover: Handover, ping_interval_ms: int, now_ms: int
    ) -> None:
        self._transport = transport
        self._handover: Handover | None = handover
        self._wire: WebSocketConnection = handover.probe()
        self._raw = b""
        # Unpacked and not handed on: the client is not to be heard for now.
        self._pieces: list[Data] = []
        self._ping_interval_ms = ping_interval_ms
        # Since when a message is under way that is wanted whole, and what has come of it; 0 while none is.
        self._begun_ms = 0
        self._begun_bytes = 0
        # Its messages are kept small until it is known who the client is.
        self._strange = False
        # The protocol inside lives in messages.
        self._whole = False
        self._heard_ms = now_ms
        self._pinged = False
        self.leaving = False
        """The gateway stops: the Close says so (RFC 6455 §7.4.1)."""
        if handover.route is not None:
            self._begin(handover, handover.route, now_ms)

    # -- from the socket

    @property
    def unfinished(self) -> int:
        """Bytes that are kept of a message that is not whole, or of a frame of the protocol inside."""
        connector = self._transport.connector
        return self._wire.kept_bytes + (0 if connector is None else connector.unfinished)

    def bytes_in(self, data: bytes, now_ms: int) -> None:
        """The client sent `data`."""
        self._heard_ms = now_ms
        self._pinged = False
        if self._handover is not None:
            data = self._decide(self._handover, data, now_ms)
        connector = self._transport.connector
        if connector is not None and data:
            if self._strange and not connector.stranger:
                self._strange = False
                self._wire.limit(connector.limits.max_frame_size)
            self._take(data, connector, now_ms)
            self._look_at_message(len(data), now_ms)

    def _look_at_message(self, size: int, now_ms: int) -> None:
        """A message that is wanted whole may take its time, but has to come all the while."""
        if not self._whole or not self._wire.unfinished:
            self._begun_ms = 0
            self._begun_bytes = 0
        else:
            self._begun_bytes += size
            if self._begun_ms == 0:
                self._begun_ms = now_ms

    def go_on(self, now_ms: int) -> None:
        """The client is heard again: what has come before may have been left waiting."""
        connector = self._transport.connector
        if connector is not None and (self._pieces or self._wire.more or self._wire.state != OPEN):
            self._take(b"", connector, now_ms)

    def _take(self, data: bytes, connector: Connector, now_ms: int) -> None:
        wire = self._wire
        while True:
            pieces = self._pieces + wire.receive_data(data) if data or not self._pieces else self._pieces
            self._pieces = []
            for at, piece in enumerate(pieces):
                connector.bytes_in(piece.data, now_ms)
                if connector.closing:
                    return
                if connector.unheard or connector.turn.over:
                    self._pieces = pieces[at + 1 :]
                    break
            data = b""
            if self._pieces or wire.more:
                if connector.unheard:
                    return
                if connector.turn.over:
                    # Others have their turn first.
                    connector.resumes = True
                    connector.turn.mark(connector)
                    return
            if not wire.more:
                break
        if wire.state == OPEN or not connector.unheard:
            # Who closes is heard to the end first.
            self._look(wire, connector)

    def _look(self, wire: WebSocketConnection, connector: Connector) -> None:
        """Have what the frames themselves want to say written, and see whether they were the last."""
        if wire.state != OPEN:
            if wire.failure:
                connector.counters.protocol_errors += 1
                connector.failure = wire.failure
            connector.closing = True
            connector.turn.mark(connector)
        elif wire.out:
            connector.turn.mark(connector)

    # -- which protocol?

    def _decide(self, handover: Handover, data: bytes, now_ms: int) -> bytes:
        """Look at what has come so far; once that is enough, begin, and give it back as what came."""
        raw = self._raw = self._raw + data
        probe = handover.probe()
        first = b"".join([piece.data for piece in probe.receive_data(raw)])
        route = handover.recognised(first)
        if route is not None:
            self._raw = b""
            self._begin(handover, route, now_ms)
            return raw
        if not handover.recognisable(first) or len(raw) > UNDECIDED_MAX:
            self._give_up("what the client says is in no protocol that is known here")
        elif probe.state != OPEN:
            self._wire = probe
            connector = self._transport.connector
            if connector is not None:
                self._look(probe, connector)
        return b""

    def _give_up(self, why: str) -> None:
        connector = self._transport.connector
        if connector is not None:
            connector.counters.protocol_errors += 1
            connector.failure = why
            connector.closing = True
            connector.turn.mark(connector)

    def _begin(self, handover: Handover, route: Route, now_ms: int) -> None:
        """From here on the connector of the protocol inside is driven."""
        self._handover = None
        self._wire = handover.wire(route)
        self._whole = route.carriage.whole
        connector = self._transport.accept_inside(route.acceptor, now_ms)
        connector.offered = handover.offered
        if connector.stranger and self._whole:
            self._strange = True
            self._wire.limit(min(connector.limits.connect_frame_size, connector.limits.max_frame_size))
        self._transport.adopt(connector, now_ms)

    # -- to the socket

    def wrap(self, frames: list[bytes], connector: Connector) -> list[bytes]:
        """What goes on the wire for `frames` of the connector, its Close included when that is at its end."""
        wire = self._wire
        out = wire.taken()
        if connector.cut == WHOLE:
            wrapped = wire.encode(frames)
        else:
            wrapped = wire.encode_part(frames[0], connector.cut & BEGINS != 0, connector.cut & ENDS != 0)
        if out:
            out.extend(wrapped)
        else:
            out = wrapped
        if connector.closing and not connector.unwritten:
            wire.send_close(*self._reason(connector))
            last_word = wire.last_word()
            if last_word:
                out.append(last_word)
        return out

    def _reason(self, connector: Connector) -> tuple[int, str]:
        if self.leaving:
            return GOING_AWAY, "the gateway is shutting down"
        if connector.failure:
            return POLICY_VIOLATION, connector.failure
        return NORMAL, ""

    # -- time

    def next_deadline_ms(self) -> int | None:
        """When a silent client is to be asked, or given up."""
        ping_ms = self._heard_ms + self._ping_interval_ms * (2 if self._pinged else 1)
        connector = self._transport.connector
        if self._begun_ms and connector is not None:
            whole_by_ms = connector.limits.whole_by_ms(self._begun_ms, self._begun_bytes)
            return min(whole_by_ms, ping_ms) if self._ping_interval_ms else whole_by_ms
        return ping_ms if self._ping_interval_ms else None

    def deadline(self, now_ms: int) -> None:
        """Ask whether the client is there; give it up when it has been asked before."""
        due_ms = self.next_deadline_ms()
        connector = self._transport.connector
        if due_ms is None or now_ms < due_ms or connector is None:
            return
        if connector.throttled:
            # What it may have answered has not been read.
            self._heard_ms = now_ms
            if self._begun_ms:
                self._begun_ms = now_ms
        elif self._begun_ms and now_ms >= connector.limits.whole_by_ms(self._begun_ms, self._begun_bytes):
            self._give_up("a message took too long")
        elif self._pinged:
            self._give_up("does not answer pings")
        else:
            self._pinged = True
            self._wire.send_ping()
            connector.turn.mark(connector)
