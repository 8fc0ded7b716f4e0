"""`gateway store …` beside a running gateway, and what a gateway with a store says when it starts and ends."""

import json
import socket
import sqlite3
from pathlib import Path

import psutil
import pytest

CONFIG = """
[[connector]]
name = "stomp"
uri = "stomp://127.0.0.1:0"
[store]
path = "{path}"
[admin]
uri = "http://127.0.0.1:0"
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "data" / "store.db"


def stomp(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), 10)
    client.sendall(b"CONNECT\naccept-version:1.2\nhost:x\n\n\0")
    assert answer(client).startswith(b"CONNECTED")
    return client


def answer(client: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\0\n"):
        piece = client.recv(65_536)
        assert piece
        data += piece
    return data.lstrip(b"\n")


def send(client: socket.socket, body: str, persistent: bool = True) -> None:
    kept = "persistent:true\n" if persistent else ""
    client.sendall(f"SEND\ndestination:/queue/q\n{kept}receipt:r\n\n{body}\0".encode())
    assert answer(client).startswith(b"RECEIPT")


def test_messages_are_there_after_a_restart_and_the_commands_see_them(
    start, gateway_command, store: Path, tmp_path: Path
) -> None:
    process = start(CONFIG.format(path=store))
    client = stomp(process.ports["stomp"])
    send(client, "one")
    send(client, "two")
    option = ("--store", str(store))
    code, said, _ = gateway_command("store", "check", *option)
    assert (code, said) == (0, f"{store}: sound\n")
    code, said, _ = gateway_command("store", "stats", *option)
    assert code == 0
    assert "queue:q" in said
    code, said, _ = gateway_command("store", "why-kept", *option)
    assert "2 messages in queue:q" in said
    copy = tmp_path / "copy.db"
    assert gateway_command("store", "backup", str(copy), *option)[0] == 0
    code, _, complaint = gateway_command("store", "restore", str(copy), *option)
    assert (code, "in use by another process" in complaint) == (1, True)
    client.close()
    process.popen.terminate()
    assert process.end()[0] == 0
    code, said, _ = gateway_command("store", "restore", str(copy), *option)
    assert (code, "what was there is kept as" in said) == (0, True)
    process = start(CONFIG.format(path=store))
    client = stomp(process.ports["stomp"])
    client.sendall(b"SUBSCRIBE\nid:1\ndestination:/queue/q\n\n\0")
    bodies = answer(client)
    while bodies.count(b"MESSAGE\n") < 2:
        bodies += answer(client)
    assert b"one\0" in bodies
    assert b"two\0" in bodies
    client.close()


def test_a_second_gateway_on_one_store_says_so_and_ends(
    start, gateway_command, store: Path, tmp_path: Path
) -> None:
    process = start(CONFIG.format(path=store))
    second = tmp_path / "second.toml"
    second.write_text(CONFIG.format(path=store))
    code, _, said = gateway_command("run", str(second))
    assert code == 1
    assert f"cannot start: store: {store}: in use by another process (id {process.popen.pid})" in said


def test_a_damaged_store_is_served_and_named(start, gateway_command, store: Path) -> None:
    process = start(CONFIG.format(path=store))
    client = stomp(process.ports["stomp"])
    for n in range(50):
        send(client, f"{n:03}" + "x" * 1_000)
    client.close()
    process.popen.terminate()
    process.end()
    data = bytearray(store.read_bytes())
    at = data.index(b"x" * 1_000) // 4096 * 4096
    data[at : at + 4096] = b"\xff" * 4096
    store.write_bytes(data)
    assert gateway_command("store", "check", "--store", str(store))[0] == 2
    process = start(CONFIG.format(path=store))
    _, said, _ = gateway_command("status", "--json", "--url", process.admin)
    status = json.loads(said)
    assert status["store"]["damages"]
    client = stomp(process.ports["stomp"])
    client.sendall(b"SUBSCRIBE\nid:1\ndestination:/queue/q\n\n\0")
    assert b"MESSAGE" in answer(client)
    client.close()
    process.popen.terminate()
    code, log = process.end()
    assert code == 0
    assert "was damaged; it is kept as" in log
    assert gateway_command("store", "check", "--store", str(store))[0] == 2


def test_a_newer_store_is_not_touched(start, gateway_command, store: Path, tmp_path: Path) -> None:
    process = start(CONFIG.format(path=store))
    process.popen.terminate()
    process.end()
    connection = sqlite3.connect(store)
    connection.execute("PRAGMA user_version = 99")
    # A newer program says so at both places; at one alone it is a damage.
    connection.execute("UPDATE meta SET value = 99 WHERE key = 'version'")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    config = tmp_path / "again.toml"
    config.write_text(CONFIG.format(path=store))
    code, _, said = gateway_command("run", str(config))
    assert (code, "written by a newer version of this program" in said) == (1, True)


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="needs the counts of /proc")
def test_non_persistent_messages_never_touch_the_disk(start, store: Path) -> None:
    process = start(CONFIG.format(path=store))
    client = stomp(process.ports["stomp"])
    send(client, "warm", persistent=False)
    counts = psutil.Process(process.popen.pid).io_counters
    before = counts().write_bytes
    for n in range(300):
        send(client, f"{n}" * 100, persistent=False)
    assert counts().write_bytes == before
    send(client, "kept")
    assert counts().write_bytes > before
    client.close()
