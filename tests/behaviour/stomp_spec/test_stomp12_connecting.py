"""STOMP 1.2, chapters "Connecting" (CONNECT or STOMP, CONNECTED), "Protocol Negotiation" and "Heart-beating".

Not tested:
- "clients SHOULD continue to use CONNECT": about clients.
- "because of timing inaccuracies the receiver SHOULD be tolerant": the tolerance is one interval, which the tests
  below show; that it is an inaccuracy of clocks is for real clocks to know.
"""

import pytest
from harness import Gateway

from gateway.connectors.base import Limits
from gateway.connectors.stomp.settings import StompSettings


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


@pytest.mark.parametrize("command", ["CONNECT", "STOMP"])
def test_connect_or_stomp_is_answered_by_connected(gw: Gateway, command: str) -> None:
    party = gw.stomp_unconnected("s") >> f"{command} accept-version:1.2 host:h" << "CONNECTED version:1.2"
    assert party.last is not None
    assert party.last.get("session")
    assert (party.last.get("server") or "").startswith("gateway-broker/")
    assert not party.closed


def test_connect_without_host_is_accepted_as_brokers_do(gw: Gateway) -> None:
    gw.stomp_unconnected("s") >> "CONNECT accept-version:1.2" << "CONNECTED"


def test_connect_sessions_are_unique(gw: Gateway) -> None:
    sessions = set()
    for name in "abc":
        party = gw.stomp_unconnected(name) >> "CONNECT accept-version:1.2 host:h" << "CONNECTED"
        assert party.last is not None
        sessions.add(party.last.get("session"))
    assert len(sessions) == 3


def test_connect_is_refused_with_an_error_and_the_connection_closed() -> None:
    gw = Gateway(stomp_limits=Limits(allow_anonymous=False))
    party = gw.stomp_unconnected("s") >> "CONNECT accept-version:1.2 host:h" << "ERROR"
    assert party.closed


def test_connect_ends_at_nul_with_eols_behind_it(gw: Gateway) -> None:
    (
        gw.stomp_unconnected("s")
        >> b"CONNECT\r\naccept-version:1.2\r\nhost:h\r\n\r\n\0\r\n\n"
        << "CONNECTED version:1.2"
    )


@pytest.mark.parametrize(
    "frame", ["SEND destination:/topic/t", "SUBSCRIBE id:1 destination:/topic/t", "DISCONNECT"]
)
def test_connecting_anything_else_first_is_an_error(gw: Gateway, frame: str) -> None:
    party = gw.stomp_unconnected("s") >> frame << "ERROR"
    assert party.closed


@pytest.mark.parametrize("command", ["CONNECT", "STOMP"])
def test_connecting_twice_is_an_error(gw: Gateway, command: str) -> None:
    gw.stomp("s") >> f"{command} accept-version:1.2 host:h" << "ERROR"
    assert gw.stomp("s").closed


def test_connecting_a_client_may_send_on_without_waiting_for_connected(gw: Gateway) -> None:
    party = gw.stomp_unconnected("s")
    (
        party
        >> b"CONNECT\naccept-version:1.2\nhost:h\n\n\0SUBSCRIBE\nid:1\ndestination:/queue/q\nreceipt:r\n\n\0"
    )
    party << "CONNECTED" << "RECEIPT receipt-id:r"


def test_connecting_takes_no_longer_than_the_connect_timeout() -> None:
    gw = Gateway(stomp_limits=Limits(connect_timeout_ms=5_000))
    party = gw.stomp_unconnected("s") >> b"CONNECT\naccept-version:1.2\n"
    gw.advance(4_999)
    assert not party.closed
    gw.advance(1)
    party << "ERROR"
    assert party.closed


# -- Protocol Negotiation


@pytest.mark.parametrize(
    ("asked", "agreed"),
    [
        ("accept-version:1.0,1.1,1.2", "1.2"),
        ("accept-version:1.2,1.1", "1.2"),
        ("accept-version:1.0,1.1", "1.1"),
        ("accept-version:1.1", "1.1"),
        ("accept-version:1.0", "1.0"),
        ("accept-version:1.1,2.7", "1.1"),
        ("'accept-version:1.0, 1.2'", "1.2"),
        ("", "1.0"),
    ],
)
def test_negotiation_takes_the_highest_version_in_common(gw: Gateway, asked: str, agreed: str) -> None:
    gw.stomp_unconnected("s", agreed) >> f"CONNECT {asked} host:h" << f"CONNECTED version:{agreed}"


@pytest.mark.parametrize("asked", ["2.0", "0.9", "1.3,2.1", "1.2x"])
def test_negotiation_without_a_common_version_is_an_error_that_lists_ours(gw: Gateway, asked: str) -> None:
    party = gw.stomp_unconnected("s") >> f"CONNECT accept-version:{asked} host:h"
    party << "ERROR version:1.0,1.1,1.2 content-type:text/plain"
    assert party.last is not None
    assert party.last.body
    assert party.closed


# -- Heart-beating


def test_heart_beating_header_of_connected_says_what_we_do_and_want(gw: Gateway) -> None:
    (
        gw.stomp_unconnected("s")
        >> "CONNECT accept-version:1.2 host:h heart-beat:1,1"
        << "CONNECTED heart-beat:1000,10000"
    )


@pytest.mark.parametrize("header", ["", " heart-beat:0,0"])
def test_heart_beating_absent_is_zero_zero_and_nothing_ever_times_out(gw: Gateway, header: str) -> None:
    party = gw.stomp_unconnected("s") >> f"CONNECT accept-version:1.2 host:h{header}" << "CONNECTED"
    for _ in range(10):
        gw.advance(1_000_000)
    assert party.wire() == b""
    assert not party.closed


@pytest.mark.parametrize(("wanted", "every_ms"), [(20_000, 16_000), (10_000, 8_000), (1, 800)])
def test_heart_beating_we_send_at_the_slower_of_both_wishes_a_little_early(
    gw: Gateway, wanted: int, every_ms: int
) -> None:
    party = (
        gw.stomp_unconnected("s") >> f"CONNECT accept-version:1.2 host:h heart-beat:0,{wanted}" << "CONNECTED"
    )
    for _ in range(3):
        gw.advance(every_ms - 1)
        assert party.wire() == b""
        gw.advance(1)
        assert party.wire() == b"\n"


def test_heart_beating_any_frame_stands_for_a_heart_beat_of_ours(gw: Gateway) -> None:
    party = gw.stomp_unconnected("s") >> "CONNECT accept-version:1.2 host:h heart-beat:0,10000" << "CONNECTED"
    gw.advance(7_000)
    party >> "SEND destination:/topic/t receipt:r" << "RECEIPT"
    gw.advance(7_999)
    assert party.wire() == b""
    gw.advance(1)
    assert party.wire() == b"\n"


@pytest.mark.parametrize(("can", "every_ms"), [(30_000, 30_000), (10_000, 10_000), (5, 10_000)])
def test_heart_beating_a_silent_client_is_told_after_twice_the_time(
    gw: Gateway, can: int, every_ms: int
) -> None:
    party = (
        gw.stomp_unconnected("s") >> f"CONNECT accept-version:1.2 host:h heart-beat:{can},0" << "CONNECTED"
    )
    gw.advance(2 * every_ms - 1)
    assert not party.closed
    gw.advance(1)
    party << "ERROR"
    assert party.closed


@pytest.mark.parametrize("data", [b"\n", b"\r\n", b"SE"])
def test_heart_beating_any_byte_keeps_a_client_alive(gw: Gateway, data: bytes) -> None:
    party = gw.stomp_unconnected("s") >> "CONNECT accept-version:1.2 host:h heart-beat:10000,0" << "CONNECTED"
    gw.advance(19_000)
    party >> data
    gw.advance(19_999)
    assert not party.closed


@pytest.mark.parametrize("value", ["x,y", "1", "1,", "-1,0", "1.5,0", "1;0"])
def test_heart_beating_header_that_is_not_two_numbers_is_an_error(gw: Gateway, value: str) -> None:
    gw.stomp_unconnected("s") >> f"CONNECT accept-version:1.2 host:h heart-beat:{value}" << "ERROR"


def test_heart_beating_may_be_off_on_our_side() -> None:
    gw = Gateway(stomp=StompSettings(heart_beat_send_ms=0, heart_beat_want_ms=0))
    party = gw.stomp_unconnected("s") >> "CONNECT accept-version:1.2 host:h heart-beat:10,10"
    party << "CONNECTED heart-beat:0,0"
    gw.advance(1_000_000)
    assert party.wire() == b""
    assert not party.closed
