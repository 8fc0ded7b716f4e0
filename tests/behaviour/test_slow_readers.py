"""What others see of a live reader that reads no more, where publishers are made to wait for it."""

import pytest
from harness import DROP, Gateway, MqttParty

from gateway.connectors.limits import Limits
from gateway.core.limits import BLOCK, QueuePolicy
from gateway.store.memory import MemoryStore

TIMEOUT_MS = 10_000


def test_who_publishes_to_a_reader_that_is_stuck_waits_and_nobody_else_until_it_is_given_up() -> None:
    gw = Gateway(
        stomp_limits=Limits(slow_consumer=BLOCK, output_buffer=100, slow_consumer_timeout_ms=TIMEOUT_MS)
    )
    stuck, healthy = gw.stomp("stuck"), gw.stomp("healthy")
    stuck >> "SUBSCRIBE id:1 destination:/topic/busy"
    healthy >> "SUBSCRIBE id:1 destination:/topic/>"
    device, other = gw.mqtt("device"), gw.mqtt("other")
    device >> "CONNECT device" << "CONNACK 0 present=0"
    other >> "CONNECT other" << "CONNACK 0 present=0"
    stuck.connector.writable(False)
    said = 0
    got: list[str] = []
    while not device.connector.throttled:
        said += 1
        assert said < 10
        device >> f"PUBLISH busy qos=1 id={said} {said}"
        got += healthy.bodies()
    # The last one waits, and is neither confirmed nor seen.
    for number in range(1, said):
        device << f"PUBACK {number}"
    device.silent()
    assert got == [str(number) for number in range(1, said)]
    # Another topic, and another publisher, go on.
    other >> "PUBLISH calm qos=1 id=1 x" << "PUBACK 1"
    assert healthy.bodies() == ["x"]
    gw.advance(TIMEOUT_MS - 1)
    assert not stuck.closed
    gw.advance(1)
    assert stuck.closed
    gw.go_on()
    device << f"PUBACK {said}"
    assert healthy.bodies() == [str(said)]
    assert stuck.connector.counters.ended_slow == 1


# -- who reads but acknowledges nothing, and who is not there

WAIT_MS = 10_000

LITTLE = QueuePolicy(messages_max=4, topic_wait_max_ms=WAIT_MS, dead_letters=None)


def _publish_until_held(gw: Gateway, topic: str, qos: int) -> tuple[MqttParty, int]:
    """Publish 1, 2, 3 … to `topic` until its publisher has to wait; which one waits."""
    device = gw.mqtt("device")
    device >> "CONNECT device" << "CONNACK 0 present=0"
    for said in range(1, 20):
        device >> (f"PUBLISH {topic} qos=1 id={said} {said}" if qos else f"PUBLISH {topic} {said}")
        if device.connector.throttled:
            return device, said
    raise AssertionError("nobody waits")


@pytest.mark.parametrize("qos", [0, 1])
def test_who_reads_a_topic_and_acknowledges_nothing_holds_it_up_for_a_time_and_is_ended(qos: int) -> None:
    gw = Gateway(policy=LITTLE)
    stuck, healthy = gw.stomp("stuck"), gw.stomp("healthy")
    stuck >> "SUBSCRIBE id:1 destination:/topic/busy ack:client"
    healthy >> "SUBSCRIBE id:1 destination:/topic/>"
    _device, said = _publish_until_held(gw, "busy", qos)
    seen = healthy.bodies()
    gw.advance(WAIT_MS - 1)
    gw.go_on()
    assert not stuck.closed
    assert healthy.bodies() == []
    gw.advance(1)
    assert stuck.closed
    assert "acknowledges nothing" in str(stuck.rest()[-1])
    stuck >> DROP
    gw.go_on()
    # What waited has come: one that was taken before its publisher had to wait, or the one that had to.
    assert [*seen, *healthy.bodies()] == [str(number) for number in range(1, said + 1)]
    assert stuck.connector.counters.ended_slow == 1


def test_who_acknowledges_one_now_and_then_is_not_ended() -> None:
    gw = Gateway(policy=LITTLE)
    slow = gw.stomp("slow")
    slow >> "SUBSCRIBE id:1 destination:/topic/busy ack:client-individual"
    device, said = _publish_until_held(gw, "busy", 0)
    acks = [frame.get("ack") for frame in slow.rest()]
    for ack in acks[:3]:
        gw.advance(WAIT_MS - 1)
        slow >> f"ACK id:{ack}"
        assert not slow.closed
    assert not device.connector.throttled
    assert said


@pytest.mark.parametrize("kept_first", [False, True])
def test_a_durable_subscriber_that_is_away_holds_a_topic_up_for_a_time_and_then_its_oldest_passing_messages_go(
    kept_first: bool,
) -> None:
    # With a kept message at its head it is the memory of the gateway that is short, not what it may hold.
    policy = QueuePolicy(bytes_max=40, topic_wait_max_ms=WAIT_MS, dead_letters=None)
    gw = Gateway(MemoryStore(pages=True) if kept_first else None, policy=policy if kept_first else LITTLE)
    away = gw.stomp_unconnected("away")
    away >> "CONNECT accept-version:1.2 host:h client-id:c" << "CONNECTED version:1.2"
    away >> "SUBSCRIBE id:1 destination:/topic/busy durable:true" >> DROP
    if kept_first:
        gw.mqtt("keeper") >> "CONNECT keeper" >> "PUBLISH busy qos=1 id=1 kept"
    device, said = _publish_until_held(gw, "busy", 0)
    gw.advance(WAIT_MS - 1)
    gw.go_on()
    assert device.connector.throttled
    gw.advance(1)
    gw.go_on()
    assert not device.connector.throttled
    for number in range(said + 1, said + 50):
        device >> f"PUBLISH busy {number}"
        assert not device.connector.throttled
    back = gw.stomp_unconnected("away")
    back >> "CONNECT accept-version:1.2 host:h client-id:c" << "CONNECTED version:1.2"
    back >> "SUBSCRIBE id:1 destination:/topic/busy durable:true"
    got = back.bodies()
    assert len(got) <= 5
    if kept_first:
        assert got[0] == "kept"
    else:
        assert got[-1] == str(said + 49)
    # Once it has been emptied it makes others wait again, rather than to lose anything.
    gw.advance(WAIT_MS)
    back >> DROP
    waits = 0
    for number in range(1, 20):
        device >> f"PUBLISH busy again{number}"
        waits += device.connector.throttled
    assert waits


def test_what_the_store_keeps_for_a_subscriber_that_is_away_is_never_dropped_for_others() -> None:
    gw = Gateway(policy=LITTLE)
    away = gw.stomp_unconnected("away")
    away >> "CONNECT accept-version:1.2 host:h client-id:c" << "CONNECTED version:1.2"
    away >> "SUBSCRIBE id:1 destination:/topic/busy durable:true" >> DROP
    device, said = _publish_until_held(gw, "busy", 1)
    for _ in range(5):
        gw.advance(WAIT_MS)
        gw.go_on()
    assert device.connector.throttled
    back = gw.stomp_unconnected("away")
    back >> "CONNECT accept-version:1.2 host:h client-id:c" << "CONNECTED version:1.2"
    back >> "SUBSCRIBE id:1 destination:/topic/busy durable:true"
    gw.go_on()
    assert back.bodies() == [str(number) for number in range(1, said + 1)]
    assert not device.connector.throttled


def test_a_queue_that_is_nobodys_subscription_may_hold_its_producers_for_ever() -> None:
    gw = Gateway(policy=LITTLE)
    producer = gw.stomp("producer")
    for number in range(10):
        producer >> f"SEND destination:/queue/work body:{number}"
    assert producer.connector.throttled
    for _ in range(5):
        gw.advance(WAIT_MS)
        gw.go_on()
    assert producer.connector.throttled


def test_a_topic_waits_for_ever_where_the_operator_says_so() -> None:
    gw = Gateway(policy=QueuePolicy(messages_max=4, topic_wait_max_ms=0))
    gw.stomp("stuck") >> "SUBSCRIBE id:1 destination:/topic/busy ack:client"
    device, _said = _publish_until_held(gw, "busy", 0)
    for _ in range(5):
        gw.advance(WAIT_MS)
        gw.go_on()
    assert device.connector.throttled
