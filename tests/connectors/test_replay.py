"""Retained values for new subscriptions of every protocol: all of them, at the client's pace, in nobody's way."""

from collections.abc import Callable

import http_client
import json_client
import pytest
import stomp_client

from gateway.connectors.base import Connector, Limits
from gateway.connectors.replay import TURN_MESSAGES, Replay, ReplayLine
from gateway.core.flow import Publisher
from gateway.core.limits import DROP_NEWEST
from gateway.core.searching import NODES_AT_ONCE


class Reader:
    """A client that asks for the last values of `t.>`, and what publishes them."""

    def __init__(self, connector: Connector, now_ms: int) -> None:
        self.connector = connector
        self._now_ms = now_ms
        self.turns = 0
        self.largest = 0

    def read(self) -> bytes:
        """One turn of the loop: what is written in it."""
        data = b"".join(self.connector.bytes_out(self._now_ms))
        self.connector.marked = False
        self.connector.written()
        self.turns += 1
        self.largest = max(self.largest, len(data))
        return data

    def read_all(self) -> bytes:
        """Turns until nothing more comes."""
        data = piece = self.read()
        while piece or self.connector.marked or self.connector.unwritten:
            piece = self.read()
            data += piece
        return data


Publish = Callable[[str, bytes], None]


def stomp(limits: Limits) -> tuple[Reader, Publish, Callable[[], None]]:
    world = stomp_client.World(limits=limits)
    client, publisher = world.client(), world.client()

    def publish(topic: str, body: bytes) -> None:
        publisher.send("SEND", body, destination=f"/topic/{topic}", retain="true")

    def subscribe() -> None:
        client.send("SUBSCRIBE", id="1", destination="/topic/t.>", retained="true")

    return Reader(client.connector, world.now_ms), publish, subscribe


def json(limits: Limits) -> tuple[Reader, Publish, Callable[[], None]]:
    world = json_client.World(limits=limits)
    client, publisher = world.client(), world.client()
    client.op("connect")

    def publish(topic: str, body: bytes) -> None:
        publisher.op("publish", to=f"topic:{topic}", body=body.decode(), retain=True)

    def subscribe() -> None:
        client.say({"op": "subscribe", "sub": "s", "from": "topic:t.>", "retained": True})

    return Reader(client.connector, world.now_ms), publish, subscribe


def events(limits: Limits) -> tuple[Reader, Publish, Callable[[], None]]:
    world = http_client.World(limits=limits)
    client = world.client()

    def publish(topic: str, body: bytes) -> None:
        assert (
            world.once("POST", f"/topics/{topic}?retain=true", body, Content_Type="text/plain").status == 202
        )

    def subscribe() -> None:
        client.send("GET", "/events?destination=topic:t.%3E&destination=topic:t.*&retained=true")

    return Reader(client.connector, world.now_ms), publish, subscribe


every_protocol = pytest.mark.parametrize("begin", [stomp, json, events])
Begin = Callable[[Limits], tuple[Reader, Publish, Callable[[], None]]]


@every_protocol
def test_retained_values_far_beyond_the_output_buffer_all_come(begin: Begin) -> None:
    reader, publish, subscribe = begin(Limits(output_buffer=50_000))
    for n in range(60):
        publish(f"t.{n}", b"<%d>" % n + b"x" * 20_000)
    subscribe()
    data = reader.read_all()
    assert [data.count(b"<%d>" % n) for n in range(60)] == [1] * 60
    assert reader.connector.counters.dropped_slow == 0
    assert reader.turns > 10


@every_protocol
def test_many_small_values_take_many_turns(begin: Begin) -> None:
    reader, publish, subscribe = begin(Limits())
    for n in range(3 * TURN_MESSAGES):
        publish(f"t.{n}", b"<%d>" % n)
    subscribe()
    data = reader.read_all()
    assert [data.count(b"<%d>" % n) for n in range(3 * TURN_MESSAGES)] == [1] * 3 * TURN_MESSAGES
    assert reader.turns > 3


@every_protocol
def test_what_comes_live_meanwhile_is_not_dropped_and_takes_the_place_of_the_old_value(begin: Begin) -> None:
    reader, publish, subscribe = begin(Limits(output_buffer=50_000, slow_consumer=DROP_NEWEST))
    for n in range(20):
        publish(f"t.{n}", b"<%d>" % n + b"x" * 10_000)
    subscribe()
    data = reader.read()
    publish("t.19", b"<new>" + b"x" * 10_000)
    publish("t.live", b"<live>")
    data += reader.read_all()
    assert data.count(b"<new>") == data.count(b"<live>") == 1
    assert data.count(b"<19>") == 0
    assert [data.count(b"<%d>" % n) for n in range(19)] == [1] * 19
    assert reader.connector.counters.dropped_slow == 0


@every_protocol
def test_a_client_that_reads_nothing_for_a_while_gets_the_rest_when_it_does(begin: Begin) -> None:
    reader, publish, subscribe = begin(Limits(output_buffer=50_000))
    for n in range(20):
        publish(f"t.{n}", b"<%d>" % n + b"x" * 10_000)
    subscribe()
    reader.connector.writable(False)
    before = sum(map(len, reader.connector.out))
    reader.connector.written()
    assert sum(map(len, reader.connector.out)) == before <= 60_000
    reader.connector.writable(True)
    data = reader.read_all()
    assert [data.count(b"<%d>" % n) for n in range(20)] == [1] * 20


def test_an_unsubscribed_client_gets_no_more_of_them() -> None:
    world = stomp_client.World(limits=Limits(output_buffer=50_000))
    client, publisher = world.client(), world.client()
    for n in range(20):
        publisher.send("SEND", b"x" * 10_000, destination=f"/topic/t.{n}", retain="true")
    client.send("SUBSCRIBE", id="1", destination="/topic/t.>", retained="true").send("UNSUBSCRIBE", id="1")
    assert 0 < len(client.bodies()) < 20
    assert client.bodies() == []


@every_protocol
def test_very_many_values_are_searched_in_later_turns_and_all_come(begin: Begin) -> None:
    reader, publish, subscribe = begin(Limits())
    chores = reader.connector.broker.chores
    count = 10 * NODES_AT_ONCE
    for n in range(count):
        publish(f"t.{n}", b"<%d>" % n)
    chores.driven_by(lambda: None)
    subscribe()
    assert b"<" not in reader.read_all()
    publish("t.7", b"<new>")
    chores.finish()
    data = reader.read_all()
    assert data.count(b"<new>") == 1
    assert data.count(b"<7>") == 0
    assert [data.count(b"<%d>" % n) for n in range(8, count)] == [1] * (count - 8)
    places = [data.index(b"<%d>" % n) for n in range(8, count)]
    assert places == sorted(places)


@every_protocol
def test_a_client_that_leaves_while_it_is_searched_for_is_sent_nothing_more(begin: Begin) -> None:
    reader, publish, subscribe = begin(Limits())
    broker = reader.connector.broker
    for n in range(10 * NODES_AT_ONCE):
        publish(f"t.{n}", b"<%d>" % n)
    broker.chores.driven_by(lambda: None)
    subscribe()
    assert len(broker.chores) > 0
    reader.read_all()
    reader.connector.eof(broker.now_ms)
    broker.chores.step()
    assert len(broker.chores) == 0
    assert b"<" not in reader.read_all()


class _Looked:
    """An owner that counts how often it is compared with another."""

    def __init__(self, looks: list[int]) -> None:
        self._looks = looks

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        self._looks.append(1)
        return self is other


def test_among_thousands_the_replays_of_one_subscription_are_found_without_looking_at_the_others() -> None:
    broker = json_client.World().broker
    looks: list[int] = []
    line = ReplayLine()
    owners = [_Looked(looks) for _ in range(2_000)]
    replays = [Replay(broker.values.search([], Publisher("p", None))) for _ in owners]
    for owner, replay in zip(owners, replays, strict=True):
        line.add(owner, replay)
    for owner in owners[1:]:
        line.drop(owner)
    # But for what falls on the same place of a table.
    assert len(looks) < len(owners)
    assert not line.empty
    assert line.first is replays[0]
    assert [replay.over for replay in replays] == [False] + [True] * 1_999
    line.pass_first()
    assert line.empty


def test_replays_of_one_owner_follow_each_other_and_go_together() -> None:
    broker = json_client.World().broker
    line = ReplayLine()
    first, second, other = [Replay(broker.values.search([], Publisher("p", None))) for _ in range(3)]
    for owner, replay in (("a", first), ("b", other), ("a", second)):
        line.add(owner, replay)
    assert line.first is first
    line.pass_first()
    assert line.first is second
    line.drop("a")
    assert line.first is other
    line.end()
    assert line.empty
    assert other.over
