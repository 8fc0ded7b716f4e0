"""The numbered cases of the translation that concern MQTT and STOMP, or whose other side can be said by one of them.

A case whose source is JSON is published as an envelope.  Cases of one protocol, and of protocols to come, are not here.
"""

import json
from collections.abc import Callable

import pytest
from harness import DROP, Gateway
from pair_clients import CROSS, Pair, Pairs, Said, send_envelope, topic_in

from gateway.connectors.envelope import json_envelope
from gateway.core.limits import QueuePolicy
from protocols.mqtt.codec import encode_packet
from protocols.mqtt.frames import Puback

STOMPS = ("ST0", "ST1", "ST2")


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


# -- cases that are one message from A to B: number, A, topic or queue, what A says, B, what B subscribes to, QoS, what B
# hears: body and all free-form properties as a set, and then what a function finds

CASES: list[tuple[str, str, str, Said, str, str, int, bytes, Pairs, Callable[[Said], object], object]] = [
    ("9", "ST1", "/topic/t", Said(b"hello"), "M5", "t", 0, b"hello", [], lambda s: s.format, 1),
    ("10", "ST2", "/topic/t", Said(b"", [("foo", "1"), ("foo", "2"), ("Bar", "x")]), "ST2", "/topic/t", 0, b"",
     [("foo", "1"), ("foo", "2"), ("Bar", "x")], lambda s: [name for name, _ in s.free], ["foo", "foo", "Bar"]),
    ("11", "ST2", "/topic/x.y", Said(b"z"), "M3", "x/y", 2, b"z", [], lambda s: (s.topic, s.qos), ("x/y", 2)),
    ("12", "ST2", "/topic/t", Said(b"\xff", [("k", "v1"), ("k", "v2"), ("e", "a\nb"), ("receipt", "r")]), "M5", "t", 1,
     b"\xff", [("k", "v1"), ("k", "v2"), ("e", "YQpi"), ("x-mx-durable", "false"), ("x-mx-types", "e:strb64")],
     lambda s: [pair for pair in s.free if pair[0] in "ke"], [("k", "v1"), ("k", "v2"), ("e", "YQpi")]),
    ("14", "ST2", "/topic/t", Said(b'{"a":1}', [("content-type", "application/json")]), "M5", "t", 0, b'{"a":1}', [],
     lambda s: (s.content_type, s.format), ("application/json", 1)),
    ("15", "ST2", "/topic/t", Said(b"\xff", [("k", "a\nb"), ("persistent", "true")]), "M5", "t", 1, b"\xff",
     [("k", "YQpi"), ("x-mx-types", "k:strb64")], lambda s: s.qos, 1),
    ("18", "M3", "sensors/192.168.0.1/t", Said(b"21", qos=1), "ST2", "/topic/sensors.*.t", 0, b"21",
     [("persistent", "true")], lambda s: s.topic, "/topic/sensors.192/168/0/1.t"),
    ("22", "M3", "a/b", Said(b"\xff"), "ST2", "/topic/a.>", 0, b"\xff", [], lambda s: s.topic, "/topic/a.b"),
    ("24", "M3", "/a//b/", Said(b"\xff"), "ST2", "/topic/.a.*.b.", 0, b"\xff", [], lambda s: s.topic, "/topic/.a..b."),
    ("25", "M5", "t", Said(b'{"a":1}', [("k", "v1"), ("k", "v2")], content_type="application/json"), "ST2", "/topic/t", 0,
     b'{"a":1}', [("k", "v1"), ("k", "v2"), ("content-type", "application/json")], lambda s: None, None),
    ("26", "M5", "t", Said(b"\xff", correlation=b"\x00\xff\x00"), "ST2", "/topic/t", 0, b"\xff",
     [("correlation-id", "AMQP_BINARY:00FF00")], lambda s: b"\ncorrelation-id:AMQP_BINARY\\c00FF00\n" in s.raw, True),
    ("27", "M5", "t", Said(b"x", [("k", "v")]), "M3", "t", 0, b"x", [], lambda s: s.topic, "t"),
    ("28", "M5", "t", Said(b"x", [("b", "1"), ("a", "2"), ("b", "3")], expiry_s=4294967295), "M5", "t", 1, b"x",
     [("b", "1"), ("a", "2"), ("b", "3")], lambda s: s.expiry_s, 4294967295),
    ("29", "M5", "t", Said(b"\xff", response="r/t", correlation=b"c"), "ST1", "/topic/t", 0, b"\xff",
     [("reply-to", "/topic/r.t"), ("correlation-id", "c")], lambda s: None, None),
    ("30", "M5", "t", Said(b"\xff", [("x-é", "1")], content_type="text/é"), "ST2", "/topic/t", 0, b"\xff",
     [("content-type", "text/é"), ("x-é", "1")], lambda s: None, None),
    ("31", "M5", "t", Said("hé".encode(), format=1), "ST2", "/topic/t", 0, "hé".encode(),
     [], lambda s: s.get("content-length"), "3"),
    ("32", "M5", "t", Said(b"\xff", [("", "x"), ("destination", "d")]), "ST2", "/topic/t", 0, b"\xff",
     [("x-mx-p-", "x"), ("x-mx-p-destination", "d")], lambda s: s.topic, "/topic/t"),
    ("36", "ST2", "/topic/t", Said(b"\xff", [("expiration", "12707")]), "M5", "t", 0, b"\xff", [],
     lambda s: s.expiry_s, 13),
    ("44", "ST2", "/topic/t", Said(b"\xff", [("expiration", "500")]), "M5", "t", 0, b"\xff", [],
     lambda s: s.expiry_s, 1),
    ("65", "ST2", "/topic/t", Said(b"\xff", [("type", "ty"), ("expires", "1700000005000"), ("JMSXGroupID", "g")]), "M5", "t",
     0, b"\xff", [("x-mx-subject", "ty"), ("x-mx-gid", "g")], lambda s: s.expiry_s, 5),
    ("79", "M3", "a,b?*>c", Said(b"\xff"), "ST2", "/topic/>", 0, b"\xff", [], lambda s: s.topic,
     "/topic/a\uf02cb?\uf02a\uf03ec"),
    ("79 back", "ST2", "/topic/a\uf02cb?\uf02a\uf03ec", Said(b"\xff"), "M3", "#", 0, b"\xff", [],
     lambda s: s.topic, "a,b?*>c"),
    ("80", "ST2", "/topic/a.+", Said(b"\xff"), "M3", "a/#", 0, b"\xff", [], lambda s: s.topic, "a/\uf02b"),
    ("80 back", "M3", "a/\uf02b", Said(b"\xff"), "ST2", "/topic/a.>", 0, b"\xff", [], lambda s: s.topic, "/topic/a.+"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[f"{case[0]}: {case[1]} to {case[4]}" for case in CASES])
def test_case(
    case: tuple[str, str, str, Said, str, str, int, bytes, Pairs, Callable[[Said], object], object],
) -> None:
    _, a, to, said_in, b, filter, qos, body, free, look, seen = case
    pair = Pair()
    reader = pair.client(b)
    reader.subscribe(filter, qos)
    pair.client(a).publish(to, said_in)
    said = reader.one()
    assert (said.body, sorted(said.free), look(said)) == (body, sorted(free), seen)
    if case[0] == "27":
        assert pair.omitted == {("M5", "M3", "properties"): 1}
    elif b != "M3":
        assert pair.omitted == {}


def test_13_a_reply_to_a_temporary_queue_arrives_under_its_owners_name() -> None:
    pair = Pair()
    requester, responder = pair.client("ST2"), pair.client("M5")
    responder.subscribe("$queue/q", 1)
    requester.subscribe("/temp-queue/r")
    headers = [("reply-to", "/temp-queue/r"), ("correlation-id", "7")]
    requester.publish("/queue/q", Said(b"?", headers))
    request = responder.one()
    assert (request.response or "").startswith("$queue/mx.tmp.")
    assert request.correlation == b"7"
    responder.publish(request.response or "", Said(b"!", correlation=request.correlation))
    answer = requester.one()
    assert (answer.topic, answer.body, answer.get("correlation-id")) == ("/temp-queue/r", b"!", "7")


@pytest.mark.parametrize("b", STOMPS)
def test_13_29_and_an_mqtt_requester_gets_its_answer_from_stomp(b: str) -> None:
    pair = Pair()
    requester, responder = pair.client("M5"), pair.client(b)
    responder.subscribe("/topic/ask")
    for response in ("r/t", "$queue/r", "a.b/c"):
        requester.subscribe(response, 1)
        requester.publish("ask", Said(b"?", response=response, correlation=b"\x00\xff\x00"))
        request = responder.one()
        correlation = ("correlation-id", request.get("correlation-id") or "")
        responder.publish(request.get("reply-to") or "", Said(b"!", [correlation]))
        answer = requester.one()
        assert (answer.topic, answer.body, answer.correlation) == (response, b"!", b"\x00\xff\x00")


def test_16_a_transaction_is_one_message_after_its_commit(gw: Gateway) -> None:
    gw.mqtt("d") >> "CONNECT d" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 t" << "SUBACK 1 0"
    party = gw.stomp("s") >> "BEGIN transaction:t" >> "SEND destination:/topic/t transaction:t body:1"
    (
        party
        >> "ABORT transaction:t"
        >> "BEGIN transaction:t"
        >> "SEND destination:/topic/t transaction:t body:2"
    )
    gw.mqtt("d").silent()
    party >> "COMMIT transaction:t"
    gw.mqtt("d") << "PUBLISH t 2"
    gw.mqtt("d").silent()


def test_19_qos_2_twice_before_pubrel_is_one_publish_for_a_qos_2_subscriber(gw: Gateway) -> None:
    gw.mqtt("s") >> "CONNECT s" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 t qos=2" << "SUBACK 1 2"
    gw.mqtt("d") >> "CONNECT d" << "CONNACK 0 present=0" >> "PUBLISH t qos=2 id=7 x" << "PUBREC 7"
    gw.mqtt("d") >> "PUBLISH t qos=2 dup id=7 x" << "PUBREC 7" >> "PUBREL 7" << "PUBCOMP 7"
    gw.mqtt("s") << "PUBLISH t qos=2 id=1 x" >> "PUBREC 1" << "PUBREL 1" >> "PUBCOMP 1"
    gw.mqtt("s").silent()


@pytest.mark.parametrize("a", ["M3", "M5", *STOMPS])
@pytest.mark.parametrize("b", ["M3", "M5", *STOMPS])
def test_20_77_a_retained_message_of_any_source_reaches_later_subscribers_until_it_is_cleared(
    a: str, b: str
) -> None:
    pair = Pair()
    retain = [("retain", "true")] if a.startswith("ST") else []
    writer = pair.client(a)
    writer.publish(topic_in(a, "s.1"), Said(b"\xff", retain, retain=True))
    reader = pair.client(b)
    _subscribe_retained(reader, b, "s")
    said = reader.one()
    assert (said.topic, said.body) == (topic_in(b, "s.1"), b"\xff")
    if b.startswith("M"):
        durable = [("x-mx-durable", "false")] if a.startswith("ST") and b == "M5" else []
        assert (said.retain, said.free) == (True, durable)
    else:
        assert ("retained", "true") in said.server
    writer.publish(topic_in(a, "s.1"), Said(b"", retain, retain=True))
    reader.heard()
    later = pair.client(b)
    _subscribe_retained(later, b, "s")
    assert later.heard() == []


def _subscribe_retained(client: object, code: str, name: str) -> None:
    if code.startswith("M"):
        client.subscribe(f"{name}/#", 1)  # type: ignore[attr-defined]
    else:
        headers = [("id", "9"), ("destination", f"/topic/{name}.>"), ("retained", "true")]
        client.frame("SUBSCRIBE", headers)  # type: ignore[attr-defined]


def test_23_a_message_to_a_queue_name_with_a_separator() -> None:
    pair = Pair()
    pair.client("M3").publish("$queue/jobs/1", Said(b"\xff", qos=1))
    reader = pair.client("ST2")
    reader.subscribe("/queue/jobs/1")
    assert reader.one().topic == "/queue/jobs/1"
    pair.client("ST2").publish("/queue/c++#", Said(b"\xfe"))
    five = pair.client("M5")
    five.subscribe("$queue/c\uf02b\uf02b\uf023", 1)
    said = five.one()
    assert (said.topic, said.body) == ("$queue/c\uf02b\uf02b\uf023", b"\xfe")


def test_28_the_remaining_expiry_and_the_order_survive_an_offline_session(gw: Gateway) -> None:
    party = gw.mqtt("s", 5) >> "CONNECT s expiry=100" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 t qos=1"
    party << "SUBACK 1 1" >> DROP
    gw.mqtt("p", 5) >> "CONNECT p" << "CONNACK 0 present=0"
    gw.mqtt("p", 5) >> "PUBLISH t qos=1 id=1 life=4294967295 user.b=1 user.a=2 user.b=3 x" << "PUBACK 1"
    gw.advance(10_000)
    gw.mqtt("s", 5) >> "CONNECT s clean=0 expiry=100" << "CONNACK 0 present=1"
    gw.mqtt("s", 5) << "PUBLISH t qos=1 id=1 life=4294967285 user.b=1 user.a=2 user.b=3 x"


@pytest.mark.parametrize("reader_code", ["M5", *STOMPS])
def test_34_a_rejected_message_says_where_it_was_and_why(reader_code: str) -> None:
    pair = Pair()
    taker, writer = pair.client("ST2"), pair.client("ST2")
    taker.frame("SUBSCRIBE", [("id", "1"), ("destination", "/queue/q"), ("ack", "client")])  # type: ignore[attr-defined]
    writer.publish("/queue/q", Said(b"\xff", [("k", "v"), ("expires", "1700000009000")]))
    taker.frame("NACK", [("id", taker.one().get("ack") or ""), ("requeue", "false")])  # type: ignore[attr-defined]
    reader = pair.client(reader_code)
    reader.subscribe("$queue/DLQ" if reader_code == "M5" else "/queue/DLQ", 1)
    said = reader.one()
    if reader_code != "M5":
        assert said.get("original-destination") == "/queue/q"
    assert said.get("expires") is None
    assert said.expiry_s is None
    assert said.get("k") == "v"
    assert _deaths(said) == [("q", "rejected", 1)]
    for when in ("first", "last"):
        assert said.get(f"x-{when}-death-reason") == "rejected"
        assert said.get(f"x-{when}-death-queue") == "q"
        assert said.get(f"x-{when}-death-exchange") == ""


def _deaths(said: Said) -> list[tuple[str, str, int]]:
    entries = json.loads(said.get("x-death") or "[]")
    return [(entry["queue"], entry["reason"], entry["count"]) for entry in entries]


def test_34_dead_letters_of_mqtt_say_the_same_in_both_protocols() -> None:
    pair = Pair()
    taker = pair.client("M5")
    taker.subscribe("t", 1)
    taker.heard()
    writer = pair.client("M5")
    writer.publish("t", Said(b"\xff", [("k", "v")], qos=1))
    data = taker.taken()
    assert data
    taker.give(encode_packet(Puback(1, 0x83), 5))
    for code, queue in (("M5", "$queue/DLQ"), ("ST2", "/queue/DLQ")):
        reader = pair.client(code)
        reader.subscribe(queue, 1)
        if code == "M5":
            # Read, and given back for the next one.
            packets = reader.taken()
            assert b"x-first-death-reason" in packets
            assert b"$queue/DLQ" in packets
            reader.connector.eof(pair.gw.now_ms)
        else:
            said = reader.one()
            assert [entry[1:] for entry in _deaths(said)] == [("rejected", 1)]
            assert (said.get("original-destination"), said.get("k")) == ("/topic/t", "v")
            assert said.get("x-first-death-exchange") == "amq.topic"


def test_57_58_types_of_json_for_stomp() -> None:
    pair = Pair()
    reader = pair.client("ST2")
    reader.subscribe("/topic/t")
    send_envelope(pair, to="topic:t", properties={"n": 5, "f": 1.5, "b": True, "z": None}, body="hi")
    said = reader.one()
    assert sorted(said.free) == sorted(
        [
            ("n", "5"),
            ("f", "1.5"),
            ("b", "true"),
            ("z", ""),
            ("x-mx-types", "n:i64,f:f64,b:bool,z:null"),
            ("persistent", "true"),
        ]
    )
    assert said.body == b"hi"


def test_59_60_62_bodies_and_priority_of_json() -> None:
    pair = Pair()
    three, five, two = pair.client("M3"), pair.client("M5"), pair.client("ST2")
    three.subscribe("t")
    five.subscribe("t", 1)
    two.subscribe("/topic/t")
    send_envelope(pair, to="topic:t", body={"a": 1})
    assert three.one().body == b'{"a":1}'
    assert five.one().content_type == "application/json"
    send_envelope(pair, to="topic:t", body_b64="AP8=", priority=200)
    said = five.one()
    assert (said.body, said.format, said.content_type) == (b"\x00\xff", None, None)
    assert said.get("x-mx-prio") == "200"
    assert [heard.get("priority") for heard in two.heard()] == [None, "200"]


def test_63_an_id_that_looks_typed_stays_text() -> None:
    pair = Pair()
    five, watch = pair.client("M5"), pair.watch("t")
    five.subscribe("t")
    send_envelope(pair, to="topic:t", correlation_id="AMQP_STRING:AMQP_ULONG:7")
    assert watch.last().fields().correlation_id == "AMQP_ULONG:7"
    assert five.one().correlation == b"AMQP_STRING:AMQP_ULONG:7"


def test_67_a_queue_limit_of_two_ends_with_the_second_failure(gw: Gateway) -> None:
    gw.mqtt("d") >> "CONNECT d" << "CONNACK 0 present=0" >> "PUBLISH $queue/q qos=1 id=1 x" << "PUBACK 1"
    party = gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual"
    party << "MESSAGE !x-mx-delivery-count !redelivered body:x" >> "NACK id:@ack"
    party << "MESSAGE x-mx-delivery-count:1 redelivered:true body:x" >> "NACK id:@ack"
    party.silent()
    party >> "SUBSCRIBE id:2 destination:/queue/DLQ"
    party << "MESSAGE original-destination:/queue/q x-first-death-reason:delivery_limit body:x"


@pytest.mark.parametrize("a", ["M5", "ST2"])
def test_69_a_refused_delivery_is_dead_lettered_and_not_resent(a: str) -> None:
    pair = Pair()
    reader = pair.client("M5")
    reader.subscribe("t", 1)
    reader.heard()
    persistent = [("persistent", "true")] if a == "ST2" else []
    pair.client(a).publish(topic_in(a, "t"), Said(b"\xff", persistent, qos=1 if a == "M5" else 0))
    assert reader.taken()
    reader.give(encode_packet(Puback(1, 0x83), 5))
    assert reader.taken() == b""
    [death] = pair.broker.queue("DLQ").browse()[0].message.deaths or []
    assert death.reason == "rejected"


def test_70_each_message_of_a_queue_goes_to_one_of_two_mqtt_clients() -> None:
    pair = Pair()
    readers = [pair.client("M5"), pair.client("M3")]
    for reader in readers:
        reader.subscribe("$queue/q", 1)
    for number in range(10):
        pair.client("ST2").publish("/queue/q", Said(b"\xff%d" % number))
    heard = [said for reader in readers for said in reader.heard()]
    assert sorted(said.body for said in heard) == [b"\xff%d" % number for number in range(10)]
    assert {said.topic for said in heard} == {"$queue/q"}
    assert pair.broker.queue("q").depth == 0


def test_71_a_shared_subscription_spans_protocols() -> None:
    pair = Pair()
    five, two = pair.client("M5"), pair.client("ST2")
    five.subscribe("$share/g/a/#", 1)
    two.subscribe("/share/g/a.>")
    for number in range(10):
        send_envelope(pair, to="topic:a.b", body_b64="/w==", properties={"number": number})
    got = [said.get("number") for reader in (five, two) for said in reader.heard()]
    assert sorted(got, key=str) == [str(number) for number in range(10)]


@pytest.mark.parametrize("b", STOMPS)
def test_73_names_that_begin_with_a_dollar_are_hidden_from_leading_wildcards(b: str) -> None:
    pair = Pair()
    hidden, open_ = pair.client(b), pair.client("M3")
    hidden.subscribe("/topic/>")
    hidden.subscribe("/topic/*.x")
    open_.subscribe("$x/#")
    pair.client("M3").publish("$x/x", Said(b"\xff"))
    assert hidden.heard() == []
    assert open_.one().topic == "$x/x"


@pytest.mark.parametrize("a", ["M3", "M5", *STOMPS])
def test_74_a_virtual_topic_gives_each_consumer_queue_a_copy_that_remembers_the_topic(a: str) -> None:
    pair = Pair()
    readers = {name: pair.client("ST2") for name in "AB"}
    for name, reader in readers.items():
        reader.subscribe(f"/queue/Consumer.{name}.VirtualTopic.X")
    five = pair.client("M5")
    five.subscribe("$queue/Consumer.C.VirtualTopic.X", 1)
    pair.client(a).publish(topic_in(a, "VirtualTopic.X"), Said(b"\xff"))
    for name, reader in readers.items():
        said = reader.one()
        assert said.topic == f"/queue/Consumer.{name}.VirtualTopic.X"
        assert said.get("original-destination") == "/topic/VirtualTopic.X"
    assert five.one().topic == "$queue/Consumer.C.VirtualTopic.X"


@pytest.mark.parametrize("qos", [0, 1])
def test_74_also_at_qos_0_the_topic_is_the_queues(qos: int) -> None:
    pair = Pair()
    for code in ("M3", "M5"):
        reader = pair.client(code)
        reader.subscribe(f"$queue/Consumer.{code}.VirtualTopic.X", qos)
        pair.client(code).publish("VirtualTopic/X", Said(b"\xff"))
        assert reader.one().topic == f"$queue/Consumer.{code}.VirtualTopic.X"


def test_75_a_composite_destination_gets_one_copy_each() -> None:
    pair = Pair()
    three, two = pair.client("M3"), pair.client("ST2")
    three.subscribe("b")
    two.subscribe("/queue/a")
    pair.client("ST2").publish("/queue/a,/topic/b,/queue/a", Said(b"\xff"))
    assert (two.one().topic, three.one().topic) == ("/queue/a", "b")


@pytest.mark.parametrize(("a", "name"), [("M5", "x-mx-user"), *[(code, "user-id") for code in STOMPS]])
def test_76_who_claims_to_be_another_user_is_refused(a: str, name: str) -> None:
    pair = Pair()
    watch = pair.watch("t")
    own = pair.client(a, user="guest")
    own.publish(topic_in(a, "t"), Said(b"1", [(name, "guest")], qos=1))
    pair.client(a).publish(topic_in(a, "t"), Said(b"2", [(name, "nobody asked")]))
    assert [message.fields().user_id for message in watch.messages()] == ["guest", "nobody asked"]
    own.heard()
    own.publish(topic_in(a, "t"), Said(b"3", [(name, "bob")], qos=1))
    assert len(watch.messages()) == 2
    own.heard()
    if a == "M5":
        packet = own.others[-1]  # type: ignore[attr-defined]
        assert (type(packet).__name__, packet.reason_code) == ("Puback", 0x87)
        assert not own.connector.closing
    else:
        assert "another user" in (own.errors[0].get("message") or "")  # type: ignore[attr-defined]


@pytest.mark.parametrize(("a", "name"), [("M5", "x-mx-user"), *[(code, "user-id") for code in STOMPS]])
def test_76_who_is_nobody_claims_no_name_where_names_are_verified(a: str, name: str) -> None:
    pair = Pair()
    pair.broker.authorizer.verifies_names = True
    watch = pair.watch("t")
    pair.client(a).publish(topic_in(a, "t"), Said(b"1", [(name, "bob")]))
    assert watch.messages() == []


@pytest.mark.parametrize("name", ["JMSXUserID", "x-mx-user"])
def test_76_under_whatever_name_stomp_knows(name: str) -> None:
    pair = Pair()
    watch = pair.watch("t")
    pair.client("ST2", user="guest").publish("/topic/t", Said(b"3", [(name, "bob")]))
    assert watch.messages() == []


def test_76_a_will_cannot_claim_it_either(gw: Gateway) -> None:
    (
        gw.mqtt("w", 5)
        >> "CONNECT w user=guest pass=x will=t will_user.x-mx-user=bob"
        << ("CONNACK 0x87 present=0")
    )
    assert gw.mqtt("w", 5).closed
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t"
    (
        gw.mqtt("v", 5)
        >> "CONNECT v user=guest pass=x will=t will_body=bye will_user.x-mx-prio=7"
        << ("CONNACK 0 present=0")
        >> DROP
    )
    gw.stomp("s") << "MESSAGE priority:7 !x-mx-prio body:bye"


def test_78_an_mqtt_reader_sees_how_often_a_message_failed_before() -> None:
    pair = Pair()
    first = pair.client("ST2")
    first.frame("SUBSCRIBE", [("id", "1"), ("destination", "/queue/q"), ("ack", "client-individual")])  # type: ignore[attr-defined]
    pair.client("ST2").publish("/queue/q", Said(b"\xff", [("persistent", "true"), ("k", "v")]))
    first.one()
    first.connector.eof(pair.gw.now_ms)
    reader = pair.client("M5")
    reader.subscribe("$queue/q", 1)
    said = reader.one()
    assert (said.dup, said.free) == (False, [("k", "v"), ("x-mx-delivery-count", "1")])


@pytest.mark.parametrize(("a", "queue"), [("ST2", "/queue/q"), ("M5", "$queue/q")])
def test_82_counts_of_a_publishers_own_deaths_go_on(a: str, queue: str) -> None:
    pair = Pair()
    mine = (
        '[{"queue":"q","reason":"expired","count":3,"x":1},{"queue":"other","reason":"rejected","count":1}]'
    )
    life = [("expiration", "1000")] if a == "ST2" else []
    said_in = Said(b"\xff", [("x-death", mine), *life], expiry_s=1)
    pair.client(a).publish(queue, said_in)
    pair.gw.advance(2_000)
    reader = pair.client("ST2")
    reader.subscribe("/queue/DLQ")
    said = reader.one()
    assert _deaths(said) == [("q", "expired", 4), ("other", "rejected", 1)]
    assert len([name for name, _ in said.free if name == "x-death"]) == 1
    assert (said.get("x-first-death-queue"), said.get("x-last-death-queue")) == ("other", "q")


@pytest.mark.parametrize(("a", "b"), CROSS)
def test_82_without_a_new_death_they_are_data(a: str, b: str) -> None:
    if "M3" in (a, b):
        return
    pair = Pair()
    reader = pair.client(b)
    reader.subscribe(topic_in(b, "t"))
    free = [("x-death", "not even JSON"), ("x-first-death-reason", "r"), ("original-destination", "/queue/x")]
    pair.client(a).publish(topic_in(a, "t"), Said(b"\xff", free))
    assert reader.one().free == free


def test_83_the_envelope_has_all_of_it() -> None:
    pair = Pair()
    watch = pair.watch("a.b")
    pair.client("ST2").publish(
        "/topic/a.b", Said(b"x", [("n", "5"), ("x-mx-types", "n:i32"), ("x-mx-body", "bytes")])
    )
    envelope = json.loads(json_envelope(watch.last()))
    assert envelope["to"] == "topic:a.b"
    assert envelope["properties"] == {"n": 5}
    assert envelope["ext"] == {"types": "n:i32"}
    assert envelope["body_b64"] == "eA=="
    assert envelope["durable"] is False


# -- names (3.2)


@pytest.mark.parametrize(("a", "b"), CROSS)
@pytest.mark.parametrize(
    "topic", ["a.b/c", "/a//b/", "temp/é/🥕", "Case/case", "a b/ c", "%41", "a:b\\c", "x" * 3_000]
)
def test_9_every_name_survives_the_way_there_and_back(topic: str, a: str, b: str) -> None:
    """`topic` as MQTT spells it."""
    swapped = topic.translate(str.maketrans("./", "/."))
    spelled = {code: topic if code.startswith("M") else f"/topic/{swapped}" for code in (a, b)}
    pair = Pair()
    writer, reader = pair.client(a), pair.client(b)
    reader.subscribe(spelled[b])
    writer.subscribe(spelled[a])
    writer.publish(spelled[a], Said(b"\xff"))
    said = reader.one()
    assert said.topic == spelled[b]
    assert writer.one().topic == spelled[a]
    reader.publish(said.topic, Said(b"\xfe"))
    assert (writer.one().topic, reader.one().topic) == (spelled[a], spelled[b])


def test_9_spaces_at_the_edges_survive_stomp_1_0_which_trims() -> None:
    pair = Pair()
    zero, three = pair.client("ST0"), pair.client("M3")
    zero.subscribe("/topic/>")
    three.subscribe("#")
    three.publish(" a ", Said(b"\xff"))
    said = zero.one()
    assert said.topic == "/topic/\uf020a\uf020"
    three.heard()
    zero.publish(said.topic, Said(b"\xff"))
    assert three.one().topic == " a "


@pytest.mark.parametrize("b", STOMPS)
def test_9_line_ends_in_a_topic_do_not_end_a_header(b: str) -> None:
    pair = Pair()
    reader = pair.client(b)
    reader.subscribe("/topic/>")
    pair.client("M3").publish("a\nb\rc", Said(b"\xff"))
    said = reader.one()
    needed = {"ST0": "/topic/a\\nb\\rc", "ST1": "/topic/a\\nb\\rc", "ST2": "/topic/a\nb\rc"}[b]
    assert said.topic == needed
    assert (said.get("x-mx-esc") == "destination") is (b != "ST2")


@pytest.mark.parametrize(
    ("a", "to"),
    [
        ("M3", "a/\uf000"), ("M5", "$queue/\uf07e"), ("ST2", "/topic/a.\uf02b"), ("ST0", "/queue/\uf03f"),
        ("M3", "$SYS/a"), ("ST1", "/topic/$SYS.a"), ("M5", "$share/g/a"), ("M3", "$queue/"), ("ST2", "/topic/"),
        ("ST2", "/topic/" + "+" * 30_000),
    ],
)  # fmt: skip
def test_9_names_that_could_not_come_back_are_refused(a: str, to: str) -> None:
    pair = Pair()
    watches = [pair.broker.counters.published]
    pair.client(a).publish(to, Said(b"\xff"))
    assert pair.broker.counters.published == watches[0]


def test_rule_10_a_filter_that_ends_in_many_matches_the_level_above() -> None:
    pair = Pair()
    three, two = pair.client("M3"), pair.client("ST2")
    three.subscribe("a/#")
    two.subscribe("/topic/a.>")
    for code in ("M3", "ST2"):
        pair.client(code).publish(topic_in(code, "a"), Said(b"\xff"))
    assert (len(three.heard()), len(two.heard())) == (2, 2)


def test_rule_11_retain_to_a_queue_is_ignored_and_wildcards_are_refused(gw: Gateway) -> None:
    party = gw.mqtt("d", 5) >> "CONNECT d" << "CONNACK 0 present=0" >> "PUBLISH $queue/q qos=1 retain id=1 x"
    party << "PUBACK 1"
    assert gw.broker.retained.count == 0
    party >> "SUBSCRIBE 2 $queue/# $share/g/$queue/q" << "SUBACK 2 0x8f 0x8f"


def test_overflow_and_expiry_of_a_session_do_not_fill_the_dead_letters() -> None:
    pair = Pair(policy=QueuePolicy(dead_letters="DLQ"))
    reader = pair.client("M5")
    reader.subscribe("t", 1)
    pair.client("ST2").publish("/topic/t", Said(b"\xff", [("expiration", "10")]))
    assert "queue:DLQ" not in pair.broker.queues
