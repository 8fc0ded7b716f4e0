"""Part by part into a streamed body."""

from typing import final

from gateway.connectors.parts import Parts
from protocols.http.connection import chunk_of


@final
class StreamParts(Parts):
    """What is `inside`, each part of it a chunk where the body is `chunked` (see HttpConnection)."""

    __slots__ = ("_chunked", "_inside")

    def __init__(self, inside: Parts, chunked: bool) -> None:
        super().__init__(inside.size)
        self._inside = inside
        self._chunked = chunked

    def next(self) -> bytes:
        """See Parts."""
        part = self._inside.next()
        self.over = self._inside.over
        return chunk_of(part) if part and self._chunked else part
