"""MQTT clients that read slowly, and the limits of a connection."""

import pytest
from mqtt_client import World, payloads

from gateway.connectors.base import Limits
from gateway.core.limits import DISCONNECT, DROP_NEWEST, DROP_OLDEST
from gateway.store.memory import MemoryStore
from protocols.mqtt.frames import (
    Disconnect,
)
from protocols.mqtt.properties import Properties


@pytest.mark.parametrize("policy", [DROP_OLDEST, DROP_NEWEST, DISCONNECT])
def test_slow_reader_falls_under_the_policy(policy: str) -> None:
    world = World(limits=Limits(output_buffer=100, slow_consumer=policy))
    sub = world.client("s").subscribe(("t", 0))
    sub.received()
    sub.connector.writable(False)
    pub = world.client("p")
    for n in range(10):
        pub.publish("t", b"%020d" % n)
    if policy == DISCONNECT:
        assert sub.connector.closing
        return
    sub.connector.writable(True)
    got = [int(payload) for payload in payloads(sub.publishes())]
    assert got == ([6, 7, 8, 9] if policy == DROP_OLDEST else [0, 1, 2, 3])
    assert world.acceptor.counters.dropped_slow == 6


def test_slow_reader_keeps_acknowledged_messages_in_its_queue() -> None:
    world = World()
    sub = world.client("s").subscribe(("t", 1))
    sub.received()
    sub.connector.writable(False)
    pub = world.client("p")
    for n in range(3):
        pub.publish("t", b"%d" % n, 1, n + 1)
    assert sub.received_bytes() == b""
    sub.connector.writable(True)
    assert payloads(sub.publishes()) == [b"0", b"1", b"2"]


def test_client_that_sends_too_fast_is_told_0x96() -> None:
    client = World(limits=Limits(message_rate=3)).client(version=5)
    client.received()
    for _ in range(5):
        client.publish("t", b"1")
    assert client.received() == [Disconnect(0x96)]
    assert client.world.acceptor.counters.limit_hits == 1


def test_a_message_that_crosses_the_rate_is_not_published() -> None:
    world = World(limits=Limits(message_rate=2))
    client = world.client(version=5)
    for _ in range(2):
        client.publish("$queue/q")
    assert client.connector.closing
    assert world.broker.queue("q").depth == 1


def test_byte_rate_is_a_limit_too() -> None:
    client = World(limits=Limits(byte_rate=200)).client(version=5)
    client.received()
    client.publish("t", b"x" * 500)
    assert client.received() == [Disconnect(0x96)]


def test_rates_begin_anew_each_second() -> None:
    client = World(limits=Limits(message_rate=3)).client()
    client.received()
    for _ in range(5):
        client.world.now_ms += 1000
        client.publish("t", b"1").publish("t", b"2")
    assert not client.connector.closing


def test_maximum_inflight_caps_what_a_client_may_ask_for() -> None:
    world = World(limits=Limits(max_inflight=2))
    for version in (4, 5):
        sub = world.client(f"s{version}", version).subscribe(("t", 1))
        sub.received()
        pub = world.client("p")
        for n in range(5):
            pub.publish("t", b"x", 1, n + 1)
        assert len(sub.publishes()) == 2


def test_maximum_inactivity_ends_clients_that_ask_for_no_keep_alive() -> None:
    client = World(limits=Limits(idle_timeout_ms=30_000)).client(version=5)
    client.received()
    due = client.connector.next_deadline_ms()
    assert due == client.world.now_ms + 30_000
    client.connector.deadline(due)
    assert client.received() == [Disconnect(0x8D)]


def test_shutdown_says_goodbye() -> None:
    client = World().client(version=5)
    client.received()
    client.connector.shutdown(client.world.now_ms)
    assert client.received() == [Disconnect(0x8B)]
    assert client.connector.closing


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("retain", [False, True])
def test_the_longest_properties_and_expiry_are_stored(qos: int, retain: bool) -> None:
    store = MemoryStore()
    world = World(store=store)
    store.listener = world.broker
    world.client("kept", 4, clean_start=False).subscribe(("t", 2)).lose()
    properties = Properties()
    properties.message_expiry_s = 0xFFFF_FFFF
    properties.user = [("k" * 60_000, "v" * 60_000), ("x-mx-exp", str((1 << 63) - 1)), ("x-mx-prio", "255")]
    client = world.client("p", 5)
    client.publish("t", b"x", qos, 1, retain=retain, properties=properties)
    assert world.broker.counters.unstorable == 0
    assert len(store.kept.entries) == 1
    assert len(store.kept.retained) == int(retain)
