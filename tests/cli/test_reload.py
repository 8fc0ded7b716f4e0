"""SIGHUP and `gateway reload` on a gateway in a process of its own."""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from gateway.security.passwords import hash_password

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")

CONFIG = """
[[connector]]
name = "stomp"
uri = "stomp://127.0.0.1:0"
[store]
path = ""
[admin]
uri = "http://127.0.0.1:0"
"""
USER = '[[user]]\nname = "{0}"\nhash = "{1}"\n'
RULE = '[[rule]]\nallow = ["publish", "subscribe"]\ndestinations = ["topic:{0}.>"]\n'


def stomp(port: int, *frames: bytes, login: str = "ann") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), 5)
    client.sendall(f"CONNECT\naccept-version:1.2\nhost:x\nlogin:{login}\npasscode:x\n\n\0".encode())
    assert client.recv(1000).startswith(b"CONNECTED\n")
    for frame in frames:
        client.sendall(frame)
    return client


def to_the_end(client: socket.socket) -> bytes:
    data = b""
    while piece := client.recv(65_536):
        data += piece
    return data


def test_a_hangup_exchanges_users_and_rules_and_says_so(start) -> None:
    users = USER.format("ann", hash_password("x"))
    process = start(CONFIG + users + RULE.format("a"))
    subscribe = b"SUBSCRIBE\nid:1\ndestination:/topic/a.>\nreceipt:r\n\n\0"
    reader = stomp(process.ports["stomp"], subscribe)
    assert b"RECEIPT" in reader.recv(1000)
    start.path.write_text(CONFIG + users + RULE.format("b"))
    process.popen.send_signal(signal.SIGHUP)
    said = to_the_end(reader)
    assert said.startswith(b"ERROR\n")
    assert b"/topic/a.> may not be read any more" in said
    (line,) = [line for line in process.wait_for("reloaded: ") if "reloaded: " in line]
    assert "1 rules, which are others" in line
    assert "1 subscriptions ended" in line
    start.path.write_text(CONFIG + "[[user]]\nnam = 1\n")
    process.popen.send_signal(signal.SIGHUP)
    (line,) = [line for line in process.wait_for("not reloaded") if "not reloaded" in line]
    assert "all stays as it was" in line
    assert "user[0].hash is missing" in line
    stomp(process.ports["stomp"]).close()
    process.popen.terminate()
    assert process.end()[0] == 0


def test_the_command_says_what_came_of_it(start, gateway_command) -> None:
    users = USER.format("ann", hash_password("x"))
    process = start(CONFIG + users)
    admin = process.admin
    assert gateway_command("reload", "--url", admin) == (
        0,
        "reloaded: users and rules are as they were\n",
        "",
    )
    start.path.write_text(CONFIG + users + RULE.format("b"))
    code, said, _ = gateway_command("reload", "--json", "--url", admin)
    assert code == 0
    assert json.loads(said)["done"].startswith("1 rules, which are others")
    start.path.write_text("[[user]]\n")
    code, said, problems = gateway_command("reload", "--url", admin)
    assert (code, said) == (2, "")
    assert problems.splitlines()[0] == "not reloaded, all stays as it was:"
    assert "user[0].name is missing" in problems
    # The file itself names the gateway's address, and is what is wrong.
    assert gateway_command("reload", str(start.path)) == (2, "", problems)
    process.popen.terminate()
    process.end()
    code, said, problems = gateway_command("reload", "--url", admin)
    assert (code, said) == (1, "")
    assert problems.startswith(f"no gateway answers at {admin}: ")


def test_a_page_of_a_browser_may_not_have_it_reloaded(start) -> None:
    process = start()
    for head in (b"GET /reload", b"POST /reload"):
        client = socket.create_connection(("127.0.0.1", process.ports["admin"]), 5)
        client.sendall(
            head + b" HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Length: 0\r\n\r\n"
        )
        assert client.recv(1000).split()[1] in (b"403", b"405")


def _minds_hangups(pid: int) -> bool:
    """Has it said what is to be done on SIGHUP, instead of ending?"""
    text = Path(f"/proc/{pid}/status").read_text()
    masks = [int(text.split(name)[1].split()[0], 16) for name in ("SigIgn:", "SigCgt:")]
    return bool((masks[0] | masks[1]) & 1 << (signal.SIGHUP - 1))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc as Linux has it")
def test_hangups_while_it_starts_and_stops_neither_end_it_nor_get_lost(start, tmp_path: Path) -> None:
    process = start(GATEWAY_LOG__FORMAT="json")
    # It has not even read its configuration yet, or just about.
    until = time.monotonic() + 30
    while not _minds_hangups(process.popen.pid):
        assert time.monotonic() < until
        time.sleep(0.001)
    os.kill(process.popen.pid, signal.SIGHUP)
    lines = process.wait_for('"started"')
    process.popen.send_signal(signal.SIGHUP)
    lines += process.wait_for("reloaded: ")
    process.popen.terminate()
    process.popen.send_signal(signal.SIGHUP)
    code, rest = process.end()
    assert code == 0
    assert all(json.loads(line)["level"] == "info" for line in (*lines, *rest.splitlines()))
