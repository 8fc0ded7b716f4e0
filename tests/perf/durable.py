"""Persistent messages: confirmed when they are safe, to consumers that acknowledge; and what a restart costs.

The same brokers, started so that they keep what they confirm, all on the disk that holds the temporary directory.
"""

import os
import signal
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.perf import load, peers
from tests.perf.bars import Bar, against
from tests.perf.peers import Peer, Running
from tests.perf.wires import Content, Mqtt, Stomp, mqtt_packet, mqtt_receive, receive_exactly
from tests.perf.workloads import Figure, Workload, figure

SIZE: Final = 1_024
"""Bytes of a payload."""

IN_FLIGHT: Final = 100

PREFETCH: Final = 1_000

BATCH: Final = 10
"""Messages that are sent in one go: the window slides."""

QUEUED: Final = 1_000_000
"""Messages that a restart finds."""


@dataclass(frozen=True)
class Sliding(load.Flow):
    """A flow whose publisher sends as soon as a few confirmations have come."""

    @property
    def batch(self) -> int:
        """See Flow."""
        return BATCH


class PersistentMqtt(Mqtt):
    """Sessions that outlive their connections."""

    def log_in(self, sock: socket.socket, name: str) -> None:
        """See Wire."""
        flags = 0
        tail = b""
        if self.endpoint.user:
            flags |= 0xC0
            for text in (self.endpoint.user, self.endpoint.password):
                tail += len(text).to_bytes(2, "big") + text.encode()
        client = len(name).to_bytes(2, "big") + name.encode()
        sock.sendall(mqtt_packet(0x10, b"\0\4MQTT\4" + bytes((flags, 0, 0)) + client + tail))
        connack = mqtt_receive(sock)
        if connack[1]:
            raise ConnectionError(f"refused with {connack[1]:#04x}")


class PersistentStomp(Stomp):
    """Messages that are to be kept."""

    def publish(self, number: int) -> bytes:
        """See Wire."""
        return super().publish(number).replace(b"\ncontent-length", b"\npersistent:true\ncontent-length", 1)


def _mqtt(running: Running) -> PersistentMqtt:
    return PersistentMqtt(running.endpoints["mqtt"], Content(("bench/t",), b"x" * SIZE), 1)


def _stomp(running: Running, queue: str = "/queue/bench.q") -> PersistentStomp:
    content = Content((queue,), b"x" * SIZE)
    return PersistentStomp(running.endpoints["stomp"], content, "client-individual", True, PREFETCH)


def _mqtt_flow(running: Running, seconds: float) -> Figure:
    wire = _mqtt(running)
    return figure(running, Sliding(wire, wire, ["bench/t"], in_flight=IN_FLIGHT), seconds)


def _stomp_flow(running: Running, seconds: float) -> Figure:
    wire = _stomp(running)
    return figure(running, Sliding(wire, wire, ["/queue/bench.q"], in_flight=IN_FLIGHT), seconds)


# -- one at a time


def fdatasync_rate(directory: Path, seconds: float = 1.0) -> float:
    """How often the disk confirms a page that is appended to a file."""
    path = directory / "fdatasync"
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        count = 0
        begin = time.perf_counter()
        while (took := time.perf_counter() - begin) < seconds:
            os.write(descriptor, b"x" * 4_096)
            os.fdatasync(descriptor)
            count += 1
        return count / took
    finally:
        os.close(descriptor)
        path.unlink()


def _one_by_one(running: Running, seconds: float) -> Figure:
    """Confirmations of a publisher that waits for each, in hundredths of the disk's own rate, taken before and after."""
    wire = _stomp(running, "/queue/bench.one")
    sock = wire.connect("bench-one")
    before = fdatasync_rate(running.directory)
    count = 0
    begin = time.perf_counter()
    while (took := time.perf_counter() - begin) < seconds:
        sock.sendall(wire.publish(count % 900_000))
        while b"\0" not in sock.recv(4_096):
            continue
        count += 1
    sock.close()
    disk = (before + fdatasync_rate(running.directory)) / 2
    print(f"    {count / took:,.0f} confirmations a second, {disk:,.0f} fdatasync a second", flush=True)
    return Figure(count / took / disk * 100)


# -- restart


def _restart(running: Running, seconds: float) -> Figure:
    """Queued messages divided by the seconds from the start of a killed broker to its first delivery."""
    wire = _stomp(running, "/queue/bench.r")
    _fill(wire, running, QUEUED)
    return Figure(QUEUED / _restart_s(wire, running, QUEUED))


def _linear(running: Running, seconds: float) -> Figure:
    """What a message costs at a restart that finds half as many, in hundredths of what it costs with all of them."""
    wire = _stomp(running, "/queue/bench.r")
    took: list[float] = []
    for count in (IN_FLIGHT, QUEUED // 2, QUEUED):
        _fill(wire, running, count)
        took.append(min(_restart_s(wire, running, count) for _ in range(2)))
    base, half, whole = took
    return Figure((half - base) / (QUEUED // 2) / ((whole - base) / QUEUED) * 100)


def _restart_s(wire: PersistentStomp, running: Running, count: int) -> float:
    """Kill the broker; how long it takes from its start to its first delivery."""
    process = running.process
    assert process is not None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    begin = time.perf_counter()
    running.spawn()
    while True:
        try:
            sock = wire.connect("bench-restart")
            break
        except OSError:
            if time.perf_counter() - begin > peers.START_TIMEOUT_S:
                raise
            time.sleep(0.02)
    sock.sendall(b"SUBSCRIBE\nid:0\ndestination:/queue/bench.r\nack:client-individual\n\n\0")
    assert receive_exactly(sock, 7) == b"MESSAGE"
    took = time.perf_counter() - begin
    sock.close()
    print(f"    {took:.2f} s from the start to the first of {count:,} messages", flush=True)
    return took


def _fill(wire: PersistentStomp, running: Running, wanted: int) -> None:
    """Queue messages until there are so many; each batch is confirmed by the receipt of its last."""
    marker = running.directory / "filled"
    there = int(marker.read_text()) if marker.exists() else 0
    if there >= wanted:
        return
    begin = time.perf_counter()
    plain = Stomp(wire.endpoint, wire.content).publish(0)
    plain = plain.replace(b"\ncontent-length", b"\npersistent:true\ncontent-length", 1)
    blob = plain * (IN_FLIGHT - 1) + wire.publish(0)
    sock = wire.connect("bench-fill")
    outstanding = 0
    for _ in range((wanted - there) // IN_FLIGHT):
        sock.sendall(blob)
        outstanding += 1
        while outstanding > 20:
            outstanding -= sock.recv(65_536).count(b"\0")
    while outstanding:
        outstanding -= sock.recv(65_536).count(b"\0")
    sock.close()
    marker.write_text(str(wanted))
    took = time.perf_counter() - begin
    resident = running.resident_bytes >> 20
    print(f"    {wanted - there:,} messages queued in {took:.1f} s, {resident} MiB resident", flush=True)


# -- brokers that keep what they confirm


def _gateway(peer: Peer) -> Peer:
    def prepare(running: Running) -> None:
        peer.prepare(running)
        path = running.directory / "gateway.toml"
        path.write_text(path.read_text().replace('path = ""', 'path = "store.db"'))

    return replace(peer, prepare=prepare, features=("durable mqtt", "durable stomp", "restart"))


def _mosquitto(running: Running) -> None:
    _prepare("Mosquitto", running)
    path = running.directory / "m.conf"
    path.write_text(
        path.read_text().replace(
            "persistence false", f"persistence true\npersistence_location {running.directory}/"
        )
    )


def _activemq(running: Running) -> None:
    _prepare("ActiveMQ", running)
    path = running.directory / "activemq.xml"
    kahadb = f'<persistenceAdapter><kahaDB directory="{running.directory}/kahadb"/></persistenceAdapter>'
    path.write_text(
        path.read_text()
        .replace('persistent="false"', 'persistent="true"')
        .replace("<transportConnectors>", kahadb + "<transportConnectors>")
    )


def _prepare(name: str, running: Running) -> None:
    for peer in peers.PEERS:
        if peer.name == name:
            peer.prepare(running)
            return
    raise LookupError(name)


def _peer(name: str) -> Peer:
    return next(peer for peer in peers.PEERS if peer.name == name)


PEERS: Final = (
    _gateway(peers.GATEWAY),
    replace(_peer("Mosquitto"), prepare=_mosquitto, features=("durable mqtt",)),
    # Its queues are durable and its receipts are confirms, as it comes.
    replace(_peer("RabbitMQ"), features=("durable mqtt", "durable stomp")),
    replace(_peer("ActiveMQ"), prepare=_activemq, features=("durable stomp",)),
)

WORKLOADS: Final = (
    Workload("durable_mqtt1", "MQTT QoS 1, kept, 100 in flight, 1 KiB", ("durable mqtt",), _mqtt_flow),
    Workload("durable_stomp", "STOMP receipts, kept, 100 in flight, 1 KiB", ("durable stomp",), _stomp_flow),
    Workload(
        "durable_one", "kept, 1 in flight", ("durable stomp",), _one_by_one, "% of fdatasync", peers=False
    ),
    Workload(
        "restart_linear",
        "restart with half as many, cost of a message",
        ("restart",),
        _linear,
        "% of the whole's",
        peers=False,
    ),
    Workload(
        "restart_1m", "restart with 1,000,000 messages", ("restart",), _restart, "queued msg/s", peers=False
    ),
)

BARS: Final = (
    Bar("kept MQTT QoS 1, against RabbitMQ", against("durable_mqtt1", "RabbitMQ"), 5),
    Bar(
        "kept MQTT QoS 1, against Mosquitto, which syncs nothing", against("durable_mqtt1", "Mosquitto"), 1.5
    ),
    Bar("kept STOMP with receipts, against RabbitMQ", against("durable_stomp", "RabbitMQ"), 5),
    Bar("kept STOMP with receipts, against ActiveMQ's KahaDB", against("durable_stomp", "ActiveMQ"), 5),
    Bar(
        "one in flight, of the disk's own rate of fdatasync, in hundredths",
        lambda r: r.get(peers.GATEWAY.name, "durable_one"),
        70,
    ),
    Bar(
        "restart: queued messages a second until the first delivery",
        lambda r: r.get(peers.GATEWAY.name, "restart_1m"),
        QUEUED / 5,
    ),
    Bar(
        "restart, linear: cost of a message with half as many, in hundredths of that with all",
        lambda r: r.get(peers.GATEWAY.name, "restart_linear"),
        80,
    ),
)
