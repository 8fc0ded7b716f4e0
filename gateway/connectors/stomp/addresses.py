"""Destinations as STOMP spells them (by convention; the specification leaves them to the server) and back.

`/queue/NAME`, `/topic/NAME`, a bare NAME for a queue, `/temp-queue/NAME` for a queue that dies with the connection,
`/share/GROUP/FILTER` for a shared subscription.  A comma separates several destinations of one SEND.
"""

from dataclasses import dataclass
from typing import Final, final

from gateway.core.destination import QUEUE, TEMPORARY_PREFIX, TOPIC, Destination, InvalidName, check_name
from gateway.core.pattern import MANY, ONE, Pattern

QUEUE_PREFIX: Final = "/queue/"
TOPIC_PREFIX: Final = "/topic/"
SHARE_PREFIX: Final = "/share/"
TEMPORARY_SPELLINGS: Final = ("/temp-queue/", "/reply-queue/")
OTHER_QUEUE_SPELLINGS: Final = ("/amq/queue/", "/remote-temp-queue/")

EDGE: Final = "\uf020"
"""A space at an edge of a name, for 1.0, which trims."""

# `*`, `>` and `,` mean something to STOMP users; in names of other protocols they are written as U+F000 above
# their own code, and turned back here.
_TO_CANONICAL: Final = str.maketrans({"\uf02a": "*", "\uf03e": ">", "\uf02c": ",", EDGE: " "})
RESERVED: Final = "\uf02a\uf03e\uf02c" + EDGE
"""What may be written for characters that mean something."""
_TO_STOMP: Final = str.maketrans({"*": "\uf02a", ">": "\uf03e", ",": "\uf02c"})


LONG_NAME: Final = 16_000
"""Characters up to which a name fits every spelling in any case."""
MQTT_BYTES_MAX: Final = 65_535 - len("$queue/")
"""MQTT writes `+` and `#` in names with three bytes, and queues with a prefix."""


@final
@dataclass(init=False, slots=True)
class Source:
    """What a SUBSCRIBE names."""

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


def destinations_of(text: str, owner: str) -> list[Destination]:
    """Where a SEND goes, one destination or several.  `owner` names the connection.  Raises InvalidName."""
    if "," not in text:
        return [destination_of(text, owner)]
    found: list[Destination] = []
    for part in text.split(","):
        destination = destination_of(part.strip(" "), owner)
        if destination not in found:
            found.append(destination)
    return found


def reply_address(text: str, owner: str) -> Destination:
    """The canonical destination of a reply-to: also of one that nobody may publish to.  Raises InvalidName."""
    if text.startswith(TOPIC_PREFIX):
        return Destination(TOPIC, _name(text[len(TOPIC_PREFIX) :]))
    return Destination(QUEUE, _name(_queue_name(text, owner)))


def destination_of(text: str, owner: str) -> Destination:
    """The canonical destination of one spelling.  Raises InvalidName."""
    if text.startswith(TOPIC_PREFIX):
        name = _name(text[len(TOPIC_PREFIX) :])
        if name.startswith("$SYS"):
            raise InvalidName("nobody may publish to $SYS")
        return Destination(TOPIC, name)
    return Destination(QUEUE, _name(_queue_name(text, owner)))


def source_of(text: str, owner: str) -> Source:
    """What a SUBSCRIBE names.  Raises InvalidName."""
    if text.startswith(TOPIC_PREFIX):
        return Source(TOPIC, "", "", pattern_of(text[len(TOPIC_PREFIX) :]))
    if text.startswith(SHARE_PREFIX):
        group, slash, rest = text[len(SHARE_PREFIX) :].partition("/")
        if not group or not slash:
            raise InvalidName("write /share/GROUP/FILTER")
        return Source(TOPIC, "", group, pattern_of(rest))
    name = _name(_queue_name(text, owner))
    return Source(QUEUE, name, "", Pattern((name,)))


def pattern_of(text: str) -> Pattern:
    """A topic filter: `*` is one level; `>` or `#` any number, anywhere.  Raises InvalidName."""
    check_name(text)
    levels: list[str] = []
    for level in text.split("."):
        if level == "*":
            levels.append(ONE)
        elif level == ">" or level == "#":
            levels.append(MANY)
        else:
            levels.append(level.translate(_TO_CANONICAL))
    return Pattern(tuple(levels))


def text_of(destination: Destination, owner: str, trims: bool = False) -> str:
    """How a STOMP client sees the destination and can send to it; `owner` sees its temporary queues as it named them.

    `trims`: the client's version loses spaces at the edges.
    """
    name = destination.name.translate(_TO_STOMP)
    if trims and (name.startswith(" ") or name.endswith(" ")):
        bare = name.strip(" ")
        left = len(name) - len(name.lstrip(" "))
        name = EDGE * left + bare + EDGE * (len(name) - left - len(bare))
    if destination.kind == TOPIC:
        return TOPIC_PREFIX + name
    own = temporary_name("", owner)
    if name.startswith(own):
        return TEMPORARY_SPELLINGS[0] + name[len(own) :]
    return QUEUE_PREFIX + name


def temporary_name(name: str, owner: str) -> str:
    """The canonical name of a connection's temporary queue."""
    return f"{TEMPORARY_PREFIX}{owner}.{name}"


def share_key(source: Source) -> str:
    """The key of a shared subscription's queue: the same for every protocol's spelling of group and pattern."""
    return f"share:{source.group}/{source.pattern}"


def _queue_name(text: str, owner: str) -> str:
    if text.startswith(QUEUE_PREFIX):
        return text[len(QUEUE_PREFIX) :]
    for prefix in TEMPORARY_SPELLINGS:
        if text.startswith(prefix):
            name = text[len(prefix) :]
            return temporary_name(name, owner) if name else ""
    for prefix in OTHER_QUEUE_SPELLINGS:
        if text.startswith(prefix):
            return text[len(prefix) :]
    if text.startswith("/"):
        raise InvalidName(
            f"unknown destination {text[:80]}: there are /queue/, /topic/, /temp-queue/ and /share/"
        )
    return text


def _name(text: str) -> str:
    check_name(text)
    if (
        len(text) > LONG_NAME
        and len(text.encode()) + 2 * (text.count("+") + text.count("#")) > MQTT_BYTES_MAX
    ):
        raise InvalidName("the destination is too long for MQTT subscribers")
    for character in text:
        if "\uf000" <= character <= "\uf07f" and character not in RESERVED:
            raise InvalidName("the name has a character that is reserved for translation (U+F000 to U+F07F)")
    return text.translate(_TO_CANONICAL)
