"""What the operator may choose about STOMP: NACK, receipts in transactions, hosts, a CONNECT that is left out."""

import pytest
from harness import Gateway

from gateway.connectors.base import Limits
from gateway.connectors.stomp.settings import StompSettings
from gateway.core.destination import SEPARATORS_MAX
from gateway.core.limits import REJECT, QueuePolicy
from gateway.store.memory import HeldStore


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


@pytest.mark.parametrize(
    ("policy", "header", "again", "dead"),
    [
        ("failed", "", True, 0),
        ("rejected", "", False, 1),
        ("released", "", True, 0),
        ("rejected", " requeue:true", True, 0),
        ("released", " requeue:false", False, 1),
    ],
)
def test_nack_by_policy_and_by_header(policy: str, header: str, again: bool, dead: int) -> None:
    gw = Gateway(stomp=StompSettings(nack=policy))
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual"
    gw.stomp("s") >> "SEND destination:/queue/q body:x" << "MESSAGE body:x" >> f"NACK id:@ack{header}"
    counted = "x-mx-delivery-count:1" if policy == "failed" else "!x-mx-delivery-count"
    if again:
        gw.stomp("s") << f"MESSAGE redelivered:true {counted} body:x"
    gw.stomp("s").silent()
    assert gw.broker.queue("DLQ").depth == dead


def test_receipts_within_a_transaction_may_wait_for_its_end() -> None:
    gw = Gateway(stomp=StompSettings(transaction_receipts="commit"))
    for end in ("COMMIT", "ABORT"):
        party = gw.stomp("s") >> "BEGIN transaction:t receipt:0" << "RECEIPT receipt-id:0"
        party >> "SEND destination:/queue/q transaction:t receipt:1 body:x"
        party >> "SEND destination:/queue/q receipt:2 body:y" << "RECEIPT receipt-id:2"
        party.silent()
        party >> f"{end} transaction:t receipt:3" << "RECEIPT receipt-id:1" << "RECEIPT receipt-id:3"


def test_commit_into_a_full_queue_that_refuses_is_an_error_and_does_nothing() -> None:
    gw = Gateway(policy=QueuePolicy(messages_max=1, when_full=REJECT))
    party = gw.stomp("s") >> "BEGIN transaction:t" >> "SEND destination:/queue/a transaction:t body:x"
    (
        party
        >> "SEND destination:/queue/q transaction:t body:1"
        >> "SEND destination:/queue/q transaction:t body:2"
    )
    party >> "COMMIT transaction:t receipt:r" << "ERROR receipt-id:r"
    assert (gw.broker.queue("a").depth, gw.broker.queue("q").depth) == (0, 0)


def test_receipt_of_an_acknowledgement_waits_until_it_is_safe() -> None:
    store = HeldStore()
    gw = Gateway(store)
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client"
    (
        gw.stomp("s")
        >> "SEND destination:/queue/q persistent:true body:x"
        << "MESSAGE body:x"
        >> "ACK id:@ack receipt:r"
    )
    gw.stomp("s").silent()
    gw.broker.on_durable(store.release())
    gw.stomp("s") << "RECEIPT receipt-id:r"


@pytest.mark.parametrize(
    ("host", "served"), [("a", True), ("/", True), ("127.0.0.1", True), ("[::1]", True), ("b", False)]
)
def test_unknown_virtual_host_is_refused_where_there_is_a_list(host: str, served: bool) -> None:
    gw = Gateway(stomp=StompSettings(virtual_hosts=["a"]))
    party = gw.stomp_unconnected("s") >> f"CONNECT accept-version:1.2 host:{host}"
    party << ("CONNECTED" if served else "ERROR")
    assert party.closed is not served


def test_any_virtual_host_is_served_where_there_is_no_list(gw: Gateway) -> None:
    gw.stomp_unconnected("s") >> "CONNECT accept-version:1.2 host:nowhere.example" << "CONNECTED"


def test_client_may_begin_without_connect_where_that_is_allowed(gw: Gateway) -> None:
    gw.stomp_unconnected("s", "1.0") >> "SEND destination:/queue/q body:x" << "ERROR"
    lenient = Gateway(stomp=StompSettings(implicit_connect=True))
    party = lenient.stomp_unconnected("s", "1.0")
    party >> b"SUBSCRIBE\ndestination:/queue/q\n\n\0SEND\ndestination:/queue/q\nreceipt:r\n\nx\0"
    party << "MESSAGE destination:/queue/q !subscription body:x" << "RECEIPT receipt-id:r"
    assert not party.closed
    party >> "CONNECT" << "ERROR"


def test_implicit_client_must_be_allowed_to_be_anonymous() -> None:
    gw = Gateway(stomp=StompSettings(implicit_connect=True), stomp_limits=Limits(allow_anonymous=False))
    gw.stomp_unconnected("s", "1.0") >> "SEND destination:/queue/q body:x" << "ERROR"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_made_up_subscription_in_ack_is_forgiven_before_1_2(gw: Gateway, version: str) -> None:
    party = gw.stomp("s", version) >> "SUBSCRIBE id:1 destination:/queue/q ack:client"
    party >> "SUBSCRIBE id:2 destination:/queue/other ack:client"
    for made_up in ("none", "2"):
        party >> "SEND destination:/queue/q body:x" << "MESSAGE body:x"
        assert party.last is not None
        party >> f"ACK message-id:{party.last.get('message-id')} subscription:{made_up}"
    assert gw.broker.queue("q").depth == 0


def test_cumulative_acknowledgements_of_messages_that_come_twice_leave_none_behind(gw: Gateway) -> None:
    party = gw.stomp("s", "1.1")
    for name in "AB":
        (
            party
            >> f"SUBSCRIBE id:{name} destination:/queue/Consumer.{name}.VirtualTopic.X"
            >> f"UNSUBSCRIBE id:{name}"
        )
    party >> "SUBSCRIBE id:1 destination:/queue/Consumer.*.VirtualTopic.X ack:client"
    (
        gw.stomp("p")
        >> "SEND destination:/topic/VirtualTopic.X body:x"
        >> "SEND destination:/topic/VirtualTopic.X body:y"
    )
    heard = [frame.get("message-id") for frame in party.rest()]
    assert heard[0] == heard[1] != heard[2] == heard[3]
    for message_id in (heard[0], heard[2], heard[3]):
        party >> f"ACK subscription:1 message-id:{message_id}"
    party.silent()
    assert {gw.broker.queue(f"Consumer.{name}.VirtualTopic.X").depth for name in "AB"} == {0}


def test_message_that_comes_twice_to_one_old_subscription_is_acknowledged_twice(gw: Gateway) -> None:
    party = gw.stomp("s", "1.1")
    party >> "SUBSCRIBE id:1 destination:/queue/Consumer.*.VirtualTopic.X ack:client-individual"
    for name in "AB":
        (
            party
            >> f"SUBSCRIBE id:{name} destination:/queue/Consumer.{name}.VirtualTopic.X prefetch-count:1 ack:client"
        )
        party >> f"UNSUBSCRIBE id:{name}"
    gw.stomp("p") >> "SEND destination:/topic/VirtualTopic.X body:x"
    party << "MESSAGE body:x" << "MESSAGE body:x"
    assert party.last is not None
    for _ in range(2):
        party >> f"ACK subscription:1 message-id:{party.last.get('message-id')}"
    assert gw.broker.queue("Consumer.A.VirtualTopic.X").depth == 0
    assert gw.broker.queue("Consumer.B.VirtualTopic.X").depth == 0


def test_a_filter_may_have_as_many_levels_as_a_topic(gw: Gateway) -> None:
    deep = ".".join("a" * (SEPARATORS_MAX + 1))
    party = gw.stomp("s") >> f"SUBSCRIBE id:1 destination:/topic/{deep}"
    party >> f"SEND destination:/topic/{deep} body:x" << "MESSAGE subscription:1 body:x"
    party >> f"SUBSCRIBE id:2 destination:/topic/{deep}.a" << "ERROR"
    assert party.closed
