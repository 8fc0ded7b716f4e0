"""Rules that change while clients are connected: by every way in, what is not allowed any more ends and is said so."""

from itertools import chain

import pytest
from rules_world import NOW_MS, TABLE, Client, World
from test_rules_everywhere import KEPT_WAYS, SHARED, TOPICS, queue_ways

from gateway.connectors.reconsidering import ASKED_AT_ONCE, NOT_KNOWN, Reconsidered, Reconsidering
from gateway.core.queue_key import SESSION
from gateway.security.guard import Guard
from gateway.security.rules import Area, Rule, Rules
from protocols.mqtt.codec import encode_packet, encode_publish
from protocols.mqtt.frames import Subscribe, SubscriptionRequest


def allowing(*users: str) -> tuple[Rule, ...]:
    """These may do everything."""
    everywhere = (Area.parse("topic:>"), Area.parse("queue:>"))
    return (
        Rule(True, frozenset({"publish", "subscribe", "receive"}), frozenset(users), frozenset(), everywhere),
    )


FREE = allowing("ann", "bob")


def exchange(world: World, table: tuple[Rule, ...], *clients: Client, known: bool = True) -> Reconsidered:
    """These rules are in force from now on, and all are asked again."""
    guard = world.broker.authorizer
    assert isinstance(guard, Guard)
    guard.exchange({}, Rules(table))
    world.broker.topics.forget_routes()
    found: list[Reconsidered] = []
    readers = chain.from_iterable(service.readers() for service in world._services.values())
    connectors = [client.connector for client in clients]
    world.broker.chores.add(
        Reconsidering(world.broker, connectors, readers, lambda user, certified: known, found.append)
    )
    world.broker.chores.finish()
    assert found[0].fault is None
    return found[0]


def assert_told(client: Client, heard: bytes, why: bytes = b"may not be read any more") -> None:
    """It was, in the words of its protocol."""
    if client.level == 5:
        # MQTT 5.0 §3.14.2.1: 0x87 is `Not authorized`.
        at = heard.index(b"\xe0")
        assert heard[at + 2] == 0x87
        assert why in heard[at:]
    elif client.level == 0 and heard.startswith(b"HTTP/1.1 200 OK"):
        # A stream of events has an end, and no words.
        assert heard.endswith(b"0\r\n\r\n")
    elif client.level == 0:
        assert b"ERROR" in heard or b'"error"' in heard or b" 403 " in heard
        assert why in heard
    assert client.connector.closing
    assert why.decode() in client.connector.failure


@pytest.mark.parametrize("way", TOPICS)
def test_who_may_not_subscribe_any_more_is_told_and_gets_nothing(way: str) -> None:
    world = World()
    exchange(world, FREE)
    bob = TOPICS[way](world, "bob")
    world.send("/topic/open.x", "<before>")
    before = bob.heard()
    assert b"<before>" in before
    assert exchange(world, allowing("ann"), bob).readings == 1
    head = b"HTTP/1.1 200 OK" if way == "HTTP events" else b""
    assert_told(bob, head + bob.heard())
    world.send("/topic/open.x", "<after>")
    assert b"<after>" not in bob.heard()


@pytest.mark.parametrize("way", TOPICS)
def test_what_may_not_be_received_any_more_is_left_out_from_then_on(way: str) -> None:
    world = World()
    exchange(world, FREE)
    bob = TOPICS[way](world, "bob")
    world.send("/topic/sensors.x.secret", "<before>")
    assert b"<before>" in bob.heard()
    exchange(world, TABLE, bob)
    world.send("/topic/sensors.x.secret", "<secret>")
    world.send("/topic/open.x", "<open>")
    heard = bob.heard()
    assert not bob.connector.closing
    assert b"<open>" in heard
    assert b"<secret>" not in heard
    exchange(world, FREE, bob)
    world.send("/topic/sensors.x.secret", "<allowed>")
    assert b"<allowed>" in bob.heard()


@pytest.mark.parametrize("way", SHARED)
def test_a_member_of_a_shared_subscription_leaves_it_to_the_others(way: str) -> None:
    world = World()
    exchange(world, FREE)
    ann = SHARED[way](world, "ann")
    bob = SHARED[way](world, "bob")
    ann.heard()
    bob.heard()
    assert exchange(world, allowing("ann"), ann, bob).readings == 1
    assert_told(bob, bob.heard())
    bob.drop()
    for number in range(4):
        world.send("/topic/open.x", f"<{number}>")
    heard = ann.heard()
    assert all(b"<%d>" % number in heard for number in range(4))


ANN_ALONE = {
    "nothing allows it": allowing("ann"),
    "receiving is denied": (
        Rule(False, frozenset({"receive"}), frozenset({"bob"}), frozenset(), (Area.parse("queue:>"),)),
        *FREE,
    ),
}


@pytest.mark.parametrize("why", ANN_ALONE)
@pytest.mark.parametrize("way", queue_ways("q"))
def test_a_consumer_leaves_its_queue_to_the_others(way: str, why: str) -> None:
    world = World()
    exchange(world, FREE)
    world.client("mqtt", "ann").subscribe("$queue/q")
    bob = queue_ways("q")[way](world, "bob")
    if way == "HTTP":
        bob = world.client("http", "bob")
        bob.ask("GET", "/queues/q?wait=10000")
    bob.heard()
    over = bob.connector.closing
    exchange(world, ANN_ALONE[why], bob)
    # A wildcard that reads, or looks into, nothing that is denied stays; denied is what it would find.
    if not over and not (why == "receiving is denied" and way == "STOMP, browser of all"):
        assert_told(bob, bob.heard())
    bob.drop()
    world.send("/queue/q", "<after>")
    assert b"<after>" not in bob.heard()
    queue = world.broker.queue("q")
    assert queue.consumers_count == 1


def test_of_a_wildcard_over_queues_one_that_is_denied_ends_it() -> None:
    world = World()
    exchange(world, FREE)
    world.send("/queue/private.a", "x")
    world.send("/queue/open", "x")
    bob = queue_ways("open")["STOMP, wildcard"](world, "bob")
    bob.heard()
    assert exchange(world, TABLE, bob).readings == 1
    assert_told(bob, bob.heard())


def browse_one_by_one(world: World, destination: str) -> tuple[Client, list[str]]:
    """bob is shown queues at his pace, and has been shown one message; and how he acknowledges that."""
    bob = world.client("stomp", "bob")
    bob.frame(
        "SUBSCRIBE",
        "id:1",
        f"destination:{destination}",
        "browser:true",
        "ack:client-individual",
        "activemq.prefetchSize:1",
    )
    assert b"<0>" in bob.heard()
    return bob, ["ACK", "id:1-1"]


def test_a_browser_of_all_is_not_shown_the_rest_of_a_queue_that_is_denied_meanwhile() -> None:
    world = World()
    exchange(world, FREE)
    for number in range(3):
        world.send("/queue/private.a", f"<{number}>")
    bob, acknowledgement = browse_one_by_one(world, "/queue/>")
    assert exchange(world, TABLE, bob).readings == 1
    bob.frame(*acknowledgement)
    heard = bob.heard()
    assert_told(bob, heard)
    assert b"<1>" not in heard


@pytest.mark.parametrize("destination", ["/queue/w.*", "/queue/w.a"])
def test_a_browser_goes_on_where_the_rules_still_allow_what_it_looks_into_and_nothing_else(
    destination: str,
) -> None:
    world = World()
    exchange(world, FREE)
    for number in range(3):
        world.send("/queue/w.a", f"<{number}>")
    bob, acknowledgement = browse_one_by_one(world, destination)
    everything = frozenset({"publish", "subscribe", "receive"})
    only = Rule(True, everything, frozenset({"bob"}), frozenset(), (Area.parse("queue:w.>"),))
    assert exchange(world, (only,), bob).readings == 0
    bob.frame(*acknowledgement)
    assert b"<1>" in bob.heard()
    assert not bob.connector.closing


@pytest.mark.parametrize("way", KEPT_WAYS)
def test_a_kept_subscription_gets_nothing_more_while_nobody_is_there(way: str) -> None:
    world = World()
    exchange(world, FREE)
    bob = TOPICS[way](world, "bob")
    bob.heard()
    bob.drop()
    found = exchange(world, allowing("ann"))
    assert found.readings == (1 if "MQTT" in way else 0)
    world.send("/topic/open.x", "<after>")
    exchange(world, FREE)
    assert b"<after>" not in TOPICS[way](world, "bob").heard()


def test_a_kept_session_loses_only_what_is_not_allowed_any_more_and_so_it_stays_after_a_restart() -> None:
    world = World()
    exchange(world, FREE)
    bob = world.client("mqtt", "bob", "device")
    filters = ["open/#", "private/x", "$share/g/open/#", "$queue/private.q"]
    bob.raw(encode_packet(Subscribe(1, [SubscriptionRequest(filter, 1) for filter in filters]), 5))
    bob.heard()
    bob.drop()
    assert exchange(world, TABLE).readings == 2
    world.restart()
    session = world._services["mqtt"].sessions.get("device")  # type: ignore[attr-defined]
    assert set(session.subscriptions) == {"open/#", "$share/g/open/#"}
    assert [queue.key.kind for queue in world.broker.queues.values()].count(SESSION) == 1


PUBLISHES = {
    "MQTT": lambda client: client.raw(encode_publish("open/x", b"<body>", 1, False, False, 7, b"")),
    "STOMP, topic": lambda client: client.frame("SEND", "destination:/topic/open.x", body="<body>"),
    "STOMP, queue": lambda client: client.frame("SEND", "destination:/queue/open", body="<body>"),
    "JSON": lambda client: client.op("publish", to="topic:open.x", body="<body>", id=7),
    "HTTP": lambda client: client.ask("POST", "/topics/open.x", "<body>", "Content-Type: text/plain"),
}
REFUSED = {"MQTT": b"\x40\x1f\x00\x07\x87", "JSON": b"not_allowed", "HTTP": b" 403 "}


@pytest.mark.parametrize("way", PUBLISHES)
def test_who_has_published_before_is_asked_again(way: str) -> None:
    world = World()
    exchange(world, FREE)
    bob = world.client(way.split(",")[0].lower(), "bob")
    for _ in range(2):
        PUBLISHES[way](bob)
    assert b"not allowed" not in bob.heard()
    published = world.broker.counters.published
    exchange(world, allowing("ann"), bob)
    PUBLISHES[way](bob)
    heard = bob.heard()
    assert world.broker.counters.published == published
    word = REFUSED.get(way, b"ERROR")
    assert word in heard or (way == "MQTT" and heard[:1] == b"\x40" and b"\x87" in heard)


@pytest.mark.parametrize("protocol", ["mqtt", "stomp", "json"])
def test_whose_login_does_not_hold_any_more_is_sent_away(protocol: str) -> None:
    world = World()
    bob = world.client(protocol, "bob")
    bob.heard()
    assert exchange(world, FREE, bob, known=False).logins == 1
    assert_told(bob, bob.heard(), NOT_KNOWN.encode())


def test_somebody_whose_login_is_still_being_looked_at_is_left_alone() -> None:
    world = World()
    acceptor = world._services["mqtt"].acceptor("m", "mqtt", world.client("stomp", "ann").connector.limits)
    stranger = acceptor.accept("127.0.0.1:2", world.turn, NOW_MS)
    world.broker.chores.add(
        Reconsidering(world.broker, [stranger], iter(()), lambda user, certified: False, lambda found: None)
    )
    world.broker.chores.finish()
    assert not stranger.closing


def test_very_many_are_asked_a_few_at_a_time() -> None:
    world = World()
    exchange(world, FREE)
    for number in range(50):
        device = world.client("mqtt", "bob", f"device-{number}")
        requests = [SubscriptionRequest(f"open/{at}", 0) for at in range(30)]
        device.raw(encode_packet(Subscribe(1, requests), 5))
        device.heard()
        device.drop()
    asked: list[int] = [0]
    guard = world.broker.authorizer
    may_subscribe = guard.may_subscribe

    def counting(*arguments: object) -> bool:
        asked[-1] += 1
        return may_subscribe(*arguments)  # type: ignore[arg-type]

    guard.may_subscribe = counting  # type: ignore[method-assign]
    readers = world._services["mqtt"].readers()
    chore = Reconsidering(world.broker, [], readers, lambda user, certified: True, lambda found: None)
    while chore.go_on():
        asked.append(0)
    assert sum(asked) == 50 * 30
    assert max(asked) <= ASKED_AT_ONCE
