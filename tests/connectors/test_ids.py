"""Identifiers as text: rule 5 of the translation.  Each id has a text, each text is an id."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from value_strategies import TEXTS

from gateway.connectors.ids import ANYWHERE, IN_DATA, IN_STOMP_1_0, IN_STOMP_1_1, id_from_text, id_to_text
from gateway.connectors.mqtt.mapping import _correlation_from
from gateway.connectors.mqtt.properties_out import correlation_to
from gateway.core.message import Typed

PLACES = [ANYWHERE, IN_DATA, IN_STOMP_1_1, IN_STOMP_1_0]
MARKED = st.lists(
    st.sampled_from(
        ["AMQP_STRING:", "AMQP_BINARY:", "AMQP_ULONG:", "AMQP_UUID:", "MX_STRING:", "00", "61", "0A", "0a", "20", "1",
         "00112233-4455-6677-8899-aabbccddeeff", "x", " ", "\n", "\r"]
    ),
    max_size=6,
).map("".join)  # fmt: skip
SAID = st.one_of(TEXTS, MARKED)
IDS = st.one_of(
    SAID,
    st.binary(max_size=6),
    SAID.map(str.encode),
    st.integers(0, (1 << 64) - 1).map(lambda number: Typed("u64", number)),
    st.uuids().map(lambda uuid: Typed("uuid", str(uuid))),
)


@given(IDS, st.sampled_from(PLACES))
def test_property_every_identifier_comes_back(value: str | bytes | Typed, where: int) -> None:
    if where == IN_DATA:
        back = _correlation_from(correlation_to(value))
    else:
        text = id_to_text(value, where)
        assert "\0" not in text
        back = id_from_text(text, where)
    assert back == (value.encode() if isinstance(value, str) and "\0" in value else value)


@given(SAID.filter(lambda text: "\0" not in text), st.sampled_from(PLACES), st.sampled_from(PLACES))
def test_property_what_a_client_sends_it_gets_back_whoever_replies(
    text: str, where: int, through: int
) -> None:
    if where == IN_STOMP_1_0:
        text = text.replace("\n", "").replace("\r", "").strip(" ")
    if where == IN_STOMP_1_1:
        text = text.replace("\r", "")
    sent = _correlation_from(text.encode()) if where == IN_DATA else id_from_text(text, where)
    if through == IN_DATA:
        heard = _correlation_from(correlation_to(sent))
    else:
        shown = id_to_text(sent, through)
        assert through not in (IN_STOMP_1_0, IN_STOMP_1_1) or "\r" not in shown
        assert through != IN_STOMP_1_0 or ("\n" not in shown and shown.strip(" ") == shown)
        heard = id_from_text(shown, through)
    back = correlation_to(heard).decode() if where == IN_DATA else id_to_text(heard, where)
    assert back == text


@given(st.binary(max_size=8), st.sampled_from([ANYWHERE, IN_STOMP_1_1, IN_STOMP_1_0]))
def test_property_what_mqtt_sends_it_gets_back_whoever_replies(data: bytes, through: int) -> None:
    shown = id_to_text(_correlation_from(data), through)
    assert correlation_to(id_from_text(shown, through)) == data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("AMQP_ULONG:42", Typed("u64", 42)),
        ("AMQP_ULONG:18446744073709551616", "AMQP_ULONG:18446744073709551616"),
        ("AMQP_ULONG:-1", "AMQP_ULONG:-1"),
        (
            "AMQP_UUID:00112233-4455-6677-8899-aabbccddeeff",
            Typed("uuid", "00112233-4455-6677-8899-aabbccddeeff"),
        ),
        ("AMQP_UUID:0011", "AMQP_UUID:0011"),
        ("AMQP_BINARY:00f", "AMQP_BINARY:00f"),
        ("AMQP_BINARY:0 0f", "AMQP_BINARY:0 0f"),
        ("AMQP_BINARY:00FF", b"\x00\xff"),
        ("AMQP_BINARY:00ff", "AMQP_BINARY:00ff"),
        ("AMQP_BINARY:", b""),
        ("AMQP_STRING:AMQP_ULONG:7", "AMQP_ULONG:7"),
        ("AMQP_STRING:AMQP_STRING:AMQP_ULONG:7", "AMQP_STRING:AMQP_ULONG:7"),
        ("AMQP_STRING:7", "AMQP_STRING:7"),
        ("AMQP_STRING:AMQP_ULONG:x", "AMQP_STRING:AMQP_ULONG:x"),
        ("AMQP_OTHER:7", "AMQP_OTHER:7"),
        ("MX_STRING:610A", "MX_STRING:610A"),
    ],
)
def test_rule_5_only_what_we_would_have_written_is_interpreted(text: str, value: object) -> None:
    assert id_from_text(text) == value
    assert id_to_text(id_from_text(text)) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "MX_STRING:610A62"),
        (" a", "MX_STRING:2061"),
        ("a\\b:c", "a\\b:c"),
        ("MX_STRING:61", "MX_STRING:61"),
    ],
)
def test_what_stomp_1_0_cannot_say_travels_within_the_id(text: str, shown: str) -> None:
    assert id_to_text(text, IN_STOMP_1_0) == shown
    assert id_from_text(shown, IN_STOMP_1_0) == text
