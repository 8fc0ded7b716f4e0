"""One message for very many sessions: nobody else waits, and nothing of what is promised changes."""

import pytest
from mqtt_client import Client, World, payloads

from gateway.core.fan_out import OFFERED_AT_ONCE, WIDE
from gateway.store.memory import MemoryStore
from protocols.mqtt.frames import Pingreq, Pingresp, Puback

COUNT = WIDE + 2 * OFFERED_AT_ONCE


@pytest.fixture
def world() -> World:
    """So many kept sessions that are not there, and nothing that is undone."""
    store = MemoryStore(held=True)
    world = World(store=store)
    store.listener = world.broker
    for n in range(COUNT):
        world.client(f"s{n}", clean_start=False).subscribe(("t", 1)).lose()
    store.commit()
    world.broker.chores.driven_by(lambda: None)
    return world


def commit(world: World) -> None:
    store = world.broker.store
    assert isinstance(store, MemoryStore)
    store.commit()


def came(world: World, n: int) -> list[bytes]:
    """What session `n` is given when its client is there."""
    client = world.client(f"s{n}", clean_start=False)
    found = payloads(client.publishes())
    client.lose()
    return found


def pubacks(client: Client) -> list[int]:
    return [packet.packet_id for packet in client.received() if isinstance(packet, Puback)]


def waiting(world: World) -> int:
    return sum(queue.waiting for queue in world.broker.queues.values())


def test_others_go_on_while_very_many_are_given_a_message(world: World) -> None:
    publisher = world.client("p")
    publisher.received()
    publisher.publish("t", b"1", 1, 1)
    assert waiting(world) == 0
    assert world.broker.chores.step()
    assert waiting(world) == OFFERED_AT_ONCE
    other = world.client("o").publish("$queue/q", b"x", 1, 7).send(Pingreq())
    assert [type(packet) for packet in other.received()][1:] == [Pingresp]
    world.broker.chores.finish()
    assert world.broker.queues["queue:q"].depth == 1
    assert waiting(world) == COUNT + 1


def test_it_is_confirmed_when_all_have_it_and_it_is_safe(world: World) -> None:
    publisher = world.client("p")
    publisher.received()
    publisher.publish("t", b"1", 1, 1)
    world.broker.chores.step()
    commit(world)
    # A part of it is safe, which is not enough.
    assert pubacks(publisher) == []
    while world.broker.chores.step():
        pass
    assert pubacks(publisher) == []
    commit(world)
    assert pubacks(publisher) == [1]


def test_what_its_publisher_says_next_waits_and_comes_in_order(world: World) -> None:
    publisher = world.client("p")
    publisher.received()
    publisher.raw(b"".join(b"\x32\x06\0\1t\0" + bytes((n, 48 + n)) for n in (1, 2)) + b"\x30\x04\0\1t3")
    assert publisher.connector.throttled
    for _ in range(3):
        world.broker.chores.finish()
        if publisher.connector.resumes:
            publisher.connector.go_on(world.now_ms)
    assert not publisher.connector.throttled
    commit(world)
    assert pubacks(publisher) == [1, 2]
    assert came(world, 0) == came(world, COUNT - 1) == [b"1", b"2"]


def test_a_publisher_that_has_left_leaves_its_message_to_all(world: World) -> None:
    publisher = world.client("p")
    publisher.publish("t", b"1", 1, 1)
    world.broker.chores.step()
    publisher.lose()
    world.broker.chores.finish()
    assert waiting(world) == COUNT
    # It is not held for ever when it is back.
    again = world.client("p").publish("t", b"2", 1, 1)
    world.broker.chores.finish()
    assert not again.connector.throttled


def test_who_unsubscribes_or_ends_before_its_turn_gets_nothing(world: World) -> None:
    world.client("p").publish("t", b"1", 1, 1)
    world.client(f"s{COUNT - 1}", clean_start=True).lose()
    late = world.client("late", clean_start=False).subscribe(("t", 1))
    world.broker.chores.finish()
    assert waiting(world) == COUNT - 1
    assert late.publishes() == []


def test_at_qos_2_all_have_it_at_once_with_the_packet_id(world: World) -> None:
    world.client("p").publish("t", b"1", 2, 1)
    assert waiting(world) == COUNT
