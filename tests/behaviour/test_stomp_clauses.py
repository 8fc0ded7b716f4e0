"""What the texts of STOMP 1.0, 1.1 and 1.2 demand of a server or allow it, sentence by sentence: which tests show it.

A sentence about clients alone is not here; what a server makes of one that does not keep to it is.  Where the gateway
does otherwise, or more than is asked, the line says so and why (`reason`).
"""

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@dataclass
class Clause:
    """`said`, in short, by the section of these versions; `tests` in the chapter of the first of them, unless told."""

    version: str
    section: str
    said: str
    tests: str = ""
    reason: str = ""


CLAUSES = [
    # -- frames
    Clause("1.2", "STOMP Frames", "command and headers end with LF or CR LF", "command_and_headers_end_with_eol"),
    Clause("1.2", "STOMP Frames", "NUL may be followed by EOLs", "body_is_followed_by_nul"),
    Clause("1.2", "STOMP Frames", "names are case sensitive", "commands_and_headers_are_case_sensitive"),
    Clause("1.1", "STOMP Frames", "EOL is LF alone", "eol_is_lf_alone eol_client_that_ends_its_command"),
    Clause("1.2", "Value Encoding", "commands and headers are UTF-8", "value_encoding_is_utf_8"),
    Clause("1.2", "Value Encoding", "these four MUST be decoded", "value_encoding_the_four_escapes"),
    Clause("1.1", "Value Encoding", "these three MUST be decoded", "value_encoding_the_three_escapes"),
    Clause("1.2", "Value Encoding", "undefined escapes MUST be fatal", "value_encoding_undefined_escapes"),
    Clause("1.1", "Value Encoding", "undefined escapes MUST be fatal", "value_encoding_undefined_escapes"),
    Clause("1.2", "Value Encoding", "the reverse MUST be applied", "value_encoding_the_four_escapes"),
    Clause("1.1", "Value Encoding", "the reverse MUST be applied", "value_encoding_escapes_are_those_of_each"),
    Clause("1.2", "Value Encoding", "not in CONNECT and CONNECTED", "value_encoding_connect_and_connected"),
    Clause("1.1", "Value Encoding", "not in CONNECTED", "value_encoding_connected_is_not_escaped"),
    Clause("1.0", "Augmented BNF", "there are no escapes", "frame_there_are_no_escapes"),
    Clause("1.2", "Value Encoding", "MUST never trim or pad", "value_encoding_spaces_belong_to_the_value"),
    Clause("1.1", "Value Encoding", "nothing of trimming", "eol_is_lf_alone"),
    Clause("1.0", "SUBSCRIBE", "examples pad values", "frame_white_space_around_names_and_values"),
    Clause("1.2", "Body", "only SEND, MESSAGE, ERROR MAY have one", "body_only_send_message_and_error"),
    Clause("1.1", "Body", "only SEND, MESSAGE, ERROR MAY have one", "body_only_send_message_and_error"),
    Clause(
        "1.0",
        "SUBSCRIBE",
        "the body is ignored",
        "frame_a_body_where_there_is_none_is_ignored",
        "Up to its first NUL, whatever content-length says: clients copy that of a MESSAGE into the ACK, which has none.",
    ),
    Clause("1.2", "Size Limits", "MAY be placed; SHOULD be told", "size_limits_are_told_and_close"),
    Clause("1.2", "Repeated Header Entries", "the first SHOULD count", "repeated_header_entries_the_first_counts"),
    Clause("1.1", "Repeated Header Entries", "the first SHOULD count", "repeated_header_entries_the_first_counts"),
    Clause(
        "1.2",
        "Augmented BNF",
        "a header value has no colon",
        "value_encoding_a_value_may_hold_colons",
        "One that stands for itself is clear, and clients of all brokers send it.",
    ),
    Clause("1.2", "Augmented BNF", "what a frame is", "bnf_what_is_no_frame bnf_a_header_value_may_be_empty"),
    Clause("1.0", "Augmented BNF", "what a frame is", "frame_that_is_none_is_an_error"),
    Clause(
        "1.0",
        "Augmented BNF",
        "a header is US-ASCII, its value not empty",
        "message_from_a_later_version",
        "UTF-8 and empty values pass, as in all brokers: they do no harm, and cannot be said otherwise.",
    ),
    # -- standard headers
    Clause("1.2", "content-length", "octets MUST be read, NUL or not", "header_content_length_counts_octets"),
    Clause("1.2", "content-length", "still a NUL behind", "header_content_length_that_lies"),
    Clause("1.1", "content-length", "octets read, NUL or not", "content_length_lets_nul_pass"),
    Clause("1.0", "SEND", "octets should be read, NUL or not", "frame_content_length_lets_nul_pass"),
    Clause("1.2", "content-length", "MESSAGE and ERROR SHOULD have it", "send_content_type_and_content_length"),
    Clause(
        "1.2",
        "content-type",
        "MESSAGE SHOULD have it; without, a body is a blob",
        "send_content_type_and_content_length",
        "A MESSAGE has the type that its publisher gave. None is made up, nor checked: bodies and types pass as they are.",
    ),
    Clause("1.2", "receipt", "on any frame but CONNECT", "header_receipt_on_any_frame_but_connect"),
    Clause("1.0", "Receipt", "on any frame but CONNECT", "receipt"),
    # -- connecting
    Clause("1.2", "Connecting", "STOMP MUST be handled as CONNECT", "connect_or_stomp_is_answered"),
    Clause("1.1", "Connecting", "STOMP SHOULD be handled as CONNECT", "connecting_with_either_command"),
    Clause("1.2", "Connecting", "SHOULD reject with ERROR and close", "connect_is_refused_with_an_error"),
    Clause(
        "1.2",
        "CONNECT or STOMP",
        "accept-version and host MUST be set; host MAY be a default",
        "connect_without_host_is_accepted_as_brokers_do",
        "Brokers have never insisted on a host, and most clients' examples leave it out.",
    ),
    Clause(
        "1.1",
        "CONNECT or STOMP",
        "host MUST be set",
        "connecting_without_host_is_accepted",
        "As in 1.2.",
    ),
    Clause("1.2", "CONNECTED", "version MUST be set", "connect_or_stomp_is_answered"),
    Clause("1.2", "CONNECTED", "MAY: session, unique; server; heart-beat", "connect_sessions_are_unique"),
    Clause("1.2", "CONNECTED", "server begins with a name", "connect_or_stomp_is_answered"),
    Clause("1.0", "CONNECT", "CONNECTED has a session", "connect_without_versions_is_1_0_with_a_session"),
    Clause("1.2", "Protocol Negotiation", "the highest in common", "negotiation_takes_the_highest_version"),
    Clause("1.1", "Protocol Negotiation", "the highest in common", "negotiation_agrees_on_1_1"),
    Clause("1.2", "Protocol Negotiation", "none: SHOULD be ERROR", "negotiation_without_a_common_version"),
    Clause("1.2", "Protocol Negotiation", "no accept-version is 1.0", "negotiation_takes_the_highest_version"),
    Clause("1.2", "Once Connected", "other frames MAY be an ERROR", "bnf_what_is_no_frame"),
    Clause("1.2", "Heart-beating", "absent MUST be 0,0", "heart_beating_absent_is_zero_zero"),
    Clause("1.2", "Heart-beating", "MUST be two integers", "heart_beating_header_that_is_not_two_numbers"),
    Clause("1.2", "Heart-beating", "MUST send at least every n ms", "heart_beating_we_send_at_the_slower"),
    Clause("1.2", "Heart-beating", "a newline if there is no frame", "heart_beating_any_frame_stands_for"),
    Clause("1.2", "Heart-beating", "any new data is a sign of life", "heart_beating_any_byte_keeps"),
    Clause("1.2", "Heart-beating", "MAY be dead; SHOULD be tolerant", "heart_beating_a_silent_client_is_told"),
    Clause("1.1", "Heart-beating", "both ways", "heart_beating_both_ways"),
    # -- client frames
    Clause("1.2", "SEND", "destination is REQUIRED", "send_needs_a_destination"),
    Clause("1.2", "SEND", "a transaction", "send_in_a_transaction"),
    Clause("1.2", "SEND", "user defined headers MUST pass", "send_other_headers_are_passed_on_unchanged"),
    Clause("1.2", "SEND", "failing MUST be ERROR and close", "send_that_cannot_be_processed_is_an_error"),
    Clause("1.0", "SEND", "destination is required", "send_needs_a_destination"),
    Clause("1.2", "SUBSCRIBE", "destination required, id MUST be there", "subscribe_needs_id_and_destination"),
    Clause("1.2", "SUBSCRIBE", "failing MUST be ERROR and close", "subscribe_ack_of_no_known_mode"),
    Clause("1.2", "SUBSCRIBE id", "MUST be different ones", "subscribe_id_is_unique subscribe_id_may_be_used"),
    Clause("1.2", "SUBSCRIBE ack", "auto is the default, and needs no ACK", "subscribe_ack_auto_is_the_default"),
    Clause("1.2", "SUBSCRIBE ack", "client: cumulative", "subscribe_ack_client_is_cumulative"),
    Clause("1.2", "SUBSCRIBE ack", "MUST NOT acknowledge earlier ones", "subscribe_ack_client_individual_is_not"),
    Clause("1.2", "SUBSCRIBE ack", "unacknowledged MAY go again", "subscribe_what_was_not_acknowledged"),
    Clause("1.1", "SUBSCRIBE ack", "client: cumulative", "ack_client_is_cumulative ack_client_individual"),
    Clause("1.0", "SUBSCRIBE", "id: subscription should be told", "subscribe_with_id_gives subscribe_without_id"),
    Clause(
        "1.0",
        "SUBSCRIBE",
        "overlapping ones have ids to tell them by",
        "subscribe_twice_without_id_is_an_error",
        "Two without id on one destination could not be told apart, by the client or here; RabbitMQ refuses them too.",
    ),
    Clause("1.2", "UNSUBSCRIBE", "id MUST be that of one", "unsubscribe_needs_the_id_of_a_subscription"),
    Clause("1.2", "UNSUBSCRIBE", "no longer receives", "unsubscribe_stops_delivery_before_its_receipt"),
    Clause("1.1", "UNSUBSCRIBE", "id MUST be there", "subscribe_and_unsubscribe_need_an_id"),
    Clause("1.0", "UNSUBSCRIBE", "destination or id", "unsubscribe_by_destination_or_id"),
    Clause("1.2", "ACK", "id REQUIRED, MUST match ack", "ack_needs_the_id_of_a_message ack_of_an_unknown_id"),
    Clause("1.2", "ACK", "MAY be part of a transaction", "ack_in_a_transaction_counts_with_its_commit"),
    Clause(
        "1.2",
        "ACK",
        "auto: no ACK is needed",
        "ack_where_none_is_wanted_is_an_error",
        "Nothing waits for it, which is an error as for any id that is not known: ActiveMQ and RabbitMQ say so too.",
    ),
    Clause(
        "1.1",
        "ACK",
        "message-id and subscription REQUIRED, MUST match",
        "ack_and_nack_need_message_id_and_subscription ack_twice_or_of_nothing",
        "A made-up subscription is let pass where the message-id is right, as in RabbitMQ, since clients make it up.",
    ),
    Clause("1.0", "ACK", "message-id must match", "ack_needs_a_message_id_that_waits"),
    Clause("1.0", "ACK", "may be part of a transaction", "ack_in_a_transaction"),
    Clause("1.2", "NACK", "one message or all before", "nack_is_cumulative_where_ack_is"),
    Clause("1.2", "NACK", "server: other client, discard, dead letters", "nack_gives_the_message_back"),
    Clause("1.1", "NACK", "as ACK", "nack_gives_the_message_back"),
    Clause("1.0", "ACK", "there is no NACK", "nack_of_1_0_names", "Clients of 1.0 send it, as RabbitMQ allows."),
    Clause("1.2", "BEGIN", "transaction is REQUIRED", "begin_commit_and_abort_need_a_transaction"),
    Clause("1.2", "BEGIN", "MUST be unique per connection", "begin_twice_is_an_error begin_several"),
    Clause("1.2", "BEGIN", "implicitly aborted at the end", "begin_open_transactions_are_aborted"),
    Clause("1.2", "COMMIT", "MUST be that of one", "transaction_that_was_not_begun_is_an_error"),
    Clause("1.2", "ABORT", "rolls back", "abort_undoes_what_was_sent"),
    Clause("1.0", "BEGIN", "transaction is required", "transaction_header_is_needed begin_commit_and_abort"),
    Clause("1.2", "DISCONNECT", "RECEIPT: all before was received", "disconnect_receipt_is_the_last_thing_said"),
    Clause("1.2", "DISCONNECT", "MUST NOT be followed by frames", "disconnect_frames_behind_it"),
    # -- server frames
    Clause("1.2", "MESSAGE", "destination, message-id, subscription MUST be there", "message_has_destination"),
    Clause(
        "1.2",
        "MESSAGE",
        "destination SHOULD be that of the SEND",
        "message_names_its_destination_as_everybody_may_send_to_it",
        "It is, but for other spellings of the same (a bare name, /amq/queue/, a temporary queue of the sender's): those "
        "would mean nothing, or another queue, to who reads it.",
    ),
    Clause("1.2", "MESSAGE", "message-id is unique", "message_ids_are_unique"),
    Clause("1.2", "MESSAGE", "ack MUST be there if it is to be acknowledged", "message_has_an_ack_header"),
    Clause("1.2", "MESSAGE", "user defined headers are included", "message_has_the_headers_of_its_send"),
    Clause("1.1", "MESSAGE", "subscription, message-id, destination", "message_has_subscription_message_id"),
    Clause("1.0", "MESSAGE", "destination and message-id", "message_has_destination_message_id"),
    Clause("1.2", "RECEIPT", "once it has been processed", "receipt_comes_once_the_frame_has_been_processed"),
    Clause("1.2", "RECEIPT", "receipt-id MUST be the value of receipt", "header_receipt_on_any_frame_but_connect"),
    Clause("1.1", "RECEIPT", "once it has been processed", "receipt_says_that_all_before_it"),
    Clause("1.2", "ERROR", "MUST close after it", "error_ends_the_connection"),
    Clause("1.2", "ERROR", "SHOULD have message and receipt-id", "error_has_a_message_a_body_that_explains"),
    Clause("1.1", "ERROR", "SHOULD have message and receipt-id", "error_has_message_receipt_id_and_body"),
    Clause(
        "1.0",
        "ERROR",
        "should have a message",
        "error_has_a_message_and_a_body",
        "The connection ends behind it, which 1.0 leaves open: so 1.1 and 1.2 have it, and one ending is easier to rely on.",
    ),
    Clause("1.2", "Frames and Headers", "REQUIRED headers", "frames_and_headers_what_is_required_is_named"),
]  # fmt: skip


def named_in(version: str) -> list[str]:
    """The names of all tests of a version's chapters."""
    found: list[str] = []
    for path in (HERE / "stomp_spec").glob(f"test_stomp{version.replace('.', '')}_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.append(node.name.removeprefix("test_"))
    return found


@pytest.mark.parametrize(
    "clause", CLAUSES, ids=lambda clause: f"{clause.version} {clause.section}: {clause.said}"
)
def test_every_clause_of_stomp_is_shown_by_a_test_of_its_version(clause: Clause) -> None:
    names = named_in(clause.version)
    assert clause.tests
    for wanted in clause.tests.split():
        assert [name for name in names if name.startswith(wanted)], f"no test_{wanted}…"
