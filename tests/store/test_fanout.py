"""Messages that many queues take at once: written once, read from each queue like any other, cleaned away in the end."""

import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from power_loss import ApswDatabase, Disk, RecordingVfs
from store_doubles import SqliteHarness, everything, make, message, put, sequences, take

from gateway.core.journal import Batch
from gateway.core.message import Message
from gateway.core.ports import (
    SEQUENCE_BITS,
    Cleared,
    Dequeued,
    Enqueued,
    LaneFound,
    Operation,
    Page,
    Quarantined,
    QueueDeleted,
    Redelivered,
)
from gateway.core.record import BadRecord, Decoder
from gateway.store import maintenance
from gateway.store.copies import pack_copies, pack_runs, unpack_copies, unpack_runs
from gateway.store.database import Database
from gateway.store.errors import StoreFull
from gateway.store.merging import Merging
from gateway.store.schema import Opener, create
from gateway.store.segments import Segments
from gateway.store.tables import Tables

MANY = range(1, 21)
"""Queues that take a message at once."""


def opened(path: Path, opener: Opener = Database) -> SqliteHarness:
    harness = SqliteHarness(path, opener)
    harness.store.recover()
    harness.start()
    make(harness.store, *MANY)
    harness.settle()
    return harness


@pytest.fixture
def harness(tmp_path: Path):  # type: ignore[no-untyped-def]
    made = opened(tmp_path / "store.db")
    yield made
    made.close()


def spread(harness: SqliteHarness, sequence: int, sent: Message | None = None, note: bytes = b"") -> None:
    """One message to all of them, at the same place in each."""
    sent = message(sequence, b"body %d" % sequence) if sent is None else sent
    for queue in MANY:
        harness.store.append(Enqueued(queue, sequence, sent, note))
    harness.settle()


def rows(harness: SqliteHarness, sql: str) -> list[tuple[object, ...]]:
    reader = Database(str(harness.path), read_only=True)
    try:
        return reader.rows(sql)
    finally:
        reader.close()


def bodies(harness: SqliteHarness, queue: int) -> list[bytes]:
    decoder = Decoder()
    return [decoder.message(entry.record).origin.body() for entry in harness.load(everything(queue))]


def clean(harness: SqliteHarness) -> None:
    with harness.sqlite._writer.lock:
        while harness.sqlite._opened.tables.fanout.cleanable:
            harness.sqlite._opened.tables.clean()


# -- written


def test_a_message_that_many_queues_take_is_one_row(harness: SqliteHarness) -> None:
    spread(harness, 1, note=b"\x02\x01")
    assert rows(harness, "SELECT count(*) FROM entry") == [(0,)]
    assert rows(harness, "SELECT lane, size, length(record) > 0 FROM fanout") == [(4, 6, 1)]
    (entry,) = harness.load(everything(7))
    assert (entry.sequence, entry.lane, entry.size, entry.note) == (1, 4, 6, b"\x02\x01")
    assert Decoder().message(entry.record).id == 1


def test_a_message_that_few_queues_take_is_a_row_each_unless_it_is_long(harness: SqliteHarness) -> None:
    for sequence, body in ((1, b"short"), (2, b"long" * 3_000)):
        sent = message(sequence, body)
        for queue in (1, 2, 3):
            harness.store.append(Enqueued(queue, sequence, sent))
    harness.settle()
    assert rows(harness, "SELECT id & 0xff FROM entry") == [(1,), (1,), (1,)]
    assert bodies(harness, 3) == [b"short", b"long" * 3_000]


def test_above_the_bound_copies_are_rows_of_their_own(harness: SqliteHarness) -> None:
    harness.sqlite._opened.tables._fanout_max = len(MANY) + 1
    spread(harness, 1)
    spread(harness, 2)
    assert rows(harness, "SELECT count(*) FROM entry") == [(len(MANY),)]
    assert bodies(harness, 20) == [b"body 1", b"body 2"]
    take(harness.store, 20, 1)
    harness.settle()
    assert harness.sqlite._opened.tables.fanout.live == len(MANY) - 1


def test_100_bytes_to_1000_queues_cost_less_than_100_bytes_a_copy(tmp_path: Path) -> None:
    """The write-ahead log, checkpoints, what the acknowledgements write and the cleaning included."""
    disk = Disk()
    layer = "fanout-bytes"
    vfs = RecordingVfs(layer, disk)
    harness = SqliteHarness(tmp_path / "store.db", lambda path: ApswDatabase(path, layer))
    harness.store.recover()
    harness.start()
    queues = range(1, 1_001)
    make(harness.store, *queues)
    harness.settle()
    harness.reopen()
    harness.store.recover()
    harness.start()
    disk.events.clear()
    chance = random.Random(1)
    for sequence in range(1, 21):
        sent = message(sequence, chance.randbytes(100))
        for queue in queues:
            harness.store.append(Enqueued(queue, sequence, sent, b"\x02\x01"))
        harness.settle()
    left = [(queue, sequence) for queue in queues for sequence in range(1, 21)]
    chance.shuffle(left)
    for number, (queue, sequence) in enumerate(left):
        harness.store.append(Dequeued(queue, sequence))
        if number % 200 == 0:
            harness.settle()
    harness.settle()
    clean(harness)
    harness.close()
    written = sum(len(event[3]) for event in disk.events if event[0] == "write")
    vfs.unregister()
    assert written / len(left) < 100
    reader = Database(str(tmp_path / "store.db"), read_only=True)
    assert reader.rows("SELECT count(*) FROM fanout") == [(0,)]
    reader.close()


# -- above the bound


def bound(harness: SqliteHarness, copies_max: int) -> None:
    tables = harness.sqlite._opened.tables
    tables._fanout_max = copies_max
    tables.merging = Merging(tables.fanout, copies_max)


def test_above_the_bound_copies_share_pages(tmp_path: Path) -> None:
    """Bytes written a copy, the log and checkpoints included, where five times the bound wait."""
    disk = Disk()
    layer = "merging-bytes"
    vfs = RecordingVfs(layer, disk)
    harness = SqliteHarness(tmp_path / "store.db", lambda path: ApswDatabase(path, layer))
    harness.store.recover()
    harness.start()
    bound(harness, 8_000)
    queues = range(1, 201)
    make(harness.store, *queues)
    harness.settle()
    disk.events.clear()
    chance = random.Random(1)
    for sequence in range(1, 201):
        sent = message(sequence, chance.randbytes(100))
        for queue in queues:
            harness.store.append(Enqueued(queue, sequence, sent, b"\x02\x01"))
        if sequence % 10 == 0:
            harness.settle()
            assert harness.sqlite._opened.tables.fanout.live <= 8_000
    assert [entry.sequence for entry in harness.load(everything(77))] == list(range(1, 201))
    harness.close()
    written = sum(len(event[3]) for event in disk.events if event[0] == "write")
    vfs.unregister()
    assert written / 40_000 < 1_000


def test_what_became_entries_is_there_once_and_in_order_after_a_crash(harness: SqliteHarness) -> None:
    for sequence in range(1, 6):
        spread(harness, sequence)
    take(harness.store, 3, 2)
    harness.settle()
    tables = harness.sqlite._opened.tables
    with harness.sqlite._writer.lock:
        tables.merge()
    assert tables.fanout.live == 0
    spread(harness, 6)
    harness.reopen(clean=False)
    harness.store.recover()
    harness.start()
    assert bodies(harness, 3) == [b"body 1", b"body 3", b"body 4", b"body 5", b"body 6"]
    assert bodies(harness, 7) == [b"body %d" % number for number in range(1, 7)]


def test_a_merge_that_fails_leaves_the_copies_where_they_were(
    harness: SqliteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    spread(harness, 1)
    spread(harness, 2)
    tables = harness.sqlite._opened.tables
    full = StoreFull("for a test")

    def fail(added: list[int]) -> None:
        raise full

    with harness.sqlite._writer.lock, monkeypatch.context() as patch:
        patch.setattr(type(tables), "_commit", lambda self, added: fail(added))
        with pytest.raises(StoreFull):
            tables.merge()
    assert tables.fanout.live == 2 * len(MANY)
    assert bodies(harness, 7) == [b"body 1", b"body 2"]
    assert rows(harness, "SELECT count(*) FROM entry") == [(0,)]


# -- read


def test_copies_and_entries_of_a_queue_come_in_one_order(harness: SqliteHarness) -> None:
    put(harness.store, 1, 1, 3, 5, body=b"12345")
    for sequence in (2, 4, 6):
        spread(harness, sequence, message(sequence, b"12345"))
    assert sequences(harness.load(everything(1))) == [1, 2, 3, 4, 5, 6]
    assert sequences(harness.load(Page(1, -1, 2, 5, 100, 1 << 20))) == [2, 3, 4, 5]
    assert sequences(harness.load(Page(1, -1, 1, 9, 4, 1 << 20))) == [1, 2, 3, 4]
    assert sequences(harness.load(Page(1, -1, 1, 9, 9, 12))) == [1, 2]
    assert sequences(harness.load(Page(1, -1, 2, 9, 9, 1))) == [2]
    assert [entry.record for entry in harness.load(everything(1, heads_only=True))] == [b""] * 6
    assert sequences(harness.load(everything(2))) == [2, 4, 6]


def test_copies_are_found_by_lane_and_by_expiry(harness: SqliteHarness) -> None:
    spread(harness, 1, message(1, priority=7))
    spread(harness, 2, message(2, expires_at_ms=100))
    spread(harness, 3, message(3, expires_at_ms=300))
    assert sequences(harness.load(Page(5, 7, 0, 9, 9, 99))) == [1]
    assert sequences(harness.load(Page(5, -1, 0, 9, 9, 99, expired_by_ms=200))) == [2]
    assert sequences(harness.load(Page(5, 4, 0, 9, 9, 99, expired_by_ms=300))) == [2, 3]


def test_a_restart_finds_copies_and_entries_together(harness: SqliteHarness) -> None:
    put(harness.store, 3, 1, body=b"12")
    spread(harness, 2, message(2, b"123", expires_at_ms=500))
    spread(harness, 3, message(3, b"1", priority=9))
    take(harness.store, 4, 2)
    harness.settle()
    harness.reopen()
    found = {queue.number: queue.lanes for queue in harness.store.recover().queues}
    assert found[3] == [LaneFound(4, 2, 5, 1, 2, 500), LaneFound(9, 1, 1, 3, 3, 0)]
    assert found[4] == [LaneFound(9, 1, 1, 3, 3, 0)]
    assert sequences(harness.store.fetch(3, [3, 9, 1])) == [3, 1]
    harness.start()


# -- they leave


def test_copies_leave_one_queue_and_stay_in_the_others(harness: SqliteHarness) -> None:
    for sequence in range(1, 11):
        spread(harness, sequence)
    put(harness.store, 1, 11, 12)
    take(harness.store, 1, 3, 1, 2, 7, 11)
    harness.store.append(Cleared(2, -1, 2, 9))
    harness.store.append(QueueDeleted(3))
    for _ in range(2):
        harness.settle()
        assert sequences(harness.load(everything(1))) == [4, 5, 6, 8, 9, 10, 12]
        assert sequences(harness.load(everything(2))) == [1, 10]
        assert harness.load(everything(3)) == []
        assert sequences(harness.load(everything(4))) == list(range(1, 11))
        harness.reopen()
        harness.store.recover()
        harness.start()


def test_one_lane_is_cleared_and_what_lies_between_stays(harness: SqliteHarness) -> None:
    for sequence in range(1, 7):
        spread(harness, sequence, message(sequence, priority=9 if sequence in (2, 5) else 4))
    harness.store.append(Cleared(1, 4, 1, 5))
    harness.settle()
    harness.reopen()
    harness.store.recover()
    harness.start()
    assert sequences(harness.load(everything(1))) == [2, 5, 6]


def test_copies_for_a_queue_deleted_in_the_same_commit_are_not_written(harness: SqliteHarness) -> None:
    sent = message(1)
    for queue in MANY:
        harness.store.append(Enqueued(queue, 1, sent))
    harness.store.append(QueueDeleted(3))
    harness.settle()
    assert harness.sqlite._opened.tables.fanout.live == len(MANY) - 1


def test_a_copy_that_failed_or_cannot_be_read_is_told_apart_from_the_others(harness: SqliteHarness) -> None:
    spread(harness, 1, note=b"n")
    spread(harness, 2)
    harness.store.append(Redelivered(5, 1, 2))
    harness.store.append(Redelivered(5, 1, 3))
    harness.store.append(Quarantined(6, 2, "why not"))
    harness.settle()
    assert [(entry.failures, entry.note) for entry in harness.load(everything(5))] == [(3, b"n"), (0, b"")]
    assert sequences(harness.load(everything(6))) == [1]
    assert rows(harness, "SELECT place, reason, length(record) > 0 FROM quarantine") == [
        ("queue 6, message 2", "why not", 1)
    ]
    take(harness.store, 5, 1, 2)
    harness.settle()
    assert harness.load(everything(5)) == []


# -- what is not needed goes


def test_rows_go_when_all_copies_have_left(harness: SqliteHarness) -> None:
    for sequence in range(1, 11):
        spread(harness, sequence)
    for queue in MANY:
        take(harness.store, queue, *range(1, 11))
    harness.settle()
    clean(harness)
    assert rows(harness, "SELECT count(*) FROM fanout") == [(0,)]
    spread(harness, 11)
    harness.reopen()
    harness.store.recover()
    harness.start()
    assert bodies(harness, 20) == [b"body 11"]


def test_what_is_needed_is_written_again_and_the_rest_goes(
    harness: SqliteHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.fanout.WASTE_MIN", 0)
    monkeypatch.setattr("gateway.store.fanout.WASTE_SHARE", 0)
    monkeypatch.setattr("gateway.store.fanout.CLEANED_PER_STEP", 1)
    for sequence in range(1, 101):
        spread(harness, sequence, note=b"n" * sequence)
    # Queue 9 fetches nothing.
    for queue in MANY:
        if queue != 9:
            take(harness.store, queue, *(sequence for sequence in range(1, 101) if sequence % 10))
    harness.settle()
    before = rows(harness, "SELECT count(*), sum(length(record) + length(copies)) FROM fanout")[0]
    clean(harness)
    after = rows(harness, "SELECT count(*), sum(length(record) + length(copies)) FROM fanout")[0]
    assert after < before
    fanout = harness.sqlite._opened.tables.fanout
    assert (fanout._bytes, fanout.live) == (after[1], 100 + 10 * (len(MANY) - 1))
    for _ in range(2):
        assert [(entry.sequence, len(entry.note)) for entry in harness.load(everything(9))] == [
            (sequence, sequence) for sequence in range(1, 101)
        ]
        assert sequences(harness.load(everything(8))) == list(range(10, 101, 10))
        harness.reopen()
        harness.store.recover()
        harness.start()


def test_a_busy_store_cleans_between_commits(harness: SqliteHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.fanout.WASTE_MAX", 20_000)
    for sequence in range(1, 101):
        spread(harness, sequence, message(sequence, b"b" * 2_000))
        for queue in MANY:
            take(harness.store, queue, sequence)
        harness.settle()
    assert rows(harness, "SELECT count(*) < 60 FROM fanout") == [(1,)]


# -- when something fails


class Quota:
    """A disk that is full when told so, at the very end of a commit."""

    def __init__(self) -> None:
        self.full = False

    def opener(self, path: str) -> Database:
        quota = self

        class Full(Database):
            def execute(self, sql: str, parameters=()) -> int:  # type: ignore[no-untyped-def]
                if quota.full and sql == "COMMIT":
                    raise StoreFull("no room")
                return super().execute(sql, parameters)

        return Full(path)


def batch_of(*operations: Operation) -> Batch:
    batch = Batch(1)
    for operation in operations:
        batch.add(operation)
    return batch


def test_a_commit_that_did_not_happen_leaves_what_is_known_as_it_was(tmp_path: Path) -> None:
    quota = Quota()
    path = tmp_path / "store.db"
    create(path, quota.opener)
    tables = Tables(quota.opener(str(path)), Segments(path))
    for sequence in (1, 2, 3):
        sent = message(sequence)
        tables.apply(batch_of(*(Enqueued(queue, sequence, sent) for queue in MANY)))

    def known() -> tuple[object, ...]:
        fanout = tables.fanout
        there = [[entry.sequence for entry in tables.load(everything(queue))] for queue in MANY]
        return there, fanout.live, fanout._bytes, fanout._needed, fanout._next, len(fanout._bodies)

    before = known()
    sent = message(4)
    batch = batch_of(
        *(Enqueued(queue, 4, sent) for queue in MANY),
        # One message leaves all of them, one comes and goes, one fails.
        *(Dequeued(queue, 2) for queue in MANY),
        Dequeued(7, 4),
        Redelivered(1, 3, 1),
        Cleared(2, -1, 1, 4),
    )
    for attempt in (lambda: tables.apply(batch), tables.clean):
        quota.full = True
        with pytest.raises(StoreFull):
            attempt()
        assert known() == before
    quota.full = False
    tables.apply(batch)
    assert [(entry.sequence, entry.failures) for entry in tables.load(everything(1))] == [
        (1, 0),
        (3, 1),
        (4, 0),
    ]
    assert tables.load(everything(2)) == []
    assert sequences(tables.load(everything(3))) == [1, 3, 4]
    assert sequences(tables.load(everything(7))) == [1, 3]
    tables.database.close()


@pytest.mark.parametrize("row", [2, 3])
def test_a_row_that_cannot_be_read_is_set_aside_and_named(tmp_path: Path, row: int) -> None:
    path = tmp_path / "store.db"
    harness = opened(path)
    for sequence in (1, 2):
        spread(harness, sequence)
    take(harness.store, 1, 1)
    harness.settle()
    harness.close()
    damaged = sqlite3.connect(path)
    damaged.execute("UPDATE fanout SET copies = substr(copies, 1, length(copies) - 2) WHERE id = ?", (row,))
    damaged.commit()
    damaged.close()
    assert any(f"fanout, row {row}" in fault for fault in maintenance.check(path, lambda done, total: None))
    harness = SqliteHarness(path)
    assert len(harness.sqlite.damages) == 1
    harness.store.recover()
    harness.start()
    assert sequences(harness.load(everything(1))) == ([] if row == 2 else [1, 2])
    assert sequences(harness.load(everything(2))) == ([1] if row == 2 else [1, 2])
    assert rows(harness, "SELECT count(*) FROM quarantine") == [(1,)]
    harness.close()


def test_check_stats_and_backup_see_the_copies(harness: SqliteHarness, tmp_path: Path) -> None:
    put(harness.store, 1, 1, body=b"12345")
    spread(harness, 2, message(2, b"123"))
    take(harness.store, 2, 2)
    harness.settle()
    assert maintenance.check(harness.path, lambda done, total: None) == []
    copy = tmp_path / "copy.db"
    maintenance.backup(harness.path, copy, lambda done, total: None)
    for path in (harness.path, copy):
        found = {
            queue.key: (queue.messages, queue.bytes, queue.oldest, queue.newest)
            for queue in maintenance.stats(path).queues
        }
        assert found["queue:1"] == (2, 8, 1, 2)
        assert found["queue:2"] == (0, 0, 0, 0)
        assert found["queue:3"] == (1, 3, 2, 2)


# -- lists of copies


@given(
    st.dictionaries(st.integers(0, (1 << 63) - 1), st.binary(max_size=5)),
    st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(0, 99)), max_size=20),
)
def test_lists_come_back_as_they_were(copies: dict[int, bytes], steps: list[tuple[int, int]]) -> None:
    keys = sorted(copies)
    assert unpack_copies(pack_copies(keys, [copies[key] for key in keys])) == (
        keys,
        [copies[k] for k in keys],
    )
    runs = []
    at = 0
    for step, more in steps:
        runs.append((at + step, at + step + more))
        at += step + more + 1
    assert unpack_runs(pack_runs(runs)) == runs


@given(st.data())
def test_a_damaged_list_is_never_taken_for_another(data: st.DataObject) -> None:
    keys = [(queue << SEQUENCE_BITS) + 5 for queue in range(1, 30)]
    for packed, unpack in (
        (pack_copies(keys, [b"note"] * len(keys)), unpack_copies),
        (pack_runs([(key, key + 1) for key in keys]), unpack_runs),
    ):
        at = data.draw(st.integers(0, len(packed) - 1))
        bit = data.draw(st.integers(0, 7))
        flipped = packed[:at] + bytes((packed[at] ^ 1 << bit,)) + packed[at + 1 :]
        for damaged in (flipped, packed[:at], b""):
            try:
                assert unpack(damaged) == unpack(packed)
            except BadRecord:
                pass
