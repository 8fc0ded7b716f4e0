"""What clients of each protocol see of queues that are full, and of messages that come too late."""

import pytest
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


# -- clients that wait for each other

WAIT_MS = 10_000


def crossed(kept: bool) -> Gateway:
    """Two clients move what they have of their own full queue to the full queue of the other."""
    gw = Gateway(policy=QueuePolicy(messages_max=4, when_full=BLOCK, topic_wait_max_ms=WAIT_MS))
    for name in ("a", "b"):
        for number in range(4):
            (
                gw.stomp("p")
                >> f"SEND destination:/queue/{name} persistent:{str(kept).lower()} body:{name}{number}"
            )
    for name, other in (("a", "b"), ("b", "a")):
        stomp = gw.stomp(name)
        stomp >> f"SUBSCRIBE id:1 destination:/queue/{name} ack:client prefetch-count:4"
        frame = stomp.rest()[-1]
        stomp >> "BEGIN transaction:t" >> f"ACK id:{frame.get('ack')} transaction:t"
        for number in range(2):
            stomp >> f"SEND destination:/queue/{other} transaction:t body:from {name}{number}"
    return gw


@pytest.mark.parametrize("kept", [False, True])
def test_two_that_consume_in_transactions_from_the_full_queue_of_the_other_do_not_wait_for_ever(
    kept: bool,
) -> None:
    gw = crossed(kept)
    # Somebody waits at each of the two queues: the first that is too much is taken, the next waits.
    for name in ("a", "b"):
        sender = gw.stomp(f"to {name}")
        sender >> f"SEND destination:/queue/{name} receipt:1 body:1" << "RECEIPT receipt-id:1"
        sender >> f"SEND destination:/queue/{name} receipt:2 body:2"
    for name in ("a", "b"):
        gw.stomp(name) >> "COMMIT transaction:t receipt:c"
    for name in ("a", "b", "to a", "to b"):
        gw.stomp(name).silent()
    gw.advance(WAIT_MS - 1)
    for name in ("a", "b", "to a", "to b"):
        gw.stomp(name).silent()
    gw.advance(1)
    gw.go_on()
    for name, other in (("a", "b"), ("b", "a")):
        heard = gw.stomp(name).rest()
        assert [frame.get("receipt-id") for frame in heard if frame.command == "RECEIPT"] == ["c"]
        bodies = [frame.body for frame in heard if frame.command == "MESSAGE"]
        assert bodies == ["1", f"from {other}0", f"from {other}1", "2"]
        gw.stomp(f"to {name}") << "RECEIPT receipt-id:2"


def test_who_waits_for_a_queue_that_nobody_empties_goes_on_waiting_where_nobody_waits_for_him() -> None:
    gw = Gateway(policy=QueuePolicy(messages_max=1, when_full=BLOCK, topic_wait_max_ms=WAIT_MS))
    gw.stomp("p") >> "SEND destination:/queue/q receipt:1 body:1" << "RECEIPT receipt-id:1"
    gw.stomp("p") >> "SEND destination:/queue/q receipt:2 body:2" << "RECEIPT receipt-id:2"
    gw.stomp("p") >> "SEND destination:/queue/q receipt:3 body:3"
    for _ in range(10):
        gw.advance(WAIT_MS)
        gw.go_on()
    gw.stomp("p").silent()
    assert drain(gw, "q") == ["1", "2", "3"]


def test_who_is_waited_for_and_has_filled_a_queue_twice_is_refused() -> None:
    gw = Gateway(policy=QueuePolicy(messages_max=2, when_full=BLOCK, topic_wait_max_ms=WAIT_MS))
    for number in range(3):
        gw.stomp("p") >> f"SEND destination:/queue/a body:{number}"
    mover = gw.stomp("mover")
    mover >> "SUBSCRIBE id:1 destination:/queue/a ack:client prefetch-count:4"
    assert len(mover.rest()) == 3
    gw.stomp("p") >> "SEND destination:/queue/a receipt:late body:late"
    mover >> b"".join(mover.write(f"SEND destination:/queue/b receipt:{n} body:{n}") for n in range(1, 9))
    for _ in range(3):
        gw.advance(WAIT_MS)
        gw.go_on()
    heard = [frame.get("receipt-id") for frame in mover.rest()]
    assert heard[-1] == str(len(heard))
    assert gw.broker.queue("b").depth == len(heard) - 1 <= 2 * 2 + 1
    assert mover.closed
    # What it had taken is there again, and waits for somebody who takes it away.
    assert drain(gw, "a") == ["0", "1", "2", "late"]
    gw.stomp("p") << "RECEIPT receipt-id:late"
