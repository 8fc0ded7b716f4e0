"""STOMP 1.1, chapters "Connecting", "Protocol Negotiation" and "Heart-beating".

Heart-beats are the same in 1.1 and 1.2, and their every case is in the chapter of 1.2.  Not tested:
- "host … REQUIRED": brokers have never insisted, and neither do we, which is tested.
"""

import pytest
from harness import Gateway


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


@pytest.mark.parametrize("command", ["CONNECT", "STOMP"])
def test_connecting_with_either_command(gw: Gateway, command: str) -> None:
    party = gw.stomp_unconnected("s", "1.1") >> f"{command} accept-version:1.1 host:stomp.github.org"
    party << "CONNECTED version:1.1 heart-beat:1000,10000"
    assert party.last is not None
    assert party.last.get("session")
    assert party.last.get("server")


def test_connecting_without_host_is_accepted(gw: Gateway) -> None:
    gw.stomp_unconnected("s", "1.1") >> "CONNECT accept-version:1.1" << "CONNECTED version:1.1"


@pytest.mark.parametrize("asked", ["1.1", "1.0,1.1", "1.1,1.0", "1.1,9.9"])
def test_negotiation_agrees_on_1_1(gw: Gateway, asked: str) -> None:
    gw.stomp_unconnected("s", "1.1") >> f"CONNECT accept-version:{asked} host:h" << "CONNECTED version:1.1"


def test_negotiation_without_common_version_is_an_error_and_the_end(gw: Gateway) -> None:
    party = (
        gw.stomp_unconnected("s", "1.1") >> "CONNECT accept-version:2.1 host:h" << "ERROR version:1.0,1.1,1.2"
    )
    assert party.closed


def test_heart_beating_both_ways(gw: Gateway) -> None:
    party = gw.stomp_unconnected("s", "1.1") >> "CONNECT accept-version:1.1 host:h heart-beat:15000,12000"
    party << "CONNECTED heart-beat:1000,10000"
    gw.advance(12_000)
    assert party.wire() == b"\n"
    gw.advance(17_999)
    assert party.wire() == b"\n"
    assert not party.closed
    gw.advance(1)
    party << "ERROR"
    assert party.closed


def test_second_connect_is_an_error(gw: Gateway) -> None:
    gw.stomp("s", "1.1") >> "CONNECT accept-version:1.1 host:h" << "ERROR"
