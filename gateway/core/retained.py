"""Retained messages: the last value of each topic, kept for who subscribes later, or until its time runs out."""

from heapq import heapify, heappop, heappush
from typing import Final, final

from gateway.core.message import Message
from gateway.core.pattern import MANY, ONE, Pattern

STALE_MIN: Final = 64
"""Entries of values that have been replaced or cleared which are not worth clearing away."""


@final
class _Node:
    """One level of the names that have a value."""

    __slots__ = ("children", "message")

    def __init__(self) -> None:
        self.message: Message | None = None
        self.children: dict[str, _Node] = {}


@final
class RetainedTree:
    """Topic name → message, searched by pattern when somebody subscribes."""

    __slots__ = ("_expiring", "_expiring_count", "_root", "bytes", "count")

    def __init__(self) -> None:
        self._root = _Node()
        # A heap of (when, message id, name) for values that expire.  An entry counts only while its value is there.
        self._expiring: list[tuple[int, int, str]] = []
        self._expiring_count = 0
        self.count = 0
        self.bytes = 0

    def get(self, name: str) -> Message | None:
        """The value of the topic `name`."""
        node = self._root
        for level in name.split("."):
            child = node.children.get(level)
            if child is None:
                return None
            node = child
        return node.message

    def set(self, name: str, message: Message) -> None:
        """Put `message` in place of the topic's last value."""
        node = self._root
        for level in name.split("."):
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = _Node()
            node = child
        before = node.message
        if before is None:
            self.count += 1
        else:
            self._left(before)
        node.message = message
        self.bytes += message.size
        if message.expires_at_ms:
            self._expiring_count += 1
            self._note_expiry(message, name)

    def clear(self, name: str) -> bool:
        """Forget the topic's value; False when there was none."""
        path = [self._root]
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

    def match(self, pattern: Pattern) -> list[Message]:
        """The values of all topics that match `pattern`, in order of publication."""
        found: list[Message] = []
        wanted = pattern.levels
        # (node, pattern levels used, is it the root); `seen` because MANY may stand anywhere.
        pending: list[tuple[_Node, int, bool]] = [(self._root, 0, True)]
        seen: set[tuple[int, int]] = set()
        while pending:
            node, at, first = pending.pop()
            key = (id(node), at)
            if key in seen:
                continue
            seen.add(key)
            if at == len(wanted):
                # The root is no topic: a bare MANY reaches it with no level used.
                if node.message is not None:
                    found.append(node.message)
                continue
            level = wanted[at]
            if level == MANY:
                pending.append((node, at + 1, first))
                for name, child in node.children.items():
                    if not (first and name.startswith("$")):
                        pending.append((child, at, False))
            elif level == ONE:
                for name, child in node.children.items():
                    if not (first and name.startswith("$")):
                        pending.append((child, at + 1, False))
            else:
                below = node.children.get(level)
                # A leading MANY that stood for no level hides `$` all the same (MQTT 5.0 §4.7.2).
                hidden = first and at > 0 and level.startswith("$")
                if below is not None and not hidden:
                    pending.append((below, at + 1, False))
        found.sort(key=_by_id)
        return found


def _by_id(message: Message) -> int:
    return message.id
