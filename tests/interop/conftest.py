"""A gateway of its own process on free ports, for real clients over real sockets."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clients import Ports
from node_clients import Node, missing

CONFIG = """
[[connector]]
name = "mqtt"
uri = "mqtt://127.0.0.1:0"
[[connector]]
name = "stomp"
uri = "stomp://127.0.0.1:0"
[store]
path = ""
[admin]
uri = "http://127.0.0.1:0"
[stomp]
heart_beat_send_ms = 100
"""

UNIX = """
[[connector]]
name = "local"
uri = "mqtt+unix://{path}"
"""


@contextmanager
def running(directory: Path, config: str) -> Iterator[Ports]:
    """A gateway with this configuration, stopped gracefully at the end, which is checked too."""
    (directory / "gateway.toml").write_text(config)
    errors = (directory / "errors").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "run", str(directory / "gateway.toml")],
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        cwd=Path.cwd(),
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.strip() == "ready":
            break
    found = {name: int(port) for name, port in re.findall(r"(mqtt|stomp|http)://127\.0\.0\.1:(\d+)", said)}
    assert set(found) == {"mqtt", "stomp", "http"}, said + (directory / "errors").read_text()
    yield Ports(found["mqtt"], found["stomp"], found["http"])
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert "internal error" not in (directory / "errors").read_text()


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    """A gateway that lets everybody do everything."""
    with running(tmp_path_factory.mktemp("gateway"), CONFIG) as ports:
        yield ports


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Path]:
    """The Unix socket of a gateway."""
    with tempfile.TemporaryDirectory(prefix="gw") as name:
        path = Path(name) / "mqtt.sock"
        with running(tmp_path, CONFIG + UNIX.format(path=path)):
            yield path
        assert not path.exists()


GUARDED = (
    CONFIG
    + """
[[user]]
name = "device"
hash = "{hash}"
groups = ["devices"]
[[user]]
name = "ops"
hash = "{hash}"
[[rule]]
allow = ["publish", "subscribe"]
groups = ["devices"]
destinations = ["topic:sensors.{{user}}.>", "queue:jobs"]
[[rule]]
deny = ["receive"]
destinations = ["topic:sensors.*.secret"]
[[rule]]
allow = ["publish", "subscribe"]
users = ["ops"]
destinations = ["topic:>", "queue:>"]
"""
)


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    """A gateway with users, whose password is `right`, and rules."""
    command = [sys.executable, "-m", "gateway", "user", "hash"]
    hashed = subprocess.run(command, input="right\n", capture_output=True, text=True, check=True).stdout
    with running(tmp_path_factory.mktemp("guarded"), GUARDED.format(hash=hashed.strip())) as ports:
        yield ports


@pytest.fixture(scope="session")
def mosquitto() -> None:
    """mosquitto_pub and mosquitto_sub must be there; in continuous integration their absence is a failure."""
    if not shutil.which("mosquitto_pub") or not shutil.which("mosquitto_sub"):
        if os.environ.get("CI"):
            pytest.fail("mosquitto_pub and mosquitto_sub are not installed")
        pytest.skip("mosquitto_pub and mosquitto_sub are not installed (Debian: mosquitto-clients)")


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """Clients in JavaScript; in continuous integration their absence is a failure."""
    if problem := missing():
        if os.environ.get("CI"):
            pytest.fail(problem)
        pytest.skip(problem)
    process = Node()
    yield process
    process.close()
