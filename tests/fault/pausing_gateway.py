"""The gateway with a disk that stalls: each write and each sync may take its time, so that a kill meets half a commit.

Run as a program by the tests.
"""

import random
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))

import apsw
from power_loss import ApswDatabase

import gateway.storing
from gateway.cli.main import main
from gateway.store.sqlite import SqliteStore

VFS = "pausing"
SYNC_PAUSED, SYNC_S = 0.5, 0.08
WRITE_PAUSED, WRITE_S = 0.03, 0.03
"""The share of syncs and writes that pause, and for how long at most."""

chance = random.Random()


def pause(share: float, most_s: float) -> None:
    if chance.random() < share:
        time.sleep(chance.uniform(0, most_s))


class PausingVfs(apsw.VFS):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(VFS, "", iVersion=3)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return PausingFile("", name, flags)


class PausingFile(apsw.VFSFile):  # type: ignore[misc]
    def xWrite(self, data: bytes, offset: int) -> None:
        pause(WRITE_PAUSED, WRITE_S)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        pause(SYNC_PAUSED, SYNC_S)
        super().xSync(flags)
        pause(SYNC_PAUSED, SYNC_S)


def run() -> None:
    """The gateway, on that disk."""
    vfs = PausingVfs()
    gateway.storing.SqliteStore = partial(SqliteStore, opener=lambda path: ApswDatabase(path, VFS))  # type: ignore[misc, assignment]
    sys.argv[1:1] = ["run"]
    main()
    # Until here it must not be gone.
    del vfs


if __name__ == "__main__":
    run()
