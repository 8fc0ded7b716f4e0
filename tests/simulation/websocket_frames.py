"""The client's side of WebSocket (RFC 6455), as far as one needs it that speaks texts: frames out, messages in."""

from typing import Final

REQUEST: Final = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: gateway.json\r\n\r\n"
)
SWITCHED: Final = b"HTTP/1.1 101 "

TEXT: Final = 1
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

MASK: Final = bytes((0x12, 0x34, 0x56, 0x78))


def frame(opcode: int, payload: bytes, last: bool = True) -> bytes:
    """One frame of a client, masked (§5.2)."""
    size = len(payload)
    head = bytes((opcode | (0x80 if last else 0),))
    if size < 126:
        head += bytes((0x80 | size,))
    elif size < 1 << 16:
        head += bytes((0x80 | 126,)) + size.to_bytes(2, "big")
    else:
        head += bytes((0x80 | 127,)) + size.to_bytes(8, "big")
    repeated = (MASK * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return head + MASK + masked.to_bytes(size, "big")


def text(payload: bytes, cut: int) -> bytes:
    """A message, in two fragments if `cut` is within it (§5.4)."""
    if 0 < cut < len(payload):
        return frame(TEXT, payload[:cut], False) + frame(0, payload[cut:])
    return frame(TEXT, payload)


def parse(data: bytes) -> tuple[int, bytes, int]:
    """First byte and payload of the frame at the start of `data`, and where it ends; 0 while it is not whole."""
    if len(data) < 2:
        return 0, b"", 0
    size, start = data[1], 2
    if size == 126:
        size, start = int.from_bytes(data[2:4], "big"), 4
    elif size == 127:
        size, start = int.from_bytes(data[2:10], "big"), 10
    if len(data) < start or len(data) < start + size:
        return 0, b"", 0
    return data[0], data[start : start + size], start + size


class Messages:
    """Frames of a server to messages, which it may send in fragments with others between them (§5.4)."""

    def __init__(self) -> None:
        self._data = b""
        self._opcode = 0
        self._parts: list[bytes] = []

    def push(self, data: bytes) -> None:
        """Take what has come."""
        self._data += data

    def next_message(self) -> tuple[int, bytes] | None:
        """Opcode and payload of the next that is whole."""
        while True:
            first, payload, end = parse(self._data)
            if not end:
                return None
            self._data = self._data[end:]
            opcode = first & 0x0F
            if opcode >= CLOSE:
                return opcode, payload
            assert bool(opcode) != bool(self._opcode), "fragments of two messages"
            self._opcode = opcode or self._opcode
            self._parts.append(payload)
            if first & 0x80:
                message = self._opcode, b"".join(self._parts)
                self._opcode = 0
                self._parts = []
                return message
