"""Row 26 of the matrix: what asks for delivery later is carried out once, and goes no further, by whatever protocol."""

import pytest
from pair_clients import Client, Pair, Said, topic_in

from gateway.connectors.scheduling import NAMES
from gateway.core.message import Message

SAYS = ["M5", "ST0", "ST1", "ST2"]
HEARS = ["M5", "ST0", "ST1", "ST2"]


def later(pair: Pair, ms: int) -> None:
    """Let time pass."""
    pair.gw.advance(ms)


def free_of(client: Client) -> list[tuple[str, str]]:
    """The free-form properties of the message that came."""
    return client.one().free


@pytest.mark.parametrize("name", ["AMQ_SCHEDULED_DELAY", "AMQ-SCHEDULED-DELAY"])
@pytest.mark.parametrize("b", HEARS)
@pytest.mark.parametrize("a", SAYS)
def test_a_delayed_message_can_be_sent_on_without_a_delay(a: str, b: str, name: str) -> None:
    pair = Pair()
    reader, watch = pair.client(b), pair.watch("back")
    reader.subscribe(topic_in(b, "t"))
    headers = [("k", "v"), (name, "5000"), ("AMQ_SCHEDULED_REPEAT", "0")]
    pair.client(a).publish(topic_in(a, "t"), Said(b"\xff", headers))
    later(pair, 4_999)
    assert reader.heard() == []
    later(pair, 1)
    said = reader.one()
    assert not NAMES & {known for known, _ in said.free}
    reader.echo(said, topic_in(b, "back"))
    assert watch.last().fields().properties == [("k", "v")]


@pytest.mark.parametrize("a", SAYS)
def test_a_delay_of_nothing_goes_no_further_either(a: str) -> None:
    pair = Pair()
    reader = pair.client("ST2")
    reader.subscribe("/topic/t")
    pair.client(a).publish(topic_in(a, "t"), Said(b"\xff", [("AMQ_SCHEDULED_DELAY", "0")]))
    assert [name for name, _ in free_of(reader) if "SCHEDULED" in name] == []


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize(("topic", "kept"), [("$queue/q", "queue:q"), ("t", "topic:t")])
def test_mqtt_5_asks_as_activemqs_clients_do(qos: int, topic: str, kept: str) -> None:
    pair = Pair()
    watch, publisher = pair.watch("t"), pair.client("M5")
    publisher.publish(topic, Said(b"x", [("AMQ_SCHEDULED_DELAY", "100")], qos))
    publisher.heard()
    assert [type(packet).__name__ for packet in publisher.others[1:]] == [
        [],
        ["Puback"],
        ["Pubrec", "Pubcomp"],
    ][qos]
    assert len(pair.broker.schedule) == 1
    later(pair, 100)
    found: list[Message] = watch.messages()
    if topic != "t":
        found = [delivery.message for delivery in pair.broker.queue("q").browse()]
    assert [str(message.destination) for message in found] == [kept]


def test_what_makes_no_sense_is_a_property_to_mqtt() -> None:
    pair = Pair()
    reader = pair.client("ST2")
    reader.subscribe("/topic/t")
    pair.client("M5").publish("t", Said(b"\xff", [("AMQ_SCHEDULED_DELAY", "soon")]))
    assert ("x-mx-p-AMQ_SCHEDULED_DELAY", "soon") in free_of(reader)


@pytest.mark.parametrize("b", HEARS)
def test_a_property_that_happens_to_be_called_so_schedules_nothing_when_it_is_sent_on(b: str) -> None:
    pair = Pair()
    reader, watch = pair.client(b), pair.watch("back")
    reader.subscribe(topic_in(b, "t"))
    pair.client("M5").publish("t", Said(b"\xff", [("x-mx-p-AMQ_SCHEDULED_DELAY", "5000")]))
    reader.echo(reader.one(), topic_in(b, "back"))
    assert watch.last().fields().properties == [("AMQ_SCHEDULED_DELAY", "5000")]
