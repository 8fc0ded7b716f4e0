"""Durable subscriptions of STOMP: what no-local means for them, and what an UNSUBSCRIBE that ends one is told."""

import pytest
from harness import DROP, Gateway

NAME = "activemq.subscriptionName:n"
SUBSCRIBE = f"SUBSCRIBE id:1 destination:/topic/t {NAME}"


@pytest.fixture
def gw() -> Gateway:
    return Gateway()


def client(gw: Gateway, name: str, client_id: str) -> None:
    """A connection that says who it is."""
    (
        gw.stomp_unconnected(name)
        >> f"CONNECT accept-version:1.2 host:h client-id:{client_id}"
        << "CONNECTED version:1.2"
    )


def test_no_local_holds_over_the_connections_of_one_client(gw: Gateway) -> None:
    client(gw, "a", "r")
    gw.stomp("a") >> f"{SUBSCRIBE} no-local:true"
    gw.stomp("a") >> "SEND destination:/topic/t body:own" >> DROP
    client(gw, "b", "r")
    gw.stomp("b") >> "SEND destination:/topic/t body:own-of-another-connection"
    client(gw, "c", "other")
    gw.stomp("c") >> "SEND destination:/topic/t body:other"
    client(gw, "d", "r")
    gw.stomp("d") >> f"{SUBSCRIBE} no-local:true"
    assert gw.stomp("d").bodies() == ["other"]


def test_another_no_local_begins_anew_and_not_while_somebody_reads(gw: Gateway) -> None:
    client(gw, "a", "r")
    gw.stomp("a") >> SUBSCRIBE
    client(gw, "b", "r")
    gw.stomp("b") >> f"{SUBSCRIBE} no-local:true" << "ERROR"
    gw.stomp("a") >> DROP
    gw.stomp("p") >> "SEND destination:/topic/t body:before"
    client(gw, "c", "r")
    gw.stomp("c") >> f"{SUBSCRIBE} no-local:true"
    gw.stomp("p") >> "SEND destination:/topic/t body:after"
    assert gw.stomp("c").bodies() == ["after"]


def test_an_unsubscribe_that_ends_nothing_is_an_error_as_in_activemq(gw: Gateway) -> None:
    for name in "ab":
        client(gw, name, "r")
        gw.stomp(name) >> SUBSCRIBE
    # Others read it.
    gw.stomp("a") >> f"UNSUBSCRIBE id:1 {NAME}" << "ERROR"
    gw.stomp("b") >> f"UNSUBSCRIBE id:1 {NAME} receipt:1" << "RECEIPT receipt-id:1"
    client(gw, "c", "r")
    gw.stomp("c") >> f"UNSUBSCRIBE id:1 {NAME}" << "ERROR"
