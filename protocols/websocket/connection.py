"""The server's side of one WebSocket after its handshake: bytes in, payload out; payload in, bytes out."""

from typing import Final, final

from protocols.websocket.codec import encode_close, encode_control, frame_head
from protocols.websocket.constants import (
    BINARY,
    CONTINUATION,
    EITHER,
    FIN,
    NORMAL,
    PING,
    PONG,
    RSV1,
    TEXT,
    TEXT_ONLY,
)
from protocols.websocket.deflate import Deflater, Inflater
from protocols.websocket.errors import WebSocketError
from protocols.websocket.frames import Close, Data, Event, Ping
from protocols.websocket.reader import FrameReader, WebSocketLimits
from protocols.websocket.state import CLOSE_SENT, FAIL, OPEN, RECEIVE_CLOSE, SEND_CLOSE, TRANSITIONS

__all__ = ["WebSocketConnection", "WebSocketLimits"]

PONGS_MAX: Final = 16
"""Pongs that wait to be written; of the Pings above that the latest is answered (§5.5.3)."""

DEFLATE_MIN: Final = 64
"""Bytes below which packing a message does not pay."""


@final
class WebSocketConnection:
    """See the module.  No method raises for what a peer sent.

    `whole`: the protocol inside lives in messages, one each way for each of its own.  Otherwise it is a stream, and
    what is written in one turn of the loop becomes one message.
    """

    __slots__ = (
        "_cut",
        "_deflater",
        "_first",
        "_goodbye",
        "_last_pong",
        "_pongs",
        "_reader",
        "_text",
        "_whole",
        "close_code",
        "failure",
        "out",
        "state",
    )

    def __init__(
        self,
        limits: WebSocketLimits,
        whole: bool,
        only: int = EITHER,
        inflater: Inflater | None = None,
        deflater: Deflater | None = None,
    ) -> None:
        self._reader = FrameReader(limits, whole, only, inflater)
        self._deflater = deflater
        self._whole = whole
        self._text = only == TEXT_ONLY
        self._goodbye = b""
        # How the next frame of a message begins that is written a part at a time.
        self._first = CONTINUATION
        # In a stream of text, the start of a character whose other bytes are in the next part.
        self._cut = b""
        self._pongs = 0
        self._last_pong = 0
        self.state = OPEN
        self.close_code = 0
        """Why the peer closed, or what we had to tell it; 0 while neither."""
        self.failure = ""
        """What the peer did wrong, for the log."""
        self.out: list[bytes] = []
        """Pings and Pongs to write, before what `encode` gives; see `taken`.  Our Close comes last: see `last_word`."""

    # -- from the peer

    @property
    def more(self) -> bool:
        """There is more in what came last: call `receive_data` again, with nothing."""
        return self._reader.more and self.state == OPEN

    def limit(self, size: int) -> None:
        """From now on the peer's messages may have so many bytes."""
        self._reader.limit(size)

    @property
    def unfinished(self) -> bool:
        """Has a frame or a message begun, and not ended?"""
        return self._reader.unfinished

    @property
    def kept_bytes(self) -> int:
        """Bytes that are kept of a message that is not whole."""
        return self._reader.kept_bytes

    def receive_data(self, data: bytes) -> list[Data]:
        """The payload in `data`.  Pings are answered in `out`; `state` tells the end."""
        found: list[Data] = []
        if self.state != OPEN:
            self._after_close(data)
            return found
        events: list[Event] = []
        try:
            self._reader.feed(data, events)
        except WebSocketError as error:
            self._sort(events, found)
            self._fail(error.code, error.reason)
            return found
        self._sort(events, found)
        return found

    def _sort(self, events: list[Event], found: list[Data]) -> None:
        for event in events:
            if isinstance(event, Data):
                found.append(event)
                # What is said back is of the kind that was heard last.
                self._text = event.text
            elif isinstance(event, Ping):
                self._answer(event)
            elif isinstance(event, Close):
                self._closed(event)

    def _answer(self, ping: Ping) -> None:
        pong = encode_control(PONG, ping.payload)
        if self._pongs < PONGS_MAX:
            self._pongs += 1
            self._last_pong = len(self.out)
            self.out.append(pong)
        else:
            self.out[self._last_pong] = pong

    def _closed(self, close: Close) -> None:
        if self.state == OPEN:
            # The answer repeats the code (§5.5.1).
            self._goodbye = encode_close(close.code, "")
        self.close_code = close.code
        self._go(RECEIVE_CLOSE)

    def _after_close(self, data: bytes) -> None:
        """Our Close is said: only the peer's counts now, and whatever else it sends is forgotten."""
        if self.state != CLOSE_SENT:
            return
        events: list[Event] = []
        try:
            self._reader.feed(data, events)
        except WebSocketError:
            self._go(FAIL)
        for event in events:
            if isinstance(event, Close):
                self._closed(event)

    def _fail(self, code: int, reason: str) -> None:
        """Fail the connection (§7.1.7)."""
        if self.state == OPEN:
            self._goodbye = encode_close(code, reason)
            self.close_code = code
            self.failure = reason
        self._go(FAIL)

    def _go(self, event: str) -> None:
        self.state = TRANSITIONS.get((self.state, event), self.state)

    # -- to the peer

    def encode(self, frames: list[bytes]) -> list[bytes]:
        """`frames` of the protocol inside as they go on the wire: a message each, or one for all of them."""
        if not frames or (self.state != OPEN and not self._goodbye):
            return []
        if not self._whole:
            return self._encode_stream(frames)
        wire: list[bytes] = []
        for frame in frames:
            self._append(wire, frame, self._text)
        return wire

    def encode_part(self, part: bytes, begins: bool, ends: bool) -> list[bytes]:
        """A part of a frame of the protocol inside, which becomes a message in fragments (§5.4), in a stream one of its own.

        Nothing else may be written between the parts of one.
        """
        if begins and ends:
            return self.encode([part])
        if not self._whole:
            part = self._cut + part
            end = _characters_end(part) if self._text and not ends else len(part)
            self._cut = part[end:]
            return self.encode([part[:end]]) if end else []
        if self.state != OPEN and not self._goodbye:
            return []
        if begins:
            self._first = TEXT if self._text else BINARY
            if self._deflater is not None:
                self._first |= RSV1
        if self._deflater is not None:
            part = self._deflater.deflate_part(part, ends)
            if not part and not ends:
                return []
        head = frame_head(self._first | (FIN if ends else 0), len(part))
        self._first = CONTINUATION
        return [head, part]

    def _encode_stream(self, frames: list[bytes]) -> list[bytes]:
        """One message.  Text for who speaks text, as long as what is to be said is that."""
        if self._text or self._deflater is not None:
            message = b"".join(frames)
            text = self._text
            if text and not message.isascii():
                try:
                    message.decode()
                except UnicodeDecodeError:
                    text = False
            wire: list[bytes] = []
            self._append(wire, message, text)
            return wire
        size = 0
        for frame in frames:
            size += len(frame)
        frames.insert(0, frame_head(FIN | BINARY, size))
        return frames

    def _append(self, wire: list[bytes], message: bytes, text: bool) -> None:
        first = FIN | TEXT if text else FIN | BINARY
        if self._deflater is not None and len(message) >= DEFLATE_MIN:
            message = self._deflater.deflate(message)
            first |= RSV1
        wire.append(frame_head(first, len(message)))
        wire.append(message)

    def send_ping(self, payload: bytes = b"") -> None:
        """Ask whether the peer is there."""
        if self.state == OPEN:
            self.out.append(encode_control(PING, payload))

    def send_close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say that this is the end; nothing when it has been said."""
        if self.state == OPEN:
            self._goodbye = encode_close(code, reason)
            self.close_code = code
        self._go(SEND_CLOSE)

    def last_word(self) -> bytes:
        """Our Close, once, to be written behind everything else; empty when there is none to write."""
        goodbye = self._goodbye
        self._goodbye = b""
        return goodbye

    def taken(self) -> list[bytes]:
        """Take what is in `out`."""
        out = self.out
        if out:
            self.out = []
            self._pongs = 0
        return out


def _characters_end(part: bytes) -> int:
    """Bytes before a character at the end of `part` that is not whole in UTF-8 (RFC 3629 §3), if that is text."""
    size = len(part)
    for back in range(1, min(size, 3) + 1):
        byte = part[size - back]
        if byte < 0x80:
            break
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return size - back if needed > back else size
    return size
