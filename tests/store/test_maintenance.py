"""Check, backup, restore and the rest, on stores in use and damaged."""

from pathlib import Path

import pytest
from store_doubles import SqliteHarness, everything, make, put, sequences, take

from gateway.core.ports import Noted, QueueMade
from gateway.store import maintenance
from gateway.store.errors import StoreRefused


def quiet(done: int, total: int) -> None:
    assert 0 <= done <= total


@pytest.fixture
def used(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A store that a gateway has open, with three messages."""
    harness = SqliteHarness(tmp_path / "store.db")
    harness.sqlite.recover()
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, 1, 2, 3, body=b"body")
    harness.store.append(QueueMade(2, "session:1:c/"))
    put(harness.store, 2, 7)
    harness.store.append(Noted("mqtt.session", "c", b"{}"))
    harness.settle()
    yield harness
    if harness.sqlite._writer.running:
        harness.close()


def test_a_store_in_use_can_be_checked_and_counted(used: SqliteHarness) -> None:
    assert maintenance.check(used.path, quiet) == []
    found = maintenance.stats(used.path)
    assert [
        (queue.key, queue.messages, queue.bytes, queue.oldest, queue.newest) for queue in found.queues
    ] == [
        ("queue:1", 3, 12, 1, 3),
        ("session:1:c/", 1, 1, 7, 7),
    ]
    assert (found.clean, found.epoch, found.retained, found.notes) == (False, 1, 0, {"mqtt.session": 1})
    lines = maintenance.why_kept(used.path)
    assert any("3 messages in queue:1, from 1 to 3: until a consumer" in line for line in lines)
    assert any("until the MQTT client c fetches them" in line for line in lines)


def test_backup_of_a_store_in_use_is_whole_and_can_be_restored(used: SqliteHarness, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    size = maintenance.backup(used.path, copy, quiet)
    assert size == copy.stat().st_size
    assert maintenance.check(copy, quiet) == []
    with pytest.raises(StoreRefused, match="is there already"):
        maintenance.backup(used.path, copy, quiet)
    with pytest.raises(StoreRefused, match="in use by another process"):
        maintenance.restore(used.path, copy, quiet)
    take(used.store, 1, 1, 2, 3)
    used.close()
    kept = maintenance.restore(used.path, copy, quiet)
    assert kept is not None
    assert kept.exists()
    again = SqliteHarness(used.path)
    again.sqlite.recover()
    again.start()
    assert sequences(again.load(everything(1))) == [1, 2, 3]
    again.close()


def test_check_names_the_message_that_is_damaged(used: SqliteHarness) -> None:
    used.close()
    data = bytearray(used.path.read_bytes())
    data[data.index(b"body")] ^= 1
    used.path.write_bytes(data)
    (fault,) = maintenance.check(used.path, quiet)
    assert fault.startswith("queue:1, message ")
    assert fault.endswith("its checksum does not match")


def test_a_damaged_backup_is_not_restored(used: SqliteHarness, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    maintenance.backup(used.path, copy, quiet)
    used.close()
    before = used.path.read_bytes()
    data = copy.read_bytes()
    copy.write_bytes(data[: len(data) // 2])
    with pytest.raises(StoreRefused):
        maintenance.restore(used.path, copy, quiet)
    assert used.path.read_bytes() == before


def test_what_is_no_store_is_refused_by_every_command(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="there is no store"):
        maintenance.check(tmp_path / "none.db", quiet)
    (tmp_path / "text.db").write_text("text" * 100)
    for command in (maintenance.stats, maintenance.why_kept):
        with pytest.raises(StoreRefused, match="not an SQLite file"):
            command(tmp_path / "text.db")
