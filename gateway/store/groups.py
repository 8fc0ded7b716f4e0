"""Finds in a batch the messages that so many queues took that each had better be written once."""

from typing import Any, Final, final

from gateway.core.journal import ENTRY_COLUMNS, Batch
from gateway.core.ports import SEQUENCE_BITS
from gateway.core.record import LongRecord

COPIES_MIN: Final = 8
"""Copies from which on a message is written once: fewer share the pages of their queues with other messages."""

SAVED_MIN: Final = 16_384
"""Bytes of records that need not be written, from which on it is done for fewer copies."""


@final
class Group:
    """One message and its copies: keys in rising order, and the note of each."""

    __slots__ = ("expires", "keys", "lane", "notes", "record", "size")

    def __init__(
        self, lane: int, size: int, expires: int, record: bytes, keys: list[int], notes: list[bytes]
    ) -> None:
        self.lane = lane
        self.size = size
        self.expires = expires
        self.record = record
        self.keys = keys
        self.notes = notes

    @property
    def saved(self) -> int:
        """Bytes of records that need not be written."""
        return (len(self.keys) - 1) * len(self.record)


def divided(batch: Batch, large: int, copies_max: int) -> tuple[list[object], list[Group]]:
    """The entries of a batch that are to be rows of their own, and those that are not, by message.

    Records of `large` bytes and more stay entries, unless that is 0; so does what would make more than `copies_max`.
    """
    entries = batch.entries
    groups: list[Group] = []
    others: list[object] = []
    at = 0
    for first, count in batch.shared:
        start = first * ENTRY_COLUMNS
        record = entries[start + ENTRY_COLUMNS - 1]
        assert isinstance(record, (bytes, LongRecord))
        if count < COPIES_MIN and (count - 1) * len(record) < SAVED_MIN:
            continue
        if (large and len(record) >= large) or count > copies_max:
            continue
        copies_max -= count
        others += entries[at:start]
        at = start + count * ENTRY_COLUMNS
        groups.append(_group(entries[start:at], set(batch.queues_gone)))
    if not groups:
        return entries, groups
    others += entries[at:]
    return others, groups


def _group(entries: list[Any], gone: set[int]) -> Group:
    """Those of one message, but for queues that are deleted in the same batch."""
    copies = list(zip(entries[::ENTRY_COLUMNS], entries[5::ENTRY_COLUMNS], strict=True))
    if gone:
        copies = [copy for copy in copies if copy[0] >> SEQUENCE_BITS not in gone]
    copies.sort()
    _, lane, _, size, expires, _, record = entries[:ENTRY_COLUMNS]
    return Group(lane, size, expires, record, [key for key, _ in copies], [note for _, note in copies])
