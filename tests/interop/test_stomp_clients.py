"""stomp.py, unmodified, in every version against a running gateway."""

import uuid

import pytest
from clients import TIMEOUT_S, Paho, Ports, Stomp

VERSIONS = pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
NACKING = pytest.mark.parametrize("version", ["1.1", "1.2"])


def _name() -> str:
    """A name that no other test uses."""
    return f"t{uuid.uuid4().hex[:8]}"


def _ack(client: Stomp, frame: object, version: str, verb: str = "ack", **headers: str) -> None:
    """ACK or NACK as the version has it."""
    found = frame.headers  # type: ignore[attr-defined]
    arguments = {
        "1.0": [found["message-id"]],
        "1.1": [found["message-id"], found.get("subscription")],
        "1.2": [found.get("ack")],
    }[version]
    getattr(client.connection, verb)(*arguments, **headers)


@VERSIONS
def test_stomp_py_individual_acknowledgements(gateway: Ports, version: str) -> None:
    root = _name()
    ack = "client" if version == "1.0" else "client-individual"
    first = Stomp(gateway.stomp, version)
    first.subscribe(f"/queue/{root}", ack)
    for n in range(4):
        first.publish(f"/queue/{root}", b"%d" % n)
    frames = [first.frame() for _ in range(4)]
    # `client` is cumulative: all up to the acknowledged one.
    _ack(first, frames[1], version)
    first.publish(f"/queue/{root}-other", b"")
    first.drop()
    with Stomp(gateway.stomp, version) as again:
        again.subscribe(f"/queue/{root}", "auto")
        kept = [b"2", b"3"] if ack == "client" else [b"0", b"2", b"3"]
        assert [body for _, body in again.inbox.take(len(kept))] == kept
        assert again.frame().headers["redelivered"] == "true"


@NACKING
def test_stomp_py_cumulative_acknowledgement(gateway: Ports, version: str) -> None:
    root = _name()
    first = Stomp(gateway.stomp, version)
    first.subscribe(f"/queue/{root}", "client")
    for n in range(4):
        first.publish(f"/queue/{root}", b"%d" % n)
    frames = [first.frame() for _ in range(4)]
    _ack(first, frames[2], version)
    first.publish(f"/queue/{root}-other", b"")
    first.drop()
    with Stomp(gateway.stomp, version) as again:
        again.subscribe(f"/queue/{root}")
        assert [body for _, body in again.inbox.take(1)] == [b"3"]


@NACKING
def test_stomp_py_nack_brings_it_again(gateway: Ports, version: str) -> None:
    root = _name()
    with Stomp(gateway.stomp, version) as client:
        client.subscribe(f"/queue/{root}", "client-individual")
        client.publish(f"/queue/{root}", b"job")
        _ack(client, client.frame(), version, "nack")
        again = client.frame()
        assert (again.body, again.headers["redelivered"]) == ("job", "true")
        _ack(client, again, version)


@NACKING
def test_stomp_py_nack_without_requeue_is_a_dead_letter(gateway: Ports, version: str) -> None:
    root = _name()
    with Stomp(gateway.stomp, version) as client:
        client.subscribe(f"/queue/{root}", "client-individual")
        client.publish(f"/queue/{root}", root.encode())
        _ack(client, client.frame(), version, "nack", requeue="false")
        client.subscribe("/queue/DLQ", "client-individual")
        dead = client.frame()
        while dead.body != root:
            dead = client.frame()
        _ack(client, dead, version)


@VERSIONS
def test_stomp_py_transactions_of_sends_and_acks(gateway: Ports, version: str) -> None:
    root = _name()
    ack = "client" if version == "1.0" else "client-individual"
    with Stomp(gateway.stomp, version) as client, Stomp(gateway.stomp, version) as watcher:
        client.subscribe(f"/queue/{root}", ack)
        watcher.subscribe(f"/topic/{root}.>")
        one = client.connection.begin()
        two = client.connection.begin()
        client.connection.send(f"/topic/{root}.a", "one", transaction=one)
        client.connection.send(f"/topic/{root}.a", "two", transaction=two)
        client.publish(f"/topic/{root}.a", b"outside")
        client.connection.abort(two)
        client.connection.commit(one, headers={"receipt": "commit"})
        client.await_receipt("commit")
        assert [body for _, body in watcher.inbox.take(2)] == [b"outside", b"one"]
        client.publish(f"/queue/{root}", b"job")
        third = client.connection.begin()
        _ack(client, client.frame(), version, transaction=third)
        client.connection.send(f"/topic/{root}.a", "done", transaction=third)
        client.connection.commit(third, headers={"receipt": "done"})
        client.await_receipt("done")
        assert [body for _, body in watcher.inbox.take(1)] == [b"done"]
    with Stomp(gateway.stomp, version) as late:
        late.subscribe(f"/queue/{root}")
        late.publish(f"/queue/{root}", b"next")
        assert [body for _, body in late.inbox.take(1)] == [b"next"]


@VERSIONS
def test_stomp_py_transaction_dies_with_its_connection(gateway: Ports, version: str) -> None:
    root = _name()
    lost = Stomp(gateway.stomp, version)
    transaction = lost.connection.begin()
    lost.connection.send(f"/queue/{root}", "never", transaction=transaction)
    lost.publish(f"/queue/{root}", b"outside")
    lost.drop()
    with Stomp(gateway.stomp, version) as client:
        client.subscribe(f"/queue/{root}")
        client.publish(f"/queue/{root}", b"end")
        assert [body for _, body in client.inbox.take(2)] == [b"outside", b"end"]


@NACKING
def test_stomp_py_heart_beats_both_ways(gateway: Ports, version: str) -> None:
    with Stomp(gateway.stomp, version, (300, 300)) as client:
        for _ in range(3):
            client.beats.get(timeout=TIMEOUT_S)
        # Ours were heard as well: the connection stands.
        client.publish(f"/topic/{_name()}", b"x")


@VERSIONS
@pytest.mark.parametrize("spelling", ["activemq.subscriptionName", "durable-subscription-name"])
def test_stomp_py_durable_subscription(gateway: Ports, version: str, spelling: str) -> None:
    root = _name()
    first = Stomp(gateway.stomp, version, **{"client-id": root})
    first.subscribe(f"/topic/{root}.*", **{spelling: "name"})
    first.close()
    with Stomp(gateway.stomp, version) as pub, Paho(gateway.mqtt) as device:
        pub.publish(f"/topic/{root}.a", b"1", persistent="true")
        device.publish(f"{root}/b", b"2", 1)
    with Stomp(gateway.stomp, version, **{"client-id": root}) as again:
        name = again.subscribe(f"/topic/{root}.*", **{spelling: "name"})
        assert [body for _, body in again.inbox.take(2)] == [b"1", b"2"]
        again.connection.unsubscribe(id=name, headers={spelling: "name", "receipt": "gone"})
        again.await_receipt("gone")


@VERSIONS
def test_stomp_py_headers_bodies_and_escapes(gateway: Ports, version: str) -> None:
    root = _name()
    with Stomp(gateway.stomp, version) as client:
        client.subscribe(f"/topic/{root}")
        value = "a:b" if version == "1.0" else "a:b\\c\nd"
        client.publish(f"/topic/{root}", "grün".encode(), key=value, **{"content-type": "text/plain"})
        frame = client.frame()
        assert (frame.body, frame.headers["key"]) == ("grün", value)
        assert frame.headers["content-type"] == "text/plain"


@VERSIONS
def test_stomp_py_unsubscribed_hears_no_more(gateway: Ports, version: str) -> None:
    root = _name()
    with Stomp(gateway.stomp, version) as client:
        name = client.subscribe(f"/topic/{root}")
        client.subscribe(f"/topic/{root}.end")
        client.connection.unsubscribe(id=name, headers={"receipt": "un"})
        client.await_receipt("un")
        client.publish(f"/topic/{root}", b"nobody")
        client.publish(f"/topic/{root}.end", b"end")
        assert client.inbox.take(1) == [(f"/topic/{root}.end", b"end")]


@VERSIONS
def test_stomp_py_temporary_queue_is_answered_by_mqtt(gateway: Ports, version: str) -> None:
    root = _name()
    with Stomp(gateway.stomp, version) as script, Paho(gateway.mqtt) as device:
        device.subscribe(f"{root}/ask", 1)
        script.subscribe("/temp-queue/answers")
        script.publish(
            f"/topic/{root}.ask", b"?", **{"reply-to": "/temp-queue/answers", "correlation-id": "7"}
        )
        asked = device.message()
        device.publish(
            asked.properties.ResponseTopic, b"!", 1, CorrelationData=asked.properties.CorrelationData
        )
        answer = script.frame()
        assert (answer.body, answer.headers["correlation-id"]) == ("!", "7")


@VERSIONS
def test_stomp_py_is_told_what_it_did_wrong(gateway: Ports, version: str) -> None:
    client = Stomp(gateway.stomp, version)
    client.connection.commit("unknown", headers={"receipt": "r"})
    error = client.errors.get(timeout=TIMEOUT_S)
    assert error.headers["receipt-id"] == "r"  # type: ignore[attr-defined]
    assert "unknown" in error.headers["message"] + error.body  # type: ignore[attr-defined]


@VERSIONS
def test_stomp_py_large_and_binary_bodies(gateway: Ports, version: str) -> None:
    root = _name()
    body = b"\0x" * 500_000
    with Stomp(gateway.stomp, version) as script, Paho(gateway.mqtt) as device:
        device.subscribe(f"{root}/#", 1)
        script.publish(f"/topic/{root}.a", body)
        assert device.inbox.take(1) == [(f"{root}/a", body)]
