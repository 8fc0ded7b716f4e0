"""A full disk: what is there is read, nothing is believed to be gone, and a stop is a stop."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from store_doubles import WAIT_S, SqliteHarness, everything, make, put, sequences

from gateway.core.ports import Page
from gateway.store.database import Database
from gateway.store.errors import StoreFull


class Disk:
    """Is full when told to be."""

    def __init__(self) -> None:
        self.full = False
        self.tries = 0

    def opener(self, path: str) -> Database:
        disk = self

        class Quota(Database):
            def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
                if disk.full and sql.startswith(("COMMIT", "INSERT INTO entry", "UPDATE")):
                    disk.tries += 1
                    raise StoreFull("database or disk is full")
                return super().execute(sql, parameters)

        return Quota(path)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setattr("gateway.store.sqlite.FULL_RETRY_S", 0.02)
    return Disk()


def started(path: Path, disk: Disk) -> SqliteHarness:
    """With one queue and one message."""
    harness = SqliteHarness(path, disk.opener)
    harness.store.recover()
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, 1)
    harness.settle()
    return harness


def stuck(path: Path, disk: Disk) -> SqliteHarness:
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


def test_what_is_on_a_full_disk_is_read_and_said_not_to_be_all(tmp_path: Path, disk: Disk) -> None:
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

    harness.sqlite._across = across
    disk.full = False
    # Message 2 is on the disk by now, 3 is not, and the loop has not heard of either.
    assert commits.wait(WAIT_S)
    page = ask(harness, 3)
    harness.loop.turn_until(lambda: bool(harness.listener.pages))
    assert [sequences(found) for found in harness.listener.pages] == [[3]]
    assert page.complete
    harness.close()


def test_a_question_for_expired_messages_does_not_keep_the_queue_waiting(tmp_path: Path, disk: Disk) -> None:
    harness = stuck(tmp_path / "store.db", disk)
    page = Page(1, -1, 1, 1_000, 1_000, 1 << 30, expired_by_ms=1)
    harness.sqlite.load(page)
    harness.loop.turn_until(lambda: bool(harness.listener.pages))
    assert harness.listener.pages == [[]]
    disk.full = False
    harness.close()


# -- the stop


@pytest.mark.parametrize("emptied", [False, True])
def test_a_store_on_a_full_disk_is_closed_in_order(tmp_path: Path, disk: Disk, emptied: bool) -> None:
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
