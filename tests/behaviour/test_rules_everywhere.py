"""One table of rules, and every way in: what a client may not have or do, it may not by any protocol or detour."""

import json
from collections.abc import Callable

import pytest
from rules_world import FORBIDDEN, NOW_MS, OPEN, TABLE, Client, World

from gateway.security.rules import Area, Rule
from protocols.mqtt.codec import encode_publish
from protocols.mqtt.frames import Will


def _stomp(*headers: str, version: str = "1.2") -> Callable[[World, str], Client]:
    def subscribe(world: World, user: str) -> Client:
        client = world.client("stomp", user, version=version)
        client.frame("SUBSCRIBE", "id:1", *headers)
        return client

    return subscribe


def _mqtt(filter: str, version: str = "5") -> Callable[[World, str], Client]:
    def subscribe(world: World, user: str) -> Client:
        client = world.client("mqtt", user, version=version)
        client.subscribe(filter)
        return client

    return subscribe


def _json(**fields: object) -> Callable[[World, str], Client]:
    def subscribe(world: World, user: str) -> Client:
        client = world.client("json", user)
        client.op("subscribe", sub="s", id=1, **fields)
        return client

    return subscribe


def _http(target: str) -> Callable[[World, str], Client]:
    def subscribe(world: World, user: str) -> Client:
        client = world.client("http", user)
        client.ask("GET", target)
        return client

    return subscribe


DURABLE = "activemq.subscriptionName:d"

TOPICS: dict[str, Callable[[World, str], Client]] = {
    "MQTT": _mqtt("#"),
    "MQTT 3.1.1": _mqtt("#", "4"),
    "MQTT 3.1": _mqtt("#", "3"),
    "MQTT as JSON": _mqtt("$json/#"),
    "MQTT, a level": _mqtt("+/x/#"),
    "STOMP": _stomp("destination:/topic/>"),
    "STOMP 1.1": _stomp("destination:/topic/>", version="1.1"),
    "STOMP 1.0": _stomp("destination:/topic/>", version="1.0"),
    "STOMP 1.0, durable": _stomp("destination:/topic/>", DURABLE, version="1.0"),
    "STOMP, acknowledged": _stomp("destination:/topic/>", "ack:client-individual"),
    "STOMP, exchange": _stomp("destination:/exchange/amq.topic/#"),
    "STOMP, several": _stomp("destination:/topic/open.>,/topic/*.>"),
    "STOMP, durable": _stomp("destination:/topic/>", DURABLE),
    "JSON": _json(from_="topic:>"),
    "JSON, acknowledged": _json(from_="topic:>", ack="client"),
    "JSON, durable": _json(from_="topic:>", durable="d"),
    "HTTP events": _http("/events?destination=topic:%3E"),
}
"""Wildcards, which bob may have: what he may not have is left out."""

KEPT_WAYS = (
    "MQTT",
    "MQTT 3.1.1",
    "MQTT 3.1",
    "MQTT as JSON",
    "MQTT, a level",
    "STOMP, durable",
    "STOMP 1.0, durable",
    "JSON, durable",
)

SHARED: dict[str, Callable[[World, str], Client]] = {
    "MQTT": _mqtt("$share/g/#"),
    "MQTT 3.1.1": _mqtt("$share/g/#", "4"),
    "MQTT as JSON": _mqtt("$json/$share/g/#"),
    "STOMP": _stomp("destination:/share/g/>"),
    "STOMP 1.0": _stomp("destination:/share/g/>", version="1.0"),
    "JSON": _json(from_="share:g/>"),
}
"""From these nothing can be left out."""

RETAINED: dict[str, Callable[[World, str], Client]] = {
    "MQTT": _mqtt("#"),
    "MQTT 3.1.1": _mqtt("#", "4"),
    "STOMP": _stomp("destination:/topic/>", "retained:true"),
    "STOMP 1.0": _stomp("destination:/topic/>", "retained:true", version="1.0"),
    "STOMP, durable": _stomp("destination:/topic/>", DURABLE, "retained:true"),
    "JSON": _json(from_="topic:>", retained=True),
    "JSON, durable": _json(from_="topic:>", durable="d", retained=True),
    "HTTP events": _http("/events?destination=topic:%3E&retained=true"),
}


def queue_ways(name: str) -> dict[str, Callable[[World, str], Client]]:
    """All that reads a queue."""
    return {
        "MQTT": _mqtt(f"$queue/{name}"),
        "MQTT 3.1.1": _mqtt(f"$queue/{name}", "4"),
        "MQTT as JSON": _mqtt(f"$json/$queue/{name}"),
        "STOMP": _stomp(f"destination:/queue/{name}"),
        "STOMP 1.1": _stomp(f"destination:/queue/{name}", version="1.1"),
        "STOMP 1.0": _stomp(f"destination:/queue/{name}", version="1.0"),
        "STOMP, bare": _stomp(f"destination:{name}"),
        "STOMP, other spelling": _stomp(f"destination:/amq/queue/{name}"),
        "STOMP, wildcard": _stomp("destination:/queue/>"),
        "STOMP, browser": _stomp(f"destination:/queue/{name}", "browser:true"),
        "STOMP, browser of all": _stomp("destination:/queue/>", "browser:true"),
        "JSON": _json(from_=f"queue:{name}"),
        "HTTP": _http(f"/queues/{name}"),
    }


def send_all(world: World, *headers: str) -> None:
    for topic in (*FORBIDDEN, OPEN):
        world.send(f"/topic/{topic}", f"<{topic}>", *headers)


def assert_only_open(heard: bytes) -> None:
    assert b"<open.x>" in heard
    for topic in FORBIDDEN:
        assert f"<{topic}>".encode() not in heard


@pytest.mark.parametrize("way", TOPICS)
def test_what_may_not_be_received_is_left_out(way: str) -> None:
    world = World()
    ann = world.client("mqtt", "ann", "other")
    ann.subscribe("#")
    bob = TOPICS[way](world, "bob")
    send_all(world)
    assert_only_open(bob.heard())
    heard = ann.heard()
    assert all(f"<{topic}>".encode() in heard for topic in FORBIDDEN)


@pytest.mark.parametrize("restart", [False, True], ids=["", "restart"])
@pytest.mark.parametrize("way", KEPT_WAYS)
def test_nor_is_it_kept_for_who_is_away(way: str, restart: bool) -> None:
    world = World()
    TOPICS[way](world, "bob").drop()
    if restart:
        world.restart()
    send_all(world)
    if restart:
        world.restart()
    assert_only_open(TOPICS[way](world, "bob").heard())


ONLY_OPEN = (
    Rule(
        True,
        frozenset({"publish", "subscribe", "receive"}),
        frozenset({"ann"}),
        frozenset(),
        (Area.parse("topic:>"), Area.parse("queue:>")),
    ),
    Rule(True, frozenset({"subscribe"}), frozenset({"bob"}), frozenset(), (Area.parse("topic:open.>"),)),
)
"""Nothing denies anything to bob: what he may not have has merely gone from what he may."""


@pytest.mark.parametrize("way", KEPT_WAYS)
def test_what_a_rule_allowed_is_kept_back_when_the_rule_is_gone(way: str) -> None:
    """Also when it comes back: what was sent meanwhile was not for him."""
    world = World()
    TOPICS[way](world, "bob").drop()
    world.restart(ONLY_OPEN)
    world.send("/topic/other.x", "<other>")
    world.restart()
    assert b"<other>" not in TOPICS[way](world, "bob").heard()


@pytest.mark.parametrize("filter", ["other/#", "$share/g/other/#", "$queue/other.q", "$json/other/#"])
def test_a_session_has_only_the_subscriptions_that_are_still_allowed(filter: str) -> None:
    world = World()
    bob = world.client("mqtt", "bob")
    for wanted in ("open/x", filter):
        bob.subscribe(wanted)
    assert bob.heard().count(b"\x90\x04") == 2
    bob.drop()
    world.restart(ONLY_OPEN)
    bob = world.client("mqtt", "bob")
    for place in ("/topic/open.x", "/topic/other.x", "/queue/other.q"):
        world.send(place, f"<{place}>")
    heard = bob.heard()
    assert b"</topic/open.x>" in heard
    assert b"other" not in heard
    bob.drop()
    world.restart()
    world.send("/topic/other.y", "<later>")
    assert b"<later>" not in world.client("mqtt", "bob").heard()


@pytest.mark.parametrize("way", SHARED)
def test_a_share_is_all_or_nothing(way: str) -> None:
    world = World()
    bob = SHARED[way](world, "bob")
    send_all(world)
    assert b"<" not in bob.heard()
    assert not [key for key in world.broker.queues if key.startswith("shared:")]
    ann = SHARED[way](world, "ann")
    send_all(world)
    assert b"<private.x>" in ann.heard()


@pytest.mark.parametrize("restart", [False, True], ids=["", "restart"])
@pytest.mark.parametrize("way", RETAINED)
def test_last_values_follow_the_same_rules(way: str, restart: bool) -> None:
    world = World()
    send_all(world, "retain:true")
    if restart:
        world.restart()
    assert_only_open(RETAINED[way](world, "bob").heard())


OVER_ALL = ("STOMP, wildcard", "STOMP, browser of all")
"""Of queue_ways; from these a queue is left out, the others are refused it."""


def assert_refused(client: Client, heard: bytes) -> None:
    """It was told so, in the words of its protocol."""
    if client.level == 5:
        # MQTT 5.0 §3.9.3: 0x87 is `Not authorized`.
        suback = heard[heard.index(b"\x90") :]
        assert suback[1 + suback[1]] == 0x87
    elif client.level == 4:
        assert heard.endswith(b"\x90\x03\x00\x01\x80")
    else:
        assert b"ERROR" in heard or b'"not_allowed"' in heard or b" 403 " in heard


@pytest.mark.parametrize("way", queue_ways(""))
@pytest.mark.parametrize(
    ("name", "sent_to"),
    [
        ("private.q", "/queue/private.q"),
        ("sealed.q", "/queue/sealed.q"),
        ("Consumer.b.VirtualTopic.private", "/topic/VirtualTopic.private"),
        ("Consumer.sealed.VirtualTopic.open", "/topic/VirtualTopic.open"),
    ],
)
def test_a_queue_is_read_by_nobody_who_may_not(way: str, name: str, sent_to: str) -> None:
    """Be it subscribing that is denied, or receiving: to be a consumer of one queue is to be given what is in it."""
    world = World()
    # What makes a virtual topic's queue is that somebody reads it.
    _stomp(f"destination:/queue/{name}")(world, "ann").drop()
    bob = queue_ways(name)[way](world, "bob")
    if way not in OVER_ALL:
        assert_refused(bob, bob.heard())
    world.send(sent_to, "<private>")
    assert b"<private>" not in bob.heard()
    again = queue_ways(name)[way](world, "bob")
    assert b"<private>" not in again.heard()
    bob.drop()
    again.drop()
    ann = _stomp(f"destination:/queue/{name}")(world, "ann")
    assert b"<private>" in ann.heard()


@pytest.mark.parametrize("way", OVER_ALL)
def test_from_a_wildcard_over_queues_what_is_denied_is_left_out_and_the_rest_comes(way: str) -> None:
    world = World()
    for name in ("sealed.q", "private.q", "open.q"):
        world.send(f"/queue/{name}", f"<{name}>")
    bob = queue_ways("")[way](world, "bob")
    heard = bob.heard()
    assert b"<open.q>" in heard
    assert b"<sealed.q>" not in heard
    assert b"<private.q>" not in heard


@pytest.mark.parametrize("protocol", ["stomp", "json"])
@pytest.mark.parametrize("restart", [False, True], ids=["", "restart"])
def test_a_durable_subscription_is_its_users_alone(protocol: str, restart: bool) -> None:
    world = World()
    mine = _durable(world, protocol, "ann")
    assert mine.heard()
    mine.drop()
    world.send("/topic/open.x", "<mine>")
    if restart:
        world.restart()
    for by in ("stomp", "json"):
        thief = _durable(world, by, "bob")
        assert b"<mine>" not in thief.heard()
        thief.drop()
    thief = world.client("stomp", "bob", "anns")
    thief.frame("SUBSCRIBE", "id:1", "destination:/dsub/anns/d")
    assert b"ERROR" in thief.heard()
    thief = world.client("stomp", "bob", "anns")
    thief.frame("UNSUBSCRIBE", "id:1", DURABLE)
    assert b"ERROR" in thief.heard()
    # Another topic would have emptied it.
    thief = world.client("stomp", "bob", "anns")
    thief.frame("SUBSCRIBE", "id:1", "destination:/topic/open.y", DURABLE)
    assert b"ERROR" in thief.heard()
    back = _durable(world, protocol, "ann")
    assert b"<mine>" in back.heard()


def _durable(world: World, protocol: str, user: str) -> Client:
    client = world.client(protocol, user, "anns")
    if protocol == "stomp":
        client.frame("SUBSCRIBE", "id:1", "destination:/topic/open.x", DURABLE, "receipt:r")
    else:
        client.op("subscribe", sub="s", id=1, from_="topic:open.x", durable="d")
    return client


def test_by_its_name_a_durable_subscription_is_found_by_its_user() -> None:
    world = World()
    world.client("stomp", "bob")
    mine = _stomp("destination:/topic/>", DURABLE)(world, "bob")
    mine.drop()
    send_all(world)
    bob = _stomp("destination:/dsub/bobs/d")(world, "bob")
    assert_only_open(bob.heard())


PUBLISHES: dict[str, Callable[[Client, str], None]] = {
    "mqtt": lambda client, name: client.raw(encode_publish(name, b"<leak>", 1, False, False, 1, b"")),
    "stomp": lambda client, name: client.frame("SEND", f"destination:{name}", body="<leak>"),
    "json": lambda client, name: client.op("publish", to=name, body="<leak>"),
    "http": lambda client, name: client.ask("POST", name, "<leak>"),
    "many": lambda client, name: client.ask(
        "POST", "/messages", json.dumps([{"to": name, "body": "<leak>"}])
    ),
}


@pytest.mark.parametrize(
    ("protocol", "name"),
    [
        ("mqtt", "private/x"),
        ("mqtt", "$queue/private.x"),
        ("stomp", "/topic/private.x"),
        ("stomp", "/queue/private.x"),
        ("stomp", "private.x"),
        ("stomp", "/exchange/amq.topic/private.x"),
        ("stomp", "/topic/open.y,/topic/private.x"),
        ("json", "topic:private.x"),
        ("json", "queue:private.x"),
        ("http", "/topics/private.x"),
        ("http", "/queues/private.x"),
        ("many", "topic:private.x"),
        ("many", "queue:private.x"),
    ],
)
def test_nobody_sends_where_they_may_not(protocol: str, name: str) -> None:
    world = World()
    watch = world.client("mqtt", "ann", "watch")
    watch.subscribe("private/#")
    readers = [watch, _stomp("destination:/queue/private.x")(world, "ann")]
    bob = world.client("http" if protocol == "many" else protocol, "bob")
    bob.heard()
    PUBLISHES[protocol](bob, name)
    assert bob.heard()
    assert all(b"<leak>" not in reader.heard() for reader in readers)
    ann = world.client("http" if protocol == "many" else protocol, "ann")
    PUBLISHES[protocol](ann, name)
    assert b"<leak>" in b"".join([reader.heard() for reader in readers])


def _in_transaction(world: World, user: str) -> Client:
    client = world.client("stomp", user)
    client.frame("BEGIN", "transaction:t")
    client.frame("SEND", "destination:/queue/private.x", "transaction:t", body="<leak>")
    client.frame("COMMIT", "transaction:t")
    return client


def _later(world: World, user: str) -> Client:
    client = world.client("stomp", user)
    client.frame("SEND", "destination:/queue/private.x", "AMQ_SCHEDULED_DELAY:1", body="<leak>")
    return client


def _json_transaction(world: World, user: str) -> Client:
    client = world.client("json", user)
    client.op("begin", tx="t")
    client.op("publish", to=["queue:open", "queue:private.x"], tx="t", body="<leak>")
    client.op("commit", tx="t")
    return client


@pytest.mark.parametrize("way", [_in_transaction, _later, _json_transaction])
def test_nor_later_nor_in_a_transaction(way: Callable[[World, str], Client]) -> None:
    world = World()
    reader = _stomp("destination:/queue/private.x")(world, "ann")
    assert way(world, "bob").heard()
    world.broker.tick(NOW_MS + 2_000)
    assert b"<leak>" not in reader.heard()
    way(world, "ann").heard()
    world.broker.tick(NOW_MS + 4_000)
    assert b"<leak>" in reader.heard()


@pytest.mark.parametrize("restart", [False, True], ids=["", "restart"])
def test_a_session_is_its_users_alone(restart: bool) -> None:
    world = World()
    mine = world.client("mqtt", "ann", "anns")
    mine.subscribe("open/x")
    mine.heard()
    mine.drop()
    world.send("/topic/open.x", "<mine>")
    if restart:
        world.restart()
    thief = world.client("mqtt", "bob", "anns")
    assert b"<mine>" not in thief.heard()
    assert thief.connector.closing
    assert b"<mine>" in world.client("mqtt", "ann", "anns").heard()


@pytest.mark.parametrize("version", ["3", "4", "5"])
@pytest.mark.parametrize("topic", ["private/x", "$queue/private.x"])
def test_nor_leaves_a_will_there(topic: str, version: str) -> None:
    world = World()
    bob = world.client("mqtt", "bob", "", Will(topic, b"<leak>", 1, False, b""), version)
    assert bob.heard()[:1] == b"\x20"
    assert bob.connector.closing
    bob.drop()
    assert "queue/private.x" not in world.broker.queues


TEMPORARY = TOPICS | {
    "MQTT, by name": _mqtt("mx/tmp/#"),
    "MQTT, by part of the name": _mqtt("mx/+/+/x"),
    "STOMP, by name": _stomp("destination:/topic/mx.tmp.>"),
    "STOMP, by part of the name": _stomp("destination:/topic/*.tmp.>"),
    "JSON, by name": _json(from_="topic:mx.tmp.*.x"),
    "HTTP events, by name": _http("/events?destination=topic:mx.tmp.%3E"),
    "JSON, shared": _json(from_="share:g/mx.tmp.>"),
}


@pytest.mark.parametrize("way", TEMPORARY)
def test_a_temporary_topic_is_read_by_its_owner_alone(way: str) -> None:
    world = World()
    owner = world.client("stomp", "ann", "owner")
    owner.frame("SUBSCRIBE", "id:1", "destination:/temp-topic/x")
    early = TEMPORARY[way](world, "bob")
    owner.frame("SEND", "destination:/temp-topic/x", "retain:true", body="<reply>")
    assert b"<reply>" in owner.heard()
    late = TEMPORARY[way](world, "ann")
    assert b"<reply>" not in early.heard() + late.heard()


@pytest.mark.parametrize("way", queue_ways(""))
def test_a_temporary_queue_is_read_by_its_owner_alone(way: str) -> None:
    world = World()
    owner = world.client("stomp", "ann", "owner")
    owner.frame("SEND", "destination:/topic/open.x", "reply-to:/temp-queue/x", body="ask")
    [queue] = [queue for queue in world.broker.queues.values() if queue.destination.temporary]
    thief = queue_ways(queue.destination.name)[way](world, "bob")
    same = queue_ways(queue.destination.name)[way](world, "ann")
    world.send(f"/queue/{queue.destination.name}", "<reply>")
    assert b"<reply>" not in thief.heard() + same.heard()
    assert b"<reply>" in owner.heard()


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
@pytest.mark.parametrize("reply_to", ["/queue/private.q", "/topic/private.x", "/topic/sensors.x.secret"])
def test_a_reply_to_is_no_subscription(reply_to: str, version: str) -> None:
    """But to a temporary queue of one's own."""
    world = World()
    bob = world.client("stomp", "bob", version=version)
    bob.frame("SEND", "destination:/topic/open.x", f"reply-to:{reply_to}", body="ask")
    world.send(reply_to, "<reply>")
    assert b"<reply>" not in bob.heard()


@pytest.mark.parametrize("action", ["subscribe", "receive"])
def test_a_reply_to_that_subscribes_is_a_subscription_like_others(action: str) -> None:
    nothing_of_queues = Rule(
        False, frozenset({action}), frozenset({"bob"}), frozenset(), (Area.parse("queue:>"),)
    )
    world = World()
    world.restart((nothing_of_queues, *TABLE))
    for way in ("reply-to:/temp-queue/x", "SUBSCRIBE"):
        bob = world.client("stomp", "bob")
        if way == "SUBSCRIBE":
            bob.frame("SUBSCRIBE", "id:1", "destination:/temp-queue/x")
        else:
            bob.frame("SEND", "destination:/topic/open.x", way, body="ask")
        assert_refused(bob, bob.heard())
        bob.drop()
    assert not [queue for queue in world.broker.queues.values() if queue.destination.temporary]


def test_nor_is_a_reply_to_that_names_the_temporary_queue_of_another() -> None:
    world = World()
    owner = world.client("stomp", "ann", "owner")
    owner.frame("SEND", "destination:/topic/open.x", "reply-to:/temp-queue/x", body="ask")
    [queue] = [queue for queue in world.broker.queues.values() if queue.destination.temporary]
    bob = world.client("stomp", "bob")
    for name in (f"/queue/{queue.destination.name}", "/temp-queue/x"):
        bob.frame("SEND", "destination:/topic/open.x", f"reply-to:{name}", body="ask")
    world.send(f"/queue/{queue.destination.name}", "<reply>")
    assert b"<reply>" not in bob.heard()
    assert b"<reply>" in owner.heard()
