"""STOMP 1.1, chapter "STOMP Frames", and the grammar.

What 1.1 shares with 1.2 to the letter (repeated headers, size limits, content-length, receipts) is tested there and
here once more only where another piece of code does it.  Not tested:
- "The commands and headers are encoded in UTF-8 … trailing whitespace": 1.1 says nothing of trimming, so nothing is
  trimmed, which is tested; clients that pad are at fault.
"""

import pytest
from harness import Gateway


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


def test_eol_is_lf_alone_so_a_cr_belongs_to_the_value(gw: Gateway) -> None:
    party = gw.stomp("s", "1.1") >> "SUBSCRIBE id:1 destination:/topic/t"
    party >> b"SEND\ndestination:/topic/t\nk:v\r\n\nx\0"
    assert b"\nk:v\r\n" in party.wire()


def test_eol_client_that_ends_its_command_with_cr_lf_means_it(gw: Gateway) -> None:
    party = gw.stomp("s", "1.1") >> b"SUBSCRIBE\r\nid:1\r\ndestination:/topic/t\r\n\r\n\0"
    (
        party
        >> b"SEND\r\ndestination:/topic/t\r\n\r\nx\0\r\n"
        << "MESSAGE destination:/topic/t subscription:1 body:x"
    )


@pytest.mark.parametrize("wire", [rb"\n", rb"\c", rb"\\"])
def test_value_encoding_the_three_escapes(gw: Gateway, wire: bytes) -> None:
    party = gw.stomp("s", "1.1") >> "SUBSCRIBE id:1 destination:/topic/t"
    party >> b"SEND\ndestination:/topic/t\nk" + wire + b":v" + wire + b"\n\n\0"
    assert b"\nk" + wire + b":v" + wire + b"\n" in party.wire()


@pytest.mark.parametrize("wire", [rb"\r", rb"\t", b"\\"])
def test_value_encoding_undefined_escapes_are_a_fatal_protocol_error(gw: Gateway, wire: bytes) -> None:
    gw.stomp("s", "1.1") >> b"SEND\ndestination:/topic/t\nk:" + wire + b"\n\n\0" << "ERROR"
    assert gw.stomp("s").closed


def test_value_encoding_escapes_are_those_of_each_subscribers_version(gw: Gateway) -> None:
    gw.stomp("new") >> "SUBSCRIBE id:1 destination:/topic/t"
    gw.stomp("mid", "1.1") >> "SUBSCRIBE id:1 destination:/topic/t"
    gw.stomp("old", "1.0") >> "SUBSCRIBE id:1 destination:/topic/t"
    gw.stomp("p", "1.1") >> b"SEND\ndestination:/topic/t\nk:a\\cb\\nc\n\nx\0"
    assert b"\nk:a\\cb\\nc\n" in gw.stomp("new").wire()
    assert b"\nk:a\\cb\\nc\n" in gw.stomp("mid").wire()
    gw.stomp("old") << "MESSAGE body:x"


def test_value_encoding_connected_is_not_escaped(gw: Gateway) -> None:
    party = (
        gw.stomp_unconnected("s", "1.1")
        >> b"CONNECT\naccept-version:1.1\nhost:a\\xb\n\n\0"
        << "CONNECTED version:1.1"
    )
    assert not party.closed


def test_body_only_send_message_and_error_may_have_one(gw: Gateway) -> None:
    gw.stomp("s", "1.1") >> b"BEGIN\ntransaction:t\n\nbody\0" << "ERROR"


def test_repeated_header_entries_the_first_counts(gw: Gateway) -> None:
    party = gw.stomp("s", "1.1") >> "SUBSCRIBE id:1 destination:/topic/t"
    (
        party
        >> "SEND destination:/topic/t destination:/topic/u foo:1 foo:2"
        << "MESSAGE destination:/topic/t foo:1"
    )


@pytest.mark.parametrize("header", ["content-length:-1", "content-length:1", "destination"])
def test_frames_that_are_none_are_an_error(gw: Gateway, header: str) -> None:
    gw.stomp("s", "1.1") >> f"SEND\ndestination:/topic/t\n{header}\n\nab\0".encode() << "ERROR"


def test_content_length_lets_nul_pass(gw: Gateway) -> None:
    party = gw.stomp("s", "1.1") >> "SUBSCRIBE id:1 destination:/topic/t"
    party >> b"SEND\ndestination:/topic/t\ncontent-length:3\n\na\0b\0" << "MESSAGE content-length:3 body:a\0b"
