"""MQTT 5.0 §4.7, topic names and topic filters.

`test_4_7_1_1_…` is [MQTT-4.7.1-1]; `test_s_4_7_…` a sentence without a number.

Not tested:
  4.7.3-2   U+0000: in §1.5 (1.5.4-2)
"""

import pytest
from harness import Gateway
from mqtt_spec import alive, client, ended, hears, packet


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


@pytest.mark.parametrize("topic", ["+", "#", "a/+", "a/#", "a+b"])
def test_4_7_0_1_wildcards_are_not_for_topic_names(gw: Gateway, topic: str) -> None:
    party = client(gw, "c") >> f"PUBLISH {topic} x" << "DISCONNECT 0x81"
    ended(party)


@pytest.mark.parametrize(
    ("filter", "matches", "others"),
    [
        (
            "sport/tennis/player1/#",
            ["sport/tennis/player1", "sport/tennis/player1/ranking"],
            ["sport/tennis"],
        ),
        ("sport/#", ["sport", "sport/", "sport/a/b/c"], ["sports", "Sport"]),
        ("#", ["a", "/a", "a/b/c", "/"], ["$a", "$a/b"]),
        ("sport/tennis/+", ["sport/tennis/player1", "sport/tennis/"], ["sport/tennis", "sport/tennis/a/b"]),
        ("sport/+", ["sport/", "sport/a"], ["sport", "sport/a/"]),
        ("+", ["finance", "a b"], ["/finance", "a/", "$SYSX"]),
        ("+/+", ["/finance", "a/", "a/b"], ["a", "a/b/c", "$a/b"]),
        ("/+", ["/finance", "/"], ["finance", "/a/b"]),
        ("+/tennis/#", ["sport/tennis", "sport/tennis/a", "/tennis/a"], ["tennis", "$x/tennis/a"]),
        ("a//b", ["a//b"], ["a/b", "a/x/b"]),
        ("a/+/b", ["a//b", "a/x/b"], ["a/b"]),
        ("/", ["/"], ["", "//", "a"]),
        ("$x/#", ["$x", "$x/a"], ["x/a"]),
        ("$x/+", ["$x/a"], ["$x", "$y/a"]),
        ("ä/+", ["ä/x"], ["a\u0308/x", "Ä/x"]),
    ],
)
def test_4_7_1_and_2_what_filters_match(
    gw: Gateway, filter: str, matches: list[str], others: list[str]
) -> None:
    party = hears(client(gw, "s"), filter)
    publisher = client(gw, "p")
    for topic in [*matches, *[other for other in others if other]]:
        raw = topic.encode()
        publisher >> packet(0x30, len(raw).to_bytes(2, "big") + raw + b"\x00x")
    assert party.rest() == [f"PUBLISH {topic} x" for topic in matches]


@pytest.mark.parametrize("filter", ["sport/tennis#", "sport/tennis/#/ranking", "#/a", "a#", "##"])
def test_4_7_1_1_hash_is_the_last_level_and_whole(gw: Gateway, filter: str) -> None:
    alive(gw, client(gw, "c") >> f"SUBSCRIBE 1 {filter}" << "SUBACK 1 0x8f")


@pytest.mark.parametrize("filter", ["sport+", "+sport", "a/b+/c", "++", "+#"])
def test_4_7_1_2_plus_is_a_whole_level(gw: Gateway, filter: str) -> None:
    alive(gw, client(gw, "c") >> f"SUBSCRIBE 1 {filter}" << "SUBACK 1 0x8f")


@pytest.mark.parametrize("filter", ["#", "+/monitor/Clients", "+/#", "+/+/+"])
def test_4_7_2_1_leading_wildcards_do_not_match_dollar_topics(gw: Gateway, filter: str) -> None:
    party = hears(client(gw, "s"), filter)
    publisher = client(gw, "p") >> "PUBLISH $x/monitor/Clients x" >> "PUBLISH $x/monitor/Clients retain x"
    party.silent()
    hears(client(gw, "late"), filter).silent()
    exact = hears(client(gw, "exact"), "$x/monitor/+")
    exact << "PUBLISH $x/monitor/Clients retain x"
    publisher >> "PUBLISH $x/monitor/Clients y"
    exact << "PUBLISH $x/monitor/Clients y"


def test_s_4_7_2_nobody_publishes_to_sys(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "$SYS/test/#")
    party = (
        client(gw, "c") >> "PUBLISH $SYS/test/x x" >> "PUBLISH $SYS/test/x qos=1 id=1 x" << "PUBACK 1 0x87"
    )
    alive(gw, party)
    watcher.silent()


def test_4_7_3_1_empty_topics_and_filters_are_protocol_errors(gw: Gateway) -> None:
    for data in (
        packet(0x30, b"\x00\x00\x00x"),
        packet(0x82, b"\x00\x01\x00\x00\x00\x00"),
        packet(0xA2, b"\x00\x01\x00\x00\x00"),
    ):
        party = client(gw, "c") >> data << "DISCONNECT 0x82"
        ended(party)


def test_4_7_3_3_names_of_65535_bytes(gw: Gateway) -> None:
    topic = "a" * 65_535
    party = hears(client(gw, "s"), f"{topic} qos=1")
    client(gw, "p") >> f"PUBLISH {topic} qos=1 id=1 x"
    party << f"PUBLISH {topic} qos=1 id=1 x"


def test_4_7_3_4_names_are_not_normalised(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "\u00e4", "A/b", "a/../b", "'a b'")
    publisher = client(gw, "p")
    for topic in ("a\u0308", "a/b", "A/B", "b", "a/b/../b", "a%20b", "A/b/"):
        publisher >> f"PUBLISH {topic} x"
    party.silent()


def test_s_4_7_1_separators_make_empty_levels(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "+/+/+/+")
    client(gw, "p") >> "PUBLISH /// 1" >> "PUBLISH // 2" >> "PUBLISH a//b/ 3"
    party << "PUBLISH /// 1" << "PUBLISH a//b/ 3"
    party.silent()


def test_s_4_7_1_dots_and_other_separators_are_characters(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "a.b/+", "x/*/>")
    client(gw, "p") >> "PUBLISH a.b/c.d 1" >> "PUBLISH a/b/c 2" >> "PUBLISH x/*/> 3" >> "PUBLISH x/y/z 4"
    party << "PUBLISH a.b/c.d 1" << "PUBLISH x/*/> 3"
    party.silent()


def test_s_4_7_3_a_filter_may_have_as_many_levels_as_a_topic(gw: Gateway) -> None:
    party = client(gw, "c")
    deep = "/".join("a" * 256)
    party >> f"SUBSCRIBE 1 {deep}" << "SUBACK 1 0"
    party >> f"PUBLISH {deep} qos=1 id=1 x" << f"PUBLISH {deep} x" << "PUBACK 1"
    party >> f"SUBSCRIBE 2 {deep}/a" << "SUBACK 2 0x8f"
