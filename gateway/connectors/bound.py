"""The queue behind a subscription to topics that is durable, shared, or waits for outcomes; for STOMP and JSON."""

from typing import Final

from gateway.connectors.sources import belongs_to, give_to
from gateway.core.flow import Publisher
from gateway.core.pattern import Pattern
from gateway.core.queue import Queue
from gateway.core.queue_key import DURABLE, PRIVATE, SHARED, QueueKey
from gateway.core.router import Broker, LimitReached
from gateway.core.selector import Selector
from gateway.core.subscription import Binding

# Why it cannot be had.
FOREIGN: Final = 1
IN_USE: Final = 2
NO_ROOM: Final = 3
UNKNOWN: Final = 4


class NotHad(Exception):
    """The queue of a subscription cannot be had, or not be deleted; `str(error)` says why, fit for the client."""

    def __init__(self, why: int, reason: str) -> None:
        super().__init__(reason)
        self.why = why


def bound_queue(
    broker: Broker,
    key: QueueKey,
    patterns: list[Pattern],
    subscriber: Publisher,
    no_local: bool,
    selector: Selector | None = None,
) -> tuple[Queue, bool]:
    """The queue `key`, bound to just these topics, selected just so; and whether it begins anew.

    All of that is part of a durable subscription, and of what the store keeps of it: one that is asked for otherwise
    starts anew, and cannot be while somebody reads it (JMS 2.0 createDurableConsumer).  A shared one has no owner, so
    nobody's own messages are kept from it.

    Raises NotHad, LimitReached.
    """
    policy = broker.policy.passing() if key.kind == PRIVATE else broker.policy
    if policy.durable and key.text not in broker.queues and not broker.store.accepting:
        raise NotHad(NO_ROOM, broker.store.refusal)
    owner = None if key.kind == SHARED else subscriber
    own = owner if no_local else None
    queue = broker.bound_queue(key, policy)
    if owner is not None:
        _check_owner(broker, queue, owner)
    if queue.bindings and not _same(queue, patterns, selector, own is not None):
        if queue.consumers_count:
            raise NotHad(IN_USE, "others use this subscription with another topic, selector or no-local")
        # Emptied it would cost an operation a message, in one go.
        broker.delete_queue(queue)
        queue = broker.bound_queue(key, policy)
    if queue.bindings:
        if owner is not None:
            give_to(broker, queue, owner)
        return queue, False
    for pattern in patterns:
        binding = Binding(pattern, queue, own, owner)
        binding.selector = selector
        try:
            broker.bind_queue(queue, binding, subscriber)
        except LimitReached:
            # Without a binding it would get nothing, and never go.
            broker.delete_queue(queue)
            raise
    return queue, True


def durable_queue(broker: Broker, key: QueueKey, subscriber: Publisher) -> Queue | None:
    """The durable subscription of this key, if there is one.  Raises NotHad for another user's."""
    assert key.kind == DURABLE
    queue = broker.queues.get(key.text)
    if queue is not None:
        _check_owner(broker, queue, subscriber)
    return queue


def delete_durable(broker: Broker, key: QueueKey, subscriber: Publisher, reading: int) -> None:
    """Keep nothing more under this key, of whose consumers `reading` are those that ask.  Raises NotHad."""
    queue = durable_queue(broker, key, subscriber)
    if queue is None:
        raise NotHad(UNKNOWN, "there is no durable subscription of that name")
    if queue.consumers_count > reading:
        raise NotHad(IN_USE, "others read this durable subscription")
    broker.delete_queue(queue)


def _check_owner(broker: Broker, queue: Queue, subscriber: Publisher) -> None:
    if not belongs_to(broker, queue, subscriber):
        raise NotHad(FOREIGN, "the durable subscription is another user's")


def _same(queue: Queue, patterns: list[Pattern], selector: Selector | None, no_local: bool) -> bool:
    """Does the queue get just these topics, selected just so?"""
    if [str(binding.pattern) for binding in queue.bindings] != [str(pattern) for pattern in patterns]:
        return False
    first = queue.bindings[0]
    if (first.no_local is not None) != no_local:
        return False
    given = first.selector
    return (None if given is None else given.text) == (None if selector is None else selector.text)
