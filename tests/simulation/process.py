"""One life of the gateway's process: assembled by `gateway.app.Gateway`, as in production, on a simulated machine."""

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final
from unittest import mock

import gateway.app
import gateway.storing
from gateway.app import Gateway
from gateway.config import Config
from gateway.security import passwords
from gateway.store import lock, writer
from gateway.store.errors import StoreError, StoreFull
from gateway.store.room import Room
from gateway.store.segments import Segments
from gateway.store.sqlite import SqliteStore
from tests.simulation.agreement import disagreements, miscounted, waits_in_vain
from tests.simulation.clock import Clock
from tests.simulation.disk import Disk, SegmentFiles, SimulatedRoom
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Connection
from tests.simulation.record import Record
from tests.simulation.threads import Hub, Threads

MQTT_PORT: Final = 1883
STOMP_PORT: Final = 61613
WS_PORT: Final = 61614

NO_HASH: Final = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAA"
"""Where nobody has a password, none need be made up at each start."""


class Process:
    """See the module.  Life: construct, `started` after some steps, …, `stop` or `kill`."""

    def __init__(
        self,
        config: Config,
        limits: dict[str, int],
        disk: Disk,
        clock: Clock,
        chance: random.Random,
    ) -> None:
        self._disk = disk
        self._chance = chance
        # As the file is now.
        self._config = config
        self.hub = Hub(clock, chance)
        self.loop = VirtualLoop(clock, self.hub)
        self.connections: list[Connection] = []
        disk.begin(self.hub)
        with mock.patch.object(passwords, "hash_password", lambda _: NO_HASH):
            self.gateway = Gateway(config, lambda: self._config)
        for name, value in limits.items():
            setattr(self.gateway.broker.limits, name, value)
        self.started = False
        self.ended = False
        self.gave_up = False
        """It could not start, since its disk failed."""
        self._stopping = False
        self._stop: Any = None
        self.hub.spawn("loop", lambda: self.loop.run(self._main()))

    async def _main(self) -> None:
        try:
            await self.gateway.start()
        except StoreError as error:
            await self.gateway.stop()
            # On a full disk no store can be made; but nothing here has damaged one.
            sound = "damaged" not in str(error) or self._disk.doubted
            unmade = self._disk.full and isinstance(error, StoreFull) and sound
            if not self._disk.failed and not unmade:
                raise
            self.ended = self.gave_up = True
            return
        self.started = True
        self._stop = self.loop.create_future()
        self.loop.create_task(self._watch_store())
        await self._stop
        await self.gateway.stop()
        self.ended = True

    async def _watch_store(self) -> None:
        await self.gateway.failed.wait()
        if not self._stop.done():
            self._stop.set_result(None)

    @property
    def stays(self) -> bool:
        """Is it neither about to end nor told to?"""
        return self.started and not self._stopping and not self.gateway.failed.is_set()

    @property
    def store_failed(self) -> bool:
        """Would the exit code say so?"""
        return self.gave_up or self.gateway.storing.failure is not None

    @contextmanager
    def within(self) -> Iterator[None]:
        """The modules of the store find this process's threads, files and room."""
        threads = Threads(self.hub)
        disk = self._disk
        with (
            mock.patch.object(gateway.app, "web_pages", lambda *_: {}),
            mock.patch.object(writer, "threading", threads),
            mock.patch.object(lock, "boot_id", disk.boot_id),
            mock.patch.object(writer, "SimpleQueue", threads.SimpleQueue),
            mock.patch.object(gateway.storing, "threading", threads),
            mock.patch.object(gateway.storing, "SqliteStore", partial(SqliteStore, opener=disk.opener)),
            mock.patch.object(gateway.storing, "Segments", partial(Segments, files=SegmentFiles(disk))),
            mock.patch.object(gateway.storing, "Room", partial(Room, disk=SimulatedRoom(disk))),
        ):
            yield

    def connect(self, port: int, number: int, record: Record) -> Connection | None:
        """A connection of a client; None where nobody listens."""
        factory = self.loop.servers.get(port)
        if factory is None:
            return None
        connection = Connection(self.loop, number, self._chance, record)
        connection.begin(factory)
        self.connections.append(connection)
        return connection

    def reload(self, config: Config) -> None:
        """SIGHUP: the file is as that."""
        if self.started and not self._stopping:
            self._config = config
            self.loop.call_soon(self.gateway.reloading.ask)

    def stop(self) -> None:
        """SIGTERM."""
        if self.started and not self._stopping:
            self._stopping = True
            if not self._stop.done():
                self.loop.call_soon(self._stop.set_result, None)

    def kill(self, power_loss: bool) -> None:
        """kill -9, or the machine's power goes."""
        self._disk.die()
        self._clear_away()
        self._disk.rest(power_loss)

    def end(self) -> None:
        """It has ended itself, or is to be cleared away after it has."""
        self.kill(False)

    def _clear_away(self) -> None:
        """Let go of what a real process's end would: descriptors and sockets."""
        silenced = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            self.hub.kill()
            self._disk.let_go()
        finally:
            logging.disable(silenced)
        for connection in self.connections:
            if connection.open:
                connection.die()
        self.loop.drop()

    @property
    def dropped(self) -> int:
        """Messages that it has counted as dropped by its policies."""
        counters = self.gateway.broker.counters
        return counters.dropped_full + counters.discarded

    @property
    def dead_lettered(self) -> int:
        """Messages that it has counted as dead letters."""
        return self.gateway.broker.counters.dead_lettered

    def is_held(self, connection: Connection) -> bool:
        """Does it not hear this client for now?"""
        return connection.protocol.connector is None or connection.protocol.connector.unheard

    def waits_in_vain(self) -> list[str]:
        """Who could go on and does not, while nothing goes on."""
        return waits_in_vain(self.gateway)

    def miscounted(self, heard: int, published: int) -> list[str]:
        """What its status says that is not so."""
        return miscounted(self.gateway, heard, published)

    def faults(self) -> list[str]:
        """What is not as it must be, between any two calls."""
        found = list(self.loop.failures)
        for listener in self.gateway.listeners:
            if listener.internal_errors:
                found.append(f"{listener.acceptor.name}: {listener.internal_errors} internal errors")
        return found + disagreements(self.gateway)
