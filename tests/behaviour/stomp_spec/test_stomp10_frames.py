"""STOMP 1.0, the frame, its client commands, standard headers and server frames: the whole of that specification.

1.0 is one chapter of each kind, all short, so they are one file each side: this one for frames and what the client
sends, test_stomp10_server_frames.py for what the server sends.  Not tested:
- "Any client frame other than CONNECT may specify a receipt": shown by the chapter of 1.2, by the same code.
- ACK "clients should …": about clients.
"""

import pytest
from harness import DROP, Gateway


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


def connected(gw: Gateway, name: str) -> None:
    """A client that names no version, as those of 1.0 do not."""
    gw.stomp_unconnected(name, "1.0") >> "CONNECT login:l passcode:p" << "CONNECTED version:1.0"


# -- the frame


def test_frame_white_space_around_names_and_values_is_ignored(gw: Gateway) -> None:
    party = gw.stomp("s", "1.0") >> b"SUBSCRIBE\ndestination: /topic/t\n\n\n\0"
    (
        party
        >> b"SEND\ndestination : /topic/t \nreceipt: r\n\nhello\0\n"
        << "MESSAGE body:hello"
        << "RECEIPT receipt-id:r"
    )


def test_frame_there_are_no_escapes(gw: Gateway) -> None:
    party = gw.stomp("s", "1.0") >> "SUBSCRIBE destination:/topic/t"
    party >> b"SEND\ndestination:/topic/t\nk:a\\b\\n\\q\n\nx\0"
    assert b"\nk:a\\b\\n\\q\n" in party.wire()


def test_frame_content_length_lets_nul_pass(gw: Gateway) -> None:
    party = gw.stomp("s", "1.0") >> "SUBSCRIBE destination:/topic/t"
    (
        party
        >> b"SEND\ndestination:/topic/t\ncontent-length: 3\n\na\0b\0"
        << "MESSAGE content-length:3 body:a\0b"
    )


def test_frame_a_body_where_there_is_none_is_ignored(gw: Gateway) -> None:
    party = gw.stomp("s", "1.0") >> b"SUBSCRIBE\ndestination:/topic/t\nreceipt:r\n\nbody\0" << "RECEIPT"
    assert not party.closed


@pytest.mark.parametrize("frame", [b"HELLO\n\n\0", b"SEND\nno colon\n\n\0", b"SEND\ncontent-length:x\n\n\0"])
def test_frame_that_is_none_is_an_error(gw: Gateway, frame: bytes) -> None:
    gw.stomp("s", "1.0") >> frame << "ERROR"
    assert gw.stomp("s").closed


# -- CONNECT


def test_connect_without_versions_is_1_0_with_a_session(gw: Gateway) -> None:
    connected(gw, "s")
    last = gw.stomp_unconnected("s", "1.0").last
    assert last is not None
    assert last.get("session")
    # Clients of all versions look for it.
    assert last.get("heart-beat") == "0,0"


def test_connect_heart_beats_are_unknown(gw: Gateway) -> None:
    party = gw.stomp_unconnected("s", "1.0") >> "CONNECT heart-beat:10,10" << "CONNECTED"
    gw.advance(10_000_000)
    assert party.wire() == b""
    assert not party.closed


# -- SEND, SUBSCRIBE, UNSUBSCRIBE


def test_send_needs_a_destination(gw: Gateway) -> None:
    gw.stomp("s", "1.0") >> "SEND body:x" << "ERROR"


def test_subscribe_without_id_gives_messages_without_subscription(gw: Gateway) -> None:
    party = gw.stomp("s", "1.0") >> "SUBSCRIBE destination:/queue/a" >> "SEND destination:/queue/a body:hi"
    party << "MESSAGE destination:/queue/a !subscription body:hi"


def test_subscribe_with_id_gives_messages_with_it(gw: Gateway) -> None:
    party = (
        gw.stomp("s", "1.0") >> "SUBSCRIBE id:7 destination:/queue/a" >> "SEND destination:/queue/a body:hi"
    )
    party << "MESSAGE subscription:7 body:hi"


def test_subscribe_needs_a_destination(gw: Gateway) -> None:
    gw.stomp("s", "1.0") >> "SUBSCRIBE id:7" << "ERROR"


@pytest.mark.parametrize(
    ("subscribe", "unsubscribe"),
    [
        ("destination:/topic/t", "destination:/topic/t"),
        ("id:7 destination:/topic/t", "id:7"),
        ("id:7 destination:/topic/t", "destination:/topic/t"),
        ("id:7 destination:/topic/t", "id:7 destination:/topic/t"),
    ],
)
def test_unsubscribe_by_destination_or_id(gw: Gateway, subscribe: str, unsubscribe: str) -> None:
    party = (
        gw.stomp("s", "1.0")
        >> f"SUBSCRIBE {subscribe}"
        >> f"UNSUBSCRIBE {unsubscribe} receipt:r"
        << "RECEIPT"
    )
    party >> "SEND destination:/topic/t body:x"
    party.silent()


def test_unsubscribe_by_destination_ends_all_that_read_it(gw: Gateway) -> None:
    party = (
        gw.stomp("s", "1.0") >> "SUBSCRIBE id:1 destination:/topic/t" >> "SUBSCRIBE id:2 destination:/topic/t"
    )
    party >> "SUBSCRIBE id:3 destination:/topic/u" >> "UNSUBSCRIBE destination:/topic/t"
    party >> "SEND destination:/topic/t body:x" >> "SEND destination:/topic/u body:y"
    party << "MESSAGE subscription:3 body:y"
    party.silent()


def test_subscribe_twice_without_id_is_an_error(gw: Gateway) -> None:
    party = (
        gw.stomp("s", "1.0") >> "SUBSCRIBE destination:/queue/q" >> "SUBSCRIBE destination:/queue/q receipt:2"
    )
    party << "ERROR receipt-id:2"
    assert party.closed


@pytest.mark.parametrize("headers", ["", "destination:/topic/none", "id:none"])
def test_unsubscribe_from_nothing_is_an_error(gw: Gateway, headers: str) -> None:
    gw.stomp("s", "1.0") >> f"UNSUBSCRIBE {headers}" << "ERROR"


# -- ACK, and NACK, which clients of 1.0 send too


@pytest.mark.parametrize("more", ["", " subscription:7"])
def test_ack_by_message_id_is_cumulative(gw: Gateway, more: str) -> None:
    party = gw.stomp("s", "1.0") >> "SUBSCRIBE id:7 destination:/queue/q ack:client"
    for n in range(3):
        gw.stomp("p") >> f"SEND destination:/queue/q body:{n}"
    party << "MESSAGE body:0" << "MESSAGE body:1"
    assert party.last is not None
    party >> f"ACK message-id:{party.last.get('message-id')}{more}" >> DROP
    gw.stomp("t") >> "SUBSCRIBE id:1 destination:/queue/q"
    assert gw.stomp("t").bodies() == ["2"]


def test_ack_needs_a_message_id_that_waits(gw: Gateway) -> None:
    gw.stomp("s", "1.0") >> "ACK subscription:1" << "ERROR"
    gw.stomp("t", "1.0") >> "ACK message-id:1" << "ERROR"


@pytest.mark.parametrize("requeue", ["true", "True", "TRUE"])
def test_nack_of_1_0_names_the_message_as_ack_does(gw: Gateway, requeue: str) -> None:
    party = gw.stomp("s", "1.0") >> "SUBSCRIBE id:7 destination:/queue/q ack:client"
    gw.stomp("p") >> "SEND destination:/queue/q body:0"
    party << "MESSAGE body:0"
    assert party.last is not None
    number = party.last.get("message-id")
    party >> f"NACK message-id:{number} requeue:{requeue}" << "MESSAGE redelivered:true body:0"
    party >> "NACK message-id:1" << "ERROR"


# -- BEGIN, COMMIT, ABORT, DISCONNECT


def test_begin_commit_and_abort(gw: Gateway) -> None:
    party = gw.stomp("s", "1.0") >> "SUBSCRIBE destination:/topic/t"
    for end, body in (("ABORT", "no"), ("COMMIT", "yes")):
        party >> "BEGIN transaction:x" >> f"SEND destination:/topic/t transaction:x body:{body}"
        party >> f"{end} transaction:x"
    party << "MESSAGE body:yes"
    party.silent()


def test_ack_in_a_transaction(gw: Gateway) -> None:
    party = gw.stomp("s", "1.0") >> "SUBSCRIBE destination:/queue/q ack:client" >> "BEGIN transaction:x"
    party >> "SEND destination:/queue/q body:x" << "MESSAGE"
    assert party.last is not None
    party >> f"ACK message-id:{party.last.get('message-id')} transaction:x" >> "COMMIT transaction:x"
    assert gw.broker.queue("q").depth == 0


@pytest.mark.parametrize("command", ["BEGIN", "COMMIT", "ABORT"])
def test_transaction_header_is_needed(gw: Gateway, command: str) -> None:
    gw.stomp("s", "1.0") >> command << "ERROR"


def test_disconnect(gw: Gateway) -> None:
    party = gw.stomp("s", "1.0") >> "DISCONNECT"
    assert party.closed
    party.silent()
