# ruff: noqa: E501
"""`gateway.json` on the core: what each operation does, and what each mistake is told."""

import json
from typing import Any

import pytest
from json_client import NOW_MS, HoldingStore, World, error

from gateway.connectors.base import Limits
from gateway.connectors.output import HEARD_MS, Turn
from gateway.core.dedup import SUMMED_AT_ONCE
from gateway.core.destination import Destination
from gateway.core.flow import Publisher
from gateway.core.limits import CoreLimits
from gateway.core.pattern import Pattern
from gateway.core.ports import Asker, Authorizer, Credentials

# -- publishing and topics


def test_a_topic_with_a_wildcard() -> None:
    world = World()
    client = world.client()
    assert client.op("subscribe", id=1, sub="s", from_="topic:a.*") == [{"op": "ok", "id": 1}]
    [ok, message] = sorted(
        client.op("publish", id="p", to="topic:a.b", body="hi"), key=lambda m: m["op"] == "message"
    )
    assert ok == {"op": "ok", "id": "p"}
    assert (message["sub"], message["to"], message["body"], message["durable"]) == (
        "s",
        "topic:a.b",
        "hi",
        True,
    )
    assert message["received_at"] == NOW_MS
    assert "tag" not in message
    assert client.op("publish", to="topic:a.b.c", body="deeper") == []
    client.op("subscribe", sub="t", from_="topic:a.>")
    client.op("subscribe", sub="u", from_="topic:a.#")
    assert [m["sub"] for m in client.op("publish", to="topic:a", body="")] == ["t", "u"]


def test_every_field_comes_back() -> None:
    world = World()
    client = world.client()
    client.op("subscribe", sub="s", from_="topic:t")
    fields = {
        "message_id": "AMQP_UUID:0b0b8b8e-6a1e-4e3c-9a52-0d4d3f6f7a11", "correlation_id": "AMQP_ULONG:7", "reply_to": "queue:r",
        "subject": "ty", "content_type": "text/plain", "content_encoding": "identity", "created_at": 5, "priority": 200,
        "durable": False, "group_id": "g", "group_seq": 3, "reply_group": "rg", "user_id": "u", "app_id": "a",
        "properties": {"é": "🥕", "n": 5, "f": 1.5, "b": True, "z": None, "l": [1, {"x": None}], "m": {"k": "v"}, "u": 7, "big": "9007199254740993"},
        "annotations": {"x-opt-a": 1}, "ext": {"types": "u:u8,big:i64"}, "expires_at": NOW_MS + 9,
    }  # fmt: skip
    [message] = client.op("publish", to="topic:t", body=[1, {"b": 2}], **fields)
    assert {name: message[name] for name in fields} == fields
    assert message["body"] == [1, {"b": 2}]


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ({"body": "é"}, {"body": "é"}),
        ({"body": {"a": 1}}, {"body": {"a": 1}, "content_type": "application/json"}),
        ({"body": 7}, {"body": 7, "content_type": "application/json"}),
        ({"body": None}, {"body": None}),
        ({}, {"body": None}),
        ({"body_b64": "AP8="}, {"body_b64": "AP8="}),
        (
            {"body_b64": "aGk=", "content_type": "text/plain"},
            {"body_b64": "aGk=", "content_type": "text/plain"},
        ),
        ({"body_b64": None, "body": "x", "priority": None}, {"body": "x"}),
    ],
)
def test_bodies(sent: dict[str, Any], received: dict[str, Any]) -> None:
    client = World().client()
    client.op("subscribe", sub="s", from_="topic:t")
    [message] = client.op("publish", to="topic:t", **sent)
    assert {
        name: message.get(name) for name in ("body", "body_b64", "content_type") if name in message
    } == received


def test_what_was_received_may_be_sent_back() -> None:
    client = World().client()
    client.op("subscribe", sub="s", from_="topic:t")
    [message] = client.op("publish", to="topic:t", body={"a": [1]}, properties={"n": 5}, durable=False)
    fields = {name: value for name, value in message.items() if name not in ("op", "sub", "id", "to")}
    [again] = client.op("publish", to="topic:t", **fields)
    assert {**again, "id": ""} == {**message, "id": ""}


def test_a_time_to_live_becomes_a_time_of_expiry() -> None:
    world = World()
    client = world.client()
    client.op("publish", to="queue:q", body="x", ttl=1_000)
    client.op("publish", to="queue:q", body="y", ttl=3_000)
    world.now_ms += 1_000
    [message] = client.op("subscribe", sub="s", from_="queue:q")
    assert (message["body"], message["expires_at"]) == ("y", NOW_MS + 3_000)


def test_several_destinations_and_no_local() -> None:
    client = World().client()
    client.op("subscribe", sub="mine", from_="topic:t", no_local=True)
    client.op("subscribe", sub="all", from_="topic:t")
    client.op("subscribe", sub="q", from_="queue:q")
    got = client.op("publish", to=["topic:t", "queue:q", "topic:t"], body="x")
    assert sorted(message["sub"] for message in got) == ["all", "q"]


def test_retained_values_are_sent_to_who_asks() -> None:
    world = World()
    client = world.client()
    client.op("publish", to="topic:s.1", body="on", retain=True)
    client.op("publish", to="queue:q", body="not for queues", retain=True)
    assert client.op("subscribe", sub="live", from_="topic:s.*") == []
    [message] = client.op("subscribe", sub="asks", from_="topic:s.*", retained=True)
    assert (message["body"], message["retained"], message["sub"]) == ("on", True, "asks")


def test_a_confirmation_waits_for_the_store() -> None:
    store = HoldingStore()
    client = World(store=store).client()
    assert client.op("publish", id=1, to="queue:q", body="x") == []
    assert client.op("publish", id=2, to="queue:q", body="x", durable=False) == []
    store.release(client.world.broker)
    assert client.heard() == [{"op": "ok", "id": 1}, {"op": "ok", "id": 2}]


def test_ok_of_a_durable_subscribe_and_of_its_end_wait_for_the_store() -> None:
    store = HoldingStore()
    world = World(store=store)
    client = world.client()
    client.op("connect", client_id="c")
    assert client.op("subscribe", id=1, sub="s", from_="topic:t", durable="d") == []
    store.release(world.broker)
    assert client.heard() == [{"op": "ok", "id": 1}]
    assert client.op("unsubscribe", id=2, sub="s", delete=True) == []
    store.release(world.broker)
    assert client.heard() == [{"op": "ok", "id": 2}]
    assert client.op("subscribe", id=3, sub="s", from_="topic:t") == [{"op": "ok", "id": 3}]
    store.accepting = False
    assert error(client.op("subscribe", id=4, sub="d", from_="topic:t", durable="e")) == (4, "full")


def test_ok_of_an_abort_waits_until_the_failed_deliveries_are_noted() -> None:
    store = HoldingStore()
    world = World(store=store)
    client = world.client()
    client.op("subscribe", sub="s", from_="queue:q", ack="client", window=1)
    client.op("publish", to="queue:q", body="x")
    store.release(world.broker)
    client.say([{"op": "begin", "tx": "t"}, {"op": "ack", "tag": 1, "tx": "t"}])
    client.heard()
    assert [answer for answer in client.op("abort", id=1, tx="t") if answer["op"] == "ok"] == []
    store.release(world.broker)
    assert client.heard() == [{"op": "ok", "id": 1}]


def test_a_subscription_that_cannot_be_had_leaves_no_queue_behind() -> None:
    world = World(core=CoreLimits(subscriptions_max=1))
    client = world.client()
    client.op("subscribe", sub="s", from_="topic:t")
    assert error(client.op("subscribe", id=1, sub="t", from_="topic:t", ack="client")) == (1, "limit")
    assert world.broker.queues == {}


# -- queues and outcomes


def test_competing_consumers() -> None:
    world = World()
    one, two = world.client(), world.client()
    one.op("subscribe", sub="s", from_="queue:q", ack="client")
    two.op("subscribe", sub="s", from_="queue:q", ack="client")
    world.client().say([{"op": "publish", "to": "queue:q", "body": n} for n in range(4)])
    assert (one.bodies(), two.bodies()) == ([0, 2], [1, 3])


def test_acknowledged_messages_are_gone_others_come_again() -> None:
    world = World()
    first = world.client()
    first.op("subscribe", sub="s", from_="queue:q", ack="client")
    got = [first.op("publish", to="queue:q", body=n)[0] for n in range(3)]
    assert first.op("ack", id=1, tag=got[0]["tag"]) == [{"op": "ok", "id": 1}]
    first.drop()
    again = world.client().op("subscribe", sub="s", from_="queue:q", ack="client")
    # The oldest may have been at hand when the client was lost; the other had only been sent ahead.
    assert [(m["body"], m["redelivered"], m.get("delivery_count")) for m in again] == [
        (1, True, 1),
        (2, True, None),
    ]


def test_what_was_there_at_a_crash_may_have_been_delivered_before() -> None:
    client = World().client()
    client.op("publish", to="queue:q", body="there")
    client.world.broker.queue("q").suspect_through = 1
    client.op("publish", to="queue:q", body="later")
    got = [m for m in client.op("subscribe", sub="s", from_="queue:q", ack="client") if m["op"] == "message"]
    assert [(m["body"], m.get("redelivered"), m.get("delivery_count")) for m in got] == [
        ("there", True, None),
        ("later", None, None),
    ]


def test_upto_means_all_before_in_that_subscription() -> None:
    client = World().client()
    client.op("subscribe", sub="s", from_="queue:q", ack="client")
    client.op("subscribe", sub="other", from_="queue:p", ack="client")
    client.op("publish", to="queue:p", body="p")
    tags = [client.op("publish", to="queue:q", body=n)[0]["tag"] for n in range(3)]
    client.op("ack", tag=tags[1], upto=True)
    assert client.world.broker.queues["queue:q"].depth == 1
    assert client.world.broker.queues["queue:p"].depth == 1


def test_nack_failed_release_and_reject() -> None:
    world = World()
    client = world.client()
    client.op("subscribe", sub="s", from_="queue:q", ack="client", window=1)
    client.op("subscribe", sub="dead", from_="queue:DLQ")
    [first] = client.op("publish", to="queue:q", body="x")
    [again] = client.op("nack", tag=first["tag"], outcome="release")
    assert (again["redelivered"], "delivery_count" in again) == (True, False)
    [third] = client.op("nack", tag=again["tag"])
    assert third["delivery_count"] == 1
    [dead] = client.op("nack", tag=third["tag"], outcome="reject")
    assert (dead["sub"], dead["original_to"]) == ("dead", "queue:q")
    assert (dead["deaths"][0]["reason"], dead["deaths"][0]["queue"]) == ("rejected", "q")


def test_the_window_bounds_what_waits_and_credit_is_used_up() -> None:
    client = World().client()
    client.op("subscribe", sub="w", from_="queue:w", ack="client", window=2)
    client.op("subscribe", sub="c", from_="queue:c", ack="client", credit=0)
    client.say(
        [{"op": "publish", "to": [name], "body": n} for n in range(4) for name in ("queue:w", "queue:c")]
    )
    got = client.heard()
    assert [m["sub"] for m in got] == ["w", "w"]
    assert [m["body"] for m in client.op("ack", tag=got[0]["tag"])] == [2]
    [one] = client.op("credit", sub="c")
    assert one["body"] == 0
    assert client.op("ack", tag=one["tag"]) == []
    assert [m["body"] for m in client.op("credit", sub="c", count=2)] == [1, 2]


def test_unacknowledged_deliveries_of_an_unsubscribed_source_are_released() -> None:
    world = World()
    client = world.client()
    client.op("subscribe", sub="s", from_="queue:q", ack="client")
    client.op("publish", to="queue:q", body="x")
    assert client.op("unsubscribe", id=1, sub="s") == [{"op": "ok", "id": 1}]
    [again] = client.op("subscribe", sub="s", from_="queue:q", ack="client")
    assert (again["redelivered"], "delivery_count" in again) == (True, False)


def test_a_topic_with_outcomes_has_a_queue_of_its_own_that_dies_with_it() -> None:
    world = World()
    client = world.client()
    client.op("subscribe", sub="s", from_="topic:t.*", ack="client")
    [message] = client.op("publish", to="topic:t.1", body="x")
    [again] = client.op("nack", tag=message["tag"], outcome="release")
    assert again["to"] == "topic:t.1"
    assert len(world.broker.queues) == 1
    client.drop()
    assert world.broker.queues == {}


def test_shared_and_durable_subscriptions() -> None:
    world = World()
    one, two = world.client(), world.client()
    one.op("subscribe", sub="s", from_="share:g/a.>")
    two.op("subscribe", sub="s", from_="share:g/a.>")
    one.op("connect")
    world.client().say([{"op": "publish", "to": "topic:a.b", "body": n} for n in range(4)])
    assert (one.bodies(), two.bodies()) == ([0, 2], [1, 3])

    reader = world.client()
    reader.op("connect", client_id="r")
    reader.op("subscribe", sub="d", from_="topic:d", durable="mine")
    reader.drop()
    world.client().op("publish", to="topic:d", body="while away")
    reader = world.client()
    reader.op("connect", client_id="r")
    assert [m["body"] for m in reader.op("subscribe", sub="d", from_="topic:d", durable="mine")] == [
        "while away"
    ]
    reader.op("unsubscribe", sub="d", delete=True)
    assert "durable:1:r/mine" not in world.broker.queues


# -- transactions


def test_a_transaction_is_all_or_nothing() -> None:
    world = World()
    client = world.client()
    client.op("subscribe", sub="s", from_="queue:in", ack="client")
    client.op("subscribe", sub="out", from_="queue:out")
    [message] = client.op("publish", to="queue:in", body="job")
    client.say(
        [
            {"op": "begin", "tx": "t"},
            {"op": "publish", "tx": "t", "to": "queue:out", "body": "done"},
            {"op": "ack", "tx": "t", "tag": message["tag"]},
            {"op": "abort", "tx": "t"},
        ]
    )
    [again] = client.heard()
    assert (again["sub"], again["redelivered"]) == ("s", True)
    client.say([{"op": "begin", "tx": "t"}, {"op": "publish", "tx": "t", "to": "queue:out", "body": "done"}])
    assert client.op("ack", tx="t", tag=again["tag"]) == []
    got = client.op("commit", id=1, tx="t")
    assert {"op": "ok", "id": 1} in got
    assert [m["body"] for m in got if m["op"] == "message"] == ["done"]
    assert world.broker.queues["queue:in"].depth == 0


def test_a_transaction_ends_with_its_connection() -> None:
    world = World()
    client = world.client()
    client.say([{"op": "begin", "tx": "t"}, {"op": "publish", "tx": "t", "to": "queue:q", "body": "x"}])
    client.drop()
    assert world.broker.counters.transactions_aborted == 1


# -- who is it?


class Slow(Authorizer):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Credentials, Asker]] = []

    def authenticate(self, credentials: Credentials, asker: Asker) -> None:
        self.asked.append((credentials, asker))


class Rules(Authorizer):
    """Nobody may touch what is called `secret`."""

    def may_publish(self, publisher: Publisher, destination: Destination) -> bool:
        return "secret" not in destination.name

    def may_subscribe(self, publisher: Publisher, kind: int, pattern: Pattern, whole: bool = False) -> bool:
        return "secret" not in pattern.levels


def test_connect_is_answered_with_who_one_is() -> None:
    client = World().client()
    [connected] = client.op("connect", id=1, user="u", password="p")
    assert (connected["op"], connected["user"]) == ("connected", "u")
    assert error(client.op("connect", id=2)) == (2, "in_use")


def test_what_follows_connect_waits_for_the_answer() -> None:
    slow = Slow()
    client = World(authorizer=slow).client()
    client.say(
        [
            {"op": "connect", "user": "u", "password": "p"},
            {"op": "publish", "id": 1, "to": "queue:q", "body": 1},
        ]
    )
    client.say({"op": "publish", "id": 2, "to": "queue:q", "body": 2})
    assert client.heard() == []
    assert client.connector.throttled
    [(credentials, asker)] = slow.asked
    assert (credentials.user, credentials.secret) == ("u", b"p")
    asker.answer(True, "u")
    assert [answer["op"] for answer in client.heard()] == ["connected", "ok", "ok"]


def test_a_refused_client_is_told_and_closed() -> None:
    slow = Slow()
    client = World(authorizer=slow).client()
    client.op("connect", token="t")
    [(credentials, asker)] = slow.asked
    assert (credentials.user, credentials.secret) == (None, b"t")
    asker.answer(False, None)
    assert error(client.heard()) == (None, "unauthorized")
    assert client.connector.closing


def test_what_http_said_of_the_client_counts() -> None:
    slow = Slow()
    client = World(authorizer=slow).client(Credentials("u", b"p", "", "peer"))
    client.op("publish", to="queue:q", body=1)
    [(credentials, _)] = slow.asked
    assert (credentials.user, credentials.secret) == ("u", b"p")


def test_anonymous_clients_only_where_they_are_allowed() -> None:
    client = World(limits=Limits(allow_anonymous=False)).client()
    assert error(client.op("ping")) == (None, "unauthorized")
    assert client.connector.closing


def test_rules_are_asked() -> None:
    client = World(authorizer=Rules()).client()
    assert error(client.op("publish", id=1, to="topic:secret", body=1)) == (1, "not_allowed")
    assert error(client.op("subscribe", id=2, sub="s", from_="queue:secret")) == (2, "not_allowed")
    assert not client.connector.closing


def test_nobody_sends_in_another_users_name() -> None:
    client = World().client()
    client.op("connect", user="u", password="p")
    assert error(client.op("publish", id=1, to="queue:q", user_id="v")) == (1, "not_allowed")
    assert client.op("publish", id=2, to="queue:q", user_id="u") == [{"op": "ok", "id": 2}]


@pytest.mark.parametrize("told", [True, False])
def test_who_published_is_told_where_that_is_wanted(told: bool) -> None:
    world = World(limits=Limits(publish_identity=told))
    client = world.client()
    client.op("subscribe", sub="s", from_="topic:t")
    publisher = world.client()
    publisher.op("connect", user="u", password="p")
    publisher.op("publish", to="topic:t", body="x")
    [message] = client.heard()
    assert message.get("ext") == ({"client": "127.0.0.1:1", "auth": "u"} if told else None)


# -- dedup


def test_what_is_published_again_under_its_key_is_one_message() -> None:
    world = World()
    client = world.client()
    said: dict[str, Any] = {"to": "queue:q", "dedup": "k"}
    [first] = client.op("publish", id=1, body=1, **said)
    [again] = client.op("publish", id=2, body=1, **said)
    assert first == {"op": "ok", "id": 1, "message": first["message"]}
    assert again == {"op": "ok", "id": 2, "message": first["message"], "repeated": True}
    [refused] = client.op("publish", id=3, body=2, **said)
    assert refused["code"] == "in_use"
    assert world.broker.queues["queue:q"].depth == 1


def test_what_is_large_beside_its_body_too_is_summed_up_to_its_end() -> None:
    world = World()
    client = world.client()
    said = {"op": "publish", "to": "queue:q", "dedup": "k", "body": "x" * 1_000_000}
    said["properties"] = {"p": "x" * 2 * SUMMED_AT_ONCE}
    for number in (1, 2):
        client.connector.bytes_in(json.dumps({**said, "id": number}).encode(), world.now_ms)
        steps = 0
        while client.connector.resumes and steps < 1_000:
            client.connector.go_on(world.now_ms)
            steps += 1
        [answer] = client.heard()
        assert answer["op"] == "ok"
    assert world.broker.queues["queue:q"].depth == 1


def test_a_key_within_a_transaction_counts_from_its_commit() -> None:
    world = World()
    client = world.client()
    for tx, end in (("a", "abort"), ("b", "commit"), ("c", "commit")):
        client.op("begin", tx=tx)
        client.op("publish", to="queue:q", body=1, dedup="k", tx=tx)
        assert client.op(end, id=3, tx=tx) == [{"op": "ok", "id": 3}]
    assert world.broker.queues["queue:q"].depth == 1


def test_operations_of_one_message_are_carried_out_some_a_turn() -> None:
    world = World()
    looks = iter(range(1_000))
    world.turn = Turn(lambda: None, lambda: next(looks))
    client = world.client()
    client.op("connect", id=0)
    # A queue that is new takes long too.
    world.broker.queue("q")
    world.turn.share()
    client.say([{"op": "publish", "to": "queue:q", "body": number} for number in range(10)])
    done = [world.broker.queues["queue:q"].depth]
    while client.connector.resumes:
        assert client.connector.unheard
        world.turn.share()
        client.connector.go_on(world.now_ms)
        done.append(world.broker.queues["queue:q"].depth)
    assert done == [HEARD_MS, 2 * HEARD_MS, 10]
    bodies = [delivery.message for delivery in world.broker.queues["queue:q"].browse()]
    assert [message.origin.body() for message in bodies] == [str(number).encode() for number in range(10)]
