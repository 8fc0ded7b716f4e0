"""Clients that send anything at all, to a whole gateway: nothing is raised, and nobody else notices."""

from harness import DROP, Gateway
from hypothesis import given
from hypothesis import strategies as st
from mqtt_spec import Door, alive, client, hears
from mqtt_vectors import SERVER_READS

from protocols.mqtt.codec import encode_packet, encode_publish
from protocols.mqtt.frames import (
    Auth,
    Connect,
    Disconnect,
    Packet,
    Puback,
    Pubcomp,
    Pubrec,
    Pubrel,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
)
from protocols.mqtt.properties import Properties, encode_properties

versions = st.sampled_from([3, 4, 5])
packet_ids = st.integers(1, 4)
topics = st.sampled_from(["t", "t/u", "$queue/q", "$SYS/x", "no", "$share/g/t", "a//", "/"])
filters = st.sampled_from(
    ["t", "t/#", "+/u", "#", "$queue/q", "$share/g/t", "$share/g", "a#", "$SYS/#", "no", "$share/g/$queue/q"]
)


def _properties(**fields: object) -> Properties:
    properties = Properties()
    for name, value in fields.items():
        setattr(properties, name, value)
    return properties


@st.composite
def packets(draw: st.DrawFn, version: int) -> bytes:
    """A well-formed packet that makes sense or not."""
    number = draw(packet_ids)
    code = draw(st.sampled_from([0, 0, 0, 0x10, 0x80])) if version == 5 else 0
    kind = draw(st.integers(0, 10))
    packet: Packet
    if kind <= 2:
        qos = draw(st.integers(0, 2))
        properties = _properties(
            message_expiry_s=draw(st.none() | st.integers(0, 3)),
            topic_alias=draw(st.none() | st.integers(1, 3)),
        )
        block = encode_properties(properties) if version == 5 else None
        topic = draw(topics) if version != 5 or draw(st.booleans()) or properties.topic_alias is None else ""
        return encode_publish(
            topic, draw(st.binary(max_size=5)), qos, draw(st.booleans()), False, number if qos else 0, block
        )
    if kind == 3:
        packet = Puback(number, code)
    elif kind == 4:
        packet = Pubrec(number, code)
    elif kind == 5:
        packet = Pubrel(number)
    elif kind == 6:
        packet = Pubcomp(number)
    elif kind == 7:
        requests = [
            SubscriptionRequest(draw(filters), draw(st.integers(0, 2)))
            for _ in range(draw(st.integers(1, 3)))
        ]
        if version == 5:
            requests[0].retain_as_published = draw(st.booleans())
            requests[0].retain_handling = draw(st.integers(0, 2))
        packet = Subscribe(number, requests, draw(st.integers(0, 2)) if version == 5 else 0)
    elif kind == 8:
        packet = Unsubscribe(number, [draw(filters)])
    elif kind == 9:
        if version != 5:
            return b"\xc0\x00"
        packet = Auth(
            draw(st.sampled_from([0, 0x18, 0x19])),
            _properties(authentication_method="CHALLENGE", authentication_data=draw(answers)),
        )
    else:
        expiry_s = draw(st.none() | st.integers(0, 5))
        packet = Disconnect()
        if version == 5:
            packet = Disconnect(draw(st.sampled_from([0, 4, 0x80])), _properties(session_expiry_s=expiry_s))
    return encode_packet(packet, version)


answers = st.sampled_from([b"hello", b"answer of u", b"wrong"])


@st.composite
def connects(draw: st.DrawFn, version: int) -> bytes:
    """A CONNECT, of one of two client ids, that may be refused."""
    connect = Connect(
        draw(st.sampled_from(["x", "y", ""])), draw(st.booleans()), draw(st.integers(0, 9)), version
    )
    connect.username = draw(st.sampled_from([None, "u"]))
    if connect.username is not None:
        connect.password = draw(st.sampled_from([b"p", b"wrong"]))
    if version == 5:
        method = draw(st.sampled_from([None, None, "CHALLENGE", "UNKNOWN"]))
        connect.properties = _properties(
            session_expiry_s=draw(st.none() | st.integers(0, 9)),
            receive_maximum=draw(st.none() | st.integers(1, 3)),
            maximum_packet_size=draw(st.none() | st.integers(1, 40)),
            topic_alias_maximum=draw(st.none() | st.integers(0, 2)),
            request_problem_information=draw(st.none() | st.integers(0, 1)),
            authentication_method=method,
            authentication_data=None if method is None else draw(st.none() | answers),
        )
    return encode_packet(connect, version)


def _gateway() -> Gateway:
    gw = Gateway(authorizer=Door(forbidden="no"))
    hears(client(gw, "watcher"), "other")
    hears(client(gw, "old", version=4), "other")
    return gw


def _all_is_well(gw: Gateway) -> None:
    gw.stomp("s") >> "SEND destination:/topic/other body:still here"
    for name, version in (("watcher", 5), ("old", 4)):
        party = gw.mqtt(name, version)
        assert any("still here" in text for text in party.rest())
        alive(gw, party)


@given(st.data())
def test_random_packets_of_several_clients_raise_nothing(data: st.DataObject) -> None:
    gw = _gateway()
    for _ in range(data.draw(st.integers(1, 30))):
        name = data.draw(st.sampled_from("ab"))
        version = data.draw(versions)
        if not gw._parties.get(name) or gw._parties[name].gone:
            gw.mqtt(name, version) >> data.draw(connects(version))
            continue
        party = gw._parties[name]
        step = data.draw(st.integers(0, 9))
        if party.closed or step == 0:
            party >> DROP
        elif step == 1:
            gw.advance(data.draw(st.sampled_from([1, 999, 1_000, 5_000, 20_000])))
        else:
            party >> data.draw(packets(int(party.version)))
            if step > 5:
                # What it says is well-formed for a client of its version.
                party.rest()
    for name in "ab":
        if name in gw._parties and not gw._parties[name].gone:
            gw._parties[name] >> DROP
    gw.advance(100_000)
    _all_is_well(gw)


@given(st.lists(st.binary(max_size=60), max_size=6), versions)
def test_random_bytes_raise_nothing(pieces: list[bytes], version: int) -> None:
    gw = _gateway()
    fresh = gw.mqtt("fresh", version)
    known = client(gw, "known", version=version)
    for piece in pieces:
        for party in (fresh, known):
            if not party.closed:
                party >> piece
    fresh >> DROP
    known >> DROP
    _all_is_well(gw)


@given(st.data())
def test_mutated_packets_raise_nothing(data: st.DataObject) -> None:
    gw = _gateway()
    version = data.draw(versions)
    party = client(gw, "c", version=version)
    for vector in data.draw(st.lists(st.sampled_from(SERVER_READS), max_size=5)):
        raw = bytearray(vector.data)
        for _ in range(data.draw(st.integers(0, 2))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        if not party.closed:
            party >> bytes(raw)
    party >> DROP
    _all_is_well(gw)
