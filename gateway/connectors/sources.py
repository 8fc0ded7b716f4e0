"""What subscriptions read from, however a protocol spells it, and the keys of the queues behind them."""

from dataclasses import dataclass
from typing import final

from gateway.core.destination import TEMPORARY_PREFIX
from gateway.core.flow import Publisher
from gateway.core.pattern import MANY, ONE, Pattern, filter_from
from gateway.core.queue import Queue
from gateway.core.queue_key import DURABLE, SHARED, QueueKey
from gateway.core.router import Broker


@final
@dataclass(init=False, slots=True)
class Source:
    """What a subscription names, or one part of it."""

    kind: int
    """QUEUE or TOPIC."""
    queue: str
    """Name of the queue; empty for topics, and for several queues."""
    group: str
    """Name of the shared subscription; empty when it is not one."""
    pattern: Pattern
    durable_key: QueueKey | None
    """Key of the durable subscription that is to be read; None when it is not one."""

    def __init__(
        self, kind: int, queue: str, group: str, pattern: Pattern, durable_key: QueueKey | None = None
    ) -> None:
        self.kind = kind
        self.queue = queue
        self.group = group
        self.pattern = pattern
        self.durable_key = durable_key


def dotted_filter(text: str, spelling: dict[int, str] | None = None) -> Pattern:
    """A topic filter as STOMP, JSON and HTTP write it: `*` is one level; `>` or `#` any number, anywhere.

    `spelling` undoes in a level what stands for other characters.  Raises InvalidName.
    """
    levels: list[str] = []
    for level in text.split("."):
        if level == "*":
            levels.append(ONE)
        elif level == ">" or level == "#":
            levels.append(MANY)
        else:
            levels.append(level if spelling is None else level.translate(spelling))
    return filter_from(levels)


def share_key(group: str, pattern: Pattern) -> QueueKey:
    """The key of a shared subscription's queue: the same for every protocol's spelling of group and pattern."""
    return QueueKey(SHARED, group, str(pattern))


def durable_key(client_id: str, name: str) -> QueueKey:
    """The key of a durable subscription's queue."""
    return QueueKey(DURABLE, client_id, name)


def may_read(
    broker: Broker, publisher: Publisher, kind: int, pattern: Pattern, whole: bool = False, owner: str = ""
) -> bool:
    """May a client subscribe to it?  See Authorizer.may_subscribe.

    Temporary destinations are read by their owner alone: `owner` names the connection, if it can have any.
    """
    name = str(pattern)
    if name.startswith(TEMPORARY_PREFIX) and not (owner and name.startswith(f"{TEMPORARY_PREFIX}{owner}.")):
        return False
    return broker.authorizer.may_subscribe(publisher, kind, pattern, whole)


def belongs_to(broker: Broker, queue: Queue, publisher: Publisher) -> bool:
    """May a client have this durable subscription?  Where names are verified, nobody gets another user's."""
    if not broker.authorizer.verifies_names:
        return True
    owners = [binding.owner for binding in queue.bindings if binding.owner is not None]
    return all(owner.user == publisher.user for owner in owners)


def give_to(broker: Broker, queue: Queue, publisher: Publisher) -> None:
    """The durable subscription is this client's from now on, so what it may receive goes by the rules for it."""
    for binding in list(queue.bindings):
        owner = binding.owner
        if binding.no_local is not None:
            binding.no_local = publisher
        same = owner is not None and (owner.user, owner.client_id) == (publisher.user, publisher.client_id)
        if not same:
            # Routes know what its owner may receive.
            broker.unbind_queue(queue, binding)
            binding.owner = publisher
            broker.bind_queue(queue, binding)
