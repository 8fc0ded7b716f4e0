"""Bytes that come in pieces and are wanted as a whole: large ones are kept as they came, and joined once."""

from typing import Final, final

SMALL_BYTES: Final = 4_096
"""A piece below this size is copied to its neighbours: kept alone, it would cost more memory than it holds."""

CHUNK_BYTES: Final = 65_536
"""Small pieces are gathered up to this size."""


@final
class Pieces:
    """Add pieces; `take` them as one.  Work and memory are linear in the bytes, however they are cut."""

    __slots__ = ("_parts", "_small", "size")

    def __init__(self, first: bytes) -> None:
        self._parts: list[bytes] = []
        self._small = bytearray()
        self.size = 0
        """Bytes added."""
        self.add(first)

    def add(self, piece: bytes) -> None:
        """Append `piece`."""
        size = len(piece)
        self.size += size
        small = self._small
        if size < SMALL_BYTES:
            small += piece
            if len(small) < CHUNK_BYTES:
                return
            piece = b""
        if small:
            self._parts.append(bytes(small))
            self._small = bytearray()
        if piece:
            self._parts.append(piece)

    def take(self) -> bytes:
        """Everything, in order; nothing may be added afterwards."""
        parts = self._parts
        if self._small:
            parts.append(bytes(self._small))
        return parts[0] if len(parts) == 1 else b"".join(parts)
