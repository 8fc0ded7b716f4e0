"""`gateway.json`: mistakes and limits, delivery later, and where there is no room."""

import base64
import json
from typing import Any

import pytest
from json_client import NOW_MS, World, error

from gateway.connectors.base import Limits
from gateway.connectors.websocket.settings import JsonSettings
from gateway.core.limits import REJECT, CoreLimits, QueuePolicy
from gateway.core.purging import purge
from gateway.store.memory import MemoryStore

# -- mistakes and limits


def test_mistakes_do_not_end_the_connection() -> None:
    client = World().client()
    assert error(client.op("publish", id=1, to="a.b", body=1)) == (1, "bad_destination")
    assert error(client.op("publish", id=1, to="topic:$SYS.x", body=1)) == (1, "bad_destination")
    assert error(client.op("subscribe", id=1, sub="s", from_="share:g")) == (1, "bad_destination")
    assert error(client.op("subscribe", id=1, sub="s", from_="topic:t", durable="d")) == (1, "bad_request")
    client.say({"op": "publish", "id": 1, "to": "queue:q", "body_b64": "!"}, valid=False)
    assert error(client.heard()) == (1, "bad_request")
    assert error(client.op("unsubscribe", id=1, sub="s")) == (1, "unknown")
    assert error(client.op("credit", id=1, sub="s")) == (1, "unknown")
    assert error(client.op("ack", id=1, tag=7)) == (1, "unknown")
    assert error(client.op("commit", id=1, tx="t")) == (1, "unknown")
    client.say({"op": "fly", "id": 1}, valid=False)
    assert error(client.heard()) == (1, "bad_request")
    client.op("subscribe", sub="s", from_="topic:t")
    assert error(client.op("subscribe", id=1, sub="s", from_="topic:t")) == (1, "in_use")
    client.op("begin", tx="t")
    assert error(client.op("begin", id=1, tx="t")) == (1, "in_use")
    assert client.op("ping", id=9) == [{"op": "pong", "id": 9}]


def test_what_is_no_json_ends_the_connection() -> None:
    client = World().client()
    client.raw(b"{")
    assert error(client.heard()) == (None, "bad_json")
    assert client.connector.closing
    assert client.connector.counters.protocol_errors == 1


def test_limits_are_told_and_counted() -> None:
    world = World(
        limits=Limits(max_subscriptions=1), settings=JsonSettings(transactions_max=1, operations_max=2),
        policy=QueuePolicy(messages_max=1, when_full="reject"), core=CoreLimits(transaction_operations_max=1, queues_max=1),
    )  # fmt: skip
    client = world.client()
    client.op("subscribe", sub="s", from_="topic:t")
    assert error(client.op("subscribe", id=1, sub="t", from_="topic:t")) == (1, "limit")
    client.op("begin", tx="a")
    assert error(client.op("begin", id=1, tx="b")) == (1, "limit")
    client.op("publish", tx="a", to="queue:q", body=1)
    assert error(client.op("publish", id=1, tx="a", to="queue:q", body=1)) == (1, "limit")
    client.op("publish", to="queue:q", body=1)
    assert error(client.op("publish", id=1, to="queue:q", body=1)) == (1, "full")
    assert error(client.op("publish", id=1, to="queue:other", body=1)) == (1, "limit")
    assert client.connector.counters.limit_hits == 5
    client.say([{"op": "ping"}] * 3)
    assert error(client.heard()) == (None, "bad_json")


@pytest.mark.parametrize("tags", [{"tag": 3, "upto": True}, {"tag": [1, 2, 3]}])
def test_outcomes_above_the_limit_of_a_transaction_are_refused_as_a_whole(tags: dict[str, Any]) -> None:
    world = World(core=CoreLimits(transaction_operations_max=2))
    client = world.client()
    client.op("subscribe", sub="s", from_="queue:q", ack="client")
    for body in (1, 2, 3):
        client.op("publish", to="queue:q", body=body)
    client.op("begin", tx="t")
    assert error(client.op("ack", id=1, tx="t", **tags)) == (1, "limit")
    assert world.broker.queue("q").unsettled == 3
    assert client.op("ack", id=2, tag=3, upto=True) == [{"op": "ok", "id": 2}]
    assert world.broker.queue("q").depth == 0


def test_an_outcome_with_an_unknown_tag_does_nothing_and_one_said_twice_counts_once() -> None:
    world = World()
    client = world.client()
    client.op("subscribe", sub="s", from_="queue:q", ack="client")
    for body in (1, 2, 3):
        client.op("publish", to="queue:q", body=body)
    assert error(client.op("ack", id=1, tag=[1, 7])) == (1, "unknown")
    assert world.broker.queue("q").unsettled == 3
    assert client.op("ack", id=2, tag=[1, 1]) == [{"op": "ok", "id": 2}]
    assert client.op("ack", id=3, tag=[3, 2], upto=True) == [{"op": "ok", "id": 3}]
    assert world.broker.queue("q").depth == 0


def test_a_client_that_sends_too_fast_is_ended() -> None:
    client = World(limits=Limits(message_rate=3)).client()
    client.say([{"op": "ping"}] * 3)
    assert len(client.heard()) == 3
    client.say({"op": "publish", "id": 1, "to": "queue:q", "body": "too much"})
    assert error(client.heard()) == (None, "limit")
    assert client.connector.closing
    assert "queue:q" not in client.world.broker.queues


def test_a_batch_that_crosses_the_rate_is_carried_out_up_to_there() -> None:
    client = World(limits=Limits(message_rate=2)).client()
    client.say([{"op": "publish", "id": n, "to": "queue:q", "body": n} for n in (1, 2, 3)])
    assert [answer.get("id") for answer in client.heard()] == [1, 2, None]
    assert client.world.broker.queues["queue:q"].depth == 2


def test_who_waits_for_room_and_sent_too_much_is_told_so_when_all_that_it_might_send_is_done() -> None:
    world = World(limits=Limits(message_rate=3), policy=QueuePolicy(messages_max=1, when_full="block"))
    client = world.client()
    client.say([{"op": "publish", "id": n, "to": "queue:q", "body": n} for n in (1, 2, 3, 4)])
    assert [answer.get("id") for answer in client.heard()] == [1, 2]
    assert client.connector.throttled and not client.connector.closing
    queue = world.broker.queue("q")
    purge(queue)
    client.connector.go_on(world.now_ms)
    assert [answer.get("id") for answer in client.heard()] == [3, None]
    assert client.connector.closing


def test_several_destinations_get_it_all_or_none_and_the_answer_says_so() -> None:
    world = World(policy=QueuePolicy(messages_max=1, when_full="reject"))
    client = world.client()
    client.op("subscribe", sub="s", from_="topic:t")
    client.op("publish", to="queue:full", body=1)
    for fields in ({}, {"delay": 1 << 40}):
        [answer] = client.op("publish", id=1, to=["queue:a", "topic:t", "queue:full"], body=2, **fields)
        assert answer["op"] == "error"
    assert [world.broker.queue(name).depth for name in ("a", "full")] == [0, 1]
    assert [answer["op"] for answer in client.op("publish", id=2, to=["queue:a", "topic:t"], body=3)] == [
        "message",
        "ok",
    ]
    assert world.broker.transactions_bytes == 0


def test_one_connection_too_many_is_told_so() -> None:
    client = World().client()
    client.connector.refuse(NOW_MS)
    assert error(client.op("connect", id=1)) == (None, "limit")
    assert client.connector.closing


def test_silence_at_the_start_and_later() -> None:
    limits = Limits(connect_timeout_ms=100, idle_timeout_ms=500, allow_anonymous=False)
    world = World(limits=limits)
    client = world.client()
    client.connector.certificate_user = "u"
    assert client.connector.next_deadline_ms() == NOW_MS + 100
    client.op("connect", ping_ms=200)
    assert client.connector.next_deadline_ms() == NOW_MS + 200
    world.now_ms += 200
    client.connector.deadline(world.now_ms)
    assert client.heard() == [{"op": "ping"}]
    world.now_ms += 300
    client.connector.deadline(world.now_ms)
    assert error(client.heard()[:1]) == (None, "limit")
    silent = world.client()
    silent.connector.deadline(world.now_ms + 100)
    assert error(silent.heard()) == (None, "limit")


def test_a_page_that_needs_no_name_may_be_silent() -> None:
    client = World(limits=Limits(connect_timeout_ms=100)).client()
    assert client.connector.next_deadline_ms() is None
    assert not client.connector.stranger


def test_a_slow_reader_is_held_back_and_goes_on() -> None:
    world = World(limits=Limits(output_buffer=1_024, slow_consumer="drop-oldest"))
    client = world.client()
    client.op("subscribe", sub="q", from_="queue:q", ack="client")
    client.connector.writable(False)
    world.client().say(
        [{"op": "publish", "to": "queue:q", "body": base64.b64encode(bytes(400)).decode()}] * 5
    )
    assert client.connector.out == []
    client.connector.writable(True)
    # Each time the socket takes what there is, there is room for more.
    assert [len(client.bodies()) for _ in range(4)] == [2, 2, 1, 0]


def test_a_client_that_may_not_stay_is_told_why() -> None:
    client = World().client()
    client.op("subscribe", sub="s", from_="queue:q")
    client.connector.dismiss("the client's certificate was revoked", NOW_MS)
    assert client.heard() == [
        {"op": "error", "code": "not_allowed", "reason": "the client's certificate was revoked"}
    ]
    assert client.connector.closing


# -- later, and where there is no room


def test_delivery_later() -> None:
    world = World()
    client = world.client()
    client.op("subscribe", sub="s", from_="queue:q")
    assert client.op("publish", id=1, to="queue:q", body="in a second", delay=1_000) == [
        {"op": "ok", "id": 1}
    ]
    client.op("publish", to="queue:q", body="at its time", deliver_at=NOW_MS + 500)
    client.say([
        {"op": "begin", "tx": "t"},
        {"op": "publish", "tx": "t", "to": "queue:q", "body": "in a transaction", "delay": 700},
        {"op": "commit", "tx": "t"},
    ])  # fmt: skip
    # A time that has passed is now.
    assert client.op("publish", to="queue:q", body="now", deliver_at=NOW_MS - 1)[0]["body"] == "now"
    for after_ms, body in ((500, "at its time"), (700, "in a transaction"), (1_000, "in a second")):
        world.broker.tick(NOW_MS + after_ms - 1)
        assert client.bodies() == []
        world.broker.tick(NOW_MS + after_ms)
        assert client.bodies() == [body]


def test_delivery_that_cannot_be_scheduled() -> None:
    client = World().client()
    [error] = client.op("publish", id=1, to="queue:q", body="x", delay=1 << 40)
    assert (error["id"], error["code"]) == (1, "limit")
    client.say({"op": "publish", "id": 2, "to": "queue:q", "delay": 1, "deliver_at": NOW_MS}, valid=False)
    [error] = client.heard()
    assert (error["id"], error["code"]) == (2, "bad_request")


@pytest.mark.parametrize("to", ["queue:q", "topic:t"])
@pytest.mark.parametrize("more", [{}, {"delay": 5}])
def test_a_store_that_can_keep_nothing_is_never_an_ok(to: str, more: dict[str, int]) -> None:
    world = World()
    client = world.client()
    client.op("subscribe", sub="s", from_="topic:t", ack="client")
    world.broker.store.accepting = False
    [error] = client.op("publish", id=1, to=to, body="x", **more)
    assert (error["op"], error["id"], error["code"]) == ("error", 1, "limit" if more else "full")
    assert error["reason"] == "the broker's disk is full"
    [passing] = client.op("publish", id=2, to="queue:q", body="x", durable=False)
    assert passing == {"op": "ok", "id": 2}
    client.op("begin", tx="t")
    client.op("publish", tx="t", to=to, body="x", **more)
    [error] = client.op("commit", id=3, tx="t")
    assert (error["op"], error["id"]) == ("error", 3)
    # It has been aborted, and its name is free.
    [error] = client.op("commit", id=4, tx="t")
    assert error["code"] == "unknown"
    assert client.op("begin", id=5, tx="t") == [{"op": "ok", "id": 5}]


def test_a_transaction_into_a_full_queue_gives_back_what_it_would_have_settled() -> None:
    world = World(policy=QueuePolicy(1, when_full=REJECT))
    client = world.client()
    client.op("subscribe", sub="s", from_="queue:in", ack="client", window=1)
    [job] = client.op("publish", to="queue:in", body="job")
    client.op("publish", to="queue:out", body="there")
    client.say([
        {"op": "begin", "tx": "t"},
        {"op": "publish", "tx": "t", "to": "queue:out", "body": "more"},
        {"op": "ack", "tx": "t", "tag": job["tag"]},
        {"op": "commit", "tx": "t", "id": 1},
    ])  # fmt: skip
    heard = client.heard()
    assert [(m["op"], m.get("code"), m.get("delivery_count")) for m in heard] == [
        ("message", None, 1),
        ("error", "full", None),
    ]
    assert client.op("ack", id=2, tag=heard[0]["tag"]) == [{"op": "ok", "id": 2}]


@pytest.mark.parametrize("member", ["ttl", "expires_at", "delay", "deliver_at", "priority", "created_at"])
@pytest.mark.parametrize("number", [255, 1 << 31, 1 << 62, (1 << 63) - 1, 1 << 63, 1 << 64, 10**30])
@pytest.mark.parametrize("to", ["queue:q", "topic:t"])
def test_a_number_is_one_that_the_store_can_hold_or_is_refused(member: str, number: int, to: str) -> None:
    store = MemoryStore()
    world = World(store=store)
    store.listener = world.broker
    client = world.client()
    said = {"op": "publish", "id": 1, "to": to, "body": "x", "durable": True, "retain": to == "topic:t"}
    client.raw(json.dumps(said | {member: number}).encode())
    (answer,) = client.heard()
    assert answer["op"] in ("ok", "error")
    assert world.broker.counters.unstorable == 0
    assert answer["op"] == "ok" or not store.kept.entries
