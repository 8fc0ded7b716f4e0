"""MQTT 3.1.1 §1.5 data representations and §2 control packet format.

`test_2_2_2_1_…` is [MQTT-2.2.2-1]; `test_s_2_2_3_…` a sentence of §2.2.3 without a number.  Flags, lengths, strings
and identifiers are gone through byte by byte in tests/protocols/mqtt/test_mqtt_bad_input.py.

Not tested: 2.3.1-2, -3, -6, -7 as obligations of a client (what we send is tested).
"""

import pytest
from harness import DROP, Gateway
from mqtt_spec import alive, client, ended, hears, packet


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


@pytest.mark.parametrize("bad", [b"\xed\xa0\x80", b"\xc3", b"\xff", b"\xc0\xaf", b"a\x00b"])
def test_1_5_3_1_and_2_ill_formed_utf_8_and_null_characters_close(gw: Gateway, bad: bytes) -> None:
    other = client(gw, "o", version=4)
    text = len(bad).to_bytes(2, "big") + bad
    for data in (
        packet(0x30, text),
        packet(0x82, b"\x00\x01" + text + b"\x00"),
        packet(0xA2, b"\x00\x01" + text),
    ):
        ended(client(gw, "c", version=4) >> data)
    ended(gw.mqtt("c", 4) >> packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x00" + text))
    alive(gw, other)


def test_1_5_3_3_byte_order_mark_is_a_character_like_others(gw: Gateway) -> None:
    marked = hears(client(gw, "marked", version=4), "\ufefft")
    plain = hears(client(gw, "plain", version=4), "t")
    client(gw, "p", version=4) >> "PUBLISH \ufefft 1" >> "PUBLISH t 2"
    marked << "PUBLISH \ufefft 1"
    plain << "PUBLISH t 2"
    marked.silent()
    plain.silent()


@pytest.mark.parametrize("first", [0x41, 0x51, 0x60, 0x63, 0x71, 0x80, 0x83, 0xA0, 0xA3, 0xC1, 0xE1], ids=hex)
def test_2_2_2_1_and_2_invalid_flags_close(gw: Gateway, first: int) -> None:
    other = client(gw, "o", version=4)
    ended(client(gw, "c", version=4) >> packet(first, b"\x00\x01"))
    alive(gw, other)


@pytest.mark.parametrize("first", [0x00, 0xF0], ids=hex)
def test_s_2_2_1_reserved_packet_types_close(gw: Gateway, first: int) -> None:
    ended(client(gw, "c", version=4) >> packet(first, b""))


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff\x01", b"\x80\x80\x80\x80\x01"])
def test_s_2_2_3_remaining_length_of_five_bytes_closes(gw: Gateway, length: bytes) -> None:
    ended(client(gw, "c", version=4) >> b"\x30" + length)


@pytest.mark.parametrize("size", [0, 120, 121, 16_376, 16_377, 16_378, 2_097_144, 2_097_145, 2_097_146])
def test_s_2_2_3_remaining_lengths_of_one_to_four_bytes(gw: Gateway, size: int) -> None:
    party = hears(client(gw, "s", version=4), "topic")
    data = packet(0x30, b"\x00\x05topic" + b"x" * size)
    client(gw, "p", version=4) >> data
    assert b"".join(party.connector.bytes_out(gw.now_ms)) == data


@pytest.mark.parametrize(
    "data",
    [
        packet(0x32, b"\x00\x01t\x00\x00"),
        packet(0x34, b"\x00\x01t\x00\x00"),
        packet(0x82, b"\x00\x00\x00\x01t\x00"),
        packet(0xA2, b"\x00\x00\x00\x01t"),
    ],
    ids=["QoS 1", "QoS 2", "SUBSCRIBE", "UNSUBSCRIBE"],
)
def test_2_3_1_1_packet_identifier_0_closes(gw: Gateway, data: bytes) -> None:
    other = hears(client(gw, "o", version=4), "t")
    ended(client(gw, "c", version=4) >> data)
    other.silent()


def test_2_3_1_4_server_takes_identifiers_that_are_free_beginning_with_1(gw: Gateway) -> None:
    party = hears(client(gw, "s", version=4), "t qos=2")
    publisher = client(gw, "p", version=4)
    for n in range(1, 4):
        publisher >> f"PUBLISH t qos=1 id=9 {n}" << "PUBACK 9"
        party << f"PUBLISH t qos=1 id={n} {n}"
    party >> "PUBACK 2"
    publisher >> "PUBLISH t qos=1 id=9 4"
    party << "PUBLISH t qos=1 id=4 4"


def test_2_3_1_4_message_that_is_sent_again_keeps_its_identifier(gw: Gateway) -> None:
    party = hears(client(gw, "s", "clean=0", version=4), "t qos=1")
    client(gw, "p", version=4) >> "PUBLISH t qos=1 id=9 1" >> "PUBLISH t qos=1 id=9 2"
    party << "PUBLISH t qos=1 id=1 1" << "PUBLISH t qos=1 id=2 2" >> "PUBACK 1" >> DROP
    client(gw, "s", "clean=0", version=4, present=1) << "PUBLISH t qos=1 dup id=2 2"


def test_2_3_1_5_qos_0_has_no_packet_identifier(gw: Gateway) -> None:
    party = hears(client(gw, "s", version=4), "t qos=2")
    client(gw, "p", version=4) >> packet(0x30, b"\x00\x01tab")
    party << "PUBLISH t ab"


def test_2_3_1_6_and_7_answers_have_the_packet_identifier_of_what_they_answer(gw: Gateway) -> None:
    party = client(gw, "c", version=4) >> "PUBLISH t qos=1 id=65535 x" << "PUBACK 65535"
    party >> "PUBLISH t qos=2 id=257 x" << "PUBREC 257" >> "PUBREL 257" << "PUBCOMP 257"
    party >> "SUBSCRIBE 65534 t" << "SUBACK 65534 0" >> "UNSUBSCRIBE 256 t" << "UNSUBACK 256"


def test_s_2_3_1_client_and_server_identifiers_are_apart(gw: Gateway) -> None:
    party = hears(client(gw, "c", version=4), "t qos=1") >> "PUBLISH t qos=1 id=1 x"
    assert sorted(party.rest()) == ["PUBACK 1", "PUBLISH t qos=1 id=1 x"]
