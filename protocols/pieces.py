"""Bytes that come in pieces and are wanted as a whole: nobody waits while many megabytes are joined."""

from io import BytesIO
from typing import Final, final

SURE_BYTES: Final = 4_194_304
"""Once so much has come of what is expected there is room for all of it: who only says that much will come takes none."""


@final
class Pieces:
    """Add pieces; `take` them as one.  Work and memory are linear in the bytes, however they are cut.

    Each is copied when it comes, to where the whole will be (BytesIO gives that away uncopied): joining them at the end
    takes a millisecond a megabyte, in one go.
    """

    __slots__ = ("_buffer", "_expected", "_first", "size")

    def __init__(self, first: bytes, expected: int = 0) -> None:
        """`expected` bytes will come at most, if that is known."""
        self._first = first
        self._expected = expected
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
        self.size += len(piece)
        if self._expected > SURE_BYTES and self.size > SURE_BYTES:
            buffer = self._make_room(buffer)
        buffer.write(piece)

    def _make_room(self, buffer: BytesIO) -> BytesIO:
        """Growing by and by, it would have to move once it is too large for where it began."""
        # Zeros that are nowhere yet: the system finds room for a page of them when it is written.
        whole = BytesIO(bytes(self._expected))
        self._expected = 0
        whole.write(buffer.getvalue())
        self._buffer = whole
        return whole

    def take(self) -> bytes:
        """Everything, in order; nothing may be added afterwards."""
        buffer = self._buffer
        if buffer is None:
            return self._first
        self._buffer = None
        buffer.truncate(self.size)
        return buffer.getvalue()
