"""Notes of an earlier run that a damage has made unreadable: the gateway starts, they are set aside, named and counted."""

import pytest
from test_restart_transcripts import DROP, Lives

GARBAGE = (b"", b"{", b"[]", b"null", b'{"expiry_s": "x"}', b"\xff\xfe\x00", b"\0" * 40, b'[1, "a"]')


def filled() -> Lives:
    """A session with a message, and a scheduled message."""
    lives = Lives()
    gw = lives.gw
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 a/# qos=2"
    lives.commit()
    gw.mqtt("s") << "SUBACK 1 2" >> DROP
    gw.stomp("p") >> "SEND destination:/topic/a.b persistent:true receipt:1 body:hi"
    (
        gw.stomp("p")
        >> "SEND destination:/queue/later persistent:true AMQ_SCHEDULED_DELAY:60000 receipt:2 body:later"
    )
    lives.commit()
    return lives


@pytest.mark.parametrize("garbage", GARBAGE)
def test_no_damaged_note_stops_the_gateway(garbage: bytes) -> None:
    lives = filled()
    kept = lives._kept
    places = [place for place in kept.notes if place[0] != "core.suspects"]
    assert {space for space, _ in places} >= {"mqtt.session", "mqtt.subscription"}
    for place in list(kept.notes):
        kept.notes[place] = garbage
    gw = lives.kill()
    lives.commit()
    assert gw.broker.aside.count >= 2
    assert gw.broker.counters.quarantined == gw.broker.aside.count == len(gw.broker.aside.lines)
    assert any("mqtt.subscription s a/#" in line for line in gw.broker.aside.lines)
    assert ("damaged.mqtt.subscription", "s\0a/#") in kept.notes
    # It is said once: what was set aside is not looked at again.
    assert lives.kill().broker.aside.count == 0


def test_what_waits_for_a_client_is_there_though_its_sessions_note_is_not() -> None:
    lives = filled()
    lives._kept.notes[("mqtt.session", "s")] = b"{"
    gw = lives.kill()
    lives.commit()
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    assert gw.broker.queues["session:1:s/"].depth == 1


def test_what_waits_for_a_client_outlives_the_loss_of_its_session_where_the_store_was_damaged() -> None:
    lives = filled()
    del lives._kept.notes[("mqtt.session", "s")]
    lives._kept.damaged = True
    gw = lives.kill()
    lives.commit()
    assert gw.broker.aside.lines == [
        "mqtt.session s is lost; 1 messages that wait for it are kept for 7 days"
    ]
    # It is a session again, which a later start need not find.
    lives._kept.damaged = False
    gw = lives.kill()
    lives.commit()
    assert gw.broker.aside.count == 0
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    assert gw.broker.queues["session:1:s/"].depth == 1


def test_what_waits_for_a_client_whose_session_had_ended_goes_where_nothing_was_damaged() -> None:
    lives = filled()
    del lives._kept.notes[("mqtt.session", "s")]
    gw = lives.kill()
    assert "session:1:s/" not in gw.broker.queues
