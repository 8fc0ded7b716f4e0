"""MQTT 5.0: sentences that demand something and have no number, and that no other chapter shows.

`test_s_3_1_3_2_…` is a sentence of §3.1.3.2; where the gateway does otherwise than one says, its test says why.
"""

import pytest
from harness import DROP, Gateway
from mqtt_spec import alive, client, ended, hears, packet

from gateway.connectors.mqtt.settings import MqttSettings

HEAD = b"\x00\x04MQTT\x05"


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


def connect(flags: int, properties: bytes, will: bytes | None = None, payload: bytes = b"") -> bytes:
    """A CONNECT of the client `c` with these properties, and a will to `w` with those."""
    body = HEAD + bytes((flags, 0, 0, len(properties))) + properties + b"\x00\x01c"
    if will is not None:
        body += bytes((len(will),)) + will + b"\x00\x01w" + len(payload).to_bytes(2, "big") + payload
    return packet(0x10, body)


@pytest.mark.parametrize(
    "block",
    [
        b"\x17\x02",
        b"\x19\x02",
        b"\x21\x00\x01\x21\x00\x01",
        b"\x22\x00\x01\x22\x00\x01",
        b"\x11\x00\x00\x00\x01\x11\x00\x00\x00\x01",
        b"\x27\x00\x00\x01\x00\x27\x00\x00\x01\x00",
    ],
    ids=["problem", "response", "receive maximum", "alias maximum", "session expiry", "packet size"],
)
def test_s_3_1_2_11_values_that_are_none_and_repeated_properties_are_protocol_errors(
    gw: Gateway, block: bytes
) -> None:
    ended(gw.mqtt("c", 5) >> connect(2, block) << "CONNACK 0x82 present=0")


@pytest.mark.parametrize(
    "block",
    [2 * b"\x18\x00\x00\x00\x01", b"\x01\x02", b"\x08\x00\x01#", b"\x08\x00\x00", 2 * b"\x09\x00\x00"],
    ids=["delay twice", "format 2", "wildcard to answer to", "nothing to answer to", "correlation twice"],
)  # fmt: skip
def test_s_3_1_3_2_wrong_properties_of_the_will_are_protocol_errors(gw: Gateway, block: bytes) -> None:
    ended(gw.mqtt("c", 5) >> connect(6, b"", block) << "CONNACK 0x82 present=0")


def test_s_3_1_3_2_3_will_that_is_not_what_it_says_passes_unless_checked(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    gw.mqtt("c", 5) >> connect(6, b"", b"\x01\x00", b"\xff") << "CONNACK 0 present=0" >> DROP
    assert watcher.rest()[0].startswith("PUBLISH w format=0")
    checking = Gateway(mqtt=MqttSettings(check_payload_format=True))
    ended(checking.mqtt("c", 5) >> connect(6, b"", b"\x01\x01", b"\xff") << "CONNACK 0x99 present=0")


def test_s_3_1_2_5_reason_0x04_with_a_session_that_ends_sends_the_will_without_its_delay(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    client(gw, "c", "expiry=100 will=w will_delay=50 will_body=x") >> "DISCONNECT 0x04 expiry=0"
    watcher << "PUBLISH w x"


def test_s_3_14_2_2_2_session_that_is_never_to_end_by_its_disconnect(gw: Gateway) -> None:
    client(gw, "c", "expiry=100") >> "DISCONNECT 0x00 expiry=4294967295" >> DROP
    gw.advance(10_000_000_000)
    client(gw, "c", "clean=0 expiry=5", present=1)


def test_s_3_3_1_3_retain_handling_1_after_unsubscribing_is_a_new_subscription(gw: Gateway) -> None:
    party = (
        client(gw, "c")
        >> "PUBLISH t retain x"
        >> "SUBSCRIBE 1 t rh=1"
        << "SUBACK 1 0"
        << "PUBLISH t retain x"
    )
    (
        party
        >> "UNSUBSCRIBE 2 t"
        << "UNSUBACK 2 0"
        >> "SUBSCRIBE 3 t rh=1"
        << "SUBACK 3 0"
        << "PUBLISH t retain x"
    )
    party >> "SUBSCRIBE 4 t qos=1 rh=1" << "SUBACK 4 1"
    party.silent()


def test_s_3_3_2_3_3_interval_of_0_is_for_those_who_are_there_and_stays_0(gw: Gateway) -> None:
    there = hears(client(gw, "there"), "t qos=1")
    hears(client(gw, "away", "expiry=100"), "t qos=1") >> DROP
    client(gw, "p") >> "PUBLISH t qos=1 id=1 life=0 x" >> "PUBLISH r retain life=0 x"
    there << "PUBLISH t qos=1 id=1 life=0 x"
    gw.advance(1)
    client(gw, "away", "clean=0 expiry=100", present=1).silent()
    hears(client(gw, "late"), "r").silent()


def test_s_3_3_2_3_5_empty_response_topic_is_a_protocol_error(gw: Gateway) -> None:
    ended(client(gw, "c") >> "PUBLISH t resp= x" << "DISCONNECT 0x82")


def test_s_3_3_4_identifiers_of_a_shared_and_a_plain_subscription_come_with_their_own_copies(
    gw: Gateway,
) -> None:
    party = client(gw, "c") >> "SUBSCRIBE 1 $share/g/t qos=1 subid=7" >> "SUBSCRIBE 2 t qos=1 subid=8"
    party << "SUBACK 1 1" << "SUBACK 2 1"
    client(gw, "p") >> "PUBLISH t x"
    assert sorted(party.rest()) == ["PUBLISH t subid=7 x", "PUBLISH t subid=8 x"]


@pytest.mark.parametrize("filter", ["#", "+/b"])
def test_s_4_7_2_leading_wildcards_do_not_match_dollar_topics_in_shared_subscriptions(
    gw: Gateway, filter: str
) -> None:
    party = hears(client(gw, "s"), f"$share/g/{filter}")
    client(gw, "p") >> "PUBLISH $a/b x"
    party.silent()


def test_s_4_7_2_dollar_topics_of_no_meaning_pass_between_clients_as_in_other_brokers(gw: Gateway) -> None:
    """A server SHOULD prevent it; but clients of Mosquitto and EMQX use such names, and a rule can forbid `$…`."""
    party = hears(client(gw, "s"), "$a/+")
    alive(gw, client(gw, "p") >> "PUBLISH $a/b x")
    party << "PUBLISH $a/b x"
