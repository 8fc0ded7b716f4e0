"""Every packet both ways, whole and cut at every byte."""

import pytest
from mqtt_vectors import CLIENT_READS, SERVER_READS, Vector

from protocols.mqtt.codec import encode_packet, encode_publish, publish_parts
from protocols.mqtt.decoder import PacketDecoder
from protocols.mqtt.frames import Packet, Publish

ALL = SERVER_READS + CLIENT_READS


def _decoder(vector: Vector) -> PacketDecoder:
    return PacketDecoder(1 << 20, vector.version, 10)


def _feed(decoder: PacketDecoder, *pieces: bytes) -> list[Packet]:
    packets: list[Packet] = []
    for piece in pieces:
        decoder.push(piece)
        while (frame := decoder.next_frame()) is not None:
            packets.append(decoder.decode(frame))
    return packets


@pytest.mark.parametrize("vector", ALL, ids=lambda v: v.name)
def test_packet_is_read(vector: Vector) -> None:
    assert _feed(_decoder(vector), vector.data) == [vector.packet]


@pytest.mark.parametrize("vector", ALL, ids=lambda v: v.name)
def test_packet_is_written(vector: Vector) -> None:
    assert encode_packet(vector.packet, vector.version) == vector.data


@pytest.mark.parametrize("vector", ALL, ids=lambda v: v.name)
def test_packet_is_read_from_two_pieces_cut_anywhere(vector: Vector) -> None:
    for cut in range(len(vector.data) + 1):
        assert _feed(_decoder(vector), vector.data[:cut], vector.data[cut:]) == [vector.packet]


@pytest.mark.parametrize("vector", ALL, ids=lambda v: v.name)
def test_packet_is_read_byte_by_byte_with_another_behind_it(vector: Vector) -> None:
    pieces = [bytes((byte,)) for byte in vector.data * 2]
    assert _feed(_decoder(vector), *pieces) == [vector.packet, vector.packet]


@pytest.mark.parametrize("vector", [v for v in ALL if isinstance(v.packet, Publish)], ids=lambda v: v.name)
def test_publish_is_written_whole_and_in_parts(vector: Vector) -> None:
    packet = vector.packet
    assert isinstance(packet, Publish)
    block = packet.properties if vector.version == 5 else None
    whole = encode_publish(
        packet.topic, packet.payload(), packet.qos, packet.retain, packet.dup, packet.packet_id, block
    )
    assert whole == vector.data
    if packet.qos:
        head, tail = publish_parts(packet.topic, block, packet.payload())
        assert vector.data[:1] + head + packet.packet_id.to_bytes(2, "big") + tail == vector.data


def test_large_packet_in_many_pieces_costs_linear_work() -> None:
    # Were each piece joined to what came before, this would copy 3 GB.
    payload = b"x" * 12_000_000
    data = encode_publish("t", payload, 0, False, False, 0, None)
    decoder = PacketDecoder(1 << 28, 4)
    packets: list[Packet] = []
    for at in range(0, len(data), 23_456):
        packets += _feed(decoder, data[at : at + 23_456])
    [packet] = packets
    assert isinstance(packet, Publish)
    assert packet.payload() == payload


def test_run_of_publishes_stops_at_another_packet() -> None:
    publish = encode_publish("t", b"1", 0, False, False, 0, None)
    decoder = PacketDecoder(1000, 4)
    decoder.push(publish * 3 + b"\xc0\x00" + publish)
    packets: list[Packet] = []
    assert decoder.take_publishes(packets) == b"\xc0\x00"
    assert len(packets) == 3
    assert decoder.take_publishes(packets) is None
    assert len(packets) == 4
