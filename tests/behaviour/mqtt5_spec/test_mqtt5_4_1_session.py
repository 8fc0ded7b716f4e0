"""MQTT 5.0 §4.1, session state, and §4.2, network connections.

`test_4_1_0_1_…` is [MQTT-4.1.0-1]; `test_s_4_1_…` a sentence without a number.

Not tested:
  4.2.0-1        transports: tests/net
  6.0.0-1 to -4  WebSocket: tests/net/test_websocket.py
"""

import pytest
from harness import DROP, Gateway
from mqtt_spec import client, ended, hears

from gateway.connectors.mqtt.settings import MqttSettings


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


def test_4_1_0_1_session_lives_as_long_as_its_connection(gw: Gateway) -> None:
    for words in ("", "expiry=1"):
        party = hears(client(gw, "c", words), "t qos=1")
        gw.advance(1_000_000_000)
        client(gw, "p") >> "PUBLISH t qos=1 id=1 x"
        party << "PUBLISH t qos=1 id=1 x"
        party >> DROP
        gw.mqtt("p", 5) >> DROP


def test_4_1_0_2_session_is_discarded_when_its_expiry_has_passed(gw: Gateway) -> None:
    hears(client(gw, "c", "expiry=10"), "t qos=1", "$share/g/s qos=1") >> DROP
    publisher = client(gw, "p") >> "PUBLISH t qos=1 id=1 x" << "PUBACK 1"
    gw.advance(10_000)
    publisher >> "PUBLISH t qos=1 id=2 x" << "PUBACK 2 0x10" >> "PUBLISH s qos=1 id=3 x" << "PUBACK 3 0x10"
    client(gw, "c", "clean=0", present=0).silent()


def test_s_4_1_subscriptions_with_their_options_and_identifiers(gw: Gateway) -> None:
    party = client(gw, "c", "expiry=100") >> "SUBSCRIBE 1 a qos=1 rap subid=5" << "SUBACK 1 1"
    party >> "SUBSCRIBE 2 b qos=2 nl" << "SUBACK 2 2" >> DROP
    party = client(gw, "c", "clean=0", present=1)
    client(gw, "p") >> "PUBLISH a qos=2 id=1 retain x"
    party << "PUBLISH a qos=1 retain id=1 subid=5 x" >> "PUBACK 1" >> "PUBLISH b y"
    party.silent()


def test_s_4_1_messages_that_wait_come_in_their_order(gw: Gateway) -> None:
    hears(client(gw, "c", "expiry=100"), "a qos=1", "b qos=2") >> DROP
    publisher = client(gw, "p")
    for n in range(1, 9):
        publisher >> f"PUBLISH {'ab'[n % 2]} qos=2 id={n} {n}"
    party = client(gw, "c", "clean=0", present=1)
    for n in range(1, 9):
        party << f"PUBLISH {'ab'[n % 2]} qos={1 + n % 2} id={n} {n}"


def test_s_4_1_qos_0_need_not_wait(gw: Gateway) -> None:
    hears(client(gw, "c", "expiry=100"), "t") >> DROP
    client(gw, "p") >> "PUBLISH t x" >> "PUBLISH t qos=1 id=1 y"
    client(gw, "c", "clean=0", present=1).silent()


def test_s_4_1_qos_0_waits_by_configuration() -> None:
    gw = Gateway(mqtt=MqttSettings(queue_qos0=True))
    hears(client(gw, "c", "expiry=100"), "t", "u qos=1") >> DROP
    client(gw, "p") >> "PUBLISH t 1" >> "PUBLISH u qos=1 id=1 2" >> "PUBLISH u 3"
    party = (
        client(gw, "c", "clean=0", present=1) << "PUBLISH t 1" << "PUBLISH u qos=1 id=1 2" << "PUBLISH u 3"
    )
    party.silent()


def test_s_4_1_qos_2_identifiers_of_the_client_are_remembered(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "t qos=2")
    client(gw, "c", "expiry=100") >> "PUBLISH t qos=2 id=7 x" << "PUBREC 7" >> DROP
    watcher << "PUBLISH t qos=2 id=1 x"
    party = client(gw, "c", "clean=0 expiry=100", present=1) >> "PUBLISH t qos=2 dup id=7 x" << "PUBREC 7"
    watcher.silent()
    party >> DROP
    party = client(gw, "c", "clean=0", present=1) >> "PUBREL 7" << "PUBCOMP 7"


def test_s_4_1_qos_2_identifiers_end_with_the_session(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "t")
    client(gw, "c", "expiry=100") >> "PUBLISH t qos=2 id=7 x" << "PUBREC 7" >> DROP
    watcher << "PUBLISH t x"
    party = (
        client(gw, "c", "clean=1")
        >> "PUBREL 7"
        << "PUBCOMP 7 0x92"
        >> "PUBLISH t qos=2 dup id=7 y"
        << "PUBREC 7"
    )
    watcher << "PUBLISH t y"
    party.silent()


def test_s_4_1_pending_will_is_part_of_the_session(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    client(gw, "c", "expiry=4294967295 will=w will_delay=1000 will_body=x") >> DROP
    gw.advance(999_999)
    watcher.silent()
    gw.advance(1)
    watcher << "PUBLISH w x"


def test_s_4_1_sessions_of_both_versions_are_the_same(gw: Gateway) -> None:
    hears(client(gw, "c", "expiry=4294967295"), "t qos=1") >> DROP
    client(gw, "p") >> "PUBLISH t qos=1 id=1 ct=x x"
    party = client(gw, "c", "clean=0", version=4, present=1) << "PUBLISH t qos=1 id=1 x" >> DROP
    party = client(gw, "c", "clean=0 expiry=10", present=1) << "PUBLISH t qos=1 dup id=1 ct=x x" >> "PUBACK 1"
    party >> DROP
    gw.advance(10_000)
    client(gw, "c", "clean=0", present=0)


def test_s_4_1_packet_identifiers_go_on_over_connections(gw: Gateway) -> None:
    party = hears(client(gw, "c", "expiry=100"), "t qos=1")
    publisher = client(gw, "p") >> "PUBLISH t qos=1 id=1 1" >> "PUBLISH t qos=1 id=1 2"
    party << "PUBLISH t qos=1 id=1 1" << "PUBLISH t qos=1 id=2 2" >> "PUBACK 1" >> DROP
    publisher >> "PUBLISH t qos=1 id=1 3"
    client(gw, "c", "clean=0", present=1) << "PUBLISH t qos=1 dup id=2 2" << "PUBLISH t qos=1 id=3 3"


def test_s_4_1_take_over_leaves_the_session_whole(gw: Gateway) -> None:
    old = hears(client(gw, "c", "expiry=100"), "t qos=1")
    new = client(gw, "c", "clean=0 expiry=100", present=1, party="new")
    old << "DISCONNECT 0x8e"
    ended(old)
    gw.advance(200_000)
    client(gw, "p") >> "PUBLISH t qos=1 id=1 x"
    new << "PUBLISH t qos=1 id=1 x"
