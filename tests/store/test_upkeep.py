"""What the file and its log take and do not need is given back; a page reads no more than it has room for."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from store_doubles import SqliteHarness, everything, make, message, put, sequences, take

from gateway.core.ports import Enqueued, Page
from gateway.store.database import Database
from gateway.store.errors import StoreRefused
from gateway.store.upkeep import LOG_BYTES_KEPT, PAGES_PER_STEP, compact, give_back, shorten_log


def eventually(met: Callable[[], bool]) -> bool:
    pause = threading.Event()
    for _ in range(3_000):
        if met():
            return True
        pause.wait(0.01)
    return False


def emptied(path: Path) -> SqliteHarness:
    """A store that has held 16 MiB and holds one message."""
    harness = SqliteHarness(path, large=0)
    harness.store.recover()
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, *range(1, 257), body=bytes(65_536))
    harness.settle()
    take(harness.store, 1, *range(1, 256))
    harness.settle()
    return harness


def log_of(path: Path) -> int:
    return path.with_name(path.name + "-wal").stat().st_size


def test_one_step_gives_back_many_pages(tmp_path: Path) -> None:
    harness = emptied(tmp_path / "store.db")
    database = harness.sqlite._opened.database
    with harness.sqlite._writer.lock:
        free = database.value("PRAGMA freelist_count")
        assert give_back(database)
        assert database.value("PRAGMA freelist_count") == free - PAGES_PER_STEP
        assert not give_back(database, keep=free)
    harness.close()


def test_a_store_at_rest_has_a_short_log_and_few_free_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.writer.IDLE_S", 0.01)
    path = tmp_path / "store.db"
    harness = emptied(path)
    assert eventually(lambda: log_of(path) <= LOG_BYTES_KEPT and path.stat().st_size < 6 << 20)
    assert sequences(harness.load(everything(1))) == [256]
    harness.close()


def test_compacting_gives_back_everything(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    harness = emptied(path)
    harness.sqlite.compact()
    assert eventually(lambda: not harness.sqlite.compacting)
    assert (log_of(path), path.stat().st_size < 1 << 20) == (0, True)
    assert sequences(harness.load(everything(1))) == [256]
    harness.close()


def test_a_stopped_store_is_compacted_and_one_in_use_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    harness = emptied(path)
    with pytest.raises(StoreRefused, match="in use"):
        compact(path)
    harness.close()
    before, after = compact(path)
    assert (before > 8 << 20, after < 1 << 20, path.stat().st_size) == (True, True, after)
    again = SqliteHarness(path)
    again.store.recover()
    again.start()
    assert sequences(again.load(everything(1))) == [256]
    again.close()


def test_a_reader_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.db"
    harness = emptied(path)
    reader = Database(str(path), read_only=True)
    reader.execute("BEGIN")
    reader.rows("SELECT count(*) FROM entry")
    put(harness.store, 1, 300)
    harness.settle()
    with harness.sqlite._writer.lock:
        shorten_log(path, harness.sqlite._opened.database, 0)
        assert log_of(path) > 0
        reader.execute("COMMIT")
        shorten_log(path, harness.sqlite._opened.database, 0)
        assert log_of(path) == 0
        assert harness.sqlite._opened.database.value("PRAGMA busy_timeout") == 5_000
    reader.close()
    harness.close()


class Counting(Database):
    """Counts the rows that are read one by one."""

    read = 0

    def each(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Any]:
        for row in super().each(sql, parameters):
            Counting.read += 1
            yield row


def test_a_page_reads_no_more_than_it_has_room_for(tmp_path: Path) -> None:
    harness = SqliteHarness(tmp_path / "store.db", Counting)
    harness.store.recover()
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, *range(1, 101), body=bytes(60_000))
    harness.settle()
    Counting.read = 0
    assert sequences(harness.load(Page(1, 4, 1, 100, 1_024, 200_000))) == [1, 2, 3]
    # One more, to know that it does not fit.
    assert Counting.read == 4
    harness.close()


def test_expired_messages_are_found_by_an_index_of_their_queue(tmp_path: Path) -> None:
    harness = SqliteHarness(tmp_path / "store.db")
    harness.store.recover()
    harness.start()
    make(harness.store, 1, 2)
    for sequence in range(1, 101):
        for queue in (1, 2):
            harness.store.append(Enqueued(queue, sequence, message(sequence, expires_at_ms=1_000 - sequence)))
    harness.settle()
    page = Page(2, -1, 1, 1_000, 10, 1 << 20, expired_by_ms=5_000)
    assert sequences(harness.load(page)) == list(range(100, 90, -1))
    plan = harness.sqlite._opened.database.rows(
        "EXPLAIN QUERY PLAN SELECT id FROM entry WHERE +id BETWEEN 1 AND 2 AND expires > 0 AND expires <= 5"
        " AND id >> 40 = 2 ORDER BY expires, id LIMIT 10"
    )
    assert len(plan) == 1
    assert "entry_expires" in plan[0][3]
    harness.close()
