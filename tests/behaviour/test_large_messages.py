"""A message that is written a part at a time is the same message for each of its subscribers, in its place among others."""

import pytest
from harness import Gateway

from gateway.connectors.base import Connector
from gateway.connectors.envelope import from_envelope
from gateway.connectors.mqtt.connector import MqttConnector
from gateway.connectors.parts import LONG, LONG_FRAME, PART_BYTES
from protocols.mqtt.codec import encode_publish, publish_head
from protocols.mqtt.decoder import PacketDecoder
from protocols.mqtt.frames import Packet, Publish

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


def packets_of(connector: Connector, now_ms: int) -> tuple[list[Packet], int]:
    data, turns = written(connector, now_ms)
    decoder = PacketDecoder(1 << 28, 4, -1)
    decoder.push(data)
    found: list[Packet] = []
    while frame := decoder.next_frame():
        found.append(decoder.decode(frame))
    return found, turns


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("body", [BODY, b'"\n' * 200_000, b"x" * LONG], ids=["bytes", "escapes", "just"])
def test_the_json_of_a_large_message_is_made_a_part_at_a_time(body: bytes, qos: int) -> None:
    gw = Gateway()
    reader, writer = gw.mqtt("reader"), gw.mqtt("writer")
    reader >> "CONNECT reader" << "CONNACK 0 present=0"
    reader >> f"SUBSCRIBE 1 $json/t/# qos={qos}" << f"SUBACK 1 {qos}"
    writer >> "CONNECT writer" << "CONNACK 0 present=0"
    for topic, payload in (("t/a", b"before"), ("t/b", body), ("t/c", b"behind")):
        packet = encode_publish(topic, payload, qos, False, False, 7 if qos else 0, None)
        for at in range(0, len(packet), 100_000):
            writer.connector.bytes_in(packet[at : at + 100_000], gw.now_ms)
    packets, turns = packets_of(reader.connector, gw.now_ms)
    # Each is made, and each written, in a turn of its own.
    assert turns > 2 * len(body) // PART_BYTES
    found = [packet for packet in packets if isinstance(packet, Publish)]
    assert [packet.topic for packet in found] == ["$json/t/a", "$json/t/b", "$json/t/c"]
    envelopes = [from_envelope(packet.payload()) for packet in found]
    assert [envelope.body for envelope in envelopes] == [b"before", body, b"behind"]
    assert [packet.packet_id for packet in found] == ([1, 2, 3] if qos else [0, 0, 0])


def test_json_that_turns_out_too_large_for_its_client_is_done_with() -> None:
    """MQTT 5.0 §3.1.2.11.4"""
    gw = Gateway()
    reader, writer = gw.mqtt("reader", 5), gw.mqtt("writer")
    reader >> "CONNECT reader maxsize=450000" << "CONNACK 0 present=0"
    reader >> "SUBSCRIBE 1 $json/t qos=1" << "SUBACK 1 1"
    writer >> "CONNECT writer" << "CONNACK 0 present=0"
    for payload in (b"\n" * 300_000, b"x" * 300_000):
        packet = encode_publish("t", payload, 1, False, False, 7, None)
        for at in range(0, len(packet), 100_000):
            writer.connector.bytes_in(packet[at : at + 100_000], gw.now_ms)
    data, _ = written(reader.connector, gw.now_ms)
    assert data.count(b"$json/t") == 1
    assert b"x" * 300_000 in data
    assert reader.connector.counters.dropped_large == 1
    # Only the other one is in flight.
    assert isinstance(reader.connector, MqttConnector)
    assert reader.connector.session is not None
    assert list(reader.connector.session.inflight or ()) == [2]
