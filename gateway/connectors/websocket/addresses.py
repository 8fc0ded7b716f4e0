"""Destinations as JSON and HTTP spell them: the canonical form itself, `queue:NAME` and `topic:NAME`.

To read from there are also `share:GROUP/FILTER`, and wildcards in topics: `*` is one level, `>` or `#` any number.
"""

from dataclasses import dataclass
from typing import Final, final

from gateway.core.destination import QUEUE, TOPIC, Destination, InvalidName, check_name
from gateway.core.pattern import LEVELS_MAX, MANY, ONE, Pattern
from gateway.core.router import Broker

QUEUE_PREFIX: Final = "queue:"
TOPIC_PREFIX: Final = "topic:"
SHARE_PREFIX: Final = "share:"


@final
@dataclass(init=False, slots=True)
class Source:
    """What a subscription reads from."""

    kind: int
    """QUEUE or TOPIC."""
    queue: str
    """Name of the queue; empty for topics."""
    group: str
    """Name of the shared subscription; empty when it is not one."""
    pattern: Pattern

    def __init__(self, kind: int, queue: str, group: str, pattern: Pattern) -> None:
        self.kind = kind
        self.queue = queue
        self.group = group
        self.pattern = pattern


def destination_of(text: str) -> Destination:
    """Where a message goes.  Raises InvalidName."""
    if text.startswith(TOPIC_PREFIX):
        return topic_named(text[len(TOPIC_PREFIX) :])
    if text.startswith(QUEUE_PREFIX):
        return queue_named(text[len(QUEUE_PREFIX) :])
    raise InvalidName("a destination is queue:NAME or topic:NAME")


def topic_named(name: str) -> Destination:
    """A topic to publish to.  Raises InvalidName."""
    _check(name)
    if name.startswith(("$SYS", "$share")):
        raise InvalidName("nobody may publish there")
    return Destination(TOPIC, name)


def queue_named(name: str) -> Destination:
    """A queue.  Raises InvalidName."""
    _check(name)
    return Destination(QUEUE, name)


def source_of(text: str) -> Source:
    """What to read from.  Raises InvalidName."""
    if text.startswith(TOPIC_PREFIX):
        return Source(TOPIC, "", "", pattern_of(text[len(TOPIC_PREFIX) :]))
    if text.startswith(SHARE_PREFIX):
        group, slash, rest = text[len(SHARE_PREFIX) :].partition("/")
        if not group or not slash:
            raise InvalidName("write share:GROUP/FILTER")
        return Source(TOPIC, "", group, pattern_of(rest))
    if text.startswith(QUEUE_PREFIX):
        name = queue_named(text[len(QUEUE_PREFIX) :]).name
        return Source(QUEUE, name, "", Pattern((name,)))
    raise InvalidName("a source is queue:NAME, topic:FILTER or share:GROUP/FILTER")


def pattern_of(text: str) -> Pattern:
    """A topic filter.  Raises InvalidName."""
    _check(text)
    levels: list[str] = []
    for level in text.split("."):
        if level == "*":
            levels.append(ONE)
        elif level == ">" or level == "#":
            levels.append(MANY)
        else:
            levels.append(level)
    if len(levels) > LEVELS_MAX:
        raise InvalidName(f"a filter may have {LEVELS_MAX} levels")
    return Pattern(tuple(levels))


def is_gone(destination: Destination, broker: Broker) -> bool:
    """Is it a temporary queue whose owner has left?  It must not come to life again, for nobody would empty it."""
    return (
        destination.kind == QUEUE
        and destination.temporary
        and f"{QUEUE_PREFIX}{destination.name}" not in broker.queues
    )


def share_key(source: Source) -> str:
    """The key of a shared subscription's queue: the same for every protocol's spelling of group and pattern."""
    return f"share:{source.group}/{source.pattern}"


def _check(name: str) -> None:
    check_name(name)
    for character in name:
        if "\uf000" <= character <= "\uf07f":
            raise InvalidName("the name has a character that is reserved for translation (U+F000 to U+F07F)")
