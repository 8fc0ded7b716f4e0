"""MQTT 5.0 §2, the format of control packets.

`test_2_1_3_1_…` is [MQTT-2.1.3-1]; `test_s_2_2_2_…` a sentence of §2.2.2 without a number.  Reserved flags, lengths,
identifiers, and each property in each packet, are gone through in tests/protocols/mqtt/test_mqtt_bad_input.py.

Not tested: 2.2.1-3, 2.2.1-5 and 2.2.1-6 as obligations of a client (what we send is tested).
"""

import pytest
from harness import Gateway
from mqtt_spec import alive, client, ended, hears, packet

from protocols.mqtt.frames import Publish


@pytest.mark.parametrize(
    "first", [0x41, 0x51, 0x60, 0x63, 0x71, 0x80, 0x83, 0xA0, 0xA3, 0xC1, 0xE1, 0xF1], ids=hex
)
def test_2_1_3_1_reserved_flags_are_malformed(first: int) -> None:
    gw = Gateway()
    other = client(gw, "o")
    party = client(gw, "c") >> packet(first, b"\x00\x01") << "DISCONNECT 0x81"
    ended(party)
    alive(gw, other)


def test_2_2_1_2_qos_0_has_no_packet_identifier() -> None:
    gw = Gateway()
    party = hears(client(gw, "s"), "t qos=2")
    client(gw, "p") >> packet(0x30, b"\x00\x01t\x00ab")
    got = party.take()
    assert isinstance(got, Publish)
    assert (got.qos, got.packet_id, got.payload()) == (0, 0, b"ab")


def test_2_2_1_4_server_takes_identifiers_that_are_free_beginning_with_1() -> None:
    gw = Gateway()
    party = hears(client(gw, "s"), "t qos=2")
    publisher = client(gw, "p")
    for n in range(1, 4):
        publisher >> f"PUBLISH t qos=1 id=9 {n}" << "PUBACK 9"
        party << f"PUBLISH t qos=1 id={n} {n}"
    party >> "PUBACK 2"
    publisher >> "PUBLISH t qos=1 id=9 4"
    party << "PUBLISH t qos=1 id=4 4"


def test_2_2_1_4_identifiers_that_are_in_use_are_passed_over() -> None:
    gw = Gateway()
    party = hears(client(gw, "s"), "t qos=1")
    publisher = client(gw, "p")
    publisher >> "PUBLISH t qos=1 id=9 held" << "PUBACK 9"
    party << "PUBLISH t qos=1 id=1 held"
    for n in range(2, 65_536):
        publisher >> f"PUBLISH t qos=1 id=9 {n}"
        party << f"PUBLISH t qos=1 id={n} {n}" >> f"PUBACK {n}"
    publisher >> "PUBLISH t qos=1 id=9 again"
    party << "PUBLISH t qos=1 id=2 again"


def test_2_2_1_5_acknowledgements_have_the_packet_identifier_of_their_publish() -> None:
    gw = Gateway()
    party = hears(client(gw, "c"), "other")
    party >> "PUBLISH t qos=1 id=65535 x" << "PUBACK 65535 0x10"
    party >> "PUBLISH t qos=2 id=257 x" << "PUBREC 257 0x10" >> "PUBREL 257" << "PUBCOMP 257"


def test_2_2_1_6_suback_and_unsuback_have_the_packet_identifier_of_their_request() -> None:
    party = client(Gateway(), "c")
    party >> "SUBSCRIBE 65535 t" << "SUBACK 65535 0" >> "UNSUBSCRIBE 256 t" << "UNSUBACK 256 0"


def test_s_2_2_1_client_and_server_identifiers_are_apart() -> None:
    party = hears(client(Gateway(), "c"), "t qos=1")
    party >> "PUBLISH t qos=1 id=1 x"
    assert sorted(party.rest()) == ["PUBACK 1", "PUBLISH t qos=1 id=1 x"]
    party >> "PUBACK 1"
    party.silent()


def test_2_2_2_1_no_properties_are_a_length_of_0() -> None:
    gw = Gateway()
    party = client(gw, "c") >> packet(0x82, b"\x00\x01\x00\x00\x01t\x00") << "SUBACK 1 0"
    hears(client(gw, "s"), "t")
    party >> packet(0x30, b"\x00\x01t\x00x") << "PUBLISH t x"
    # Without the length, `x` is a property length that leads beyond the end.
    party >> packet(0x30, b"\x00\x01tx") << "DISCONNECT 0x81"
    ended(party)


@pytest.mark.parametrize(
    ("block", "code"),
    [
        (b"\x7e\x00", "0x81"),
        (b"\x11\x00\x00\x00\x01", "0x81"),
        (b"\x01\x01\x01\x01", "0x82"),
        (b"\x02\x00", "0x81"),
        (b"\x01\x02", "0x82"),
    ],
    ids=["unknown", "of another packet", "twice", "cut off", "value"],
)
def test_s_2_2_2_2_wrong_properties_end_the_connection(block: bytes, code: str) -> None:
    gw = Gateway()
    other = client(gw, "o")
    party = client(gw, "c") >> packet(0x30, b"\x00\x01t" + bytes((len(block),)) + block)
    party << f"DISCONNECT {code}"
    ended(party)
    alive(gw, other)


@pytest.mark.parametrize(
    "data",
    [
        packet(0x32, b"\x00\x01t\x00\x00\x00"),
        packet(0x40, b"\x00\x00"),
        packet(0x62, b"\x00\x00"),
        packet(0x82, b"\x00\x00\x00\x00\x01t\x00"),
        packet(0xA2, b"\x00\x00\x00\x00\x01t"),
    ],
    ids=["PUBLISH", "PUBACK", "PUBREL", "SUBSCRIBE", "UNSUBSCRIBE"],
)
def test_s_2_2_1_packet_identifier_0_is_a_protocol_error(data: bytes) -> None:
    party = client(Gateway(), "c") >> data << "DISCONNECT 0x82"
    ended(party)


def test_s_2_4_reason_code_0_of_the_short_forms() -> None:
    gw = Gateway()
    party = hears(client(gw, "s"), "t qos=2")
    client(gw, "p") >> "PUBLISH t qos=2 id=1 x"
    party << "PUBLISH t qos=2 id=1 x" >> b"\x50\x02\x00\x01" << "PUBREL 1" >> b"\x70\x02\x00\x01"
    party.silent()
    party >> b"\xe0\x00"
    ended(party)
