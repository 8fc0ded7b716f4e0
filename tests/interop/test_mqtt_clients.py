"""paho-mqtt, amqtt and the mosquitto tools, unmodified, against a running gateway."""

import asyncio
import socket
import subprocess
import uuid
from pathlib import Path

import pytest
from amqtt.client import MQTTClient
from clients import TIMEOUT_S, Paho, Ports, Will

VERSIONS = pytest.mark.parametrize("version", [4, 5])


def _name() -> str:
    """A name that no other test uses."""
    return f"t{uuid.uuid4().hex[:8]}"


# -- paho-mqtt: sessions


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_paho_many_messages_in_order(gateway: Ports, version: int, qos: int) -> None:
    root = _name()
    with Paho(gateway.mqtt, version) as client:
        assert client.subscribe(f"{root}/#", qos) == [qos]
        for n in range(500):
            client.client.publish(f"{root}/a", b"%d" % n, qos)
        assert [body for _, body in client.inbox.take(500)] == [b"%d" % n for n in range(500)]


@VERSIONS
@pytest.mark.parametrize("qos", [1, 2])
def test_paho_unacknowledged_comes_again_in_order(gateway: Ports, version: int, qos: int) -> None:
    root = _name()
    expiry = {"SessionExpiryInterval": 300} if version == 5 else {}
    first = Paho(gateway.mqtt, version, root, clean=False, hold_acks=True, **expiry)
    first.subscribe(root, 1)
    with Paho(gateway.mqtt) as pub:
        for n in range(3):
            pub.publish(root, b"%d" % n, qos)
        assert len(first.inbox.take(3)) == 3
        first.drop()
        pub.publish(root, b"3", qos)
        with Paho(gateway.mqtt, version, root, clean=False, **expiry) as again:
            assert again.connack_flags.session_present
            assert [body for _, body in again.inbox.take(4)] == [b"0", b"1", b"2", b"3"]
            # Whether the last one was sent before depends on when the gateway noticed the broken connection.
            assert [again.message().dup for _ in range(4)][:3] == [True, True, True]
    with Paho(gateway.mqtt, version, root, clean=True) as fresh:
        assert not fresh.connack_flags.session_present


def test_paho_session_crosses_versions(gateway: Ports) -> None:
    root = _name()
    old = Paho(gateway.mqtt, 4, root, clean=False)
    old.subscribe(f"{root}/#", 2)
    old.close()
    with Paho(gateway.mqtt) as pub:
        pub.publish(f"{root}/a", b"kept", 2, UserProperty=[("k", "v")])
    with Paho(gateway.mqtt, 5, root, clean=False) as new:
        assert new.connack_flags.session_present
        assert new.inbox.take(1) == [(f"{root}/a", b"kept")]
        assert new.message().properties.UserProperty == [("k", "v")]


def test_paho_session_without_expiry_ends_with_its_connection(gateway: Ports) -> None:
    root = _name()
    Paho(gateway.mqtt, 5, root, clean=True).close()
    with Paho(gateway.mqtt, 5, root, clean=False) as again:
        assert not again.connack_flags.session_present


def test_paho_take_over_ends_the_old_connection(gateway: Ports) -> None:
    root = _name()
    old = Paho(gateway.mqtt, 5, root)
    with Paho(gateway.mqtt, 5, root):
        assert old.reasons.get(timeout=TIMEOUT_S) == 0x8E
    old.client.loop_stop()


# -- paho-mqtt: wills


@VERSIONS
def test_paho_will_of_a_lost_connection(gateway: Ports, version: int) -> None:
    root = _name()
    with Paho(gateway.mqtt, version) as watcher:
        watcher.subscribe(f"{root}/#", 2)
        lost = Paho(gateway.mqtt, version, will=Will(f"{root}/w", b"gone", 2))
        lost.drop()
        assert watcher.inbox.take(1) == [(f"{root}/w", b"gone")]
        assert watcher.message().qos == 2
        Paho(gateway.mqtt, version, will=Will(f"{root}/w", b"never")).close()
        watcher.publish(f"{root}/end", b"", 2)
        assert watcher.inbox.take(1) == [(f"{root}/end", b"")]


def test_paho_will_delay_is_cancelled_by_coming_back(gateway: Ports) -> None:
    root = _name()
    with Paho(gateway.mqtt) as watcher:
        watcher.subscribe(f"{root}/#", 1)
        will = Will(f"{root}/w", b"gone", delay_s=1)
        for back in (True, False):
            lost = Paho(gateway.mqtt, 5, root, will=will, SessionExpiryInterval=60)
            lost.drop()
            if back:
                again = Paho(gateway.mqtt, 5, root, clean=False, SessionExpiryInterval=60)
                assert again.connack_flags.session_present
                again.publish(f"{root}/back", b"", 1)
                again.close()
        # One will: that of the second loss.  The delay of the first had the same length and began earlier.
        assert watcher.inbox.take(2) == [(f"{root}/back", b""), (f"{root}/w", b"gone")]
        assert watcher.inbox.empty()
    Paho(gateway.mqtt, 5, root).close()


# -- paho-mqtt: subscriptions


@VERSIONS
def test_paho_retained_comes_with_the_flag_and_live_without(gateway: Ports, version: int) -> None:
    root = _name()
    with Paho(gateway.mqtt, version) as client:
        client.publish(f"{root}/a", b"1", 1, True)
        client.publish(f"{root}/b", b"2", 1, True)
        client.subscribe(f"{root}/+", 1)
        assert sorted(client.inbox.take(2)) == [(f"{root}/a", b"1"), (f"{root}/b", b"2")]
        assert [client.message().retain for _ in range(2)] == [True, True]
        client.publish(f"{root}/a", b"live", 1, True)
        assert not client.message().retain
        for name in ("a", "b"):
            client.publish(f"{root}/{name}", b"", 1, True)


def test_paho_retain_handling(gateway: Ports) -> None:
    root = _name()
    with Paho(gateway.mqtt) as client:
        client.publish(root, b"kept", 1, True)
        for handling in (0, 0, 1, 2):
            client.subscribe(root, 1, retainHandling=handling)
        # 0: each time; 1: only a new subscription; 2: never.
        assert client.inbox.take(2) == [(root, b"kept")] * 2
        assert client.unsubscribe(root) == [0]
        client.subscribe(root, 1, retainHandling=1)
        client.publish(root, b"", 1, True)
        assert client.inbox.take(2) == [(root, b"kept"), (root, b"")]


def test_paho_no_local_and_retain_as_published(gateway: Ports) -> None:
    root = _name()
    with Paho(gateway.mqtt) as client, Paho(gateway.mqtt) as other:
        client.subscribe(root, 1, noLocal=True, retainAsPublished=True)
        client.publish(root, b"own", 1)
        other.publish(root, b"theirs", 1, True)
        assert client.inbox.take(1) == [(root, b"theirs")]
        assert client.message().retain
        other.publish(root, b"", 1, True)


def test_paho_overlapping_subscriptions_give_one_copy_at_the_highest_qos(gateway: Ports) -> None:
    root = _name()
    with Paho(gateway.mqtt, 4) as client:
        client.subscribe(f"{root}/#", 0)
        client.subscribe(f"{root}/+", 2)
        client.subscribe(f"{root}/a", 1)
        client.publish(f"{root}/a", b"x", 2)
        client.publish(f"{root}/end/", b"end", 2)
        assert client.inbox.take(2) == [(f"{root}/a", b"x"), (f"{root}/end/", b"end")]
        assert [client.message().qos for _ in range(2)] == [2, 0]


def test_paho_unsubscribe_of_what_is_not_there(gateway: Ports) -> None:
    with Paho(gateway.mqtt) as client:
        assert client.unsubscribe(_name()) == [0x11]


def test_paho_shared_subscription_hands_on_what_a_lost_member_had(gateway: Ports) -> None:
    root = _name()
    lost = Paho(gateway.mqtt, hold_acks=True)
    with Paho(gateway.mqtt) as stays, Paho(gateway.mqtt) as pub:
        lost.subscribe(f"$share/g/{root}", 1)
        for n in range(4):
            pub.publish(root, b"%d" % n, 1)
        lost.inbox.take(4)
        stays.subscribe(f"$share/g/{root}", 1)
        lost.drop()
        assert sorted(body for _, body in stays.inbox.take(4)) == [b"0", b"1", b"2", b"3"]


# -- paho-mqtt: properties


def test_paho_every_property_of_a_publish_arrives(gateway: Ports) -> None:
    root = _name()
    pairs = [("k", "1"), ("k", "2"), ("a", ""), ("", "ü")]
    with Paho(gateway.mqtt) as client:
        client.subscribe(root, 1)
        client.publish(
            root,
            b"x",
            1,
            PayloadFormatIndicator=1,
            MessageExpiryInterval=100,
            ContentType="text/plain",
            ResponseTopic="reply/to",
            CorrelationData=b"\x00\xff",
            UserProperty=pairs,
        )
        properties = client.message().properties
        assert properties.UserProperty == pairs
        assert properties.PayloadFormatIndicator == 1
        assert 0 < properties.MessageExpiryInterval <= 100
        assert properties.ContentType == "text/plain"
        assert properties.ResponseTopic == "reply/to"
        assert properties.CorrelationData == b"\x00\xff"


def test_paho_maximum_packet_size_skips_what_is_too_large(gateway: Ports) -> None:
    root = _name()
    with Paho(gateway.mqtt, MaximumPacketSize=200) as small, Paho(gateway.mqtt) as pub:
        small.subscribe(root, 1)
        pub.publish(root, b"x" * 300, 1)
        pub.publish(root, b"fits", 1)
        assert small.inbox.take(1) == [(root, b"fits")]


def test_paho_connack_says_what_the_gateway_can(gateway: Ports) -> None:
    with Paho(gateway.mqtt) as client:
        said = client.connack_properties.json()  # type: ignore[attr-defined]
        assert said.get("MaximumQoS", 2) == 2
        assert said.get("RetainAvailable", 1) == 1
        assert said.get("WildcardSubscriptionAvailable", 1) == 1
        assert said.get("SharedSubscriptionAvailable", 1) == 1
        assert said.get("SubscriptionIdentifierAvailable", 1) == 1


# -- amqtt


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_amqtt_session_resumes(gateway: Ports, qos: int) -> None:
    root = _name()
    config = {"auto_reconnect": False}
    url = f"mqtt://127.0.0.1:{gateway.mqtt}/"
    client = MQTTClient(client_id=root, config=config)
    await client.connect(url, cleansession=False)
    await client.subscribe([(f"{root}/#", qos)])
    await client.disconnect()
    with Paho(gateway.mqtt, 4) as pub:
        for n in range(5):
            await asyncio.to_thread(pub.publish, f"{root}/a", b"%d" % n, max(qos, 1))
    again = MQTTClient(client_id=root, config=config)
    await again.connect(url, cleansession=False)
    await again.publish(f"{root}/a", b"end", qos=qos)
    bodies = []
    while not bodies or bodies[-1] != b"end":
        message = await asyncio.wait_for(again.deliver_message(), TIMEOUT_S)
        assert message is not None
        bodies.append(bytes(message.data or b""))
    kept = [b"%d" % n for n in range(5)] if qos else []
    assert bodies == [*kept, b"end"]
    await again.disconnect()
    last = MQTTClient(client_id=root, config=config)
    await last.connect(url, cleansession=True)
    await last.disconnect()


async def test_amqtt_will_and_retained(gateway: Ports) -> None:
    root = _name()
    config = {
        "auto_reconnect": False,
        "will": {"topic": f"{root}/will", "message": "gone", "qos": 1, "retain": True},
    }
    client = MQTTClient(config=config)
    await client.connect(f"mqtt://127.0.0.1:{gateway.mqtt}/")
    with Paho(gateway.mqtt, 4) as watcher:
        await asyncio.to_thread(watcher.subscribe, f"{root}/#", 1)
        assert client._handler is not None
        assert client._handler.writer is not None
        await client._handler.writer.close()
        assert await asyncio.to_thread(watcher.inbox.take, 1) == [(f"{root}/will", b"gone")]
    with Paho(gateway.mqtt, 4) as late:
        await asyncio.to_thread(late.subscribe, f"{root}/#", 1)
        assert await asyncio.to_thread(late.inbox.take, 1) == [(f"{root}/will", b"gone")]
        await asyncio.to_thread(late.publish, f"{root}/will", b"", 1, True)


# -- mosquitto_pub, mosquitto_sub, mosquitto_rr


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, timeout=TIMEOUT_S, capture_output=True, text=True).stdout


@pytest.mark.usefixtures("mosquitto")
def test_mosquitto_properties(gateway: Ports) -> None:
    root = _name()
    common = ["-p", str(gateway.mqtt), "-V", "mqttv5", "-q", "1"]
    pairs = ["-D", "publish", "user-property", "k", "1", "-D", "publish", "user-property", "k", "2"]
    _run(
        "mosquitto_pub", *common, "-t", root, "-m", "hello", "-r", *pairs,
        "-D", "publish", "content-type", "text/plain",
        "-D", "publish", "response-topic", "a/b",
        "-D", "publish", "correlation-data", "c d",
        "-D", "publish", "message-expiry-interval", "100",
        "-D", "publish", "payload-format-indicator", "1",
    )  # fmt: skip
    form = "%t|%p|%q|%r|%C|%R|%D|%F|%P"
    out = _run("mosquitto_sub", *common, "-t", root, "-C", "1", "-F", form)
    assert out == f"{root}|hello|1|1|text/plain|a/b|c d|1|k:1 k:2\n"
    _run("mosquitto_pub", *common, "-t", root, "-n", "-r")


@pytest.mark.usefixtures("mosquitto")
def test_mosquitto_session_subscription_identifier_and_alias(gateway: Ports) -> None:
    root = _name()
    common = ["-p", str(gateway.mqtt), "-V", "mqttv5", "-q", "2"]
    sub = [
        "mosquitto_sub", *common, "-i", root, "-c", "-x", "300", "-t", f"{root}/+",
        "-D", "subscribe", "subscription-identifier", "77", "-D", "connect", "topic-alias-maximum", "5",
    ]  # fmt: skip
    _run(*sub, "-E")
    _run("mosquitto_pub", *common, "-t", f"{root}/a", "-m", "1", "-D", "publish", "topic-alias", "1")
    _run("mosquitto_pub", *common, "-t", f"{root}/b", "-m", "2")
    assert _run(*sub, "-C", "2", "-F", "%t %p %S") == f"{root}/a 1 77\n{root}/b 2 77\n"
    _run("mosquitto_sub", *common, "-i", root, "-t", root, "-E")


@pytest.mark.usefixtures("mosquitto")
@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_mosquitto_request_is_answered(gateway: Ports, version: str) -> None:
    root = _name()
    with Paho(gateway.mqtt, 5) as server:
        server.subscribe(f"{root}/ask", 1)
        server.client.on_message = lambda client, user, message: client.publish(
            f"{root}/answer", message.payload[::-1], 1
        )
        out = _run(
            "mosquitto_rr", "-p", str(gateway.mqtt), "-V", version, "-q", "1",
            "-t", f"{root}/ask", "-e", f"{root}/answer", "-m", "abc",
        )  # fmt: skip
        assert out == "cba\n"


@pytest.mark.usefixtures("mosquitto")
def test_mosquitto_lines_and_a_will(gateway: Ports) -> None:
    root = _name()
    common = ["-p", str(gateway.mqtt), "-q", "2"]
    with Paho(gateway.mqtt) as watcher:
        watcher.subscribe(f"{root}/#", 2)
        lines = "".join([f"line {n}\n" for n in range(100)])
        subprocess.run(
            ["mosquitto_pub", *common, "-t", f"{root}/lines", "-l"],
            input=lines,
            text=True,
            check=True,
            timeout=TIMEOUT_S,
        )
        assert [body.decode() for _, body in watcher.inbox.take(100)] == lines.splitlines()
        process = subprocess.Popen(
            ["mosquitto_pub", *common, "-t", f"{root}/lines", "-l", "--will-topic", f"{root}/w",
             "--will-payload", "killed", "--will-qos", "1"],
            stdin=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write("connected\n")
        process.stdin.flush()
        assert watcher.inbox.take(1) == [(f"{root}/lines", b"connected")]
        process.kill()
        process.wait(TIMEOUT_S)
        process.stdin.close()
        assert watcher.inbox.take(1) == [(f"{root}/w", b"killed")]


@pytest.mark.usefixtures("mosquitto")
def test_mosquitto_on_a_unix_socket(local: Path) -> None:
    common = ["--unix", str(local), "-q", "2", "-t", "a/b"]
    _run("mosquitto_pub", *common, "-m", "near", "-r")
    assert _run("mosquitto_sub", *common, "-C", "1", "-F", "%p %r") == "near 1\n"


@pytest.mark.usefixtures("mosquitto")
@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_mosquitto_lives_through_control_characters_of_other_protocols(gateway: Ports, version: str) -> None:
    root = _name()
    common = ["-p", str(gateway.mqtt), "-V", version, "-q", "1", "-i", root, "-t", f"{root}/#"]
    _run("mosquitto_sub", *common, "-c", *(["-x", "300"] if version == "mqttv5" else []), "-E")
    with socket.create_connection(("127.0.0.1", gateway.stomp), TIMEOUT_S) as stomp:
        stomp.sendall(
            b"CONNECT\naccept-version:1.2\nhost:h\n\n\0"
            + f"SEND\ndestination:/topic/{root}.a\nk\x85\\n:a\\nb\ntype:a\\nb\n\n1\0".encode()
            + f"SEND\ndestination:/topic/{root}.a\tb\n\n2\0".encode()
            + f"SEND\ndestination:/topic/{root}.c\nreceipt:r\n\n3\0".encode()
        )
        while b"RECEIPT" not in stomp.recv(65_536):
            pass
    session = ["-c", *(["-x", "300"] if version == "mqttv5" else [])]
    # Nothing comes twice, which would mean that the connection was lost in between.
    heard = _run("mosquitto_sub", *common, *session, "-C", "3", "-F", "%t %p %m")
    assert [line.rsplit(" ", 1)[0] for line in heard.splitlines()] == [
        f"{root}/a 1", f"{root}/a\uf009b 2", f"{root}/c 3",
    ]  # fmt: skip
