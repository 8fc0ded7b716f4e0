"""Unmodified clients exchange messages through a running gateway, in every direction."""

import asyncio
import json
import socket
import subprocess
import urllib.request
import uuid

import pytest
from amqtt.client import MQTTClient
from clients import TIMEOUT_S, Paho, Ports, Stomp


def _name() -> str:
    """A name that no other test uses."""
    return f"t{uuid.uuid4().hex[:8]}"


# -- MQTT among itself


@pytest.mark.parametrize("publisher", [4, 5])
@pytest.mark.parametrize("subscriber", [4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_paho_to_paho(gateway: Ports, publisher: int, subscriber: int, qos: int) -> None:
    root = _name()
    with Paho(gateway.mqtt, subscriber) as sub, Paho(gateway.mqtt, publisher) as pub:
        sub.subscribe(f"{root}/+/x/#", qos)
        for n in range(20):
            pub.publish(f"{root}/a/x/y", b"%d" % n, qos)
        assert sub.inbox.take(20) == [(f"{root}/a/x/y", b"%d" % n) for n in range(20)]


def test_paho_session_waits_for_its_client(gateway: Ports) -> None:
    root = _name()
    first = Paho(gateway.mqtt, 4, root, clean=False)
    first.subscribe(root, 1)
    first.close()
    with Paho(gateway.mqtt) as pub:
        for n in range(5):
            pub.publish(root, b"%d" % n, 1)
    with Paho(gateway.mqtt, 4, root, clean=False) as again:
        assert [body for _, body in again.inbox.take(5)] == [b"0", b"1", b"2", b"3", b"4"]
    with Paho(gateway.mqtt, 4, root, clean=True):
        pass


def test_paho_large_message(gateway: Ports) -> None:
    root = _name()
    body = b"x" * 3_000_000
    with Paho(gateway.mqtt) as sub, Paho(gateway.mqtt) as pub:
        sub.subscribe(root, 1)
        pub.publish(root, body, 1)
        assert sub.inbox.take(1) == [(root, body)]


async def test_amqtt_client_both_ways(gateway: Ports) -> None:
    root = _name()
    client = MQTTClient(config={"auto_reconnect": False})
    await client.connect(f"mqtt://127.0.0.1:{gateway.mqtt}/")
    try:
        await client.subscribe([(f"{root}/#", 2)])
        for qos in (0, 1, 2):
            await client.publish(f"{root}/a", b"%d" % qos, qos=qos)
            message = await asyncio.wait_for(client.deliver_message(), TIMEOUT_S)
            assert message is not None
            assert (message.topic, bytes(message.data)) == (f"{root}/a", b"%d" % qos)
    finally:
        await client.disconnect()


@pytest.mark.usefixtures("mosquitto")
@pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv5"])
@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_mosquitto_pub_and_sub(gateway: Ports, version: str, qos: str) -> None:
    root = _name()
    common = ["-p", str(gateway.mqtt), "-V", version, "-q", qos]
    # The retained message makes the order of the two processes indifferent.
    subprocess.run(
        ["mosquitto_pub", *common, "-t", f"{root}/a.b", "-m", "hello", "-r"], check=True, timeout=TIMEOUT_S
    )
    out = subprocess.run(
        ["mosquitto_sub", *common, "-t", f"{root}/+", "-C", "1", "-v"],
        check=True,
        timeout=TIMEOUT_S,
        capture_output=True,
        text=True,
    )
    assert out.stdout == f"{root}/a.b hello\n"


# -- STOMP among itself


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_stomp_py_topic_and_queue(gateway: Ports, version: str) -> None:
    root = _name()
    with Stomp(gateway.stomp, version) as sub, Stomp(gateway.stomp, version) as pub:
        sub.subscribe(f"/topic/{root}.*")
        pub.publish(f"/topic/{root}.a", b"topic")
        pub.publish(f"/queue/{root}", b"queue")
        sub.subscribe(f"/queue/{root}", "client")
        assert sub.inbox.take(2) == [(f"/topic/{root}.a", b"topic"), (f"/queue/{root}", b"queue")]


def test_stomp_py_transaction_and_redelivery(gateway: Ports) -> None:
    root = _name()
    with Stomp(gateway.stomp) as pub:
        transaction = pub.connection.begin()
        for n in range(3):
            pub.connection.send(f"/queue/{root}", str(n), transaction=transaction)
        pub.connection.commit(transaction)
    first = Stomp(gateway.stomp)
    first.subscribe(f"/queue/{root}", "client-individual")
    assert [body for _, body in first.inbox.take(3)] == [b"0", b"1", b"2"]
    first.connection.transport.disconnect_socket()
    with Stomp(gateway.stomp) as again:
        again.subscribe(f"/queue/{root}")
        assert [body for _, body in again.inbox.take(3)] == [b"0", b"1", b"2"]
        assert again.frames.get(timeout=TIMEOUT_S).headers["redelivered"] == "true"  # type: ignore[attr-defined]


# -- across


@pytest.mark.parametrize("mqtt", [4, 5])
@pytest.mark.parametrize("stomp", ["1.0", "1.1", "1.2"])
def test_topics_cross_both_ways_with_wildcards_and_dots_survive(
    gateway: Ports, mqtt: int, stomp: str
) -> None:
    root = _name()
    with Paho(gateway.mqtt, mqtt) as device, Stomp(gateway.stomp, stomp) as script:
        script.subscribe(f"/topic/{root}.*.t")
        device.subscribe(f"{root}/+/u", 1)
        device.publish(f"{root}/192.168.0.1/t", "21 °C".encode(), 1)
        script.publish(f"/topic/{root}.10/0/0/1.u", b"on")
        assert script.inbox.take(1) == [(f"/topic/{root}.192/168/0/1.t", "21 °C".encode())]
        assert device.inbox.take(1) == [(f"{root}/10.0.0.1/u", b"on")]


def test_queues_cross_both_ways(gateway: Ports) -> None:
    root = _name()
    with Paho(gateway.mqtt, 5) as device, Stomp(gateway.stomp) as script:
        device.publish(f"$queue/{root}", b"job", 1)
        script.subscribe(f"/queue/{root}", "client-individual")
        assert script.inbox.take(1) == [(f"/queue/{root}", b"job")]
        device.subscribe(f"$queue/{root}-2", 1)
        script.publish(f"/queue/{root}-2", b"answer", persistent="true")
        assert device.inbox.take(1) == [(f"$queue/{root}-2", b"answer")]


def test_properties_cross_as_headers_and_back(gateway: Ports) -> None:
    root = _name()
    with Paho(gateway.mqtt, 5) as device, Stomp(gateway.stomp) as script:
        device.subscribe(f"{root}/#", 1)
        script.publish(
            f"/topic/{root}.a", b"{}", **{"content-type": "application/json", "correlation-id": "c", "k": "v"}
        )
        device.inbox.take(1)
        [properties] = device.properties
        assert properties.ContentType == "application/json"  # type: ignore[attr-defined]
        assert properties.CorrelationData == b"c"  # type: ignore[attr-defined]
        assert ("k", "v") in properties.UserProperty  # type: ignore[attr-defined]


# -- bad input over real sockets: it costs one connection, and nobody else notices


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00" * 64,
        b"\xff" * 64,
    ],
    ids=["HTTP", "TLS", "zeros", "ones"],
)
def test_bytes_of_another_protocol_end_one_connection(gateway: Ports, data: bytes) -> None:
    root = _name()
    with Paho(gateway.mqtt) as device, Stomp(gateway.stomp) as script:
        device.subscribe(root, 1)
        for port in (gateway.mqtt, gateway.stomp):
            with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as bad:
                bad.sendall(data)
                bad.shutdown(socket.SHUT_WR)
                while bad.recv(4096):
                    pass
        script.publish(f"/topic/{root}", b"still here")
        assert device.inbox.take(1) == [(root, b"still here")]


def test_status_counts_what_happened(gateway: Ports) -> None:
    with Paho(gateway.mqtt) as device:
        device.publish(_name(), b"x", 1)
        with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/status", timeout=TIMEOUT_S) as answer:
            status = json.load(answer)
    connectors = {connector["name"]: connector for connector in status["connectors"]}
    assert status["status"] == "up"
    assert connectors["mqtt"]["connections"] >= 1
    assert connectors["mqtt"]["messages_in"] >= 1
    assert connectors["mqtt"]["limits"]["maximumConnections"] == 10_000
