"""Copies of messages that many queues took become entries of their queues, where too many wait to be known in memory.

Appended one by one each would change a page of its own.  Here all that wait in one queue go together, queue after queue
by number, so that they share pages; a queue has its turn again when all others had theirs, and has gathered more by then.
"""

from typing import Final, final

from gateway.core.ports import SEQUENCE_BITS
from gateway.store.fanout import Body, Fanout

MERGED_PER_STEP: Final = 2_048
"""Copies that become entries in one transaction, at most."""

MERGED_BYTES: Final = 4_194_304
"""Bytes of their records, about."""


@final
class Merging:
    """See the module."""

    def __init__(self, fanout: Fanout, copies_max: int) -> None:
        self._fanout = fanout
        # Not before that, as most copies are soon taken; what is above it is room for those that come meanwhile.
        self._from = copies_max - copies_max // 4
        # The queues of this round, and where it is.
        self._order: list[int] = []
        self._at = 0

    @property
    def due(self) -> bool:
        """Are there so many copies that some must become entries?"""
        return self._fanout.live > self._from

    def take(self) -> list[object]:
        """Within a transaction: take some copies out of the fanout; returns the columns of their entries."""
        if self._at >= len(self._order):
            self._order = self._fanout.numbers()
            self._at = 0
        values: list[object] = []
        runs: list[tuple[int, int]] = []
        records: dict[int, bytes] = {}
        left, room = MERGED_PER_STEP, MERGED_BYTES
        # Not beyond this round: what was taken already would be taken again.
        while self._at < len(self._order) and left > 0 and room > 0:
            base = self._order[self._at] << SEQUENCE_BITS
            self._at += 1
            keys: list[int] = []
            for sequence, body, note in self._fanout.oldest(base >> SEQUENCE_BITS, left):
                record = self._record(body, records)
                keys.append(base + sequence)
                values += (base + sequence, body.lane, 0, body.size, body.expires, note, record)
                left -= 1
                room -= len(record)
                if room <= 0:
                    break
            if keys:
                runs.append((keys[0], keys[-1]))
        self._fanout.remove(runs)
        return values

    def _record(self, body: Body, known: dict[int, bytes]) -> bytes:
        record = known.get(body.id)
        if record is None:
            record = known[body.id] = self._fanout.record(body)
        return record
