"""STOMP connections against the core: each behaviour, with the section or the promise in its name."""

import pytest
from stomp_client import Client, World

from gateway.connectors.base import Limits
from gateway.connectors.stomp.settings import StompSettings
from gateway.core.limits import BLOCK, REJECT, CoreLimits, QueuePolicy
from gateway.store.memory import HeldStore

VERSIONS = ["1.0", "1.1", "1.2"]

# -- connecting


@pytest.mark.parametrize(
    ("asked", "got"), [("1.0,1.1,1.2", "1.2"), ("1.1,1.0", "1.1"), ("1.0", "1.0"), ("1.2,9", "1.2")]
)
def test_protocol_negotiation_takes_the_highest_version_in_common(asked: str, got: str) -> None:
    client = Client(World()).send("CONNECT", accept_version=asked, host="h")
    [connected] = client.received()
    assert (connected.command, connected.headers["version"]) == ("CONNECTED", got)
    assert connected.headers["session"]
    assert connected.headers["server"].startswith("gateway-broker/")


def test_connect_without_accept_version_is_1_0() -> None:
    [connected] = Client(World()).send("CONNECT", login="l", passcode="p").received()
    assert connected.headers["version"] == "1.0"


def test_no_common_version_is_an_error_that_lists_ours() -> None:
    client = Client(World()).send("STOMP", accept_version="2.0", host="h")
    [error] = client.received()
    assert (error.command, error.headers["version"]) == ("ERROR", "1.0,1.1,1.2")
    assert client.connector.closing


def test_anonymous_clients_are_refused_where_not_allowed() -> None:
    world = World(limits=Limits(allow_anonymous=False))
    client = Client(world).send("CONNECT", accept_version="1.2", host="h")
    [error] = client.received()
    assert (error.command, client.connector.closing) == ("ERROR", True)
    assert "anonymous" in error.headers["message"]


def test_connection_above_the_maximum_is_refused_in_words() -> None:
    client = Client(World())
    client.connector.refuse(client.world.now_ms)
    client.send("CONNECT", accept_version="1.2", host="h")
    [error] = client.received()
    assert "maximumConnections" in error.headers["message"]
    assert client.connector.closing


def test_heart_beats_are_sent_when_nothing_else_was() -> None:
    client = Client(World()).send("CONNECT", accept_version="1.2", host="h", heart_beat="0,10000")
    client.received()
    due = client.connector.next_deadline_ms()
    assert due == client.world.now_ms + 8_000
    client.connector.deadline(due)
    client.world.now_ms = due
    assert client.received_bytes() == b"\n"


def test_client_that_misses_its_heart_beats_is_told_and_closed() -> None:
    client = Client(World()).send("CONNECT", accept_version="1.2", host="h", heart_beat="10000,0")
    client.received()
    client.connector.deadline(client.world.now_ms + 20_000)
    [error] = client.received()
    assert error.command == "ERROR"
    assert client.connector.closing


# -- topics


@pytest.mark.parametrize("publisher", VERSIONS)
@pytest.mark.parametrize("subscriber", VERSIONS)
def test_messages_cross_versions(publisher: str, subscriber: str) -> None:
    world = World()
    sub = world.client(subscriber).send("SUBSCRIBE", id="7", destination="/topic/a.*")
    world.client(publisher).send("SEND", "hi", destination="/topic/a.b", foo="bar")
    [message] = sub.received()
    assert (message.command, message.body) == ("MESSAGE", b"hi")
    assert message.headers["destination"] == "/topic/a.b"
    assert message.headers["subscription"] == "7"
    assert message.headers["foo"] == "bar"
    assert message.headers["content-length"] == "2"
    assert message.headers["message-id"]


def test_headers_pass_in_order_with_repeats_and_the_servers_own_cannot_be_forged() -> None:
    world = World()
    sub = world.client().send("SUBSCRIBE", id="1", destination="/topic/t")
    pub = world.client()
    pub.raw(b"SEND\ndestination:/topic/t\nfoo:1\nsubscription:x\nfoo:2\nmessage-id:y\nBar:x\nack:z\n\n\0")
    data = sub.received_bytes()
    assert b"\nfoo:1\nfoo:2\nBar:x\n" in data
    assert b"subscription:x" not in data
    assert b"message-id:y" not in data
    assert b"ack:" not in data


def test_escapes_are_those_of_the_subscribers_version() -> None:
    world = World()
    old = world.client("1.1").send("SUBSCRIBE", id="1", destination="/topic/t")
    new = world.client("1.2").send("SUBSCRIBE", id="1", destination="/topic/t")
    world.client("1.2").raw(b"SEND\ndestination:/topic/t\nk:a\\cb\\nc\\\\d\n\n\0")
    assert b"\nk:a\\cb\\nc\\\\d\n" in new.received_bytes()
    assert b"\nk:a\\cb\\nc\\\\d\n" in old.received_bytes()


def test_composite_destination_reaches_each_once() -> None:
    world = World()
    topic = world.client().send("SUBSCRIBE", id="1", destination="/topic/b")
    queue = world.client().send("SUBSCRIBE", id="1", destination="/queue/a")
    world.client().send("SEND", "x", destination="/queue/a,/topic/b,/queue/a")
    assert (topic.bodies(), queue.bodies()) == ([b"x"], [b"x"])


def test_no_local_keeps_own_messages_away() -> None:
    client = World().client().send("SUBSCRIBE", id="1", destination="/topic/t", no_local="true")
    assert client.send("SEND", "x", destination="/topic/t").bodies() == []


def test_retained_values_for_who_asks() -> None:
    world = World()
    pub = world.client().send("SEND", "on", destination="/topic/s", retain="true")
    plain = world.client().send("SUBSCRIBE", id="1", destination="/topic/s")
    asking = world.client().send("SUBSCRIBE", id="1", destination="/topic/s", retained="true")
    assert plain.bodies() == []
    [message] = asking.received()
    assert (message.body, message.headers["retained"]) == (b"on", "true")
    pub.send("SEND", "", destination="/topic/s", retain="true")
    assert world.client().send("SUBSCRIBE", id="1", destination="/topic/s", retained="true").bodies() == []


# -- queues and acknowledgement


def test_queue_keeps_what_nobody_reads_yet_in_order() -> None:
    world = World()
    pub = world.client()
    for n in range(3):
        pub.send("SEND", str(n), destination="/queue/q")
    assert world.client().send("SUBSCRIBE", id="1", destination="q").bodies() == [b"0", b"1", b"2"]
    assert world.broker.queue("q").depth == 0


def test_competing_consumers_share_and_prefetch_bounds() -> None:
    world = World()
    clients = [
        world.client().send(
            "SUBSCRIBE", id="1", destination="/queue/q", ack="client-individual", prefetch_count="2"
        )
        for _ in range(2)
    ]
    pub = world.client()
    for n in range(6):
        pub.send("SEND", str(n), destination="/queue/q")
    got = [client.bodies() for client in clients]
    assert got == [[b"0", b"2"], [b"1", b"3"]]
    assert world.broker.queue("q").waiting == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_ack_client_is_cumulative(version: str) -> None:
    world = World()
    client = world.client(version).send("SUBSCRIBE", id="1", destination="/queue/q", ack="client")
    pub = world.client()
    for n in range(3):
        pub.send("SEND", str(n), destination="/queue/q")
    second = client.received()[1]
    _ack(client, version, second.headers)
    assert world.broker.queue("q").depth == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_ack_client_individual_is_for_one(version: str) -> None:
    world = World()
    client = world.client(version).send("SUBSCRIBE", id="1", destination="/queue/q", ack="client-individual")
    pub = world.client()
    for n in range(3):
        pub.send("SEND", str(n), destination="/queue/q")
    second = client.received()[1]
    _ack(client, version, second.headers)
    client.lose()
    assert world.client().send("SUBSCRIBE", id="1", destination="/queue/q").bodies() == [b"0", b"2"]


def _ack(client: Client, version: str, headers: dict[str, str], command: str = "ACK", **more: str) -> None:
    if version == "1.2":
        client.send(command, id=headers["ack"], **more)
    elif version == "1.1":
        client.send(command, message_id=headers["message-id"], subscription=headers["subscription"], **more)
    else:
        client.send(command, message_id=headers["message-id"], **more)


def test_nack_redelivers_with_a_count_then_dead_letters() -> None:
    world = World()
    client = world.client().send("SUBSCRIBE", id="1", destination="/queue/q", ack="client-individual")
    world.client().send("SEND", "x", destination="/queue/q")
    counts = []
    for _ in range(2):
        [message] = client.received()
        counts.append((message.headers.get("redelivered"), message.headers.get("x-mx-delivery-count")))
        client.send("NACK", id=message.headers["ack"])
    assert counts == [(None, None), ("true", "1")]
    assert client.received() == []
    [dead] = world.client().send("SUBSCRIBE", id="1", destination="/queue/DLQ").received()
    assert dead.headers["original-destination"] == "/queue/q"
    assert dead.headers["x-first-death-reason"] == "delivery_limit"


@pytest.mark.parametrize(("requeue", "again", "dead"), [("true", 1, 0), ("false", 0, 1)])
def test_nack_requeue_header_decides(requeue: str, again: int, dead: int) -> None:
    world = World()
    client = world.client().send("SUBSCRIBE", id="1", destination="/queue/q", ack="client-individual")
    world.client().send("SEND", "x", destination="/queue/q")
    [message] = client.received()
    client.send("NACK", id=message.headers["ack"], requeue=requeue)
    assert len(client.bodies()) == again
    assert world.broker.queue("DLQ").depth == dead


def test_nack_policy_of_activemq_dead_letters_at_once() -> None:
    world = World(StompSettings(nack="rejected"))
    client = world.client().send("SUBSCRIBE", id="1", destination="/queue/q", ack="client")
    world.client().send("SEND", "x", destination="/queue/q")
    [message] = client.received()
    client.send("NACK", id=message.headers["ack"])
    assert world.broker.queue("DLQ").depth == 1


def test_unacknowledged_messages_come_back_in_order_when_the_connection_breaks() -> None:
    world = World()
    client = world.client().send("SUBSCRIBE", id="1", destination="/queue/q", ack="client")
    pub = world.client()
    for n in range(3):
        pub.send("SEND", str(n), destination="/queue/q")
    client.lose()
    again = world.client().send("SUBSCRIBE", id="1", destination="/queue/q", ack="client").received()
    assert [(m.body, m.headers["redelivered"]) for m in again] == [
        (b"0", "true"),
        (b"1", "true"),
        (b"2", "true"),
    ]


def test_acknowledgement_on_a_topic_redelivers_too() -> None:
    world = World()
    client = world.client().send("SUBSCRIBE", id="1", destination="/topic/t", ack="client-individual")
    world.client().send("SEND", "x", destination="/topic/t")
    [message] = client.received()
    client.send("NACK", id=message.headers["ack"])
    assert client.bodies() == [b"x"]
    client.lose()
    assert [key for key in world.broker.queues if key.startswith(("durable:", "private:"))] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_ack_of_an_unknown_id_is_an_error(version: str) -> None:
    client = World().client(version)
    _ack(client, version, {"ack": "1-1", "message-id": "m", "subscription": "1"}, receipt="r")
    [error] = client.received()
    assert (error.command, error.headers["receipt-id"]) == ("ERROR", "r")
    assert client.connector.closing
    assert client.world.acceptor.counters.protocol_errors == 1


# -- transactions


def test_transaction_publishes_at_commit_and_not_at_abort() -> None:
    world = World()
    sub = world.client().send("SUBSCRIBE", id="1", destination="/topic/t")
    client = world.client()
    for end in ("ABORT", "COMMIT"):
        client.send("BEGIN", transaction="t").send("SEND", end, destination="/topic/t", transaction="t")
        assert sub.bodies() == []
        client.send(end, transaction="t")
    assert sub.bodies() == [b"COMMIT"]


def test_ack_in_a_transaction_counts_at_commit() -> None:
    world = World()
    client = world.client().send("SUBSCRIBE", id="1", destination="/queue/q", ack="client-individual")
    world.client().send("SEND", "x", destination="/queue/q")
    [message] = client.received()
    client.send("BEGIN", transaction="t").send("ACK", id=message.headers["ack"], transaction="t")
    assert world.broker.queue("q").depth == 1
    client.send("COMMIT", transaction="t")
    assert world.broker.queue("q").depth == 0


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_cumulative_ack_above_the_limit_of_a_transaction_leaves_nothing_behind(version: str) -> None:
    world = World(core=CoreLimits(transaction_operations_max=2))
    for body in ("1", "2", "3"):
        world.client().send("SEND", body, destination="/queue/q")
    client = world.client(version)
    client.send("SUBSCRIBE", id="0", destination="/queue/q", ack="client")
    last = client.received()[-1]
    client.send("BEGIN", transaction="t")
    if version == "1.2":
        client.send("ACK", id=last.headers["ack"], transaction="t")
    else:
        client.send("ACK", message_id=last.headers["message-id"], subscription="0", transaction="t")
    [error] = client.received()
    assert "2 operations" in error.headers["message"]
    assert client.connector.counters.limit_hits == 1
    queue = world.broker.queue("q")
    assert (queue.unsettled, queue.waiting) == (0, 3)


def test_transactions_are_bounded_in_bytes() -> None:
    world = World(core=CoreLimits(transaction_bytes_max=2_000))
    client = world.client().send("BEGIN", transaction="t")
    client.send("SEND", "x" * 1_000, destination="/queue/q", transaction="t")
    client.send("SEND", "x" * 1_000, destination="/queue/q", transaction="t", receipt="r")
    [error] = client.received()
    assert (error.headers["receipt-id"], "2000 bytes" in error.headers["message"]) == ("r", True)
    assert world.broker.transactions_bytes == 0


def test_open_transactions_are_aborted_by_the_end_of_the_connection() -> None:
    world = World()
    client = world.client().send("BEGIN", transaction="a").send("BEGIN", transaction="b")
    client.send("SEND", "x", destination="/queue/q", transaction="a").lose()
    assert world.broker.counters.transactions_aborted == 2
    assert world.broker.queue("q").depth == 0


@pytest.mark.parametrize("command", ["COMMIT", "ABORT"])
def test_unknown_transaction_is_an_error(command: str) -> None:
    [error] = World().client().send(command, transaction="t").received()
    assert "no transaction t" in error.headers["message"]


def test_begin_twice_is_an_error_and_so_is_one_too_many() -> None:
    [error] = World().client().send("BEGIN", transaction="t").send("BEGIN", transaction="t").received()
    assert error.command == "ERROR"
    client = World(StompSettings(transactions_max=1)).client()
    [error] = client.send("BEGIN", transaction="a").send("BEGIN", transaction="b").received()
    assert "too many" in error.headers["message"]


# -- receipts


def test_receipt_on_any_frame() -> None:
    client = World().client()
    client.send("SUBSCRIBE", id="1", destination="/queue/q", ack="client", receipt="1")
    client.send("BEGIN", transaction="t", receipt="2").send(
        "SEND", "x", destination="/queue/q", transaction="t", receipt="3"
    )
    client.send("COMMIT", transaction="t", receipt="4")
    frames = client.received()
    message = next(frame for frame in frames if frame.command == "MESSAGE")
    client.send("ACK", id=message.headers["ack"], receipt="5")
    client.send("UNSUBSCRIBE", id="1", receipt="6").send("DISCONNECT", receipt="7")
    receipts = [f.headers["receipt-id"] for f in [*frames, *client.received()] if f.command == "RECEIPT"]
    assert receipts == ["1", "2", "3", "4", "5", "6", "7"]
    assert client.connector.closing


def test_receipt_waits_for_the_store_and_disconnects_is_the_last() -> None:
    store = HeldStore()
    world = World(store=store)
    client = world.client().send("SEND", "x", destination="/queue/q", persistent="true", receipt="1")
    client.send("SEND", "y", destination="/queue/q", receipt="2").send("DISCONNECT", receipt="3")
    assert client.received() == []
    assert not client.connector.closing
    world.broker.on_durable(store.release())
    assert [frame.headers["receipt-id"] for frame in client.received()] == ["1", "2", "3"]
    assert client.connector.closing


# -- subscriptions


def test_unsubscribe_ends_delivery_and_its_id_can_be_used_again() -> None:
    world = World()
    client = world.client().send("SUBSCRIBE", id="1", destination="/topic/t").send("UNSUBSCRIBE", id="1")
    pub = world.client().send("SEND", "x", destination="/topic/t")
    assert client.bodies() == []
    client.send("SUBSCRIBE", id="1", destination="/topic/t")
    pub.send("SEND", "y", destination="/topic/t")
    assert client.bodies() == [b"y"]


def test_1_0_unsubscribes_by_destination() -> None:
    world = World()
    client = (
        world.client("1.0")
        .send("SUBSCRIBE", destination="/topic/t")
        .send("UNSUBSCRIBE", destination="/topic/t")
    )
    world.client().send("SEND", "x", destination="/topic/t")
    assert client.bodies() == []


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (
            [("SUBSCRIBE", {"id": "1", "destination": "a"}), ("SUBSCRIBE", {"id": "1", "destination": "b"})],
            "already",
        ),
        ([("UNSUBSCRIBE", {"id": "9"})], "no subscription"),
        ([("SUBSCRIBE", {"id": "1", "destination": "/exchange/x/y"})], "unknown destination"),
        ([("SEND", {"destination": "/nothing/x"})], "unknown destination"),
        ([("SEND", {"destination": "/topic/"})], "empty"),
        ([("SUBSCRIBE", {"id": "1", "destination": "/share/g"})], "/share/GROUP/FILTER"),
    ],
)
def test_what_cannot_be_is_an_error(frames: list[tuple[str, dict[str, str]]], said: str) -> None:
    client = World().client()
    for command, headers in frames:
        client.send(command, **headers)
    error = client.received()[-1]
    assert error.command == "ERROR"
    assert said in error.headers["message"]
    assert client.connector.closing


def test_subscription_limit() -> None:
    client = World(limits=Limits(max_subscriptions=1)).client().send("SUBSCRIBE", id="1", destination="a")
    [error] = client.send("SUBSCRIBE", id="2", destination="b").received()
    assert "too many" in error.headers["message"]


@pytest.mark.parametrize("header", ["activemq.subscriptionName", "durable-subscription-name"])
def test_durable_subscription_waits_for_its_client(header: str) -> None:
    world = World()
    subscribe = f"SUBSCRIBE\nid:1\ndestination:/topic/t\n{header}:d\n\n\0".encode()
    world.client(client_id="c").raw(subscribe).lose()
    world.client().send("SEND", "x", destination="/topic/t")
    again = world.client(client_id="c").raw(subscribe)
    assert again.bodies() == [b"x"]
    again.send("UNSUBSCRIBE", id="1").raw(f"UNSUBSCRIBE\nid:1\n{header}:d\n\n\0".encode())
    assert "durable:1:c/d" not in world.broker.queues


def test_shared_subscription_gives_each_message_to_one() -> None:
    world = World()
    clients = [world.client().send("SUBSCRIBE", id="1", destination="/share/g/a.>") for _ in range(2)]
    pub = world.client()
    for n in range(4):
        pub.send("SEND", str(n), destination="/topic/a.b")
    assert sorted(clients[0].bodies() + clients[1].bodies()) == [b"0", b"1", b"2", b"3"]
    for client in clients:
        client.lose()
    assert world.broker.queues == {}


def test_temporary_queue_is_answered_by_others_and_dies_with_its_connection() -> None:
    world = World()
    asking = world.client().send("SUBSCRIBE", id="1", destination="/temp-queue/r")
    answering = world.client().send("SUBSCRIBE", id="1", destination="/queue/work")
    asking.send("SEND", "?", destination="/queue/work", reply_to="/temp-queue/r")
    [question] = answering.received()
    answering.send("SEND", "!", destination=question.headers["reply-to"])
    [answer] = asking.received()
    assert (answer.body, answer.headers["destination"]) == (b"!", "/temp-queue/r")
    asking.lose()
    assert [key for key in world.broker.queues if "mx.tmp." in key] == []


# -- expiry, limits, slow readers


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
        world.broker.queue(f"q.{number}").purge()
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
