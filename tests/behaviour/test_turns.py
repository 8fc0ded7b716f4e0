"""Nobody waits for a client that sends very much at once: it is heard a part at a time, and others in between."""

import pytest
from harness import Gateway, Party, StompParty
from stomp_text import StompFrame

MANY = 10_000


def _publisher(gw: Gateway, protocol: str) -> tuple[Party, bytes]:
    """Who publishes `MANY` messages to the topic `t` with these bytes, numbered."""
    if protocol == "mqtt":
        party: Party = gw.mqtt("p")
        party >> "CONNECT p" << "CONNACK 0 present=0"
        return party, b"".join(
            [b"\x30%c\0\1t%s" % (3 + len(body), body) for body in [b"%d" % number for number in range(MANY)]]
        )
    party = gw.stomp("p")
    return party, b"".join([b"SEND\ndestination:/topic/t\n\n%d\0" % number for number in range(MANY)])


def _bodies(reader: StompParty) -> list[str]:
    """Of the messages that have come, while nobody goes on meanwhile."""
    return [frame.body for frame in reader.read(reader.wire()) if isinstance(frame, StompFrame)]


@pytest.mark.parametrize("protocol", ["mqtt", "stomp"])
def test_very_many_frames_in_one_read_are_handled_in_several_turns_and_in_order(protocol: str) -> None:
    gw = Gateway()
    reader = gw.stomp("s")
    reader >> "SUBSCRIBE id:1 destination:/topic/t"
    party, data = _publisher(gw, protocol)
    party.connector.bytes_in(data, gw.now_ms)
    bodies = _bodies(reader)
    assert 0 < len(bodies) < MANY // 3
    turns = 1
    while party.connector.resumes:
        assert party.connector.unheard
        assert party.connector.owes
        party.connector.go_on(gw.now_ms)
        more = _bodies(reader)
        assert 0 < len(more) < MANY // 3
        bodies += more
        turns += 1
    assert turns > 3
    assert bodies == [str(number) for number in range(MANY)]
    assert not party.connector.unheard
