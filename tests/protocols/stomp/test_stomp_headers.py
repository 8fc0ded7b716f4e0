"""Escapes, text and numbers of header lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.stomp.errors import MalformedFrame
from protocols.stomp.headers import (
    decode_header,
    decode_headers,
    encode_header,
    escape,
    first,
    is_true,
    number,
    passing_lines,
    shown,
    unescape,
)
from protocols.stomp.lookalikes import looks_like

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(TEXT)
def test_value_encoding_round_trip_1_2(text: str) -> None:
    assert unescape(escape(text, "1.2"), "1.2") == text
    assert not set(escape(text, "1.2")) & set(b"\n\r:")


@given(TEXT)
def test_value_encoding_round_trip_1_1(text: str) -> None:
    assert unescape(escape(text, "1.1"), "1.1") == text
    assert not set(escape(text, "1.1")) & set(b"\n:")


@given(st.text(), st.text(), st.sampled_from(["", "1.0", "1.1", "1.2"]))
def test_no_text_whatever_ends_its_line_or_frame(name: str, value: str, version: str) -> None:
    line = encode_header(name, value, version)
    assert b"\n" not in line
    assert b"\0" not in line
    assert b":" in line


@given(TEXT.filter(lambda text: text != ""), TEXT)
def test_header_round_trip_1_2(name: str, value: str) -> None:
    assert decode_header(encode_header(name, value, "1.2"), "1.2") == (name, value)


@pytest.mark.parametrize(
    "version, raw, text",
    [
        ("1.2", b"a\\nb\\cc\\\\d\\re", "a\nb:c\\d\re"),
        ("1.1", b"a\\nb\\cc\\\\d", "a\nb:c\\d"),
        ("1.2", b"\\\\n", "\\n"),
        ("1.0", b"a\\nb\\q\\", "a\\nb\\q\\"),
        ("", b"a\\nb\\q\\", "a\\nb\\q\\"),
    ],
)
def test_value_encoding_by_version(version: str, raw: bytes, text: str) -> None:
    assert unescape(raw, version) == text


@pytest.mark.parametrize(
    "version, raw", [("1.2", b"a\\tb"), ("1.2", b"a\\"), ("1.1", b"a\\rb"), ("1.1", b"\\")]
)
def test_undefined_escape_is_fatal(version: str, raw: bytes) -> None:
    with pytest.raises(MalformedFrame):
        unescape(raw, version)


@pytest.mark.parametrize("version", ["", "1.0", "1.1", "1.2"])
def test_header_must_be_utf_8(version: str) -> None:
    with pytest.raises(MalformedFrame):
        unescape(b"\xff", version)


@pytest.mark.parametrize("line", [b"nocolon", b":value", b""])
def test_header_needs_a_name_and_a_colon(line: bytes) -> None:
    with pytest.raises(MalformedFrame):
        decode_header(line, "1.2")


def test_headers_keep_order_case_and_repeats() -> None:
    headers = decode_headers([b"foo:1", b"Foo:x:y", b"foo:2", b"e:"], "1.2")
    assert headers == [("foo", "1"), ("Foo", "x:y"), ("foo", "2"), ("e", "")]
    assert first(headers, "foo") == "1"
    assert first(headers, "bar") is None


@pytest.mark.parametrize("raw", [b"", b"-1", b"+1", b" 1", b"1_0", b"1.0", b"0x1", "²".encode(), b"1" * 19])
def test_number_is_plain_digits(raw: bytes) -> None:
    with pytest.raises(MalformedFrame, match="content-length"):
        number(raw, "content-length")


@pytest.mark.parametrize("raw, value", [(b"0", 0), (b"007", 7), (b"9" * 18, 10**18 - 1)])
def test_number(raw: bytes, value: int) -> None:
    assert number(raw, "n") == value


@pytest.mark.parametrize(
    "raw, value", [(b"true", True), (b"True", True), (b"false", False), (b"1", False), (b"", False)]
)
def test_flag(raw: bytes, value: bool) -> None:
    assert is_true(raw) is value


def test_passing_lines_are_all_but_a_servers_own() -> None:
    lines = [
        b"destination:/a",
        b"k:v",
        b"ack:1",
        b" receipt :r",
        b"content-type:t",
        b"message-id:m",
        b"persistent:true",
    ]
    assert passing_lines(lines) == [b"k:v", b"content-type:t", b"persistent:true"]


def test_shown_is_short_and_printable() -> None:
    assert shown(b"a\0\n\xff") == "'a??\\xff'"
    assert len(shown(b"x" * 100_000)) == 45


@pytest.mark.parametrize(
    "data, name",
    [
        (b"\x16\x03\x01\x02\x00\x01", "a TLS hello"),
        (b"\x10\x0c\0\x04MQTT\x05\x02", "MQTT"),
        (b"\x10\x8e\x01\0\x06MQIsdp\x03", "MQTT"),
        (b"GET / HTTP/1.1\r\n", "HTTP"),
        (b"CONNECT h:1 HTTP/1.1\r\n", "HTTP"),
        (b"PRI * HTTP/2.0\r\n", "HTTP"),
        (b"AMQP\0\x01\0\0", "AMQP"),
        (b"\xf0\x01ActiveMQ\0\0\0\x0c", "OpenWire"),
        (b"CONNECT\nhost:h\n", ""),
        (b"\x10\x0c", ""),
        (b"", ""),
    ],
)
def test_looks_like(data: bytes, name: str) -> None:
    assert looks_like(data) == name
