"""MQTT 3.1.1 §3.8 to §3.14: SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT.

`test_3_8_3_3_…` is [MQTT-3.8.3-3]; `test_s_3_10_…` a sentence without a number.

Not tested:
  3.8.3-2              we support wildcards
  3.14.4-1, 3.14.4-2   obligations of a client
"""

import pytest
from harness import DROP, Gateway
from mqtt_spec import Door, alive, client, ended, hears, packet


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


# -- SUBSCRIBE, SUBACK


@pytest.mark.parametrize("first", [0x80, 0x81, 0x83, 0x86, 0x8A], ids=hex)
def test_3_8_1_1_reserved_flags_of_subscribe_close(gw: Gateway, first: int) -> None:
    ended(client(gw, "c", version=4) >> packet(first, b"\x00\x01\x00\x01t\x00"))


def test_3_8_3_1_filter_is_utf_8(gw: Gateway) -> None:
    ended(client(gw, "c", version=4) >> packet(0x82, b"\x00\x01\x00\x01\xff\x00"))


def test_3_8_3_3_subscribe_without_filters_closes(gw: Gateway) -> None:
    ended(client(gw, "c", version=4) >> packet(0x82, b"\x00\x01"))


@pytest.mark.parametrize("options", [0x03, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFF], ids=hex)
def test_3_8_3_4_reserved_bits_or_qos_3_close(gw: Gateway, options: int) -> None:
    ended(client(gw, "c", version=4) >> packet(0x82, b"\x00\x01\x00\x01t" + bytes((options,))))


def test_3_8_4_1_and_2_suback_with_the_same_packet_identifier(gw: Gateway) -> None:
    client(gw, "c", version=4) >> "SUBSCRIBE 12345 t" << "SUBACK 12345 0"


def test_3_8_4_3_same_filter_replaces_and_retained_messages_are_sent_again(gw: Gateway) -> None:
    publisher = client(gw, "p", version=4) >> "PUBLISH t retain kept"
    party = hears(client(gw, "c", version=4), "t qos=2") << "PUBLISH t retain kept"
    hears(party, "t qos=0") << "PUBLISH t retain kept"
    publisher >> "PUBLISH t qos=2 id=1 x"
    party << "PUBLISH t x"
    party.silent()


def test_3_8_4_3_flow_of_publications_is_not_interrupted(gw: Gateway) -> None:
    hears(client(gw, "c", "clean=0", version=4), "t qos=1") >> DROP
    publisher = client(gw, "p", version=4)
    for n in range(1, 4):
        publisher >> f"PUBLISH t qos=1 id={n} {n}"
    party = gw.mqtt("c", 4) >> "CONNECT c clean=0" >> "SUBSCRIBE 1 t qos=1"
    heard = [text for text in party.rest() if text.startswith("PUBLISH")]
    assert heard == [f"PUBLISH t qos=1 id={n} {n}" for n in range(1, 4)]


def test_3_8_4_4_several_filters_are_as_several_subscribes(gw: Gateway) -> None:
    party = client(gw, "c", version=4) >> "SUBSCRIBE 1 a qos=2 a qos=1 a b" << "SUBACK 1 2 1 0 0"
    client(gw, "p", version=4) >> "PUBLISH a qos=2 id=1 x"
    party << "PUBLISH a x"
    party.silent()


def test_3_8_4_5_3_9_3_1_and_2_a_code_for_each_filter_in_order() -> None:
    gw = Gateway(authorizer=Door(forbidden="no"))
    party = client(gw, "c", version=4) >> "SUBSCRIBE 1 a qos=2 no c qos=1 $share//x d"
    party << "SUBACK 1 2 0x80 1 0x80 0"
    alive(gw, party)


@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_3_8_4_6_delivery_has_the_lower_qos(gw: Gateway, published: int, granted: int) -> None:
    one, two = (f"qos={published} id={n} " if published else "" for n in (1, 2))
    party = hears(client(gw, "c", version=4), f"t qos={granted}")
    client(gw, "p", version=4) >> f"PUBLISH t {one}x" >> f"PUBLISH r {two}retain y"
    qos = min(published, granted)
    party << (f"PUBLISH t qos={qos} id=1 x" if qos else "PUBLISH t x")
    hears(party, f"r qos={granted}") << (
        f"PUBLISH r qos={qos} retain id=2 y" if qos else "PUBLISH r retain y"
    )


def test_s_3_8_3_filter_that_is_cut_off_closes(gw: Gateway) -> None:
    for body in (b"", b"\x00", b"\x00\x01\x00", b"\x00\x01\x00\x05t", b"\x00\x01\x00\x01t"):
        ended(client(gw, "c", version=4) >> packet(0x82, body))


def test_s_4_7_3_empty_filter_closes(gw: Gateway) -> None:
    ended(client(gw, "c", version=4) >> packet(0x82, b"\x00\x01\x00\x00\x00"))


# -- UNSUBSCRIBE, UNSUBACK


@pytest.mark.parametrize("first", [0xA0, 0xA1, 0xA3, 0xA6, 0xAA], ids=hex)
def test_3_10_1_1_reserved_flags_of_unsubscribe_close(gw: Gateway, first: int) -> None:
    ended(client(gw, "c", version=4) >> packet(first, b"\x00\x01\x00\x01t"))


def test_3_10_3_1_filter_is_utf_8(gw: Gateway) -> None:
    ended(client(gw, "c", version=4) >> packet(0xA2, b"\x00\x01\x00\x01\xff"))


def test_3_10_3_2_unsubscribe_without_filters_closes(gw: Gateway) -> None:
    ended(client(gw, "c", version=4) >> packet(0xA2, b"\x00\x01"))


def test_3_10_4_1_filters_are_compared_character_by_character(gw: Gateway) -> None:
    party = hears(client(gw, "c", version=4), "a/+")
    for n, other in enumerate(["a/b", "a/#", "A/+", "a/+/", "/a/+", "+/+"], 1):
        party >> f"UNSUBSCRIBE {n} {other}" << f"UNSUBACK {n}"
    publisher = client(gw, "p", version=4) >> "PUBLISH a/b x"
    party << "PUBLISH a/b x" >> "UNSUBSCRIBE 9 a/+" << "UNSUBACK 9"
    publisher >> "PUBLISH a/b x"
    party.silent()


@pytest.mark.parametrize("qos", [1, 2])
def test_3_10_4_2_and_3_no_new_messages_and_what_has_begun_is_finished(gw: Gateway, qos: int) -> None:
    party = hears(client(gw, "c", "clean=0", version=4), f"t qos={qos}")
    publisher = client(gw, "p", version=4) >> "PUBLISH t qos=2 id=1 x"
    party << f"PUBLISH t qos={qos} id=1 x" >> "UNSUBSCRIBE 1 t" << "UNSUBACK 1"
    publisher >> "PUBLISH t qos=2 id=2 y"
    party.silent()
    party >> DROP
    party = client(gw, "c", "clean=0", version=4, present=1) << f"PUBLISH t qos={qos} dup id=1 x"
    if qos == 2:
        party >> "PUBREC 1" << "PUBREL 1" >> "PUBCOMP 1"
    party.silent()


def test_3_10_4_4_and_5_unsuback_even_where_nothing_matched(gw: Gateway) -> None:
    party = client(gw, "c", version=4) >> "UNSUBSCRIBE 12345 t"
    assert b"".join(party.connector.bytes_out(gw.now_ms)) == b"\xb0\x02\x30\x39"


def test_3_10_4_6_several_filters_are_as_several_unsubscribes(gw: Gateway) -> None:
    party = hears(client(gw, "c", version=4), "a", "b", "c") >> "UNSUBSCRIBE 7 a x c" << "UNSUBACK 7"
    client(gw, "p", version=4) >> "PUBLISH a 1" >> "PUBLISH b 2" >> "PUBLISH c 3"
    party << "PUBLISH b 2"
    party.silent()


def test_s_4_7_3_empty_filter_of_unsubscribe_closes(gw: Gateway) -> None:
    ended(client(gw, "c", version=4) >> packet(0xA2, b"\x00\x01\x00\x00"))


# -- PINGREQ, PINGRESP


def test_3_12_4_1_pingreq_is_answered_each_time(gw: Gateway) -> None:
    party = client(gw, "c", version=4) >> b"\xc0\x00\xc0\x00" << "PINGRESP" << "PINGRESP"
    party.silent()


@pytest.mark.parametrize("data", [b"\xc1\x00", b"\xc8\x00", b"\xc0\x01\x00", b"\xd0\x00"])
def test_s_3_12_bad_pings_close(gw: Gateway, data: bytes) -> None:
    ended(client(gw, "c", version=4) >> data)


# -- DISCONNECT


@pytest.mark.parametrize("data", [b"\xe1\x00", b"\xe2\x00", b"\xe8\x00", b"\xe0\x01\x00"])
def test_3_14_1_1_bad_disconnect_closes_and_the_will_is_published(gw: Gateway, data: bytes) -> None:
    watcher = hears(client(gw, "s", version=4), "w")
    ended(client(gw, "c", "will=w will_body=gone", version=4) >> data)
    watcher << "PUBLISH w gone"


def test_3_14_4_3_disconnect_discards_the_will(gw: Gateway) -> None:
    watcher = hears(client(gw, "s", version=4), "w")
    ended(client(gw, "c", "clean=0 will=w will_body=gone", version=4) >> b"\xe0\x00")
    gw.advance(1_000)
    watcher.silent()
    client(gw, "c", "clean=0", version=4, present=1)


def test_s_3_14_4_nothing_behind_a_disconnect_is_processed(gw: Gateway) -> None:
    watcher = hears(client(gw, "s", version=4), "t")
    ended(client(gw, "c", version=4) >> b"\xe0\x00" + packet(0x30, b"\x00\x01tx") + b"\xc0\x00")
    watcher.silent()


def test_s_3_14_server_says_nothing_when_it_closes(gw: Gateway) -> None:
    watcher = hears(client(gw, "s", version=4), "w")
    party = client(gw, "c", "will=w will_body=gone", version=4)
    party.connector.shutdown(gw.now_ms)
    ended(party)
    watcher << "PUBLISH w gone"


@pytest.mark.parametrize("first", [0x20, 0x90, 0xB0, 0xD0], ids=hex)
def test_s_2_2_1_packets_that_only_a_server_may_send_close(gw: Gateway, first: int) -> None:
    other = client(gw, "o", version=4)
    ended(client(gw, "c", version=4) >> packet(first, b"\x00\x00"))
    alive(gw, other)
