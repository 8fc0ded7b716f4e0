"""Large messages over HTTP: a part at a time, and the same for who reads them."""

import json

import h11
import pytest
from http_client import World

from gateway.connectors.output import RESUME_BYTES
from gateway.connectors.text import LONG_TEXT

ENVELOPE = "application/vnd.mx+json"


@pytest.mark.parametrize(
    "body",
    ["é".encode() * LONG_TEXT, b"x" * (LONG_TEXT + 1), b"x" * LONG_TEXT + b"\xff", b"\0" * (LONG_TEXT + 1)],
    ids=["wide", "ASCII", "bytes", "NUL"],
)
def test_a_large_body_is_what_a_small_one_would_be(body: bytes) -> None:
    world = World()
    for sent in (body, body[:10] + body[-2:]):
        assert world.once("POST", "/queues/q", sent, Content_Type="text/plain").status == 202
    kinds = [delivery.message.fields().body_kind for delivery in world.broker.queues["queue:q"].browse()]
    assert kinds[0] == kinds[1]
    assert world.once("GET", "/queues/q?ack=auto").body == body


def test_large_envelopes_come_in_chunks_on_a_connection_that_stays() -> None:
    world = World()
    bodies = ["a", "é" * RESUME_BYTES, "b", '"' * RESUME_BYTES, "c"]
    for body in bodies:
        world.once("POST", "/queues/q", body.encode(), Content_Type="text/plain")
    client = world.client()
    answer = client.ask("GET", "/queues/q?max=5", Accept=ENVELOPE)
    assert answer is not None
    assert answer.headers["transfer-encoding"] == "chunked"
    found = json.loads(answer.body)
    assert [item["body"] for item in found] == bodies
    done = client.ask("DELETE", f"/receipts/{found[0]['receipt']}")
    assert done is not None
    assert done.status == 202


def test_who_speaks_http_1_0_has_them_up_to_the_end_of_the_connection() -> None:
    """RFC 9112 §6.3"""
    world = World()
    world.once("POST", "/queues/q", b"x" * RESUME_BYTES, Content_Type="text/plain")
    client = world.client()
    client.raw(b"GET /queues/q HTTP/1.0\r\nHost: localhost\r\nAccept: %b\r\n\r\n" % ENVELOPE.encode())
    head, _, body = client.written().partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert json.loads(body)[0]["body"] == "x" * RESUME_BYTES
    assert client.connector.closing


def test_a_request_that_is_framed_twice_is_the_last_whatever_is_answered() -> None:
    """RFC 9112 §6.1"""
    world = World()
    for body in (b"small", b"x" * RESUME_BYTES):
        world.once("POST", "/queues/q", body, Content_Type="text/plain")
        client = world.client()
        client.raw(
            b"GET /queues/q?ack=auto HTTP/1.1\r\nHost: localhost\r\nAccept: %b\r\n" % ENVELOPE.encode()
            + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        head, _, answer = client.written().partition(b"\r\n\r\n")
        assert b"\r\nconnection: close" in head.lower()
        assert body[:1_000] in answer
        assert client.connector.closing


def test_a_body_that_is_given_up_has_no_end() -> None:
    """RFC 9112 §8: a body in chunks is whole once its last chunk has come."""
    world = World()
    world.once("POST", "/queues/q", b"x" * RESUME_BYTES, Content_Type="text/plain")
    client = world.client()
    connector = client.connector
    connector.bytes_in(
        b"GET /queues/q?ack=auto HTTP/1.1\r\nHost: localhost\r\nAccept: %b\r\n\r\n" % ENVELOPE.encode(), 0
    )
    head = b"".join(connector.bytes_out(world.broker.now_ms))
    assert head.startswith(b"HTTP/1.1 200 ")
    connector.give_up(world.broker.now_ms)
    assert not client.written()
    assert connector.closing


def test_a_large_event_is_one_event_in_its_place() -> None:
    world = World()
    client = world.client()
    client.send("GET", "/events?destination=topic:a")
    bodies = ["a", "é\n" * RESUME_BYTES, "b"]
    for body in bodies:
        world.once("POST", "/topics/a", body.encode(), Content_Type="text/plain")
    client.h11.receive_data(client.written())
    data = b""
    while isinstance(event := client.h11.next_event(), h11.Response | h11.Data):
        if isinstance(event, h11.Data):
            data += event.data
    lines = [line[6:] for line in data.decode().split("\n") if line.startswith("data: ")]
    assert [json.loads(line)["body"] for line in lines] == bodies
