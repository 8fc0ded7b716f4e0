"""Claim C2: what B's client sends back as it came has for A's users the same fields as before.

Exceptions of the claim: through MQTT 3.1.1 there is no metadata; expiry through MQTT 5 is rounded up to a second.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair_clients import CODES, PAIRS, Client, Pair, Said, topic_in

from gateway.core.message import TEXT, Fields, Message
from protocols.stomp.constants import SEND_HEADERS

# What a publisher of each protocol may say; one echo for each.
MQTT_5 = {
    "nothing": Said(b"text"),
    "empty body": Said(b""),
    "bytes": Said(b"\x00\xff"),
    "text with NUL": Said(b"a\x00b"),
    "four bytes": Said("é🥕".encode(), format=1),
    "text by type": Said(b'{"a":1}', content_type="application/json"),
    "packed": Said(b"abc", [("x-mx-ce", "gzip")], content_type="application/json"),
    "text by indicator": Said(b"hi", format=1),
    "text by indicator with a strange type": Said(b"hi", format=1, content_type="image/png"),
    "indicator that lies": Said(b"\xff", format=1),
    "indicator 0 on text": Said(b"hi", format=0, content_type="text/plain"),
    "the type that STOMP makes up": Said(b"hi", content_type="text/plain;charset=utf-8"),
    "latin": Said(b"\xe9", content_type="text/plain;charset=iso-8859-1"),
    "java": Said(b"\xac\xed", content_type="application/x-java-serialized-object"),
    "map": Said(b'{"a":1}', [("x-mx-body", "map"), ("x-mx-btypes", "/a:i32")], format=1),
    "list": Said(b'[1,"x"]', [("x-mx-body", "list")], content_type="application/json"),
    "value": Said(b"5", [("x-mx-body", "value")], content_type="application/json"),
    "sequences": Said(b"[[1],[2]]", [("x-mx-body", "seq")]),
    "none": Said(b"", [("x-mx-body", "none")]),
    "null text": Said(b"", [("x-mx-body", "tnull")]),
    "null bytes": Said(b"", [("x-mx-body", "bnull")]),
    "sections": Said(b"\x00\x01\x02", [("x-mx-body", "data:2,1")]),
    "correlation text": Said(b"x", correlation=b"c1"),
    "correlation bytes": Said(b"x", correlation=b"\x00\xff\x00"),
    "correlation with NUL": Said(b"x", correlation=b"a\x00b"),
    "correlation empty": Said(b"x", correlation=b""),
    "correlation number": Said(b"x", correlation=b"AMQP_ULONG:42"),
    "correlation binary": Said(b"x", correlation=b"AMQP_BINARY:616263"),
    "correlation that looks so": Said(b"x", correlation=b"AMQP_STRING:AMQP_ULONG:42"),
    "correlation that does not": Said(b"x", correlation=b"AMQP_ULONG:x"),
    "correlation that hides binary": Said(b"x", correlation=b"AMQP_BINARY:00FF"),
    "correlation that needs no mark": Said(b"x", correlation=b"AMQP_STRING:x"),
    "correlation in other digits": Said(b"x", correlation=b"AMQP_BINARY:6a"),
    "correlation with line ends": Said(b"x", correlation=b" a\\n\r\n "),
    "backslashes": Said(b"x", [("k", "a\\nb")], content_type="a\\b", correlation=b"a\\rb"),
    "spaces at the edges": Said(
        b"x", [(" n ", " v "), ("  ", "  "), (" i ", "5"), ("s", "\\s "), ("x-mx-subject", " s "),
              ("x-mx-types", " i :i32")],
        content_type=" text/plain",
    ),
    "reply topic": Said(b"x", response="r/a.b/+".replace("+", "\uf02b")),
    "reply queue": Said(b"x", response="$queue/r/1"),
    "reply that nobody may use": Said(b"x", response="$SYS/a"),
    "durable": Said(b"x", qos=1),
    "durable at 2": Said(b"x", qos=2),
    "durable at 0": Said(b"x", [("x-mx-durable", "true")]),
    "not durable at 1": Said(b"x", [("x-mx-durable", "false")], qos=1),
    "retain": Said(b"x", retain=True),
    "expiry": Said(b"x", expiry_s=100),
    "priority": Said(b"x", [("x-mx-prio", "255")]),
    "all items": Said(
        b"x",
        [
            ("x-mx-mid", "AMQP_UUID:00112233-4455-6677-8899-aabbccddeeff"),
            ("x-mx-subject", "ty"),
            ("x-mx-ce", "identity"),
            ("x-mx-ts", "1700000000123"),
            ("x-mx-gid", "g"),
            ("x-mx-gseq", "-1"),
            ("x-mx-rgid", "rg"),
            ("x-mx-user", "u"),
            ("x-mx-app", "svc"),
        ],
    ),
    "properties": Said(b"x", [("b", "1"), ("a", "2"), ("b", "3"), ("", "e"), ("é🥕", "\n:\\ ")]),
    "control words": Said(
        b"x",
        [
            (word, word)
            for word in ("destination", "message-id", "subscription", "ack", "redelivered", "content-length",
                         "content-type", "receipt", "receipt-id", "transaction", "persistent", "priority", "expires",
                         "retain", "retained", "type", "user-id", "amq-msg-type", "original-destination", "x-death")
        ],
    ),
    "reserved": Said(
        b"x", [("x-mx-p-x-mx-prio", "v"), ("x-mx-zzz", "unknown"), ("x-mx-prio", "high"), ("x-mx-p-x-opt-a", "b")]
    ),
    "annotations": Said(b"x", [("x-opt-a", "1"), ("x-mx-ma-b", "2"), ("x-mx-ma-#5", "3"), ("x-mx-ma-##5", "4")]),
    "types": Said(
        b"x",
        [
            ("i", "5"), ("b", "true"), ("n", ""), ("m", '{"a":1,"b":[true,"AP8="]}'), ("i", "7"), ("i", "8"),
            ("odd,:%\n", "AP8="),
            ("x-mx-types", "i:i32,b:bool,n:null,m:map;/a=u8;/b/1=bin,i:str,i:i64,odd%2C%3A%25%0A:bin"),
        ],
    ),
    "footer": Said(b"x", [("x-mx-ft", '{"footer":"[[\\"k\\",1]]","types":":map,/0/1:u8"}')]),
}  # fmt: skip

STOMP = {
    "nothing": Said(b"text"),
    "empty body": Said(b""),
    "bytes": Said(b"\x00\xff"),
    "text by type": Said(b'{"a":1}', [("content-type", "application/json")]),
    "bytes by type": Said(b"hi", [("content-type", "application/octet-stream")]),
    "bytes by hint": Said(b"hi", [("amq-msg-type", "bytes")]),
    "text by hint": Said(b"a\x00b", [("amq-msg-type", "text")]),
    "packed": Said(b"abc", [("content-type", "application/json"), ("content-encoding", "gzip")]),
    "java": Said(b"\xac\xed", [("content-type", "application/x-java-serialized-object")]),
    "map": Said(b'{"a":1}', [("content-type", "application/json"), ("x-mx-body", "map"), ("x-mx-btypes", "/a:i32")]),
    "map of its own type": Said(
        b"{}", [("content-type", "application/json"), ("x-mx-ct", "application/json"), ("x-mx-body", "map")]
    ),
    "none": Said(b"", [("x-mx-body", "none")]),
    "ids": Said(b"x", [("correlation-id", "7"), ("amqp-message-id", "AMQP_ULONG:42")]),
    "binary id": Said(b"x", [("correlation-id", "AMQP_BINARY:616263")]),
    "reply queue": Said(b"x", [("reply-to", "/queue/r")]),
    "reply temporary": Said(b"x", [("reply-to", "/temp-queue/r")]),
    "reply topic": Said(b"x", [("reply-to", "/topic/a.b/+")]),
    "reply bare": Said(b"x", [("reply-to", "r")]),
    "reply unknown": Said(b"x", [("reply-to", "/unknown/r")]),
    "fields": Said(
        b"x",
        [
            ("type", "ty"), ("timestamp", "1700000000123"), ("priority", "255"), ("persistent", "true"),
            ("JMSXGroupID", "g"), ("JMSXGroupSeq", "4294967295"), ("user-id", "u"), ("app-id", "svc"),
        ],
    ),
    "seconds": Said(b"x", [("timestamp", "1700000000")]),
    "other user": Said(b"x", [("JMSXUserID", "u")]),
    "retain": Said(b"x", [("retain", "true")]),
    "not durable": Said(b"x", [("persistent", "false")]),
    "absolute expiry": Said(b"x", [("expires", "1700000100000")]),
    "relative expiry": Said(b"x", [("expiration", "100000")]),
    "what does not parse": Said(b"x", [("timestamp", "today"), ("JMSXGroupSeq", "first"), ("persistent", "maybe")]),
    "repeats of fields": Said(b"x", [("type", "a"), ("type", "b"), ("correlation-id", "c"), ("correlation-id", "d")]),
    "properties": Said(
        b"x", [("b", "1"), ("a", "2"), ("b", "3"), ("é🥕", "v"), ("x-mx-p-destination", "d"), ("x-mx-p-", "e")]
    ),
    "types": Said(b"x", [("f", "1.5"), ("g", "-Infinity"), ("l", "[1]"), ("x-mx-types", "f:f32,g:f64,l:array;/0=u64")]),
    "annotations": Said(b"x", [("x-opt-a", "1"), ("x-mx-ma-b", "2"), ("x-mx-types", "x-opt-a:i8,x-mx-ma-b:u64")]),
    "items that STOMP has words for": Said(b"x", [("x-mx-prio", "9"), ("x-mx-durable", "true"), ("x-mx-subject", "s")]),
    "dead before": Said(b"x", [("x-death", '[{"count":3}]'), ("original-destination", "/queue/q")]),
}  # fmt: skip
HARD = {
    "ST0": Said(b"x", [("path", "c:\\dir"), ("k", "a:b")]),
    "ST1": Said(b"x", [("k:1", "a\nb\\c:d"), ("cr", "a\rb")]),
    "ST2": Said(b"x", [("k:1", "a\nb\rc\\d:e"), (" edge ", " edge ")]),
}

SAID = {
    "M3": {"nothing": Said(b"text"), "durable": Said(b"\xff", qos=1), "retain": Said(b"x", retain=True)},
    "M5": MQTT_5,
    "ST0": {**STOMP, "hard": HARD["ST0"]},
    "ST1": {**STOMP, "hard": HARD["ST1"]},
    "ST2": {**STOMP, "hard": HARD["ST2"]},
}

CASES = [(a, b, name) for a, b in PAIRS if b != "M3" and a != "M3" for name in SAID[a]]


def canonical(message: Message) -> dict[str, object]:
    """What the publisher set, for comparison."""
    fields = message.fields()
    return {
        "body": (fields.body_kind, fields.body_form, message.origin.body(), fields.body_value),
        "priority": message.priority,
        "durable": message.persistent,
        "retain": message.retain,
        "payload_format": _said_format(fields),
        **{
            name: getattr(fields, name)
            for name in (
                "message_id", "correlation_id", "reply_to", "subject", "content_type", "content_encoding",
                "created_at_ms", "group_id", "group_sequence", "reply_group", "user_id", "app_id", "properties",
                "annotations", "footer",
            )
        },
    }  # fmt: skip


def _said_format(fields: Fields) -> int | None:
    """The indicator 1 says no more than that a body is text."""
    return None if fields.payload_format == 1 and fields.body_kind == TEXT else fields.payload_format


def there_and_back(pair: Pair, a: Client, b: Client, said: Said, qos: int) -> tuple[Message, Message]:
    """The message as A published it, and as B's echo of it."""
    sent, returned = pair.watch("there"), pair.watch("back")
    b.subscribe(topic_in(b.code, "there"), qos)
    a.publish(topic_in(a.code, "there"), said)
    b.echo(b.one(), topic_in(b.code, "back"))
    return sent.last(), returned.last()


@pytest.mark.parametrize(("a", "b", "name"), CASES)
def test_every_field_comes_back(a: str, b: str, name: str) -> None:
    said = SAID[a][name]
    for qos in (0, 1, 2):
        pair = Pair()
        sent, returned = there_and_back(pair, pair.client(a), pair.client(b), said, qos)
        expected, found = canonical(sent), canonical(returned)
        if a == b == "M5" or (a[0], b[0]) == ("M", "M"):
            # Within MQTT, retain-as-published and the granted QoS decide (rules 2 and 16).
            for entry in ("retain", "durable"):
                del expected[entry], found[entry]
        if b == "ST0" and a.startswith("ST"):
            _forgive_trimmed(expected)
            _forgive_trimmed(found)
        assert found == expected
        if sent.expires_at_ms:
            assert 0 <= returned.expires_at_ms - sent.expires_at_ms < 1_000
        else:
            assert returned.expires_at_ms == 0


def _forgive_trimmed(entries: dict[str, object]) -> None:
    """STOMP 1.0 trims, and other versions of STOMP get no item for it (rule 2)."""
    properties = entries["properties"]
    assert isinstance(properties, list)
    entries["properties"] = [
        (name.strip(" "), value.strip(" ") if isinstance(value, str) else value) for name, value in properties
    ]


@pytest.mark.parametrize("name", SAID["M3"])
@pytest.mark.parametrize("b", CODES)
def test_the_body_of_an_mqtt_3_message_comes_back_as_bytes(b: str, name: str) -> None:
    pair = Pair()
    sent, returned = there_and_back(pair, pair.client("M3"), pair.client(b), SAID["M3"][name], 1)
    assert canonical(sent)["body"] == canonical(returned)["body"]
    assert returned.fields().properties == []


@pytest.mark.parametrize("a", ["M5", "ST0", "ST1", "ST2"])
def test_through_mqtt_3_the_body_comes_back_and_nothing_else(a: str) -> None:
    pair = Pair()
    for said in SAID[a].values():
        pair = Pair()
        sent, returned = there_and_back(pair, pair.client(a), pair.client("M3"), said, 0)
        assert returned.origin.body() == sent.origin.body()
        assert returned.fields().properties == []


# What nobody thought of.
TEXT_OF_HEADERS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12).map(
    lambda text: text.strip(" ")
)
PROPERTY_NAMES = st.one_of(
    TEXT_OF_HEADERS,
    st.sampled_from(
        [
            "k",
            "",
            "destination",
            "type",
            "priority",
            "x-opt-a",
            "x-death",
            "amq-msg-type",
            "x-mx-body",
            "x-mx-btypes",
            "x-mx-prio",
            "x-mx-ts",
            "x-mx-types",
            "x-mx-ct",
            "x-mx-pfi",
            "x-mx-p-type",
            "x-mx-ma-a",
            "x-mx-subject",
            "x-mx-gseq",
            "x-mx-durable",
            "x-mx-mid",
            "x-mx-ce",
            "x-mx-user",
            "x-mx-zzz",
        ]
    ),
)
PROPERTY_TEXTS = st.one_of(
    TEXT_OF_HEADERS,
    st.sampled_from(
        ["true", "0", "1", "255", "AP8=", "text", "bytes", "map", "k:i32,:bool", "AMQP_ULONG:1", "identity"]
    ),
)
FREE = st.lists(st.tuples(PROPERTY_NAMES, PROPERTY_TEXTS), max_size=6)
BODIES = st.one_of(st.binary(max_size=8), st.sampled_from([b"", b"{}", b"[1]", b"text", b"a\x00b", b"1"]))
TYPES = st.one_of(
    st.none(), st.sampled_from(["text/plain", "application/json", "image/png", "text/plain;charset=utf-8"])
)
PUBLISHED_BY_MQTT = st.builds(
    Said,
    body=BODIES,
    free=FREE,
    qos=st.integers(0, 2),
    content_type=TYPES,
    correlation=st.one_of(st.none(), st.binary(max_size=6)),
    response=st.sampled_from([None, "r/t", "$queue/q", "a.b//c"]),
    format=st.sampled_from([None, 0, 1]),
)


@given(said=PUBLISHED_BY_MQTT, b=st.sampled_from(["ST1", "ST2"]))
def test_property_whatever_mqtt_says_comes_back_from_stomp(said: Said, b: str) -> None:
    pair = Pair()
    sent, returned = there_and_back(pair, pair.client("M5"), pair.client(b), said, 0)
    assert canonical(returned) == canonical(sent)


@given(body=BODIES, free=FREE, content_type=TYPES, a=st.sampled_from(["ST1", "ST2"]), qos=st.integers(0, 2))
def test_property_whatever_stomp_says_comes_back_from_mqtt(
    body: bytes, free: list[tuple[str, str]], content_type: str | None, a: str, qos: int
) -> None:
    # A SEND may not have a nameless header, and what the reader checks is not for this test.
    headers = [pair for pair in free if pair[0] and pair[0].encode() not in SEND_HEADERS]
    if content_type is not None:
        headers.insert(0, ("content-type", content_type))
    pair = Pair()
    sent, returned = there_and_back(pair, pair.client(a), pair.client("M5"), Said(body, headers), qos)
    assert canonical(returned) == canonical(sent)
