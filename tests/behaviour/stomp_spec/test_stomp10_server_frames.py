"""STOMP 1.0, the frames of the server: CONNECTED (see test_stomp10_frames.py), MESSAGE, RECEIPT, ERROR.

Not tested: nothing.
"""

import pytest
from harness import Gateway


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


def test_message_has_destination_message_id_and_the_senders_headers(gw: Gateway) -> None:
    party = (
        gw.stomp("s", "1.0") >> "SUBSCRIBE destination:/queue/a" >> "SEND destination:/queue/a k:v body:hello"
    )
    party << "MESSAGE destination:/queue/a k:v content-length:5 !ack body:hello"
    assert party.last is not None
    assert party.last.get("message-id")


def test_message_from_a_later_version_has_no_escapes_and_no_line_of_its_own_making(gw: Gateway) -> None:
    gw.stomp("s", "1.0") >> "SUBSCRIBE destination:/topic/t"
    gw.stomp("p") >> b"SEND\ndestination:/topic/t\nk:a\\nforged\\cyes\n\nx\0"
    lines = gw.stomp("s").wire().split(b"\n")
    assert b"forged:yes" not in lines


def test_receipt(gw: Gateway) -> None:
    (
        gw.stomp("s", "1.0")
        >> "SEND destination:/queue/q receipt:message-12345 body:x"
        << "RECEIPT receipt-id:message-12345"
    )


def test_error_has_a_message_and_a_body(gw: Gateway) -> None:
    party = gw.stomp("s", "1.0") >> "SEND receipt:r body:x" << "ERROR receipt-id:r"
    assert party.last is not None
    assert party.last.get("message")
    assert party.last.body
    assert party.closed
