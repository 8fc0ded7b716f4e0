"""What tells one queue from all others: its kind, whose it is, and what it is called.

Every part may hold any character, so a key's text, which is the name of its queue in the store, has the length of its
first part in front: `durable:1:a/b/c` is `b/c` of client `a`, and `durable:3:a/b/c` is `c` of client `a/b`.
"""

from collections.abc import Container
from typing import Final, final

NAMED: Final = "queue"
"""A queue that is sent to by its name; `name` is that."""
SESSION: Final = "session"
"""What waits for the MQTT client `owner`."""
DURABLE: Final = "durable"
"""The durable subscription `name` of the client `owner`."""
SHARED: Final = "shared"
"""The shared subscription of the group `owner` to the filter `name`."""
PRIVATE: Final = "private"
"""What a subscription `name` of the connection `owner` has not settled."""
BROWSE: Final = "browse"
"""What a browser `name` of the connection `owner` is being shown."""

NAMED_PREFIX: Final = "queue:"
"""What the texts of named queues begin with; their name follows as it is."""

_PAIRS: Final = (SESSION, DURABLE, SHARED, PRIVATE, BROWSE)


class BadKey(ValueError):
    """A text that is no key's."""


@final
class QueueKey:
    """See the module.  Two keys are the same when their texts are."""

    __slots__ = ("kind", "name", "owner", "text")

    def __init__(self, kind: str, owner: str, name: str) -> None:
        self.kind = kind
        """NAMED, SESSION, …"""
        self.owner = owner
        """Client id, group or connection; empty for a named queue."""
        self.name = name
        """Empty for a session."""
        self.text = NAMED_PREFIX + name if kind == NAMED else f"{kind}:{len(owner)}:{owner}/{name}"
        """It all, as the store has it."""

    def __repr__(self) -> str:
        return self.text


def named(name: str) -> QueueKey:
    """The key of the queue of this name."""
    return QueueKey(NAMED, "", name)


def recovered(number: int, taken: Container[str]) -> QueueKey:
    """A key for the queue that damage has left without one; `taken` are the texts of others."""
    name = f"recovered.{number}"
    while NAMED_PREFIX + name in taken:
        name += "-1"
    return named(name)


def read_key(text: str) -> QueueKey:
    """The key with this text.  Raises BadKey."""
    kind, colon, rest = text.partition(":")
    if kind == NAMED and colon:
        return named(rest)
    digits, colon, rest = rest.partition(":")
    if kind in _PAIRS and colon and digits.isascii() and digits.isdecimal() and len(digits) < _DIGITS_MAX:
        at = int(digits)
        key = QueueKey(kind, rest[:at], rest[at + 1 :])
        # Also refuses a length of which no key's text has the like: 01, or one past the end.
        if key.text == text:
            return key
    raise BadKey(f"{text[:100]!r} is no key of a queue")


_DIGITS_MAX: Final = 10
"""Of a length; longer ones are not made into numbers."""
