"""MQTT 5.0 §3.1.2.11.4: nothing that is sent exceeds the client's Maximum Packet Size [MQTT-3.1.2-24].

What may be left out is left out first, then the packet; where the client could not be told what it has to know, the
connection ends.  Application messages above it: test_mqtt5_3_1_connect.py.
"""

import pytest
from harness import Gateway, MqttParty
from mqtt_spec import Door, alive, client, ended, hears, said

from gateway.connectors.mqtt.settings import MqttSettings
from protocols.mqtt.frames import Connack, Disconnect


def _data(gw: Gateway, party: MqttParty) -> bytes:
    return b"".join(party.connector.bytes_out(gw.now_ms))


@pytest.mark.parametrize("name", ["x", "-"])
@pytest.mark.parametrize("limit", [*range(1, 60), 100])
def test_3_1_2_24_connack(limit: int, name: str) -> None:
    gw = Gateway(mqtt=MqttSettings(keep_alive_max_s=60))
    party = gw.mqtt("c", 5) >> f"CONNECT {name} maxsize={limit} expiry=10"
    data = _data(gw, party)
    assert len(data) <= limit
    if party.closed:
        assert data[3:4] in (b"", b"\x83")
    else:
        assert data[3] == 0
        # What the client must know is never left out: the keep-alive that it has to keep, and what we take.
        for needed in (b"\x13\x00\x3c", b"\x21\x03\xe8", b"\x27"):
            assert needed in data


def test_3_1_2_24_connack_loses_what_may_be_left_out_only_where_it_must() -> None:
    settings = MqttSettings(response_information="r" * 20)
    for limit, expected in ((100, (True, True)), (30, (False, True)), (15, (False, False))):
        party = Gateway(mqtt=settings).mqtt("c", 5) >> f"CONNECT c maxsize={limit} response=1"
        connack = party.take()
        assert isinstance(connack, Connack)
        assert connack.code == 0
        properties = said(connack.properties)
        assert (
            properties.response_information is not None,
            properties.topic_alias_maximum is not None,
        ) == expected


def test_3_1_2_24_who_cannot_be_told_does_not_take_a_session_over() -> None:
    gw = Gateway()
    first = client(gw, "c")
    ended(gw.mqtt("again", 5) >> "CONNECT c maxsize=8" << "CONNACK 0x83 present=0")
    ended(gw.mqtt("again", 5) >> "CONNECT c maxsize=4")
    alive(gw, first)


@pytest.mark.parametrize("limit", [1, 4, 5, 12, 40, 200])
def test_3_2_2_19_refusal(limit: int) -> None:
    settings = MqttSettings(server_reference="another.example.org", redirect="server-moved")
    gw = Gateway(mqtt=settings)
    party = gw.mqtt("c", 5) >> f"CONNECT c maxsize={limit}"
    data = _data(gw, party)
    assert len(data) <= limit
    assert party.closed
    assert (data[3:4] == b"\x9d") == (limit >= 5)
    assert (b"\x1c\x00\x13another" in data) == (limit >= 40)


@pytest.mark.parametrize("command", ["SUBSCRIBE", "UNSUBSCRIBE"])
def test_3_1_2_24_suback_and_unsuback(command: str) -> None:
    gw = Gateway()
    other = client(gw, "o")
    fits = " ".join(f"t{n}" for n in range(15))
    party = client(gw, "c", "maxsize=20") >> f"{command} 1 {fits}"
    assert len(_data(gw, party)) == 20
    party >> f"{command} 2 {fits} one-more" << "DISCONNECT 0x95"
    ended(party)
    # It has not been carried out: nobody could have been told.
    watcher = client(gw, "c2")
    other >> "PUBLISH one-more x"
    alive(gw, other, watcher)


def test_3_9_2_2_reason_string_of_suback() -> None:
    gw = Gateway(authorizer=Door(forbidden="no"))
    for limit, there in ((20, False), (60, True)):
        party = client(gw, f"c{limit}", f"maxsize={limit}") >> "SUBSCRIBE 1 no"
        data = _data(gw, party)
        assert len(data) <= limit
        assert (b"not authorized" in data) == there


def test_3_14_2_3_disconnect_leaves_the_server_reference_out() -> None:
    for limit, there in ((20, False), (60, True)):
        gw = Gateway(mqtt=MqttSettings(server_reference="another.example.org"))
        party = client(gw, "c", f"maxsize={limit}")
        party.connector.shutdown(gw.now_ms)
        last = party.take()
        assert isinstance(last, Disconnect)
        assert last.reason_code == 0x9C
        assert (last.properties is not None and last.properties.server_reference is not None) == there


def test_3_15_2_auth_that_is_too_large_is_no_more_sent_than_others() -> None:
    gw = Gateway(authorizer=Door())
    ended(gw.mqtt("c", 5) >> "CONNECT c maxsize=20 authmethod=CHALLENGE" << "CONNACK 0x83 present=0")


def test_3_1_2_24_pubrel_and_pubcomp_of_what_is_not_known() -> None:
    gw = Gateway()
    party = hears(client(gw, "c", "maxsize=13"), "t")
    party >> "PUBREC 7" << "PUBREL 7 0x92" >> "PUBREL 8" << "PUBCOMP 8 0x92"
    alive(gw, party)
