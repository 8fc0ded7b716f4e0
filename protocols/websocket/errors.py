"""WebSocketError, with the code of the Close frame that tells the peer."""

from typing import final

from protocols.errors import ProtocolError


@final
class WebSocketError(ProtocolError):
    """The peer broke RFC 6455 or a limit; `code` is for its Close frame (§7.4)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        """Fit for the Close frame: at most 123 bytes."""
