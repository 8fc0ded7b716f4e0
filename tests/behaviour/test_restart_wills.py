"""What becomes of wills when the process is killed or stopped, and when their clients hear that they are connected."""

import pytest
from harness import DROP, Gateway, MqttParty
from lives import Lives


@pytest.fixture
def lives() -> Lives:
    return Lives()


def watching(gw: Gateway) -> MqttParty:
    """A client that has the retained messages that were there, and hears of new ones."""
    party = gw.mqtt("w") >> "CONNECT w" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 # qos=0" << "SUBACK 1 0"
    party.rest()
    return party


WILLS = ("clean=1", "clean=0")


@pytest.mark.parametrize("words", WILLS)
def test_the_will_of_who_was_connected_at_a_crash_is_published_once(lives: Lives, words: str) -> None:
    # §3.1.2.5: in the case of a server failure it may be deferred until the restart, not forgotten.
    gw = lives.gw
    gw.mqtt("d") >> f"CONNECT d {words} will=state will_qos=1 will_retain will_body=off"
    lives.commit()
    gw.mqtt("d") << "CONNACK 0 present=0"
    gw = lives.kill()
    party = watching(gw)
    gw.advance(0)
    party << "PUBLISH state off"
    lives.commit()
    gw = lives.kill()
    party = watching(gw)
    gw.advance(1_000)
    party.silent()
    gw.mqtt("x") >> "CONNECT x" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 state" << "SUBACK 1 0"
    gw.mqtt("x") << "PUBLISH state retain off"


@pytest.mark.parametrize("words", WILLS)
def test_the_will_of_who_left_in_order_is_not_published_after_a_crash(lives: Lives, words: str) -> None:
    gw = lives.gw
    gw.mqtt("d") >> f"CONNECT d {words} will=state will_body=off"
    lives.commit()
    gw.mqtt("d") << "CONNACK 0 present=0" >> "DISCONNECT" >> DROP
    lives.commit()
    gw = lives.kill()
    party = watching(gw)
    gw.advance(1_000)
    party.silent()
    assert not [place for place in lives._kept.notes if place[0] == "mqtt.session"] or words == "clean=0"


def test_a_will_that_was_published_before_the_crash_is_not_published_again(lives: Lives) -> None:
    gw = lives.gw
    gw.mqtt("d") >> "CONNECT d will=state will_body=off"
    lives.commit()
    gw.mqtt("d") << "CONNACK 0 present=0" >> DROP
    lives.commit()
    assert lives._kept.notes == {}
    gw = lives.kill()
    party = watching(gw)
    gw.advance(1_000)
    party.silent()


def test_the_delay_of_a_will_begins_with_the_restart(lives: Lives) -> None:
    gw = lives.gw
    party = gw.mqtt("d", 5)
    party >> "CONNECT d expiry=60 will=state will_delay=10 will_body=off"
    lives.commit()
    party << "CONNACK 0 present=0"
    gw = lives.kill()
    party = watching(gw)
    gw.advance(9_999)
    party.silent()
    gw.advance(1)
    party << "PUBLISH state off"


@pytest.mark.parametrize("words", WILLS)
def test_a_will_is_published_though_its_client_is_back_before_anybody_looked(
    lives: Lives, words: str
) -> None:
    gw = lives.gw
    connect = f"CONNECT d {words} will=state will_body=off"
    gw.mqtt("d") >> connect
    lives.commit()
    gw.mqtt("d") << "CONNACK 0 present=0"
    gw = lives.kill()
    party = watching(gw)
    gw.mqtt("d") >> connect
    lives.commit()
    gw.mqtt("d") << f"CONNACK 0 present={int(words == 'clean=0')}"
    party << "PUBLISH state off"
    gw.advance(1_000)
    party.silent()


def test_a_client_with_a_will_is_told_that_it_is_connected_once_the_will_is_safe(lives: Lives) -> None:
    gw = lives.gw
    party = gw.mqtt("d") >> "CONNECT d will=state will_body=off" >> "PINGREQ" >> "SUBSCRIBE 1 d"
    gw.mqtt("p") >> "CONNECT p" << "CONNACK 0 present=0" >> "PUBLISH d hello"
    party.silent()
    lives.commit()
    # The CONNACK is the first of all.
    party << "CONNACK 0 present=0" << "PINGRESP" << "SUBACK 1 0" << "PUBLISH d hello"
    # Who has none does not wait.
    gw.mqtt("e") >> "CONNECT e" << "CONNACK 0 present=0"


def test_a_client_whose_will_is_not_safe_yet_may_leave_and_is_told_nothing(lives: Lives) -> None:
    gw = lives.gw
    gw.mqtt("d") >> "CONNECT d will=state will_body=off" >> DROP
    lives.commit()
    lives.store.accepting = False
    # Without room for it there is no use in waiting.
    gw.mqtt("e") >> "CONNECT e will=state will_body=off" << "CONNACK 0 present=0"


def test_once_the_store_has_failed_nobody_hears_that_a_connection_with_a_will_is_there(lives: Lives) -> None:
    # §3.1.2.5: the next run would know nothing of the will.
    gw = lives.gw
    lives.store.accepting = False
    lives.store.failed = True
    party = gw.mqtt("d") >> "CONNECT d will=state will_body=off"
    party.silent()
    gw.mqtt("e") >> "CONNECT e" << "CONNACK 0 present=0"


def test_who_is_sent_away_before_the_will_is_safe_never_hears_of_having_been_connected(lives: Lives) -> None:
    # Told so, the client would count on the will, of which a crash right then leaves nothing (§3.1.2.5).
    gw = lives.gw
    first = gw.mqtt("d", 5) >> "CONNECT d will=state will_body=off"
    gw.mqtt("e", 5) >> "CONNECT d" << "CONNACK 0 present=0"
    first.silent()
    assert first.closed
