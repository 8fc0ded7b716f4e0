"""What others see of a live reader that reads no more, where publishers are made to wait for it."""

from harness import Gateway

from gateway.connectors.limits import Limits
from gateway.core.limits import BLOCK

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
