"""gateway/core/kept.py"""

from core_messages import message, topic_message

from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.pattern import literal
from gateway.core.ports import Authorizer, QueueMade
from gateway.core.queue_key import DURABLE, QueueKey
from gateway.core.router import Broker
from gateway.core.subscription import Binding
from gateway.store.memory import Kept, MemoryStore

CONSUMER = "Consumer.A.VirtualTopic.x"


def run(kept: Kept | None = None, limits: CoreLimits | None = None) -> tuple[Broker, MemoryStore]:
    """A broker, over what an earlier one has left."""
    store = MemoryStore(kept)
    broker = Broker(store, Authorizer(), limits or CoreLimits(), QueuePolicy())
    store.listener = broker
    broker.recover(store.recover())
    return broker, store


def publish(broker: Broker, name: str) -> None:
    broker.publish(topic_message(broker, name, persistent=True), broker.topics.topic(name))


def test_a_virtual_topics_consumer_gets_one_copy_of_each_message_after_a_restart_too() -> None:
    broker, store = run()
    broker.queue(CONSUMER)
    for count in (1, 2, 3):
        publish(broker, "VirtualTopic.x")
        assert broker.queue(CONSUMER).depth == count
        broker, store = run(store.kept)


def test_nor_more_where_an_earlier_version_has_noted_what_it_is_bound_to() -> None:
    broker, store = run()
    queue = broker.queue(CONSUMER)
    queue.offer(message(broker, CONSUMER, persistent=True))
    store.append(QueueMade(queue.number, queue.key.text, b'[[["VirtualTopic", "x"], null, null, null]]'))
    broker, _ = run(store.kept)
    publish(broker, "VirtualTopic.x")
    assert broker.queue(CONSUMER).depth == 2


def test_what_is_kept_is_bound_again_whatever_the_limit_is_by_now() -> None:
    broker, store = run()
    key = QueueKey(DURABLE, "client", "d")
    queue = broker.bound_queue(key, QueuePolicy())
    for name in ("a", "b"):
        broker.bind_queue(queue, Binding(literal(name), queue))
    broker, _ = run(store.kept, CoreLimits(subscriptions_max=1))
    for name in ("a", "b"):
        publish(broker, name)
    assert broker.queues[key.text].depth == 2
