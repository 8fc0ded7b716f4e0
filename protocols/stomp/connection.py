"""The server's side of one STOMP connection: bytes in, frames out; calls in, bytes out.

The connection answers the peer's mistakes and keeps the heart-beats.  What a frame means is the caller's business.
"""

from typing import Final, final

from protocols.errors import LocalProtocolError
from protocols.stomp.codec import encode_connected, encode_error, encode_receipt
from protocols.stomp.constants import V1_0, V_CONNECT
from protocols.stomp.errors import NotStomp, PeerSilent, StompError
from protocols.stomp.frames import Connect, ConnectionFailed, Frame
from protocols.stomp.reader import FrameReader, StompLimits
from protocols.stomp.state import CLOSING, CONNECTED, NEW

__all__ = ["StompConnection", "StompLimits"]

HEART_BEAT: Final = b"\n"
"""An EOL between frames (§Heart-beating)."""


SLACK: Final = 5
"""A heart-beat is sent by this part of its time before that is over."""


@final
class StompConnection:
    """See the module.  No method raises for what a peer sent; LocalProtocolError is the caller's mistake."""

    __slots__ = (
        "_connect_deadline_ms",
        "_implicit",
        "_limits",
        "_listening",
        "_reader",
        "_welcomed",
        "closing",
        "last_received_ms",
        "last_sent_ms",
        "out",
        "send_every_ms",
        "silence_max_ms",
        "state",
        "version",
    )

    def __init__(self, limits: StompLimits, now_ms: int) -> None:
        self._limits = limits
        self._reader = FrameReader(limits)
        self._connect_deadline_ms = now_ms + limits.connect_timeout_ms
        self._listening = True
        self._welcomed = False
        self._implicit = False
        self.state = NEW
        self.version = V_CONNECT
        """The version agreed on with the client's CONNECT; "" before."""
        self.out: list[bytes] = []
        """Bytes for the peer, in order; MESSAGEs may be appended directly."""
        self.closing = False
        """Write what is in `out`, then close.  After a DISCONNECT the caller decides, with `close`."""
        self.last_received_ms = now_ms
        self.last_sent_ms = now_ms
        """For a caller that writes by itself: when it did so last."""
        self.send_every_ms = 0
        """The heart-beat we owe the peer; 0: none."""
        self.silence_max_ms = 0
        """How long the peer may say nothing; 0: for ever.  Set from its heart-beat, and the caller may change it."""

    # -- from the peer

    def receive_data(self, data: bytes, now_ms: int) -> list[Frame]:
        """The frames that `data` completes; ConnectionFailed is the last one if the peer made a mistake.

        What follows a CONNECT is kept until that is answered; see `more`.
        """
        frames: list[Frame] = []
        if self.closing:
            return frames
        self.last_received_ms = now_ms
        reader = self._reader
        if self.state == CONNECTED and not self._welcomed:
            reader.keep(data)
            return frames
        try:
            reader.feed(data, frames)
        except StompError as error:
            self._adopt(frames)
            self._fail(error, frames)
            return frames
        if reader.state != self.state:
            self._adopt(frames)
        return frames

    @property
    def more(self) -> bool:
        """Bytes have come behind the CONNECT, and it has been answered: call `receive_data` again."""
        return self._welcomed and self._reader.more

    @property
    def unfinished(self) -> int:
        """Bytes that are kept of a body that is not whole."""
        return self._reader.body_bytes

    def receive_eof(self, now_ms: int) -> list[Frame]:
        """The peer closed; ConnectionFailed if it did so within a frame."""
        frames: list[Frame] = []
        if not self.closing and self._reader.unfinished():
            frames.append(ConnectionFailed("the connection ended within a frame"))
        self.close()
        return frames

    def _adopt(self, frames: list[Frame]) -> None:
        """Follow the reader into its new state; the CONNECT that opened the connection is the first of `frames`."""
        if self.state == NEW and frames:
            connect = frames[0]
            if isinstance(connect, Connect):
                self.version = connect.version
                self._implicit = connect.implicit
                self._negotiate(connect.heart_beat)
        self.state = self._reader.state

    def _negotiate(self, heart_beat: tuple[int, int]) -> None:
        """Each way the slower of the two wishes; 0 on either side is none (§Heart-beating)."""
        can_send, wants = heart_beat
        limits = self._limits
        if limits.heart_beat_send_ms and wants:
            agreed_ms = max(limits.heart_beat_send_ms, wants)
            # Early, since not all peers allow for the way.
            self.send_every_ms = agreed_ms - agreed_ms // SLACK
        if limits.heart_beat_want_ms and can_send:
            # The clause asks for an error margin; brokers take one whole interval.
            self.silence_max_ms = 2 * max(limits.heart_beat_want_ms, can_send)

    # -- to the peer

    def send_connected(self, session: str, server: str) -> None:
        """CONNECTED, in the version and with the heart-beats that CONNECT led to; nothing when that never came."""
        if self.state == NEW or self._welcomed:
            raise LocalProtocolError("CONNECTED is the answer to one CONNECT")
        self._welcomed = True
        if not self.closing and not self._implicit:
            limits = self._limits
            # 1.0 has none, and is told so: clients of all versions look for the header.
            silent = self.version == V1_0
            heart_beat = (0, 0) if silent else (limits.heart_beat_send_ms, limits.heart_beat_want_ms)
            self.out.append(encode_connected(self.version, session, server, heart_beat))

    def send_receipt(self, receipt_id: str) -> None:
        """RECEIPT; nothing once an ERROR has been said."""
        if self.state == NEW:
            raise LocalProtocolError("RECEIPT before CONNECT")
        if not self.closing:
            self.out.append(encode_receipt(receipt_id, self.version))

    def send_error(self, message: str, body: str = "", receipt_id: str | None = None) -> None:
        """ERROR, then the end of the connection (§ERROR); nothing when the end has been said already."""
        if not self.closing:
            self.out.append(encode_error(message, receipt_id, body, self.version or V1_0))
        self.close()

    def close(self) -> None:
        """Take nothing more from the peer; `closing` once `out` is written."""
        self.closing = True
        self.state = CLOSING
        self._reader.close()

    def data_to_send(self, now_ms: int) -> list[bytes]:
        """Take what is in `out`."""
        data = self.out
        if data:
            self.out = []
            self.last_sent_ms = now_ms
        return data

    def _fail(self, error: StompError, frames: list[Frame]) -> None:
        """Say why in the protocol's own words, and end the connection (§ERROR)."""
        reason = str(error)
        if not isinstance(error, NotStomp):
            body = f"{error.title}: {reason}\nThe connection is closed.\n"
            self.out.append(encode_error(reason, error.receipt, body, self.version))
        self.close()
        frames.append(ConnectionFailed(reason))

    # -- time

    def next_deadline_ms(self) -> int | None:
        """When `handle_deadline` wants to be called; None: never."""
        if self.closing:
            return None
        if self.state == NEW:
            return self._connect_deadline_ms if self._limits.connect_timeout_ms else None
        beat = self.last_sent_ms + self.send_every_ms
        silent = self.last_received_ms + self.silence_max_ms
        waits = self.silence_max_ms != 0 and self._listening and self.state == CONNECTED
        if self.send_every_ms == 0:
            return silent if waits else None
        return min(beat, silent) if waits else beat

    def handle_deadline(self, now_ms: int) -> list[Frame]:
        """Say a heart-beat if one is due; ConnectionFailed if the peer has been silent for too long."""
        frames: list[Frame] = []
        deadline = self.next_deadline_ms()
        if deadline is None or now_ms < deadline:
            return frames
        if self.state == NEW:
            self._fail(PeerSilent(f"no CONNECT within {self._limits.connect_timeout_ms} ms"), frames)
            return frames
        silence = now_ms - self.last_received_ms
        if (
            self.silence_max_ms
            and self._listening
            and self.state == CONNECTED
            and silence >= self.silence_max_ms
        ):
            self._fail(PeerSilent(f"heart-beat timeout: nothing came for {silence} ms"), frames)
            return frames
        if self.send_every_ms and now_ms - self.last_sent_ms >= self.send_every_ms:
            self.last_sent_ms = now_ms
            if not self.out:
                self.out.append(HEART_BEAT)
        return frames

    def listen(self, yes: bool, now_ms: int) -> None:
        """Whether the peer's bytes are read at all: while they are not, its silence is not its fault."""
        if yes and not self._listening:
            self.last_received_ms = now_ms
        self._listening = yes
