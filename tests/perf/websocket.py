"""`python -m tests.perf.websocket`: MQTT inside WebSocket, ours and Mosquitto's in one run, and what an idle one weighs.

Every PUBLISH is a masked frame of its own, as mqtt.js sends it.  Frames are made once; of what comes back, frame
headers are skipped and payload is counted.
"""

import argparse
import base64
import json
import os
import resource
import selectors
import shutil
import socket
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.perf import peers
from tests.perf.peers import Running
from tests.perf.wires import CONNECT_TIMEOUT_S, Endpoint, mqtt_packet, receive_exactly

TOPIC: Final = b"bench/t"
PAYLOAD: Final = b"x" * 64
BATCH: Final = 1_000
WINDOW: Final = 8_000
IDLE: Final = 10_000
BARS: Final = (
    ("MQTT QoS 0 over WebSocket, one to one, against Mosquitto's", 4.0),
    ("the same, against our own MQTT over TCP", 0.5),
)
IDLE_MAX: Final = 24 * 1024


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def masked(payload: bytes) -> bytes:
    """A binary message, masked with a key of its own (RFC 6455 §5.3)."""
    key = os.urandom(4)
    size = len(payload)
    head = bytes((0x82, 0x80 | size)) if size < 126 else bytes((0x82, 0xFE)) + size.to_bytes(2, "big")
    return head + key + bytes([byte ^ key[at & 3] for at, byte in enumerate(payload)])


class Client:
    """One MQTT 3.1.1 client, over TCP or inside WebSocket."""

    def __init__(self, port: int, websocket: bool, name: str, source: str = "127.0.0.1") -> None:
        self.websocket = websocket
        self.sock = socket.create_connection(
            ("127.0.0.1", port), CONNECT_TIMEOUT_S, source_address=(source, 0)
        )
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if websocket:
            self._upgrade(port)
        self.sock.sendall(
            self.wire(mqtt_packet(0x10, _string(b"MQTT") + b"\x04\x02\x00\x00" + _string(name.encode())))
        )
        self._expect(4)

    def wire(self, packet: bytes) -> bytes:
        """A packet as it goes on the wire."""
        return masked(packet) if self.websocket else packet

    def _upgrade(self, port: int) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(
            f"GET /mqtt HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n".encode()
        )
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += receive_exactly(self.sock, 1)
        if b" 101 " not in answer:
            raise ConnectionError(answer.decode(errors="replace"))

    def _expect(self, size: int) -> None:
        """A packet of `size` bytes."""
        receive_exactly(self.sock, size + 2 if self.websocket else size)

    def subscribe(self) -> None:
        """Subscribe, and wait until that is confirmed."""
        self.sock.sendall(self.wire(mqtt_packet(0x82, b"\x00\x01" + _string(TOPIC) + b"\x00")))
        self._expect(5)


@dataclass
class Counter:
    """Payload bytes that have come."""

    websocket: bool
    payload: int = 0
    _skip: int = 0
    _rest: bytes = field(default=b"")

    def take(self, data: bytes) -> None:
        """Count what is in `data`."""
        if not self.websocket:
            self.payload += len(data)
            return
        if self._rest:
            data = self._rest + data
            self._rest = b""
        pos = 0
        size = len(data)
        while pos < size:
            if self._skip:
                step = min(self._skip, size - pos)
                self._skip -= step
                self.payload += step
                pos += step
                continue
            if size - pos < 10:
                # A header may be cut; the least there is behind one is a packet of two bytes.
                need = 2 if size - pos < 2 else (2, 4, 10)[max(0, (data[pos + 1] & 0x7F) - 125)]
                if size - pos < need:
                    self._rest = data[pos:]
                    return
            length = data[pos + 1] & 0x7F
            if length < 126:
                pos += 2
            elif length == 126:
                length = data[pos + 2] << 8 | data[pos + 3]
                pos += 4
            else:
                length = int.from_bytes(data[pos + 2 : pos + 10], "big")
                pos += 10
            self._skip = length


def one_to_one(port: int, websocket: bool, seconds: float) -> float:
    """Messages delivered a second, closed loop: never more than WINDOW on their way."""
    subscriber = Client(port, websocket, "bench-sub")
    subscriber.subscribe()
    time.sleep(0.3)
    publisher = Client(port, websocket, "bench-pub")
    packet = mqtt_packet(0x30, _string(TOPIC) + PAYLOAD)
    blob = b"".join([publisher.wire(packet) for _ in range(BATCH)])
    counter = Counter(websocket)
    selector = selectors.DefaultSelector()
    for client in (subscriber, publisher):
        client.sock.setblocking(False)
    publisher.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    selector.register(subscriber.sock, selectors.EVENT_READ)
    sent = 0
    pending = memoryview(b"")
    start = time.perf_counter()
    try:
        while (now := time.perf_counter()) < start + seconds:
            if not pending and sent - counter.payload // len(packet) + BATCH <= WINDOW:
                pending = memoryview(blob)
                sent += BATCH
            if pending:
                try:
                    pending = pending[publisher.sock.send(pending) :]
                except BlockingIOError:
                    pass
            if selector.select(0.0005):
                data = subscriber.sock.recv(1 << 20)
                if not data:
                    raise ConnectionError("the broker closed the connection")
                counter.take(data)
        return counter.payload / len(packet) / (now - start)
    finally:
        selector.close()
        subscriber.sock.close()
        publisher.sock.close()


def idle(running: Running, port: int) -> float:
    """Resident bytes for each of many idle WebSockets that carry MQTT."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    clients = []
    try:
        clients += [Client(port, True, f"warm-{number}") for number in range(50)]
        time.sleep(0.5)
        before = running.resident_bytes
        clients += [Client(port, True, f"idle-{n}", f"127.0.0.{1 + n % 4}") for n in range(IDLE)]
        time.sleep(1)
        return (running.resident_bytes - before) / IDLE
    finally:
        for client in clients:
            client.sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def start(name: str) -> tuple[Running, int, int]:
    """The gateway or Mosquitto on spare ports: the process, its TCP port and its WebSocket port."""
    running = Running(Path(tempfile.mkdtemp(prefix="gateway-bench-")))
    tcp, websocket = peers.free_port(), peers.free_port()
    running.endpoints = {"mqtt": Endpoint(tcp), "ws": Endpoint(websocket)}
    if name == "Mosquitto":
        (running.directory / "m.conf").write_text(
            f"listener {tcp} 127.0.0.1\nlistener {websocket} 127.0.0.1\nprotocol websockets\nallow_anonymous true\n"
            "set_tcp_nodelay true\nmax_queued_messages 0\nmax_connections -1\npersistence false\nlog_type error\n"
        )
        running.command = ["mosquitto", "-c", "m.conf"]
    else:
        options = "maximumConnections=20000"
        (running.directory / "gateway.toml").write_text(
            f'[[connector]]\nname = "m"\nuri = "mqtt://127.0.0.1:{tcp}?{options}"\n'
            f'[[connector]]\nname = "w"\nuri = "ws://127.0.0.1:{websocket}?{options}"\n[admin]\nenabled = false\n'
            '[store]\npath = ""\n'
        )
        environment = ".venv" if name.endswith("(plain)") else ".venv-compiled"
        running.command = [str(peers.ROOT / environment / "bin" / "gateway"), "run", "gateway.toml"]
    try:
        running.start()
    except BaseException:
        running.stop()
        raise
    return running, tcp, websocket


def measure(name: str, seconds: float, repeat: int) -> dict[str, float]:
    """The figures of one broker; TCP and WebSocket take turns, so that both meet the same machine."""
    running, tcp, websocket = start(name)
    try:
        runs: dict[str, list[float]] = {"tcp": [], "ws": []}
        for _ in range(repeat):
            runs["tcp"].append(one_to_one(tcp, False, seconds))
            runs["ws"].append(one_to_one(websocket, True, seconds))
        figures = {kind: statistics.median(values) for kind, values in runs.items()}
    finally:
        running.stop()
    if name == "gateway":
        running, _, websocket = start(name)
        try:
            figures["idle"] = idle(running, websocket)
        finally:
            running.stop()
    return figures


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each run")
    parser.add_argument("--repeat", type=int, default=3, help="runs of which the median counts")
    parser.add_argument("--brokers", nargs="*", default=["gateway", "gateway (plain)", "Mosquitto"])
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    for name in options.brokers:
        if name == "Mosquitto" and not shutil.which("mosquitto"):
            print("not taking part: Mosquitto is not installed")
            continue
        figures[name] = measure(name, options.seconds, options.repeat)
        print(
            f"  {name:<16} " + "  ".join([f"{kind} {value:,.0f}" for kind, value in figures[name].items()]),
            flush=True,
        )
    ours = figures.get("gateway", {})
    theirs = figures.get("Mosquitto", {})
    values = (
        ours.get("ws", 0) / theirs["ws"] if theirs.get("ws") else 0.0,
        ours["ws"] / ours["tcp"] if ours.get("tcp") else 0.0,
    )
    for (title, bound), value in zip(BARS, values, strict=True):
        said = "not measured" if not value else "met" if value >= bound else "MISSED"
        print(f"{said}  {title}: {value:.2f} (at least {bound:.2f})")
    if "idle" in ours:
        said = "met" if ours["idle"] <= IDLE_MAX else "MISSED"
        print(f"{said}  resident bytes of an idle WebSocket: {ours['idle']:,.0f} (at most {IDLE_MAX:,})")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    if sys.platform != "linux":
        raise SystemExit("the benchmark reads /proc: it runs on Linux")
    main()
