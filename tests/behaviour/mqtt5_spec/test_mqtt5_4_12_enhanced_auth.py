"""MQTT 5.0 §3.15 AUTH and §4.12 enhanced authentication, with one challenge and its answer.

`test_4_12_0_2_…` is [MQTT-4.12.0-2]; `test_s_4_12_1_…` a sentence of §4.12.1 without a number.

Not tested:
  3.15.2-2, 3.15.2-3   we send no reason string and no user properties in AUTH
  4.12.0-3, 4.12.0-7   as obligations of a client (what we do to one that breaks them is here)
"""

import pytest
from harness import DROP, Gateway, MqttParty
from mqtt_spec import Door, alive, client, ended, hears, packet, said

from gateway.connectors.base import Limits
from gateway.core.limits import DROP_OLDEST
from protocols.mqtt.frames import Auth, Connack

METHOD = "authmethod=CHALLENGE"
ANSWER = f"AUTH 0x18 {METHOD} 'authdata=answer of u'"


@pytest.fixture
def gw() -> Gateway:
    """A gateway that knows one method."""
    return Gateway(authorizer=Door())


def _asked(gw: Gateway, words: str = "") -> MqttParty:
    """A client that has been asked the question."""
    party = gw.mqtt("c", 5) >> f"CONNECT c {METHOD} authdata=hello {words}"
    auth = party.take()
    assert isinstance(auth, Auth)
    assert (auth.reason_code, said(auth.properties).authentication_data) == (0x18, b"question")
    return party


def _known(gw: Gateway, words: str = "") -> MqttParty:
    """A client that has answered well."""
    return _asked(gw, words) >> ANSWER << f"CONNACK 0 present=0 {METHOD}"


# -- the exchange


def test_4_12_0_1_method_that_is_not_known_is_0x8c(gw: Gateway) -> None:
    party = gw.mqtt("c", 5) >> "CONNECT c authmethod=SCRAM"
    connack = party.take()
    assert isinstance(connack, Connack)
    assert connack.code == 0x8C
    ended(party)


def test_4_12_0_2_and_5_challenge_is_auth_0x18_with_the_method(gw: Gateway) -> None:
    party = gw.mqtt("c", 5) >> f"CONNECT c {METHOD}"
    auth = party.take()
    assert isinstance(auth, Auth)
    assert auth.reason_code == 0x18
    assert said(auth.properties).authentication_method == "CHALLENGE"
    party.silent()


def test_4_12_0_5_connack_has_the_method_and_the_last_data(gw: Gateway) -> None:
    connack = (_asked(gw) >> ANSWER).take()
    assert isinstance(connack, Connack)
    properties = said(connack.properties)
    assert (connack.code, properties.authentication_method) == (0, "CHALLENGE")
    assert properties.authentication_data == b"welcome"
    alive(gw, gw.mqtt("c", 5))


def test_4_12_0_4_wrong_answer_is_refused_and_closed(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    party = _asked(gw, "will=w will_body=x") >> f"AUTH 0x18 {METHOD} authdata=wrong"
    connack = party.take()
    assert isinstance(connack, Connack)
    assert connack.code in (0x86, 0x87)
    ended(party)
    watcher.silent()


def test_4_12_0_5_method_must_stay_the_same(gw: Gateway) -> None:
    for words in ("authmethod=OTHER authdata=x", "reason=x"):
        party = _asked(gw) >> f"AUTH 0x18 {words}"
        connack = party.take()
        assert isinstance(connack, Connack)
        assert connack.code in (0x82, 0x8C)
        ended(party)


def test_4_12_0_6_no_auth_and_no_method_for_who_named_none(gw: Gateway) -> None:
    connack = (gw.mqtt("c", 5) >> "CONNECT c user=u pass=p").take()
    assert isinstance(connack, Connack)
    assert said(connack.properties).authentication_method is None
    assert said(connack.properties).authentication_data is None
    gw.mqtt("c", 5).silent()


@pytest.mark.parametrize("words", ["AUTH 0x18 " + METHOD, "AUTH 0x19 " + METHOD, "AUTH 0x19", "AUTH"])
def test_4_12_0_7_auth_of_who_named_no_method_is_a_protocol_error(gw: Gateway, words: str) -> None:
    party = client(gw, "c") >> words << "DISCONNECT 0x82"
    ended(party)


@pytest.mark.parametrize("words", ["PUBLISH t x", "SUBSCRIBE 1 t", "PINGREQ", "PUBACK 1"])
def test_3_1_2_30_nothing_but_auth_and_disconnect_before_the_connack(gw: Gateway, words: str) -> None:
    watcher = hears(client(gw, "s"), "t")
    party = _asked(gw) >> words << "CONNACK 0x82 present=0"
    ended(party)
    watcher.silent()


def test_3_1_2_30_disconnect_instead_of_an_answer(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    party = _asked(gw, "will=w will_body=x") >> "DISCONNECT"
    ended(party)
    watcher.silent()
    alive(gw, watcher)


def test_s_4_12_connection_that_breaks_instead_of_an_answer(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    _asked(gw, "will=w will_body=x expiry=100") >> DROP
    watcher.silent()
    # No session was made.
    client(gw, "c", "clean=0")


def test_s_4_12_second_connect_instead_of_an_answer(gw: Gateway) -> None:
    party = _asked(gw) >> "CONNECT c" << "CONNACK 0x82 present=0"
    ended(party)


def test_s_4_12_no_answer_in_time(gw: Gateway) -> None:
    party = _asked(gw)
    gw.advance(Limits().connect_timeout_ms)
    connack = party.take()
    assert isinstance(connack, Connack)
    assert connack.code >= 0x80
    ended(party)


def test_s_4_12_session_is_resumed_after_the_exchange(gw: Gateway) -> None:
    hears(_known(gw, "expiry=100"), "t qos=1") >> DROP
    client(gw, "p") >> "PUBLISH t qos=1 id=1 x"
    party = _asked(gw, "clean=0") >> ANSWER << f"CONNACK 0 present=1 {METHOD}" << "PUBLISH t qos=1 id=1 x"
    party.silent()


def test_s_4_12_old_connection_stays_until_the_new_one_is_known(gw: Gateway) -> None:
    old = client(gw, "c", party="old")
    party = _asked(gw)
    alive(gw, old)
    party >> ANSWER << f"CONNACK 0 present=0 {METHOD}"
    old << "DISCONNECT 0x8e"
    ended(old)


def test_s_4_12_anonymous_is_not_what_a_method_makes_of_a_client() -> None:
    limits = Limits(allow_anonymous=False, slow_consumer=DROP_OLDEST)
    gw = Gateway(authorizer=Door(), mqtt_limits=limits)
    alive(gw, _known(gw))


# -- AUTH itself


@pytest.mark.parametrize("first", [0xF1, 0xF2, 0xF8], ids=hex)
def test_3_15_1_1_reserved_flags_are_malformed(gw: Gateway, first: int) -> None:
    party = _known(gw) >> packet(first, b"\x19\x0c\x15\x00\x09CHALLENGE") << "DISCONNECT 0x81"
    ended(party)


@pytest.mark.parametrize("code", ["0x01", "0x80", "0x82", "0xff"])
def test_3_15_2_1_unknown_reason_codes_are_protocol_errors(gw: Gateway, code: str) -> None:
    party = _known(gw) >> f"AUTH {code} {METHOD}" << "DISCONNECT 0x82"
    ended(party)


def test_s_3_15_2_1_success_is_for_the_server_to_say(gw: Gateway) -> None:
    party = _known(gw) >> f"AUTH 0x00 {METHOD}" << "DISCONNECT 0x82"
    ended(party)


def test_s_3_15_2_2_2_auth_without_a_method_is_a_protocol_error(gw: Gateway) -> None:
    party = _known(gw) >> "AUTH 0x19" << "DISCONNECT 0x82"
    ended(party)


# -- re-authentication


def _asked_again(gw: Gateway, words: str = "") -> MqttParty:
    party = _known(gw, words) >> f"AUTH 0x19 {METHOD} authdata=hello" << f"AUTH 0x18 {METHOD}"
    party.silent()
    return party


def test_s_4_12_1_client_may_show_anew_who_it_is(gw: Gateway) -> None:
    party = _asked_again(gw) >> ANSWER
    auth = party.take()
    assert isinstance(auth, Auth)
    assert (auth.reason_code, said(auth.properties).authentication_method) == (0, "CHALLENGE")
    party >> f"AUTH 0x19 {METHOD} authdata=hello" << f"AUTH 0x18 {METHOD}"
    alive(gw, party)


def test_4_12_1_1_another_method_is_a_protocol_error(gw: Gateway) -> None:
    party = _known(gw) >> "AUTH 0x19 authmethod=OTHER" << "DISCONNECT 0x82"
    ended(party)


def test_4_12_1_2_failure_closes_the_connection(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    party = _asked_again(gw, "will=w will_body=gone") >> f"AUTH 0x18 {METHOD} authdata=wrong"
    party << "DISCONNECT 0x87"
    ended(party)
    watcher << "PUBLISH w gone"


def test_s_4_12_1_other_packets_flow_meanwhile(gw: Gateway) -> None:
    party = _asked_again(gw) >> "SUBSCRIBE 1 t" << "SUBACK 1 0" >> "PUBLISH t x" << "PUBLISH t x"
    party >> ANSWER << f"AUTH {METHOD}"


def test_s_4_12_1_continuing_what_has_not_begun_is_a_protocol_error(gw: Gateway) -> None:
    party = _known(gw) >> ANSWER << "DISCONNECT 0x82"
    ended(party)


def test_s_4_12_1_beginning_what_has_begun_is_a_protocol_error(gw: Gateway) -> None:
    party = _asked_again(gw) >> f"AUTH 0x19 {METHOD} authdata=hello" << "DISCONNECT 0x82"
    ended(party)


def test_s_4_12_1_beginning_anew_before_the_connack_is_a_protocol_error(gw: Gateway) -> None:
    party = _asked(gw) >> f"AUTH 0x19 {METHOD} authdata=hello" << "CONNACK 0x82 present=0"
    ended(party)
