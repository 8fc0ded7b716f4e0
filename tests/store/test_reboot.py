"""After a loss of power: SQLite's index of the log was never synced, so it may be of any moment before."""

import shutil
from pathlib import Path

import pytest
from store_doubles import SqliteHarness, everything, make, put, sequences

from gateway.store import lock
from gateway.store.errors import StoreRefused
from gateway.store.lock import StoreLock

FILES = ("store.db", "store.db-wal")


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound store whose process is gone, with an empty log, beside an older index that says more was there."""
    monkeypatch.setattr(lock, "boot_id", lambda: "one")
    left = tmp_path / "left"
    left.mkdir()
    harness = SqliteHarness(tmp_path / "store.db")
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, *range(1, 101))
    harness.settle()
    shutil.copyfile(tmp_path / "store.db-shm", left / "store.db-shm")
    with harness.sqlite._writer.lock:
        harness.sqlite._opened.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for name in (*FILES, "store.db.lock"):
        shutil.copyfile(tmp_path / name, left / name)
    harness.close()
    assert (left / "store.db-wal").stat().st_size == 0
    return left / "store.db"


def found(path: Path) -> tuple[list[str], list[int]]:
    """What the start says is lost, and the messages that are there."""
    harness = SqliteHarness(path)
    harness.start()
    damages = list(harness.sqlite.damages)
    messages = sequences(harness.load(everything(1)))
    harness.close()
    return damages, messages


def test_within_one_run_of_the_machine_the_index_tells_what_is_missing(left: Path) -> None:
    damages, messages = found(left)
    assert "store.db-wal: is empty" in damages[0]
    assert messages == list(range(1, 101))


def test_an_index_from_an_earlier_run_of_the_machine_is_not_believed(
    left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "boot_id", lambda: "two")
    assert found(left) == ([], list(range(1, 101)))


def test_it_is_not_believed_either_where_the_first_start_afterwards_came_to_nothing(
    left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "boot_id", lambda: "two")
    StoreLock(left).release()
    assert found(left) == ([], list(range(1, 101)))


def test_who_has_the_store_is_said_without_the_machines_run(tmp_path: Path) -> None:
    held = StoreLock(tmp_path / "store.db")
    with pytest.raises(StoreRefused, match=r"\(id \d+\)$"):
        StoreLock(tmp_path / "store.db")
    held.release()
