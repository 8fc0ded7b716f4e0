"""Messages of earlier runs."""

from typing import final

from gateway.connectors.stomp.mapping import Head, StompOrigin
from gateway.connectors.stomp.stored import head_end, restored_send
from gateway.core.message import Origin
from gateway.core.record import Restorer


@final
class StompRestorer(Restorer):
    """See Restorer.  Frames that follow each other mostly have the same header lines, and then share their Head."""

    __slots__ = ("_bytes", "_head")

    def __init__(self) -> None:
        self._bytes = b""
        self._head: Head | None = None

    def origin(self, data: bytes, start: int) -> Origin:
        """See Restorer."""
        send, owner, by_length = restored_send(data, start)
        before_body = data[start : head_end(data, start)]
        head = self._head
        if head is None or before_body != self._bytes:
            head = self._head = Head(send.lines, send.version, owner, by_length)
            self._bytes = before_body
        send.lines = head.lines
        return StompOrigin(send, head)
