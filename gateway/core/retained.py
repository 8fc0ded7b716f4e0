"""Retained messages: the last value of each topic, kept for who subscribes later, or until its time runs out.

They are searched by pattern in `gateway.core.searching`.
"""

from typing import final

from gateway.core.footprint import LEVEL_BYTES, LEVELS_FREE
from gateway.core.message import Message
from gateway.core.timetable import Appointment, Timetable


@final
class Node:
    """One level of the names that have a value."""

    __slots__ = ("changed", "children", "expiry", "message")

    def __init__(self) -> None:
        self.message: Message | None = None
        self.expiry: Appointment[str] | None = None
        self.changed = 0
        """When the value was set, as RetainedTree counts."""
        self.children: dict[str, Node] = {}


@final
class RetainedTree:
    """Topic name → message, searched by pattern when somebody subscribes."""

    __slots__ = ("_expiring", "bytes", "changes", "count", "root")

    def __init__(self) -> None:
        self.root = Node()
        # The names of topics whose value expires.
        self._expiring: Timetable[str] = Timetable()
        self.count = 0
        self.bytes = 0
        """Of the values, and of the nodes behind the first LEVELS_FREE levels: a name makes one a level."""
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

    def more_bytes(self, name: str, message: Message) -> int:
        """How many more there would be with `message` in place of the topic's last value."""
        node = self.root
        levels = name.split(".")
        for depth, level in enumerate(levels):
            child = node.children.get(level)
            if child is None:
                return message.size + LEVEL_BYTES * (len(levels) - max(depth, min(LEVELS_FREE, len(levels))))
            node = child
        return message.size - (0 if node.message is None else node.message.size)

    def set(self, name: str, message: Message) -> None:
        """Put `message` in place of the topic's last value."""
        node = self.root
        for depth, level in enumerate(name.split(".")):
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = Node()
                if depth >= LEVELS_FREE:
                    self.bytes += LEVEL_BYTES
            node = child
        before = node.message
        if before is None:
            self.count += 1
        else:
            self._left(node, before)
        node.message = message
        self.changes += 1
        node.changed = self.changes
        self.bytes += message.size
        if message.expires_at_ms:
            node.expiry = self._expiring.plan(name, message.expires_at_ms)

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
        self._left(path[-1], message)
        for depth in range(len(levels), 0, -1):
            if path[depth].message is not None or path[depth].children:
                break
            del path[depth - 1].children[levels[depth - 1]]
            if depth > LEVELS_FREE:
                self.bytes -= LEVEL_BYTES
        return True

    def _left(self, node: Node, message: Message) -> None:
        """A value is gone."""
        self.bytes -= message.size
        if node.expiry is not None:
            self._expiring.cancel(node.expiry)
            node.expiry = None

    # -- values whose time runs out

    @property
    def expiring(self) -> int:
        """Entries for values that expire, those in vain included."""
        return len(self._expiring)

    def is_due(self, now_ms: int) -> bool:
        """May the time of any value have run out?"""
        return self._expiring.is_due(now_ms)

    def take_expired(self, now_ms: int, count: int) -> list[str]:
        """Forget values whose time has run out, looking at no more than `count`; returns their names."""
        gone: list[str] = []
        for _ in range(count):
            name = self._expiring.take(now_ms)
            if name is not None:
                self.clear(name)
                gone.append(name)
        return gone
