"""What the operator may choose about STOMP."""

from dataclasses import dataclass
from typing import final

from gateway.core.delivery import FAILED, REJECTED, RELEASED


@final
@dataclass(init=False, slots=True)
class StompSettings:
    """Shared by all STOMP listeners of a broker."""

    prefetch: int
    """Unacknowledged deliveries to a subscription that asks for no number of its own."""
    nack: str
    """What a NACK without `requeue` means: failed, rejected or released."""
    heart_beat_send_ms: int
    heart_beat_want_ms: int
    headers_max: int
    header_bytes_max: int
    transactions_max: int
    """Open transactions on one connection."""
    untyped: str
    """What a body without a content type is: auto looks at its bytes; activemq at whether there is a content-length."""

    def __init__(
        self,
        prefetch: int = 100,
        nack: str = "failed",
        heart_beat_send_ms: int = 10_000,
        heart_beat_want_ms: int = 10_000,
        headers_max: int = 1_000,
        header_bytes_max: int = 65_536,
        transactions_max: int = 100,
        untyped: str = "auto",
    ) -> None:
        self.prefetch = prefetch
        self.nack = nack
        self.heart_beat_send_ms = heart_beat_send_ms
        self.heart_beat_want_ms = heart_beat_want_ms
        self.headers_max = headers_max
        self.header_bytes_max = header_bytes_max
        self.transactions_max = transactions_max
        self.untyped = untyped

    @property
    def untyped_by_length(self) -> bool:
        """Does a content-length make a body bytes?"""
        return self.untyped == "activemq"

    def nack_outcome(self, requeue: bool | None) -> int:
        """The outcome of a NACK: RabbitMQ's `requeue` header decides, else the policy (camps differ)."""
        if requeue is not None:
            return RELEASED if requeue else REJECTED
        if self.nack == "rejected":
            return REJECTED
        return RELEASED if self.nack == "released" else FAILED
