"""The end of a turn of the loop: everything that was said in it is written, once per connection."""

import asyncio
from typing import TYPE_CHECKING, final

from gateway.connectors.base import Connector, Turn

if TYPE_CHECKING:
    from gateway.net.transport import Transport


@final
class Flusher:
    """Finds the socket of each connector that marked itself, and has it flushed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.turn = Turn(self._schedule)
        self.transports: dict[Connector, Transport] = {}

    def _schedule(self) -> None:
        self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what has been said."""
        transports = self.transports
        for connector in self.turn.take():
            transport = transports.get(connector)
            if transport is not None:
                transport.flush()
