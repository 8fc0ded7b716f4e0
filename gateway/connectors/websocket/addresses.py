"""Destinations as JSON and HTTP spell them: the canonical form itself, `queue:NAME` and `topic:NAME`.

To read from there are also `share:GROUP/FILTER`, and wildcards in topics: `*` is one level, `>` or `#` any number.
"""

from typing import Final

from gateway.connectors.sources import Source, dotted_filter
from gateway.core.destination import QUEUE, TOPIC, Destination, InvalidName, check_name, check_reserved
from gateway.core.pattern import Pattern

QUEUE_PREFIX: Final = "queue:"
TOPIC_PREFIX: Final = "topic:"
SHARE_PREFIX: Final = "share:"


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
    return dotted_filter(text)


def _check(name: str) -> None:
    check_name(name)
    check_reserved(name)
