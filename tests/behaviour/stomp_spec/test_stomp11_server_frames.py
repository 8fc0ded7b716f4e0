"""STOMP 1.1, chapters "Server Frames" and "Frames and Headers".

Not tested: "RECEIPT … a cumulative acknowledgment": a statement of meaning; that all before it has been done is tested.
"""

import pytest
from harness import Gateway


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


@pytest.mark.parametrize("mode", ["auto", "client", "client-individual"])
def test_message_has_subscription_message_id_and_destination_and_no_ack(gw: Gateway, mode: str) -> None:
    party = gw.stomp("s", "1.1") >> f"SUBSCRIBE id:x destination:/topic/t ack:{mode}"
    party >> "SEND destination:/topic/t ack:mine body:x"
    party << "MESSAGE subscription:x destination:/topic/t content-length:1 !ack body:x"
    assert party.last is not None
    assert party.last.get("message-id")


def test_receipt_says_that_all_before_it_has_been_done(gw: Gateway) -> None:
    party = (
        gw.stomp("s", "1.1")
        >> "SEND destination:/queue/q body:1"
        >> "SEND destination:/queue/q receipt:r body:2"
    )
    party << "RECEIPT receipt-id:r"
    assert gw.broker.queue("q").depth == 2


def test_error_has_message_receipt_id_and_body_and_ends_the_connection(gw: Gateway) -> None:
    party = gw.stomp("s", "1.1") >> "SEND receipt:r body:x" << "ERROR receipt-id:r content-type:text/plain"
    assert party.last is not None
    assert party.last.get("message")
    assert party.last.body
    assert party.closed


@pytest.mark.parametrize(
    "frame",
    [
        "SEND",
        "SUBSCRIBE id:1",
        "UNSUBSCRIBE",
        "ACK",
        "NACK",
        "BEGIN",
        "COMMIT",
        "ABORT",
        "UNKNOWN",
        "MESSAGE",
    ],
)
def test_frames_and_headers_what_is_missing_or_unknown_is_an_error(gw: Gateway, frame: str) -> None:
    gw.stomp("s", "1.1") >> frame << "ERROR"
