"""SIGKILL at random moments, again and again: nothing confirmed is lost, nothing comes that was not sent.

The rounds are checked with sets, as Jepsen's total-queue does.  FAULT_ROUNDS sets how many there are.
"""

import asyncio
import os
import random
import re
import signal
import sys
from pathlib import Path

import pytest
from fault_clients import Client, History, MqttConsumer, MqttProducer, StompConsumer, StompProducer, until
from json_clients import HttpConsumer, JsonConsumer, JsonProducer

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "10"))
SEED = int(os.environ.get("FAULT_SEED", "1"))
START_S = 30.0
DRAIN_S = 60.0
PARTS = 3

CONFIG = """
[[connector]]
name = "mqtt"
uri = "mqtt://127.0.0.1:0"
[[connector]]
name = "stomp"
uri = "stomp://127.0.0.1:0"
[[connector]]
name = "ws"
uri = "ws://127.0.0.1:0"
[log]
level = "warning"
[admin]
enabled = false
[store]
path = "{path}"
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


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


class World:
    """Producers and consumers of every protocol, and what they saw."""

    def __init__(self) -> None:
        self.histories = {
            name: History(name)
            for name in ("mqtt1", "mqtt2", "stomp", "tx", "cross", "durable", "json", "jsontx", "http")
        }
        h = self.histories
        self.producers: list[MqttProducer | StompProducer | JsonProducer] = [
            MqttProducer("mqtt1", "one/a", 1, h["mqtt1"]),
            MqttProducer("mqtt2", "two/a", 2, h["mqtt2"]),
            StompProducer("stomp", "/queue/jobs", h["stomp"]),
            StompProducer("tx", "/queue/tx", h["tx"], 5, PARTS),
            MqttProducer("cross", "$queue/cross", 1, h["cross"]),
            MqttProducer("durable", "dur/a", 1, h["durable"]),
            JsonProducer("json", "queue:json", h["json"]),
            JsonProducer("jsontx", "queue:jsontx", h["jsontx"], 5, PARTS),
            JsonProducer("http", "queue:http", h["http"], 1),
        ]
        self.consumers: list[MqttConsumer | StompConsumer | JsonConsumer | HttpConsumer] = [
            MqttConsumer("c1", "one/#", 1, self.sort),
            MqttConsumer("c2", "two/#", 2, self.sort),
            StompConsumer("c3", "/queue/jobs", self.sort),
            StompConsumer("c4", "/queue/tx", self.sort),
            StompConsumer("c5", "/queue/cross", self.sort),
            StompConsumer("c6", "/topic/dur.>", self.sort, True),
            JsonConsumer("c7", "queue:json", self.sort),
            StompConsumer("c8", "/queue/jsontx", self.sort),
            HttpConsumer("c9", "http", self.sort),
        ]

    def sort(self, text: str) -> History | None:
        return self.histories[text.partition(":")[0]]

    @property
    def clients(self) -> list[Client]:
        return [*self.consumers, *self.producers]

    def up(self, ports: dict[str, int], clients: list[Client]) -> None:
        for client in clients:
            client.gateway_up(ports[client.connector])

    def everything_confirmed_has_come(self) -> bool:
        return all(history.confirmed <= history.received.keys() for history in self.histories.values())

    def faults(self) -> dict[str, list[str]]:
        """By kind."""
        found: dict[str, list[str]] = {
            "lost": [],
            "unexpected": [],
            "unflagged duplicates": [],
            "out of order": [],
            "torn transactions": [],
            "QoS 2 more than once": [],
        }
        for history in self.histories.values():
            received = set(history.received)
            found["lost"] += sorted(history.confirmed - received)
            found["unexpected"] += sorted(received - history.attempted)
            found["unflagged duplicates"] += history.unflagged
            found["out of order"] += [
                b for a, b in zip(history.order, history.order[1:], strict=False) if b < a
            ]
        for name in ("tx", "jsontx"):
            received = set(self.histories[name].received)
            for transaction in {text.partition("/")[0] for text in received}:
                if not all(f"{transaction}/{part}" in received for part in range(PARTS)):
                    found["torn transactions"].append(transaction)
        found["QoS 2 more than once"] = [
            t for t, count in self.histories["mqtt2"].received.items() if count > 1
        ]
        return found

    def report(self, rounds: int) -> str:
        lines = [f"{rounds} rounds of SIGKILL"]
        for history in self.histories.values():
            again = sum(history.received.values()) - len(history.received)
            lines.append(
                f"  {history.name:8} attempted {len(history.attempted)}, confirmed {len(history.confirmed)}, "
                f"received {len(history.received)}, again {again}"
            )
        counts = ", ".join(f"{kind}: {len(which)}" for kind, which in self.faults().items())
        return "\n".join([*lines, f"  {counts}"])


async def kill_loop(directory: Path, program: list[str], rounds: int) -> World:
    """Let everybody work, and kill the gateway again and again; then let the consumers have what is left."""
    chance = random.Random(SEED)
    server = Server(directory, program)
    world = World()
    tasks = [asyncio.ensure_future(client.run()) for client in world.clients]
    try:
        await server.start()
        world.up(server.ports, [*world.consumers])
        assert await until(lambda: all(c.subscribed.is_set() for c in world.consumers), START_S)
        for _ in range(rounds):
            world.up(server.ports, world.clients)
            await asyncio.sleep(chance.uniform(0.05, 0.7))
            await server.kill()
            for client in world.clients:
                client.gateway_down()
            await server.start()
        world.up(server.ports, world.clients)
        await asyncio.sleep(0.2)
        for producer in world.producers:
            producer.producing = False
        await until(lambda: all(producer.finished for producer in world.producers), DRAIN_S)
        await until(world.everything_confirmed_has_come, DRAIN_S if program[0] == "-m" else 5.0)
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
    return world


@pytest.mark.timeout(120 + 15 * ROUNDS)
async def test_nothing_confirmed_is_lost_when_the_process_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = await kill_loop(tmp_path, ["-m", "gateway", "run"], ROUNDS)
    with capsys.disabled():
        print("\n" + world.report(ROUNDS))
    assert {kind: which for kind, which in world.faults().items() if which} == {}
    for history in world.histories.values():
        assert len(history.confirmed) > ROUNDS


@pytest.mark.timeout(300)
async def test_the_loop_itself_finds_confirmations_that_come_too_early(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = str(Path(__file__).with_name("careless_gateway.py"))
    world = await kill_loop(tmp_path, [program], 5)
    with capsys.disabled():
        print("\nwith confirmations before the commit: " + world.report(5))
    assert world.faults()["lost"]
