"""A disk that others fill: a small one is mounted, filled, and nothing that was confirmed is lost or stuck.

Where mounting is not allowed these are skipped; tests/store/test_store_full.py has the same without a real disk.
"""

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crash_world import CONNECTORS
from small_disk import Volume

WAIT_S = 30.0
"""Far above anything that can happen."""

BODY = b"x" * 10_000

CONFIG = f"""{CONNECTORS}[admin]
uri = "http://127.0.0.1:0"
[store]
path = "{{path}}"
"""


class Server:
    """The gateway's process, its store on the volume."""

    def __init__(self, directory: Path, volume: Volume) -> None:
        self._config = directory / "gateway.toml"
        self._config.write_text(CONFIG.format(path=volume.directory / "store.db"))
        self._log = directory / "log"
        self.ports: dict[str, int] = {}
        self.process: subprocess.Popen[str]

    def start(self) -> None:
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "run", str(self._config)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.match(r"  (\S+) +\S+://127\.0\.0\.1:(\d+)", line):
                self.ports[found[1]] = int(found[2])
            if line == "ready\n":
                return
        raise AssertionError(self._log.read_text())

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)

    def connect(self, name: str) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.ports[name]), WAIT_S)

    def get(self, path: str) -> tuple[int, dict[str, object]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['admin']}{path}") as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture
def server(tmp_path: Path, volume: Volume) -> Iterator[Server]:
    made = Server(tmp_path, volume)
    made.start()
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait()


class Stomp:
    """A STOMP 1.2 client."""

    def __init__(self, server: Server) -> None:
        self.socket = server.connect("stomp")
        self._data = b""
        self.say(b"CONNECT\naccept-version:1.2\nhost:x\n\n")
        assert self.hear().startswith(b"CONNECTED")

    def say(self, frame: bytes) -> None:
        self.socket.sendall(frame + b"\0")

    def hear(self) -> bytes:
        """The next frame."""
        while b"\0" not in self._data:
            piece = self.socket.recv(65_536)
            assert piece
            self._data += piece
        frame, _, self._data = self._data.partition(b"\0")
        return frame.lstrip(b"\n")

    def send(self, number: int) -> bytes:
        """A persistent message; what the gateway says of it."""
        self.say(
            b"SEND\ndestination:/queue/q\npersistent:true\nnumber:%d\nreceipt:%d\n\n" % (number, number)
            + BODY
        )
        return self.hear()

    def take(self, count: int) -> list[int]:
        """The numbers of so many messages, each acknowledged."""
        self.say(b"SUBSCRIBE\nid:1\ndestination:/queue/q\nack:client-individual\n\n")
        numbers = []
        for _ in range(count):
            frame = self.hear()
            assert frame.startswith(b"MESSAGE")
            ack = re.search(rb"\nack:(.*)\n", frame)
            number = re.search(rb"\nnumber:(\d+)\n", frame)
            assert ack is not None
            assert number is not None
            self.say(b"ACK\nid:%b\nreceipt:a\n\n" % ack[1])
            numbers.append(int(number[1]))
        return numbers

    def receipts(self, count: int) -> None:
        for _ in range(count):
            assert self.hear().startswith(b"RECEIPT")


def until(met: Callable[[], bool]) -> None:
    """Wait for something that the gateway looks at once a second."""
    limit_s = time.monotonic() + WAIT_S
    while not met():
        assert time.monotonic() < limit_s
        time.sleep(0.05)


def publish_until_refused(server: Server) -> tuple[list[int], bytes]:
    """The numbers of what was confirmed, and why the next one was not."""
    client = Stomp(server)
    confirmed: list[int] = []
    while len(confirmed) < 10_000:
        answer = client.send(len(confirmed))
        if not answer.startswith(b"RECEIPT"):
            return confirmed, answer
        confirmed.append(len(confirmed))
    raise AssertionError("it takes more than there is room for")


def test_publishers_fill_the_disk_down_to_the_watermark_and_consumers_make_room_again(server: Server) -> None:
    confirmed, why = publish_until_refused(server)
    assert len(confirmed) > 1_000
    assert b"the broker's disk is full" in why
    code, health = server.get("/health")
    assert (code, health["status"]) == (503, "degraded")
    assert "store.free_bytes_min is" in str(health["reason"])
    assert server.get("/status")[1]["reason"] == health["reason"]
    consumer = Stomp(server)
    consumer.say(b"SUBSCRIBE\nid:1\ndestination:/queue/q\nack:auto\n\n")
    numbers = [int(re.search(rb"\nnumber:(\d+)\n", consumer.hear())[1]) for _ in confirmed]  # type: ignore[index]
    assert numbers == confirmed
    until(lambda: server.get("/health")[0] == 200)
    assert Stomp(server).send(1).startswith(b"RECEIPT")
    assert server.get("/health") == (200, {"status": "up"})
    assert server.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_disk_that_others_fill_loses_nothing_and_is_drained_after_a_start(
    server: Server, volume: Volume, number: signal.Signals
) -> None:
    client = Stomp(server)
    for message in range(100):
        assert client.send(message).startswith(b"RECEIPT")
    volume.fill()
    confirmed, why = publish_until_refused(server)
    assert b"the broker's disk is full" in why
    assert server.end(number) == (0 if number == signal.SIGTERM else -number)
    volume.fill()
    server.start()
    consumer = Stomp(server)
    waiting = [*range(100), *confirmed]
    taken = consumer.take(len(waiting))
    assert taken == waiting
    consumer.receipts(len(waiting))
    server.end(signal.SIGKILL)
    server.start()
    # What was acknowledged, and said so, does not come again: the first to come is new.
    volume.empty()
    until(lambda: server.get("/health")[0] == 200)
    assert Stomp(server).send(7_000).startswith(b"RECEIPT")
    assert Stomp(server).take(1) == [7_000]


def test_a_kept_session_gets_its_answer_on_a_full_disk(server: Server, volume: Volume) -> None:
    volume.fill()
    publish_until_refused(server)
    client = server.connect("mqtt")
    client.sendall(bytes.fromhex("10 13 0004 4d515454 05 00 003c 05 11 00000e10 0001 63".replace(" ", "")))
    assert client.recv(1_000)[0] == 0x20
    # SUBSCRIBE 1 a/# qos=1: granted or refused, but answered.
    client.sendall(bytes.fromhex("82 09 0001 00 0003 612f23 01".replace(" ", "")))
    answer = client.recv(1_000)
    assert answer[0] == 0x90
    assert answer[-1] in (0x01, 0x97)
    assert server.end(signal.SIGTERM) == 0


def test_a_new_session_is_let_in_on_a_full_disk_and_session_present_says_whether_it_is_there_after_a_crash(
    server: Server, volume: Volume
) -> None:
    """Whether the reserve had room for it is chance; once there is room it is kept."""
    volume.fill()
    publish_until_refused(server)
    volume.fill()
    connect = bytes.fromhex("10 0d 0004 4d515454 04 00 003c 0001 64".replace(" ", ""))
    client = server.connect("mqtt")
    client.sendall(connect)
    assert client.recv(1_000) == bytes((0x20, 2, 0, 0))
    assert server.end(signal.SIGKILL) == -signal.SIGKILL
    volume.empty()
    server.start()
    client = server.connect("mqtt")
    client.sendall(connect)
    assert client.recv(1_000) in (bytes((0x20, 2, 0, 0)), bytes((0x20, 2, 1, 0)))
    assert server.end(signal.SIGTERM) == 0
    server.start()
    client = server.connect("mqtt")
    client.sendall(connect)
    assert client.recv(1_000) == bytes((0x20, 2, 1, 0))
    assert server.end(signal.SIGTERM) == 0
