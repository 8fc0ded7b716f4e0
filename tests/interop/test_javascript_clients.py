"""mqtt.js and stompit, unmodified, against a running gateway: among themselves and with clients in Python."""

import base64
import uuid

import pytest
from clients import TIMEOUT_S, Paho, Ports, Stomp
from node_clients import MqttJs, Node, NodeError, Stompit

BOTH = pytest.mark.parametrize("version", [4, 5])


def _name() -> str:
    """A name that no other test uses."""
    return f"t{uuid.uuid4().hex[:8]}"


# -- mqtt.js, 3.1.1 and 5


@BOTH
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_mqtt_js_every_qos_both_ways_with_paho(gateway: Ports, node: Node, version: int, qos: int) -> None:
    root = _name()
    bodies = [b"%d" % n for n in range(50)]
    with MqttJs(node, gateway.mqtt, version) as js, Paho(gateway.mqtt, version) as python:
        js.subscribe(f"{root}/js/#", qos)
        python.subscribe(f"{root}/+/x", qos)
        for body in bodies:
            js.publish(f"{root}/py/x", body, qos)
            python.publish(f"{root}/js/y", body, qos)
        assert js.inbox.take(50) == [(f"{root}/js/y", body) for body in bodies]
        assert python.inbox.take(50) == [(f"{root}/py/x", body) for body in bodies]
        assert js.message()["qos"] == qos


@BOTH
def test_mqtt_js_session_resumes_with_what_it_missed(gateway: Ports, node: Node, version: int) -> None:
    root = _name()
    properties = {"properties": {"sessionExpiryInterval": 300}} if version == 5 else {}
    first = MqttJs(node, gateway.mqtt, version, root, clean=False, **properties)
    assert first.connack["sessionPresent"] is False
    first.subscribe(root, 2)
    first.close()
    with Paho(gateway.mqtt) as pub:
        for n in range(6):
            pub.publish(root, b"%d" % n, 2)
    with MqttJs(node, gateway.mqtt, version, root, clean=False, **properties) as again:
        assert again.connack["sessionPresent"] is True
        assert [body for _, body in again.inbox.take(6)] == [b"%d" % n for n in range(6)]
    with MqttJs(node, gateway.mqtt, version, root, clean=True) as fresh:
        assert fresh.connack["sessionPresent"] is False


@BOTH
def test_mqtt_js_clean_end_drops_the_will_and_a_lost_connection_sends_it(
    gateway: Ports, node: Node, version: int
) -> None:
    root = _name()
    will = {"topic": f"{root}/will", "payload": "gone", "qos": 1, "retain": True}
    with Paho(gateway.mqtt) as watcher:
        watcher.subscribe(f"{root}/#", 1)
        MqttJs(node, gateway.mqtt, version, will=will).close()
        lost = MqttJs(node, gateway.mqtt, version, will=will)
        watcher.publish(f"{root}/between", b"", 1)
        lost.call("drop")
        assert watcher.inbox.take(2) == [(f"{root}/between", b""), (f"{root}/will", b"gone")]
    with MqttJs(node, gateway.mqtt, version) as late:
        late.subscribe(f"{root}/#", 1)
        assert (message := late.message())["topic"] == f"{root}/will"
        assert message["retain"] is True
        late.publish(f"{root}/will", b"", 1, retain=True)


@BOTH
def test_mqtt_js_retained_is_replaced_and_cleared(gateway: Ports, node: Node, version: int) -> None:
    root = _name()
    with MqttJs(node, gateway.mqtt, version) as js:
        js.publish(f"{root}/a", b"old", 1, retain=True)
        js.publish(f"{root}/a", b"new", 1, retain=True)
        js.publish(f"{root}/b", b"gone", 1, retain=True)
        js.publish(f"{root}/b", b"", 1, retain=True)
        js.subscribe(f"{root}/#", 1)
        assert js.inbox.take(1) == [(f"{root}/a", b"new")]
        assert js.message()["retain"] is True
        js.publish(f"{root}/a", b"live", 1, retain=True)
        assert js.inbox.take(1) == [(f"{root}/a", b"live")]
        assert js.message()["retain"] is False
        js.publish(f"{root}/a", b"", 1, retain=True)
        assert js.inbox.take(1) == [(f"{root}/a", b"")]


@BOTH
def test_mqtt_js_resubscribes_and_unsubscribes(gateway: Ports, node: Node, version: int) -> None:
    root = _name()
    with MqttJs(node, gateway.mqtt, version) as js:
        assert [each["qos"] for each in js.subscribe(root, 2)] == [2]
        assert [each["qos"] for each in js.subscribe(root, 0)] == [0]
        js.publish(root, b"once", 2)
        js.call("unsubscribe", topic=root)
        js.publish(root, b"nobody", 1)
        js.subscribe(f"{root}/#", 1)
        js.publish(root, b"again", 1)
        assert js.inbox.take(2) == [(root, b"once"), (root, b"again")]
        assert [js.message()["qos"], js.message()["qos"]] == [0, 1]


# -- mqtt.js, 5 only


def test_mqtt_js_user_properties_keep_order_and_repeats(gateway: Ports, node: Node) -> None:
    root = _name()
    with MqttJs(node, gateway.mqtt) as js:
        js.subscribe(root, 1)
        js.publish(
            root,
            b"x",
            1,
            userProperties={"k": ["1", "2"], "other": "ü"},
            contentType="text/plain",
            payloadFormatIndicator=True,
            messageExpiryInterval=60,
        )
        properties = js.message()["properties"]
        assert properties["userProperties"] == {"k": ["1", "2"], "other": "ü"}
        assert properties["contentType"] == "text/plain"
        assert properties["payloadFormatIndicator"] is True
        assert 0 < properties["messageExpiryInterval"] <= 60


def test_mqtt_js_shared_subscription_gives_each_message_to_one_member(gateway: Ports, node: Node) -> None:
    root = _name()
    with MqttJs(node, gateway.mqtt) as one, Paho(gateway.mqtt) as two, MqttJs(node, gateway.mqtt, 4) as pub:
        one.subscribe(f"$share/group/{root}/#", 1)
        two.subscribe(f"$share/group/{root}/#", 1)
        one.subscribe(f"{root}-end")
        two.subscribe(f"{root}-end")
        for n in range(40):
            pub.publish(f"{root}/a", b"%d" % n, 1)
        taken: list[bytes] = []
        while len(taken) < 40:
            for member in (one, two):
                if not member.inbox.empty():
                    taken += [body for _, body in member.inbox.take(1)]
        assert sorted(taken, key=int) == [b"%d" % n for n in range(40)]
        pub.publish(f"{root}-end", b"end")
        assert one.inbox.take(1) == [(f"{root}-end", b"end")]
        assert two.inbox.take(1) == [(f"{root}-end", b"end")]


def test_mqtt_js_request_is_answered_by_a_stomp_script(gateway: Ports, node: Node) -> None:
    root = _name()
    with MqttJs(node, gateway.mqtt) as device, Stomp(gateway.stomp) as script:
        script.subscribe(f"/topic/{root}.request")
        device.subscribe(f"{root}/reply", 1)
        correlation = base64.b64encode(b"\x00\xffid").decode()
        device.publish(
            f"{root}/request", b"question", 1, responseTopic=f"{root}/reply", correlationData=correlation
        )
        asked = script.frames.get(timeout=TIMEOUT_S).headers  # type: ignore[attr-defined]
        script.publish(asked["reply-to"], b"answer", **{"correlation-id": asked["correlation-id"]})
        answer = device.message()
        assert (answer["topic"], base64.b64decode(answer["body"])) == (f"{root}/reply", b"answer")


def test_mqtt_js_answers_the_request_of_a_stomp_script(gateway: Ports, node: Node) -> None:
    root = _name()
    with MqttJs(node, gateway.mqtt) as device, Stomp(gateway.stomp) as script:
        device.subscribe(f"{root}/request", 1)
        script.subscribe(f"/topic/{root}.reply")
        script.publish(
            f"/topic/{root}.request",
            b"question",
            **{"reply-to": f"/topic/{root}.reply", "correlation-id": "42"},
        )
        properties = device.message()["properties"]
        device.publish(
            properties["responseTopic"], b"answer", 1, correlationData=properties["correlationData"]
        )
        frame = script.frames.get(timeout=TIMEOUT_S)
        assert frame.body == "answer"  # type: ignore[attr-defined]
        assert frame.headers["correlation-id"] == "42"  # type: ignore[attr-defined]


def test_mqtt_js_topic_aliases_both_ways(gateway: Ports, node: Node) -> None:
    root = _name()
    with (
        MqttJs(node, gateway.mqtt, autoAssignTopicAlias=True) as pub,
        MqttJs(node, gateway.mqtt, properties={"topicAliasMaximum": 3}) as sub,
    ):
        assert pub.connack["properties"]["topicAliasMaximum"] > 0
        sub.subscribe(f"{root}/#", 1)
        topics = [f"{root}/{n % 5}" for n in range(25)]
        for n, topic in enumerate(topics):
            pub.publish(topic, b"%d" % n, 1)
        assert sub.inbox.take(25) == [(topic, b"%d" % n) for n, topic in enumerate(topics)]
        aliases = {packet["alias"] for packet in sub.packets}
        assert max(aliases) <= 3


def test_mqtt_js_subscription_identifiers(gateway: Ports, node: Node) -> None:
    root = _name()
    with MqttJs(node, gateway.mqtt) as js:
        js.subscribe(f"{root}/a", 1, properties={"subscriptionIdentifier": 7})
        js.subscribe(f"{root}/+", 1, properties={"subscriptionIdentifier": 268_435_455})
        js.publish(f"{root}/a", b"both", 1)
        js.publish(f"{root}/b", b"one", 1)
        seen: list[list[int]] = []
        while sum(map(len, seen)) < 3:
            found = js.message()["properties"]["subscriptionIdentifier"]
            seen.append(found if isinstance(found, list) else [found])
        assert sorted([n for each in seen for n in each]) == [7, 268_435_455, 268_435_455]


@pytest.mark.parametrize("qos", [1, 2])
def test_mqtt_js_receive_maximum_of_one_is_never_exceeded(gateway: Ports, node: Node, qos: int) -> None:
    root = _name()
    with MqttJs(node, gateway.mqtt, properties={"receiveMaximum": 1}) as sub, Paho(gateway.mqtt) as pub:
        sub.subscribe(root, qos)
        for n in range(30):
            pub.publish(root, b"%d" % n, qos)
        assert sub.inbox.take(30) == [(root, b"%d" % n) for n in range(30)]
        assert sub.call("unacknowledged") == 1


def test_mqtt_js_subscription_options(gateway: Ports, node: Node) -> None:
    root = _name()
    with MqttJs(node, gateway.mqtt) as js, Paho(gateway.mqtt) as other:
        js.publish(f"{root}/kept", b"kept", 1, retain=True)
        js.subscribe(f"{root}/#", 1, nl=True, rap=True, rh=2)
        js.publish(f"{root}/own", b"own", 1)
        other.publish(f"{root}/kept", b"theirs", 1, True)
        message = js.message()
        assert (message["topic"], message["retain"]) == (f"{root}/kept", True)
        assert js.inbox.take(1) == [(f"{root}/kept", b"theirs")]
        other.publish(f"{root}/kept", b"", 1, True)


def test_mqtt_js_is_told_when_another_takes_its_place(gateway: Ports, node: Node) -> None:
    name = _name()
    old = MqttJs(node, gateway.mqtt, client_id=name)
    with MqttJs(node, gateway.mqtt, client_id=name):
        assert old.events.get(timeout=TIMEOUT_S) == {
            "client": old.name,
            "event": "disconnect",
            "reason": 0x8E,
        }
        assert old.events.get(timeout=TIMEOUT_S)["event"] == "close"


def test_mqtt_js_empty_client_id_gets_one(gateway: Ports, node: Node) -> None:
    client = MqttJs(node, gateway.mqtt, options={})
    client.close()
    node.listen("anonymous", lambda record: None)
    connack = node.call(
        "anonymous", "connect-mqtt", port=gateway.mqtt, options={"protocolVersion": 5, "clientId": ""}
    )
    assert connack["properties"]["assignedClientIdentifier"]
    node.call("anonymous", "end")


def test_mqtt_js_disconnect_with_will(gateway: Ports, node: Node) -> None:
    root = _name()
    with Paho(gateway.mqtt) as watcher:
        watcher.subscribe(f"{root}/#", 1)
        client = MqttJs(node, gateway.mqtt, will={"topic": f"{root}/will", "payload": "bye", "qos": 1})
        client.call("end", options={"reasonCode": 4})
        assert watcher.inbox.take(1) == [(f"{root}/will", b"bye")]


@BOTH
def test_mqtt_js_lost_connection_in_the_middle_loses_and_repeats_nothing_at_qos_2(
    gateway: Ports, node: Node, version: int
) -> None:
    root = _name()
    properties = {"properties": {"sessionExpiryInterval": 300}} if version == 5 else {}
    sub = MqttJs(node, gateway.mqtt, version, root, clean=False, reconnectPeriod=1, **properties)
    sub.subscribe(root, 2)
    with Paho(gateway.mqtt) as pub:
        for n in range(60):
            pub.publish(root, b"%d" % n, 2)
            if n % 20 == 10:
                assert sub.call("reconnect")["sessionPresent"] is True
        assert [body for _, body in sub.inbox.take(60)] == [b"%d" % n for n in range(60)]
    assert sub.inbox.empty()
    sub.close()
    MqttJs(node, gateway.mqtt, version, root, clean=True).close()


def test_mqtt_js_wildcard_in_a_topic_name_costs_the_connection(gateway: Ports, node: Node) -> None:
    client = MqttJs(node, gateway.mqtt)
    with pytest.raises((NodeError, Exception)):
        client.publish("a/#", b"x", 1)


# -- stompit


@pytest.mark.parametrize("versions", ["1.0", "1.1", "1.2", "1.0,1.1,1.2"])
def test_stompit_topic_queue_and_transaction(gateway: Ports, node: Node, versions: str) -> None:
    root = _name()
    with Stompit(node, gateway.stomp, **{"accept-version": versions, "heart-beat": "1000,1000"}) as client:
        client.subscribe(f"/topic/{root}.*")
        client.publish(f"/topic/{root}.a", b"topic", k="v:w")
        assert client.inbox.take(1) == [(f"/topic/{root}.a", b"topic")]
        assert client.message()["headers"]["k"] == "v:w"
        bodies = [base64.b64encode(b"%d" % n).decode() for n in range(3)]
        client.call("transaction", headers={"destination": f"/queue/{root}"}, bodies=bodies, commit=False)
        client.call("transaction", headers={"destination": f"/queue/{root}"}, bodies=bodies, commit=True)
        client.subscribe(f"/queue/{root}", "client")
        assert [body for _, body in client.inbox.take(3)] == [b"0", b"1", b"2"]
        client.call("ack")


def test_stompit_and_mqtt_js_meet(gateway: Ports, node: Node) -> None:
    root = _name()
    with Stompit(node, gateway.stomp) as script, MqttJs(node, gateway.mqtt, 4) as device:
        script.subscribe(f"/topic/{root}.>")
        device.subscribe(f"{root}/+/set", 1)
        device.publish(f"{root}/1/state", b"on", 2)
        script.publish(f"/topic/{root}.1.set", b"off", persistent="true")
        assert script.inbox.take(1) == [(f"/topic/{root}.1.state", b"on")]
        assert device.inbox.take(1) == [(f"{root}/1/set", b"off")]
