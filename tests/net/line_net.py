"""What the worlds of these tests have in common: a broker behind one listener, and the clients to be ended."""

import asyncio
from collections.abc import Callable

from line_doubles import LineAcceptor, LineConnector

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


class LineNet:
    """A subclass makes `listener`, and clients whose writers it notes."""

    listener: Listener

    def __init__(self, limits: Limits, clock: Clock | None = None) -> None:
        broker = Broker(MemoryStore(), Authorizer(), CoreLimits(), QueuePolicy())
        loop = asyncio.get_running_loop()
        clock = clock or Clock()
        self.machinery = Machinery(
            loop, clock, broker, Flusher(loop, clock, broker), Deadlines(loop, clock), Reports()
        )
        self.acceptor = LineAcceptor(broker, limits)
        self.writers: list[asyncio.StreamWriter] = []

    @property
    def latest(self) -> LineConnector:
        """What was made last."""
        return self.acceptor.made[-1]

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for something that happens in a later turn; fails after ten seconds."""
        async with asyncio.timeout(10):
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
