"""What comes in on a connection: counted without being decoded, and answered where the protocol asks for it.

Acknowledgements are made by slicing whole runs of packets, never one by one, so that the load costs next to nothing.
"""

import re
import socket
import ssl
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

READ_BYTES: Final = 4 << 20
NOT_NOW: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What a non-blocking socket raises when it can neither read nor write at the moment."""


class Counter(ABC):
    """Counts what has come; `answer` is what is still to be said to it."""

    def __init__(self) -> None:
        self.count = 0
        self.answer = b""

    def read(self, sock: socket.socket) -> bool:
        """Take what is there; False when the broker has closed."""
        try:
            return self._read(sock)
        except NOT_NOW:
            return True

    def reply(self, sock: socket.socket) -> None:
        """Send of the answers what the socket takes."""
        if self.answer:
            try:
                self.answer = self.answer[sock.send(self.answer) :]
            except NOT_NOW:
                pass

    @abstractmethod
    def _read(self, sock: socket.socket) -> bool:
        """Read once.  May raise what NOT_NOW names."""


class ByBytes(Counter):
    """Every message has the same size."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._bytes = 0
        self._buffer = bytearray(READ_BYTES)

    def _read(self, sock: socket.socket) -> bool:
        # TCP on Linux drops what MSG_TRUNC asks for without copying it out (tcp(7)): the load hardly pays for size.
        discard = 0 if isinstance(sock, ssl.SSLSocket) else socket.MSG_TRUNC
        size = sock.recv_into(self._buffer, READ_BYTES, discard)
        self._bytes += size
        self.count = self._bytes // self._size
        return size > 0


class ByNul(Counter):
    """Every message ends with the only NUL in it (STOMP)."""

    def __init__(self) -> None:
        super().__init__()
        self._buffer = bytearray(READ_BYTES)

    def _read(self, sock: socket.socket) -> bool:
        size = sock.recv_into(self._buffer)
        self.count += self._buffer.count(0, 0, size)
        return size > 0


@dataclass(frozen=True)
class Kind:
    """A kind of MQTT packet that is expected: which, how large, and what it is answered with."""

    heads: bytes
    """First bytes that it may have, as a regular expression."""
    size: int
    id_offset: int
    """Where its packet id stands."""
    answer: int = 0
    """First byte of the packet that answers it; 0 for none."""
    counts: bool = False

    @property
    def pattern(self) -> bytes:
        """A run of it."""
        return b"((?:%s.{%d})++)" % (self.heads, self.size - 1)

    def answers(self, run: bytes) -> bytes:
        """An acknowledgement for each packet of a run: the ids stand at the same place in each."""
        if not self.answer:
            return b""
        acks = bytearray(bytes((self.answer, 2, 0, 0)) * (len(run) // self.size))
        acks[2::4] = run[self.id_offset :: self.size]
        acks[3::4] = run[self.id_offset + 1 :: self.size]
        return bytes(acks)


class Packets(Counter):
    """MQTT packets of few kinds, in runs of the same kind."""

    def __init__(self, *kinds: Kind) -> None:
        super().__init__()
        self._kinds = kinds
        self._runs = re.compile(b"|".join([kind.pattern for kind in kinds]), re.DOTALL)
        self._rest = b""

    def _read(self, sock: socket.socket) -> bool:
        piece = sock.recv(READ_BYTES)
        data = self._rest + piece
        pos = 0
        answers = [self.answer]
        while found := self._runs.match(data, pos):
            assert found.lastindex is not None
            kind = self._kinds[found.lastindex - 1]
            answers.append(kind.answers(found[0]))
            if kind.counts:
                self.count += len(found[0]) // kind.size
            pos = found.end()
        self._rest = data[pos:]
        if len(self._rest) > max([kind.size for kind in self._kinds]):
            raise RuntimeError(f"an unexpected packet: {self._rest[:60]!r}")
        self.answer = b"".join(answers)
        self.reply(sock)
        return bool(piece)


_ACK_HEADER: Final = re.compile(rb"\nack:([^\n]+)\n")


class StompAcks(Counter):
    """Each MESSAGE of STOMP 1.2 is acknowledged by a frame of its own (`client-individual`)."""

    def __init__(self) -> None:
        super().__init__()
        self._rest = b""

    def _read(self, sock: socket.socket) -> bool:
        piece = sock.recv(READ_BYTES)
        data = self._rest + piece
        end = data.rfind(b"\0") + 1
        self._rest = data[end:]
        names = _ACK_HEADER.findall(data, 0, end)
        if names:
            self.count += len(names)
            self.answer += b"ACK\nid:" + b"\n\n\0ACK\nid:".join(names) + b"\n\n\0"
        self.reply(sock)
        return bool(piece)
