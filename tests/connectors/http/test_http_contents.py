"""What an answer's head says of a message: how its body is packed, and no more than clients and proxies take."""

import gzip
import json
from typing import Any

import pytest
from http_client import World

from gateway.connectors.http.settings import HttpSettings

ENVELOPE = "application/vnd.mx+json"
PACKED = gzip.compress(b'{"a":1}', mtime=0)

# -- Content-Encoding


def test_9110_8_4_a_packed_body_is_packed_for_its_reader_too() -> None:
    world = World()
    world.once("POST", "/queues/q", PACKED, Content_Type="application/json", Content_Encoding="GZip")
    answer = world.once("GET", "/queues/q")
    assert (answer.headers["content-encoding"], answer.body) == ("gzip", PACKED)
    assert answer.headers["content-type"] == "application/json"
    assert "content_encoding" not in answer.meta


def test_an_envelope_says_how_its_body_is_packed() -> None:
    world = World()
    world.once("POST", "/queues/q", PACKED, Content_Type="application/json", Content_Encoding="gzip")
    answer = world.once("GET", "/queues/q", Accept=ENVELOPE)
    assert "content-encoding" not in answer.headers
    [item] = json.loads(answer.body)
    assert item["content_encoding"] == "gzip"
    assert "body" not in item


@pytest.mark.parametrize(
    ("value", "kept"), [("identity", None), ("", None), ("gzip, br", "gzip, br"), ("br ,identity", "br")]
)
def test_codings_may_be_none_or_several(value: str, kept: str | None) -> None:
    world = World()
    assert world.once("POST", "/queues/q", b"x", Content_Encoding=value).status == 202
    assert world.once("GET", "/queues/q").headers.get("content-encoding") == kept


def test_codings_may_come_in_several_headers() -> None:
    world = World()
    client = world.client()
    client.raw(
        b"POST /queues/q HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\n"
        b"content-encoding: br\r\nContent-Length: 1\r\n\r\nx"
    )
    assert client.written().startswith(b"HTTP/1.1 202 ")
    assert world.once("GET", "/queues/q").headers["content-encoding"] == "gzip, br"


def test_9110_15_5_16_an_unknown_coding_is_415_with_those_that_are_known() -> None:
    world = World()
    for value in ("rot13", "gzip, rot13", "utf-8"):
        answer = world.once("POST", "/queues/q", b"x", Content_Encoding=value)
        assert answer.status == 415
        assert "gzip" in answer.headers["accept-encoding"]
    assert world.broker.queues == {}


@pytest.mark.parametrize("path", ["/queues/q", "/messages"])
def test_what_has_to_be_understood_may_not_be_packed(path: str) -> None:
    world = World()
    answer = world.once("POST", path, PACKED, Content_Type=ENVELOPE, Content_Encoding="gzip")
    assert (answer.status, answer.headers["accept-encoding"]) == (415, "identity")


def test_what_is_no_coding_of_http_stays_in_meta() -> None:
    # Celery says content_encoding utf-8; a client would refuse what it cannot unpack.
    world = World()
    envelope = {"body_b64": "eA==", "content_encoding": "utf-8"}
    world.once("POST", "/queues/q", json.dumps(envelope).encode(), Content_Type=ENVELOPE)
    answer = world.once("GET", "/queues/q")
    assert "content-encoding" not in answer.headers
    assert answer.meta["content_encoding"] == "utf-8"


def test_9111_nothing_taken_from_a_queue_is_for_a_cache() -> None:
    world = World()
    world.once("POST", "/queues/q", b"x")
    assert world.once("GET", "/queues/q").headers["cache-control"] == "no-store"
    assert world.once("GET", "/queues/q").headers["cache-control"] == "no-store"
    assert world.once("GET", "/page").headers["cache-control"] == "no-cache"


# -- X-Mx-Meta


def publish(world: World, **members: Any) -> None:
    data = json.dumps({"body": "x", **members}).encode()
    assert world.once("POST", "/queues/q", data, Content_Type=ENVELOPE).status == 202


def test_meta_is_bounded_and_says_what_it_lacks() -> None:
    world = World()
    publish(world, properties={"small": 1, "big": "b" * 3_000, "middle": "m" * 1_000}, subject="s")
    answer = world.once("GET", "/queues/q")
    assert len(answer.headers["x-mx-meta"]) <= 3_072
    assert answer.meta["properties"] == {"small": 1, "middle": "m" * 1_000}
    assert answer.meta["subject"] == "s"
    assert answer.meta["ext"]["omit"] == "big(3009)"
    assert world.broker.counters.omitted == {("HT", "HT", "properties"): 1}


def test_meta_that_just_fits_is_whole_and_one_byte_more_is_not() -> None:
    sizes: list[int] = []
    for extra in (0, 1):
        world = World(settings=HttpSettings(meta_bytes_max=2_000))
        publish(world, subject="s")
        sizes.append(len(world.once("GET", "/queues/q").headers["x-mx-meta"]))
        publish(world, subject="s" * (2_001 + extra - sizes[-1]))
        answer = world.once("GET", "/queues/q")
        if extra:
            assert "subject" not in answer.meta
            assert answer.meta["ext"]["omit"].startswith("subject(")
        else:
            assert len(answer.headers["x-mx-meta"]) == 2_000
            assert "omit" not in answer.meta.get("ext", {})


@pytest.mark.parametrize(
    "members",
    [
        {"properties": {f"é{n}": "é" * n for n in range(600)}},
        {"properties": {"é" * 500 + str(n): n for n in range(50)}},
        {"correlation_id": "c" * 9_000, "reply_to": "r" * 9_000, "subject": "s" * 9_000},
        {"annotations": {"a": "é" * 9_000}},
        {"ext": {"uprops": [["k", "v" * 2_000], ["k", "w" * 2_000]]}},
        {"content_type": "text/plain;x=" + "y" * 5_000},
    ],
)
def test_no_message_makes_a_head_that_clients_refuse(members: dict[str, Any]) -> None:
    world = World()
    publish(world, **members)
    client = world.client()
    answer = client.ask("GET", "/queues/q", Origin="http://localhost:61614")
    assert answer is not None
    head = sum(len(name) + len(value) + 4 for name, value in answer.headers.items())
    # What nginx takes by default, as one page of memory.
    assert head < 4_096
    assert answer.meta["id"]
    assert answer.meta["ext"]["omit"]
    # The whole of it is to be had as an envelope.
    world.once("POST", f"{answer.headers['location']}/release")
    [item] = json.loads(world.once("GET", "/queues/q", Accept=ENVELOPE).body)
    assert item["id"] == answer.meta["id"]
    assert "omit" not in item.get("ext", {})


def test_9110_5_5_no_control_character_stands_in_a_header() -> None:
    world = World()
    publish(world, properties={"k": "a\x7fb\x01\n"})
    answer = world.once("GET", "/queues/q")
    assert answer.headers["x-mx-meta"].isprintable()
    assert answer.meta["properties"] == {"k": "a\x7fb\x01\n"}


def test_what_came_with_omissions_may_be_sent_back() -> None:
    world = World()
    publish(world, properties={"big": "b" * 5_000, "n": 5})
    answer = world.once("GET", "/queues/q")
    again = world.once("POST", "/queues/q", answer.body, X_Mx_Meta=answer.headers["x-mx-meta"])
    assert again.status == 202
    meta = world.once("GET", "/queues/q").meta
    assert (meta["properties"], "omit" in meta.get("ext", {})) == ({"n": 5}, False)
