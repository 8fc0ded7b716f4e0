"""gateway/connectors/websocket: a large JSON text holds nobody up."""

import json

import pytest
from json_client import World

from gateway.connectors.output import HEARD_MS, Turn
from protocols.gatewayjson.reading import AT_ONCE


def test_a_large_text_is_read_in_many_turns_and_then_its_operations_are_carried_out() -> None:
    world = World()
    looks = iter(range(10_000))
    world.turn = Turn(lambda: None, lambda: next(looks))
    client = world.client()
    client.op("connect", id=0)
    world.turn.share()
    bodies = [str(number) * 3_000 for number in range(50)]
    data = json.dumps([{"op": "publish", "to": "queue:q", "body": body} for body in bodies]).encode()
    client.raw(data)
    turns = 0
    while client.connector.resumes:
        assert client.connector.unheard
        world.turn.share()
        client.connector.go_on(world.now_ms)
        turns += 1
    assert turns >= len(data) / (2 * AT_ONCE) / HEARD_MS
    found = [delivery.message.origin.body().decode() for delivery in world.broker.queues["queue:q"].browse()]
    assert found == bodies


@pytest.mark.parametrize(
    ("begin", "end", "code"),
    [(b"\\ud800", b"]", "bad_request"), (b"", b"", "bad_json")],
    ids=["half a pair", "no JSON"],
)
def test_what_is_wrong_with_a_large_text_is_said_as_of_a_small_one(
    begin: bytes, end: bytes, code: str
) -> None:
    client = World().client()
    client.op("connect", id=0)
    client.raw(b'[{"op":"publish","to":"queue:q","body":"' + begin + b"x" * AT_ONCE + b'"}' + end)
    assert [(said["op"], said["code"]) for said in client.heard()] == [("error", code)]
    assert client.connector.closing == (code == "bad_json")
