"""Frames that have begun and are not whole: their bytes have one bound over all connections.

Each is bounded by `maxFrameSize`; but ten thousand connections, each with most of a frame, would be any memory.  Above the
bound the frame goes that began first, with its connection: whoever is at work on one has begun it lately.
"""

from collections import OrderedDict
from typing import Final, Protocol, final

SMALL: Final = 16_384
"""Bytes that are not counted: there are as many of those as connections at most."""


class Receiving(Protocol):
    """A connection, as far as it keeps what is not whole."""

    unfinished: int
    """Bytes that are counted of it."""

    def give_up(self, why: str) -> None:
        """End it, and say why in its protocol's words."""


@final
class Unfinished:
    """See the module."""

    __slots__ = ("_bytes_max", "_places", "bytes")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        # In the order in which their frames began.
        self._places: OrderedDict[Receiving, None] = OrderedDict()
        self.bytes = 0
        """Of all connections."""

    def note(self, connection: Receiving, size: int) -> None:
        """So much of a frame is there by now; 0 when none is under way."""
        counted = size if size > SMALL else 0
        if counted < connection.unfinished:
            # Another one has begun, if any.
            self._places.pop(connection, None)
        self.bytes += counted - connection.unfinished
        connection.unfinished = counted
        if counted:
            self._places[connection] = None
            while self.bytes > self._bytes_max:
                self._end_first()

    def _end_first(self) -> None:
        first = next(iter(self._places))
        self.note(first, 0)
        first.give_up("too much of frames that are not whole is there, and this one began first")
