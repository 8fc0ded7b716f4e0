"""No file can be opened any more: the store keeps some descriptors back, and then tries again."""

import errno
import os
from pathlib import Path

import pytest
from store_doubles import SqliteHarness, everything, make, put, sequences

from gateway.store.segments import Files
from gateway.store.spare import SPARES, Spares


class Exhausted(Files):
    """So many descriptors are free beside those that others hold."""

    def __init__(self) -> None:
        self.refusals = 0

    def _ask(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def create(self, path: Path) -> int:
        self._ask()
        return super().create(path)

    def sync_directory(self, directory: Path) -> None:
        self._ask()
        super().sync_directory(directory)


def test_a_spare_descriptor_makes_way_for_a_file() -> None:
    spares = Spares()
    held = [*spares._held]
    asked = []

    def call() -> str:
        asked.append(len(spares._held))
        if len(asked) < 3:
            raise OSError(errno.ENFILE, "")
        return "opened"

    assert spares.attempt(call) == "opened"
    assert asked == [SPARES, SPARES - 1, SPARES - 2]
    with pytest.raises(OSError):
        os.fstat(held[-1])
    spares.regain()
    assert len(spares._held) == SPARES
    spares.close()


def test_another_error_costs_no_spare() -> None:
    spares = Spares()

    def call() -> None:
        raise FileNotFoundError(errno.ENOENT, "")

    with pytest.raises(FileNotFoundError):
        spares.attempt(call)
    assert len(spares._held) == SPARES
    spares.close()


@pytest.mark.parametrize("refusals", [1, SPARES, SPARES + 1, 2 * SPARES + 2])
def test_a_large_message_is_kept_whoever_holds_the_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    monkeypatch.setattr("gateway.store.writer.FULL_RETRY_S", 0.02)
    files = Exhausted()
    harness = SqliteHarness(tmp_path / "store.db", large=80, files=files)
    harness.store.recover()
    harness.start()
    make(harness.store, 1)
    harness.settle()
    files.refusals = refusals
    put(harness.store, 1, 1, body=b"x" * 100)
    harness.settle()
    assert sequences(harness.load(everything(1))) == [1]
    assert harness.listener.failures == []
    assert harness.store.accepting
    harness.close()
