"""What has to be known of all of a large body is found out some of it at a time: others have their turn in between."""

import pytest
from harness import Gateway, Party

from gateway.connectors.mqtt.looks import SUMMED_AT_ONCE as CHECKED_AT_ONCE
from gateway.connectors.mqtt.mapping import MqttOrigin
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.connectors.stomp.mapping import StompOrigin
from gateway.connectors.text import LONG_TEXT
from gateway.core.dedup import SUMMED_AT_ONCE
from gateway.core.limits import BLOCK, QueuePolicy
from gateway.core.message import BYTES, TEXT, Message
from gateway.core.record import LongRecord, record_of
from protocols.mqtt.codec import encode_publish

BODY = "é".encode() * 1_500_000 + b"end"
READ = 262_144


def steps_for(party: Party, data: bytes) -> int:
    """Say it as it is read, and count the steps that the last read takes."""
    connector = party.connector
    for at in range(0, len(data), READ):
        assert not connector.unheard
        connector.bytes_in(data[at : at + READ], party.gateway.now_ms)
    steps = 1
    while connector.resumes:
        connector.go_on(party.gateway.now_ms)
        steps += 1
    return steps


def properties(*pairs: tuple[bytes, bytes]) -> bytes:
    found = b""
    for name, value in pairs:
        found += b"\x26" + len(name).to_bytes(2, "big") + name + len(value).to_bytes(2, "big") + value
    return found


kinds_of_body = pytest.mark.parametrize(
    ("body", "kind"),
    [(BODY, TEXT), (BODY + b"\xff", BYTES), (b"\0" + BODY, BYTES)],
    ids=["text", "cut", "NUL"],
)


@kinds_of_body
def test_whether_the_body_of_a_send_is_text(body: bytes, kind: int) -> None:
    gw = Gateway()
    stomp = gw.stomp("s")
    head = b"SEND\ndestination:/queue/q\ncontent-length:%d\n\n" % len(body)
    # The second has the head of the one before, which is remembered.
    for _ in range(2):
        assert steps_for(stomp, head + body + b"\0") >= len(body) // LONG_TEXT
    stomp >> "SEND destination:/queue/q body:small"
    kinds = [delivery.message.fields().body_kind for delivery in gw.broker.queues["queue:q"].browse()]
    assert kinds == [kind, kind, TEXT]
    assert stomp.connector.counters.messages_in == 3


@kinds_of_body
def test_whether_a_payload_is_text(body: bytes, kind: int) -> None:
    gw = Gateway()
    mqtt = gw.mqtt("m") >> "CONNECT m" << "CONNACK 0 present=0"
    assert (
        steps_for(mqtt, encode_publish("$queue/q", body, 0, False, False, 0, None)) >= len(body) // LONG_TEXT
    )
    assert [delivery.message.fields().body_kind for delivery in gw.broker.queues["queue:q"].browse()] == [
        kind
    ]


def test_3_3_2_3_2_a_long_payload_that_is_not_what_it_says_is_0x99_where_that_is_checked() -> None:
    gw = Gateway(mqtt=MqttSettings(check_payload_format=True))
    mqtt = gw.mqtt("m", 5) >> "CONNECT m" << "CONNACK 0 present=0"
    for payload, answer in ((BODY + b"\xff", "PUBACK 1 0x99"), (BODY, "PUBACK 1")):
        packet = encode_publish("$queue/q", payload, 1, False, False, 1, b"\x01\x01")
        assert steps_for(mqtt, packet) >= len(payload) // LONG_TEXT
        mqtt << answer
    assert gw.broker.queues["queue:q"].depth == 1


def test_the_checksum_that_tells_a_repeated_publish_of_qos_2() -> None:
    """MQTT 5.0 §4.3.3"""
    gw = Gateway()
    mqtt = gw.mqtt("m") >> "CONNECT m" << "CONNACK 0 present=0"
    for payload in (BODY, BODY, BODY[:-1] + b"!"):
        packet = encode_publish("$queue/q", payload, 2, False, False, 7, None)
        at_least = len(payload) // LONG_TEXT + len(payload) // CHECKED_AT_ONCE
        assert steps_for(mqtt, packet) >= at_least
        if payload is BODY:
            mqtt << "PUBREC 7"
    # Another message under its packet id is none (which ends the connection before MQTT 5).
    assert gw.broker.queues["queue:q"].depth == 1
    assert mqtt.closed


def test_what_is_said_under_a_key_by_mqtt() -> None:
    gw = Gateway()
    mqtt = gw.mqtt("m", 5) >> "CONNECT m" << "CONNACK 0 present=0"
    block = properties((b"x-mx-dedup", b"k"), (b"a", b"b"))
    for packet_id in (1, 2):
        packet = encode_publish("$queue/q", BODY, 1, False, False, packet_id, block)
        assert steps_for(mqtt, packet) >= len(BODY) // LONG_TEXT + len(BODY) // SUMMED_AT_ONCE
        mqtt << f"PUBACK {packet_id}"
    message = next(iter(gw.broker.queues["queue:q"].browse())).message
    assert gw.broker.queues["queue:q"].depth == 1
    assert message.fields().properties == [("a", "b")]
    assert message.origin.body() == BODY


def test_what_is_said_under_a_key_by_stomp() -> None:
    gw = Gateway()
    stomp = gw.stomp("s")
    head = b"SEND\ndestination:/queue/q\nx-mx-dedup:k\nreceipt:r\ncontent-length:%d\n\n" % len(BODY)
    for _ in range(2):
        assert steps_for(stomp, head + BODY + b"\0") >= len(BODY) // SUMMED_AT_ONCE
        stomp << "RECEIPT receipt-id:r"
    assert gw.broker.queues["queue:q"].depth == 1
    # Neither is counted twice, however often it was begun.
    assert stomp.connector.counters.messages_in == 2


@pytest.mark.parametrize(("body", "found"), [(BODY, True), (BODY + b"\xff", False), (b"small", None)])
def test_what_was_found_out_is_kept_with_the_message(body: bytes, found: bool | None) -> None:
    gw = Gateway()
    mqtt, stomp = gw.mqtt("m"), gw.stomp("s")
    mqtt >> "CONNECT m" << "CONNACK 0 present=0"
    steps_for(mqtt, encode_publish("$queue/m", body, 1, False, False, 7, None))
    steps_for(stomp, b"SEND\ndestination:/queue/s\ncontent-length:%d\n\n%b\0" % (len(body), body))
    for name in ("m", "s"):
        message = next(iter(gw.broker.queues[f"queue:{name}"].browse())).message
        origin = gw.broker.decoder.message(record_whole(message)).origin
        assert origin.body() == body
        assert origin.decode().body_kind == message.fields().body_kind
        if isinstance(origin, MqttOrigin):
            tail = origin.publish.tail
            assert (None if tail is None else tail.is_utf8) is found
        else:
            assert isinstance(origin, StompOrigin)
            assert origin.send.is_utf8 is found


def record_whole(message: Message) -> bytes:
    record = record_of(message)
    return record.whole() if isinstance(record, LongRecord) else record


@pytest.mark.parametrize("protocol", ["mqtt", "stomp"])
def test_who_waits_for_room_has_been_looked_at_when_there_is_some(protocol: str) -> None:
    """Its turn would be over before it has taken the room, and those behind it would have that."""
    gw = Gateway(policy=QueuePolicy(messages_max=1, when_full=BLOCK))
    if protocol == "mqtt":
        large: Party = gw.mqtt("m") >> "CONNECT m" << "CONNACK 0 present=0"
        said = encode_publish("$queue/q", BODY, 1, False, False, 1, None)
    else:
        large = gw.stomp("s")
        said = b"SEND\ndestination:/queue/q\ncontent-length:%d\n\n%b\0" % (len(BODY), BODY)
    others = [gw.stomp(f"other {number}") for number in range(4)]
    # The first fills the queue, the second waits.
    others[0] >> "SEND destination:/queue/q body:0" >> "SEND destination:/queue/q body:1"
    steps_for(large, said)
    for other in others[1:]:
        other >> "SEND destination:/queue/q body:2"
    assert all(party.connector.throttled for party in (large, *others))
    reader = gw.stomp("reader")
    reader >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual prefetch-count:1"
    for _ in range(2):
        [frame] = reader.rest()
        reader.connector.bytes_in(reader.write(f"ACK id:{frame.get('ack')}"), gw.now_ms)
        gw.go_on()
    # It is the next.
    assert b"content-length:%d\n" % len(BODY) in b"".join(reader.connector.bytes_out(gw.now_ms))
