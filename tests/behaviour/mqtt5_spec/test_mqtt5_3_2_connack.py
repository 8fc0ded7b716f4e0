"""MQTT 5.0 §3.2, CONNACK.

`test_3_2_2_3_…` is [MQTT-3.2.2-3]; `test_s_3_2_2_3_2_…` a sentence of §3.2.2.3.2 without a number.

Not tested:
  3.2.2-4, -5, -11, -14, -15, -17, -18, -21   obligations of a client (what we do to one that breaks them: §3.3)
  3.2.2-20                                    we send no user properties of our own in CONNACK
  3.2.2-22                                    with the keep alive, in §3.1 (3.1.2-22)
"""

import pytest
from harness import DROP, Gateway
from mqtt_spec import Door, client, ended, hears, packet, said

from gateway.connectors.base import Limits
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.core.limits import DROP_OLDEST
from protocols.mqtt.constants import CONNACK_CODES
from protocols.mqtt.frames import Connack
from protocols.mqtt.properties import Properties


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


def _connack(gw: Gateway, words: str, party: str = "c") -> Connack:
    connack = (gw.mqtt(party, 5) >> f"CONNECT {words}").take()
    assert isinstance(connack, Connack)
    return connack


def _promises(settings: MqttSettings, words: str = "c") -> Properties:
    return said(_connack(Gateway(mqtt=settings), words).properties)


def test_3_2_0_1_connack_comes_first(gw: Gateway) -> None:
    hears(client(gw, "c", "expiry=100"), "t qos=1") >> DROP
    client(gw, "p") >> "PUBLISH t qos=1 id=1 x"
    gw.mqtt("c", 5) >> "CONNECT c clean=0"
    assert gw.mqtt("c", 5).rest() == ["CONNACK 0 present=1", "PUBLISH t qos=1 id=1 x"]


def test_3_2_0_2_connack_comes_once(gw: Gateway) -> None:
    party = client(gw, "c")
    gw.advance(1_000)
    party.silent()


def test_3_2_2_1_reserved_connack_flags_are_0(gw: Gateway) -> None:
    party = gw.mqtt("c", 5) >> "CONNECT c"
    data = b"".join(party.connector.bytes_out(gw.now_ms))
    assert data[0] == 0x20
    assert data[2] == 0


def test_3_2_2_2_no_session_present_after_clean_start(gw: Gateway) -> None:
    client(gw, "c", "expiry=100") >> DROP
    client(gw, "c", "clean=1", present=0)


def test_3_2_2_3_session_present_when_there_is_one(gw: Gateway) -> None:
    client(gw, "c", "clean=0 expiry=100", present=0) >> DROP
    client(gw, "c", "clean=0 expiry=100", present=1) >> DROP
    gw.advance(100_000)
    client(gw, "c", "clean=0", present=0)


def test_3_2_2_6_no_session_present_in_a_refusal() -> None:
    gw = Gateway(authorizer=Door())
    client(gw, "c", "expiry=100") >> DROP
    assert _connack(gw, "c clean=0 user=u pass=wrong").session_present is False


def test_3_2_2_7_refusal_closes_the_connection() -> None:
    gw = Gateway(authorizer=Door())
    party = gw.mqtt("c", 5) >> "CONNECT c user=u pass=wrong" << "CONNACK 0x86 present=0"
    ended(party)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("c user=u pass=wrong", 0x86),
        ("c user=x", 0x86),
        ("c authmethod=X", 0x8C),
        ("c will=$SYS/w", 0x87),
        ("c will=a\uf020", 0x90),
        ("c will=w will_qos=2", 0x9B),
        ("c will=w will_retain", 0x9A),
    ],
)
def test_3_2_2_8_reason_codes(words: str, code: int) -> None:
    gw = Gateway(mqtt=MqttSettings(qos_max=1, retain_available=False), authorizer=Door())
    assert _connack(gw, words).code == code
    assert code in CONNACK_CODES


def test_s_3_2_2_3_2_session_expiry_is_named_when_it_is_another() -> None:
    settings = MqttSettings(session_expiry_max_s=60)
    assert _promises(settings, "c expiry=61").session_expiry_s == 60
    assert _promises(settings, "c expiry=60").session_expiry_s is None


def test_s_3_2_2_3_3_receive_maximum_is_ours() -> None:
    assert _promises(MqttSettings(receive_maximum=20)).receive_maximum == 20


def test_3_2_2_9_maximum_qos_is_named_when_below_2() -> None:
    assert _promises(MqttSettings(qos_max=1)).maximum_qos == 1
    assert _promises(MqttSettings(qos_max=0)).maximum_qos == 0
    # It is a protocol error to send 2.
    assert _promises(MqttSettings()).maximum_qos is None


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_3_2_2_10_subscriptions_of_any_qos_are_accepted(qos: int) -> None:
    gw = Gateway(mqtt=MqttSettings(qos_max=0))
    party = gw.mqtt("c", 5) >> "CONNECT c" << "CONNACK 0 present=0 maxqos=0"
    party >> f"SUBSCRIBE 1 t qos={qos}" << "SUBACK 1 0"


def test_3_2_2_11_publish_above_maximum_qos_is_0x9b() -> None:
    gw = Gateway(mqtt=MqttSettings(qos_max=1))
    party = gw.mqtt("c", 5) >> "CONNECT c" << "CONNACK 0 present=0 maxqos=1"
    party >> "PUBLISH t qos=2 id=1 x" << "DISCONNECT 0x9b"
    ended(party)


@pytest.mark.parametrize(("maximum", "qos"), [(0, 1), (0, 2), (1, 2)])
def test_3_2_2_12_will_above_maximum_qos_is_refused(maximum: int, qos: int) -> None:
    gw = Gateway(mqtt=MqttSettings(qos_max=maximum))
    party = gw.mqtt("c", 5) >> f"CONNECT c will=w will_qos={qos}" << "CONNACK 0x9b present=0"
    ended(party)


def test_3_2_2_13_will_with_retain_is_refused_where_that_is_not_available() -> None:
    gw = Gateway(mqtt=MqttSettings(retain_available=False))
    party = gw.mqtt("c", 5) >> "CONNECT c will=w will_retain" << "CONNACK 0x9a present=0"
    ended(party)


def test_3_2_2_14_publish_with_retain_is_0x9a_where_that_is_not_available() -> None:
    gw = Gateway(mqtt=MqttSettings(retain_available=False))
    party = client(gw, "c") >> "PUBLISH t retain x" << "DISCONNECT 0x9a"
    ended(party)


def test_s_3_2_2_3_5_retain_available() -> None:
    assert _promises(MqttSettings(retain_available=False)).retain_available == 0
    assert _promises(MqttSettings()).retain_available in (None, 1)


def test_s_3_2_2_3_6_and_3_2_2_15_maximum_packet_size_is_ours() -> None:
    gw = Gateway(mqtt_limits=Limits(max_frame_size=1_000, slow_consumer=DROP_OLDEST))
    assert said(_connack(gw, "c").properties).maximum_packet_size == 1_000
    party = gw.mqtt("c", 5)
    # 1,000 bytes in all, then one more.
    party >> f"PUBLISH t {'x' * (1_000 - 7)}" >> "PINGREQ" << "PINGRESP"
    party >> f"PUBLISH t {'x' * (1_000 - 6)}" << "DISCONNECT 0x95"
    ended(party)


def test_3_2_2_16_assigned_client_identifiers_are_new_ones(gw: Gateway) -> None:
    names = [said(_connack(gw, "-", f"p{n}").properties).assigned_client_id for n in range(20)]
    assert None not in names
    assert len(set(names)) == 20


def test_s_3_2_2_3_8_topic_alias_maximum_is_ours() -> None:
    assert _promises(MqttSettings(topic_alias_maximum=7)).topic_alias_maximum == 7
    assert not _promises(MqttSettings(topic_alias_maximum=0)).topic_alias_maximum


def test_s_3_2_2_3_9_reason_string_says_why() -> None:
    connack = _connack(Gateway(authorizer=Door()), "c user=u pass=wrong")
    assert said(connack.properties).reason_string


def test_3_2_2_19_reason_string_is_left_out_where_it_makes_the_packet_too_large() -> None:
    gw = Gateway(authorizer=Door())
    party = gw.mqtt("c", 5) >> "CONNECT c user=u pass=wrong maxsize=10"
    data = b"".join(party.connector.bytes_out(gw.now_ms))
    assert data[3] == 0x86
    assert len(data) <= 10


def test_s_3_2_2_3_11_to_13_everything_is_available(gw: Gateway) -> None:
    properties = said(_connack(gw, "c").properties)
    assert properties.wildcard_available in (None, 1)
    assert properties.subscription_identifier_available in (None, 1)
    assert properties.shared_available in (None, 1)


@pytest.mark.parametrize("asked", [0, 21, 65_535])
def test_s_3_2_2_3_14_server_keep_alive_rules(asked: int) -> None:
    gw = Gateway(mqtt=MqttSettings(keep_alive_max_s=20))
    party = gw.mqtt("c", 5) >> f"CONNECT c keepalive={asked}" << "CONNACK 0 present=0 keepalive=20"
    gw.advance(29_999)
    party.silent()
    gw.advance(1)
    party << "DISCONNECT 0x8d"


def test_s_3_2_2_3_14_no_server_keep_alive_when_the_clients_is_accepted() -> None:
    gw = Gateway(mqtt=MqttSettings(keep_alive_max_s=20))
    client(gw, "c", "keepalive=20")


@pytest.mark.parametrize(("redirect", "code"), [("use-another-server", 0x9C), ("server-moved", 0x9D)])
def test_s_3_2_2_3_16_server_reference(redirect: str, code: int) -> None:
    gw = Gateway(mqtt=MqttSettings(server_reference="other:1883", redirect=redirect))
    connack = _connack(gw, "c")
    assert (connack.code, said(connack.properties).server_reference) == (code, "other:1883")
    ended(gw.mqtt("c", 5))


def test_s_3_2_2_3_16_redirected_before_anything_else() -> None:
    gw = Gateway(mqtt=MqttSettings(server_reference="other:1883", redirect="server-moved"), authorizer=Door())
    assert _connack(gw, "c user=u pass=wrong").code == 0x9D


def test_s_3_2_connack_of_a_bad_connect_has_no_properties_but_their_length(gw: Gateway) -> None:
    party = gw.mqtt("c", 5) >> packet(0x10, b"\x00\x04MQTT\x05\x03\x00\x00\x00\x00\x01c")
    assert b"".join(party.connector.bytes_out(gw.now_ms)) == b"\x20\x03\x00\x81\x00"


def test_s_3_2_2_2_too_many_connections_or_sessions_are_0x97() -> None:
    gw = Gateway(mqtt=MqttSettings(sessions_max=1))
    client(gw, "a")
    party = gw.mqtt("b", 5) >> "CONNECT b" << "CONNACK 0x97 present=0"
    ended(party)
