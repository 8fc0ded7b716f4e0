"""MQTT 5.0 §3.1.4, what a server does with a CONNECT: refusing, taking over, acknowledging.

`test_3_1_4_3_…` is [MQTT-3.1.4-3]; `test_s_3_1_4_…` a sentence of §3.1.4 without a number.
"""

import pytest
from harness import DROP, Gateway
from mqtt_spec import Door, alive, client, ended, hears, packet

from gateway.connectors.base import Limits
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.core.limits import DROP_OLDEST
from protocols.mqtt.frames import Disconnect

HEAD = b"\x00\x04MQTT\x05"
CONNECT = packet(0x10, HEAD + b"\x02\x00\x00\x00\x00\x01c")


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


def test_3_1_4_1_connect_that_is_cut_off_or_too_long(gw: Gateway) -> None:
    for body in (HEAD + b"\x02\x00\x00\x00\x00\x09c", HEAD + b"\x02\x00\x00\x00\x00\x01cx", HEAD + b"\x02"):
        party = gw.mqtt("c", 5) >> packet(0x10, body) << "CONNACK 0x81 present=0"
        ended(party)


def test_3_1_4_2_who_may_not_connect_is_told_and_closed() -> None:
    gw = Gateway(authorizer=Door())
    watcher = hears(client(gw, "s"), "w")
    party = gw.mqtt("c", 5) >> "CONNECT c user=u pass=wrong will=w will_body=x" << "CONNACK 0x86 present=0"
    ended(party)
    watcher.silent()
    client(gw, "c", "user=u pass=p")


def test_3_1_4_2_anonymous_clients_are_refused_where_not_allowed() -> None:
    gw = Gateway(mqtt_limits=Limits(allow_anonymous=False))
    party = gw.mqtt("c", 5) >> "CONNECT c" << "CONNACK 0x87 present=0"
    ended(party)


def test_3_1_4_3_old_connection_of_the_client_id_is_taken_over(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    old = client(gw, "c", "expiry=100 will=w will_body=gone")
    new = client(gw, "c", "clean=0 expiry=100", present=1, party="new")
    old << "DISCONNECT 0x8e"
    ended(old)
    watcher << "PUBLISH w gone"
    alive(gw, new)


def test_s_3_1_4_take_over_within_the_will_delay_sends_no_will(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    old = client(gw, "c", "expiry=100 will=w will_delay=10 will_body=gone")
    client(gw, "c", "clean=0 expiry=100", present=1, party="new")
    old << "DISCONNECT 0x8e"
    ended(old)
    gw.advance(60_000)
    watcher.silent()


def test_3_1_4_3_take_over_moves_what_is_unfinished(gw: Gateway) -> None:
    old = hears(client(gw, "c", "expiry=100"), "t qos=1")
    client(gw, "p") >> "PUBLISH t qos=1 id=1 x" << "PUBACK 1"
    old << "PUBLISH t qos=1 id=1 x"
    new = client(gw, "c", "clean=0 expiry=100", present=1, party="new") << "PUBLISH t qos=1 dup id=1 x"
    old << "DISCONNECT 0x8e"
    ended(old)
    new >> "PUBACK 1"
    new.silent()


def test_3_1_4_4_take_over_with_clean_start(gw: Gateway) -> None:
    old = hears(client(gw, "c", "expiry=100"), "t qos=1")
    new = client(gw, "c", "clean=1", party="new")
    old << "DISCONNECT 0x8e"
    ended(old)
    client(gw, "p") >> "PUBLISH t x"
    new.silent()


def test_3_1_4_5_connect_is_acknowledged(gw: Gateway) -> None:
    gw.mqtt("c", 5) >> CONNECT << "CONNACK 0 present=0"


def test_3_1_4_6_nothing_behind_a_refused_connect_is_processed() -> None:
    gw = Gateway(authorizer=Door())
    watcher = hears(client(gw, "s"), "t")
    body = HEAD + b"\xc2\x00\x00\x00\x00\x01c\x00\x01u\x00\x05wrong"
    party = (
        gw.mqtt("c", 5) >> packet(0x10, body) + packet(0x30, b"\x00\x01t\x00x") << "CONNACK 0x86 present=0"
    )
    ended(party)
    watcher.silent()


def test_s_3_1_4_client_may_send_on_before_it_has_the_connack(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "t")
    gw.mqtt("c", 5) >> CONNECT + packet(0x30, b"\x00\x01t\x00x") + b"\xc0\x00"
    gw.mqtt("c", 5) << "CONNACK 0 present=0" << "PINGRESP"
    watcher << "PUBLISH t x"


def test_s_3_1_no_connect_in_time(gw: Gateway) -> None:
    party = gw.mqtt("c", 5)
    gw.advance(Limits().connect_timeout_ms)
    ended(party)


def test_s_3_1_2_11_2_server_may_keep_sessions_for_less_long() -> None:
    gw = Gateway(mqtt=MqttSettings(session_expiry_max_s=60))
    party = gw.mqtt("c", 5) >> "CONNECT c expiry=100" << "CONNACK 0 present=0 expiry=60"
    party >> DROP
    gw.advance(60_000)
    client(gw, "c", "clean=0")


def test_s_3_1_2_11_4_connect_above_our_maximum_is_0x95() -> None:
    gw = Gateway(mqtt_limits=Limits(max_frame_size=100, slow_consumer=DROP_OLDEST))
    party = gw.mqtt("c", 5) >> "CONNECT " + "c" * 200 << "CONNACK 0x95 present=0"
    ended(party)


def test_s_3_1_2_11_8_2000_user_properties(gw: Gateway) -> None:
    party = client(gw, "c", " ".join(f"user.name{n}=value" for n in range(2_000)))
    alive(gw, party)


def test_s_3_1_2_5_will_of_a_session_that_ended_is_gone_with_it(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    client(gw, "c", "expiry=100 will=w will_body=old") >> DROP
    watcher << "PUBLISH w old"
    client(gw, "c", "clean=1 will=w will_body=new") >> DROP
    watcher << "PUBLISH w new"
    watcher.silent()


def test_s_4_13_disconnect_carries_no_properties_that_a_server_may_not_send(gw: Gateway) -> None:
    old = client(gw, "c", "expiry=100")
    client(gw, "c", "expiry=100", party="new")
    disconnect = old.take()
    assert isinstance(disconnect, Disconnect)
    assert disconnect.properties is None or disconnect.properties.session_expiry_s is None
