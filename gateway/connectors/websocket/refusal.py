"""Why an operation cannot be carried out."""

from gateway.core.footprint import wire_bytes
from protocols.gatewayjson import constants as c


class JsonRefusal(Exception):
    """For the `error` that answers the operation."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def check_name(key: str, name: str, bytes_max: int) -> None:
    """Raise JsonRefusal for a name that is too long to be kept."""
    if len(name) > bytes_max // 4 and wire_bytes(name) > bytes_max:
        raise JsonRefusal(c.LIMIT, f"`{key}` may have {bytes_max} bytes")
