"""`x-mx-dedup`: what a producer says again under the same key is acknowledged again, and is one message."""

import pytest
from harness import DROP, Gateway, MqttParty
from test_restart_transcripts import Lives


@pytest.fixture
def gw() -> Gateway:
    return Gateway()


@pytest.fixture
def lives() -> Lives:
    return Lives()


def bodies(gw: Gateway) -> list[str]:
    """What is in the queue q."""
    gw.stomp("reader") >> "SUBSCRIBE id:r destination:/queue/q"
    return gw.stomp("reader").bodies()


def connected(gw: Gateway, name: str) -> MqttParty:
    """An MQTT 5 client."""
    party = gw.mqtt(name, 5)
    party >> f"CONNECT {name}" << "CONNACK 0 present=0"
    return party


@pytest.mark.parametrize(("qos", "answer"), [(1, "PUBACK"), (2, "PUBREC")])
def test_mqtt(gw: Gateway, qos: int, answer: str) -> None:
    device = connected(gw, "p")
    for n in (1, 2):
        device >> f"PUBLISH $queue/q qos={qos} id={n} user.x-mx-dedup=k hi" << f"{answer} {n}"
    device >> f"PUBLISH $queue/q qos={qos} id=3 user.x-mx-dedup=k other" << f"{answer} 3 0x83"
    assert bodies(gw) == ["hi"]


def test_mqtt_to_a_topic(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:s destination:/topic/a"
    device = connected(gw, "p")
    (
        device
        >> "PUBLISH a user.x-mx-dedup=k hi"
        >> "PUBLISH a user.x-mx-dedup=k hi"
        >> "PUBLISH a user.x-mx-dedup=l hi"
    )
    assert gw.stomp("s").bodies() == ["hi", "hi"]


def test_the_key_is_for_the_broker_alone(gw: Gateway) -> None:
    device = connected(gw, "p")
    subscriber = connected(gw, "s")
    subscriber >> "SUBSCRIBE 1 a" << "SUBACK 1 0"
    device >> "PUBLISH a user.x-mx-dedup=k user.n=1 hi"
    subscriber << "PUBLISH a user.n=1 hi"
    gw.stomp("script") >> "SEND destination:/topic/a x-mx-dedup:l n:2 body:ho"
    assert "dedup" not in str(subscriber.rest())


def test_stomp(gw: Gateway) -> None:
    script = gw.stomp("p")
    for n in (1, 2):
        script >> f"SEND destination:/queue/q x-mx-dedup:k receipt:{n} body:hi" << f"RECEIPT receipt-id:{n}"
    assert bodies(gw) == ["hi"]
    script >> "SEND destination:/queue/q x-mx-dedup:k receipt:3 body:other" << "ERROR receipt-id:3"


def test_stomp_to_several_destinations_and_later(gw: Gateway) -> None:
    script = gw.stomp("p")
    for _ in range(2):
        script >> "SEND destination:/queue/q,/queue/r x-mx-dedup:k body:both"
        script >> "SEND destination:/queue/q x-mx-dedup:l AMQ_SCHEDULED_DELAY:1000 body:later"
    gw.advance(2_000)
    assert bodies(gw) == ["both", "later"]
    assert gw.broker.queues["queue:r"].depth == 1


def test_stomp_in_transactions(gw: Gateway) -> None:
    script = gw.stomp("p")
    for name, end in (("a", "ABORT"), ("b", "COMMIT"), ("c", "COMMIT")):
        script >> f"BEGIN transaction:{name}"
        for _ in range(2):
            script >> f"SEND destination:/queue/q transaction:{name} x-mx-dedup:k body:hi"
        script >> f"{end} transaction:{name} receipt:{name}" << f"RECEIPT receipt-id:{name}"
    assert bodies(gw) == ["hi"]


def test_a_producer_that_was_not_answered_before_the_crash_repeats_and_has_one_message(lives: Lives) -> None:
    gw = lives.gw
    said = "SEND destination:/queue/q persistent:true x-mx-dedup:k receipt:1 body:hi"
    gw.stomp("p") >> said
    gw.stomp("p").silent()
    # It is safe, and the RECEIPT never reaches the producer.
    lives.commit()
    gw = lives.kill()
    gw.stomp("p") >> said
    lives.commit()
    gw.stomp("p") << "RECEIPT receipt-id:1"
    assert gw.broker.queues["queue:q"].depth == 1


def test_a_producer_whose_message_was_lost_in_the_crash_repeats_and_has_one_message(lives: Lives) -> None:
    gw = lives.gw
    said = "SEND destination:/queue/q persistent:true x-mx-dedup:k receipt:1 body:hi"
    gw.stomp("p") >> said
    gw = lives.kill()
    gw.stomp("p") >> said
    gw.stomp("p").silent()
    lives.commit()
    gw.stomp("p") << "RECEIPT receipt-id:1"
    assert gw.broker.queues["queue:q"].depth == 1


def test_qos_1_over_a_crash_with_a_new_packet_id(lives: Lives) -> None:
    gw = lives.gw
    connected(gw, "p") >> "PUBLISH $queue/q qos=1 id=1 user.x-mx-dedup=k hi"
    lives.commit()
    gw = lives.kill()
    device = connected(gw, "p")
    device >> "PUBLISH $queue/q qos=1 id=7 user.x-mx-dedup=k hi"
    lives.commit()
    device << "PUBACK 7" >> DROP
    assert gw.broker.queues["queue:q"].depth == 1


def test_a_transaction_that_repeats_what_is_not_safe_yet_has_its_receipt_when_that_is(lives: Lives) -> None:
    gw = lives.gw
    said = "SEND destination:/queue/q persistent:true x-mx-dedup:k"
    gw.stomp("p") >> f"{said} receipt:1 body:hi"
    gw.stomp("again") >> "BEGIN transaction:t" >> f"{said} transaction:t body:hi"
    gw.stomp("again") >> "COMMIT transaction:t receipt:2"
    gw.stomp("again").silent()
    lives.commit()
    gw.stomp("again") << "RECEIPT receipt-id:2"
    assert bodies(gw) == ["hi"]
