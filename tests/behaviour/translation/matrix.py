"""The matrix of the translation as data: for each field and edge value, how it is said and how it is heard.

A row's `m5_in` and `st_in` are what a publisher of that family says; `m5` and `st` are all that a subscriber of the
other family hears of it, whoever said it: the two together define every ordered pair.  `lost` is the field under which
MQTT 3.1.1 is counted, None where nothing is lost.  `m5_in` or `st_in` of None: that family cannot say it.
"""

from dataclasses import dataclass, field

from pair_clients import Pairs, Said

TEXT = ("content-type", "text/plain;charset=utf-8")
IS_TEXT = ("x-mx-body", "text")
IS_BYTES = ("x-mx-body", "bytes")
JSON = ("content-type", "application/json")

BIN = b"\x00\xff"
"""A body of which nothing need be said."""


@dataclass
class Row:
    """See the module."""

    field: str
    value: str
    m5_in: Said | None
    st_in: Said | None
    m5: Said
    st: Pairs
    lost: list[str] = field(default_factory=list)


def m5(**given: object) -> Said:
    """What MQTT 5 says or hears, with a body that needs no words unless one is given."""
    return Said(**{"body": BIN, **given})  # type: ignore[arg-type]


def st(*free: tuple[str, str], body: bytes = BIN) -> Said:
    """What a STOMP client says."""
    return Said(body, list(free))


def item(row: str, field: str, name: str, text: str, header: str) -> Row:
    """A field that MQTT 5 has no property for, and STOMP a header."""
    return Row(
        row,
        field,
        m5(free=[(f"x-mx-{name}", text)]),
        st((header, text)),
        m5(free=[(f"x-mx-{name}", text)]),
        [(header, text)],
        [row],
    )


def side_item(row: str, name: str, text: str) -> Row:
    """A field that neither has a place for."""
    pair = (f"x-mx-{name}", text)
    return Row(row, text, m5(free=[pair]), st(pair), m5(free=[pair]), [pair], [row])


def props(value: str, pairs: Pairs, types: str = "") -> Row:
    """Properties that travel as they are."""
    free = [*pairs, ("x-mx-types", types)] if types else pairs
    return Row("properties", value, m5(free=free), st(*free), m5(free=free), free, ["properties"])


def annotation(value: str, name: str) -> Row:
    """An annotation."""
    pair = (name, "v")
    return Row("annotations", value, m5(free=[pair]), st(pair), m5(free=[pair]), [pair], ["annotations"])


LONG_ID = "x" * 4_000

ROWS = [
    # 1 message_id
    item("message_id", "text", "mid", "ID:a:1", "amqp-message-id"),
    item("message_id", "u64 at its end", "mid", "AMQP_ULONG:18446744073709551615", "amqp-message-id"),
    item("message_id", "uuid", "mid", "AMQP_UUID:00112233-4455-6677-8899-aabbccddeeff", "amqp-message-id"),
    item("message_id", "bytes", "mid", "AMQP_BINARY:00FF", "amqp-message-id"),
    item("message_id", "text like a number", "mid", "AMQP_STRING:AMQP_ULONG:1", "amqp-message-id"),
    item("message_id", "urn stays text", "mid", "urn:uuid:00112233-4455-6677-8899-aabbccddeeff", "amqp-message-id"),
    # 3 correlation_id
    *[
        Row(
            "correlation_id", value, m5(correlation=data), st(("correlation-id", text)), m5(correlation=data),
            [("correlation-id", text)], ["correlation_id"],
        )
        for value, data, text in [
            ("text", b"7", "7"),
            ("empty", b"", ""),
            ("unicode", "é🥕".encode(), "é🥕"),
            ("line end", b"a\nb:c\\", "a\nb:c\\"),
            ("bytes", b"\x00\xff\x00", "AMQP_BINARY:00FF00"),
            ("bytes that are text", b"AMQP_BINARY:6162", "AMQP_BINARY:6162"),
            ("u64", b"AMQP_ULONG:42", "AMQP_ULONG:42"),
            ("text like u64", b"AMQP_STRING:AMQP_ULONG:42", "AMQP_STRING:AMQP_ULONG:42"),
            ("long", LONG_ID.encode(), LONG_ID),
        ]
    ],
    # 5 reply_to
    *[
        Row("reply_to", value, m5(response=topic), st(("reply-to", address)), m5(response=topic),
            [("reply-to", address)], ["reply_to"])
        for value, topic, address in [
            ("topic", "r/t", "/topic/r.t"),
            ("topic with both separators", "a.b/c", "/topic/a/b.c"),
            ("queue", "$queue/q/1", "/queue/q/1"),
            ("topic of empty levels", "/a//b/", "/topic/.a..b."),
            ("wildcard characters of MQTT", "a/\uf02b", "/topic/a.+"),
            ("wildcard characters of STOMP", "a/*", "/topic/a.\uf02a"),
            ("hidden topic", "$SYS/a", "/topic/$SYS.a"),
        ]
    ],
    Row("reply_to", "bare name", None, st(("reply-to", "r")), m5(response="$queue/r"), [], ["reply_to"]),
    Row("reply_to", "opaque", m5(free=[("x-mx-reply-to", "/nowhere/r")]), st(("reply-to", "/nowhere/r")),
        m5(free=[("x-mx-reply-to", "/nowhere/r")]), [("reply-to", "/nowhere/r")], ["reply_to"]),
    # 6 subject
    item("subject", "text", "subject", "ty", "type"),
    item("subject", "empty", "subject", "", "type"),
    # 7 content_type
    *[
        Row("content_type", value, m5(content_type=value), st(("content-type", value)), m5(content_type=value),
            [("content-type", value)], ["content_type"])
        for value in ("image/png", "text/é", "", "application/octet-stream")
    ],
    # 8 content_encoding
    item("content_encoding", "gzip", "ce", "gzip", "content-encoding"),
    # 9 body: see BODIES
    # 10 created_at
    item("created_at", "ms", "ts", "1700000000123", "timestamp"),
    Row("created_at", "seconds", None, st(("timestamp", "1700000000")), m5(free=[("x-mx-ts", "1700000000000")]),
        [], ["created_at"]),
    Row("created_at", "before 1973", m5(free=[("x-mx-ts", "5")]), st(("timestamp", "5"), ("x-mx-ts", "5")),
        m5(free=[("x-mx-ts", "5")]), [("timestamp", "5"), ("x-mx-ts", "5")], ["created_at"]),
    Row("created_at", "before 1970", m5(free=[("x-mx-ts", "-5")]), st(("x-mx-ts", "-5")), m5(free=[("x-mx-ts", "-5")]),
        [("x-mx-ts", "-5")], ["created_at"]),
    Row("created_at", "no time", None, st(("timestamp", "today")), m5(free=[("timestamp", "today")]), [],
        ["created_at"]),
    # 12 expiry
    Row("expiry", "1500 ms", None, st(("expiration", "1500")), m5(expiry_s=2), [], ["expiry"]),
    Row("expiry", "one more", None, st(("expires", "1700000000001")), m5(expiry_s=1), [], ["expiry"]),
    Row("expiry", "never", None, st(("expires", "0")), m5(), [], ["expiry"]),
    Row("expiry", "beyond 32 bits", None, st(("expires", "9000000000000000")), m5(expiry_s=4294967295), [], ["expiry"]),
    Row("expiry", "seconds", m5(expiry_s=5), None, m5(), [("expires", "1700000005000")], ["expiry"]),
    Row("expiry", "longest", m5(expiry_s=4294967295), None, m5(), [("expires", "5994967295000")], ["expiry"]),
    # 13 priority
    *[item("priority", text, "prio", text, "priority") for text in ("0", "4", "9", "10", "255")],
    Row("priority", "above 255", None, st(("priority", "300")), m5(free=[("x-mx-prio", "255")]), [], ["priority"]),
    Row("priority", "none", m5(free=[("x-mx-prio", "256")]), None, m5(), [("x-mx-p-x-mx-prio", "256")], ["priority"]),
    # 14 durable; subscribers have QoS 0
    Row("durable", "true", m5(free=[("x-mx-durable", "true")]), st(("persistent", "true")),
        m5(free=[("x-mx-durable", "true")]), [("persistent", "true")], ["durable"]),
    Row("durable", "false", m5(free=[("x-mx-durable", "false")]), st(("persistent", "false")), m5(), [], []),
    Row("durable", "QoS 1", m5(qos=1), None, m5(), [("persistent", "true")], []),
    # 16 and 17 groups
    item("group_id", "text", "gid", "g", "JMSXGroupID"),
    item("group_seq", "least", "gseq", "-2147483648", "JMSXGroupSeq"),
    item("group_seq", "most", "gseq", "4294967295", "JMSXGroupSeq"),
    side_item("reply_group", "rgid", "rg"),
    # 18 and 19 user and application
    item("user_id", "text", "user", "bob", "user-id"),
    Row("user_id", "JMS's name", None, st(("JMSXUserID", "bob")), m5(free=[("x-mx-user", "bob")]), [], ["user_id"]),
    item("app_id", "text", "app", "svc", "app-id"),
    # 20 retain, on a live delivery
    Row("retain", "true", m5(retain=True), st(("retain", "true")), m5(free=[("x-mx-retain", "true")]),
        [("retain", "true")], []),
    # 21 payload_format
    Row("payload_format", "0", m5(format=0), st(("x-mx-pfi", "0")), m5(format=0), [("x-mx-pfi", "0")],
        ["payload_format"]),
    Row("payload_format", "1 on bytes", m5(format=1), st(("x-mx-pfi", "1")), m5(format=1), [("x-mx-pfi", "1")],
        ["payload_format"]),
    # 22 properties
    props("one", [("k", "v")]),
    props("repeats in order", [("b", "1"), ("a", "2"), ("b", "3")]),
    props("case and unicode", [("Bar", "x"), ("bar", "y"), ("é🥕", "🥕é")]),
    props("empty value", [("k", "")]),
    props("characters with escapes", [("a:b\\c", "x y:z\\")]),
    *[
        Row("properties", f"what ends an MQTT client: {character!r}", None, st((f"k{character}", f"v{character}")),
            m5(free=[(f"x-mx-q-k{quoted}", packed), ("x-mx-types", f"k{quoted}:strb64")]), [], ["properties"])
        for character, quoted, packed in [
            ("\t", "%09", "dgk="), ("\n", "%0A", "dgo="), ("\x7f", "%7F", "dn8="), ("\x85", "%85", "dsKF"),
            ("\ufdd0", "%u00FDD0", "du+3kA=="), ("\U0001ffff", "%u01FFFF", "dvCfv78="),
        ]
    ],
    Row("subject", "a line end", None, st(("type", "a\nb")),
        m5(free=[("x-mx-subject", "YQpi"), ("x-mx-b64", "subject")]), [], ["subject"]),
    Row("content_type", "a line end", None, st(("content-type", "a\nb")),
        m5(free=[("x-mx-ct", "YQpi"), ("x-mx-b64", "ct")]), [], ["content_type"]),
    Row("reply_to", "control characters", None, st(("reply-to", "/topic/a\t.b\x85")),
        m5(response="a\uf009/b\uf085"), [], ["reply_to"]),
    Row("reply_to", "control characters of a queue", None, st(("reply-to", "/queue/a\nb")),
        m5(response="$queue/a\uf00ab"), [], ["reply_to"]),
    props("types", [("n", "5"), ("b", "true"), ("z", "")], "n:i32,b:bool,z:null"),
    props("hint with odd names", [("a,b", "1"), ("c:d", "2"), ("e%", "3")], "a%2Cb:u8,c%3Ad:i16,e%25:i64"),
    props("a type that neither has", [("u", "AMQ=")], "u:bin"),
    Row("properties", "empty name", m5(free=[("", "x")]), st(("x-mx-p-", "x")), m5(free=[("", "x")]),
        [("x-mx-p-", "x")], ["properties"]),
    *[
        Row("properties", f"called {word}", m5(free=[(word, "v")]), st((f"x-mx-p-{word}", "v")), m5(free=[(word, "v")]),
            [(f"x-mx-p-{word}", "v")], ["properties"])
        for word in ("destination", "message-id", "subscription", "ack", "redelivered", "content-length", "receipt",
                     "content-type", "receipt-id", "transaction", "correlation-id", "amqp-message-id", "reply-to", "type",
                     "content-encoding", "timestamp", "expires", "expiration", "priority", "persistent", "retain",
                     "retained", "JMSXGroupID", "JMSXGroupSeq", "user-id", "JMSXUserID", "app-id")
    ],
    Row("properties", "reserved name", m5(free=[("x-mx-p-x-mx-prio", "v")]), st(("x-mx-p-x-mx-prio", "v")),
        m5(free=[("x-mx-p-x-mx-prio", "v")]), [("x-mx-p-x-mx-prio", "v")], ["properties"]),
    Row("properties", "unknown item", m5(free=[("x-mx-zzz", "v")]), st(("x-mx-zzz", "v")),
        m5(free=[("x-mx-p-x-mx-zzz", "v")]), [("x-mx-p-x-mx-zzz", "v")], ["properties"]),
    Row("properties", "hint that does not fit", m5(free=[("n", "five"), ("x-mx-types", "n:i32,gone:u8")]),
        st(("n", "five"), ("x-mx-types", "n:i32")), m5(free=[("n", "five")]), [("n", "five")], ["properties"]),
    Row("properties", "second of a field", None, st(("type", "a"), ("type", "b")),
        m5(free=[("x-mx-subject", "a"), ("type", "b")]), [], ["subject"]),
    # 23 annotations
    annotation("symbol", "x-opt-a"),
    annotation("symbol of another name", "x-mx-ma-a"),
    annotation("number", "x-mx-ma-#18446744073709551615"),
    # 23b footer
    side_item("footer", "ft", '{"footer":"[[\\"k\\",1]]","types":":map"}'),
    # 27 hop data
    Row("hop", "all of STOMP", None,
        st(("message-id", "m"), ("subscription", "s"), ("ack", "a"), ("redelivered", "true"), ("x-mx-delivery-count", "9"),
           ("receipt", "r"), ("receipt-id", "r")), m5(), [], []),
    # what only the broker says
    *[
        Row("broker", name, m5(free=[(f"x-mx-{name}", "v")]), st((f"x-mx-{name}", "v")), m5(), [], None)  # type: ignore[arg-type]
        for name in ("client", "auth", "deaths", "received", "delivery-count", "to", "omit")
    ],
]  # fmt: skip

# 4.2: body and what is said of it, for each source; what the other family hears.
BODIES = [
    # body, M5 says, M5 user properties, ST hears
    (b"text", m5(body=b"text"), []),
    (b"", m5(body=b""), []),
    (b"a\x00b", m5(body=b"a\x00b"), []),
    (BIN, m5(), []),
    (b"text", m5(body=b"text", format=1), []),
    (b"a\x00b", m5(body=b"a\x00b", format=1), [TEXT, IS_TEXT]),
    (BIN, m5(format=1), [("x-mx-pfi", "1")]),
    (b"{}", m5(body=b"{}", content_type="application/json"), [JSON]),
    (b"{}", m5(body=b"{}", content_type="application/vnd.x+json"), [("content-type", "application/vnd.x+json")]),
    (b"<a/>", m5(body=b"<a/>", content_type="application/soap+xml;charset=UTF-8"),
     [("content-type", "application/soap+xml;charset=UTF-8")]),
    (b"\xe9", m5(body=b"\xe9", content_type="text/plain;charset=iso-8859-1"),
     [("content-type", "text/plain;charset=iso-8859-1")]),
    (b"e", m5(body=b"e", content_type="text/plain;charset=iso-8859-1"),
     [("content-type", "text/plain;charset=iso-8859-1")]),
    (b"x", m5(body=b"x", content_type="image/png"), [("content-type", "image/png")]),
    (b"x", m5(body=b"x", content_type="image/png", format=1), [("content-type", "image/png"), IS_TEXT]),
    (b"x", m5(body=b"x", content_type="text/plain;charset=utf-8"), [TEXT]),
    (b"\xac\xed", m5(body=b"\xac\xed", content_type="application/x-java-serialized-object"),
     [("content-type", "application/x-java-serialized-object")]),
    (b'{"a":1}', m5(body=b'{"a":1}', free=[("x-mx-body", "map"), ("x-mx-btypes", "/a:i32")]),
     [JSON, ("x-mx-body", "map"), ("x-mx-btypes", "/a:i32")]),
    (b"[1]", m5(body=b"[1]", free=[("x-mx-body", "list")]), [JSON, ("x-mx-body", "list")]),
    (b"1", m5(body=b"1", free=[("x-mx-body", "value")]), [JSON, ("x-mx-body", "value")]),
    (b"[[1]]", m5(body=b"[[1]]", free=[("x-mx-body", "seq")]), [JSON, ("x-mx-body", "seq")]),
    (b"", m5(body=b"", free=[("x-mx-body", "none")]), [("x-mx-body", "none")]),
    (b"[1", m5(body=b"[1", free=[("x-mx-body", "list")]), [("x-mx-p-x-mx-body", "list")]),
    (b"[]", m5(body=b"[]", free=[("x-mx-body", "map")]), [("x-mx-p-x-mx-body", "map")]),
    (b"x", m5(body=b"x", free=[("x-mx-body", "none")]), [("x-mx-p-x-mx-body", "none")]),
]  # fmt: skip

STOMP_BODIES = [
    # body, ST headers, M5 hears
    (b"text", [], m5(body=b"text", format=1)),
    (b"", [], m5(body=b"", format=1)),
    (b"a\x00b", [], m5(body=b"a\x00b")),
    (BIN, [], m5()),
    (b"{}", [JSON], m5(body=b"{}", content_type="application/json", format=1)),
    (b"{}", [JSON, ("content-encoding", "gzip")],
     m5(body=b"{}", content_type="application/json", free=[("x-mx-ce", "gzip")])),
    (b"{}", [JSON, ("content-encoding", "identity")],
     m5(body=b"{}", content_type="application/json", format=1, free=[("x-mx-ce", "identity")])),
    (BIN, [JSON], m5(content_type="application/json")),
    (b"x", [("content-type", "image/png")], m5(body=b"x", content_type="image/png")),
    (b"x", [("amq-msg-type", "bytes")], m5(body=b"x", free=[("amq-msg-type", "bytes"), IS_BYTES])),
    (b"x", [("amq-msg-type", "bytes"), JSON],
     m5(body=b"x", content_type="application/json", free=[IS_BYTES, ("amq-msg-type", "bytes")])),
    (b"a\x00b", [("amq-msg-type", "text")], m5(body=b"a\x00b", format=1, free=[("amq-msg-type", "text")])),
    (BIN, [("amq-msg-type", "text")], m5(free=[("amq-msg-type", "text")])),
    (b"x", [("amq-msg-type", "map")], m5(body=b"x", format=1, free=[("amq-msg-type", "map")])),
    (b"\xac\xed", [("content-type", "application/x-java-serialized-object")],
     m5(body=b"\xac\xed", content_type="application/x-java-serialized-object")),
    (b"hi", [TEXT, IS_TEXT], m5(body=b"hi", format=1)),
    (b"hi", [TEXT], m5(body=b"hi", content_type="text/plain;charset=utf-8", format=1)),
    (b"hi", [IS_BYTES], m5(body=b"hi", free=[IS_BYTES])),
    (b"hi", [("content-type", "text/x"), IS_BYTES], m5(body=b"hi", content_type="text/x", free=[IS_BYTES])),
    (b'{"a":1}', [JSON, ("x-mx-body", "map"), ("x-mx-btypes", "/a:i32")],
     m5(body=b'{"a":1}', content_type="application/json", free=[("x-mx-body", "map"), ("x-mx-btypes", "/a:i32")])),
    (b"", [("x-mx-body", "none")], m5(body=b"", free=[("x-mx-body", "none")])),
]  # fmt: skip
