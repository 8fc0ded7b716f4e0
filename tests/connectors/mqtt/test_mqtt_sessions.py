"""What sessions leave behind and take up: their clocks, their bytes, their end."""

from itertools import pairwise, product

import pytest
from mqtt_client import Client, Properties, Will, World, payloads

from gateway.connectors.mqtt.sessions import DUE_AT_ONCE, FORGOTTEN_AT_ONCE
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.connectors.mqtt.subscribing import FILTERS_AT_ONCE
from gateway.connectors.mqtt.systopics import COUNTED_AT_ONCE
from gateway.core.leaving import LEFT_AT_ONCE
from gateway.core.limits import CoreLimits
from gateway.core.timetable import VAIN_MIN
from gateway.store.memory import Kept, MemoryStore
from protocols.mqtt.codec import encode_packet
from protocols.mqtt.constants import ReasonCode
from protocols.mqtt.frames import (
    Connack,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Suback,
    Subscribe,
    SubscriptionRequest,
    Unsuback,
    Unsubscribe,
)


def kept(seconds: int) -> Properties:
    """Keep the session for so long."""
    properties = Properties()
    properties.session_expiry_s = seconds
    return properties


def watching(world: World, topic: str = "w") -> Client:
    """A client that hears of wills."""
    watcher = world.client("watcher").subscribe((topic, 0))
    watcher.received()
    return watcher


def codes(client: Client) -> list[int]:
    """The reason codes of the SUBACKs that came."""
    return [code for packet in client.received() if isinstance(packet, Suback) for code in packet.codes]


def answer(client: Client) -> Connack:
    connack = client.received()[0]
    assert isinstance(connack, Connack)
    return connack


# -- clocks


def test_a_will_that_is_due_is_published_though_its_client_is_back_before_the_next_tick() -> None:
    # MQTT 5.0 §3.1.3.2.2: only a return before the delay has elapsed cancels it.
    world = World()
    watcher = watching(world)
    will = Will("w", b"gone", 0, False, delay_s=5)
    world.client("c", 5, will=will, clean_start=False, properties=kept(60)).lose()
    world.now_ms += 5_000
    world.client("c", 5, clean_start=False, properties=kept(60))
    assert payloads(watcher.publishes()) == [b"gone"]
    world.advance(10_000)
    assert watcher.publishes() == []


def test_a_session_whose_time_is_over_is_not_found_though_nobody_has_looked_yet() -> None:
    world = World()
    world.client("c", 5, clean_start=False, properties=kept(5)).lose()
    world.now_ms += 5_000
    assert not answer(world.client("c", 5, clean_start=False, properties=kept(5))).session_present
    assert world.service.sessions.expired == 1


def test_clocks_take_no_more_room_than_there_are_sessions_however_often_clients_come_and_go() -> None:
    world = World()
    sessions = world.service.sessions
    for n in range(1_000):
        # Each time is earlier than the one before, so none stands for it.
        world.client("c", 5, clean_start=n % 3 == 0, properties=kept(1_000_000 - n)).lose()
        world.client(f"d{n % 7}", 5, clean_start=True, properties=kept(1_000_000 - n)).lose()
        assert len(sessions._agenda) <= 2 * (2 * len(sessions) + VAIN_MIN)
    world.advance(1_000_000_000)
    assert len(sessions) == 0
    assert not sessions._agenda


def test_what_is_due_for_very_many_is_done_a_few_at_a_time() -> None:
    world = World(MqttSettings(sys_interval_s=0))
    sessions = world.service.sessions
    for n in range(5 * DUE_AT_ONCE):
        world.client(f"c{n}", 5, properties=kept(9)).lose()
    chores = world.broker.chores
    chores.driven_by(lambda: None)
    world.advance(9_000)
    world.advance(250)
    assert (len(sessions), len(chores)) == (5 * DUE_AT_ONCE, 1)
    chores.step()
    assert len(sessions) == 4 * DUE_AT_ONCE
    while chores.step():
        pass
    assert len(sessions) == 0
    # It can be done again.
    world.client("c", 5, properties=kept(9)).lose()
    world.advance(9_000)
    chores.finish()
    assert len(sessions) == 0


def test_wills_that_go_to_many_are_published_one_a_step() -> None:
    world = World()
    count = 8
    for number in range(600):
        world.client(f"reader {number}").subscribe(("t", 0)).received()
    for number in range(count):
        will = Will("t", b"x", 0, False, b"", 5)
        world.client(f"c{number}", 5, clean_start=False, will=will, properties=kept(60)).lose()
    world.broker.chores.driven_by(lambda: None)
    world.advance(6_000)
    published = [0]
    while world.broker.chores:
        world.broker.chores.step()
        published.append(world.service.sessions.wills_published)
    assert [after - before for before, after in pairwise(published) if after != before] == [1] * count


def test_the_number_of_connected_clients_is_right_after_every_kind_of_end() -> None:
    world = World()
    sessions = world.service.sessions
    first = world.client("a", 5, clean_start=False, properties=kept(9))
    second = world.client("a", 5, clean_start=False, properties=kept(9))
    third = world.client("b")
    assert sessions.connected == 2
    for gone in (first, second, third):
        gone.lose()
    assert sessions.connected == 0


def test_a_will_for_which_the_store_has_no_room_still_reaches_who_is_there() -> None:
    world = World()
    watcher = watching(world)
    client = world.client("c", will=Will("w", b"gone", 1, True))
    world.broker.store.accepting = False
    client.lose()
    assert payloads(watcher.publishes()) == [b"gone"]


def test_while_the_disk_is_full_clients_are_told_so_and_a_kept_session_keeps_what_it_has() -> None:
    world = World()
    client = world.client("c", 5, clean_start=False, properties=kept(60)).subscribe(("a", 1))
    client.received()
    world.broker.store.accepting = False
    client.subscribe(("a", 1), ("b", 1)).publish("a", b"x", 1, 1)
    suback, puback = client.received()
    assert isinstance(suback, Suback)
    assert isinstance(puback, Puback)
    assert suback.codes == [1, ReasonCode.QUOTA_EXCEEDED]
    for said in (suback.properties, puback.properties):
        assert said is not None
        assert said.reason_string == "the broker's disk is full"
    # What ends with the connection needs no disk.
    assert codes(world.client("d", 5).subscribe(("b", 1))) == [1]


# -- the end


def test_the_end_of_a_client_with_very_many_subscriptions_is_undone_a_part_at_a_time() -> None:
    world = World()
    chores = world.broker.chores
    topics = world.broker.topics
    client = world.client("c")
    for n in range(3 * FORGOTTEN_AT_ONCE):
        client.subscribe((f"t/{n}", 1))
    chores.driven_by(lambda: None)
    client.lose()
    assert topics.bindings_count == 2 * FORGOTTEN_AT_ONCE
    # Nobody is kept from using the client id, and nobody is given anything.
    again = world.client("c").subscribe(("t/1", 1))
    world.client("p").publish("t/1", qos=1, packet_id=1).publish("t/2", qos=1, packet_id=2)
    assert len(again.publishes()) == 1
    assert chores.step()
    assert topics.bindings_count == FORGOTTEN_AT_ONCE + 1
    chores.finish()
    assert topics.bindings_count == 1


def test_members_of_a_shared_subscription_that_have_ended_take_nothing() -> None:
    world = World()
    chores = world.broker.chores
    client = world.client("c", 5)
    client.subscribe(("$share/g/s", 1))
    for n in range(2 * FORGOTTEN_AT_ONCE):
        client.subscribe((f"t/{n}", 1))
    chores.driven_by(lambda: None)
    client.lose()
    other = world.client("d", 5).subscribe(("$share/g/s", 1))
    world.client("p").publish("s", b"1", qos=1, packet_id=1).publish("s", b"2", qos=1, packet_id=2)
    assert payloads(other.publishes()) == [b"1", b"2"]
    chores.finish()
    assert world.broker.topics.bindings_count == 1


def test_a_publisher_is_not_blamed_for_a_session_that_can_have_no_queue() -> None:
    world = World(MqttSettings(queue_qos0=True))
    world.client("c", 5, clean_start=False, properties=kept(9)).subscribe(("t", 0)).lose()
    world.broker.limits.queues_max = 0
    publisher = world.client("p").publish("t")
    assert not publisher.connector.closing
    assert world.broker.counters.dropped_full == 1


# -- bytes


@pytest.mark.parametrize(("version", "code"), [(4, 0x80), (5, ReasonCode.QUOTA_EXCEEDED.value)])
def test_filters_of_one_client_are_bounded_in_bytes(version: int, code: int) -> None:
    # A filter is in memory twice: as it was written, and in its levels.
    world = World(MqttSettings(session_bytes_max=199))
    client = world.client("c", version)
    client.subscribe(("a" * 60, 0), ("b" * 60, 0), ("c" * 39, 0))
    assert codes(client) == [0, code, 0]
    assert world.acceptor.counters.limit_hits == 1
    # The same filter again takes nothing, and one that is given up makes room.
    client.subscribe(("a" * 60, 1))
    assert codes(client) == [1]
    world.service.sessions.get("c").unsubscribe("a" * 60)  # type: ignore[union-attr]
    client.subscribe(("ü" * 30, 0))
    assert codes(client) == [0]


def test_filters_ids_and_wills_of_all_clients_are_bounded_in_bytes() -> None:
    world = World(MqttSettings(sessions_bytes_max=130))
    footprint = world.service.sessions.footprint
    one = world.client("c" * 10, 5, will=Will("w", b"x" * 39, 0, False))
    assert footprint.total == 50
    two = world.client("d" * 20, 5).subscribe(("e" * 30, 0), ("f", 0))
    assert codes(two) == [0, ReasonCode.QUOTA_EXCEEDED.value]
    for words in ({}, {"will": Will("w", b"", 0, False)}):
        refused = world.client("g", 5, **words)
        assert answer(refused).code == ReasonCode.QUOTA_EXCEEDED
        assert refused.connector.closing
    for gone in (one, two):
        gone.lose()
    assert footprint.total == 0
    assert answer(world.client("g", 5)).code == 0


def test_a_will_that_is_too_large_is_refused_and_costs_the_session_nothing() -> None:
    world = World(MqttSettings(session_bytes_max=100))
    watcher = watching(world)
    old = Will("w", b"old", 0, False, delay_s=9)
    world.client("c", 5, clean_start=False, will=old, properties=kept(60)).lose()
    large = Will("w", b"x" * 100, 0, False)
    again = world.client("c", 5, clean_start=False, will=large, properties=kept(60))
    assert answer(again).code == ReasonCode.QUOTA_EXCEEDED
    # It has not come back, so what it left behind is still due.
    world.advance(9_000)
    assert payloads(watcher.publishes()) == [b"old"]
    assert world.service.sessions.footprint.total == len("c") + len("watcher") + 2 * len("w")


def test_a_subscription_that_is_refused_for_want_of_room_leaves_nothing_behind() -> None:
    world = World()
    world.broker.limits.subscriptions_max = 0
    client = world.client("c", 5)
    client.subscribe(("t", 1), ("$share/g/t", 1))
    assert codes(client) == [ReasonCode.QUOTA_EXCEEDED.value] * 2
    assert world.service.sessions.footprint.total == len("c")
    client.lose()
    assert not world.broker.queues
    assert not [key for key in world.broker.queues if key.startswith("shared:")]


# -- a part at a time


def test_a_subscribe_and_an_unsubscribe_of_very_many_filters_are_carried_out_a_part_at_a_time() -> None:
    world = World()
    topics = world.broker.topics
    chores = world.broker.chores
    client = world.client("c")
    client.received()
    chores.driven_by(lambda: None)
    filters = [f"t/{n}" for n in range(3 * FILTERS_AT_ONCE)]
    requests = [SubscriptionRequest(text, 1) for text in filters]
    packets: list[Packet] = [Subscribe(1, requests), Unsubscribe(2, filters), Pingreq()]
    # It is not heard meanwhile, so what it says next comes behind.
    client.raw(b"".join([encode_packet(packet, 4) for packet in packets]))
    assert topics.bindings_count == 0
    for step in (1, 2):
        assert chores.step()
        assert topics.bindings_count == step * FILTERS_AT_ONCE
    # That it is alive is said at once.
    assert [type(packet) for packet in client.received()] == [Pingresp]
    chores.finish()
    suback = client.received()[0]
    assert isinstance(suback, Suback)
    assert suback.codes == [1] * len(filters)
    for left in (2, 1):
        client.connector.go_on(world.now_ms)
        assert chores.step()
        assert topics.bindings_count == left * FILTERS_AT_ONCE
    chores.finish()
    client.connector.go_on(world.now_ms)
    assert topics.bindings_count == 0
    assert [type(packet) for packet in client.received()] == [Unsuback]


@pytest.mark.parametrize("filter", ["t", "$share/g/t"])
def test_the_end_of_a_client_with_very_many_in_flight_is_seen_to_a_part_at_a_time(filter: str) -> None:
    world = World()
    client = world.client("c").subscribe((filter, 1))
    sender = world.client("s")
    count = 5 * LEFT_AT_ONCE
    for packet_id in range(1, count + 1):
        sender.publish("t", b"x", 1, packet_id)
    other = world.client("o")
    if filter != "t":
        other.subscribe((filter, 1))
    session = world.service.sessions.get("c")
    assert session is not None
    assert session.inflight is not None
    assert len(session.inflight) == count
    queue = next(iter(session.inflight.values())).queue
    other.received()
    world.broker.chores.driven_by(lambda: None)
    client.lose()
    for left in range(count - LEFT_AT_ONCE, -1, -LEFT_AT_ONCE):
        assert other.received() == []
        world.broker.chores.step()
        if left:
            assert queue.unsettled == left
    world.broker.chores.finish()
    assert len(other.received()) == (0 if filter == "t" else count)


def test_a_client_that_leaves_amid_its_subscribe_leaves_nothing() -> None:
    world = World()
    client = world.client("c")
    world.broker.chores.driven_by(lambda: None)
    client.subscribe(*[(f"t/{n}", 1) for n in range(3 * FILTERS_AT_ONCE)])
    world.broker.chores.step()
    client.lose()
    again = world.client("c")
    world.broker.chores.finish()
    assert world.broker.topics.bindings_count == 0
    assert not again.connector.throttled


def test_messages_of_all_sessions_are_counted_a_part_at_a_time() -> None:
    world = World(MqttSettings(sys_interval_s=10))
    for n in range(COUNTED_AT_ONCE + 1):
        world.client(f"s{n}", clean_start=False).subscribe(("t", 1)).lose()
    world.client("p").publish("t", qos=1, packet_id=1)
    watcher = world.client("w").subscribe(("$SYS/broker/messages/stored", 0))
    watcher.received()
    world.broker.chores.driven_by(lambda: None)
    world.service.tick(world.now_ms)
    assert world.broker.chores.step()
    assert watcher.publishes() == []
    world.broker.chores.finish()
    assert payloads(watcher.publishes()) == [b"%d" % (COUNTED_AT_ONCE + 1)]


def test_filters_that_would_make_a_look_up_too_long_are_refused_and_those_of_a_kept_session_stay() -> None:
    disk = Kept()
    world = World(store=MemoryStore(disk), core=CoreLimits(lookup_steps_max=530))
    client = world.client("k", 5, clean_start=False, properties=kept(3_600))
    answer(client)
    client.subscribe(*[("/".join(levels), 0) for levels in product("+a", repeat=7)])
    found = codes(client)
    taken = found.count(0)
    assert taken > 90
    assert found == [0] * taken + [ReasonCode.QUOTA_EXCEEDED] * (128 - taken)
    steps = world.broker.topics.steps
    assert 180 < steps <= 200
    # An earlier run has promised them, however few are taken now.
    disk.clean = False
    store = MemoryStore(disk)
    again = World(store=store, core=CoreLimits(lookup_steps_max=50))
    recovered = store.recover()
    again.broker.recover(recovered)
    again.service.recover(recovered, again.now_ms)
    assert (again.broker.topics.bindings_count, again.broker.topics.steps) == (taken, steps)
    # The same again are no more.
    client = again.client("k", 5, clean_start=False, properties=kept(3_600))
    answer(client)
    client.subscribe(*[("/".join(levels), 0) for levels in product("+a", repeat=7)][:taken])
    assert codes(client) == [0] * taken
    assert (again.broker.topics.bindings_count, again.broker.topics.steps) == (taken, steps)


def test_3_8_4_what_is_asked_for_again_and_refused_stays_as_it_was() -> None:
    world = World()
    client = world.client("k", 5)
    client.subscribe(("a", 0))
    answer(client)
    session = world.service.sessions.get("k")
    assert session is not None
    before = session.share.bytes
    world.broker.limits.queues_max = 0
    client.received()
    client.subscribe(("a", 1))
    assert codes(client) == [ReasonCode.QUOTA_EXCEEDED]
    world.client("p").publish("a", b"x")
    assert payloads(client.publishes()) == [b"x"]
    assert session.share.bytes == before
    session.unsubscribe("a")
    assert session.share.bytes == len("k")


def test_filters_of_a_kept_session_stay_where_one_may_have_fewer_bytes_now() -> None:
    disk = Kept()
    world = World(store=MemoryStore(disk))
    client = world.client("k", 5, clean_start=False, properties=kept(3_600))
    client.subscribe(("a" * 60, 0), ("b" * 60, 0))
    disk.clean = False
    store = MemoryStore(disk)
    again = World(MqttSettings(session_bytes_max=150), store=store)
    recovered = store.recover()
    again.broker.recover(recovered)
    again.service.recover(recovered, again.now_ms)
    assert again.broker.topics.bindings_count == 2
    client = again.client("k", 5, clean_start=False, properties=kept(3_600))
    answer(client)
    client.subscribe(("c", 0))
    assert codes(client) == [ReasonCode.QUOTA_EXCEEDED.value]
    again.service.sessions.get("k").unsubscribe("a" * 60)  # type: ignore[union-attr]
    client.subscribe(("c", 0))
    assert codes(client) == [0]
