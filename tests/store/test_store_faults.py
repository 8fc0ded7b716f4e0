"""A store that is not what it should be: damaged, foreign, newer, in use, on a full or failing disk."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from store_doubles import WAIT_S, SqliteHarness, everything, make, message, put, sequences

from gateway.core.journal import OPERATION_BYTES
from gateway.core.ports import Dequeued, Noted, Quarantined, QueueDeleted, Retained
from gateway.core.record import BadRecord, Decoder, record_of
from gateway.store import maintenance
from gateway.store.database import Database
from gateway.store.errors import StoreDamaged, StoreFailed, StoreFull, StoreRefused
from gateway.store.schema import VERSION
from gateway.store.sqlite import FEW, FEW_BYTES_MAX, SqliteStore

root_only_writes = pytest.mark.skipif(
    hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere"
)


def filled(path: Path, count: int = 2_000) -> Path:
    """A store with `count` messages of 200 bytes in one queue."""
    harness = SqliteHarness(path)
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, *range(1, count + 1), body=b"m" * 200)
    harness.settle()
    harness.close()
    return path


def refused(path: Path) -> str:
    """Why the store is refused; nothing is changed by that."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreRefused) as caught:
        SqliteStore(path)
    if before is not None:
        assert path.read_bytes() == before
    assert str(path.parent) in str(caught.value)
    return str(caught.value)


# -- refused, untouched


def test_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.db").mkdir()
    assert "a directory" in refused(tmp_path / "store.db")


@root_only_writes
def test_a_place_that_is_not_writable_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "not writable" in refused(tmp_path / "store.db")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"[gateway]\nname = 1\n" * 20, "offset 0: not an SQLite file"),
        (b"[gateway]\nname = 1\n" * 2_000, "offset 0: not an SQLite file"),
        (b"x", "offset 0: not an SQLite file"),
    ],
)
def test_files_that_are_no_store_are_refused(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "store.db").write_bytes(content)
    assert why in refused(tmp_path / "store.db")


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("CREATE TABLE entry (id INTEGER PRIMARY KEY)")
    connection.commit()
    connection.close()
    assert "offset 68: an SQLite file of another program" in refused(tmp_path / "store.db")


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = filled(tmp_path / "store.db", 1)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.execute(f"UPDATE meta SET value = {VERSION + 1} WHERE key = 'version'")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert f"newer version of this program (store version {VERSION + 1}" in refused(path)


@pytest.mark.parametrize("bit", [2, 3, 10, 31])
def test_a_flipped_bit_makes_no_newer_version_of_it(tmp_path: Path, bit: int) -> None:
    path = filled(tmp_path / "store.db", 3)
    with path.open("r+b") as file:
        file.seek(60)
        version = int.from_bytes(file.read(4), "big") ^ 1 << bit
        file.seek(60)
        file.write(version.to_bytes(4, "big"))
    harness = SqliteHarness(path)
    assert harness.sqlite.damages
    assert harness.sqlite.recover().damaged
    harness.start()
    assert sequences(harness.load(everything(1))) == [1, 2, 3]
    harness.close()


def test_a_damage_is_remembered_until_a_run_has_ended_in_order(tmp_path: Path) -> None:
    path = filled(tmp_path / "store.db", 3)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    SqliteHarness(path).close()
    seen = []
    for clean in (False, True, True):
        harness = SqliteHarness(path)
        seen.append(harness.sqlite.recover().damaged)
        harness.start()
        harness.sqlite.close(clean)
    assert seen == [True, True, False]


def test_a_process_killed_while_it_went_over_to_a_log_leaves_a_store_that_opens(tmp_path: Path) -> None:
    before, after = tmp_path / "before.db", tmp_path / "after.db"
    SqliteStore(before).close(True)
    connection = sqlite3.connect(before, isolation_level=None)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN")
    for number in range(200):
        connection.execute("INSERT INTO note VALUES ('s', ?, ?)", (str(number), bytes(2_000)))
    # As the disk is at the moment of the kill.
    after.write_bytes(before.read_bytes())
    Path(f"{after}-journal").write_bytes(Path(f"{before}-journal").read_bytes())
    connection.close()
    store = SqliteStore(after)
    assert store.damages == []
    assert store.recover().notes == {}
    store.close(True)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    program = (
        "import sys\nfrom pathlib import Path\nfrom gateway.store.sqlite import SqliteStore\n"
        "try:\n    SqliteStore(Path(sys.argv[1]))\nexcept Exception as error:\n    print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=WAIT_S, check=True
    )
    assert ran.stdout.strip() == f"{path}: in use by another process (id {os.getpid()})"
    store.close(True)
    SqliteStore(path).close(True)


# -- damaged: what can be read goes on, nothing is overwritten


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "offset 0: an empty file"),
        (b"SQLite format 3\0" + b"\0" * 10, "offset 26: cut off within its header"),
    ],
)
def test_what_is_left_of_a_store_that_was_cut_off_at_once_is_kept(
    tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(content)
    # Whoever had a store there has left this at the least.
    path.with_name("store.db.lock").touch()
    with pytest.raises(StoreDamaged, match=why):
        maintenance.check(path, lambda done, total: None)
    harness, _ = damaged(path)
    assert why in harness.sqlite.damages[0]
    assert harness.sqlite.recover().queues == []
    harness.close()


def test_an_empty_file_with_nothing_beside_it_is_a_store_that_has_not_begun(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.touch()
    with pytest.raises(StoreRefused, match="there is no store"):
        maintenance.check(path, lambda done, total: None)
    harness = SqliteHarness(path)
    assert harness.sqlite.damages == []
    assert harness.sqlite.recover().epoch == 1
    harness.close()
    assert not list(tmp_path.glob("*.damaged-*"))


@pytest.mark.parametrize("beside", ["store.db-segments/1.seg", "store.db-wal", "store.db-reserve"])
def test_an_empty_file_with_anything_of_a_store_beside_it_is_all_that_is_left_of_it(
    tmp_path: Path, beside: str
) -> None:
    path = tmp_path / "store.db"
    path.touch()
    (tmp_path / beside).parent.mkdir(exist_ok=True)
    (tmp_path / beside).touch()
    harness = SqliteHarness(path)
    assert "an empty file" in harness.sqlite.damages[0]
    harness.close()


def damaged(path: Path) -> tuple[SqliteHarness, Path]:
    """The store opened in spite of its damage, and where the damaged file is kept."""
    before = path.read_bytes()
    harness = SqliteHarness(path)
    assert harness.sqlite.damages
    (kept,) = [
        name for name in path.parent.glob("store.db.damaged-*") if not name.name.endswith(("-wal", "-shm"))
    ]
    assert kept.read_bytes() == before
    assert str(kept) in harness.sqlite.damages[-1]
    return harness, kept


def test_a_page_overwritten_with_rubbish_costs_its_messages_only(tmp_path: Path) -> None:
    path = filled(tmp_path / "store.db")
    data = bytearray(path.read_bytes())
    at = data.index(b"m" * 200, len(data) // 2) // 4096 * 4096
    data[at : at + 4096] = os.urandom(4096)
    path.write_bytes(data)
    harness, _ = damaged(path)
    found = harness.store.recover()
    harness.start()
    left = sequences(harness.load(everything(1)))
    harness.close()
    assert found.queues[0].key == "queue:1"
    assert 1_940 <= len(left) < 2_000
    assert left[0] == 1
    assert left[-1] == 2_000


def test_a_file_that_was_cut_off_keeps_what_is_before_the_cut(tmp_path: Path) -> None:
    path = filled(tmp_path / "store.db")
    data = path.read_bytes()
    cut = len(data) // 2 // 4096 * 4096 + 100
    path.write_bytes(data[:cut])
    harness, _ = damaged(path)
    assert any(f"offset {cut}: the file ends here" in damage for damage in harness.sqlite.damages)
    harness.store.recover()
    harness.start()
    left = sequences(harness.load(everything(1)))
    harness.close()
    assert 500 < len(left) < 1_500
    assert left[:500] == list(range(1, 501))


def test_a_flipped_bit_in_a_message_is_found_and_the_message_set_aside(tmp_path: Path) -> None:
    path = filled(tmp_path / "store.db", 50)
    data = bytearray(path.read_bytes())
    data[data.index(b"m" * 200) + 20] ^= 1
    path.write_bytes(data)
    harness = SqliteHarness(path)
    assert harness.sqlite.damages == []
    harness.store.recover()
    harness.start()
    decoder = Decoder()
    bad = []
    for entry in harness.load(everything(1)):
        try:
            decoder.message(entry.record)
        except BadRecord as error:
            assert "checksum" in str(error)
            bad.append(entry.sequence)
            harness.store.append(Quarantined(1, entry.sequence, str(error)))
    assert len(bad) == 1
    harness.settle()
    assert bad[0] not in sequences(harness.load(everything(1)))
    harness.close()
    database = Database(str(path), read_only=True)
    assert database.rows("SELECT place, reason FROM quarantine") == [
        (f"queue 1, message {bad[0]}", "its checksum does not match")
    ]
    database.close()


def test_messages_whose_queue_lost_its_name_are_in_the_one_they_were_sent_to(tmp_path: Path) -> None:
    path = filled(tmp_path / "store.db", 3)
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM queue")
    connection.commit()
    connection.close()
    harness = SqliteHarness(path)
    assert [(queue.key, queue.lanes[0].count) for queue in harness.store.recover().queues] == [("queue:q", 3)]
    harness.close()


# -- the disk


class Fault:
    """Makes commits fail while it is on."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.commits = 0
        self.threads: list[int] = []

    def opener(self, path: str) -> Database:
        fault = self

        class Faulty(Database):
            def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
                if sql.startswith(("COMMIT", "INSERT INTO entry")):
                    fault.threads.append(threading.get_ident())
                    if fault.error is not None:
                        fault.commits += 1
                        raise fault.error
                return super().execute(sql, parameters)

        return Faulty(path)


@pytest.mark.parametrize("here", [False, True])
def test_a_full_disk_stops_confirming_serves_reads_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    monkeypatch.setattr("gateway.store.writer.FULL_RETRY_S", 0.05)
    fault = Fault()
    harness = SqliteHarness(tmp_path / "store.db", fault.opener, here=here)
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, 1)
    harness.settle()
    fault.error = StoreFull("no space left")
    position = put(harness.store, 1, 2)
    harness.loop.turn_until(lambda: not harness.store.accepting)
    assert harness.listener.accepting == [False]
    assert harness.store.durable < position
    page = everything(1)
    assert sequences(harness.load(page)) == [1]
    assert not page.complete
    fault.error = None
    harness.settle()
    assert harness.listener.accepting == [False, True]
    assert harness.store.durable == position
    assert sequences(harness.load(everything(1))) == [1, 2]
    assert harness.listener.failures == []
    harness.close()


@pytest.mark.parametrize("here", [False, True])
def test_a_sync_that_failed_is_never_tried_again(tmp_path: Path, here: bool) -> None:
    fault = Fault()
    harness = SqliteHarness(tmp_path / "store.db", fault.opener, here=here)
    harness.store.recover()
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, 1)
    harness.settle()
    fault.error = StoreFailed("disk I/O error")
    position = put(harness.store, 1, 2)
    harness.loop.turn_until(lambda: bool(harness.listener.failures))
    put(harness.store, 1, 3)
    harness.loop.turn_out()
    assert fault.commits == 1
    assert harness.store.durable < position
    assert not harness.store.accepting
    fault.error = None
    harness.sqlite.close(True)
    reopened = SqliteHarness(tmp_path / "store.db")
    assert not reopened.store.recover().clean
    reopened.start()
    assert sequences(reopened.load(everything(1))) == [1]
    reopened.close()


def test_the_loops_thread_commits_a_few_operations_where_the_disk_has_been_quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.sqlite.PROBATION", 3)
    monkeypatch.setattr("gateway.store.sqlite.QUICK_S", WAIT_S)
    fault = Fault()
    harness = SqliteHarness(tmp_path / "store.db", fault.opener)
    harness.start()
    make(harness.store, 1)

    def here(first: int, count: int = 1) -> bool:
        """Does this thread commit so many messages?"""
        put(harness.store, 1, *range(first, first + count))
        harness.settle()
        return fault.threads[-1] == threading.get_ident()

    fault.threads.clear()
    assert [here(n) for n in range(1, 5)] == [False, False, False, True]
    assert [here(10, FEW + 1), here(20, FEW)] == [False, True]
    # One that takes long ends it, until others have been quick again.
    monkeypatch.setattr("gateway.store.sqlite.QUICK_S", 0.0)
    assert here(30)
    monkeypatch.setattr("gateway.store.sqlite.QUICK_S", WAIT_S)
    assert [here(n) for n in range(31, 35)] == [False, False, False, True]
    assert len(harness.load(everything(1))) == 4 + FEW + 1 + FEW + 5
    harness.close()


def test_what_is_large_is_never_committed_by_the_loops_thread_be_it_a_last_value_or_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.sqlite.QUICK_S", WAIT_S)
    fault = Fault()
    harness = SqliteHarness(tmp_path / "store.db", fault.opener, here=True)
    harness.start()
    large = message(1, bytes(FEW_BYTES_MAX + 1))
    for here, operation in [
        (True, Noted("t", "small", b"1")),
        (False, Noted("t", "record", record_of(large, b"head"))),
        (False, Noted("t", "bytes", bytes(FEW_BYTES_MAX + 1))),
        (False, Retained("t", large)),
        (True, Retained("u", message(1))),
    ]:
        harness.store.append(operation)
        harness.settle()
        assert (fault.threads[-1] == threading.get_ident()) == here, operation
    harness.close()


def test_the_log_is_moved_though_only_the_loops_thread_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.sqlite.QUICK_S", WAIT_S)
    monkeypatch.setattr("gateway.store.writer.IDLE_S", 0.01)
    path = tmp_path / "store.db"
    harness = SqliteHarness(path, here=True)
    harness.start()
    make(harness.store, 1)
    harness.settle()
    pause = threading.Event()
    for sequence in (1, 2):
        size = path.stat().st_size
        for _ in range(300):
            pause.wait(0.01)
            if not harness.sqlite._writer._chores.log_pages:
                break
        put(harness.store, 1, sequence, body=b"m" * 50_000)
        harness.settle()
        for _ in range(3_000):
            if path.stat().st_size > size:
                break
            pause.wait(0.01)
        assert path.stat().st_size > size
    harness.close()


def test_what_came_and_went_during_a_commit_is_durable_after_it(tmp_path: Path) -> None:
    harness = SqliteHarness(tmp_path / "store.db")
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, 1)
    # The batch is handed over, its end not heard of yet.
    harness.loop.turn_out()
    enqueued = put(harness.store, 1, 2)
    position = harness.store.append(Dequeued(1, 2, enqueued))
    harness.settle()
    assert harness.listener.durable[-1] == position
    # And what comes next is not forgotten.
    put(harness.store, 1, 3)
    harness.settle()
    assert sequences(harness.load(everything(1))) == [1, 3]
    harness.close()


def test_messages_that_leave_fast_need_no_commit_and_the_others_wait_for_a_moment_only(
    tmp_path: Path,
) -> None:
    harness = SqliteHarness(tmp_path / "store.db")
    timers: list[Callable[[], None]] = []
    harness.sqlite.start(
        harness.listener,
        harness.loop.soon,
        harness.loop.soon,
        harness.listener.failures.append,
        lambda _, call: timers.append(call),
    )
    make(harness.store, 1)
    first = put(harness.store, 1, 1)
    harness.loop.turn_out()
    # Its consumer was as fast as the commit: the next ones wait for theirs.
    harness.store.append(Dequeued(1, 1, first))
    harness.settle()
    commits = harness.sqlite.commits
    second, third = put(harness.store, 1, 2), put(harness.store, 1, 3)
    harness.store.append(Dequeued(1, 2, second))
    harness.loop.turn_out()
    assert (harness.store.durable, harness.sqlite.commits) == (second, commits)
    timers.pop()()
    harness.store.append(Dequeued(1, 3, third))
    harness.loop.turn_out()
    assert (harness.store.durable, harness.sqlite.commits) == (third, commits)
    timers.pop()()
    fourth = put(harness.store, 1, 4)
    timers.pop()()
    harness.settle()
    assert (harness.store.durable, harness.sqlite.commits) == (fourth, commits + 1)
    assert sequences(harness.load(everything(1))) == [4]
    harness.close()


def test_publishers_had_better_wait_while_much_is_uncommitted(tmp_path: Path) -> None:
    harness = SqliteHarness(tmp_path / "store.db", bytes_max=1_000 + 2 * OPERATION_BYTES)
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, 1, body=b"x" * 900)
    assert not harness.store.congested
    put(harness.store, 1, 2, body=b"x" * 900)
    assert harness.store.congested
    harness.settle()
    assert not harness.store.congested
    harness.close()


def test_deleted_queues_are_swept_and_their_pages_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.writer.IDLE_S", 0.01)
    monkeypatch.setattr("gateway.store.chores.FREE_PAGES_KEPT", 0)
    monkeypatch.setattr("gateway.store.tables.SWEPT_PER_STEP", 700)
    path = filled(tmp_path / "store.db", 2_000)
    size = path.stat().st_size
    harness = SqliteHarness(path)
    harness.store.recover()
    harness.start()
    harness.store.append(QueueDeleted(1))
    harness.settle()
    reader = Database(str(path), read_only=True)
    pause = threading.Event()
    for _ in range(3_000):
        if not reader.rows("SELECT 1 FROM gone") and reader.value("PRAGMA freelist_count") == 0:
            break
        pause.wait(0.01)
    assert reader.rows("SELECT 1 FROM entry LIMIT 1") == []
    reader.close()
    harness.close()
    assert path.stat().st_size < size // 4


def test_a_listener_that_fails_does_not_stop_the_commits(tmp_path: Path) -> None:
    harness = SqliteHarness(tmp_path / "store.db")
    harness.start()
    make(harness.store, 1)
    heard = harness.listener.on_durable
    failed: list[int] = []

    def fail(position: int) -> None:
        failed.append(position)
        # What comes meanwhile waits for the next commit.
        put(harness.store, 1, 1)
        harness.listener.on_durable = heard  # type: ignore[method-assign]
        raise ValueError

    harness.listener.on_durable = fail  # type: ignore[method-assign]
    with pytest.raises(ValueError):
        harness.loop.turn_until(lambda: bool(failed) and harness.store.durable == harness.store.position)
    harness.settle()
    assert harness.listener.durable == [2]
    assert sequences(harness.load(everything(1))) == [1]
    harness.close()


def test_nothing_is_committed_by_the_loop_once_the_writer_has_failed(tmp_path: Path) -> None:
    harness = SqliteHarness(tmp_path / "store.db", here=True)
    harness.start()
    make(harness.store, 1)
    harness.settle()
    commits = harness.sqlite.commits
    harness.sqlite._writer.broken = StoreFailed("for a test")
    put(harness.store, 1, 1)
    harness.loop.turn_out()
    assert harness.sqlite.commits == commits
    assert harness.store.durable < harness.store.position
    with pytest.raises(StoreFailed, match="for a test"):
        harness.close()


@pytest.mark.parametrize("here", [False, True])
def test_an_error_that_nobody_foresaw_ends_the_store_and_hangs_nobody(
    tmp_path: Path, here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = SqliteHarness(tmp_path / "store.db", here=here)
    harness.start()
    make(harness.store, 1)
    harness.settle()

    def fail(batch: object) -> int:
        raise OverflowError("int too large")

    monkeypatch.setattr(harness.sqlite._opened.tables, "apply", fail)
    put(harness.store, 1, 1)
    harness.loop.turn_until(lambda: bool(harness.listener.failures))
    assert "int too large" in str(harness.listener.failures[0])
    assert harness.store.durable < harness.store.position
    harness.close()
