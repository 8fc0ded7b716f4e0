"""What clients of each protocol see of queues that are full, and of messages that come too late."""

from harness import Gateway

from gateway.connectors.limits import Limits
from gateway.core.limits import BLOCK, REJECT, QueuePolicy
from gateway.store.memory import HeldStore


def test_who_fills_a_queue_that_it_consumes_itself_is_read_on_so_that_it_can_acknowledge() -> None:
    gw = Gateway(policy=QueuePolicy(messages_max=4, when_full=BLOCK))
    stomp = gw.stomp("s")
    stomp >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual prefetch-count:1"
    for number in range(7):
        stomp >> f"SEND destination:/queue/q body:{number}"
    for number in range(7):
        [frame] = stomp.rest()
        assert frame.body == str(number)
        stomp >> f"ACK id:{frame.get('ack')}"
    assert gw.broker.queue("q").depth == 0


def test_who_waits_for_room_and_was_too_fast_is_told_so_when_all_that_it_might_send_is_done() -> None:
    gw = Gateway(
        policy=QueuePolicy(messages_max=1, when_full=BLOCK),
        mqtt_limits=Limits(message_rate=4),
        stomp_limits=Limits(message_rate=4),
    )
    for name in ("m", "s"):
        gw.broker.queue(name)
    gw.mqtt("device", 5) >> "CONNECT device" << "CONNACK 0 present=0"
    device, sender = gw.mqtt("device", 5), gw.stomp("sender")
    device >> b"".join(device.write(f"PUBLISH $queue/m qos=1 id={n} {n}") for n in (1, 2, 3, 4))
    sender >> b"".join(sender.write(f"SEND destination:/queue/s receipt:{n} body:{n}") for n in (1, 2, 3, 4))
    assert not device.closed and not sender.closed
    gw.advance(2_000)
    bodies = {name: drain(gw, name) for name in ("m", "s")}
    assert bodies == {"m": ["1", "2", "3"], "s": ["1", "2", "3"]}
    device << "PUBACK 1" << "PUBACK 2" << "PUBACK 3" << "DISCONNECT 0x96"
    (
        sender
        << "RECEIPT receipt-id:1"
        << "RECEIPT receipt-id:2"
        << "RECEIPT receipt-id:3"
        << "ERROR receipt-id:4"
    )
    assert device.closed and sender.closed


def drain(gw: Gateway, name: str) -> list[str]:
    """The bodies that a reader of the queue gets, which makes room."""
    reader = gw.stomp(f"reader of {name}")
    reader >> f"SUBSCRIBE id:1 destination:/queue/{name} ack:auto"
    bodies: list[str] = []
    while found := reader.bodies():
        bodies += found
        gw.go_on()
    return bodies


def test_a_topic_of_which_a_queue_refuses_is_refused_to_every_publisher_in_its_own_words() -> None:
    gw = Gateway(policy=QueuePolicy(messages_max=1, when_full=REJECT))
    queue = gw.broker.queue("Consumer.a.VirtualTopic.t")
    gw.stomp("live") >> "SUBSCRIBE id:1 destination:/topic/VirtualTopic.t"
    gw.stomp("p") >> "SEND destination:/topic/VirtualTopic.t receipt:1 body:x" << "RECEIPT receipt-id:1"
    gw.mqtt("d", 5) >> "CONNECT d" << "CONNACK 0 present=0"
    gw.mqtt("d", 5) >> "PUBLISH VirtualTopic/t qos=1 id=1 y" << "PUBACK 1 0x97"
    gw.stomp("p") >> "SEND destination:/topic/VirtualTopic.t receipt:2 body:z" << "ERROR receipt-id:2"
    assert gw.stomp("live").bodies() == ["x"]
    assert queue.depth == 1


def test_who_is_refused_by_closing_has_what_was_taken_before_confirmed_first() -> None:
    """Else it sends that again, and comes no further: MQTT 3.1.1 §3.3.5, STOMP §ERROR."""
    store = HeldStore()
    gw = Gateway(store, policy=QueuePolicy(messages_max=2, when_full=REJECT))
    for name in ("m", "s"):
        gw.broker.queue(name)
    device, sender = gw.mqtt("device"), gw.stomp("sender")
    device >> "CONNECT device" << "CONNACK 0 present=0"
    device >> b"".join(device.write(f"PUBLISH $queue/m qos=1 id={n} {n}") for n in (1, 2, 3))
    sender >> b"".join(
        sender.write(f"SEND destination:/queue/s persistent:true receipt:{n} body:{n}") for n in (1, 2, 3)
    )
    assert (device.rest(), sender.rest()) == ([], [])
    assert not device.closed and not sender.closed
    gw.broker.on_durable(store.release())
    device << "PUBACK 1" << "PUBACK 2"
    sender << "RECEIPT receipt-id:1" << "RECEIPT receipt-id:2" << "ERROR receipt-id:3"
    assert device.closed and sender.closed
    assert [gw.broker.queue(name).depth for name in ("m", "s")] == [2, 2]


def test_who_may_be_taken_once_earlier_ones_are_confirmed_is_not_refused() -> None:
    store = HeldStore()
    gw = Gateway(store, policy=QueuePolicy(messages_max=1, when_full=REJECT))
    gw.broker.queue("m")
    device = gw.mqtt("device")
    device >> "CONNECT device" << "CONNACK 0 present=0"
    device >> b"".join(device.write(f"PUBLISH $queue/m qos=1 id={n} {n}") for n in (1, 2))
    reader = gw.stomp("reader")
    reader >> "SUBSCRIBE id:1 destination:/queue/m ack:auto"
    assert reader.bodies() == ["1"]
    gw.broker.on_durable(store.release())
    device << "PUBACK 1"
    gw.broker.on_durable(store.release())
    device << "PUBACK 2"
    assert reader.bodies() == ["2"]
    assert not device.closed


def test_a_message_that_has_expired_when_it_comes_reaches_no_subscriber() -> None:
    gw = Gateway()
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t"
    gw.stomp("p") >> "SEND destination:/topic/t expires:1 receipt:r body:late" << "RECEIPT receipt-id:r"
    assert gw.stomp("s").bodies() == []
    assert gw.broker.counters.expired == 1


def test_nobody_sees_a_part_of_a_transaction_before_all_of_it_is_safe() -> None:
    store = HeldStore()
    gw = Gateway(store)
    gw.stomp("queue") >> "SUBSCRIBE id:1 destination:/queue/passing"
    gw.stomp("topic") >> "SUBSCRIBE id:1 destination:/topic/t"
    gw.mqtt("device") >> "CONNECT device" << "CONNACK 0 present=0"
    gw.mqtt("device") >> "SUBSCRIBE 1 t qos=0" << "SUBACK 1 0"
    (
        gw.stomp("p")
        >> "BEGIN transaction:t"
        >> "SEND destination:/queue/passing persistent:false transaction:t body:1"
        >> "SEND destination:/topic/t persistent:false transaction:t body:2"
        >> "SEND destination:/queue/kept persistent:true transaction:t body:3"
        >> "COMMIT transaction:t receipt:c"
    )
    assert (gw.stomp("queue").bodies(), gw.stomp("topic").bodies()) == ([], [])
    assert gw.mqtt("device").rest() == []
    gw.broker.on_durable(store.release())
    gw.stomp("p") << "RECEIPT receipt-id:c"
    assert (gw.stomp("queue").bodies(), gw.stomp("topic").bodies()) == (["1"], ["2"])
    gw.mqtt("device") << "PUBLISH t 2"
