"""gateway/connectors/websocket: a large message is the same JSON as a small one, a part at a time."""

import json
from typing import Any

import pytest
from json_client import World

from gateway.connectors.parts import LONG, PART_BYTES
from gateway.connectors.websocket.long_messages import JsonParts
from gateway.connectors.websocket.messages import json_of
from gateway.core.message import Message

LARGE = LONG + 1_000


def published(world: World, envelope: dict[str, Any]) -> Message:
    """The message that becomes of it."""
    client = world.client()
    client.op("publish", to="queue:q", **envelope)
    [delivery] = world.broker.queues["queue:q"].browse()
    return delivery.message


def in_parts(message: Message, identity: bool) -> list[bytes]:
    frame = JsonParts(message, identity, b"{", b"!")
    parts = []
    while not frame.over:
        parts.append(frame.next())
    return parts


@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize(
    "envelope",
    [
        {"body": "é" * LARGE},
        {"body": '"\n' * LARGE, "ext": {"body": "vstr"}},
        {"body_b64": "AAA/" * LARGE},
        {"body": ["x" * 10] * LARGE},
        {"body": {"a": [1.5, None, True, "é" * LARGE]}, "content_type": "text/plain"},
        {"body": [1, 2], "ext": {"text": "[1,  2]"}, "subject": "s" * LARGE},
        {"body": "[1, 2" + " " * LARGE + "]", "content_type": "application/json"},
        {"body": "[1, 2" + " " * LARGE, "content_type": "application/json"},
        {"body": "null" + " " * LARGE, "content_type": "application/json"},
        {"body": "x", "properties": {f"k{at}": "v" * 20 for at in range(1_000)}},
        {"body": [1, 2] * 9_000, "ext": {"body": "list", "btypes": "/0:i32"}},
        {"body_b64": "AAAA" * LARGE, "content_type": "application/x-java-serialized-object"},
    ],
    ids=range(12),
)
def test_it_says_what_is_said_of_a_small_one(envelope: dict[str, Any], identity: bool) -> None:
    world = World()
    message = published(world, envelope)
    assert message.size >= LONG
    parts = in_parts(message, identity)
    other = message.redirected(message.destination)
    other.original = None
    other.publisher = message.publisher
    assert b"".join(parts) == json_of(other, identity) + b"!"
    assert max(map(len, parts)) <= 2 * PART_BYTES
    # Once for all who want it.
    assert in_parts(message, identity) == [part for part in parts if part]


def test_a_subscriber_hears_it_in_its_place() -> None:
    world = World()
    reader, writer = world.client(), world.client()
    reader.op("subscribe", sub="1", from_="topic:>")
    bodies = ["a", "b" * 200_000, "c", "é" * LARGE, "d"]
    writer.say([{"op": "publish", "to": "topic:t", "body": body} for body in bodies])
    assert reader.bodies() == bodies
    assert reader.connector.out_bytes == 0


def test_the_outcome_of_a_large_delivery_is_as_of_any() -> None:
    world = World()
    reader = world.client()
    reader.op("subscribe", sub="1", from_="queue:q", ack="client")
    world.client().op("publish", to="queue:q", body="x" * LARGE)
    [message] = reader.heard()
    assert json.loads(json.dumps(message))["body"] == "x" * LARGE
    assert reader.op("ack", tag=message["tag"], id=1)[0]["op"] == "ok"


@pytest.mark.parametrize("size", [10, 10_000], ids=["small", "large"])
@pytest.mark.parametrize(
    ("given", "body"),
    [
        ({"body": "é\n"}, "é\n".encode()),
        ({"body": ["é", 1.50, {"a": None}]}, '["é",1.5,{"a":null}]'.encode()),
        ({"body_b64": "AP8B"}, b"\0\xff\1"),
    ],
    ids=["text", "value", "bytes"],
)
def test_a_body_that_comes_is_the_same_however_large_it_is(
    size: int, given: dict[str, Any], body: bytes
) -> None:
    world = World()
    [(name, value)] = given.items()
    if isinstance(value, list):
        value, body = value * size, b"[" + b",".join([body[1:-1]] * size) + b"]"
    else:
        value, body = value * size, body * size
    message = published(world, {name: value})
    assert message.origin.body() == body


@pytest.mark.parametrize("packed", ["AAAA" * 5_000 + "A", "AA==" * 5_000, "AAAA" * 5_000 + "é", "=" * 20_000])
def test_what_is_no_base64_is_refused_however_large_it_is(packed: str) -> None:
    client = World().client()
    client.op("connect")
    client.say({"op": "publish", "to": "queue:q", "id": 1, "body_b64": packed}, valid=False)
    [answer] = client.heard()
    assert (answer["op"], answer["code"], answer["reason"]) == ("error", "bad_request", "body_b64 is base64")
