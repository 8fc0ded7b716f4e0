# ruff: noqa: E501
"""`gateway.json`: what the schema takes the gateway does not call malformed, and the other way round, in both directions."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from json_client import World
from json_schema import FROM_CLIENT, OPERATION

from gateway.connectors.websocket.settings import JsonSettings

TEXTS = st.one_of(
    st.none(),
    st.just(7),
    st.sampled_from(["", "a", "a\0b", "é\n", "QQ==", "QQ", "queue:r"]),
    st.text(max_size=5),
)
NUMBERS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(
        [0, 1, 255, 256, 1.0, 1.5, -1.0, 1e3, 1e300, -(1 << 31), (1 << 32), 1 << 62, (1 << 62) + 1]
    ),
    st.sampled_from([(1 << 63) - 1, 1 << 63, -(1 << 63), "1"]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 63) - 1), st.text(max_size=3), st.just(1e300)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)  # fmt: skip
OBJECTS = st.one_of(
    st.none(), st.just([]), st.dictionaries(st.sampled_from(["a", "a\0", "é"]), VALUES, max_size=2)
)
PAIRS = st.lists(
    st.one_of(st.tuples(st.sampled_from(["a", "a", "\0"]), VALUES).map(list), st.just(["a"])), max_size=2
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(
        ("message_id", "correlation_id", "reply_to", "subject", "content_type", "content_encoding", "group_id",
         "reply_group", "app_id", "body_b64", "dedup"), TEXTS),
    **dict.fromkeys(("created_at", "expires_at", "ttl", "deliver_at", "delay", "priority", "group_seq", "durable", "retain"), NUMBERS),
    **dict.fromkeys(("body", "original_to", "received_at", "deaths", "group_first"), VALUES),
    **dict.fromkeys(("properties", "annotations"), OBJECTS),
    "footer": st.one_of(
        OBJECTS, st.sampled_from([{}, {"entries": '[["a",1]]', "types": "=map"}, {"entries": "[]\0"}, {"types": ""}])
    ).filter(lambda value: not isinstance(value, dict) or not isinstance(value.get("entries"), str) or "\0" in value["entries"]),
    "ext": st.one_of(
        st.none(), st.just(1), st.fixed_dictionaries(
            {}, optional={"types": TEXTS, "btypes": TEXTS, "pfi": NUMBERS, "uprops": st.one_of(st.none(), PAIRS), "x": VALUES}
        )),
    "id": st.one_of(NUMBERS, st.text(max_size=2)),
}  # fmt: skip


@st.composite
def publishes(draw: st.DrawFn) -> dict[str, Any]:
    """A `publish` with a few fields, right and wrong ones."""
    names = draw(st.lists(st.sampled_from(sorted(FIELDS)), unique=True, max_size=3))
    return {"op": "publish", "to": "queue:q", **{name: draw(FIELDS[name]) for name in names}}


@given(publishes())
def test_property_a_publish_is_malformed_for_the_gateway_if_it_is_for_the_schema(
    operation: dict[str, Any],
) -> None:
    client = World().client()
    client.raw(json.dumps(operation).encode())
    # What comes is validated against the schema, too.
    answers = [(answer["op"], answer.get("code"), answer.get("reason")) for answer in client.heard()]
    malformed = any(code in ("bad_request", "bad_json") for _, code, _ in answers)
    assert malformed == (not OPERATION.is_valid(operation)), (operation, answers)


@given(publishes())
def test_property_what_is_taken_is_delivered_as_the_schema_says_and_may_be_sent_back(
    operation: dict[str, Any],
) -> None:
    world = World()
    client = world.client()
    client.op("subscribe", sub="s", from_="queue:q", ack="client")
    for name in ("delay", "deliver_at", "dedup"):
        operation.pop(name, None)
    client.raw(json.dumps(operation).encode())
    for message in client.heard():
        if message["op"] == "message":
            again = {
                name: value
                for name, value in message.items()
                if name not in ("sub", "tag", "id", "op", "to", "retained")
            }
            client.say({"op": "publish", "to": "queue:other", **again})
            assert [answer for answer in client.heard() if answer["op"] == "error"] == []


def test_a_batch_may_have_as_many_operations_as_the_schema_says() -> None:
    for count, valid in ((1_000, True), (1_001, False)):
        client = World().client()
        batch = [{"op": "pong"}] * count
        assert FROM_CLIENT.is_valid(batch) == valid
        client.raw(json.dumps(batch).encode())
        assert [answer["code"] for answer in client.heard()] == ([] if valid else ["bad_json"])
    assert JsonSettings().operations_max == 1_000


def test_whole_numbers_may_be_written_with_a_fraction_or_an_exponent() -> None:
    """JSON Schema calls 1.0 an integer, and so do JSON's other readers."""
    client = World().client()
    client.raw(b'{"op":"subscribe","id":1.0,"sub":"s","from":"queue:q","ack":"client","window":2e0}')
    client.raw(b'{"op":"publish","to":"queue:q","priority":4.0,"ttl":1e6,"body":1.0}')
    ok, message = client.heard()
    assert (ok["id"], message["priority"], message["body"]) == (1, 4, 1.0)
    client.raw(b'{"op":"ack","id":2,"tag":[1.0]}')
    assert client.heard() == [{"op": "ok", "id": 2}]
