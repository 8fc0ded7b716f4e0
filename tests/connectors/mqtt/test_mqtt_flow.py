"""What goes to a client, at its pace and within its limits: aliases, retained messages, resends, sizes; and $SYS."""

import json

import pytest
from mqtt_client import Client, World, payloads

from gateway.connectors.base import Limits
from gateway.connectors.mqtt.resending import LOOKED_AT_ONCE
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.connectors.parts import LONG
from gateway.core.limits import DROP_OLDEST
from gateway.core.searching import NODES_AT_ONCE
from protocols.mqtt.frames import (
    Connect,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    SubscriptionRequest,
)
from protocols.mqtt.properties import Properties


def connected(world: World, client_id: str = "s", clean: bool = True, **wishes: int) -> Client:
    """An MQTT 5 client with these properties in its CONNECT, its CONNACK read."""
    properties = Properties()
    for name, value in wishes.items():
        setattr(properties, name, value)
    client = Client(world, 5)
    client.send(Connect(client_id, clean, protocol_version=5, properties=properties))
    client.received()
    return client


# -- topic aliases (§3.3.2.3.4)


@pytest.mark.parametrize("qos", [0, 1])
def test_3_3_2_3_4_the_first_message_carries_topic_and_alias_the_next_the_alias_alone(qos: int) -> None:
    world = World()
    client = connected(world, topic_alias_maximum=5).subscribe(("sensors/#", qos))
    client.received()
    publisher = world.client("p")
    for number in range(3):
        publisher.publish("sensors/1", b"%d" % number, qos, number + 1 if qos else 0)
    packets = client.publishes()
    assert [p.topic_alias for p in packets] == [1, 1, 1]
    assert [p.topic for p in packets] == ["sensors/1"] * 3
    assert [b"sensors/1" in p.frame for p in packets] == [True, False, False]
    assert payloads(packets) == [b"0", b"1", b"2"]


def test_3_3_2_3_4_no_more_aliases_than_the_client_and_we_want() -> None:
    world = World(MqttSettings(topic_alias_send_maximum=2))
    client = connected(world, topic_alias_maximum=9).subscribe(("#", 0))
    client.received()
    for topic in ("topic/1", "topic/2", "topic/3", "topic/3", "topic/2"):
        world.client("p").publish(topic)
    assert [p.topic_alias for p in client.publishes()] == [1, 2, 0, 0, 2]


def test_3_1_2_11_5_who_does_not_ask_gets_none() -> None:
    world = World()
    client = connected(world).subscribe(("#", 0))
    client.received()
    for _ in range(2):
        world.client("p").publish("topic/1")
    assert [p.topic_alias for p in client.publishes()] == [0, 0]


def test_an_alias_costs_nothing_but_its_three_bytes_and_keeps_the_properties() -> None:
    world = World()
    client = connected(world, topic_alias_maximum=5).subscribe(SubscriptionRequest("topic/#", 1))
    client.received()
    properties = Properties()
    properties.user = [("a", "1"), ("a", "2")]
    properties.message_expiry_s = 60
    publisher = connected(world, "p")
    for packet_id in (1, 2):
        publisher.publish("topic/" + "x" * 200, b"z" * 200, 1, packet_id, properties=properties)
    first, second = client.publishes()
    assert len(first.frame) - len(second.frame) == 206
    assert second.properties == first.properties
    assert second.expiry_s == 60
    assert second.payload() == b"z" * 200


def test_an_alias_is_not_set_up_by_a_message_that_may_be_dropped() -> None:
    world = World(limits=Limits(output_buffer=2_000, slow_consumer=DROP_OLDEST))
    client = connected(world, topic_alias_maximum=5).subscribe(("#", 0))
    client.received()
    publisher = world.client("p")
    client.connector.writable(False)
    for number in range(60):
        publisher.publish(f"topic/{number % 3}", b"x" * 100)
    assert client.connector.counters.dropped_slow > 0
    client.connector.writable(True)
    # Each alias that comes is known to the decoder, or it would raise.
    got = client.publishes()
    publisher.publish("topic/1", b"x")
    got += client.publishes()
    assert {p.topic for p in got} == {"topic/0", "topic/1", "topic/2"}


# -- retained messages, paced


def retained(world: World, count: int, qos: int, size: int = 100) -> None:
    publisher = world.client("p")
    for number in range(count):
        publisher.publish(f"r/{number}", b"x" * size, qos, number + 1 if qos else 0, retain=True)
    publisher.lose()


def test_3_8_4_retained_messages_wait_for_a_slow_reader_and_none_is_dropped() -> None:
    world = World(limits=Limits(output_buffer=4_096, slow_consumer=DROP_OLDEST))
    retained(world, 1_000, 0)
    client = connected(world).subscribe(("r/#", 0))
    assert client.connector.out_bytes < 8_192
    seen: list[str] = []
    while got := client.publishes():
        seen += [p.topic for p in got]
    assert sorted(seen) == sorted([f"r/{n}" for n in range(1_000)])
    assert client.connector.counters.dropped_slow == 0


def test_3_8_4_retained_messages_of_qos_1_follow_the_acknowledgements() -> None:
    world = World(MqttSettings(queued_messages_max=150))
    retained(world, 1_000, 1)
    client = connected(world, receive_maximum=10).subscribe(("r/#", 1))
    seen: list[str] = []
    while got := client.publishes():
        assert len(got) <= 10
        seen += [p.topic for p in got]
        for publish in got:
            client.send(Puback(publish.packet_id))
    assert sorted(seen) == sorted([f"r/{n}" for n in range(1_000)])
    assert world.broker.counters.dropped_full == 0


def test_3_8_4_a_value_replaced_meanwhile_is_not_sent_after_the_new_one() -> None:
    world = World(limits=Limits(output_buffer=1_024))
    retained(world, 100, 0)
    client = connected(world).subscribe(("r/#", 0))
    world.client("p").publish("r/99", b"new", retain=True)
    world.client("p").publish("r/98", b"", retain=True)
    seen: dict[str, list[bytes]] = {}
    while got := client.publishes():
        for publish in got:
            seen.setdefault(publish.topic, []).append(publish.payload())
    assert seen["r/99"] == [b"new"]
    assert seen["r/98"] == [b""]
    assert len(seen) == 100


def test_3_10_4_unsubscribing_ends_the_replay() -> None:
    world = World(limits=Limits(output_buffer=1_024))
    retained(world, 100, 0)
    client = connected(world).subscribe(("r/#", 0))
    session = world.service.sessions.get("s")
    assert session is not None
    session.unsubscribe("r/#")
    count = 0
    while got := client.publishes():
        count += len(got)
    assert 0 < count < 100


def test_a_replay_goes_on_with_the_next_connection_of_the_session() -> None:
    world = World()
    retained(world, 300, 1)
    client = connected(world, clean=False, session_expiry_s=100, receive_maximum=10).subscribe(("r/#", 1))
    first = client.publishes()
    for publish in first:
        client.send(Puback(publish.packet_id))
    client.lose()
    client = connected_again(world, receive_maximum=10)
    seen = {p.topic for p in first}
    while got := client.publishes():
        for publish in got:
            seen.add(publish.topic)
            client.send(Puback(publish.packet_id))
    assert len(seen) == 300


def connected_again(world: World, **wishes: int) -> Client:
    """Back to the session; what follows the CONNACK is still to be read."""
    properties = Properties()
    properties.session_expiry_s = 100
    for name, value in wishes.items():
        setattr(properties, name, value)
    client = Client(world, 5)
    return client.send(Connect("s", False, protocol_version=5, properties=properties))


# -- resending within Receive Maximum (§4.9)


def test_4_9_what_is_sent_again_stays_within_the_new_receive_maximum() -> None:
    world = World()
    client = connected(world, clean=False, session_expiry_s=100, receive_maximum=10).subscribe(("t", 1))
    client.received()
    publisher = world.client("p")
    for number in range(12):
        publisher.publish("t", b"%d" % number, 1, number + 1)
    assert len(client.publishes()) == 10
    client.lose()
    client = connected_again(world, receive_maximum=3)
    got = client.publishes()
    assert payloads(got) == [b"0", b"1", b"2"]
    assert all(p.dup for p in got)
    order: list[bytes] = payloads(got)
    while got:
        client.send(Puback(got[0].packet_id))
        got = got[1:] + client.publishes()
        assert len(got) <= 3
        order += payloads(got[-1:]) if len(got) == 3 else []
    assert order == [b"%d" % n for n in range(12)]


def test_3_3_4_9_the_end_of_an_exchange_whose_publish_went_before_gives_no_room_for_another() -> None:
    world = World()
    client = connected(world, clean=False, session_expiry_s=100, receive_maximum=10).subscribe(("t", 2))
    client.received()
    publisher = world.client("p")
    for number in range(6):
        publisher.publish("t", b"%d" % number, 2, number + 1)
    begun = client.publishes()
    for publish in begun[:3]:
        client.send(Pubrec(publish.packet_id))
    client.lose()
    client = connected_again(world, receive_maximum=1)
    assert payloads(client.publishes()) == [b"3"]
    for publish in begun[:3]:
        client.send(Pubcomp(publish.packet_id))
    assert client.publishes() == []
    for number in (3, 4, 5):
        client.send(Pubrec(begun[number].packet_id)).send(Pubcomp(begun[number].packet_id))
        assert payloads(client.publishes()) == [b"%d" % more for more in range(number + 1, 6)][:1]


@pytest.mark.parametrize("received", [False, True], ids=["not received", "received meanwhile"])
def test_4_9_json_that_turns_out_too_large_when_it_is_sent_again_gives_its_room_back(received: bool) -> None:
    world = World()
    client = connected(world, clean=False, session_expiry_s=100, receive_maximum=10).subscribe(("$json/t", 2))
    publisher = world.client("p")
    for number, payload in enumerate((b"\0" * LONG, b"1", b"2")):
        publisher.publish("t", payload, 2, number + 1)
    client.received()
    client.lose()
    client = connected_again(world, receive_maximum=1, maximum_packet_size=1_000)
    if received:
        # Of the connection before: the first is the client's, whatever it takes now.
        client.send(Pubrec(1))
    packets = [packet for _ in range(20) for packet in client.received()]
    if received:
        assert [packet.packet_id for packet in packets if isinstance(packet, Pubrel)] == [1]
        client.send(Pubcomp(1))
        packets += [packet for _ in range(20) for packet in client.received()]
    got = [packet for packet in packets if isinstance(packet, Publish)]
    assert [packet.packet_id for packet in got] == [2]
    client.send(Pubrec(2)).send(Pubcomp(2))
    assert [packet.packet_id for packet in client.publishes()] == [3]
    session = world.service.sessions.get("s")
    assert session is not None
    assert not session.awaiting_pubcomp


def test_4_4_pubrel_and_publish_are_sent_again_in_their_order() -> None:
    world = World()
    client = connected(world, clean=False, session_expiry_s=100).subscribe(("t", 2))
    client.received()
    publisher = world.client("p")
    for number in range(3):
        publisher.publish("t", b"%d" % number, 2, number + 1)
    first, second, _ = client.publishes()
    client.send(Pubrec(second.packet_id))
    client.received()
    client.lose()
    client = connected_again(world)
    _, one, two, three = client.received()
    assert isinstance(one, Publish)
    assert isinstance(three, Publish)
    assert (one.packet_id, two.packet_id, three.packet_id) == (1, 2, 3)  # type: ignore[attr-defined]
    assert (one.dup, three.dup, one.payload()) == (True, True, b"0")
    client.send(Pubcomp(second.packet_id)).send(Pubrec(first.packet_id))
    client.lose()
    client = connected_again(world)
    assert [p.packet_id for p in client.received()[1:]] == [1, 3]  # type: ignore[attr-defined]


def with_very_many(world: World, count: int) -> None:
    """A session whose client is away and has `count` messages of QoS 2 unacknowledged."""
    client = connected(world, clean=False, session_expiry_s=100, receive_maximum=count).subscribe(("t", 2))
    publisher = world.client("p")
    for number in range(count):
        publisher.publish("t", b"%d" % number, 2, number + 1).received()
    assert len(client.publishes()) == count
    client.lose()


def test_4_4_very_many_are_sent_again_some_a_step_and_what_is_newer_comes_behind_them() -> None:
    world = World()
    count = 4 * LOOKED_AT_ONCE
    with_very_many(world, count)
    world.broker.chores.driven_by(lambda: None)
    client = connected_again(world, receive_maximum=2 * count)
    came = [client.publishes()]
    world.client("p2").publish("t", b"newer", 2, 1)
    while world.broker.chores:
        world.broker.chores.step()
        came.append(client.publishes())
    assert max(len(some) for some in came) <= LOOKED_AT_ONCE + 1
    every = [one for some in came for one in some] + client.publishes()
    assert payloads(every) == [b"%d" % number for number in range(count)] + [b"newer"]
    assert [one.dup for one in every] == [True] * count + [False]


def test_4_3_3_very_many_packet_ids_of_an_earlier_run_are_released_some_a_step_and_before_what_is_newer() -> (
    None
):
    world = World()
    count = 3 * LOOKED_AT_ONCE
    client = connected(world, clean=False, session_expiry_s=100).subscribe(("t", 2))
    session = client.connector.session
    assert session is not None
    client.lose()
    # What recovery finds of messages that were not kept.
    session.left_ids = set(range(1, count + 1))
    world.broker.chores.driven_by(lambda: None)
    client = connected_again(world)
    came = [client.received()[1:]]
    world.client("p").publish("t", b"newer", 2, 1)
    # One is answered before its turn.
    client.send(Pubcomp(count))
    while world.broker.chores:
        world.broker.chores.step()
        came.append(client.received())
    assert max(len(some) for some in came) <= LOOKED_AT_ONCE + 1
    every = [packet for some in came for packet in some]
    assert every[:-1] == [Pubrel(number) for number in range(1, count)]
    assert isinstance(every[-1], Publish) and every[-1].payload() == b"newer"
    assert every[-1].packet_id == count
    for number in range(1, count):
        client.send(Pubcomp(number))
    assert session.left_ids == set()


def test_4_3_3_what_the_client_answers_between_two_steps_is_not_sent_again() -> None:
    world = World()
    count = 3 * LOOKED_AT_ONCE
    with_very_many(world, count)
    world.broker.chores.driven_by(lambda: None)
    client = connected_again(world, receive_maximum=count)
    came = client.publishes()
    # Of the last it has sent a PUBREC, and of the one before it a whole exchange.
    for packet in (Pubrec(count), Pubrec(count - 1), Pubcomp(count - 1)):
        client.send(packet)
    world.broker.chores.finish()
    came += client.publishes()
    assert [one.packet_id for one in came] == list(range(1, count - 1))


@pytest.mark.parametrize("back", [False, True])
def test_4_4_a_connection_that_is_lost_between_two_steps_leaves_the_rest_to_the_next(back: bool) -> None:
    world = World()
    count = 3 * LOOKED_AT_ONCE
    with_very_many(world, count)
    world.broker.chores.driven_by(lambda: None)
    first = connected_again(world, receive_maximum=count)
    first.lose()
    second = connected_again(world, receive_maximum=count) if back else None
    world.broker.chores.finish()
    assert len(first.publishes()) <= LOOKED_AT_ONCE
    if second is None:
        second = connected_again(world, receive_maximum=count)
        world.broker.chores.finish()
    assert [one.packet_id for one in second.publishes()] == list(range(1, count + 1))


# -- Maximum Packet Size of the client (§3.1.2.11.4)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_3_1_2_11_4_what_is_too_large_is_skipped_and_counted_and_the_session_goes_on(qos: int) -> None:
    world = World()
    client = connected(world, maximum_packet_size=60, receive_maximum=1).subscribe(("t", qos))
    client.received()
    publisher = world.client("p")
    publisher.publish("t", b"x" * 100, qos, 1 if qos else 0)
    publisher.publish("t", b"fits", qos, 2 if qos else 0)
    assert payloads(client.publishes()) == [b"fits"]
    assert client.connector.counters.dropped_large == 1


def test_what_is_too_large_for_one_reader_of_a_queue_is_among_the_dead_letters() -> None:
    world = World()
    client = connected(world, maximum_packet_size=60).subscribe(("$queue/jobs", 1))
    client.received()
    world.client("p").publish("$queue/jobs", b"x" * 100, 1, 1)
    assert client.publishes() == []
    [dead] = world.broker.queue("DLQ").browse()
    assert dead.message.deaths is not None
    assert dead.message.deaths[0].reason == "unrepresentable"


# -- QoS 0 for who is away


@pytest.mark.parametrize("kept", [True, False])
def test_qos_0_is_kept_for_a_session_without_connection_by_configuration(kept: bool) -> None:
    world = World(MqttSettings(queue_qos0=kept))
    client = connected(world, clean=False, session_expiry_s=100).subscribe(("t", 0))
    client.received()
    client.lose()
    publisher = world.client("p")
    for number in range(3):
        publisher.publish("t", b"%d" % number)
    got = connected_again(world).publishes()
    assert payloads(got) == ([b"0", b"1", b"2"] if kept else [])
    assert {p.qos for p in got} <= {0}


# -- $SYS


def sys_values(client: Client) -> dict[str, str]:
    return {p.topic: p.payload().decode() for p in client.publishes()}


def test_sys_topics_say_how_the_broker_is_and_only_what_has_changed() -> None:
    world = World(MqttSettings(sys_interval_s=10))
    world.advance(0)
    client = world.client("s").subscribe(("$SYS/#", 0))
    values = sys_values(client)
    assert values["$SYS/broker/version"] == "gateway-broker"
    assert values["$SYS/broker/uptime"] == "0 seconds"
    assert values["$SYS/broker/clients/connected"] == "0"
    world.client("p").publish("t", b"x")
    world.advance(9_000)
    assert sys_values(client) == {}
    world.advance(1_000)
    values = sys_values(client)
    assert values["$SYS/broker/uptime"] == "10 seconds"
    assert values["$SYS/broker/clients/connected"] == "2"
    assert values["$SYS/broker/messages/received"] == "1"
    assert values["$SYS/broker/load/messages/received/1min"] == "1.00"
    assert "$SYS/broker/version" not in values


def test_sys_topics_hide_from_wildcards_and_can_be_turned_off() -> None:
    world = World(MqttSettings(sys_interval_s=10))
    world.advance(0)
    assert world.client("s").subscribe(("#", 0), ("+/broker/uptime", 0)).publishes() == []
    silent = World(MqttSettings(sys_interval_s=0))
    silent.advance(60_000)
    assert silent.client("s").subscribe(("$SYS/#", 0)).publishes() == []
    assert world.broker.counters.published == 0


# -- shared subscriptions that lose a member (§4.8.2)


@pytest.mark.parametrize(("qos", "again"), [(1, [b"x"]), (2, [])])
def test_4_8_2_what_a_member_that_ends_did_not_finish(qos: int, again: list[bytes]) -> None:
    world = World()
    first = world.client("a").subscribe(("$share/g/t", qos))
    assert first.publishes() == []
    world.client("p").publish("t", b"x", qos, 1)
    assert len(first.publishes()) == 1
    second = world.client("b").subscribe(("$share/g/t", qos))
    first.lose()
    assert payloads(second.publishes()) == again


# -- whole messages as JSON


def test_json_subscribers_get_all_that_is_known_of_a_message() -> None:
    world = World()
    client = world.client("s").subscribe(("$json/a/#", 1), ("$json/a/+", 0), ("a/b", 1))
    client.received()
    properties = Properties()
    properties.user = [("k", "v")]
    connected(world, "p").publish("a/b", b"hi", 1, 1, properties=properties)
    found = {p.topic: p for p in client.publishes()}
    assert set(found) == {"$json/a/b", "a/b"}
    assert found["a/b"].payload() == b"hi"
    envelope = json.loads(found["$json/a/b"].payload())
    assert (envelope["to"], envelope["properties"]) == ("topic:a.b", {"k": "v"})
    assert found["$json/a/b"].qos == 1


def test_json_of_retained_messages_queues_and_shared_subscriptions() -> None:
    world = World()
    publisher = world.client("p")
    publisher.publish("r", b"on", 1, 1, retain=True)
    publisher.publish("$queue/q", b"job", 1, 2)
    client = connected(world).subscribe(("$json/r", 1), ("$json/$queue/q", 1), ("$json/$share/g/t", 1))
    assert sorted([(p.topic, p.retain) for p in client.publishes()]) == [
        ("$json/$queue/q", False),
        ("$json/r", True),
    ]
    publisher.publish("t", b"x", 1, 3)
    assert [p.topic for p in client.publishes()] == ["$json/t"]


@pytest.mark.parametrize("text", ["$json/", "$json/$share/g", "$json/$share/+/t", "$json/$queue/+"])
def test_bad_json_filters_are_0x8f(text: str) -> None:
    client = connected(World())
    [suback] = client.subscribe((text, 0)).received()
    assert isinstance(suback, Suback)
    assert suback.codes == [0x8F]


def test_3_8_4_3_replacing_a_shared_subscription_loses_nothing() -> None:
    world = World()
    client = connected(world, receive_maximum=1).subscribe(("$share/g/t", 1))
    client.received()
    publisher = world.client("p")
    for number in range(3):
        publisher.publish("t", b"%d" % number, 1, number + 1)
    [first] = client.publishes()
    client.subscribe(SubscriptionRequest("$share/g/t", 1, retain_as_published=True))
    client.received()
    client.send(Puback(first.packet_id))
    [second] = client.publishes()
    client.send(Puback(second.packet_id))
    assert payloads([first, second, *client.publishes()]) == [b"0", b"1", b"2"]


# -- what is somebody else's


def test_2_2_1_a_packet_id_of_an_open_qos_2_exchange_is_in_use() -> None:
    world = World()
    client = connected(world, "p")
    client.publish("t", b"x", 2, 7)
    client.received()
    [puback] = client.publish("t", b"y", 1, 7).received()
    assert isinstance(puback, Puback)
    assert (puback.packet_id, puback.reason_code) == (7, 0x91)


def test_a_temporary_queue_is_read_by_its_owner_alone() -> None:
    client = connected(World())
    [suback] = client.subscribe(("$queue/mx.tmp.somebody.1", 1)).received()
    assert isinstance(suback, Suback)
    assert suback.codes == [0x87]


def test_3_8_4_very_many_retained_messages_are_searched_in_later_turns_and_all_come() -> None:
    world = World()
    retained(world, 1_000, 0)
    chores = world.broker.chores
    chores.driven_by(lambda: None)
    client = world.client("c")
    client.subscribe(("r/#", 0))
    assert client.publishes() == []
    chores.finish()
    seen = client.publishes()
    while more := client.publishes():
        seen += more
    assert [publish.topic for publish in seen] == [f"r/{number}" for number in range(1_000)]
    assert all(publish.retain for publish in seen)


def test_3_8_4_a_session_that_ends_while_its_retained_messages_are_searched_leaves_no_work() -> None:
    world = World()
    retained(world, 1_000, 0)
    chores = world.broker.chores
    chores.driven_by(lambda: None)
    client = world.client("c")
    client.subscribe(("r/#", 0))
    client.lose()
    steps = 0
    while chores.step():
        steps += 1
    # The search alone would take more than that.
    assert steps < 1_000 // NODES_AT_ONCE
    assert client.publishes() == []
