"""What is measured.  A workload is a line in WORKLOADS; a broker takes part if it has the features it asks for."""

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.perf import load
from tests.perf.peers import Running
from tests.perf.wires import Content, Mqtt, Nats, Stomp, Wire


@dataclass(frozen=True)
class Figure:
    """One measurement, of which more is better, unless it is memory."""

    value: float
    load: float = 0.0
    """Part of the time that the load was computing."""
    broker: float = 0.0
    """The same of the broker, all its threads together."""
    lost: int = 0

    @property
    def load_bound(self) -> bool:
        """Was it the load that was measured: it was always busy, and the broker was not?"""
        return self.load > 0.9 and self.broker < 0.9


_Run = Callable[[Running, float], Figure]


@dataclass(frozen=True)
class Workload:
    """Something to measure."""

    name: str
    title: str
    features: tuple[str, ...]
    """A broker takes part if it has all of them."""
    run: _Run
    unit: str = "msg/s"
    peers: bool = True
    """Do other brokers take part?"""


def figure(running: Running, flow: load.Flow, seconds: float) -> Figure:
    """Run a flow and look at the broker meanwhile."""
    result = load.run(flow, seconds, running.cpu_s)
    return Figure(result.delivered_per_s, result.load, result.broker, result.lost)


# -- wires of a running broker

MQTT_TOPIC: Final = ("bench/t",)
SMALL: Final = 64
"""Bytes of a payload, where nothing else is said."""


def _mqtt(
    running: Running,
    topics: Sequence[str] = MQTT_TOPIC,
    size: int = SMALL,
    qos: int = 0,
    version: int = 4,
    properties: Sequence[tuple[str, str]] = (),
) -> Mqtt:
    return Mqtt(running.endpoints["mqtt"], Content(topics, b"x" * size, properties), qos, version)


def _stomp(running: Running, topic: str = "/topic/bench.t", size: int = SMALL) -> Stomp:
    return Stomp(running.endpoints["stomp"], Content((topic,), b"x" * size))


def _nats(running: Running) -> Nats:
    return Nats(running.endpoints["nats"], Content(("bench.t",), b"x" * SMALL))


# -- flows


def _to_itself(wire: Callable[[Running], Wire], subscribers: int = 1, publishers: int = 1) -> _Run:
    """One topic, the same protocol on both sides."""

    def run(running: Running, seconds: float) -> Figure:
        both = wire(running)
        return figure(running, load.Flow(both, both, [both.topic(1)] * subscribers, publishers), seconds)

    return run


def _across(publish: Callable[[Running], Wire], subscribe: Callable[[Running], Wire]) -> _Run:
    """One protocol publishes, another subscribes."""

    def run(running: Running, seconds: float) -> Figure:
        there = subscribe(running)
        return figure(running, load.Flow(publish(running), there, [there.topic(1)]), seconds)

    return run


TOPICS: Final = 10_000


def _many_topics(running: Running, seconds: float) -> Figure:
    """The publisher goes round many topics; one subscriber has them all by a wildcard."""
    mqtt = _mqtt(running, [f"bench/{n % 100:02}/{n:05}/t" for n in range(TOPICS)])
    return figure(running, load.Flow(mqtt, mqtt, ["bench/#"]), seconds)


WILDCARDS: Final = (
    "home/#", "+/#", "home/+/+/state", "+/+/+/state", "home/+/sensor/+", "home/+/#", "+/+/sensor/#", "home/+/sensor/state",
    "+/+/+/+", "+/+/sensor/state",
)  # fmt: skip


def _wildcards(running: Running, seconds: float) -> Figure:
    """A hundred topics, and subscribers whose different filters match all of them."""
    mqtt = _mqtt(running, [f"home/room-{n:02}/sensor/state" for n in range(100)])
    return figure(running, load.Flow(mqtt, mqtt, WILDCARDS), seconds)


PROPERTIES: Final = tuple([(f"property-{n}", f"value of number {n}") for n in range(5)])
PREFETCH: Final = 1_000


def _acked_queue(running: Running, seconds: float) -> Figure:
    """A queue whose consumer acknowledges each message by itself."""
    content = Content(("/queue/bench.q",), b"x" * SMALL)
    stomp = Stomp(running.endpoints["stomp"], content, "client-individual", prefetch=PREFETCH)
    return figure(running, load.Flow(stomp, stomp, [stomp.topic(1)]), seconds)


OTHER_SUBSCRIPTIONS: Final = 100_000
PER_SUBSCRIBE: Final = 500


def _beside(count: int) -> _Run:
    """One to one, while `count` subscriptions to other topics exist."""

    def run(running: Running, seconds: float) -> Figure:
        mqtt = _mqtt(running)
        others = [f"other/{number % 97}/{number}" for number in range(count)]
        holder = mqtt.connect("bench-holder")
        try:
            for first in range(0, count, PER_SUBSCRIBE):
                mqtt.subscribe_many(holder, others[first : first + PER_SUBSCRIBE])
            return figure(running, load.Flow(mqtt, mqtt, MQTT_TOPIC), seconds)
        finally:
            holder.close()

    return run


IDLE_CONNECTIONS: Final = 10_000


def _idle(running: Running, seconds: float) -> Figure:
    """Resident bytes for each of many idle connections."""
    mqtt = _mqtt(running)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    sockets = []
    try:
        for number in range(50):
            sockets.append(mqtt.connect(f"warm-{number}"))
        time.sleep(0.5)
        before = running.resident_bytes
        for number in range(IDLE_CONNECTIONS):
            sockets.append(mqtt.connect(f"idle-{number}", f"127.0.0.{1 + number % 4}"))
        time.sleep(1)
        return Figure((running.resident_bytes - before) / IDLE_CONNECTIONS)
    finally:
        for sock in sockets:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


WORKLOADS: Final = (
    Workload("mqtt0_1x1", "MQTT QoS 0, 1 to 1", ("mqtt",), _to_itself(_mqtt)),
    Workload("nats_1x1", "NATS protocol, 1 to 1", ("nats",), _to_itself(_nats)),
    Workload("mqtt0_1x10", "MQTT QoS 0, 1 to 10", ("mqtt",), _to_itself(_mqtt, subscribers=10)),
    Workload("mqtt0_1x100", "MQTT QoS 0, 1 to 100", ("mqtt",), _to_itself(_mqtt, subscribers=100)),
    Workload("mqtt0_100x1", "MQTT QoS 0, 100 to 1", ("mqtt",), _to_itself(_mqtt, publishers=100)),
    Workload("mqtt0_topics", "MQTT QoS 0, 10,000 topics", ("mqtt",), _many_topics),
    Workload("mqtt0_wildcards", "MQTT QoS 0, 10 wildcard subscribers", ("mqtt",), _wildcards),
    Workload("mqtt0_1k", "MQTT QoS 0, 1 KiB", ("mqtt",), _to_itself(lambda r: _mqtt(r, size=1 << 10))),
    Workload("mqtt0_64k", "MQTT QoS 0, 64 KiB", ("mqtt",), _to_itself(lambda r: _mqtt(r, size=1 << 16))),
    Workload(
        "mqtt5_properties",
        "MQTT 5 QoS 0, five user properties",
        ("mqtt 5",),
        _to_itself(lambda r: _mqtt(r, version=5, properties=PROPERTIES)),
    ),
    Workload("mqtt1_1x1", "MQTT QoS 1, 1 to 1", ("mqtt",), _to_itself(lambda r: _mqtt(r, qos=1))),
    Workload("mqtt2_1x1", "MQTT QoS 2, 1 to 1", ("mqtt qos 2",), _to_itself(lambda r: _mqtt(r, qos=2))),
    Workload("stomp_1x1", "STOMP topic, 1 to 1", ("stomp",), _to_itself(_stomp)),
    Workload("stomp_1k", "STOMP topic, 1 KiB", ("stomp",), _to_itself(lambda r: _stomp(r, size=1 << 10))),
    Workload("stomp_64k", "STOMP topic, 64 KiB", ("stomp",), _to_itself(lambda r: _stomp(r, size=1 << 16))),
    Workload("stomp_acks", "STOMP queue, client-individual", ("stomp",), _acked_queue),
    Workload("mqtt_to_stomp", "MQTT to STOMP", ("mqtt", "stomp"), _across(_mqtt, _stomp)),
    Workload("stomp_to_mqtt", "STOMP to MQTT", ("mqtt", "stomp"), _across(_stomp, _mqtt)),
    Workload("subs_10", "MQTT QoS 0 beside 10 subscriptions", ("mqtt",), _beside(10), peers=False),
    Workload("subs_100k", "MQTT QoS 0 beside 100,000", ("mqtt",), _beside(OTHER_SUBSCRIPTIONS), peers=False),
    Workload("idle_10k", "memory of an idle connection", ("mqtt",), _idle, "bytes", peers=False),
)
