"""MQTT 3.1 (`MQIsdp`, level 3), where it is another protocol than 3.1.1.  `test_s_3_1_…` is its §3.1.

Not tested: what 3.1.1 has taken over, which its own chapters test.
"""

import pytest
from harness import DROP, Gateway, MqttParty
from mqtt_spec import Door, alive, client, ended, hears, packet

from gateway.connectors.mqtt.settings import MqttSettings

HEAD = b"\x00\x06MQIsdp\x03"


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


def _client(gw: Gateway, name: str, words: str = "") -> MqttParty:
    return client(gw, name, words, version=3)


def test_s_3_1_client_is_accepted_and_served(gw: Gateway) -> None:
    party = hears(_client(gw, "c", "keepalive=10"), "t/# qos=2")
    new = hears(client(gw, "new"), "t/# qos=1")
    party >> "PUBLISH t/a qos=1 id=1 x"
    assert sorted(party.rest()) == ["PUBACK 1", "PUBLISH t/a qos=1 id=1 x"]
    new << "PUBLISH t/a qos=1 id=1 x" >> "PUBLISH t/b qos=2 id=1 ct=a y"
    party << "PUBLISH t/b qos=2 id=2 y" >> "PUBREC 2" << "PUBREL 2" >> "PUBCOMP 2"
    gw.advance(15_000)
    ended(party)


def test_s_3_1_level_3_is_refused_with_1_where_it_is_not_accepted() -> None:
    gw = Gateway(mqtt=MqttSettings(versions=("3.1.1", "5.0")))
    party = gw.mqtt("c", 3) >> "CONNECT c" << "CONNACK 1 present=0"
    ended(party)
    client(gw, "d", version=4)
    client(gw, "e", version=5)


@pytest.mark.parametrize("level", [1, 2, 4, 5, 0x83])
def test_s_3_1_other_levels_of_that_name_are_refused_with_1(gw: Gateway, level: int) -> None:
    party = gw.mqtt("c", 3) >> packet(0x10, b"\x00\x06MQIsdp" + bytes((level,)) + b"\x02\x00\x00\x00\x01c")
    party << "CONNACK 1 present=0"
    ended(party)


def test_s_3_1_client_ids_have_1_to_23_characters_or_more_by_configuration(gw: Gateway) -> None:
    _client(gw, "c" * 24)
    for settings, name in ((MqttSettings(client_id_max_3_1=23), "c" * 24), (MqttSettings(), "-")):
        party = Gateway(mqtt=settings).mqtt("c", 3) >> f"CONNECT {name}" << "CONNACK 2 present=0"
        ended(party)
    _client(Gateway(mqtt=MqttSettings(client_id_max_3_1=23)), "ü" * 23)


@pytest.mark.parametrize("first", [0x10, 0x11, 0x18, 0x1F])
@pytest.mark.parametrize("flags", [0x02, 0x03, 0x0A, 0x1A, 0x22, 0x3B])
def test_s_2_1_and_3_1_connect_of_old_devices_with_unused_bits_is_read(
    gw: Gateway, first: int, flags: int
) -> None:
    party = gw.mqtt("c", 3) >> packet(first, HEAD + bytes((flags,)) + b"\x00\x00\x00\x01c")
    alive(gw, party << "CONNACK 0 present=0")


@pytest.mark.parametrize("flags", [0x82, 0xC2])
def test_s_3_1_where_nothing_follows_the_flags_of_name_and_password_are_not_looked_at(
    gw: Gateway, flags: int
) -> None:
    party = gw.mqtt("c", 3) >> packet(0x10, HEAD + bytes((flags,)) + b"\x00\x00\x00\x01c")
    alive(gw, party << "CONNACK 0 present=0")


def test_s_3_1_a_will_of_qos_3_is_refused(gw: Gateway) -> None:
    ended(gw.mqtt("c", 3) >> packet(0x10, HEAD + b"\x1e\x00\x00\x00\x01c\x00\x01w\x00\x00"))


def test_s_3_8_unused_bits_of_a_subscription_are_ignored(gw: Gateway) -> None:
    _client(gw, "c") >> packet(0x82, b"\x00\x01\x00\x01t\xfd") << "SUBACK 1 1"


def test_s_3_8_what_is_not_allowed_is_acknowledged_all_the_same() -> None:
    """3.1 has no word for a refusal, and a server "must make a positive acknowledgement"."""
    gw = Gateway(authorizer=Door(forbidden="no"))
    party = _client(gw, "c") >> "SUBSCRIBE 1 yes qos=2 no qos=1 $share//x" << "SUBACK 1 2 1 0"
    _client(gw, "p") >> "PUBLISH yes x" >> "PUBLISH x y"
    party << "PUBLISH yes x"
    alive(gw, party)


def test_s_3_1_session_is_resumed_without_a_word(gw: Gateway) -> None:
    hears(_client(gw, "c", "clean=0"), "t qos=1") >> DROP
    client(gw, "p") >> "PUBLISH t qos=1 id=1 x"
    _client(gw, "c", "clean=0") << "PUBLISH t qos=1 id=1 x"


def test_s_2_1_repeated_requests_have_dup(gw: Gateway) -> None:
    party = _client(gw, "c") >> packet(0x8A, b"\x00\x01\x00\x01t\x00") << "SUBACK 1 0"
    (
        party
        >> "PUBLISH t qos=2 id=5 x"
        << "PUBLISH t x"
        << "PUBREC 5"
        >> packet(0x6A, b"\x00\x05")
        << "PUBCOMP 5"
    )
    party >> packet(0xAA, b"\x00\x02\x00\x01t") << "UNSUBACK 2"
    alive(gw, party)


def test_s_3_1_wrong_password_is_4_and_nobody_is_5() -> None:
    gw = Gateway(authorizer=Door())
    ended(gw.mqtt("c", 3) >> "CONNECT c user=u pass=wrong" << "CONNACK 4 present=0")


def test_s_3_1_will_and_retained_messages(gw: Gateway) -> None:
    _client(gw, "c", "will=w will_retain will_qos=1 will_body=gone") >> DROP
    hears(_client(gw, "s"), "w qos=1") << "PUBLISH w qos=1 retain id=1 gone"


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\xff\xff\xff\xff\x01",
        packet(0x30, b"\x00\x01#"),
        packet(0x36, b"\x00\x01t\x00\x01"),
        b"\x00\x00",
        b"\xf0\x00",
    ],
)
def test_s_2_bad_packets_close(gw: Gateway, data: bytes) -> None:
    other = _client(gw, "o")
    ended(_client(gw, "c") >> data)
    alive(gw, other)
