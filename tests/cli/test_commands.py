"""What all commands have in common, and what they answer with."""

import json
import re
import socket
from pathlib import Path

import pytest


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("command", [(), ("store",), ("store", "check"), ("pki",), ("status",)])
def test_help_has_a_short_name_everywhere(gateway_command, command: tuple[str, ...], option: str) -> None:
    code, said, _ = gateway_command(*command, option)
    assert (code, "Usage: " in said) == (0, True)


def test_version_is_an_option_too(gateway_command) -> None:
    assert gateway_command("--version") == gateway_command("version")


def test_help_texts_keep_their_brackets(gateway_command) -> None:
    assert "[[user]]" in gateway_command("user", "hash", "--help")[1]
    assert "[admin] uri" in " ".join(gateway_command("status", "--help")[1].split())


def test_status_takes_the_configuration_file(start, gateway_command, tmp_path: Path) -> None:
    process = start()
    path = tmp_path / "asked.toml"
    path.write_text(f'[admin]\nuri = "{process.admin}"\n')
    code, said, _ = gateway_command("status", str(path))
    assert (code, said.startswith("gateway is up: ")) == (0, True)


def test_status_as_json_says_down_in_json(gateway_command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code, said, _ = gateway_command("status", "--json", "--url", f"http://127.0.0.1:{port}")
    answer = json.loads(said)
    assert (code, answer["status"]) == (1, "down")
    assert answer["reason"].startswith("no gateway answers at ")


def test_store_commands_take_the_configuration_file(gateway_command, tmp_path: Path) -> None:
    path = tmp_path / "g.toml"
    path.write_text(f'[store]\npath = "{tmp_path}/none.db"\n')
    code, _, said = gateway_command("store", "check", str(path))
    assert (code, said) == (1, f"{tmp_path}/none.db: there is no store\n")


def test_check_tries_the_paths(gateway_command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "g.toml"
    path.write_text(
        f"""[store]
        path = "{tmp_path}/file/store.db"
        [[connector]]
        name = "here"
        uri = "mqtt+unix://{tmp_path}/file"
        [[connector]]
        name = "nowhere"
        uri = "mqtt+unix://{tmp_path}/none/m.sock"
        """
    )
    code, _, said = gateway_command("check", str(path))
    assert code == 1
    assert said.splitlines() == [
        f"store.path: {tmp_path}/file is no folder",
        f"connector[here]: {tmp_path}/file is there, and no socket",
        f"connector[nowhere]: {tmp_path}/none is no folder",
    ]


def test_check_says_what_clients_will_refuse(gateway_command, tmp_path: Path) -> None:
    pki = tmp_path / "certs"
    gateway_command("pki", "init", "--client", "device", "--dir", str(pki))
    path = tmp_path / "g.toml"
    path.write_text(
        f"""[store]
        path = ""
        [[connector]]
        name = "m"
        uri = "mqtt+ssl://127.0.0.1:8883"
        [connector.tls]
        certificate = "{pki}/issued/device-chain.crt"
        key = "{pki}/issued/device.key"
        """
    )
    code, _, said = gateway_command("check", str(path))
    assert code == 1
    assert "connector[m].tls: clients will refuse the certificate: " in said
    assert "extended key usage" in said


def test_log_lines_say_their_time_zone(start) -> None:
    process = start(TZ="Asia/Kathmandu")
    process.popen.terminate()
    first = process.end()[1].splitlines()[0]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+05:45 ", first)
