"""What is wrong with an operation."""

from typing import final

from protocols.errors import ProtocolError
from protocols.gatewayjson.constants import BAD_REQUEST


@final
class JsonError(ProtocolError):
    """One operation is not as it should be; `code` tells machines, the text tells people."""

    def __init__(self, reason: str, code: str = BAD_REQUEST) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
