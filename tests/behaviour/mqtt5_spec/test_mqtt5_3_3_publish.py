"""MQTT 5.0 §3.3, PUBLISH.

`test_3_3_1_1_…` is [MQTT-3.3.1-1]; `test_s_3_3_2_3_4_…` a sentence of §3.3.2.3.4 without a number.

Not tested:
  3.3.2-8, -9, -10, 3.3.4-7, -8   obligations of a client (what we do to one that breaks them is here)
  3.3.4-5                         we send one copy for overlapping subscriptions (3.3.4-4)
  3.3.4-9, -10                    with flow control, in §4.9
"""

import pytest
from harness import DROP, Gateway
from mqtt_spec import Door, alive, client, ended, hears, packet, said

from gateway.connectors.mqtt.settings import MqttSettings
from gateway.store.memory import MemoryStore
from protocols.mqtt.frames import Disconnect, Publish
from protocols.mqtt.properties import decode_properties


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


# -- 3.3.1: the first byte


@pytest.mark.parametrize("qos", [1, 2])
def test_3_3_1_1_dup_is_set_when_a_message_is_sent_again(gw: Gateway, qos: int) -> None:
    party = hears(client(gw, "s", "expiry=100"), f"t qos={qos}")
    client(gw, "p") >> "PUBLISH t qos=2 id=1 x"
    party << f"PUBLISH t qos={qos} id=1 x" >> DROP
    client(gw, "s", "clean=0", present=1) << f"PUBLISH t qos={qos} dup id=1 x"


def test_3_3_1_2_dup_with_qos_0_is_malformed(gw: Gateway) -> None:
    other = hears(client(gw, "o"), "t")
    party = client(gw, "c") >> packet(0x38, b"\x00\x01t\x00x") << "DISCONNECT 0x81"
    ended(party)
    other.silent()
    alive(gw, other)


@pytest.mark.parametrize("qos", [1, 2])
def test_3_3_1_3_dup_is_not_passed_on(gw: Gateway, qos: int) -> None:
    zero = hears(client(gw, "zero"), "t")
    party = hears(client(gw, "s"), "t qos=2")
    client(gw, "p") >> f"PUBLISH t qos={qos} dup id=1 x"
    party << f"PUBLISH t qos={qos} id=1 x"
    zero << "PUBLISH t x"


def test_3_3_1_4_qos_3_is_malformed(gw: Gateway) -> None:
    other = hears(client(gw, "o"), "t")
    party = client(gw, "c") >> packet(0x36, b"\x00\x01t\x00\x01\x00x") << "DISCONNECT 0x81"
    ended(party)
    other.silent()


def test_3_3_1_5_retained_message_is_kept_and_replaced(gw: Gateway) -> None:
    publisher = client(gw, "p") >> "PUBLISH t retain 1" >> "PUBLISH t qos=1 retain id=1 2"
    hears(client(gw, "s"), "t qos=2") << "PUBLISH t qos=1 retain id=1 2"
    publisher >> DROP
    gw.advance(1_000_000)
    hears(client(gw, "s2"), "t qos=2") << "PUBLISH t qos=1 retain id=1 2"


def test_s_3_3_1_3_retained_message_of_qos_0_replaces_one_of_qos_1(gw: Gateway) -> None:
    client(gw, "p") >> "PUBLISH t qos=1 retain id=1 1" >> "PUBLISH t retain 2"
    hears(client(gw, "s"), "t qos=2") << "PUBLISH t retain 2"


def test_3_3_1_6_and_7_empty_payload_clears_and_is_not_kept(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "t")
    publisher = client(gw, "p") >> "PUBLISH t retain 1"
    party << "PUBLISH t 1"
    publisher >> "PUBLISH t retain"
    party << "PUBLISH t"
    hears(client(gw, "s2"), "t").silent()


def test_3_3_1_7_empty_payload_where_there_was_nothing(gw: Gateway) -> None:
    client(gw, "p") >> "PUBLISH t retain"
    hears(client(gw, "s"), "t").silent()


def test_3_3_1_8_message_without_retain_leaves_the_retained_one(gw: Gateway) -> None:
    client(gw, "p") >> "PUBLISH t retain 1" >> "PUBLISH t 2" >> "PUBLISH t" >> "PUBLISH u 3"
    party = hears(client(gw, "s"), "# qos=1")
    party << "PUBLISH t retain 1"
    party.silent()


def test_3_3_1_9_retain_handling_0_sends_at_every_subscribe(gw: Gateway) -> None:
    client(gw, "p") >> "PUBLISH t retain 1"
    party = hears(client(gw, "s"), "t rh=0") << "PUBLISH t retain 1"
    hears(party, "t rh=0") << "PUBLISH t retain 1"
    party.silent()


def test_3_3_1_10_retain_handling_1_sends_to_a_new_subscription_only(gw: Gateway) -> None:
    client(gw, "p") >> "PUBLISH t retain 1"
    party = hears(client(gw, "s"), "t rh=1") << "PUBLISH t retain 1"
    hears(party, "t rh=1").silent()
    party >> "UNSUBSCRIBE 2 t" << "UNSUBACK 2 0"
    hears(party, "t rh=1") << "PUBLISH t retain 1"


def test_3_3_1_10_retain_handling_1_knows_the_subscriptions_of_the_session(gw: Gateway) -> None:
    client(gw, "p") >> "PUBLISH t retain 1"
    hears(client(gw, "s", "expiry=100"), "t rh=1") << "PUBLISH t retain 1" >> DROP
    hears(client(gw, "s", "clean=0", present=1), "t rh=1").silent()


def test_3_3_1_11_retain_handling_2_sends_nothing(gw: Gateway) -> None:
    publisher = client(gw, "p") >> "PUBLISH t retain 1"
    party = hears(client(gw, "s"), "t rh=2")
    party.silent()
    publisher >> "PUBLISH t retain 2"
    party << "PUBLISH t 2"


def test_3_3_1_12_retain_is_cleared_for_established_subscriptions(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "t qos=1")
    client(gw, "p") >> "PUBLISH t retain 1" >> "PUBLISH t qos=1 retain id=1 2" >> "PUBLISH t qos=1 id=2 3"
    party << "PUBLISH t 1" << "PUBLISH t qos=1 id=1 2" << "PUBLISH t qos=1 id=2 3"


def test_3_3_1_13_retain_as_published(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "t qos=1 rap")
    (
        client(gw, "p")
        >> "PUBLISH t retain 1"
        >> "PUBLISH t qos=1 retain id=1 2"
        >> "PUBLISH t qos=1 id=2 3"
        >> "PUBLISH t 4"
    )
    (
        party
        << "PUBLISH t retain 1"
        << "PUBLISH t qos=1 retain id=1 2"
        << "PUBLISH t qos=1 id=2 3"
        << "PUBLISH t 4"
    )


@pytest.mark.parametrize("words", ["", "rap"])
def test_s_3_3_1_3_retained_messages_are_sent_with_retain_whatever_the_option(
    gw: Gateway, words: str
) -> None:
    client(gw, "p") >> "PUBLISH t retain 1"
    hears(client(gw, "s"), f"t {words}") << "PUBLISH t retain 1"


def test_s_3_3_1_3_retained_messages_of_wildcard_filters(gw: Gateway) -> None:
    publisher = client(gw, "p")
    for topic in ("a", "a/b", "a/b/c", "a/c", "b/b", "/a", "a/"):
        publisher >> f"PUBLISH {topic} retain x"
    for filter, topics in {
        "a/+": ["a/b", "a/c", "a/"],
        "a/#": ["a", "a/b", "a/b/c", "a/c", "a/"],
        "+/b": ["a/b", "b/b"],
        "+/+": ["a/b", "a/c", "b/b", "/a", "a/"],
        "/+": ["/a"],
        "#": ["a", "a/b", "a/b/c", "a/c", "b/b", "/a", "a/"],
        "+/b/#": ["a/b", "a/b/c", "b/b"],
    }.items():
        heard = hears(client(gw, "s"), filter).rest()
        assert sorted(heard) == sorted(f"PUBLISH {topic} retain x" for topic in topics)
        gw.mqtt("s", 5) >> DROP


def test_s_3_3_1_3_retained_messages_outlive_sessions(gw: Gateway) -> None:
    client(gw, "p", "clean=1 expiry=0") >> "PUBLISH t retain x" >> "DISCONNECT" >> DROP
    client(gw, "p", "clean=1") >> DROP
    hears(client(gw, "s"), "t") << "PUBLISH t retain x"


# -- 3.3.2: topic, packet id, properties


def test_3_3_2_1_topic_is_utf_8(gw: Gateway) -> None:
    party = client(gw, "c") >> packet(0x30, b"\x00\x02\xc3\x28\x00x") << "DISCONNECT 0x81"
    ended(party)


@pytest.mark.parametrize("topic", ["#", "+", "a/+/b", "a/#", "a#", "+a"])
def test_3_3_2_2_wildcards_in_the_topic_are_malformed(gw: Gateway, topic: str) -> None:
    other = hears(client(gw, "o"), "#")
    party = client(gw, "c") >> f"PUBLISH {topic} x" << "DISCONNECT 0x81"
    ended(party)
    other.silent()


def test_3_3_2_3_topic_of_a_delivery_matches_the_filter(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "+/b/#")
    client(gw, "p") >> "PUBLISH a/b/c/d x" >> "PUBLISH a/c x"
    party << "PUBLISH a/b/c/d x"
    party.silent()


def test_s_3_3_2_1_empty_topic_without_alias_is_a_protocol_error(gw: Gateway) -> None:
    party = client(gw, "c") >> "PUBLISH - x" << "DISCONNECT 0x82"
    ended(party)


def test_3_3_2_4_payload_format_is_passed_on(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "t qos=1")
    publisher = client(gw, "p") >> "PUBLISH t format=1 x" >> "PUBLISH t format=0 x" >> "PUBLISH t x"
    publisher >> "PUBLISH t qos=1 id=1 format=1 x"
    (
        party
        << "PUBLISH t format=1 x"
        << "PUBLISH t format=0 x"
        << "PUBLISH t x"
        << "PUBLISH t qos=1 id=1 format=1 x"
    )


NOT_TEXT = b"\x00\x01t\x02\x01\x01\xff"


def test_s_3_3_2_3_2_payload_that_is_not_what_it_says_passes_unless_checked(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "t")
    client(gw, "p") >> packet(0x30, NOT_TEXT)
    assert party.rest() == ["PUBLISH t format=1 \\xff"]


def test_s_3_3_2_3_2_payload_that_is_not_what_it_says_is_0x99_where_checked() -> None:
    gw = Gateway(mqtt=MqttSettings(check_payload_format=True))
    watcher = hears(client(gw, "s"), "t qos=2")
    publisher = client(gw, "p")
    publisher >> packet(0x32, b"\x00\x01t\x00\x01\x02\x01\x01\xff") << "PUBACK 1 0x99"
    publisher >> packet(0x34, b"\x00\x01t\x00\x02\x02\x01\x01\xff") << "PUBREC 2 0x99"
    publisher >> packet(0x34, b"\x00\x01t\x00\x02\x02\x01\x01\xc3\xbc") << "PUBREC 2"
    publisher >> packet(0x30, b"\x00\x01t\x02\x01\x00\xff")
    assert watcher.rest() == ["PUBLISH t qos=2 id=1 format=1 ü", "PUBLISH t format=0 \\xff"]


def test_s_3_3_2_3_2_qos_0_payload_that_is_not_what_it_says_is_not_passed_on_where_checked() -> None:
    gw = Gateway(mqtt=MqttSettings(check_payload_format=True))
    watcher = hears(client(gw, "s"), "t qos=2")
    # No acknowledgement can say so: dropped, or the end of the connection with 0x99.
    publisher = client(gw, "p") >> packet(0x30, NOT_TEXT)
    watcher.silent()
    assert publisher.rest() in ([], ["DISCONNECT 0x99"])


@pytest.mark.parametrize("qos", [1, 2])
def test_3_3_2_5_message_that_expired_while_it_waited_is_not_delivered(gw: Gateway, qos: int) -> None:
    hears(client(gw, "s", "expiry=1000"), f"t qos={qos}") >> DROP
    client(gw, "p") >> "PUBLISH t qos=2 id=1 life=10 old" >> "PUBLISH t qos=2 id=2 life=20 young"
    gw.advance(10_000)
    party = client(gw, "s", "clean=0 expiry=1000", present=1)
    party << f"PUBLISH t qos={qos} id=1 life=10 young"
    party.silent()


def test_3_3_2_5_expiry_of_a_retained_message(gw: Gateway) -> None:
    client(gw, "p") >> "PUBLISH t retain life=10 x"
    gw.advance(9_000)
    hears(client(gw, "s"), "t") << "PUBLISH t retain life=1 x"
    gw.advance(1_000)
    hears(client(gw, "s2"), "t").silent()


def test_3_3_2_5_expiry_where_the_window_is_full(gw: Gateway) -> None:
    party = hears(client(gw, "s", "recvmax=1"), "t qos=1")
    client(gw, "p") >> "PUBLISH t qos=1 id=1 1" >> "PUBLISH t qos=1 id=2 life=5 2" >> "PUBLISH t qos=1 id=3 3"
    party << "PUBLISH t qos=1 id=1 1"
    gw.advance(5_000)
    party >> "PUBACK 1" << "PUBLISH t qos=1 id=2 3"


def test_3_3_2_6_expiry_is_sent_less_the_time_waited(gw: Gateway) -> None:
    party = hears(client(gw, "now"), "t qos=1")
    hears(client(gw, "s", "expiry=1000"), "t qos=1") >> DROP
    client(gw, "p") >> "PUBLISH t qos=1 id=1 life=100 x"
    party << "PUBLISH t qos=1 id=1 life=100 x"
    gw.advance(60_000)
    client(gw, "s", "clean=0", present=1) << "PUBLISH t qos=1 id=1 life=40 x"


def test_s_3_3_2_3_3_message_without_expiry_does_not_expire(gw: Gateway) -> None:
    hears(client(gw, "s", "expiry=4294967295"), "t qos=1") >> DROP
    client(gw, "p") >> "PUBLISH t qos=1 id=1 x"
    gw.advance(10_000_000_000)
    client(gw, "s", "clean=0", present=1) << "PUBLISH t qos=1 id=1 x"


def test_3_3_2_7_alias_is_not_carried_to_the_next_connection(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "t")
    client(gw, "c", "expiry=100") >> "PUBLISH t alias=1 1" >> "PUBLISH - alias=1 2" >> DROP
    watcher << "PUBLISH t 1" << "PUBLISH t 2"
    party = client(gw, "c", "clean=0", present=1) >> "PUBLISH - alias=1 3" << "DISCONNECT 0x82"
    ended(party)
    watcher.silent()


def test_3_3_2_7_alias_of_one_client_is_not_anothers(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "#")
    one, two = client(gw, "one"), client(gw, "two")
    one >> "PUBLISH a alias=1 1"
    two >> "PUBLISH b alias=1 2"
    one >> "PUBLISH - alias=1 3"
    two >> "PUBLISH - alias=1 4"
    watcher << "PUBLISH a 1" << "PUBLISH b 2" << "PUBLISH a 3" << "PUBLISH b 4"


@pytest.mark.parametrize("alias", [0, 11, 65_535])
def test_3_3_2_8_and_9_alias_of_0_or_above_the_maximum_is_0x94(gw: Gateway, alias: int) -> None:
    party = client(gw, "c") >> f"PUBLISH t alias={alias} x" << "DISCONNECT 0x94"
    ended(party)


def test_3_3_2_9_any_alias_is_0x94_where_the_maximum_is_0() -> None:
    gw = Gateway(mqtt=MqttSettings(topic_alias_maximum=0))
    party = client(gw, "c") >> "PUBLISH t alias=1 x" << "DISCONNECT 0x94"
    ended(party)


def test_s_3_3_2_3_4_alias_that_was_never_set_is_a_protocol_error(gw: Gateway) -> None:
    party = client(gw, "c") >> "PUBLISH - alias=1 x" << "DISCONNECT 0x82"
    ended(party)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_3_3_2_12_aliases_up_to_the_maximum_are_taken_and_may_be_set_anew(gw: Gateway, qos: int) -> None:
    watcher = hears(client(gw, "s"), "#")
    publisher = client(gw, "p")
    words = f"qos={qos} id=1 " if qos else ""
    for alias in range(1, 11):
        publisher >> f"PUBLISH t{alias} {words}alias={alias} x"
        watcher << f"PUBLISH t{alias} x"
        if qos == 2:
            publisher >> "PUBREL 1"
    publisher >> f"PUBLISH - {words}alias=10 y"
    watcher << "PUBLISH t10 y"
    if qos == 2:
        publisher >> "PUBREL 1"
    publisher >> f"PUBLISH u {words}alias=10 z"
    watcher << "PUBLISH u z"
    if qos == 2:
        publisher >> "PUBREL 1"
    publisher >> f"PUBLISH - {words}alias=10 z"
    watcher << "PUBLISH u z"


def test_s_3_3_2_3_4_alias_is_set_even_by_a_message_that_is_not_allowed() -> None:
    gw = Gateway(authorizer=Door(forbidden="no"))
    watcher = hears(client(gw, "s"), "#")
    party = client(gw, "c") >> "PUBLISH no qos=1 id=1 alias=1 x" << "PUBACK 1 0x87"
    party >> "PUBLISH - qos=1 id=1 alias=1 y" << "PUBACK 1 0x87"
    watcher.silent()


def _heard(party_words: str, topics: list[str], gw: Gateway, qos: int = 0) -> list[tuple[bytes, int | None]]:
    """The topic that is on the wire and the alias of each delivery to a client that connects with `party_words`."""
    party = hears(client(gw, "s", party_words), f"# qos={qos}")
    publisher = client(gw, "p")
    for topic in topics:
        publisher >> f"PUBLISH {topic} qos=1 id=1 x"
    found = []
    while party._heard or not found:
        got = party.take()
        assert isinstance(got, Publish)
        raw = got.frame[2:]
        size = int.from_bytes(raw[:2], "big")
        found.append(
            (raw[2 : 2 + size], decode_properties(got.properties).topic_alias if got.properties else None)
        )
        if qos:
            party >> f"PUBACK {got.packet_id}"
    return found


@pytest.mark.parametrize("words", ["", "aliases=0"])
def test_3_1_2_27_no_alias_is_sent_to_who_takes_none(gw: Gateway, words: str) -> None:
    assert _heard(words, ["a", "a"], gw) == [(b"a", None), (b"a", None)]


@pytest.mark.parametrize("qos", [0, 1])
def test_3_3_2_11_and_3_1_2_26_aliases_are_sent_up_to_the_clients_maximum(gw: Gateway, qos: int) -> None:
    heard = _heard("aliases=1", ["a", "a", "b", "b", "a"], gw, qos)
    names: dict[int, bytes] = {}
    for (topic, alias), expected in zip(heard, [b"a", b"a", b"b", b"b", b"a"], strict=True):
        assert alias in (None, 1)
        if alias is not None and topic:
            names[alias] = topic
        assert (topic or names[alias or 0]) == expected
    # The first use carries the topic; the alias is worth having only if it is used.
    assert heard[0] == (b"a", 1)
    assert (b"", 1) in heard


def test_3_3_2_11_aliases_begin_anew_with_each_connection(gw: Gateway) -> None:
    assert _heard("aliases=5 expiry=100", ["a", "a"], gw) == [(b"a", 1), (b"", 1)]
    gw.mqtt("s", 5) >> DROP
    party = client(gw, "s", "aliases=5 clean=0", present=1)
    gw.mqtt("p", 5) >> "PUBLISH a x"
    got = party.take()
    assert isinstance(got, Publish)
    assert got.frame[2:5] == b"\x00\x01a"


def test_3_3_2_13_response_topic_is_utf_8(gw: Gateway) -> None:
    party = client(gw, "c") >> packet(0x30, b"\x00\x01t\x04\x08\x00\x01\xff") << "DISCONNECT 0x81"
    ended(party)


def test_3_3_2_14_wildcards_in_the_response_topic_are_a_protocol_error(gw: Gateway) -> None:
    party = client(gw, "c") >> "PUBLISH t resp=a/# x" << "DISCONNECT 0x82"
    ended(party)


@pytest.mark.parametrize("qos", [0, 1])
def test_3_3_2_15_to_20_properties_are_passed_on_unaltered(gw: Gateway, qos: int) -> None:
    party = hears(client(gw, "s"), f"t qos={qos}")
    words = "format=1 ct=text/plain resp=a/b corr=id user.z=1 user.a=2 user.z=3 user.a=2"
    client(gw, "p") >> f"PUBLISH t qos=1 id=1 {words} x"
    party << (f"PUBLISH t qos=1 id=1 {words} x" if qos else f"PUBLISH t {words} x")


def test_3_3_2_15_to_20_properties_of_a_message_that_waited(gw: Gateway) -> None:
    words = "format=1 ct=text/plain resp=a/b corr=id user.z=1 user.a=2 user.z=3"
    client(gw, "p") >> f"PUBLISH r retain {words} x"
    hears(client(gw, "s", "expiry=100"), "t qos=1") >> DROP
    gw.mqtt("p", 5) >> f"PUBLISH t qos=1 id=1 {words} x"
    party = client(gw, "s", "clean=0", present=1) << f"PUBLISH t qos=1 id=1 {words} x"
    hears(party, "r") << f"PUBLISH r retain {words} x"


def test_3_3_2_16_correlation_data_of_any_bytes(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "t qos=1")
    data = bytes(range(256))
    client(gw, "p") >> packet(0x32, b"\x00\x01t\x00\x01\x83\x02\x09\x01\x00" + data + b"x")
    got = party.take()
    assert isinstance(got, Publish)
    assert decode_properties(got.properties).correlation_data == data


def test_3_3_2_17_user_properties_with_empty_names_and_values(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "t")
    client(gw, "p") >> "PUBLISH t user.= user.k= x"
    party << "PUBLISH t user.= user.k= x"


def test_3_3_2_19_content_type_is_utf_8(gw: Gateway) -> None:
    party = client(gw, "c") >> packet(0x30, b"\x00\x01t\x04\x03\x00\x01\xff") << "DISCONNECT 0x81"
    ended(party)


# -- 3.3.3, 3.3.4: payload and actions


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_s_3_3_3_payload_may_be_empty(gw: Gateway, qos: int) -> None:
    party = hears(client(gw, "s"), f"t qos={qos}")
    client(gw, "p") >> "PUBLISH t qos=2 id=1"
    party << (f"PUBLISH t qos={qos} id=1" if qos else "PUBLISH t")


def test_3_3_4_1_response_by_qos(gw: Gateway) -> None:
    hears(client(gw, "s"), "t")
    party = client(gw, "c") >> "PUBLISH t x"
    party.silent()
    party >> "PUBLISH t qos=1 id=1 x" << "PUBACK 1" >> "PUBLISH t qos=2 id=2 x" << "PUBREC 2"


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("second", [0, 1, 2])
def test_3_3_4_2_overlapping_subscriptions_have_the_highest_qos(gw: Gateway, first: int, second: int) -> None:
    party = hears(client(gw, "s"), f"a/# qos={first}", f"a/+ qos={second}")
    client(gw, "p") >> "PUBLISH a/b qos=2 id=1 x"
    qos = max(first, second)
    party << (f"PUBLISH a/b qos={qos} id=1 x" if qos else "PUBLISH a/b x")
    party.silent()


@pytest.mark.parametrize("qos", [0, 1])
def test_3_3_4_3_and_4_delivery_has_the_identifiers_of_all_that_match(gw: Gateway, qos: int) -> None:
    party = client(gw, "s") >> f"SUBSCRIBE 1 a/# subid=1 qos={qos}" << f"SUBACK 1 {qos}"
    party >> f"SUBSCRIBE 2 a/b subid=268435455 qos={qos}" << f"SUBACK 2 {qos}"
    party >> f"SUBSCRIBE 3 +/b qos={qos}" << f"SUBACK 3 {qos}" >> "SUBSCRIBE 4 c subid=4" << "SUBACK 4 0"
    client(gw, "p") >> "PUBLISH a/b qos=1 id=1 x" >> "PUBLISH z/b qos=1 id=2 y" >> "PUBLISH c z"
    ids = ("qos=1 id=1 ", "qos=1 id=2 ") if qos else ("", "")
    (
        party
        << f"PUBLISH a/b {ids[0]}subid=1 subid=268435455 x"
        << f"PUBLISH z/b {ids[1]}y"
        << "PUBLISH c subid=4 z"
    )


def test_3_3_4_3_retained_messages_have_the_identifier_too(gw: Gateway) -> None:
    client(gw, "p") >> "PUBLISH t retain x"
    client(gw, "s") >> "SUBSCRIBE 1 t subid=7" << "SUBACK 1 0" << "PUBLISH t retain subid=7 x"


def test_s_3_3_4_identifier_goes_with_its_subscription(gw: Gateway) -> None:
    party = client(gw, "s", "expiry=100") >> "SUBSCRIBE 1 t subid=7 qos=1" << "SUBACK 1 1"
    publisher = client(gw, "p") >> "PUBLISH t 1"
    party << "PUBLISH t subid=7 1" >> "SUBSCRIBE 1 t subid=8 qos=1" << "SUBACK 1 1"
    publisher >> "PUBLISH t 2"
    party << "PUBLISH t subid=8 2" >> DROP
    publisher >> "PUBLISH t qos=1 id=1 3"
    party = client(gw, "s", "clean=0", present=1) << "PUBLISH t qos=1 id=1 subid=8 3"
    party >> "SUBSCRIBE 1 t qos=1" << "SUBACK 1 1"
    publisher >> "PUBLISH t 4"
    party << "PUBLISH t 4"


def test_3_3_4_6_subscription_identifier_from_a_client_is_a_protocol_error(gw: Gateway) -> None:
    other = hears(client(gw, "o"), "t")
    party = client(gw, "c") >> "PUBLISH t subid=1 x" << "DISCONNECT 0x82"
    ended(party)
    other.silent()


def test_3_3_4_7_client_above_our_receive_maximum_is_0x93() -> None:
    gw = Gateway(mqtt=MqttSettings(receive_maximum=2))
    party = (
        client(gw, "c")
        >> "PUBLISH t qos=2 id=1 x"
        << "PUBREC 1 0x10"
        >> "PUBLISH t qos=2 id=2 x"
        << "PUBREC 2 0x10"
    )
    # QoS 0 and repeats are not counted.
    party >> "PUBLISH t x" >> "PUBLISH t qos=2 dup id=2 x" << "PUBREC 2"
    party >> "PUBLISH t qos=2 id=3 x" << "DISCONNECT 0x93"
    ended(party)


def test_3_3_4_7_window_opens_with_pubcomp() -> None:
    gw = Gateway(mqtt=MqttSettings(receive_maximum=1))
    party = client(gw, "c")
    for n in range(1, 5):
        party >> f"PUBLISH t qos=2 id={n} x" << f"PUBREC {n} 0x10" >> f"PUBREL {n}" << f"PUBCOMP {n}"
        party >> f"PUBLISH t qos=1 id={n} x" << f"PUBACK {n} 0x10"


@pytest.mark.parametrize("qos", [1, 2])
def test_3_3_4_7_window_is_as_large_as_promised_though_no_answer_has_left_yet(qos: int) -> None:
    store = MemoryStore(held=True)
    gw = Gateway(store, mqtt=MqttSettings(receive_maximum=4))
    store.listener = gw.broker
    party = client(gw, "c", "clean=0 expiry=9")
    gw.broker.queue("q")
    for n in range(1, 5):
        party >> f"PUBLISH $queue/q qos={qos} id={n} x"
    party.silent()
    assert not party.closed
    store.commit()
    assert len(party.rest()) == 4
    for n in range(1, 5):
        party >> f"PUBREL {n}" if qos == 2 else party >> f"PUBLISH $queue/q qos=1 id={n} x"
    # Their last words wait too, and count until they have left.
    party >> f"PUBLISH $queue/q qos={qos} id=9 x"
    assert party.rest()[-1] == "DISCONNECT 0x93"
    ended(party)


def test_3_3_4_7_what_we_ask_of_the_client_is_not_counted_as_its_own() -> None:
    store = MemoryStore(held=True)
    gw = Gateway(store, mqtt=MqttSettings(receive_maximum=1))
    store.listener = gw.broker
    party = client(gw, "c", "clean=0 expiry=9") >> "SUBSCRIBE 1 t qos=2"
    store.commit()
    party << "SUBACK 1 2"
    for n in (1, 2, 3):
        client(gw, f"p{n}") >> f"PUBLISH t qos=2 id=1 {n}"
    store.commit()
    party << "PUBLISH t qos=2 id=1 1" << "PUBLISH t qos=2 id=2 2" << "PUBLISH t qos=2 id=3 3"
    # Three PUBRELs and a SUBACK wait for their commit.
    (
        party
        >> "PUBREC 1"
        >> "PUBREC 2"
        >> "PUBREC 3"
        >> "SUBSCRIBE 2 u qos=1"
        >> "PUBLISH $queue/q qos=1 id=7 x"
    )
    party.silent()
    assert not party.closed
    store.commit()
    assert party.rest() == ["PUBREL 1", "PUBREL 2", "PUBREL 3", "SUBACK 2 1", "PUBACK 7"]


@pytest.mark.parametrize("topic", ["$SYS/x", "$SYS", "$share/g/t"])
def test_s_3_3_4_topic_of_the_servers_own_is_0x87(gw: Gateway, topic: str) -> None:
    party = client(gw, "c") >> f"PUBLISH {topic} qos=1 id=1 x" << "PUBACK 1 0x87"
    party >> f"PUBLISH {topic} qos=2 id=2 x" << "PUBREC 2 0x87" >> f"PUBLISH {topic} x"
    alive(gw, party)


def test_s_3_3_4_publish_that_is_not_allowed_is_0x87() -> None:
    gw = Gateway(authorizer=Door(forbidden="no"))
    watcher = hears(client(gw, "s"), "#")
    party = client(gw, "c") >> "PUBLISH no qos=1 id=1 x" << "PUBACK 1 0x87"
    party >> "PUBLISH no qos=2 id=2 x" << "PUBREC 2 0x87" >> "PUBLISH no x"
    alive(gw, party)
    watcher.silent()


def test_s_3_3_4_message_above_our_maximum_packet_size_costs_nobody_else_anything(gw: Gateway) -> None:
    other = hears(client(gw, "o"), "t")
    party = client(gw, "c") >> b"\x30\xff\xff\xff\x7f\x00\x01t"
    disconnect = party.take()
    assert isinstance(disconnect, Disconnect)
    assert disconnect.reason_code == 0x95
    ended(party)
    alive(gw, other)


def test_s_3_3_4_without_subscribers_is_0x10(gw: Gateway) -> None:
    (
        client(gw, "c")
        >> "PUBLISH t qos=1 id=1 x"
        << "PUBACK 1 0x10"
        >> "PUBLISH t qos=2 id=2 x"
        << "PUBREC 2 0x10"
    )


def test_s_3_3_4_properties_of_an_mqtt_3_client_are_none(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "t qos=1")
    old = hears(client(gw, "old", version=4), "t qos=1")
    client(gw, "p") >> "PUBLISH t qos=1 id=1 ct=a user.k=v x"
    old << "PUBLISH t qos=1 id=1 x"
    party << "PUBLISH t qos=1 id=1 ct=a user.k=v x"
    gw.mqtt("old", 4) >> "PUBLISH t y"
    party << "PUBLISH t y"
    assert said(decode_properties(b"")).user == []
