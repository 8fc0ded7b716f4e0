"""PKI folders, and the stock openssl command in them."""

import subprocess
from pathlib import Path

import pytest
from pki_tools import TIMEOUT_S, Openssl, needs

from gateway.pki import names
from gateway.pki.folder import Folder, Plan
from gateway.pki.issue import Order, issue


@pytest.fixture
def openssl() -> Openssl:
    """Run openssl in a directory; returns what it says, on failure the test fails with it."""
    command = needs("openssl", "openssl")

    def run(directory: Path, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [command, *arguments],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert (done.returncode == 0) == (code == 0), done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Two authorities, with nothing issued."""
    made = Folder(tmp_path / "certs")
    made.init(Plan())
    return made


@pytest.fixture
def issued(folder: Folder) -> Folder:
    """A server `broker` and a client `device-17`."""
    here = names.alternative_names(["localhost"], ["127.0.0.1"])
    issue(folder, Order("server", "broker", alternative=here), None)
    issue(folder, Order("client", "device-17"), None)
    return folder
