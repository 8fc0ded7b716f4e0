"""One message for very many sessions: nobody else waits, and nothing of what is promised changes."""

from collections.abc import Callable
from copy import deepcopy

import pytest
from mqtt_client import Client, Properties, Will, World, payloads

from gateway.connectors.mqtt.wills import WillMessage
from gateway.core.destination import TOPIC, Destination
from gateway.core.fan_out import DONE_SPACE, OFFERED_AT_ONCE, PART, SPACE
from gateway.core.message import Message
from gateway.core.purging import purge
from gateway.core.queue_key import SESSION, QueueKey
from gateway.core.record import LONG_RECORD
from gateway.core.routes import WIDE
from gateway.store.memory import Kept, MemoryStore
from protocols.mqtt.frames import Pingreq, Pingresp, Puback, Pubrec, Pubrel, SubscriptionRequest

COUNT = WIDE + 2 * OFFERED_AT_ONCE
"""More than one note of who has it can name."""

assert COUNT > PART


def begin(kept: Kept) -> World:
    """A life over what there is."""
    kept.clean = False
    store = MemoryStore(kept, held=True, pages=True)
    world = World(store=store)
    store.listener = world.broker
    found = store.recover()
    world.broker.recover(found)
    world.service.recover(found, world.now_ms)
    world.broker.chores.driven_by(lambda: None)
    world.broker.fan_outs.finish_found()
    return world


@pytest.fixture(scope="module")
def filled() -> Kept:
    """So many kept sessions that are not there."""
    kept = Kept()
    world = begin(kept)
    for n in range(COUNT):
        world.client(f"s{n}", clean_start=False).subscribe(("t", 2)).lose()
    finish(world)
    commit(world)
    return kept


@pytest.fixture
def kept(filled: Kept) -> Kept:
    return deepcopy(filled)


@pytest.fixture
def world(kept: Kept) -> World:
    """Nothing is undone."""
    world = begin(kept)
    commit(world)
    finish(world)
    return world


def commit(world: World) -> None:
    store = world.broker.store
    assert isinstance(store, MemoryStore)
    store.commit()


def finish(world: World) -> None:
    world.broker.chores.finish()


def came(world: World, n: int) -> list[bytes]:
    """What session `n` is given when its client is there."""
    client = world.client(f"s{n}", clean_start=False)
    for _ in range(3):
        commit(world)
    found = payloads(client.publishes())
    client.lose()
    return found


def answers(client: Client) -> list[tuple[type, int]]:
    """What has been confirmed."""
    return [(type(p), p.packet_id) for p in client.received() if isinstance(p, (Puback, Pubrec))]


def pubacks(client: Client) -> list[int]:
    return [packet_id for kind, packet_id in answers(client) if kind is Puback]


def waiting(world: World) -> int:
    return sum(queue.waiting for queue in world.broker.queues.values())


def notes(world: World) -> list[str]:
    """What the store knows of messages on their way."""
    store = world.broker.store
    assert isinstance(store, MemoryStore)
    return [key for space, key in store.kept.notes if space in (SPACE, DONE_SPACE)]


def step(world: World) -> None:
    """Some more have it."""
    before = waiting(world)
    while waiting(world) == before:
        assert world.broker.chores.step()


def _publish(qos: int) -> Callable[[World], object]:
    return lambda world: world.client("p").publish("t", b"1", qos, 1)


def _message(world: World, topic: str = "t", body: bytes = b"1") -> Message:
    """One that some other protocol would publish."""
    publisher = world.client("x").connector.publisher
    return WillMessage(Will(topic, body, 1, False), 4).message(world.broker, publisher)


def _commit(world: World) -> None:
    transaction = world.broker.transaction()
    transaction.publish(_message(world))
    transaction.commit()
    commit(world)


def _will(world: World) -> None:
    client = world.client("w", will=Will("t", b"1", 1, False))
    commit(world)
    client.lose()


WAYS: dict[str, Callable[[World], object]] = {
    "QoS 1": _publish(1),
    "QoS 2": _publish(2),
    "by name": lambda world: world.broker.publish_to(Destination(TOPIC, "t"), _message(world)),
    "transaction": _commit,
    "will": _will,
}


@pytest.mark.parametrize("way", WAYS)
def test_others_go_on_while_very_many_are_given_a_message(world: World, way: str) -> None:
    WAYS[way](world)
    assert waiting(world) == 0
    step(world)
    assert waiting(world) == OFFERED_AT_ONCE
    other = world.client("o").publish("$queue/q", b"x", 1, 7).send(Pingreq())
    assert [type(packet) for packet in other.received()][1:] == [Pingresp]
    finish(world)
    assert world.broker.queues["queue:q"].depth == 1
    assert waiting(world) == COUNT + 1
    commit(world)
    assert notes(world) == []
    assert not world.broker.fan_outs.count


@pytest.mark.parametrize(("qos", "answer"), [(1, Puback), (2, Pubrec)])
def test_it_is_confirmed_when_all_have_it_and_it_is_safe(world: World, qos: int, answer: type) -> None:
    publisher = world.client("p")
    publisher.received()
    publisher.publish("t", b"1", qos, 1)
    world.broker.chores.step()
    commit(world)
    # It is safe, but a part of them has it, which is not enough.
    assert answers(publisher) == []
    while world.broker.chores.step():
        assert answers(publisher) == []
    assert answers(publisher) == [(answer, 1)]


def test_it_is_not_confirmed_before_it_is_safe_though_all_have_it(world: World) -> None:
    publisher = world.client("p")
    publisher.received()
    publisher.publish("t", b"1", 1, 1)
    finish(world)
    assert pubacks(publisher) == []
    commit(world)
    assert pubacks(publisher) == [1]


def test_what_its_publisher_says_next_waits_and_comes_in_order(world: World) -> None:
    publisher = world.client("p")
    publisher.received()
    publisher.raw(b"".join(b"\x32\x06\0\1t\0" + bytes((n, 48 + n)) for n in (1, 2)) + b"\x30\x04\0\1t3")
    assert publisher.connector.throttled
    for _ in range(3):
        finish(world)
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
    finish(world)
    assert waiting(world) == COUNT
    # It is not held for ever when it is back.
    again = world.client("p").publish("t", b"2", 1, 1)
    finish(world)
    assert not again.connector.throttled


def test_who_unsubscribes_or_ends_before_its_turn_gets_nothing(world: World) -> None:
    world.client("p").publish("t", b"1", 1, 1)
    world.client(f"s{COUNT - 1}", clean_start=True).lose()
    late = world.client("late", clean_start=False).subscribe(("t", 1))
    finish(world)
    assert waiting(world) == COUNT - 1
    assert late.publishes() == []


# -- a crash


@pytest.mark.parametrize("steps", [0, 1, 17])
@pytest.mark.parametrize("way", WAYS)
def test_after_a_kill_all_have_it_and_nobody_has_it_twice(
    world: World, kept: Kept, way: str, steps: int
) -> None:
    WAYS[way](world)
    for _ in range(steps):
        step(world)
    # One that has it reads it: what is in its queue is not what tells.
    purge(world.broker.queues["session:2:s0/"])
    commit(world)
    world = begin(kept)
    finish(world)
    commit(world)
    depths = [
        world.broker.queues[QueueKey(SESSION, f"s{n}", "").text].depth if n or not steps else 1
        for n in range(COUNT)
    ]
    assert depths == [1] * COUNT
    assert (
        steps == 0
        or "session:2:s0/" not in world.broker.queues
        or not world.broker.queues["session:2:s0/"].depth
    )
    assert notes(world) == []


def test_a_large_one_is_whole_after_a_kill(world: World, kept: Kept) -> None:
    """Its note is put together by whoever writes it."""
    body = bytes(range(256)) * 80
    assert len(body) >= LONG_RECORD
    world.client("p").publish("t", body, 1, 1)
    step(world)
    commit(world)
    assert len(notes(world)) == 2
    world = begin(kept)
    finish(world)
    commit(world)
    assert [came(world, n) for n in (0, COUNT - 1)] == [[body], [body]]
    assert notes(world) == []


def test_a_publish_of_qos_2_that_comes_again_after_a_kill_is_known(world: World, kept: Kept) -> None:
    client = world.client("p", clean_start=False)
    client.publish("t", b"1", 2, 1)
    world.broker.chores.step()
    commit(world)
    assert answers(client) == []
    world = begin(kept)
    client = world.client("p", clean_start=False)
    client.publish("t", b"1", 2, 1, dup=True)
    finish(world)
    commit(world)
    assert answers(client) == [(Pubrec, 1)]
    client.send(Pubrel(1))
    assert waiting(world) == COUNT


def test_after_a_kill_who_published_it_does_not_get_what_it_did_not_want(kept: Kept) -> None:
    world = begin(kept)
    own = world.client("p", 5, clean_start=False, properties=kept_for(60))
    own.subscribe(SubscriptionRequest("t", 1, no_local=True), ("$queue/none", 1))
    own.publish("t", b"1", 1, 1)
    commit(world)
    world = begin(kept)
    finish(world)
    assert waiting(world) == COUNT


def kept_for(seconds: int) -> Properties:
    properties = Properties()
    properties.session_expiry_s = seconds
    return properties


def test_one_that_cannot_be_read_after_a_crash_is_set_aside_and_nothing_of_it_stays(kept: Kept) -> None:
    kept.notes[(SPACE, "5")] = b"?"
    kept.notes[(DONE_SPACE, "5 0")] = b"\x01\0\0\0?"
    world = begin(kept)
    commit(world)
    assert world.broker.aside.count == 1
    commit(begin(kept))
    assert notes(world) == []


# -- transactions


def test_of_a_transaction_very_many_see_nothing_before_it_is_safe(world: World) -> None:
    transaction = world.broker.transaction()
    for body in (b"1", b"2"):
        transaction.publish(_message(world, body=body))
    transaction.commit()
    finish(world)
    assert waiting(world) == 0
    commit(world)
    finish(world)
    assert came(world, 0) == came(world, COUNT - 1) == [b"1", b"2"]


def test_within_a_transaction_what_is_for_few_does_not_overtake_what_is_for_very_many(world: World) -> None:
    few = world.client("s0", clean_start=False).subscribe(("few", 1))
    commit(world)
    few.received()
    message = _message(world)
    transaction = world.broker.transaction()
    transaction.publish(message)
    narrow = _message(world, "few", b"2")
    narrow.publisher = message.publisher
    transaction.publish(narrow)
    transaction.commit()
    commit(world)
    finish(world)
    assert payloads(few.publishes()) == [b"1", b"2"]
