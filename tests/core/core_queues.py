"""Short ways to brokers and queues for the core's tests, and to what is in them."""

from core_doubles import LogStore
from core_messages import message

from gateway.core.credit import Credit
from gateway.core.delivery import Delivery
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.ports import NOTHING, Authorizer
from gateway.core.queue import Queue
from gateway.core.router import Broker
from gateway.core.subscription import Consumer, Outlet


def broker_with(limits: CoreLimits | None = None, policy: QueuePolicy | None = None) -> Broker:
    return Broker(LogStore(), Authorizer(), limits or CoreLimits(), policy or QueuePolicy())


def store_of(broker: Broker) -> LogStore:
    store = broker.store
    assert isinstance(store, LogStore)
    return store


def consume(
    queue: Queue, outlet: Outlet, credit: Credit | int = 10, *, automatic: bool = False, tag: object = None
) -> Consumer:
    """Attach a consumer."""
    window = Credit(credit) if isinstance(credit, int) else credit
    consumer = Consumer(queue, outlet, window, automatic, tag)
    queue.attach(consumer)
    return consumer


def waiting_ids(queue: Queue) -> list[int]:
    return [delivery.message.id for delivery in queue.browse()]


def queue_with(policy: QueuePolicy | None = None) -> Queue:
    return broker_with(policy=policy).queue("q")


def fill(queue: Queue, count: int) -> list[int]:
    """Offer `count` messages; returns their ids."""
    ids = []
    for _ in range(count):
        one = message(queue.broker)
        assert queue.offer(one) == NOTHING
        ids.append(one.id)
    return ids


def dead(broker: Broker) -> list[Delivery]:
    return broker.queue("DLQ").browse()
