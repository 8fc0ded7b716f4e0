"""MQTT 5.0 §4.8, subscriptions: §4.8.1 non-shared and §4.8.2 shared.

`test_4_8_2_1_…` is [MQTT-4.8.2-1]; `test_s_4_8_2_…` a sentence of §4.8.2 without a number.  Not tested: nothing.
"""

import pytest
from harness import DROP, Gateway, MqttParty
from mqtt_spec import alive, client, ended, hears


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


def _members(
    gw: Gateway, *names: str, filter: str = "$share/g/t", qos: int = 1, words: str = ""
) -> list[MqttParty]:
    return [hears(client(gw, name, words), f"{filter} qos={qos}") for name in names]


def _publish(gw: Gateway, count: int, topic: str = "t", qos: int = 1) -> None:
    publisher = client(gw, "p")
    for n in range(1, count + 1):
        publisher >> (f"PUBLISH {topic} qos={qos} id={n} {n}" if qos else f"PUBLISH {topic} {n}")
    publisher >> "DISCONNECT" >> DROP


def _payloads(party: MqttParty) -> list[int]:
    return [int(text.split()[-1]) for text in party.rest()]


# -- 4.8.1


def test_s_4_8_1_each_client_that_matches_gets_a_copy(gw: Gateway) -> None:
    parties = [hears(client(gw, name), filter) for name, filter in (("a", "t"), ("b", "#"), ("c", "+"))]
    _publish(gw, 2, qos=0)
    for party in parties:
        assert _payloads(party) == [1, 2]


def test_s_4_8_1_non_shared_subscriptions_belong_to_one_session(gw: Gateway) -> None:
    one, two = hears(client(gw, "one"), "t"), hears(client(gw, "two"), "t")
    one >> "UNSUBSCRIBE 1 t" << "UNSUBACK 1 0"
    _publish(gw, 1)
    one.silent()
    assert _payloads(two) == [1]


# -- 4.8.2


@pytest.mark.parametrize("filter", ["$share/", "$share/g", "$share/g/", "$share//t", "$share//", "$share"])
def test_4_8_2_1_and_2_share_name_and_filter_are_not_empty(gw: Gateway, filter: str) -> None:
    party = client(gw, "c") >> f"SUBSCRIBE 1 {filter}"
    # `$share` alone is a topic like others.
    assert party.rest() == ["SUBACK 1 0" if filter == "$share" else "SUBACK 1 0x8f"]
    alive(gw, party)


@pytest.mark.parametrize("filter", ["$share/g+/t", "$share/+/t", "$share/#/t", "$share/g#/t", "$share/#"])
def test_4_8_2_2_share_name_has_no_wildcards(gw: Gateway, filter: str) -> None:
    alive(gw, client(gw, "c") >> f"SUBSCRIBE 1 {filter}" << "SUBACK 1 0x8f")


@pytest.mark.parametrize("filter", ["$share/g/a/#/b", "$share/g/a+", "$share/g/##"])
def test_4_8_2_2_filter_of_a_shared_subscription_is_a_filter(gw: Gateway, filter: str) -> None:
    alive(gw, client(gw, "c") >> f"SUBSCRIBE 1 {filter}" << "SUBACK 1 0x8f")


def test_s_4_8_2_filter_may_begin_with_a_separator_or_a_wildcard(gw: Gateway) -> None:
    a = hears(client(gw, "a"), "$share/g//t")
    b = hears(client(gw, "b"), "$share/g/#")
    client(gw, "p") >> "PUBLISH /t 1" >> "PUBLISH t 2" >> "PUBLISH $x/t 3"
    assert a.rest() == ["PUBLISH /t 1"]
    assert b.rest() == ["PUBLISH /t 1", "PUBLISH t 2"]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_s_4_8_2_each_message_goes_to_one_member(gw: Gateway, qos: int) -> None:
    members = _members(gw, "a", "b", "c", qos=qos)
    _publish(gw, 30, qos=qos)
    shares = [_payloads(member) for member in members]
    assert sorted(n for share in shares for n in share) == list(range(1, 31))
    assert all(shares)
    assert all(share == sorted(share) for share in shares)


def test_s_4_8_2_groups_and_filters_are_apart(gw: Gateway) -> None:
    one = _members(gw, "a", "b", filter="$share/one/t", qos=0)
    two = _members(gw, "c", "d", filter="$share/two/t", qos=0)
    other = _members(gw, "e", "f", filter="$share/one/+", qos=0)
    plain = hears(client(gw, "plain"), "t")
    _publish(gw, 10, qos=0)
    for group in (one, two, other):
        assert sorted(n for member in group for n in _payloads(member)) == list(range(1, 11))
    assert _payloads(plain) == list(range(1, 11))


def test_s_4_8_2_member_that_has_a_plain_subscription_too_gets_both(gw: Gateway) -> None:
    party = hears(client(gw, "a"), "$share/g/t", "t")
    _publish(gw, 1, qos=0)
    assert _payloads(party) == [1, 1]


def test_4_8_2_3_each_member_has_its_own_qos(gw: Gateway) -> None:
    zero, two = hears(client(gw, "a"), "$share/g/t qos=0"), hears(client(gw, "b"), "$share/g/t qos=2")
    _publish(gw, 10, qos=2)
    heard = zero.rest(), two.rest()
    assert all(heard)
    assert not any("qos" in text for text in heard[0])
    assert all("qos=2" in text for text in heard[1])


def test_4_8_2_4_qos_2_that_has_begun_is_finished_with_the_same_member(gw: Gateway) -> None:
    [first] = _members(gw, "a", qos=2, words="expiry=100")
    _publish(gw, 1, qos=2)
    first << "PUBLISH t qos=2 id=1 1" >> DROP
    [other] = _members(gw, "b", qos=2)
    party = client(gw, "a", "clean=0 expiry=100", present=1) << "PUBLISH t qos=2 dup id=1 1"
    party >> "PUBREC 1" << "PUBREL 1" >> DROP
    client(gw, "a", "clean=0 expiry=100", present=1) << "PUBREL 1" >> "PUBCOMP 1"
    other.silent()


@pytest.mark.parametrize("received", [False, True])
def test_4_8_2_5_qos_2_that_has_begun_goes_to_nobody_else_when_the_session_ends(
    gw: Gateway, received: bool
) -> None:
    [party] = _members(gw, "a", qos=2)
    _publish(gw, 1, qos=2)
    party << "PUBLISH t qos=2 id=1 1"
    [other] = _members(gw, "b", qos=2)
    if received:
        party >> "PUBREC 1" << "PUBREL 1"
    party >> DROP
    other.silent()


@pytest.mark.parametrize(("qos", "kind"), [(1, "PUBACK"), (2, "PUBREC")])
def test_4_8_2_6_refused_message_goes_to_nobody_else(gw: Gateway, qos: int, kind: str) -> None:
    [party] = _members(gw, "a", qos=qos)
    _publish(gw, 1, qos=qos)
    party << f"PUBLISH t qos={qos} id=1 1"
    [other] = _members(gw, "b", qos=qos)
    party >> f"{kind} 1 0x80"
    party.silent()
    other.silent()


def test_s_4_8_2_unacknowledged_qos_1_goes_to_another_member_when_the_session_ends(gw: Gateway) -> None:
    [party] = _members(gw, "a")
    _publish(gw, 3)
    assert _payloads(party) == [1, 2, 3]
    [other] = _members(gw, "b")
    party >> "PUBACK 1" >> DROP
    assert _payloads(other) == [2, 3]


def test_s_4_8_2_member_that_is_away_gets_nothing_while_another_is_there(gw: Gateway) -> None:
    away, there = _members(gw, "a", "b", words="expiry=100")
    away >> DROP
    _publish(gw, 10)
    assert _payloads(there) == list(range(1, 11))
    client(gw, "a", "clean=0", present=1).silent()


def test_s_4_8_2_messages_wait_while_every_member_is_away(gw: Gateway) -> None:
    for member in _members(gw, "a", "b", words="expiry=100"):
        member >> DROP
    _publish(gw, 4)
    party = client(gw, "b", "clean=0", present=1)
    assert _payloads(party) == [1, 2, 3, 4]


def test_s_4_8_2_retained_messages_are_not_sent_to_shared_subscriptions(gw: Gateway) -> None:
    client(gw, "p") >> "PUBLISH t retain x"
    for words in ("", "rh=0", "rh=1"):
        hears(client(gw, f"c{words}"), f"$share/g/t {words}").silent()


def test_s_4_8_2_last_member_that_leaves_ends_the_subscription(gw: Gateway) -> None:
    a, b = _members(gw, "a", "b")
    a >> "UNSUBSCRIBE 1 $share/g/t" << "UNSUBACK 1 0"
    _publish(gw, 2)
    assert _payloads(b) == [1, 2]
    b >> "PUBACK 1" >> "PUBACK 2" >> "UNSUBSCRIBE 1 $share/g/t" << "UNSUBACK 1 0"
    client(gw, "p") >> "PUBLISH t qos=1 id=1 x" << "PUBACK 1 0x10"
    hears(a, "$share/g/t qos=1").silent()


def test_s_4_8_2_subscription_identifier_and_retain_as_published_of_each_member(gw: Gateway) -> None:
    a = client(gw, "a") >> "SUBSCRIBE 1 $share/g/t subid=5 rap" << "SUBACK 1 0"
    b = client(gw, "b") >> "SUBSCRIBE 1 $share/g/t subid=6" << "SUBACK 1 0"
    client(gw, "p") >> "PUBLISH t retain x" >> "PUBLISH t retain x"
    assert a.rest() == ["PUBLISH t retain subid=5 x"]
    assert b.rest() == ["PUBLISH t subid=6 x"]


def test_s_4_8_2_member_whose_window_is_full_leaves_messages_to_others(gw: Gateway) -> None:
    [full] = _members(gw, "a", words="recvmax=1")
    [free] = _members(gw, "b")
    _publish(gw, 10)
    assert len(_payloads(full)) == 1
    assert len(_payloads(free)) == 9


def test_3_8_3_4_no_local_is_not_for_shared_subscriptions(gw: Gateway) -> None:
    party = client(gw, "c") >> "SUBSCRIBE 1 ok $share/g/t nl" << "DISCONNECT 0x82"
    ended(party)


def test_s_4_8_2_publisher_may_be_a_member(gw: Gateway) -> None:
    [party] = _members(gw, "a", qos=0)
    party >> "PUBLISH t x" << "PUBLISH t x"
