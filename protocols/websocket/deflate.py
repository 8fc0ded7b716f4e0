"""permessage-deflate (RFC 7692): one direction each, with a limit on what comes out."""

import zlib
from typing import Any, Final, final

from protocols.websocket.constants import INVALID_DATA, TOO_BIG
from protocols.websocket.errors import WebSocketError

TAIL: Final = b"\x00\x00\xff\xff"
"""What a sender cuts off the end of a message (§7.2.1)."""

MEMORY_LEVEL: Final = 5
"""zlib's memLevel: with a window of 12 bits, 24 KiB a connection for packing instead of 256."""


UNPACKED_AT_ONCE: Final = 262_144
"""Bytes: a kilobyte may be a megabyte."""


@final
class Inflater:
    """Unpacks the messages of one peer."""

    __slots__ = ("_keep", "_limit", "_limit_max", "_made", "_unpacker", "_window_bits", "pending")

    def __init__(self, limit: int, window_bits: int, no_context_takeover: bool) -> None:
        self._limit_max = self._limit = limit
        self._window_bits = window_bits
        self._keep = not no_context_takeover
        self._made = 0
        self._unpacker: Any = None
        self.pending = False
        """There is more in the piece that came last: call `inflate` again, with nothing."""

    def limit(self, size: int) -> None:
        """From now on messages may unpack to so many bytes, and never to more than at first."""
        self._limit = min(size, self._limit_max)

    def inflate(self, piece: bytes, last: bool) -> bytes:
        """Unpack one piece of a message, or as much as is unpacked at once; `last` ends the message.

        Raises WebSocketError.
        """
        ends = last and not self.pending
        self.pending = False
        unpacker = self._unpacker
        if unpacker is None:
            unpacker = self._unpacker = zlib.decompressobj(wbits=-self._window_bits)
        if unpacker.eof:
            _check_end(piece)
            data = b""
        else:
            data = self._unpack(unpacker, piece + TAIL if ends else piece)
            if unpacker.eof:
                _check_end(unpacker.unused_data.removesuffix(TAIL))
        self._made += len(data)
        if last and not self.pending:
            self._made = 0
            if not self._keep or unpacker.eof:
                self._unpacker = None
        return data

    def _unpack(self, unpacker: Any, piece: bytes) -> bytes:
        room = max(self._limit - self._made, 0)
        # One byte more than allowed tells a message that is too long from one that just fits.
        most = min(room + 1, UNPACKED_AT_ONCE)
        try:
            data: bytes = unpacker.decompress(unpacker.unconsumed_tail + piece, most)
        except zlib.error:
            raise WebSocketError(INVALID_DATA, "the compressed data is damaged") from None
        if len(data) > room:
            raise WebSocketError(TOO_BIG, f"a message unpacks to more than {self._limit} bytes")
        self.pending = len(data) == most
        return data


def _check_end(behind: bytes) -> None:
    """A final block ends the data, but for the empty one that §7.2.3.4 has a sender add.

    zlib would keep whatever else comes, and copy it with each piece.
    """
    if behind.strip(b"\0"):
        raise WebSocketError(INVALID_DATA, "compressed data behind its end")


@final
class Deflater:
    """Packs the messages for one peer."""

    __slots__ = ("_keep", "_packer", "_window_bits")

    def __init__(self, window_bits: int, no_context_takeover: bool) -> None:
        # zlib cannot pack with a window of 8 bits; one that promises less may use less of a larger one, but not so here.
        self._window_bits = max(window_bits, 9)
        self._keep = not no_context_takeover
        self._packer: Any = None

    def deflate(self, message: bytes) -> bytes:
        """Pack a whole message."""
        return self.deflate_part(message, True)

    def deflate_part(self, part: bytes, last: bool) -> bytes:
        """Pack a part of a message; perhaps nothing comes of it yet, unless it is the `last`."""
        packer = self._packer
        if packer is None:
            packer = self._packer = zlib.compressobj(wbits=-self._window_bits, memLevel=MEMORY_LEVEL)
        data: bytes = packer.compress(part)
        if not last:
            return data
        data += packer.flush(zlib.Z_SYNC_FLUSH)
        if not self._keep:
            self._packer = None
        return data[: -len(TAIL)]
