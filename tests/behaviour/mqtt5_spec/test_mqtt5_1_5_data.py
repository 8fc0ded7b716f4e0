"""MQTT 5.0 §1.5, data representation, as it shows from outside.

`test_1_5_4_1_…` is [MQTT-1.5.4-1]; `test_s_1_5_4_…` a sentence of §1.5.4 without a number.  Every string of every
packet is tried byte by byte in tests/protocols/mqtt/test_mqtt_bad_input.py.

Not tested: nothing; §1.5.1 to §1.5.3 (bits, integers) have no statement that could be broken by itself.
"""

import pytest
from harness import Gateway
from mqtt_spec import alive, client, ended, hears, packet

from gateway.connectors.mqtt.settings import MqttSettings


@pytest.mark.parametrize("bad", [b"\xed\xa0\x80", b"\xc3", b"\xff", b"\xc0\xaf"])
def test_1_5_4_1_ill_formed_utf_8_ends_the_connection(bad: bytes) -> None:
    gw = Gateway()
    other = client(gw, "o")
    party = client(gw, "c") >> packet(0x30, len(bad).to_bytes(2, "big") + bad + b"\x00")
    party << "DISCONNECT 0x81"
    ended(party)
    alive(gw, other)


def test_1_5_4_2_null_character_ends_the_connection() -> None:
    gw = Gateway()
    other = client(gw, "o")
    party = client(gw, "c") >> packet(0x82, b"\x00\x01\x00\x00\x03a\x00b\x00") << "DISCONNECT 0x81"
    ended(party)
    alive(gw, other)


def test_1_5_4_3_byte_order_mark_is_a_character_like_others() -> None:
    gw = Gateway()
    marked = hears(client(gw, "marked"), "\ufefft")
    plain = hears(client(gw, "plain"), "t")
    client(gw, "p") >> "PUBLISH \ufefft 1" >> "PUBLISH t 2"
    marked << "PUBLISH \ufefft 1"
    marked.silent()
    plain << "PUBLISH t 2"
    plain.silent()


def test_s_1_5_4_non_characters_are_refused() -> None:
    # A client may close its connection for them, and common ones do: nobody is sent any.
    gw = Gateway()
    ended(client(gw, "p") >> "PUBLISH a/\ufdd0 x" << "DISCONNECT 0x81")


def test_s_1_5_4_non_characters_may_be_used_where_the_operator_says_so() -> None:
    gw = Gateway(mqtt=MqttSettings(control_characters=True))
    party = hears(client(gw, "s"), "\uffff/#")
    client(gw, "p") >> "PUBLISH \uffff/\ufdd0 x"
    party << "PUBLISH \uffff/\ufdd0 x"


def test_s_1_5_4_control_characters_in_topics_are_refused() -> None:
    gw = Gateway()
    party = client(gw, "c") >> packet(0x30, b"\x00\x03a\x01b\x00") << "DISCONNECT 0x81"
    ended(party)


@pytest.mark.parametrize(
    "data",
    [
        b"\xc0\x80\x00",
        packet(0x30, b"\x00\x01t\x80\x00"),
        packet(0x82, b"\x00\x01\x03\x0b\x81\x00\x00\x01a\x00"),
    ],
)
def test_1_5_5_1_variable_byte_integers_are_of_the_fewest_bytes(data: bytes) -> None:
    party = client(Gateway(), "c") >> data << "DISCONNECT 0x81"
    ended(party)


def test_1_5_7_1_both_strings_of_a_pair_are_checked() -> None:
    for block in (b"\x26\x00\x01\x00\x00\x01v", b"\x26\x00\x01k\x00\x01\xff"):
        party = client(Gateway(), "c") >> packet(0x30, b"\x00\x01t" + bytes((len(block),)) + block)
        party << "DISCONNECT 0x81"
        ended(party)


def test_s_1_5_6_binary_data_may_have_any_bytes() -> None:
    gw = Gateway()
    party = hears(client(gw, "s"), "t")
    data = packet(0x30, b"\x00\x01t\x07\x09\x00\x04\x00\xff\xed\xa0")
    client(gw, "p") >> data
    assert b"".join(party.connector.bytes_out(gw.now_ms)) == data
