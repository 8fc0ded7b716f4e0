"""MQTT 5.0 §4.10 request and response, and §4.11 server redirection.

Both are conventions over what is tested elsewhere: response topic and correlation data in §3.3 (3.3.2-15, 3.3.2-16),
response information in §3.1 (3.1.2-28), the server reference in §3.2 and §3.14.
"""

import pytest
from harness import Gateway
from mqtt_spec import client, hears, packet

from protocols.mqtt.frames import Publish
from protocols.mqtt.properties import decode_properties


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_s_4_10_1_answer_finds_its_way_by_response_topic_and_correlation_data(qos: int) -> None:
    gw = Gateway()
    words = f"qos={qos} id=1 " if qos else ""
    asker = hears(client(gw, "asker"), f"answers/asker qos={qos}")
    server = hears(client(gw, "server"), f"questions qos={qos}")
    asker >> f"PUBLISH questions {words}resp=answers/asker corr=7 'what?'"
    request = server.take()
    assert isinstance(request, Publish)
    properties = decode_properties(request.properties)
    assert (properties.response_topic, properties.correlation_data) == ("answers/asker", b"7")
    server >> f"PUBLISH {properties.response_topic} {words}corr=7 that"
    assert f"PUBLISH answers/asker {words}corr=7 that" in asker.rest()


def test_s_4_10_several_answers_to_one_question() -> None:
    gw = Gateway()
    asker = hears(client(gw, "asker"), "answers")
    for name in ("one", "two"):
        hears(client(gw, name), "questions")
    asker >> "PUBLISH questions resp=answers corr=c x"
    for name in ("one", "two"):
        gw.mqtt(name, 5) << "PUBLISH questions resp=answers corr=c x" >> f"PUBLISH answers corr=c {name}"
    asker << "PUBLISH answers corr=c one" << "PUBLISH answers corr=c two"


def test_s_4_10_question_of_a_shared_subscription_is_answered_once() -> None:
    gw = Gateway()
    asker = hears(client(gw, "asker"), "answers")
    servers = [hears(client(gw, name), "$share/s/questions") for name in ("one", "two")]
    asker >> "PUBLISH questions resp=answers corr=c x"
    heard = [server.rest() for server in servers]
    assert sorted(heard) == [[], ["PUBLISH questions resp=answers corr=c x"]]


def test_s_4_10_correlation_data_may_be_empty() -> None:
    gw = Gateway()
    party = hears(client(gw, "s"), "t")
    data = packet(0x30, b"\x00\x01t\x03\x09\x00\x00x")
    client(gw, "p") >> data
    got = party.take()
    assert isinstance(got, Publish)
    assert decode_properties(got.properties).correlation_data == b""
