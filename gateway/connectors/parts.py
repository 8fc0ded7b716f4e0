"""Frames that are too large to be made and written in one go: a part at a time, in as many turns as it takes.

Others have their turns in between.  What is said behind one waits for it, so the order of frames stays what it is; see
`Output.push_parts`.
"""

from typing import Final, final

LONG: Final = 16_384
"""Bytes of a message from which on its JSON is made so: as many may be a thousand numbers."""

PART_BYTES: Final = 65_536
"""Bytes of one part, about."""

LONG_FRAME: Final = 262_144
"""Bytes of a message from which on a frame that holds its body as it is is written so: a copy of it takes a moment for each
megabyte."""

BEGINS: Final = 1
ENDS: Final = 2
WHOLE: Final = BEGINS | ENDS
"""What of its frame a part is, for carriers that have frames of their own."""


class Parts:
    """One frame for one client."""

    __slots__ = ("ahead", "begun", "over", "size", "weight")

    def __init__(self, size: int) -> None:
        self.size = size
        """Bytes of all of it, about: they count as those of any frame."""
        self.over = False
        """`next` has given the last part."""
        self.begun = False
        """A part of it has been taken."""
        self.ahead: list[bytes] = []
        """Frames that are to be written before it."""
        self.weight = 0
        """Its bytes and theirs."""

    def next(self) -> bytes:
        """The next part; nothing while it is still to be made, and perhaps at the end."""
        raise NotImplementedError


@final
class Several(Parts):
    """Some, one behind the other."""

    __slots__ = ("_at", "_parts")

    def __init__(self, parts: list[Parts]) -> None:
        size = 0
        for each in parts:
            size += each.size
        super().__init__(size)
        self._parts = parts
        self._at = 0

    def next(self) -> bytes:
        """See Parts."""
        current = self._parts[self._at]
        part = current.next()
        if current.over:
            self._at += 1
            self.over = self._at == len(self._parts)
        return part


@final
class Pieces(Parts):
    """A frame that is there already, in pieces of any size."""

    __slots__ = ("_at", "_pieces", "_within")

    def __init__(self, pieces: list[bytes | memoryview]) -> None:
        size = 0
        for piece in pieces:
            size += len(piece)
        super().__init__(size)
        self._pieces = pieces
        self._at = 0
        # Of the piece that is next, so much has been written.
        self._within = 0

    def next(self) -> bytes:
        """See Parts."""
        pieces = self._pieces
        taken: list[bytes | memoryview] = []
        room = PART_BYTES
        while room > 0 and self._at < len(pieces):
            piece = pieces[self._at]
            start = self._within
            end = min(start + room, len(piece))
            taken.append(piece[start:end])
            room -= end - start
            self._within = end
            if end == len(piece):
                self._at += 1
                self._within = 0
        self.over = self._at == len(pieces)
        return b"".join(taken)
