"""Any packet that can be said is written, read back from any pieces, and the same."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.mqtt import constants as c
from protocols.mqtt.codec import encode_packet, encode_publish
from protocols.mqtt.decoder import PacketDecoder
from protocols.mqtt.frames import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
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
from protocols.mqtt.properties import Properties, decode_properties, encode_properties, without

text = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)
topics = st.text(
    st.characters(exclude_characters="\0+#", exclude_categories=("Cs",)), min_size=1, max_size=20
)
packet_ids = st.integers(1, 65_535)
versions = st.sampled_from([3, 4, 5])
bits = st.integers(0, 1)
two = st.integers(0, 65_535)
four = st.integers(0, 2**32 - 1)
above_0 = st.integers(1, 65_535)

FIELDS = {
    0x01: ("payload_format", bits),
    0x02: ("message_expiry_s", four),
    0x03: ("content_type", text),
    0x08: ("response_topic", topics),
    0x09: ("correlation_data", st.binary(max_size=20)),
    0x0B: ("subscription_ids", st.lists(st.integers(1, 268_435_455), min_size=1, max_size=1)),
    0x11: ("session_expiry_s", four),
    0x12: ("assigned_client_id", text),
    0x13: ("server_keep_alive_s", two),
    0x15: ("authentication_method", text),
    0x17: ("request_problem_information", bits),
    0x18: ("will_delay_s", four),
    0x19: ("request_response_information", bits),
    0x1A: ("response_information", text),
    0x1C: ("server_reference", text),
    0x1F: ("reason_string", text),
    0x21: ("receive_maximum", above_0),
    0x22: ("topic_alias_maximum", two),
    0x23: ("topic_alias", above_0),
    0x24: ("maximum_qos", bits),
    0x25: ("retain_available", bits),
    0x26: ("user", st.lists(st.tuples(text, text), max_size=4)),
    0x27: ("maximum_packet_size", st.integers(1, 2**32 - 1)),
    0x28: ("wildcard_available", bits),
    0x29: ("subscription_identifier_available", bits),
    0x2A: ("shared_available", bits),
}


@st.composite
def properties_of(draw: st.DrawFn, packet_type: int) -> Properties:
    """Any properties that such a packet may have."""
    properties = Properties()
    for identifier in sorted(c.PROPERTIES_ALLOWED[packet_type] - {c.AUTHENTICATION_DATA}):
        if draw(st.booleans()):
            name, values = FIELDS[identifier]
            setattr(properties, name, draw(values))
    if properties.authentication_method is not None and draw(st.booleans()):
        properties.authentication_data = draw(st.binary(max_size=10))
    return properties


@st.composite
def connects(draw: st.DrawFn, version: int) -> Connect:
    """Any CONNECT."""
    connect = Connect(draw(text), draw(st.booleans()), draw(two), version)
    if draw(st.booleans()):
        connect.will = Will(
            draw(topics), draw(st.binary(max_size=9)), draw(st.integers(0, 2)), draw(st.booleans())
        )
        if version == 5:
            properties = draw(properties_of(c.WILL))
            connect.will.delay_s = properties.will_delay_s or 0
            connect.will.properties = without(encode_properties(properties), frozenset((c.WILL_DELAY,)))
    if draw(st.booleans()):
        connect.username = draw(text)
    if draw(st.booleans()) and (connect.username is not None or version == 5):
        connect.password = draw(st.binary(max_size=9))
    if version == 5:
        connect.properties = draw(properties_of(c.CONNECT))
    return connect


@st.composite
def publishes(draw: st.DrawFn, version: int) -> Publish:
    """Any PUBLISH of a server."""
    qos = draw(st.integers(0, 2))
    dup = draw(st.booleans()) and qos > 0
    retain = draw(st.booleans())
    packet_id = draw(packet_ids) if qos else 0
    properties = draw(properties_of(c.PUBLISH)) if version == 5 else Properties()
    block = encode_properties(properties)
    topic = draw(topics)
    payload = draw(st.binary(max_size=200))
    frame = encode_publish(topic, payload, qos, retain, dup, packet_id, block if version == 5 else None)
    expiry_s = -1 if properties.message_expiry_s is None else properties.message_expiry_s
    alias = properties.topic_alias or 0
    start = len(frame) - len(payload)
    return Publish(frame, topic, start, qos, retain, dup, packet_id, block, alias, expiry_s, version)


@st.composite
def acks(draw: st.DrawFn, version: int) -> Packet:
    """Any PUBACK, PUBREC, PUBREL or PUBCOMP."""
    kind, packet_type, codes = draw(
        st.sampled_from(
            [
                (Puback, c.PUBACK, [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]),
                (Pubrec, c.PUBREC, [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]),
                (Pubrel, c.PUBREL, [0x00, 0x92]),
                (Pubcomp, c.PUBCOMP, [0x00, 0x92]),
            ]
        )
    )
    if version != 5:
        return kind(draw(packet_ids))
    properties = draw(st.none() | properties_of(packet_type))
    return kind(draw(packet_ids), draw(st.sampled_from(codes)), properties)


@st.composite
def subscribes(draw: st.DrawFn, version: int) -> Subscribe:
    """Any SUBSCRIBE."""
    requests = []
    for name in draw(st.lists(topics, min_size=1, max_size=4)):
        request = SubscriptionRequest(name, draw(st.integers(0, 2)))
        if version == 5:
            request.no_local = draw(st.booleans()) and not name.startswith("$share/")
            request.retain_as_published = draw(st.booleans())
            request.retain_handling = draw(st.integers(0, 2))
        requests.append(request)
    if version != 5:
        return Subscribe(draw(packet_ids), requests)
    properties = draw(properties_of(c.SUBSCRIBE))
    identifier = properties.subscription_ids[0] if properties.subscription_ids else 0
    empty = properties == Properties()
    return Subscribe(draw(packet_ids), requests, identifier, None if empty else properties)


@st.composite
def others(draw: st.DrawFn, version: int) -> Packet:
    """Any CONNACK, SUBACK, UNSUBSCRIBE, UNSUBACK, DISCONNECT or AUTH."""
    names = ["CONNACK", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "DISCONNECT"] + (
        ["AUTH"] if version == 5 else []
    )
    name = draw(st.sampled_from(names))
    packet_type = c.PACKET_NAMES.index(name)
    properties = draw(properties_of(packet_type)) if version == 5 else None
    some = None if properties == Properties() else properties
    codes = draw(st.lists(st.sampled_from([0, 1, 2, 0x80, 0x8F]), min_size=1, max_size=4))
    if name == "CONNACK":
        return Connack(draw(st.booleans()), draw(st.sampled_from([0, 0x80, 0x9F])), properties)
    if name == "SUBACK":
        return Suback(draw(packet_ids), codes, some)
    if name == "UNSUBACK":
        return Unsuback(draw(packet_ids), codes if version == 5 else [], some)
    if name == "UNSUBSCRIBE":
        return Unsubscribe(draw(packet_ids), draw(st.lists(topics, min_size=1, max_size=4)), some)
    if name == "DISCONNECT":
        return Disconnect(draw(st.sampled_from([0, 4, 0x81, 0xA2])) if version == 5 else 0, properties)
    return Auth(draw(st.sampled_from([0, 0x18, 0x19])), properties)


@st.composite
def packets_of(draw: st.DrawFn, version: int) -> Packet:
    """Any packet with a body."""
    kinds = [connects, publishes, acks, subscribes, others]
    return draw(draw(st.sampled_from(kinds))(version))


@given(st.data(), versions)
def test_random_packet_is_written_and_read_back(data: st.DataObject, version: int) -> None:
    packets = data.draw(st.lists(packets_of(version), min_size=1, max_size=4))
    raw = b"".join(encode_packet(packet, version) for packet in packets)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    decoder = PacketDecoder(1 << 20, version, -1)
    read: list[Packet] = []
    for start, stop in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        decoder.push(raw[start:stop])
        while (frame := decoder.next_frame()) is not None:
            read.append(decoder.decode(frame))
    assert read == packets
    assert decoder.buffered == 0


@given(st.data(), st.sampled_from(sorted(c.PROPERTIES_ALLOWED)))
def test_random_properties_are_written_and_read_back(data: st.DataObject, packet_type: int) -> None:
    properties = data.draw(properties_of(packet_type))
    assert decode_properties(encode_properties(properties), packet_type) == properties


@given(st.data())
def test_random_block_without_some_of_its_properties(data: st.DataObject) -> None:
    properties = data.draw(properties_of(c.PUBLISH))
    block = encode_properties(properties)
    assert without(block, frozenset()) == block
    properties.message_expiry_s = None
    properties.topic_alias = None
    properties.subscription_ids = []
    assert without(block, frozenset((0x02, 0x0B, 0x23))) == encode_properties(properties)
