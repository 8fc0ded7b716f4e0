"""No client is sent more than it may send back: what does not fit is named in `x-mx-omit`, and counted."""

import pytest
from pair_clients import Client, Pair, Said, send_envelope, topic_in

from gateway.connectors.envelope import PROPERTIES_MAX
from gateway.connectors.stomp.settings import StompSettings

STOMPS = ["ST0", "ST1", "ST2"]


def there_and_back(pair: Pair, reader: Client, code: str) -> Said:
    """Have the message that came sent back; its client is still there afterwards."""
    said = reader.one()
    watch = pair.watch("back")
    reader.echo(said, topic_in(code, "back"))
    assert not reader.connector.closing
    assert len(watch.messages()) == 1
    return said


@pytest.mark.parametrize("code", STOMPS)
@pytest.mark.parametrize(
    ("properties", "omitted"),
    [
        ([("k", "v"), ("long", "x" * 60_000)], ["long(60000)"]),
        ([("k", "v"), ("colons", ":" * 40_000), ("other", "y")], ["colons(40000)"]),
        ([(f"k{at}", "x" * 20_000) for at in range(5)], None),
        ([(f"k{at}", "x") for at in range(1_990)], None),
        ([(f"k:{at}" + "n" * 100, "x\ty") for at in range(900)], None),
    ],
)
def test_stomp(code: str, properties: list[tuple[str, str]], omitted: list[str] | None) -> None:
    pair = Pair()
    reader = pair.client(code)
    reader.subscribe(topic_in(code, "t"))
    pair.client("M5").publish("t", Said(b"\xff", properties))
    said = there_and_back(pair, reader, code)
    listed = (said.get("x-mx-omit") or "").split(",")
    if omitted is not None:
        assert listed == omitted
        assert said.get("k") == "v"
    else:
        left = [name for name, _ in said.free if name.startswith("k")]
        assert 0 < len(left) < len(properties)
    assert pair.omitted[("M5", "ST", "properties")] >= 1


@pytest.mark.parametrize("code", STOMPS)
def test_an_id_that_is_too_long_for_stomp(code: str) -> None:
    pair = Pair()
    reader = pair.client(code)
    reader.subscribe(topic_in(code, "t"))
    pair.client("M5").publish("t", Said(b"\xff", correlation=b"x" * 50_000))
    said = there_and_back(pair, reader, code)
    assert said.get("x-mx-omit") == "correlation-id(50000)"
    assert ("M5", "ST", "correlation_id") in pair.omitted


@pytest.mark.parametrize(("a", "b"), [("ST0", "ST1"), ("ST0", "ST2"), ("ST2", "ST0"), ("ST2", "ST1")])
def test_escapes_that_one_version_needs_and_the_other_does_not(a: str, b: str) -> None:
    pair = Pair()
    reader = pair.client(b)
    reader.subscribe("/topic/t")
    # 16,000 of them are 32,000 bytes of STOMP 1.2, and 64,000 where an escape is escaped.
    letter = "\r" if a == "ST2" else ":"
    pair.client(a).publish(
        "/topic/t", Said(b"\xff", [("k", "v"), ("hard", letter * (31_000 if a == "ST0" else 16_000))])
    )
    said = there_and_back(pair, reader, b)
    assert said.get("k") == "v"


def test_user_properties_of_mqtt_5() -> None:
    pair = Pair()
    reader = pair.client("M5")
    reader.subscribe("t", 1)
    send_envelope(pair, to="topic:t", body="x", properties={f"k{at}": "v" for at in range(PROPERTIES_MAX)})
    said = there_and_back(pair, reader, "M5")
    assert len(said.free) == 1_999
    assert f"k{PROPERTIES_MAX - 1}(1)" in (said.get("x-mx-omit") or "")


def test_the_limits_are_those_of_the_reader() -> None:
    room = StompSettings(headers_max=50, header_bytes_max=9_000, header_line_bytes_max=700).room()
    assert (room.lines_max, room.bytes_max, room.line_bytes_max) == (50, 9_000, 700)
