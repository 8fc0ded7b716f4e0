"""Claim C1: within a family what is delivered is what was published, byte for byte."""

import pytest
from pair_clients import FAMILY, PAIRS, Pair, Said, topic_in

M = [pair for pair in PAIRS if FAMILY[pair[0]] == FAMILY[pair[1]] == "M"]
ST = [pair for pair in PAIRS if FAMILY[pair[0]] == FAMILY[pair[1]] == "ST"]

# Everything that a translation would look at, in an order that none would make.
USER = [("b", "1"), ("a", "é🥕"), ("b", "2"), ("", "empty"), ("destination", "d"), ("x-mx-prio", "7")]
FULL_5 = Said(b"\x00\xff text", USER, 0, False, "text/é", b"\x00\xff", "r/t", 0)


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("body", [b"", b"x", b"\x00" * 300, "é🥕".encode()])
@pytest.mark.parametrize(("a", "b"), M)
def test_a_plain_mqtt_message_is_the_same_packet(a: str, b: str, body: bytes, qos: int) -> None:
    pair = Pair()
    reader, direct = pair.client(b), pair.client(a)
    reader.subscribe("a/+/c", qos)
    direct.subscribe("a/+/c", qos)
    direct.publish("a//c", Said(body, qos=qos))
    said, same = reader.one(), direct.one()
    assert (said.topic, said.body, said.qos, said.free) == ("a//c", body, qos, [])
    assert said.content_type is said.correlation is said.response is said.format is said.expiry_s is None
    if a == b:
        assert said.raw == same.raw


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_property_block_of_mqtt_5_is_the_same_bytes(qos: int) -> None:
    pair = Pair()
    reader = pair.client("M5")
    reader.subscribe("t", qos)
    writer = pair.client("M5")
    writer.publish("t", Said(**{**vars(FULL_5), "qos": qos}))
    said = reader.one()
    expected = Said(**{**vars(FULL_5), "qos": qos, "topic": "t", "raw": said.raw})
    assert said == expected


def test_at_qos_0_it_is_the_very_packet() -> None:
    from protocols.mqtt.codec import encode_publish

    pair = Pair()
    reader = pair.client("M5")
    reader.subscribe("t")
    # A property order of its own, and a length that takes more bytes than it needs.
    block = b"\x26\x00\x01k\x00\x01v" + b"\x03\x00\x02ct" + b"\x26\x00\x01k\x00\x01w"
    packet = encode_publish("t", b"body", 0, False, False, 0, block)
    pair.client("M5").give(packet)
    assert reader.taken().endswith(packet)


@pytest.mark.parametrize(("a", "b"), ST)
def test_stomp_headers_keep_order_case_repeats_and_spelling(a: str, b: str) -> None:
    pair = Pair()
    reader = pair.client(b)
    reader.subscribe("/topic/t")
    headers = [
        ("foo", "1"),
        ("foo", "2"),
        ("Bar", "x"),
        ("content-type", "text/plain"),
        ("persistent", "true"),
        ("priority", "07"),
        ("correlation-id", "AMQP_STRING:x"),
        ("x-mx-prio", "3"),
        ("x-opt-a", "é🥕"),
    ]
    pair.client(a).publish("/topic/t", Said(b"body\x00more", headers))
    said = reader.one()
    assert said.free == headers
    assert said.body == b"body\x00more"
    assert not [name for name, value in said.server if name.startswith("x-mx-")]


@pytest.mark.parametrize("code", ["ST0", "ST1", "ST2"])
def test_a_stomp_versions_own_lines_are_the_same_bytes(code: str) -> None:
    pair = Pair()
    reader = pair.client(code)
    reader.subscribe("/topic/t")
    line = {"ST0": b"k : v\\x ", "ST1": b"k\\cx:a\\nb \r", "ST2": b"k\\cx:a\\nb\\r "}[code]
    pair.client(code).give(b"SEND\ndestination:/topic/t\n" + line + b"\nz:1\n\nbody\0")
    assert b"\n" + line + b"\nz:1\n" in reader.taken()


@pytest.mark.parametrize(("a", "b"), ST)
def test_what_a_version_cannot_escape_is_named_in_x_mx_esc_and_comes_back(a: str, b: str) -> None:
    hard = {"ST0": "c:\\d", "ST1": "a\nb\\c:d", "ST2": "a\nb\rc\\d:e"}[a]
    pair = Pair()
    watch = pair.watch("back")
    reader = pair.client(b)
    reader.subscribe("/topic/t")
    pair.client(a).publish("/topic/t", Said(b"x", [("plain", "p"), ("hard", hard)]))
    said = reader.one()
    needed = (b == "ST0" and a != b) or (b == "ST1" and "\r" in hard)
    assert (said.get("x-mx-esc") == "hard") is needed
    assert said.get("hard") == (hard if not needed else said.get("hard"))
    reader.echo(said, "/topic/back")
    assert watch.last().fields().properties == [("plain", "p"), ("hard", hard)]


@pytest.mark.parametrize("value", ["hello", "a\nb", "plain", "x-mx-esc", ""])
@pytest.mark.parametrize("b", ["ST0", "ST1", "ST2"])
@pytest.mark.parametrize("a", ["ST2", "M5"])
def test_a_property_called_x_mx_esc_is_not_taken_for_the_list_and_comes_back(
    a: str, b: str, value: str
) -> None:
    pair = Pair()
    watch = pair.watch("back")
    reader = pair.client(b)
    reader.subscribe("/topic/t")
    given = [("plain", "p\\nq"), ("x-mx-esc", value)]
    pair.client(a).publish(topic_in(a, "t"), Said(b"x", given))
    reader.echo(reader.one(), "/topic/back")
    assert watch.last().fields().properties == given


@pytest.mark.parametrize("item", ["client", "auth", "deaths", "received", "delivery-count", "to", "omit"])
@pytest.mark.parametrize("code", ["M5", "ST0", "ST1", "ST2"])
def test_rule_17_what_only_the_broker_says_goes_no_further_even_so(code: str, item: str) -> None:
    pair = Pair()
    reader = pair.client(code)
    reader.subscribe(topic_in(code, "t"), 1)
    name = f"x-mx-{item}"
    for qos in (0, 1):
        pair.client(code).publish(
            topic_in(code, "t"), Said(b"x", [("a", "1"), (name, "forged"), ("b", "2")], qos)
        )
        said = reader.one()
        assert said.free == [("a", "1"), ("b", "2")]
        assert said.body == b"x"
