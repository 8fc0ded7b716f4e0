"""The process around the gateway: signals, the collector, the exit code."""

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.config import Config
from gateway.running import GC_THRESHOLDS, run
from gateway.store.sqlite import SqliteStore

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    thresholds = gc.get_threshold()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    for number, handler in handlers.items():
        signal.signal(number, handler)


def config(directory: Path) -> Config:
    return Config.model_validate(
        {"store": {"path": str(directory / "store.db"), "reserve_bytes": 0}, "admin": {"enabled": False}}
    )


async def test_nothing_is_collected_while_it_starts_and_what_is_there_then_is_never_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collecting: list[bool] = []
    start = Gateway.start

    async def watched(gateway: Gateway) -> None:
        collecting.append(gc.isenabled())
        await start(gateway)

    monkeypatch.setattr(Gateway, "start", watched)
    codes: list[int] = []

    def started(_: Gateway) -> None:
        collecting.append(gc.isenabled())
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold() == GC_THRESHOLDS
        os.kill(os.getpid(), signal.SIGTERM)

    assert await run(config(tmp_path), started, codes.append) == 0
    assert collecting == [False, True]
    assert codes == [0]


def test_however_much_is_made_one_look_for_cycles_is_a_short_one() -> None:
    looked_at: list[int] = []

    def looking(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            looked_at.append(sum([len(gc.get_objects(young)) for young in range(info["generation"] + 1)]))

    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.callbacks.append(looking)
    try:
        kept = [[number] for number in range(300_000)]
    finally:
        gc.callbacks.remove(looking)
    assert len(kept) == 300_000
    assert looked_at
    # A look takes a quarter of a microsecond an object.
    assert max(looked_at) < 20_000


async def test_a_second_signal_ends_it_whatever_the_store_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung, free = threading.Event(), threading.Event()
    close = SqliteStore.close

    def hanging(store: SqliteStore, clean: bool) -> None:
        hung.set()
        assert free.wait(30)
        close(store, clean)

    monkeypatch.setattr(SqliteStore, "close", hanging)
    codes: list[int] = []

    def ended(code: int) -> None:
        codes.append(code)
        free.set()

    running = asyncio.ensure_future(
        run(config(tmp_path), lambda _: os.kill(os.getpid(), signal.SIGTERM), ended)
    )
    assert await asyncio.to_thread(hung.wait, 30)
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    # In a process nothing comes after the first.
    assert codes == [128 + signal.SIGTERM, 0]
