"""A gateway process with TLS on every port, and the PKI folder that it lives from."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.pki import issue, names
from gateway.pki.folder import Folder, Plan

TIMEOUT_S = 20.0

CONFIG = """
[[connector]]
name = "mqtts"
uri = "mqtt+ssl://127.0.0.1:0"
[connector.tls]
{files}
[[connector]]
name = "mutual"
uri = "mqtt+ssl://127.0.0.1:0?transport.needClientAuth=true"
[connector.tls]
{files}
[[connector]]
name = "stomps"
uri = "stomp+ssl://127.0.0.1:0"
[connector.tls]
{files}
client_certificates = "want"
[[connector]]
name = "auto"
uri = "auto://127.0.0.1:0"
[connector.tls]
{files}
[store]
path = ""
[admin]
uri = "http://127.0.0.1:0"
"""


class TlsGateway:
    """A running gateway."""

    def __init__(
        self, folder: Folder, process: "subprocess.Popen[str]", ports: dict[str, int], log: Path
    ) -> None:
        self.folder = folder
        self.process = process
        self.ports = ports
        self.log = log

    @property
    def root(self) -> str:
        """What clients trust."""
        return str(self.folder.path / "root-ca.crt")

    def files(self, name: str) -> tuple[str, str]:
        """Chain and key of a leaf."""
        leaf = self.folder.leaf(name)
        return str(leaf.chain), str(leaf.key)

    def status(self, connector: str) -> dict[str, Any]:
        """What the status says of a connector's TLS."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.ports['admin']}/status", timeout=TIMEOUT_S
        ) as answer:
            found = {item["name"]: item for item in json.load(answer)["connectors"]}
        tls: dict[str, Any] = found[connector]["tls"]
        return tls

    def until(self, true: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
        """Wait for something; fails when it does not come."""
        deadline = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)


def make_folder(path: Path) -> Folder:
    """Authorities, the server `broker`, the clients `device-17` and `other`."""
    folder = Folder(path)
    folder.init(Plan())
    here = names.alternative_names(["localhost"], ["127.0.0.1"])
    issue.issue(folder, issue.Order("server", "broker", alternative=here), None)
    for name in ("device-17", "other"):
        issue.issue(folder, issue.Order("client", name), None)
    return folder


@contextmanager
def running(directory: Path) -> Iterator[TlsGateway]:
    """A gateway with all kinds of TLS connectors: see `serving`."""
    folder = make_folder(directory / "certs")
    leaf = folder.leaf("broker")
    files = "\n".join(
        [
            f'certificate = "{leaf.chain}"',
            f'key = "{leaf.key}"',
            f'ca = ["{folder.path}/root-ca.crt", "{folder.path}/intermediate-ca.crt"]',
            f'crl = ["{folder.path}/intermediate-ca.crl"]',
        ]
    )
    with serving(folder, CONFIG.format(files=files)) as gateway:
        assert set(gateway.ports) == {"mqtts", "mutual", "stomps", "auto", "admin"}, gateway.log.read_text()
        yield gateway


@contextmanager
def serving(folder: Folder, config: str) -> Iterator[TlsGateway]:
    """A gateway with this configuration beside `folder`, stopped gracefully at the end, which is checked too."""
    directory = folder.path.parent
    (directory / "gateway.toml").write_text(config)
    log = directory / "errors"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "run", str(directory / "gateway.toml")],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        assert process.stdout is not None
        ports: dict[str, int] = {}
        for line in process.stdout:
            if found := re.match(r"  (\S+) +\S+://127\.0\.0\.1:(\d+)", line):
                ports[found[1]] = int(found[2])
            if line.strip() == "ready":
                break
        yield TlsGateway(folder, process, ports, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert "internal error" not in log.read_text()
    finally:
        process.kill()
        process.communicate()
