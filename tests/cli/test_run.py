"""`gateway run` as a process: what it says at the start, and how it stops."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")

CONNECT_5 = bytes.fromhex("10 0e 00 04 4d515454 05 02 003c 00 0001 63".replace(" ", ""))
"""MQTT 5, clean start, keep-alive 60 s, client id `c`."""


def mqtt(port: int) -> socket.socket:
    """A connected MQTT 5 client."""
    client = socket.create_connection(("127.0.0.1", port), 5)
    client.sendall(CONNECT_5)
    answer = client.recv(1000)
    assert answer[0] == 0x20
    assert answer[3] == 0
    return client


def stomp(port: int) -> socket.socket:
    """A connected STOMP 1.2 client."""
    client = socket.create_connection(("127.0.0.1", port), 5)
    client.sendall(b"CONNECT\naccept-version:1.2\nhost:x\n\n\0")
    assert client.recv(1000).startswith(b"CONNECTED\n")
    return client


def all_of(client: socket.socket) -> bytes:
    """Everything until the gateway closes."""
    data = b""
    while piece := client.recv(65_536):
        data += piece
    return data


def test_start_names_connectors_ports_and_limits(start) -> None:
    process = start()
    assert set(process.ports) == {"mqtt", "stomp", "admin"}
    line = next(line for line in process.lines if line.startswith("  mqtt "))
    assert f"mqtt://127.0.0.1:{process.ports['mqtt']}  " in line
    assert "maximumConnections=5 " in line
    assert "wireFormat.maxFrameSize=104857600 " in line
    assert "slowConsumer=drop-oldest" in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_with_0_within_5_s_and_clients_hear_it(start, number: signal.Signals) -> None:
    process = start()
    mqtt_client = mqtt(process.ports["mqtt"])
    stomp_client = stomp(process.ports["stomp"])
    begin = time.monotonic()
    process.popen.send_signal(number)
    # MQTT 5.0 §3.14.2.1: 0x8B is `Server shutting down`.
    assert all_of(mqtt_client)[:3] == b"\xe0\x01\x8b"
    said = all_of(stomp_client)
    assert said.startswith(b"ERROR\n")
    assert b"shutting down" in said
    code, log = process.end()
    assert code == 0
    assert time.monotonic() - begin < 5
    assert "stopping" in log
    assert "stopped" in log


def test_a_client_that_does_not_close_does_not_hold_up_the_stop(start) -> None:
    process = start()
    client = mqtt(process.ports["mqtt"])
    begin = time.monotonic()
    process.popen.terminate()
    assert process.end()[0] == 0
    assert time.monotonic() - begin < 5
    client.close()


def test_the_listening_ports_close_first(start) -> None:
    process = start()
    client = mqtt(process.ports["mqtt"])
    process.popen.terminate()
    assert all_of(client) != b""
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", process.ports["mqtt"]), 5)


def _stuck(process) -> socket.socket:
    """A client that is owed more than the sockets' buffers hold, and reads nothing."""
    reader = stomp(process.ports["stomp"])
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.sendall(
        b"SUBSCRIBE\nid:1\ndestination:/queue/big\nack:client\nprefetch-count:1000\nreceipt:r\n\n\0"
    )
    assert b"RECEIPT" in reader.recv(1000)
    writer = stomp(process.ports["stomp"])
    body = b"x" * 1_000_000
    for _ in range(30):
        writer.sendall(b"SEND\ndestination:/queue/big\ncontent-length:%d\n\n%b\0" % (len(body), body))
    writer.sendall(b"SEND\ndestination:/queue/end\nreceipt:end\n\n\0")
    assert b"receipt-id:end" in writer.recv(1000)
    return reader


def test_a_client_that_does_not_read_is_waited_for_only_so_long(start) -> None:
    process = start(GATEWAY_GATEWAY__SHUTDOWN_TIMEOUT_MS="1000")
    reader = _stuck(process)
    begin = time.monotonic()
    process.popen.terminate()
    assert process.end()[0] == 0
    assert 0.9 < time.monotonic() - begin < 5
    reader.close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_stops_it_at_once(start, number: signal.Signals, code: int) -> None:
    process = start(GATEWAY_GATEWAY__SHUTDOWN_TIMEOUT_MS="60000")
    reader = _stuck(process)
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.stderr is not None
    for line in process.popen.stderr:
        if "stopping" in line:
            break
    begin = time.monotonic()
    process.popen.send_signal(number)
    assert process.end()[0] == code
    assert time.monotonic() - begin < 5
    reader.close()


def test_a_taken_port_is_one_line_and_exit_code_1(start, gateway_command, tmp_path) -> None:
    taken = start().ports["mqtt"]
    path = tmp_path / "second.toml"
    path.write_text(
        f'[[connector]]\nname = "m"\nuri = "mqtt://127.0.0.1:{taken}"\n[admin]\nenabled = false\n[store]\npath = ""\n'
    )
    code, _, said = gateway_command("run", str(path))
    assert code == 1
    assert said.splitlines()[-1].startswith(f"cannot start: connector m on 127.0.0.1:{taken}: ")
    assert "in use" in said
    assert "Traceback" not in said


def test_a_bad_configuration_is_a_line_a_mistake_and_exit_code_1(gateway_command, tmp_path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[log]\nlevl = 1\n[mqtt]\nqos_max = 7\n")
    code, _, said = gateway_command("run", str(path))
    assert code == 1
    assert len(said.splitlines()) == 2
    assert "did you mean 'level'?" in said


def test_all_that_it_says_can_be_json(start) -> None:
    process = start(GATEWAY_LOG__FORMAT="json")
    first = process.wait_for('"started"')
    process.popen.terminate()
    said, rest = process.popen.communicate(timeout=20)
    records = [json.loads(line) for line in (*first, *rest.splitlines())]
    assert [record["message"] for record in records][-1] == "stopped"
    assert {record["level"] for record in records} == {"info"}
    assert said == ""


@pytest.mark.parametrize("text", ["[log]\nlevl = 1\n", "[log\n", '[log]\nformat = "json"\nlevl = 1\n', None])
def test_what_is_wrong_with_the_configuration_is_json_too_where_that_is_asked_for(
    gateway_command, tmp_path, text: str | None
) -> None:
    path = tmp_path / "bad.toml"
    if text is not None:
        path.write_text(text)
    asked = {} if text and "json" in text else {"GATEWAY_LOG__FORMAT": "json"}
    code, said, log = gateway_command("run", str(path), **asked)
    assert (code, said) == (1, "")
    (record,) = [json.loads(line) for line in log.splitlines()]
    assert record["level"] == "critical"
    assert str(path) in record["message"]


def test_why_it_cannot_start_is_json_too(start, gateway_command, tmp_path) -> None:
    taken = start().ports["mqtt"]
    path = tmp_path / "second.toml"
    path.write_text(f'[[connector]]\nname = "m"\nuri = "mqtt://127.0.0.1:{taken}"\n[store]\npath = ""\n')
    code, said, log = gateway_command("run", str(path), GATEWAY_LOG__FORMAT="json")
    assert (code, said) == (1, "")
    assert json.loads(log.splitlines()[-1])["message"].startswith("cannot start: connector m ")


def test_a_refused_client_hears_why_and_is_logged_and_counted(start) -> None:
    process = start(GATEWAY_CONNECTOR__MQTT__URI="mqtt://127.0.0.1:0?maximumConnections=1")
    first = mqtt(process.ports["mqtt"])
    second = socket.create_connection(("127.0.0.1", process.ports["mqtt"]), 5)
    second.sendall(CONNECT_5)
    answer = all_of(second)
    # MQTT 5.0 §3.2.2.2: 0x97 is `Quota exceeded`.
    assert (answer[0], answer[3]) == (0x20, 0x97)
    process.popen.terminate()
    assert "maximumConnections is reached" in process.end()[1]
    first.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_starts_ends_it_without_a_traceback(start, number: signal.Signals) -> None:
    process = start(GATEWAY_LOG__FORMAT="json")
    # The first line of its log comes in the middle of the start.
    lines = process.wait_for("listens on")
    process.popen.send_signal(number)
    code, rest = process.end()
    assert code == 0
    assert json.loads(rest.splitlines()[-1])["message"] == "stopped"
    assert "Traceback" not in "".join(lines) + rest


def _signalled(command: str, number: signal.Signals, module: str) -> subprocess.CompletedProcess[str]:
    """`gateway COMMAND`, to which the signal comes when it is about to import `module`, which may not even be there."""
    # What is started in the background by a shell without job control inherits that SIGINT is ignored.
    code = (
        f"import signal, sys; sys.argv = ['gateway', {command!r}]; import gateway.__main__ as entry\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: signal.raise_signal({int(number)})\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "entry.main()"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        env=os.environ | {"GATEWAY_STORE__PATH": ""},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
# The module that it begins with, which has what there is to it ready before it imports the rest; and the last one
# before it takes signals in its loop.
@pytest.mark.parametrize("module", ["gateway.cli.main", "uvloop"])
def test_a_signal_before_anything_is_open_is_an_orderly_stop(number: signal.Signals, module: str) -> None:
    done = _signalled("run", number, module)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_ctrl_c_while_a_command_is_imported_is_no_traceback() -> None:
    done = _signalled("status", signal.SIGINT, "gateway.cli.main")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_nobody_reads_its_output_and_it_goes_on(start) -> None:
    process = start()
    assert process.popen.stdout is not None
    assert process.popen.stderr is not None
    process.popen.stdout.close()
    process.popen.stderr.close()
    process.popen.send_signal(signal.SIGPIPE)
    # What ends with an error has a line in the log, which nobody takes.
    client = socket.create_connection(("127.0.0.1", process.ports["mqtt"]), 5)
    client.sendall(b"\xf0\xff\xff\xff\xff\xff")
    assert client.recv(100) == b""
    mqtt(process.ports["mqtt"]).close()
    process.popen.terminate()
    assert process.popen.wait(20) == 0
