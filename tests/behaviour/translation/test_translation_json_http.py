"""The numbered cases of the translation with JSON or HTTP on one side and MQTT, STOMP, JSON or HTTP on the other."""

import json
from typing import Any

import http_client
import json_client
import pytest
from harness import DROP, Gateway


class All:
    """One broker behind four protocols."""

    def __init__(self) -> None:
        self.gw = Gateway()
        self.json = json_client.World(broker=self.gw.broker).client()
        self.http = http_client.World(broker=self.gw.broker)

    def queue(self, name: str = "q") -> http_client.Answer:
        """What GET takes out of a queue."""
        return self.http.once("GET", f"/queues/{name}")


@pytest.fixture
def world() -> All:
    """A gateway."""
    return All()


# -- to HTTP


def test_15_stomp_to_http(world: All) -> None:
    world.gw.stomp("p") >> "SEND destination:/queue/q 'k:a\nb' persistent:true body:x"
    meta = world.queue().meta
    assert (meta["properties"], meta["durable"]) == ({"k": "a\nb"}, True)


def test_23_mqtt_queue_to_http(world: All) -> None:
    (
        world.gw.mqtt("p")
        >> "CONNECT p"
        << "CONNACK 0 present=0"
        >> "PUBLISH $queue/jobs/1 qos=1 id=1 j"
        << "PUBACK 1"
    )
    assert world.queue("jobs%2F1").body == b"j"


def test_31_mqtt_text_to_http(world: All) -> None:
    world.gw.mqtt("p", 5) >> "CONNECT p" << "CONNACK 0 present=0"
    world.gw.mqtt("p", 5) >> "PUBLISH $queue/q qos=1 id=1 format=1 hé"
    answer = world.queue()
    assert (answer.headers["content-type"], answer.body) == ("text/plain;charset=utf-8", "hé".encode())
    assert answer.meta["ext"]["body"] == "text"


def test_55_http_to_http(world: All) -> None:
    meta = {"properties": {"n": 5}, "ext": {"types": "n:u8"}}
    world.http.once("POST", "/queues/q", b"x", X_Mx_Meta=json.dumps(meta))
    found = world.queue().meta
    # What is no type of its publisher's is said beside it.
    assert {name: found[name] for name in meta} == {**meta, "ext": {"types": "n:u8", "body": "text"}}


def test_63_an_id_that_looks_like_a_number_to_http(world: All) -> None:
    world.json.op("publish", to="queue:q", body="x", correlation_id="AMQP_STRING:AMQP_ULONG:7")
    assert world.queue().meta["correlation_id"] == "AMQP_STRING:AMQP_ULONG:7"


def test_json_value_to_http(world: All) -> None:
    world.json.op("publish", to="queue:q", body={"a": [1, None]})
    answer = world.queue()
    assert (answer.headers["content-type"], answer.body) == ("application/json", b'{"a":[1,null]}')


# -- from HTTP


def test_49_text_that_is_not_utf8(world: All) -> None:
    kind = "text/plain;charset=iso-8859-1"
    world.http.once("POST", "/topics/t?retain=true", b"\xe9", Content_Type=kind)
    [message] = world.json.op("subscribe", sub="s", from_="topic:t", retained=True)
    assert (message["body_b64"], message["content_type"]) == ("6Q==", kind)


def test_50_http_to_stomp(world: All) -> None:
    world.gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/a/b"
    world.http.once("POST", "/topics/a%2Fb", b"hi", Content_Type="text/plain")
    world.gw.stomp("s") << "MESSAGE destination:/topic/a/b content-type:text/plain persistent:true body:hi"


def test_51_http_to_mqtt_3(world: All) -> None:
    world.gw.mqtt("s") >> "CONNECT s" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 a.b" << "SUBACK 1 0"
    world.http.once("POST", "/topics/a%2Fb", b"hi")
    world.gw.mqtt("s") << "PUBLISH a.b hi"


def test_52_a_time_to_live_to_mqtt_5(world: All) -> None:
    world.gw.mqtt("s", 5) >> "CONNECT s" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 t qos=1" << "SUBACK 1 1"
    world.http.once("POST", "/topics/t", b"hi", X_Mx_Ttl="2500", Content_Type="text/plain")
    (world.gw.mqtt("s", 5) << "PUBLISH t qos=1 id=1 life=3 format=1 ct=text/plain hi")


def test_56_http_to_json(world: All) -> None:
    world.http.once("POST", "/queues/q", b"\x89PNG", Content_Type="image/png")
    [message] = world.json.op("subscribe", sub="s", from_="queue:q")
    assert (message["body_b64"], message["content_type"]) == ("iVBORw==", "image/png")


# -- to JSON


def test_16_a_stomp_transaction_to_json(world: All) -> None:
    world.json.op("subscribe", sub="s", from_="topic:t")
    for end, bodies in (("ABORT", []), ("COMMIT", ["hi"])):
        world.gw.stomp("p") >> "BEGIN transaction:t" >> "SEND destination:/topic/t transaction:t body:hi"
        world.gw.stomp("p") >> f"{end} transaction:t"
        assert world.json.bodies() == bodies


def test_24_empty_levels(world: All) -> None:
    world.json.op("subscribe", sub="s", from_="topic:.a.*.b.")
    world.gw.mqtt("p") >> "CONNECT p" << "CONNACK 0 present=0" >> "PUBLISH /a//b/ x"
    [message] = world.json.heard()
    assert (message["to"], message["body"]) == ("topic:.a..b.", "x")


def test_32_names_that_mean_something_elsewhere(world: All) -> None:
    world.json.op("subscribe", sub="s", from_="topic:t")
    world.gw.mqtt("p", 5) >> "CONNECT p" << "CONNACK 0 present=0" >> "PUBLISH t user.=x user.destination=d x"
    [message] = world.json.heard()
    assert message["properties"] == {"": "x", "destination": "d"}


# -- from JSON

FIELDS: dict[str, Any] = {"properties": {"n": 5, "f": 1.5, "b": True, "z": None}, "body": "hi"}


def test_58_types_to_stomp(world: All) -> None:
    world.gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t"
    world.json.op("publish", to="topic:t", **FIELDS)
    world.gw.stomp("s") << "MESSAGE n:5 f:1.5 b:true z: x-mx-types:n:i64,f:f64,b:bool,z:null body:hi"


def test_59_a_value_to_mqtt_3(world: All) -> None:
    world.gw.mqtt("s") >> "CONNECT s" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 t" << "SUBACK 1 0"
    world.json.op("publish", to="topic:t", body={"a": 1})
    world.gw.mqtt("s") << 'PUBLISH t {"a":1}'


def test_60_bytes_to_mqtt_5(world: All) -> None:
    world.gw.mqtt("s", 5) >> "CONNECT s" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 t qos=1" << "SUBACK 1 1"
    world.json.op("publish", to="topic:t", body_b64="aGk=")
    world.gw.mqtt("s", 5) << "PUBLISH t qos=1 id=1 user.x-mx-body=bytes hi"


def test_64_json_to_json(world: All) -> None:
    world.json.op("subscribe", sub="s", from_="topic:t")
    [message] = world.json.op("publish", to="topic:t", properties={"é": "🥕"}, body=[1, {"b": 2}])
    assert (message["properties"], message["body"]) == ({"é": "🥕"}, [1, {"b": 2}])
    assert "ext" not in message


def test_71_members_of_a_shared_subscription_in_two_protocols(world: All) -> None:
    (
        world.gw.mqtt("m", 5)
        >> "CONNECT m"
        << "CONNACK 0 present=0"
        >> "SUBSCRIBE 1 $share/g/a/#"
        << "SUBACK 1 0"
    )
    world.gw.stomp("s") >> "SUBSCRIBE id:1 destination:/share/g/a.>"
    other = json_client.World(broker=world.gw.broker).client()
    other.op("subscribe", sub="s", from_="share:g/a.#")
    for n in range(9):
        world.json.op("publish", to="topic:a.b", body=str(n))
    heard = set(other.bodies())
    assert len(heard) == 3
    mqtt, stomp = world.gw.mqtt("m", 5), world.gw.stomp("s")
    mqtt._listen()
    stomp._listen()
    assert (len(mqtt._heard), len(stomp._heard)) == (3, 3)


def test_a_reply_finds_its_way_through_three_protocols(world: All) -> None:
    world.gw.mqtt("s", 5) >> "CONNECT s" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 ask" << "SUBACK 1 0"
    world.json.op("subscribe", sub="r", from_="queue:answers")
    world.json.op(
        "publish", to="topic:ask", body_b64="aGk=", reply_to="queue:answers", correlation_id="AMQP_ULONG:7"
    )
    (
        world.gw.mqtt("s", 5)
        << "PUBLISH ask resp=$queue/answers corr=AMQP_ULONG:7 user.x-mx-durable=true user.x-mx-body=bytes hi"
    )
    world.gw.mqtt("s", 5) >> "PUBLISH $queue/answers corr=AMQP_ULONG:7 yes"
    [answer] = world.json.heard()
    assert answer["correlation_id"] == "AMQP_ULONG:7"


def test_temporary_queues_are_their_owners_alone(world: All) -> None:
    (
        world.gw.stomp("a")
        >> "SUBSCRIBE id:1 destination:/temp-queue/r"
        >> "SEND destination:/topic/ask reply-to:/temp-queue/r body:x"
    )
    world.json.op("subscribe", sub="s", from_="topic:ask")
    world.gw.stomp("a") >> "SEND destination:/topic/ask reply-to:/temp-queue/r body:hi"
    [message] = world.json.heard()
    reply_to = message["reply_to"]
    assert reply_to.startswith("queue:mx.tmp.")
    [refused] = world.json.op("subscribe", id=1, sub="t", from_=reply_to)
    assert refused["code"] == "not_allowed"
    path = "/queues/" + reply_to.removeprefix("queue:")
    assert world.http.once("GET", path).status == 403
    assert world.http.once("POST", path, b"by HTTP", Content_Type="text/plain").status == 202
    world.json.op("publish", to=reply_to, body="by JSON")
    world.gw.stomp("a") << "MESSAGE body:by HTTP" << "MESSAGE body:by JSON" >> DROP
    assert world.http.once("POST", path, b"x").status == 404
    [gone] = world.json.op("publish", id=2, to=reply_to, body="x")
    assert gone["code"] == "unknown"
