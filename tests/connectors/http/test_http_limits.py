"""HTTP: limits and bad input, delivery later, and where there is no room."""

import json

import pytest
from http_client import NOW_MS, World
from http_words import ENVELOPE, UPGRADE, Rules, basic

from gateway.connectors.base import Limits
from gateway.core.limits import QueuePolicy

# -- limits and bad input


def test_a_full_queue() -> None:
    world = World(policy=QueuePolicy(messages_max=1, when_full="reject"))
    assert world.once("POST", "/queues/q", b"x").status == 202
    assert world.once("POST", "/queues/q", b"x").status == 507


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GARBAGE\r\n\r\n", b"400"),
        (b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 20_000, b"431"),
        (b"POST /queues/q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n", b"413"),
        (
            b"POST /queues/q HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5dc\r\n"
            + b"x" * 1500,
            b"413",
        ),
        (
            b"POST /queues/q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"400",
        ),
    ],
)
@pytest.mark.parametrize("step", [0, 1])
def test_bad_requests_are_answered_and_end_the_connection(data: bytes, status: bytes, step: int) -> None:
    client = World(limits=Limits(max_frame_size=1_000)).client()
    for at in range(0, len(data), step or len(data)):
        client.raw(data[at : at + (step or len(data))])
    assert client.written().startswith(b"HTTP/1.1 " + status)
    assert client.connector.closing
    assert client.connector.counters.protocol_errors == 1


def test_a_body_that_is_announced_is_waited_for() -> None:
    client = World().client()
    client.raw(
        b"POST /queues/q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"
    )
    assert client.written().startswith(b"HTTP/1.1 100 ")
    client.raw(b"x")
    assert b" 202 " in client.written()


def test_too_much_behind_a_waiting_request() -> None:
    client = World().client()
    client.ask("GET", "/queues/q?wait=1000")
    client.raw(b"x" * 20_000)
    assert client.written().startswith(b"HTTP/1.1 429 ")
    assert client.connector.closing


def test_a_slow_request_is_ended_and_an_idle_connection_quietly() -> None:
    client = World(limits=Limits(connect_timeout_ms=100)).client()
    client.raw(b"GET / HT")
    client.pass_time(100)
    assert client.written().startswith(b"HTTP/1.1 408 ")
    assert client.connector.closing
    idle = World(limits=Limits(connect_timeout_ms=100)).client()
    idle.ask("GET", "/")
    idle.pass_time(100)
    assert idle.written() == b""
    assert idle.connector.closing
    assert idle.connector.failure == ""


def test_a_long_body_may_take_its_time_while_it_comes_quickly_enough() -> None:
    client = World(limits=Limits(connect_timeout_ms=100, body_rate_min=1_000)).client()
    client.raw(b"POST /queues/q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300\r\n\r\n")
    for _ in range(3):
        client.pass_time(90)
        assert not client.connector.closing
        client.raw(b"x" * 100)
    assert b" 202 " in client.written()


def test_a_body_that_trickles_has_a_deadline() -> None:
    client = World(limits=Limits(connect_timeout_ms=100, body_rate_min=1_000)).client()
    client.raw(b"POST /queues/q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300\r\n\r\n")
    for _ in range(3):
        client.pass_time(40)
        client.raw(b"x")
    assert b" 408 " in client.written()
    assert client.connector.closing


@pytest.mark.parametrize("chunked", [False, True])
def test_a_stranger_is_refused_before_a_large_body_is_taken(chunked: bool) -> None:
    world = World(authorizer=Rules(), limits=Limits(allow_anonymous=False, connect_frame_size=1_024))
    for authorization in (b"", b"Authorization: %s\r\n" % basic("u:wrong").encode()):
        client = world.client()
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 100000"
        client.raw(b"POST /queues/q HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n\r\n" % (authorization, framing))
        if chunked:
            client.raw(b"ffff\r\n" + b"x" * 2_000)
        assert b" 401 " in client.written()
        assert client.connector.closing


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_is_known_may_send_a_large_body(chunked: bool) -> None:
    world = World(authorizer=Rules(), limits=Limits(allow_anonymous=False, connect_frame_size=1_024))
    client = world.client()
    for _ in range(2):
        head = b"POST /queues/q HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\n" % basic("u:p").encode()
        body = b"".join(b"%04d" % number for number in range(1_000))
        if chunked:
            client.raw(head + b"Transfer-Encoding: chunked\r\n\r\nfa0\r\n" + body + b"\r\n0\r\n\r\n")
        else:
            client.raw(head + b"Content-Length: 4000\r\n\r\n" + body[:10])
            client.raw(body[10:])
        assert b" 202 " in client.written()
    assert [delivery.message.origin.body() for delivery in world.broker.queue("q").browse()] == [body, body]


def test_an_answer_holds_no_more_messages_than_the_output_buffer_has_room_for() -> None:
    world = World(limits=Limits(output_buffer=2_048))
    client = world.client()
    for _ in range(5):
        assert client.ask("POST", "/queues/q", b"x" * 1_000) is not None
    counts = []
    for _ in range(3):
        answer = client.ask("GET", "/queues/q?max=10&ack=auto", Accept="application/vnd.mx+json")
        assert answer is not None
        counts.append(0 if answer.status == 204 else len(json.loads(answer.body)))
    assert counts[0] < 5
    assert sum(counts) == 5


def test_a_large_body_where_none_is_wanted_is_refused_before_it_comes() -> None:
    client = World(limits=Limits(connect_frame_size=1_024)).client()
    client.raw(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n")
    assert b" 413 " in client.written()
    assert client.connector.closing


def test_a_client_that_asks_too_often_is_ended() -> None:
    client = World(limits=Limits(message_rate=2)).client()
    for _ in range(2):
        assert client.ask("GET", "/queues/q") is not None
    client.ask("GET", "/queues/q")
    assert client.connector.closing
    assert client.connector.counters.limit_hits == 1


def test_one_connection_too_many() -> None:
    client = World().client()
    client.connector.refuse(NOW_MS)
    answer = client.ask("GET", "/ws", **UPGRADE)
    assert answer is not None
    assert answer.status == 503
    assert client.connector.closing


def test_bad_envelopes() -> None:
    world = World()
    assert world.once("POST", "/queues/q", b"{", Content_Type=ENVELOPE).status == 400
    assert world.once("POST", "/queues/q", b"[]", Content_Type=ENVELOPE).status == 400
    assert world.once("POST", "/queues/q", b"x", X_Mx_Meta="[]").status == 400
    assert world.once("POST", "/queues/q", b"x", X_Mx_Meta='{"body":1}').status == 400
    assert world.once("POST", "/queues/q", b"x", X_Mx_Meta='{"priority":"high"}').status == 400
    assert world.once("POST", "/queues/q", b"x", X_Mx_Ttl="soon").status == 400
    assert world.broker.queues == {}


# -- later, and where there is no room


def test_delivery_later() -> None:
    world = World()
    meta = json.dumps({"delay": 1_000})
    assert world.once("POST", "/queues/q", b"later", X_Mx_Meta=meta).status == 202
    many = [{"to": "queue:q", "body": "at its time", "deliver_at": world.now_ms + 500}]
    assert world.once("POST", "/messages", json.dumps(many).encode(), Content_Type=ENVELOPE).status == 202
    assert world.once("GET", "/queues/q").status == 204
    for after_ms, body in ((500, b"at its time"), (500, b"later")):
        world.advance(after_ms)
        world.broker.tick(world.now_ms)
        assert world.once("GET", "/queues/q?ack=auto").body == body
    assert world.once("POST", "/queues/q", b"x", X_Mx_Meta=json.dumps({"delay": 1 << 40})).status == 507
    assert world.once("POST", "/queues/q", b"x", X_Mx_Meta=json.dumps({"delay": -1})).status == 400


@pytest.mark.parametrize("path", ["/queues/q", "/topics/t"])
@pytest.mark.parametrize("meta", ["{}", '{"delay":5}'])
def test_a_store_that_can_keep_nothing_is_never_a_202(path: str, meta: str) -> None:
    world = World()
    world.broker.store.accepting = False
    refused = world.once("POST", path, b"x", X_Mx_Meta=meta)
    assert refused.status == 507
    assert b"the broker's disk is full" in refused.body
    kind, name = path[1:].split("s/")
    many = json.dumps([{"to": f"{kind}:{name}", "body": "x", **json.loads(meta)}]).encode()
    assert world.once("POST", "/messages", many, Content_Type=ENVELOPE).status == 507
    assert world.once("POST", path, b"x", X_Mx_Meta='{"durable":false}').status == 202
