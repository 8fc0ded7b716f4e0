"""Numbers and names in headers: such as the store can hold, or refused."""

import pytest
from stomp_client import World

from gateway.connectors.stomp.settings import StompSettings
from gateway.store.memory import MemoryStore


@pytest.mark.parametrize("header", ["expires", "expiration", "priority", "x_mx_exp", "x_mx_prio"])
@pytest.mark.parametrize("number", [256, 10**17, 10**18 - 1, (1 << 63) - 1, 1 << 63, 10**30])
def test_a_number_is_one_that_the_store_can_hold_or_is_refused(header: str, number: int) -> None:
    store = MemoryStore()
    world = World(store=store)
    store.listener = world.broker
    client = world.client()
    client.send("SEND", "x", destination="/queue/q", persistent="true", receipt="1", **{header: str(number)})
    (answer,) = client.received()
    assert answer.command in ("RECEIPT", "ERROR")
    assert world.broker.counters.unstorable == 0
    assert (answer.command == "RECEIPT") == bool(store.kept.entries)


def test_a_content_type_longer_than_any_is_refused() -> None:
    world = World(settings=StompSettings(header_bytes_max=100_000, header_line_bytes_max=100_000))
    client = world.client().send("SEND", "x", destination="/queue/q", content_type="a/" + "b" * 65_534)
    (answer,) = client.received()
    assert answer.command == "ERROR"
    assert "content-type" in answer.headers["message"]
