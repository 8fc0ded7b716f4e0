"""MQTT 5.0 §3.4 to §3.7: PUBACK, PUBREC, PUBREL, PUBCOMP.

`test_3_4_2_1_…` is [MQTT-3.4.2-1]; `test_s_3_6_2_…` a sentence of §3.6.2 without a number.  Each reason code in each
of them is tried in tests/protocols/mqtt/test_mqtt_bad_input.py; what the exchanges mean is in §4.3.

Not tested:
  3.4.2-3, 3.5.2-3, 3.6.2-3, 3.7.2-3   we send no user properties of our own in acknowledgements
  3.6.2-2, 3.7.2-2                     our PUBREL and PUBCOMP have nothing to explain but 0x92, which says it all
"""

import pytest
from harness import Gateway
from mqtt_spec import Door, alive, client, ended, hears, packet

from protocols.mqtt.frames import Puback, Pubrec


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


@pytest.mark.parametrize("kind", ["PUBACK", "PUBREC"])
@pytest.mark.parametrize("code", ["0x80", "0x83", "0x87", "0x90", "0x91", "0x97", "0x99"])
def test_3_4_2_1_and_3_5_2_1_failures_of_a_client_end_the_exchange(gw: Gateway, kind: str, code: str) -> None:
    qos = 1 if kind == "PUBACK" else 2
    party = hears(client(gw, "s", "recvmax=1"), f"t qos={qos}")
    publisher = client(gw, "p") >> "PUBLISH t qos=2 id=1 1" >> "PUBLISH t qos=2 id=2 2"
    party << f"PUBLISH t qos={qos} id=1 1" >> f"{kind} 1 {code}" << f"PUBLISH t qos={qos} id=2 2"
    party.silent()
    assert publisher.rest() == ["PUBREC 1", "PUBREC 2"]
    alive(gw, publisher)


@pytest.mark.parametrize("kind", ["PUBACK", "PUBREC"])
def test_3_4_2_1_and_3_5_2_1_no_matching_subscribers_is_no_failure(gw: Gateway, kind: str) -> None:
    qos = 1 if kind == "PUBACK" else 2
    party = hears(client(gw, "s"), f"t qos={qos}")
    client(gw, "p") >> "PUBLISH t qos=2 id=1 1"
    party << f"PUBLISH t qos={qos} id=1 1" >> f"{kind} 1 0x10"
    if qos == 2:
        party << "PUBREL 1" >> "PUBCOMP 1"
    party.silent()


@pytest.mark.parametrize("first", [0x40, 0x50, 0x62, 0x70], ids=hex)
def test_3_4_2_1_and_3_5_2_1_and_3_6_2_1_and_3_7_2_1_unknown_reason_codes(gw: Gateway, first: int) -> None:
    party = client(gw, "c") >> packet(first, b"\x00\x01\x55") << "DISCONNECT 0x82"
    ended(party)


def test_3_4_2_2_and_3_5_2_2_reason_string_is_left_out_where_it_makes_the_packet_too_large() -> None:
    gw = Gateway(authorizer=Door(forbidden="no"))
    party = client(gw, "c", "maxsize=200")
    party >> "PUBLISH no qos=1 id=1 x" >> "PUBLISH no qos=2 id=2 x"
    puback, pubrec = party.take(), party.take()
    assert isinstance(puback, Puback)
    assert isinstance(pubrec, Pubrec)
    assert (puback.reason_code, pubrec.reason_code) == (0x87, 0x87)
    small = gw.mqtt("small", 5) >> "CONNECT small maxsize=24"
    small.rest()
    for qos, first in ((1, 0x40), (2, 0x50)):
        small >> f"PUBLISH no qos={qos} id=1 x"
        data = b"".join(small.connector.bytes_out(gw.now_ms))
        assert (data[0], data[4]) == (first, 0x87)
        assert len(data) <= 24


@pytest.mark.parametrize("first", [0x60, 0x61, 0x63, 0x66, 0x6A], ids=hex)
def test_3_6_1_1_reserved_flags_of_pubrel_are_malformed(gw: Gateway, first: int) -> None:
    party = client(gw, "c") >> packet(first, b"\x00\x01") << "DISCONNECT 0x81"
    ended(party)


def test_s_3_4_2_short_and_long_forms_are_the_same(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "t qos=1")
    publisher = client(gw, "p")
    for n, tail in enumerate(
        [b"", b"\x00", b"\x00\x00", b"\x00\x07\x26\x00\x01k\x00\x01v", b"\x00\x04\x1f\x00\x01r"], 1
    ):
        publisher >> "PUBLISH t qos=1 id=1 x" << "PUBACK 1"
        party << f"PUBLISH t qos=1 id={n} x" >> packet(0x40, n.to_bytes(2, "big") + tail)
    party.silent()


def test_s_3_5_2_short_and_long_forms_of_the_qos_2_exchange(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "t qos=2")
    publisher = client(gw, "p")
    tails = [b"", b"\x00", b"\x00\x00", b"\x00\x07\x26\x00\x01k\x00\x01v", b"\x00\x04\x1f\x00\x01r"]
    for n, tail in enumerate(tails, 1):
        publisher >> packet(0x34, b"\x00\x01t" + n.to_bytes(2, "big") + b"\x00x") << f"PUBREC {n}"
        publisher >> packet(0x62, n.to_bytes(2, "big") + tail) << f"PUBCOMP {n}"
        party << f"PUBLISH t qos=2 id={n} x" >> packet(0x50, n.to_bytes(2, "big") + tail) << f"PUBREL {n}"
        party >> packet(0x70, n.to_bytes(2, "big") + tail)
    party.silent()


def test_s_3_6_2_1_pubrel_for_an_unknown_identifier_is_0x92(gw: Gateway) -> None:
    party = client(gw, "c") >> "PUBREL 5" << "PUBCOMP 5 0x92" >> "PUBREL 5 0x92" << "PUBCOMP 5 0x92"
    alive(gw, party)


def test_s_3_5_2_1_pubrec_for_an_unknown_identifier_is_0x92(gw: Gateway) -> None:
    party = client(gw, "c") >> "PUBREC 5" << "PUBREL 5 0x92" >> "PUBCOMP 5 0x92"
    party.silent()
    alive(gw, party)


@pytest.mark.parametrize("said", ["PUBACK 5", "PUBCOMP 5", "PUBACK 5 0x80", "PUBREC 5 0x80"])
def test_s_4_13_acknowledgements_that_nobody_waits_for_are_borne(gw: Gateway, said: str) -> None:
    party = client(gw, "c") >> said
    party.silent()
    alive(gw, party)


def test_s_4_3_acknowledgement_of_another_client_changes_nothing(gw: Gateway) -> None:
    party = hears(client(gw, "s", "recvmax=1"), "t qos=1")
    stranger = client(gw, "x")
    client(gw, "p") >> "PUBLISH t qos=1 id=1 1" >> "PUBLISH t qos=1 id=2 2"
    party << "PUBLISH t qos=1 id=1 1"
    stranger >> "PUBACK 1"
    party.silent()
    party >> "PUBACK 1" << "PUBLISH t qos=1 id=2 2"
