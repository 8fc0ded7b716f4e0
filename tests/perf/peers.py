"""The brokers: each started on spare loopback ports with sane settings, and ended by its process id."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from tests.perf.wires import Endpoint

START_TIMEOUT_S: Final = 90.0
ROOT: Final = Path(__file__).parents[2]


def free_port() -> int:
    """A port that nobody has now, below the range from which the kernel gives out its own."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@dataclass
class Peer:
    """A broker that can be started in some way.

    The same broker started in another way (durable, say) is another Peer of the same name, with other features: it
    takes part in the workloads that ask for those, in the same column.
    """

    name: str
    find: Callable[[], str]
    """Says what is missing; empty when it can be started."""
    prepare: Callable[["Running"], None]
    """Writes its settings into a directory, and fills in command, environment and endpoints."""
    features: tuple[str, ...]
    """What it has of what workloads ask for: protocols, and parts of them."""
    only: tuple[str, ...] = ()
    """Names of the only workloads that it can run, if it is no broker."""


@dataclass
class Running:
    """A broker that is being started, or runs."""

    directory: Path
    command: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    def spawn(self) -> "subprocess.Popen[bytes]":
        """Start its process, and wait for nothing."""
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.directory,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.process

    def start(self) -> None:
        """Start it and wait until every endpoint answers."""
        process = self.spawn()
        deadline = time.monotonic() + START_TIMEOUT_S
        for endpoint in self.endpoints.values():
            while not _answers(endpoint.port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self.directory / "log").read_text(errors="replace")[-2_000:])
                time.sleep(0.05)
        time.sleep(0.5)  # let it finish starting before it is measured

    def stop(self) -> None:
        """End the process group that was started here."""
        process = self.process
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                break
            try:
                process.wait(15)
                break
            except subprocess.TimeoutExpired:
                continue
        shutil.rmtree(self.directory, ignore_errors=True)

    def cpu_s(self) -> float:
        """Processor time that it has used, its child processes included."""
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        times = [each.cpu_times() for each in (parent, *parent.children(recursive=True))]
        return float(sum([each.user + each.system for each in times]))

    @property
    def resident_bytes(self) -> int:
        """Resident memory of the process."""
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0


def start(peer: Peer) -> Running:
    """Start a broker in a directory of its own."""
    running = Running(Path(tempfile.mkdtemp(prefix="gateway-bench-")))
    peer.prepare(running)
    try:
        running.start()
    except BaseException:
        running.stop()
        raise
    return running


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _command(name: str) -> Callable[[], str]:
    return lambda: "" if shutil.which(name) else f"{name} is not installed"


def _file(path: Path, package: str) -> Callable[[], str]:
    return lambda: "" if path.exists() else f"{package} is not installed"


# -- the gateway itself, plain and compiled


ALL_FEATURES: Final = ("mqtt", "mqtt qos 2", "mqtt 5", "stomp")


def _gateway(environment: str) -> Peer:
    binary = ROOT / environment / "bin" / "gateway"

    def prepare(running: Running) -> None:
        running.endpoints = {"mqtt": Endpoint(free_port()), "stomp": Endpoint(free_port())}
        options = "maximumConnections=20000&maximumSubscriptions=1000000"
        (running.directory / "gateway.toml").write_text(
            "".join(
                f'[[connector]]\nname = "{name}"\nuri = "{name}://127.0.0.1:{endpoint.port}?{options}"\n'
                for name, endpoint in running.endpoints.items()
            )
            + '[admin]\nenabled = false\n[mqtt]\nsession_bytes_max = 67108864\n[store]\npath = ""\n'
        )
        running.command = [str(binary), "run", "gateway.toml"]

    def find() -> str:
        return "" if binary.exists() else f"{environment} has not been made"

    return Peer(
        "gateway" if environment.endswith("compiled") else "gateway (plain)", find, prepare, ALL_FEATURES
    )


# -- the others


def _mosquitto(running: Running) -> None:
    port = free_port()
    running.endpoints = {"mqtt": Endpoint(port)}
    (running.directory / "m.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_inflight_messages 0\n"
        "max_queued_messages 0\nmax_connections -1\npersistence false\nlog_type error\n"
    )
    running.command = ["mosquitto", "-c", "m.conf"]


def _nats(running: Running) -> None:
    port = free_port()
    running.endpoints = {"nats": Endpoint(port)}
    running.command = ["nats-server", "-a", "127.0.0.1", "-p", str(port)]


_RABBIT: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


def _rabbit_binary() -> Path:
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    return found[-1] if found else _RABBIT


def _rabbitmq(running: Running) -> None:
    directory = running.directory
    mqtt, stomp, amqp, distribution = (free_port() for _ in range(4))
    running.endpoints = {
        "mqtt": Endpoint(mqtt, "guest", "guest"),
        "stomp": Endpoint(stomp, "guest", "guest"),
    }
    (directory / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{amqp}\nmqtt.listeners.tcp.1 = 127.0.0.1:{mqtt}\n"
        f"stomp.listeners.tcp.1 = 127.0.0.1:{stomp}\nlog.file.level = error\nmqtt.prefetch = 1000\n"
    )
    (directory / "plugins").write_text("[rabbitmq_mqtt,rabbitmq_stomp].\n")
    (directory / "home").mkdir()
    running.environment = {
        "HOME": str(directory / "home"),
        "RABBITMQ_NODENAME": f"bench{amqp}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
        "RABBITMQ_LOG_BASE": str(directory / "logs"),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
    }
    running.command = [str(_rabbit_binary())]


_ACTIVEMQ_JAR: Final = Path("/usr/share/activemq/bin/activemq.jar")

_ACTIVEMQ_XML: Final = """<beans xmlns="http://www.springframework.org/schema/beans"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans
    http://www.springframework.org/schema/beans/spring-beans.xsd
    http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="bench" persistent="false" useJmx="false"
          dataDirectory="{directory}/data">
    <transportConnectors>
      <transportConnector name="stomp" uri="stomp://127.0.0.1:{stomp}"/>
    </transportConnectors>
  </broker>
</beans>
"""


def _activemq(running: Running) -> None:
    # The MQTT transport of Debian's package takes connections but does not answer CONNECT: STOMP is what is measured.
    stomp = free_port()
    directory = running.directory
    running.endpoints = {"stomp": Endpoint(stomp)}
    (directory / "activemq.xml").write_text(_ACTIVEMQ_XML.format(directory=directory, stomp=stomp))
    running.command = [
        "java",
        "-Xms512m",
        "-Xmx1g",
        f"-Dactivemq.home={_ACTIVEMQ_JAR.parents[1]}",
        f"-Dactivemq.base={directory}",
        f"-Dactivemq.conf={directory}",
        f"-Dactivemq.data={directory}/data",
        "-jar",
        str(_ACTIVEMQ_JAR),
        "start",
        f"xbean:file:{directory}/activemq.xml",
    ]


def _relay(running: Running) -> None:
    port = free_port()
    running.endpoints = {"mqtt": Endpoint(port)}
    running.environment = {"PYTHONPATH": str(ROOT)}
    running.command = [sys.executable, "-m", "tests.perf.relay", str(port)]


GATEWAY: Final = _gateway(".venv-compiled")
GATEWAY_PLAIN: Final = _gateway(".venv")

RELAY: Final = Peer("bare relay", lambda: "", _relay, ("mqtt",), only=("mqtt0_1x1", "mqtt0_1k", "mqtt0_64k"))

PEERS: Final = (
    GATEWAY,
    GATEWAY_PLAIN,
    Peer("Mosquitto", _command("mosquitto"), _mosquitto, ("mqtt", "mqtt qos 2", "mqtt 5")),
    Peer("nats-server", _command("nats-server"), _nats, ("nats",)),
    # Debian's RabbitMQ 3.10 has no MQTT 5, and makes QoS 1 of QoS 2.
    Peer("RabbitMQ", _file(_rabbit_binary(), "rabbitmq-server"), _rabbitmq, ("mqtt", "stomp")),
    Peer("ActiveMQ", _file(_ACTIVEMQ_JAR, "activemq"), _activemq, ("stomp",)),
    RELAY,
)

if sys.platform != "linux":
    raise SystemExit("the benchmark reads /proc: it runs on Linux")
