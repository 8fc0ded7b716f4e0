"""Out of file descriptors: connections are refused, the store goes on, the process too."""

import re
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits as POSIX has them")

FILES = 160

CONFIG = """
[[connector]]
name = "stomp"
uri = "stomp://127.0.0.1:0"
[[connector]]
name = "auto"
uri = "auto://127.0.0.1:0"
[admin]
enabled = false
[store]
path = "{path}"
reserve_bytes = 0
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", dict[str, int]]]:
    config = tmp_path / "gateway.toml"
    config.write_text(CONFIG.format(path=tmp_path / "store.db"))
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "run", str(config)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, FILES)),
        )
    assert process.stdout is not None
    ports: dict[str, int] = {}
    for line in process.stdout:
        if found := re.match(r"  (\S+) +\S+://127\.0\.0\.1:(\d+)", line):
            ports[found[1]] = int(found[2])
        if line == "ready\n":
            break
    yield process, ports
    process.kill()
    process.communicate()


@pytest.mark.parametrize("connector", ["stomp", "auto"])
def test_silent_connections_take_no_descriptor_that_the_store_needs(
    gateway: tuple["subprocess.Popen[str]", dict[str, int]], tmp_path: Path, connector: str
) -> None:
    process, ports = gateway
    client = socket.create_connection(("127.0.0.1", ports["stomp"]), 30)
    client.sendall(b"CONNECT\naccept-version:1.2\nhost:x\n\n\0")
    assert client.recv(1_000).startswith(b"CONNECTED")
    silent = [socket.create_connection(("127.0.0.1", ports[connector]), 30) for _ in range(2 * FILES)]
    # The last ones have been refused: reset, or closed without a word.
    try:
        said = silent[-1].recv(1)
    except ConnectionError:
        said = b""
    assert said == b""
    body = b"x" * 70_000
    client.sendall(
        b"SEND\ndestination:/queue/q\npersistent:true\nreceipt:1\ncontent-length:70000\n\n%b\0" % body
    )
    assert client.recv(1_000).startswith(b"RECEIPT")
    assert any((tmp_path / "store.db-segments").iterdir())
    for one in silent:
        one.close()
    client.sendall(b"SUBSCRIBE\nid:1\ndestination:/queue/q\nreceipt:2\n\n\0")
    assert client.recv(1_000)
    assert process.poll() is None
    log = (tmp_path / "log").read_text()
    assert "no more files may be open" in log
    assert "maximumConnections allow" in log
    # One line a refusal would fill the disk.
    assert log.count("no more files may be open") < FILES
