"""Connections in memory: bytes are cut anywhere, wait on their way, stand still; either side closes, or breaks off."""

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final

from tests.simulation.loop import VirtualLoop
from tests.simulation.record import Record

KERNEL_BYTES: Final = (2_000, 20_000, 200_000)
"""What lies between the two sides at most, before a writer's own buffer fills."""

PIECE_BYTES: Final = (3, 40, 500, 5_000, 100_000)
"""How much arrives at once."""


class Connection(asyncio.Transport):
    """The gateway's socket as asyncio shows it, and the client's end of it."""

    def __init__(self, loop: VirtualLoop, number: int, chance: random.Random, record: Record) -> None:
        super().__init__()
        self._loop = loop
        self._chance = chance
        self._record = record
        self.number = number
        self.protocol: Any = None
        self.on_bytes: Callable[[bytes], None] = lambda _: None
        self.on_end: Callable[[], None] = lambda: None
        self._kernel = chance.choice(KERNEL_BYTES)
        self._piece = chance.choice(PIECE_BYTES)
        # To the gateway.
        self._coming = bytearray()
        self._client_ended = False
        self._told_eof = False
        self._reading = True
        self._delivering = False
        # To the client.
        self._going = bytearray()
        self._high = 65_536
        self._paused = False
        self._write_ended = False
        self._closing = False
        self._lost = False
        self.ended_s: float | None = None
        """When the gateway had no connection any more."""
        self.died = False
        """Was that since its process was gone?"""
        self.client_reads = True
        """A client that stands still reads nothing."""
        self.said = 0
        """Frames of the client."""
        self.stirs = True
        """May anything be on its way?"""
        self.client_gone = False
        """Its process, or its cable, is gone."""

    def begin(self, factory: Callable[[], asyncio.Protocol]) -> None:
        """Connect."""
        self.protocol = factory()
        self._loop.call_soon(self.protocol.connection_made, self)

    # -- the client's end

    @property
    def open(self) -> bool:
        return not self.client_gone and not self._lost

    @property
    def is_ended(self) -> bool:
        """Has the gateway ended it, though the client may still read what was written before?"""
        return self._lost or self._closing or self._write_ended

    @property
    def alive(self) -> bool:
        """Does the gateway still have it?"""
        return not self._lost

    @property
    def given_up(self) -> bool:
        """Has the gateway ended it, perhaps before the client could see it?"""
        connector = self.protocol.connector
        return self._closing or connector is None or connector.closing

    def say(self, data: bytes) -> None:
        """The client writes; it may always."""
        if not self.client_gone and not self._client_ended:
            self.said += 1
            self.stirs = True
            self._coming += data

    def end_writing(self) -> None:
        """The client has said all, and reads on."""
        self._client_ended = self.stirs = True

    def leave(self) -> None:
        """The client closes; what it wrote arrives."""
        self._client_ended = self.stirs = True
        self.client_gone = True
        self._going.clear()

    def break_off(self) -> None:
        """Nothing more arrives, either way."""
        self.client_gone = True
        self._coming.clear()
        self._going.clear()
        self._lose(ConnectionResetError("Connection reset by peer"))

    # -- steps that the world may choose

    def offer(self, choices: list[Any]) -> None:
        """Add what may happen now."""
        coming = self._coming or (self._client_ended and not self._told_eof)
        if coming and self._reading and not self._delivering and not self._lost:
            choices.append(self.deliver)
        if self._going:
            if self.client_reads and not self.client_gone:
                choices.append(self.read)
        elif not coming or self._lost:
            self.stirs = False

    def may_deliver(self) -> bool:
        """Has the gateway something to read?"""
        if self._lost or self._delivering or not self._reading:
            return False
        return bool(self._coming) or (self._client_ended and not self._told_eof)

    def deliver(self) -> None:
        """Some bytes reach the gateway, or the end of them."""
        self._delivering = True
        self._loop.call_soon(self._received, self._cut(len(self._coming)))

    def _cut(self, there: int) -> int:
        """How much of that arrives: little at a time, but not for ever."""
        chance = self._chance.random
        return 1 + int(chance() * max(self._piece, there if chance() < 0.2 else 1))

    def _received(self, size: int) -> None:
        self._delivering = False
        if self._lost or not self._reading:
            return
        if self._coming:
            data = bytes(self._coming[:size])
            del self._coming[:size]
            self._record.heard("gateway", self.number, data)
            self.protocol.data_received(data)
        elif self._client_ended and not self._told_eof:
            self._told_eof = True
            if not self.protocol.eof_received():
                self.close()

    def may_read(self) -> bool:
        """Has the client something to read?"""
        return bool(self._going) and self.client_reads and not self.client_gone

    def read(self) -> None:
        """Some bytes reach the client."""
        size = self._cut(len(self._going))
        data = bytes(self._going[:size])
        del self._going[:size]
        self._look_at_room()
        self._record.heard("client", self.number, data)
        self.on_bytes(data)
        self._look_whether_through()

    def drop_unread(self) -> None:
        """A client that is gone takes everything, as far as the gateway can tell."""
        self._going.clear()
        self._look_at_room()
        self._look_whether_through()

    def _look_at_room(self) -> None:
        if self._paused and self.get_write_buffer_size() <= self._high // 4:
            self._paused = False
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        if not self._lost:
            self.protocol.resume_writing()

    def _look_whether_through(self) -> None:
        if self._going:
            return
        if self._closing:
            self._lose(None)
        elif self._write_ended:
            self.on_end()

    # -- asyncio.Transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("10.0.0.1", self.number) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high or 65_536

    def get_write_buffer_size(self) -> int:
        return max(0, len(self._going) - self._kernel)

    def write(self, data: Any) -> None:
        if self._lost or self._closing or self._write_ended:
            return
        if not self.client_gone:
            self._going += data
            self.stirs = True
        if not self._paused and self.get_write_buffer_size() > self._high:
            self._paused = True
            self.protocol.pause_writing()

    def writelines(self, frames: Any) -> None:
        self.write(b"".join(frames))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._write_ended = True
        self._look_whether_through()

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True

    def is_closing(self) -> bool:
        return self._closing or self._lost

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._reading = False
            if self.client_gone:
                self._going.clear()
            self._look_whether_through()

    def abort(self) -> None:
        self._going.clear()
        self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self.ended_s = self._loop.time()
            self._loop.call_soon(self.protocol.connection_lost, error)
            self.on_end()

    def die(self) -> None:
        """The gateway's process is gone: the client sees its end."""
        self._lost = self.died = True
        self.ended_s = self._loop.time()
        self._going.clear()
        self.on_end()
