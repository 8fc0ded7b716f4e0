"""MQTT 5.0 §3.12 PINGREQ and §3.13 PINGRESP.  Not tested: nothing."""

import pytest
from harness import Gateway
from mqtt_spec import client, ended, packet


def test_3_12_4_1_pingreq_is_answered_each_time() -> None:
    party = client(Gateway(), "c")
    party >> b"\xc0\x00\xc0\x00" << "PINGRESP" << "PINGRESP"
    party.silent()


@pytest.mark.parametrize("first", [0xC1, 0xC2, 0xC8], ids=hex)
def test_s_3_12_1_reserved_flags_are_malformed(first: int) -> None:
    party = client(Gateway(), "c") >> packet(first, b"") << "DISCONNECT 0x81"
    ended(party)


def test_s_3_12_2_pingreq_with_a_body_is_malformed() -> None:
    party = client(Gateway(), "c") >> packet(0xC0, b"\x00") << "DISCONNECT 0x81"
    ended(party)


def test_s_3_13_pingresp_from_a_client_is_a_protocol_error() -> None:
    party = client(Gateway(), "c") >> packet(0xD0, b"") << "DISCONNECT 0x82"
    ended(party)
