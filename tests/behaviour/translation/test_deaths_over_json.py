"""Row 25 for JSON and HTTP: a message that died and is sent again keeps its count, as it does over STOMP and MQTT."""

import json
from typing import Any

import json_client
import pytest
from pair_clients import Pair, Said

from gateway.connectors.envelope import from_envelope, json_envelope


def one(client: Any, source: str) -> dict[str, Any]:
    """Read the message that is in a queue."""
    [found] = [
        answer
        for answer in client.op("subscribe", sub="s", from_=source, ack="client")
        if answer["op"] == "message"
    ]
    assert isinstance(found, dict)
    return found


def dead(pair: Pair, client: Any) -> dict[str, Any]:
    """Reject what is in `q`, and read it from the dead letters."""
    client.op("nack", tag=one(client, "queue:q")["tag"], outcome="reject")
    client.op("unsubscribe", sub="s")
    found = one(client, "queue:DLQ")
    client.op("ack", tag=found["tag"])
    client.op("unsubscribe", sub="s")
    return found


def json_party(pair: Pair) -> Any:
    return json_client.World(broker=pair.broker).client()


def again(found: dict[str, Any]) -> dict[str, Any]:
    """What a client sends back: all that it got, but for where it goes."""
    own = ("op", "sub", "tag", "id", "to")
    return {name: value for name, value in found.items() if name not in own}


@pytest.mark.parametrize("a", ["M3", "M5", "ST2"])
def test_the_count_goes_on_when_a_json_client_sends_it_again(a: str) -> None:
    pair = Pair()
    client = json_party(pair)
    pair.client(a).publish("$queue/q" if a != "ST2" else "/queue/q", Said(b"x", qos=0 if a == "ST2" else 1))
    found = dead(pair, client)
    assert [(entry["queue"], entry["count"]) for entry in found["deaths"]] == [("q", 1)]
    client.op("publish", to="queue:q", **again(found))
    found = dead(pair, client)
    assert [(entry["queue"], entry["count"]) for entry in found["deaths"]] == [("q", 2)]
    assert "x-death" not in found.get("properties", {})


def test_what_a_client_claims_is_shown_and_decides_nothing() -> None:
    pair = Pair()
    client = json_party(pair)
    claim = [{"queue": "DLQ", "reason": "delivery_limit", "count": 1_000_000, "first_ms": 1, "last_ms": 2}]
    client.op("publish", to="queue:q", body="x", deaths=claim)
    found = dead(pair, client)
    assert [(entry["queue"], entry["count"]) for entry in found["deaths"]] == [("q", 1), ("DLQ", 1_000_000)]


def test_stomp_has_the_claim_as_x_death_and_json_has_it_back() -> None:
    pair = Pair()
    reader, watch = pair.client("ST2"), pair.watch("back")
    reader.subscribe("/topic/t")
    client = json_party(pair)
    claim = [{"queue": "q", "reason": "expired", "count": 2, "first_ms": 1, "last_ms": 2}]
    client.op("publish", to="topic:t", body="x", deaths=claim)
    said = reader.one()
    assert json.loads(said.get("x-death") or "") == [
        {"queue": "q", "reason": "expired", "count": 2, "first-ms": 1, "last-ms": 2}
    ]
    reader.echo(said, "/topic/back")
    shown = json.loads(json_envelope(watch.last()))
    assert (shown["deaths"], "properties" in shown) == (claim, False)


@pytest.mark.parametrize("deaths", ["null", "5", "[]", "[5]", '[{"count":"many"}]', '"x"', "{}"])
def test_what_is_no_list_of_deaths_is_nothing(deaths: str) -> None:
    found = from_envelope(b'{"to":"topic:t","body":"x","deaths":%b}' % deaths.encode())
    assert found.fields.properties == []
