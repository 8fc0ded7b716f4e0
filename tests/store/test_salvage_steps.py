"""The gateway is killed at each step of a salvage or a restore: the next start finds the old store, or the new one."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from store_doubles import SqliteHarness, everything, make, put, sequences

from gateway.store import maintenance
from gateway.store.replace import DAMAGED, SUFFIXES

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process that can be killed")

KILLED = 9
STEPS = ("replace", "link", "unlink", "fsync", "open", "mkdir")
"""Calls into the system by which a file gets its name, loses it, or becomes safe."""

LARGE = 2_000


def build(path: Path) -> Path:
    """A store with messages, some of them large, that a crash ended."""
    living = SqliteHarness(path.with_name("living.db"), large=LARGE)
    living.sqlite.recover()
    living.start()
    make(living.store, 1)
    put(living.store, 1, *range(1, 201), body=b"m" * 300)
    put(living.store, 1, 201, 202, body=b"l" * LARGE)
    living.settle()
    for suffix in SUFFIXES:
        part = living.path.with_name(living.path.name + suffix)
        if part.exists():
            shutil.copyfile(part, path.with_name(path.name + suffix))
    shutil.copytree(f"{living.path}-segments", f"{path}-segments")
    living.close()
    return path


def spoil(path: Path) -> None:
    """One page of the log, in the middle of what was committed."""
    log = path.with_name(path.name + "-wal")
    data = bytearray(log.read_bytes())
    at = data.index(b"m" * 300)
    data[at : at + 300] = bytes(300)
    log.write_bytes(data)


def there(path: Path) -> list[int]:
    """What a start finds in the queue."""
    harness = SqliteHarness(path, large=LARGE)
    assert [queue.key for queue in harness.sqlite.recover().queues] == ["queue:1"]
    harness.start()
    found = sequences(harness.load(everything(1)))
    harness.close()
    return found


def killed_at(step: int, what: Callable[[], Any]) -> bool:
    """Carry out `what` in a process that is killed before its `step`th call into the system; False if it had fewer."""
    child = os.fork()
    if child == 0:
        left = step

        def counted(call: Callable[..., Any]) -> Callable[..., Any]:
            def carry_out(*arguments: Any, **named: Any) -> Any:
                nonlocal left
                if left == 0:
                    os._exit(KILLED)
                left -= 1
                return call(*arguments, **named)

            return carry_out

        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
        try:
            what()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == KILLED


def each_step(tmp_path: Path, original: Path, what: Callable[[Path], Any]) -> list[Path]:
    """The store after a kill at every step."""
    found: list[Path] = []
    while True:
        directory = tmp_path / f"step {len(found)}"
        shutil.copytree(original.parent, directory)
        path = directory / original.name
        if not killed_at(len(found), lambda path=path: what(path)):
            return found
        found.append(path)


def test_a_salvage_that_is_killed_at_any_step_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "original").mkdir()
    path = build(tmp_path / "original" / "store.db")
    spoil(path)
    log = path.with_name("store.db-wal").read_bytes()
    shutil.copytree(path.parent, tmp_path / "straight")
    wanted = there(tmp_path / "straight" / "store.db")
    assert 180 < len(wanted) < 202
    assert wanted[-2:] == [201, 202]
    steps = each_step(tmp_path, path, lambda path: SqliteHarness(path, large=LARGE))
    assert len(steps) > 10
    for killed in steps:
        assert there(killed) == wanted, killed
        kept = list(killed.parent.glob(f"store.db.{DAMAGED}-*-wal"))
        assert [name.read_bytes() for name in kept] == [log], killed
        left = {name.name for name in killed.parent.iterdir() if DAMAGED not in name.name}
        assert left <= {
            "store.db",
            "store.db.lock",
            "store.db-segments",
            "living.db",
            "living.db.lock",
            "living.db-segments",
        }


def test_a_restore_that_is_killed_at_any_step_leaves_the_store_or_the_backup(tmp_path: Path) -> None:
    (tmp_path / "original").mkdir()
    path = build(tmp_path / "original" / "store.db")
    backup = tmp_path / "backup.db"
    other = SqliteHarness(tmp_path / "other.db")
    other.sqlite.recover()
    other.start()
    make(other.store, 1)
    put(other.store, 1, 7)
    other.settle()
    other.close()
    maintenance.backup(tmp_path / "other.db", backup, lambda done, total: None)
    before = there(path)

    def restore(path: Path) -> None:
        maintenance.restore(path, backup, lambda done, total: None)

    steps = each_step(tmp_path, path, restore)
    assert len(steps) > 8
    found = [there(killed) for killed in steps]
    # From one step on it is the backup, and what was there before is kept with all it had.
    changed = found.index([7])
    assert found == [before] * changed + [[7]] * (len(found) - changed)
    for killed in steps[changed:]:
        assert there(killed.with_name("store.db.before-restore-1")) == before
