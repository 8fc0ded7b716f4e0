"""SIGKILL while the writer pauses: messages that move, goodbyes, and queues longer than memory.

Between what is confirmed and what is on the disk there is no moment that would show on a quick disk; on one that stalls
there is.  FAULT_ROUNDS sets how many rounds there are.
"""

import os
import sys
from pathlib import Path

import pytest
from crash_world import CONFIG, DRAIN_S, PARTS, Server, World, kill_loop
from fault_clients import StompConsumer, StompProducer
from moving_clients import Leaver, Mover, Rejecter

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


WHERE_MOVED = {"move": "/queue/moved", "reject": "/queue/DLQ"}


class Moving(World):
    """What is sent, by which way it moves, and what arrives."""

    ordered = frozenset(("tx", "leave", "page"))
    transactions = frozenset(("tx",))

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(names)
        self._sending: list[StompProducer | Leaver] = []
        self._receiving: list[StompConsumer | Mover] = []
        for name in names:
            self._add(name)
        self.working = [*self._receiving, *self._sending]
        self.producers = [*self._sending]
        self.consumers = [*self._receiving]

    def _add(self, name: str) -> None:
        history = self.histories[name]
        parts = PARTS if name == "tx" else 1
        if name == "leave":
            self._sending.append(Leaver(name, "/queue/leave", history))
        else:
            self._sending.append(StompProducer(name, f"/queue/{name}", history, 20 // parts, parts))
        if name == "move":
            self._receiving.append(Mover("mover", "/queue/move", "/queue/moved"))
        elif name == "reject":
            self._receiving.append(Rejecter("rejecter", "/queue/reject"))
        if name in ("leave", "page"):
            self.late.append(StompConsumer(f"c-{name}", f"/queue/{name}", self.sort, prefetch=50))
        else:
            source = WHERE_MOVED.get(name, f"/queue/{name}")
            self._receiving.append(StompConsumer(f"c-{name}", source, self.sort))


@pytest.mark.timeout(200 + 15 * ROUNDS)
@pytest.mark.parametrize("names", [MOVES, EVERYTHING], ids=["moves", "everything"])
async def test_nothing_is_lost_while_the_writer_pauses(
    names: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = max(1, ROUNDS // 2)
    world = Moving(names)
    server = Server(tmp_path, [PROGRAM], CONFIG + SMALL_MEMORY)
    await kill_loop(world, server, rounds, SEED, (0.1, 0.9), DRAIN_S + ROUNDS)
    with capsys.disabled():
        print(
            "\n" + world.report(f"{', '.join(names)}: {rounds} rounds of SIGKILL with a writer that pauses")
        )
    assert world.faults() == {}
    for history in world.histories.values():
        assert len(history.confirmed) > rounds
