"""Claim C3: every field, edge value and ordered pair has one documented output.  The data is in `matrix`."""

import pytest
from matrix import BODIES, ROWS, STOMP_BODIES, Row
from pair_clients import Pair, Pairs, Said, topic_in

from gateway.connectors.ids import IN_STOMP_1_0, id_to_text

STOMPS = ("ST0", "ST1", "ST2")


def says(said: Said | None, code: str) -> Said | None:
    """What a client of that version can say at all."""
    if said is None or code != "ST0":
        return said
    # STOMP 1.0 has no escapes: what needs some, a client of it cannot send.
    hard = any(letter in name + value for name, value in said.free for letter in "\n\r\\")
    return None if hard or any(":" in name for name, value in said.free) else said


def carried(pair: Pair, a: str, b: str, said: Said) -> Said:
    """What a subscriber of QoS 0 hears of it."""
    reader = pair.client(b)
    reader.subscribe(topic_in(b, "t"))
    pair.client(a).publish(topic_in(a, "t"), said)
    return reader.one()


def plain(heard: Pairs, code: str) -> Pairs:
    """Without the escapes that a version lacks; those have their own test (C1)."""
    listed = dict(heard).get("x-mx-esc")
    assert listed is None or code in ("ST0", "ST1")
    return [pair for pair in heard if pair[0] != "x-mx-esc"] if listed is None else []


def spelled(row: Pairs, code: str) -> Pairs:
    """With ids as STOMP 1.0 has them where they hold line ends: they have their own test (`test_ids`)."""
    if code != "ST0":
        return row
    return [
        (name, id_to_text(value, IN_STOMP_1_0) if name.endswith("-id") and "\n" in value else value)
        for name, value in row
    ]


IDS = [f"{row.field}: {row.value[:40]}" for row in ROWS]


@pytest.mark.parametrize("b", STOMPS)
@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_mqtt_5_to_stomp(row: Row, b: str) -> None:
    if row.m5_in is None:
        return
    said = carried(Pair(), "M5", b, row.m5_in)
    assert said.body == row.m5_in.body
    assert ("destination", "/topic/t") in said.server
    assert ("content-length", str(len(said.body))) in said.server
    heard = plain(said.free, b)
    if heard or not row.st or b == "ST2":
        assert sorted(heard) == sorted(spelled(row.st, b))


@pytest.mark.parametrize("a", STOMPS)
@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_stomp_to_mqtt_5(row: Row, a: str) -> None:
    said_in = says(row.st_in, a)
    if said_in is None:
        return
    said = carried(Pair(), a, "M5", said_in)
    assert sorted(said.free) == sorted(row.m5.free)
    assert natives(said) == natives(row.m5)


def natives(said: Said) -> dict[str, object]:
    """The properties of MQTT 5 that have a name."""
    names = ("body", "content_type", "correlation", "response", "format", "expiry_s", "retain")
    return {name: getattr(said, name) for name in names if name != "retain"}


@pytest.mark.parametrize("a", ["M5", *STOMPS])
@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_to_mqtt_3_goes_the_body_and_the_rest_is_counted(row: Row, a: str) -> None:
    said_in = says(row.m5_in if a == "M5" else row.st_in, a)
    if said_in is None:
        return
    pair = Pair()
    said = carried(pair, a, "M3", said_in)
    assert (said.topic, said.body, said.qos, said.retain) == ("t", said_in.body, 0, False)
    source = "M5" if a == "M5" else "ST"
    lost = {field for from_, to, field in pair.omitted if (from_, to) == (source, "M3")}
    assert len(pair.omitted) == len(lost)
    if row.lost is not None:
        # A QoS 0 delivery of what came by MQTT differs from its QoS alone (rule 16).
        expected = set() if a == "M5" and row.field == "durable" else set(row.lost)
        assert lost == expected
    assert set(pair.omitted.values()) <= {1}


@pytest.mark.parametrize("b", ["M5", *STOMPS])
def test_from_mqtt_3_nothing_is_made_up(b: str) -> None:
    for body, qos in [(b"", 0), (b"x", 1), (b"\x00\xff", 2)]:
        said = carried(Pair(), "M3", b, Said(body, qos=qos))
        assert said.body == body
        expected: Pairs = []
        if b != "M5":
            expected += [("persistent", "true")] if qos else []
        assert sorted(said.free) == sorted(expected)


@pytest.mark.parametrize("b", STOMPS)
@pytest.mark.parametrize("case", range(len(BODIES)))
def test_bodies_of_mqtt_5(case: int, b: str) -> None:
    body, said_in, expected = BODIES[case]
    said = carried(Pair(), "M5", b, said_in)
    assert said.body == body
    assert sorted(said.free) == sorted(expected)


@pytest.mark.parametrize("a", STOMPS)
@pytest.mark.parametrize("case", range(len(STOMP_BODIES)))
def test_bodies_of_stomp(case: int, a: str) -> None:
    body, headers, expected = STOMP_BODIES[case]
    said = carried(Pair(), a, "M5", Said(body, headers))
    assert said.body == body
    assert (sorted(said.free), natives(said)) == (sorted(expected.free), natives(expected))


@pytest.mark.parametrize(
    ("kind", "canonical"), [("topic", "t"), ("queue", "q")], ids=["through a topic", "through a queue"]
)
@pytest.mark.parametrize("failures", [0, 1])
def test_15_delivery_count_is_an_item_in_mqtt_5_and_a_header_in_stomp(
    kind: str, canonical: str, failures: int
) -> None:
    pair = Pair()
    if kind == "topic":
        # A live subscriber's delivery is its first, always.
        heard = carried(pair, "ST2", "M5", Said(b"\xff", [("persistent", "true")]))
        assert heard.free == [("x-mx-durable", "true")]
        return
    writer, first = pair.client("ST2"), pair.client("ST2")
    first.frame("SUBSCRIBE", [("id", "1"), ("destination", "/queue/q"), ("ack", "client-individual")])  # type: ignore[attr-defined]
    writer.publish("/queue/q", Said(b"\xff", [("persistent", "true")]))
    taken = first.one()
    if failures:
        first.connector.eof(pair.gw.now_ms)
    else:
        first.frame("NACK", [("id", taken.get("ack") or ""), ("requeue", "true")])  # type: ignore[attr-defined]
        first.frame("UNSUBSCRIBE", [("id", "1")])  # type: ignore[attr-defined]
        first.heard()
    reader = pair.client("M5")
    reader.subscribe("$queue/q", 1)
    said = reader.one()
    assert not said.dup
    if failures:
        assert said.get("x-mx-delivery-count") == "1"


@pytest.mark.parametrize(
    ("untyped", "length", "kind"),
    [
        ("auto", True, "text"),
        ("auto", False, "text"),
        ("activemq", True, "bytes"),
        ("activemq", False, "text"),
    ],
)
@pytest.mark.parametrize("a", STOMPS)
def test_9_stomp_untyped_decides_on_bodies_without_a_type(
    untyped: str, length: bool, kind: str, a: str
) -> None:
    pair = Pair(untyped=untyped)
    reader = pair.client("M5")
    reader.subscribe("t")
    headers = b"content-length:5\n" if length else b""
    pair.client(a).give(b"SEND\ndestination:/topic/t\n" + headers + b"\nhello\0")
    assert reader.one().format == (1 if kind == "text" else None)
