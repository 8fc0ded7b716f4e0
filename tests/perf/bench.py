"""`make bench`: one table, broker by workload, all from one run; and whether each bar was met.

Each broker is started, measured and ended on its own, with nothing else running.  What is printed is the median of
`--repeat` runs, as messages delivered a second, and the ratio to the best peer.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.perf import load, peers, tls
from tests.perf.peers import Peer, Running
from tests.perf.wires import Mqtt, Nats, Stomp, Wire, mqtt_packet, receive_exactly

GATEWAY: Final = "gateway"
PLAIN: Final = "gateway (plain)"

TOPICS: Final = {"mqtt": "bench/t", "stomp": "/topic/bench.t", "nats": "bench.t"}
WIRES: Final[dict[str, type[Wire]]] = {"mqtt": Mqtt, "stomp": Stomp, "nats": Nats}


def wire(running: Running, protocol: str, qos: int = 0, size: int = 64, topic: str = "") -> Wire:
    """A protocol of a running broker."""
    return WIRES[protocol](running.endpoints[protocol], topic or TOPICS[protocol], b"x" * size, qos)


@dataclass(frozen=True)
class Workload:
    """Something to measure; `run` returns a number of which more is better, unless it is memory."""

    name: str
    title: str
    protocols: tuple[str, ...]
    """A broker takes part if it speaks all of them."""
    run: Callable[[Running, float], float]
    unit: str = "msg/s"


def _flow(
    publish: str, subscribe: str, qos: int = 0, subscribers: int = 1
) -> Callable[[Running, float], float]:
    def run(running: Running, seconds: float) -> float:
        result = load.run(
            wire(running, publish, qos),
            wire(running, subscribe, qos),
            subscribers=subscribers,
            seconds=seconds,
        )
        if result.lost:
            print(f"    lost {result.lost} of {result.published * subscribers}")
        return result.delivered_per_s

    return run


OTHER_SUBSCRIPTIONS: Final = 100_000
PER_SUBSCRIBE: Final = 500


def _other_subscriptions(count: int) -> Callable[[Running, float], float]:
    """One to one, while `count` subscriptions to other topics exist."""

    def run(running: Running, seconds: float) -> float:
        mqtt = wire(running, "mqtt")
        holder = mqtt.connect("bench-holder")
        try:
            for first in range(0, count, PER_SUBSCRIBE):
                body = b"\x00\x01"
                filters = min(PER_SUBSCRIBE, count - first)
                for number in range(first, first + filters):
                    name = f"other/{number % 97}/{number}".encode()
                    body += len(name).to_bytes(2, "big") + name + b"\x00"
                holder.sendall(mqtt_packet(0x82, body))
                head = receive_exactly(holder, 2)
                size = head[1]
                if size > 127:
                    size = size & 127 | receive_exactly(holder, 1)[0] << 7
                receive_exactly(holder, size)
            return load.run(mqtt, mqtt, seconds=seconds).delivered_per_s
        finally:
            holder.close()

    return run


IDLE_CONNECTIONS: Final = 10_000


def _idle(running: Running, seconds: float) -> float:
    """Resident bytes for each of many idle connections."""
    mqtt = wire(running, "mqtt")
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
        return (running.resident_bytes - before) / IDLE_CONNECTIONS
    finally:
        for sock in sockets:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


WORKLOADS: Final = (
    Workload("mqtt0_1x1", "MQTT QoS 0, 1 to 1", ("mqtt",), _flow("mqtt", "mqtt")),
    Workload("mqtt0_1x10", "MQTT QoS 0, 1 to 10", ("mqtt",), _flow("mqtt", "mqtt", subscribers=10)),
    Workload("mqtt1_1x1", "MQTT QoS 1, 1 to 1", ("mqtt",), _flow("mqtt", "mqtt", qos=1)),
    Workload("nats_1x1", "NATS protocol, 1 to 1", ("nats",), _flow("nats", "nats")),
    Workload("stomp_1x1", "STOMP topic, 1 to 1", ("stomp",), _flow("stomp", "stomp")),
    Workload("mqtt_to_stomp", "MQTT to STOMP", ("mqtt", "stomp"), _flow("mqtt", "stomp")),
    Workload("stomp_to_mqtt", "STOMP to MQTT", ("mqtt", "stomp"), _flow("stomp", "mqtt")),
    Workload("subs_10", "MQTT QoS 0 beside 10 subscriptions", ("mqtt",), _other_subscriptions(10)),
    Workload("subs_100k", "MQTT QoS 0 beside 100,000", ("mqtt",), _other_subscriptions(OTHER_SUBSCRIPTIONS)),
    Workload("idle_10k", "memory of an idle connection", ("mqtt",), _idle, "bytes"),
    *(Workload(*fields) for fields in tls.WORKLOADS),
)


@dataclass
class Report:
    """Figures by (broker, workload)."""

    figures: dict[tuple[str, str], float] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def get(self, broker: str, workload: str) -> float:
        """A figure; 0 when it was not measured."""
        return self.figures.get((broker, workload), 0.0)

    def best_peer(self, workload: str) -> float:
        """The best figure of the brokers that are not ours."""
        others = [
            f for (broker, name), f in self.figures.items() if name == workload and GATEWAY not in broker
        ]
        return max(others, default=0.0)


def measure(peer: Peer, workloads: list[Workload], seconds: float, repeat: int, report: Report) -> None:
    """Start a broker, run what it can run, end it."""
    for workload in workloads:
        running: Running | None = None
        try:
            # A fresh start for each: one workload's sessions and memory are not the next one's.
            running = peers.start(peer)
            values = [
                workload.run(running, seconds) for _ in range(1 if workload.unit == "bytes" else repeat)
            ]
            figure = statistics.median(values)
            report.figures[peer.name, workload.name] = figure
            said = f"{figure:>12,.0f} {workload.unit}"
        except (OSError, RuntimeError) as error:
            said = f"failed: {error}"
            report.missing.append(f"{peer.name}, {workload.title}: {error}")
        finally:
            if running is not None:
                running.stop()
        print(f"  {peer.name:<16} {workload.title:<36} {said}", flush=True)


@dataclass(frozen=True)
class Bar:
    """What must be shown: a ratio of two figures (or one figure) against a bound."""

    title: str
    value: Callable[[Report], float]
    bound: float
    at_most: bool = False

    def line(self, report: Report) -> str:
        """`met` or `MISSED`, with the figure; `not measured` when a side is missing."""
        value = self.value(report)
        if not value:
            return f"not measured  {self.title}"
        met = value <= self.bound if self.at_most else value >= self.bound
        comparison = "at most" if self.at_most else "at least"
        return f"{'met   ' if met else 'MISSED'}  {self.title}: {value:,.2f} ({comparison} {self.bound:,.2f})"


def _against(workload: str, broker: str, ours: str = GATEWAY) -> Callable[[Report], float]:
    return lambda r: _ratio(r.get(ours, workload), r.get(broker, workload))


def _ratio(value: float, base: float) -> float:
    return value / base if base else 0.0


BARS: Final = (
    Bar("MQTT QoS 0 one to one, against Mosquitto", _against("mqtt0_1x1", "Mosquitto"), 10),
    Bar("the same, uncompiled", _against("mqtt0_1x1", "Mosquitto", PLAIN), 3),
    Bar("MQTT QoS 0 1 to 10, against Mosquitto", _against("mqtt0_1x10", "Mosquitto"), 10),
    Bar("MQTT QoS 1 one to one, against Mosquitto", _against("mqtt1_1x1", "Mosquitto"), 6),
    Bar(
        "MQTT QoS 0 one to one, against nats-server's own protocol",
        lambda r: _ratio(r.get(GATEWAY, "mqtt0_1x1"), r.get("nats-server", "nats_1x1")),
        1,
    ),
    Bar(
        "STOMP topic one to one, against the better of RabbitMQ and ActiveMQ",
        lambda r: _ratio(r.get(GATEWAY, "stomp_1x1"), r.best_peer("stomp_1x1")),
        5,
    ),
    *(
        Bar(
            f"{title}, against the slower same-protocol path",
            lambda r, name=name: _ratio(  # type: ignore[misc]
                r.get(GATEWAY, name), min(r.get(GATEWAY, "mqtt0_1x1"), r.get(GATEWAY, "stomp_1x1"))
            ),
            0.5,
        )
        for name, title in (("mqtt_to_stomp", "MQTT to STOMP"), ("stomp_to_mqtt", "STOMP to MQTT"))
    ),
    Bar(
        "100,000 subscriptions on other topics, against 10",
        lambda r: _ratio(r.get(GATEWAY, "subs_100k"), r.get(GATEWAY, "subs_10")),
        0.8,
    ),
    Bar("MQTT QoS 0 over TLS one to one, against Mosquitto", _against("tls_mqtt0_1x1", "Mosquitto"), 3),
    Bar("TLS handshakes, against Mosquitto", _against("tls_handshakes", "Mosquitto"), 1),
    Bar("resident bytes of an idle connection", lambda r: r.get(GATEWAY, "idle_10k"), 16_384, True),
)


def machine() -> str:
    """The machine in a line."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    return f"{os.cpu_count()} cores of {model}, {system}, Python {platform.python_version()}"


def table(report: Report, workloads: list[Workload], brokers: list[str]) -> str:
    """The figures as a Markdown table; behind ours, the ratio to the best peer."""
    lines = ["| workload | " + " | ".join(brokers) + " |", "|---|" + "---:|" * len(brokers)]
    for workload in workloads:
        cells = [workload.title + (f" ({workload.unit})" if workload.unit != "msg/s" else "")]
        best = report.best_peer(workload.name)
        for broker in brokers:
            figure = report.get(broker, workload.name)
            cell = f"{figure:,.0f}" if figure else "-"
            if figure and best and GATEWAY in broker:
                cell += f" ({figure / best:.1f}x)"
            cells.append(cell)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each run")
    parser.add_argument("--repeat", type=int, default=3, help="runs of which the median counts")
    parser.add_argument("--brokers", nargs="*", default=[], help="only these")
    parser.add_argument("--workloads", nargs="*", default=[], help="only these")
    parser.add_argument("--markdown", type=Path, help="write the table there too")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    workloads = [w for w in WORKLOADS if not options.workloads or w.name in options.workloads]
    report = Report()
    brokers: list[str] = []
    for peer in (*peers.PEERS, *tls.PEERS):
        if options.brokers and peer.name not in options.brokers:
            continue
        problem = peer.find()
        if problem:
            report.missing.append(f"{peer.name}: {problem}")
            continue
        if peer.name not in brokers:
            brokers.append(peer.name)
        measure(peer, _suited(peer, workloads), options.seconds, options.repeat, report)
    text = table(report, workloads, brokers)
    bars = "\n".join([bar.line(report) for bar in BARS])
    print(
        f"\n{machine()}\nmessages delivered a second; in brackets the ratio to the best peer\n\n{text}\n\n{bars}"
    )
    for line in report.missing:
        print(f"not taking part: {line}")
    if options.markdown:
        options.markdown.write_text(f"{machine()}\n\n{text}\n\n{bars}\n")
    if options.json:
        options.json.write_text(json.dumps({f"{b}/{w}": f for (b, w), f in report.figures.items()}, indent=2))


def _suited(peer: Peer, workloads: list[Workload]) -> list[Workload]:
    """What this broker can run; the memory of others is not the question."""
    suited = [w for w in workloads if set(w.protocols) <= set(peer.protocols)]
    if GATEWAY not in peer.name:
        suited = [w for w in suited if w.unit != "bytes" and w.name not in ("subs_10", "subs_100k")]
    return suited


if __name__ == "__main__":
    main()
