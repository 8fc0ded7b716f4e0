"""Answers of HTTP that have to wait: for the store, for its pages, behind each other; and what a limit leaves undone."""

import json
import re

import pytest
from http_client import HttpClient, World
from json_client import HoldingStore
from ticking import Ticking

from gateway.connectors.base import Limits
from gateway.connectors.envelope import WIRE_ID as ENVELOPE_ID
from gateway.connectors.envelope import EnvelopeRestorer
from gateway.connectors.output import HEARD_MS, Turn
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer
from gateway.core.router import Broker
from gateway.store.memory import Kept, MemoryStore
from protocols.gatewayjson.reading import AT_ONCE


def statuses(client: HttpClient) -> list[int]:
    """The status of each response that has been written."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", client.written())]


# -- what crosses a limit


def test_a_message_that_crosses_the_rate_is_answered_429_and_is_not_stored() -> None:
    world = World(limits=Limits(message_rate=2))
    client = world.client()
    for body in (b"1", b"2"):
        answer = client.ask("POST", "/queues/q", body)
        assert answer is not None
        assert answer.status == 202
    client.send("POST", "/queues/q", b"3")
    assert statuses(client) == [429]
    assert client.connector.closing
    assert world.broker.queues["queue:q"].depth == 2


def test_pipelined_messages_are_taken_up_to_the_rate() -> None:
    world = World(limits=Limits(message_rate=2))
    client = world.client()
    client.raw(b"POST /queues/q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx" * 4)
    assert statuses(client) == [202, 202, 429]
    assert client.connector.closing
    assert world.broker.queues["queue:q"].depth == 2


def test_a_body_that_crosses_the_byte_rate_is_answered_429_though_it_is_not_whole() -> None:
    world = World(limits=Limits(byte_rate=1_000))
    client = world.client()
    client.raw(b"POST /queues/q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n" + b"x" * 1_000)
    assert statuses(client) == [429]
    assert client.connector.closing
    assert world.broker.queues == {}


def test_what_is_being_stored_is_confirmed_though_more_comes_than_may() -> None:
    store = HoldingStore()
    world = World(store=store, limits=Limits(byte_rate=1_000))
    client = world.client()
    client.send("POST", "/queues/q", b"x")
    client.raw(b"x" * 2_000)
    assert client.written() == b""
    assert not client.connector.closing
    store.release(world.broker)
    assert statuses(client) == [202]
    assert client.connector.closing
    assert client.connector.counters.limit_hits == 1


def test_what_is_being_stored_is_confirmed_though_too_much_comes_behind_it() -> None:
    store = HoldingStore()
    world = World(store=store)
    client = world.client()
    client.send("POST", "/queues/q", b"x")
    client.raw(b"x" * 20_000)
    assert client.written() == b""
    store.release(world.broker)
    assert statuses(client) == [202]
    assert client.connector.closing


# -- behind each other


def test_every_pipelined_request_is_answered_when_the_first_had_to_wait() -> None:
    store = HoldingStore()
    world = World(store=store)
    client = world.client()
    client.raw(
        b"POST /queues/q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"
        + b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n" * 4
    )
    assert client.written() == b""
    store.release(world.broker)
    assert statuses(client) == [202, 404, 404, 404, 404]


def test_a_queue_that_delivers_in_a_later_turn_is_not_called_empty() -> None:
    world = World()
    world.once("POST", "/queues/q", b"x")
    queue = world.broker.queue("q")
    queue.stop()
    client = world.client()
    assert client.ask("GET", "/queues/q") is None
    queue.start()
    assert statuses(client) == [200]


def test_every_pipelined_request_is_answered_behind_a_pull() -> None:
    client = World().client()
    client.raw(
        b"GET /queues/q?wait=100 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        + b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3
    )
    assert client.written() == b""
    client.pass_time(100)
    assert statuses(client) == [204, 404, 404, 404]


def test_a_pull_from_an_unknown_queue_leaves_none_behind() -> None:
    world = World()
    for n in range(50):
        assert world.once("GET", f"/queues/unknown{n}").status == 204
    client = world.client()
    client.send("GET", "/queues/unknown?wait=100")
    world.advance(50)
    assert len(world.broker.queues) == 1
    client.pass_time(100)
    assert statuses(client) == [204]
    assert world.broker.queues == {}


# -- what only the store holds


class Restarted:
    """A gateway that has been started on what an earlier run stored; pages come when they are let."""

    def __init__(self, *bodies: bytes) -> None:
        kept = Kept()
        before = World(store=MemoryStore(kept))
        for body in bodies:
            before.once("POST", "/queues/q", body)
        before.broker.store.close(True)
        self.store = MemoryStore(kept, pages=True)
        broker = Broker(self.store, Authorizer(), CoreLimits(), QueuePolicy(dead_letters="DLQ"))
        broker.decoder.restorers[ENVELOPE_ID] = EnvelopeRestorer()
        broker.recover(self.store.recover())
        self.store.listener = broker
        self.world = World(broker=broker)


def test_a_get_after_a_restart_waits_for_the_store() -> None:
    restarted = Restarted(b"1", b"2")
    client = restarted.world.client()
    assert client.ask("GET", "/queues/q?ack=auto") is None
    restarted.store.commit()
    answer = client.answer()
    assert answer is not None
    assert answer.body == b"1"
    assert restarted.world.once("GET", "/queues/q?ack=auto").body == b"2"
    assert restarted.world.once("GET", "/queues/q?ack=auto").status == 204


def test_a_get_after_a_restart_takes_as_many_as_it_asked_for() -> None:
    restarted = Restarted(b"1", b"2", b"3")
    client = restarted.world.client()
    assert client.ask("GET", "/queues/q?max=2", Accept="application/vnd.mx+json") is None
    restarted.store.commit()
    answer = client.answer()
    assert answer is not None
    assert len(json.loads(answer.body)) == 2


def test_two_gets_after_a_restart_for_one_message() -> None:
    restarted = Restarted(b"1")
    first, second = restarted.world.client(), restarted.world.client()
    assert first.ask("GET", "/queues/q") is None
    assert second.ask("GET", "/queues/q") is None
    restarted.store.commit()
    assert sorted([statuses(first), statuses(second)]) == [[], [200]]
    for client in (first, second):
        client.pass_time(100)
    assert sorted([statuses(first), statuses(second)]) == [[], [204]]


def test_a_store_that_does_not_answer_is_no_empty_queue() -> None:
    restarted = Restarted(b"1")
    client = restarted.world.client()
    assert client.ask("GET", "/queues/q") is None
    for _ in range(30):
        client.pass_time(500)
    assert statuses(client) == [503]


# -- what comes in one read


def test_pipelined_requests_are_answered_some_a_turn() -> None:
    world = World()
    world.turn = Turn(lambda: None, Ticking())
    client = world.client()
    world.turn.share()
    client.raw(b"POST /topics/t HTTP/1.1\r\nHost: localhost:61614\r\nContent-Length: 1\r\n\r\nx" * 10)
    answered = [len(statuses(client))]
    while client.connector.resumes:
        assert client.connector.unheard
        world.turn.share()
        client.connector.go_on(world.now_ms)
        answered.append(len(statuses(client)))
    assert answered == [HEARD_MS, HEARD_MS, 10 - 2 * HEARD_MS]
    assert world.broker.counters.published == 10


@pytest.mark.parametrize("kind", ["many", "one"])
def test_a_large_json_text_is_read_in_many_turns_and_what_it_says_is_done_once(kind: str) -> None:
    world = World()
    world.turn = Turn(lambda: None, Ticking())
    client = world.client()
    world.turn.share()
    texts = [f"{number}" * 500 for number in range(100)]
    if kind == "many":
        body: object = [{"to": "queue:q", "body": text} for text in texts]
        head = b"POST /messages HTTP/1.1\r\n"
    else:
        body = {"body": texts}
        head = b"POST /queues/q HTTP/1.1\r\nContent-Type: application/vnd.mx+json\r\n"
    data = json.dumps(body).encode()
    client.raw(
        head
        + b"Host: localhost:61614\r\nContent-Length: %d\r\n\r\n" % len(data)
        + data
        + b"GET / HTTP/1.1\r\nHost: localhost:61614\r\n\r\n"
    )
    answered: list[int] = []
    turns = 0
    while client.connector.resumes:
        assert client.connector.unheard
        assert not answered
        world.turn.share()
        client.connector.go_on(world.now_ms)
        answered += statuses(client)
        turns += 1
    assert turns >= len(data) / (2 * AT_ONCE)
    assert answered == [202, 426]
    assert world.broker.queues["queue:q"].depth == (100 if kind == "many" else 1)


def test_who_goes_while_a_large_json_text_is_read_has_published_nothing() -> None:
    world = World()
    world.turn = Turn(lambda: None, Ticking())
    client = world.client()
    world.turn.share()
    data = json.dumps([{"to": "queue:q", "body": "x" * 50_000}] * 10).encode()
    client.raw(
        b"POST /messages HTTP/1.1\r\nHost: localhost:61614\r\nContent-Length: %d\r\n\r\n" % len(data) + data
    )
    assert client.connector.resumes
    client.connector.eof(world.now_ms)
    assert "queue:q" not in world.broker.queues
