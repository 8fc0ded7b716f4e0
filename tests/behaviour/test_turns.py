"""Nobody waits for a client that sends very much at once: it is heard a part at a time, and others in between."""

import pytest
from harness import Gateway, Party, StompParty
from stomp_text import StompFrame
from ticking import Ticking

from gateway.connectors.output import HEARD_MS, Turn
from gateway.connectors.replay import TURN_MESSAGES
from gateway.core.fan_out import FEW
from protocols.mqtt.codec import encode_publish
from protocols.mqtt.decoder import FRESH_BYTES_A_CALL
from protocols.mqtt.properties import Properties, encode_properties
from protocols.stomp.reader import HEAD_BYTES_A_CALL

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


def _ticking() -> Gateway:
    gw = Gateway()
    gw.turn = Turn(lambda: None, Ticking())
    return gw


def _next_turn(gw: Gateway) -> None:
    gw.turn.take()
    gw.turn.share()


@pytest.mark.parametrize("protocol", ["mqtt", "stomp"])
def test_of_frames_with_long_heads_a_step_decodes_few(protocol: str) -> None:
    """Here and in translation a head of a thousand lines costs what some hundred short ones do."""
    gw = Gateway()
    reader = gw.stomp("s")
    reader >> "SUBSCRIBE id:1 destination:/topic/t"
    if protocol == "mqtt":
        party: Party = gw.mqtt("p", 5)
        party >> "CONNECT p" << "CONNACK 0 present=0"
        frames = [_publish_5("t", [(f"h{n}", str(number)) for n in range(900)]) for number in range(20)]
        most = -(-FRESH_BYTES_A_CALL // len(frames[0]))
    else:
        party = gw.stomp("p")
        head = "".join([f"h{n}:v\n" for n in range(900)]).encode()
        frames = [b"SEND\ndestination:/topic/t\nn:%d\n%s\n\0" % (number, head) for number in range(20)]
        most = -(-HEAD_BYTES_A_CALL // len(frames[0]))
    assert most < 3
    party.connector.bytes_in(b"".join(frames), gw.now_ms)
    assert len(_bodies(reader)) == most
    while party.connector.resumes:
        party.connector.go_on(gw.now_ms)
        assert len(_bodies(reader)) <= most


def _publish_5(topic: str, pairs: list[tuple[str, str]]) -> bytes:
    properties = Properties()
    properties.user = pairs
    return encode_publish(topic, b"x", 0, False, False, 0, encode_properties(properties))


def test_frames_that_take_long_end_a_step_when_the_client_has_had_its_share() -> None:
    gw = _ticking()
    party = gw.stomp("p")
    frames = [f"SUBSCRIBE\nid:{n}\ndestination:/topic/t\nreceipt:{n}\n\n\0".encode() for n in range(20)]
    _next_turn(gw)
    party.connector.bytes_in(b"".join(frames), gw.now_ms)
    assert gw.broker.topics.bindings_count == HEARD_MS
    while party.connector.resumes:
        before = gw.broker.topics.bindings_count
        _next_turn(gw)
        party.connector.go_on(gw.now_ms)
        assert 0 < gw.broker.topics.bindings_count - before <= HEARD_MS
    assert [frame.get("receipt-id") for frame in party.rest()] == [str(n) for n in range(20)]


@pytest.mark.parametrize("protocol", ["mqtt", "stomp"])
@pytest.mark.parametrize("readers", [FEW, FEW + 1])
def test_messages_to_many_end_a_step_when_the_client_has_had_its_share(protocol: str, readers: int) -> None:
    gw = _ticking()
    reader = gw.stomp("s")
    for number in range(readers):
        _next_turn(gw)
        reader >> f"SUBSCRIBE id:{number} destination:/topic/t"
    party, data = _publisher(gw, protocol)
    # A name that is new takes long too.
    gw.broker.route(gw.broker.topics.topic("t"))
    _next_turn(gw)
    party.connector.bytes_in(data, gw.now_ms)
    messages = len(_bodies(reader)) // readers
    assert messages == HEARD_MS if readers > FEW else messages > HEARD_MS


@pytest.mark.parametrize("protocol", ["mqtt", "stomp", "stomp queue"])
def test_a_burst_of_names_that_are_new_is_taken_some_a_turn_and_of_one_that_is_known_at_once(
    protocol: str,
) -> None:
    """Who is to have what goes to a new name is found among all patterns, and that takes long where there are many."""
    gw = _ticking()
    reader = gw.stomp("s")
    reader >> "SUBSCRIBE id:1 destination:/topic/*"
    reader >> "SUBSCRIBE id:2 destination:/queue/*"
    count = 5 * HEARD_MS
    _next_turn(gw)
    if protocol == "mqtt":
        party: Party = gw.mqtt("p")
        party >> "CONNECT p" << "CONNACK 0 present=0"
        frames = [encode_publish(f"n{n}", b"x", 0, False, False, 0, None) for n in range(count)]
    else:
        party = gw.stomp("p")
        kind = "queue" if protocol == "stomp queue" else "topic"
        frames = [f"SEND\ndestination:/{kind}/n{n}\n\nx\0".encode() for n in range(count)]
    _next_turn(gw)
    party.connector.bytes_in(b"".join(frames), gw.now_ms)
    came = [len(_bodies(reader))]
    while party.connector.resumes:
        _next_turn(gw)
        party.connector.go_on(gw.now_ms)
        came.append(len(_bodies(reader)))
    assert came == [HEARD_MS] * 5
    # Now they are known.
    _next_turn(gw)
    party.connector.bytes_in(b"".join(frames), gw.now_ms)
    assert len(_bodies(reader)) == count


def test_retained_values_go_out_some_a_turn_however_small_they_are() -> None:
    gw = Gateway()
    publisher = gw.mqtt("p")
    publisher >> "CONNECT p" << "CONNACK 0 present=0"
    for number in range(5 * TURN_MESSAGES):
        publisher >> f"PUBLISH r/{number} retain x"
    reader = gw.mqtt("s")
    reader >> "CONNECT s" << "CONNACK 0 present=0"
    reader >> "SUBSCRIBE 1 #"
    parts = []
    while not parts or parts[-1]:
        parts.append(len(reader.read(b"".join(reader.connector.bytes_out(gw.now_ms)))))
        reader.connector.written()
    # The SUBACK comes with the first.
    assert sum(parts) == 5 * TURN_MESSAGES + 1
    assert max(parts) <= TURN_MESSAGES + 1


def test_retained_values_that_have_gone_meanwhile_are_passed_over_some_a_turn() -> None:
    gw = Gateway()
    publisher = gw.mqtt("p")
    publisher >> "CONNECT p" << "CONNACK 0 present=0"
    for number in range(4 * TURN_MESSAGES):
        publisher >> f"PUBLISH r/{number} retain x"
    reader = gw.mqtt("s")
    reader >> "CONNECT s" << "CONNACK 0 present=0"
    reader >> "SUBSCRIBE 1 #"
    gw.turn.take()
    session = reader.connector.session
    for number in range(4 * TURN_MESSAGES):
        assert gw.broker.retained.clear(f"r.{number}")
    assert len(reader.read(b"".join(reader.connector.bytes_out(gw.now_ms)))) <= TURN_MESSAGES + 1
    turns = 0
    while session._replays:
        # Each time it is seen to that there is another turn.
        reader.connector.written()
        assert not session._replays or reader.connector in gw.turn.take()
        assert reader.connector.bytes_out(gw.now_ms) == []
        turns += 1
    assert 3 <= turns <= 4
