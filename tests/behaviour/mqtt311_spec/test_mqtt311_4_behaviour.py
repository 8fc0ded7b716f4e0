"""MQTT 3.1.1 §4, operational behaviour: state, QoS, redelivery, order, topics, errors.

`test_4_3_3_1_…` is [MQTT-4.3.3-1]; `test_s_4_4_…` a sentence without a number.

Not tested:
  4.5.0-2, 4.6.0-1 to -4   obligations of a client
  4.8.0-2                  transient errors of a transport: tests/net
  §5                       security has no numbered statement; users and rules: tests/security
  6.0.0-1 to -4            WebSocket: tests/net/test_websocket.py
"""

import pytest
from harness import DROP, Gateway
from mqtt_spec import Door, alive, client, ended, hears, packet

from gateway.store.memory import HeldStore


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


# -- 4.1 state


def test_4_1_0_1_and_2_session_lives_as_long_as_its_connection(gw: Gateway) -> None:
    party = hears(client(gw, "c", "clean=1", version=4), "t qos=1")
    gw.advance(1_000_000_000)
    client(gw, "p", version=4) >> "PUBLISH t qos=1 id=1 x"
    party << "PUBLISH t qos=1 id=1 x"


def test_s_4_1_qos_2_identifiers_of_the_client_are_remembered(gw: Gateway) -> None:
    watcher = hears(client(gw, "s", version=4), "t")
    client(gw, "c", "clean=0", version=4) >> "PUBLISH t qos=2 id=7 x" << "PUBREC 7" >> DROP
    party = client(gw, "c", "clean=0", version=4, present=1) >> "PUBLISH t qos=2 dup id=7 x" << "PUBREC 7"
    party >> "PUBREL 7" << "PUBCOMP 7"
    watcher << "PUBLISH t x"
    watcher.silent()


def test_s_4_1_session_is_kept_without_end(gw: Gateway) -> None:
    hears(client(gw, "c", "clean=0", version=4), "t qos=1") >> DROP
    gw.advance(10_000_000_000_000)
    client(gw, "p", version=4) >> "PUBLISH t qos=1 id=1 x"
    client(gw, "c", "clean=0", version=4, present=1) << "PUBLISH t qos=1 id=1 x"


# -- 4.3 QoS


def test_4_3_1_1_qos_0_is_sent_once_without_dup(gw: Gateway) -> None:
    party = hears(client(gw, "s", "clean=0", version=4), "t")
    client(gw, "p", version=4) >> "PUBLISH t qos=1 id=1 x"
    party << "PUBLISH t x" >> DROP
    client(gw, "s", "clean=0", version=4, present=1).silent()


def test_4_3_2_1_qos_1_is_kept_until_the_puback(gw: Gateway) -> None:
    party = hears(client(gw, "s", "clean=0", version=4), "t qos=1")
    client(gw, "p", version=4) >> "PUBLISH t qos=1 id=1 x"
    party << "PUBLISH t qos=1 id=1 x" >> DROP
    party = (
        client(gw, "s", "clean=0", version=4, present=1) << "PUBLISH t qos=1 dup id=1 x" >> "PUBACK 1" >> DROP
    )
    client(gw, "s", "clean=0", version=4, present=1).silent()


def test_4_3_2_2_puback_when_the_message_is_safe_and_the_identifier_is_free_then() -> None:
    store = HeldStore()
    gw = Gateway(store)
    watcher = hears(client(gw, "s", "clean=0", version=4), "t qos=1")
    party = client(gw, "p", version=4) >> "PUBLISH t qos=1 id=5 1"
    party.silent()
    gw.broker.on_durable(store.release())
    party << "PUBACK 5" >> "PUBLISH t qos=1 dup id=5 2"
    gw.broker.on_durable(store.release())
    party << "PUBACK 5"
    watcher << "PUBLISH t qos=1 id=1 1" << "PUBLISH t qos=1 id=2 2"


def test_4_3_3_1_qos_2_sent_by_the_gateway(gw: Gateway) -> None:
    party = hears(client(gw, "s", "clean=0", version=4), "t qos=2")
    client(gw, "p", version=4) >> "PUBLISH t qos=2 id=1 x"
    party << "PUBLISH t qos=2 id=1 x" >> DROP
    party = client(gw, "s", "clean=0", version=4, present=1) << "PUBLISH t qos=2 dup id=1 x"
    party >> "PUBREC 1" << "PUBREL 1" >> DROP
    party = client(gw, "s", "clean=0", version=4, present=1) << "PUBREL 1"
    party.silent()
    party >> "PUBCOMP 1" >> DROP
    client(gw, "s", "clean=0", version=4, present=1).silent()


def test_4_3_3_2_qos_2_received_by_the_gateway(gw: Gateway) -> None:
    watcher = hears(client(gw, "s", version=4), "t")
    party = client(gw, "p", version=4)
    for n in range(2):
        party >> f"PUBLISH t qos=2 id=5 {n}" << "PUBREC 5" >> f"PUBLISH t qos=2 dup id=5 {n}" << "PUBREC 5"
        party >> "PUBREL 5" << "PUBCOMP 5" >> "PUBREL 5" << "PUBCOMP 5"
        watcher << f"PUBLISH t {n}"
    watcher.silent()


# -- 4.4 to 4.6


def test_4_4_0_1_everything_unfinished_comes_again_in_its_order(gw: Gateway) -> None:
    party = hears(client(gw, "s", "clean=0", version=4), "a qos=1", "b qos=2")
    publisher = client(gw, "p", version=4)
    for n in range(1, 7):
        publisher >> f"PUBLISH {'ba'[n % 2]} qos=2 id={n} {n}"
    assert len(party.rest()) == 6
    party >> "PUBACK 1" >> "PUBREC 2" << "PUBREL 2" >> "PUBREC 4" << "PUBREL 4" >> "PUBCOMP 4" >> DROP
    publisher >> "PUBLISH a qos=2 id=7 7"
    assert client(gw, "s", "clean=0", version=4, present=1).rest() == [
        "PUBREL 2",
        "PUBLISH a qos=1 dup id=3 3",
        "PUBLISH a qos=1 dup id=5 5",
        "PUBLISH b qos=2 dup id=6 6",
        "PUBLISH a qos=1 id=7 7",
    ]


@pytest.mark.parametrize("qos", [1, 2])
def test_4_5_0_1_message_is_added_to_every_session_that_matches(gw: Gateway, qos: int) -> None:
    for name, filter in (("a", "x/y"), ("b", "x/+"), ("c", "#"), ("d", "x/z")):
        hears(client(gw, name, "clean=0", version=4), f"{filter} qos=2") >> DROP
    client(gw, "p", version=4) >> f"PUBLISH x/y qos={qos} id=1 m"
    for name in "abc":
        client(gw, name, "clean=0", version=4, present=1) << f"PUBLISH x/y qos={qos} id=1 m"
    client(gw, "d", "clean=0", version=4, present=1).silent()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_4_6_0_5_and_6_messages_of_a_topic_and_qos_come_in_order(gw: Gateway, qos: int) -> None:
    party = hears(client(gw, "s", version=4), "t qos=2")
    publishers = [client(gw, name, version=4) for name in ("one", "two")]
    for n in range(1, 41):
        publishers[n % 2] >> (f"PUBLISH t qos={qos} id={n} {n}" if qos else f"PUBLISH t {n}")
    assert [int(text.split()[-1]) for text in party.rest()] == list(range(1, 41))


# -- 4.7 topics


@pytest.mark.parametrize(
    "filter", ["sport/tennis#", "sport/tennis/#/ranking", "#/a", "sport+", "a/b+/c", "++"]
)
@pytest.mark.parametrize("version", [3, 4])
def test_4_7_1_1_to_3_and_4_8_0_1_misplaced_wildcards_end_the_connection(
    gw: Gateway, filter: str, version: int
) -> None:
    other = client(gw, "o", version=version)
    for command in ("SUBSCRIBE 1 ok", "UNSUBSCRIBE 1 ok"):
        ended(client(gw, "c", version=version) >> f"{command} {filter}")
    alive(gw, other)


@pytest.mark.parametrize(
    ("filter", "matches", "others"),
    [
        ("sport/tennis/player1/#", ["sport/tennis/player1", "sport/tennis/player1/a"], ["sport/tennis"]),
        ("#", ["a", "/a", "a/b/c"], ["$a", "$a/b"]),
        ("sport/tennis/+", ["sport/tennis/player1", "sport/tennis/"], ["sport/tennis", "sport/tennis/a/b"]),
        ("+/+", ["/finance", "a/"], ["finance", "$a/b"]),
        ("/+", ["/finance"], ["finance"]),
        ("$x/#", ["$x", "$x/a"], ["x/a"]),
    ],
)
def test_4_7_1_and_4_7_2_1_what_filters_match(
    gw: Gateway, filter: str, matches: list[str], others: list[str]
) -> None:
    party = hears(client(gw, "s", version=4), filter)
    publisher = client(gw, "p", version=4)
    for topic in [*matches, *others]:
        publisher >> f"PUBLISH {topic} x"
    assert party.rest() == [f"PUBLISH {topic} x" for topic in matches]


@pytest.mark.parametrize("topic", ["$SYS/x", "$SYS", "$share/g/t"])
def test_s_4_7_2_topics_of_the_servers_own_are_not_published_to(gw: Gateway, topic: str) -> None:
    watcher = hears(client(gw, "s", version=4), "#", "g/t")
    party = client(gw, "c", version=4) >> f"PUBLISH {topic} x" >> DROP
    assert party.gone
    watcher.silent()


def test_4_7_3_1_and_2_empty_names_and_null_characters_close(gw: Gateway) -> None:
    for data in (packet(0x30, b"\x00\x00x"), packet(0x30, b"\x00\x03a\x00bx")):
        ended(client(gw, "c", version=4) >> data)


def test_4_7_3_3_names_of_65535_bytes(gw: Gateway) -> None:
    topic = "a" * 65_535
    party = hears(client(gw, "s", version=4), f"{topic} qos=1")
    client(gw, "p", version=4) >> f"PUBLISH {topic} qos=1 id=1 x"
    party << f"PUBLISH {topic} qos=1 id=1 x"


def test_4_7_3_4_names_are_not_normalised(gw: Gateway) -> None:
    party = hears(client(gw, "s", version=4), "\u00e4", "A/b", "a/../b")
    publisher = client(gw, "p", version=4)
    for topic in ("a\u0308", "a/b", "A/B", "b", "A/b/"):
        publisher >> f"PUBLISH {topic} x"
    party.silent()


# -- 4.8 errors

BAD = {
    "remaining length of five bytes": b"\x30\xff\xff\xff\xff\x01",
    "reserved packet type 0": b"\x00\x00",
    "reserved packet type 15": b"\xf0\x00",
    "reserved flags": b"\x83\x00",
    "PUBLISH cut off": packet(0x30, b"\x00"),
    "topic cut off": packet(0x30, b"\x00\x05t"),
    "packet id cut off": packet(0x32, b"\x00\x01t\x00"),
    "bad UTF-8": packet(0x30, b"\x00\x01\xff"),
    "U+0000": packet(0x30, b"\x00\x01\x00"),
    "control character": packet(0x30, b"\x00\x01\x01"),
    "wildcard in a topic name": packet(0x30, b"\x00\x01#"),
    "empty topic": packet(0x30, b"\x00\x00"),
    "packet id 0": packet(0x32, b"\x00\x01t\x00\x00"),
    "QoS 3": packet(0x36, b"\x00\x01t\x00\x01"),
    "DUP at QoS 0": packet(0x38, b"\x00\x01t"),
    "SUBSCRIBE without filters": packet(0x82, b"\x00\x01"),
    "SUBSCRIBE without QoS": packet(0x82, b"\x00\x01\x00\x01t"),
    "subscription of QoS 3": packet(0x82, b"\x00\x01\x00\x01t\x03"),
    "UNSUBSCRIBE without filters": packet(0xA2, b"\x00\x01"),
    "second CONNECT": packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x00\x00\x01c"),
    "CONNACK from a client": packet(0x20, b"\x00\x00"),
    "PINGREQ with a body": packet(0xC0, b"\x00"),
    "PUBACK of 1 byte": packet(0x40, b"\x00"),
    "PUBACK of MQTT 5": packet(0x40, b"\x00\x01\x00"),
    "DISCONNECT of MQTT 5": packet(0xE0, b"\x04"),
    "packet above the maximum": b"\x30\xff\xff\xff\x7f",
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_4_8_0_1_bad_packet_closes_the_connection_and_no_other(gw: Gateway, name: str) -> None:
    data = BAD[name]
    watcher = hears(client(gw, "s", version=4), "w qos=1", "good")
    other = client(gw, "o")
    party = client(gw, "c", "clean=0 will=w will_qos=1 will_body=gone", version=4)
    good = packet(0x32, b"\x00\x04good\x00\x01x")
    party >> good + data + good << "PUBACK 1"
    ended(party)
    watcher << "PUBLISH good x" << "PUBLISH w qos=1 id=1 gone"
    alive(gw, watcher, other)
    client(gw, "c", "clean=0", version=4, present=1).silent()


@pytest.mark.parametrize("name", sorted(BAD))
def test_4_8_0_1_bad_packet_that_comes_byte_by_byte(gw: Gateway, name: str) -> None:
    party = client(gw, "c", version=4)
    for byte in BAD[name]:
        party >> bytes((byte,))
    ended(party)


def test_s_4_8_a_thousand_bad_clients_leave_nothing_behind() -> None:
    gw = Gateway(authorizer=Door())
    other = hears(client(gw, "o", version=4), "t")
    for n in range(1_000):
        party = client(gw, f"c{n}", version=4) >> sorted(BAD.values())[n % len(BAD)]
        assert party.closed
        party >> DROP
    alive(gw, other)
    assert len(gw._mqtt_service.sessions) == 1
