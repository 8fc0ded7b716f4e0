"""MQTT 5.0 §4.13, handling errors: what is answered to each kind of bad packet, and that nobody else notices.

`test_4_13_1_1_…` is [MQTT-4.13.1-1].  The same packets by the thousand, without a gateway around them, are in
tests/protocols/mqtt/test_mqtt_bad_input.py.  §5, security, has no numbered statement; §6, WebSocket, is a
chapter of its own.  Not tested: nothing.
"""

import pytest
from harness import DROP, Gateway
from mqtt_spec import alive, client, ended, hears, packet

from gateway.connectors.mqtt.settings import MqttSettings

BAD = {
    "remaining length of five bytes": (b"\x30\xff\xff\xff\xff\x01", "0x81"),
    "packet type 0": (b"\x00\x00", "0x82"),
    "reserved flags": (b"\x83\x00", "0x81"),
    "PUBLISH cut off": (packet(0x30, b"\x00"), "0x81"),
    "topic cut off": (packet(0x30, b"\x00\x05t"), "0x81"),
    "packet id cut off": (packet(0x32, b"\x00\x01t\x00"), "0x81"),
    "property length cut off": (packet(0x30, b"\x00\x01t"), "0x81"),
    "property cut off": (packet(0x30, b"\x00\x01t\x02\x02\x00"), "0x81"),
    "unknown property": (packet(0x30, b"\x00\x01t\x02\x7f\x00"), "0x81"),
    "property of another packet": (packet(0x30, b"\x00\x01t\x05\x11\x00\x00\x00\x01"), "0x81"),
    "property twice": (packet(0x30, b"\x00\x01t\x04\x01\x00\x01\x00"), "0x82"),
    "bad UTF-8": (packet(0x30, b"\x00\x01\xff\x00"), "0x81"),
    "U+0000": (packet(0x30, b"\x00\x01\x00\x00"), "0x81"),
    "wildcard in a topic name": (packet(0x30, b"\x00\x01#\x00"), "0x81"),
    "packet id 0": (packet(0x32, b"\x00\x01t\x00\x00\x00"), "0x82"),
    "QoS 3": (packet(0x36, b"\x00\x01t\x00\x01\x00"), "0x81"),
    "DUP at QoS 0": (packet(0x38, b"\x00\x01t\x00"), "0x81"),
    "alias 0": (packet(0x30, b"\x00\x01t\x03\x23\x00\x00"), "0x94"),
    "alias above the maximum": (packet(0x30, b"\x00\x01t\x03\x23\xff\xff"), "0x94"),
    "alias that is not set": (packet(0x30, b"\x00\x00\x03\x23\x00\x01"), "0x82"),
    "empty topic": (packet(0x30, b"\x00\x00\x00"), "0x82"),
    "subscription identifier from a client": (packet(0x30, b"\x00\x01t\x02\x0b\x01"), "0x82"),
    "SUBSCRIBE without filters": (packet(0x82, b"\x00\x01\x00"), "0x82"),
    "SUBSCRIBE without options": (packet(0x82, b"\x00\x01\x00\x00\x01t"), "0x81"),
    "UNSUBSCRIBE without filters": (packet(0xA2, b"\x00\x01\x00"), "0x82"),
    "second CONNECT": (packet(0x10, b"\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01c"), "0x82"),
    "CONNACK from a client": (packet(0x20, b"\x00\x00\x00"), "0x82"),
    "SUBACK from a client": (packet(0x90, b"\x00\x01\x00\x00"), "0x82"),
    "UNSUBACK from a client": (packet(0xB0, b"\x00\x01\x00\x00"), "0x82"),
    "PINGRESP from a client": (packet(0xD0, b""), "0x82"),
    "PINGREQ with a body": (packet(0xC0, b"\x00"), "0x81"),
    "PUBACK of 1 byte": (packet(0x40, b"\x00"), "0x81"),
    "PUBACK with bytes behind": (packet(0x40, b"\x00\x01\x00\x00\x00"), "0x81"),
    "packet above the maximum": (b"\x30\xff\xff\xff\x7f", "0x95"),
    "AUTH without a method": (packet(0xF0, b"\x18\x00"), "0x82"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_4_13_1_1_bad_packet_is_answered_and_the_connection_closed(name: str) -> None:
    data, code = BAD[name]
    gw = Gateway()
    watcher = hears(client(gw, "s"), "w qos=1", "good")
    waiting = hears(client(gw, "waiting", "recvmax=1"), "good qos=1")
    old = client(gw, "old", version=4)
    party = client(gw, "c", "expiry=100 will=w will_qos=1 will_body=gone")
    # What is good before the fault is done; what follows it is not.
    good = packet(0x32, b"\x00\x04good\x00\x01\x00x")
    party >> good + data + good << "PUBACK 1" << f"DISCONNECT {code}"
    ended(party)
    watcher << "PUBLISH good x" << "PUBLISH w qos=1 id=1 gone"
    waiting << "PUBLISH good qos=1 id=1 x" >> "PUBACK 1"
    alive(gw, watcher, waiting, old)
    # Its own session is as it was left.
    client(gw, "c", "clean=0", present=1).silent()


@pytest.mark.parametrize("name", sorted(BAD))
def test_4_13_1_1_bad_packet_that_comes_byte_by_byte(name: str) -> None:
    data, code = BAD[name]
    gw = Gateway()
    other = client(gw, "o")
    party = client(gw, "c")
    for at in range(len(data)):
        party >> data[at : at + 1]
    party << f"DISCONNECT {code}"
    ended(party)
    alive(gw, other)


@pytest.mark.parametrize("name", sorted(set(BAD) - {"second CONNECT"}))
def test_4_13_1_1_bad_packet_before_connect_is_not_answered(name: str) -> None:
    data, _ = BAD[name]
    gw = Gateway()
    other = client(gw, "o")
    ended(gw.mqtt("c", 5) >> data)
    alive(gw, other)


@pytest.mark.parametrize(
    ("settings", "words", "code"),
    [
        (MqttSettings(qos_max=1), "PUBLISH t qos=2 id=1 x", "0x9b"),
        (MqttSettings(retain_available=False), "PUBLISH t retain x", "0x9a"),
        (MqttSettings(topic_alias_maximum=0), "PUBLISH t alias=1 x", "0x94"),
    ],
)
def test_4_13_2_1_reason_of_0x80_and_above_closes(settings: MqttSettings, words: str, code: str) -> None:
    gw = Gateway(mqtt=settings)
    party = gw.mqtt("c", 5) >> "CONNECT c"
    party.rest()
    party >> words << f"DISCONNECT {code}"
    ended(party)


def test_s_4_13_2_failures_in_acknowledgements_do_not_close() -> None:
    gw = Gateway()
    party = (
        client(gw, "c")
        >> "PUBLISH $SYS/x qos=1 id=1 x"
        << "PUBACK 1 0x87"
        >> "SUBSCRIBE 1 a#"
        << "SUBACK 1 0x8f"
    )
    party >> "PUBREL 9" << "PUBCOMP 9 0x92" >> "UNSUBSCRIBE 2 x" << "UNSUBACK 2 0x11"
    alive(gw, party)


def test_s_4_13_a_thousand_bad_clients_leave_nothing_behind() -> None:
    gw = Gateway()
    other = hears(client(gw, "o"), "t")
    for n in range(1_000):
        data, code = sorted(BAD.values())[n % len(BAD)]
        party = client(gw, f"c{n}") >> data << f"DISCONNECT {code}" >> DROP
        assert party.gone
    alive(gw, other)
    assert len(gw._mqtt_service.sessions) == 1
