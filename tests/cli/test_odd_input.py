"""Commands given what they do not expect: a sentence and an exit code, never a traceback."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app

URLS = (
    "http://[::1",
    "http://127.0.0.1:99999",
    "http://127.0.0.1:x",
    "",
    "ftp://127.0.0.1",
    "http://127.0.0.1:1/\n",
)
STORES = ("directory", "text", "empty", "no/such", "loop", "/dev/null", "a" * 5000)


def said(*arguments: str) -> tuple[int, str]:
    """Exit code and all that the command says; what it raises is raised."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    return result.exit_code, result.output


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("command", ["status", "reload"])
def test_an_address_that_is_none(tmp_path: Path, command: str, url: str) -> None:
    none = tmp_path / "none.toml"
    none.write_text('[admin]\nuri = "http://127.0.0.1:1"\n')
    code, problem = said(command, str(none), "--url", url)
    assert code == 1
    assert "http" in problem or "ftp" in problem


@pytest.mark.parametrize("command", ["check", "stats", "compact", "why-kept", "backup", "restore"])
@pytest.mark.parametrize("name", STORES)
def test_a_store_that_is_none(tmp_path: Path, command: str, name: str) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").touch()
    (tmp_path / "loop").symlink_to("loop")
    path = str(tmp_path / name)
    if command == "restore":
        arguments = ("restore", path, "--store", str(tmp_path / "target"))
    elif command == "backup":
        arguments = ("backup", str(tmp_path / "copy"), "--store", path)
    else:
        arguments = (command, "--store", path)
    code, problem = said("store", *arguments)
    assert code in (0, 1, 2)
    assert problem.strip()


@pytest.mark.parametrize("path", ["a" * 5000, "a\\u0000b"])
def test_a_path_that_is_none_in_the_configuration(tmp_path: Path, path: str) -> None:
    file = tmp_path / "odd.toml"
    file.write_text(f'[store]\npath = "{path}"\n')
    code, problem = said("check", str(file))
    assert code == 1
    assert len(problem.splitlines()) == 1


def test_names_of_clients_are_text_and_nothing_that_a_terminal_obeys(start, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    config = f"""
[gateway]
name = "[/x] [bold]"
[[connector]]
name = "stomp"
uri = "stomp://127.0.0.1:0"
[store]
path = "{store}"
reserve_bytes = 0
[admin]
uri = "http://127.0.0.1:0"
"""
    process = start(config)
    client = socket.create_connection(("127.0.0.1", process.ports["stomp"]), 5)
    client.sendall(b"CONNECT\naccept-version:1.2\nhost:x\n\n\0")
    client.sendall(b"SEND\ndestination:/queue/[/y]\x1b[31m\npersistent:true\nreceipt:r\n\nx\0")
    data = b""
    while b"RECEIPT" not in data:
        piece = client.recv(1000)
        assert piece
        data += piece
    code, answer = said("status", "--url", process.admin)
    assert code == 0
    assert answer.startswith("[/x] [bold] is up")
    code, answer = said("store", "stats", "--store", str(store))
    assert code == 0
    assert "[/y]\\x1b[31m" in answer
    for command in ("stats", "why-kept"):
        assert "\x1b" not in said("store", command, "--store", str(store))[1]


@pytest.mark.parametrize("command", [("--version",)])
def test_nobody_reads_what_it_says_or_the_disk_is_full(command: tuple[str, ...], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    outputs = [writer]
    if Path("/dev/full").exists():
        outputs.append(os.open("/dev/full", os.O_WRONLY))
    for output in outputs:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *command],
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        os.close(output)
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        assert done.returncode in (0, 1)
