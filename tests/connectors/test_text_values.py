"""Values, identifiers, hints and typed JSON as text: what is written is read back, and nothing that is read can fail."""

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from value_strategies import TEXTS, VALUES, alike

from gateway.connectors import typed_json
from gateway.connectors.text import (
    LONG_TEXT,
    RANGES,
    Hints,
    Looking,
    decode_types,
    decode_within,
    encode_types,
    encode_within,
    has_control_characters,
    integer,
    is_textual,
    is_utf8,
    to_f32,
)
from gateway.connectors.typed_json import value_from_text, value_to_text
from gateway.core.message import Typed
from protocols.mqtt.strings import has_control_characters as unwelcome_on_the_wire

TOKENS = st.sampled_from(
    [*RANGES, "f32", "f64", "bool", "bin", "strb64", "uuid", "char", "dec9", "sym", "map", "list", "array"]
)


@given(VALUES)
def test_property_every_value_comes_back_from_its_text(value: object) -> None:
    text, token = value_to_text(value)
    assert "\0" not in text
    assert alike(value_from_text(text, token), value)


@given(st.lists(st.tuples(TEXTS, VALUES), max_size=6))
def test_property_hints_of_many_names_come_back(properties: list[tuple[str, object]]) -> None:
    written = [(name, *value_to_text(value)) for name, value in properties]
    names = [name for name, _, _ in written]
    types = [(name, token or "str") for name, _, token in written if token or names.count(name) > 1]
    text = encode_types(types)
    assert all(letter >= " " and letter != "\x7f" for letter in text)
    hints = Hints(text if types else None)
    for (name, value), (_, plain, _) in zip(properties, written, strict=True):
        assert alike(value_from_text(plain, hints.take(name)), value)


@given(TEXTS, TOKENS)
def test_property_garbage_with_any_token_stays_text_or_is_a_value(text: str, token: str) -> None:
    value = value_from_text(text, token)
    assert value == text or alike(value_from_text(*value_to_text(value)), value)


@given(TEXTS)
def test_property_garbage_as_hints_never_fails(text: str) -> None:
    decode_types(text)
    decode_within(text)
    Hints(text).take(text)


@given(VALUES)
def test_property_typed_json_comes_back(value: object) -> None:
    text, types = typed_json.dump(value)
    assert alike(typed_json.load(text, types), value)


@given(TEXTS, TEXTS)
def test_property_garbage_is_no_typed_json(text: str, types: str) -> None:
    try:
        value = typed_json.load(text, types)
    except ValueError:
        return
    assert alike(typed_json.load(*typed_json.dump(value)), value)


@pytest.mark.parametrize(
    "text",
    ["", "-", "+1", "01", "-0", "1_0", " 1", "٣", "1" * 30, "9223372036854775808", "-9223372036854775809"],
)
def test_integers_are_read_as_we_write_them_only(text: str) -> None:
    assert integer(text, *RANGES["i64"]) is None


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_property_single_precision_is_written_as_short_as_it_can_be(number: float) -> None:
    text, _ = value_to_text(Typed("f32", number))
    assert to_f32(float(text)) == number
    assert len(text) <= len(repr(number))


def test_single_precision_has_an_end() -> None:
    assert value_from_text("3.4e38", "f32") == Typed("f32", to_f32(3.4e38))
    assert value_from_text("3.5e38", "f32") == "3.5e38"
    assert math.isinf(typed_json.load('"-Infinity"', ":f64"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "types", "value"),
    [
        ("5", "", 5),
        ("5", ":f64", 5.0),
        ("9007199254740993", "", 9007199254740993),
        ('{"a":5}', "/a:i32", Typed("map", {"a": Typed("i32", 5)})),
        ('{"a":300}', "/a:u8", Typed("map", {"a": 300})),
        ('{"a":"x"}', "/a:i32", Typed("map", {"a": "x"})),
        ("[1]", "/7:i32,nonsense,:array", Typed("array", [1])),
    ],
)
def test_hints_refine_and_what_does_not_fit_is_ignored(text: str, types: str, value: object) -> None:
    assert alike(typed_json.load(text, types), value)


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"a":1,"a":2}', "NaN", "1e999", "18446744073709551616", "[" * 70 + "]" * 70, "[" * 5_000],
)
def test_what_is_not_ours_to_carry_is_no_typed_json(text: str) -> None:
    with pytest.raises(ValueError):
        typed_json.load(text, "")


def test_what_is_nested_too_deeply_is_not_written() -> None:
    value: object = 1
    for _ in range(typed_json.DEPTH_MAX + 1):
        value = Typed("list", [value])
    with pytest.raises(ValueError, match="deep"):
        typed_json.dump(value)


def test_a_token_with_hints_of_its_parts() -> None:
    token = encode_within("map", [("/a:b;c=d", "i32"), ("/e", "bin")])
    assert token == "map;/a%3Ab%3Bc%3Dd=i32;/e=bin"
    assert decode_within(token) == ("map", {"/a:b;c=d": "i32", "/e": "bin"})


@pytest.mark.parametrize(
    ("content_type", "encoding", "textual"),
    [
        ("text/plain", None, True),
        ("TEXT/Plain; Charset=\"UTF-8\"", "", True),
        ("application/json", "identity", True),
        ("application/vnd.api+json;charset=us-ascii", "utf-8", True),
        ("image/svg+xml", None, True),
        ("text/plain;charset=latin1", None, False),
        ("application/json", "gzip", False),
        ("application/octet-stream", None, False),
        ("jsonx", None, False),
        (None, None, False),
        ("", None, False),
    ],
)  # fmt: skip
def test_textual_content_types(content_type: str | None, encoding: str | None, textual: bool) -> None:
    assert is_textual(content_type, encoding, b"x") is textual
    assert is_textual(content_type, encoding, b"\xff") is False


def test_what_mqtt_does_not_want_is_the_same_to_the_translation_and_to_the_wire() -> None:
    # The two rooms may not import each other, so each has its own list.
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        assert has_control_characters(character) == unwelcome_on_the_wire(character), hex(code)


@pytest.mark.parametrize("body", ["é€\U0001f600".encode() * 300_000, b"x" * 3_000_000], ids=["wide", "ASCII"])
@pytest.mark.parametrize("bad", [b"", b"\xff", b"\xc3"], ids=["good", "no UTF-8", "cut"])
def test_a_long_body_is_looked_at_some_at_a_time(body: bytes, bad: bytes) -> None:
    looking = Looking(body + bad)
    steps = 1
    while not looking.step():
        steps += 1
    assert looking.found is is_utf8(body + bad) is (bad == b"")
    assert steps >= len(body) // LONG_TEXT
