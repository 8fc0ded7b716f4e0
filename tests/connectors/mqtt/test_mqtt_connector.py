"""One MQTT connection after another, against the core, with the clause in each name."""

import pytest
from mqtt_client import Client, World, because, payloads

from gateway.connectors.base import Limits
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.core.flow import Publisher
from gateway.core.router import LimitReached
from gateway.store.memory import HeldStore
from protocols.mqtt.frames import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    SubscriptionRequest,
    Unsuback,
    Unsubscribe,
    Will,
)
from protocols.mqtt.properties import Properties, decode_properties

# -- connecting


def test_connack_says_accepted_3_1_1() -> None:
    assert World().client().received() == [Connack(False, 0)]


def test_connack_5_names_our_limits() -> None:
    [connack] = World(limits=Limits(max_frame_size=5000)).client(version=5).received()
    assert isinstance(connack, Connack)
    assert connack.code == 0
    assert connack.properties is not None
    assert connack.properties.maximum_packet_size == 5000
    assert connack.properties.receive_maximum == 1000
    assert connack.properties.topic_alias_maximum == 10


def test_3_1_3_8_empty_client_id_needs_a_clean_session() -> None:
    client = World().client("", clean_start=False)
    assert client.received() == [Connack(False, 2)]
    assert client.connector.closing


def test_5_3_1_3_1_empty_client_id_is_assigned_one() -> None:
    [connack] = World().client("", version=5).received()
    assert isinstance(connack, Connack)
    assert connack.properties is not None
    assert connack.properties.assigned_client_id


def test_connection_above_the_maximum_is_refused_in_words() -> None:
    world = World()
    for version, code in ((4, 3), (5, 0x97)):
        client = Client(world, version)
        client.connector.refuse(world.now_ms)
        client.send(Connect("c", protocol_version=version))
        [connack] = client.received()
        assert isinstance(connack, Connack)
        assert (connack.code, client.connector.closing) == (code, True)


def test_anonymous_clients_are_refused_where_not_allowed() -> None:
    world = World(limits=Limits(allow_anonymous=False))
    assert world.client().received() == [Connack(False, 5)]
    assert world.client(username="u", password=b"p").received() == [Connack(False, 0)]


def test_unknown_authentication_method_is_0x8c() -> None:
    properties = Properties()
    properties.authentication_method = "K"
    [connack] = World().client(version=5, properties=properties).received()
    assert isinstance(connack, Connack)
    assert connack.code == 0x8C


def test_too_many_sessions_is_0x97() -> None:
    world = World(MqttSettings(sessions_max=1))
    world.client("a")
    [connack] = world.client("b", version=5).received()
    assert isinstance(connack, Connack)
    assert connack.code == 0x97


def test_too_many_sessions_of_one_user_are_0x97_until_one_is_gone() -> None:
    world = World(MqttSettings(sessions_per_user_max=1))
    ann, bob = Publisher("a", None), Publisher("b", None)
    ann.user, bob.user = "ann", "bob"
    sessions = world.service.sessions
    first, _ = sessions.open("a1", True, None, world.now_ms, ann)
    with pytest.raises(LimitReached, match="one user"):
        sessions.open("a2", True, None, world.now_ms, ann)
    sessions.open("b1", True, None, world.now_ms, bob)
    # The same client id is the same session.
    assert sessions.open("a1", False, None, world.now_ms, ann) == (first, True)
    sessions.adopted(first)
    sessions.disconnected(first, world.now_ms)
    sessions.open("a2", True, None, world.now_ms, ann)


def test_a_client_above_the_sessions_of_its_user_is_told_0x97() -> None:
    world = World(MqttSettings(sessions_per_user_max=1))
    world.client("a", username="ann")
    [connack] = world.client("b", version=5, username="ann").received()
    assert isinstance(connack, Connack)
    assert connack.code == 0x97


def test_auth_out_of_turn_is_a_protocol_error() -> None:
    client = World().client(version=5)
    client.received()
    client.send(Auth(0x18))
    assert client.received() == [Disconnect(0x82)]
    assert client.connector.closing


def test_pingreq_is_answered() -> None:
    client = World().client()
    client.received()
    assert client.send(Pingreq()).received() == [Pingresp()]


def test_3_1_2_24_silence_of_one_and_a_half_keep_alives_ends_the_connection() -> None:
    world = World()
    client = world.client(version=5, keep_alive_s=10)
    client.received()
    due = client.connector.next_deadline_ms()
    assert due == world.now_ms + 15_000
    client.connector.deadline(due)
    assert client.received() == [Disconnect(0x8D)]
    assert client.connector.closing
    assert client.connector.failure


def test_client_that_is_held_back_is_not_blamed_for_its_silence() -> None:
    world = World()
    client = world.client(keep_alive_s=10)
    client.received()
    client.connector.throttle(True)
    assert client.connector.next_deadline_ms() is None
    world.broker.now_ms = world.now_ms + 60_000
    client.connector.throttle(False)
    assert client.connector.next_deadline_ms() == world.now_ms + 75_000


def test_server_keep_alive_rules() -> None:
    client = World(MqttSettings(keep_alive_max_s=20)).client(version=5, keep_alive_s=600)
    [connack] = client.received()
    assert isinstance(connack, Connack)
    assert connack.properties is not None
    assert connack.properties.server_keep_alive_s == 20
    assert client.connector.next_deadline_ms() == client.world.now_ms + 30_000


# -- publishing and delivering


@pytest.mark.parametrize("publisher", [3, 4, 5])
@pytest.mark.parametrize("subscriber", [3, 4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_cross_versions_and_qos(publisher: int, subscriber: int, qos: int) -> None:
    world = World()
    sub = world.client("s", subscriber).subscribe(("a/+", qos))
    pub = world.client("p", publisher)
    sub.received()
    pub.publish("a/b", b"hi", qos, 7 if qos else 0)
    [publish] = sub.publishes()
    assert (publish.topic, publish.payload(), publish.qos, publish.retain) == ("a/b", b"hi", qos, False)
    assert publish.packet_id == (1 if qos else 0)


def test_same_version_gets_the_very_packet_at_qos_0() -> None:
    world = World()
    sub = world.client("s").subscribe(("t", 0))
    sub.received()
    pub = world.client("p")
    packet = b"\x30\x05\x00\x01thi"
    pub.raw(packet)
    assert sub.received_bytes() == packet


def test_3_3_4_1_overlapping_filters_give_one_copy_with_the_highest_qos() -> None:
    world = World()
    sub = world.client("s").subscribe(("a/#", 0), ("a/+", 2), ("a/b", 1))
    sub.received()
    world.client("p").publish("a/b", b"1", 2, 1)
    [publish] = sub.publishes()
    assert publish.qos == 2


def test_3_3_4_subscription_identifiers_of_all_matching_filters() -> None:
    world = World()
    sub = world.client("s", 5)
    for identifier, text in ((3, "a/#"), (9, "a/b")):
        properties = Properties()
        properties.subscription_ids = [identifier]
        from protocols.mqtt.frames import Subscribe

        sub.send(Subscribe(identifier, [SubscriptionRequest(text, 1)], identifier, properties))
    sub.received()
    world.client("p", 5).publish("a/b", b"1", 1, 1)
    [publish] = sub.publishes()
    assert sorted(decode_properties(publish.properties).subscription_ids) == [3, 9]


def test_qos_1_is_acknowledged_and_frees_its_packet_id() -> None:
    world = World()
    pub = world.client("p")
    sub = world.client("s").subscribe(("t", 1))
    pub.received(), sub.received()
    pub.publish("t", b"1", 1, 5)
    assert pub.received() == [Puback(5)]
    [first] = sub.publishes()
    sub.send(Puback(first.packet_id))
    session = world.service.sessions.get("s")
    assert session is not None
    assert not session.inflight


def test_4_3_3_qos_2_is_published_once_however_often_it_comes() -> None:
    world = World()
    pub = world.client("p")
    sub = world.client("s").subscribe(("t", 2))
    pub.received(), sub.received()
    pub.publish("t", b"1", 2, 5).publish("t", b"1", 2, 5, dup=True)
    assert pub.received() == [Pubrec(5), Pubrec(5)]
    assert len(sub.publishes()) == 1
    assert pub.send(Pubrel(5)).received() == [Pubcomp(5)]
    pub.publish("t", b"2", 2, 5)
    assert pub.received() == [Pubrec(5)]
    assert payloads(sub.publishes()) == [b"2"]


def test_4_3_3_qos_2_delivery_runs_through_pubrel_and_pubcomp() -> None:
    world = World()
    sub = world.client("s").subscribe(("t", 2))
    sub.received()
    world.client("p").publish("t", b"1", 2, 1)
    [publish] = sub.publishes()
    assert sub.send(Pubrec(publish.packet_id)).received() == [Pubrel(publish.packet_id)]
    sub.send(Pubcomp(publish.packet_id))
    session = world.service.sessions.get("s")
    assert session is not None
    assert not session.inflight


def test_5_pubrel_for_an_unknown_id_is_answered_0x92() -> None:
    client = World().client(version=5)
    client.received()
    assert client.send(Pubrel(9)).received() == [Pubcomp(9, 0x92)]


def test_5_puback_0x10_without_subscribers() -> None:
    client = World().client(version=5)
    client.received()
    client.publish("nobody", b"1", 1, 3)
    assert client.received() == [Puback(3, 0x10)]


def test_confirmation_waits_for_the_store() -> None:
    store = HeldStore()
    world = World(store=store)
    session_kept = {"clean_start": False}
    sub = world.client("s", **session_kept).subscribe(("t", 1))
    pub = world.client("p")
    pub.received(), sub.received()
    pub.publish("t", b"1", 1, 5).publish("other", b"2", 1, 6)
    assert pub.received() == []
    world.broker.on_durable(store.release())
    assert pub.received() == [Puback(5), Puback(6)]


def test_receive_maximum_bounds_what_is_in_flight() -> None:
    world = World()
    properties = Properties()
    properties.receive_maximum = 2
    sub = world.client("s", 5, properties=properties).subscribe(("t", 1))
    pub = world.client("p")
    sub.received()
    for n in range(5):
        pub.publish("t", b"%d" % n, 1, n + 1)
    first = sub.publishes()
    assert payloads(first) == [b"0", b"1"]
    sub.send(Puback(first[0].packet_id))
    assert payloads(sub.publishes()) == [b"2"]


def test_5_more_than_our_receive_maximum_is_0x93() -> None:
    world = World(MqttSettings(receive_maximum=2), store=HeldStore())
    client = world.client("p", 5)
    client.received()
    for packet_id in (1, 2, 3):
        client.publish("t", b"x", 2, packet_id)
    assert client.received()[-1] == Disconnect(0x93)


def test_3_1_2_11_4_packet_above_the_clients_maximum_is_skipped_and_the_session_goes_on() -> None:
    world = World()
    properties = Properties()
    properties.maximum_packet_size = 50
    sub = world.client("s", 5, properties=properties).subscribe(("t", 1))
    pub = world.client("p")
    sub.received()
    pub.publish("t", b"x" * 100, 1, 1).publish("t", b"small", 1, 2)
    assert payloads(sub.publishes()) == [b"small"]


def test_5_expiry_counts_down_and_is_rounded_up() -> None:
    world = World()
    sub = world.client("s", 5, clean_start=False, properties=_expiry(600)).subscribe(("t", 1))
    sub.received()
    sub.lose()
    properties = Properties()
    properties.message_expiry_s = 100
    world.client("p", 5).publish("t", b"1", 1, 1, properties=properties)
    world.advance(10_500)
    again = world.client("s", 5, clean_start=False)
    [publish] = again.publishes()
    assert decode_properties(publish.properties).message_expiry_s == 90


def _expiry(seconds: int) -> Properties:
    properties = Properties()
    properties.session_expiry_s = seconds
    return properties


def test_5_topic_alias_is_resolved_and_not_passed_on() -> None:
    world = World()
    sub = world.client("s", 5).subscribe(("t", 0))
    pub = world.client("p", 5)
    sub.received()
    properties = Properties()
    properties.topic_alias = 4
    properties.user = [("k", "1"), ("k", "2")]
    pub.publish("t", b"1", properties=properties).publish("", b"2", properties=properties)
    first, second = sub.publishes()
    assert (first.topic, second.topic) == ("t", "t")
    assert decode_properties(second.properties).user == [("k", "1"), ("k", "2")]
    assert second.topic_alias == 0


@pytest.mark.parametrize("topic", ["$SYS/x", "$share/g/t"])
def test_publish_to_reserved_topics(topic: str) -> None:
    client = World().client(version=5)
    client.received()
    why = because(f"nobody may publish to {topic}")
    assert client.publish(topic, b"1", 1, 3).received() == [Puback(3, 0x87, why)]
    old = World(MqttSettings(publish_denied="disconnect")).client()
    old.publish(topic)
    assert old.connector.closing


# -- retained


def test_3_3_1_3_retained_message_follows_the_suback_with_the_flag_set() -> None:
    world = World()
    world.client("p").publish("s/1", b"on", 1, 1, retain=True)
    sub = world.client("s").subscribe(("s/#", 1))
    _, suback, publish = sub.received()
    assert isinstance(suback, Suback)
    assert isinstance(publish, Publish)
    assert (publish.topic, publish.payload(), publish.retain, publish.qos) == ("s/1", b"on", True, 1)


def test_3_3_1_10_empty_payload_clears_the_retained_message() -> None:
    world = World()
    pub = world.client("p").publish("t", b"on", retain=True)
    pub.publish("t", b"", retain=True)
    assert world.client("s").subscribe(("t", 0)).publishes() == []


def test_live_copies_lose_the_flag_unless_retain_as_published() -> None:
    world = World()
    plain = world.client("a", 5).subscribe(("t", 0))
    kept = world.client("b", 5).subscribe(SubscriptionRequest("t", 0, retain_as_published=True))
    plain.received(), kept.received()
    world.client("p", 5).publish("t", b"1", retain=True)
    assert [p.retain for p in plain.publishes()] == [False]
    assert [p.retain for p in kept.publishes()] == [True]


@pytest.mark.parametrize(("handling", "first", "second"), [(0, 1, 1), (1, 1, 0), (2, 0, 0)])
def test_3_8_3_1_retain_handling(handling: int, first: int, second: int) -> None:
    world = World()
    world.client("p").publish("t", b"1", retain=True)
    sub = world.client("s", 5)
    request = SubscriptionRequest("t", 0, retain_handling=handling)
    assert len(sub.subscribe(request).publishes()) == first
    assert len(sub.subscribe(request).publishes()) == second


def test_no_local_keeps_own_messages_away() -> None:
    client = World().client(version=5).subscribe(SubscriptionRequest("t", 1, no_local=True))
    client.received()
    assert client.publish("t", b"1", 0).publish("t", b"1", 1, 1).publishes() == []


# -- sessions


def test_4_1_session_keeps_messages_while_the_client_is_away_and_in_order() -> None:
    world = World()
    sub = world.client("s", clean_start=False).subscribe(("t", 1))
    sub.lose()
    pub = world.client("p")
    for n in range(5):
        pub.publish("t", b"%d" % n, 1, n + 1)
    again = world.client("s", clean_start=False)
    connack, *publishes = again.received()
    assert connack == Connack(True, 0)
    assert [p.payload() for p in publishes if isinstance(p, Publish)] == [b"0", b"1", b"2", b"3", b"4"]


def test_4_4_unacknowledged_messages_come_again_in_order_with_dup_and_the_same_id() -> None:
    world = World()
    sub = world.client("s", clean_start=False).subscribe(("t", 2))
    pub = world.client("p")
    sub.received()
    for n in range(3):
        pub.publish("t", b"%d" % n, 1 if n == 1 else 2, n + 1)
    first = sub.publishes()
    sub.send(Pubrec(first[2].packet_id))
    sub.lose()
    again = world.client("s", clean_start=False)
    connack, a, b, c = again.received()
    assert connack == Connack(True, 0)
    assert isinstance(a, Publish)
    assert isinstance(b, Publish)
    assert (a.payload(), a.dup, a.packet_id) == (b"0", True, first[0].packet_id)
    assert (b.payload(), b.dup, b.packet_id) == (b"1", True, first[1].packet_id)
    assert c == Pubrel(first[2].packet_id)


def test_3_1_2_4_clean_start_forgets_the_session() -> None:
    world = World()
    world.client("s", clean_start=False).subscribe(("t", 1)).lose()
    world.client("p").publish("t", b"1", 1, 1)
    assert world.client("s", clean_start=True).received() == [Connack(False, 0)]
    assert [key for key in world.broker.queues if key.startswith("session:1:s")] == []


def test_3_1_4_take_over_tells_the_old_connection() -> None:
    world = World()
    old = world.client("s", 5)
    old.received()
    new = world.client("s", 5, clean_start=False)
    assert old.received() == [Disconnect(0x8E)]
    assert old.connector.closing
    old.lose()
    assert [type(p) for p in new.received()] == [Connack]
    assert world.service.sessions.connected == 1


def test_5_session_expires() -> None:
    world = World()
    world.client("s", 5, properties=_expiry(10)).subscribe(("t", 1)).lose()
    world.advance(9_000)
    assert len(world.service.sessions) == 1
    world.advance(1_001)
    assert len(world.service.sessions) == 0
    assert world.broker.topics.bindings_count == 0


def test_3_14_2_2_2_expiry_cannot_be_set_at_disconnect_when_it_was_0() -> None:
    client = World().client(version=5)
    client.received()
    client.send(Disconnect(0, _expiry(10)))
    assert client.received() == [Disconnect(0x82)]


def test_session_holds_only_so_many_messages_and_counts_what_it_drops() -> None:
    world = World(MqttSettings(queued_messages_max=3))
    world.client("s", clean_start=False).subscribe(("t", 1)).lose()
    pub = world.client("p")
    for n in range(5):
        pub.publish("t", b"%d" % n, 1, n + 1)
    assert payloads(world.client("s", clean_start=False).publishes()) == [b"2", b"3", b"4"]
    assert world.broker.counters.dropped_full == 2


# -- wills


def test_3_1_2_5_will_is_published_when_the_connection_breaks() -> None:
    world = World()
    sub = world.client("s").subscribe(("w", 1))
    sub.received()
    world.client("c", will=Will("w", b"gone", 1, False)).lose()
    assert payloads(sub.publishes()) == [b"gone"]


@pytest.mark.parametrize(("reason", "count"), [(0x00, 0), (0x04, 1)])
def test_3_14_disconnect_drops_the_will_unless_0x04(reason: int, count: int) -> None:
    world = World()
    sub = world.client("s").subscribe(("w", 0))
    sub.received()
    client = world.client("c", 5, will=Will("w", b"gone", 0, False))
    client.send(Disconnect(reason)).lose()
    assert len(sub.publishes()) == count


def test_3_1_3_2_2_will_delay_is_cancelled_by_the_clients_return() -> None:
    world = World()
    sub = world.client("s").subscribe(("w", 0))
    sub.received()
    will = Will("w", b"gone", 0, False, delay_s=5)
    world.client("c", 5, will=will, properties=_expiry(60)).lose()
    world.advance(4_000)
    world.client("c", 5, clean_start=False, properties=_expiry(60))
    world.advance(10_000)
    assert sub.publishes() == []


def test_will_delay_ends_with_the_session() -> None:
    world = World()
    sub = world.client("s").subscribe(("w", 0))
    sub.received()
    will = Will("w", b"gone", 0, False, delay_s=500)
    world.client("c", 5, will=will, properties=_expiry(2)).lose()
    world.advance(1_000)
    assert sub.publishes() == []
    world.advance(1_001)
    assert payloads(sub.publishes()) == [b"gone"]


# -- shared subscriptions and queues


def test_4_8_2_each_message_goes_to_one_member() -> None:
    world = World()
    members = [world.client(name).subscribe(("$share/g/t/#", 1)) for name in "ab"]
    for member in members:
        member.received()
    pub = world.client("p")
    for n in range(10):
        pub.publish("t/x", b"%d" % n, 1, n + 1)
    got = [payloads(member.publishes()) for member in members]
    assert sorted(got[0] + got[1]) == [b"%d" % n for n in range(10)]
    assert [len(share) for share in got] == [5, 5]


def test_4_8_2_unacknowledged_messages_go_to_another_member() -> None:
    world = World()
    first = world.client("a").subscribe(("$share/g/t", 1))
    second = world.client("b").subscribe(("$share/g/t", 1))
    first.received(), second.received()
    pub = world.client("p")
    for n in range(2):
        pub.publish("t", b"%d" % n, 1, n + 1)
    [kept] = payloads(second.publishes())
    [lost] = payloads(first.publishes())
    first.lose()
    assert payloads(second.publishes()) == [lost]
    assert kept != lost


def test_queue_is_read_by_competing_consumers_and_kept_without_them() -> None:
    world = World()
    pub = world.client("p")
    pub.publish("$queue/jobs", b"1", 1, 1)
    sub = world.client("s").subscribe(("$queue/jobs", 1))
    [publish] = sub.publishes()
    assert (publish.topic, publish.payload()) == ("$queue/jobs", b"1")
    sub.send(Puback(publish.packet_id))
    assert world.broker.queue("jobs").depth == 0


def test_5_1_negative_acknowledgement_dead_letters() -> None:
    world = World()
    sub = world.client("s", 5).subscribe(("$queue/jobs", 1))
    sub.received()
    world.client("p").publish("$queue/jobs", b"1", 1, 1)
    [publish] = sub.publishes()
    sub.send(Puback(publish.packet_id, 0x83))
    [dead] = world.broker.queue("DLQ").browse()
    assert dead.message.deaths is not None
    assert (dead.message.deaths[0].reason, dead.message.deaths[0].queue) == ("rejected", "queue:jobs")


# -- subscribing


def test_suback_has_a_code_for_each_filter() -> None:
    client = World().client(version=5)
    client.received()
    client.subscribe(("ok", 2), ("a/#/b", 0), ("$queue/+", 1), packet_id=9)
    assert client.received() == [Suback(9, [2, 0x8F, 0x8F], because("topic filter invalid"))]
    old = World().client()
    old.received()
    assert old.subscribe(("$queue/+", 1)).received() == [Suback(1, [0x80])]


def test_subscription_limit_is_0x97() -> None:
    client = World(limits=Limits(max_subscriptions=1)).client(version=5)
    client.received()
    assert client.subscribe(("a", 0), ("b", 0)).received() == [
        Suback(1, [0, 0x97], because("quota exceeded"))
    ]


def test_unsuback_5_says_what_was_there() -> None:
    client = World().client(version=5).subscribe(("a", 1))
    client.received()
    assert client.send(Unsubscribe(2, ["a", "b"])).received() == [Unsuback(2, [0, 0x11])]
    assert client.publish("a", b"x").publishes() == []
