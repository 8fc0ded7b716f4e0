"""The TLS part of the benchmark: throughput and handshakes, every broker with the same certificate, key and cipher.

bench.py calls it.  The load's own TLS works on memory, with one read and one write for many records: a broker that
makes a record of every message is not held back by the load's system calls.
"""

import atexit
import functools
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from gateway.pki import issue, names
from gateway.pki.folder import Folder, Plan
from tests.perf import load, peers
from tests.perf.bars import Bar, against
from tests.perf.peers import Peer, Running
from tests.perf.wires import CONNECT_TIMEOUT_S, Content, Endpoint, Mqtt
from tests.perf.workloads import Figure, Workload, figure

CIPHER: Final = "TLS_AES_256_GCM_SHA384"
TOPIC: Final = "bench/t"
RECORD: Final = 16_384
READ_BYTES: Final = 1 << 18
CLIENTS: Final = 2
"""Processes that shake hands, each one after the other."""


@functools.cache
def pki() -> Folder:
    """One certificate for all brokers: ECDSA P-256."""
    directory = tempfile.mkdtemp(prefix="gateway-bench-tls-")
    atexit.register(shutil.rmtree, directory, True)
    folder = Folder(Path(directory) / "certs")
    folder.init(Plan())
    here = names.alternative_names(["localhost"], ["127.0.0.1"])
    issue.issue(folder, issue.Order("server", "broker", alternative=here), None)
    return folder


# -- the load's side


class TlsSocket:
    """Looks like a socket to load.py."""

    def __init__(self, raw: socket.socket, context: ssl.SSLContext) -> None:
        self._raw = raw
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname="localhost")
        self._pending = memoryview(b"")
        self._accepted = 0
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                raw.sendall(self._out.read())
                self._in.write(raw.recv(READ_BYTES))
        raw.sendall(self._out.read())
        cipher = (self._tls.cipher() or ("",))[0]
        if cipher != CIPHER:
            raise RuntimeError(f"agreed on {cipher}, not on {CIPHER}")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def recv_into(self, buffer: bytearray, size: int = 0, flags: int = 0) -> int:
        """Everything that one read brings; BlockingIOError when that is not even one record."""
        view = memoryview(buffer)
        data = self._raw.recv(READ_BYTES)
        if not data:
            return 0
        self._in.write(data)
        at = 0
        read = self._tls.read
        try:
            while True:
                at += read(RECORD, view[at:])
        except ssl.SSLWantReadError:
            pass
        if not at:
            raise BlockingIOError
        return at

    def recv(self, size: int) -> bytes:
        """See socket; waits where the socket waits."""
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                data = self._raw.recv(READ_BYTES)
                if not data:
                    return b""
                self._in.write(data)

    def send(self, data: Any) -> int:
        """Encrypt once; answers only when all of that is sent, else BlockingIOError."""
        if not self._pending:
            view = memoryview(data)[:READ_BYTES]
            at = 0
            while at < len(view):
                at += self._tls.write(view[at:])
            self._accepted = at
            self._pending = memoryview(self._out.read())
        self._pending = self._pending[self._raw.send(self._pending) :]
        if self._pending:
            raise BlockingIOError
        return self._accepted

    def sendall(self, data: bytes) -> None:
        """See socket; only while it blocks."""
        self._tls.write(data)
        self._raw.sendall(self._out.read())


class MqttTls(Mqtt):
    """MQTT 3.1.1 over TLS."""

    def connect(self, name: str, source: str = "127.0.0.1") -> socket.socket:
        """See Wire."""
        raw = socket.create_connection(("127.0.0.1", self.endpoint.port), CONNECT_TIMEOUT_S)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(pki().path / "root-ca.crt")
        sock: Any = TlsSocket(raw, context)
        self.log_in(sock, name)
        return sock  # type: ignore[no-any-return]


def throughput(running: Running, seconds: float) -> Figure:
    """MQTT QoS 0, one to one, messages a second."""
    wire = MqttTls(running.endpoints["mqtts"], Content((TOPIC,)))
    return figure(running, load.Flow(wire, wire, (TOPIC,)), seconds)


def handshakes(running: Running, seconds: float) -> Figure:
    """Full handshakes a second, made by openssl's own client in two processes."""
    whole = max(2, round(seconds))
    command = [
        "openssl", "s_time", "-connect", f"127.0.0.1:{running.endpoints['mqtts'].port}", "-new",
        "-time", str(whole), "-CAfile", str(pki().path / "root-ca.crt"), "-ciphersuites", CIPHER, "-tls1_3",
    ]  # fmt: skip
    if not _knows_tls13():
        command.remove("-tls1_3")
    start = time.perf_counter()
    clients = [
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(CLIENTS)
    ]
    count = 0
    for client in clients:
        said, _ = client.communicate(timeout=whole + 30)
        found = re.search(r"(\d+) connections in \d+ real seconds", said)
        if found is None:
            raise RuntimeError(f"openssl s_time: {said[-300:]}")
        count += int(found[1])
    return Figure(count / (time.perf_counter() - start))


@functools.cache
def _knows_tls13() -> bool:
    done = subprocess.run(
        ["openssl", "s_time", "-help"], capture_output=True, text=True, check=False, timeout=10
    )
    return "-tls1_3" in done.stdout + done.stderr


# -- the brokers, listening with TLS only


def _gateway(environment: str) -> Peer:
    binary = peers.ROOT / environment / "bin" / "gateway"

    def prepare(running: Running) -> None:
        port = peers.free_port()
        running.endpoints = {"mqtts": Endpoint(port)}
        leaf = pki().leaf("broker")
        (running.directory / "gateway.toml").write_text(
            f'[[connector]]\nname = "mqtts"\nuri = "mqtt+ssl://127.0.0.1:{port}?maximumConnections=20000"\n'
            f'[connector.tls]\ncertificate = "{leaf.chain}"\nkey = "{leaf.key}"\n[admin]\nenabled = false\n'
        )
        running.command = [str(binary), "run", "gateway.toml"]

    compiled = environment.endswith("compiled")
    missing = f"{environment} has not been made"
    return Peer(
        "gateway" if compiled else "gateway (plain)",
        lambda: "" if binary.exists() else missing,
        prepare,
        ("mqtts",),
    )


def _mosquitto(running: Running) -> None:
    port = peers.free_port()
    running.endpoints = {"mqtts": Endpoint(port)}
    leaf = pki().leaf("broker")
    # It gives up root's rights before it reads the key: the copy belongs to whom it then is.
    key = running.directory / "broker.key"
    key.write_bytes(leaf.key.read_bytes())
    (running.directory / "m.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_inflight_messages 0\n"
        f"max_queued_messages 0\nmax_connections -1\npersistence false\nlog_type error\nuser root\n"
        f"certfile {leaf.chain}\nkeyfile {key}\n"
    )
    running.command = ["mosquitto", "-c", "m.conf"]


def _needs_mosquitto() -> str:
    return "" if shutil.which("mosquitto") else "mosquitto is not installed"


PEERS: Final = (
    _gateway(".venv-compiled"),
    _gateway(".venv"),
    Peer("Mosquitto", _needs_mosquitto, _mosquitto, ("mqtts",)),
)

WORKLOADS: Final = (
    Workload("tls_mqtt0_1x1", "MQTT QoS 0 over TLS, 1 to 1", ("mqtts",), throughput),
    Workload("tls_handshakes", "TLS handshakes", ("mqtts",), handshakes, "handshakes/s"),
)

BARS: Final = (
    Bar("MQTT QoS 0 over TLS one to one, against Mosquitto", against("tls_mqtt0_1x1", "Mosquitto"), 3),
    Bar("TLS handshakes, against Mosquitto", against("tls_handshakes", "Mosquitto"), 1),
)
