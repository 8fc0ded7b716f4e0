"""The end of a turn of the loop: everything that was said in it is written, once per connection.

And the turns that the core's chores get: a little of them between two looks at the sockets.
"""

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, final

from gateway.connectors.base import Output, Turn
from gateway.core.router import Broker
from gateway.net.clock import Clock

if TYPE_CHECKING:
    from gateway.net.transport import Transport

log = logging.getLogger("gateway.net")

CHORES_S: Final = 0.002
"""How long the core's chores go on in one turn of the loop."""

PARTS_S: Final = 0.002
"""How long frames that are written a part at a time are, in one turn."""


@final
class Flusher:
    """Finds the socket of each connector that marked itself, and has it flushed."""

    __slots__ = ("_broker", "_clock", "_loop", "_parted", "_scheduled", "transports", "turn")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, broker: Broker) -> None:
        self._loop = loop
        self._clock = clock
        self._broker = broker
        self._scheduled = False
        # Those with a part to write, in turn.
        self._parted: dict[Output, None] = {}
        self.turn = Turn(self._schedule, clock.now_ms)
        self.transports: dict[Output, Transport] = {}

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._end_of_turn)

    def _end_of_turn(self) -> None:
        self._scheduled = False
        self.flush()

    def flush(self) -> None:
        """Write what has been said.

        Whoever calls it before the end of the turn, since many have just been confirmed, does not take the place of that:
        were another one arranged for then, each would go on having clients heard, and a turn would have ever more of them.
        """
        now_ms = self._clock.now_ms()
        self._broker.now_ms = now_ms
        transports = self.transports
        for connector in self.turn.take():
            if connector.unwritten:
                self._parted[connector] = None
                continue
            transport = transports.get(connector)
            if transport is not None:
                transport.flush(now_ms)
        if self._parted:
            self._write_parts(now_ms)

    def _write_parts(self, now_ms: int) -> None:
        """One part of each, as far as there is time."""
        until_s = time.perf_counter() + PARTS_S
        parted = self._parted
        while parted:
            connector = next(iter(parted))
            del parted[connector]
            transport = self.transports.get(connector)
            if transport is not None:
                transport.flush(now_ms)
            if time.perf_counter() >= until_s:
                break
        if parted:
            self._schedule()


@final
class Caretaker:
    """Lets the core's chores go on, a little in each turn of the loop."""

    __slots__ = ("_broker", "_clock", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, broker: Broker) -> None:
        self._loop = loop
        self._clock = clock
        self._broker = broker
        broker.chores.driven_by(self._schedule)

    def _schedule(self) -> None:
        self._loop.call_soon(self.go_on)

    def go_on(self) -> None:
        """Go on with them for a moment, and again in the next turn if there is more."""
        self._broker.now_ms = self._clock.now_ms()
        chores = self._broker.chores
        until_s = time.perf_counter() + CHORES_S
        try:
            while chores.step() and time.perf_counter() < until_s:
                pass
        except Exception:
            log.exception("internal error in a chore")
        if chores:
            self._schedule()

    def finish(self) -> None:
        """The loop is about to stop: do all that is left, and what is added from now on at once."""
        chores = self._broker.chores
        chores.driven_by(None)
        while chores:
            try:
                chores.finish()
            except Exception:
                log.exception("internal error in a chore")
