"""A message that is written a part at a time is the same message for each of its subscribers, in its place among others."""

import pytest
from harness import Gateway

from gateway.connectors.base import Connector
from gateway.connectors.parts import LONG_FRAME
from protocols.mqtt.codec import encode_publish, publish_head

BODY = bytes(range(256)) * (LONG_FRAME // 256) + b"end"


def written(connector: Connector, now_ms: int) -> tuple[bytes, int]:
    """All that it has to write, and in how many turns."""
    data = b""
    turns = 0
    parted = True
    while parted:
        parted = connector.unwritten
        data += b"".join(connector.bytes_out(now_ms))
        connector.written()
        turns += 1
    connector.marked = False
    return data, turns


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("version", [4, 5])
def test_by_mqtt_to_mqtt_and_stomp(version: int, qos: int) -> None:
    gw = Gateway()
    reader, other, stomp = gw.mqtt("reader", version), gw.mqtt("other", 9 - version), gw.stomp("stomp")
    reader >> "CONNECT reader" << "CONNACK 0 present=0"
    other >> "CONNECT other" << "CONNACK 0 present=0"
    reader >> f"SUBSCRIBE 1 t/# qos={qos}" << f"SUBACK 1 {qos}"
    other >> f"SUBSCRIBE 1 t/# qos={qos}" << f"SUBACK 1 {qos}"
    stomp >> "SUBSCRIBE id:1 destination:/topic/t.>"
    writer = gw.mqtt("writer", version)
    writer >> "CONNECT writer" << "CONNACK 0 present=0"
    block = b"\x26\0\1k\0\1v" if version == 5 else None
    for topic, payload in (("t/a", b"before"), ("t/b", BODY), ("t/c", b"behind")):
        packet = encode_publish(topic, payload, qos, False, False, 7 if qos else 0, block)
        for at in range(0, len(packet), 100_000):
            writer.connector.bytes_in(packet[at : at + 100_000], gw.now_ms)
    for party, theirs in ((reader, block), (other, b"" if version == 4 else None)):
        data, turns = written(party.connector, gw.now_ms)
        assert turns > LONG_FRAME // 65_536
        packets = b""
        for number, (topic, payload) in enumerate((("t/a", b"before"), ("t/b", BODY), ("t/c", b"behind"))):
            packets += encode_publish(topic, payload, qos, False, False, number + 1 if qos else 0, theirs)
        if theirs != b"":
            assert data == packets
        else:
            # What 3.1.1 does not say MQTT 5 may.
            assert BODY in data
            assert data.index(b"before") < data.index(BODY) < data.index(b"behind")
    data, turns = written(stomp.connector, gw.now_ms)
    assert turns > LONG_FRAME // 65_536
    assert b"content-length:%d\n\n%b\0\n" % (len(BODY), BODY) in data
    assert data.count(b"MESSAGE\n") == 3
    assert data.index(b"before") < data.index(BODY) < data.index(b"behind")


def test_by_stomp_to_mqtt_and_what_is_too_large_for_a_client_does_not_come() -> None:
    gw = Gateway()
    reader, small, stomp = gw.mqtt("reader"), gw.mqtt("small", 5), gw.stomp("stomp")
    reader >> "CONNECT reader" << "CONNACK 0 present=0"
    small >> "CONNECT small maxsize=100000" << "CONNACK 0 present=0"
    for party in (reader, small):
        party >> "SUBSCRIBE 1 t/# qos=0" << "SUBACK 1 0"
    head = b"SEND\ndestination:/topic/t.b\ncontent-length:%d\n\n" % len(BODY)
    stomp.connector.bytes_in(head + BODY + b"\0", gw.now_ms)
    data, _ = written(reader.connector, gw.now_ms)
    assert data == publish_head("t/b", len(BODY), 0, False, False, 0, None) + BODY
    assert written(small.connector, gw.now_ms)[0] == b""
    assert small.connector.counters.dropped_large == 1
