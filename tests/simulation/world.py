"""A run: a machine with a disk, the gateway's process on it, clients, and what happens to them, all decided by a seed."""

import logging
import random
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from gateway.config import Config
from gateway.store.errors import StoreError
from tests.simulation import system
from tests.simulation.agreement import left_over, stored, unread
from tests.simulation.clock import Clock, installed
from tests.simulation.disk import Disk
from tests.simulation.event_stream import EventStream
from tests.simulation.http_client import HttpClient
from tests.simulation.json_client import JsonClient
from tests.simulation.ledger import Ledger
from tests.simulation.messages import AUTO_QUEUE, DEAD, GUARDED_QUEUE, QUEUES, VIRTUAL_QUEUE, is_for_virtual
from tests.simulation.mqtt_client import NEVER_EXPIRES, MqttClient
from tests.simulation.network import Connection
from tests.simulation.operations import DENSE, STEPS_MAX, Operation
from tests.simulation.process import MQTT_PORT, STOMP_PORT, WS_PORT, Process
from tests.simulation.record import Record
from tests.simulation.rights import OPEN, RULES
from tests.simulation.stomp_client import StompClient
from tests.simulation.threads import Task

DRAIN_S: Final = 300.0
"""Virtual time in which all must come out once faults have stopped."""

STEPS_MAX_OF_A_RUN: Final = 400_000
"""More than any run needs: somebody goes round in circles."""

SETTLING_S: Final = 10.0
"""Virtual time in which those who wait for a slow reader are let go on: `slowConsumerTimeout`, and more."""

AWAY_S: Final = 100.0
"""Virtual time for which nobody is there, perhaps: more than any will waits."""

KEPT_SPACES: Final = {"mqtt.session", "mqtt.subscription", "core.dedup"}
"""Notes that stay while there are sessions, and keys of what was sent once."""

LOOK_EVERY: Final = 50
"""Steps after which all queues are looked at."""


class Failed(Exception):
    """The gateway did what it must not; `str` says what."""


Client = MqttClient | StompClient | JsonClient | HttpClient | EventStream


class World:
    """See the module."""

    def __init__(self, seed: int, traced: bool = True) -> None:
        self.seed = seed
        self.record = Record(traced)
        self._chance = random.Random(f"world {seed}")
        self.clock = Clock(random.Random(f"clock {seed}"))
        self.disk = Disk(random.Random(f"disk {seed}"))
        self.ledger = Ledger()
        self.ledger.now_s = self.clock.served_s
        self.steps = 0
        self.dies_told = 0
        """How often a client reads something before the process dies; 0 is never."""
        self._numbers = 0
        self._patches = ExitStack()
        self._log = _Log(self)
        self.process: Process | None = None
        self._connections: list[Connection] = []
        self._limits = limits(self._chance)
        self._config = config = Config.model_validate(settings(self._chance, self.disk.path))
        self.ledger.deliveries_max = config.queues.deliveries_max
        self.ledger.dropping = config.queues.when_full.startswith("drop")
        self.ledger.full_refuses = config.queues.when_full == "reject"
        self.ledger.sessions_drop = config.mqtt.when_full.startswith("drop")
        self.ledger.refusing = config.stomp.nack == "rejected"
        # Messages that former processes have counted as dropped.
        self._dropped = 0
        # And as dead letters.
        self._dead_lettered = 0
        say = self.say
        self.mqtt = [
            self._mqtt_client("m1", 4, False, NEVER_EXPIRES),
            self._mqtt_client("m2", 5, False, NEVER_EXPIRES),
            self._mqtt_client("m3", self._chance.choice((4, 5)), True, 0),
            self._mqtt_client("m4", 5, False, 20, self._chance.choice((0, 1_000))),
        ]
        self.stomp = [StompClient(name, self.ledger, self.clock, say) for name in ("s1", "s2", "s3")]
        self.json = [JsonClient(name, self.ledger, self.clock, say) for name in ("j1", "j2")]
        self.http = HttpClient("h1", self.ledger, self.clock, say)
        self.stream = EventStream("e1", self.ledger, self.clock, say)
        self.clients: list[Client] = [*self.mqtt, *self.stomp, *self.json, self.http, self.stream]
        self.senders: list[StompClient | JsonClient | HttpClient] = [*self.stomp, *self.json, self.http]
        virtual = self.ledger.holder(f"queue {VIRTUAL_QUEUE}")
        virtual.may_take(is_for_virtual)
        virtual.keeps_passing = True
        for name in (*QUEUES, AUTO_QUEUE, GUARDED_QUEUE, DEAD):
            holder = self.ledger.holder(f"queue {name}")
            target = f"queue:{name}"
            wants = (
                (lambda sent: True) if name == DEAD else (lambda sent, target=target: target in sent.targets)
            )
            holder.may_take(wants)
            holder.keeps_passing = True
            if name == DEAD:
                holder.ordered = False
            else:
                holder.take(wants)

    def reload(self, kind: str) -> None:
        """Its rules are others, and the gateway, should it run, is told so."""
        process = self.process
        if process is None or process.stays:
            self._config = self._config.model_copy(update={"rule": RULES[kind]})
            self.ledger.rights.changed(kind)
        if process is not None:
            process.reload(self._config)

    def reloaded(self) -> None:
        """The gateway says that it has taken the rules over: those that there are now, if nobody was quicker."""
        process = self.process
        if process is not None and list(process.gateway.reloading.config.rule) == list(self._config.rule):
            self.ledger.rights.taken_over()

    def _mqtt_client(
        self, name: str, version: int, clean: bool, expiry_s: int, packet_max: int = 0
    ) -> MqttClient:
        return MqttClient(
            name,
            version,
            clean,
            expiry_s,
            packet_max,
            self.ledger,
            self.clock,
            lambda: self.process is not None and self.process.stays,
            self.say,
        )

    def say(self, line: str | Callable[[], str]) -> None:
        """Add to the trace; a line that takes time to write is written if somebody reads it."""
        self.record.say(self.clock.us, line)

    @property
    def frames(self) -> int:
        """How many frames clients have sent."""
        return sum(connection.said for connection in self._connections)

    # -- a run

    def run(self, operations: list[Operation]) -> None:
        """Carry them out, then let all come out.  Raises Failed, Violation, or what the gateway raised."""
        secrets = random.Random(f"secrets {self.seed}")
        with installed(self.clock, secrets), system.installed(self.disk), self._log:
            try:
                self.start()
                for operation in operations:
                    self.say(f"-- {operation}")
                    chance = random.Random(operation.seed)
                    DENSE[operation.name][1](self, chance)
                    self._go_on(chance.randrange(STEPS_MAX))
                self._drain()
                self._end_in_order()
            finally:
                self._clear_away()

    def _clear_away(self) -> None:
        if self.process is not None:
            self.process.end()
            self._patches.close()
            self.process = None
        self.disk.remove()

    # -- what operations do

    def start(self) -> None:
        """Start the gateway, unless it runs."""
        if self.process is None:
            self.say("the gateway starts")
            self.clock.serve()
            self.ledger.rights.started()
            self.process = Process(self._config, self._limits, self.disk, self.clock, self._chance)
            self._patches.enter_context(self.process.within())

    def kill(self, power_loss: bool) -> None:
        """End it where it is."""
        if self.process is not None:
            self.say("the power goes" if power_loss else "the gateway is killed")
            process = self._over(False)
            process.kill(power_loss)
            self._patches.close()
            self.record.left(self.disk.directory)

    def _over(self, in_order: bool) -> Process:
        """There is no process any more."""
        process, self.process = self.process, None
        assert process is not None
        self._dropped += process.dropped
        self._dead_lettered += process.dead_lettered
        self.ledger.life_over(in_order)
        return process

    def stop(self) -> None:
        """SIGTERM."""
        if self.process is not None:
            self.process.stop()

    def fill_disk(self, full: bool) -> None:
        """The disk is full, or has room again."""
        self.disk.full = full
        if full and not self.ledger.was_full:
            self.ledger.was_full = True
            for client in self.mqtt:
                for will in client.wills:
                    will.may_repeat()

    def connect(self, client: Client) -> None:
        """Connect a client, if somebody listens."""
        if self.process is None:
            return
        self._numbers += 1
        connection = self.process.connect(client.port, self._numbers, self.record)
        if connection is not None:
            self._connections.append(connection)
            client.connect(connection)

    def let_pass(self, seconds: float) -> None:
        """Go on until that time has passed."""
        until_s = self.clock.now_s + seconds
        until_us = until_s * 1_000_000
        while self.clock.us < until_us and self._step(until_s):
            pass
        self.clock.advance_to(until_s)

    # -- steps

    def _go_on(self, steps: int) -> None:
        for _ in range(steps):
            if not self._step(self.clock.now_s + 0.05):
                return

    def _step(self, until_s: float) -> bool:
        """Something goes on, or time does, but not beyond `until_s`.  False when nothing does."""
        process = self.process
        if process is None:
            return False
        self.steps += 1
        choices: list[Any] = process.hub.runnable()
        for connection in process.connections:
            if connection.stirs:
                connection.offer(choices)
        if self.steps > STEPS_MAX_OF_A_RUN:
            raise Failed(f"it goes on and on: {self._waits_for()}")
        if not choices:
            next_s = process.hub.next_s()
            if next_s > until_s:
                return False
            self.clock.advance_to(next_s)
            choices = process.hub.runnable()
            if not choices:
                return True
        chosen = choices[int(self._chance.random() * len(choices))]
        try:
            if isinstance(chosen, Task):
                process.hub.go_on(chosen)
            else:
                chosen()
        except StoreError:
            # Within a start; whatever a dying process still says, nobody hears.
            if not self.disk.dead:
                raise
        if self.disk.dead or (self.dies_told and self._dies_told(chosen)):
            self.kill(self._chance.random() < 0.5)
            return True
        if self.steps % LOOK_EVERY == 0:
            self._look(process)
        if process.ended:
            self.say(f"the gateway has ended{' since its store failed' if process.store_failed else ''}")
            if process.store_failed and not self.disk.failed and not process.gave_up:
                raise Failed(f"it gave up: {process.gateway.storing.failure}")
            self._over(not process.store_failed)
            process.end()
            self._patches.close()
            self.record.left(self.disk.directory)
        return True

    def _dies_told(self, step: Any) -> bool:
        """Was this the last step that the process has lived to see?"""
        if getattr(step, "__func__", None) is Connection.read:
            self.dies_told -= 1
            return not self.dies_told
        return False

    def _look(self, process: Process) -> None:
        process.connections = [one for one in process.connections if one.alive]
        if self._log.found:
            raise Failed(self._log.found[0])
        if found := process.faults():
            raise Failed(found[0])

    # -- the end

    def _drain(self) -> None:
        """Faults have stopped: everybody comes back and takes all there is."""
        self.say("-- faults stop, all comes out")
        self.fill_disk(False)
        self.disk.fails_after = 0
        self.disk.dies_after = 0
        self.dies_told = 0
        self._settle()
        self.clock.catch_up()
        if self.clock.is_behind():
            self.kill(False)
        for client in self.clients:
            if client.connection is not None and isinstance(client, MqttClient) and client.doomed:
                # Once there is room for what it has said before, it is told to go.  A STOMP client is who makes room.
                client.connection.client_reads = True
            elif client.connection is not None:
                client.leave(random.Random(1))
                if client.connection is not None:
                    client.connection.break_off()
        if self._chance.random() < 0.3:
            # Whatever waits for somebody's return waits no longer.
            self.let_pass(AWAY_S)
        until_s = self.clock.now_s + DRAIN_S
        quiet = 0
        while quiet < 3:
            if self.clock.now_s > until_s:
                raise Failed(f"nobody waits for ever: {self._waits_for()}")
            self.start()
            if self.ledger.rights.kind != OPEN:
                self.reload(OPEN)
            for client in self.clients:
                if client.connection is None:
                    self.connect(client)
            self._read_all()
            before = self.record.said
            self.let_pass(2.0)
            idle = all(client.idle for client in self.clients)
            if self.record.said == before:
                self._look_who_waits()
            for client in self.mqtt:
                if client.connection is None:
                    client.refused()
            over = self.clock.served_s() > self.ledger.due_until_s
            quiet = quiet + 1 if idle and over and self.record.said == before else 0
        process = self.process
        assert process is not None
        if found := process.miscounted(self.ledger.heard, self.ledger.published) or unread(process.gateway):
            raise Failed(found[0])
        if not self.ledger.was_full:
            # Where the store has no room nobody can be told so who is not there.
            for client in self.mqtt:
                for will in client.wills:
                    will.look()
        self.ledger.look_at_groups()
        self.ledger.look_at_composites()
        dead = self._dead_lettered + process.dead_lettered
        if dead < self.ledger.buried:
            raise Failed(f"{dead} dead letters were counted, and {self.ledger.buried} have come")
        self.ledger.look_for_losses(self._dropped + process.dropped, process.dropped)

    def _settle(self) -> None:
        """Those who are there read and acknowledge: nobody who could go on stands still, or waits for an answer."""
        for client in self.clients:
            client.prompt = True
            if client.connection is not None:
                client.connection.client_reads = True
                client.acknowledge_all()
        self.let_pass(SETTLING_S)
        self._look_who_waits()
        process = self.process
        for client in self.clients:
            connection = client.connection
            if process is not None and connection is not None and client.unanswered and not client.doomed:
                heard = not connection.may_deliver() and not process.is_held(connection)
                if heard and connection.alive:
                    raise Failed(f"{client.waits_for()}: never answered")

    def _look_who_waits(self) -> None:
        if self.process is not None and self.process.started and (found := self.process.waits_in_vain()):
            raise Failed(found[0])

    def _read_all(self) -> None:
        self.mqtt[2].ask_last()
        self.http.acknowledge_all()
        # A reader for each, so that one full queue makes no other wait.
        readers = (
            (self.stomp[0], QUEUES[:1]),
            (self.stomp[1], (*QUEUES[1:], VIRTUAL_QUEUE, GUARDED_QUEUE)),
            (self.stomp[2], (DEAD, AUTO_QUEUE)),
        )
        for client, queues in readers:
            if client.connected and not client.drains:
                client.drains = True
                for queue in queues:
                    client.read(queue, "client-individual")
        for client in self.stomp:
            if client.connected and client.has_durable and not client.reads_durably:
                client.subscribe_durably(random.Random(1), "client-individual")
        for other in self.json:
            if other.connected and other.has_durable and not other.reads_durably:
                other.subscribe_durably(random.Random(1))

    def _waits_for(self) -> str:
        waiting = [client.waits_for() for client in self.clients if not client.idle]
        process = self.process
        if process is not None:
            for queue in process.gateway.broker.queues.values():
                if queue.depth:
                    waiting.append(f"{queue.key}: {queue.depth}")
        return "; ".join(waiting)

    def _end_in_order(self) -> None:
        """Nothing is left, and the gateway ends when it is told to."""
        process = self.process
        assert process is not None
        self._look(process)
        for client in self.clients:
            client.leave(random.Random(1))
        self.let_pass(5.0)
        self._stop_in_order()
        # What is to be remembered until the next start is done with then.
        self.start()
        self.let_pass(5.0)
        assert self.process is not None
        expected = stored(self.process.gateway.broker)
        self._stop_in_order()
        spaces = KEPT_SPACES | ({"core.schedule"} if self.ledger.cron_lines else set())
        if found := left_over(self.disk.path, expected, spaces):
            raise Failed(f"the store: {found[0]}")

    def _stop_in_order(self) -> None:
        assert self.process is not None
        self.process.stop()
        self.let_pass(60.0)
        if self.process is not None:
            raise Failed("it does not stop")
        if self._log.found:
            raise Failed(self._log.found[0])


def limits(chance: random.Random) -> dict[str, int]:
    """Limits of the core, some of them smaller than a configuration may have them."""
    return {
        "memory_max": chance.choice((3_000, 20_000, 200_000, 1 << 28)),
        "transaction_operations_max": chance.choice((3, 10, 10_000)),
    }


def settings(chance: random.Random, path: Path) -> dict[str, Any]:
    """A configuration with small limits."""
    output = chance.choice((2_000, 20_000, 262_144))
    inflight = chance.choice((1, 3, 20, 1_000))
    options = f"outputBuffer={output}&maximumInflight={inflight}&slowConsumerTimeout=4000"
    return {
        "connector": [
            {"name": "mqtt", "uri": f"mqtt://127.0.0.1:{MQTT_PORT}?{options}"},
            {"name": "stomp", "uri": f"stomp://127.0.0.1:{STOMP_PORT}?{options}"},
            {"name": "ws", "uri": f"ws://127.0.0.1:{WS_PORT}?{options}&slowConsumer=block"},
        ],
        "gateway": {"shutdown_timeout_ms": 500},
        "admin": {"enabled": False},
        "queues": {
            "messages_max": chance.choice((0, 0, 5, 50)),
            "bytes_max": chance.choice((268_435_456, 268_435_456, 10_000)),
            "when_full": chance.choice(("block", "block", "reject", "reject", "drop-oldest", "drop-newest")),
            "deliveries_max": chance.choice((0, 2, 20)),
            "dead_letters": DEAD,
        },
        "stomp": {"nack": chance.choice(("failed", "failed", "rejected", "released"))},
        "mqtt": {
            "inflight_max": chance.choice((1, 5, 1_000)),
            "receive_maximum": chance.choice((2, 20, 1_000)),
            "queued_messages_max": chance.choice((5, 100, 100_000, 100_000)),
            "when_full": chance.choice(("block", "drop-oldest", "drop-newest")),
            "queue_qos0": chance.random() < 0.3,
            "sys_interval_s": 0,
        },
        "store": {
            "path": str(path),
            "pending_bytes_max": chance.choice((5_000, 67_108_864)),
            "batch_operations_max": chance.choice((1, 7, 4_096)),
            "batch_bytes_max": chance.choice((2_000, 8_388_608)),
            "reserve_bytes": chance.choice((0, 1_048_576)),
            "fanout_copies_max": chance.choice((0, 10, 1_000_000)),
            "large_bytes": chance.choice((0, 800, 65_536)),
            "segment_bytes": 1_048_576,
        },
    }


class _Log(logging.Handler):
    """Keeps what is said of our own bugs."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.INFO)
        self._world = world
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self._world.say(f"   log: {text}".replace(str(self._world.disk.directory), ""))
        if text.startswith("reloaded: "):
            self._world.reloaded()
        if record.exc_info and record.exc_info[1] is not None:
            where = traceback.format_exception(record.exc_info[1])
            self._world.say("".join(where))
            self.found.append(f"{text}: {record.exc_info[1]!r}")

    def __enter__(self) -> None:
        root = logging.getLogger("gateway")
        self._before = (root.level, root.propagate)
        root.addHandler(self)
        root.setLevel(logging.INFO)
        root.propagate = False

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger("gateway")
        root.removeHandler(self)
        root.setLevel(self._before[0])
        root.propagate = self._before[1]
