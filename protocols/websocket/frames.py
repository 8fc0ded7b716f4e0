"""What a peer sends, as records."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(init=False, slots=True)
class Data:
    """Unmasked, unpacked payload: a whole message, or whatever has come of some when boundaries do not matter."""

    data: bytes
    text: bool
    """It came in text frames."""

    def __init__(self, data: bytes, text: bool) -> None:
        self.data = data
        self.text = text


@final
@dataclass(init=False, slots=True)
class Ping:
    """A Ping (§5.5.2)."""

    payload: bytes

    def __init__(self, payload: bytes) -> None:
        self.payload = payload


@final
@dataclass(init=False, slots=True)
class Pong:
    """A Pong (§5.5.3), asked for or not."""

    payload: bytes

    def __init__(self, payload: bytes) -> None:
        self.payload = payload


@final
@dataclass(init=False, slots=True)
class Close:
    """A Close (§5.5.1)."""

    code: int
    """NO_STATUS (1005) when the frame has none."""
    reason: str

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason


Event = Data | Ping | Pong | Close
