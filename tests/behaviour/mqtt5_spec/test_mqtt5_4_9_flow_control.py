"""MQTT 5.0 §4.9, flow control.

`test_4_9_0_1_…` is [MQTT-4.9.0-1]; `test_s_4_9_…` a sentence without a number.

Not tested: the client's send quota (what we do to one that breaks it: 3.3.4-7 in §3.3).
"""

import pytest
from harness import DROP, Gateway, MqttParty
from mqtt_spec import client, hears

from gateway.connectors.base import Limits
from gateway.core.limits import DROP_OLDEST


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


def _publish(gw: Gateway, count: int, qos: int = 2) -> None:
    publisher = client(gw, "p")
    for n in range(1, count + 1):
        publisher >> f"PUBLISH t qos={qos} id={n} {n}"
    publisher >> "DISCONNECT" >> DROP


def _numbers(party: MqttParty) -> list[int]:
    return [int(text.split()[-1]) for text in party.rest()]


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("maximum", [1, 2, 7])
def test_4_9_0_1_and_3_3_4_9_no_more_than_receive_maximum_are_unacknowledged(
    gw: Gateway, qos: int, maximum: int
) -> None:
    party = hears(client(gw, "s", f"recvmax={maximum}"), f"t qos={qos}")
    _publish(gw, 10)
    assert _numbers(party) == list(range(1, maximum + 1))
    party >> ("PUBACK 1" if qos == 1 else "PUBREC 1")
    if qos == 2:
        # A PUBREC alone does not open the window; the PUBCOMP does.
        party << "PUBREL 1"
        party.silent()
        party >> "PUBCOMP 1"
    assert _numbers(party) == [maximum + 1]


def test_4_9_0_2_pubrec_that_refuses_opens_the_window(gw: Gateway) -> None:
    party = hears(client(gw, "s", "recvmax=1"), "t qos=2")
    _publish(gw, 2)
    party << "PUBLISH t qos=2 id=1 1" >> "PUBREC 1 0x80" << "PUBLISH t qos=2 id=2 2"


def test_4_9_0_2_window_does_not_open_beyond_receive_maximum(gw: Gateway) -> None:
    party = hears(client(gw, "s", "recvmax=2"), "t qos=1")
    _publish(gw, 6)
    assert _numbers(party) == [1, 2]
    # What nobody waits for adds no quota.
    party >> "PUBACK 50" >> "PUBCOMP 51" >> "PUBACK 1" >> "PUBACK 1"
    assert _numbers(party) == [3]


def test_4_9_0_3_and_3_3_4_10_everything_else_goes_on_when_the_window_is_full(gw: Gateway) -> None:
    party = hears(client(gw, "s", "recvmax=1"), "t qos=1", "zero")
    _publish(gw, 2)
    party << "PUBLISH t qos=1 id=1 1"
    party >> "PINGREQ" << "PINGRESP" >> "SUBSCRIBE 2 u" << "SUBACK 2 0" >> "UNSUBSCRIBE 3 u" << "UNSUBACK 3 0"
    party >> "PUBLISH v qos=1 id=4 x" << "PUBACK 4 0x10" >> "PUBLISH v qos=2 id=5 x" << "PUBREC 5 0x10"
    party >> "PUBREL 5" << "PUBCOMP 5" >> "PUBLISH zero x" << "PUBLISH zero x"


def test_4_9_0_3_qos_0_is_not_counted(gw: Gateway) -> None:
    party = hears(client(gw, "s", "recvmax=1"), "t qos=1", "z qos=1")
    _publish(gw, 2)
    client(gw, "q") >> "PUBLISH z a" >> "PUBLISH z b"
    assert party.rest() == ["PUBLISH t qos=1 id=1 1", "PUBLISH z a", "PUBLISH z b"]


@pytest.mark.parametrize("qos", [1, 2])
def test_s_4_9_retained_messages_keep_within_the_window(gw: Gateway, qos: int) -> None:
    publisher = client(gw, "p")
    for n in range(1, 7):
        publisher >> f"PUBLISH t/{n} qos=2 id={n} retain {n}"
    party = hears(client(gw, "s", "recvmax=2"), f"t/# qos={qos}")
    heard: list[int] = []
    for n in range(1, 7):
        batch = party.rest()
        heard += [int(text.split()[-1]) for text in batch]
        assert len(heard) - (n - 1) <= 2
        if qos == 1:
            party >> f"PUBACK {n}"
        else:
            party >> f"PUBREC {n}" << f"PUBREL {n}" >> f"PUBCOMP {n}"
    assert heard == [1, 2, 3, 4, 5, 6]


def test_s_4_9_retained_and_live_messages_share_the_window(gw: Gateway) -> None:
    publisher = client(gw, "p")
    for n in range(1, 4):
        publisher >> f"PUBLISH t/{n} qos=2 id={n} retain {n}"
    party = hears(client(gw, "s", "recvmax=1"), "t/# qos=1")
    publisher >> "PUBLISH t/1 qos=2 id=9 live"
    heard = party.rest()
    for n in range(1, 5):
        assert len(heard) == n
        party >> f"PUBACK {n}"
        heard += party.rest()
    assert sorted(text.split()[-1] for text in heard) == ["1", "2", "3", "live"]


def test_s_4_9_quota_begins_anew_with_each_connection(gw: Gateway) -> None:
    hears(client(gw, "s", "expiry=100 recvmax=1"), "t qos=1") >> DROP
    _publish(gw, 9)
    party = client(gw, "s", "clean=0 expiry=100 recvmax=3", present=1)
    assert _numbers(party) == [1, 2, 3]
    party >> DROP
    party = client(gw, "s", "clean=0 expiry=100 recvmax=5", present=1)
    assert _numbers(party) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("qos", [1, 2])
def test_s_4_9_window_is_not_taken_by_what_has_become_too_large_for_the_client(gw: Gateway, qos: int) -> None:
    # §3.1.2.11.4: it is done with as if it had been sent; nobody will ever acknowledge it.
    party = hears(client(gw, "s", "expiry=100 recvmax=8"), f"t qos={qos}")
    publisher = client(gw, "p")
    for n, size in enumerate((99, 99, 99, 1, 99, 99, 2, 3), 1):
        publisher >> f"PUBLISH t qos={qos} id={n} {'x' * size}"
    assert len(party.rest()) == 8
    party >> DROP
    party = client(gw, "s", "clean=0 expiry=100 recvmax=2 maxsize=60", present=1)
    party << f"PUBLISH t qos={qos} dup id=4 x" << f"PUBLISH t qos={qos} dup id=7 xx"
    party.silent()
    if qos == 2:
        party >> "PUBREC 4" << "PUBREL 4" >> "PUBCOMP 4"
    else:
        party >> "PUBACK 4"
    party << f"PUBLISH t qos={qos} dup id=8 xxx"


def test_s_3_1_2_11_3_without_receive_maximum_it_is_65535_or_our_own_bound() -> None:
    gw = Gateway(mqtt_limits=Limits(max_inflight=5, slow_consumer=DROP_OLDEST))
    for words in ("", "recvmax=65535"):
        party = hears(client(gw, "s", words), "t qos=1")
        _publish(gw, 9)
        assert len(_numbers(party)) == 5
        party >> DROP
