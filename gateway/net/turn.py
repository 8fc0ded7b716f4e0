"""The end of a turn of the loop: everything that was said in it is written, once per connection."""

import asyncio
from typing import TYPE_CHECKING, final

from gateway.connectors.base import Connector, Turn
from gateway.core.router import Broker
from gateway.net.clock import Clock

if TYPE_CHECKING:
    from gateway.net.transport import Transport


@final
class Flusher:
    """Finds the socket of each connector that marked itself, and has it flushed."""

    __slots__ = ("_broker", "_clock", "_loop", "transports", "turn")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, broker: Broker) -> None:
        self._loop = loop
        self._clock = clock
        self._broker = broker
        self.turn = Turn(self._schedule)
        self.transports: dict[Connector, Transport] = {}

    def _schedule(self) -> None:
        self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what has been said."""
        now_ms = self._clock.now_ms()
        self._broker.now_ms = now_ms
        transports = self.transports
        for connector in self.turn.take():
            transport = transports.get(connector)
            if transport is not None:
                transport.flush(now_ms)
