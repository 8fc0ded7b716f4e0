"""STOMP 1.2, chapter "STOMP Frames", and the grammar at the specification's end.

Not tested:
- "The client SHOULD NOT …", "clients MUST …": about clients.
- "content-type … implied MIME charset": a server passes bodies and their type on as they are, which Body tests.
- Connection Lingering, "clients … may not receive the last frame": a property of TCP that servers cannot change; what
  a server does about it (the RECEIPT before the close) is in the client frames chapter, under DISCONNECT.
"""

import pytest
from harness import Gateway

from gateway.connectors.base import Limits
from gateway.connectors.stomp.settings import StompSettings


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


def test_command_and_headers_end_with_eol_which_is_lf_with_an_optional_cr(gw: Gateway) -> None:
    party = gw.stomp("s") >> b"SUBSCRIBE\r\nid:1\r\ndestination:/topic/t\nreceipt:r\r\n\r\n\0"
    party << "RECEIPT receipt-id:r"
    party >> b"SEND\ndestination:/topic/t\r\n\nbody\r\n\0" << "MESSAGE destination:/topic/t body:body\r\n"


def test_body_is_followed_by_nul_and_nul_by_any_number_of_eols(gw: Gateway) -> None:
    party = gw.stomp("s") >> b"\n\r\n\nSUBSCRIBE\nid:1\ndestination:/topic/t\n\n\0\n\n\r\n"
    party >> b"SEND\ndestination:/topic/t\n\nx\0\n\n\n\nSEND\ndestination:/topic/t\n\ny\0"
    assert gw.stomp("s").bodies() == ["x", "y"]


def test_commands_and_headers_are_case_sensitive(gw: Gateway) -> None:
    gw.stomp("s") >> b"send\ndestination:/topic/t\n\n\0" << "ERROR"
    gw.stomp("t") >> b"SEND\nDestination:/topic/t\n\n\0" << "ERROR"


# -- Value Encoding


def test_value_encoding_is_utf_8(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:é destination:/topic/t"
    party >> "SEND destination:/topic/t é🥕:ß" << "MESSAGE subscription:é é🥕:ß"
    party >> b"SEND\ndestination:/topic/t\nx:\xff\n\n\0" << "ERROR"


@pytest.mark.parametrize(
    ("wire", "text"), [(rb"\r", "\r"), (rb"\n", "\n"), (rb"\c", ":"), (rb"\\", "\\"), (rb"a\\nb", r"a\nb")]
)
def test_value_encoding_the_four_escapes_in_names_and_values(gw: Gateway, wire: bytes, text: str) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t"
    party >> b"SEND\ndestination:/topic/t\nk" + wire + b":v" + wire + b"\nreceipt:" + wire + b"\n\n\0"
    data = party.wire()
    assert b"\nk" + wire + b":v" + wire + b"\n" in data
    assert data.endswith(b"RECEIPT\nreceipt-id:" + wire + b"\n\n\0\n")
    assert text


@pytest.mark.parametrize("escape", [rb"\t", rb"\x", b"\\", rb"\C"])
@pytest.mark.parametrize("line", [b"x:%b", b"%b:x", b"receipt:%b"])
def test_value_encoding_undefined_escapes_are_a_fatal_protocol_error(
    gw: Gateway, escape: bytes, line: bytes
) -> None:
    gw.stomp("s") >> b"SEND\ndestination:/topic/t\n" + line % escape + b"\n\n\0" << "ERROR"
    assert gw.stomp("s").closed


def test_value_encoding_connect_and_connected_do_not_escape(gw: Gateway) -> None:
    party = gw.stomp_unconnected("s") >> b"CONNECT\naccept-version:1.2\nhost:a\\tb\nlogin:us\\er\n\n\0"
    assert b"\nserver:gateway-broker/" in party.wire()
    assert party.connector.publisher.user == "us\\er"


def test_value_encoding_spaces_belong_to_the_value(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t"
    party >> b"SEND\ndestination:/topic/t\n a : b \n\n\0"
    assert b"\n a : b \n" in party.wire()


def test_value_encoding_a_value_may_hold_colons(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t"
    party >> b"SEND\ndestination:/topic/t\nurl:http://h:1/\n\n\0" << "MESSAGE url:http://h:1/"


# -- Body


@pytest.mark.parametrize(
    "command", ["SUBSCRIBE\nid:1\ndestination:/topic/t", "BEGIN\ntransaction:t", "DISCONNECT"]
)
def test_body_only_send_message_and_error_may_have_one(gw: Gateway, command: str) -> None:
    gw.stomp("s") >> command.encode() + b"\n\nbody\0" << "ERROR"


def test_body_may_be_any_bytes(gw: Gateway) -> None:
    body = bytes(range(256))
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t"
    party >> b"SEND\ndestination:/topic/t\ncontent-length:256\ncontent-type:image/x\n\n" + body + b"\0"
    data = party.wire()
    assert b"\ncontent-length:256\n\n" + body + b"\0" in data
    assert b"\ncontent-type:image/x\n" in data


# -- Standard Headers


def test_header_content_length_counts_octets_and_lets_nul_pass(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t"
    party >> b"SEND\ndestination:/topic/t\ncontent-length:3\n\na\0b\0" << "MESSAGE content-length:3 body:a\0b"
    party >> "SEND destination:/topic/t body:é" << "MESSAGE content-length:2 body:é"


@pytest.mark.parametrize("value", ["-1", "x", "", "1.5", "9" * 30, " 2", "+2"])
def test_header_content_length_that_is_no_length(gw: Gateway, value: str) -> None:
    gw.stomp("s") >> f"SEND\ndestination:/topic/t\ncontent-length:{value}\n\nab\0".encode() << "ERROR"


@pytest.mark.parametrize("value", ["0", "1"])
def test_header_content_length_that_lies(gw: Gateway, value: str) -> None:
    party = gw.stomp("s") >> f"SEND\ndestination:/topic/t\nreceipt:r\ncontent-length:{value}\n\nab\0".encode()
    party << "ERROR receipt-id:r"


@pytest.mark.parametrize(
    "frame",
    [
        "SEND destination:/queue/q",
        "SUBSCRIBE id:1 destination:/queue/other",
        "UNSUBSCRIBE id:0",
        "BEGIN transaction:new",
        "COMMIT transaction:t",
        "ABORT transaction:t",
        "ACK id:@ack",
        "NACK id:@ack requeue:false",
        "DISCONNECT",
    ],
)
def test_header_receipt_on_any_frame_but_connect(gw: Gateway, frame: str) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:0 destination:/queue/in ack:client" >> "BEGIN transaction:t"
    party >> "SEND destination:/queue/in body:x" << "MESSAGE"
    party >> frame + " receipt:any-text" << "RECEIPT receipt-id:any-text"
    party.silent()


# -- Repeated Header Entries


def test_repeated_header_entries_the_first_counts_and_all_are_passed_on(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 id:2 destination:/topic/t destination:/topic/u"
    party >> b"SEND\ndestination:/topic/t\ndestination:/topic/u\nfoo:World\nfoo:Hello\n\n\0"
    data = party.wire()
    assert data.count(b"MESSAGE\n") == 1
    assert b"\nsubscription:1\n" in data
    assert b"\nfoo:World\nfoo:Hello\n" in data


# -- Size Limits


@pytest.mark.parametrize(
    "frame",
    [
        b"SEND\ndestination:/topic/t\n" + b"a:b\n" * 20 + b"\n\0",
        b"SEND\ndestination:/topic/t\nx:" + b"y" * 300 + b"\n\n\0",
        b"SEND\ndestination:/topic/t\n"
        + b"a:yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\n" * 15
        + b"\n\0",
        b"SEND\ndestination:/topic/t\ncontent-length:2000\n\n",
        b"SEND\ndestination:/topic/t\n\n" + b"x" * 2000,
    ],
    ids=["headers", "header line", "header bytes", "announced body", "body"],
)
def test_size_limits_are_told_and_close_the_connection(frame: bytes) -> None:
    gw = Gateway(
        stomp=StompSettings(headers_max=16, header_line_bytes_max=256, header_bytes_max=512),
        stomp_limits=Limits(max_frame_size=1_024),
    )
    gw.stomp("other") >> "SUBSCRIBE id:1 destination:/topic/t"
    gw.stomp("s") >> frame << "ERROR"
    assert gw.stomp("s").closed
    gw.stomp("p") >> "SEND destination:/topic/t body:x"
    gw.stomp("other") << "MESSAGE body:x"


# -- Augmented BNF


@pytest.mark.parametrize(
    "frame",
    [
        b"SEND\ndestination\n\n\0",
        b"SEND\n:value\n\n\0",
        b"SEND\ndestination:/topic/t\nx:a\rb\n\n\0",
        b"SEND \ndestination:/topic/t\n\n\0",
        b"MESSAGE\ndestination:/topic/t\n\n\0",
        b"CONNECTED\nversion:1.2\n\n\0",
        b"RECEIPT\nreceipt-id:1\n\n\0",
        b"ERROR\nmessage:x\n\n\0",
        b"HELLO\n\n\0",
        b"SEND\ndestination:/topic/t\0\n\n\0",
    ],
)
def test_bnf_what_is_no_frame_of_a_client_is_an_error(gw: Gateway, frame: bytes) -> None:
    gw.stomp("s") >> frame << "ERROR"
    assert gw.stomp("s").closed


def test_bnf_a_header_value_may_be_empty(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t"
    party >> b"SEND\ndestination:/topic/t\nempty:\n\n\0"
    assert b"\nempty:\n" in party.wire()


def test_bnf_frames_may_arrive_in_pieces_of_any_size(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t"
    data = (
        b"SEND\r\ndestination:/topic/t\r\ncontent-length:3\r\n\r\na\0b\0\r\nSEND\ndestination:/topic/t\n\nc\0"
    )
    for at in range(len(data)):
        party >> data[at : at + 1]
    assert party.bodies() == ["a\0b", "c"]


def test_bnf_a_stray_nul_between_frames_is_tolerated(gw: Gateway) -> None:
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t"
    party >> b"\0SEND\ndestination:/topic/t\n\nx\0" << "MESSAGE body:x"
