"""STOMP: messages that expire, limits of a connection, and clients that read slowly."""

import itertools

import pytest
from stomp_client import World

from gateway.connectors.base import Limits
from gateway.connectors.stomp.settings import StompSettings
from gateway.core.committing import SMALL
from gateway.core.limits import BLOCK, REJECT, CoreLimits, QueuePolicy
from gateway.core.purging import purge


def test_expired_messages_are_dead_lettered() -> None:
    world = World()
    world.client().send("SEND", "x", destination="/queue/q", expiration="1000")
    world.client().send("SEND", "y", destination="/queue/q", expires=str(world.now_ms + 5_000))
    world.now_ms += 2_000
    world.broker.tick(world.now_ms)
    assert world.client().send("SUBSCRIBE", id="1", destination="/queue/q").bodies() == [b"y"]
    assert world.broker.queue("DLQ").depth == 1


def test_full_queue_refuses_when_the_policy_says_so() -> None:
    world = World(policy=QueuePolicy(messages_max=1, when_full=REJECT))
    client = world.client().send("SEND", "x", destination="/queue/q")
    [error] = client.send("SEND", "y", destination="/queue/q", receipt="r").received()
    assert (error.headers["message"], error.headers["receipt-id"]) == ("/queue/q is full", "r")


def test_full_queue_stops_reading_its_producer_until_there_is_room() -> None:
    world = World(policy=QueuePolicy(messages_max=2, when_full=BLOCK))
    pub = world.client()
    for n in range(3):
        pub.send("SEND", str(n), destination="/queue/q")
    assert pub.connector.throttled
    world.client().send("SUBSCRIBE", id="1", destination="/queue/q")
    assert not pub.connector.throttled


def test_slow_reader_of_a_topic_makes_its_publishers_wait_before_their_next_frame() -> None:
    world = World(limits=Limits(slow_consumer=BLOCK, output_buffer=1_024))
    sub = world.client().send("SUBSCRIBE", id="1", destination="/topic/t")
    sub.connector.writable(False)
    pub = world.client()
    # All in one read: the rest is not lost, and waits.
    pub.raw(b"".join(b"SEND\ndestination:/topic/t\n\n%03d%s\0" % (n, b"x" * 400) for n in range(10)))
    assert pub.connector.throttled
    assert sub.connector.counters.dropped_slow == 0
    bodies: list[bytes] = []
    while len(bodies) < 10:
        before = len(bodies)
        sub.connector.writable(True)
        pub.connector.go_on(world.now_ms)
        bodies += sub.bodies()
        assert len(bodies) > before
        if len(bodies) < 10:
            sub.connector.writable(False)
            pub.connector.go_on(world.now_ms)
    assert [int(body[:3]) for body in bodies] == list(range(10))


def test_client_that_sends_too_fast_is_told() -> None:
    client = World(limits=Limits(message_rate=3)).client()
    for _ in range(5):
        client.send("SEND", "x", destination="/topic/t")
    error = client.received()[-1]
    assert "faster" in error.headers["message"]
    assert client.world.acceptor.counters.limit_hits == 1


def test_what_crosses_the_rate_is_not_carried_out_and_what_came_before_is() -> None:
    world = World(limits=Limits(message_rate=3))
    send = b"SEND\ndestination:/queue/q\nreceipt:%d\n\nx\0"
    client = world.client().raw(b"".join(send % n for n in (1, 2, 3)))
    frames = client.received()
    assert [(frame.command, frame.headers["receipt-id"]) for frame in frames] == [
        ("RECEIPT", "1"),
        ("RECEIPT", "2"),
        ("ERROR", "3"),
    ]
    assert world.broker.queue("q").depth == 2


def test_byte_rate_is_a_limit_too() -> None:
    client = World(limits=Limits(byte_rate=300)).client()
    client.send("SEND", "x" * 500, destination="/topic/t")
    assert "faster" in client.received()[-1].headers["message"]


def test_maximum_inflight_caps_the_prefetch_a_client_asks_for() -> None:
    world = World(limits=Limits(max_inflight=2))
    client = world.client().send("SUBSCRIBE", id="1", destination="q", ack="client", prefetch_count="50")
    pub = world.client()
    for n in range(5):
        pub.send("SEND", str(n), destination="q")
    assert client.bodies() == [b"0", b"1"]


def test_maximum_inactivity_ends_clients_without_heart_beats() -> None:
    client = World(limits=Limits(idle_timeout_ms=30_000)).client()
    assert client.connector.next_deadline_ms() == client.world.now_ms + 30_000
    client.connector.deadline(client.world.now_ms + 30_000)
    assert client.received()[0].command == "ERROR"


def test_shutdown_says_goodbye() -> None:
    client = World().client()
    client.connector.shutdown(client.world.now_ms)
    [error] = client.received()
    assert "shutting down" in error.headers["message"]
    assert client.connector.closing


def test_what_is_remembered_of_destinations_is_bounded_in_bytes() -> None:
    world = World()
    client = world.client()
    for kind in ("topic", "queue"):
        for number in range(20):
            client.send("SEND", destination=f"/{kind}/{number}".ljust(20_000, "x"), body=b"x")
    client.send("SEND", destination="/topic/a", body=b"x").send("SEND", destination="/queue/a", body=b"x")
    assert list(client.connector._topics or ()) == ["/topic/a"]
    assert list(client.connector._queues or ()) == ["/queue/a"]


def test_a_topic_with_too_many_levels_is_refused_in_words() -> None:
    client = World().client()
    client.send("SEND", destination="/topic/" + ".".join(["a"] * 257), body=b"x", receipt="r")
    [error] = client.received()
    assert error.command == "ERROR"
    assert "256 levels" in error.headers["message"]


def test_all_queues_are_read_and_left_in_later_turns() -> None:
    world = World()
    world.broker.chores.driven_by(lambda: None)
    count = 300
    client, sender = world.client(), world.client()
    for number in range(count):
        sender.send("SEND", destination=f"/queue/q.{number}", body=b"x")
        purge(world.broker.queue(f"q.{number}"))
    client.send("SUBSCRIBE", id="1", destination="/queue/q.>", ack="auto")
    queues = [world.broker.queue(f"q.{number}") for number in range(count)]
    world.broker.chores.step()
    assert 0 < sum(queue.consumers_count for queue in queues) < count
    world.broker.chores.finish()
    assert {queue.consumers_count for queue in queues} == {1}
    client.send("UNSUBSCRIBE", id="1")
    world.broker.chores.step()
    assert 0 < sum(queue.consumers_count for queue in queues) < count
    # Those that it has not left yet give it nothing any more.
    for number in range(count):
        sender.send("SEND", destination=f"/queue/q.{number}", body=b"x")
    assert client.received() == []
    world.broker.chores.finish()
    assert {(queue.consumers_count, queue.waiting) for queue in queues} == {(0, 1)}


def test_who_reads_more_queues_by_patterns_than_all_may_is_told_so_and_ended() -> None:
    world = World(core=CoreLimits(followed_queues_max=5))
    for number in range(3):
        world.broker.queue(f"q.{number}")
    first, second = world.client(), world.client()
    first.send("SUBSCRIBE", id="1", destination="/queue/q.>", ack="auto")
    second.send("SUBSCRIBE", id="1", destination="/queue/q.>", ack="auto")
    [error] = second.received()
    assert (error.command, second.connector.closing) == ("ERROR", True)
    assert "too many queues are read" in error.headers["message"]
    second.lose()
    assert world.broker.watching.followed == 3
    first.send("UNSUBSCRIBE", id="1")
    assert world.broker.watching.followed == 0
    assert first.received() == []


def test_one_address_reads_no_more_queues_by_patterns_than_its_share_and_others_go_on() -> None:
    world = World(core=CoreLimits(followed_queues_per_address_max=3))
    for number in range(3):
        world.broker.queue(f"q.{number}")
    clients = [world.client() for _ in range(3)]
    for client, address in zip(clients, ("10.0.0.1", "10.0.0.1", "10.0.0.2"), strict=True):
        client.connector.publisher.address = address
        client.send("SUBSCRIBE", id="1", destination="/queue/q.>", ack="auto")
    assert clients[0].received() == clients[2].received() == []
    [error] = clients[1].received()
    assert "too many queues of one user or address are read" in error.headers["message"]
    clients[1].lose()
    clients[0].lose()
    again = world.client()
    again.connector.publisher.address = "10.0.0.1"
    again.send("SUBSCRIBE", id="1", destination="/queue/q.>", ack="auto")
    assert again.received() == []
    assert world.broker.watching.followed == 6


@pytest.mark.parametrize("kind", ["topic", "queue"])
@pytest.mark.parametrize("ack", ["auto", "client"])
def test_who_asks_for_very_many_patterns_that_the_same_names_match_is_told_so_and_others_go_on(
    kind: str, ack: str
) -> None:
    world = World(core=CoreLimits(lookup_steps_max=530))
    client = world.client()
    tree = world.broker.topics if kind == "topic" else world.broker.watching
    most = 0
    for id, levels in enumerate(itertools.product("*a", repeat=7)):
        if not client.connector.closing:
            most = tree.steps
            client.send("SUBSCRIBE", id=str(id), destination=f"/{kind}/{'.'.join(levels)}", ack=ack)
    [error] = client.received()
    assert error.command == "ERROR"
    assert "too many filters that match the same names" in error.headers["message"]
    assert 180 < most <= 200
    client.lose()
    world.broker.chores.finish()
    assert tree.steps == 1
    other = world.client()
    other.send("SUBSCRIBE", id="1", destination=f"/{kind}/{'.'.join('*' * 7)}", ack=ack)
    assert other.received() == []


def test_queues_that_come_and_go_are_not_remembered_by_who_reads_all() -> None:
    world = World()
    client = world.client()
    client.send("SUBSCRIBE", id="1", destination="/queue/q.>", ack="auto")
    for number in range(1_000):
        world.broker.delete_queue(world.broker.queue(f"q.{number}"))
    [subscription] = client.connector._subscriptions._by_key.values()
    assert len(subscription.consumers) <= 2 * 64


def test_one_address_may_make_so_many_queues_and_is_told_when_it_has() -> None:
    world = World(core=CoreLimits(queues_per_address_max=2))
    client = world.client()
    client.connector.publisher.address = "10.0.0.1"
    for name in ("a", "b", "a"):
        client.send("SEND", destination=f"/queue/{name}", body=b"x")
    assert client.received() == []
    client.send("SEND", destination="/queue/c", body=b"x")
    [error] = client.received()
    assert (error.command, error.headers["message"]) == ("ERROR", "too many queues of one user or address")


def test_a_message_that_comes_by_way_of_very_many_queues_is_acknowledged_as_often() -> None:
    world = World(limits=Limits(max_inflight=1_000), settings=StompSettings(prefetch=0))
    reader = world.client("1.1")
    count = 300
    for number in range(count):
        world.broker.queue(f"Consumer.{number}.VirtualTopic.t")
    reader.send("SUBSCRIBE", id="s", destination="/queue/Consumer.*.VirtualTopic.t", ack="client-individual")
    world.client().send("SEND", "x", destination="/topic/VirtualTopic.t")
    came = reader.received()
    ids = {frame.headers["message-id"] for frame in came}
    assert (len(came), len(ids)) == (count, 1)
    unsettled = [count]
    for _ in range(count):
        reader.send("ACK", subscription="s", message_id=min(ids))
        unsettled.append(sum(queue.depth for queue in world.broker.queues.values()))
    assert unsettled == list(range(count, -1, -1))
    [error] = reader.send("ACK", subscription="s", message_id=min(ids)).received()
    assert error.command == "ERROR"


def test_a_cumulative_ack_means_what_came_before_by_way_of_other_queues_too() -> None:
    world = World()
    reader = world.client("1.1")
    for number in range(5):
        world.broker.queue(f"Consumer.{number}.VirtualTopic.t")
    reader.send("SUBSCRIBE", id="s", destination="/queue/Consumer.*.VirtualTopic.t", ack="client")
    publisher = world.client()
    for text in ("1", "2"):
        publisher.send("SEND", text, destination="/topic/VirtualTopic.t")
    ids = [frame.headers["message-id"] for frame in reader.received()]
    # Of each message the first that is not acknowledged is meant, and all before it.
    reader.send("ACK", subscription="s", message_id=ids[-1])
    for _ in range(4):
        reader.send("ACK", subscription="s", message_id=ids[-1])
    assert sum(queue.depth for queue in world.broker.queues.values()) == 0
    publisher.send("SEND", "3", destination="/topic/VirtualTopic.t")
    assert len(reader.received()) == 5


def test_a_commit_that_needs_very_many_queues_is_answered_when_they_are_there() -> None:
    world = World()
    world.broker.chores.driven_by(lambda: None)
    client = world.client().send("BEGIN", transaction="t")
    count = SMALL + 10
    for number in range(count):
        client.send("SEND", "x", destination=f"/queue/q.{number}", transaction="t")
    client.send("COMMIT", transaction="t", receipt="r")
    assert client.connector.throttled
    assert client.received() == []
    world.broker.chores.step()
    assert 0 < len(world.broker.queues) < count
    while client.connector.unheard or world.broker.chores:
        world.broker.chores.step()
        if client.connector.resumes:
            client.connector.go_on(world.now_ms)
    assert [frame.headers["receipt-id"] for frame in client.received()] == ["r"]
    assert {queue.depth for queue in world.broker.queues.values()} == {1}
