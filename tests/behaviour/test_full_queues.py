"""What clients of each protocol see of queues that are full, and of messages that come too late."""

from harness import Gateway

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
