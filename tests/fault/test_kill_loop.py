"""SIGKILL at random moments, again and again: nothing confirmed is lost, nothing comes that was not sent.

FAULT_ROUNDS sets how many rounds there are.
"""

import os
import sys
from pathlib import Path

import pytest
from crash_world import DRAIN_S, PARTS, Server, World, kill_loop
from fault_clients import MqttConsumer, MqttProducer, StompConsumer, StompProducer
from json_clients import HttpConsumer, JsonConsumer, JsonProducer

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "10"))
SEED = int(os.environ.get("FAULT_SEED", "1"))

NAMES = ("mqtt1", "mqtt2", "stomp", "tx", "cross", "durable", "json", "jsontx", "http")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


class Everybody(World):
    """Producers and consumers of every protocol."""

    ordered = frozenset(NAMES)
    transactions = frozenset(("tx", "jsontx"))
    once = frozenset(("mqtt2",))

    def __init__(self) -> None:
        super().__init__(NAMES)
        h = self.histories
        producers: list[MqttProducer | StompProducer | JsonProducer] = [
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
        consumers: list[MqttConsumer | StompConsumer | JsonConsumer | HttpConsumer] = [
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
        self.producers = [*producers]
        self.consumers = [*consumers]
        self.working = [*consumers, *producers]


async def killed(directory: Path, program: list[str], rounds: int, drain_s: float = DRAIN_S) -> World:
    world = Everybody()
    await kill_loop(world, Server(directory, program), rounds, SEED, (0.05, 0.7), drain_s)
    return world


@pytest.mark.timeout(120 + 15 * ROUNDS)
async def test_nothing_confirmed_is_lost_when_the_process_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = await killed(tmp_path, ["-m", "gateway", "run"], ROUNDS)
    with capsys.disabled():
        print("\n" + world.report(f"{ROUNDS} rounds of SIGKILL"))
    assert world.faults() == {}
    for history in world.histories.values():
        # A busy machine leaves a producer some rounds in which it comes to nothing.
        assert len(history.confirmed) > ROUNDS // 4


@pytest.mark.timeout(300)
async def test_the_loop_itself_finds_confirmations_that_come_too_early(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = str(Path(__file__).with_name("careless_gateway.py"))
    world = await killed(tmp_path, [program], 5, 5.0)
    with capsys.disabled():
        print("\n" + world.report("5 rounds of SIGKILL with confirmations before the commit"))
    assert world.faults()["lost"]
