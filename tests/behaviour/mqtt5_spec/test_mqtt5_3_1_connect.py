"""MQTT 5.0 §3.1, CONNECT.

`test_3_1_2_4_…` is [MQTT-3.1.2-4]; `test_s_3_1_2_11_2_…` a sentence of §3.1.2.11.2 without a number.  Each byte of
flags, each field cut off, and each property is gone through in tests/protocols/mqtt (test_mqtt_bad_connect.py and
test_mqtt_bad_input.py).

Not tested:
  3.1.2-9, 3.1.2-16 to -19, 3.1.3-1, -3   layout: a CONNECT that breaks it cannot be told from another one, or is cut off
  3.1.2-20, 3.1.2-21                      obligations of a client
  3.1.2-26, 3.1.2-27                      with the aliases, in §3.3 (3.3.2-11)
  3.1.2-30                                with the exchange, in §4.12
"""

import pytest
from harness import DROP, Gateway
from mqtt_spec import Door, alive, client, ended, hears, packet, said

from gateway.connectors.mqtt.settings import MqttSettings
from protocols.mqtt.frames import Connack, Puback, Publish, Suback, Unsuback

HEAD = b"\x00\x04MQTT\x05"
CONNECT = packet(0x10, HEAD + b"\x02\x00\x00\x00\x00\x01c")


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


# -- 3.1, 3.1.0


@pytest.mark.parametrize(
    "first", ["PINGREQ", "PUBLISH t x", "SUBSCRIBE 1 t", "DISCONNECT", "AUTH 0x18 authmethod=CHALLENGE"]
)
def test_3_1_0_1_first_packet_is_connect(gw: Gateway, first: str) -> None:
    other = client(gw, "o")
    party = gw.mqtt("c", 5) >> first
    ended(party)
    alive(gw, other)


def test_3_1_0_2_second_connect_is_a_protocol_error(gw: Gateway) -> None:
    will = hears(client(gw, "s"), "w")
    party = client(gw, "c", "will=w will_body=gone") >> CONNECT << "DISCONNECT 0x82"
    ended(party)
    will << "PUBLISH w gone"


# -- 3.1.2.1, 3.1.2.2: name and version


@pytest.mark.parametrize("name", [b"MQTZ", b"mqtt", b"MQTTX", b""])
def test_3_1_2_1_wrong_protocol_name_closes(gw: Gateway, name: bytes) -> None:
    party = gw.mqtt("c", 5) >> packet(
        0x10, len(name).to_bytes(2, "big") + name + b"\x05\x02\x00\x00\x00\x00\x01c"
    )
    ended(party)


@pytest.mark.parametrize("level", [6, 7, 100])
def test_3_1_2_2_wrong_version_is_0x84(gw: Gateway, level: int) -> None:
    party = gw.mqtt("c", 5) >> packet(0x10, b"\x00\x04MQTT" + bytes((level,)) + b"\x02\x00\x00\x00\x00\x01c")
    party << "CONNACK 0x84 present=0"
    ended(party)


def test_3_1_2_2_version_5_is_0x84_where_it_is_not_accepted() -> None:
    gw = Gateway(mqtt=MqttSettings(versions=("3.1", "3.1.1")))
    party = gw.mqtt("c", 5) >> CONNECT << "CONNACK 0x84 present=0"
    ended(party)


# -- 3.1.2.3 to 3.1.2.9: flags


def test_3_1_2_3_reserved_flag_is_malformed(gw: Gateway) -> None:
    party = gw.mqtt("c", 5) >> packet(0x10, HEAD + b"\x03\x00\x00\x00\x00\x01c") << "CONNACK 0x81 present=0"
    ended(party)


def test_3_1_2_4_clean_start_discards_the_session(gw: Gateway) -> None:
    hears(client(gw, "c", "expiry=100"), "t qos=1") >> DROP
    client(gw, "p") >> "PUBLISH t qos=1 id=1 x" << "PUBACK 1"
    party = client(gw, "c", "expiry=100 clean=1")
    party.silent()
    gw.mqtt("p", 5) >> "PUBLISH t qos=1 id=1 y" << "PUBACK 1 0x10"
    party.silent()


def test_3_1_2_5_session_is_resumed(gw: Gateway) -> None:
    hears(client(gw, "c", "expiry=100"), "t qos=1") >> DROP
    client(gw, "p") >> "PUBLISH t qos=1 id=1 x" << "PUBACK 1"
    party = client(gw, "c", "clean=0", present=1) << "PUBLISH t qos=1 id=1 x" >> "PUBACK 1"
    gw.mqtt("p", 5) >> "PUBLISH t y"
    party << "PUBLISH t y"


def test_3_1_2_6_session_is_made_when_there_is_none(gw: Gateway) -> None:
    client(gw, "c", "clean=0 expiry=100") >> DROP
    client(gw, "c", "clean=0", present=1)


@pytest.mark.parametrize("how", ["broken", "0x04", "0x80", "keep-alive", "protocol error"])
def test_3_1_2_7_and_8_will_is_published_when_the_connection_closes(gw: Gateway, how: str) -> None:
    watcher = hears(client(gw, "s"), "w/# qos=2")
    party = client(gw, "c", "keepalive=10 will=w/c will_qos=1 will_body=gone")
    if how == "broken":
        party >> DROP
    elif how == "keep-alive":
        gw.advance(15_000)
    elif how == "protocol error":
        party >> b"\x00\x00"
    else:
        party >> f"DISCONNECT {how}"
    watcher << "PUBLISH w/c qos=1 id=1 gone"
    watcher.silent()


def test_3_1_2_8_will_waits_for_its_delay(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    client(gw, "c", "expiry=100 will=w will_delay=10 will_body=gone") >> DROP
    gw.advance(9_999)
    watcher.silent()
    gw.advance(1)
    watcher << "PUBLISH w gone"
    watcher.silent()


@pytest.mark.parametrize("words", ["expiry=5", ""])
def test_3_1_2_8_will_does_not_wait_longer_than_the_session_lives(gw: Gateway, words: str) -> None:
    watcher = hears(client(gw, "s"), "w")
    client(gw, "c", words + " will=w will_delay=10 will_body=gone") >> DROP
    if words:
        watcher.silent()
        gw.advance(5_000)
    watcher << "PUBLISH w gone"
    gw.advance(10_000)
    watcher.silent()


def test_3_1_2_8_will_is_published_when_a_new_connection_ends_the_session(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    client(gw, "c", "expiry=100 will=w will_delay=10 will_body=gone") >> DROP
    watcher.silent()
    client(gw, "c", "clean=1")
    watcher << "PUBLISH w gone"
    watcher.silent()


def test_3_1_2_10_will_is_published_once(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    client(gw, "c", "expiry=100 will=w will_body=gone") >> DROP
    watcher << "PUBLISH w gone"
    client(gw, "c", "clean=0 expiry=100", present=1) >> DROP
    gw.advance(200_000)
    watcher.silent()


def test_3_1_2_10_disconnect_0_removes_the_will(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    client(gw, "c", "expiry=10 will=w will_delay=1 will_body=gone") >> "DISCONNECT" >> DROP
    gw.advance(20_000)
    watcher.silent()


@pytest.mark.parametrize("code", ["0x80", "0x81", "0x82", "0x83", "0x93", "0x95", "0x97", "0x99"])
def test_3_1_2_10_only_reason_0_removes_the_will(gw: Gateway, code: str) -> None:
    watcher = hears(client(gw, "s"), "w")
    client(gw, "c", "will=w will_body=gone") >> f"DISCONNECT {code}" >> DROP
    watcher << "PUBLISH w gone"


@pytest.mark.parametrize("flags", [0x08, 0x10, 0x18, 0x20], ids=hex)
def test_3_1_2_11_and_13_will_flags_without_a_will_are_malformed(gw: Gateway, flags: int) -> None:
    party = gw.mqtt("c", 5) >> packet(0x10, HEAD + bytes((flags | 2,)) + b"\x00\x00\x00\x00\x01c")
    party << "CONNACK 0x81 present=0"
    ended(party)


def test_3_1_2_12_will_of_qos_3_is_malformed(gw: Gateway) -> None:
    body = HEAD + b"\x1e\x00\x00\x00\x00\x01c\x00\x00\x01w\x00\x00"
    party = gw.mqtt("c", 5) >> packet(0x10, body) << "CONNACK 0x81 present=0"
    ended(party)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_3_1_2_12_will_has_its_qos(gw: Gateway, qos: int) -> None:
    watcher = hears(client(gw, "s"), "w qos=2")
    client(gw, "c", f"will=w will_qos={qos} will_body=x") >> DROP
    watcher << (f"PUBLISH w qos={qos} id=1 x" if qos else "PUBLISH w x")


def test_3_1_2_14_will_without_retain_is_not_kept(gw: Gateway) -> None:
    client(gw, "c", "will=w will_body=x") >> DROP
    hears(client(gw, "s"), "w").silent()


def test_3_1_2_15_will_with_retain_is_kept(gw: Gateway) -> None:
    client(gw, "c", "will=w will_retain will_body=x") >> DROP
    hears(client(gw, "s"), "w") << "PUBLISH w retain x"


def test_s_3_1_3_3_will_with_retain_and_no_payload_clears(gw: Gateway) -> None:
    client(gw, "p") >> "PUBLISH w retain x"
    client(gw, "c", "will=w will_retain will_body=") >> DROP
    hears(client(gw, "s"), "w").silent()


def test_s_3_1_2_9_password_without_user_name_is_allowed() -> None:
    gw = Gateway()
    client(gw, "c", "pass=token")


# -- 3.1.2.10: keep alive


def test_3_1_2_22_silence_of_one_and_a_half_keep_alives(gw: Gateway) -> None:
    party = client(gw, "c", "keepalive=10")
    gw.advance(14_999)
    party.silent()
    party >> "PINGREQ" << "PINGRESP"
    gw.advance(14_999)
    party.silent()
    gw.advance(1)
    party << "DISCONNECT 0x8d"
    ended(party)


def test_s_3_1_2_10_keep_alive_0_is_off(gw: Gateway) -> None:
    party = client(gw, "c", "keepalive=0")
    gw.advance(10_000_000)
    alive(gw, party)


@pytest.mark.parametrize("words", ["PUBLISH t x", "SUBSCRIBE 1 t", "UNSUBSCRIBE 1 t", "PUBACK 7"])
def test_s_3_1_2_10_any_packet_will_do(gw: Gateway, words: str) -> None:
    party = client(gw, "c", "keepalive=10")
    gw.advance(10_000)
    party >> words
    gw.advance(14_999)
    assert not party.closed


def test_s_3_1_2_10_what_the_server_sends_does_not_count(gw: Gateway) -> None:
    party = hears(client(gw, "c", "keepalive=10"), "t")
    publisher = client(gw, "p")
    for _ in range(3):
        publisher >> "PUBLISH t x"
        party << "PUBLISH t x"
        gw.advance(5_000)
    party << "DISCONNECT 0x8d"


# -- 3.1.2.11: properties


def test_3_1_2_23_session_outlives_the_connection_by_its_expiry(gw: Gateway) -> None:
    hears(client(gw, "c", "expiry=10"), "t qos=1") >> DROP
    gw.advance(9_999)
    client(gw, "c", "clean=0 expiry=10", present=1) >> DROP
    gw.advance(10_000)
    client(gw, "c", "clean=0")


@pytest.mark.parametrize("words", ["", "expiry=0"])
def test_s_3_1_2_11_2_session_ends_with_the_connection_without_expiry(gw: Gateway, words: str) -> None:
    client(gw, "c", words) >> DROP
    client(gw, "c", "clean=0")


def test_s_3_1_2_11_2_session_never_expires(gw: Gateway) -> None:
    client(gw, "c", "expiry=4294967295") >> DROP
    gw.advance(1_000_000_000_000)
    client(gw, "c", "clean=0", present=1)


def test_s_3_1_2_11_2_session_expiry_is_the_newest_connections(gw: Gateway) -> None:
    client(gw, "c", "expiry=100") >> DROP
    client(gw, "c", "clean=0", present=1) >> DROP
    client(gw, "c", "clean=0")


def test_s_3_1_2_11_3_receive_maximum_of_0_is_a_protocol_error(gw: Gateway) -> None:
    party = gw.mqtt("c", 5) >> packet(0x10, HEAD + b"\x02\x00\x00\x03\x21\x00\x00\x00\x01c")
    party << "CONNACK 0x82 present=0"
    ended(party)


def test_s_3_1_2_11_4_maximum_packet_size_of_0_is_a_protocol_error(gw: Gateway) -> None:
    party = gw.mqtt("c", 5) >> packet(0x10, HEAD + b"\x02\x00\x00\x05\x27\x00\x00\x00\x00\x00\x01c")
    party << "CONNACK 0x82 present=0"
    ended(party)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_3_1_2_24_no_packet_above_the_clients_maximum_is_sent(gw: Gateway, qos: int) -> None:
    party = hears(client(gw, "s", "maxsize=20"), f"t qos={qos}")
    publisher = client(gw, "p")
    # 2 bytes of header, 3 of topic, 2 of packet id where there is one, and 1 of property length.
    fits = "x" * (20 - 6 - (2 if qos else 0))
    publisher >> f"PUBLISH t qos=2 id=1 {fits}y" >> f"PUBLISH t qos=2 id=2 {fits}"
    got = party.take()
    assert isinstance(got, Publish)
    assert got.payload() == fits.encode()
    assert len(got.frame) == 20
    party.silent()


def test_3_1_2_25_message_that_is_too_large_counts_as_delivered() -> None:
    gw = Gateway()
    party = hears(client(gw, "s", "maxsize=30 recvmax=1 expiry=100"), "t qos=1")
    publisher = client(gw, "p")
    for n in range(3):
        publisher >> f"PUBLISH t qos=1 id=1 {'x' * 100}{n}" << "PUBACK 1"
    publisher >> "PUBLISH t qos=1 id=1 small" << "PUBACK 1"
    got = party.take()
    assert isinstance(got, Publish)
    assert got.payload() == b"small"
    party >> f"PUBACK {got.packet_id}" >> DROP
    # And it does not come back when the client takes larger packets.
    client(gw, "s", "clean=0", present=1).silent()


def test_3_1_2_25_one_subscribers_limit_is_not_anothers(gw: Gateway) -> None:
    small = hears(client(gw, "small", "maxsize=30"), "t")
    large = hears(client(gw, "large"), "t")
    client(gw, "p") >> f"PUBLISH t {'x' * 50}"
    large << f"PUBLISH t {'x' * 50}"
    small.silent()


def test_3_1_2_28_response_information_is_not_sent_unless_asked_for() -> None:
    gw = Gateway(mqtt=MqttSettings(response_information="replies/{client_id}/"))
    for words in ("", "response=0"):
        gw.mqtt("c", 5) >> f"CONNECT c {words}"
        connack = gw.mqtt("c", 5).take()
        assert isinstance(connack, Connack)
        assert said(connack.properties).response_information is None
        gw.mqtt("c", 5) >> DROP


def test_s_3_1_2_11_6_response_information_is_sent_when_asked_for() -> None:
    gw = Gateway(mqtt=MqttSettings(response_information="replies/{client_id}/"))
    connack = (gw.mqtt("c", 5) >> "CONNECT c response=1").take()
    assert isinstance(connack, Connack)
    assert said(connack.properties).response_information == "replies/c/"


def _chatter(words: str) -> list[object]:
    """Acknowledgements that have something to explain, from a gateway that forbids the topic `no`."""
    gw = Gateway(authorizer=Door(forbidden="no"))
    party = client(gw, "c", words)
    (
        party
        >> "PUBLISH no qos=1 id=1 x"
        >> "PUBLISH no qos=2 id=2 x"
        >> "SUBSCRIBE 3 no a/#/b"
        >> "UNSUBSCRIBE 4 x"
    )
    party >> "PUBREL 77"
    return [party.take() for _ in range(5)]


def test_3_1_2_29_no_reason_strings_without_problem_information() -> None:
    for answer in _chatter("problem=0"):
        properties = answer.properties  # type: ignore[attr-defined]
        assert properties is None or (properties.reason_string is None and not properties.user)


def test_s_3_1_2_11_7_reason_strings_explain_refusals() -> None:
    for words in ("", "problem=1"):
        puback, pubrec, suback, unsuback, _ = _chatter(words)
        assert isinstance(puback, Puback)
        assert isinstance(suback, Suback)
        assert isinstance(unsuback, Unsuback)
        for answer in (puback, pubrec, suback):
            assert said(answer.properties).reason_string  # type: ignore[attr-defined]


def test_s_3_1_2_11_8_user_properties_of_connect_are_taken(gw: Gateway) -> None:
    alive(gw, client(gw, "c", "user.a=1 user.a=2 user.b=3"))


def test_s_3_1_2_11_9_unknown_authentication_method_is_0x8c(gw: Gateway) -> None:
    party = gw.mqtt("c", 5) >> "CONNECT c authmethod=X"
    connack = party.take()
    assert isinstance(connack, Connack)
    assert connack.code == 0x8C
    ended(party)


def test_s_3_1_2_11_10_authentication_data_without_method_is_a_protocol_error(gw: Gateway) -> None:
    party = gw.mqtt("c", 5) >> packet(0x10, HEAD + b"\x02\x00\x00\x04\x16\x00\x01x\x00\x01c")
    party << "CONNACK 0x82 present=0"
    ended(party)


# -- 3.1.3: payload


def test_3_1_3_2_client_id_names_the_session(gw: Gateway) -> None:
    hears(client(gw, "a", "expiry=100"), "t qos=1") >> DROP
    client(gw, "b", "clean=0 expiry=100")
    client(gw, "A", "clean=0 expiry=100")
    client(gw, "a", "clean=0", present=1)


def test_3_1_3_4_client_id_that_is_not_utf_8(gw: Gateway) -> None:
    party = (
        gw.mqtt("c", 5) >> packet(0x10, HEAD + b"\x02\x00\x00\x00\x00\x01\xff") << "CONNACK 0x81 present=0"
    )
    ended(party)


@pytest.mark.parametrize(
    "name",
    ["0", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ", "ü/+#$ é", "x" * 300],
)
def test_3_1_3_5_client_ids_that_must_be_allowed_and_others(gw: Gateway, name: str) -> None:
    party = gw.mqtt("c", 5)
    raw = name.encode()
    party >> packet(0x10, HEAD + b"\x02\x00\x00\x00" + len(raw).to_bytes(2, "big") + raw)
    party << "CONNACK 0 present=0"
    alive(gw, party)


def test_3_1_3_6_and_7_empty_client_id_is_assigned_one(gw: Gateway) -> None:
    names = set()
    for party in ("a", "b"):
        gw.mqtt(party, 5) >> "CONNECT - expiry=100"
        connack = gw.mqtt(party, 5).take()
        assert isinstance(connack, Connack)
        name = said(connack.properties).assigned_client_id
        assert name
        names.add(name)
        hears(gw.mqtt(party, 5), "t qos=1") >> DROP
        client(gw, name, "clean=0", present=1)
    assert len(names) == 2


def test_s_3_1_3_1_empty_client_id_may_come_without_clean_start(gw: Gateway) -> None:
    connack = (gw.mqtt("a", 5) >> "CONNECT - clean=0").take()
    assert isinstance(connack, Connack)
    assert (connack.code, connack.session_present) == (0, False)
    assert said(connack.properties).assigned_client_id


def test_s_3_1_3_1_no_client_id_is_assigned_to_who_has_one(gw: Gateway) -> None:
    connack = (gw.mqtt("a", 5) >> "CONNECT a").take()
    assert isinstance(connack, Connack)
    assert said(connack.properties).assigned_client_id is None


def test_3_1_3_8_client_id_that_is_refused_is_answered_and_closed(gw: Gateway) -> None:
    # Control characters are what we refuse in client ids.
    party = gw.mqtt("c", 5) >> packet(0x10, HEAD + b"\x02\x00\x00\x00\x00\x03a\nb")
    connack = party.take()
    assert isinstance(connack, Connack)
    assert connack.code >= 0x80
    ended(party)


def test_3_1_3_8_control_characters_are_allowed_by_configuration() -> None:
    gw = Gateway(mqtt=MqttSettings(control_characters=True))
    gw.mqtt("c", 5) >> packet(0x10, HEAD + b"\x02\x00\x00\x00\x00\x03a\nb") << "CONNACK 0 present=0"
    alive(gw, gw.mqtt("c", 5))


def test_3_1_3_9_will_is_not_sent_when_the_client_is_back_before_its_delay(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    client(gw, "c", "expiry=100 will=w will_delay=10 will_body=gone") >> DROP
    gw.advance(9_000)
    client(gw, "c", "clean=0 expiry=100", present=1)
    gw.advance(100_000)
    watcher.silent()


def test_3_1_3_10_and_s_3_1_3_2_properties_of_the_will_are_passed_on(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    words = (
        "will_format=1 will_ct=text/plain will_resp=r will_corr=k will_user.b=1 will_user.a=2 will_user.b=0"
    )
    client(gw, "c", f"will=w will_body=x {words}") >> DROP
    watcher << "PUBLISH w format=1 ct=text/plain resp=r corr=k user.b=1 user.a=2 user.b=0 x"


def test_s_3_1_3_2_4_expiry_of_the_will_counts_from_its_publication(gw: Gateway) -> None:
    hears(client(gw, "s", "expiry=1000"), "w qos=1") >> DROP
    client(gw, "c", "expiry=100 will=w will_qos=1 will_delay=50 will_life=20 will_body=x") >> DROP
    gw.advance(50_000)
    gw.advance(15_000)
    client(gw, "s", "clean=0", present=1) << "PUBLISH w qos=1 id=1 life=5 x"


def test_s_3_1_3_2_4_will_without_expiry_does_not_expire(gw: Gateway) -> None:
    hears(client(gw, "s", "expiry=10000"), "w qos=1") >> DROP
    client(gw, "c", "will=w will_qos=1 will_body=x") >> DROP
    gw.advance(9_000_000)
    client(gw, "s", "clean=0", present=1) << "PUBLISH w qos=1 id=1 x"


def test_3_1_3_11_will_topic_that_is_not_utf_8(gw: Gateway) -> None:
    body = HEAD + b"\x06\x00\x00\x00\x00\x01c\x00\x00\x01\xff\x00\x00"
    party = gw.mqtt("c", 5) >> packet(0x10, body) << "CONNACK 0x81 present=0"
    ended(party)


def test_s_3_1_3_3_empty_will_topic_is_a_protocol_error(gw: Gateway) -> None:
    body = HEAD + b"\x06\x00\x00\x00\x00\x01c\x00\x00\x00\x00\x00"
    party = gw.mqtt("c", 5) >> packet(0x10, body) << "CONNACK 0x82 present=0"
    ended(party)


def test_s_3_1_3_3_will_may_be_empty(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "w")
    client(gw, "c", "will=w will_body=") >> DROP
    watcher << "PUBLISH w"


def test_s_3_1_3_3_will_to_a_topic_of_the_servers_own_is_refused(gw: Gateway) -> None:
    party = gw.mqtt("c", 5) >> "CONNECT c will=$SYS/x will_body=y" << "CONNACK 0x87 present=0"
    ended(party)


def test_3_1_3_12_user_name_that_is_not_utf_8(gw: Gateway) -> None:
    party = gw.mqtt("c", 5) >> packet(0x10, HEAD + b"\x82\x00\x00\x00\x00\x01c\x00\x01\xff")
    party << "CONNACK 0x81 present=0"
    ended(party)
