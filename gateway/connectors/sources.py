"""What subscriptions read from, however a protocol spells it, and the keys of the queues behind them."""

from dataclasses import dataclass
from typing import Final, final

from gateway.core.pattern import Pattern

SHARE_KEY_PREFIX: Final = "share:"


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
    durable_key: str
    """Key of the durable subscription that is to be read; empty when it is not one."""

    def __init__(self, kind: int, queue: str, group: str, pattern: Pattern, durable_key: str = "") -> None:
        self.kind = kind
        self.queue = queue
        self.group = group
        self.pattern = pattern
        self.durable_key = durable_key


def share_key(group: str, pattern: Pattern) -> str:
    """The key of a shared subscription's queue: the same for every protocol's spelling of group and pattern."""
    return f"{SHARE_KEY_PREFIX}{group}/{pattern}"


def durable_key(client_id: str, name: str) -> str:
    """The key of a durable subscription's queue."""
    return f"sub:{client_id}/{name}"
