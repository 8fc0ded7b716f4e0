"""What clients of both protocols find again after the process was killed, and what must not have been confirmed."""

import pytest
from harness import DROP, MqttParty
from lives import Lives

from gateway.core.paging import PAGE_MESSAGES_MAX


@pytest.fixture
def lives() -> Lives:
    return Lives()


def test_session_and_its_messages_survive(lives: Lives) -> None:
    gw = lives.gw
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 a/# qos=1"
    gw.mqtt("s").silent()
    lives.commit()
    gw.mqtt("s") << "SUBACK 1 1" >> DROP
    gw.mqtt("p") >> "CONNECT p" << "CONNACK 0 present=0" >> "PUBLISH a/b qos=1 id=7 hi"
    gw.mqtt("p").silent()
    lives.commit()
    gw.mqtt("p") << "PUBACK 7"
    gw = lives.kill()
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    lives.commit()
    gw.mqtt("s") << "PUBLISH a/b qos=1 dup id=1 hi" >> "PUBACK 1"
    lives.commit()
    gw = lives.kill()
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    lives.commit()
    gw.mqtt("s").silent()


def test_after_an_orderly_stop_nothing_is_taken_for_a_repetition(lives: Lives) -> None:
    gw = lives.gw
    gw.stomp("p") >> "SEND destination:/queue/q persistent:true body:x"
    lives.commit()
    gw = lives.begin(clean=True)
    gw.stomp("c") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual"
    lives.commit()
    gw.stomp("c") << "MESSAGE subscription:1 destination:/queue/q body:x"


def test_queue_and_redelivery_counts_survive(lives: Lives) -> None:
    gw = lives.gw
    gw.stomp("p") >> "SEND destination:/queue/q persistent:true receipt:r body:x"
    gw.stomp("c") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual"
    gw.stomp("c") << "MESSAGE subscription:1 ack:1-1 body:x" >> "NACK id:1-1"
    lives.commit()
    gw.stomp("p") << "RECEIPT receipt-id:r"
    gw = lives.kill()
    gw.stomp("c") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual"
    lives.commit()
    gw.stomp("c") << "MESSAGE subscription:1 redelivered:true x-mx-delivery-count:1 body:x"


def test_a_browser_is_shown_what_only_the_store_has_and_takes_nothing(lives: Lives) -> None:
    gw = lives.gw
    party = gw.stomp("p")
    for n in range(3):
        party >> f"SEND destination:/queue/q persistent:true n:{n} priority:{n % 2} body:{n}"
    lives.commit()
    gw = lives.kill()
    gw.stomp("p") >> "SEND destination:/queue/q persistent:true n:3 body:3"
    browser = gw.stomp("b") >> "SUBSCRIBE id:1 destination:/queue/q browser:true receipt:r"
    browser << "RECEIPT receipt-id:r"
    lives.commit()
    for body in ("3", "1", "0", "2"):
        browser << f"MESSAGE subscription:1 body:{body}"
        lives.commit()
    browser << "MESSAGE subscription:1 browser:end"
    browser >> "SUBSCRIBE id:2 destination:/queue/q browser:true 'selector:n = 2'"
    lives.commit()
    browser << "MESSAGE subscription:2 body:2" << "MESSAGE subscription:2 browser:end"
    # One that leaves before the store has answered is forgotten.
    browser >> "SUBSCRIBE id:3 destination:/queue/q browser:true" << "MESSAGE subscription:3 body:3"
    browser >> "UNSUBSCRIBE id:3"
    lives.commit()
    browser.silent()
    gw.stomp("c") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual"
    lives.commit()
    for body in ("3", "1", "0", "2"):
        gw.stomp("c") << f"MESSAGE subscription:1 body:{body}"


def test_a_browser_is_shown_page_after_page_up_to_its_limit(lives: Lives) -> None:
    party = lives.gw.stomp("p")
    for n in range(PAGE_MESSAGES_MAX + 5):
        party >> f"SEND destination:/queue/q persistent:true body:{n}"
    lives.commit()
    gw = lives.kill()
    browser = gw.stomp("b") >> "SUBSCRIBE id:1 destination:/queue/q browser:true ack:auto"
    lives.commit()
    for n in range(PAGE_MESSAGES_MAX + 5):
        browser << f"MESSAGE subscription:1 body:{n}"
        # What is asked for next is asked for once this has been written.
        lives.commit()
    browser << "MESSAGE subscription:1 browser:end"
    assert gw.broker.resident_bytes < 100_000


def test_a_message_that_was_not_committed_was_not_confirmed(lives: Lives) -> None:
    gw = lives.gw
    gw.stomp("p") >> "SEND destination:/queue/q persistent:true receipt:r body:x"
    gw.stomp("p").silent()
    gw = lives.kill()
    gw.stomp("c") >> "SUBSCRIBE id:1 destination:/queue/q"
    lives.commit()
    gw.stomp("c").silent()


def test_transaction_is_seen_when_it_is_safe_and_behind_it_what_came_later(lives: Lives) -> None:
    gw = lives.gw
    gw.stomp("c") >> "SUBSCRIBE id:1 destination:/queue/q"
    party = gw.stomp("p") >> "BEGIN transaction:x"
    for n in range(2):
        party >> f"SEND destination:/queue/q persistent:true transaction:x body:{n}"
    party >> "COMMIT transaction:x receipt:r" >> "SEND destination:/queue/q body:later"
    gw.stomp("c").silent()
    party.silent()
    lives.commit()
    party << "RECEIPT receipt-id:r"
    for body in ("0", "1", "later"):
        gw.stomp("c") << f"MESSAGE subscription:1 body:{body}"


def test_retained_message_survives_and_so_does_its_removal(lives: Lives) -> None:
    gw = lives.gw
    gw.mqtt("p") >> "CONNECT p" << "CONNACK 0 present=0"
    gw.mqtt("p") >> "PUBLISH a qos=1 id=1 retain one" >> "PUBLISH b qos=1 id=2 retain two"
    gw.mqtt("p") >> "PUBLISH b qos=1 id=3 retain"
    lives.commit()
    gw = lives.kill()
    gw.mqtt("s") >> "CONNECT s" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 #" << "SUBACK 1 0"
    gw.mqtt("s") << "PUBLISH a retain one"
    gw.mqtt("s").silent()


def test_retained_messages_of_every_kind_survive(lives: Lives) -> None:
    # [MQTT-3.3.1-5] leaves no QoS out; and what STOMP does not call persistent is a topic's last value all the same.
    gw = lives.gw
    gw.mqtt("p") >> "CONNECT p" << "CONNACK 0 present=0"
    gw.mqtt("p") >> "PUBLISH a retain zero" >> "PUBLISH b qos=1 id=2 retain one" >> "PUBLISH b retain passing"
    gw.mqtt("p") >> "PUBLISH c qos=1 id=3 retain gone" >> "PUBLISH c retain"
    gw.stomp("q") >> "SEND destination:/topic/d retain:true body:stomp"
    lives.commit()
    gw = lives.begin(clean=True)
    gw.mqtt("s") >> "CONNECT s" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 #" << "SUBACK 1 0"
    gw.mqtt("s") << "PUBLISH a retain zero" << "PUBLISH b retain passing" << "PUBLISH d retain stomp"
    gw.mqtt("s").silent()


def test_durable_stomp_subscription_goes_on_collecting(lives: Lives) -> None:
    gw = lives.gw
    subscribe = (
        "SUBSCRIBE id:1 destination:/topic/a.> ack:client-individual activemq.subscriptionName:n receipt:r"
    )
    gw.stomp("c") >> subscribe
    gw.stomp("c").silent()
    lives.commit()
    gw.stomp("c") << "RECEIPT receipt-id:r" >> DROP
    gw = lives.kill()
    gw.stomp("p") >> "SEND destination:/topic/a.b persistent:true body:x"
    lives.commit()
    gw = lives.kill()
    gw.stomp("c") >> subscribe
    lives.commit()
    gw.stomp("c") << "RECEIPT receipt-id:r" << "MESSAGE subscription:1 redelivered:true body:x"


def test_what_a_client_had_not_acknowledged_keeps_its_identifier_over_orderly_restarts(lives: Lives) -> None:
    # [MQTT-4.4.0-1]; DUP says that it may come again [MQTT-3.3.1-1], however often the gateway was restarted between.
    gw = lives.gw
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 t qos=2"
    lives.commit()
    gw.mqtt("s") << "SUBACK 1 2"
    gw.mqtt("p") >> "CONNECT p" << "CONNACK 0 present=0"
    for n in range(1, 5):
        gw.mqtt("p") >> f"PUBLISH t qos={1 + n % 2} id={n} {n}"
    lives.commit()
    for n in range(1, 5):
        gw.mqtt("s") << f"PUBLISH t qos={1 + n % 2} id={n} {n}"
    gw.mqtt("s") >> "PUBACK 2" >> DROP
    # What comes later is no repetition.
    gw.mqtt("p") >> "PUBLISH t qos=1 id=5 5" >> DROP
    lives.commit()
    lives.stop()
    gw = lives.stop()
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    lives.commit()
    (
        gw.mqtt("s")
        << "PUBLISH t qos=2 dup id=1 1"
        << "PUBLISH t qos=2 dup id=3 3"
        << "PUBLISH t qos=1 dup id=4 4"
    )
    heard = gw.mqtt("s").rest()
    assert [packet.replace(" dup", "") for packet in heard] == ["PUBLISH t qos=1 id=5 5"]
    gw.mqtt("s") >> "PUBACK 4" >> "PUBACK 5" >> DROP
    lives.commit()
    gw = lives.stop()
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    lives.commit()
    gw.mqtt("s") << "PUBLISH t qos=2 dup id=1 1" << "PUBLISH t qos=2 dup id=3 3"
    gw.mqtt("s").silent()


def in_flight(lives: Lives, numbers: range, body: str = "x") -> MqttParty:
    """A kept session that has been sent a message for each of `numbers`, of QoS 1 and 2 in turn, and answered none."""
    gw = lives.gw
    party = gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 t qos=2"
    gw.mqtt("p") >> "CONNECT p" << "CONNACK 0 present=0"
    for n in numbers:
        gw.mqtt("p") >> f"PUBLISH t qos={1 + n % 2} id={n} {n}-{body}"
    lives.commit()
    party.rest()
    return party


def test_what_an_absent_client_has_not_acknowledged_is_not_kept_in_memory(lives: Lives) -> None:
    count = 600
    in_flight(lives, range(1, count + 1), "x" * 1_000) >> DROP
    broker = lives.gw.broker
    # There is room: it stays, and comes again at once.
    party = lives.gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    lives.commit()
    assert len(party.rest()) == count
    broker.limits.memory_max = 1_000
    before = broker.resident_bytes
    party >> DROP
    assert broker.resident_bytes <= before - count * 1_000
    # Memory is short: it comes from the store, in the order of the first time, and nothing newer before it.
    lives.gw.mqtt("p") >> "PUBLISH t qos=1 id=999 new"
    party = lives.gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    party.silent()
    for _ in range(3):
        lives.commit()
    heard = [packet.split()[-1].split("-")[0] for packet in party.rest()]
    assert heard == [*map(str, range(1, count + 1)), "new"]
    assert broker.resident_bytes >= before
    party >> "PUBACK 2" >> "PUBREC 1"
    lives.commit()
    assert party.rest()[-1] == "PUBREL 1"


def test_bodies_that_are_away_are_not_needed_for_what_is_answered_before_they_are_back(lives: Lives) -> None:
    party = in_flight(lives, range(1, 7))
    party >> "PUBREC 1"
    lives.commit()
    party << "PUBREL 1" >> DROP
    lives.memory_max = 0
    gw = lives.stop()
    party = gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    party >> "PUBACK 2" >> "PUBREC 3"
    lives.commit()
    heard = party.rest()
    assert [packet.split()[-1][0] for packet in heard if "PUBLISH" in packet] == [
        "4",
        "5",
        "6",
    ]
    assert {"PUBREL 1", "PUBREL 3"} <= set(heard)
    for n in (1, 3):
        party >> f"PUBCOMP {n}"
    party >> "PUBACK 4" >> "PUBREC 5" >> "PUBACK 6" >> "PUBCOMP 5"
    assert gw.broker.queues["session:1:s/"].depth == 0
    assert gw.broker.resident_bytes == 0


def test_a_session_that_ends_while_its_bodies_are_away_leaves_nothing(lives: Lives) -> None:
    in_flight(lives, range(1, 9)) >> DROP
    lives.gw.broker.limits.memory_max = 0
    lives.gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1" >> DROP
    lives.gw.mqtt("s") >> "CONNECT s clean=1" << "CONNACK 0 present=0" >> DROP
    lives.commit()
    assert lives.gw.broker.resident_bytes == 0
    assert lives._kept.entries == {}


def test_a_message_that_only_the_store_had_and_has_lost_holds_nobody_up(lives: Lives) -> None:
    in_flight(lives, range(1, 5)) >> DROP
    lives.gw.broker.limits.memory_max = 0
    lives.gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1" >> DROP
    keys = sorted(lives._kept.entries)
    for key in (keys[0], keys[2]):
        del lives._kept.entries[key]
    party = lives.gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    lives.commit()
    assert [packet.split()[-1] for packet in party.rest()] == ["2-x", "4-x"]


def test_subscriptions_of_a_session_that_has_ended_do_not_come_back_with_the_next_of_its_client(
    lives: Lives,
) -> None:
    gw = lives.gw
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=0"
    for n in range(300):
        gw.mqtt("s") >> f"SUBSCRIBE 1 t/{n} qos=1"
    lives.commit()
    gw.mqtt("s") >> DROP
    # They are undone in later turns, which this gateway does not live to see.
    gw.broker.chores.driven_by(lambda: None)
    gw.mqtt("s") >> "CONNECT s clean=1" << "CONNACK 0 present=0" >> DROP
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 t/0 qos=1"
    assert 1 < gw.broker.topics.bindings_count < 300
    lives.commit()
    gw = lives.kill()
    assert gw.broker.topics.bindings_count == 1
    gw.mqtt("p") >> "CONNECT p" << "CONNACK 0 present=0"
    (
        gw.mqtt("p")
        >> "PUBLISH t/0 qos=1 id=1 mine"
        >> "PUBLISH t/299 qos=1 id=2 x"
        >> "PUBLISH t/1 qos=1 id=3 x"
    )
    lives.commit()
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    lives.commit()
    assert [packet.split()[-1] for packet in gw.mqtt("s").rest()] == ["mine"]
    assert len([place for place in lives._kept.notes if place[0] == "mqtt.subscription"]) == 1


def test_subscriptions_that_are_undone_in_later_turns_leave_those_of_the_next_session_alone(
    lives: Lives,
) -> None:
    gw = lives.gw
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=0"
    for n in range(300):
        gw.mqtt("s") >> f"SUBSCRIBE 1 t/{n} qos=1"
    gw.mqtt("s") >> DROP
    gw.broker.chores.driven_by(lambda: None)
    gw.mqtt("s") >> "CONNECT s clean=1" << "CONNACK 0 present=0" >> DROP
    party = gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 t/0 qos=1"
    # A session that is gone is given nothing, and a publisher is told so.
    gw.mqtt("p") >> "CONNECT p" << "CONNACK 0 present=0"
    gw.mqtt("p") >> "PUBLISH t/0 qos=1 id=1 mine" >> "PUBLISH t/1 qos=1 id=3 x" >> "PUBLISH t/1 x"
    gw.broker.chores.finish()
    assert gw.broker.topics.bindings_count == 1
    lives.commit()
    assert sorted(party.rest()) == ["PUBLISH t/0 qos=1 id=1 mine", "SUBACK 1 1"]
    gw = lives.kill()
    assert gw.broker.topics.bindings_count == 1


def test_what_waits_for_nothing_is_answered_at_once_though_another_answer_had_to_wait_before(
    lives: Lives,
) -> None:
    party = lives.gw.mqtt("p") >> "CONNECT p" << "CONNACK 0 present=0" >> "PUBLISH $queue/q qos=2 id=7 hi"
    party.silent()
    lives.commit()
    party << "PUBREC 7" >> "PUBREL 7" << "PUBCOMP 7"


def test_qos_2_publish_is_taken_once_though_the_gateway_was_killed_before_its_pubrel(lives: Lives) -> None:
    gw = lives.gw
    gw.mqtt("p") >> "CONNECT p clean=0" << "CONNACK 0 present=0" >> "PUBLISH $queue/q qos=2 id=5 x"
    gw.mqtt("p").silent()
    lives.commit()
    gw.mqtt("p") << "PUBREC 5"
    gw = lives.kill()
    gw.mqtt("p") >> "CONNECT p clean=0" << "CONNACK 0 present=1" >> "PUBLISH $queue/q qos=2 dup id=5 x"
    lives.commit()
    gw.mqtt("p") << "PUBREC 5" >> "PUBREL 5"
    gw.mqtt("p").silent()
    lives.commit()
    gw.mqtt("p") << "PUBCOMP 5"
    gw = lives.kill()
    assert gw.broker.queue("q").depth == 1
    # The identifier is free again: the same one means another message now.
    gw.mqtt("p") >> "CONNECT p clean=0" << "CONNACK 0 present=1" >> "PUBLISH $queue/q qos=2 id=5 y"
    lives.commit()
    gw.mqtt("p") << "PUBREC 5"
    assert gw.broker.queue("q").depth == 2


def test_pubcomp_of_what_an_earlier_connection_released_waits_until_the_packet_id_is_forgotten_for_good(
    lives: Lives,
) -> None:
    gw = lives.gw
    gw.mqtt("p") >> "CONNECT p clean=0" << "CONNACK 0 present=0" >> "PUBLISH $queue/q qos=2 id=5 x"
    lives.commit()
    gw.mqtt("p") << "PUBREC 5" >> "PUBREL 5"
    again = gw.mqtt("again") >> "CONNECT p clean=0" << "CONNACK 0 present=1" >> "PUBREL 5"
    again.silent()
    lives.commit()
    again << "PUBCOMP 5"
    gw = lives.kill()
    # The same message under the same identifier is a new one.
    gw.mqtt("p") >> "CONNECT p clean=0" << "CONNACK 0 present=1" >> "PUBLISH $queue/q qos=2 id=5 x"
    lives.commit()
    gw.mqtt("p") << "PUBREC 5"
    assert gw.broker.queue("q").depth == 2


def test_qos_2_delivery_keeps_its_identifier_and_its_pubrec(lives: Lives) -> None:
    gw = lives.gw
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 t qos=2"
    lives.commit()
    gw.mqtt("s") << "SUBACK 1 2"
    gw.mqtt("p") >> "CONNECT p" << "CONNACK 0 present=0"
    gw.mqtt("p") >> "PUBLISH t qos=2 id=1 one" >> "PUBLISH t qos=2 id=2 two"
    # It does not go out before its identifier is safe.
    gw.mqtt("s").silent()
    lives.commit()
    gw.mqtt("s") << "PUBLISH t qos=2 id=1 one" << "PUBLISH t qos=2 id=2 two" >> "PUBREC 2"
    gw.mqtt("s").silent()
    lives.commit()
    gw.mqtt("s") << "PUBREL 2"
    gw = lives.kill()
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    lives.commit()
    gw.mqtt("s") << "PUBLISH t qos=2 dup id=1 one" << "PUBREL 2"
    gw.mqtt("s") >> "PUBCOMP 2" >> "PUBREC 1"
    lives.commit()
    gw.mqtt("s") << "PUBREL 1" >> "PUBCOMP 1"
    lives.commit()
    gw = lives.kill()
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    lives.commit()
    gw.mqtt("s").silent()


def test_session_that_was_unsubscribed_or_ended_is_not_found_again(lives: Lives) -> None:
    gw = lives.gw
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 a qos=1" >> "UNSUBSCRIBE 2 a"
    gw.mqtt("t") >> "CONNECT t clean=0" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 a qos=1"
    lives.commit()
    gw.mqtt("t") << "SUBACK 1 1" >> DROP
    gw.mqtt("t") >> "CONNECT t clean=1" << "CONNACK 0 present=0"
    lives.commit()
    gw = lives.kill()
    assert gw.broker.topics.bindings_count == 0
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    gw.mqtt("t") >> "CONNECT t clean=0" << "CONNACK 0 present=0"


def test_the_clock_of_a_session_goes_on(lives: Lives) -> None:
    gw = lives.gw
    gw.mqtt("s", 5) >> "CONNECT s clean=0 expiry=10"
    gw.mqtt("s", 5) << "CONNACK 0 present=0" >> DROP
    lives.commit()
    gw = lives.kill()
    gw.advance(9_999)
    assert gw._mqtt_service.sessions.get("s") is not None
    gw.advance(1)
    assert gw._mqtt_service.sessions.get("s") is None
    lives.commit()
    assert lives.store.kept.notes == {}


def test_what_is_scheduled_survives(lives: Lives) -> None:
    gw = lives.gw
    send = "SEND destination:/queue/q persistent:true AMQ_SCHEDULED_DELAY:5000 receipt:r body:x"
    gw.stomp("p") >> send
    gw.stomp("p").silent()
    lives.commit()
    gw.stomp("p") << "RECEIPT receipt-id:r"
    gw = lives.kill()
    gw.advance(5_000)
    lives.commit()
    gw = lives.kill()
    gw.stomp("c") >> "SUBSCRIBE id:1 destination:/queue/q"
    lives.commit()
    gw.stomp("c") << "MESSAGE subscription:1 redelivered:true body:x"
    assert len(gw.broker.schedule) == 0


def test_dead_letter_moves_whole(lives: Lives) -> None:
    gw = lives.gw
    gw.stomp("p") >> "SEND destination:/queue/q persistent:true body:x"
    gw.stomp("c") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual"
    for n in range(1, 3):
        gw.stomp("c") << f"MESSAGE ack:1-{n}" >> f"NACK id:1-{n}"
    lives.commit()
    gw = lives.kill()
    assert gw.broker.queue("q").depth == 0
    gw.stomp("d") >> "SUBSCRIBE id:1 destination:/queue/DLQ"
    lives.commit()
    gw.stomp("d") << "MESSAGE destination:/queue/DLQ original-destination:/queue/q body:x"


def test_full_store_is_told_in_each_protocols_words(lives: Lives) -> None:
    gw = lives.gw
    lives.store.accepting = False
    gw.mqtt("five", 5) >> "CONNECT five" << "CONNACK 0 present=0" >> "PUBLISH $queue/q qos=1 id=1 x"
    gw.mqtt("five", 5) << "PUBACK 1 0x97" >> "PUBLISH t qos=1 id=2 x" << "PUBACK 2 0x97"
    gw.stomp("s") >> "SEND destination:/topic/t persistent:true body:x"
    gw.stomp("s") << 'ERROR "message:the broker\'s disk is full"'
    # What needs no store goes on.
    gw.stomp("c") >> "SUBSCRIBE id:1 destination:/topic/t"
    gw.mqtt("five", 5) >> "PUBLISH t x"
    gw.stomp("c") << "MESSAGE subscription:1 body:x"


def test_a_stored_message_keeps_its_id_over_restarts(lives: Lives) -> None:
    lives.gw.stomp("p") >> "SEND destination:/queue/q persistent:true body:x"
    lives.commit()
    ids: list[str | None] = []
    for clean in (True, False):
        gw = lives.begin(clean)
        party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client"
        lives.commit()
        party << "MESSAGE body:x"
        assert party.last is not None
        ids.append(party.last.get("message-id"))
        (
            party
            >> "SEND destination:/queue/other body:y"
            >> "SUBSCRIBE id:2 destination:/queue/other"
            << "MESSAGE body:y"
        )
        ids.append(party.last.get("message-id"))
    assert ids[0] == ids[2]
    assert len(set(ids)) == 3


@pytest.mark.parametrize("qos", ["1212", "2121", "1112"])
def test_what_was_under_way_at_a_kill_comes_again_in_the_order_of_the_first_time(
    lives: Lives, qos: str
) -> None:
    gw = lives.gw
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 a qos=2"
    lives.commit()
    gw.mqtt("s") << "SUBACK 1 2"
    gw.mqtt("p") >> "CONNECT p" << "CONNACK 0 present=0"
    for id, one in enumerate(qos, 1):
        gw.mqtt("p") >> f"PUBLISH a qos={one} id={id} {id}"
    lives.commit()
    for id, one in enumerate(qos, 1):
        gw.mqtt("s") << f"PUBLISH a qos={one} id={id} {id}"
    gw = lives.kill()
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    lives.commit()
    again = [packet.split() for packet in gw.mqtt("s").rest()]
    assert [words[-1] for words in again] == ["1", "2", "3", "4"]
    assert {words[3] for words in again} == {"dup"}
    # A message of QoS 2 is known by its packet id.
    assert [words[4] for words in again if words[2] == "qos=2"] == [
        f"id={id}" for id, one in enumerate(qos, 1) if one == "2"
    ]
    for words in again:
        gw.mqtt("s") >> f"PUBACK {words[4][3:]}" if words[2] == "qos=1" else None
    # In order or not, an acknowledged message is over.
    lives.commit()
    gw = lives.stop()
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    lives.commit()
    assert [packet.split()[2] for packet in gw.mqtt("s").rest()] == ["qos=2"] * qos.count("2")


@pytest.mark.parametrize("stops", (True, False))
def test_the_packet_id_of_a_message_that_ended_with_the_process_means_no_other(
    lives: Lives, stops: bool
) -> None:
    # §4.3.3: until its PUBREL the client takes whatever comes under that packet id for a repetition.
    gw = lives.gw
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 t qos=2"
    lives.commit()
    gw.mqtt("s") << "SUBACK 1 2"
    gw.stomp("p") >> "SEND destination:/topic/t body:passing"
    gw.mqtt("s").silent()
    lives.commit()
    gw.mqtt("s") << "PUBLISH t qos=2 id=1 passing" >> DROP
    gw.stomp("p") >> DROP
    gw = lives.stop() if stops else lives.kill()
    gw.stomp("p") >> "SEND destination:/topic/t persistent:true body:stays"
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    lives.commit()
    gw.mqtt("s") << "PUBREL 1" << "PUBLISH t qos=2 id=2 stays" >> "PUBREC 2" >> "PUBCOMP 1"
    lives.commit()
    gw.mqtt("s") << "PUBREL 2" >> "PUBCOMP 2" >> DROP
    lives.commit()
    gw = lives.kill()
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    lives.commit()
    gw.mqtt("s").silent()


@pytest.mark.parametrize("filter", ["$queue/q", "$share/g/q"])
def test_what_a_client_has_confirmed_by_pubrec_is_its_own_though_it_has_unsubscribed(
    lives: Lives, filter: str
) -> None:
    # What was begun is finished [MQTT-3.10.4-3], over a restart too.
    gw = lives.gw
    for name in ("s", "other"):
        gw.mqtt(name) >> f"CONNECT {name} clean=0" << "CONNACK 0 present=0"
    gw.mqtt("s") >> f"SUBSCRIBE 1 {filter} qos=2"
    lives.commit()
    gw.mqtt("s") << "SUBACK 1 2"
    to = filter if filter.startswith("$queue") else "q"
    gw.mqtt("p") >> "CONNECT p" << "CONNACK 0 present=0" >> f"PUBLISH {to} qos=2 id=1 x"
    lives.commit()
    gw.mqtt("p") << "PUBREC 1"
    gw.mqtt("s") << f"PUBLISH {to} qos=2 id=1 x"
    gw.mqtt("other") >> f"SUBSCRIBE 1 {filter} qos=2"
    gw.mqtt("s") >> f"UNSUBSCRIBE 2 {filter}" >> "PUBREC 1"
    lives.commit()
    gw.mqtt("other") << "SUBACK 1 2"
    gw.mqtt("s") << "UNSUBACK 2" << "PUBREL 1" >> DROP
    gw = lives.kill()
    gw.mqtt("other") >> "CONNECT other clean=0" << "CONNACK 0 present=1"
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    lives.commit()
    gw.mqtt("other").silent()
    gw.mqtt("s") << "PUBREL 1" >> "PUBCOMP 1"
    lives.commit()
    gw = lives.kill()
    gw.mqtt("other") >> "CONNECT other clean=0" << "CONNACK 0 present=1"
    gw.mqtt("s") >> "CONNECT s clean=0" << "CONNACK 0 present=1"
    lives.commit()
    gw.mqtt("s").silent()
    gw.mqtt("other").silent()
    assert not lives.store.kept.entries
