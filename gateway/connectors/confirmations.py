"""Confirmations that wait for the store."""

from collections import deque
from typing import Final, final

FRAME_BYTES: Final = 64
"""What an answer takes beside its own bytes, about: most are shorter than that."""

CONFIRMED_MAX: Final = 256
"""Confirmations that one connection writes before it is the next one's turn."""


@final
class Confirmations:
    """Confirmations to a publisher, in order, each held until its position is durable."""

    __slots__ = ("_pending", "bytes", "suspended")

    def __init__(self) -> None:
        self._pending: deque[tuple[int, bytes]] = deque()
        self.suspended = 0
        """How many of the publisher's messages have not reached all of very many: none may go before that."""
        self.bytes = 0
        """What they take."""

    def __len__(self) -> int:
        return len(self._pending) + self.suspended

    def __bool__(self) -> bool:
        return len(self._pending) > 0 or self.suspended > 0

    def add(self, position: int, frame: bytes) -> None:
        """Hold `frame` until `position` is durable and all before it have gone."""
        self._pending.append((position, frame))
        self.bytes += len(frame) + FRAME_BYTES

    def take(self, durable: int) -> list[bytes]:
        """The frames that may go now, CONFIRMED_MAX at most."""
        pending = self._pending
        ready: list[bytes] = []
        if self.suspended:
            return ready
        while pending and pending[0][0] <= durable and len(ready) < CONFIRMED_MAX:
            frame = pending.popleft()[1]
            self.bytes -= len(frame) + FRAME_BYTES
            ready.append(frame)
        return ready

    def due(self, durable: int) -> bool:
        """May one more go now?"""
        return not self.suspended and bool(self._pending) and self._pending[0][0] <= durable
