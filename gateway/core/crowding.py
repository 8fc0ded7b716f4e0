"""When a queue leaves a new message, which the store has, to the store alone: see `paging` for what becomes of it."""

from typing import TYPE_CHECKING, Final

from gateway.core.journal import lane_of
from gateway.core.message import Message

if TYPE_CHECKING:
    from gateway.core.queue import Queue

RESIDENT_MIN: Final = 256
"""Waiting messages that a queue holds before it lets go of any; when fewer are left, the next page is asked for."""

RESIDENT_BYTES_MIN: Final = 1_048_576
"""Bytes of messages, likewise."""


def crowded(queue: "Queue") -> bool:
    """Is so much in memory, here or in all queues, that what the store has had better stay there?"""
    broker = queue.broker
    bytes_max = queue.policy.bytes_max
    return broker.resident_bytes >= broker.limits.memory_max or (
        bytes_max != 0 and queue.contents.resident_bytes >= bytes_max // 2
    )


def is_for_store_alone(queue: "Queue", message: Message) -> bool:
    """Is this new message, which the store has, to be left to it?"""
    broker = queue.broker
    contents = queue.contents
    if not broker.store.pages:
        return False
    paged = contents.paged
    if paged is not None and paged.holds(lane_of(message)):
        # Whatever else is to be said of it: in memory it would be newer than what is to leave before it.
        return True
    if not queue.starved or contents.held is not None or broker.holding is not None:
        return False
    few = contents.backlog.count < RESIDENT_MIN and contents.resident_bytes < RESIDENT_BYTES_MIN
    # A few are not worth the way, unless a few of each of very many queues have filled the memory once more.
    if few and broker.resident_bytes < 2 * broker.limits.memory_max:
        return False
    return crowded(queue)
