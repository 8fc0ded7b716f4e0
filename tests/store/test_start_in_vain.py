"""A start that comes to nothing leaves the next one as much in doubt as it was."""

import asyncio
from pathlib import Path

import pytest

from gateway.config import Config
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer, Store
from gateway.core.router import Broker
from gateway.store import recovery
from gateway.store.errors import StoreFailed
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
