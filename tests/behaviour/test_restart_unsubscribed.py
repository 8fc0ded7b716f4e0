"""What a client was sent at QoS 2 of a queue or group, has not answered, and then unsubscribed from, over a restart."""

import pytest
from harness import DROP
from lives import Lives


@pytest.fixture
def lives() -> Lives:
    return Lives()


@pytest.mark.parametrize("filter", ["$queue/q", "$share/g/q"])
def test_3_10_4_3_what_was_begun_is_finished_after_a_kill_though_the_client_has_unsubscribed(
    lives: Lives, filter: str
) -> None:
    gw = lives.gw
    for name in ("s", "other"):
        gw.mqtt(name) >> f"CONNECT {name} clean=0" << "CONNACK 0 present=0"
    gw.mqtt("s") >> f"SUBSCRIBE 1 {filter} qos=2" >> "SUBSCRIBE 2 later qos=2"
    lives.commit()
    gw.mqtt("s") << "SUBACK 1 2" << "SUBACK 2 2"
    to = filter if filter.startswith("$queue") else "q"
    gw.mqtt("p") >> "CONNECT p" << "CONNACK 0 present=0" >> f"PUBLISH {to} qos=2 id=1 x"
    lives.commit()
    gw.mqtt("p") << "PUBREC 1"
    gw.mqtt("s") << f"PUBLISH {to} qos=2 id=1 x"
    gw.mqtt("other") >> f"SUBSCRIBE 1 {filter} qos=2"
    gw.mqtt("s") >> f"UNSUBSCRIBE 3 {filter}"
    lives.commit()
    gw.mqtt("other") << "SUBACK 1 2"
    gw.mqtt("s") << "UNSUBACK 3" >> DROP
    gw = lives.kill()
    gw.mqtt("other") >> "CONNECT other clean=0" << "CONNACK 0 present=1"
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    lives.commit()
    # It may have it already, so under its packet id nothing else comes, nor does anybody else get it.
    gw.mqtt("other").silent()
    gw.mqtt("s") << f"PUBLISH {to} qos=2 dup id=1 x" >> "PUBREC 1"
    lives.commit()
    gw.mqtt("s") << "PUBREL 1" >> "PUBCOMP 1"
    lives.commit()
    assert not lives.store.kept.entries


def test_4_3_3_the_packet_id_of_what_is_gone_with_its_queue_means_nothing_else_before_its_pubcomp(
    lives: Lives,
) -> None:
    gw = lives.gw
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=0"
    gw.mqtt("s") >> "SUBSCRIBE 1 $share/g/q qos=2" >> "SUBSCRIBE 2 later qos=2"
    lives.commit()
    gw.mqtt("s") << "SUBACK 1 2" << "SUBACK 2 2"
    gw.mqtt("p") >> "CONNECT p" << "CONNACK 0 present=0" >> "PUBLISH q qos=2 id=1 x"
    lives.commit()
    gw.mqtt("p") << "PUBREC 1"
    # Nobody is left in the group, so it ends.
    gw.mqtt("s") << "PUBLISH q qos=2 id=1 x" >> "UNSUBSCRIBE 3 $share/g/q"
    lives.commit()
    gw.mqtt("s") << "UNSUBACK 3" >> DROP
    for _ in range(2):
        gw = lives.kill()
        lives.commit()
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    lives.commit()
    gw.mqtt("s") << "PUBREL 1"
    gw.mqtt("p") >> "CONNECT p" << "CONNACK 0 present=0" >> "PUBLISH later qos=2 id=1 y"
    lives.commit()
    gw.mqtt("s") << "PUBLISH later qos=2 id=2 y" >> "PUBCOMP 1"
    lives.commit()
    assert "s\0001" not in {key for _, key in lives.store.kept.notes}
