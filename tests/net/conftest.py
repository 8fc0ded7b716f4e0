"""A listener whose connectors do what the client's lines say: net is tested without any protocol.

These connectors are interpreted subclasses, which compiled base classes do not take: this room's tests run plain only.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from line_doubles import LineAcceptor

from gateway.connectors.base import Limits
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer
from gateway.core.router import Broker
from gateway.net.clock import Clock
from gateway.net.deadlines import Deadlines
from gateway.net.listener import Listener, Machinery
from gateway.net.reports import Reports
from gateway.net.turn import Flusher
from gateway.store.memory import MemoryStore

LOOPS = {"asyncio": asyncio.new_event_loop}
if sys.platform != "win32":
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test runs on the loop that is used in earnest, and on the one where that cannot be had."""
    return LOOPS


class Net:
    """One listener, and clients for it."""

    def __init__(self, limits: Limits) -> None:
        broker = Broker(MemoryStore(), Authorizer(), CoreLimits(), QueuePolicy())
        loop = asyncio.get_running_loop()
        clock = Clock()
        self.machinery = Machinery(
            loop, clock, broker, Flusher(loop, clock, broker), Deadlines(loop, clock), Reports()
        )
        self.acceptor = LineAcceptor(broker, limits)
        self.listener = Listener(self.acceptor, "127.0.0.1", 0, self.machinery)
        self.writers: list[asyncio.StreamWriter] = []

    async def client(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connected client."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        self.writers.append(writer)
        return reader, writer

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for something that happens in a later turn; fails after five seconds."""
        async with asyncio.timeout(5):
            while not true():
                await asyncio.sleep(0.002)

    async def close(self) -> None:
        """End everything."""
        self.listener.stop_accepting()
        for writer in self.writers:
            writer.transport.abort()
        for transport in list(self.listener.transports):
            transport.abort()
        await self.until(lambda: not self.listener.transports)
        self.machinery.deadlines.close()


@pytest.fixture
def limits() -> Limits:
    """Overridden by tests that want others."""
    return Limits(maximum_connections=3, output_buffer=1 << 20)


@pytest_asyncio.fixture
async def net(limits: Limits) -> AsyncIterator[Net]:
    """A listener that is open."""
    world = Net(limits)
    await world.listener.open()
    yield world
    await world.close()
