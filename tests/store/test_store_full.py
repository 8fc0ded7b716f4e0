"""A full disk: what is there is read, nothing is believed to be gone, and a stop is a stop."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from store_doubles import WAIT_S, Loop, SqliteHarness, everything, make, put, sequences, take

from gateway.core.ports import Page
from gateway.store.database import Database
from gateway.store.errors import StoreFull
from gateway.store.room import Disk, Room
from gateway.store.sqlite import SqliteStore


class Quota:
    """Is full when told to be."""

    def __init__(self) -> None:
        self.full = False
        self.tries = 0

    def opener(self, path: str) -> Database:
        disk = self

        class Full(Database):
            def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
                if disk.full and sql.startswith(("COMMIT", "INSERT", "UPDATE")):
                    disk.tries += 1
                    raise StoreFull("database or disk is full")
                return super().execute(sql, parameters)

        return Full(path)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Quota:
    monkeypatch.setattr("gateway.store.writer.FULL_RETRY_S", 0.02)
    return Quota()


def started(path: Path, disk: Quota) -> SqliteHarness:
    """With one queue and one message."""
    harness = SqliteHarness(path, disk.opener)
    harness.store.recover()
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, 1)
    harness.settle()
    return harness


def stuck(path: Path, disk: Quota) -> SqliteHarness:
    """The same, with message 2 in a batch that waits for room, and 3 behind it."""
    harness = started(path, disk)
    disk.full = True
    put(harness.store, 1, 2)
    harness.loop.turn_until(lambda: not harness.store.accepting)
    put(harness.store, 1, 3)
    return harness


def ask(harness: SqliteHarness, first: int) -> Page:
    page = Page(1, -1, first, 1_000, 1_000, 1 << 30)
    harness.sqlite.load(page)
    return page


# -- pages that are asked for meanwhile


def test_what_is_on_a_full_disk_is_read_and_said_not_to_be_all(tmp_path: Path, disk: Quota) -> None:
    harness = stuck(tmp_path / "store.db", disk)
    page = ask(harness, 1)
    harness.loop.turn_until(lambda: bool(harness.listener.pages))
    assert sequences(harness.listener.pages[0]) == [1]
    assert not page.complete
    disk.full = False
    harness.close()


def test_a_page_that_asks_for_what_waits_for_room_is_answered_when_it_is_there(
    tmp_path: Path, disk: Disk
) -> None:
    harness = stuck(tmp_path / "store.db", disk)
    page = ask(harness, 2)
    tries = disk.tries
    harness.loop.turn_until(lambda: disk.tries > tries or bool(harness.sqlite._early))
    disk.full = False
    harness.loop.turn_until(lambda: bool(harness.listener.pages))
    assert [sequences(found) for found in harness.listener.pages] == [[2, 3]]
    assert page.complete
    harness.close()


def test_a_page_asked_for_while_the_room_comes_back_does_not_overtake_what_waits_behind(
    tmp_path: Path, disk: Disk
) -> None:
    harness = stuck(tmp_path / "store.db", disk)
    commits = threading.Event()
    tell = harness.loop.soon

    def across(call: object) -> None:
        tell(call)  # type: ignore[arg-type]
        commits.set()

    harness.sqlite._writer._across = across
    disk.full = False
    # Message 2 is on the disk by now, 3 is not, and the loop has not heard of either.
    assert commits.wait(WAIT_S)
    page = ask(harness, 3)
    harness.loop.turn_until(lambda: bool(harness.listener.pages))
    assert [sequences(found) for found in harness.listener.pages] == [[3]]
    assert page.complete
    harness.close()


def test_a_question_for_expired_messages_does_not_keep_the_queue_waiting(tmp_path: Path, disk: Quota) -> None:
    harness = stuck(tmp_path / "store.db", disk)
    page = Page(1, -1, 1, 1_000, 1_000, 1 << 30, expired_by_ms=1)
    harness.sqlite.load(page)
    harness.loop.turn_until(lambda: bool(harness.listener.pages))
    assert harness.listener.pages == [[]]
    disk.full = False
    harness.close()


# -- the stop


@pytest.mark.parametrize("emptied", [False, True])
def test_a_store_on_a_full_disk_is_closed_in_order(tmp_path: Path, disk: Quota, emptied: bool) -> None:
    path = tmp_path / "store.db"
    harness = stuck(path, disk)
    disk.full = not emptied
    closing = threading.Thread(target=harness.close)
    closing.start()
    closing.join(WAIT_S)
    assert not closing.is_alive()
    disk.full = False
    again = SqliteHarness(path, disk.opener)
    assert again.store.recover().clean is emptied
    again.start()
    assert sequences(again.load(everything(1))) == ([1, 2, 3] if emptied else [1])
    again.close()


# -- room that is low, and what is kept back


class Volume(Disk):
    """A disk that has so much free as it is told, apart from what the reserve takes of it."""

    def __init__(self) -> None:
        self.left = 1 << 30
        self.reserve = 0

    def free(self, directory: Path) -> tuple[int, int]:
        return self.left, 1 << 34

    def allocate(self, path: Path, size: int) -> None:
        self.reserve = size

    def release(self, path: Path, size: int) -> None:
        self.reserve = size

    def size(self, path: Path) -> int:
        return self.reserve

    def opener(self, path: str) -> Database:
        volume = self

        class Full(Database):
            def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
                writes = sql.startswith(("COMMIT", "INSERT", "UPDATE", "DELETE"))
                if writes and not volume.left and volume.reserve:
                    raise StoreFull("database or disk is full")
                return super().execute(sql, parameters)

        return Full(path)


class Roomy(SqliteHarness):
    """A store on a Volume; giving up the reserve is all the room it needs."""

    def __init__(self, path: Path, volume: Volume) -> None:
        self.volume = volume
        super().__init__(path, volume.opener)

    def _open(self) -> None:
        self.loop = Loop()
        room = Room(self.path, 1 << 20, 1 << 20, self.volume)
        self.sqlite = self.store = SqliteStore(self.path, opener=self.opener, room=room)


@pytest.fixture
def roomy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Roomy]:
    monkeypatch.setattr("gateway.store.writer.LOOK_S", 0.02)
    monkeypatch.setattr("gateway.store.writer.IDLE_S", 0.02)
    harness = Roomy(tmp_path / "store.db", Volume())
    harness.store.recover()
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, *range(1, 10))
    harness.settle()
    yield harness
    harness.close()


def test_below_the_watermark_nothing_new_is_accepted_but_all_that_comes_is_committed(roomy: Roomy) -> None:
    roomy.volume.left = 1 << 19
    roomy.loop.turn_until(lambda: not roomy.store.accepting)
    assert roomy.store.refusal == "the broker's disk is full"
    assert roomy.sqlite.trouble == "524,288 bytes are free on the disk, store.free_bytes_min is 1,048,576"
    take(roomy.store, 1, 1)
    roomy.settle()
    assert not roomy.store.accepting
    assert sequences(roomy.load(everything(1))) == [*range(2, 10)]
    roomy.volume.left = 1 << 30
    roomy.loop.turn_until(lambda: roomy.store.accepting)
    assert roomy.sqlite.trouble == ""
    assert roomy.listener.accepting == [False, True]


def test_on_a_full_disk_the_reserve_takes_what_was_promised_and_what_is_consumed_goes(roomy: Roomy) -> None:
    roomy.volume.left = 0
    position = put(roomy.store, 1, 10)
    roomy.settle()
    assert roomy.store.durable == position
    assert roomy.volume.reserve == 0
    roomy.loop.turn_until(lambda: not roomy.store.accepting)
    assert "not enough for store.reserve_bytes" in roomy.sqlite.trouble
    take(roomy.store, 1, *range(1, 10))
    roomy.settle()
    assert sequences(roomy.load(everything(1))) == [10]
    roomy.volume.left = 1 << 30
    roomy.loop.turn_until(lambda: roomy.store.accepting)
    assert roomy.volume.reserve == 1 << 20


def test_a_start_on_a_full_disk_serves_what_is_there_and_commits_what_is_consumed(roomy: Roomy) -> None:
    roomy.sqlite.close(False)
    roomy.volume.left = 0
    roomy._open()
    assert not roomy.store.recover().clean
    roomy.start()
    assert not roomy.store.accepting
    assert sequences(roomy.load(everything(1))) == [*range(1, 10)]
    take(roomy.store, 1, *range(1, 9))
    roomy.settle()
    roomy.sqlite.close(False)
    roomy._open()
    assert roomy.store.recover().queues[0].lanes[0].count == 1
    roomy.start()


def test_a_start_without_any_room_is_counted_as_soon_as_there_is_some(tmp_path: Path, disk: Quota) -> None:
    path = tmp_path / "store.db"
    started(path, disk).close()
    disk.full = True
    harness = SqliteHarness(path, disk.opener)
    epoch = harness.store.recover().epoch
    harness.start()
    assert not harness.store.accepting
    assert sequences(harness.load(everything(1))) == [1]
    disk.full = False
    harness.loop.turn_until(lambda: harness.store.accepting)
    harness.close()
    again = SqliteHarness(path, disk.opener)
    assert again.store.recover().epoch == epoch + 1
    again.close()
