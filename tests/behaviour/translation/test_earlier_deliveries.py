"""Row 15 for MQTT: a worker on a queue sees how often a message was delivered before, whoever published it."""

import json

import pytest
from pair_clients import Client, Pair, Said


def failed_once(pair: Pair, a: str, said: Said, released: bool = False) -> None:
    """A message of A in queue `q`, which somebody has had and has not finished."""
    first = pair.client("ST2")
    first.frame("SUBSCRIBE", [("id", "1"), ("destination", "/queue/q"), ("ack", "client-individual")])  # type: ignore[attr-defined]
    pair.client(a).publish("/queue/q" if a.startswith("ST") else "$queue/q", said)
    taken = first.one()
    if released:
        first.frame("NACK", [("id", taken.get("ack") or ""), ("requeue", "true")])  # type: ignore[attr-defined]
        first.frame("UNSUBSCRIBE", [("id", "1")])  # type: ignore[attr-defined]
        return
    first.connector.eof(pair.gw.now_ms)


def worker(pair: Pair, code: str, topic: str, qos: int, maximum: int | None = None) -> Client:
    """A subscriber."""
    client = pair.client(code, maximum=maximum)
    client.subscribe(topic, qos)
    return client


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("published", [0, 1])
@pytest.mark.parametrize("a", ["M3", "M5", "ST2"])
def test_an_mqtt_5_worker_sees_the_count_whoever_published(a: str, published: int, qos: int) -> None:
    pair = Pair()
    failed_once(pair, a, Said(b"\xff", qos=published))
    said = worker(pair, "M5", "$queue/q", qos).one()
    assert (said.get("x-mx-delivery-count"), said.dup) == ("1", False)


@pytest.mark.parametrize("qos", [0, 1])
def test_the_count_gives_way_where_the_packet_would_be_too_large(qos: int) -> None:
    pair = Pair()
    failed_once(pair, "M5", Said(b"x" * 80, qos=1))
    said = worker(pair, "M5", "$queue/q", qos, maximum=100).one()
    assert (said.body, said.get("x-mx-delivery-count")) == (b"x" * 80, None)


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("code", ["M3", "M5"])
@pytest.mark.parametrize("a", ["M3", "M5", "ST2"])
def test_json_view_of_a_queue_says_what_came_before(a: str, code: str, qos: int) -> None:
    pair = Pair()
    failed_once(pair, a, Said(b"\xff", qos=1))
    heard = json.loads(worker(pair, code, "$json/$queue/q", qos).one().body)
    assert (heard["redelivered"], heard["delivery_count"]) == (True, 1)


def test_json_view_tells_what_was_given_back_untried() -> None:
    pair = Pair()
    failed_once(pair, "M5", Said(b"\xff", qos=1), released=True)
    heard = json.loads(worker(pair, "M5", "$json/$queue/q", 1).one().body)
    assert (heard["redelivered"], "delivery_count" in heard) == (True, False)


def test_first_deliveries_are_the_same_bytes_for_all() -> None:
    pair = Pair()
    readers = [worker(pair, "M3", "$json/t", 0), worker(pair, "M5", "$json/t", 1)]
    pair.client("ST2").publish("/topic/t", Said(b"\xff"))
    one, other = [reader.one().body for reader in readers]
    assert one == other
    assert not {"redelivered", "delivery_count"} & set(json.loads(one))
