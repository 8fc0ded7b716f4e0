"""STOMP 1.2, chapters "Server Frames" (MESSAGE, RECEIPT, ERROR) and "Frames and Headers".

Not tested:
- ERROR, "SHOULD be … as detailed as possible": a matter of taste; that there is a body and a message is tested.
"""

import pytest
from harness import Gateway

from gateway.store.memory import HeldStore


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


# -- MESSAGE


def test_message_has_destination_message_id_and_subscription(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:sub-7 destination:/topic/a.*"
    (
        party
        >> "SEND destination:/topic/a.b body:x"
        << "MESSAGE destination:/topic/a.b subscription:sub-7 body:x"
    )
    assert party.last is not None
    assert party.last.get("message-id")


@pytest.mark.parametrize(
    ("sent", "heard"),
    [
        ("/queue/q", "/queue/q"),
        ("/topic/t", "/topic/t"),
        ("q", "/queue/q"),
        ("/amq/queue/q", "/queue/q"),
        ("/exchange/amq.topic/t", "/topic/t"),
    ],
)
def test_message_names_its_destination_as_everybody_may_send_to_it(
    gw: Gateway, sent: str, heard: str
) -> None:
    party = gw.stomp("s") >> f"SUBSCRIBE id:1 destination:{heard}"
    gw.stomp("p") >> f"SEND destination:{sent} body:x"
    party << f"MESSAGE destination:{heard} body:x"


def test_message_ids_are_unique(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t"
    for _ in range(20):
        party >> "SEND destination:/topic/t body:x"
    assert len({frame.get("message-id") for frame in party.rest()}) == 20


@pytest.mark.parametrize("mode", ["client", "client-individual"])
@pytest.mark.parametrize("destination", ["/queue/q", "/topic/t"])
def test_message_has_an_ack_header_when_it_must_be_acknowledged(
    gw: Gateway, mode: str, destination: str
) -> None:
    party = gw.stomp("s") >> f"SUBSCRIBE id:1 destination:{destination} ack:{mode}"
    for _ in range(2):
        party >> f"SEND destination:{destination} body:x"
    handles = [frame.get("ack") for frame in party.rest()]
    assert all(handles)
    assert len(set(handles)) == 2


def test_message_has_the_headers_of_its_send_and_not_those_that_a_server_writes(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t"
    (
        party
        >> "SEND destination:/topic/t mine:1 subscription:forged ack:forged message-id:forged redelivered:true body:x"
    )
    party << "MESSAGE mine:1 subscription:1 !ack !redelivered"
    assert party.last is not None
    assert party.last.get("message-id") != "forged"


def test_message_does_not_have_what_was_between_sender_and_server(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t"
    (
        gw.stomp("p")
        >> "BEGIN transaction:x"
        >> "SEND destination:/topic/t transaction:x receipt:r body:x"
        << "RECEIPT"
    )
    gw.stomp("p") >> "COMMIT transaction:x"
    gw.stomp("s") << "MESSAGE !transaction !receipt body:x"


# -- RECEIPT


def test_receipt_comes_once_the_frame_has_been_processed_and_all_before_it(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q receipt:r" << "RECEIPT receipt-id:r"
    gw.stomp("p") >> "SEND destination:/queue/q body:1" >> "SEND destination:/queue/q receipt:2 body:2"
    gw.stomp("p") << "RECEIPT receipt-id:2"
    assert gw.stomp("s").bodies() == ["1", "2"]


def test_receipt_with_and_without_in_turns_come_in_order(gw: Gateway) -> None:
    party = gw.stomp("s")
    for n in range(6):
        party >> f"SEND destination:/queue/q {f'receipt:{n}' if n % 2 else ''} body:x"
    assert [frame.get("receipt-id") for frame in party.rest()] == ["1", "3", "5"]


def test_receipt_of_persistent_messages_waits_until_they_are_safe_and_keeps_its_place() -> None:
    store = HeldStore()
    gw = Gateway(store)
    party = gw.stomp("s") >> "SEND destination:/queue/q persistent:true receipt:1 body:x"
    party >> "SEND destination:/queue/q receipt:2 body:y"
    party.silent()
    party >> "DISCONNECT receipt:3"
    assert not party.closed
    gw.broker.on_durable(store.release())
    party << "RECEIPT receipt-id:1" << "RECEIPT receipt-id:2" << "RECEIPT receipt-id:3"
    assert party.closed


# -- ERROR


def test_error_has_a_message_a_body_that_explains_and_the_receipt_of_the_frame(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SEND receipt:message-12345 body:x"
    party << "ERROR receipt-id:message-12345 content-type:text/plain"
    assert party.last is not None
    assert "destination" in (party.last.get("message") or "")
    assert "destination" in party.last.body
    assert int(party.last.get("content-length") or "0") == len(party.last.body)


@pytest.mark.parametrize(
    "frame", ["SEND", "UNSUBSCRIBE id:9", "ACK id:9", "COMMIT transaction:9", "NONSENSE"]
)
def test_error_ends_the_connection_and_nothing_after_it_is_processed(gw: Gateway, frame: str) -> None:
    party = gw.stomp("s") >> frame << "ERROR"
    assert party.closed
    party >> "SEND destination:/queue/q receipt:r body:x"
    party.silent()
    assert gw.broker.queue("q").depth == 0


def test_error_gives_back_what_the_client_had(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client"
    party >> "SEND destination:/queue/q body:x" << "MESSAGE" >> "NONSENSE" << "ERROR"
    gw.stomp("t") >> "SUBSCRIBE id:1 destination:/queue/q" << "MESSAGE redelivered:true body:x"


def test_error_of_one_client_is_not_noticed_by_others(gw: Gateway) -> None:
    gw.stomp("t") >> "SUBSCRIBE id:1 destination:/topic/t"
    gw.stomp("s") >> b"\xff\xfe\xfd" << "ERROR"
    gw.stomp("t").silent()
    gw.stomp("t") >> "SEND destination:/topic/t body:x" << "MESSAGE body:x"


# -- Frames and Headers


@pytest.mark.parametrize(
    ("frame", "missing"),
    [
        ("SEND body:x", "destination"),
        ("SUBSCRIBE destination:/queue/q", "id"),
        ("SUBSCRIBE id:1", "destination"),
        ("UNSUBSCRIBE", "id"),
        ("ACK", "id"),
        ("NACK", "id"),
        ("BEGIN", "transaction"),
        ("COMMIT", "transaction"),
        ("ABORT", "transaction"),
    ],
)
def test_frames_and_headers_what_is_required_is_named_when_it_is_missing(
    gw: Gateway, frame: str, missing: str
) -> None:
    party = gw.stomp("s") >> frame << "ERROR"
    assert party.last is not None
    assert missing in (party.last.get("message") or "")


def test_s_error_a_client_that_may_not_stay_is_told_why(gw: Gateway) -> None:
    party = gw.stomp("s")
    party.connector.dismiss("certificate revoked", gw.now_ms)
    party << "ERROR 'message:certificate revoked' content-type:text/plain"
    assert party.closed


# -- timestamp, which other brokers' clients count on


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_message_without_a_timestamp_gets_the_time_when_it_came(gw: Gateway, version: str) -> None:
    party = gw.stomp("s", version) >> "SUBSCRIBE id:1 destination:/topic/t"
    now_ms = gw.now_ms
    gw.stomp("p") >> "SEND destination:/topic/t body:a"
    party << f"MESSAGE timestamp:{now_ms} body:a"
    gw.mqtt("m", 5) >> "CONNECT m" << "CONNACK 0 present=0" >> "PUBLISH t b" >> "PUBLISH t ct=text/plain c"
    party << f"MESSAGE timestamp:{now_ms} body:b" << f"MESSAGE timestamp:{now_ms} body:c"


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_message_with_a_timestamp_keeps_its_own(gw: Gateway, version: str) -> None:
    party = gw.stomp("s", version) >> "SUBSCRIBE id:1 destination:/topic/t"
    gw.stomp("p") >> "SEND destination:/topic/t timestamp:1700000000123 body:a"
    assert party.wire().count(b"timestamp:") == 1
    gw.stomp("p") >> "SEND destination:/topic/t timestamp:1700000000123 body:a"
    party << "MESSAGE timestamp:1700000000123 body:a"
