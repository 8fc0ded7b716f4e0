"""STOMP 1.1, chapter "Client Frames".

Transactions, receipts and DISCONNECT do not differ from 1.2, whose chapter has them; here is what is 1.1's own: how
subscriptions and messages are named.  Not tested: nothing.
"""

import pytest
from harness import DROP, Gateway, StompParty


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


def said(party: StompParty, command: str, headers: str = "") -> str:
    """ACK or NACK of the last message."""
    assert party.last is not None
    last = party.last
    return f"{command} subscription:{last.get('subscription')} message-id:{last.get('message-id')} {headers}"


@pytest.mark.parametrize(
    "frame", ["SUBSCRIBE destination:/queue/q", "SUBSCRIBE id:1", "UNSUBSCRIBE destination:/queue/q"]
)
def test_subscribe_and_unsubscribe_need_an_id(gw: Gateway, frame: str) -> None:
    gw.stomp("s", "1.1") >> frame << "ERROR"


@pytest.mark.parametrize("headers", ["message-id:1", "subscription:1", ""])
@pytest.mark.parametrize("command", ["ACK", "NACK"])
def test_ack_and_nack_need_message_id_and_subscription(gw: Gateway, command: str, headers: str) -> None:
    gw.stomp("s", "1.1") >> f"{command} {headers} receipt:r" << "ERROR receipt-id:r"


def test_ack_client_is_cumulative(gw: Gateway) -> None:
    party = gw.stomp("s", "1.1") >> "SUBSCRIBE id:1 destination:/queue/q ack:client"
    for n in range(3):
        gw.stomp("p") >> f"SEND destination:/queue/q body:{n}"
    party << "MESSAGE !ack body:0" << "MESSAGE body:1"
    party >> said(party, "ACK", "receipt:r")
    assert [frame.command for frame in party.rest()] == ["MESSAGE", "RECEIPT"]
    party >> DROP
    gw.stomp("t") >> "SUBSCRIBE id:1 destination:/queue/q"
    assert gw.stomp("t").bodies() == ["2"]


def test_ack_client_individual(gw: Gateway) -> None:
    party = gw.stomp("s", "1.1") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual"
    for n in range(3):
        gw.stomp("p") >> f"SEND destination:/queue/q body:{n}"
    party << "MESSAGE body:0" << "MESSAGE body:1"
    party >> said(party, "ACK") >> DROP
    gw.stomp("t") >> "SUBSCRIBE id:1 destination:/queue/q"
    assert gw.stomp("t").bodies() == ["0", "2"]


def test_ack_twice_or_of_nothing_is_an_error(gw: Gateway) -> None:
    party = gw.stomp("s", "1.1") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual"
    party >> "SEND destination:/queue/q body:x" << "MESSAGE"
    again = said(party, "ACK")
    party >> again >> again << "ERROR"
    gw.stomp("t", "1.1") >> "ACK subscription:1 message-id:none" << "ERROR"


def test_ack_in_a_transaction(gw: Gateway) -> None:
    party = (
        gw.stomp("s", "1.1")
        >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual"
        >> "BEGIN transaction:t"
    )
    party >> "SEND destination:/queue/q body:x" << "MESSAGE"
    party >> said(party, "ACK", "transaction:t")
    assert gw.broker.queue("q").depth == 1
    party >> "COMMIT transaction:t"
    assert gw.broker.queue("q").depth == 0


def test_nack_gives_the_message_back(gw: Gateway) -> None:
    party = gw.stomp("s", "1.1") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual"
    party >> "SEND destination:/queue/q body:x" << "MESSAGE"
    party >> said(party, "NACK") << "MESSAGE redelivered:true body:x"


def test_the_same_topic_message_is_acknowledged_for_each_subscription(gw: Gateway) -> None:
    party = gw.stomp("s", "1.1")
    for id in ("1", "2"):
        party >> f"SUBSCRIBE id:{id} destination:/topic/t ack:client-individual"
    party >> "SEND destination:/topic/t body:x"
    frames = party.rest()
    for frame in frames:
        (
            party
            >> f"ACK subscription:{frame.get('subscription')} message-id:{frame.get('message-id')} receipt:r"
        )
        party << "RECEIPT"
    assert len(frames) == 2


def test_send_subscribe_and_unsubscribe(gw: Gateway) -> None:
    party = (
        gw.stomp("s", "1.1")
        >> "SUBSCRIBE id:1 destination:/topic/t"
        >> "SEND destination:/topic/t k:v body:x"
    )
    (
        party
        << "MESSAGE subscription:1 destination:/topic/t k:v body:x"
        >> "UNSUBSCRIBE id:1 receipt:u"
        << "RECEIPT"
    )
    party >> "SEND destination:/topic/t body:y"
    party.silent()


def test_disconnect_receipt_comes_last(gw: Gateway) -> None:
    party = gw.stomp("s", "1.1") >> "DISCONNECT receipt:77" << "RECEIPT receipt-id:77"
    assert party.closed
