"""What STOMP users know from ActiveMQ, Artemis and RabbitMQ beyond the specification, as transcripts."""

import pytest
from harness import DROP, Gateway

from gateway.connectors.base import Limits
from gateway.connectors.stomp.settings import StompSettings
from gateway.core.limits import QueuePolicy
from gateway.core.queue_key import NAMED


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


# -- selectors


def test_selector_of_a_queue_takes_what_it_wants_and_leaves_the_rest(gw: Gateway) -> None:
    (
        gw.stomp("s")
        >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual 'selector:colour = '\"'red'\"''"
    )
    for colour in ("blue", "red", "blue", "red"):
        gw.stomp("p") >> f"SEND destination:/queue/q colour:{colour} body:{colour}"
    assert gw.stomp("s").bodies() == ["red", "red"]
    gw.stomp("t") >> "SUBSCRIBE id:1 destination:/queue/q"
    assert gw.stomp("t").bodies() == ["blue", "blue"]
    assert gw.broker.queue("q").depth == 2


def test_selector_of_a_queue_behind_a_virtual_topic_leaves_the_rest_to_others(gw: Gateway) -> None:
    queue = "/queue/Consumer.A.VirtualTopic.T"
    gw.stomp("s") >> f"SUBSCRIBE id:1 destination:{queue} ack:client-individual 'selector:k = 1'"
    for k in (0, 1):
        gw.stomp("p") >> f"SEND destination:/topic/VirtualTopic.T k:{k} body:{k}"
    assert gw.stomp("s").bodies() == ["1"]
    gw.stomp("t") >> f"SUBSCRIBE id:1 destination:{queue}"
    assert gw.stomp("t").bodies() == ["0"]


def test_selector_of_a_live_topic_subscription(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t 'selector:size > 10 AND kind LIKE '\"'a%'\""
    for size, kind in ((5, "ab"), (50, "ab"), (50, "b")):
        gw.stomp("p") >> f"SEND destination:/topic/t size:{size} kind:{kind} body:{size}{kind}"
    assert gw.stomp("s").bodies() == ["50ab"]


def test_selector_sees_what_came_by_mqtt(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t 'selector:level >= 3'"
    gw.mqtt("d", 5) >> "CONNECT d" << "CONNACK 0 present=0" >> "PUBLISH t user.level=2 low"
    gw.mqtt("d", 5) >> "PUBLISH t user.level=3 high" >> "PUBLISH t none"
    assert gw.stomp("s").bodies() == ["high"]


def test_selector_of_a_durable_subscription_is_part_of_it(gw: Gateway) -> None:
    subscribe = "SUBSCRIBE id:1 destination:/topic/t activemq.subscriptionName:n 'selector:n > 1'"
    gw.stomp("s") >> subscribe >> DROP
    for n in range(4):
        gw.stomp("p") >> f"SEND destination:/topic/t n:{n} body:{n}"
    gw.stomp("s") >> subscribe
    assert gw.stomp("s").bodies() == ["2", "3"]
    gw.stomp("s") >> DROP
    gw.stomp("p") >> "SEND destination:/topic/t n:9 body:9"
    gw.stomp("s") >> subscribe.replace("> 1", "> 5")
    assert gw.stomp("s").bodies() == []


def test_shared_subscription_with_another_selector_is_refused_while_others_use_it(gw: Gateway) -> None:
    gw.stomp("a") >> "SUBSCRIBE id:1 destination:/share/g/t 'selector:n > 1'"
    gw.stomp("b") >> "SUBSCRIBE id:1 destination:/share/g/t" << "ERROR"
    (
        gw.stomp("c")
        >> "SUBSCRIBE id:1 destination:/share/g/t 'selector:n > 1' receipt:r"
        << "RECEIPT receipt-id:r"
    )


def test_selector_without_number_conversion_follows_jms_to_the_letter() -> None:
    gw = Gateway(stomp=StompSettings(selector_converts=False))
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t 'selector:n > 1'"
    gw.stomp("t") >> "SUBSCRIBE id:1 destination:/topic/t 'selector:convert_string_expressions:n > 1'"
    gw.stomp("p") >> "SEND destination:/topic/t n:5 body:x"
    assert (gw.stomp("s").bodies(), gw.stomp("t").bodies()) == ([], ["x"])


def test_selector_that_is_none_is_an_error_that_says_why(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q receipt:r 'selector:a = '" << "ERROR receipt-id:r"
    assert "its end" in (gw.stomp("s").last.get("message") or "")  # type: ignore[union-attr]
    assert gw.stomp("s").closed


# -- browsers, exclusive consumers


def test_browser_is_shown_everything_then_told_so_and_nothing_is_taken(gw: Gateway) -> None:
    for n in range(3):
        gw.stomp("p") >> f"SEND destination:/queue/q n:{n} body:{n}"
    browser = gw.stomp("s") >> "SUBSCRIBE id:7 destination:/queue/q browser:true"
    for n in range(3):
        browser << f"MESSAGE subscription:7 destination:/queue/q !browser body:{n}"
    browser << "MESSAGE subscription:7 destination:/queue/q browser:end"
    assert gw.broker.queue("q").waiting == 3
    browser >> "SUBSCRIBE id:8 destination:/queue/q browser:true 'selector:n = 1'"
    browser << "MESSAGE subscription:8 body:1" << "MESSAGE subscription:8 browser:end"
    browser >> "UNSUBSCRIBE id:7 receipt:u" << "RECEIPT receipt-id:u"


def test_browser_of_an_empty_queue_is_told_at_once(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:7 destination:/queue/q browser:true receipt:r"
    gw.stomp("s") << "RECEIPT receipt-id:r" << "MESSAGE subscription:7 browser:end"


def test_browser_with_acknowledgements_is_shown_as_much_as_it_asked_for(gw: Gateway) -> None:
    for n in range(2):
        gw.stomp("p") >> f"SEND destination:/queue/q body:{n}"
    browser = gw.stomp("s") >> "SUBSCRIBE id:7 destination:/queue/q browser:true ack:client prefetch-count:1"
    browser << "MESSAGE body:0"
    browser.silent()
    browser >> "ACK id:@ack" << "MESSAGE body:1" << "MESSAGE browser:end"
    assert gw.broker.queue("q").waiting == 2


def test_browser_is_told_its_end_when_the_last_copies_expire(gw: Gateway) -> None:
    for words in ("body:0", f"expires:{gw.now_ms + 1_000} body:1"):
        gw.stomp("p") >> f"SEND destination:/queue/q {words}"
    browser = gw.stomp("s") >> "SUBSCRIBE id:7 destination:/queue/q browser:true ack:client prefetch-count:1"
    browser << "MESSAGE body:0"
    gw.advance(500)
    browser.silent()
    gw.advance(1_500)
    browser << "MESSAGE browser:end"
    gw.advance(1_500)
    browser.silent()
    assert gw.stomp("s").connector.next_deadline_ms() is None


def test_browser_is_told_its_end_once(gw: Gateway) -> None:
    gw.stomp("p") >> "SEND destination:/queue/q body:0"
    browser = gw.stomp("s") >> "SUBSCRIBE id:7 destination:/queue/q browser:true ack:client prefetch-count:1"
    browser << "MESSAGE body:0" >> "NACK id:@ack" << "MESSAGE browser:end" << "MESSAGE body:0"
    browser.silent()


def test_browsers_are_bounded() -> None:
    gw = Gateway(stomp=StompSettings(browse_messages_max=2))
    for n in range(3):
        gw.stomp("p") >> f"SEND destination:/queue/q body:{n}"
    (
        gw.stomp("s")
        >> "SUBSCRIBE id:1 destination:/queue/q browser:true"
        << "MESSAGE body:0"
        << "MESSAGE body:1"
    )
    gw.stomp("s") << "MESSAGE browser:end"


def test_only_queues_can_be_browsed(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t browser:true" << "ERROR"


def test_exclusive_consumer_has_the_queue_to_itself_until_it_leaves(gw: Gateway) -> None:
    gw.stomp("a") >> "SUBSCRIBE id:1 destination:/queue/q"
    gw.stomp("b") >> "SUBSCRIBE id:1 destination:/queue/q activemq.exclusive:true"
    for n in range(2):
        gw.stomp("p") >> f"SEND destination:/queue/q body:{n}"
    assert (gw.stomp("a").bodies(), gw.stomp("b").bodies()) == ([], ["0", "1"])
    gw.stomp("b") >> DROP
    gw.stomp("p") >> "SEND destination:/queue/q body:2"
    assert gw.stomp("a").bodies() == ["2"]


# -- retroactive, dispatchAsync, no-local


def test_retroactive_consumer_gets_the_last_values_first(gw: Gateway) -> None:
    gw.stomp("p") >> "SEND destination:/topic/t.1 retain:true n:1 body:on"
    gw.stomp("p") >> "SEND destination:/topic/t.2 retain:true n:2 body:off"
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t.* activemq.retroactive:true 'selector:n = 2'"
    gw.stomp("s") << "MESSAGE retained:true body:off"
    gw.stomp("s").silent()
    gw.stomp("a") >> "SUBSCRIBE id:1 destination:/topic/t.* activemq.retroactive:true ack:client"
    assert gw.stomp("a").bodies() == ["on", "off"]


def test_dispatch_async_changes_nothing(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/t activemq.dispatchAsync:false"
    gw.stomp("s") >> "SEND destination:/topic/t body:x" << "MESSAGE body:x"


@pytest.mark.parametrize("header", ["no-local:true", "activemq.noLocal:true"])
@pytest.mark.parametrize("more", ["", " ack:client", " activemq.subscriptionName:n"])
def test_no_local_keeps_a_clients_own_messages_from_it(gw: Gateway, header: str, more: str) -> None:
    for _ in range(2):
        gw.stomp("s") >> f"SUBSCRIBE id:1 destination:/topic/t {header}{more}"
        gw.stomp("s") >> "SEND destination:/topic/t body:own"
        gw.stomp("p") >> "SEND destination:/topic/t body:other"
        assert gw.stomp("s").bodies() == ["other"]
        gw.stomp("s") >> DROP


# -- scheduled delivery


@pytest.mark.parametrize("spelling", ["AMQ_SCHEDULED_DELAY", "AMQ-SCHEDULED-DELAY"])
@pytest.mark.parametrize("destination", ["/queue/q", "/topic/t"])
def test_delayed_message(gw: Gateway, spelling: str, destination: str) -> None:
    gw.stomp("s") >> f"SUBSCRIBE id:1 destination:{destination}"
    (
        gw.stomp("p")
        >> f"SEND destination:{destination} {spelling}:5000 receipt:r body:x"
        << "RECEIPT receipt-id:r"
    )
    gw.advance(4_999)
    gw.stomp("s").silent()
    gw.advance(1)
    gw.stomp("s") << f"MESSAGE destination:{destination} body:x"
    gw.advance(100_000)
    gw.stomp("s").silent()


def test_repeated_message(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q"
    (
        gw.stomp("p")
        >> "SEND destination:/queue/q AMQ_SCHEDULED_DELAY:1000 AMQ_SCHEDULED_PERIOD:500 AMQ_SCHEDULED_REPEAT:2 body:x"
    )
    gw.stomp("p") >> "SEND destination:/queue/r AMQ_SCHEDULED_PERIOD:700 AMQ_SCHEDULED_REPEAT:1 body:x"
    counts = []
    for _ in range(6):
        gw.advance(500)
        counts.append(len(gw.stomp("s").bodies()))
    assert counts == [0, 1, 1, 1, 0, 0]
    assert gw.broker.queue("r").depth == 2


def test_cron_message_outlives_its_sender(gw: Gateway) -> None:
    gw.stomp("p") >> "SEND destination:/queue/q 'AMQ_SCHEDULED_CRON:0 * * * *' body:x" >> DROP
    gw.advance(3_600_000)
    gw.advance(3_600_000)
    assert gw.broker.queue("q").depth == 2


def test_scheduled_message_of_a_transaction_waits_for_its_commit(gw: Gateway) -> None:
    party = (
        gw.stomp("p")
        >> "BEGIN transaction:t"
        >> "SEND transaction:t destination:/queue/q AMQ_SCHEDULED_DELAY:10 body:x"
    )
    gw.advance(1_000)
    assert gw.broker.queue("q").depth == 0
    party >> "COMMIT transaction:t"
    assert gw.broker.queue("q").depth == 0
    gw.advance(10)
    assert gw.broker.queue("q").depth == 1


@pytest.mark.parametrize(
    "headers",
    [
        "AMQ_SCHEDULED_DELAY:soon",
        "AMQ_SCHEDULED_DELAY:-5",
        "'AMQ_SCHEDULED_CRON:61 * * * *'",
        "AMQ_SCHEDULED_DELAY:99999999999",
        "AMQ_SCHEDULED_PERIOD:1 AMQ_SCHEDULED_REPEAT:5",
        "AMQ_SCHEDULED_DELAY:5 AMQ_SCHEDULED_REPEAT:-2",
    ],
)
def test_schedule_that_cannot_be_is_an_error(gw: Gateway, headers: str) -> None:
    gw.stomp("p") >> f"SEND destination:/queue/q {headers} receipt:r body:x" << "ERROR receipt-id:r"
    assert gw.stomp("p").closed
    assert len(gw.broker.schedule) == 0


def test_delay_of_nothing_is_no_schedule(gw: Gateway) -> None:
    gw.stomp("p") >> "SEND destination:/queue/q AMQ_SCHEDULED_DELAY:0 body:x"
    assert gw.broker.queue("q").depth == 1


# -- wildcards and composites


def test_wildcard_reads_all_queues_of_its_pattern_those_to_come_included(gw: Gateway) -> None:
    gw.stomp("p") >> "SEND destination:/queue/price.gold body:1" >> "SEND destination:/queue/other body:-"
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/price.> ack:client-individual prefetch-count:2"
    (
        gw.stomp("p")
        >> "SEND destination:/queue/price.silver.old body:2"
        >> "SEND destination:/queue/price.gold body:3"
    )
    party = gw.stomp("s") << "MESSAGE destination:/queue/price.gold body:1" >> "ACK id:@ack"
    party << "MESSAGE destination:/queue/price.silver.old body:2"
    party << "MESSAGE destination:/queue/price.gold body:3"
    party >> "UNSUBSCRIBE id:1 receipt:r" << "RECEIPT"
    gw.stomp("p") >> "SEND destination:/queue/price.new body:4"
    party.silent()


def test_wildcard_does_not_read_other_clients_temporary_queues(gw: Gateway) -> None:
    gw.stomp("c") >> "SUBSCRIBE id:1 destination:/temp-queue/mine"
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/>"
    gw.stomp("c") >> "SEND destination:/temp-queue/mine body:x" << "MESSAGE body:x"
    gw.stomp("s").silent()


def test_wildcards_of_queues_can_be_turned_off() -> None:
    gw = Gateway(stomp=StompSettings(queue_wildcards=False))
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/a.*"
    gw.stomp("p") >> "SEND destination:/queue/a.b body:x" >> "SEND destination:/queue/a.* body:y"
    assert gw.stomp("s").bodies() == ["y"]


@pytest.mark.parametrize("mode", ["auto", "client-individual"])
def test_composite_subscription_is_one_with_one_window(gw: Gateway, mode: str) -> None:
    party = (
        gw.stomp("s")
        >> f"SUBSCRIBE id:1 destination:/queue/a,/topic/b.*,/topic/b.x ack:{mode} prefetch-count:2"
    )
    gw.stomp("p") >> "SEND destination:/queue/a body:1" >> "SEND destination:/topic/b.x body:2"
    gw.stomp("p") >> "SEND destination:/queue/a body:3"
    party << "MESSAGE subscription:1 destination:/queue/a body:1"
    party << "MESSAGE subscription:1 destination:/topic/b.x body:2"
    if mode != "auto":
        party.silent()
        party >> "ACK id:@ack"
    party << "MESSAGE subscription:1 body:3"
    party.silent()


def test_composite_send_reaches_each_once_also_in_a_transaction(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/b"
    gw.stomp("p") >> "SEND destination:/queue/a,/topic/b,/queue/a body:1" >> "BEGIN transaction:t"
    gw.stomp("p") >> "SEND transaction:t destination:/queue/a,/topic/b body:2" >> "COMMIT transaction:t"
    assert gw.stomp("s").bodies() == ["1", "2"]
    assert gw.broker.queue("a").depth == 2


def test_composite_send_arrives_everywhere_or_nowhere() -> None:
    gw = Gateway(policy=QueuePolicy(messages_max=1, when_full="reject"))
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/b"
    gw.stomp("p") >> "SEND destination:/queue/full body:1"
    gw.stomp("p") >> "SEND destination:/queue/a,/topic/b,/queue/full receipt:r body:2" << "ERROR receipt-id:r"
    assert gw.broker.queue("a").depth == 0
    gw.stomp("s").silent()


def test_composite_send_later_arrives_everywhere_or_nowhere() -> None:
    gw = Gateway()
    gw.broker.limits.scheduled_messages_max = 1
    (
        gw.stomp("p")
        >> "SEND destination:/queue/a,/queue/b AMQ_SCHEDULED_DELAY:10 receipt:r"
        << "ERROR receipt-id:r"
    )
    gw.advance(1_000)
    assert [gw.broker.queue(name).depth for name in "ab"] == [0, 0]


def test_send_to_a_temporary_queue_of_ones_own_in_a_transaction_arrives(gw: Gateway) -> None:
    party = gw.stomp("s") >> "BEGIN transaction:t" >> "SEND transaction:t destination:/temp-queue/x body:1"
    party >> "COMMIT transaction:t" >> "SUBSCRIBE id:1 destination:/temp-queue/x" << "MESSAGE body:1"


def test_number_of_destinations_is_bounded(gw: Gateway) -> None:
    gw.stomp("p") >> f"SEND destination:{','.join(['/queue/a'] * 102)} body:1" << "ERROR"


# -- durable and shared subscriptions


@pytest.mark.parametrize(
    "headers",
    ["activemq.subscriptionName:n", "durable-subscription-name:n", "durable:true", "persistent:true"],
)
def test_durable_subscription_in_every_spelling(gw: Gateway, headers: str) -> None:
    subscribe = f"SUBSCRIBE id:n destination:/topic/t {headers}"
    gw.stomp("s") >> subscribe >> DROP
    gw.stomp("p") >> "SEND destination:/topic/t body:while-away"
    gw.stomp("s") >> subscribe << "MESSAGE body:while-away"
    gw.stomp("s") >> f"UNSUBSCRIBE id:n {headers} receipt:r" << "RECEIPT" >> DROP
    gw.stomp("p") >> "SEND destination:/topic/t body:after"
    gw.stomp("s") >> subscribe
    gw.stomp("s").silent()


def test_durable_subscription_with_the_same_id_is_shared(gw: Gateway) -> None:
    for name in "ab":
        gw.stomp(name) >> "SUBSCRIBE id:n destination:/topic/t durable:true"
    for n in range(4):
        gw.stomp("p") >> f"SEND destination:/topic/t body:{n}"
    assert (gw.stomp("a").bodies(), gw.stomp("b").bodies()) == (["0", "2"], ["1", "3"])


def test_durable_subscription_without_id_is_an_error(gw: Gateway) -> None:
    gw.stomp("s", "1.0") >> "SUBSCRIBE destination:/topic/t durable:true" << "ERROR"


def test_dsub_reads_a_durable_subscription_that_is_there(gw: Gateway) -> None:
    owner = gw.stomp_unconnected("o")
    owner >> "CONNECT accept-version:1.2 host:h client-id:c" << "CONNECTED"
    owner >> "SUBSCRIBE id:1 destination:/topic/t activemq.subscriptionName:n" >> DROP
    gw.stomp("p") >> "SEND destination:/topic/t body:x"
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/dsub/c/n" << "MESSAGE destination:/topic/t body:x"
    gw.stomp("s") >> "SUBSCRIBE id:2 destination:/dsub/c/none" << "ERROR"


# -- temporary destinations and replies


def test_reply_to_a_temporary_queue_subscribes_to_it_and_others_can_answer(gw: Gateway) -> None:
    gw.stomp("server") >> "SUBSCRIBE id:1 destination:/queue/work"
    gw.stomp("client") >> "SEND destination:/queue/work reply-to:/temp-queue/r correlation-id:7 body:?"
    reply_to = (gw.stomp("server") << "MESSAGE correlation-id:7 body:?").last.get("reply-to")  # type: ignore[union-attr]
    gw.stomp("server") >> f"SEND destination:{reply_to} correlation-id:7 receipt:r body:!" << "RECEIPT"
    gw.stomp("client") << "MESSAGE subscription:/temp-queue/r correlation-id:7 body:!"
    gw.stomp("client") >> DROP
    gw.stomp("server") >> f"SEND destination:{reply_to} body:late" >> "SEND destination:/queue/alive body:x"
    assert not [key for key in gw.broker.queues if key.startswith("queue:mx.tmp.")]
    gw.stomp("server") >> f"SEND destination:{reply_to} receipt:r body:late" << "ERROR receipt-id:r"


def test_subscribing_to_the_reply_queue_takes_the_place_of_what_the_send_did(gw: Gateway) -> None:
    gw.stomp("c") >> "SEND destination:/queue/work reply-to:/temp-queue/r body:?"
    gw.stomp("c") >> "SUBSCRIBE id:mine destination:/temp-queue/r"
    gw.stomp("c") >> "SEND destination:/queue/work reply-to:/temp-queue/r body:?"
    gw.stomp("c") >> "SEND destination:/temp-queue/r body:!" << "MESSAGE subscription:mine body:!"
    gw.stomp("c").silent()


def test_reply_queue_may_be_left_to_the_client_to_subscribe_to() -> None:
    gw = Gateway(stomp=StompSettings(temp_queue_replies="explicit"))
    gw.stomp("c") >> "SEND destination:/queue/work reply-to:/temp-queue/r body:?"
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/work"
    reply_to = (gw.stomp("s") << "MESSAGE body:?").last.get("reply-to")  # type: ignore[union-attr]
    gw.stomp("s") >> f"SEND destination:{reply_to} body:!"
    gw.stomp("c").silent()
    gw.stomp("c") >> "SUBSCRIBE id:1 destination:/temp-queue/r" << "MESSAGE subscription:1 body:!"


def test_device_answers_on_a_temporary_queue(gw: Gateway) -> None:
    gw.mqtt("d", 5) >> "CONNECT d" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 ask" << "SUBACK 1 0"
    gw.stomp("c") >> "SEND destination:/topic/ask reply-to:/temp-queue/r correlation-id:7 body:?"
    [said] = gw.mqtt("d", 5).rest()
    topic = said.partition("resp=")[2].split(" ")[0]
    gw.mqtt("d", 5) >> f"PUBLISH {topic} corr=7 !"
    gw.stomp("c") << "MESSAGE subscription:/temp-queue/r correlation-id:7 body:!"


def test_device_that_answers_too_late_is_told_and_leaves_no_queue_behind(gw: Gateway) -> None:
    gw.mqtt("d", 5) >> "CONNECT d" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 ask" << "SUBACK 1 0"
    gw.stomp("c") >> "SEND destination:/topic/ask reply-to:/temp-queue/r body:?" >> DROP
    [said] = gw.mqtt("d", 5).rest()
    topic = said.partition("resp=")[2].split(" ")[0]
    gw.mqtt("d", 5) >> f"PUBLISH {topic} qos=1 id=1 !"
    assert [text.split(" ")[0] for text in gw.mqtt("d", 5).rest()] == ["PUBACK"]
    assert not [key for key in gw.broker.queues if key.startswith("queue:mx.tmp.")]


def test_temporary_queue_is_read_by_its_owner_alone(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/work"
    gw.stomp("c") >> "SEND destination:/queue/work reply-to:/temp-queue/r body:?"
    reply_to = (gw.stomp("s") << "MESSAGE body:?").last.get("reply-to")  # type: ignore[union-attr]
    gw.stomp("s") >> f"SUBSCRIBE id:2 destination:{reply_to}" << "ERROR"


def test_reply_to_a_temporary_topic_can_be_answered_by_others(gw: Gateway) -> None:
    gw.stomp("server") >> "SUBSCRIBE id:1 destination:/queue/work"
    gw.stomp("client") >> "SUBSCRIBE id:r destination:/temp-topic/r"
    gw.stomp("client") >> "SEND destination:/queue/work reply-to:/temp-topic/r body:?"
    reply_to = (gw.stomp("server") << "MESSAGE body:?").last.get("reply-to")  # type: ignore[union-attr]
    gw.stomp("server") >> f"SEND destination:{reply_to} body:!"
    gw.stomp("client") << "MESSAGE subscription:r destination:/temp-topic/r body:!"


def test_temporary_topic_reaches_its_owner_under_its_own_name(gw: Gateway) -> None:
    gw.stomp("c") >> "SUBSCRIBE id:1 destination:/temp-topic/news"
    gw.stomp("c") >> "SEND destination:/temp-topic/news retain:true body:x"
    gw.stomp("c") << "MESSAGE destination:/temp-topic/news body:x"
    assert gw.broker.retained.count == 0


# -- spellings


def test_rabbitmq_spellings_of_topics_and_queues(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/exchange/amq.topic/a.*.#"
    (
        gw.stomp("p")
        >> "SEND destination:/exchange/amq%2Etopic/a.b.c%2Fd body:1"
        >> "SEND destination:/topic/a.b body:2"
    )
    gw.stomp("s") << "MESSAGE destination:/topic/a.b.c/d body:1" << "MESSAGE body:2"
    gw.stomp("p") >> "SEND destination:/amq/queue/q body:1" >> "SEND destination:/reply-queue/q body:2"
    assert gw.broker.queue("q").depth == 2
    gw.stomp("p") >> "SEND destination:/exchange/logs/x body:1" << "ERROR"


def test_percent_escapes_where_the_operator_wants_them() -> None:
    gw = Gateway(stomp=StompSettings(percent_decode=True))
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/topic/a%2Eb"
    gw.stomp("s") >> "SEND destination:/topic/a.b body:1" << "MESSAGE body:1"
    gw.stomp("s") >> "SEND destination:/queue/%zz body:1" << "ERROR"


def test_bare_names_may_be_refused() -> None:
    gw = Gateway(stomp=StompSettings(bare_names="refuse"))
    gw.stomp("s") >> "SEND destination:q body:1" << "ERROR"


def test_message_id_on_send_is_ignored_or_refused(gw: Gateway) -> None:
    (
        gw.stomp("s")
        >> "SUBSCRIBE id:1 destination:/topic/t"
        >> "SEND destination:/topic/t message-id:mine body:x"
    )
    assert (gw.stomp("s") << "MESSAGE body:x").last.get("message-id") != "mine"  # type: ignore[union-attr]
    strict = Gateway(stomp=StompSettings(message_id_on_send="refuse"))
    strict.stomp("s") >> "SEND destination:/topic/t message-id:mine body:x" << "ERROR"


# -- flow control


def test_window_in_bytes(gw: Gateway) -> None:
    for n in range(3):
        gw.stomp("p") >> f"SEND destination:/queue/q body:{n}{'x' * 400}"
    party = (
        gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual consumer-window-size:600"
    )
    party << "MESSAGE" << "MESSAGE"
    party.silent()
    party >> "ACK id:@ack" << "MESSAGE" >> "UNSUBSCRIBE id:1"
    assert gw.broker.queue("q").depth == 2


def test_window_in_bytes_means_nothing_where_nothing_is_acknowledged(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:auto consumer-window-size:10"
    for n in range(3):
        gw.stomp("p") >> f"SEND destination:/queue/q body:{n}{'x' * 100}"
    assert len(gw.stomp("s").bodies()) == 3


def test_window_of_nothing_is_one_message_at_a_time_and_below_zero_any(gw: Gateway) -> None:
    for n in range(3):
        gw.stomp("p") >> f"SEND destination:/queue/q body:{n}"
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual consumer-window-size:0"
    assert gw.stomp("s").bodies() == ["0"]
    gw.stomp("t") >> "SUBSCRIBE id:1 destination:/queue/q ack:client-individual consumer-window-size:-1"
    assert gw.stomp("t").bodies() == ["1", "2"]


@pytest.mark.parametrize(
    ("header", "count"),
    [("prefetch-count:1", 1), ("activemq.prefetchSize:2", 2), ("prefetch-count:0", 4), ("x:y", 3)],
)
def test_prefetch_in_both_spellings(header: str, count: int) -> None:
    gw = Gateway(stomp=StompSettings(prefetch=3), stomp_limits=Limits(max_inflight=4))
    for n in range(6):
        gw.stomp("p") >> f"SEND destination:/queue/q body:{n}"
    gw.stomp("s") >> f"SUBSCRIBE id:1 destination:/queue/q ack:client {header}"
    assert len(gw.stomp("s").bodies()) == count


def test_maximum_inflight_holds_over_all_subscriptions_of_a_connection() -> None:
    gw = Gateway(stomp_limits=Limits(max_inflight=2))
    for n in range(2):
        gw.stomp("s") >> f"SUBSCRIBE id:{n} destination:/queue/{n} ack:client-individual"
    for n in range(4):
        gw.stomp("p") >> f"SEND destination:/queue/0 body:{n}" >> f"SEND destination:/queue/1 body:{n}"
    gw.stomp("s") << "MESSAGE subscription:0 body:0" << "MESSAGE subscription:1 body:0"
    gw.stomp("s").silent()
    for n in range(1, 4):
        for id in range(2):
            # An outcome of either makes room for one, and each has its turn.
            gw.stomp("s") >> "ACK id:@ack" << f"MESSAGE subscription:{id} body:{n}"
    gw.stomp("s").silent()


# -- queues that are only read


def test_a_queue_that_was_only_read_goes_with_its_last_reader(gw: Gateway) -> None:
    for name in "ab":
        gw.stomp(name) >> "SUBSCRIBE id:1 destination:/queue/unknown"
    gw.stomp("a") >> "UNSUBSCRIBE id:1"
    gw.advance(1_000)
    assert gw.broker.has_queue("unknown")
    gw.stomp("b") >> DROP
    assert not gw.broker.has_queue("unknown")


def test_a_queue_that_was_read_by_mqtt_alone_goes_too(gw: Gateway) -> None:
    gw.mqtt("s") >> "CONNECT s" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 $queue/unknown qos=1" << "SUBACK 1 1"
    gw.advance(1_000)
    assert gw.broker.has_queue("unknown")
    gw.mqtt("s") >> DROP
    gw.advance(1_000)
    assert not gw.broker.has_queue("unknown")


def test_a_queue_that_something_was_in_stays_and_so_does_that_of_a_virtual_topic(gw: Gateway) -> None:
    for name in ("written", "Consumer.A.VirtualTopic.T"):
        gw.stomp("s") >> f"SUBSCRIBE id:{name} destination:/queue/{name}"
    gw.stomp("s") >> "SEND destination:/queue/written body:x" << "MESSAGE body:x" >> DROP
    gw.advance(1_000)
    assert {queue.destination.name for queue in gw.broker.queues.values() if queue.key.kind == NAMED} == {
        "written",
        "Consumer.A.VirtualTopic.T",
    }


def test_a_publisher_that_knew_a_queue_which_has_gone_makes_it_again(gw: Gateway) -> None:
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q" >> DROP
    gw.stomp("p") >> "SEND destination:/queue/q body:1"
    gw.broker.delete_queue(gw.broker.queue("q"))
    gw.stomp("p") >> "SEND destination:/queue/q body:2"
    gw.stomp("s") >> "SUBSCRIBE id:1 destination:/queue/q" << "MESSAGE body:2"
