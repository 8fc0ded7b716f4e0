"""Retained messages: the last value of each topic, kept for who subscribes later, or until its time runs out.

They are searched by pattern in `gateway.core.searching`.
"""

from heapq import heapify, heappop, heappush
from typing import Final, final

from gateway.core.message import Message

STALE_MIN: Final = 64
"""Entries of values that have been replaced or cleared which are not worth clearing away."""


@final
class Node:
    """One level of the names that have a value."""

    __slots__ = ("changed", "children", "message")

    def __init__(self) -> None:
        self.message: Message | None = None
        self.changed = 0
        """When the value was set, as RetainedTree counts."""
        self.children: dict[str, Node] = {}


@final
class RetainedTree:
    """Topic name → message, searched by pattern when somebody subscribes."""

    __slots__ = ("_expiring", "_expiring_count", "bytes", "changes", "count", "root")

    def __init__(self) -> None:
        self.root = Node()
        # A heap of (when, message id, name) for values that expire.  An entry counts only while its value is there.
        self._expiring: list[tuple[int, int, str]] = []
        self._expiring_count = 0
        self.count = 0
        self.bytes = 0
        self.changes = 0
        """Values that have been set so far."""

    def get(self, name: str) -> Message | None:
        """The value of the topic `name`."""
        node = self.root
        for level in name.split("."):
            child = node.children.get(level)
            if child is None:
                return None
            node = child
        return node.message

    def set(self, name: str, message: Message) -> None:
        """Put `message` in place of the topic's last value."""
        node = self.root
        for level in name.split("."):
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = Node()
            node = child
        before = node.message
        if before is None:
            self.count += 1
        else:
            self._left(before)
        node.message = message
        self.changes += 1
        node.changed = self.changes
        self.bytes += message.size
        if message.expires_at_ms:
            self._expiring_count += 1
            self._note_expiry(message, name)

    def clear(self, name: str) -> bool:
        """Forget the topic's value; False when there was none."""
        path = [self.root]
        levels = name.split(".")
        for level in levels:
            child = path[-1].children.get(level)
            if child is None:
                return False
            path.append(child)
        message = path[-1].message
        if message is None:
            return False
        path[-1].message = None
        self.count -= 1
        self._left(message)
        for depth in range(len(levels), 0, -1):
            if path[depth].message is not None or path[depth].children:
                break
            del path[depth - 1].children[levels[depth - 1]]
        return True

    def _left(self, message: Message) -> None:
        """A value is gone."""
        self.bytes -= message.size
        if message.expires_at_ms:
            self._expiring_count -= 1

    # -- values whose time runs out

    def _note_expiry(self, message: Message, name: str) -> None:
        expiring = self._expiring
        heappush(expiring, (message.expires_at_ms, message.id, name))
        if len(expiring) > 2 * self._expiring_count + STALE_MIN:
            self._expiring = [entry for entry in expiring if self._is_there(entry)]
            heapify(self._expiring)

    def _is_there(self, entry: tuple[int, int, str]) -> bool:
        message = self.get(entry[2])
        return message is not None and message.id == entry[1]

    def is_due(self, now_ms: int) -> bool:
        """May the time of any value have run out?"""
        expiring = self._expiring
        return len(expiring) > 0 and expiring[0][0] <= now_ms

    def take_expired(self, now_ms: int, count: int) -> list[str]:
        """Forget values whose time has run out, looking at no more than `count`; returns their names."""
        gone: list[str] = []
        for _ in range(count):
            if not self.is_due(now_ms):
                break
            entry = heappop(self._expiring)
            if self._is_there(entry):
                self.clear(entry[2])
                gone.append(entry[2])
        return gone
