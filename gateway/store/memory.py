"""Stores in memory: one that keeps what it is given for the next broker of this process, one that holds back."""

from typing import Any, final

from gateway.core.journal import ENTRY_COLUMNS, Batch, Journal
from gateway.core.ports import (
    ANY_LANE,
    SEQUENCE_BITS,
    SEQUENCE_MAX,
    Entry,
    LaneFound,
    Operation,
    Page,
    QueueFound,
    QueueMade,
    Recovered,
    StoreListener,
)
from gateway.core.record import LongRecord
from gateway.store.passing import PassingStore


@final
class Kept:
    """What a MemoryStore keeps; handed to another one, it stands for the disk."""

    def __init__(self) -> None:
        self.epoch = 0
        self.clean = True
        self.queues: dict[int, QueueMade] = {}
        self.entries: dict[int, list[object]] = {}
        """Key → the values of one entry."""
        self.retained: dict[str, bytes] = {}
        self.notes: dict[tuple[str, str], bytes] = {}
        self.quarantine: list[tuple[int, str, object]] = []
        self.damaged = False

    def apply(self, batch: Batch) -> None:
        """Carry out one batch."""
        for made in batch.queues_made:
            self.queues[made.number] = made
        for at in range(0, len(batch.entries), ENTRY_COLUMNS):
            row = batch.entries[at : at + ENTRY_COLUMNS]
            record = row[-1]
            if isinstance(record, LongRecord):
                row[-1] = record.whole()
            self.entries[_int(row[0])] = row
        for failures, key in batch.failures:
            if key in self.entries:
                self.entries[key][2] = failures
        for key, reason in batch.aside:
            row = self.entries.pop(key)
            self.quarantine.append((key, reason, row[6]))
        for first, last in batch.removed:
            for key in range(first, last + 1):
                self.entries.pop(key, None)
        for cleared in batch.cleared:
            for key in self._keys(cleared.queue, cleared.lane, cleared.first, cleared.last):
                del self.entries[key]
        for number in batch.queues_gone:
            self.queues.pop(number, None)
            for key in self._keys(number, ANY_LANE, 0, SEQUENCE_MAX):
                del self.entries[key]
        for topic, record in batch.retained.items():
            _put(self.retained, topic, record.whole() if isinstance(record, LongRecord) else record)
        for place, value in batch.notes.items():
            _put(self.notes, place, value.whole() if isinstance(value, LongRecord) else value)

    def _keys(self, queue: int, lane: int, first: int, last: int) -> list[int]:
        base = queue << SEQUENCE_BITS
        return sorted(
            key
            for key, row in self.entries.items()
            if base + first <= key <= base + last and lane in (ANY_LANE, row[1])
        )

    def load(self, page: Page) -> list[Entry]:
        """The entries that `page` asks for."""
        found: list[Entry] = []
        size_sum = 0
        for key in self._keys(page.queue, page.lane, page.first, page.last):
            entry = self.entry(key)
            if page.expired_by_ms and not 0 < entry.expires_at_ms <= page.expired_by_ms:
                continue
            size_sum += entry.size
            if len(found) == page.count_max or (found and size_sum > page.bytes_max):
                break
            if page.heads_only:
                entry.record = b""
            found.append(entry)
        return found

    def entry(self, key: int) -> Entry:
        """One entry; KeyError when it is not there."""
        _, lane, failures, size, expires, note, record = self.entries[key]
        assert isinstance(note, bytes)
        assert isinstance(record, bytes)
        return Entry(key & SEQUENCE_MAX, _int(lane), _int(failures), _int(size), _int(expires), note, record)

    def recovered(self) -> Recovered:
        """What is there for a new run; counts it."""
        self.epoch += 1
        clean = self.clean
        self.clean = False
        notes: dict[str, dict[str, bytes]] = {}
        for (space, key), value in self.notes.items():
            notes.setdefault(space, {})[key] = value
        queues = [
            QueueFound(made.number, made.key, made.note, self._lanes(made.number))
            for _, made in sorted(self.queues.items())
        ]
        retained = list(self.retained.items())
        return Recovered(self.epoch, clean, queues, retained, notes, set(self.queues), self.damaged)

    def _lanes(self, number: int) -> list[LaneFound]:
        lanes: dict[int, LaneFound] = {}
        for key in self._keys(number, ANY_LANE, 0, SEQUENCE_MAX):
            entry = self.entry(key)
            lane = lanes.get(entry.lane)
            if lane is None:
                lane = lanes[entry.lane] = LaneFound(entry.lane, 0, 0, entry.sequence, 0, 0)
            lane.count += 1
            lane.bytes += entry.size
            lane.last = entry.sequence
            if entry.expires_at_ms and (not lane.expires_at_ms or entry.expires_at_ms < lane.expires_at_ms):
                lane.expires_at_ms = entry.expires_at_ms
        return [lanes[lane] for lane in sorted(lanes)]


@final
class MemoryStore(Journal):
    """Keeps everything in memory.  Durable at once, unless `held`: then only with `commit`.

    For tests and for embedding: a second store over the same `Kept` sees what a restart would see.
    """

    def __init__(self, kept: Kept | None = None, *, held: bool = False, pages: bool = False) -> None:
        super().__init__(1 << 62)
        self.kept = Kept() if kept is None else kept
        self.pages = pages
        self.held = held
        self.immediate = not held
        self.listener: StoreListener | None = None
        self._asked: list[Page] = []

    def wake(self) -> None:
        """See Journal."""

    def cleared(self) -> None:
        """See Journal."""

    def append(self, operation: Operation) -> int:
        """See Store."""
        position = super().append(operation)
        if not self.held:
            # Nothing can come between the parts of what is to be kept together.
            self.durable = self.position
            if self._depth == 0:
                self._take_over()
        return position

    def end(self) -> None:
        """See Store."""
        super().end()
        if not self.held and self._depth == 0:
            self._take_over()

    def commit(self) -> None:
        """Everything so far is durable; the listener hears it, and gets the pages it asked for."""
        self._take_over()
        listener = self.listener
        if listener is not None:
            listener.on_durable(self.durable)
            for page in self.take_asked():
                listener.on_loaded(page, self.kept.load(page))

    def _take_over(self) -> None:
        while self.takes_more():
            batch = self.take()
            refused = self.refused
            self.refused = []
            if batch is not None:
                self.kept.apply(batch)
                self.finish(batch.position)
                self.numbers_free += batch.queues_gone
            if self.listener is not None:
                for group in refused:
                    for operation in group.operations:
                        self.listener.on_refused(operation, group.why)

    def load(self, page: Page) -> None:
        """See Store; answered by `commit`."""
        self._asked.append(page)

    def take_asked(self) -> list[Page]:
        """The questions that `commit` would answer, for who answers them in another way."""
        asked = self._asked
        self._asked = []
        return asked

    def recover(self) -> Recovered:
        """See Store."""
        return self.kept.recovered()

    def fetch(self, queue: int, sequences: list[int]) -> list[Entry]:
        """See Store."""
        keys = [(queue << SEQUENCE_BITS) + sequence for sequence in sequences]
        return [self.kept.entry(key) for key in keys if key in self.kept.entries]

    def page(self, page: Page) -> list[Entry]:
        """See Store."""
        return self.kept.load(page)

    def close(self, clean: bool) -> None:
        """The run ends in order."""
        self._take_over()
        self.kept.clean = clean


@final
class HeldStore(PassingStore):
    """Makes nothing durable until told to: shows in tests that confirmations wait."""

    def __init__(self) -> None:
        super().__init__()
        self.immediate = False
        self.operations: list[Operation] = []

    def append(self, operation: Operation) -> int:
        """See Store."""
        self.position += 1
        self.operations.append(operation)
        return self.position

    def release(self) -> int:
        """Everything so far is durable now; returns the position to hand to Broker.on_durable."""
        self.durable = self.position
        return self.durable


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


def _put(table: dict[Any, bytes], key: object, value: bytes | None) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
