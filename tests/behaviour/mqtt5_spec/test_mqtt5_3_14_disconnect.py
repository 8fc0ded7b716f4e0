"""MQTT 5.0 §3.14, DISCONNECT.

`test_3_14_4_3_…` is [MQTT-3.14.4-3]; `test_s_3_14_2_2_2_…` a sentence of §3.14.2.2.2 without a number.

Not tested:
  3.14.2-4             we send no user properties of our own in DISCONNECT
  3.14.4-1, 3.14.4-2   as obligations of a client (what we do after our own DISCONNECT: `ended`, in every chapter)
"""

import pytest
from harness import DROP, Gateway
from mqtt_spec import alive, client, ended, hears, packet, said

from gateway.connectors.base import Limits
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.core.limits import DROP_OLDEST
from protocols.mqtt.frames import Disconnect


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


def test_3_14_0_1_no_disconnect_before_the_connack(gw: Gateway) -> None:
    for data in (b"\xc0\x00", b"\x00\x00", b"\xff\xff\xff\xff\xff", b"\x10\xff\xff\xff\xff"):
        party = gw.mqtt("c", 5) >> data
        ended(party)
    # What is wrong with a CONNECT is said in a CONNACK.
    party = (
        gw.mqtt("c", 5)
        >> packet(0x10, b"\x00\x04MQTT\x05\x01\x00\x00\x00\x00\x01c")
        << "CONNACK 0x81 present=0"
    )
    ended(party)


@pytest.mark.parametrize("first", [0xE1, 0xE2, 0xE8], ids=hex)
def test_3_14_1_1_reserved_flags_are_malformed(gw: Gateway, first: int) -> None:
    watcher = hears(client(gw, "s"), "w")
    party = client(gw, "c", "will=w will_body=gone") >> packet(first, b"") << "DISCONNECT 0x81"
    ended(party)
    watcher << "PUBLISH w gone"


@pytest.mark.parametrize("code", [0x01, 0x55, 0xFF])
def test_3_14_2_1_unknown_reason_codes_are_protocol_errors(gw: Gateway, code: int) -> None:
    party = client(gw, "c") >> packet(0xE0, bytes((code,))) << "DISCONNECT 0x82"
    ended(party)


def test_3_14_2_2_server_sends_no_session_expiry(gw: Gateway) -> None:
    party = client(gw, "c", "expiry=100") >> "PUBLISH - x"
    disconnect = party.take()
    assert isinstance(disconnect, Disconnect)
    assert disconnect.properties is None or disconnect.properties.session_expiry_s is None


def test_3_14_2_3_reason_string_does_not_make_the_packet_too_large() -> None:
    gw = Gateway(mqtt=MqttSettings(retain_available=False))
    party = gw.mqtt("c", 5) >> "CONNECT c maxsize=60"
    party.rest()
    party >> "PUBLISH t retain x"
    data = b"".join(party.connector.bytes_out(gw.now_ms))
    assert data[2] == 0x9A
    assert len(data) <= 60


@pytest.mark.parametrize(
    "tail", [b"", b"\x00", b"\x00\x00", b"\x00\x04\x1f\x00\x01r", b"\x00\x07\x26\x00\x01k\x00\x01v"]
)
def test_3_14_4_3_normal_disconnection_discards_the_will(gw: Gateway, tail: bytes) -> None:
    watcher = hears(client(gw, "s"), "w")
    party = client(gw, "c", "will=w will_body=gone") >> packet(0xE0, tail)
    ended(party)
    gw.advance(1_000)
    watcher.silent()


def test_s_3_14_2_1_reason_0x04_publishes_the_will(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    party = client(gw, "c", "will=w will_body=gone") >> "DISCONNECT 0x04"
    ended(party)
    watcher << "PUBLISH w gone"


def test_s_3_14_2_1_reason_0x04_publishes_the_will_after_its_delay(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    client(gw, "c", "expiry=100 will=w will_delay=5 will_body=gone") >> "DISCONNECT 0x04" >> DROP
    watcher.silent()
    gw.advance(5_000)
    watcher << "PUBLISH w gone"


def test_3_14_4_1_nothing_behind_a_disconnect_is_processed(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "t")
    party = client(gw, "c") >> b"\xe0\x00" + packet(0x30, b"\x00\x01t\x00x") + b"\xc0\x00"
    ended(party)
    watcher.silent()


def test_s_3_14_2_2_2_session_expiry_is_changed_at_the_end(gw: Gateway) -> None:
    client(gw, "c", "expiry=100") >> "DISCONNECT expiry=5" >> DROP
    gw.advance(5_000)
    client(gw, "c", "clean=0")


def test_s_3_14_2_2_2_session_expiry_of_0_ends_the_session_at_once(gw: Gateway) -> None:
    hears(client(gw, "c", "expiry=100"), "t qos=1") >> "DISCONNECT expiry=0" >> DROP
    client(gw, "c", "clean=0")


def test_s_3_14_2_2_2_session_expiry_may_be_made_longer(gw: Gateway) -> None:
    client(gw, "c", "expiry=5") >> "DISCONNECT expiry=100" >> DROP
    gw.advance(99_999)
    client(gw, "c", "clean=0", present=1)


def test_s_3_14_2_2_2_session_expiry_cannot_be_set_when_it_was_0(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    party = client(gw, "c", "will=w will_body=gone") >> "DISCONNECT expiry=5" << "DISCONNECT 0x82"
    ended(party)
    watcher << "PUBLISH w gone"
    client(gw, "c", "clean=0")


def test_s_3_14_2_2_2_session_expiry_of_0_stays_allowed_when_it_was_0(gw: Gateway) -> None:
    party = client(gw, "c") >> "DISCONNECT expiry=0"
    ended(party)


def test_s_3_14_the_client_closed_without_disconnect(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    client(gw, "c", "will=w will_body=gone") >> DROP
    watcher << "PUBLISH w gone"


def test_s_3_14_stopping_server_says_0x8b(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    party = client(gw, "c", "will=w will_body=gone")
    party.connector.shutdown(gw.now_ms)
    party << "DISCONNECT 0x8b"
    ended(party)
    watcher << "PUBLISH w gone"


def test_s_3_14_a_client_that_may_not_stay_is_told_0x98(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    party = client(gw, "c", "will=w will_body=gone")
    party.connector.dismiss("the client's certificate was revoked", gw.now_ms)
    party << "DISCONNECT 0x98"
    ended(party)
    assert party.connector.failure == "the client's certificate was revoked"
    watcher << "PUBLISH w gone"


def test_s_3_14_2_2_5_server_reference_when_the_server_stops() -> None:
    gw = Gateway(mqtt=MqttSettings(server_reference="other:1883"))
    party = client(gw, "c")
    party.connector.shutdown(gw.now_ms)
    disconnect = party.take()
    assert isinstance(disconnect, Disconnect)
    assert said(disconnect.properties).server_reference == "other:1883"
    ended(party)


def test_s_3_14_2_1_client_that_sends_too_much_is_told_0x96() -> None:
    gw = Gateway(mqtt_limits=Limits(message_rate=2, slow_consumer=DROP_OLDEST))
    other = client(gw, "o")
    party = client(gw, "c") >> "PUBLISH t x" >> "PUBLISH t x" >> "PUBLISH t x" >> "PUBLISH t x"
    party << "DISCONNECT 0x96"
    ended(party)
    gw.advance(1_000)
    alive(gw, other)
