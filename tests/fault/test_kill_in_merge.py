"""SIGKILL while copies of messages that many sessions have become rows of their queues: each copy is there, once.

FAULT_ROUNDS sets how many rounds there are.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from crash_world import CONFIG, DRAIN_S, Server, World, kill_loop
from fault_clients import History, MqttConsumer, MqttProducer

ROUNDS = max(4, int(os.environ.get("FAULT_ROUNDS", "4")) // 4)
SEED = int(os.environ.get("FAULT_SEED", "1"))
PROGRAM = str(Path(__file__).with_name("merging_gateway.py"))

FEW_COPIES = """
fanout_copies_max = 200
"""

QUICK, SLOW = 8, 8
"""Sessions that take what comes, and that have much waiting."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


class SlowConsumer(MqttConsumer):
    """Takes its time for each message while it is said to."""

    def __init__(self, name: str, topic: str, history: History, slow: Callable[[], bool]) -> None:
        super().__init__(name, topic, 1, lambda text: history)
        self._slow = slow

    async def read(self) -> tuple[int, bytes]:
        if self.subscribed.is_set() and self._slow():
            await asyncio.sleep(0.2)
        return await super().read()


class FanOut(World):
    """One who sends, and sessions that are kept; each must get all of it."""

    def __init__(self) -> None:
        names = [
            f"{kind}-{number}"
            for kind, count in (("quick", QUICK), ("slow", SLOW))
            for number in range(count)
        ]
        super().__init__(names)
        self.ordered = frozenset(names)
        sent = History("fan")
        for history in self.histories.values():
            history.attempted, history.confirmed, history.resent = sent.attempted, sent.confirmed, sent.resent
        producer = MqttProducer("fan", "fan/a", 1, sent)
        consumers = [
            SlowConsumer(
                name,
                "fan/#",
                self.histories[name],
                (lambda: producer.producing) if name.startswith("slow") else (lambda: False),
            )
            for name in names
        ]
        self.producers = [producer]
        self.consumers = [*consumers]
        self.working = [*consumers, producer]


@pytest.mark.timeout(200 + 15 * ROUNDS)
async def test_each_copy_is_there_once_when_the_process_is_killed_in_a_merge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = FanOut()
    await kill_loop(
        world, Server(tmp_path, [PROGRAM], CONFIG + FEW_COPIES), ROUNDS, SEED, (0.3, 1.2), DRAIN_S
    )
    merges = (tmp_path / "merges").read_text()
    begun, ended = merges.count("<"), merges.count(">")
    title = f"{ROUNDS} rounds of SIGKILL, {ended} merges; killed in one: {begun - ended}"
    with capsys.disabled():
        print("\n" + world.report(title))
    assert world.faults() == {}
    assert begun > ended
