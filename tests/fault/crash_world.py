"""The gateway as a process that is killed again and again, the clients that see it, and what must hold of what they saw.

What is sent and what arrives are compared as sets, as Jepsen's total-queue does.
"""

import asyncio
import random
import re
import signal
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Final, Protocol

from fault_clients import Client, History, until, until_still

START_S: Final = 30.0
DRAIN_S: Final = 60.0
PARTS: Final = 3
"""Messages of each transaction."""

CONNECTORS: Final = """
[[connector]]
name = "mqtt"
uri = "mqtt://127.0.0.1:0"
[[connector]]
name = "stomp"
uri = "stomp://127.0.0.1:0"
[[connector]]
name = "ws"
uri = "ws://127.0.0.1:0"
"""

CONFIG: Final = f"""{CONNECTORS}[log]
level = "warning"
[admin]
enabled = false
[store]
path = "{{path}}"
"""


class Server:
    """The gateway's process."""

    def __init__(self, directory: Path, program: list[str], config: str = CONFIG) -> None:
        self._config = directory / "gateway.toml"
        self._config.write_text(config.format(path=directory / "data" / "store.db"))
        self._program = program
        self.ports: dict[str, int] = {}
        self.process: asyncio.subprocess.Process

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, *self._program, str(self._config), stdout=asyncio.subprocess.PIPE
        )
        assert self.process.stdout is not None
        async with asyncio.timeout(START_S):
            while True:
                line = (await self.process.stdout.readline()).decode()
                assert line, "the gateway ended before it was ready"
                if found := re.match(r"  (\S+) +\S+://127\.0\.0\.1:(\d+)", line):
                    self.ports[found[1]] = int(found[2])
                if line == "ready\n":
                    return

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()


class Producer(Protocol):
    """What a crash loop needs of those who send."""

    producing: bool

    @property
    def finished(self) -> bool:
        """Is everything answered that was asked?"""


class Consumer(Protocol):
    """What a crash loop needs of those who receive."""

    subscribed: asyncio.Event


class World:
    """What is sent and what arrives, by the name that each text begins with, and the clients that do it."""

    ordered: frozenset[str] = frozenset()
    """Streams that must arrive in order."""
    transactions: frozenset[str] = frozenset()
    """Streams that are sent in transactions of PARTS."""
    once: frozenset[str] = frozenset()
    """Streams of which nothing may come twice."""

    def __init__(self, names: Iterable[str]) -> None:
        self.histories = {name: History(name) for name in names}
        self.working: list[Client] = []
        """At work while the gateway is killed: those who receive first."""
        self.late: list[Client] = []
        """At work only afterwards, so that what they read grows until then."""
        self.producers: list[Producer] = []
        self.consumers: list[Consumer] = []
        """Those who must have subscribed before anybody sends."""

    def sort(self, text: str) -> History | None:
        return self.histories[text.partition(":")[0]]

    @property
    def clients(self) -> list[Client]:
        return [*self.working, *self.late]

    def arrived(self) -> bool:
        """Has all come that was confirmed?"""
        return all(history.confirmed <= history.received.keys() for history in self.histories.values())

    def count(self) -> int:
        """How many have come."""
        return sum(len(history.received) for history in self.histories.values())

    def faults(self) -> dict[str, list[str]]:
        """By kind; kinds of which there are none are left out."""
        found: dict[str, list[str]] = {
            "lost": [],
            "unexpected": [],
            "unflagged duplicates": [],
            "out of order": [],
            "torn transactions": [],
            "more than once": [],
        }
        for name, history in self.histories.items():
            received = set(history.received)
            found["lost"] += sorted(history.confirmed - received)
            found["unexpected"] += sorted(received - history.attempted)
            found["unflagged duplicates"] += history.unflagged
            if name in self.ordered:
                found["out of order"] += [b for a, b in pairwise(history.order) if b < a]
            if name in self.transactions:
                whole = {text.partition("/")[0] for text in received}
                found["torn transactions"] += [
                    one for one in whole if not all(f"{one}/{part}" in received for part in range(PARTS))
                ]
            if name in self.once:
                found["more than once"] += [text for text, count in history.received.items() if count > 1]
        return {kind: which for kind, which in found.items() if which}

    def report(self, title: str) -> str:
        lines = [title]
        for history in self.histories.values():
            again = sum(history.received.values()) - len(history.received)
            lines.append(
                f"  {history.name:8} attempted {len(history.attempted)}, confirmed {len(history.confirmed)}, "
                f"received {len(history.received)}, again {again}"
            )
        counts = {kind: len(which) for kind, which in self.faults().items()}
        return "\n".join([*lines, f"  lost: {counts.pop('lost', 0)}; other faults: {counts or 0}"])


async def kill_loop(
    world: World,
    server: Server,
    rounds: int,
    seed: int,
    alive_s: tuple[float, float],
    drain_s: float = DRAIN_S,
) -> None:
    """Let everybody work, and kill the gateway again and again; then let the consumers have what is left.

    It lives for a random time within `alive_s`, each round; what is left may take as long as
    something comes every `drain_s`.
    """
    chance = random.Random(seed)
    tasks = [asyncio.ensure_future(client.run()) for client in world.clients]

    def up(clients: list[Client]) -> None:
        for client in clients:
            client.gateway_up(server.ports[client.connector])

    try:
        await server.start()
        up([client for client in world.working if client not in world.producers])
        assert await until(lambda: all(each.subscribed.is_set() for each in world.consumers), START_S)
        for _ in range(rounds):
            up(world.working)
            await asyncio.sleep(chance.uniform(*alive_s))
            await server.kill()
            for client in world.working:
                client.gateway_down()
            await server.start()
        up(world.clients)
        await asyncio.sleep(0.2)
        for producer in world.producers:
            producer.producing = False
        await until(lambda: all(producer.finished for producer in world.producers), drain_s)
        await until_still(world.arrived, world.count, drain_s)
        for task in tasks:
            assert not task.done() or task.exception() is None
    finally:
        for client in world.clients:
            client.stop()
        code = await server.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert code == 0
