"""Idempotency-Key on POST (draft-ietf-httpapi-idempotency-key-header): a repeated request is one message."""

import json

import pytest
from http_client import World
from json_client import HoldingStore
from test_http_connector import Rules, basic

from gateway.core.dedup import SUMMED_AT_ONCE

ENVELOPE = "application/vnd.mx+json"
KEY = '"8e03978e-40d5-43dd-bc93-6894a57f9324"'


def depth(world: World, name: str = "q") -> int:
    return world.broker.queues[f"queue:{name}"].depth


def test_a_repeated_request_has_the_same_outcome_and_is_marked() -> None:
    world = World()
    first = world.once("POST", "/queues/q", b"x", Idempotency_Key=KEY)
    again = world.once("POST", "/queues/q", b"x", Idempotency_Key=KEY)
    assert (first.status, again.status, depth(world)) == (202, 202, 1)
    assert first.headers["x-mx-message-id"] == again.headers["x-mx-message-id"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert world.once("GET", "/queues/q").meta["id"] == first.headers["x-mx-message-id"]
    # Also when it has been consumed since.
    assert world.once("POST", "/queues/q", b"x", Idempotency_Key=KEY).headers["idempotent-replayed"] == "true"
    assert world.once("GET", "/queues/q").status == 204


def test_a_large_request_is_told_from_others_some_of_it_at_a_time() -> None:
    world = World()
    body = b"x" * (8 * SUMMED_AT_ONCE)
    head = b"POST /queues/q HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\nContent-Length: %d\r\n\r\n"
    for replayed in (False, True):
        client = world.client()
        client.raw(head % len(body) + body[1:])
        client.connector.bytes_in(body[:1], world.now_ms)
        steps = 1
        while client.connector.resumes:
            client.connector.go_on(world.now_ms)
            steps += 1
        assert steps >= 8
        assert (b"Idempotent-Replayed: true" in client.written()) is replayed
    assert depth(world) == 1


def test_a_key_may_be_bare_as_stripes_clients_send_it() -> None:
    world = World()
    world.once("POST", "/queues/q", b"x", Idempotency_Key=KEY)
    again = world.once("POST", "/queues/q", b"x", Idempotency_Key=KEY.strip('"'))
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("key", ['""', "", '"a"b"', "k" * 256])
def test_what_is_no_key(key: str) -> None:
    world = World()
    assert world.once("POST", "/queues/q", b"x", Idempotency_Key=key).status == 400
    assert world.broker.queues == {}


def test_one_key_a_request() -> None:
    client = World().client()
    client.raw(
        b"POST /queues/q HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n"
        b"Content-Length: 1\r\n\r\nx"
    )
    assert client.written().startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/queues/r", b"x", {}),
        ("/topics/q", b"x", {}),
        ("/queues/q", b"y", {}),
        ("/queues/q", b"x", {"Content_Type": "text/plain"}),
        ("/queues/q", b"x", {"Content_Encoding": "gzip"}),
        ("/queues/q", b"x", {"X_Mx_Meta": '{"subject":"s"}'}),
        ("/queues/q", b"x", {"X_Mx_Ttl": "5"}),
    ],
)
def test_2_7_a_key_of_another_request_is_422(path: str, body: bytes, headers: dict[str, str]) -> None:
    world = World()
    world.once("POST", "/queues/q", b"x", Idempotency_Key=KEY)
    assert world.once("POST", path, body, Idempotency_Key=KEY, **headers).status == 422
    assert (depth(world), list(world.broker.queues)) == (1, ["queue:q"])


def test_a_repetition_waits_with_the_first_until_it_is_safe() -> None:
    store = HoldingStore()
    world = World(store=store)
    first, again = world.client(), world.client()
    assert first.ask("POST", "/queues/q", b"x", Idempotency_Key=KEY) is None
    assert again.ask("POST", "/queues/q", b"x", Idempotency_Key=KEY) is None
    store.release(world.broker)
    one, two = first.answer(), again.answer()
    assert one is not None
    assert two is not None
    assert (one.status, two.status, depth(world)) == (202, 202, 1)
    assert one.headers["x-mx-message-id"] == two.headers["x-mx-message-id"]
    assert two.headers["idempotent-replayed"] == "true"


def test_keys_belong_to_their_user() -> None:
    world = World(authorizer=Rules())
    for user in "uv":
        answer = world.once("POST", "/queues/q", b"x", Idempotency_Key=KEY, Authorization=basic(f"{user}:p"))
        assert answer.status == 202
    assert depth(world) == 2


def test_all_messages_of_a_request_have_one_key() -> None:
    world = World()
    body = json.dumps([{"to": "queue:q", "body": n} for n in range(3)]).encode()
    for _ in range(2):
        answer = world.once("POST", "/messages", body, Idempotency_Key=KEY)
        assert answer.status == 202
    assert answer.headers["idempotent-replayed"] == "true"
    assert depth(world) == 3


def test_delivery_later_is_asked_for_once() -> None:
    world = World()
    for _ in range(2):
        assert (
            world.once("POST", "/queues/q", b"x", X_Mx_Meta='{"delay":1000}', Idempotency_Key=KEY).status
            == 202
        )
    world.advance(1_000)
    assert depth(world) == 1


def test_a_retained_value_is_no_second_one() -> None:
    world = World()
    world.once("POST", "/topics/a?retain=true", b"on", Idempotency_Key=KEY)
    world.once("POST", "/topics/a?retain=true", b"off")
    world.once("POST", "/topics/a?retain=true", b"on", Idempotency_Key=KEY)
    value = world.broker.retained.get("a")
    assert value is not None
    assert value.origin.body() == b"off"


def test_what_failed_may_be_tried_again_under_its_key() -> None:
    world = World()
    world.broker.store.accepting = False
    assert world.once("POST", "/queues/q", b"x", Idempotency_Key=KEY).status == 507
    world.broker.store.accepting = True
    again = world.once("POST", "/queues/q", b"x", Idempotency_Key=KEY)
    assert (again.status, "idempotent-replayed" in again.headers, depth(world)) == (202, False, 1)


def test_a_request_without_a_key_costs_nothing_and_is_told_its_id_too() -> None:
    world = World()
    answers = [world.once("POST", "/queues/q", b"x") for _ in range(2)]
    assert len({answer.headers["x-mx-message-id"] for answer in answers}) == 2
    assert world.broker.dedup.count == 0
