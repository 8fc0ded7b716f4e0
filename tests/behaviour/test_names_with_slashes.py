"""Clients whose ids and subscriptions have slashes in their names get what is theirs, and nothing of others."""

from harness import DROP, Gateway


def durable(gw: Gateway, client_id: str, name: str, destination: str = "/topic/t") -> None:
    """Subscribe, and leave."""
    party = gw.stomp_unconnected(client_id)
    party >> f"CONNECT accept-version:1.2 host:h client-id:{client_id}" << "CONNECTED version:1.2"
    subscribe = (
        f"SUBSCRIBE id:1 destination:{destination} ack:client-individual activemq.subscriptionName:{name}"
    )
    party >> f"{subscribe} receipt:r" << "RECEIPT receipt-id:r" >> DROP


def test_durable_subscriptions_are_told_apart() -> None:
    gw = Gateway()
    durable(gw, "a", "b/c")
    gw.stomp("p") >> "SEND destination:/topic/t body:for-both-soon"
    durable(gw, "a/b", "c", "/topic/other")
    depths = {
        (queue.key.owner, queue.key.name): (queue.depth, str(queue.bindings[0].pattern))
        for queue in gw.broker.queues.values()
    }
    assert depths == {("a", "b/c"): (1, "t"), ("a/b", "c"): (0, "other")}


def test_a_durable_subscription_is_no_session() -> None:
    gw = Gateway()
    durable(gw, "a", "b/")
    gw.mqtt("m") >> "CONNECT a/b clean=0" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 t qos=1" << "SUBACK 1 1"
    gw.stomp("p") >> "SEND destination:/topic/t body:x"
    gw.mqtt("m") << "PUBLISH t qos=1 id=1 x"
    assert {queue.key.kind: queue.depth for queue in gw.broker.queues.values()} == {
        "durable": 1,
        "session": 1,
    }


def test_dsub_names_a_client_with_slashes() -> None:
    gw = Gateway()
    durable(gw, "a/b%", "c/d")
    durable(gw, "a", "b%/c/d", "/topic/other")
    gw.stomp("p") >> "SEND destination:/topic/t body:x"
    reader = gw.stomp("r")
    reader >> "SUBSCRIBE id:1 destination:/dsub/a%2Fb%25/c/d receipt:r" << "RECEIPT receipt-id:r"
    reader << "MESSAGE subscription:1 body:x"
