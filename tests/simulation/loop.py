"""asyncio's own event loop, with virtual time and without a selector: sockets are in `network.py`."""

import asyncio
import heapq
from asyncio import events
from collections.abc import Callable
from typing import Any, Final

from tests.simulation.clock import Clock
from tests.simulation.threads import NEVER, Hub, Killed

CANCELLED_MAX: Final = 100
"""Timers that nobody waits for any more, before they are cleared away."""


class VirtualLoop(asyncio.BaseEventLoop):
    """`turn` is one turn; the world decides when.  Servers are found in `servers` by port."""

    def __init__(self, clock: Clock, hub: Hub) -> None:
        super().__init__()
        self._clock = clock
        self._hub = hub
        self._selector = self
        self.servers: dict[int, Callable[[], asyncio.Protocol]] = {}
        self.failures: list[str] = []
        """What was raised where nobody handled it."""
        # In their order: asyncio's own set of them has none.
        self._tasks: list[asyncio.Task[Any]] = []
        self.set_exception_handler(self._on_failure)

    def _on_failure(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.failures.append(f"{context.get('message')}: {context.get('exception')!r}")

    def time(self) -> float:
        return self._clock.us / 1_000_000

    # -- what BaseEventLoop asks of a selector: nothing ever comes of it

    def select(self, _: float | None) -> list[Any]:
        return []

    def _process_events(self, _: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    # -- turns

    def next_s(self) -> float:
        """When the next timer is due."""
        scheduled = self._scheduled  # type: ignore[attr-defined]
        return scheduled[0].when() if scheduled else NEVER

    def run(self, main: Any) -> None:
        """Turn until `main` is done; waits for the hub between turns."""
        task = self.create_task(main)
        hub = self._hub
        # Is there something to call?
        ready = self._ready.__len__  # type: ignore[attr-defined]
        while not task.done():
            if not ready():
                hub.wait(ready, self.next_s())
            elif hub.chance.random() < 0.5:
                hub.wait(ready)
            if hub.killed:
                # What is thrown into a callback does not leave it.
                raise Killed
            events._set_running_loop(self)
            try:
                self._run_once()
            finally:
                events._set_running_loop(None)
        task.result()

    def _run_once(self) -> None:
        """As asyncio's own, which has a selector to ask between timers and calls, and itself to watch."""
        if self._timer_cancelled_count > CANCELLED_MAX:  # type: ignore[attr-defined]
            # It knows how to get rid of them.
            super()._run_once()  # type: ignore[misc]
            return
        scheduled = self._scheduled  # type: ignore[attr-defined]
        ready = self._ready  # type: ignore[attr-defined]
        now_s = self._clock.us / 1_000_000
        while scheduled and scheduled[0]._cancelled:
            self._timer_cancelled_count -= 1
            heapq.heappop(scheduled)._scheduled = False
        while scheduled and scheduled[0]._when <= now_s:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def drop(self) -> None:
        """End what was killed where it is, or before it began, and close."""
        for task in self._tasks:
            if not task.done():
                coroutine = task.get_coro()
                assert coroutine is not None
                coroutine.close()
        self.close()

    # -- what the gateway asks of a loop

    def call_soon(self, callback: Any, *arguments: Any, context: Any = None) -> events.Handle:
        # Nobody calls from another thread, or after its end.
        handle = events.Handle(callback, arguments, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def create_task(self, coroutine: Any, **named: Any) -> asyncio.Task[Any]:
        task = super().create_task(coroutine, **named)
        self._tasks.append(task)
        return task

    async def create_server(self, factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        self.servers[port] = factory
        return _Server(self, port)

    def run_in_executor(self, executor: Any, work: Any, *arguments: Any) -> Any:
        done = self.create_future()

        def settle(how: Callable[[Any], None], result: Any) -> None:
            # Who waited for it may be gone, as in asyncio.
            if not done.cancelled():
                how(result)

        def carry_out() -> None:
            try:
                result = work(*arguments)
            except Exception as error:
                self.call_soon_threadsafe(settle, done.set_exception, error)
            else:
                self.call_soon_threadsafe(settle, done.set_result, result)

        self._hub.spawn("executor", carry_out)
        return done


class _Server:
    """A listening socket."""

    def __init__(self, loop: VirtualLoop, port: int) -> None:
        self._loop = loop
        self._port = port
        self.sockets = [self]

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", self._port

    def close(self) -> None:
        self._loop.servers.pop(self._port, None)
