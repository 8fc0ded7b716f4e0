"""How long others wait while one client does its worst: `python -m tests.perf.stalls [--bin PROGRAM] [NAME…]`.

A process of its own pings the gateway over MQTT without a pause; for each case the longest wait for a PINGRESP is printed.
`--bin .venv-compiled/bin/gateway` measures the compiled gateway; without it the source tree runs as plain Python.
A wait is wall-clock time, so the machine has to be quiet; beside it stands how long the gateway itself has worked during one
wait at most, which says more where it is not.
"""

import argparse
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from tests.perf.peers import ROOT, Running, free_port
from tests.perf.wires import (
    Content,
    Endpoint,
    Mqtt,
    Stomp,
    mqtt_length,
    mqtt_next,
    mqtt_packet,
    mqtt_receive,
    mqtt_string,
    receive_exactly,
)

SETTLE_S: Final = 0.5
"""How long pings go on behind a case, for what it has left to do."""

CASE_MAX_S: Final = 60.0

NO_CONTENT: Final = Content(("a",), b"")

OPTIONS: Final = "maximumConnections=20000&maximumSubscriptions=1000000"


class Site:
    """A gateway that runs, and its ports."""

    def __init__(self, command: list[str]) -> None:
        self.running = Running(Path(tempfile.mkdtemp(prefix="gateway-stalls-")))
        self.ports = {name: free_port() for name in ("mqtt", "stomp", "ws")}
        running = self.running
        running.endpoints = {name: Endpoint(port) for name, port in self.ports.items()}
        running.environment = {"PYTHONPATH": str(ROOT)} if command[0] == sys.executable else {}
        running.command = [*command, "run", "gateway.toml"]
        (running.directory / "gateway.toml").write_text(
            "".join(
                f'[[connector]]\nname = "{name}"\nuri = "{name}://127.0.0.1:{port}?{OPTIONS}"\n'
                for name, port in self.ports.items()
            )
            + '[admin]\nenabled = false\n[store]\npath = "store.db"\n[websocket]\ncompression = true\n'
            + "[mqtt]\nsession_bytes_max = 100000000\n"
        )
        running.start()

    def connect(self, name: str) -> socket.socket:
        """A bare connection."""
        sock = socket.create_connection(("127.0.0.1", self.ports[name]), 10)
        sock.settimeout(CASE_MAX_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def mqtt(self, version: int = 5, name: str = "") -> socket.socket:
        """An MQTT client that is logged in."""
        sock = self.connect("mqtt")
        Mqtt(Endpoint(self.ports["mqtt"]), NO_CONTENT, version=version).log_in(sock, name or "stall")
        return sock

    def json(self, source: str = "", compressed: bool = False) -> socket.socket:
        """A client of `gateway.json`, which is shown `source`."""
        sock = self.connect("ws")
        extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if compressed else ""
        sock.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: gateway.json\r\n%b\r\n" % extension.encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        if source:
            sock.sendall(_json_frame(b'{"op":"subscribe","sub":"1","from":"%b"}' % source.encode()))
        return sock

    def stomp(self) -> socket.socket:
        """A STOMP client that is logged in."""
        sock = self.connect("stomp")
        Stomp(Endpoint(self.ports["stomp"]), NO_CONTENT).log_in(sock, "stall")
        return sock


# -- what is measured


def _ping(port: int, pid: int, orders: Connection) -> None:
    """Ping without a pause.  Each order is answered with the longest wait since the one before and the most that the process
    `pid` has worked during one, in seconds, and a count."""
    # The clock of another process (pthread_getcpuclockid); Linux alone lets it be read so.
    clock = ~pid << 3 | 2
    sock = socket.create_connection(("127.0.0.1", port), 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    Mqtt(Endpoint(port), NO_CONTENT, version=4).log_in(sock, "pinging")
    sock.settimeout(CASE_MAX_S * 2)
    worst = 0.0
    worked = 0.0
    count = 0
    while True:
        if orders.poll():
            if orders.recv() == "end":
                return
            orders.send((worst, worked, count))
            worst = 0.0
            worked = 0.0
            count = 0
        before = time.clock_gettime(clock)
        begun = time.perf_counter()
        sock.sendall(b"\xc0\x00")
        receive_exactly(sock, 2)
        worst = max(worst, time.perf_counter() - begun)
        worked = max(worked, time.clock_gettime(clock) - before)
        count += 1
        time.sleep(0.001)


class Pinger:
    """The process that pings."""

    def __init__(self, port: int, pid: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._orders, theirs = context.Pipe()
        self._process = context.Process(target=_ping, args=(port, pid, theirs), daemon=True)
        self._process.start()
        self.worst()

    def worst(self) -> tuple[float, float, int]:
        """The longest wait since the last call and the most work during one, in seconds, and how many pings there were."""
        self._orders.send("worst")
        found: tuple[float, float, int] = self._orders.recv()
        return found

    def end(self) -> None:
        """No more."""
        self._orders.send("end")
        self._process.join(10)


# -- what clients can do: each returns when it has been done


def _drain(sock: socket.socket) -> None:
    """Read and forget, until the connection ends."""

    def read() -> None:
        try:
            while sock.recv(1 << 20):
                pass
        except OSError:
            pass

    threading.Thread(target=read, daemon=True).start()


def _send(sock: socket.socket, data: bytes) -> None:
    """All of it, as far as the gateway takes it."""
    try:
        sock.sendall(data)
    except OSError:
        pass


def _answered(sock: socket.socket) -> None:
    """An MQTT client that is pinged back has had all before that handled; one that was ended, too."""
    _send(sock, b"\xc0\x00")
    try:
        while mqtt_next(sock)[0] != 0xD0:
            pass
    except OSError:
        return


def _publish(topic: str, payload: bytes, properties: bytes = b"", retain: bool = False) -> bytes:
    return mqtt_packet(
        0x31 if retain else 0x30, mqtt_string(topic) + mqtt_length(len(properties)) + properties + payload
    )


def _json_frame(text: bytes, first: int = 0x81) -> bytes:
    """A message of `gateway.json`, with a mask that changes nothing (RFC 6455 §5.2)."""
    size = len(text)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65_536:
        head = bytes((first, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + size.to_bytes(8, "big")
    return head + bytes(4) + text


def _http(sock: socket.socket, path: str, body: bytes, headers: str = "") -> bytes:
    """POST, and the answer's first line."""
    _send(
        sock,
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode(),
    )
    _send(sock, body)
    return _first_line(sock)


def _first_line(sock: socket.socket) -> bytes:
    data = b""
    try:
        while b"\r\n" not in data:
            piece = sock.recv(65_536)
            if not piece:
                break
            data += piece
    except OSError:
        pass
    return data.partition(b"\r\n")[0]


def _say(text: object) -> None:
    print(f"      {text}", flush=True)


def nothing(site: Site) -> None:
    """Nobody does anything: what the machine itself costs."""
    time.sleep(1)


def http_many_messages(site: Site) -> None:
    """POST /messages with 60,000 messages, and with as many as one may bring."""
    one = b'{"to":"topic:a","body":"x"}'
    for count in (60_000, 1_000):
        with site.connect("ws") as sock:
            _say(_http(sock, "/messages", b"[" + b",".join([one] * count) + b"]"))


def http_one_large(site: Site) -> None:
    """POST of 90 MB: text in an envelope, as escapes, as base64; spaces; the body itself, ASCII and not."""
    for path, body, headers in (
        ("/messages", b'[{"to":"queue:a","body":"' + b"x" * 90_000_000 + b'"}]', ""),
        ("/messages", b'[{"to":"queue:a","body":"' + b"\\u00e9" * 15_000_000 + b'"}]', ""),
        ("/messages", b'[{"to":"queue:a","body_b64":"' + b"AAAA" * 22_500_000 + b'"}]', ""),
        ("/messages", b"[" + b" " * 90_000_000 + b"]", ""),
        ("/queues/a", b"x" * 90_000_000, "Content-Type: text/plain\r\n"),
        ("/queues/a", "é".encode() * 45_000_000, "Content-Type: text/plain\r\n"),
    ):
        with site.connect("ws") as sock:
            _say(_http(sock, path, body, headers))


def http_many_numbers(site: Site) -> None:
    """POST of 49,000 numbers near the largest, each of which takes 10 µs to write."""
    with site.connect("ws") as sock:
        numbers = b",".join([b"1.7976931348623157e308"] * 49_000)
        _say(_http(sock, "/messages", b'[{"to":"queue:a","body":[' + numbers + b"]}]"))


def json_halves(site: Site) -> None:
    """A text of 100,000 halves of surrogate pairs."""
    with site.json() as sock:
        _send(sock, _json_frame(b'{"op":"publish","to":"topic:a","body":"' + b"\\ud800" * 100_000 + b'"}'))
        _say(sock.recv(65_536))


def json_unpacked(site: Site) -> None:
    """A compressed message of 90 kB that is one of 90 MB."""
    with site.json(compressed=True) as sock:
        packer = zlib.compressobj(wbits=-15)
        text = b'{"op":"publish","id":1,"to":"topic:a","body":"' + b"x" * 90_000_000 + b'"}'
        packed = packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH)
        _send(sock, _json_frame(packed[:-4], 0xC1))
        _say(sock.recv(65_536))


def _to_json_readers(
    site: Site, body: bytes, content_type: str, readers: int, compressed: bool = False
) -> None:
    socks = [site.json("topic:large", compressed) for _ in range(readers)]
    time.sleep(0.3)
    for sock in socks:
        _drain(sock)
    with site.connect("ws") as sock:
        _say(_http(sock, "/topics/large", body, f"Content-Type: {content_type}\r\n"))
    time.sleep(1 + len(body) * (readers + 10 * compressed) / 50_000_000)
    for sock in socks:
        sock.shutdown(socket.SHUT_RDWR)


def json_large_to_many(site: Site) -> None:
    """5 MB of text, then of bytes, to 20 readers of `gateway.json`."""
    _to_json_readers(site, "é".encode() * 2_500_000, "text/plain", 20)
    _to_json_readers(site, b"\xff" * 5_000_000, "application/octet-stream", 20)


def json_very_large(site: Site) -> None:
    """80 MB of text, of quotes, and of bytes to one."""
    _to_json_readers(site, "é".encode() * 40_000_000, "text/plain", 1)
    _to_json_readers(site, b'"\n' * 40_000_000, "text/plain", 1)
    _to_json_readers(site, b"\xff" * 80_000_000, "application/octet-stream", 1)


def json_packed(site: Site) -> None:
    """20 MB to one who wants it compressed."""
    _to_json_readers(site, os.urandom(10_000_000).hex().encode(), "text/plain", 1, True)


def mqtt_one_large(site: Site) -> None:
    """90 MB of text by MQTT to subscribers by MQTT and STOMP, and to a queue that is read later."""
    with site.stomp() as reader, site.mqtt(name="reader") as other, site.mqtt() as sock:
        reader.sendall(b"SUBSCRIBE\nid:0\ndestination:/topic/large\n\n\0")
        other.sendall(mqtt_packet(0x82, b"\0\1\0" + mqtt_string("large") + b"\1"))
        time.sleep(0.3)
        _drain(reader)
        _drain(other)
        for body in (b"x" * 90_000_000, "é".encode() * 45_000_000):
            _send(sock, mqtt_packet(0x32, mqtt_string("large") + b"\0\1\2\1\1" + body))
            _answered(sock)
            time.sleep(3)


def stomp_one_large(site: Site) -> None:
    """90 MB by STOMP, persistent, written and read."""
    head = b"SEND\ndestination:/queue/large\npersistent:true\nreceipt:r\ncontent-length:90000000\n\n"
    with site.stomp() as sock:
        _send(sock, head + b"x" * 90_000_000 + b"\0")
        sock.recv(65_536)
        _drain(sock)
        _send(sock, b"SUBSCRIBE\nid:0\ndestination:/queue/large\nack:auto\n\n\0")
        time.sleep(3)


def mqtt_properties_to_stomp(site: Site) -> None:
    """PUBLISH with 1,990 user properties to STOMP subscribers: one, then 50 in one write."""
    block = b"".join([b"\x26" + mqtt_string(f"k{n}") + mqtt_string("v" * 20) for n in range(1_990)])
    readers = [site.stomp() for _ in range(5)]
    for reader in readers:
        reader.sendall(b"SUBSCRIBE\nid:0\ndestination:/topic/props\n\n\0")
        _drain(reader)
    time.sleep(0.2)
    with site.mqtt() as sock:
        for count in (1, 50):
            _send(sock, _publish("props", b"x", block) * count)
            _answered(sock)
            time.sleep(0.5)
    for reader in readers:
        reader.shutdown(socket.SHUT_RDWR)


def http_deep_json(site: Site) -> None:
    """POST /messages whose JSON is nested 100,000 deep, and one with a million keys."""
    for body in (
        b"[" * 1_000_000,
        b'[{"to":"topic:a","properties":{' + b",".join([b'"k%d":1' % n for n in range(1_000_000)]) + b"}}]",
        b'[{"to":"topic:a","body":' + b"[" * 400_000 + b"]" * 400_000 + b"}]",
        b'[{"to":"topic:a","body":[' + b",".join([b'{"a":1}'] * 1_000_000) + b"]}]",
        b'[{"to":"topic:a","properties":{' + b",".join([b'"k%d":1' % n for n in range(40_000)]) + b"}}]",
    ):
        with site.connect("ws") as sock:
            _say(_http(sock, "/messages", body))
    with site.connect("ws") as sock:
        meta = '{"properties":{' + ",".join([f'"k{n}":1' for n in range(1_500)]) + "}}"
        _say(_http(sock, "/topics/a", b"x", f"X-Mx-Meta: {meta}\r\n"))


def http_chunks(site: Site) -> None:
    """Two million chunks of one byte, before any login."""
    with site.connect("ws") as sock:
        _send(sock, b"POST /topics/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        _drain(sock)
        for _ in range(200):
            _send(sock, b"1\r\nx\r\n" * 10_000)
        _send(sock, b"0\r\n\r\n")
        time.sleep(0.5)


def mqtt_many_properties(site: Site) -> None:
    """One PUBLISH with 300,000 user properties, to a STOMP subscriber too."""
    block = b"".join([b"\x26" + mqtt_string(f"k{n}") + mqtt_string("v") for n in range(300_000)])
    with site.stomp() as reader, site.mqtt() as sock:
        reader.sendall(b"SUBSCRIBE\nid:0\ndestination:/topic/props\n\n\0")
        time.sleep(0.2)
        _drain(reader)
        _send(sock, _publish("props", b"x", block))
        _answered(sock)


def mqtt_many_filters(site: Site) -> None:
    """One SUBSCRIBE with 100,000 filters, and one UNSUBSCRIBE from them."""
    with site.mqtt() as sock:
        names = [mqtt_string(f"many/{n}/x") for n in range(100_000)]
        _send(sock, mqtt_packet(0x82, b"\0\1\0" + b"".join([name + b"\0" for name in names])))
        _answered(sock)
    with site.mqtt() as sock:
        _send(sock, mqtt_packet(0xA2, b"\0\2\0" + b"".join(names)))
        _answered(sock)


def mqtt_many_subscriptions_end(site: Site) -> None:
    """A client ends that has 100,000 subscriptions, in packets as large as they may be."""
    with site.mqtt() as sock:
        for at in range(0, 100_000, 200):
            names = [mqtt_string(f"leave/{at + n}/x") for n in range(200)]
            _send(sock, mqtt_packet(0x82, b"\0\1\0" + b"".join([name + b"\0" for name in names])))
        _answered(sock)
    time.sleep(1)


def wildcard_filters(site: Site) -> None:
    """1,000 filters with eight wildcards for any number of levels each, and topics of 250 levels."""
    with site.stomp() as sock, site.mqtt() as other:
        _drain(sock)
        for n in range(1_000):
            levels = ".".join([f">.a{n if at == 3 else ''}" for at in range(8)])
            _send(sock, f"SUBSCRIBE\nid:{n}\ndestination:/topic/{levels}.b\n\n\0".encode())
        time.sleep(1.5)
        for n in range(10):
            _send(other, _publish(f"t{n}/" + "/".join(["a"] * 250), b"x"))
        _answered(other)


def stomp_commit(site: Site) -> None:
    """COMMIT of 10,000 SENDs, as many as a transaction may have."""
    one = b"SEND\ndestination:/queue/commit\ntransaction:t\npersistent:true\n\nx\0"
    with site.stomp() as sock:
        _send(sock, b"BEGIN\ntransaction:t\n\n\0")
        for _ in range(10):
            _send(sock, one * 1_000)
        _send(sock, b"COMMIT\ntransaction:t\nreceipt:r\n\n\0")
        while b"RECEIPT" not in sock.recv(65_536):
            pass


def stomp_many_headers(site: Site) -> None:
    """SENDs with as many headers as they may have, to an MQTT subscriber."""
    head = "".join([f"h{n}:v\n" for n in range(990)])
    with site.stomp() as sock, site.mqtt(name="reader") as reader:
        reader.sendall(mqtt_packet(0x82, b"\0\1\0" + mqtt_string("head") + b"\0"))
        _drain(reader)
        for n in range(50):
            _send(sock, f"SEND\ndestination:/topic/head\nn:{n}\n{head}\nx\0".encode())
        _send(sock, b"SEND\ndestination:/topic/head\nreceipt:r\n\nx\0")
        sock.recv(65_536)


def selectors(site: Site) -> None:
    """Selectors with LIKE patterns that many places of a long text could fit, and deep ones."""
    with site.stomp() as sock:
        _drain(sock)
        like = "%a" * 200 + "b"
        for n in range(50):
            _send(sock, f"SUBSCRIBE\nid:{n}\ndestination:/topic/sel\nselector:x LIKE '{like}'\n\n\0".encode())
        deep = "(" * 2_000 + "x = 1" + ")" * 2_000
        _send(sock, f"SUBSCRIBE\nid:d\ndestination:/topic/sel\nselector:{deep}\nreceipt:1\n\n\0".encode())
        time.sleep(0.3)
    with site.stomp() as sock, site.stomp() as other:
        _drain(sock)
        for n in range(50):
            _send(sock, f"SUBSCRIBE\nid:{n}\ndestination:/topic/sel\nselector:x LIKE '{like}'\n\n\0".encode())
        wide = " OR ".join([f"x = '{n}'" for n in range(2_000)])
        _send(sock, f"SUBSCRIBE\nid:w\ndestination:/topic/sel\nselector:{wide}\n\n\0".encode())
        time.sleep(0.3)
        for _ in range(5):
            _send(other, f"SEND\ndestination:/topic/sel\nx:{'a' * 30_000}\n\ny\0".encode())
        _send(other, b"SEND\ndestination:/topic/sel\nreceipt:r\n\nx\0")
        other.recv(65_536)


def retained(site: Site) -> None:
    """100,000 retained values: 50 SUBSCRIBE # in one write, then 100 filters that match nothing."""
    with site.mqtt(name="retains") as sock:
        for at in range(0, 100_000, 1_000):
            _send(
                sock,
                b"".join([_publish(f"r/{n // 100}/{n}", b"x", b"", True) for n in range(at, at + 1_000)]),
            )
        _answered(sock)
    with site.mqtt() as sock:
        _drain(sock)
        _send(sock, b"".join([mqtt_packet(0x82, b"\0\1\0" + mqtt_string("#") + b"\0")] * 50))
        time.sleep(3)
    with site.mqtt() as sock:
        none = b"".join([mqtt_string(f"+/+/+/none{n}") + b"\0" for n in range(100)])
        _send(sock, mqtt_packet(0x82, b"\0\1\0" + none))
        _answered(sock)
        time.sleep(3)


def mqtt_in_flight(site: Site) -> None:
    """A client with 65,535 messages in flight ends, and its session with it."""
    with site.mqtt(name="writes") as sock, site.connect("mqtt") as reader:
        properties = b"\x21\xff\xff"
        head = b"\0\4MQTT\5\2\0\0" + bytes((len(properties),)) + properties + mqtt_string("flight")
        reader.sendall(mqtt_packet(0x10, head))
        mqtt_receive(reader)
        reader.sendall(mqtt_packet(0x82, b"\0\1\0" + mqtt_string("flight/#") + b"\1"))
        mqtt_receive(reader)
        _drain(reader)
        for at in range(0, 65_000, 500):
            batch = [mqtt_packet(0x32, mqtt_string("flight/a") + b"\0\1\0x") for n in range(500)]
            _send(sock, b"".join(batch))
            if at % 5_000 == 0:
                _answered(sock)
        _answered(sock)
        # Closing alone would do nothing while another thread reads.
        reader.shutdown(socket.SHUT_RDWR)
        time.sleep(1)


def commit_batches(site: Site) -> None:
    """200,000 persistent messages from one client, as fast as they go."""
    one = b"SEND\ndestination:/queue/batches\npersistent:true\n\nx\0"
    with site.stomp() as sock:
        for _ in range(200):
            _send(sock, one * 1_000)
        _send(sock, one.replace(b"persistent", b"receipt:r\npersistent"))
        while b"RECEIPT" not in sock.recv(65_536):
            pass


def connections(site: Site) -> None:
    """4,000 MQTT connections that come and go."""
    for _ in range(40):
        socks = [site.mqtt(4, f"c{n}") for n in range(100)]
        for sock in socks:
            sock.close()


def durable_fan_out(site: Site) -> None:
    """Messages to 10,000 subscriptions of kept sessions."""
    for n in range(200):
        with site.connect("mqtt") as sock:
            sock.sendall(mqtt_packet(0x10, b"\0\4MQTT\4\0\0\0" + mqtt_string(f"kept{n}")))
            mqtt_receive(sock)
            sock.sendall(mqtt_packet(0x82, b"\0\1" + mqtt_string("fan/#") + b"\1"))
            mqtt_receive(sock)
    with site.mqtt(4) as sock:
        for n in range(20):
            _send(sock, mqtt_packet(0x32, mqtt_string(f"fan/{n}") + b"\0\1" + bytes(100)))
        _answered(sock)


def many_subscribers(site: Site) -> None:
    """5,000 subscriptions of # on few connections, and new topics."""
    socks = [site.stomp() for _ in range(10)]
    for sock in socks:
        _drain(sock)
        _send(sock, b"".join([f"SUBSCRIBE\nid:{n}\ndestination:/topic/>\n\n\0".encode() for n in range(500)]))
    time.sleep(1)
    with site.mqtt() as sock:
        for n in range(50):
            _send(sock, _publish(f"new/{n}", b"x"))
        _answered(sock)
    for sock in socks:
        sock.close()
    time.sleep(1)


def many_queues(site: Site) -> None:
    """20,000 queues, and one subscription to all of them."""
    with site.stomp() as sock:
        for at in range(0, 20_000, 1_000):
            _send(
                sock,
                b"".join([f"SEND\ndestination:/queue/q.{n}\n\nx\0".encode() for n in range(at, at + 1_000)]),
            )
        _send(sock, b"SEND\ndestination:/queue/q.0\nreceipt:r\n\nx\0")
        sock.recv(65_536)
    with site.stomp() as sock:
        _drain(sock)
        _send(sock, b"SUBSCRIBE\nid:0\ndestination:/queue/q.>\nack:auto\n\n\0")
        time.sleep(5)
    time.sleep(1)


def large_paged(site: Site) -> None:
    """2,000 messages of 60 kB are written and drained."""
    one = b"SEND\ndestination:/queue/large\npersistent:true\ncontent-length:60000\n\n" + bytes(60_000) + b"\0"
    with site.stomp() as sock:
        for _ in range(2_000):
            _send(sock, one)
        _send(sock, b"SEND\ndestination:/topic/x\nreceipt:r\n\nx\0")
        sock.recv(65_536)
    with site.stomp() as sock:
        _drain(sock)
        _send(sock, b"SUBSCRIBE\nid:0\ndestination:/queue/large\nack:auto\n\n\0")
        time.sleep(3)


CASES: Final[dict[str, Callable[[Site], None]]] = {
    case.__name__.replace("_", "-"): case
    for case in (
        nothing,
        http_many_messages,
        http_one_large,
        http_many_numbers,
        json_halves,
        json_unpacked,
        json_large_to_many,
        json_very_large,
        json_packed,
        mqtt_one_large,
        stomp_one_large,
        mqtt_properties_to_stomp,
        http_deep_json,
        http_chunks,
        mqtt_many_properties,
        mqtt_many_filters,
        mqtt_many_subscriptions_end,
        wildcard_filters,
        stomp_commit,
        stomp_many_headers,
        selectors,
        retained,
        mqtt_in_flight,
        commit_batches,
        connections,
        durable_fan_out,
        many_subscribers,
        many_queues,
        large_paged,
    )
}


def paused(site: Site) -> str:
    """The process stands still while clients go on: who is ended for silence that was not theirs?"""
    process = site.running.process
    assert process is not None
    with site.connect("mqtt") as sock:
        sock.sendall(mqtt_packet(0x10, b"\0\4MQTT\4\2\0\1" + mqtt_string("sleeper")))
        mqtt_receive(sock)
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.5)
        sock.sendall(b"\xc0\x00")
        time.sleep(3)
        os.kill(process.pid, signal.SIGCONT)
        try:
            return "stays" if receive_exactly(sock, 2) == b"\xd0\x00" else "is ended"
        except OSError:
            return "is ended"


def main() -> None:
    """Run the cases that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", default="", help="the gateway's command; plain Python without it")
    parser.add_argument("names", nargs="*", help="cases: " + ", ".join(CASES))
    arguments = parser.parse_args()
    command = [arguments.bin] if arguments.bin else [sys.executable, "-m", "gateway"]
    for name in arguments.names or CASES:
        if name == "paused":
            continue
        site = Site(command)
        try:
            process = site.running.process
            assert process is not None
            pinger = Pinger(site.ports["mqtt"], process.pid)
            time.sleep(0.2)
            pinger.worst()
            begun = time.perf_counter()
            CASES[name](site)
            time.sleep(SETTLE_S)
            worst, worked, count = pinger.worst()
            took_s = time.perf_counter() - begun
            print(
                f"{name:30} {worst * 1000:8.1f} ms, of work {worked * 1000:7.1f} ms  ({count} pings, {took_s:.1f} s)",
                flush=True,
            )
            pinger.end()
        finally:
            site.running.stop()
    if not arguments.names or "paused" in arguments.names:
        site = Site(command)
        try:
            print(f"{'paused':30} a client that pinged meanwhile {paused(site)}")
        finally:
            site.running.stop()


if __name__ == "__main__":
    main()
