"""What the core counts.  Plain integers, read by whoever reports."""

from typing import final


@final
class CoreCounters:
    """Rises only; one per broker."""

    __slots__ = (
        "dead_lettered",
        "discarded",
        "dropped_full",
        "expired",
        "published",
        "quarantined",
        "refused",
        "transactions_aborted",
        "transactions_committed",
        "unroutable",
    )

    def __init__(self) -> None:
        self.published = 0
        """Messages that publishers handed in."""
        self.refused = 0
        """Persistent messages that were refused because the store could not keep them."""
        self.quarantined = 0
        """Stored messages that could not be read, and were set aside."""
        self.unroutable = 0
        """Messages that nobody had subscribed to."""
        self.expired = 0
        self.dead_lettered = 0
        self.discarded = 0
        """Messages that would have been dead-lettered, had there been a queue for them."""
        self.dropped_full = 0
        """Messages dropped because a queue was full."""
        self.transactions_committed = 0
        self.transactions_aborted = 0

    def as_dict(self) -> dict[str, int]:
        """All of them by name."""
        return {
            "published": self.published,
            "refused": self.refused,
            "quarantined": self.quarantined,
            "unroutable": self.unroutable,
            "expired": self.expired,
            "dead_lettered": self.dead_lettered,
            "discarded": self.discarded,
            "dropped_full": self.dropped_full,
            "transactions_committed": self.transactions_committed,
            "transactions_aborted": self.transactions_aborted,
        }
