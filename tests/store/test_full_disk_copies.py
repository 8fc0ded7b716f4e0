"""A disk that is full while a store is copied, restored or saved: the reason is said, all that was there is as it was."""

import random
from pathlib import Path

import pytest
from small_disk import Volume
from store_doubles import SqliteHarness, everything, make, message

from gateway.core.ports import Enqueued
from gateway.store import maintenance
from gateway.store.errors import StoreFull

PAGE = 4_096
FREE = [0, 40_000, 300_000, 2_000_000]
"""Bytes that are free on the disk, where more than three million are needed."""

BESIDE = ("filler", "lock", "-reserve", ".doubtful", "-shm")
"""Ends of the names of files that hold no messages."""

NO_ROOM = r"full|No space left"


def filled(path: Path, seed: int) -> None:
    """A store with small messages, and large ones in segments."""
    chance = random.Random(seed)
    harness = SqliteHarness(path)
    harness.store.recover()
    harness.start()
    make(harness.store, 1)
    for number in range(1, 61):
        body = chance.randbytes(100_000 if number % 3 else 20_000)
        harness.store.append(Enqueued(1, number, message(number, body)))
    harness.settle()
    harness.close()


def records(path: Path) -> list[bytes]:
    harness = SqliteHarness(path)
    try:
        assert harness.sqlite.damages == []
        harness.store.recover()
        harness.start()
        return [entry.record for entry in harness.load(everything(1))]
    finally:
        harness.close()


def files(directory: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(directory)): file.read_bytes()
        for file in sorted(directory.rglob("*"))
        if file.is_file() and not file.name.endswith(BESIDE) and not is_empty_log(file)
    }


def is_empty_log(file: Path) -> bool:
    return file.name.endswith("-wal") and file.stat().st_size == 0


def quiet(done: int, total: int) -> None:
    pass


@pytest.mark.parametrize("free", FREE)
def test_a_backup_that_finds_no_room_leaves_nothing_and_says_so(
    tmp_path: Path, volume: Volume, free: int
) -> None:
    store = tmp_path / "store.db"
    filled(store, 1)
    before = files(tmp_path)
    volume.fill(free)
    target = volume.directory / "backup.db"
    with pytest.raises(StoreFull, match=NO_ROOM):
        maintenance.backup(store, target, quiet)
    assert files(volume.directory) == {}
    assert files(tmp_path) == before
    volume.empty()
    maintenance.backup(store, target, quiet)
    assert maintenance.check(target, quiet) == []
    assert records(target) == records(store)


@pytest.mark.parametrize("free", FREE)
def test_a_restore_that_finds_no_room_leaves_the_store_as_it_was(
    tmp_path: Path, volume: Volume, free: int
) -> None:
    other, backup = tmp_path / "other.db", tmp_path / "backup.db"
    filled(other, 2)
    maintenance.backup(other, backup, quiet)
    store = volume.directory / "store.db"
    filled(store, 1)
    before = files(volume.directory)
    volume.fill(free)
    with pytest.raises(StoreFull, match=NO_ROOM):
        maintenance.restore(store, backup, quiet)
    assert files(volume.directory) == before
    volume.empty()
    mine = records(store)
    kept = maintenance.restore(store, backup, quiet)
    assert kept is not None
    assert records(store) == records(other)
    assert records(kept) == mine


@pytest.mark.parametrize("free", FREE)
def test_a_damaged_store_that_cannot_be_saved_for_want_of_room_is_saved_by_the_next_start(
    tmp_path: Path, volume: Volume, free: int
) -> None:
    store = volume.directory / "store.db"
    filled(store, 1)
    whole = records(store)
    data = bytearray(store.read_bytes())
    # A page in the midst of a row.
    at = data.index(whole[29][10_000:10_100]) // PAGE * PAGE
    data[at : at + PAGE] = bytes(PAGE)
    store.write_bytes(data)
    before = files(volume.directory)
    volume.fill(free)
    if free < 1_000_000:
        with pytest.raises(StoreFull, match=NO_ROOM):
            SqliteHarness(store)
        assert files(volume.directory) == before
    volume.empty()
    harness = SqliteHarness(store)
    assert harness.sqlite.damages
    harness.store.recover()
    harness.start()
    left = [entry.record for entry in harness.load(everything(1))]
    harness.close()
    assert set(left) <= set(whole)
    assert len(left) > len(whole) // 2
