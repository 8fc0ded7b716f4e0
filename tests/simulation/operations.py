"""What can happen in a run, each by a name and a seed of its own, so that dropping one leaves the others as they are."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.simulation.messages import GUARDED_QUEUE
from tests.simulation.mqtt_client import MqttClient
from tests.simulation.rights import KINDS as KINDS_OF_RIGHTS
from tests.simulation.rights import NO_SENDING
from tests.simulation.subscription import INDIVIDUAL

if TYPE_CHECKING:
    from tests.simulation.world import World

SIZES: Final = (
    *(12, 12, 12, 12, 100, 100, 100, 100, 100, 700),
    *(110, 126, 799, 800, 801, 900, 1_900, 2_000),
    *(4_096, 5_000, 16_300, 16_384, 20_000, 65_400, 65_535, 65_536, 70_000),
)
"""Bytes of a body: around nothing, what a length of one more byte tells, a page of the database, an output buffer, and
what goes to a segment."""

STEPS_MAX: Final = 40
"""How much may go on between two operations."""


class Operation(NamedTuple):
    """One thing that happens, and how the world goes on behind it."""

    name: str
    seed: int

    def __str__(self) -> str:
        return f"{self.name}:{self.seed}"


def _mqtt(world: "World", chance: random.Random) -> MqttClient:
    return chance.choice(world.mqtt)


def publish(world: "World", chance: random.Random) -> None:
    client = _mqtt(world, chance)
    for _ in range(chance.choice((1, 1, 3, 12))):
        client.publish(chance, chance.choice(SIZES))


def send(world: "World", chance: random.Random) -> None:
    client = chance.choice(world.senders)
    for _ in range(chance.choice((1, 1, 3, 12))):
        client.send(chance, chance.choice(SIZES))


def connect(world: "World", chance: random.Random) -> None:
    client = chance.choice(world.clients)
    if client.connection is None:
        world.connect(client)


def gather(world: "World", chance: random.Random) -> None:
    """The gateway runs, on a disk that has room; everybody comes, and reads something."""
    world.fill_disk(False)
    world.start()
    world.let_pass(0.1)
    for client in world.clients:
        if client.connection is None:
            world.connect(client)
    world.let_pass(0.2)
    for client in world.clients:
        client.prompt = chance.random() < 0.5
        client.subscribe(chance)
    world.let_pass(0.2)


def subscribe(world: "World", chance: random.Random) -> None:
    chance.choice(world.clients).subscribe(chance)


def unsubscribe(world: "World", chance: random.Random) -> None:
    chance.choice(world.clients).unsubscribe(chance)


def acknowledge(world: "World", chance: random.Random) -> None:
    chance.choice(world.clients).acknowledge(chance)


def transact(world: "World", chance: random.Random) -> None:
    chance.choice(world.senders).transact(chance)


def transact_whole(world: "World", chance: random.Random) -> None:
    """All of a transaction is said, and what it acknowledges."""
    client = chance.choice(world.senders)
    client.transact(chance)
    for _ in range(chance.choice((1, 3, 6))):
        client.send(chance, chance.choice(SIZES))
        client.acknowledge(chance)
    client.transact(chance)


def acknowledge_all(world: "World", chance: random.Random) -> None:
    """Many acknowledge something."""
    for client in world.clients:
        if chance.random() < 0.4:
            client.acknowledge(chance)


def leave(world: "World", chance: random.Random) -> None:
    chance.choice(world.clients).leave(chance)


def take_over(world: "World", chance: random.Random) -> None:
    """A client connects once more, from elsewhere."""
    client = _mqtt(world, chance)
    if client.connection is not None:
        world.connect(client)


def nonsense(world: "World", chance: random.Random) -> None:
    chance.choice(world.clients).talk_nonsense(chance)


def stall(world: "World", chance: random.Random) -> None:
    """A client stands still, or goes on."""
    connection = chance.choice(world.clients).connection
    if connection is not None:
        connection.client_reads = not connection.client_reads


def promptness(world: "World", chance: random.Random) -> None:
    """A client acknowledges at once from now on, or when it is told to."""
    client = chance.choice(world.clients)
    client.prompt = not client.prompt


def wait(world: "World", chance: random.Random) -> None:
    """Time passes."""
    world.let_pass(chance.choice((0.001, 0.02, 0.3, 1.0, 5.0)))


def kill(world: "World", chance: random.Random) -> None:
    world.kill(False)


def power_loss(world: "World", chance: random.Random) -> None:
    world.kill(True)


def die_writing(world: "World", chance: random.Random) -> None:
    """The process, or the machine's power, goes during one of the next writes."""
    world.disk.dies_after = chance.randrange(1, 60)


def die_told(world: "World", chance: random.Random) -> None:
    """The same right after the gateway has told somebody something, who may rely on it from then on."""
    world.dies_told = chance.randrange(1, 30)


def stop(world: "World", chance: random.Random) -> None:
    world.stop()


def start(world: "World", chance: random.Random) -> None:
    world.start()


def reload(world: "World", chance: random.Random) -> None:
    """Rules change, perhaps while what they are about is under way."""
    world.reload(chance.choice(KINDS_OF_RIGHTS))


def forbid(world: "World", chance: random.Random) -> None:
    """What somebody has under way is forbidden, and tried again."""
    senders = [client for client in world.senders if client.connected]
    if not senders:
        return
    sender = chance.choice(senders)
    publisher = _mqtt(world, chance)
    reader = chance.choice(world.stomp)
    if reader.connected:
        reader.read(GUARDED_QUEUE, INDIVIDUAL)
    for _ in range(2):
        sender.send(chance, 12, True)
        publisher.publish(chance, 12, True)
    if chance.random() < 0.5:
        sender.transact(chance)
        sender.send(chance, 12, True)
    world.let_pass(0.1)
    world.reload(chance.choice((NO_SENDING, *KINDS_OF_RIGHTS)))
    world.let_pass(0.5)
    if chance.random() < 0.5:
        sender.send(chance, 12, True)
        publisher.publish(chance, 12, True)
    sender.transact(chance)


def pause(world: "World", chance: random.Random) -> None:
    """The process, or the machine, stands still for a while."""
    world.clock.us += chance.randrange(20_000_000)


def set_clock(world: "World", chance: random.Random) -> None:
    """Somebody sets the wall clock, though not while the gateway looks which time it is."""
    if world.process is None or world.process.started:
        world.clock.set(chance.uniform(-3_600, 3_600))


def fill_disk(world: "World", chance: random.Random) -> None:
    """The disk is full, or has room again."""
    world.fill_disk(not world.disk.full)


def doubt(world: "World", chance: random.Random) -> None:
    """The last process has left word that the store is damaged."""
    if world.process is None:
        world.disk.doubt()


def break_disk(world: "World", chance: random.Random) -> None:
    """One of the next writes fails."""
    world.disk.fails_after = chance.randrange(1, 40)


KINDS: Final[dict[str, tuple[int, Callable[["World", random.Random], None]]]] = {
    "publish": (20, publish),
    "send": (30, send),
    "connect": (25, connect),
    "subscribe": (15, subscribe),
    "unsubscribe": (2, unsubscribe),
    "acknowledge": (20, acknowledge),
    "transact": (10, transact),
    "leave": (5, leave),
    "take_over": (2, take_over),
    "nonsense": (1, nonsense),
    "stall": (4, stall),
    "promptness": (4, promptness),
    "wait": (10, wait),
    "kill": (1, kill),
    "power_loss": (1, power_loss),
    "die_writing": (1, die_writing),
    "stop": (1, stop),
    "start": (12, start),
    "reload": (3, reload),
    "forbid": (3, forbid),
    "pause": (1, pause),
    "set_clock": (1, set_clock),
    "fill_disk": (1, fill_disk),
    "break_disk": (1, break_disk),
    "doubt": (2, doubt),
}
"""Name → how often, and what it does.  A new operation is a line here."""

DENSE: Final[dict[str, tuple[int, Callable[["World", random.Random], None]]]] = {
    **KINDS,
    "gather": (8, gather),
    "acknowledge_all": (10, acknowledge_all),
    "transact_whole": (8, transact_whole),
    "unsubscribe": (4, unsubscribe),
    "die_writing": (2, die_writing),
    "die_told": (2, die_told),
}
"""The same where more happens at once: all are there most of the time, and much is under way when the process dies."""


def plan(seed: int, count: int, dense: bool = False) -> list[Operation]:
    """The operations of a run."""
    chance = random.Random(f"plan {seed}")
    kinds = DENSE if dense else KINDS
    names = list(kinds)
    # Each run has its own mixture, so that what is rare in one is common in another.
    weights = [weight * chance.choice((0.3, 1, 1, 3)) for weight, _ in kinds.values()]
    chosen = chance.choices(names, weights, k=count)
    if dense:
        chosen[0] = "gather"
    return [Operation(name, chance.randrange(1_000_000)) for name in chosen]
