"""MQTT 3.1.1 §3.1 CONNECT and §3.2 CONNACK.

`test_3_1_2_4_…` is [MQTT-3.1.2-4]; `test_s_3_1_3_…` a sentence of §3.1.3 without a number.  Each byte of flags and
each field cut off is gone through in tests/protocols/mqtt (test_mqtt_bad_connect.py and test_mqtt_bad_input.py).

Not tested:
  3.1.2-9, -11, -18 to -21, 3.1.3-1, -3   layout: a CONNECT that breaks it cannot be told from another, or is cut off
  3.1.2-23                                an obligation of a client
  3.2.2-6                                 we have no refusal without a return code that fits
"""

import pytest
from harness import DROP, Gateway
from mqtt_spec import Door, alive, client, ended, hears, packet

from gateway.connectors.base import Limits
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.core.limits import DROP_OLDEST

HEAD = b"\x00\x04MQTT\x04"
CONNECT = packet(0x10, HEAD + b"\x02\x00\x00\x00\x01c")


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


@pytest.mark.parametrize("first", ["PINGREQ", "PUBLISH t x", "SUBSCRIBE 1 t", "DISCONNECT", "PUBREL 1"])
def test_3_1_0_1_first_packet_is_connect(gw: Gateway, first: str) -> None:
    other = client(gw, "o", version=4)
    ended(gw.mqtt("c", 4) >> first)
    alive(gw, other)


def test_3_1_0_2_second_connect_closes(gw: Gateway) -> None:
    watcher = hears(client(gw, "s", version=4), "w")
    ended(client(gw, "c", "will=w will_body=gone", version=4) >> CONNECT)
    watcher << "PUBLISH w gone"


@pytest.mark.parametrize("name", [b"MQTZ", b"mqtt", b"MQTTX", b"", b"MQIsdpX"])
def test_3_1_2_1_wrong_protocol_name_closes_without_an_answer(gw: Gateway, name: bytes) -> None:
    ended(gw.mqtt("c", 4) >> packet(0x10, len(name).to_bytes(2, "big") + name + b"\x04\x02\x00\x00\x00\x01c"))


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_3_1_2_2_unacceptable_level_is_return_code_1(gw: Gateway, level: int) -> None:
    party = gw.mqtt("c", 4) >> packet(0x10, b"\x00\x04MQTT" + bytes((level,)) + b"\x02\x00\x00\x00\x01c")
    party << "CONNACK 1 present=0"
    ended(party)


@pytest.mark.parametrize("level", [0x83, 0x84])
def test_3_1_2_2_bridges_of_mosquitto_are_told_in_a_way_they_understand(gw: Gateway, level: int) -> None:
    party = gw.mqtt("c", 4) >> packet(0x10, b"\x00\x04MQTT" + bytes((level,)) + b"\x02\x00\x00\x00\x01c")
    party << "CONNACK 1 present=0"
    ended(party)


def test_3_1_2_3_reserved_flag_closes_without_an_answer(gw: Gateway) -> None:
    ended(gw.mqtt("c", 4) >> packet(0x10, HEAD + b"\x03\x00\x00\x00\x01c"))


def test_3_1_2_4_session_is_resumed(gw: Gateway) -> None:
    hears(client(gw, "c", "clean=0", version=4), "t qos=1") >> DROP
    gw.advance(1_000_000_000)
    party = client(gw, "c", "clean=0", version=4, present=1)
    client(gw, "p", version=4) >> "PUBLISH t x"
    party << "PUBLISH t x"


@pytest.mark.parametrize("qos", [1, 2])
def test_3_1_2_5_messages_wait_for_the_client(gw: Gateway, qos: int) -> None:
    hears(client(gw, "c", "clean=0", version=4), "t qos=2") >> "DISCONNECT" >> DROP
    publisher = client(gw, "p", version=4)
    for n in range(1, 4):
        publisher >> f"PUBLISH t qos={qos} id={n} {n}"
    party = client(gw, "c", "clean=0", version=4, present=1)
    for n in range(1, 4):
        party << f"PUBLISH t qos={qos} id={n} {n}"


def test_3_1_2_6_clean_session_discards_and_is_not_used_again(gw: Gateway) -> None:
    hears(client(gw, "c", "clean=0", version=4), "t qos=1") >> DROP
    client(gw, "p", version=4) >> "PUBLISH t qos=1 id=1 x"
    party = client(gw, "c", "clean=1", version=4)
    party.silent()
    hears(party, "u qos=1") >> DROP
    gw.mqtt("p", 4) >> "PUBLISH u qos=1 id=1 x"
    client(gw, "c", "clean=0", version=4, present=0).silent()


def test_3_1_2_7_retained_messages_are_not_part_of_a_session(gw: Gateway) -> None:
    client(gw, "c", "clean=1", version=4) >> "PUBLISH t retain x" >> "DISCONNECT" >> DROP
    client(gw, "c", "clean=1", version=4) >> DROP
    hears(client(gw, "s", version=4), "t") << "PUBLISH t retain x"


@pytest.mark.parametrize("how", ["broken", "keep-alive", "protocol error", "taken over"])
def test_3_1_2_8_will_is_published_when_the_connection_closes(gw: Gateway, how: str) -> None:
    watcher = hears(client(gw, "s", version=4), "w/# qos=2")
    party = client(gw, "c", "keepalive=10 will=w/c will_qos=1 will_body=gone", version=4)
    if how == "broken":
        party >> DROP
    elif how == "keep-alive":
        gw.advance(15_000)
        ended(party)
    elif how == "taken over":
        client(gw, "c", version=4, party="new")
        ended(party)
    else:
        ended(party >> b"\x00\x00")
    watcher << "PUBLISH w/c qos=1 id=1 gone"
    watcher.silent()


def test_3_1_2_10_disconnect_removes_the_will(gw: Gateway) -> None:
    watcher = hears(client(gw, "s", version=4), "w")
    client(gw, "c", "will=w will_body=gone", version=4) >> "DISCONNECT" >> DROP
    gw.advance(1_000)
    watcher.silent()


def test_3_1_2_10_will_is_published_once(gw: Gateway) -> None:
    watcher = hears(client(gw, "s", version=4), "w")
    client(gw, "c", "clean=0 will=w will_body=gone", version=4) >> DROP
    watcher << "PUBLISH w gone"
    client(gw, "c", "clean=0", version=4, present=1) >> DROP
    watcher.silent()


def test_3_1_2_12_no_will_without_the_flag(gw: Gateway) -> None:
    watcher = hears(client(gw, "s", version=4), "#")
    client(gw, "c", version=4) >> DROP
    watcher.silent()


@pytest.mark.parametrize("flags", [0x08, 0x10, 0x18, 0x20], ids=hex)
def test_3_1_2_11_13_and_15_will_flags_without_a_will_close(gw: Gateway, flags: int) -> None:
    ended(gw.mqtt("c", 4) >> packet(0x10, HEAD + bytes((flags | 2,)) + b"\x00\x00\x00\x01c"))


def test_3_1_2_14_will_of_qos_3_closes(gw: Gateway) -> None:
    ended(gw.mqtt("c", 4) >> packet(0x10, HEAD + b"\x1e\x00\x00\x00\x01c\x00\x01w\x00\x00"))


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_3_1_2_14_will_has_its_qos(gw: Gateway, qos: int) -> None:
    watcher = hears(client(gw, "s", version=4), "w qos=2")
    client(gw, "c", f"will=w will_qos={qos} will_body=x", version=4) >> DROP
    watcher << (f"PUBLISH w qos={qos} id=1 x" if qos else "PUBLISH w x")


def test_3_1_2_16_and_17_will_is_retained_where_it_says_so(gw: Gateway) -> None:
    client(gw, "a", "will=w/a will_body=x", version=4) >> DROP
    client(gw, "b", "will=w/b will_retain will_body=x", version=4) >> DROP
    party = hears(client(gw, "s", version=4), "w/+") << "PUBLISH w/b retain x"
    party.silent()


def test_3_1_2_22_password_without_user_name_closes(gw: Gateway) -> None:
    ended(gw.mqtt("c", 4) >> packet(0x10, HEAD + b"\x42\x00\x00\x00\x01c\x00\x01p"))


def test_3_1_2_24_silence_of_one_and_a_half_keep_alives(gw: Gateway) -> None:
    party = client(gw, "c", "keepalive=10", version=4)
    gw.advance(14_999)
    party >> "PINGREQ" << "PINGRESP"
    gw.advance(14_999)
    assert not party.closed
    gw.advance(1)
    ended(party)


def test_s_3_1_2_10_keep_alive_0_is_off(gw: Gateway) -> None:
    party = client(gw, "c", "keepalive=0", version=4)
    gw.advance(10_000_000)
    alive(gw, party)


def test_s_3_1_2_10_keep_alive_above_the_maximum_is_refused() -> None:
    # 3.1.1 has no way to tell a client another keep-alive: as Mosquitto does, it is refused.
    gw = Gateway(mqtt=MqttSettings(keep_alive_max_s=20))
    for asked in (21, 0):
        party = gw.mqtt("c", 4) >> f"CONNECT c keepalive={asked}" << "CONNACK 2 present=0"
        ended(party)
    client(gw, "c", "keepalive=20", version=4)


def test_3_1_3_2_client_id_names_the_session(gw: Gateway) -> None:
    client(gw, "a", "clean=0", version=4) >> DROP
    client(gw, "b", "clean=0", version=4)
    client(gw, "A", "clean=0", version=4)
    client(gw, "a", "clean=0", version=4, present=1)


def test_3_1_3_4_client_id_that_is_not_utf_8(gw: Gateway) -> None:
    ended(gw.mqtt("c", 4) >> packet(0x10, HEAD + b"\x02\x00\x00\x00\x01\xff"))


@pytest.mark.parametrize(
    "name", ["0", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "ü/+#$ é", "x" * 300]
)
def test_3_1_3_5_client_ids_that_must_be_allowed_and_others(gw: Gateway, name: str) -> None:
    raw = name.encode()
    party = gw.mqtt("c", 4) >> packet(0x10, HEAD + b"\x02\x00\x00" + len(raw).to_bytes(2, "big") + raw)
    alive(gw, party << "CONNACK 0 present=0")


def test_3_1_3_6_and_7_empty_client_ids_with_a_clean_session_are_clients_of_their_own(gw: Gateway) -> None:
    one = gw.mqtt("one", 4) >> "CONNECT - clean=1" << "CONNACK 0 present=0"
    two = gw.mqtt("two", 4) >> "CONNECT - clean=1" << "CONNACK 0 present=0"
    hears(one, "t"), hears(two, "t")
    one >> "PUBLISH t x" << "PUBLISH t x"
    two << "PUBLISH t x"


def test_3_1_3_8_and_9_empty_client_id_without_a_clean_session_is_return_code_2(gw: Gateway) -> None:
    party = gw.mqtt("c", 4) >> "CONNECT - clean=0" << "CONNACK 2 present=0"
    ended(party)


def test_s_3_1_3_1_client_id_of_3_1_is_not_empty(gw: Gateway) -> None:
    party = gw.mqtt("c", 3) >> "CONNECT -" << "CONNACK 2 present=0"
    ended(party)


def test_3_1_3_10_will_topic_is_utf_8_and_a_topic_name(gw: Gateway) -> None:
    for topic in (b"\x00\x01\xff", b"\x00\x01#", b"\x00\x00"):
        ended(gw.mqtt("c", 4) >> packet(0x10, HEAD + b"\x06\x00\x00\x00\x01c" + topic + b"\x00\x00"))


def test_s_3_1_3_3_will_may_be_empty(gw: Gateway) -> None:
    watcher = hears(client(gw, "s", version=4), "w")
    client(gw, "c", "will=w will_body=", version=4) >> DROP
    watcher << "PUBLISH w"


def test_3_1_3_11_user_name_that_is_not_utf_8(gw: Gateway) -> None:
    ended(gw.mqtt("c", 4) >> packet(0x10, HEAD + b"\x82\x00\x00\x00\x01c\x00\x01\xff"))


def test_3_1_4_1_connect_that_is_cut_off_or_too_long_closes_without_an_answer(gw: Gateway) -> None:
    for body in (
        HEAD + b"\x02\x00\x00\x00\x09c",
        HEAD + b"\x02\x00\x00\x00\x01cx",
        HEAD,
        HEAD + b"\x02\x00\x00",
    ):
        ended(gw.mqtt("c", 4) >> packet(0x10, body))


def test_3_1_4_2_old_connection_of_the_client_id_is_closed(gw: Gateway) -> None:
    old = hears(client(gw, "c", "clean=0", version=4), "t qos=1")
    client(gw, "p", version=4) >> "PUBLISH t qos=1 id=1 x"
    old << "PUBLISH t qos=1 id=1 x"
    new = client(gw, "c", "clean=0", version=4, present=1, party="new") << "PUBLISH t qos=1 dup id=1 x"
    ended(old)
    alive(gw, new)


def test_3_1_4_3_take_over_with_clean_session(gw: Gateway) -> None:
    old = hears(client(gw, "c", "clean=0", version=4), "t")
    new = client(gw, "c", "clean=1", version=4, party="new")
    ended(old)
    client(gw, "p", version=4) >> "PUBLISH t x"
    new.silent()


def test_3_1_4_4_and_3_2_0_1_connack_comes_first(gw: Gateway) -> None:
    hears(client(gw, "c", "clean=0", version=4), "t qos=1") >> DROP
    client(gw, "p", version=4) >> "PUBLISH t qos=1 id=1 x"
    gw.mqtt("c", 4) >> "CONNECT c clean=0"
    assert gw.mqtt("c", 4).rest() == ["CONNACK 0 present=1", "PUBLISH t qos=1 id=1 x"]


def test_3_1_4_5_nothing_behind_a_refused_connect_is_processed() -> None:
    gw = Gateway(authorizer=Door())
    watcher = hears(client(gw, "s", version=4), "t")
    refused = packet(0x10, HEAD + b"\xc2\x00\x00\x00\x01c\x00\x01u\x00\x05wrong")
    party = gw.mqtt("c", 4) >> refused + packet(0x30, b"\x00\x01tx") << "CONNACK 4 present=0"
    ended(party)
    watcher.silent()


def test_s_3_1_4_client_may_send_on_before_it_has_the_connack(gw: Gateway) -> None:
    party = gw.mqtt("c", 4) >> CONNECT + packet(0x82, b"\x00\x01\x00\x01t\x00") + packet(0x30, b"\x00\x01tx")
    party << "CONNACK 0 present=0" << "SUBACK 1 0" << "PUBLISH t x"


def test_s_3_1_no_connect_in_time(gw: Gateway) -> None:
    party = gw.mqtt("c", 4)
    gw.advance(Limits().connect_timeout_ms)
    ended(party)


# -- 3.2 CONNACK


def test_3_2_2_1_no_session_present_after_clean_session(gw: Gateway) -> None:
    client(gw, "c", "clean=0", version=4) >> DROP
    client(gw, "c", "clean=1", version=4, present=0)


def test_3_2_2_2_and_3_session_present(gw: Gateway) -> None:
    client(gw, "c", "clean=0", version=4, present=0) >> DROP
    client(gw, "c", "clean=0", version=4, present=1)


def test_3_2_2_4_and_5_refusal_has_no_session_present_and_closes() -> None:
    gw = Gateway(authorizer=Door())
    client(gw, "c", "clean=0", version=4) >> DROP
    party = gw.mqtt("c", 4) >> "CONNECT c clean=0 user=u pass=wrong" << "CONNACK 4 present=0"
    ended(party)


def test_s_3_2_2_3_return_codes() -> None:
    limits = Limits(allow_anonymous=False, slow_consumer=DROP_OLDEST)
    gw = Gateway(authorizer=Door(), mqtt_limits=limits, mqtt=MqttSettings(sessions_max=1))
    for words, code in (("c", 5), ("c user=u pass=wrong", 4), ("c user=x", 4)):
        party = gw.mqtt("c", 4) >> f"CONNECT {words}" << f"CONNACK {code} present=0"
        ended(party)
    client(gw, "c", "user=u pass=p", version=4)
    party = gw.mqtt("d", 4) >> "CONNECT d user=u pass=p" << "CONNACK 3 present=0"
    ended(party)


def test_s_3_2_connack_is_four_bytes(gw: Gateway) -> None:
    party = gw.mqtt("c", 4) >> CONNECT
    assert b"".join(party.connector.bytes_out(gw.now_ms)) == b"\x20\x02\x00\x00"


def test_s_3_2_2_2_connack_of_3_1_has_no_session_present(gw: Gateway) -> None:
    client(gw, "c", "clean=0", version=3, present=0) >> DROP
    client(gw, "c", "clean=0", version=3, present=0)
