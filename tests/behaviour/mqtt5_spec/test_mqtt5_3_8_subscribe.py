"""MQTT 5.0 §3.8 SUBSCRIBE and §3.9 SUBACK.

`test_3_8_3_3_…` is [MQTT-3.8.3-3]; `test_s_3_8_2_1_2_…` a sentence of §3.8.2.1.2 without a number.

Not tested:
  3.9.2-2   we send no user properties of our own in SUBACK
"""

import pytest
from harness import DROP, Gateway
from mqtt_spec import Door, alive, client, ended, hears, packet

from gateway.connectors.base import Limits
from gateway.core.limits import DROP_OLDEST
from protocols.mqtt.frames import Suback


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


def _subscribe(filter: bytes, options: int, properties: bytes = b"") -> bytes:
    body = b"\x00\x01" + bytes((len(properties),)) + properties
    return packet(0x82, body + len(filter).to_bytes(2, "big") + filter + bytes((options,)))


@pytest.mark.parametrize("first", [0x80, 0x81, 0x83, 0x86, 0x8A], ids=hex)
def test_3_8_1_1_reserved_flags_are_malformed(gw: Gateway, first: int) -> None:
    party = client(gw, "c") >> packet(first, b"\x00\x01\x00\x00\x01t\x00") << "DISCONNECT 0x81"
    ended(party)


def test_3_8_3_1_filter_is_utf_8(gw: Gateway) -> None:
    party = client(gw, "c") >> _subscribe(b"\xff", 0) << "DISCONNECT 0x81"
    ended(party)


def test_3_8_3_2_subscribe_without_filters_is_a_protocol_error(gw: Gateway) -> None:
    party = client(gw, "c") >> packet(0x82, b"\x00\x01\x00") << "DISCONNECT 0x82"
    ended(party)


@pytest.mark.parametrize("qos", [0, 1])
def test_3_8_3_3_no_local_keeps_a_clients_own_messages_away(gw: Gateway, qos: int) -> None:
    party = hears(client(gw, "c"), f"t qos={qos} nl")
    party >> "PUBLISH t x"
    party.silent()
    client(gw, "o") >> "PUBLISH t y"
    party << "PUBLISH t y"


def test_3_8_3_3_no_local_goes_by_client_id_over_connections(gw: Gateway) -> None:
    hears(client(gw, "c", "expiry=100"), "t qos=1 nl") >> DROP
    party = client(gw, "c", "clean=0", present=1) >> "PUBLISH t qos=1 id=1 x"
    assert party.rest() in (["PUBACK 1"], ["PUBACK 1 0x10"])


def test_3_8_3_3_no_local_does_not_stop_other_subscriptions_of_the_client(gw: Gateway) -> None:
    party = hears(client(gw, "c"), "t nl", "+")
    party >> "PUBLISH t x" << "PUBLISH t x"
    party.silent()


def test_s_3_8_3_1_no_local_and_retained_messages_of_ones_own(gw: Gateway) -> None:
    party = client(gw, "c") >> "PUBLISH t retain x"
    hears(party, "t nl").silent()
    hears(client(gw, "o"), "t nl") << "PUBLISH t retain x"


def test_3_8_3_4_no_local_on_a_shared_subscription_is_a_protocol_error(gw: Gateway) -> None:
    party = client(gw, "c") >> "SUBSCRIBE 1 $share/g/t nl" << "DISCONNECT 0x82"
    ended(party)


@pytest.mark.parametrize("options", [0x40, 0x80, 0xC0])
def test_3_8_3_5_reserved_option_bits_are_malformed(gw: Gateway, options: int) -> None:
    party = client(gw, "c") >> _subscribe(b"t", options) << "DISCONNECT 0x81"
    ended(party)


@pytest.mark.parametrize("options", [0x03, 0x30, 0x31], ids=["QoS 3", "retain handling 3", "with QoS 1"])
def test_s_3_8_3_1_qos_3_and_retain_handling_3_are_protocol_errors(gw: Gateway, options: int) -> None:
    party = client(gw, "c") >> _subscribe(b"t", options) << "DISCONNECT 0x82"
    ended(party)


@pytest.mark.parametrize(
    ("properties", "code"),
    [(b"\x0b\x00", "0x82"), (b"\x0b\x01\x0b\x02", "0x82"), (b"\x0b", "0x81"), (b"\x0b\x80", "0x81")],
    ids=["0", "twice", "no value", "cut off"],
)
def test_s_3_8_2_1_2_bad_subscription_identifiers(gw: Gateway, properties: bytes, code: str) -> None:
    party = client(gw, "c") >> _subscribe(b"t", 0, properties) << f"DISCONNECT {code}"
    ended(party)


def test_3_8_4_1_and_2_suback_with_the_same_packet_identifier(gw: Gateway) -> None:
    client(gw, "c") >> "SUBSCRIBE 12345 t" << "SUBACK 12345 0"


def test_3_8_4_3_same_filter_replaces_the_subscription(gw: Gateway) -> None:
    party = hears(client(gw, "c"), "t qos=2", "t")
    publisher = client(gw, "p") >> "PUBLISH t qos=2 id=1 x"
    party << "PUBLISH t x"
    party.silent()
    hears(party, "t qos=1")
    publisher >> "PUBREL 1" >> "PUBLISH t qos=2 id=1 y"
    party << "PUBLISH t qos=1 id=1 y"
    party >> "UNSUBSCRIBE 3 t" << "UNSUBACK 3 0" >> "UNSUBSCRIBE 4 t" << "UNSUBACK 4 0x11"


def test_3_8_4_4_retained_messages_are_sent_again_and_none_are_lost(gw: Gateway) -> None:
    publisher = client(gw, "p") >> "PUBLISH t retain kept"
    party = hears(client(gw, "c", "recvmax=1"), "t qos=1") << "PUBLISH t retain kept"
    for n in range(1, 4):
        publisher >> f"PUBLISH t qos=1 id={n} {n}"
    party << "PUBLISH t qos=1 id=1 1" >> "SUBSCRIBE 2 t qos=1" << "SUBACK 2 1"
    heard = party.rest()
    for n in range(1, 4):
        party >> f"PUBACK {n}"
        heard += party.rest()
    assert heard.count("PUBLISH t retain kept") == 1
    assert [text for text in heard if "retain" not in text] == [
        "PUBLISH t qos=1 id=2 2",
        "PUBLISH t qos=1 id=3 3",
    ]


def test_3_8_4_4_messages_that_wait_survive_resubscription(gw: Gateway) -> None:
    hears(client(gw, "c", "expiry=100 recvmax=1"), "t qos=1") >> DROP
    publisher = client(gw, "p")
    for n in range(1, 4):
        publisher >> f"PUBLISH t qos=1 id={n} {n}"
    party = client(gw, "c", "clean=0 recvmax=1", present=1)
    party << "PUBLISH t qos=1 id=1 1" >> "SUBSCRIBE 2 t qos=1" << "SUBACK 2 1"
    party >> "PUBACK 1" << "PUBLISH t qos=1 id=2 2" >> "PUBACK 2" << "PUBLISH t qos=1 id=3 3"


def test_3_8_4_5_several_filters_are_as_several_subscribes(gw: Gateway) -> None:
    party = client(gw, "c") >> "SUBSCRIBE 1 a qos=2 a qos=1 a b" << "SUBACK 1 2 1 0 0"
    client(gw, "p") >> "PUBLISH a qos=2 id=1 x"
    party << "PUBLISH a x"
    party.silent()


def test_3_8_4_6_and_3_9_3_1_a_code_for_each_filter_in_order(gw: Gateway) -> None:
    client(gw, "c") >> "SUBSCRIBE 1 a qos=2 a/#/b b+ c qos=1 $share//x d" << "SUBACK 1 2 0x8f 0x8f 1 0x8f 0"


def test_3_8_4_7_and_3_9_3_2_failures_have_their_codes() -> None:
    limits = Limits(max_subscriptions=1, slow_consumer=DROP_OLDEST)
    gw = Gateway(authorizer=Door(forbidden="no"), mqtt_limits=limits)
    party = client(gw, "c") >> "SUBSCRIBE 1 no a#b ok more" << "SUBACK 1 0x87 0x8f 0 0x97"
    alive(gw, party)


@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_3_8_4_8_delivery_has_the_lower_qos(gw: Gateway, published: int, granted: int) -> None:
    one, two = (f"qos={published} id={n} " if published else "" for n in (1, 2))
    party = hears(client(gw, "c"), f"t qos={granted}")
    client(gw, "p") >> f"PUBLISH t {one}x" >> f"PUBLISH r {two}retain y"
    qos = min(published, granted)
    party << (f"PUBLISH t qos={qos} id=1 x" if qos else "PUBLISH t x")
    if qos == 1:
        party >> "PUBACK 1"
    hears(party, f"r qos={granted}") << (
        f"PUBLISH r qos={qos} retain id=2 y" if qos else "PUBLISH r retain y"
    )


def test_s_3_8_4_retained_messages_follow_the_suback(gw: Gateway) -> None:
    publisher = client(gw, "p")
    for n in range(3):
        publisher >> f"PUBLISH t/{n} retain x"
    party = client(gw, "c") >> "SUBSCRIBE 1 t/0 t/1 t/2 rh=2" << "SUBACK 1 0 0 0"
    assert sorted(party.rest()) == ["PUBLISH t/0 retain x", "PUBLISH t/1 retain x"]


@pytest.mark.parametrize("filter", ["a/#/b", "#/a", "a#", "a/b#", "+a", "a/+b", "a/b+/c", "##", "++", "#+"])
def test_s_3_8_4_filter_with_misplaced_wildcards_is_refused(gw: Gateway, filter: str) -> None:
    party = client(gw, "c") >> f"SUBSCRIBE 1 {filter} ok" << "SUBACK 1 0x8f 0"
    alive(gw, party)


def test_s_4_7_3_empty_filter_is_a_protocol_error(gw: Gateway) -> None:
    party = client(gw, "c") >> _subscribe(b"", 0) << "DISCONNECT 0x82"
    ended(party)


def test_3_9_2_1_reason_string_is_left_out_where_it_makes_the_packet_too_large() -> None:
    gw = Gateway(authorizer=Door(forbidden="no"))
    party = gw.mqtt("c", 5) >> "CONNECT c maxsize=60"
    party.rest()
    party >> "SUBSCRIBE 1 " + " ".join(["a/#/b"] * 50)
    data = b"".join(party.connector.bytes_out(gw.now_ms))
    assert len(data) <= 60
    assert data[:5] == b"\x90\x35\x00\x01\x00"


def test_s_3_8_2_1_3_user_properties_of_subscribe_are_taken(gw: Gateway) -> None:
    party = (
        client(gw, "c")
        >> _subscribe(b"t", 0, b"\x26\x00\x01k\x00\x01v\x26\x00\x01k\x00\x01v")
        << "SUBACK 1 0"
    )
    suback = (party >> "SUBSCRIBE 2 u").take()
    assert isinstance(suback, Suback)
    assert suback.codes == [0]


def test_s_3_8_4_server_may_send_before_the_suback_only_what_matches(gw: Gateway) -> None:
    party = hears(client(gw, "c"), "a")
    publisher = client(gw, "p") >> "PUBLISH b x"
    party >> "SUBSCRIBE 2 b" << "SUBACK 2 0"
    publisher >> "PUBLISH b y"
    party << "PUBLISH b y"


def test_s_3_8_3_256_levels_and_no_more(gw: Gateway) -> None:
    party = client(gw, "c") >> f"SUBSCRIBE 1 {'a/' * 255}a {'a/' * 256}a" << "SUBACK 1 0 0x8f"
    alive(gw, party)
