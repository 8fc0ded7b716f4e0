"""HTTP on the core: publishing, pulling with receipts, events, who may come, and every refusal."""

import json
from typing import Any

import pytest
from http_client import NOW_MS, Answer, HttpClient, World
from http_words import ENVELOPE, UPGRADE, Rules, basic
from json_client import HoldingStore
from json_schema import SCHEMA
from jsonschema import Draft202012Validator

from gateway.connectors.base import Limits
from gateway.connectors.http.receipts import ENDED_AT_ONCE
from gateway.connectors.http.settings import HttpSettings
from gateway.core.limits import QueuePolicy
from gateway.core.ports import Authorizer
from gateway.security.guard import Guard, User
from gateway.security.passwords import PasswordChecks
from gateway.security.rules import Rules as SecurityRules

# -- publishing and pulling


def test_a_message_goes_in_and_comes_out_as_it_was() -> None:
    world = World()
    assert world.once("POST", "/queues/q", b"\x89PNG", Content_Type="image/png").status == 202
    answer = world.once("GET", "/queues/q")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"\x89PNG", "image/png")
    assert answer.meta == {"id": answer.meta["id"], "to": "queue:q", "received_at": NOW_MS, "durable": True}
    assert world.once("GET", "/queues/q").status == 204


def test_names_are_percent_decoded() -> None:
    world = World()
    world.once("POST", "/queues/a%2Fb%20%C3%A9", b"x")
    assert set(world.broker.queues) == {"queue:a/b é"}
    assert world.once("POST", "/queues/a/b", b"x").status == 404
    assert world.once("POST", "/queues/%FF", b"x").status == 400
    assert world.once("POST", "/queues/%00", b"x").status == 400


def test_what_http_has_no_header_for_travels_in_meta() -> None:
    world = World()
    meta: dict[str, Any] = {
        "correlation_id": "AMQP_ULONG:7", "reply_to": "queue:r", "subject": "é", "priority": 7, "durable": False,
        "properties": {"n": 5, "u": 7, "é": "🥕"}, "ext": {"types": "u:u8"},
    }  # fmt: skip
    world.once(
        "POST", "/queues/q", b"hi", Content_Type="text/plain", X_Mx_Meta=json.dumps(meta), X_Mx_Ttl="2500"
    )
    answer = world.once("GET", "/queues/q")
    assert {name: answer.meta[name] for name in meta} == meta
    assert answer.meta["expires_at"] == NOW_MS + 2500


def test_text_without_a_type_and_bodies_that_are_none() -> None:
    world = World()
    world.once("POST", "/queues/q", json.dumps({"body": "é"}).encode(), Content_Type=ENVELOPE)
    world.once("POST", "/queues/q", json.dumps({"body": None}).encode(), Content_Type=ENVELOPE)
    text = world.once("GET", "/queues/q")
    assert (text.headers["content-type"], text.meta["ext"]) == ("text/plain;charset=utf-8", {"body": "text"})
    assert world.once("GET", "/queues/q").meta["ext"] == {"body": "none"}


def test_where_it_is_said_what_a_body_is_its_type_is_no_more_than_a_name() -> None:
    world = World()
    java = "application/x-java-serialized-object"
    world.once(
        "POST", "/queues/q", json.dumps({"body": None, "content_type": java}).encode(), Content_Type=ENVELOPE
    )
    first = world.once("GET", "/queues/q")
    assert (first.headers["content-type"], first.meta["ext"]) == (java, {"body": "none"})
    world.once("POST", "/queues/q", b"", Content_Type=java, X_Mx_Meta=json.dumps({"ext": {"body": "none"}}))
    again = world.once("GET", "/queues/q")
    assert (again.headers["content-type"], again.meta["ext"]) == (java, {"body": "none"})


def test_envelopes_both_ways_and_many_at_a_time() -> None:
    world = World()
    for n in range(3):
        world.once("POST", "/queues/q", json.dumps({"body": {"n": n}}).encode(), Content_Type=ENVELOPE)
    answer = world.once("GET", "/queues/q?max=2", Accept=ENVELOPE)
    items = json.loads(answer.body)
    assert (answer.headers["content-type"], [item["body"] for item in items]) == (
        ENVELOPE,
        [{"n": 0}, {"n": 1}],
    )
    schema = Draft202012Validator({"$ref": "#/$defs/message", "$defs": SCHEMA["$defs"]})
    for item in items:
        receipt = item.pop("receipt")
        schema.validate({"op": "message", "sub": "", **item})
        assert world.once("DELETE", f"/receipts/{receipt}").status == 202
    assert world.broker.queues["queue:q"].depth == 1
    assert world.once("GET", "/queues/q?max=2").status == 406


def test_many_messages_at_once_are_all_or_nothing() -> None:
    world = World()
    good = [{"to": "queue:a", "body": 1}, {"to": "queue:b", "body": 2}]
    assert world.once("POST", "/messages", json.dumps(good).encode(), Content_Type=ENVELOPE).status == 202
    assert world.once("POST", "/messages", json.dumps([*good, {"to": "nowhere"}]).encode()).status == 400
    assert (
        world.once("POST", "/messages", json.dumps([*good, {"to": "queue:a", "x": 1}]).encode()).status == 400
    )
    many = [{"to": "queue:a"}] * 1_001
    assert world.once("POST", "/messages", json.dumps(many).encode()).status == 413
    assert world.once("POST", "/messages", b"{}").status == 400
    assert world.once("POST", "/messages", b"[1]").status == 400
    assert [world.broker.queues[f"queue:{name}"].depth for name in "ab"] == [1, 1]


def test_topics_and_retained_values() -> None:
    world = World()
    assert world.once("POST", "/topics/a.b?retain=true", b"on").status == 202
    assert world.broker.retained.count == 1
    assert world.once("POST", "/topics/$SYS.x", b"on").status == 400
    assert world.once("GET", "/topics/a.b").status == 405
    # RFC 9110 §10.2.1
    assert dict(world.once("GET", "/topics/a.b").headers)["allow"] == "POST, OPTIONS"
    assert dict(world.once("PUT", "/queues/q").headers)["allow"] == "POST, GET, OPTIONS"
    assert dict(world.once("DELETE", "/").headers)["allow"] == "GET, HEAD, OPTIONS"


def test_a_confirmation_waits_for_the_store() -> None:
    store = HoldingStore()
    world = World(store=store)
    client = world.client()
    assert client.ask("POST", "/queues/q", b"x") is None
    store.release(world.broker)
    answer = client.answer()
    assert answer is not None
    assert answer.status == 202
    again = client.ask("GET", "/nothing")
    assert again is not None
    assert again.status == 404


# -- receipts


def receipt_of(answer: Answer) -> str:
    return answer.headers["location"]


def test_a_receipt_outlives_its_connection() -> None:
    world = World()
    world.once("POST", "/queues/q", b"x")
    client = world.client()
    answer = client.ask("GET", "/queues/q")
    assert answer is not None
    client.connector.eof(world.now_ms)
    assert world.broker.queues["queue:q"].depth == 1
    assert world.once("DELETE", receipt_of(answer)).status == 202
    assert world.broker.queues["queue:q"].depth == 0
    assert world.once("DELETE", receipt_of(answer)).status == 404


def test_what_was_there_at_a_crash_may_have_been_delivered_before() -> None:
    world = World()
    for body in (b"1", b"2", b"later"):
        world.once("POST", "/queues/q", body)
    world.broker.queue("q").suspect_through = 2
    assert world.once("GET", "/queues/q").meta["redelivered"]
    [envelope, later] = json.loads(world.once("GET", "/queues/q?max=2", Accept=ENVELOPE).body)
    assert (envelope["redelivered"], "delivery_count" in envelope) == (True, False)
    assert "redelivered" not in later


def test_released_rejected_and_forgotten_deliveries() -> None:
    world = World()
    world.once("POST", "/queues/q", b"x")
    first = world.once("GET", "/queues/q")
    assert world.once("POST", receipt_of(first) + "/release").status == 202
    second = world.once("GET", "/queues/q")
    assert (second.meta["redelivered"], "delivery_count" in second.meta) == (True, False)
    world.advance(30_000)
    third = world.once("GET", "/queues/q")
    assert (third.meta["redelivered"], third.meta["delivery_count"]) == (True, 1)
    assert world.once("POST", receipt_of(third) + "/reject").status == 202
    dead = world.once("GET", "/queues/DLQ")
    assert (dead.meta["original_to"], dead.meta["deaths"][0]["reason"]) == ("queue:q", "rejected")
    assert world.once("POST", receipt_of(dead) + "/forget").status == 404
    assert world.once("PUT", receipt_of(dead)).status == 405


def test_without_receipts() -> None:
    world = World()
    world.once("POST", "/queues/q", b"x")
    answer = world.once("GET", "/queues/q?ack=auto")
    assert (answer.body, "location" in answer.headers) == (b"x", False)
    assert world.broker.queues["queue:q"].depth == 0
    assert world.once("GET", "/queues/q?ack=maybe").status == 400


def test_receipts_whose_time_runs_out_at_once_go_some_a_step() -> None:
    world = World()
    count = 3 * ENDED_AT_ONCE
    for _ in range(count):
        world.once("POST", "/queues/q", b"x")
    left = count
    while left:
        left -= len(json.loads(world.once("GET", "/queues/q?max=100", Accept=ENVELOPE).body))
    world.broker.chores.driven_by(lambda: None)
    world.advance(30_000)
    # Another tick before the first step changes nothing.
    world.service.tick(world.now_ms)
    assert len(world.broker.chores) == 1
    waiting = [world.service.stats()["http_receipts"]]
    while world.broker.chores:
        world.broker.chores.step()
        waiting.append(world.service.stats()["http_receipts"])
    assert waiting == [count, 2 * ENDED_AT_ONCE, ENDED_AT_ONCE, 0]
    assert world.broker.queue("q").waiting == count


def test_receipts_are_bounded() -> None:
    world = World(settings=HttpSettings(receipts_max=1))
    for _ in range(2):
        world.once("POST", "/queues/q", b"x")
    assert world.once("GET", "/queues/q").status == 200
    assert world.once("GET", "/queues/q").status == 507
    assert world.service.stats()["http_receipts"] == 1
    world.service.close(world.now_ms)
    assert world.service.stats()["http_receipts"] == 0


@pytest.mark.parametrize("receipts_max", [1, 2])
def test_receipts_are_bounded_for_requests_that_waited_together(receipts_max: int) -> None:
    world = World(settings=HttpSettings(receipts_max=receipts_max))
    clients = [world.client() for _ in range(3)]
    for client in clients:
        assert client.ask("GET", "/queues/q?wait=5000") is None
    for _ in range(3):
        world.once("POST", "/queues/q", b"x")
    answers = [client.answer() for client in clients]
    assert sorted([0 if answer is None else answer.status for answer in answers]) == [200] * receipts_max + [
        507
    ] * (3 - receipts_max)
    assert world.service.stats()["http_receipts"] == receipts_max
    # What found no room is where it was, and nothing has been counted against it.
    assert world.broker.queues["queue:q"].depth == 3
    for answer in answers:
        if answer is not None and answer.status == 200:
            world.once("DELETE", receipt_of(answer))
    assert "delivery_count" not in world.once("GET", "/queues/q").meta


def test_a_request_for_several_takes_as_many_as_there_is_room_for() -> None:
    world = World(settings=HttpSettings(receipts_max=2))
    for n in range(3):
        world.once("POST", "/queues/q", str(n).encode(), Content_Type="text/plain")
    answer = world.once("GET", "/queues/q?max=3", Accept=ENVELOPE)
    assert [item["body"] for item in json.loads(answer.body)] == ["0", "1"]
    assert world.once("GET", "/queues/q?max=3", Accept=ENVELOPE).status == 507
    # Without receipts there is nothing to bound.
    assert world.once("GET", "/queues/q?ack=auto").body == b"2"


@pytest.mark.parametrize("deliveries_max", [1, 2, 3])
def test_deliveries_max_is_how_often_a_message_is_delivered_in_vain(deliveries_max: int) -> None:
    world = World(policy=QueuePolicy(dead_letters="DLQ", deliveries_max=deliveries_max))
    world.once("POST", "/queues/q", b"x")
    for _ in range(deliveries_max):
        assert world.once("GET", "/queues/q").status == 200
        world.advance(30_000)
    assert world.once("GET", "/queues/q").status == 204
    assert world.once("GET", "/queues/DLQ").meta["deaths"][0]["reason"] == "delivery_limit"


# -- waiting


def test_a_request_waits_for_a_message() -> None:
    world = World()
    client = world.client()
    assert client.ask("GET", "/queues/q?wait=5000") is None
    world.once("POST", "/queues/q", b"late")
    answer = client.answer()
    assert answer is not None
    assert answer.body == b"late"


def test_a_request_that_waited_in_vain() -> None:
    client = World().client()
    assert client.ask("GET", "/queues/q?wait=5000") is None
    client.pass_time(5_000)
    answer = client.answer()
    assert answer is not None
    assert answer.status == 204
    assert client.ask("GET", "/queues/q") is not None


def test_a_client_that_leaves_while_it_waits_takes_nothing_with_it() -> None:
    world = World()
    client = world.client()
    client.ask("GET", "/queues/q?wait=5000")
    world.once("POST", "/queues/q", b"x")
    client.connector.eof(world.now_ms)
    answer = world.once("GET", "/queues/q")
    assert "redelivered" not in answer.meta


def test_requests_behind_a_waiting_one_come_afterwards() -> None:
    world = World()
    client = world.client()
    client.raw(
        b"GET /queues/q?wait=5000 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    assert client.written() == b""
    world.once("POST", "/queues/q", b"x")
    data = client.written()
    assert data.count(b"HTTP/1.1 ") == 2
    assert data.index(b" 200 ") < data.index(b" 404 ")


@pytest.mark.parametrize("query", ["max=0", "max=101", "max=x", "wait=60001", "wait=-1"])
def test_numbers_out_of_range(query: str) -> None:
    assert World().once("GET", "/queues/q?" + query).status == 400


# -- events


def events_of(client: HttpClient) -> list[dict[str, Any]]:
    """The events that have come."""
    answer = client.answer()
    assert answer is not None
    return [json.loads(line[6:]) for line in answer.body.splitlines() if line.startswith(b"data: ")]


def test_a_stream_of_events() -> None:
    world = World()
    world.once("POST", "/topics/a.old?retain=true", b"kept", Content_Type="text/plain")
    client = world.client()
    client.send("GET", "/events?destination=topic:a.>&destination=topic:b&retained=true")
    head = client.written()
    assert b"text/event-stream" in head
    assert b'"body":"kept"' in head
    world.once("POST", "/topics/a.b.c", b"new\n\nline", Content_Type="text/plain")
    data = client.written()
    assert b".2\ndata: " in data
    assert json.loads(data.split(b"data: ")[1].split(b"\n\n")[0])["body"] == "new\n\nline"
    client.pass_time(15_000)
    assert b":\n\n" in client.written()
    client.connector.shutdown(world.now_ms)
    assert client.written().endswith(b"0\r\n\r\n")
    client.connector.eof(world.now_ms)
    world.advance(60_000)
    assert world.broker.topics.bindings_count == 0


@pytest.mark.parametrize("query", ["", "?destination=queue:q", "?destination=topic:", "?destination=a.b"])
def test_events_are_for_topics(query: str) -> None:
    assert World().once("GET", "/events" + query).status == 400


# -- WebSocket


def test_the_handshake_of_the_specification() -> None:
    client = World().client()
    answer = client.ask("GET", "/ws", Sec_WebSocket_Protocol="chat, gateway.json", **UPGRADE)
    assert answer is not None
    assert answer.status == 101
    assert answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert answer.headers["sec-websocket-protocol"] == "gateway.json"
    assert "sec-websocket-extensions" not in answer.headers
    assert client.connector.handover is not None


def test_who_is_nobody_claims_no_name_where_names_are_verified() -> None:
    rules = Rules()
    world = World(authorizer=rules)
    meta = json.dumps({"user_id": "v"})
    assert world.once("POST", "/queues/q", b"x", X_Mx_Meta=meta).status == 202
    rules.verifies_names = True
    assert world.once("POST", "/queues/q", b"x", X_Mx_Meta=meta).status == 403
    assert world.once("POST", "/messages", b'[{"to":"queue:q","user_id":"v"}]').status == 403


@pytest.mark.parametrize(
    ("target", "changes", "status"),
    [
        ("/elsewhere", {}, 404),
        ("/ws", {"Sec_WebSocket_Protocol": "amqp"}, 400),
        ("/ws", {"Sec_WebSocket_Version": "8"}, 426),
        ("/ws", {"Sec_WebSocket_Key": "short"}, 400),
        ("/ws", {"Connection": "keep-alive"}, 426),
        ("/ws", {"Origin": "https://evil.example"}, 403),
        ("/ws", {"Authorization": "Basic !"}, 401),
    ],
)
def test_handshakes_that_are_refused(target: str, changes: dict[str, str], status: int) -> None:
    client = World().client()
    answer = client.ask("GET", target, **(UPGRADE | changes))
    assert answer is not None
    assert answer.status == status
    assert client.connector.handover is None
    if changes.get("Sec_WebSocket_Protocol"):
        assert b"gateway.json" in answer.body


def test_compression_only_where_it_is_configured() -> None:
    offer = {
        "Sec_WebSocket_Extensions": "permessage-deflate; client_max_window_bits",
        "Sec_WebSocket_Protocol": "gateway.json",
    }
    answer = World(settings=HttpSettings(compression=True)).once("GET", "/ws", **UPGRADE, **offer)
    assert answer.headers["sec-websocket-extensions"].startswith("permessage-deflate")
    assert "sec-websocket-extensions" not in World().once("GET", "/ws", **UPGRADE, **offer).headers


def test_plain_requests_are_told_what_the_port_is_for() -> None:
    world = World()
    answer = world.once("GET", "/")
    assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")
    assert b"gateway.json" in answer.body
    assert world.once("GET", "/favicon.ico").status == 404
    assert world.once("POST", "/", b"x").status == 405
    assert world.once("HEAD", "/").body == b""


def test_pages_come_with_a_policy() -> None:
    answer = World().once("GET", "/page")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("content_type", "attached"),
    [
        ("text/html", True),
        ("TEXT/HTML; charset=utf-8", True),
        ("image/svg+xml", True),
        ("application/xhtml+xml", True),
        ("text/xml", True),
        ("application/pdf", True),
        ("text/javascript", True),
        ("multipart/x-mixed-replace;boundary=a", True),
        ("x", True),
        ("text/plain", False),
        ("application/json", False),
        ("image/png", False),
    ],
)
def test_a_body_is_no_page_of_ours(content_type: str, attached: bool) -> None:
    world = World()
    world.once("POST", "/queues/q", b"<script>x</script>", Content_Type=content_type)
    answer = world.once("GET", "/queues/q")
    assert answer.headers["content-type"] == content_type
    assert answer.headers["content-security-policy"].endswith("; sandbox")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (answer.headers.get("content-disposition") == "attachment") == attached


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", "/", {}),
        ("GET", "/nowhere", {}),
        ("POST", "/page", {}),
        ("OPTIONS", "/queues/q", {}),
        ("GET", "/queues/q", {}),
        ("GET", "/queues/q", {"Accept": ENVELOPE}),
        ("GET", "/queues/q", {"Authorization": "Digest x"}),
        ("GET", "/queues/q", {"Origin": "https://evil.example"}),
        ("GET", "/ws", {"Upgrade": "websocket", "Connection": "Upgrade"}),
    ],
)
def test_every_answer_is_nobodys_page(method: str, target: str, headers: dict[str, str]) -> None:
    answer = World().once(method, target, **headers)
    assert answer.headers["content-security-policy"].startswith("default-src 'none';")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_stream_of_events_is_nobodys_page() -> None:
    client = World().client()
    client.send("GET", "/events?destination=topic:t")
    head = client.written().partition(b"\r\n\r\n")[0].decode().lower()
    assert "nosniff" in head
    assert "sandbox" in head


# -- who may come


def test_basic_and_bearer() -> None:
    rules = Rules()
    world = World(authorizer=rules, limits=Limits(allow_anonymous=False))
    refused = world.once("POST", "/queues/q", b"x")
    assert (refused.status, refused.headers["www-authenticate"][:5]) == (401, "Basic")
    assert world.once("POST", "/queues/q", b"x", Authorization=basic("u:wrong")).status == 401
    assert world.once("POST", "/queues/q", b"x", Authorization="Digest x").status == 401
    assert world.once("POST", "/queues/q", b"x", Authorization=basic("u:p")).status == 202
    assert world.once("POST", "/queues/q", b"x", Authorization="Bearer token").status == 202
    assert [(c.user, c.secret) for c, _ in rules.asked] == [("u", b"wrong"), ("u", b"p"), (None, b"token")]


@pytest.mark.parametrize(
    "authorization",
    ["Bearer x", "Bearer", "Basic", "Basic !", basic("x:x"), basic("x"), "Digest x", "x"],
)
def test_whoever_does_not_prove_who_they_are_is_refused(authorization: str) -> None:
    checks = PasswordChecks(lambda work: work(), 1, 0)
    guard = Guard({"u": User("u", "")}, SecurityRules(()), checks, lambda: None)
    for anonymous in (False, True):
        world = World(authorizer=guard, limits=Limits(allow_anonymous=anonymous))
        answer = world.once("POST", "/topics/t", b"x", Authorization=authorization)
        assert answer.status == 401
        assert answer.headers["www-authenticate"][:5] == "Basic"


def test_who_is_found_to_be_nobody_is_not_let_in_where_nobody_is_anonymous() -> None:
    world = World(authorizer=Authorizer(), limits=Limits(allow_anonymous=False))
    assert world.once("POST", "/topics/t", b"x", Authorization="Bearer x").status == 401


def test_a_connection_asks_once_for_the_same_user() -> None:
    rules = Rules()
    client = World(authorizer=rules).client()
    for authorization in (basic("u:p"), basic("u:p"), basic("v:p")):
        assert client.ask("POST", "/queues/q", b"x", Authorization=authorization) is not None
    assert len(rules.asked) == 2


def test_a_request_waits_until_it_is_known_who_asks() -> None:
    rules = Rules(at_once=False)
    client = World(authorizer=rules).client()
    assert client.ask("POST", "/queues/q", b"x", Authorization=basic("u:p")) is None
    rules.asked[0][1].answer(True, "u")
    answer = client.answer()
    assert answer is not None
    assert answer.status == 202


def test_receipts_belong_to_their_user() -> None:
    world = World(authorizer=Rules())
    world.once("POST", "/queues/q", b"x")
    answer = world.once("GET", "/queues/q", Authorization=basic("u:p"))
    assert world.once("DELETE", receipt_of(answer), Authorization=basic("v:p")).status == 404
    assert world.once("DELETE", receipt_of(answer), Authorization=basic("u:p")).status == 202


def test_rules_are_asked() -> None:
    world = World(authorizer=Rules())
    assert world.once("POST", "/topics/secret", b"x").status == 403
    assert world.once("GET", "/queues/secret").status == 403
    assert world.once("GET", "/events?destination=topic:secret").status == 403
    assert world.once("POST", "/messages", b'[{"to":"queue:secret"}]').status == 403


def test_nobody_sends_in_another_users_name() -> None:
    world = World(authorizer=Rules())
    meta = json.dumps({"user_id": "v"})
    assert world.once("POST", "/queues/q", b"x", X_Mx_Meta=meta, Authorization=basic("u:p")).status == 403
    many = b'[{"to":"queue:q","user_id":"v"}]'
    assert world.once("POST", "/messages", many, Authorization=basic("u:p")).status == 403
    assert world.once("POST", "/queues/q", b"x", X_Mx_Meta=meta, Authorization=basic("v:p")).status == 202


@pytest.mark.parametrize("target", ["/queues/q", "/", "/events?destination=topic:a", "/receipts/x"])
def test_pages_of_other_sites_may_not_use_it(target: str) -> None:
    world = World()
    assert world.once("POST", target, b"x", Origin="https://evil.example").status == 403
    assert world.once("GET", target, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors").status == 403
    assert world.broker.queues == {}


def test_a_name_that_was_made_to_lead_here_is_refused_though_no_origin_is_sent() -> None:
    world = World()
    world.once("POST", "/queues/q", b"x")
    assert world.once("GET", "/queues/q", host="evil.example:61614").status == 403
    assert (
        world.once("GET", "/queues/q", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 403
    )
    assert world.broker.queues["queue:q"].depth == 1
    assert world.once("GET", "/page", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200


def test_pages_that_may_come_are_told_so() -> None:
    world = World()
    answer = world.once("POST", "/queues/q", b"x", Origin="http://localhost:3000")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (202, "http://localhost:3000")
    preflight = world.once(
        "OPTIONS", "/queues/q", Origin="http://localhost:3000", Access_Control_Request_Method="DELETE"
    )
    assert preflight.status == 204
    assert "DELETE" in preflight.headers["access-control-allow-methods"]
