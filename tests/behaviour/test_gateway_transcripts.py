"""MQTT and STOMP through one core, as transcripts.  Numbers are cases of the translation table."""

import pytest
from harness import DROP, Gateway

from gateway.core.limits import QueuePolicy
from gateway.store.memory import HeldStore


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


def test_topic_with_wildcards_on_both_sides(gw: Gateway) -> None:
    gw.mqtt("d") >> "CONNECT d" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 a/+/c" << "SUBACK 1 0"
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/a.>"
    gw.stomp("s") >> "SEND destination:/topic/a.b.c body:hi" << "MESSAGE destination:/topic/a.b.c body:hi"
    gw.mqtt("d") << "PUBLISH a/b/c hi" >> "PUBLISH a/x ho"
    gw.stomp("s") << "MESSAGE destination:/topic/a.x subscription:1 body:ho"
    gw.mqtt("d").silent()


def test_11_and_16_the_subscription_decides_the_qos_of_a_stomp_message(gw: Gateway) -> None:
    gw.mqtt("d") >> "CONNECT d" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 x/y qos=2" << "SUBACK 1 2"
    gw.stomp("s") >> "SEND destination:/topic/x.y body:z"
    gw.mqtt("d") << "PUBLISH x/y qos=2 id=1 z" >> "PUBREC 1" << "PUBREL 1" >> "PUBCOMP 1"


def test_12_properties_in_order_with_repeats(gw: Gateway) -> None:
    gw.mqtt("d", 5) >> "CONNECT d" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 t qos=1" << "SUBACK 1 1"
    gw.stomp("s") >> "SEND destination:/topic/t k:v1 k:v2 'e:a b' receipt:r body:x" << "RECEIPT receipt-id:r"
    party = gw.mqtt("d", 5)
    party._listen()
    [frame] = party._heard
    for expected in ("user.k=v1 user.k=v2", "user.x-mx-durable=false", "format=1"):
        assert expected in str(frame)


def test_17_18_a_dot_inside_an_mqtt_level_survives_both_ways(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/sensors.*.t"
    gw.mqtt("d") >> "CONNECT d" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 sensors/+/t" << "SUBACK 1 0"
    gw.mqtt("d") >> "PUBLISH sensors/192.168.0.1/t qos=1 id=1 21"
    gw.stomp("s") << "MESSAGE destination:/topic/sensors.192/168/0/1.t persistent:true body:21"
    gw.mqtt("d") << "PUBLISH sensors/192.168.0.1/t 21" << "PUBACK 1"
    gw.stomp("s") >> "SEND destination:/topic/sensors.192/168/0/1.t body:22"
    gw.mqtt("d") << "PUBLISH sensors/192.168.0.1/t 22"


def test_19_qos_2_twice_before_pubrel_is_one_message(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t"
    gw.mqtt("d") >> "CONNECT d" << "CONNACK 0 present=0" >> "PUBLISH t qos=2 id=7 x" << "PUBREC 7"
    gw.mqtt("d") >> "PUBLISH t qos=2 dup id=7 x" << "PUBREC 7" >> "PUBREL 7" << "PUBCOMP 7"
    gw.stomp("s") << "MESSAGE destination:/topic/t body:x"
    gw.stomp("s").silent()


def test_20_retained_message_reaches_both_kinds_of_later_subscriber(gw: Gateway) -> None:
    gw.stomp("s") >> "SEND destination:/topic/s.1 retain:true body:on"
    gw.mqtt("d") >> "CONNECT d" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 s/# qos=1" << "SUBACK 1 1"
    gw.mqtt("d") << "PUBLISH s/1 qos=1 retain id=1 on"
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/s.* retained:true"
    gw.stomp("s") << "MESSAGE destination:/topic/s.1 retained:true body:on"
    gw.mqtt("d") >> "PUBLISH s/1 retain" << "PUBLISH s/1"
    gw.stomp("t") >> "SUBSCRIBE id:1 destination:/topic/s.* retained:true"
    gw.stomp("t").silent()


def test_23_queue_both_ways(gw: Gateway) -> None:
    (
        gw.mqtt("d", 5)
        >> "CONNECT d"
        << "CONNACK 0 present=0"
        >> "PUBLISH $queue/jobs/1 qos=1 id=1 j"
        << "PUBACK 1"
    )
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/jobs/1 ack:client-individual"
    gw.stomp("s") << "MESSAGE destination:/queue/jobs/1 persistent:true body:j" >> "ACK id:@ack"
    gw.mqtt("d", 5) >> "SUBSCRIBE 2 $queue/out qos=1" << "SUBACK 2 1"
    gw.stomp("s") >> "SEND destination:/queue/out persistent:true body:done"
    gw.mqtt("d", 5) << "PUBLISH $queue/out qos=1 id=1 format=1 done" >> "PUBACK 1"
    assert gw.broker.queue("out").depth == gw.broker.queue("jobs/1").depth == 0


def test_26_binary_correlation_data_survives_a_text_protocol_and_its_echo(gw: Gateway) -> None:
    from protocols.mqtt.codec import encode_publish

    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/q"
    gw.mqtt("d", 5) >> "CONNECT d" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 a qos=0" << "SUBACK 1 0"
    packet = encode_publish("q", b"?", 0, False, False, 0, b"\x09\x00\x03\x00\xff\x00\x08\x00\x01a")
    gw.mqtt("d", 5).connector.bytes_in(packet, gw.now_ms)
    gw.stomp("s") << "MESSAGE correlation-id:AMQP_BINARY:00FF00 reply-to:/topic/a body:?"
    gw.stomp("s") >> "SEND destination:/topic/a correlation-id:AMQP_BINARY:00FF00 body:!"
    data = b"".join(gw.mqtt("d", 5).connector.bytes_out(gw.now_ms))
    assert b"\x09\x00\x03\x00\xff\x00" in data


def test_67_nacks_are_counted_then_dead_lettered(gw: Gateway) -> None:
    gw.mqtt("d") >> "CONNECT d" << "CONNACK 0 present=0" >> "PUBLISH $queue/q qos=1 id=1 x" << "PUBACK 1"
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual"
    party << "MESSAGE !x-mx-delivery-count !redelivered body:x" >> "NACK id:@ack"
    party << "MESSAGE x-mx-delivery-count:1 redelivered:true body:x" >> "NACK id:@ack"
    party.silent()
    party >> "SUBSCRIBE id:2 destination:/queue/DLQ"
    party << "MESSAGE original-destination:/queue/q x-last-death-reason:delivery_limit body:x"


def test_70_queue_shared_by_both_protocols_gives_each_message_to_one(gw: Gateway) -> None:
    gw.mqtt("d") >> "CONNECT d" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 $queue/q qos=1" << "SUBACK 1 1"
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q"
    for n in range(4):
        gw.stomp("p") >> f"SEND destination:/queue/q body:{n}"
    gw.mqtt("d") << "PUBLISH $queue/q qos=1 id=1 0" << "PUBLISH $queue/q qos=1 id=2 2"
    gw.stomp("s") << "MESSAGE body:1" << "MESSAGE body:3"
    gw.mqtt("d").silent()


def test_71_shared_subscription_spans_protocols(gw: Gateway) -> None:
    (
        gw.mqtt("d", 5)
        >> "CONNECT d"
        << "CONNACK 0 present=0"
        >> "SUBSCRIBE 1 $share/g/a/# qos=1"
        << "SUBACK 1 1"
    )
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/share/g/a.>"
    for n in range(2):
        gw.stomp("p") >> f"SEND destination:/topic/a.b body:{n}"
    gw.mqtt("d", 5) << "PUBLISH a/b qos=1 id=1 format=1 user.x-mx-durable=false 0"
    gw.stomp("s") << "MESSAGE body:1"


def test_74_virtual_topic_gives_each_consumer_queue_a_copy(gw: Gateway) -> None:
    for name in "AB":
        gw.stomp(name) >> f"SUBSCRIBE id:1 destination:/queue/Consumer.{name}.VirtualTopic.X"
    gw.mqtt("d") >> "CONNECT d" << "CONNACK 0 present=0" >> "PUBLISH VirtualTopic/X x"
    for name in "AB":
        gw.stomp(name) << "MESSAGE body:x"
        gw.stomp(name).silent()


def test_will_of_a_device_reaches_a_script(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/gone.*"
    gw.mqtt("d") >> "CONNECT d will=gone/d will_qos=1 will_body=bye" << "CONNACK 0 present=0" >> DROP
    gw.stomp("s") << "MESSAGE destination:/topic/gone.d persistent:true body:bye"


def test_session_waits_for_its_device_and_what_expires_meanwhile_is_not_delivered(gw: Gateway) -> None:
    (
        gw.mqtt("d")
        >> "CONNECT d clean=0"
        << "CONNACK 0 present=0"
        >> "SUBSCRIBE 1 t qos=1"
        << "SUBACK 1 1"
        >> DROP
    )
    gw.stomp("s") >> "SEND destination:/topic/t expiration:1000 body:early"
    gw.stomp("s") >> "SEND destination:/topic/t body:late"
    gw.advance(2_000)
    gw.mqtt("d") >> "CONNECT d clean=0" << "CONNACK 0 present=1" << "PUBLISH t qos=1 id=1 late"
    gw.mqtt("d").silent()


def test_unacknowledged_qos_1_comes_again_after_reconnect(gw: Gateway) -> None:
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 a/# qos=1" << "SUBACK 1 1"
    gw.stomp("p") >> "SEND destination:/topic/a.b body:hi"
    gw.mqtt("s") << "PUBLISH a/b qos=1 id=1 hi" >> DROP
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1" << "PUBLISH a/b qos=1 dup id=1 hi"


def test_transaction_is_seen_whole_by_the_other_protocol(gw: Gateway) -> None:
    gw.mqtt("d") >> "CONNECT d" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 t" << "SUBACK 1 0"
    party = gw.stomp("s") >> "BEGIN transaction:x" >> "SEND destination:/topic/t transaction:x body:1"
    party >> "SEND destination:/topic/t transaction:x body:2"
    gw.mqtt("d").silent()
    party >> "COMMIT transaction:x"
    gw.mqtt("d") << "PUBLISH t 1" << "PUBLISH t 2"


def test_confirmations_of_both_protocols_wait_for_the_store() -> None:
    store = HeldStore()
    gw = Gateway(store)
    gw.mqtt("d") >> "CONNECT d clean=0" << "CONNACK 0 present=0" >> "PUBLISH $queue/q qos=1 id=1 x"
    gw.stomp("s") >> "SEND destination:/queue/q persistent:true receipt:r body:y"
    gw.mqtt("d").silent()
    gw.stomp("s").silent()
    gw.broker.on_durable(store.release())
    gw.mqtt("d") << "PUBACK 1"
    gw.stomp("s") << "RECEIPT receipt-id:r"


def test_full_queue_holds_back_producers_of_both_protocols_until_it_is_read() -> None:
    gw = Gateway(policy=QueuePolicy(messages_max=1))
    gw.mqtt("d") >> "CONNECT d" << "CONNACK 0 present=0"
    for n in range(2):
        gw.mqtt("d") >> f"PUBLISH $queue/q qos=1 id={n + 1} {n}" << f"PUBACK {n + 1}"
    gw.stomp("p") >> "SEND destination:/queue/q body:2"
    assert gw.mqtt("d").connector.throttled
    assert gw.stomp("p").connector.throttled
    # What was held back has not been taken; it comes when there is room.
    assert gw.broker.queue("q").depth == 2
    (
        gw.stomp("s")
        >> "SUBSCRIBE id:1 destination:/queue/q"
        << "MESSAGE body:0"
        << "MESSAGE body:1"
        << "MESSAGE body:2"
    )
    assert not gw.mqtt("d").connector.throttled
    assert not gw.stomp("p").connector.throttled


def test_silence_ends_an_mqtt_connection_and_a_heart_beating_stomp_one(gw: Gateway) -> None:
    gw.mqtt("d", 5) >> "CONNECT d keepalive=10" << "CONNACK 0 present=0"
    gw.advance(14_999)
    assert not gw.mqtt("d", 5).closed
    gw.advance(1)
    gw.mqtt("d", 5) << "DISCONNECT 0x8d"
    assert gw.mqtt("d", 5).closed


def test_a_late_reply_to_a_temporary_queue_that_is_gone_ends_no_mqtt_responder() -> None:
    gw = Gateway()
    gw.stomp("c") >> "SUBSCRIBE id:1 destination:/temp-queue/r" >> DROP
    responder = gw.mqtt("r") >> "CONNECT r" << "CONNACK 0 present=0"
    name = "$queue/mx.tmp.1.r"
    responder >> f"PUBLISH {name} late" >> f"PUBLISH {name} qos=1 id=1 late" << "PUBACK 1"
    responder >> f"PUBLISH {name} qos=2 id=2 late" << "PUBREC 2" >> "PUBREL 2" << "PUBCOMP 2"
    responder >> "PINGREQ" << "PINGRESP"
    # MQTT 5 has a word for it.
    responder = gw.mqtt("r5", 5) >> "CONNECT r5" << "CONNACK 0 present=0"
    responder >> f"PUBLISH {name} qos=1 id=1 late" << "PUBACK 1 0x10"
    responder >> f"PUBLISH {name} qos=2 id=2 late" << "PUBREC 2 0x10" >> "PUBREL 2" << "PUBCOMP 2"
    responder >> f"PUBLISH {name} late" >> "PINGREQ" << "PINGRESP"
    assert gw.broker.counters.discarded == 6
    assert not gw.broker.queues


@pytest.mark.parametrize("version", [4, 5])
def test_a_session_that_ends_with_deliveries_in_flight_leaves_nothing_in_memory(version: int) -> None:
    gw = Gateway()
    for words in ("clean=1", "clean=0" if version == 4 else "clean=0 expiry=5"):
        party = gw.mqtt("s", version) >> f"CONNECT s {words}" << "CONNACK 0 present=0"
        party >> "SUBSCRIBE 1 t qos=2" << "SUBACK 1 2"
        publisher = gw.mqtt("p") >> "CONNECT p" << "CONNACK 0 present=0"
        for n in range(1, 5):
            publisher >> f"PUBLISH t qos={1 + n % 2} id={n} {n}"
        assert len(party.rest()) == 4
        assert gw.broker.resident_bytes > 0
        party >> DROP
        publisher >> DROP
        gw.mqtt("s", version) >> "CONNECT s clean=1" << "CONNACK 0 present=0" >> DROP
        assert gw.broker.resident_bytes == 0
