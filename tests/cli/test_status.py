"""`gateway status` against a gateway that runs."""

import json
import socket

STOMP_CONNECT = b"CONNECT\naccept-version:1.2\nhost:x\n\n\0"


def test_status_shows_connectors_limits_and_counts(start, gateway_command) -> None:
    process = start()
    with socket.create_connection(("127.0.0.1", process.ports["stomp"]), 5) as client:
        client.sendall(STOMP_CONNECT)
        client.recv(1000)
        client.sendall(b"SEND\ndestination:/queue/q\nreceipt:r\n\nhi\0")
        assert b"receipt-id:r" in client.recv(1000)
        code, said, _ = gateway_command("status", "--url", process.admin)
    assert code == 0
    lines = said.splitlines()
    assert lines[0].startswith("gateway is up: gateway-broker ")
    mqtt = next(line for line in lines if line.startswith("mqtt "))
    stomp = next(line for line in lines if line.startswith("stomp "))
    assert f"mqtt://127.0.0.1:{process.ports['mqtt']}" in mqtt
    assert "0 of 5" in mqtt
    assert "1 of 10000" in stomp
    assert "1 queues" in said


def test_status_as_json_is_the_whole_answer(start, gateway_command) -> None:
    process = start()
    code, said, _ = gateway_command("status", "--json", "--url", process.admin)
    assert code == 0
    answer = json.loads(said)
    assert answer["status"] == "up"
    assert [connector["name"] for connector in answer["connectors"]] == ["mqtt", "stomp"]
    connector = answer["connectors"][0]
    assert connector["limits"]["maximumConnections"] == 5
    assert connector["limits"]["slowConsumer"] == "drop-oldest"
    assert connector["connections"] == connector["internal_errors"] == 0
    assert answer["core"]["subscriptions"] == 0
    assert answer["services"]["mqtt_sessions"] == 0
    assert answer["messages_in_per_s"] == 0


def test_no_gateway_is_one_line_and_exit_code_1(gateway_command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code, _, said = gateway_command("status", "--url", f"http://127.0.0.1:{port}")
    assert code == 1
    assert said.startswith(f"no gateway answers at http://127.0.0.1:{port}: ")
    assert len(said.splitlines()) == 1


def test_only_loopback_is_asked(gateway_command) -> None:
    code, _, said = gateway_command("status", "--url", "http://192.0.2.1:8161")
    assert code == 1
    assert "loopback" in said
