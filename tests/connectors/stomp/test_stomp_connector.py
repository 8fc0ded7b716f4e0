"""STOMP connections against the core: each behaviour, with the section or the promise in its name."""

import pytest
from stomp_client import Client, World

from gateway.connectors.base import Limits
from gateway.connectors.stomp.settings import StompSettings
from gateway.core.limits import CoreLimits
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
