"""Rules change while something is under way that the rules of before allowed."""

import json
from collections.abc import Callable

import pytest
from rules_world import NOW_MS, TABLE, Client, World

from gateway.security.guard import Guard
from gateway.security.rules import Area, Rule, Rules


def _begun_in_stomp(world: World) -> tuple[Client, Callable[[], None]]:
    client = world.client("stomp", "ann")
    client.frame("BEGIN", "transaction:t")
    client.frame("SEND", "destination:/queue/open", "transaction:t", body="<leak>")
    client.frame("SEND", "destination:/queue/private.x", "transaction:t", body="<leak>")
    return client, lambda: client.frame("COMMIT", "transaction:t", "receipt:done")


def _begun_in_stomp_for_later(world: World) -> tuple[Client, Callable[[], None]]:
    client = world.client("stomp", "ann")
    client.frame("BEGIN", "transaction:t")
    client.frame("SEND", "destination:/queue/open", "transaction:t", body="<leak>")
    delay = "AMQ_SCHEDULED_DELAY:1"
    client.frame("SEND", "destination:/queue/private.x", "transaction:t", delay, body="<leak>")
    return client, lambda: client.frame("COMMIT", "transaction:t", "receipt:done")


def _begun_in_json(world: World) -> tuple[Client, Callable[[], None]]:
    client = world.client("json", "ann")
    client.op("begin", tx="t")
    client.op("publish", to=["queue:open", "queue:private.x"], tx="t", body="<leak>")
    return client, lambda: client.op("commit", tx="t", id="done")


@pytest.mark.parametrize("denies", [True, False])
@pytest.mark.parametrize("begin", [_begun_in_stomp, _begun_in_stomp_for_later, _begun_in_json])
def test_what_is_denied_by_the_time_of_the_commit_is_not_done_nor_is_the_rest_of_its_transaction(
    begin: Callable[[World], tuple[Client, Callable[[], None]]], denies: bool
) -> None:
    world = World()
    client, commit = begin(world)
    client.heard()
    areas = (Area.parse("queue:private.>"),)
    denial = Rule(False, frozenset({"publish"}), frozenset({"ann" if denies else "carl"}), frozenset(), areas)
    guard = world.broker.authorizer
    assert isinstance(guard, Guard)
    guard.exchange({}, Rules((denial, *TABLE)))
    commit()
    said = client.heard()
    world.broker.tick(NOW_MS + 2_000)
    assert (b"not allowed to send to queue:private.x" in said) == denies
    assert [world.broker.queue(name).depth for name in ("open", "private.x")] == (
        [0, 0] if denies else [1, 1]
    )


def test_many_messages_of_one_request_that_are_made_in_later_turns_go_by_the_rules_of_then() -> None:
    world = World()
    client = world.client("http", "ann")
    world.broker.queue("open")
    body = json.dumps([{"to": "queue:private.x", "body": "<leak>"}] * 500)
    client.ask("POST", "/messages", body, "Content-Type: application/json")
    assert client.connector.resumes
    guard = world.broker.authorizer
    assert isinstance(guard, Guard)
    guard.exchange({}, Rules(tuple(rule for rule in TABLE if not rule.allow)))
    client.connector.forget_permissions()
    while client.connector.resumes:
        client.connector.go_on(NOW_MS)
    assert b" 403 " in client.heard()
    assert world.broker.queue("private.x").depth == 0
