"""A start that comes to nothing leaves the next one as much in doubt as it was."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from gateway.config import Config
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer, Store
from gateway.core.router import Broker
from gateway.store import recovery
from gateway.store.errors import StoreError, StoreFailed, StoreFull, StoreRefused
from gateway.store.replace import doubt
from gateway.store.sqlite import SqliteStore
from gateway.storing import Storing


def test_a_start_whose_disk_fails_is_no_orderly_end_of_the_crash_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    crashed = SqliteStore(path)
    crashed.recover()
    crashed.close(False)
    storing = Storing(
        Config.model_validate({"store": {"path": str(path)}}).store,
        Broker(Store(), Authorizer(), CoreLimits(), QueuePolicy()),
    )
    count_start = recovery.count_start

    def fail(*_: object) -> None:
        # Only this once: what ends the process finds the disk well again.
        monkeypatch.setattr(recovery, "count_start", count_start)
        raise StoreFailed("for a test")

    monkeypatch.setattr(recovery, "count_start", fail)
    with pytest.raises(StoreFailed):
        storing.open()
    asyncio.run(storing.close())
    after = SqliteStore(path)
    assert not after.recover().clean
    after.close(False)


@pytest.mark.parametrize(("number", "kind"), ((errno.ENOSPC, StoreFull), (errno.EIO, StoreFailed)))
def test_a_store_that_cannot_be_given_its_name_is_an_error_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[StoreError]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(kind, match=os.strerror(number)):
        SqliteStore(tmp_path / "store.db")
    monkeypatch.undo()
    # Nobody has its lock.
    SqliteStore(tmp_path / "store.db").close(False)


@pytest.mark.parametrize(("number", "kind"), ((errno.ENOSPC, StoreFull), (errno.EACCES, StoreRefused)))
def test_a_replacement_that_cannot_go_on_since_the_disk_is_full_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[StoreError]
) -> None:
    path = tmp_path / "store.db"
    SqliteStore(path).close(False)
    # Where the power went once what was saved was whole: before it had its name.
    os.rename(path, tmp_path / "store.db.next-damaged-1")
    path.write_bytes(b"what was there before")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(kind, match=os.strerror(number)) as caught:
        SqliteStore(path)
    assert type(caught.value) is kind
    monkeypatch.undo()
    store = SqliteStore(path)
    assert any("was being replaced" in line for line in store.damages)
    store.close(False)


def test_what_is_left_of_a_salvage_and_cannot_be_removed_ends_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    SqliteStore(path).close(False)
    doubt(path, "for a test")

    def fail(_: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(recovery, "remove", fail)
    store = SqliteStore(path)
    assert any("was damaged" in line for line in store.damages)
    store.close(False)
