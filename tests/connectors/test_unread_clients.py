"""Clients that read nothing: whatever is sent to them stops near `outputBuffer`, and goes on when they read."""

from collections.abc import Callable

import http_client
import json_client
import mqtt_client
import pytest
import stomp_client

from gateway.connectors.base import Connector, Limits
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.core.limits import DROP_OLDEST
from gateway.core.queue_key import BROWSE
from gateway.core.router import Broker
from protocols.mqtt.frames import Pingreq, SubscriptionRequest
from protocols.mqtt.properties import Properties

BUFFER = 50_000
BODY = b"x" * 1_000
MESSAGES = 150
MESSAGE_MAX = 3_000
"""What one message of BODY takes in any protocol, at most."""

LIMITS = Limits(
    output_buffer=BUFFER, max_inflight=MESSAGES, max_subscriptions=MESSAGES, slow_consumer=DROP_OLDEST
)

Way = Callable[[], tuple[Connector, Callable[[], None], Callable[[], None]]]
"""Makes a client; then how to begin, once it reads nothing, and a turn of the loop beside its own."""


def nothing() -> None:
    """No more is to be done in a turn."""


def waiting(connector: Connector) -> int:
    """Bytes of all that waits to be written to the client."""
    held = connector._held or ()
    return sum(map(len, connector.out)) + sum(map(len, held))


def copies(broker: Broker) -> int:
    """Messages that wait to be shown to browsers."""
    return sum(queue.waiting for queue in broker.queues.values() if queue.key.kind == BROWSE)


# -- STOMP


def stomp_browsers(ack: str = "auto") -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    world = stomp_client.World(limits=LIMITS)
    client, producer = world.client(), world.client()
    for _ in range(MESSAGES):
        producer.send("SEND", BODY, destination="/queue/q")

    def begin() -> None:
        for number in range(30):
            client.send("SUBSCRIBE", id=f"{number}", destination="/queue/q", browser="true", ack=ack)
            assert copies(world.broker) <= 1
        assert world.broker.queue("q").depth == MESSAGES

    return client.connector, begin, nothing


def stomp_browsers_that_acknowledge() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    return stomp_browsers("client-individual")


def stomp_queue(ack: str = "auto") -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    world = stomp_client.World(limits=LIMITS)
    client, producer = world.client(), world.client()
    for _ in range(MESSAGES):
        producer.send("SEND", BODY, destination="/queue/q")

    def begin() -> None:
        client.send("SUBSCRIBE", id="1", destination="/queue/q", ack=ack, prefetch_count="0")

    return client.connector, begin, nothing


def stomp_queue_with_acknowledgements() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    return stomp_queue("client")


def stomp_durable() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    world = stomp_client.World(limits=LIMITS)
    headers = {"destination": "/topic/t", "id": "1", "durable-subscription-name": "d"}
    first = world.client(client_id="c")
    first.send("SUBSCRIBE", **headers).lose()
    producer = world.client()
    for _ in range(MESSAGES):
        producer.send("SEND", BODY, destination="/topic/t")
    client = world.client(client_id="c")

    def begin() -> None:
        client.send("SUBSCRIBE", **headers)

    return client.connector, begin, nothing


def stomp_topic() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    world = stomp_client.World(limits=LIMITS)
    client, producer = world.client(), world.client()
    client.send("SUBSCRIBE", id="1", destination="/topic/t").received()

    def begin() -> None:
        for _ in range(MESSAGES):
            producer.send("SEND", BODY, destination="/topic/t")

    return client.connector, begin, nothing


def stomp_retained() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    world = stomp_client.World(limits=LIMITS)
    client, producer = world.client(), world.client()
    for number in range(MESSAGES):
        producer.send("SEND", BODY, destination=f"/topic/t.{number}", retain="true")

    def begin() -> None:
        client.send("SUBSCRIBE", id="1", destination="/topic/t.>", retained="true")

    return client.connector, begin, nothing


def stomp_receipts() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    client = stomp_client.World(limits=LIMITS).client()

    def begin() -> None:
        while not client.connector.unheard:
            client.send("SEND", b"", destination="/topic/t", receipt="r" * 900)

    return client.connector, begin, nothing


# -- MQTT


def mqtt_topic(qos: int) -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    world = mqtt_client.World(limits=LIMITS)
    client, producer = world.client("c"), world.client("p")
    client.subscribe(("t", qos)).received()

    def begin() -> None:
        for number in range(MESSAGES):
            producer.publish("t", BODY, qos, number + 1 if qos else 0)

    return client.connector, begin, nothing


def mqtt_qos_0() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    return mqtt_topic(0)


def mqtt_qos_1() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    return mqtt_topic(1)


def mqtt_session(qos: int) -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    """What waits in a session comes as soon as its client is there again; some of it has been sent before."""
    world = mqtt_client.World(limits=LIMITS)
    kept = Properties()
    kept.session_expiry_s = 1_000
    kept.receive_maximum = MESSAGES
    client = world.client("c", 5, clean_start=False, properties=kept)
    client.subscribe(("t", qos)).received()
    producer = world.client("p", 5)
    for number in range(MESSAGES):
        producer.publish("t", BODY, qos, number + 1)
        if number == MESSAGES // 2:
            client.received()
            client.lose()
    again = mqtt_client.Client(world, 5)

    def begin() -> None:
        again.send(mqtt_client.Connect("c", protocol_version=5, clean_start=False, properties=kept))

    return again.connector, begin, nothing


def mqtt_session_qos_1() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    return mqtt_session(1)


def mqtt_session_qos_2() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    return mqtt_session(2)


def mqtt_retained() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    world = mqtt_client.World(limits=LIMITS)
    client, producer = world.client("c"), world.client("p")
    for number in range(MESSAGES):
        producer.publish(f"t/{number}", BODY, retain=True)

    def begin() -> None:
        client.subscribe(SubscriptionRequest("t/#", 0))

    return client.connector, begin, nothing


def mqtt_sys_topics() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    world = mqtt_client.World(MqttSettings(sys_interval_s=1), LIMITS)
    client = world.client("c")
    client.subscribe(("$SYS/#", 0)).received()

    def begin() -> None:
        for _ in range(100):
            world.advance(1_000)

    return client.connector, begin, nothing


def mqtt_pings() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    client = mqtt_client.World(limits=LIMITS).client("c")

    def begin() -> None:
        while not client.connector.unheard:
            client.send(Pingreq())

    return client.connector, begin, nothing


# -- gateway.json


def json_topic() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    world = json_client.World(limits=LIMITS)
    client, producer = world.client(), world.client()
    client.op("connect")
    client.op("subscribe", sub="s", from_="topic:t")

    def begin() -> None:
        for _ in range(MESSAGES):
            producer.say({"op": "publish", "to": "topic:t", "body": BODY.decode()})

    return client.connector, begin, nothing


def json_queue() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    world = json_client.World(limits=LIMITS)
    client, producer = world.client(), world.client()
    client.op("connect")
    for _ in range(MESSAGES):
        producer.say({"op": "publish", "to": "queue:q", "body": BODY.decode()})

    def begin() -> None:
        client.say({"op": "subscribe", "sub": "s", "from": "queue:q", "ack": "client", "credit": MESSAGES})

    return client.connector, begin, nothing


def json_retained() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    world = json_client.World(limits=LIMITS)
    client, producer = world.client(), world.client()
    client.op("connect")
    for number in range(MESSAGES):
        producer.say({"op": "publish", "to": f"topic:t.{number}", "body": BODY.decode(), "retain": True})

    def begin() -> None:
        client.say({"op": "subscribe", "sub": "s", "from": "topic:t.>", "retained": True})

    return client.connector, begin, nothing


def json_errors() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    client = json_client.World(limits=LIMITS).client()
    client.op("connect")

    def begin() -> None:
        while not client.connector.unheard:
            client.say([{"op": "unsubscribe", "sub": "none", "id": "i" * 900}] * 100, True)

    return client.connector, begin, nothing


# -- HTTP


def http_events(query: str = "") -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    world = http_client.World(limits=LIMITS)
    client = world.client()

    def publish(number: int) -> None:
        target = f"/topics/t.{number}" + ("?retain=true" if query else "")
        assert world.once("POST", target, BODY, Content_Type="text/plain").status == 202

    for number in range(MESSAGES if query else 0):
        publish(number)

    def begin() -> None:
        client.send("GET", f"/events?destination=topic:t.%3E{query}")
        for number in range(0 if query else MESSAGES):
            publish(number)

    return client.connector, begin, nothing


def http_retained_events() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    return http_events("&retained=true")


def http_pulls() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    world = http_client.World(limits=LIMITS)
    client = world.client()
    for _ in range(MESSAGES):
        assert world.once("POST", "/queues/q", BODY, Content_Type="text/plain").status == 202

    def begin() -> None:
        client.connector.bytes_in(b"GET /queues/q HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200, world.now_ms)

    def turn() -> None:
        if client.connector.resumes:
            client.connector.go_on(world.now_ms)

    return client.connector, begin, turn


def http_errors() -> tuple[Connector, Callable[[], None], Callable[[], None]]:
    world = http_client.World(limits=LIMITS)
    client = world.client()

    def begin() -> None:
        client.connector.bytes_in(b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1_000, world.now_ms)

    def turn() -> None:
        if client.connector.resumes:
            client.connector.go_on(world.now_ms)

    return client.connector, begin, turn


WAYS: list[Way] = [
    stomp_browsers,
    stomp_browsers_that_acknowledge,
    stomp_queue,
    stomp_queue_with_acknowledgements,
    stomp_durable,
    stomp_topic,
    stomp_retained,
    stomp_receipts,
    mqtt_qos_0,
    mqtt_qos_1,
    mqtt_session_qos_1,
    mqtt_session_qos_2,
    mqtt_retained,
    mqtt_sys_topics,
    mqtt_pings,
    json_topic,
    json_queue,
    json_retained,
    json_errors,
    http_events,
    http_retained_events,
    http_pulls,
    http_errors,
]


@pytest.mark.parametrize("socket_full", [False, True], ids=["before its socket is full", "from the start"])
@pytest.mark.parametrize("way", WAYS)
def test_what_waits_for_a_client_that_reads_nothing_is_as_much_as_its_buffer(
    way: Way, socket_full: bool
) -> None:
    connector, begin, turn = way()
    connector.bytes_out(connector.broker.now_ms)
    connector.written()
    if socket_full:
        connector.writable(False)
    begin()
    for _ in range(200):
        # Net takes nothing while the socket is full, but the loop turns.
        turn()
    assert waiting(connector) <= 2 * BUFFER + MESSAGE_MAX
    connector.writable(False)
    before = waiting(connector)
    for _ in range(100):
        turn()
    assert waiting(connector) == before


@pytest.mark.parametrize("ack", ["auto", "client", "client-individual"])
def test_browsers_go_on_where_they_were_when_their_client_reads_and_acknowledges(ack: str) -> None:
    world = stomp_client.World(limits=LIMITS)
    client, producer = world.client(), world.client()
    for number in range(MESSAGES):
        producer.send("SEND", b"%d:" % number + BODY, destination="/queue/q")
    for number in range(10):
        client.send(
            "SUBSCRIBE", id=f"{number}", destination="/queue/q", browser="true", ack=ack, prefetch_count="20"
        )
    shown: dict[str, list[int]] = {f"{number}": [] for number in range(10)}
    ended: list[str] = []
    frames = client.received()
    while frames or client.connector.marked:
        assert copies(world.broker) <= 1
        for frame in frames:
            name = frame.headers["subscription"]
            if "browser" in frame.headers:
                ended.append(name)
                continue
            shown[name].append(int(frame.body.split(b":")[0]))
            if ack != "auto":
                client.send("ACK", id=frame.headers["ack"])
        frames = client.received()
    assert sorted(ended) == sorted(shown)
    assert list(shown.values()) == [list(range(MESSAGES))] * 10
    assert world.broker.queue("q").depth == MESSAGES


def test_browsers_that_leave_or_whose_connection_breaks_hold_up_no_others() -> None:
    world = stomp_client.World(limits=LIMITS)
    client, producer = world.client(), world.client()
    for _ in range(MESSAGES):
        producer.send("SEND", BODY, destination="/queue/q")
    for number in range(5):
        client.send("SUBSCRIBE", id=f"{number}", destination="/queue/q", browser="true")
    for number in range(4):
        client.send("UNSUBSCRIBE", id=f"{number}")
    ends = 0
    frames = client.received()
    while frames or client.connector.marked:
        ends += sum("browser" in frame.headers for frame in frames)
        frames = client.received()
    assert ends == 1
    client.send("SUBSCRIBE", id="6", destination="/queue/q", browser="true")
    client.lose()
    assert [key for key in world.broker.queues if BROWSE in key] == []
