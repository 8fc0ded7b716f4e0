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


@pytest.mark.parametrize("size", [10, AT_ONCE], ids=["small", "large"])
def test_a_text_that_is_no_json_ends_the_connection_large_or_small(size: int) -> None:
    client = World().client()
    client.op("connect", id=0)
    client.raw(b'[{"op":"publish","to":"queue:q","body":"' + b"x" * size + b'"}')
    assert [(said["op"], said["code"]) for said in client.heard()] == [("error", "bad_json")]
    assert client.connector.closing


@pytest.mark.parametrize("size", [10, AT_ONCE], ids=["small", "large"])
def test_half_of_a_surrogate_pair_costs_its_operation_and_no_other_large_or_small(size: int) -> None:
    client = World().client()
    client.op("connect", id=0)
    one = b'{"op":"publish","to":"queue:q","id":%d,"body":"' + b"x" * size
    client.raw(b"[" + one % 1 + b'"},' + one % 2 + b'\\ud800"},' + one % 3 + b'\\ud83d\\ude00"}]')
    assert [(said["op"], said["id"]) for said in client.heard()] == [("ok", 1), ("error", 2), ("ok", 3)]
    assert not client.connector.closing
    found = [delivery.message.origin.body() for delivery in client.world.broker.queues["queue:q"].browse()]
    assert found == [b"x" * size, b"x" * size + "\U0001f600".encode()]
