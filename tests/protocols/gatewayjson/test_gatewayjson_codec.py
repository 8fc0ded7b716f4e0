# ruff: noqa: E501
"""gateway.json: what the codec takes is what the schema allows, and the other way round."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_schema import FROM_CLIENT, OPERATION, SCHEMA, from_server
from jsonschema import Draft202012Validator

from protocols.gatewayjson import codec
from protocols.gatewayjson.codec import decode
from protocols.gatewayjson.errors import JsonError
from protocols.gatewayjson.frames import (
    Connect,
    Credit,
    Mistake,
    Ping,
    Publish,
    Settle,
    Subscribe,
    Transact,
    Unsubscribe,
)

OPERATIONS: list[tuple[str, dict[str, Any], object]] = [
    ("ping", {"op": "ping"}, Ping(None)),
    ("pong", {"op": "pong", "id": 1}, Ping(1, True)),
    ("connect", {"op": "connect"}, Connect(None, None, None, "", 0)),
    (
        "connect with a password",
        {"op": "connect", "id": "c", "user": "u", "password": "p", "client_id": "k", "ping_ms": 5},
        Connect("c", "u", "p", "k", 5),
    ),
    ("connect with a token", {"op": "connect", "token": "t"}, Connect(None, None, "t", "", 0)),
    ("publish", {"op": "publish", "to": "queue:q"}, Publish(None, ["queue:q"], {}, None, 34)),
    (
        "publish a body to two",
        {"op": "publish", "id": 7, "to": ["queue:q", "topic:t"], "body": {"a": 1}, "tx": "x"},
        Publish(7, ["queue:q", "topic:t"], {"body": {"a": 1}}, "x", 85),
    ),
    ("subscribe", {"op": "subscribe", "sub": "s", "from": "topic:a"}, Subscribe(None, "s", "topic:a")),
    (
        "subscribe with a window",
        {"op": "subscribe", "sub": "s", "from": "queue:a", "ack": "client", "window": 5, "durable": "d"},
        Subscribe(None, "s", "queue:a", "client", 5, durable="d"),
    ),
    (
        "subscribe with credit",
        {"op": "subscribe", "sub": "s", "from": "queue:a", "ack": "client", "credit": 0, "no_local": True},
        Subscribe(None, "s", "queue:a", "client", -1, 0, True),
    ),
    ("unsubscribe", {"op": "unsubscribe", "sub": "s", "delete": True}, Unsubscribe(None, "s", True)),
    ("credit", {"op": "credit", "sub": "s", "count": 3}, Credit(None, "s", 3)),
    ("ack", {"op": "ack", "tag": 3}, Settle(None, [3], "", False, None)),
    ("ack of several", {"op": "ack", "tag": [3, 4], "upto": True}, Settle(None, [3, 4], "", True, None)),
    ("nack", {"op": "nack", "tag": 3}, Settle(None, [3], "failed", False, None)),
    ("nack reject", {"op": "nack", "tag": 3, "outcome": "reject"}, Settle(None, [3], "reject", False, None)),
    ("begin", {"op": "begin", "tx": "t"}, Transact(None, "begin", "t")),
    ("commit", {"op": "commit", "tx": "t", "id": 1}, Transact(1, "commit", "t")),
    ("abort", {"op": "abort", "tx": "t"}, Transact(None, "abort", "t")),
]

MISTAKES: list[tuple[dict[str, Any] | str, str]] = [
    ({}, "`op` is missing"),
    ({"op": 1}, "`op` is missing or no text"),
    ({"op": "fly"}, "unknown operation `fly`"),
    ({"op": "ping", "x": 1}, "ping knows no `x`"),
    ({"op": "ping", "id": True}, "`id` is a text or a whole number"),
    ({"op": "ping", "id": 1.5}, "`id` is a text or a whole number"),
    ({"op": "connect", "token": "t", "user": "u"}, "either `token`"),
    ({"op": "connect", "password": "p"}, "`password` without `user`"),
    ({"op": "connect", "ping_ms": -1}, "`ping_ms` is a whole number"),
    ({"op": "publish"}, "`to` is a destination"),
    ({"op": "publish", "to": []}, "`to` is a destination"),
    ({"op": "publish", "to": [1]}, "`to` is a destination"),
    ({"op": "publish", "to": "queue:q", "prioritty": 4}, "publish knows no `prioritty`"),
    ({"op": "publish", "to": "queue:q", "priority": 256}, "`priority` is of the wrong type"),
    ({"op": "publish", "to": "queue:q", "durable": 1}, "`durable` is of the wrong type"),
    ({"op": "publish", "to": "queue:q", "properties": []}, "`properties` is of the wrong type"),
    ({"op": "publish", "to": "queue:q", "body": 1, "body_b64": ""}, "either `body` or `body_b64`"),
    ({"op": "subscribe", "sub": "s"}, "`from` is missing"),
    ({"op": "subscribe", "sub": "", "from": "queue:q"}, "`sub` is a text that is not empty"),
    ({"op": "subscribe", "sub": "s", "from": "queue:q", "credit": 1}, "`credit` is for"),
    ({"op": "subscribe", "sub": "s", "from": "queue:q", "ack": "maybe"}, "`ack` is one of"),
    ({"op": "credit", "sub": "s", "count": 0}, "`count` is a whole number"),
    ({"op": "ack"}, "`tag` is a number"),
    ({"op": "ack", "tag": []}, "`tag` is a number"),
    ({"op": "ack", "tag": 0}, "`tag` is a number"),
    ({"op": "nack", "tag": 1, "outcome": "lost"}, "`outcome` is one of"),
    ({"op": "commit"}, "`tx` is missing"),
]


def read(value: object) -> object:
    """The one operation of a text."""
    [operation] = decode(json.dumps(value).encode(), 10)
    return operation


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(("value", "record"), [pytest.param(v, r, id=n) for n, v, r in OPERATIONS])
def test_operations(value: dict[str, Any], record: object) -> None:
    assert read(value) == record
    assert FROM_CLIENT.is_valid(value)


def test_an_array_is_many_operations() -> None:
    values = [value for _, value, _ in OPERATIONS]
    assert FROM_CLIENT.is_valid(values)
    found = decode(json.dumps(values).encode(), len(values))
    assert [type(operation) for operation in found] == [type(record) for _, _, record in OPERATIONS]


@pytest.mark.parametrize(("value", "reason"), MISTAKES)
def test_mistakes_are_named_and_the_schema_knows_them_too(value: dict[str, Any], reason: str) -> None:
    mistake = read(value)
    assert isinstance(mistake, Mistake)
    assert mistake.code == "bad_request"
    assert reason in mistake.reason
    assert not FROM_CLIENT.is_valid(value)


def test_a_mistake_in_a_batch_leaves_the_others() -> None:
    first, second, third = decode(b'[{"op":"ping"},7,{"op":"ping"}]', 10)
    assert isinstance(first, Ping)
    assert isinstance(second, Mistake)
    assert isinstance(third, Ping)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"7", b'"op"', b"nul", b'{"op":NaN}', b'{"op":"ping","op":"ping"}', b"\xff", b"[" * 100_000, b"1" * 5_000, b"[{},{},{}]"],
)  # fmt: skip
def test_what_is_no_json_or_too_much_is_refused_as_a_whole(data: bytes) -> None:
    with pytest.raises(JsonError) as caught:
        decode(data, 2)
    assert caught.value.code == "bad_json"


def test_values_of_one_text_are_bounded_before_they_are_made() -> None:
    many = b",".join([b'"k%d":{"a":[1]}' % n for n in range(50)])
    for data in (b"[" * 200 + b"]" * 200, b'{"op":"ping","x":{' + many + b"}}", b"[" + b"1," * 200 + b"1]"):
        with pytest.raises(JsonError, match="more than 100 values"):
            decode(data, 1_000, 100)


def test_what_a_text_contains_is_no_value() -> None:
    body = ",[{" * 200 + '\\",",' * 100
    data = json.dumps({"op": "publish", "to": "queue:q", "body": body}).encode()
    [operation] = decode(data, 1, 100)
    assert not isinstance(operation, Mistake)


def test_texts_that_do_not_end_are_looked_at_once() -> None:
    # Each of these quotes could begin another text that reaches to the end.
    for data in (b',"' + b'\\"' * 1_000_000, b"," * 200 + b'"' + b"\\" * 2_000_001):
        with pytest.raises(JsonError):
            decode(data, 1, 100 if data.startswith(b",,") else 0)


def test_secrets_are_not_shown() -> None:
    assert "hush" not in repr(Connect(None, "u", "hush", "", 0))


@pytest.mark.parametrize(
    "data",
    [
        codec.encode_ok(7),
        codec.encode_ok("é"),
        codec.encode_error(None, "full", "queue:q is full"),
        codec.encode_error(3, "unknown", "there is no such subscription"),
        codec.encode_connected("c", "s", "gateway", None),
        codec.encode_connected(None, "s", "gateway", "u"),
        codec.encode_pong(None),
        codec.encode_pong(1),
        codec.PING,
    ],
)
def test_answers_are_as_the_schema_says(data: bytes) -> None:
    from_server(data)


WORDS = ("op", "id", "to", "sub", "from", "tag", "tx", "ack", "credit", "window", "count", "outcome", "upto", "user",
         "password", "token", "ping_ms", "body", "body_b64", "priority", "durable", "ttl", "delete", "durable", "retained")  # fmt: skip
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 70_000),
    st.sampled_from(["", "x", "auto", "client", "failed", "reject", "queue:q"]),
    st.lists(st.integers(0, 3), max_size=2),
    st.lists(st.just("queue:q"), max_size=2),
    st.just({}),
)
WHOLE = st.sampled_from([value for _, value, _ in OPERATIONS])


@st.composite
def nearly(draw: st.DrawFn) -> dict[str, Any]:
    """An operation with a key or two put wrong."""
    value = dict(draw(WHOLE))
    for _ in range(draw(st.integers(0, 2))):
        value[draw(st.sampled_from(WORDS))] = draw(VALUES)
    if draw(st.booleans()):
        value.pop(draw(st.sampled_from(sorted(value))), None)
    return value


@given(nearly())
def test_property_codec_and_schema_agree(value: dict[str, Any]) -> None:
    assert isinstance(read(value), Mistake) == (not OPERATION.is_valid(value)), value


@given(st.binary(max_size=200))
def test_garbage_is_an_error_or_operations(data: bytes) -> None:
    try:
        decode(data, 10)
    except JsonError as error:
        assert error.code == "bad_json"


@pytest.mark.parametrize(
    ("data", "ids"),
    [
        (b'{"op":"\\ud800","id":1}', [1]),
        (b'{"\\udfff":1,"id":"a"}', ["a"]),
        (b'{"op":"ping","id":"\\ud800"}', [None]),
        (b'[{"op":"ping","id":1},{"op":"publish","id":2,"to":"queue:q","body":"\\udc00"}]', [2]),
        (b'{"op":"publish","to":"queue:q","body":1e999}', [None]),
        (b'{"op":"publish","to":"queue:q","body":[-1e999]}', [None]),
    ],
)
def test_rfc_8259_what_no_text_or_double_is_spoils_one_operation(data: bytes, ids: list[object]) -> None:
    found = [operation for operation in decode(data, 2) if isinstance(operation, Mistake)]
    assert [(mistake.id, mistake.code) for mistake in found] == [(id, "bad_request") for id in ids]
    with pytest.raises(JsonError) as caught:
        codec.load(data)
    assert caught.value.code == "bad_request"


def test_whole_surrogate_pairs_are_text() -> None:
    assert codec.load(b'"\\ud83d\\ude00"') == "\U0001f600"
