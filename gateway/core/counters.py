"""What the core counts.  Plain integers, read by whoever reports."""

from typing import Final, final

OMITTED_MAX: Final = 4_096
"""Different losses that are told apart: protocols by protocols by fields is far below."""

OMITTED_SETS_MAX: Final = 256
"""Sets of fields that are counted before they are added up."""

DEATHS_MAX: Final = 64
"""Queues and reasons that are told apart until somebody takes the deaths; those of further ones are added up."""

ELSEWHERE: Final = "other queues"


@final
class CoreCounters:
    """Rises only; one per broker."""

    __slots__ = (
        "_deaths",
        "_omitted",
        "_omitted_sets",
        "dead_lettered",
        "discarded",
        "dropped_full",
        "expired",
        "over_quota",
        "published",
        "quarantined",
        "refused",
        "repeated",
        "transactions_aborted",
        "transactions_committed",
        "unroutable",
        "unstorable",
    )

    def __init__(self) -> None:
        self.published = 0
        """Messages that publishers handed in."""
        self.refused = 0
        """Persistent messages that were refused because the store could not keep them."""
        self.quarantined = 0
        """Stored messages that could not be read, and were set aside."""
        self.over_quota = 0
        """Queues that were not made because their user, or address, has made too many."""
        self.unroutable = 0
        """Messages that nobody had subscribed to."""
        self.unstorable = 0
        """Operations that the store could not write for what they hold: a bug of ours, which nobody else pays for."""
        self.expired = 0
        self.dead_lettered = 0
        self.discarded = 0
        """Messages that would have been dead-lettered, had there been a queue for them."""
        self.dropped_full = 0
        """Messages dropped because a queue was full."""
        self.repeated = 0
        """What producers sent again under the same key, and was not published again."""
        self.transactions_committed = 0
        self.transactions_aborted = 0
        self._omitted: dict[tuple[str, str, str], int] = {}
        self._omitted_sets: dict[tuple[str, str, tuple[str, ...]], int] = {}
        self._deaths: dict[tuple[str, str], int] = {}

    def bury(self, queue: str, reason: str) -> None:
        """Count a message that became a dead letter."""
        self.dead_lettered += 1
        key = (queue, reason)
        deaths = self._deaths
        if len(deaths) >= DEATHS_MAX and key not in deaths:
            key = (ELSEWHERE, reason)
        deaths[key] = deaths.get(key, 0) + 1

    def take_deaths(self) -> dict[tuple[str, str], int]:
        """How many became dead letters since this was asked last, by the queue that they were in and the reason."""
        deaths = self._deaths
        self._deaths = {}
        return deaths

    def omit(self, source: str, target: str, fields: tuple[str, ...]) -> None:
        """Count fields of one message that `target` has no place for."""
        key = (source, target, fields)
        sets = self._omitted_sets
        count = sets.get(key)
        if count is not None:
            sets[key] = count + 1
        else:
            if len(sets) >= OMITTED_SETS_MAX:
                self._gather()
            sets[key] = 1

    @property
    def omitted(self) -> dict[tuple[str, str, str], int]:
        """Fields that a translation had to leave out, by (from, to, field): once a message and form."""
        self._gather()
        return self._omitted

    def _gather(self) -> None:
        """Messages mostly lack the same few sets of fields, so these are counted, and added up when somebody asks."""
        omitted = self._omitted
        for (source, target, fields), count in self._omitted_sets.items():
            for field in fields:
                key = (source, target, field)
                if key in omitted or len(omitted) < OMITTED_MAX:
                    omitted[key] = omitted.get(key, 0) + count
        self._omitted_sets.clear()

    def as_dict(self) -> dict[str, int]:
        """All of them by name."""
        return {
            "published": self.published,
            "refused": self.refused,
            "quarantined": self.quarantined,
            "over_quota": self.over_quota,
            "unstorable": self.unstorable,
            "unroutable": self.unroutable,
            "expired": self.expired,
            "dead_lettered": self.dead_lettered,
            "discarded": self.discarded,
            "dropped_full": self.dropped_full,
            "repeated": self.repeated,
            "transactions_committed": self.transactions_committed,
            "transactions_aborted": self.transactions_aborted,
        }
