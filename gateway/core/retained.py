"""Retained messages: the last value of each topic, kept for who subscribes later."""

from typing import final

from gateway.core.message import Message
from gateway.core.pattern import MANY, ONE, Pattern


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

    __slots__ = ("_root", "bytes", "count")

    def __init__(self) -> None:
        self._root = _Node()
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
        if node.message is None:
            self.count += 1
        else:
            self.bytes -= node.message.size
        node.message = message
        self.bytes += message.size

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
        self.bytes -= message.size
        for depth in range(len(levels), 0, -1):
            if path[depth].message is not None or path[depth].children:
                break
            del path[depth - 1].children[levels[depth - 1]]
        return True

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
