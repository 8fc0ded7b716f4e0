"""Frames as clients write them, and what a server wrote, taken apart: independent of the room under test."""

import os

from protocols.websocket.connection import WebSocketConnection, WebSocketLimits
from protocols.websocket.frames import Data


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x11\x22\x33\x44",
    length: bytes | None = None,
) -> bytes:
    """A client's frame; `mask` None leaves it unmasked, `length` overrides what the header says."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0 if mask is None else 0x80
    if length is not None:
        head = bytes((first, bit | length[0])) + length[1:]
    elif len(payload) <= 125:
        head = bytes((first, bit | len(payload)))
    elif len(payload) <= 0xFFFF:
        head = bytes((first, bit | 126)) + len(payload).to_bytes(2, "big")
    else:
        head = bytes((first, bit | 127)) + len(payload).to_bytes(8, "big")
    if mask is None:
        return head + payload
    return head + mask + bytes([byte ^ mask[at & 3] for at, byte in enumerate(payload)])


def masked(opcode: int, payload: bytes) -> bytes:
    """A whole message with a key of its own."""
    return frame(opcode, payload, mask=os.urandom(4))


def parse(data: bytes) -> list[tuple[int, bytes, bool, int]]:
    """(opcode, payload, fin, rsv) of each frame that a server wrote."""
    found = []
    while data:
        first, second = data[0], data[1]
        assert not second & 0x80, "a server must not mask"
        size, at = second & 0x7F, 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(data[2:10], "big"), 10
        assert len(data) >= at + size, "half a frame"
        found.append((first & 0x0F, data[at : at + size], bool(first & 0x80), first >> 4 & 7))
        data = data[at + size :]
    return found


class Echo:
    """A server that sends every message back in the kind it came in."""

    def __init__(
        self, connection: WebSocketConnection | None = None, limits: WebSocketLimits | None = None
    ) -> None:
        self.connection = connection or WebSocketConnection(limits or WebSocketLimits(), whole=True)
        self.messages: list[Data] = []

    def feed(self, data: bytes, step: int = 0) -> list[tuple[int, bytes, bool, int]]:
        """Give it `data`, `step` bytes at a time (0: whole); the frames that come back."""
        wire = b""
        for at in range(0, len(data), step or len(data) or 1):
            wire += self._take(data[at : at + (step or len(data))])
            while self.connection.more:
                wire += self._take(b"")
        return parse(wire)

    def _take(self, piece: bytes) -> bytes:
        wire = b""
        for message in self.connection.receive_data(piece):
            self.messages.append(message)
            wire += b"".join(self.connection.encode([message.data]))
        return wire + b"".join(self.connection.taken()) + self.connection.last_word()

    @property
    def closed_with(self) -> int:
        """The code of the Close; 0 while open."""
        return self.connection.close_code
