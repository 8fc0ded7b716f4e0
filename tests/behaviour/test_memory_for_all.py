"""What is in memory alone has one bound over all queues; what its publishers see of that, in each protocol."""

import json
from collections.abc import Callable

import pytest
from rules_world import NOW_MS, Client, World

from gateway.core.limits import DROP_OLDEST, REJECT, QueuePolicy
from protocols.mqtt.codec import encode_publish

BODY = "x" * 10_000
MAX = 200_000


def small(when_full: str = "block") -> World:
    """A gateway that has memory for some 18 of those messages, and for 8 in one queue."""
    world = World()
    world.broker.policy = QueuePolicy(when_full=when_full)
    world.broker.unstored.bytes_max = MAX
    world.broker.unstored.for_moving = MAX // 8
    return world


def go_on(*clients: Client) -> None:
    """What net does for those that may go on: large texts are read some at a time, and nobody longer than its share."""
    while waiting := [client for client in clients if client.connector.resumes]:
        for client in waiting:
            client.connector.go_on(NOW_MS)


def _mqtt(client: Client, name: str, durable: bool) -> None:
    topic = f"$queue/{name}"
    client.raw(encode_publish(topic, BODY.encode(), int(durable), False, False, 7 if durable else 0, b""))


def _stomp(client: Client, name: str, durable: bool) -> None:
    kept = f"persistent:{str(durable).lower()}"
    client.frame("SEND", f"destination:/queue/{name}", "receipt:r", kept, body=BODY)


def _json(client: Client, name: str, durable: bool) -> None:
    client.op("publish", to=f"queue:{name}", body=BODY, durable=durable, id=1)


def _http(client: Client, name: str, durable: bool) -> None:
    meta = json.dumps({"durable": durable})
    client.ask("POST", f"/queues/{name}", BODY, "Content-Type: text/plain", f"X-Mx-Meta: {meta}")


def _envelope(client: Client, name: str, durable: bool) -> None:
    body = json.dumps({"body": BODY, "durable": durable})
    client.ask("POST", f"/queues/{name}", body, "Content-Type: application/vnd.mx+json")


WAYS: dict[str, tuple[str, Callable[[Client, str, bool], None]]] = {
    "MQTT": ("mqtt", _mqtt),
    "STOMP": ("stomp", _stomp),
    "JSON": ("json", _json),
    "HTTP": ("http", _http),
    "HTTP, envelope": ("http", _envelope),
}


def send(way: str, client: Client, name: str, durable: bool = False) -> None:
    WAYS[way][1](client, name, durable)
    go_on(client)


@pytest.mark.parametrize("way", WAYS)
def test_who_sends_what_is_not_kept_waits_before_it_is_taken_and_who_sends_what_is_does_not(way: str) -> None:
    protocol = WAYS[way][0]
    world = small()
    sender, other, keeper = (world.client(protocol, "ann", name) for name in ("one", "two", "three"))
    sent = 0
    while not sender.connector.throttled:
        send(way, sender, "q")
        sent += 1
    queue = world.broker.queue("q")
    taken = queue.depth
    # The last of them is taken before anybody has to ask.
    assert 7 <= taken <= 10
    send(way, other, "q")
    assert queue.depth == taken
    send(way, keeper, "q", True)
    assert queue.depth == taken + 1
    # Whoever sends where there is something left is not concerned.
    send(way, world.client(protocol, "ann", "four"), "another")
    assert world.broker.queue("another").depth == 1
    reader = world.client("stomp", "ann", "reader")
    reader.frame("SUBSCRIBE", "id:1", "destination:/queue/q")
    heard = b""
    for _ in range(10):
        heard += reader.heard()
        go_on(sender, other, keeper)
        while sent < 20 and not sender.connector.throttled:
            send(way, sender, "q")
            sent += 1
    assert heard.count(BODY.encode()) == 22
    assert world.broker.unstored.bytes < 2 * len(BODY)


REFUSED = {"STOMP": b"is full", "JSON": b'"full"', "HTTP": b" 507 ", "HTTP, envelope": b" 507 "}


@pytest.mark.parametrize("way", WAYS)
def test_where_queues_refuse_it_is_said_in_the_protocols_words(way: str) -> None:
    protocol = WAYS[way][0]
    world = small(REJECT)
    sender = world.client(protocol, "ann", "one")
    for _ in range(20):
        if not sender.connector.closing:
            send(way, sender, "q")
    assert 7 <= world.broker.queue("q").depth <= 9
    # MQTT has no word for a QoS 0 message that is refused.
    assert REFUSED.get(way, b"") in sender.heard()
    assert world.broker.unstored.wanting > 0
    keeper = world.client(protocol, "ann", "two")
    send(way, keeper, "q", True)
    assert REFUSED.get(way, b"\x97") not in keeper.heard()


def test_a_reader_of_a_thousand_queues_that_is_stuck_keeps_nobody_from_the_others() -> None:
    world = small()
    world.broker.unstored.bytes_max *= 20
    world.broker.unstored.for_moving *= 20
    stuck = world.client("stomp", "ann", "stuck")
    stuck.frame("SUBSCRIBE", "id:1", "destination:/queue/stuck.*", "ack:client", "prefetch-count:1000")
    sender = world.client("stomp", "ann", "sender")
    senders = [sender]
    for number in range(1_000):
        if sender.connector.throttled:
            sender = world.client("stomp", "ann", f"sender {number}")
            senders.append(sender)
        send("STOMP", sender, f"stuck.{number}")
    assert len(senders) > 100
    assert world.broker.unstored.bytes <= 20 * MAX + 2 * len(BODY)
    reader = world.client("stomp", "ann", "reader")
    reader.frame("SUBSCRIBE", "id:1", "destination:/queue/read", "ack:auto")
    healthy = world.client("stomp", "ann", "healthy")
    for _ in range(200):
        send("STOMP", healthy, "read")
        assert reader.heard().count(BODY.encode()) == 1
    assert not healthy.connector.throttled
    # What its reader has had was not lost when it goes, and nobody is forgotten.
    stuck.drop()
    thief = world.client("stomp", "ann", "thief")
    thief.frame("SUBSCRIBE", "id:1", "destination:/queue/stuck.*", "ack:auto")
    heard = 0
    for _ in range(50):
        heard += thief.heard().count(BODY.encode())
        world.broker.tick(NOW_MS)
        go_on(*senders)
    assert heard == 1_000
    assert world.broker.unstored.bytes == 0


def test_where_the_oldest_are_dropped_the_newest_are_there() -> None:
    world = small(DROP_OLDEST)
    sender = world.client("stomp", "ann", "sender")
    for number in range(50):
        sender.frame("SEND", "destination:/queue/q", "persistent:false", body=f"<{number}>{BODY}")
    assert world.broker.unstored.bytes <= MAX
    reader = world.client("stomp", "ann", "reader")
    reader.frame("SUBSCRIBE", "id:1", "destination:/queue/q")
    heard = reader.heard()
    assert b"<49>" in heard
    assert b"<0>" not in heard
    assert world.broker.counters.dropped_full == 50 - heard.count(BODY.encode())


def test_a_browser_is_shown_what_is_there_and_holds_up_nobody() -> None:
    world = small()
    sender = world.client("stomp", "ann", "sender")
    for number in range(30):
        send("STOMP", sender, f"q{number % 3}")
    browser = world.client("stomp", "ann", "browser")
    browser.frame("SUBSCRIBE", "id:1", "destination:/queue/q0", "browser:true", "ack:auto")
    held = sender.connector.throttled
    assert browser.heard().count(BODY.encode()) == world.broker.queue("q0").depth
    assert sender.connector.throttled is held
    assert world.broker.places.shut == len(world.broker.unstored.line)
