"""A listener whose connectors do what the client's lines say: net is tested without any protocol.

These connectors are interpreted subclasses, which compiled base classes do not take: this room's tests run plain only.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from gateway.connectors.base import Acceptor, Connector, Limits, Turn
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


class LineConnector(Connector):
    """Does what each line says; answers every line but `quiet`."""

    def __init__(self, acceptor: "LineAcceptor", turn: Turn, peer: str) -> None:
        super().__init__(acceptor.broker, turn, acceptor.limits, acceptor.counters, peer)
        self.acceptor = acceptor
        self.due_ms: int | None = None
        self.heard = b""
        self.writable_calls: list[bool] = []
        self.ends = 0
        self.refused = False
        self.broken_output = False

    def bytes_in(self, data: bytes, now_ms: int) -> None:
        assert self.broker.now_ms == now_ms
        self.heard += data
        for line in data.split(b"\n")[:-1]:
            self._obey(line.decode(), now_ms)

    def _obey(self, line: str, now_ms: int) -> None:
        word, _, rest = line.partition(" ")
        if word == "boom":
            raise RuntimeError("a bug of ours")
        if word == "boom-later":
            self.broken_output = True
            self.turn.mark(self)
        elif word == "fail":
            self.failure = rest
            self.say(b"bad: " + rest.encode() + b"\n")
            self.closing = True
        elif word == "due":
            self.due_ms = now_ms + int(rest)
        elif word == "big":
            for _ in range(8):
                self.push(b"x" * (int(rest) // 8))
        elif word == "hold":
            self.throttle(True)
        elif word != "quiet":
            self.say(b"ok " + line.encode() + b"\n")

    def prepare_out(self, now_ms: int) -> None:
        if self.broken_output:
            raise RuntimeError("a bug of ours, at the end of the turn")

    def eof(self, now_ms: int) -> None:
        self.ends += 1
        self.detach()

    def next_deadline_ms(self) -> int | None:
        return self.due_ms

    def deadline(self, now_ms: int) -> None:
        assert self.due_ms is not None
        assert self.due_ms <= now_ms
        self.due_ms = None
        self.say(b"due\n")

    def writable(self, yes: bool) -> None:
        self.writable_calls.append(yes)
        super().writable(yes)

    def shutdown(self, now_ms: int) -> None:
        self.say(b"bye\n")
        self.closing = True

    def refuse(self, now_ms: int) -> None:
        self.refused = True
        self.failure = "one too many"
        self.say(b"full\n")
        self.closing = True

    def resumed(self) -> None:
        pass

    def congestion_changed(self) -> None:
        pass

    def on_rate_exceeded(self) -> None:
        pass


class LineAcceptor(Acceptor):
    """Keeps what it made."""

    def __init__(self, broker: Broker, limits: Limits) -> None:
        super().__init__("lines", "lines", limits)
        self.broker = broker
        self.made: list[LineConnector] = []
        self.broken = False

    def accept(self, peer: str, turn: Turn, now_ms: int) -> Connector:
        if self.broken:
            raise RuntimeError("a bug of ours")
        connector = LineConnector(self, turn, peer)
        self.made.append(connector)
        return connector


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
