"""What clients make their subscriptions larger by is counted as it lies in memory, bounded, and given back."""

import gc
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import http_client
import json_client
import mqtt_client
import pytest
import stomp_client

from gateway.connectors.mqtt.settings import MqttSettings
from gateway.connectors.stomp.settings import StompSettings
from gateway.connectors.websocket.settings import JsonSettings
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer
from gateway.core.router import Broker
from gateway.core.selector_parser import parse_selector
from gateway.store.memory import Kept, MemoryStore

COUNT = 60
PLENTY = CoreLimits(subscriptions_bytes_max=1 << 40, subscriptions_bytes_per_client_max=1 << 40)


def grown(work: Callable[[], object]) -> int:
    """Bytes that stay in memory after `work`."""
    gc.collect()
    tracemalloc.start()
    try:
        kept = work()
        gc.collect()
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    del kept
    return size


def stomp(**headers: str) -> tuple[int, int]:
    """Bytes that as many such subscriptions take in memory, and in the account; `#` is the number of each."""
    world = stomp_client.World(core=PLENTY, settings=StompSettings(id_bytes_max=65_535))
    client = world.client()

    def subscribe() -> None:
        for number in range(COUNT):
            client.send(
                "SUBSCRIBE", **{name: text.replace("#", str(number)) for name, text in headers.items()}
            )
            assert client.received_bytes() == b""

    size = grown(subscribe)
    return size, world.broker.footprint.total


def gateway_json(**fields: str) -> tuple[int, int]:
    """The same for gateway.json."""
    world = json_client.World(core=PLENTY, settings=JsonSettings(name_bytes_max=65_535))
    client = world.client()

    def subscribe() -> None:
        for number in range(COUNT):
            said = {name: text.replace("#", str(number)) for name, text in fields.items()}
            client.raw(json.dumps({"op": "subscribe", **said}).encode())
            assert client.heard() == []

    size = grown(subscribe)
    return size, world.broker.footprint.total


def mqtt(filter: str) -> tuple[int, int]:
    """The same for MQTT."""
    world = mqtt_client.World(MqttSettings(session_bytes_max=1 << 40, sessions_bytes_max=1 << 40))
    client = world.client()
    client.received_bytes()
    before = world.service.sessions.footprint.total

    def subscribe() -> None:
        for number in range(COUNT):
            client.subscribe((filter.replace("#", str(number)), 0))
            assert client.received_bytes()[-1] == 0

    size = grown(subscribe)
    return size, world.service.sessions.footprint.total - before


def events(filter: str) -> tuple[int, int]:
    """The same for streams of events, of which each has a connection."""
    broker = Broker(MemoryStore(), Authorizer(), PLENTY, QueuePolicy())
    world = http_client.World(broker=broker)
    clients = [world.client() for _ in range(COUNT)]

    def subscribe() -> None:
        for number, client in enumerate(clients):
            client.send("GET", "/events?destination=topic:" + filter.replace("#", str(number)))
            assert client.written().startswith(b"HTTP/1.1 200 ")

    size = grown(subscribe)
    return size, broker.footprint.total


LONG = "x" * 4_000
DEEP = ".y" * 200
DIFFERENT = "".join(f".y{level}" for level in range(200))
MANY = " AND ".join(f"(p{number} IS NULL OR q LIKE 'a%')" for number in range(100))

SUBSCRIPTIONS: list[tuple[Any, dict[str, str], dict[str, str]]] = [
    (stomp, {"id": "#", "destination": "/topic/t"}, {"id": "#" + LONG}),
    (stomp, {"id": "#", "destination": "/topic/t"}, {"id": "#" + "\u00fc" * 2_000}),
    (stomp, {"id": "#", "destination": "/queue/q", "ack": "client"}, {"id": "#" + LONG}),
    (stomp, {"id": "#", "destination": "/topic/t", "ack": "client"}, {"id": "#" + LONG}),
    (stomp, {"id": "#", "destination": "/topic/#"}, {"destination": "/topic/#" + LONG}),
    (stomp, {"id": "#", "destination": "/topic/#"}, {"destination": "/topic/#" + DEEP}),
    (stomp, {"id": "#", "destination": "/topic/#"}, {"destination": "/topic/#" + DIFFERENT}),
    (stomp, {"id": "#", "destination": "/queue/#"}, {"destination": "/queue/#" + LONG}),
    (stomp, {"id": "#", "destination": "/topic/#", "ack": "client"}, {"destination": "/topic/#" + LONG}),
    (
        stomp,
        {"id": "#", "destination": "/topic/t"},
        {"destination": ",".join(f"/topic/t{n}" for n in range(90))},
    ),
    (stomp, {"id": "#", "destination": "/topic/t", "selector": "a"}, {"selector": f"a OR {MANY}"}),
    (stomp, {"id": "#", "destination": "/queue/q", "selector": "a"}, {"selector": f"a = '{LONG}'"}),
    (gateway_json, {"sub": "#", "from": "topic:t"}, {"sub": "#" + LONG}),
    (gateway_json, {"sub": "#", "from": "topic:t", "ack": "client"}, {"sub": "#" + LONG}),
    (gateway_json, {"sub": "#", "from": "topic:#"}, {"from": "topic:#" + LONG}),
    (gateway_json, {"sub": "#", "from": "topic:#"}, {"from": "topic:#" + DEEP}),
    (gateway_json, {"sub": "#", "from": "queue:#"}, {"from": "queue:#" + LONG}),
    (mqtt, {"filter": "#"}, {"filter": "#" + LONG}),
    (mqtt, {"filter": "#"}, {"filter": "#" + DEEP.replace(".", "/")}),
    (mqtt, {"filter": "#"}, {"filter": "#" + DIFFERENT.replace(".", "/")}),
    (events, {"filter": "#"}, {"filter": "#" + LONG}),
    (events, {"filter": "#"}, {"filter": "#" + DEEP}),
]


@pytest.mark.parametrize(("protocol", "plain", "larger"), SUBSCRIPTIONS)
def test_what_a_subscription_takes_more_than_a_plain_one_is_charged_within_a_factor_of_two(
    protocol: Any, plain: dict[str, str], larger: dict[str, str]
) -> None:
    protocol(**plain)
    plain_size, plain_charge = protocol(**plain)
    size, charge = protocol(**{**plain, **larger})
    assert charge - plain_charge > COUNT * 1_000
    assert 0.5 < (size - plain_size) / (charge - plain_charge) < 2


@pytest.mark.parametrize(
    "text",
    [
        MANY,
        " OR ".join(f"a{number % 10} = {number}" for number in range(300)),
        "a IN (" + ", ".join(f"'x{number}'" for number in range(400)) + ")",
        "a = " + " + ".join(f"b{number}" for number in range(50)),
        "a LIKE '" + "%_ab" * 900 + "'",
        " OR ".join(f"a{number} = 'xxxxxxxxxxxxxxxxxxxxxxxxxx'" for number in range(100)),
        " AND ".join(f"NOT a{number}" for number in range(300)),
        " AND ".join(f"abc{number} BETWEEN 100000 AND 2000000" for number in range(90)),
        " AND ".join("x IS NOT NULL" for _ in range(200)),
        "a = '" + "\u20ac" * 2_000 + "\U0001f600'",
    ],
)
def test_a_selector_is_charged_by_what_its_tree_takes_not_by_its_text(text: str) -> None:
    selectors: list[object] = []

    def parse() -> object:
        # A text of its own for each, as each has come in a frame.
        selectors.extend([parse_selector(text + " " * number, 5_000, 64, True) for number in range(1, 21)])
        return selectors

    parse_selector(text, 5_000, 64, True)
    size = grown(parse)
    charge = sum(selector.bytes for selector in selectors)  # type: ignore[attr-defined]
    assert 0.5 < size / charge < 2


# -- bounds


def test_a_client_may_not_have_selectors_that_take_more_than_it_may() -> None:
    limits = CoreLimits(subscriptions_bytes_per_client_max=200_000)
    world = stomp_client.World(core=limits)
    client = world.client()
    for number in range(2):
        client.send("SUBSCRIBE", id=str(number), destination="/topic/t", selector=f"{MANY} AND z = {number}")
    assert client.received() == []
    client.send("SUBSCRIBE", id="2", destination="/topic/t", selector=f"{MANY} AND z = 2", receipt="r")
    [error] = client.received()
    assert (error.command, error.headers["message"]) == ("ERROR", "too many bytes of subscriptions")
    assert error.headers["receipt-id"] == "r"
    assert world.acceptor.counters.limit_hits == 1
    client.connector.eof(world.now_ms)
    assert world.broker.footprint.total == 0


def test_all_clients_together_may_not_either_and_who_leaves_makes_room() -> None:
    limits = CoreLimits(subscriptions_bytes_max=10_000, subscriptions_bytes_per_client_max=8_000)
    world = json_client.World(core=limits)
    one, two = world.client(), world.client()
    said = {"from_": "topic:" + "x" * 3_000, "sub": "s"}
    assert one.op("subscribe", id=1, **said) == [{"op": "ok", "id": 1}]
    assert json_client.error(two.op("subscribe", id=2, **said)) == (2, "limit")
    assert two.op("subscribe", id=3, sub="s", from_="topic:short") == [{"op": "ok", "id": 3}]
    one.drop()
    assert two.op("subscribe", id=4, **{**said, "sub": "t"}) == [{"op": "ok", "id": 4}]
    assert two.op("unsubscribe", id=5, sub="t") == [{"op": "ok", "id": 5}]
    assert two.op("subscribe", id=6, **{**said, "sub": "t"}) == [{"op": "ok", "id": 6}]
    two.drop()
    assert world.broker.footprint.total == 0


def test_durable_subscriptions_count_while_nobody_reads_them_and_after_a_restart() -> None:
    disk = Kept()
    limits = CoreLimits(subscriptions_bytes_max=400_000)
    world = stomp_client.World(store=MemoryStore(disk), core=limits)
    client = world.client(client_id="c")
    taken = 0
    while not (answers := client.received()):
        taken += 1
        words = {"id": "s", "destination": "/topic/t", "selector": f"{MANY} AND z = {taken}"}
        client.send("SUBSCRIBE", durable_subscription_name=f"d{taken}", **words)
        client.send("UNSUBSCRIBE", id="s")
    assert [(answer.command, answer.headers["message"]) for answer in answers] == [
        ("ERROR", "too many bytes of subscriptions of all clients together")
    ]
    client.connector.eof(world.now_ms)
    kept = [queue for queue in world.broker.queues.values() if queue.bindings]
    total = world.broker.footprint.total
    assert 1 < len(kept) < taken <= 6
    assert 60_000 * len(kept) < total < 400_000
    disk.clean = False
    store = MemoryStore(disk)
    # What is kept stays, whatever may be had by now.
    again = stomp_client.World(store=store, core=CoreLimits(subscriptions_bytes_max=1_000))
    again.broker.recover(store.recover())
    assert again.broker.footprint.total == total
    for queue in list(again.broker.queues.values()):
        again.broker.delete_queue(queue)
    assert again.broker.footprint.total == 0


def test_a_gateway_json_subscription_that_is_refused_takes_nothing() -> None:
    world = json_client.World(core=CoreLimits(subscriptions_max=0))
    client = world.client()
    assert json_client.error(client.op("subscribe", id=1, sub="s", from_="topic:t")) == (1, "limit")
    assert world.broker.footprint.total == 0


def test_a_stream_of_events_counts_until_nobody_will_ask_for_it_again() -> None:
    broker = Broker(
        MemoryStore(), Authorizer(), CoreLimits(subscriptions_bytes_per_client_max=1_000), QueuePolicy()
    )
    world = http_client.World(broker=broker)
    client = world.client()
    client.send("GET", "/events?destination=topic:" + "x" * 400)
    client.written()
    assert broker.footprint.total == 800
    client.connector.eof(world.now_ms)
    assert broker.footprint.total == 800
    world.advance(3_600_000)
    assert broker.footprint.total == 0
    refused = world.client()
    refused.send("GET", "/events?destination=topic:" + "x" * 600)
    refused.written()
    assert refused.connector.closing
    assert broker.footprint.total == 0


def test_reply_to_names_and_receipts_that_wait_for_their_transaction_count() -> None:
    world = stomp_client.World(
        StompSettings(transaction_receipts="commit", temp_queue_replies="explicit"),
        core=CoreLimits(subscriptions_bytes_per_client_max=50_000),
    )
    client = world.client()
    client.send("BEGIN", transaction="t")
    client.send("SEND", transaction="t", destination="/queue/q", receipt="r" * 10_000)
    assert 10_000 < world.broker.footprint.total < 11_000
    client.send("SEND", destination="/queue/q", reply_to="/temp-queue/" + "n" * 10_000)
    assert 20_000 < world.broker.footprint.total < 22_000
    client.send("COMMIT", transaction="t")
    assert 10_000 < world.broker.footprint.total < 11_000
    client.send("SUBSCRIBE", id="s", destination="/temp-queue/" + "n" * 10_000)
    client.send("UNSUBSCRIBE", id="s")
    client.send("BEGIN", transaction="u")
    client.send("SEND", transaction="u", destination="/queue/q", receipt="r" * 10_000)
    client.received()
    client.send("SEND", destination="/queue/q", reply_to="/temp-queue/" + "m" * 32_000)
    client.send("SEND", transaction="u", destination="/queue/q", receipt="r" * 10_000)
    assert [frame.command for frame in client.received()][-1] == "ERROR"
    client.connector.eof(world.now_ms)
    assert world.broker.footprint.total == 0


# -- lengths


def test_ids_of_stomp_are_as_long_as_the_operator_says() -> None:
    world = stomp_client.World(StompSettings(id_bytes_max=64))
    for id, commands in {
        "i" * 64: [],
        "\u00fc" * 32: [],
        "i" * 65: ["ERROR"],
        "\u00fc" * 33: ["ERROR"],
    }.items():
        for words in ({"id": id, "destination": "/topic/t"}, {"transaction": id}):
            client = world.client()
            client.send("SUBSCRIBE" if "id" in words else "BEGIN", **words)
            assert [frame.command for frame in client.received()] == commands


def test_names_of_gateway_json_are_as_long_as_the_operator_says() -> None:
    world = json_client.World(settings=JsonSettings(name_bytes_max=64))
    client = world.client()
    for name in ("n" * 65, "\u00fc" * 33):
        assert json_client.error(client.op("subscribe", id=1, sub=name, from_="topic:t")) == (1, "limit")
        assert json_client.error(client.op("begin", id=1, tx=name)) == (1, "limit")
    for name in ("n" * 64, "\u00fc" * 32):
        assert client.op("subscribe", id=1, sub=name, from_="topic:t") == [{"op": "ok", "id": 1}]
        assert client.op("begin", id=1, tx=name) == [{"op": "ok", "id": 1}]
