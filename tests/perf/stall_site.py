"""A gateway that runs to be held up, and what its clients say."""

import socket
import sys
import tempfile
import threading
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
    mqtt_string,
)

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
            sock.sendall(json_frame(b'{"op":"subscribe","sub":"1","from":"%b"}' % source.encode()))
        return sock

    def stomp(self) -> socket.socket:
        """A STOMP client that is logged in."""
        sock = self.connect("stomp")
        Stomp(Endpoint(self.ports["stomp"]), NO_CONTENT).log_in(sock, "stall")
        return sock


def drain(sock: socket.socket) -> None:
    """Read and forget, until the connection ends."""

    def read() -> None:
        try:
            while sock.recv(1 << 20):
                pass
        except OSError:
            pass

    threading.Thread(target=read, daemon=True).start()


def send(sock: socket.socket, data: bytes) -> None:
    """All of it, as far as the gateway takes it."""
    try:
        sock.sendall(data)
    except OSError:
        pass


def answered(sock: socket.socket) -> None:
    """An MQTT client that is pinged back has had all before that handled; one that was ended, too."""
    send(sock, b"\xc0\x00")
    try:
        while mqtt_next(sock)[0] != 0xD0:
            pass
    except OSError:
        return


def publish(topic: str, payload: bytes, properties: bytes = b"", retain: bool = False) -> bytes:
    return mqtt_packet(
        0x31 if retain else 0x30, mqtt_string(topic) + mqtt_length(len(properties)) + properties + payload
    )


def json_frame(text: bytes, first: int = 0x81) -> bytes:
    """A message of `gateway.json`, with a mask that changes nothing (RFC 6455 §5.2)."""
    size = len(text)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65_536:
        head = bytes((first, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + size.to_bytes(8, "big")
    return head + bytes(4) + text


def http(sock: socket.socket, path: str, body: bytes, headers: str = "") -> bytes:
    """POST, and the answer's first line."""
    send(
        sock,
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode(),
    )
    send(sock, body)
    return first_line(sock)


def first_line(sock: socket.socket) -> bytes:
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


def say(text: object) -> None:
    print(f"      {text}", flush=True)
