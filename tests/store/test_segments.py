"""Large records: where they lie, when their files go, and what happens when those are not what they should be."""

import errno
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from segment_tools import BODY, LARGE, SEGMENT, bodies, files_of, opened, rows
from store_doubles import SqliteHarness, everything, make, message, put, sequences, take

from gateway.core.ports import Cleared, Dequeued, Enqueued, Quarantined, QueueDeleted
from gateway.core.record import LONG_RECORD, BadRecord, Decoder
from gateway.store import maintenance
from gateway.store.database import Database
from gateway.store.errors import StoreFailed
from gateway.store.replace import SUFFIXES
from gateway.store.schema import VERSION, begin
from gateway.store.segments import JOINED, KEPT_SUFFIX, Files, Place, directory_of, read_at, segments_in
from gateway.store.tables import CHECKED_BYTES


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def eventually(met: Callable[[], bool]) -> bool:
    pause = threading.Event()
    for _ in range(3_000):
        if met():
            return True
        pause.wait(0.01)
    return False


# -- where they lie


def test_a_large_record_lies_in_a_segment_and_a_small_one_in_its_row(path: Path) -> None:
    harness = opened(path)
    make(harness.store, 1)
    put(harness.store, 1, 1, body=BODY)
    put(harness.store, 1, 2, body=b"small")
    harness.settle()
    assert rows(path, "SELECT id & 0xff, length(record) = 0 FROM entry") == [(1, 1), (2, 0)]
    [segment] = segments_in(directory_of(path)).values()
    assert BODY in segment.read_bytes()
    assert (segment.stat().st_mode & 0o777, segment.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert bodies(harness.load(everything(1))) == [BODY, b"small"]
    heads = harness.load(everything(1, heads_only=True))
    assert [(head.sequence, head.record) for head in heads] == [(1, b""), (2, b"")]
    harness.close()


def test_long_records_are_written_part_by_part_between_others(path: Path) -> None:
    harness = opened(path)
    make(harness.store, 1)
    long, longer = b"l" * LONG_RECORD, b"m" * JOINED
    bodies_put = [
        BODY,
        long,
        b"small",
        longer,
        BODY,
        long,
        longer,
        longer,
        *[long] * (JOINED // LONG_RECORD + 5),
    ]
    for at, body in enumerate(bodies_put):
        put(harness.store, 1, at + 1, body=body)
    harness.settle()
    assert bodies(harness.load(everything(1))) == bodies_put
    harness.close()


def test_long_records_lie_in_their_rows_where_there_are_no_segments(path: Path) -> None:
    harness = SqliteHarness(path, large=0)
    harness.store.recover()
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, 1, body=b"l" * LONG_RECORD)
    harness.settle()
    assert not directory_of(path).exists()
    assert bodies(harness.load(everything(1))) == [b"l" * LONG_RECORD]
    harness.close()


def test_a_store_without_large_records_has_no_segments(path: Path) -> None:
    harness = opened(path)
    make(harness.store, 1)
    put(harness.store, 1, 1)
    harness.settle()
    harness.close()
    assert not directory_of(path).exists()


def test_a_record_that_went_to_several_queues_is_written_once(path: Path) -> None:
    harness = opened(path)
    make(harness.store, 1, 2, 3)
    sent = message(1, BODY)
    for queue in (1, 2, 3):
        harness.store.append(Enqueued(queue, 1, sent))
    harness.settle()
    [segment] = segments_in(directory_of(path)).values()
    assert segment.read_bytes().count(BODY) == 1
    for queue in (1, 2):
        take(harness.store, queue, 1)
    harness.settle()
    assert bodies(harness.load(everything(3))) == [BODY]
    harness.reopen()
    assert files_of(path) == [1]
    harness.close()


def test_the_checksum_of_a_large_record_is_looked_at_where_nobody_waits(path: Path) -> None:
    harness = opened(path)
    make(harness.store, 1)
    put(harness.store, 1, 1, body=b"x" * CHECKED_BYTES)
    put(harness.store, 1, 2, body=BODY)
    harness.settle()
    assert [entry.checked for entry in harness.load(everything(1))] == [True, False]
    segment = directory_of(path) / "0000000001.seg"
    data = bytearray(segment.read_bytes())
    data[CHECKED_BYTES // 2] ^= 1
    segment.write_bytes(data)
    # What is not whole is found out by whoever wants the message.
    entry = harness.load(everything(1))[0]
    assert not entry.checked
    with pytest.raises(BadRecord):
        Decoder().message(entry.record, entry.checked)
    harness.close()


@pytest.mark.parametrize("version", range(1, VERSION))
def test_what_an_older_version_wrote_is_there_and_goes_on(path: Path, version: int) -> None:
    harness = SqliteHarness(path, large=0)
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, 1, body=BODY)
    harness.settle()
    harness.close()
    newer = path.rename(path.with_name("newer.db"))
    older = begin(path, Database, version)
    older.execute("ATTACH ? AS newer", (str(newer),))
    for table in ("queue", "entry"):
        older.execute(f"INSERT INTO {table} SELECT * FROM newer.{table}")
    older.close()
    harness = opened(path)
    assert harness.sqlite.damages == []
    put(harness.store, 1, 2, body=BODY + b"2")
    harness.settle()
    harness.reopen()
    harness.store.recover()
    harness.start()
    assert bodies(harness.load(everything(1))) == [BODY, BODY + b"2"]
    harness.close()


# -- when their files go


def leave_one_by_one(harness: SqliteHarness) -> None:
    for sequence in range(1, 21):
        take(harness.store, 1, sequence)
        harness.settle()


def leave_in_a_run(harness: SqliteHarness) -> None:
    take(harness.store, 1, *range(1, 21))


def leave_by_lane(harness: SqliteHarness) -> None:
    harness.store.append(Cleared(1, 4, 1, 20))


def leave_together(harness: SqliteHarness) -> None:
    harness.store.append(Cleared(1, -1, 1, 20))


def leave_for_the_quarantine(harness: SqliteHarness) -> None:
    for sequence in range(1, 21):
        harness.store.append(Quarantined(1, sequence, "why not"))


def leave_with_their_queue(harness: SqliteHarness) -> None:
    harness.store.append(QueueDeleted(1))


@pytest.mark.parametrize(
    "leave",
    [
        leave_one_by_one,
        leave_in_a_run,
        leave_by_lane,
        leave_together,
        leave_for_the_quarantine,
        leave_with_their_queue,
    ],
)
def test_a_segment_goes_when_nothing_in_it_is_needed(
    path: Path, monkeypatch: pytest.MonkeyPatch, leave: Callable[[SqliteHarness], None]
) -> None:
    monkeypatch.setattr("gateway.store.writer.IDLE_S", 0.01)
    harness = opened(path)
    make(harness.store, 1)
    for sequence in range(1, 21):
        put(harness.store, 1, sequence, body=BODY)
        harness.settle()
    assert files_of(path) == [1, 2, 3, 4]
    leave(harness)
    harness.settle()
    # The one that grows stays until it is full, or the store is closed.
    assert eventually(lambda: files_of(path) == [4])
    harness.close()
    assert files_of(path) == []


def test_a_record_that_came_and_went_in_one_batch_leaves_nothing(path: Path) -> None:
    harness = opened(path)
    make(harness.store, 1)
    put(harness.store, 1, 1, body=BODY)
    harness.store.append(Dequeued(1, 1))
    harness.settle()
    assert rows(path, "SELECT * FROM part") == []
    harness.close()
    assert files_of(path) == []


def test_what_is_needed_of_a_mostly_empty_segment_is_moved_and_its_file_goes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.writer.IDLE_S", 0.01)
    monkeypatch.setattr("gateway.store.tables.MOVED_PER_STEP", 1)
    harness = opened(path)
    make(harness.store, 1)
    for sequence in range(1, 17):
        put(harness.store, 1, sequence, body=b"%d" % sequence * 1_500)
        harness.settle()
    before = files_of(path)
    assert len(before) == 3
    take(harness.store, 1, *range(2, 16))
    harness.settle()
    assert eventually(lambda: files_of(path)[0] >= before[-1])
    assert bodies(harness.load(everything(1))) == [b"1" * 1_500, b"16" * 1_500]
    harness.reopen()
    harness.store.recover()
    harness.start()
    assert bodies(harness.load(everything(1))) == [b"1" * 1_500, b"16" * 1_500]
    harness.close()


def test_one_record_for_many_queues_counts_and_moves_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.tables.MOVED_PER_STEP", 1)
    harness = opened(path)
    make(harness.store, *range(1, 21))
    sent = message(1, BODY)
    for queue in range(1, 21):
        harness.store.append(Enqueued(queue, 1, sent))
    put(harness.store, 1, *range(2, 7), body=BODY)
    harness.settle()
    take(harness.store, 1, *range(2, 7))
    harness.settle()
    harness.close()
    monkeypatch.setattr("gateway.store.writer.IDLE_S", 0.01)
    harness = opened(path)
    assert eventually(lambda: files_of(path) == [2])
    assert segments_in(directory_of(path))[2].read_bytes().count(BODY) == 1
    for queue in range(1, 21):
        assert bodies(harness.load(everything(queue))) == [BODY]
    harness.close()


def test_a_segment_that_was_mostly_empty_while_it_grew_is_emptied_once_it_is_full(path: Path) -> None:
    harness = opened(path)
    make(harness.store, 1)
    put(harness.store, 1, *range(1, 7), body=BODY)
    harness.settle()
    take(harness.store, 1, *range(2, 7))
    harness.settle()
    tables = harness.sqlite._opened.tables
    with harness.sqlite._writer.lock:
        assert tables.sparse() == 0
    # It is full: this begins another, and nothing leaves the first.
    put(harness.store, 1, 7, body=BODY)
    harness.settle()
    assert files_of(path) == [1, 2]
    with harness.sqlite._writer.lock:
        assert tables.sparse() == 1
    harness.close()


def test_what_a_crash_left_over_goes_at_the_next_start_and_nothing_is_added_to_an_old_segment(
    path: Path,
) -> None:
    harness = opened(path)
    make(harness.store, 1)
    put(harness.store, 1, 1, body=BODY)
    harness.settle()
    harness.close()
    with (directory_of(path) / "0000000001.seg").open("ab") as segment:
        segment.write(b"half a rec")
    (directory_of(path) / "0000000002.seg").write_bytes(b"no row names this")
    harness = opened(path)
    assert files_of(path) == [1]
    put(harness.store, 1, 2, body=BODY)
    harness.settle()
    assert files_of(path) == [1, 3]
    assert bodies(harness.load(everything(1))) == [BODY, BODY]
    harness.close()


# -- what is not as it should be


def remove(segment: Path) -> None:
    segment.unlink()


def cut(segment: Path) -> None:
    os.truncate(segment, 3_000)


def flip(segment: Path) -> None:
    data = bytearray(segment.read_bytes())
    data[3_500] ^= 1
    segment.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "why", "lost"),
    [
        (remove, "No such file", [1, 2]),
        (cut, "its checksum does not match", [2]),
        (flip, "its checksum does not match", [2]),
    ],
)
def test_a_spoilt_segment_costs_its_messages_only_and_is_named(
    path: Path, spoil: Callable[[Path], None], why: str, lost: list[int]
) -> None:
    harness = opened(path)
    make(harness.store, 1)
    put(harness.store, 1, 1, 2, body=BODY)
    put(harness.store, 1, 3, body=b"small")
    harness.settle()
    harness.close()
    segment = directory_of(path) / "0000000001.seg"
    spoil(segment)
    faults = maintenance.check(path, lambda done, total: None)
    assert len(faults) == len(lost)
    assert all(f"{segment}: offset " in fault and why in fault for fault in faults)
    harness = opened(path)
    assert harness.sqlite.damages == []
    bad = []
    decoder = Decoder()
    for entry in harness.load(everything(1)):
        try:
            decoder.message(entry.record)
        except BadRecord as error:
            bad.append(entry.sequence)
            harness.store.append(Quarantined(1, entry.sequence, str(error)))
    assert bad == lost
    harness.settle()
    assert sequences(harness.load(everything(1))) == [n for n in (1, 2, 3) if n not in lost]
    harness.close()


def test_a_damaged_database_does_not_cost_what_its_copy_does_not_name(path: Path) -> None:
    harness = opened(path)
    make(harness.store, 1)
    for sequence in range(1, 400):
        put(harness.store, 1, sequence, body=b"m" * 300)
    harness.settle()
    for sequence in range(400, 403):
        put(harness.store, 1, sequence, body=BODY * 6)
        harness.settle()
    harness.close()
    there = files_of(path)
    assert len(there) == 3
    # Their rows lie at the very end, and the file is cut off before that.
    os.truncate(path, path.stat().st_size // 2)
    for suffix in SUFFIXES[1:]:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    harness = opened(path)
    assert harness.sqlite.damages
    names = [file.name for file in directory_of(path).iterdir()]
    assert len(names) == 3
    assert len([name for name in names if name.endswith(KEPT_SUFFIX)]) >= 1
    harness.close()
    assert any("messages of a damaged store" in fault for fault in maintenance.check(path, lambda d, t: None))


def test_segments_beside_a_database_that_was_moved_away_are_kept(path: Path) -> None:
    for run in range(2):
        harness = opened(path)
        make(harness.store, 1)
        put(harness.store, 1, 1, body=BODY + b"%d" % run)
        harness.settle()
        harness.close()
        path.rename(path.with_name(f"away-{run}.db"))
    SqliteHarness(path).close()
    kept = sorted(directory_of(path).iterdir())
    assert [file.name for file in kept] == ["0000000001.seg.kept", "0000000002.seg.kept"]
    assert [BODY + b"%d" % run in file.read_bytes() for run, file in enumerate(kept)] == [True, True]


def test_a_sector_that_cannot_be_read_costs_its_message_only(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = opened(path)
    make(harness.store, 1)
    put(harness.store, 1, 1, 2, body=BODY)
    harness.settle()

    def read(descriptor: int, place: Place) -> bytes:
        if place.offset == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read_at(descriptor, place)

    monkeypatch.setattr("gateway.store.segments.read_at", read)
    assert [bool(entry.record) for entry in harness.load(everything(1))] == [False, True]
    harness.store.append(Quarantined(1, 1, "why not"))
    harness.settle()
    assert bodies(harness.load(everything(1))) == [BODY]
    harness.close()


class FailingFiles(Files):
    """Fails while told to: half of what is to be written gets there."""

    def __init__(self) -> None:
        self.write_error = 0
        self.sync_error = 0
        self.name_error = 0
        self.unlink_error = 0
        self.syncs = 0

    def write(self, descriptor: int, offset: int, data: bytes) -> None:
        if self.write_error:
            super().write(descriptor, offset, data[: len(data) // 2])
            raise OSError(self.write_error, os.strerror(self.write_error))
        super().write(descriptor, offset, data)

    def unlink(self, path: Path) -> None:
        if self.unlink_error:
            raise OSError(self.unlink_error, os.strerror(self.unlink_error))
        super().unlink(path)

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        if self.sync_error:
            raise OSError(self.sync_error, os.strerror(self.sync_error))
        super().sync(descriptor)

    def sync_directory(self, directory: Path) -> None:
        if self.name_error:
            raise OSError(self.name_error, os.strerror(self.name_error))
        super().sync_directory(directory)


def test_a_full_disk_is_tried_again_and_reads_go_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.writer.FULL_RETRY_S", 0.05)
    files = FailingFiles()
    harness = opened(path, files)
    make(harness.store, 1)
    put(harness.store, 1, 1, body=BODY)
    harness.settle()
    files.write_error = errno.ENOSPC
    position = put(harness.store, 1, 2, body=BODY + b"2")
    harness.loop.turn_until(lambda: not harness.store.accepting)
    assert harness.store.durable < position
    assert bodies(harness.load(everything(1))) == [BODY]
    files.write_error = 0
    harness.settle()
    assert harness.listener.accepting == [False, True]
    assert bodies(harness.load(everything(1))) == [BODY, BODY + b"2"]
    harness.close()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_sync_that_failed_is_never_tried_again(path: Path, error: int) -> None:
    files = FailingFiles()
    harness = opened(path, files)
    make(harness.store, 1)
    put(harness.store, 1, 1, body=BODY)
    harness.settle()
    syncs = files.syncs
    files.sync_error = error
    position = put(harness.store, 1, 2, body=BODY)
    harness.loop.turn_until(lambda: bool(harness.listener.failures))
    put(harness.store, 1, 3, body=BODY)
    harness.loop.turn_out()
    assert files.syncs == syncs + 1
    assert harness.store.durable < position
    files.sync_error = 0
    harness.sqlite.close(True)
    harness = opened(path)
    assert bodies(harness.load(everything(1))) == [BODY]
    harness.close()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_a_new_name_that_could_not_be_synced_ends_it(path: Path, error: int) -> None:
    files = FailingFiles()
    harness = opened(path, files)
    make(harness.store, 1)
    files.name_error = error
    position = put(harness.store, 1, 1, body=BODY)
    harness.loop.turn_until(lambda: bool(harness.listener.failures))
    assert harness.store.durable < position
    harness.sqlite.close(True)


def test_a_new_segment_is_synced_by_name_though_there_was_no_room_at_first(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.writer.FULL_RETRY_S", 0.05)
    done: list[str] = []

    class Files(FailingFiles):
        def sync_directory(self, directory: Path) -> None:
            super().sync_directory(directory)
            done.append(directory.name)

    files = Files()
    harness = opened(path, files)
    make(harness.store, 1)
    harness.settle()
    files.write_error = errno.ENOSPC
    put(harness.store, 1, 1, body=BODY)
    harness.loop.turn_until(lambda: not harness.store.accepting)
    assert done == []
    files.write_error = 0
    harness.settle()
    assert done == [path.parent.name, directory_of(path).name]
    harness.close()


def test_a_segment_that_cannot_be_removed_is_named_and_tried_again_at_the_next_start(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = FailingFiles()
    harness = opened(path, files)
    make(harness.store, 1)
    for sequence in range(1, 8):
        put(harness.store, 1, sequence, body=BODY)
        harness.settle()
    files.unlink_error = errno.EPERM
    take(harness.store, 1, *range(1, 8))
    harness.settle()
    put(harness.store, 1, 8, body=BODY)
    harness.settle()
    assert "0000000001.seg cannot be removed: Operation not permitted" in caplog.text
    harness.close()
    assert files_of(path) == [1, 2]
    harness = opened(path)
    assert files_of(path) == [2]
    assert bodies(harness.load(everything(1))) == [BODY]
    harness.close()


@pytest.mark.parametrize("reaches_the_disk", [False, True])
def test_a_commit_that_failed_at_the_end_leaves_its_segment(path: Path, reaches_the_disk: bool) -> None:
    failing = False

    class Faulty(Database):
        def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
            if failing and sql == "COMMIT":
                if reaches_the_disk:
                    super().execute(sql, parameters)
                raise StoreFailed("disk I/O error")
            return super().execute(sql, parameters)

    harness = SqliteHarness(path, Faulty, large=LARGE, segment_bytes=SEGMENT)
    harness.store.recover()
    make(harness.store, 1)
    put(harness.store, 1, 1, body=BODY)
    failing = True
    with pytest.raises(StoreFailed):
        harness.sqlite.close(True)
    assert files_of(path) == [1]
    harness = opened(path)
    assert bodies(harness.load(everything(1))) == ([BODY] if reaches_the_disk else [])
    harness.close()
