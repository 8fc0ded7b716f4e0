"""What becomes of one packet, whose answer is checked."""

from protocols.mqtt import constants as c
from protocols.mqtt.codec import encode_packet
from protocols.mqtt.connection import MqttConnection, MqttLimits
from protocols.mqtt.constants import ReasonCode
from protocols.mqtt.frames import (
    Connect,
    ConnectionFailed,
    Packet,
)
from protocols.mqtt.strings import encode_varint

WITH_ID = (c.PUBACK, c.PUBREC, c.PUBREL, c.PUBCOMP, c.SUBSCRIBE, c.UNSUBSCRIBE)


def new_connection(version: int = 0, limits: MqttLimits | None = None) -> MqttConnection:
    """A connection; connected in `version` unless that is 0."""
    connection = MqttConnection(limits or MqttLimits(), 0)
    if version:
        connection.receive_data(encode_packet(Connect("c", protocol_version=version), version), 0)
        connection.send_connack(False, ReasonCode.SUCCESS)
        connection.data_to_send()
    return connection


def framed(first: int, body: bytes) -> bytes:
    return bytes((first,)) + encode_varint(len(body)) + body


def body_of(data: bytes) -> bytes:
    """What follows the remaining length."""
    at = 1
    while data[at] > 127:
        at += 1
    return data[at + 1 :]


def outcome_of(version: int, data: bytes, limits: MqttLimits | None = None) -> int | Packet:
    """What becomes of a packet: the packet, or the reason code of the failure, whose answer is checked."""
    first = data[0] >> 4 == c.CONNECT
    connection = new_connection(0 if first else version, limits)
    packets = connection.receive_data(data, 0)
    if not packets:
        assert not connection.closing
        return -1
    last = packets[-1]
    if not isinstance(last, ConnectionFailed):
        return last
    assert connection.closing
    assert connection._decoder.buffered == 0
    answer = b"".join(connection.data_to_send())
    # A CONNECT that is cut off before its version is not answered.
    if version == 5 and not (first and b"MQTT\x05" not in data):
        assert answer == (b"\x20\x03\x00%c\x00" if first else b"\xe0\x01%c") % last.reason_code.value
    else:
        assert answer == b""
    assert connection.receive_data(b"\xc0\x00", 0) == []
    return last.reason_code


CONNECT_HEAD = b"\x00\x04MQTT\x05"
