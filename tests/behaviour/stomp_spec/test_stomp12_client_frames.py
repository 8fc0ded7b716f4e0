"""STOMP 1.2, chapter "Client Frames": SEND, SUBSCRIBE, UNSUBSCRIBE, ACK, NACK, BEGIN, COMMIT, ABORT, DISCONNECT.

Not tested:
- SEND, "destination … delivery semantics are server-specific": what ours are is in test_stomp_extensions.py and in
  tests/connectors/stomp.
- DISCONNECT, "the client MUST NOT send any more frames": about clients; that they are not looked at is tested.
"""

import pytest
from harness import DROP, Gateway


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


# -- SEND


def test_send_needs_a_destination(gw: Gateway) -> None:
    gw.stomp("s") >> "SEND receipt:r body:x" << "ERROR receipt-id:r"
    assert gw.stomp("s").closed


def test_send_other_headers_are_passed_on_unchanged_in_any_order(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t"
    party >> b"SEND\nb:2\ndestination:/topic/t\na:1\nB:3\n\n\0"
    assert b"\nb:2\na:1\nB:3\n" in party.wire()


def test_send_content_type_and_content_length_reach_the_subscriber(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t"
    party >> "SEND destination:/topic/t content-type:application/json body:{}"
    party << "MESSAGE content-type:application/json content-length:2 body:{}"


def test_send_in_a_transaction_is_delivered_with_its_commit(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t" >> "BEGIN transaction:x"
    party >> "SEND destination:/topic/t transaction:x body:1" >> "SEND destination:/topic/t body:outside"
    party << "MESSAGE body:outside"
    party.silent()
    party >> "COMMIT transaction:x" << "MESSAGE body:1"


def test_send_that_cannot_be_processed_is_an_error_and_the_end(gw: Gateway) -> None:
    gw.stomp("s") >> "SEND destination:/nowhere/x receipt:r" << "ERROR receipt-id:r"
    assert gw.stomp("s").closed


def test_send_message_waits_in_a_queue_for_its_first_subscriber(gw: Gateway) -> None:
    gw.stomp("p") >> "SEND destination:/queue/q body:early"
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q" << "MESSAGE body:early"


def test_send_ten_thousand_and_leave_loses_none(gw: Gateway) -> None:
    gw.stomp("p") >> b"SEND\ndestination:/queue/q\n\nx\0" * 10_000 >> "DISCONNECT"
    assert gw.broker.queue("q").depth == 10_000


# -- SUBSCRIBE


@pytest.mark.parametrize(
    "frame", ["SUBSCRIBE destination:/topic/t", "SUBSCRIBE id:1", "SUBSCRIBE id: destination:/topic/t"]
)
def test_subscribe_needs_id_and_destination(gw: Gateway, frame: str) -> None:
    gw.stomp("s") >> frame << "ERROR"


def test_subscribe_id_is_unique_within_its_connection(gw: Gateway) -> None:
    gw.stomp("t") >> "SUBSCRIBE id:1 destination:/topic/t"
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t"
    party >> "SUBSCRIBE id:1 destination:/topic/u receipt:r" << "ERROR receipt-id:r"


def test_subscribe_id_may_be_used_again_after_unsubscribe(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t" >> "UNSUBSCRIBE id:1"
    party >> "SUBSCRIBE id:1 destination:/topic/u" >> "SEND destination:/topic/t body:t"
    party >> "SEND destination:/topic/u body:u" << "MESSAGE subscription:1 body:u"
    party.silent()


def test_subscribe_several_subscriptions_each_get_their_own_copy_of_a_topic(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t" >> "SUBSCRIBE id:2 destination:/topic/t"
    party >> "SEND destination:/topic/t body:x"
    assert sorted([frame.get("subscription") or "" for frame in party.rest()]) == ["1", "2"]


@pytest.mark.parametrize("mode", ["", " ack:auto"])
def test_subscribe_ack_auto_is_the_default_and_needs_no_ack(gw: Gateway, mode: str) -> None:
    party = gw.stomp("s") >> f"SUBSCRIBE id:1 destination:/queue/q{mode}"
    party >> "SEND destination:/queue/q body:x" << "MESSAGE !ack body:x" >> DROP
    assert gw.broker.queue("q").depth == 0


def test_subscribe_ack_client_is_cumulative(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client"
    for n in range(4):
        gw.stomp("p") >> f"SEND destination:/queue/q body:{n}"
    party << "MESSAGE body:0" << "MESSAGE body:1" << "MESSAGE body:2" >> "ACK id:@ack" >> DROP
    gw.stomp("t") >> "SUBSCRIBE id:1 destination:/queue/q"
    gw.stomp("t") << "MESSAGE redelivered:true body:3"
    gw.stomp("t").silent()


def test_subscribe_ack_client_individual_is_not(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual"
    for n in range(3):
        gw.stomp("p") >> f"SEND destination:/queue/q body:{n}"
    party << "MESSAGE body:0" << "MESSAGE body:1" >> "ACK id:@ack" >> DROP
    gw.stomp("t") >> "SUBSCRIBE id:1 destination:/queue/q"
    assert gw.stomp("t").bodies() == ["0", "2"]


def test_subscribe_ack_of_no_known_mode_is_an_error(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:sometimes" << "ERROR"


def test_subscribe_what_was_not_acknowledged_comes_back_in_order_when_the_connection_ends(
    gw: Gateway,
) -> None:
    for n in range(3):
        gw.stomp("p") >> f"SEND destination:/queue/q body:{n}"
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client" << "MESSAGE body:0" >> DROP
    gw.stomp("t") >> "SUBSCRIBE id:1 destination:/queue/q"
    for n in range(3):
        gw.stomp("t") << f"MESSAGE redelivered:true body:{n}"


def test_subscribe_competing_consumers_share_a_queue(gw: Gateway) -> None:
    for name in "ab":
        gw.stomp(name) >> "SUBSCRIBE id:1 destination:/queue/q"
    for n in range(4):
        gw.stomp("p") >> f"SEND destination:/queue/q body:{n}"
    assert gw.stomp("a").bodies() + gw.stomp("b").bodies() == ["0", "2", "1", "3"]


# -- UNSUBSCRIBE


def test_unsubscribe_needs_the_id_of_a_subscription(gw: Gateway) -> None:
    gw.stomp("s") >> "UNSUBSCRIBE destination:/topic/t" << "ERROR"
    gw.stomp("t") >> "UNSUBSCRIBE id:none" << "ERROR"


def test_unsubscribe_stops_delivery_before_its_receipt(gw: Gateway) -> None:
    party = (
        gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q" >> "UNSUBSCRIBE id:1 receipt:r" << "RECEIPT"
    )
    party >> "SEND destination:/queue/q body:x"
    party.silent()


# -- ACK


def test_ack_needs_the_id_of_a_message(gw: Gateway) -> None:
    gw.stomp("s") >> "ACK message-id:1 subscription:1" << "ERROR"


@pytest.mark.parametrize("id", ["1-1", "1", "nonsense", "1-1-1", "-"])
def test_ack_of_an_unknown_id_is_an_error(gw: Gateway, id: str) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client"
    party >> f"ACK id:{id} receipt:r" << "ERROR receipt-id:r"


@pytest.mark.parametrize("id", ["1-1", "1"])
def test_ack_where_none_is_wanted_is_an_error(gw: Gateway, id: str) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:auto"
    gw.stomp("p") >> "SEND destination:/queue/q body:x"
    party << "MESSAGE !ack body:x" >> f"ACK id:{id}" << "ERROR"
    assert party.closed


def test_ack_twice_is_an_error(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual"
    party >> "SEND destination:/queue/q body:x" << "MESSAGE" >> "ACK id:@ack" >> "ACK id:@ack" << "ERROR"


def test_ack_of_another_connections_message_is_an_error(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client" >> "SEND destination:/queue/q body:x"
    handle = (gw.stomp("s") << "MESSAGE").last
    assert handle is not None
    gw.stomp("t") >> f"ACK id:{handle.get('ack')}" << "ERROR"
    assert gw.broker.queue("q").depth == 1


def test_ack_in_a_transaction_counts_with_its_commit(gw: Gateway) -> None:
    party = (
        gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual" >> "BEGIN transaction:x"
    )
    party >> "SEND destination:/queue/q body:x" << "MESSAGE" >> "ACK id:@ack transaction:x"
    assert gw.broker.queue("q").depth == 1
    party >> "COMMIT transaction:x"
    assert gw.broker.queue("q").depth == 0


def test_ack_in_a_transaction_that_is_aborted_did_not_happen(gw: Gateway) -> None:
    party = (
        gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual" >> "BEGIN transaction:x"
    )
    (
        party
        >> "SEND destination:/queue/q body:x"
        << "MESSAGE"
        >> "ACK id:@ack transaction:x"
        >> "ABORT transaction:x"
    )
    party << "MESSAGE redelivered:true body:x"


# -- NACK


def test_nack_gives_the_message_back(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual"
    party >> "SEND destination:/queue/q body:x" << "MESSAGE !redelivered" >> "NACK id:@ack receipt:r"
    party << "MESSAGE redelivered:true body:x" << "RECEIPT receipt-id:r"


def test_nack_is_cumulative_where_ack_is(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client"
    for n in range(2):
        party >> f"SEND destination:/queue/q body:{n}" << f"MESSAGE body:{n}"
    party >> "NACK id:@ack" << "MESSAGE redelivered:true body:0" << "MESSAGE redelivered:true body:1"


def test_nack_in_a_transaction_counts_with_its_commit(gw: Gateway) -> None:
    party = (
        gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual" >> "BEGIN transaction:x"
    )
    party >> "SEND destination:/queue/q body:x" << "MESSAGE" >> "NACK id:@ack transaction:x"
    party.silent()
    party >> "COMMIT transaction:x" << "MESSAGE redelivered:true"


@pytest.mark.parametrize("headers", ["", "id:none"])
def test_nack_of_an_unknown_id_is_an_error(gw: Gateway, headers: str) -> None:
    gw.stomp("s") >> f"NACK {headers}" << "ERROR"


# -- BEGIN, COMMIT, ABORT


@pytest.mark.parametrize("command", ["BEGIN", "COMMIT", "ABORT"])
def test_begin_commit_and_abort_need_a_transaction(gw: Gateway, command: str) -> None:
    gw.stomp("s") >> f"{command} receipt:r" << "ERROR receipt-id:r"


@pytest.mark.parametrize("frame", ["COMMIT", "ABORT", "SEND destination:/queue/q", "ACK id:@ack"])
def test_transaction_that_was_not_begun_is_an_error(gw: Gateway, frame: str) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/in ack:client"
    party >> "SEND destination:/queue/in body:x" << "MESSAGE"
    party >> f"{frame} transaction:none receipt:r" << "ERROR receipt-id:r"
    assert gw.broker.queue("in").depth == 1


def test_begin_twice_is_an_error(gw: Gateway) -> None:
    gw.stomp("s") >> "BEGIN transaction:x" >> "BEGIN transaction:x receipt:r" << "ERROR receipt-id:r"


def test_begin_several_transactions_at_once(gw: Gateway) -> None:
    party = (
        gw.stomp("s")
        >> "SUBSCRIBE id:1 destination:/topic/t"
        >> "BEGIN transaction:x"
        >> "BEGIN transaction:y"
    )
    for name in "xyx":
        party >> f"SEND destination:/topic/t transaction:{name} body:{name}"
    party >> "ABORT transaction:y" >> "COMMIT transaction:x" << "MESSAGE body:x" << "MESSAGE body:x"
    party.silent()


def test_begin_a_transactions_name_may_be_used_again_once_it_has_ended(gw: Gateway) -> None:
    party = gw.stomp("s")
    for end in ("COMMIT", "ABORT", "COMMIT"):
        party >> "BEGIN transaction:x" >> f"{end} transaction:x receipt:r" << "RECEIPT receipt-id:r"


@pytest.mark.parametrize("end", [DROP, "DISCONNECT", "NONSENSE"])
def test_begin_open_transactions_are_aborted_when_the_connection_ends(gw: Gateway, end: object) -> None:
    party = gw.stomp("s") >> "BEGIN transaction:x" >> "SEND destination:/queue/q transaction:x body:x"
    party >> end
    assert gw.broker.queue("q").depth == 0
    assert gw.broker.counters.transactions_aborted == 1


def test_abort_undoes_what_was_sent(gw: Gateway) -> None:
    party = gw.stomp("s") >> "BEGIN transaction:x" >> "SEND destination:/queue/q transaction:x body:x"
    party >> "ABORT transaction:x receipt:r" << "RECEIPT receipt-id:r"
    assert gw.broker.queue("q").depth == 0


# -- DISCONNECT


def test_disconnect_receipt_is_the_last_thing_said_and_then_the_connection_closes(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SEND destination:/queue/q receipt:1 body:x" >> "DISCONNECT receipt:77"
    party << "RECEIPT receipt-id:1" << "RECEIPT receipt-id:77"
    assert party.closed
    party >> "SEND destination:/queue/q body:ignored"
    assert gw.broker.queue("q").depth == 1


def test_disconnect_without_receipt_closes_too(gw: Gateway) -> None:
    party = gw.stomp("s") >> "DISCONNECT"
    assert party.closed
    party.silent()


def test_disconnect_frames_behind_it_in_the_same_bytes_are_not_looked_at(gw: Gateway) -> None:
    gw.stomp("s") >> b"DISCONNECT\n\n\0SEND\ndestination:/queue/q\n\nx\0GARBAGE"
    assert gw.broker.queue("q").depth == 0
    gw.stomp("s").silent()
