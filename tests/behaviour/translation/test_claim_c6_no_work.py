"""Claim C6: within a family nothing is decoded; to another one a message is decoded and encoded once."""

import pytest
from pair_clients import CROSS, WITHIN, Pair, Said, topic_in

from gateway.core.message import DECODERS

RICH = {
    "M3": Said(b"x", qos=1),
    "M5": Said(b"x", [("k", "v"), ("k", "w")], 1, False, "text/plain", b"c", "r/t", 1, 60),
    "ST0": Said(
        b"x", [("k", "v"), ("content-type", "text/plain"), ("persistent", "true"), ("reply-to", "/queue/r")]
    ),
}
RICH["ST1"] = RICH["ST2"] = RICH["ST0"]


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize(("a", "b"), WITHIN)
def test_no_decoder_runs_within_a_family(a: str, b: str, qos: int) -> None:
    pair = Pair()
    readers = [pair.client(b) for _ in range(3)]
    for reader in readers:
        reader.subscribe(topic_in(b, "t"), qos)
    writer = pair.client(a)
    before = DECODERS.fields
    for said in (RICH[a], Said(b"plain")):
        writer.publish(topic_in(a, "t"), said)
    for reader in readers:
        assert len(reader.heard()) == 2
    assert DECODERS.fields == before


@pytest.mark.parametrize(("a", "b"), WITHIN)
def test_nor_through_a_queue_or_a_retained_value(a: str, b: str) -> None:
    pair = Pair()
    writer = pair.client(a)
    before = DECODERS.fields
    queues = {code: "$queue/q" if code.startswith("M") else "/queue/q" for code in (a, b)}
    retained = [("retain", "true")] if a.startswith("ST") else []
    writer.publish(queues[a], RICH[a])
    writer.publish(topic_in(a, "kept"), Said(b"x", retained, retain=True))
    reader = pair.client(b)
    reader.subscribe(queues[b], 1)
    reader.subscribe(topic_in(b, "kept"), 1)
    assert reader.heard()
    assert DECODERS.fields == before


@pytest.mark.parametrize(("a", "b"), CROSS)
def test_fan_out_to_the_other_family_decodes_at_most_once(a: str, b: str) -> None:
    pair = Pair()
    readers = [pair.client(b) for _ in range(5)]
    for reader in readers:
        reader.subscribe(topic_in(b, "t"), 1)
    writer = pair.client(a)
    before = DECODERS.fields
    writer.publish(topic_in(a, "t"), RICH[a])
    raws = [reader.one().raw for reader in readers]
    assert len(set(raws)) == 1
    assert DECODERS.fields - before <= 1
    if "M3" in (a, b):
        # It has nothing to say beyond its body, and nowhere to put more.
        assert DECODERS.fields == before


@pytest.mark.parametrize("a", ["ST0", "ST1", "ST2"])
def test_what_messages_with_the_same_headers_share_is_not_what_differs_between_them(a: str) -> None:
    """Same lines, same length: the kind of the body, and what the router knows, are each message's own."""
    pair = Pair()
    reader, writer = pair.client("M5"), pair.client(a)
    reader.subscribe("t", 1)
    reader.subscribe("$queue/q", 1)
    for round_ in range(2):
        for destination in ("/topic/t", "/queue/q"):
            for body in (b"text", b"\xff\xfe\x00x", b"\x00\x00\x00\x00", "é🥕".encode()[:4]):
                retain = [("retain", "true")] if round_ else []
                writer.publish(destination, Said(body, [("k", "v"), *retain]))
                said = reader.one()
                assert said.body == body
                assert said.format == (1 if body == b"text" else None)
                items = {"k": "v", "x-mx-durable": "false"}
                if round_ and destination == "/topic/t":
                    items["x-mx-retain"] = "true"
                assert dict(said.free) == items


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize(("a", "b"), [pair for pair in CROSS if "M3" not in pair])
def test_nor_is_what_an_echo_would_be_judged_by(a: str, b: str, typed: bool) -> None:
    """Bytes that look like text, and bytes that do not, under the same properties."""
    pair = Pair()
    reader, writer = pair.client(b), pair.client(a)
    reader.subscribe(topic_in(b, "t"))
    said_in = Said(b"", [("k", "v")])
    if a == "M5":
        said_in.content_type = "image/png" if typed else None
        said_in.format = None if typed else 1
    else:
        said_in.free = [
            ("k", "v"),
            ("content-type", "text/plain" if typed else "image/png"),
            ("amq-msg-type", "bytes"),
        ]
    heard = []
    for body in (b"text", b"\xff\xfex", b"t\x00xt", b"more", b"\xff\xfey"):
        said_in.body = body
        writer.publish(topic_in(a, "t"), said_in)
        said = reader.one()
        assert (said.body, said.get("k")) == (body, "v")
        heard.append(said.get("x-mx-body"))
    if a == "M5":
        assert heard == ([None] * 5 if typed else [None, None, "text", None, None])
    else:
        assert heard == (["bytes", None, "bytes", "bytes", None] if typed else [None] * 5)
