"""Topic names and filters to canonical destinations and patterns, and back.

The separators change places: `a/b.c` is the topic of the levels `a` and `b/c`.  Swapping is its own inverse, so
every name survives the way through other protocols and back.  Queues are reached under `$queue/NAME`.
"""

from dataclasses import dataclass
from typing import Final, final

from gateway.core.destination import QUEUE, TOPIC, Destination, InvalidName, check_levels, check_reserved
from gateway.core.footprint import pattern_bytes, text_bytes
from gateway.core.pattern import MANY, ONE, Pattern, filter_from

QUEUE_PREFIX: Final = "$queue/"
SHARE_PREFIX: Final = "$share/"
JSON_PREFIX: Final = "$json/"
"""Before any other filter: the subscriber is given whole messages as JSON."""

# `+` and `#` may stand in the names of other protocols but not in an MQTT topic name (MQTT 5.0 §4.7.1), and clients
# end the connection on control characters (§1.5.4): there all these are written as private-use characters, U+F000
# above their own code.
_WRITTEN: Final = {
    chr(code): chr(0xF000 + code) for code in (0x2B, 0x23, *range(0x01, 0x20), *range(0x7F, 0xA0))
}
_READ: Final = {written: character for character, written in _WRITTEN.items()}
_OWN: Final = frozenset(_READ)
_TO_CANONICAL: Final = str.maketrans({".": "/", "/": ".", **_READ})
_TO_TOPIC: Final = str.maketrans({".": "/", "/": ".", **_WRITTEN})
# Names of queues keep their separators.
_TO_QUEUE: Final = str.maketrans(_READ)
_FROM_QUEUE: Final = str.maketrans(_WRITTEN)


TOPICS_REMEMBERED_MAX: Final = 16_384
NAME_REMEMBERED_MAX: Final = 256
"""Characters of a name that is remembered."""

# What `topic_of` has found, since other protocols' messages go to the same few topics again and again.
_topics: Final[dict[str, str]] = {}


class Reserved(InvalidName):
    """A name like any other, of which the broker alone makes use."""


@final
@dataclass(init=False, slots=True)
class Filter:
    """A topic filter, taken apart."""

    text: str
    """As the client wrote it: the key under which it can unsubscribe."""
    group: str
    """Name of the shared subscription; empty when it is not one."""
    queue: str
    """Name of the queue it reads; empty when it subscribes to topics."""
    pattern: Pattern
    json: bool
    """Messages come as JSON, under topics that start with JSON_PREFIX."""

    def __init__(self, text: str, group: str, queue: str, pattern: Pattern, json: bool) -> None:
        self.text = text
        self.group = group
        self.queue = queue
        self.pattern = pattern
        self.json = json

    @property
    def size(self) -> int:
        """Bytes that it takes, about, beyond a short one; see Footprint."""
        return text_bytes(self.text) + pattern_bytes(self.pattern)


def destination_of(topic: str) -> Destination:
    """The canonical destination of a topic name that a client publishes to.  Raises InvalidName, or Reserved."""
    if topic.startswith("$"):
        if topic.startswith(QUEUE_PREFIX):
            name = topic[len(QUEUE_PREFIX) :]
            if not name:
                raise InvalidName("the queue's name is empty")
            return _queue(name)
        if topic.startswith(("$SYS/", SHARE_PREFIX)) or topic == "$SYS":
            raise Reserved(f"nobody may publish to {topic}")
    return _topic(topic)


def canonical_of(topic: str) -> str:
    """The canonical name of a topic."""
    return topic.translate(_TO_CANONICAL)


def reply_address(topic: str) -> Destination:
    """The canonical destination of a Response Topic: also of one that nobody may publish to.  Raises InvalidName."""
    if topic.startswith(QUEUE_PREFIX) and len(topic) > len(QUEUE_PREFIX):
        return _queue(topic[len(QUEUE_PREFIX) :])
    return _topic(topic)


def _topic(topic: str) -> Destination:
    check_reserved(topic, _OWN)
    name = canonical_of(topic)
    check_levels(name)
    return Destination(TOPIC, name)


def _queue(name: str) -> Destination:
    check_reserved(name, _OWN)
    check_levels(name)
    return Destination(QUEUE, name.translate(_TO_QUEUE))


def topic_of(destination: Destination) -> str:
    """How an MQTT client sees the destination, and can publish to it."""
    if destination.kind == QUEUE:
        name = destination.name
        return QUEUE_PREFIX + name.translate(_FROM_QUEUE)
    topic = _topics.get(destination.name)
    if topic is None:
        topic = destination.name.translate(_TO_TOPIC)
        if len(_topics) >= TOPICS_REMEMBERED_MAX:
            _topics.clear()
        if len(topic) <= NAME_REMEMBERED_MAX:
            _topics[destination.name] = topic
    return topic


def written(name: str) -> str:
    """A name of a queue or topic with its separators as they are, and without what MQTT does not allow."""
    return name.translate(_FROM_QUEUE)


def filter_of(text: str) -> Filter:
    """Take apart a topic filter whose syntax has been checked.  Raises InvalidName for what cannot be served."""
    group = ""
    json = text.startswith(JSON_PREFIX)
    rest = text[len(JSON_PREFIX) :] if json else text
    if rest.startswith(SHARE_PREFIX):
        _, group, rest = _shared_parts(rest)
    if rest.startswith(QUEUE_PREFIX):
        name = rest[len(QUEUE_PREFIX) :]
        if group:
            raise InvalidName("a queue cannot be shared: its subscribers compete anyway")
        if not name or "+" in name or "#" in name:
            raise InvalidName("a queue is subscribed to by its whole name, without wildcards")
        return Filter(text, "", _queue(name).name, pattern_of(rest), json)
    if not rest:
        raise InvalidName("an empty topic filter")
    return Filter(text, group, "", pattern_of(rest), json)


def _shared_parts(text: str) -> list[str]:
    """`$share`, the group and the filter.  Raises InvalidName: behind `$json/`, nobody has looked at it yet."""
    parts = text.split("/", 2)
    if len(parts) < 3 or not parts[1] or not parts[2] or "+" in parts[1] or "#" in parts[1]:
        raise InvalidName("write $share/GROUP/FILTER")
    return parts


def pattern_of(text: str) -> Pattern:
    """The canonical pattern of a filter without `$share/GROUP/`.  Raises InvalidName."""
    levels: list[str] = []
    for level in text.split("/"):
        if level == "+":
            levels.append(ONE)
        elif level == "#":
            levels.append(MANY)
        else:
            levels.append(level.translate(_TO_CANONICAL))
    return filter_from(levels)
