"""Claim C5: typed properties keep type and value, through protocols that know only text too."""

import math

import pytest
from pair_clients import Pair, Said, topic_in

from gateway.core.message import Typed

# Text on the wire, token, value in the broker.
VALUES = [
    ("true", "bool", True),
    ("false", "bool", False),
    ("", "null", None),
    ("-128", "i8", Typed("i8", -128)),
    ("255", "u8", Typed("u8", 255)),
    ("-32768", "i16", Typed("i16", -32768)),
    ("65535", "u16", Typed("u16", 65535)),
    ("-2147483648", "i32", Typed("i32", -2147483648)),
    ("4294967295", "u32", Typed("u32", 4294967295)),
    ("-9223372036854775808", "i64", -(1 << 63)),
    ("9223372036854775807", "i64", (1 << 63) - 1),
    ("18446744073709551615", "u64", Typed("u64", (1 << 64) - 1)),
    ("1.5", "f32", Typed("f32", 1.5)),
    ("0.1", "f32", Typed("f32", 0.10000000149011612)),
    ("1e+16", "f64", 1e16),
    ("5e-324", "f64", 5e-324),
    ("-0.0", "f64", -0.0),
    ("Infinity", "f64", math.inf),
    ("-Infinity", "f64", -math.inf),
    ("é", "char", Typed("char", "é")),
    ("1700000000123", "ts", Typed("ts", 1_700_000_000_123)),
    ("amqp:symbol", "sym", Typed("sym", "amqp:symbol")),
    ("AP8=", "bin", b"\x00\xff"),
    ("", "bin", b""),
    ("YQBi", "strb64", "a\x00b"),
    (
        "00112233-4455-6677-8899-aabbccddeeff",
        "uuid",
        Typed("uuid", "00112233-4455-6677-8899-aabbccddeeff"),
    ),
    ("123.45", "dec9", Typed("dec9", "123.45")),
    ("1E+400", "d64", Typed("d64", "1E+400")),
    ('{"a":1}', "map", Typed("map", {"a": 1})),
    ("{}", "map", Typed("map", {})),
    ('[1,"x",null,true,1.5]', "list", Typed("list", [1, "x", None, True, 1.5])),
    ("[[1],{}]", "list", Typed("list", [Typed("list", [1]), Typed("map", {})])),
    ("[1,2]", "array;/0=i32;/1=i32", Typed("array", [Typed("i32", 1), Typed("i32", 2)])),
    ('[[1,"a"]]', "map;/0/0=i8", Typed("map", [(Typed("i8", 1), "a")])),
    ('{"a/b":"AP8="}', "map;/a~1b=bin", Typed("map", {"a/b": b"\x00\xff"})),
    ('"9007199254740993"'.join("[]"), "list;/0=i64", Typed("list", [9007199254740993])),
]

# What does not fit its hint stays text.
WRONG = [
    ("yes", "bool"), ("128", "i8"), ("-1", "u8"), ("007", "i32"), ("+5", "i32"), ("5_0", "i64"), ("5 0", "i64"),
    ("x", "f64"), ("1e999", "f64"), ("1e39", "f32"), ("x", "null"), ("A", "bin"), ("/w==", "strb64"), ("ab", "char"),
    ("1,5", "dec9"), ("0011", "uuid"), ("{", "map"), ("[]", "map"), ("{}", "list"), ('{"a":1,"a":2}', "map"),
    ("[NaN]", "list"), ("[" * 100 + "]" * 100, "list"), ("[99999999999999999999]", "list"), ("x", "unknown"), ("5", ""),
]  # fmt: skip

CODES = ["M5", "ST0", "ST1", "ST2"]
PAIRS = [(a, b) for a in CODES for b in CODES]


def there_and_back(a: str, b: str, said: Said) -> tuple[object, object]:
    """The property `n` as published and as echoed."""
    pair = Pair()
    sent, returned = pair.watch("there"), pair.watch("back")
    writer, reader = pair.client(a), pair.client(b)
    reader.subscribe(topic_in(b, "there"))
    writer.publish(topic_in(a, "there"), said)
    reader.echo(reader.one(), topic_in(b, "back"))
    [(_, first)] = sent.last().fields().properties
    [(_, second)] = returned.last().fields().properties
    return first, second


@pytest.mark.parametrize(("a", "b"), PAIRS)
@pytest.mark.parametrize(
    ("text", "token", "value"), VALUES, ids=[f"{token} {text[:20]}" for text, token, _ in VALUES]
)
def test_a_type_survives_the_way_there_and_back(text: str, token: str, value: object, a: str, b: str) -> None:
    said = Said(b"\xff", [("n", text), ("x-mx-types", f"n:{token}")])
    first, second = there_and_back(a, b, said)
    assert (type(first), first) == (type(value), value)
    assert (type(second), second) == (type(value), value)
    assert repr(first) == repr(second) == repr(value)


@pytest.mark.parametrize("a", CODES)
def test_nan_is_a_float_too(a: str) -> None:
    first, second = there_and_back(a, "ST2", Said(b"\xff", [("n", "NaN"), ("x-mx-types", "n:f64")]))
    assert repr(first) == repr(second) == "nan"


@pytest.mark.parametrize(("a", "b"), PAIRS)
@pytest.mark.parametrize(("text", "token"), WRONG)
def test_a_hint_that_does_not_fit_is_ignored(text: str, token: str, a: str, b: str) -> None:
    said = Said(b"\xff", [("n", text), ("x-mx-types", f"n:{token}")])
    first, second = there_and_back(a, b, said)
    assert first == second == text


@pytest.mark.parametrize("a", CODES)
def test_of_a_name_that_repeats_each_occurrence_has_its_own_type(a: str) -> None:
    pair = Pair()
    watch = pair.watch("t")
    free = [("k", "7"), ("k", "7"), ("k", "7"), ("x-mx-types", "k:str,k:i64,k:u8")]
    pair.client(a).publish(topic_in(a, "t"), Said(b"\xff", free))
    assert [value for _, value in watch.last().fields().properties] == ["7", 7, Typed("u8", 7)]


@pytest.mark.parametrize("a", CODES)
def test_annotations_have_types_too(a: str) -> None:
    pair = Pair()
    watch = pair.watch("t")
    free = [("x-opt-a", "1"), ("x-mx-ma-b", "2"), ("x-mx-ma-#3", "3")]
    types = ("x-mx-types", "x-opt-a:i8,x-mx-ma-b:u64,x-mx-ma-#3:bool")
    pair.client(a).publish(topic_in(a, "t"), Said(b"\xff", [*free, types]))
    assert watch.last().fields().annotations == [
        ("x-opt-a", Typed("i8", 1)),
        ("b", Typed("u64", 2)),
        (3, "3"),
    ]
