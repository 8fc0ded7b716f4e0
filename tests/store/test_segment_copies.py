"""Large records in backups and restores."""

from pathlib import Path

import pytest
from segment_tools import BODY, bodies, files_of, opened, rows
from store_doubles import SqliteHarness, everything, make, put, take

from gateway.core.ports import QueueDeleted
from gateway.store import maintenance
from gateway.store.segments import directory_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def test_a_backup_is_one_file_with_everything_in_it(path: Path, tmp_path: Path) -> None:
    harness = opened(path)
    make(harness.store, 1, 2)
    put(harness.store, 1, 1, 2, body=BODY)
    put(harness.store, 2, 1, body=b"small")
    harness.settle()
    copy = tmp_path / "elsewhere" / "copy.db"
    copy.parent.mkdir()
    maintenance.backup(path, copy, lambda done, total: None)
    assert [file.name for file in copy.parent.iterdir()] == ["copy.db"]
    assert maintenance.check(copy, lambda done, total: None) == []
    counted = maintenance.stats(path)
    assert (counted.segments, counted.segment_bytes > 2 * len(BODY)) == (1, True)
    take(harness.store, 1, 1)
    harness.settle()
    assert any("segments of which parts" in line for line in maintenance.why_kept(path))
    harness.close()
    kept = maintenance.restore(path, copy, lambda done, total: None)
    assert kept is not None
    assert (files_of(path), files_of(kept)) == ([], [1])
    harness = opened(path)
    assert bodies(harness.load(everything(1))) == [BODY, BODY]
    harness.close()


def test_a_backup_holds_few_files_open_however_many_segments_there_are(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "SEGMENTS_HELD_MAX", 1)
    harness = opened(path)
    make(harness.store, 1)
    for sequence in range(1, 21):
        put(harness.store, 1, sequence, body=BODY)
        harness.settle()
    assert len(files_of(path)) == 4
    maintenance.backup(path, tmp_path / "copy.db", lambda done, total: None)
    assert maintenance.check(tmp_path / "copy.db", lambda done, total: None) == []
    harness.close()


def test_what_a_restore_has_kept_can_be_restored(path: Path, tmp_path: Path) -> None:
    harness = opened(path)
    make(harness.store, 1)
    put(harness.store, 1, 1, body=BODY)
    harness.settle()
    copy = tmp_path / "copy.db"
    maintenance.backup(path, copy, lambda done, total: None)
    put(harness.store, 1, 2, body=BODY)
    harness.settle()
    harness.close()
    kept = maintenance.restore(path, copy, lambda done, total: None)
    assert kept is not None
    maintenance.restore(path, kept, lambda done, total: None)
    assert maintenance.check(path, lambda done, total: None) == []
    harness = opened(path)
    assert bodies(harness.load(everything(1))) == [BODY, BODY]
    harness.close()


def test_a_restore_where_only_segments_are_left_keeps_them(path: Path, tmp_path: Path) -> None:
    harness = opened(path)
    make(harness.store, 1)
    put(harness.store, 1, 1, body=BODY)
    harness.settle()
    harness.close()
    copy = tmp_path / "copy.db"
    maintenance.backup(path, copy, lambda done, total: None)
    path.unlink()
    kept = maintenance.restore(path, copy, lambda done, total: None)
    assert kept is not None
    assert files_of(kept) == [1]
    SqliteHarness(path).close()
    assert files_of(kept) == [1]


def test_a_store_of_which_a_deleted_queue_is_being_removed_is_sound_and_can_be_restored(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.tables.SWEPT_PER_STEP", 1)
    harness = opened(path)
    make(harness.store, 1)
    put(harness.store, 1, 1, 2, 3, body=BODY)
    harness.store.append(QueueDeleted(1))
    harness.settle()
    with harness.sqlite._writer.lock:
        harness.sqlite._opened.tables.sweep()
    copy = tmp_path / "copy.db"
    maintenance.backup(path, copy, lambda done, total: None)
    assert rows(path, "SELECT id & 0xff FROM part") == [(2,), (3,)]
    harness.close()
    assert maintenance.check(path, lambda done, total: None) == []
    maintenance.restore(path, copy, lambda done, total: None)


def test_a_backup_of_a_store_whose_segments_are_gone_is_refused(path: Path, tmp_path: Path) -> None:
    harness = opened(path)
    make(harness.store, 1)
    put(harness.store, 1, 1, body=BODY)
    harness.settle()
    harness.close()
    (directory_of(path) / "0000000001.seg").unlink()
    with pytest.raises(maintenance.StoreError, match="large messages are missing"):
        maintenance.backup(path, tmp_path / "copy.db", lambda done, total: None)
    assert not (tmp_path / "copy.db").exists()
