"""What the manual says of Firefox and Java is done as it stands there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pki_tools import TIMEOUT_S, needs

from gateway.pki.folder import Folder

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "gateway" / "manual" / "tls.md"


def _guide(name: str) -> list[str]:
    """The lines of a block of the manual."""
    [block] = re.findall(rf"^```sh {name}\n(.*?)^```", MANUAL.read_text(encoding="utf-8"), re.S | re.M)
    return str(block).splitlines()


def _follow(folder: Folder, name: str) -> dict[str, str]:
    """Say each line of a guide beside the folder `certs`; what came of each."""
    here = folder.path.parent
    (here / "bin").mkdir(exist_ok=True)
    command = here / "bin" / "gateway"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m gateway "$@"\n')
    command.chmod(0o755)
    (here / "nss").mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "PATH": f"{here / 'bin'}:{os.environ['PATH']}",
        "NSS": str(here / "nss"),
        "EXPORT_PASSPHRASE": "a good secret",
    }
    said: dict[str, str] = {}
    for line in _guide(name):
        done = subprocess.run(
            ["sh", "-c", line], cwd=here, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL, check=False)  # fmt: skip
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        said[line] = done.stdout + done.stderr
    return said


def test_firefox(issued: Folder) -> None:
    for command in ("certutil", "pk12util"):
        needs(command, "libnss3-tools")
    *_, verified = _follow(issued, "nss").values()
    assert "certificate is valid" in verified
    database = f"sql:{issued.path.parent / 'nss'}"
    listed = subprocess.run(
        ["certutil", "-L", "-d", database], capture_output=True, text=True, check=True, timeout=TIMEOUT_S
    ).stdout
    assert re.search(r"^device-17 +u,u,u", listed, re.M)
    assert re.search(r"^Gateway Root CA +CT,,", listed, re.M)
    # The intermediate came with the key: the client can send its whole chain.
    assert "Gateway Intermediate CA" in listed


def test_nss_does_not_take_a_server_for_a_client(issued: Folder) -> None:
    needs("certutil", "libnss3-tools")
    _follow(issued, "nss")
    nss = f"sql:{issued.path.parent / 'nss'}"
    chain = issued.leaf("broker").certificate
    subprocess.run(
        ["certutil", "-A", "-d", nss, "-n", "broker", "-t", ",,", "-i", chain], check=True, timeout=TIMEOUT_S
    )
    for usage, good in (("V", True), ("C", False)):
        done = subprocess.run(["certutil", "-V", "-d", nss, "-u", usage, "-n", "broker"], capture_output=True,
                              check=False, timeout=TIMEOUT_S)  # fmt: skip
        assert (done.returncode == 0) == good


def test_java(issued: Folder) -> None:
    if shutil.which("keytool") is None:
        # A JRE is large, so nothing installs it for this alone.
        pytest.skip("keytool is not installed (Debian: default-jre-headless)")
    said = _follow(issued, "java")
    listed = [text for line, text in said.items() if line.startswith("keytool")]
    assert listed[0].count("trustedCertEntry") == 2
    assert listed[1].count("PrivateKeyEntry") == listed[2].count("PrivateKeyEntry") == 1
