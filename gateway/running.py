"""The gateway as a process: from its start to its exit code, with the signals in between."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Final, final

from gateway.app import Gateway
from gateway.config import Config
from gateway.net.memory import keep_freed_memory
from gateway.store.errors import StoreError
from gateway.storing import EXIT_FAILED

log = logging.getLogger("gateway")

GC_THRESHOLDS: Final = (5_000, 1, 1_000_000)
"""Nothing that ends leaves a cycle (`tests/net/test_closed_connections.py`), so cycles are looked for among the young
alone: a look takes a quarter of a microsecond an object and holds the loop, and 15,000 objects are the most for one.
Of 50,000 and 20 times as many it took a second while clients subscribed."""


def leave(code: int) -> None:
    """End the process here: to take millions of objects apart one by one would take seconds, to no end."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


async def run(
    config: Config,
    started: Callable[[Gateway], None],
    ended: Callable[[int], None] = leave,
    read: Callable[[], Config] | None = None,
) -> int:
    """Run until SIGTERM or SIGINT; `started(gateway)` is called once everything listens.  Returns the exit code.

    SIGHUP has what can be reloaded reloaded; `read` gives the configuration as it is then.
    The first signal stops gracefully (0), a second one at once (128 + its number, as if it had not been caught).
    `ended(code)` is called while all is in memory still.
    """
    keep_freed_memory()
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def on_signal(number: int) -> None:
        stopping.set()
        for again in _SIGNALS:
            with suppress(NotImplementedError):
                loop.remove_signal_handler(again)
            # Not by way of the loop, which may be held up by whatever the stop waits for.
            signal.signal(again, at_once)

    def at_once(number: int, _: FrameType | None) -> None:
        log.warning("stopped at once: clients may not have been told")
        ended(128 + number)

    for number in _SIGNALS:
        try:
            loop.add_signal_handler(number, on_signal, number)
        except NotImplementedError:  # Windows: the loop has no signal handlers
            signal.signal(number, lambda got, _: loop.call_soon_threadsafe(on_signal, got))
    running = Gateway(config, read)
    hangups = _Hangups(running, loop)
    await _start(running)
    started(running)
    log.info("started")
    hangups.obey()
    failing = asyncio.ensure_future(running.failed.wait())
    asked = asyncio.ensure_future(stopping.wait())
    await asyncio.wait((asked, failing), return_when=asyncio.FIRST_COMPLETED)
    hangups.ignore()
    log.info("stopping: %d ms for clients to be told", config.gateway.shutdown_timeout_ms)
    await running.stop()
    for waiting in (asked, failing):
        waiting.cancel()
    code = EXIT_FAILED if running.storing.failure is not None else 0
    log.info("stopped")
    ended(code)
    return code


_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@final
class _Hangups:
    """SIGHUP: one that comes during the start is obeyed after it, one that comes during the stop never."""

    def __init__(self, running: Gateway, loop: asyncio.AbstractEventLoop) -> None:
        self._running = running
        self._started = False
        self._stopping = False
        self._waiting = False
        if hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, self._on_signal)

    def _on_signal(self) -> None:
        if self._stopping:
            log.info("SIGHUP: not reloaded, since it is stopping")
        elif self._started:
            self._running.reloading.ask()
        else:
            log.info("SIGHUP: reloads once it has started")
            self._waiting = True

    def obey(self) -> None:
        """It has started."""
        self._started = True
        if self._waiting:
            self._running.reloading.ask()

    def ignore(self) -> None:
        """It is about to stop."""
        self._stopping = True


async def _start(running: Gateway) -> None:
    """Start it, without looking for cycles in what is brought back, then or later: there are none."""
    gc.collect()
    gc.disable()
    try:
        await running.__aenter__()
    except StoreError as error:
        raise OSError(f"store: {error}") from None
    finally:
        gc.freeze()
        gc.enable()
        gc.set_threshold(*GC_THRESHOLDS)
