"""protocols/mqtt/decoder.py: the payload of a very large PUBLISH is not copied once more."""

import pytest

from protocols.mqtt.accepted import Accepted
from protocols.mqtt.codec import encode_packet, encode_publish
from protocols.mqtt.decoder import TAIL_BYTES_MIN, PacketDecoder
from protocols.mqtt.errors import MalformedPacket, TooMany
from protocols.mqtt.frames import Packet, Publish
from protocols.mqtt.properties import PROPERTY_BYTES_MAX

PINGREQ = b"\xc0\x00"


def decoded(decoder: PacketDecoder, data: bytes, step: int) -> list[Packet]:
    packets: list[Packet] = []
    for at in range(0, len(data), step):
        decoder.push(data[at : at + step])
        more = True
        while more:
            decoder.begin_call()
            found: list[Packet] = []
            frame = decoder.take_publishes(found)
            more = frame is not None or decoder.enough(found)
            packets += found
            if frame is not None:
                packets.append(decoder.decode(frame))
    return packets


@pytest.mark.parametrize("step", [1, 7, 100, 65_536, 1 << 20])
@pytest.mark.parametrize(
    ("version", "qos", "block"),
    [
        (4, 0, None),
        (4, 1, None),
        (5, 0, b""),
        (5, 2, b"\x26\0\1k\0\1v"),
        (5, 1, b"\x26\0\1k\xff\xff" + b"v" * 65_535),
    ],
    ids=["3.1.1", "QoS 1", "5", "properties", "long properties"],
)
def test_it_is_the_same_however_it_was_cut(version: int, qos: int, block: bytes | None, step: int) -> None:
    if step == 1 and block is not None and len(block) > 100:
        pytest.skip("a byte at a time is shown without them: a third of a million steps for the same cuts")
    payload = bytes(range(256)) * (TAIL_BYTES_MIN // 256)
    large = encode_publish("a/b", payload, qos, True, False, 7 if qos else 0, block)
    small = encode_publish("c", b"x", 0, False, False, 0, block if block is None else b"")
    packets = decoded(PacketDecoder(1 << 30, version), small + large + PINGREQ + large + small, step)
    assert [type(packet).__name__ for packet in packets] == [
        "Publish",
        "Publish",
        "Pingreq",
        "Publish",
        "Publish",
    ]
    for packet in (packets[1], packets[3]):
        assert isinstance(packet, Publish)
        assert encode_packet(packet, version) == large
        assert packet.payload() == bytes(packet.view()) == payload
        assert (packet.topic, packet.qos, packet.properties) == ("a/b", qos, block or b"")
    assert [encode_packet(packet, version) for packet in (packets[0], packets[4])] == [small] * 2


def test_properties_that_are_longer_than_their_packet_are_still_no_packet() -> None:
    frame = bytearray(encode_publish("a", b"x" * TAIL_BYTES_MIN, 0, False, False, 0, b""))
    start = frame.index(b"\0\1a") + 3
    frame[start : start + 4] = b"\xff\xff\xff\x7f"
    with pytest.raises(MalformedPacket, match="longer than their packet"):
        decoded(PacketDecoder(1 << 30, 5), bytes(frame), 65_536)


@pytest.mark.parametrize("user_properties_max", [2_000, None])
@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_bytes_of_properties_are_bounded_where_their_number_is(
    user_properties_max: int | None, extra: int
) -> None:
    """They are read in one go."""
    one = b"\x26\0\1k\xff\xff" + b"v" * 65_535
    block = one * (PROPERTY_BYTES_MAX // len(one))
    left = PROPERTY_BYTES_MAX + extra - len(block) - 6
    block += b"\x26\0\1k" + left.to_bytes(2, "big") + b"v" * left
    assert len(block) == PROPERTY_BYTES_MAX + extra
    decoder = PacketDecoder(1 << 28, 5)
    if user_properties_max is not None:
        decoder = PacketDecoder(1 << 28, 5, accepted=Accepted(frozenset((5,)), user_properties_max))
    packet = encode_publish("t", b"x", 0, False, False, 0, block)
    if extra > 0 and user_properties_max is not None:
        with pytest.raises(TooMany, match="bytes of properties"):
            decoded(decoder, packet, 65_536)
    else:
        assert len(decoded(decoder, packet, 65_536)) == 1
