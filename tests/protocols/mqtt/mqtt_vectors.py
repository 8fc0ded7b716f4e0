"""Packets as bytes and as records: each vector is run both ways."""

from dataclasses import dataclass

from protocols.mqtt.frames import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    SubscriptionRequest,
    Unsuback,
    Unsubscribe,
    Will,
)
from protocols.mqtt.properties import Properties


@dataclass
class Vector:
    """One packet; `data` is its only encoding by us."""

    name: str
    version: int
    data: bytes
    packet: Packet


def _hex(text: str) -> bytes:
    """Bytes from hex digits and quoted ASCII: `10 0c 0004 'MQTT'`."""
    data = b""
    for part in text.split(" "):
        data += part[1:-1].encode() if part.startswith("'") else bytes.fromhex(part)
    return data


def _properties(**fields: object) -> Properties:
    properties = Properties()
    for name, value in fields.items():
        setattr(properties, name, value)
    return properties


def _publish(
    text: str,
    topic: str,
    start: int,
    qos: int = 0,
    retain: bool = False,
    dup: bool = False,
    packet_id: int = 0,
    properties: bytes = b"",
    alias: int = 0,
    expiry_s: int = -1,
    version: int = 4,
) -> Publish:
    return Publish(
        _hex(text), topic, start, qos, retain, dup, packet_id, properties, alias, expiry_s, version
    )


def _v(name: str, version: int, text: str, packet: Packet) -> Vector:
    return Vector(name, version, _hex(text), packet)


_PUBLISHES = [
    ("PUBLISH QoS 0", 4, "30 08 0003 'a/b' 'hey'", {"topic": "a/b", "start": 7}),
    ("PUBLISH empty payload retained", 4, "31 05 0003 'a/b'", {"topic": "a/b", "start": 7, "retain": True}),
    (
        "PUBLISH QoS 1 dup",
        4,
        "3a 07 0001 't' 000a 6869",
        {"topic": "t", "start": 7, "qos": 1, "dup": True, "packet_id": 10},
    ),
    (
        "PUBLISH QoS 2",
        3,
        "34 05 0001 't' ffff",
        {"topic": "t", "start": 7, "qos": 2, "packet_id": 65535, "version": 3},
    ),
    ("PUBLISH 5 without properties", 5, "30 05 0001 't' 00 'x'", {"topic": "t", "start": 6, "version": 5}),
    (
        "PUBLISH 5 with properties",
        5,
        "32 15 0001 't' 0001 0c 02 00000e10 26 0001 'k' 0001 'v' 'pay'",
        {
            "topic": "t",
            "start": 20,
            "qos": 1,
            "packet_id": 1,
            "properties": _hex("02 00000e10 26 0001 'k' 0001 'v'"),
            "expiry_s": 3600,
            "version": 5,
        },
    ),
    (
        "PUBLISH 5 setting an alias",
        5,
        "30 07 0001 't' 03 23 0005",
        {"topic": "t", "start": 9, "properties": _hex("23 0005"), "alias": 5, "version": 5},
    ),
]

SERVER_READS = [
    _v("CONNECT 3.1 minimal", 3, "10 0f 0006 'MQIsdp' 03 02 000a 0001 'c'", Connect("c", True, 10, 3)),
    _v("CONNECT 3.1.1 minimal", 4, "10 0c 0004 'MQTT' 04 02 0000 0000", Connect("", True, 0, 4)),
    _v(
        "CONNECT 3.1.1 with everything",
        4,
        "10 1d 0004 'MQTT' 04 ee 003c 0002 'id' 0001 'w' 0003 'bye' 0001 'u' 0002 0102",
        Connect("id", True, 60, 4, Will("w", b"bye", 1, True), "u", b"\x01\x02"),
    ),
    _v(
        "CONNECT 5 minimal",
        5,
        "10 0d 0004 'MQTT' 05 00 0000 00 0000",
        Connect("", False, 0, 5, properties=_properties()),
    ),
    _v(
        "CONNECT 5 with properties and a delayed will",
        5,
        "10 2b 0004 'MQTT' 05 06 0001 0b 11 00000078 21 0014 22 000a 0001 'c' "
        "0b 18 0000001e 03 0003 't/p' 0001 'w' 0001 'x'",
        Connect(
            "c",
            True,
            1,
            5,
            Will("w", b"x", 0, False, _hex("03 0003 't/p'"), 30),
            properties=_properties(session_expiry_s=120, receive_maximum=20, topic_alias_maximum=10),
        ),
    ),
    *[_v(name, version, text, _publish(text, **fields)) for name, version, text, fields in _PUBLISHES],
    _v("PUBACK 3.1.1", 4, "40 02 0102", Puback(0x0102)),
    _v("PUBACK 5 with reason", 5, "40 03 0001 10", Puback(1, 0x10)),
    _v(
        "PUBACK 5 with reason string",
        5,
        "40 08 0001 80 04 1f 0001 'r'",
        Puback(1, 0x80, _properties(reason_string="r")),
    ),
    _v("PUBREC", 4, "50 02 0007", Pubrec(7)),
    _v("PUBREC 5 with reason", 5, "50 03 0007 97", Pubrec(7, 0x97)),
    _v("PUBREL", 4, "62 02 0007", Pubrel(7)),
    _v("PUBREL 5 with reason", 5, "62 03 0007 92", Pubrel(7, 0x92)),
    _v("PUBCOMP", 4, "70 02 0007", Pubcomp(7)),
    _v("PUBCOMP 5 with reason", 5, "70 03 0007 92", Pubcomp(7, 0x92)),
    _v(
        "SUBSCRIBE 3.1.1",
        4,
        "82 0c 0001 0003 'a/#' 01 0001 'b' 02",
        Subscribe(1, [SubscriptionRequest("a/#", 1), SubscriptionRequest("b", 2)]),
    ),
    _v(
        "SUBSCRIBE 5 with options and identifier",
        5,
        "82 0a 0001 03 0b 8001 0001 'b' 2e",
        Subscribe(1, [SubscriptionRequest("b", 2, True, True, 2)], 128, _properties(subscription_ids=[128])),
    ),
    _v("UNSUBSCRIBE 3.1.1", 4, "a2 08 0002 0001 'a' 0001 'b'", Unsubscribe(2, ["a", "b"])),
    _v("UNSUBSCRIBE 5", 5, "a2 06 0002 00 0001 'a'", Unsubscribe(2, ["a"])),
    _v("PINGREQ", 4, "c0 00", Pingreq()),
    _v("DISCONNECT 3.1.1", 4, "e0 00", Disconnect()),
    _v("DISCONNECT 5 with will", 5, "e0 01 04", Disconnect(4)),
    _v(
        "DISCONNECT 5 with expiry",
        5,
        "e0 07 00 05 11 0000000a",
        Disconnect(0, _properties(session_expiry_s=10)),
    ),
    _v("AUTH 5 short", 5, "f0 00", Auth()),
    _v(
        "AUTH 5 with method and data",
        5,
        "f0 0a 18 08 15 0001 'M' 16 0001 ff",
        Auth(0x18, _properties(authentication_method="M", authentication_data=b"\xff")),
    ),
]

CLIENT_READS = [
    _v("CONNACK 3.1.1", 4, "20 02 01 00", Connack(True, 0)),
    _v("CONNACK 3.1.1 refused", 4, "20 02 00 05", Connack(False, 5)),
    _v("CONNACK 5", 5, "20 06 00 00 03 21 000a", Connack(False, 0, _properties(receive_maximum=10))),
    _v("SUBACK 3.1.1", 4, "90 04 0001 00 80", Suback(1, [0, 0x80])),
    _v("SUBACK 5", 5, "90 05 0001 00 02 8f", Suback(1, [2, 0x8F])),
    _v("UNSUBACK 3.1.1", 4, "b0 02 0001", Unsuback(1, [])),
    _v("UNSUBACK 5", 5, "b0 05 0001 00 00 11", Unsuback(1, [0, 0x11])),
    _v("PINGRESP", 4, "d0 00", Pingresp()),
    _v("DISCONNECT 5 from the server", 5, "e0 01 8e", Disconnect(0x8E)),
]
