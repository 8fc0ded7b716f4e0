"""`gateway.json`: what a subscription keeps over connections, how much of it is under way, and how it ends."""

from typing import Any

import pytest
from json_client import JsonClient, World

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
