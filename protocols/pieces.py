"""Bytes that come in pieces and are wanted as a whole: nobody waits while many megabytes are joined."""

from io import BytesIO
from typing import final


@final
class Pieces:
    """Add pieces; `take` them as one.  Work and memory are linear in the bytes, however they are cut.

    Each is copied when it comes, to where the whole will be (BytesIO gives that away uncopied): joining them at the end
    takes a millisecond a megabyte, in one go.
    """

    __slots__ = ("_buffer", "_first", "size")

    def __init__(self, first: bytes) -> None:
        self._first = first
        self._buffer: BytesIO | None = None
        self.size = len(first)
        """Bytes added."""

    def add(self, piece: bytes) -> None:
        """Append `piece`."""
        buffer = self._buffer
        if buffer is None:
            buffer = self._buffer = BytesIO()
            buffer.write(self._first)
            self._first = b""
        buffer.write(piece)
        self.size += len(piece)

    def take(self) -> bytes:
        """Everything, in order; nothing may be added afterwards."""
        buffer = self._buffer
        if buffer is None:
            return self._first
        self._buffer = None
        return buffer.getvalue()
