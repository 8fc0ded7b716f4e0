"""SIGKILL while the writer pauses: messages that move, goodbyes, and queues longer than memory.

Between what is confirmed and what is on the disk there is no moment that would show on a quick disk; on one that stalls
there is.  FAULT_ROUNDS sets how many rounds there are.
"""

import asyncio
import os
import random
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from fault_clients import Client, History, StompConsumer, StompProducer, until
from moving_clients import Leaver, Mover, Rejecter
from test_kill_loop import CONFIG, DRAIN_S, PARTS, Server

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "6"))
SEED = int(os.environ.get("FAULT_SEED", "1"))
PROGRAM = str(Path(__file__).with_name("pausing_gateway.py"))

SMALL_MEMORY = """
[core]
memory_max = 1048576
[stomp]
nack = "rejected"
"""
"""The queues that nobody reads are soon longer than that; after a start everything is paged out."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


MOVES = ("move", "reject")
"""Nothing else is written, so there is a moment at which all that waits has moved, and only that."""

EVERYTHING = (*MOVES, "tx", "leave", "page")


class World:
    """What is sent, by which way it moves, and what arrives."""

    def __init__(self, names: tuple[str, ...]) -> None:
        h = self.histories = {name: History(name) for name in names}
        self.producers: list[StompProducer | Leaver] = []
        self.movers: list[Mover] = []
        self.consumers: list[StompConsumer] = []
        # Their queues only grow while the gateway is killed.
        self.late: list[StompConsumer] = []
        for name in names:
            parts = PARTS if name == "tx" else 1
            if name == "leave":
                self.producers.append(Leaver(name, "/queue/leave", h[name]))
            else:
                self.producers.append(StompProducer(name, f"/queue/{name}", h[name], 20 // parts, parts))
            if name == "move":
                self.movers.append(Mover("mover", "/queue/move", "/queue/moved"))
            elif name == "reject":
                self.movers.append(Rejecter("rejecter", "/queue/reject"))
            if name in ("leave", "page"):
                self.late.append(StompConsumer(f"c-{name}", f"/queue/{name}", self.sort, prefetch=50))
            else:
                source = {"move": "/queue/moved", "reject": "/queue/DLQ"}.get(name, f"/queue/{name}")
                self.consumers.append(StompConsumer(f"c-{name}", source, self.sort))

    def sort(self, text: str) -> History | None:
        return self.histories[text.partition(":")[0]]

    @property
    def clients(self) -> list[Client]:
        return [*self.producers, *self.movers, *self.consumers]

    def up(self, port: int, clients: list[Client]) -> None:
        for client in clients:
            client.gateway_up(port)

    def arrived(self) -> bool:
        return all(history.confirmed <= history.received.keys() for history in self.histories.values())

    def faults(self) -> dict[str, list[str]]:
        """By kind; empty kinds are left out."""
        found: dict[str, list[str]] = {}
        for history in self.histories.values():
            received = set(history.received)
            found.setdefault("lost", []).extend(sorted(history.confirmed - received))
            found.setdefault("unexpected", []).extend(sorted(received - history.attempted))
            found.setdefault("unflagged duplicates", []).extend(history.unflagged)
        received = {text for history in self.histories.values() for text in history.received if "/" in text}
        found["torn transactions"] = [
            transaction
            for transaction in {text.partition("/")[0] for text in received}
            if not all(f"{transaction}/{part}" in received for part in range(PARTS))
        ]
        for name in self.histories.keys() - MOVES:
            order = self.histories[name].order
            found.setdefault("out of order", []).extend(b for a, b in pairwise(order) if b < a)
        return {kind: which for kind, which in found.items() if which}

    def report(self, rounds: int) -> str:
        lines = [f"{rounds} rounds of SIGKILL with a writer that pauses"]
        for history in self.histories.values():
            again = sum(history.received.values()) - len(history.received)
            lines.append(
                f"  {history.name:8} attempted {len(history.attempted)}, confirmed {len(history.confirmed)}, "
                f"received {len(history.received)}, again {again}"
            )
        counts = {kind: len(which) for kind, which in self.faults().items()}
        return "\n".join([*lines, f"  lost: {counts.get('lost', 0)}; faults: {counts}"])


async def kill_loop(
    directory: Path, program: list[str], names: tuple[str, ...], rounds: int, drain_s: float
) -> World:
    """Let everybody work, and kill the gateway again and again; then let the consumers have what is left."""
    chance = random.Random(SEED)
    server = Server(directory, program, CONFIG + SMALL_MEMORY)
    world = World(names)
    tasks = [asyncio.ensure_future(client.run()) for client in [*world.clients, *world.late]]
    try:
        for _ in range(rounds):
            await server.start()
            world.up(server.ports["stomp"], world.clients)
            await asyncio.sleep(chance.uniform(0.1, 0.9))
            await server.kill()
            for client in world.clients:
                client.gateway_down()
        await server.start()
        for producer in world.producers:
            producer.producing = False
        world.up(server.ports["stomp"], [*world.clients, *world.late])
        await until(lambda: all(producer.finished for producer in world.producers), drain_s)
        await until(world.arrived, drain_s)
        for task in tasks:
            assert not task.done() or task.exception() is None
    finally:
        for client in [*world.clients, *world.late]:
            client.stop()
        code = await server.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert code == 0
    return world


@pytest.mark.timeout(200 + 15 * ROUNDS)
@pytest.mark.parametrize("names", [MOVES, EVERYTHING], ids=["moves", "everything"])
async def test_nothing_is_lost_while_the_writer_pauses(
    names: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = max(1, ROUNDS // 2)
    world = await kill_loop(tmp_path, [PROGRAM], names, rounds, DRAIN_S + ROUNDS)
    with capsys.disabled():
        print(f"\n{', '.join(names)}: {world.report(rounds)}")
    assert world.faults() == {}
    for history in world.histories.values():
        assert len(history.confirmed) > rounds
