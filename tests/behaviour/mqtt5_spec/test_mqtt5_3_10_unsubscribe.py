"""MQTT 5.0 §3.10 UNSUBSCRIBE and §3.11 UNSUBACK.

`test_3_10_4_1_…` is [MQTT-3.10.4-1]; `test_s_3_10_…` a sentence without a number.

Not tested:
  3.11.2-2   we send no user properties of our own in UNSUBACK
"""

import pytest
from harness import DROP, Gateway
from mqtt_spec import alive, client, ended, hears, packet


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


@pytest.mark.parametrize("first", [0xA0, 0xA1, 0xA3, 0xA6, 0xAA], ids=hex)
def test_3_10_1_1_reserved_flags_are_malformed(gw: Gateway, first: int) -> None:
    party = client(gw, "c") >> packet(first, b"\x00\x01\x00\x00\x01t") << "DISCONNECT 0x81"
    ended(party)


def test_3_10_3_1_filter_is_utf_8(gw: Gateway) -> None:
    party = client(gw, "c") >> packet(0xA2, b"\x00\x01\x00\x00\x01\xff") << "DISCONNECT 0x81"
    ended(party)


def test_3_10_3_2_unsubscribe_without_filters_is_a_protocol_error(gw: Gateway) -> None:
    party = client(gw, "c") >> packet(0xA2, b"\x00\x01\x00") << "DISCONNECT 0x82"
    ended(party)


def test_s_4_7_3_empty_filter_is_a_protocol_error(gw: Gateway) -> None:
    party = client(gw, "c") >> packet(0xA2, b"\x00\x01\x00\x00\x00") << "DISCONNECT 0x82"
    ended(party)


def test_3_10_4_1_filters_are_compared_character_by_character(gw: Gateway) -> None:
    party = hears(client(gw, "c"), "a/+", "$share/g/s")
    for n, other in enumerate(
        ["a/b", "a/#", "A/+", "a/+/", "/a/+", "+/+", "s", "$share/h/s", "$share/g/S"], 1
    ):
        party >> f"UNSUBSCRIBE {n} {other}" << f"UNSUBACK {n} 0x11"
    publisher = client(gw, "p") >> "PUBLISH a/b x" >> "PUBLISH s y"
    party << "PUBLISH a/b x" << "PUBLISH s y"
    party >> "UNSUBSCRIBE 20 a/+ $share/g/s" << "UNSUBACK 20 0 0"
    publisher >> "PUBLISH a/b x" >> "PUBLISH s y"
    party.silent()


def test_3_10_4_2_no_new_messages_afterwards(gw: Gateway) -> None:
    party = hears(client(gw, "c"), "t qos=1")
    publisher = client(gw, "p") >> "PUBLISH t qos=1 id=1 x"
    party << "PUBLISH t qos=1 id=1 x" >> "UNSUBSCRIBE 1 t" << "UNSUBACK 1 0" >> "PUBACK 1"
    publisher >> "PUBLISH t qos=1 id=2 y"
    party.silent()


@pytest.mark.parametrize("qos", [1, 2])
def test_3_10_4_3_deliveries_that_have_begun_are_finished(gw: Gateway, qos: int) -> None:
    party = hears(client(gw, "c", "expiry=100"), f"t qos={qos}")
    client(gw, "p") >> "PUBLISH t qos=2 id=1 x"
    party << f"PUBLISH t qos={qos} id=1 x" >> "UNSUBSCRIBE 1 t" << "UNSUBACK 1 0" >> DROP
    party = client(gw, "c", "clean=0", present=1) << f"PUBLISH t qos={qos} dup id=1 x"
    if qos == 1:
        party >> "PUBACK 1"
    else:
        party >> "PUBREC 1" << "PUBREL 1" >> "PUBCOMP 1"
    party.silent()


def test_3_10_4_4_and_5_unsuback_with_the_same_packet_identifier_even_for_nothing(gw: Gateway) -> None:
    client(gw, "c") >> "UNSUBSCRIBE 12345 t" << "UNSUBACK 12345 0x11"


def test_3_10_4_6_and_3_11_3_1_a_code_for_each_filter_in_order(gw: Gateway) -> None:
    party = hears(client(gw, "c"), "a", "b", "c/#")
    party >> "UNSUBSCRIBE 7 a x b a c/#" << "UNSUBACK 7 0 0x11 0 0x11 0"


@pytest.mark.parametrize("filter", ["a/#/b", "a+", "$share/g", "$share/g+/a", "$queue/a/#"])
def test_3_11_3_2_reason_codes_of_filters_that_cannot_be(gw: Gateway, filter: str) -> None:
    party = client(gw, "c") >> f"UNSUBSCRIBE 1 {filter} t" << "UNSUBACK 1 0x8f 0x11"
    alive(gw, party)


def test_3_11_2_1_reason_string_does_not_make_the_packet_too_large() -> None:
    gw = Gateway()
    party = gw.mqtt("c", 5) >> "CONNECT c maxsize=60"
    party.rest()
    party >> "UNSUBSCRIBE 1 " + " ".join(["a"] * 50)
    assert b"".join(party.connector.bytes_out(gw.now_ms)) == b"\xb0\x35\x00\x01\x00" + b"\x11" * 50


def test_s_3_10_2_user_properties_of_unsubscribe_are_taken(gw: Gateway) -> None:
    client(gw, "c") >> packet(0xA2, b"\x00\x01\x07\x26\x00\x01k\x00\x01v\x00\x01t") << "UNSUBACK 1 0x11"


def test_s_3_10_4_other_subscriptions_go_on(gw: Gateway) -> None:
    party = hears(client(gw, "c"), "t qos=1", "+ qos=2")
    other = hears(client(gw, "o"), "t")
    party >> "UNSUBSCRIBE 1 +" << "UNSUBACK 1 0"
    client(gw, "p") >> "PUBLISH t qos=2 id=1 x"
    party << "PUBLISH t qos=1 id=1 x"
    other << "PUBLISH t x"
