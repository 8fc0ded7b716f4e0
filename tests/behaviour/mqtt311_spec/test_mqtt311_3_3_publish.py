"""MQTT 3.1.1 §3.3 PUBLISH, and §3.4 to §3.7: PUBACK, PUBREC, PUBREL, PUBCOMP.

`test_3_3_1_1_…` is [MQTT-3.3.1-1]; `test_s_3_3_1_3_…` a sentence of §3.3.1.3 without a number.  Not tested: nothing.
"""

import pytest
from harness import DROP, Gateway
from mqtt_spec import Door, alive, client, ended, hears, packet

from gateway.connectors.mqtt.settings import MqttSettings


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


@pytest.mark.parametrize("qos", [1, 2])
def test_3_3_1_1_dup_is_set_when_a_message_is_sent_again(gw: Gateway, qos: int) -> None:
    party = hears(client(gw, "s", "clean=0", version=4), f"t qos={qos}")
    client(gw, "p", version=4) >> "PUBLISH t qos=2 id=1 x"
    party << f"PUBLISH t qos={qos} id=1 x" >> DROP
    client(gw, "s", "clean=0", version=4, present=1) << f"PUBLISH t qos={qos} dup id=1 x"


def test_3_3_1_2_dup_with_qos_0_closes(gw: Gateway) -> None:
    other = hears(client(gw, "o", version=4), "t")
    ended(client(gw, "c", version=4) >> packet(0x38, b"\x00\x01tx"))
    other.silent()


def test_3_3_1_3_dup_is_not_passed_on(gw: Gateway) -> None:
    party = hears(client(gw, "s", version=4), "t qos=2")
    client(gw, "p", version=4) >> "PUBLISH t qos=1 dup id=1 x" >> "PUBLISH t qos=2 dup id=2 y"
    party << "PUBLISH t qos=1 id=1 x" << "PUBLISH t qos=2 id=2 y"


def test_3_3_1_4_qos_3_closes(gw: Gateway) -> None:
    other = hears(client(gw, "o", version=4), "t")
    ended(client(gw, "c", version=4) >> packet(0x36, b"\x00\x01t\x00\x01x"))
    other.silent()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_3_3_1_5_and_6_last_retained_message_is_sent_to_new_subscribers(gw: Gateway, qos: int) -> None:
    words = f"qos={qos} id=1 " if qos else ""
    client(gw, "p", version=4) >> "PUBLISH t retain 1" >> f"PUBLISH t {words}retain 2" >> DROP
    gw.advance(1_000_000)
    party = hears(client(gw, "s", version=4), "t qos=2")
    party << (f"PUBLISH t qos={qos} retain id=1 2" if qos else "PUBLISH t retain 2")
    party.silent()


def test_3_3_1_7_retained_message_of_qos_0_replaces_one_of_qos_1(gw: Gateway) -> None:
    client(gw, "p", version=4) >> "PUBLISH t qos=1 retain id=1 1" >> "PUBLISH t retain 2"
    party = hears(client(gw, "s", version=4), "t qos=1") << "PUBLISH t retain 2"
    party.silent()


def test_3_3_1_8_and_9_retain_is_set_for_new_and_cleared_for_established_subscriptions(gw: Gateway) -> None:
    party = hears(client(gw, "s", version=4), "t qos=1")
    client(gw, "p", version=4) >> "PUBLISH t qos=1 retain id=1 x"
    party << "PUBLISH t qos=1 id=1 x"
    hears(client(gw, "late", version=4), "t qos=1") << "PUBLISH t qos=1 retain id=1 x"
    hears(party, "t qos=1") << "PUBLISH t qos=1 retain id=2 x"


def test_3_3_1_10_and_11_empty_payload_clears_and_is_not_kept(gw: Gateway) -> None:
    party = hears(client(gw, "s", version=4), "t")
    client(gw, "p", version=4) >> "PUBLISH t retain 1" >> "PUBLISH t retain" >> "PUBLISH u retain"
    party << "PUBLISH t 1" << "PUBLISH t"
    hears(client(gw, "late", version=4), "#").silent()


def test_3_3_1_12_message_without_retain_leaves_the_retained_one(gw: Gateway) -> None:
    client(gw, "p", version=4) >> "PUBLISH t retain 1" >> "PUBLISH t 2" >> "PUBLISH t" >> "PUBLISH u 3"
    party = hears(client(gw, "s", version=4), "#") << "PUBLISH t retain 1"
    party.silent()


def test_3_3_2_1_topic_is_utf_8(gw: Gateway) -> None:
    ended(client(gw, "c", version=4) >> packet(0x30, b"\x00\x02\xc3\x28x"))


@pytest.mark.parametrize("topic", ["#", "+", "a/+/b", "a/#", "a#", "+a"])
def test_3_3_2_2_wildcards_in_the_topic_close(gw: Gateway, topic: str) -> None:
    other = hears(client(gw, "o", version=4), "#")
    ended(client(gw, "c", version=4) >> f"PUBLISH {topic} x")
    other.silent()


def test_3_3_2_3_topic_of_a_delivery_matches_the_filter(gw: Gateway) -> None:
    party = hears(client(gw, "s", version=4), "+/b/#")
    client(gw, "p", version=4) >> "PUBLISH a/b/c/d x" >> "PUBLISH a/c x"
    party << "PUBLISH a/b/c/d x"
    party.silent()


def test_s_3_3_2_topic_that_is_longer_than_its_packet_closes(gw: Gateway) -> None:
    for body in (b"", b"\x00", b"\x00\x05t", b"\xff\xfft"):
        ended(client(gw, "c", version=4) >> packet(0x30, body))
    ended(client(gw, "c", version=4) >> packet(0x32, b"\x00\x01t\x00"))


def test_3_3_4_1_response_by_qos(gw: Gateway) -> None:
    party = client(gw, "c", version=4) >> "PUBLISH t x"
    party.silent()
    party >> "PUBLISH t qos=1 id=1 x" << "PUBACK 1" >> "PUBLISH t qos=2 id=2 x" << "PUBREC 2"


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("second", [0, 1, 2])
def test_3_3_5_1_overlapping_subscriptions_have_the_highest_qos(gw: Gateway, first: int, second: int) -> None:
    party = hears(client(gw, "s", version=4), f"a/# qos={first}", f"a/+ qos={second}")
    client(gw, "p", version=4) >> "PUBLISH a/b qos=2 id=1 x"
    qos = max(first, second)
    party << (f"PUBLISH a/b qos={qos} id=1 x" if qos else "PUBLISH a/b x")
    party.silent()


@pytest.mark.parametrize(("qos", "answer"), [(0, []), (1, ["PUBACK 1"]), (2, ["PUBREC 1"])])
def test_3_3_5_2_publish_that_is_not_allowed_is_acknowledged_and_dropped(qos: int, answer: list[str]) -> None:
    gw = Gateway(authorizer=Door(forbidden="no"))
    watcher = hears(client(gw, "s", version=4), "#")
    party = client(gw, "c", version=4) >> (f"PUBLISH no qos={qos} id=1 x" if qos else "PUBLISH no x")
    assert party.rest() == answer
    alive(gw, party)
    watcher.silent()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_3_3_5_2_or_the_connection_is_closed_by_configuration(qos: int) -> None:
    gw = Gateway(mqtt=MqttSettings(publish_denied="disconnect"), authorizer=Door(forbidden="no"))
    watcher = hears(client(gw, "s", version=4), "#")
    ended(client(gw, "c", version=4) >> (f"PUBLISH no qos={qos} id=1 x" if qos else "PUBLISH no x"))
    watcher.silent()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_s_3_3_3_payload_may_be_empty(gw: Gateway, qos: int) -> None:
    party = hears(client(gw, "s", version=4), f"t qos={qos}")
    client(gw, "p", version=4) >> "PUBLISH t qos=2 id=1"
    party << (f"PUBLISH t qos={qos} id=1" if qos else "PUBLISH t")


@pytest.mark.parametrize("first", [0x60, 0x61, 0x63, 0x66, 0x6A], ids=hex)
def test_3_6_1_1_reserved_flags_of_pubrel_close(gw: Gateway, first: int) -> None:
    ended(client(gw, "c", version=4) >> packet(first, b"\x00\x01"))


@pytest.mark.parametrize("first", [0x40, 0x50, 0x62, 0x70], ids=hex)
def test_s_3_4_acknowledgements_are_two_bytes(gw: Gateway, first: int) -> None:
    for body in (b"", b"\x00", b"\x00\x01\x00", b"\x00\x01\x00\x00"):
        ended(client(gw, "c", version=4) >> packet(first, body))


def test_s_3_6_pubrel_for_an_unknown_identifier_is_answered(gw: Gateway) -> None:
    alive(gw, client(gw, "c", version=4) >> "PUBREL 5" << "PUBCOMP 5")


def test_s_3_5_pubrec_for_an_unknown_identifier_is_answered(gw: Gateway) -> None:
    alive(gw, client(gw, "c", version=4) >> "PUBREC 5" << "PUBREL 5" >> "PUBCOMP 5")


@pytest.mark.parametrize("said", ["PUBACK 5", "PUBCOMP 5"])
def test_s_3_4_acknowledgements_that_nobody_waits_for_are_borne(gw: Gateway, said: str) -> None:
    alive(gw, client(gw, "c", version=4) >> said)
