"""Cuts the bytes of one connection into frames (§Augmented BNF).

Work is linear in the bytes received, however they are cut: an unfinished head remembers how far it was searched, an
unfinished body how many bytes it wants, and nothing is parsed twice.  What is held is bounded by StompLimits.
"""

from dataclasses import dataclass
from typing import Final, final

from protocols.pieces import Pieces
from protocols.stomp.codec import decode_frame, decode_send
from protocols.stomp.constants import (
    COMMAND_LENGTH_MAX,
    COMMANDS,
    CONNECT,
    HEAD_REMEMBERED_MAX,
    PRE_CONNECT_BYTES_MAX,
    SEND,
    V1_0,
    V1_2,
    V_CONNECT,
)
from protocols.stomp.errors import FrameTooLarge, MalformedFrame, NotStomp, StompError
from protocols.stomp.frames import Ack, Connect, Frame, Send
from protocols.stomp.headers import decode_header, shown, text_of
from protocols.stomp.lookalikes import FIRST_BYTES, MQTT_CONNECT, looks_like
from protocols.stomp.state import CLOSING, CONNECTED, NEW, after

_NUL: Final = 0
_LF: Final = 10
_CR: Final = 13
_HYPHEN: Final = 45
_DIGIT_0: Final = 48
_DIGIT_9: Final = 57
_BETWEEN: Final = b"\n\r\0"
_BACKSLASH: Final = 92
_UPPER_A: Final = 65

FRAMES_A_CALL: Final = 128
"""Frames decoded at a time: who has to be heard no further than to one of them has only so many waiting."""

HEAD_BYTES_A_CALL: Final = 4_096
"""No more are decoded behind so many bytes of heads, other than those like the one before: a head of a thousand lines costs
as much as some hundred short ones, here and wherever it is translated."""

SKIPPED_AT_ONCE: Final = 64
"""Bytes between frames that are looked at in one go."""

_PLAIN_ACK: Final = b"ACK\nid:"
_HANDLE_LENGTH_MAX: Final = 48


@final
@dataclass(init=False, slots=True)
class StompLimits:
    """Bounds on one connection, and the heart-beats we offer."""

    max_frame_size: int
    """Bytes of a frame, head and body."""
    connect_timeout_ms: int
    """From accept until CONNECT is whole; 0 is never."""
    max_headers: int
    """Header lines of a frame.  ActiveMQ stops at 1000, RabbitMQ at 100."""
    max_header_bytes: int
    """Bytes of a frame's command and headers."""
    max_line_bytes: int
    """Bytes of one header line."""
    heart_beat_send_ms: int
    """How often we can send something; 0 is never (§Heart-beating)."""
    heart_beat_want_ms: int
    """How often we would like to hear something; 0 is never."""
    implicit_connect: bool
    """A client may begin without CONNECT."""

    def __init__(
        self,
        max_frame_size: int = 104_857_600,
        connect_timeout_ms: int = 10_000,
        max_headers: int = 1_000,
        max_header_bytes: int = 65_536,
        max_line_bytes: int = 32_768,
        heart_beat_send_ms: int = 1_000,
        heart_beat_want_ms: int = 10_000,
        implicit_connect: bool = False,
    ) -> None:
        self.max_frame_size = max_frame_size
        self.connect_timeout_ms = connect_timeout_ms
        self.max_headers = max_headers
        self.max_header_bytes = max_header_bytes
        self.max_line_bytes = max_line_bytes
        self.heart_beat_send_ms = heart_beat_send_ms
        self.heart_beat_want_ms = heart_beat_want_ms
        self.implicit_connect = implicit_connect


@final
class FrameReader:
    """Feed it bytes.  After it has raised, or once `state` is CLOSING, it takes no more."""

    __slots__ = (
        "_body",
        "_by_line",
        "_follows",
        "_frame",
        "_head",
        "_known",
        "_known_head",
        "_known_need",
        "_limits",
        "_memo",
        "_need",
        "_pre_connect",
        "_rest",
        "_rest_at",
        "_scanned",
        "_size",
        "_size_max",
        "state",
        "version",
    )

    def __init__(self, limits: StompLimits) -> None:
        self._limits = limits
        self.state = NEW
        self.version = V_CONNECT
        """Agreed with the client's CONNECT; "" before."""
        self._head: bytearray | None = None
        """An unfinished head, from the first byte of its command."""
        self._scanned = 0
        """No end of the head begins before this byte of it."""
        self._frame: Frame | None = None
        """The frame whose head is whole."""
        self._body: Pieces | None = None
        """What there is of its body."""
        self._need = -1
        """Body bytes it announced; -1: up to the first NUL."""
        self._follows = NEW
        """The state after it."""
        self._size = 0
        """Bytes of its head."""
        self._size_max = min(limits.max_frame_size, PRE_CONNECT_BYTES_MAX)
        self._pre_connect = 0
        """EOLs and NULs skipped before CONNECT."""
        self._rest = b""
        self._rest_at = 0
        """What followed the CONNECT until that is answered, or many frames in one read: from this byte on."""
        self._by_line = False
        """This client sends CRs: look at each line's end."""
        # A publisher's frames mostly differ in their bodies alone, so the head of the last SEND is looked for first.
        self._known_head: bytes | None = None
        self._known: Send | None = None
        self._known_need = -1
        self._memo: dict[bytes, str] | None = None

    def unfinished(self) -> bool:
        """A frame has begun and has not ended."""
        return self._head is not None or self._frame is not None

    @property
    def body_bytes(self) -> int:
        """Bytes of a body that is not whole."""
        return self._body.size if self._body is not None else 0

    @property
    def more(self) -> bool:
        """Something has followed the CONNECT, or many frames, and has not been looked at."""
        return len(self._rest) > self._rest_at

    def keep(self, data: bytes) -> None:
        """Take `data`, but look at it only with the next `feed`."""
        self._rest += data

    def close(self) -> None:
        """Take no more, and let go of what is held."""
        self.state = CLOSING
        self._head = None
        self._frame = None
        self._body = None
        self._rest = b""
        self._known_head = None
        self._known = None
        self._memo = None

    def feed(self, data: bytes, frames: list[Frame]) -> None:
        """Append the frames that `data` completes.  Raises StompError; what was good before the fault is in `frames`.

        Stops behind a CONNECT, and behind FRAMES_A_CALL frames or HEAD_BYTES_A_CALL: what follows is kept for the next call.
        """
        pos = 0
        if self._rest:
            if data:
                data = self._rest[self._rest_at :] + data
            else:
                data = self._rest
                pos = self._rest_at
            self._rest = b""
            self._rest_at = 0
        if self._frame is not None:
            pos = self._continue_body(data, frames)
            if frames and isinstance(frames[0], Connect):
                self._rest = data[pos:]
                return
        elif self._head is not None:
            data = self._continue_head(data)
        size = len(data)
        heads = 0
        while pos < size and self.state != CLOSING:
            if len(frames) >= FRAMES_A_CALL or heads >= HEAD_BYTES_A_CALL:
                self._rest = data
                self._rest_at = pos
                return
            if data[pos] <= _CR:
                pos = self._skip(data, pos)
                continue
            known_head = self._known_head
            known = self._known
            frame: Frame
            start = pos if known_head is None else pos + len(known_head)
            if known is not None and data[pos:start] == known_head:
                need = self._known_need
                stop = start + need if need >= 0 else data.find(b"\0", start)
                if start <= stop < size and data[stop] == _NUL and stop - pos <= self._size_max:
                    frames.append(_with_body(known, data[start:stop]))
                    pos = stop + 1
                    continue
                frame = _with_body(known, b"")
            else:
                if data[pos] == _UPPER_A and self.version == V1_2:
                    stop = _plain_ack_end(data, pos)
                    if stop >= 0:
                        frames.append(Ack(data[pos + len(_PLAIN_ACK) : stop].decode(), None, None, None))
                        pos = stop + 3
                        continue
                head = self._whole_head(data, pos)
                if not head:
                    self._keep_head(data, pos)
                    return
                if self.state == NEW and self._limits.implicit_connect and _no_connect(head):
                    frames.append(self._connect_implicitly())
                    self._rest = data[pos:]
                    return
                heads += len(head)
                frame = self._decode_head(head)
                known_head = head
                start = pos + len(head)
                need = self._need
                stop = start + need if need >= 0 else data.find(b"\0", start)
            self._size = start - pos
            if stop < 0 or stop >= size:
                self._keep_body(frame, need, data, start)
                return
            self._finish(frame, data[start:stop], data[stop], frames)
            if isinstance(frame, Send) and start - pos <= HEAD_REMEMBERED_MAX:
                self._known_head = known_head
                # A large body is not kept with it.
                self._known = frame if stop - pos <= HEAD_REMEMBERED_MAX else _with_body(frame, b"")
                self._known_need = need
            pos = stop + 1
            if isinstance(frame, Connect):
                self._rest = data[pos:]
                return

    def _connect_implicitly(self) -> Connect:
        """The CONNECT of 1.0 that a client has left out."""
        self.state = CONNECTED
        self.version = V1_0
        self._size_max = self._limits.max_frame_size
        return Connect([], None, None, None, (0, 0), [], V1_0, None, True)

    # -- between frames

    def _skip(self, data: bytes, pos: int) -> int:
        """Behind the EOLs from `pos` on, which may follow a frame or be heart-beats; stray NULs are tolerated too."""
        begin = pos
        size = len(data)
        while pos < size:
            # Mostly there is one, and there may be nothing else in all that was read.
            some = data[pos : pos + SKIPPED_AT_ONCE]
            skipped = len(some) - len(some.lstrip(_BETWEEN))
            pos += skipped
            if skipped < len(some):
                break
        if pos == begin:
            raise MalformedFrame(f"unknown command {shown(data[pos : pos + FIRST_BYTES])}")
        if self.state == NEW:
            self._pre_connect += pos - begin
            if self._pre_connect > PRE_CONNECT_BYTES_MAX:
                raise FrameTooLarge("bytes before CONNECT", PRE_CONNECT_BYTES_MAX)
        return pos

    # -- head

    def _whole_head(self, data: bytes, pos: int) -> bytes:
        """The head of the frame at `pos` with the blank line that ends it; b"" when that has not come yet."""
        if not self._by_line:
            stop = data.find(b"\n\n", pos)
            head = data[pos:] if stop < 0 else data[pos : stop + 2]
            if _CR not in head:
                return b"" if stop < 0 else head
            # From now on, or a client that mixes EOLs would have each head searched for twice, far beyond its end.
            self._by_line = True
        # Far beyond what a head may have, nobody needs to look.
        stop = _blank_line_end(data, pos, pos + self._head_max() + 2)
        return b"" if stop < 0 else data[pos:stop]

    def _head_max(self) -> int:
        limit = self._limits.max_header_bytes
        return min(limit, PRE_CONNECT_BYTES_MAX) if self.state == NEW else limit

    def _keep_head(self, data: bytes, pos: int) -> None:
        size = len(data) - pos
        self._check_command(data[pos : pos + FIRST_BYTES])
        if size > self._head_max():
            raise FrameTooLarge("header bytes", self._head_max())
        self._head = bytearray(data[pos:])
        self._scanned = max(0, size - 2)

    def _continue_head(self, data: bytes) -> bytes:
        """All bytes since the command began, once the head is whole; b"" before."""
        head = self._head
        assert head is not None
        if len(head) < FIRST_BYTES:
            self._check_command(bytes(head) + data[:FIRST_BYTES])
        head += data
        if head.find(b"\n\n", self._scanned) < 0 and head.find(b"\n\r\n", self._scanned) < 0:
            self._scanned = max(0, len(head) - 2)
            if len(head) > self._head_max():
                raise FrameTooLarge("header bytes", self._head_max())
            return b""
        self._head = None
        return bytes(head)

    def _check_command(self, begin: bytes) -> None:
        """Refuse as early as possible what cannot become a command."""
        stop = begin.find(b"\n")
        command = (begin if stop < 0 else begin[:stop]).rstrip(b"\r")
        if stop >= 0:
            possible = command in COMMANDS
        else:
            possible = False
            for known in COMMANDS:
                if known.startswith(command):
                    possible = True
        if possible:
            return
        if self.state == NEW:
            other = looks_like(begin)
            if other:
                raise NotStomp(other)
            if len(begin) <= COMMAND_LENGTH_MAX and (stop < 0 or begin[0] == MQTT_CONNECT):
                # A few more bytes will tell what it is; if they do not come, the connect timeout does.
                return
        raise MalformedFrame(f"unknown command {shown(command)}")

    def _decode_head(self, head: bytes) -> Frame:
        """The frame that `head`, blank line included, begins; sets `_need`.  Raises StompError."""
        # No more than there may be are looked at; more are refused below.
        lines = head.split(b"\n", self._limits.max_headers + 2)
        # The blank line, and the nothing behind it.
        lines.pop()
        lines.pop()
        if self._by_line and _CR in head:
            self._strip_cr(lines)
        first_line = lines.pop(0)
        try:
            command = SEND if first_line == b"SEND" else COMMANDS.get(first_line)
            if command is None:
                self._check_command(head[: FIRST_BYTES + 1])
                raise MalformedFrame(f"unknown command {shown(first_line)}")
            return self._decode(command, head, lines)
        except StompError as error:
            error.receipt = _receipt_of(lines, self.version)
            raise

    def _decode(self, command: int, head: bytes, lines: list[bytes]) -> Frame:
        self._check_lines(head, lines)
        self._follows = after(self.state, command)
        if command == SEND:
            memo = self._memo
            if memo is None:
                memo = self._memo = {}
            send, self._need = decode_send(lines, self.version, _BACKSLASH in head, memo)
            if self._need >= 0:
                self._check_size(len(head) + self._need)
            return send
        # Some clients send the content-length of a MESSAGE back with its ACK, and no body (php-stomp).
        self._need = -1
        return decode_frame(command, lines, self.version)

    def _check_lines(self, head: bytes, lines: list[bytes]) -> None:
        limits = self._limits
        if len(head) > self._head_max():
            raise FrameTooLarge("header bytes", self._head_max())
        if len(lines) >= limits.max_headers and head.count(b"\n") > limits.max_headers + 2:
            raise FrameTooLarge("number of headers", limits.max_headers)
        if len(head) > limits.max_line_bytes:
            for line in lines:
                if len(line) > limits.max_line_bytes:
                    raise FrameTooLarge("header line", limits.max_line_bytes)
        if _NUL in head:
            # Most likely the blank line is missing; to pass it on would cut a subscriber's frame in two.
            raise MalformedFrame("NUL within the headers")
        if not head.isascii():
            text_of(head)
        if self._by_line and self.version == V1_2:
            for line in lines:
                if _CR in line:
                    raise MalformedFrame("a bare CR in a header")

    def _strip_cr(self, lines: list[bytes]) -> None:
        """Take the CR of each EOL away.

        1.2 ends any line with CR LF or LF.  In 1.1 and 1.0 a CR is part of the value, but who ends the command with
        CR LF means it as an EOL.
        """
        version = self.version
        if version != V1_2 and version != V_CONNECT and not lines[0].endswith(b"\r"):
            return
        for index, line in enumerate(lines):
            if line.endswith(b"\r"):
                lines[index] = line[:-1]

    # -- body

    def _check_size(self, size: int) -> None:
        limit = self._size_max
        if size > limit:
            raise FrameTooLarge("frame size", limit)

    def _keep_body(self, frame: Frame, need: int, data: bytes, start: int) -> None:
        self._frame = frame
        self._body = Pieces(data[start:], need if need >= 0 else self._size_max)
        self._need = need
        if need < 0:
            self._check_unfinished(frame, data, start, len(data), len(data) - start)

    def _continue_body(self, data: bytes, frames: list[Frame]) -> int:
        """Take what belongs to the body; behind its NUL, or the length of `data` when it has not come yet."""
        frame = self._frame
        body = self._body
        assert frame is not None
        assert body is not None
        stop = data.find(b"\0") if self._need < 0 else self._need - body.size
        if stop < 0 or stop >= len(data):
            body.add(data)
            if self._need < 0:
                self._check_unfinished(frame, data, 0, len(data), body.size)
            return len(data)
        body.add(data[:stop])
        self._frame = None
        self._body = None
        # What has come before has been looked at as it came.
        self._check_unfinished(frame, data, 0, stop, body.size)
        self._end(frame, body.take(), data[stop], frames)
        return stop + 1

    def _check_unfinished(self, frame: Frame, data: bytes, start: int, stop: int, size: int) -> None:
        """`size` bytes of a body have come so far, the last of them in this part of `data`."""
        try:
            self._check_size(self._size + size)
            # Who writes frames by hand likes to end them with an empty line.
            bodiless = stop > start and self.version != V1_0 and not isinstance(frame, Send)
            if bodiless and data[start:stop].strip(b"\r\n"):
                raise MalformedFrame("a body in a frame that has none")
        except StompError as error:
            error.receipt = frame.receipt
            raise

    def _finish(self, frame: Frame, body: bytes, mark: int, frames: list[Frame]) -> None:
        """`frame` came whole, but for the byte `mark`."""
        self._check_unfinished(frame, body, 0, len(body), len(body))
        self._end(frame, body, mark, frames)

    def _end(self, frame: Frame, body: bytes, mark: int, frames: list[Frame]) -> None:
        """`frame` is whole but for the byte `mark`, which must be its NUL."""
        if mark != _NUL:
            lying = MalformedFrame("no NUL where content-length says that the body ends")
            lying.receipt = frame.receipt
            raise lying
        self.state = self._follows
        if isinstance(frame, Send):
            frame.body = body
        elif isinstance(frame, Connect):
            self.version = frame.version
            self._size_max = self._limits.max_frame_size
        frames.append(frame)


def _no_connect(head: bytes) -> bool:
    """Is it the head of a frame other than CONNECT?"""
    return COMMANDS.get(head[: head.find(b"\n")].rstrip(b"\r"), CONNECT) != CONNECT


def _plain_ack_end(data: bytes, pos: int) -> int:
    """Where the id ends of a whole ACK of 1.2 that has nothing but a usual id; -1 for any other frame.

    There is one for each message, so it is worth knowing at a glance: byte by byte, since compiled, one call of a method of
    bytes that is given places costs as much as fifty bytes that are looked at so.
    """
    start = pos + len(_PLAIN_ACK)
    if data[pos:start] != _PLAIN_ACK:
        return -1
    # Behind the id there are its EOL, the blank line's, and the NUL.
    last = min(len(data) - 2, start + _HANDLE_LENGTH_MAX)
    stop = start
    while stop < last:
        byte = data[stop]
        if byte == _LF:
            return stop if stop > start and data[stop + 1] == _LF and data[stop + 2] == _NUL else -1
        if byte != _HYPHEN and not _DIGIT_0 <= byte <= _DIGIT_9:
            return -1
        stop += 1
    return -1


def _blank_line_end(data: bytes, pos: int, last: int) -> int:
    """Behind the first blank line after `pos`, LF or CR LF; -1: there is none that ends before `last`."""
    while True:
        stop = data.find(b"\n", pos, last)
        if stop < 0:
            return -1
        if stop == pos or (stop == pos + 1 and data[pos] == _CR):
            return stop + 1
        pos = stop + 1


def _receipt_of(lines: list[bytes], version: str) -> str | None:
    """The receipt id of a frame that could not be decoded, if that much can."""
    try:
        for line in lines:
            if line.startswith(b"receipt") and _NUL not in line:
                name, value = decode_header(line, version)
                if name == "receipt":
                    return value
    except StompError:
        return None
    return None


def _with_body(send: Send, body: bytes) -> Send:
    return Send(
        send.destination,
        send.lines,
        body,
        send.receipt,
        send.transaction,
        send.persistent,
        send.priority,
        send.expires_ms,
        send.expiration_ms,
        send.retain,
        send.content_length,
        send.content_type,
        send.version,
        send.special,
    )
