"""Every protocol to every other and back: from A into the core, out to B, back from B, into the core, out to A.

Whatever A's client may say, every field that the matrix keeps is the same after B has sent it on, and again after A
has; nobody is disconnected or refused.  What is not kept is said in `expected`, and nowhere else.
"""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_clients import Said
from round_trip_parties import CODES, LOSES_METADATA, Say, Trip
from test_claim_c2_echo import canonical

from gateway.connectors.bodies import JSON_FORM, is_json
from gateway.core.message import Message
from protocols.stomp.constants import SEND_HEADERS

LETTERS = "a:\\,%;= \t\n\r\x7f\u0085\ufdd0é🥕#+*>/\"'{}[]"
ODD = st.one_of(
    st.text(st.sampled_from(LETTERS), max_size=6),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
    st.sampled_from(
        [
            "",
            " ",
            "true",
            "5",
            "AP8=",
            "text",
            "k:i32",
            "AMQP_ULONG:1",
            "AMQP_STRING:x",
            "MX_STRING:20",
            "[1]",
        ]
    ),
)
ITEMS = [
    "types", "body", "btypes", "ct", "pfi", "prio", "durable", "ts", "mid", "ce", "subject", "gid", "gseq", "rgid", "user",
    "app", "p-type", "p-x-mx-a", "ma-a", "ma-#5", "q-a%09", "b64", "ft", "omit", "to", "zzz", "",
]  # fmt: skip
NAMES = st.one_of(
    ODD,
    st.sampled_from(
        ["k", "type", "priority", "destination", "message-id", "x-opt-a", "x-death", "amq-msg-type", "timestamp", "retained",
         "AMQ_SCHEDULED_DELAY_", "original-destination", "content-length", "JMSXGroupSeq", "x-first-death-reason"]
    ),
    st.sampled_from(ITEMS).map(lambda item: f"x-mx-{item}"),
)  # fmt: skip
FREE = st.lists(st.tuples(NAMES, ODD), max_size=5)
BODIES = st.one_of(
    st.binary(max_size=8),
    ODD.map(str.encode),
    st.sampled_from(
        [
            b"",
            b"{}",
            b'{"a": 1}',
            b"[1,2]",
            b"null",
            b'"a"',
            b"1e999",
            b"1.0",
            b"a\0b",
            b'["\\ud800"]',
            b"{} ",
        ]
    ),
)
TYPES = st.one_of(
    st.none(),
    st.sampled_from(
        ["text/plain", "application/json", "application/json;charset=utf-8", "image/png", "text/plain;charset=utf-8",
         "application/octet-stream", "application/x-java-serialized-object", "text/plain;charset=latin-1", "a/b+json"]
    ),
    ODD,
)  # fmt: skip

MQTT_3 = st.builds(Said, body=BODIES, qos=st.integers(0, 2))
MQTT_5 = st.builds(
    Said,
    body=BODIES,
    free=FREE,
    qos=st.integers(0, 2),
    content_type=TYPES,
    correlation=st.one_of(st.none(), st.binary(max_size=6), ODD.map(str.encode)),
    response=st.sampled_from([None, "r/t", "$queue/q", "a.b//c", " a ", "$SYS/a", "a,b*>"]),
    format=st.sampled_from([None, 0, 1]),
    expiry_s=st.sampled_from([None, 1, 4_294_967_295]),
)


def sayable(code: str, text: str) -> str:
    """What a header of that version can hold; in 1.0 and 1.1 line ends and what is trimmed cannot be said."""
    if code == "ST0":
        text = text.replace("\n", "").replace(":", "").strip(" ")
    return text if code == "ST2" else text.replace("\r", "")


def stomp(code: str) -> st.SearchStrategy[Said]:
    """A SEND of that version: what the reader itself looks at has tests of its own."""
    words = st.lists(
        st.one_of(
            st.tuples(st.just("content-type"), TYPES.map(lambda found: found or "")),
            st.tuples(st.sampled_from(["correlation-id", "amqp-message-id", "type", "app-id"]), ODD),
            st.tuples(st.just("content-encoding"), ODD),
            st.tuples(st.just("reply-to"), st.one_of(ODD, st.sampled_from(["/queue/q", "/topic/a.>", "q"]))),
            st.tuples(st.sampled_from(["timestamp", "JMSXGroupSeq"]), st.sampled_from(["0", "5", "1700000000123", "-1"])),
            st.tuples(st.just("priority"), st.sampled_from(["0", "4", "9", "255"])),
            st.tuples(st.sampled_from(["persistent", "retain"]), st.sampled_from(["true", "false", "TRUE", "maybe"])),
            st.tuples(st.just("expires"), st.sampled_from(["0", "1700000100000"])),
        ),
        max_size=4,
    )  # fmt: skip

    def said(body: bytes, known: list[tuple[str, str]], free: list[tuple[str, str]]) -> Said:
        headers = [(sayable(code, name), sayable(code, value)) for name, value in [*known, *free]]
        ours = [name.encode() for name, _ in known]
        kept = [
            (name, value)
            for name, value in headers
            # A server's own word is not sent back by its clients.
            if name not in ("", "retained") and (name.encode() in ours or name.encode() not in SEND_HEADERS)
        ]
        return Said(body, kept)

    return st.builds(said, BODIES, words, FREE)


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(1 << 63), (1 << 63) - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        ODD,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(ODD, inner, max_size=3)),
    max_leaves=4,
)
META = {
    "message_id": ODD, "correlation_id": ODD, "subject": ODD, "content_encoding": ODD, "group_id": ODD, "reply_group": ODD,
    "user_id": ODD, "app_id": ODD,
    "reply_to": st.one_of(ODD, st.sampled_from(["queue:q", "topic:a.b", "topic: a ", "queue:"])),
    "created_at": st.sampled_from([-1, 0, 5, 1_600_000_000_123]),
    "expires_at": st.sampled_from([0, 1_700_000_100_000]),
    "priority": st.integers(0, 255), "durable": st.booleans(),
    "group_seq": st.integers(-(1 << 31), (1 << 32) - 1),
    "properties": st.dictionaries(NAMES, VALUES, max_size=3),
    "annotations": st.dictionaries(st.one_of(ODD, st.sampled_from(["x-opt-a", "#5", "##"])), VALUES, max_size=2),
    "deaths": st.lists(st.fixed_dictionaries({"queue": ODD, "reason": ODD, "count": st.integers(1, 9)}), max_size=2),
    "ext": st.fixed_dictionaries(
        {}, optional={"pfi": st.integers(0, 1), "types": st.sampled_from(["k:u8", "k:sym", "k:uuid"])}
    ),
}  # fmt: skip
ENVELOPE = st.one_of(
    st.fixed_dictionaries({"body": VALUES}, optional={**META, "content_type": TYPES}),
    st.fixed_dictionaries(
        {"body_b64": st.sampled_from(["", "AP8=", "aGk=", "e30="])}, optional={**META, "content_type": TYPES}
    ),
)
HEADER_TYPES = st.sampled_from(
    [None, "text/plain", "application/json", "image/png", "application/octet-stream"]
)

SAYS: dict[str, st.SearchStrategy[Say]] = {
    "M31": st.builds(Say, said=MQTT_3),
    "M3": st.builds(Say, said=MQTT_3),
    "M5": st.builds(Say, said=MQTT_5),
    "ST0": st.builds(Say, said=stomp("ST0")),
    "ST1": st.builds(Say, said=stomp("ST1")),
    "ST2": st.builds(Say, said=stomp("ST2")),
    "JS": st.builds(Say, envelope=ENVELOPE),
    "HE": st.builds(Say, envelope=ENVELOPE),
    "HR": st.builds(
        Say, said=MQTT_3, envelope=st.fixed_dictionaries({}, optional=META), content_type=HEADER_TYPES
    ),
}

STOMPS = ("ST0", "ST1", "ST2")


def kept(message: Message, a: str, b: str) -> dict[str, object]:
    """What must be the same after the message has come to B's client and back."""
    if b in LOSES_METADATA:
        # Topic, payload, QoS and nothing else.
        return {"body": message.origin.body()} if message.origin.raw() else {}
    found = canonical(message)
    del found["retain"]
    fields = message.fields()
    if b in ("JS", "HE", "HR"):
        # An object has each name once (rule 7 is for properties).
        found["annotations"] = list(
            {repr(key): (key, value) for key, value in reversed(fields.annotations)}.values()
        )[::-1]
    if fields.body_form == JSON_FORM and is_json(fields.content_type):
        # The type says it.
        found["body"] = (fields.body_kind, "", message.origin.body(), fields.body_value)
    if a.startswith("M") and b.startswith("M"):
        # Within MQTT the granted QoS decides (rule 16).
        del found["durable"]
    found["expires"] = math.ceil(message.expires_at_ms / 1000) if b == "M5" else message.expires_at_ms
    if b == "ST0" and a in STOMPS:
        # 1.0 trims, and within STOMP nothing is added for it (rule 2).
        del found["reply_to"]
        found = {name: trimmed(value) for name, value in found.items()}
    return {name: repr(value) for name, value in found.items()}


def trimmed(value: Any) -> Any:
    """Without spaces at the edges."""
    if isinstance(value, str):
        return value.strip(" ")
    return [trimmed(part) for part in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("b", CODES)
@pytest.mark.parametrize("a", CODES)
@settings(max_examples=settings().max_examples // 10)
@given(data=st.data())
def test_property_every_round_trip(a: str, b: str, data: st.DataObject) -> None:
    say = data.draw(SAYS[a])
    trip = Trip()
    one, other = trip.party(a), trip.party(b)
    one.say("there", say)
    sent = trip.waiting("there")
    expected = kept(sent, a, b)
    other.send_on("back", other.take("there"))
    assert kept(trip.waiting("back"), a, b) == expected
    one.send_on("again", one.take("back"))
    if a not in LOSES_METADATA:
        assert kept(trip.waiting("again"), a, b) == expected
