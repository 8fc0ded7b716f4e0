"""Claim C4: what a subscriber cannot be told is named in `x-mx-omit`, if it has any free-form place, and counted."""

import pytest
from pair_clients import Pair, Said, send_envelope, topic_in

from gateway.connectors.side import CARRY_FULL, CARRY_NONE
from gateway.core.limits import QueuePolicy


@pytest.mark.parametrize("qos", [0, 1])
def test_strings_longer_than_mqtt_has_are_left_out_one_by_one(qos: int) -> None:
    pair = Pair()
    reader = pair.client("M5")
    reader.subscribe("t", qos)
    send_envelope(
        pair,
        to="topic:t",
        body_b64="/w==",
        durable=qos > 0,
        properties={"h": "x" * 65_536, "k": "v", "longest": "x" * 65_535, "n,(" + "x" * 65_535: "v"},
        content_type="t" * 65_536,
        subject="s" * 65_536,
        reply_to="queue:" + "r" * 65_535,
        correlation_id="é" * 40_000,
    )
    said = reader.one()
    assert said.content_type is said.response is said.correlation is None
    assert [name for name, _ in said.free] == ["k", "longest", "x-mx-omit"]
    omitted = said.get("x-mx-omit") or ""
    for entry in ("h(65536)", "x-mx-subject(65536)", "ct(65536)", "cid(80000)", "x-mx-reply-to(65541)"):
        assert entry in omitted.split(",")
    assert pair.omitted == {
        ("JS", "M5", "properties"): 2,
        ("JS", "M5", "subject"): 1,
        ("JS", "M5", "content_type"): 1,
        ("JS", "M5", "reply_to"): 1,
        ("JS", "M5", "correlation_id"): 1,
    }


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_81_a_packet_above_the_clients_maximum_loses_its_largest_properties_first(qos: int) -> None:
    pair = Pair()
    reader = pair.client("M5", maximum=200)
    reader.subscribe("a/#", qos)
    headers = [("small", "s"), ("h", "x" * 300), ("i", "y" * 60), ("j", "z" * 40)]
    pair.client("ST2").publish("/topic/a.b", Said(b"\xff" * 100, headers))
    said = reader.one()
    assert len(said.raw) <= 200
    assert (said.body, said.qos) == (b"\xff" * 100, qos)
    assert said.get("small") == "s"
    assert (said.get("x-mx-omit") or "").startswith("h(300)")
    assert said.get("h") is None
    assert pair.omitted[("ST", "M5", "properties")] == len((said.get("x-mx-omit") or "").split(","))


def test_81_only_the_client_with_the_maximum_loses_anything() -> None:
    pair = Pair()
    small, large = pair.client("M5", maximum=200), pair.client("M5")
    small.subscribe("t", 1)
    large.subscribe("t", 1)
    pair.client("ST2").publish("/topic/t", Said(b"\xff" * 100, [("h", "x" * 300)]))
    assert small.one().get("x-mx-omit") == "h(300)"
    assert (large.one().get("h"), pair.omitted) == ("x" * 300, {("ST", "M5", "properties"): 1})


@pytest.mark.parametrize("maximum", [60, 100, 150, 400, 1_000, 3_000, 20_000])
def test_81_as_many_properties_stay_as_fit(maximum: int) -> None:
    pair = Pair()
    reader = pair.client("M5", maximum=maximum)
    reader.subscribe("t")
    headers = [(f"n{number}", "x" * number) for number in range(200)]
    pair.client("ST2").publish("/topic/t", Said(b"\xff", headers))
    found = reader.heard()
    if not found:
        # Even the names of what is missing would be too much.
        assert reader.connector.counters.dropped_slow + reader.connector.counters.dropped_large == 1
        return
    [said] = found
    assert len(said.raw) <= maximum
    kept = [name for name, _ in said.free if name != "x-mx-omit"]
    assert kept == [name for name, _ in headers[: len(kept)]]
    omitted = (said.get("x-mx-omit") or "").split(",")
    assert len(kept) + len([entry for entry in omitted if entry]) == 200


@pytest.mark.parametrize("destination", ["topic", "queue"])
def test_81_what_does_not_fit_at_all_is_dead_lettered_unrepresentable(destination: str) -> None:
    pair = Pair()
    reader = pair.client("M5", maximum=200)
    reader.subscribe("a" if destination == "topic" else "$queue/a", 1)
    pair.client("ST2").publish(f"/{destination}/a", Said(b"x" * 300, [("k", "v")]))
    pair.client("ST2").publish(f"/{destination}/a", Said(b"next"))
    assert reader.one().body == b"next"
    dead = pair.client("ST2")
    dead.subscribe("/queue/DLQ")
    said = dead.one()
    assert said.body == b"x" * 300
    assert said.get("x-first-death-reason") == "unrepresentable"
    assert pair.broker.counters.dead_lettered == 1


def test_81_at_qos_0_it_is_skipped_and_counted() -> None:
    pair = Pair()
    reader = pair.client("M5", maximum=200)
    reader.subscribe("a")
    pair.client("ST2").publish("/topic/a", Said(b"x" * 300))
    assert reader.heard() == []
    assert reader.connector.counters.dropped_large == 1


def test_what_came_by_mqtt_is_not_cut_down() -> None:
    """MQTT 5.0 §3.1.2.11.4: it is not sent; what is durable is kept where it can be found."""
    pair = Pair()
    reader = pair.client("M5", maximum=200)
    reader.subscribe("a", 1)
    writer = pair.client("M5")
    writer.publish("a", Said(b"x", [("h", "x" * 300)], qos=1))
    writer.publish("a", Said(b"y", qos=1))
    assert [said.body for said in reader.heard()] == [b"y"]
    assert pair.broker.queue("DLQ").waiting == 1


def test_without_dead_letters_it_is_discarded_and_counted() -> None:
    pair = Pair(policy=QueuePolicy(dead_letters=None))
    reader = pair.client("M5", maximum=200)
    reader.subscribe("a", 1)
    pair.client("ST2").publish("/topic/a", Said(b"x" * 300))
    assert reader.heard() == []
    assert pair.broker.counters.discarded == 1


def test_carry_none_writes_no_item_and_counts_each() -> None:
    pair = Pair(carry=CARRY_NONE)
    five, two = pair.client("M5"), pair.client("ST2")
    five.subscribe("t", 1)
    two.subscribe("/topic/t")
    headers = [("type", "ty"), ("k", "v"), ("n", "5"), ("x-mx-types", "n:i32"), ("x-mx-p-destination", "d")]
    pair.client("ST1").publish("/topic/t", Said(b"x", headers))
    assert five.one().free == [("k", "v"), ("n", "5"), ("destination", "d")]
    assert pair.omitted == {("ST", "M5", field): 1 for field in ("subject", "durable", "types")}
    # Within STOMP nothing is translated, so there is nothing to leave out.
    assert two.one().free == headers
    pair.client("M5").publish("t", Said(b"x", [("destination", "d"), ("k", "v")], format=0))
    assert two.one().free == [("k", "v")]
    pair.client("M3").publish("t", Said(b"x"))
    assert two.one().free == []
    pair.client("M5").publish("t", Said(b"a\0", format=1))
    assert two.one().free == [("content-type", "text/plain;charset=utf-8")]
    for field in ("body", "payload_format", "properties"):
        assert ("M5", "ST", field) in pair.omitted
    assert ("M3", "ST", "body") not in pair.omitted


def test_carry_full_says_what_could_be_inferred_too_and_what_the_broker_knows() -> None:
    pair = Pair(carry=CARRY_FULL)
    five, two = pair.client("M5"), pair.client("ST2")
    five.subscribe("t", 1)
    two.subscribe("/topic/t")
    pair.client("ST2").publish("/topic/t", Said(b"x", [("expires", "1700000001500"), ("persistent", "true")]))
    said = five.one()
    assert dict(said.free) == {
        "x-mx-body": "text",
        "x-mx-durable": "true",
        "x-mx-exp": "1700000001500",
        "x-mx-received": "1700000000000",
    }
    assert said.expiry_s == 2
    watch = pair.watch("back")
    five.echo(said, "back")
    assert watch.last().expires_at_ms == 1_700_000_001_500
    two.heard()
    pair.client("M5").publish("t", Said(b"\xff", qos=1))
    assert dict(two.one().free) == {
        "persistent": "true",
        "x-mx-body": "bytes",
        "x-mx-received": "1700000000000",
    }


def test_14_publish_identity_tells_the_other_protocol_who_it_was() -> None:
    pair = Pair(identity=True)
    five, two = pair.client("M5"), pair.client("ST2")
    five.subscribe("t")
    two.subscribe("/topic/t")
    pair.client("M3", user="alice").publish("t", Said(b"\xff"))
    assert dict(two.one().free) == {"x-mx-auth": "alice", "x-mx-client": "c3"}
    five.heard()
    pair.client("ST1", user="bob").publish("/topic/t", Said(b"\xff"))
    assert ("x-mx-auth", "bob") in five.one().free


def test_the_counters_are_in_the_status() -> None:
    from gateway.core.counters import OMITTED_MAX, CoreCounters

    counters = CoreCounters()
    for _ in range(2):
        counters.omit("M5", "M3", ("properties", "expiry"))
    assert counters.omitted == {("M5", "M3", "properties"): 2, ("M5", "M3", "expiry"): 2}
    for number in range(10_000):
        counters.omit("M5", f"M{number}", ("properties",))
    assert len(counters.omitted) == OMITTED_MAX


@pytest.mark.parametrize("a", ["ST0", "ST1", "ST2"])
def test_no_header_of_stomp_is_lost_without_a_word(a: str) -> None:
    """Whatever a client invents: it arrives in MQTT 5 or is one that only a server writes."""
    names = [
        "timestamp",
        "JMSXGroupSeq",
        "persistent",
        "retain",
        "type",
        "x-mx-body",
        "x-mx-ts",
        "X-MX-TS",
        "x-mx-",
    ]
    for name in names:
        pair = Pair()
        reader = pair.client("M5")
        reader.subscribe("t")
        pair.client(a).publish(topic_in(a, "t"), Said(b"\xff", [(name, "nonsense"), (name, "nonsense")]))
        values = [value for _, value in reader.one().free]
        assert values == ["nonsense", "nonsense"], name
