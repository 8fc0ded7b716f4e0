"""Bytes of a client to events: framing, unmasking, fragments, UTF-8, and the limits on all of it."""

import codecs
from dataclasses import dataclass
from typing import Final, final

from librt.strings import BytesWriter, read_i32_le
from mypy_extensions import i64

from protocols.pieces import Pieces
from protocols.websocket.constants import (
    CONTINUATION,
    CONTROL_MAX,
    EITHER,
    FIN,
    INVALID_DATA,
    MASKED,
    NO_STATUS,
    PING,
    PONG,
    PROTOCOL_ERROR,
    RSV1,
    RSV2_RSV3,
    TEXT,
    TOO_BIG,
    UNSUPPORTED,
    may_be_received,
)
from protocols.websocket.deflate import Inflater
from protocols.websocket.errors import WebSocketError
from protocols.websocket.frames import Close, Data, Event, Ping, Pong
from protocols.websocket.masking import rotated, unmask

UNPACKED_A_TURN: Final = 1_048_576
"""Unpacked bytes after which a read is interrupted: a few kilobytes of it may be gigabytes."""

EVENTS_A_TURN: Final = 512
"""Messages after which a read is interrupted: who has to be heard no further has only so many waiting."""


@final
@dataclass(init=False, slots=True)
class WebSocketLimits:
    """Bounds on one client."""

    max_frame_size: int
    """Bytes of a frame's payload, and of all fragments of a message together."""
    max_unpacked: int
    """Bytes of one message after decompression."""

    def __init__(self, max_frame_size: int = 104_857_600, max_unpacked: int = 1_048_576) -> None:
        self.max_frame_size = max_frame_size
        self.max_unpacked = max_unpacked


@final
class FrameReader:
    """One direction of one connection: what the client sends.

    With `whole`, each message is one Data.  Without, payload is handed on as it comes, whatever frames it stands in,
    and all that one read holds is one Data: nothing is buffered here.
    """

    __slots__ = (
        "_compressed",
        "_fin",
        "_fragments",
        "_in_frame",
        "_inflater",
        "_left",
        "_mask",
        "_max_frame_size",
        "_only",
        "_opcode",
        "_out",
        "_pieces",
        "_rest",
        "_size",
        "_text",
        "_text_rest",
        "_unpacked",
        "_whole",
        "more",
    )

    def __init__(
        self, limits: WebSocketLimits, whole: bool, only: int = EITHER, inflater: Inflater | None = None
    ) -> None:
        self._max_frame_size: i64 = limits.max_frame_size
        self._whole = whole
        # TEXT or BINARY when nothing else may come.
        self._only = only
        self._inflater = inflater
        if whole and inflater is not None:
            inflater.limit(limits.max_frame_size)
        # A header or control frame that is not whole yet, or what an interruption left.
        self._rest = b""
        self.more = False
        """The read was interrupted: call `feed` again, with nothing."""
        # The data frame whose payload is coming: what is left of it, its key, and whether it ends its message.
        self._in_frame = False
        self._left: i64 = 0
        self._mask: i64 = 0
        self._fin = True
        # The message: opcode 0 is none.
        self._opcode = 0
        self._text = False
        self._compressed = False
        self._size: i64 = 0
        self._fragments: i64 = 0
        # The start of a character whose other bytes are to come.
        self._text_rest = b""
        # What has come of a message that is wanted whole.
        self._pieces: Pieces | None = None
        # What is to be handed on of others.  Kept only while there is something in it: most connections are idle.
        self._out: BytesWriter | None = None
        # Bytes that this read has become by decompression.
        self._unpacked: i64 = 0

    def limit(self, size: int) -> None:
        """From now on messages may have so many bytes, and where they are wanted whole, unpack to no more."""
        self._max_frame_size = size
        if self._whole and self._inflater is not None:
            self._inflater.limit(size)

    @property
    def unfinished(self) -> bool:
        """Would the end of the connection come within a frame or a message?"""
        return self._in_frame or self._opcode != 0 or len(self._rest) > 0

    @property
    def kept_bytes(self) -> int:
        """Bytes that are kept of a message that is not whole."""
        return self._pieces.size if self._pieces is not None else 0

    def feed(self, data: bytes, events: list[Event]) -> None:
        """Append what `data` completes to `events`.  Raises WebSocketError, with what was good before in `events`."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        self.more = False
        self._unpacked = 0
        try:
            self._frames(data, events)
        finally:
            if not self._whole:
                self._hand_on(events)

    def _frames(self, data: bytes, events: list[Event]) -> None:
        size: i64 = len(data)
        pos: i64 = 0
        if self._pending:
            self._take(b"", False)
            if self._waits(data, pos):
                return
        while True:
            if not self._in_frame:
                pos = self._head(data, pos, size, events)
                if pos < 0:
                    return
                if not self._in_frame:
                    continue
            left = self._left
            if left:
                end = pos + left
                if end > size:
                    end = size
                if end == pos:
                    return
                self._payload(data, pos, end)
                self._left = left - (end - pos)
                pos = end
                if self._waits(data, pos):
                    return
                if self._left:
                    return
            self._in_frame = False
            if self._fin:
                self._end_message(events)
                if pos < size and (self._unpacked >= UNPACKED_A_TURN or len(events) >= EVENTS_A_TURN):
                    self._rest = data[pos:]
                    self.more = True
                    return

    @property
    def _pending(self) -> bool:
        """Is there more to be unpacked of what has come?"""
        return self._inflater is not None and self._inflater.pending

    def _waits(self, data: bytes, pos: i64) -> bool:
        """Others have their turn before more is unpacked; what follows waits."""
        if not self._pending:
            return False
        self._rest = data[pos:]
        self.more = True
        return True

    # -- headers

    def _head(self, data: bytes, pos: i64, size: i64, events: list[Event]) -> i64:
        """Read a frame's header, and a control frame whole; returns where it ends, -1 when that has not come."""
        if size - pos < 2:
            self._rest = data[pos:]
            return -1
        first = data[pos]
        second = data[pos + 1]
        if not second & MASKED:
            raise WebSocketError(PROTOCOL_ERROR, "a client has to mask its frames")
        if first & RSV2_RSV3:
            raise WebSocketError(PROTOCOL_ERROR, "reserved bits are set")
        if first & 0x08:
            return self._control(data, pos, size, events)
        self._check_order(first)
        length: i64 = second & 0x7F
        at = pos + 2
        if length == 126:
            if size - at < 2:
                self._rest = data[pos:]
                return -1
            length = data[at] << 8 | data[at + 1]
            at += 2
        elif length == 127:
            if size - at < 8:
                self._rest = data[pos:]
                return -1
            length = self._long_length(data, at)
            at += 8
        if length > self._max_frame_size:
            raise WebSocketError(TOO_BIG, f"frames may have {self._max_frame_size} bytes")
        if size - at < 4:
            self._rest = data[pos:]
            return -1
        self._begin_frame(first, length)
        self._mask = i64(read_i32_le(data, at)) & 0xFFFFFFFF
        return at + 4

    @staticmethod
    def _long_length(data: bytes, at: i64) -> i64:
        """Eight bytes, of which the highest bit must not be set (§5.2)."""
        length = int.from_bytes(data[at : at + 8], "big")
        if length >> 63:
            raise WebSocketError(PROTOCOL_ERROR, "a length of 2^63 bytes or more")
        return length

    def _check_order(self, first: int) -> None:
        """Is this data frame one that may come now (§5.4)?"""
        opcode = first & 0x0F
        if opcode == CONTINUATION:
            if self._opcode == 0:
                raise WebSocketError(PROTOCOL_ERROR, "a continuation of no message")
            if first & RSV1:
                raise WebSocketError(PROTOCOL_ERROR, "reserved bits are set")
            return
        if opcode > 2:
            raise WebSocketError(PROTOCOL_ERROR, f"unknown opcode {opcode}")
        if self._opcode != 0:
            raise WebSocketError(PROTOCOL_ERROR, "a message within another one")
        if first & RSV1 and self._inflater is None:
            raise WebSocketError(PROTOCOL_ERROR, "compression was not agreed on")
        if self._only != EITHER and opcode != self._only:
            kinds = "text" if self._only == TEXT else "binary"
            raise WebSocketError(UNSUPPORTED, f"only {kinds} messages are understood here")

    def _begin_frame(self, first: int, length: i64) -> None:
        opcode = first & 0x0F
        if opcode != CONTINUATION:
            self._opcode = opcode
            self._text = opcode == TEXT
            self._compressed = (first & RSV1) != 0
            self._size = 0
            self._fragments = 0
        else:
            # Empty ones cost no memory, but must not go on for ever.
            self._fragments += 1
        self._size += length
        if self._size > self._max_frame_size or self._fragments > self._max_frame_size:
            raise WebSocketError(TOO_BIG, f"messages may have {self._max_frame_size} bytes")
        self._fin = (first & FIN) != 0
        self._left = length
        self._in_frame = True

    # -- payload

    def _payload(self, data: bytes, pos: i64, end: i64) -> None:
        """Unmask what has come of a data frame."""
        if not self._text and not self._compressed and not self._whole:
            out = self._out
            if out is None:
                out = self._out = BytesWriter()
            unmask(out, data, pos, end, self._mask)
        else:
            piece = BytesWriter()
            unmask(piece, data, pos, end, self._mask)
            self._take(piece.getvalue(), False)
        self._mask = rotated(self._mask, end - pos)

    def _take(self, piece: bytes, last: bool) -> None:
        """A piece of a message that has to be unpacked, or looked at as text."""
        if self._compressed:
            inflater = self._inflater
            assert inflater is not None
            piece = inflater.inflate(piece, last)
            self._unpacked += len(piece)
        if self._text:
            self._check_text(piece, last)
        if not piece:
            return
        if self._whole:
            if self._pieces is None:
                # What is compressed, or goes on in other frames, says nothing of how much it will be.
                told = self._fin and not self._compressed
                self._pieces = Pieces(piece, int(self._size if told else self._max_frame_size))
            else:
                self._pieces.add(piece)
            return
        out = self._out
        if out is None:
            out = self._out = BytesWriter()
        out.write(piece)

    def _check_text(self, piece: bytes, last: bool) -> None:
        """Text must be UTF-8 (§8.1), wherever its frames were cut."""
        rest = self._text_rest
        if not rest and piece.isascii():
            return
        text = rest + piece
        try:
            used: int = codecs.utf_8_decode(text, "strict", last)[1]
        except UnicodeDecodeError:
            raise WebSocketError(INVALID_DATA, "text that is not UTF-8") from None
        self._text_rest = text[used:]

    def _end_message(self, events: list[Event]) -> None:
        if self._compressed or self._text_rest:
            self._take(b"", True)
            while self._pending:
                # What is left of what has come is the end of a block.
                self._take(b"", True)
        self._opcode = 0
        if self._whole:
            pieces = self._pieces
            self._pieces = None
            events.append(Data(b"" if pieces is None else pieces.take(), self._text))

    def _hand_on(self, events: list[Event]) -> None:
        """Whatever has come, before the Close that ended it."""
        out = self._out
        if out is not None:
            self._out = None
            data = Data(out.getvalue(), self._text)
            if events and isinstance(events[-1], Close):
                events.insert(len(events) - 1, data)
            else:
                events.append(data)

    # -- control frames

    def _control(self, data: bytes, pos: i64, size: i64, events: list[Event]) -> i64:
        """A Ping, Pong or Close, which is short and never fragmented (§5.5)."""
        first = data[pos]
        opcode = first & 0x0F
        length = data[pos + 1] & 0x7F
        if opcode > PONG:
            raise WebSocketError(PROTOCOL_ERROR, f"unknown opcode {opcode}")
        if first & RSV1:
            raise WebSocketError(PROTOCOL_ERROR, "reserved bits are set")
        if not first & FIN:
            raise WebSocketError(PROTOCOL_ERROR, "a fragmented control frame")
        if length > CONTROL_MAX:
            raise WebSocketError(PROTOCOL_ERROR, "a control frame of more than 125 bytes")
        at = pos + 6
        end = at + length
        if size < end:
            self._rest = data[pos:]
            return -1
        out = BytesWriter()
        unmask(out, data, at, end, i64(read_i32_le(data, pos + 2)) & 0xFFFFFFFF)
        payload = out.getvalue()
        if opcode == PING:
            events.append(Ping(payload))
        elif opcode == PONG:
            events.append(Pong(payload))
        else:
            events.append(_close_of(payload))
            # Nothing counts behind it (§1.4).
            return size
        return end


def _close_of(payload: bytes) -> Close:
    """What a Close frame says (§5.5.1).  Raises WebSocketError."""
    if not payload:
        return Close(NO_STATUS, "")
    if len(payload) == 1:
        raise WebSocketError(PROTOCOL_ERROR, "a Close with half a code")
    code = payload[0] << 8 | payload[1]
    if not may_be_received(code):
        raise WebSocketError(PROTOCOL_ERROR, f"close code {code} may not be sent")
    try:
        return Close(code, payload[2:].decode())
    except UnicodeDecodeError:
        raise WebSocketError(INVALID_DATA, "a close reason that is not UTF-8") from None
