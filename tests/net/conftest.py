"""A listener whose connectors do what the client's lines say: net is tested without any protocol.

These connectors are interpreted subclasses, which compiled base classes do not take: this room's tests run plain only.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from line_net import LineNet
from secure_net import SecureNet
from tls_files import Pki

from gateway.connectors.base import Limits
from gateway.net.clock import Clock
from gateway.net.listener import Listener

LOOPS = {"asyncio": asyncio.new_event_loop}
if sys.platform != "win32":
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test runs on the loop that is used in earnest, and on the one where that cannot be had."""
    return LOOPS


class Net(LineNet):
    """One listener, and clients for it."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        super().__init__(limits, clock)
        self.listener = Listener(self.acceptor, "127.0.0.1", 0, self.machinery)

    async def client(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connected client."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        self.writers.append(writer)
        return reader, writer


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """Authorities, and what they have issued."""
    return Pki(tmp_path / "certs")


@pytest.fixture
def limits() -> Limits:
    """Overridden by tests that want others."""
    return Limits(maximum_connections=3, output_buffer=1 << 20)


@pytest.fixture
def clock() -> Clock:
    """Overridden by tests that have it in hand."""
    return Clock()


@pytest_asyncio.fixture
async def net(limits: Limits, clock: Clock) -> AsyncIterator[Net]:
    """A listener that is open."""
    world = Net(limits, clock)
    await world.listener.open()
    yield world
    await world.close()


@pytest_asyncio.fixture
async def tls_net() -> AsyncIterator[SecureNet]:
    """Listeners with TLS; a test opens them as it wants them."""
    world = SecureNet()
    yield world
    await world.close()
