"""RECEIPTs of STOMP say that what they confirm is safe: they wait for the store."""

import pytest
from stomp_client import Client, World

from gateway.core.leaving import LEFT_AT_ONCE
from gateway.core.limits import QueuePolicy
from gateway.store.memory import HeldStore


def receipts(client: Client) -> list[str]:
    return [frame.headers["receipt-id"] for frame in client.received() if frame.command == "RECEIPT"]


class Held:
    """A broker whose store keeps back what it is told until `release`."""

    def __init__(self, policy: QueuePolicy | None = None) -> None:
        self.store = HeldStore()
        self.world = World(store=self.store, policy=policy)

    def release(self) -> None:
        self.world.broker.on_durable(self.store.release())


def test_receipt_of_disconnect_waits_for_all_that_was_sent_before_it() -> None:
    held = Held()
    client = held.world.client()
    for _ in range(3):
        client.send("SEND", "x", destination="/queue/q", persistent="true")
    client.send("DISCONNECT", receipt="bye")
    assert receipts(client) == []
    assert not client.connector.closing
    held.release()
    assert receipts(client) == ["bye"]
    assert client.connector.closing


def test_disconnect_with_nothing_to_keep_is_answered_at_once() -> None:
    client = Held().world.client().send("SEND", "x", destination="/queue/q").send("DISCONNECT", receipt="bye")
    assert receipts(client) == ["bye"]


@pytest.mark.parametrize(
    "headers",
    [
        {"destination": "/topic/t", "activemq.subscriptionName": "d"},
        {"destination": "/share/g/t"},
        {"destination": "/topic/t", "activemq.subscriptionName": "d", "ack": "client"},
    ],
)
def test_receipt_of_a_kept_subscription_and_of_its_end_wait(headers: dict[str, str]) -> None:
    held = Held()
    client = held.world.client(client_id="c").send("SUBSCRIBE", id="1", receipt="1", **headers)
    assert receipts(client) == []
    held.release()
    assert receipts(client) == ["1"]
    client.send("UNSUBSCRIBE", id="1", receipt="2", **headers)
    assert receipts(client) == []
    held.release()
    assert receipts(client) == ["2"]


def test_receipt_of_coming_back_to_a_kept_subscription_waits_only_for_that() -> None:
    held = Held()
    first = held.world.client(client_id="c")
    headers = {"destination": "/topic/t", "activemq.subscriptionName": "d"}
    first.send("SUBSCRIBE", id="1", **headers).send("UNSUBSCRIBE", id="1").lose()
    client = held.world.client(client_id="c").send("SUBSCRIBE", id="1", receipt="1", **headers)
    assert receipts(client) == []
    held.release()
    assert receipts(client) == ["1"]
    held.world.client().send("SEND", "x", destination="/queue/q", persistent="true")
    client.send("UNSUBSCRIBE", id="1").send("SUBSCRIBE", id="1", receipt="2", **headers)
    assert receipts(client) == ["2"]


def test_receipt_of_abort_waits_until_the_failed_deliveries_are_noted() -> None:
    held = Held()
    client = held.world.client().send(
        "SUBSCRIBE", id="1", destination="/queue/q", ack="client", prefetch_count="1"
    )
    client.send("SEND", "x", destination="/queue/q", persistent="true")
    held.release()
    [message] = client.received()
    client.send("BEGIN", transaction="t").send("ACK", id=message.headers["ack"], transaction="t")
    client.send("ABORT", transaction="t", receipt="1")
    assert receipts(client) == []
    held.release()
    assert receipts(client) == ["1"]


def test_receipt_of_a_large_abort_waits_until_the_last_of_them_is_noted() -> None:
    count = 5 * LEFT_AT_ONCE
    held = Held()
    broker = held.world.broker
    client = held.world.client().send(
        "SUBSCRIBE", id="1", destination="/queue/q", ack="client", prefetch_count=str(count)
    )
    for _ in range(count):
        client.send("SEND", "x", destination="/queue/q", persistent="true")
    held.release()
    last = client.received()[-1]
    broker.chores.driven_by(lambda: None)
    client.send("BEGIN", transaction="t").send("ACK", id=last.headers["ack"], transaction="t")
    client.send("UNSUBSCRIBE", id="1").send("ABORT", transaction="t", receipt="1")
    for _ in range(4):
        broker.chores.step()
        held.release()
        assert receipts(client) == []
    broker.chores.finish()
    assert broker.queue("q").unsettled == 0
    assert receipts(client) == []
    held.release()
    broker.chores.finish()
    assert receipts(client) == ["1"]


def test_a_durable_subscription_that_the_store_cannot_keep_is_refused() -> None:
    held = Held()
    held.store.accepting = False
    headers = {"destination": "/topic/t", "activemq.subscriptionName": "d"}
    client = held.world.client(client_id="c").send("SUBSCRIBE", id="1", receipt="1", **headers)
    [error] = client.received()
    assert (error.command, error.headers["receipt-id"]) == ("ERROR", "1")
    assert error.headers["message"] == "the broker's disk is full"
    assert held.world.broker.queues == {}
