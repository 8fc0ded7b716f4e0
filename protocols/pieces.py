"""Bytes that come in pieces and are wanted as a whole: nobody waits while many megabytes are joined."""

from io import BytesIO
from typing import Final, final

SURE_BYTES: Final = 2_097_152
"""Once so much has come there is room for all that may come: who only says that much will come takes none."""

MAPPED_BYTES: Final = 34_603_008
"""Room of this size is a mapping of its own in every C library: it takes no memory before something is written there, and
is cut to what it holds where it is."""


@final
class Pieces:
    """Add pieces; `take` them as one.  Work and memory are linear in the bytes, however they are cut.

    Each is copied when it comes, to where the whole will be (BytesIO gives that away uncopied): joining them at the end
    takes a millisecond a megabyte, in one go.  So does moving what is there because it has outgrown its place.
    """

    __slots__ = ("_buffer", "_first", "_most", "size")

    def __init__(self, first: bytes, most: int) -> None:
        """`most` bytes will come at most, or about: what is told, or what may be taken."""
        self._first = first
        # 0 once there is room for it.
        self._most = most
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
        if self._most > SURE_BYTES and self.size > SURE_BYTES:
            buffer = self._make_room(buffer)
        buffer.write(piece)

    def _make_room(self, buffer: BytesIO) -> BytesIO:
        """Growing by and by, it would have to move once it is too large for where it began, 30 MB at the worst."""
        # Zeros that are nowhere yet: the system finds room for a page of them when it is written.
        whole = BytesIO(bytes(max(self._most, MAPPED_BYTES)))
        self._most = 0
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
