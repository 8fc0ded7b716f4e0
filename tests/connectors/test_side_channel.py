"""The side channel: what `Places` writes, `restore` fills in again; rules 3, 4, 6 and 7 of the translation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from value_strategies import TEXTS, VALUES, alike

from gateway.connectors.envelope import InvalidEnvelope, from_envelope, json_envelope
from gateway.connectors.side import BROKER_OWNED, CARRY_AUTO, PREFIX, Places, field_of, restore, routing
from gateway.core.destination import TOPIC, Destination
from gateway.core.message import Fields, Message

WORDS = frozenset({"", "destination", "k"})
NAMES = st.one_of(
    TEXTS, st.sampled_from(["", "k", "destination", "x-mx-prio", "x-mx-p-a", "x-opt-b", "a:b,c%"])
)
# An annotation that begins so is written under its own name.
KEYS = st.one_of(TEXTS, st.integers(0, (1 << 64) - 1), st.sampled_from(["x-opt-a", "#5", "##", "#"]))


@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=6),
    st.lists(st.tuples(KEYS, VALUES), max_size=4),
    st.lists(st.tuples(KEYS, VALUES), max_size=3),
)
def test_property_what_is_written_is_restored(
    properties: list[tuple[str, object]],
    annotations: list[tuple[str | int, object]],
    footer: list[tuple[str | int, object]],
) -> None:
    fields = Fields()
    fields.properties = properties
    # Hints go by name, and a repeated annotation would need a place of its own.
    fields.annotations = list({repr(key): (key, value) for key, value in annotations}.values())
    fields.footer = footer
    places = Places(CARRY_AUTO)
    places.properties(fields, WORDS, frozenset())
    places.annotations(fields)
    places.finish()
    assert not WORDS & {name for name, _ in places.pairs}
    found = Fields()
    restore(found, places.pairs)
    assert alike(found.properties, properties)
    assert alike(sorted(found.annotations, key=repr), sorted(fields.annotations, key=repr))
    assert alike(found.footer, footer)


ITEMS = [
    "mid", "cid", "reply-to", "subject", "ct", "ce", "body", "btypes", "ts", "exp", "prio", "durable", "retain", "gid",
    "gseq", "rgid", "app", "user", "pfi", "ft", "types", "long", "uprops", "props", "omit", "delivery-count", "deaths",
    "client", "auth", "received", "to",
]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from([PREFIX + item for item in ITEMS]), TEXTS), max_size=8))
def test_property_garbage_under_reserved_names_is_kept_or_taken(pairs: list[tuple[str, str]]) -> None:
    fields = Fields()
    restore(fields, pairs)
    routing(pairs)
    for name, text in fields.properties:
        assert (name, text) in pairs
        assert name[len(PREFIX) :] not in BROKER_OWNED


def test_rule_4_the_frames_own_words_win() -> None:
    fields = Fields()
    fields.subject = "native"
    fields.created_at_ms = 1
    restore(fields, [("x-mx-subject", "item"), ("x-mx-ts", "2"), ("x-mx-gid", "g"), ("x-mx-gid", "h")])
    assert (fields.subject, fields.created_at_ms, fields.group_id) == ("native", 1, "g")
    assert fields.properties == [("x-mx-gid", "h")]


@pytest.mark.parametrize(
    ("item", "text"),
    [("prio", "256"), ("durable", "yes"), ("ts", "now"), ("gseq", "4294967296"), ("pfi", "2"), ("exp", "-1"), ("ft", "{}"),
     ("ft", "x"), ("ft", '{"footer":"[]","types":""}'), ("zzz", "v"), ("", "v"), ("p", "v"), ("MID", "v")],
)  # fmt: skip
def test_rule_4_an_item_that_does_not_parse_stays_a_property(item: str, text: str) -> None:
    fields = Fields()
    restore(fields, [(PREFIX + item, text)])
    assert fields.properties == [(PREFIX + item, text)]


@pytest.mark.parametrize("item", sorted(BROKER_OWNED))
def test_rule_4_what_only_the_broker_says_is_not_taken_from_others(item: str) -> None:
    fields = Fields()
    restore(fields, [(PREFIX + item, "forged")])
    assert fields.properties == []
    assert field_of((PREFIX + item).encode()) == ""


def test_routing_takes_the_first_that_parses() -> None:
    found = routing([("x-mx-prio", "x"), ("x-mx-prio", "7"), ("x-mx-prio", "8"), ("x-mx-durable", "false")])
    assert (found.priority, found.durable, found.retain, found.expires_at_ms) == (7, False, None, -1)


# -- envelopes


def roundtrip(data: bytes) -> bytes:
    """An envelope as its message would be written again."""
    from gateway.connectors.envelope import EnvelopeOrigin

    envelope = from_envelope(data)
    message = Message(
        7,
        envelope.destinations[0],
        EnvelopeOrigin(envelope, "JS"),
        0,
        1_700_000_000_000,
        envelope.durable,
        2,
        envelope.retain,
        envelope.priority,
        envelope.expires_at_ms,
        None,
    )
    return json_envelope(message)


@pytest.mark.parametrize(
    "members",
    [
        '"body":"hi"',
        '"body":null',
        '"body_b64":"AP8="',
        '"body":[1,{"b":2}],"content_type":"application/json"',
        '"body":{"a":1},"ext":{"body":"map","btypes":"/a:i32"}',
        '"body":5,"ext":{"body":"value"}',
        '"body":"AP8=","ext":{"body":"value","btypes":":bin"}',
        '"body_b64":"AAECAw==","ext":{"body":"data:2,2"}',
        '"body":"","ext":{"body":"tnull"}',
        '"properties":{"é":"🥕","n":5,"b":true,"z":null,"f":1.5},"body":"x"',
        '"properties":{"n":5},"body":"x","ext":{"types":"n:u8"}',
        '"properties":{"k":1},"body":"x","ext":{"types":"k:u8,k:json","uprops":[["k",1],["k","a"]]}',
        '"properties":{"m":{"a":[1]}},"body":"x","ext":{"types":"m:map;/a/0=i8"}',
        '"correlation_id":"AMQP_STRING:AMQP_ULONG:7","reply_to":"topic:r.t","body":"x"',
        '"reply_to":"elsewhere","subject":"s","priority":200,"group_id":"g","group_seq":-1,"reply_group":"r","body":"x"',
        '"user_id":"u","app_id":"a","retain":true,"created_at":5,"expires_at":9,"content_encoding":"gzip","body_b64":""',
        '"annotations":{"x-opt-a":1,"#5":"AA=="},"body":"x","ext":{"types":"x-mx-ma-#5:bin"}',
        '"body":"x","ext":{"pfi":0}',
    ],
)
def test_an_envelope_is_written_as_it_was_read(members: str) -> None:
    import json

    said = json.loads("{" + members + "}")
    written = json.loads(roundtrip(("{" + '"to":"topic:a.b",' + members + "}").encode()))
    for name in ("id", "received_at"):
        del written[name]
    assert written.pop("to") == "topic:a.b"
    assert written.pop("durable") is True
    assert written == said
    assert json.loads(roundtrip(json.dumps({"to": "topic:a.b", **written}).encode()))["durable"] is True


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"\xff", b"{", b'{"body":"x"}', b'{"to":5}', b'{"to":[]}', b'{"to":"a"}', b'{"to":"topic:"}',
        b'{"to":"topic:$SYS.a"}', b'{"to":"topic:\xef\x80\x80"}', b'{"to":"topic:a","what":1}',
        b'{"to":"topic:a","priority":256}', b'{"to":"topic:a","durable":1}', b'{"to":"topic:a","subject":1}',
        b'{"to":"topic:a","properties":[]}', b'{"to":"topic:a","body_b64":"x"}',
        b'{"to":"topic:a","ext":{"body":"map"},"body":[]}',
        b'{"to":"topic:a","to":"topic:b"}',
        b'{"to":"topic:a","properties":{"n":99999999999999999999}}', b'{"to":"topic:a","ext":{"uprops":{}}}',
    ],
)  # fmt: skip
def test_what_is_no_envelope_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(InvalidEnvelope) as caught:
        from_envelope(data)
    assert str(caught.value)


@given(st.text(max_size=60))
def test_property_garbage_is_an_envelope_or_refused(text: str) -> None:
    try:
        from_envelope(text.encode("utf-8", "replace"))
    except InvalidEnvelope:
        pass


def test_several_destinations_each_once() -> None:
    found = from_envelope(b'{"to":["topic:a","queue:b","topic:a"],"body":"x"}')
    assert found.destinations == [Destination(TOPIC, "a"), Destination(0, "b")]


def test_what_an_envelope_says_of_the_broker_is_not_believed() -> None:
    found = from_envelope(
        b'{"to":"topic:a","id":"9","deaths":[],"delivery_count":4,"op":"send"}', frozenset({"op"})
    )
    assert found.fields.properties == []
