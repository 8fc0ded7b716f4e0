"""What the core counts.  Plain integers, read by whoever reports."""

from typing import Final, final

OMITTED_MAX: Final = 4_096
"""Different losses that are told apart: protocols by protocols by fields is far below."""


@final
class CoreCounters:
    """Rises only; one per broker."""

    __slots__ = (
        "dead_lettered",
        "discarded",
        "dropped_full",
        "expired",
        "omitted",
        "published",
        "transactions_aborted",
        "transactions_committed",
        "unroutable",
    )

    def __init__(self) -> None:
        self.published = 0
        """Messages that publishers handed in."""
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
        self.omitted: dict[tuple[str, str, str], int] = {}
        """Fields that a translation had to leave out, by (from, to, field): once a message and form."""

    def omit(self, source: str, target: str, field: str) -> None:
        """Count a field that `target` has no place for."""
        key = (source, target, field)
        omitted = self.omitted
        count = omitted.get(key)
        if count is not None:
            omitted[key] = count + 1
        elif len(omitted) < OMITTED_MAX:
            omitted[key] = 1

    def as_dict(self) -> dict[str, int]:
        """All of them by name."""
        return {
            "published": self.published,
            "unroutable": self.unroutable,
            "expired": self.expired,
            "dead_lettered": self.dead_lettered,
            "discarded": self.discarded,
            "dropped_full": self.dropped_full,
            "transactions_committed": self.transactions_committed,
            "transactions_aborted": self.transactions_aborted,
        }
