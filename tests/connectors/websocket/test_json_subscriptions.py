"""`gateway.json`: what a subscription keeps over connections, how much of it is under way, and how it ends."""

from itertools import pairwise
from typing import Any

import pytest
from json_client import JsonClient, World

from gateway.connectors.base import Limits
from gateway.connectors.ending import ENDED_AT_ONCE
from gateway.connectors.envelope import EnvelopeRestorer
from gateway.connectors.stored_fields import WIRE_ID
from gateway.core.ports import Authorizer
from gateway.store.memory import Kept, MemoryStore


class Lives:
    """A store that outlives its gateways."""

    def __init__(self) -> None:
        self._kept = Kept()
        self.restart()

    def restart(self) -> None:
        """The next gateway; what was committed is there."""
        self.store = MemoryStore(self._kept, held=True, pages=True)
        self.world = World(store=self.store)
        broker = self.world.broker
        self.store.listener = broker
        broker.decoder.restorers[WIRE_ID] = EnvelopeRestorer()
        broker.recover(self.store.recover())

    def commit(self) -> None:
        """Nothing is lost any more."""
        for _ in range(3):
            self.store.commit()


class Names(Authorizer):
    """Users are verified."""

    def __init__(self) -> None:
        super().__init__()
        self.verifies_names = True


def named(world: World, client_id: str, user: str | None = None) -> JsonClient:
    """A connection that has said who it is."""
    client = world.client()
    client.op("connect", client_id=client_id, **({"user": user, "password": "p"} if user else {}))
    return client


def codes(answers: list[dict[str, Any]]) -> list[str]:
    """The codes of errors, else the operations."""
    return [answer.get("code", answer["op"]) for answer in answers]


# -- no_local


@pytest.mark.parametrize("ack", ["auto", "client"])
def test_no_local_of_a_durable_subscription_holds_while_away_and_after_a_reconnect(ack: str) -> None:
    world = World()
    subscribe = {"sub": "d", "from_": "topic:t", "durable": "n", "no_local": True, "ack": ack}
    reader = named(world, "r")
    reader.op("subscribe", **subscribe)
    reader.op("publish", to="topic:t", body="own")
    reader.drop()
    named(world, "r").op("publish", to="topic:t", body="own of another connection")
    named(world, "other").op("publish", to="topic:t", body="other")
    world.client().op("publish", to="topic:t", body="nobody's")
    reader = named(world, "r")
    got = [m["body"] for m in reader.op("subscribe", **subscribe) if m["op"] == "message"]
    assert got == ["other", "nobody's"]
    assert reader.op("publish", id=1, to="topic:t", body="own again") == [{"op": "ok", "id": 1}]


def test_no_local_of_a_durable_subscription_is_in_the_store() -> None:
    lives = Lives()
    reader = named(lives.world, "r", "u")
    reader.op("subscribe", sub="d", from_="topic:t", durable="n", no_local=True)
    reader.op("publish", to="topic:t", body="own, later", delay=1_000)
    lives.commit()
    lives.restart()
    named(lives.world, "r", "u").op("publish", to="topic:t", body="own")
    named(lives.world, "r", "v").op("publish", to="topic:t", body="of another user who calls itself r")
    lives.world.now_ms += 1_000
    lives.world.broker.tick(lives.world.now_ms)
    reader = named(lives.world, "r", "u")
    [message] = reader.op("subscribe", sub="d", from_="topic:t", durable="n", no_local=True)
    assert message["body"] == "of another user who calls itself r"


def test_another_no_local_is_another_durable_subscription() -> None:
    """JMS 2.0 createDurableConsumer: it starts anew, and cannot while somebody reads it."""
    world = World()
    reader = named(world, "r")
    reader.op("subscribe", sub="d", from_="topic:t", durable="n")
    assert codes(named(world, "r").op("subscribe", sub="d", from_="topic:t", durable="n", no_local=True)) == [
        "in_use"
    ]
    assert codes(named(world, "r").op("subscribe", sub="d", from_="topic:other", durable="n")) == ["in_use"]
    reader.drop()
    world.client().op("publish", to="topic:t", body="before")
    reader = named(world, "r")
    assert reader.op("subscribe", sub="d", from_="topic:t", durable="n", no_local=True) == []
    reader.op("publish", to="topic:t", body="own")
    world.client().op("publish", to="topic:t", body="after")
    assert reader.bodies() == ["after"]


@pytest.mark.parametrize("source", ["queue:q", "share:g/t"])
def test_no_local_is_for_who_reads_a_topic_alone(source: str) -> None:
    client = World().client()
    assert codes(client.op("subscribe", id=1, sub="s", from_=source, no_local=True)) == ["bad_request"]


# -- unsubscribe with delete


def test_delete_is_refused_while_others_read_the_durable_subscription() -> None:
    world = World()
    one, two = named(world, "r"), named(world, "r")
    for reader in (one, two):
        reader.op("subscribe", sub="d", from_="topic:t", durable="n")
    assert codes(one.op("unsubscribe", id=1, sub="d", delete=True)) == ["in_use"]
    assert codes(named(world, "r").op("unsubscribe", id=1, durable="n", delete=True)) == ["in_use"]
    # Nothing was done: it is still read here.
    world.client().say([{"op": "publish", "to": "topic:t", "body": n} for n in (1, 2)])
    assert sorted(one.bodies() + two.bodies()) == [1, 2]
    two.op("unsubscribe", sub="d")
    assert one.op("unsubscribe", id=1, sub="d", delete=True) == [{"op": "ok", "id": 1}]
    assert not [key for key in world.broker.queues if key.startswith("durable")]


def test_delete_by_name_says_what_it_did() -> None:
    world = World(authorizer=Names())
    reader = named(world, "r", "u")
    reader.op("subscribe", sub="d", from_="topic:t", durable="n")
    reader.drop()
    world.client().op("publish", to="topic:t", body="kept")
    assert codes(named(world, "r", "v").op("unsubscribe", id=1, durable="n", delete=True)) == ["not_allowed"]
    assert codes(named(world, "r", "u").op("unsubscribe", id=1, durable="m", delete=True)) == ["unknown"]
    assert codes(named(world, "other", "u").op("unsubscribe", id=1, durable="n", delete=True)) == ["unknown"]
    assert codes(named(world, "r", "u").op("unsubscribe", id=1, durable="n", delete=True)) == ["ok"]
    assert codes(named(world, "r", "u").op("unsubscribe", id=1, durable="n", delete=True)) == ["unknown"]


@pytest.mark.parametrize("source", ["queue:q", "share:g/t"])
def test_delete_is_refused_where_others_are_meant_too(source: str) -> None:
    client = World().client()
    client.op("subscribe", sub="s", from_=source)
    assert codes(client.op("unsubscribe", id=1, sub="s", delete=True)) == ["bad_request"]
    assert codes(client.op("unsubscribe", id=1, sub="s")) == ["ok"]


@pytest.mark.parametrize("ack", ["auto", "client"])
def test_delete_of_what_dies_anyway_is_done(ack: str) -> None:
    world = World()
    client = world.client()
    client.op("subscribe", sub="s", from_="topic:t", ack=ack)
    assert codes(client.op("unsubscribe", id=1, sub="s", delete=True)) == ["ok"]
    assert world.broker.queues == {}


# -- how much is under way


def test_maximum_inflight_holds_over_all_subscriptions_and_credit_and_none_starves() -> None:
    world = World(limits=Limits(max_inflight=3))
    client = world.client()
    client.op("subscribe", sub="a", from_="queue:a", ack="client", window=3)
    client.op("subscribe", sub="b", from_="topic:b", ack="client", credit=5)
    client.op("subscribe", sub="auto", from_="queue:c")
    for n in range(6):
        world.client().say(
            [{"op": "publish", "to": to, "body": n} for to in ("queue:a", "topic:b", "queue:c")]
        )
    got = client.heard()
    assert [m["body"] for m in got if m["sub"] == "auto"] == list(range(6))
    tags = [m["tag"] for m in got if m["sub"] != "auto"]
    assert len(tags) == 3
    client.op("credit", sub="b", count=100)
    assert client.bodies() == []
    heard: list[str] = []
    while tags:
        # Each outcome makes room for one, whichever subscription it is of, and each has its turn.
        more = client.op("ack", tag=tags.pop(0))
        assert len(more) <= 1
        heard += [m["sub"] for m in more]
        tags += [m["tag"] for m in more]
    assert sorted(heard + [m["sub"] for m in got if m["sub"] != "auto"]) == ["a"] * 6 + ["b"] * 6
    assert heard[:4] in (["a", "b", "a", "b"], ["b", "a", "b", "a"])


def test_credit_above_maximum_inflight_is_not_lost() -> None:
    client = World(limits=Limits(max_inflight=2)).client()
    client.op("subscribe", sub="q", from_="queue:q", ack="client", credit=4)
    client.say([{"op": "publish", "to": "queue:q", "body": n} for n in range(9)])
    tags = [m["tag"] for m in client.heard()]
    seen = len(tags)
    while tags:
        more = client.op("ack", tag=tags.pop())
        tags += [m["tag"] for m in more]
        seen += len(more)
    assert seen == 4


def test_what_is_given_back_makes_room_for_the_other_subscriptions() -> None:
    world = World(limits=Limits(max_inflight=2))
    client = world.client()
    for name in "ab":
        client.op("subscribe", sub=name, from_=f"queue:{name}", ack="client")
    for name in "ab":
        world.client().say([{"op": "publish", "to": f"queue:{name}", "body": n} for n in range(2)])
    assert [m["sub"] for m in client.heard()] == ["a", "a"]
    assert [m["sub"] for m in client.op("unsubscribe", sub="a")] == ["b", "b"]


def test_very_many_subscriptions_of_a_connection_that_is_lost_end_some_a_step() -> None:
    world = World()
    world.broker.chores.driven_by(lambda: None)
    page = world.client()
    count = 3 * ENDED_AT_ONCE
    for number in range(count):
        page.op("subscribe", sub=str(number), from_=f"topic:t.{number}", ack="auto")
    page.drop()
    out = len(page.connector.out)
    left = [count, world.broker.topics.bindings_count]
    assert 0 < left[-1] < count
    while world.broker.chores:
        world.client().op("publish", to=f"topic:t.{count - 1}", body="x")
        world.broker.chores.step()
        left.append(world.broker.topics.bindings_count)
    assert max([before - after for before, after in pairwise(left)]) <= ENDED_AT_ONCE
    assert left[-1] == 0
    assert len(page.connector.out) == out
