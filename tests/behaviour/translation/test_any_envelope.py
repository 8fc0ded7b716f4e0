# ruff: noqa: E501
"""Whatever JSON a client may send as a message, every subscriber of every protocol gets something it can read."""

import json
from typing import Any

import json_client
import pytest
from harness import Gateway
from hypothesis import given
from hypothesis import strategies as st
from pair_clients import Pair, Said

from gateway.connectors.envelope import from_envelope
from gateway.core.message import BYTES, TEXT

ODD = st.one_of(
    st.text(st.sampled_from("a:\\\n\r\0\x01\x7f\u0085\ufeff\uffff,%é🥕 #+*>"), max_size=6),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)
VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(1 << 70), 1 << 70), st.floats(allow_nan=False, allow_infinity=False), ODD),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(ODD, inner, max_size=3)),
    max_leaves=5,
)  # fmt: skip
ENVELOPE = st.fixed_dictionaries(
    {},
    optional={
        "message_id": ODD, "correlation_id": ODD, "reply_to": ODD, "subject": ODD, "content_type": ODD,
        "content_encoding": ODD, "group_id": ODD, "reply_group": ODD, "user_id": ODD, "app_id": ODD,
        "created_at": st.integers(0, 1 << 62), "ttl": st.integers(0, 1 << 60), "expires_at": st.integers(0, 1 << 62),
        "priority": st.integers(0, 255), "durable": st.booleans(), "retain": st.booleans(),
        "group_seq": st.integers(-(1 << 31), (1 << 32) - 1), "properties": st.dictionaries(ODD, VALUE, max_size=3),
        "annotations": st.dictionaries(ODD, VALUE, max_size=2), "body": VALUE,
        "ext": st.fixed_dictionaries({}, optional={"types": ODD, "body": st.sampled_from(["map", "list", "value", "text", "json"])}),
    },
)  # fmt: skip


@given(st.lists(ENVELOPE, min_size=1, max_size=3))
def test_property_any_envelope_is_refused_or_delivered_readably(envelopes: list[dict[str, Any]]) -> None:
    gw = Gateway()
    for version in (4, 5):
        name = f"m{version}"
        (
            gw.mqtt(name, version)
            >> f"CONNECT {name}"
            << "CONNACK 0 present=0"
            >> "SUBSCRIBE 1 t qos=1"
            << "SUBACK 1 1"
        )
    for stomp in ("1.0", "1.1", "1.2"):
        gw.stomp(stomp, stomp) >> "SUBSCRIBE id:1 destination:/topic/t"
    client = json_client.World(broker=gw.broker).client()
    client.op("subscribe", sub="s", from_="topic:t")
    taken = 0
    for at, envelope in enumerate(envelopes):
        frame = {"op": "publish", "id": at, "to": "topic:t", **envelope}
        client.raw(json.dumps(frame).encode())
        taken += any(answer["op"] == "ok" for answer in client.heard())
    for party in (
        gw.mqtt("m4"),
        gw.mqtt("m5", 5),
        gw.stomp("1.0", "1.0"),
        gw.stomp("1.1", "1.1"),
        gw.stomp("1.2"),
    ):
        party._listen()
        assert not party.closed
        assert len(party._heard) <= taken


@pytest.mark.parametrize("code", ["M3", "M5"])
@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"21", {"body": "21"}),
        ("é".encode(), {"body": "é"}),
        (b"", {"body": ""}),
        (b"a\0", {"body_b64": "YQA="}),
        (b"\xff", {"body_b64": "/w=="}),
    ],
)
def test_what_nobody_has_called_text_or_bytes_is_what_it_looks_like(
    code: str, body: bytes, shown: dict[str, object]
) -> None:
    pair = Pair()
    reader, watch = pair.client("M3"), pair.watch("t")
    reader.subscribe("$json/t")
    pair.client(code).publish("t", Said(body))
    heard = json.loads(reader.one().body)
    assert {name: heard[name] for name in ("body", "body_b64", "ext") if name in heard} == shown
    back = from_envelope(json.dumps(heard).encode())
    assert (back.body, back.fields.body_kind) == (body, BYTES if "body_b64" in shown else TEXT)
    assert watch.last().origin.body() == body
