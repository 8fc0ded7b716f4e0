"""The end of a connection with very many subscriptions: in steps, and right whatever happens between two of them."""

from itertools import pairwise

import pytest
from stomp_client import Client, World

from gateway.connectors.base import Limits
from gateway.connectors.ending import ENDED_AT_ONCE
from gateway.core.limits import BLOCK

COUNT = 3 * ENDED_AT_ONCE


def world() -> World:
    """Its chores go on step by step."""
    made = World(limits=Limits(slow_consumer=BLOCK, output_buffer=4_096))
    made.broker.chores.driven_by(lambda: None)
    return made


def reader(world: World, destination: str, **headers: str) -> Client:
    """One with very many subscriptions, `destination` with their number."""
    client = world.client()
    for number in range(COUNT):
        client.send("SUBSCRIBE", id=str(number), destination=destination + str(number), **headers)
        client.received()
    return client


def steps(world: World) -> int:
    """Go on until nothing is left to do; how many steps that took."""
    count = 0
    while world.broker.chores:
        world.broker.chores.step()
        count += 1
    return count


@pytest.mark.parametrize("how", ["lost", "DISCONNECT", "ERROR"])
def test_subscriptions_to_topics_end_some_a_step(how: str) -> None:
    broker = (made := world()).broker
    client = reader(made, "/topic/t.")
    if how == "lost":
        client.lose()
    else:
        client.send("DISCONNECT" if how == "DISCONNECT" else "NACK")
    left = [COUNT, broker.topics.bindings_count]
    while broker.chores:
        broker.chores.step()
        left.append(broker.topics.bindings_count)
    assert max([before - after for before, after in pairwise(left)]) <= ENDED_AT_ONCE
    assert left[-1] == 0


def test_nothing_is_written_for_one_that_is_still_bound_and_nobody_waits_for_it() -> None:
    made = world()
    client = reader(made, "/topic/t.")
    client.lose()
    out = len(client.connector.out)
    publisher = made.client()
    for _ in range(10):
        publisher.send("SEND", "x" * 2_000, destination=f"/topic/t.{COUNT - 1}", receipt="r")
    assert made.broker.topics.bindings_count > 0
    assert len(client.connector.out) == out
    assert not publisher.connector.throttled
    assert made.broker.places.shut == 0
    assert steps(made) > 2
    assert len(publisher.received()) == 10


def test_what_is_sent_to_its_queues_between_two_steps_goes_to_others() -> None:
    made = world()
    client = reader(made, "/queue/q.")
    client.lose()
    made.broker.chores.step()
    other = made.client().send("SUBSCRIBE", id="1", destination=f"/queue/q.{COUNT - 1}")
    made.client().send("SEND", "x", destination=f"/queue/q.{COUNT - 1}")
    assert other.bodies() == [b"x"]
    made.broker.delete_queue(made.broker.queue(f"q.{COUNT - 2}"))
    steps(made)
    assert {queue.consumers_count for queue in made.broker.queues.values()} == {1}


def test_what_it_had_not_acknowledged_waits_again_as_redelivered_once_all_have_left() -> None:
    made = world()
    publisher = made.client()
    for number in range(COUNT):
        publisher.send("SEND", str(number), destination=f"/queue/q.{number}")
    client = reader(made, "/queue/q.", ack="client-individual")
    assert {queue.unsettled for queue in made.broker.queues.values()} == {1}
    client.lose()
    made.broker.chores.step()
    last = made.client().send("SUBSCRIBE", id="1", destination=f"/queue/q.{COUNT - 1}")
    steps(made)
    [frame] = last.received()
    assert frame.headers["redelivered"] == "true"
    assert {queue.depth for queue in made.broker.queues.values()} == {0, 1}
    assert sum(queue.waiting for queue in made.broker.queues.values()) == COUNT - 1


def test_its_transactions_are_aborted_before_anything_goes_back_and_its_temporary_queues_go_last() -> None:
    made = world()
    client = made.client()
    for number in range(COUNT):
        client.send("SEND", "x", destination=f"/temp-queue/t{number}")
    client.send("SUBSCRIBE", id="1", destination="/queue/q", ack="client-individual")
    made.client().send("SEND", "x", destination="/queue/q")
    [frame] = client.received()
    client.send("BEGIN", transaction="t").send("ACK", id=frame.headers["ack"], transaction="t")
    client.lose()
    left = [COUNT + 1, len(made.broker.queues)]
    while made.broker.chores:
        made.broker.chores.step()
        left.append(len(made.broker.queues))
    assert max([before - after for before, after in pairwise(left)]) <= ENDED_AT_ONCE
    assert list(made.broker.queues) == ["queue:q"]
    assert made.broker.queue("q").waiting == 1
    assert made.broker.counters.transactions_aborted == 1


def test_one_that_comes_again_before_all_have_left_has_its_durable_subscription() -> None:
    made = world()
    names = [str(number) for number in range(COUNT)]
    client = made.client(client_id="c")
    for name in names:
        client.send("SUBSCRIBE", id=name, destination=f"/topic/t.{name}", durable_subscription_name=name)
    client.lose()
    made.broker.chores.step()
    again = made.client(client_id="c")
    again.send("SUBSCRIBE", id="1", destination=f"/topic/t.{names[-1]}", durable_subscription_name=names[-1])
    steps(made)
    made.client().send("SEND", "x", destination=f"/topic/t.{names[-1]}")
    assert again.bodies() == [b"x"]
