"""Destinations as STOMP spells them (by convention; the specification leaves them to the server) and back.

`/queue/NAME`, `/topic/NAME`, `/temp-queue/NAME` and `/temp-topic/NAME` for what dies with the connection,
`/share/GROUP/FILTER` for a shared subscription, `/dsub/CLIENT/NAME` for a durable one that is there already.  A comma
separates several destinations.  RabbitMQ's `/amq/queue/`, `/reply-queue/` and `/exchange/amq.topic/` are understood.
"""

from dataclasses import dataclass
from typing import Final, final

from gateway.connectors.sources import Source, dotted_filter, durable_key
from gateway.core.destination import (
    QUEUE,
    TEMPORARY_PREFIX,
    TOPIC,
    Destination,
    InvalidName,
    check_name,
    check_reserved,
)
from gateway.core.pattern import Pattern

QUEUE_PREFIX: Final = "/queue/"
TOPIC_PREFIX: Final = "/topic/"
SHARE_PREFIX: Final = "/share/"
DURABLE_PREFIX: Final = "/dsub/"
TEMPORARY_QUEUE_PREFIX: Final = "/temp-queue/"
TEMPORARY_TOPIC_PREFIX: Final = "/temp-topic/"
EXCHANGE_PREFIX: Final = "/exchange/"
OTHER_QUEUE_SPELLINGS: Final = ("/amq/queue/", "/reply-queue/", "/remote-temp-queue/")

TOPIC_EXCHANGE: Final = "amq.topic"
"""RabbitMQ's exchange that is the topic space itself; there are no others here."""

PARTS_MAX: Final = 100
"""Destinations in one header."""

EDGE: Final = "\uf020"
"""A space at an edge of a name, for 1.0, which trims."""

# `*`, `>` and `,` mean something to STOMP users; in names of other protocols they are written as U+F000 above
# their own code, and turned back here.
_TO_CANONICAL: Final = str.maketrans({"\uf02a": "*", "\uf03e": ">", "\uf02c": ",", EDGE: " "})
RESERVED: Final = frozenset("\uf02a\uf03e\uf02c" + EDGE)
"""What may be written for characters that mean something."""
_TO_STOMP: Final = str.maketrans({"*": "\uf02a", ">": "\uf03e", ",": "\uf02c"})


@final
@dataclass(init=False, slots=True)
class Spelling:
    """What the operator has chosen about names."""

    bare_names: bool
    """A name without a prefix is a queue."""
    percent_decode: bool
    """`%XX` stands for the byte of that code.  `/exchange/` is always read so."""
    queue_wildcards: bool
    """A SUBSCRIBE to `/queue/a.*` reads all queues of such names."""

    def __init__(
        self, bare_names: bool = True, percent_decode: bool = False, queue_wildcards: bool = True
    ) -> None:
        self.bare_names = bare_names
        self.percent_decode = percent_decode
        self.queue_wildcards = queue_wildcards


USUAL: Final = Spelling()


# -- SEND


def destinations_of(text: str, owner: str, spelling: Spelling = USUAL) -> list[Destination]:
    """Where a SEND goes, one destination or several.  `owner` names the connection.  Raises InvalidName."""
    if "," not in text:
        return [destination_of(text, owner, spelling)]
    found: list[Destination] = []
    for part in _parts(text):
        destination = destination_of(part, owner, spelling)
        if destination not in found:
            found.append(destination)
    return found


def destination_of(text: str, owner: str, spelling: Spelling = USUAL) -> Destination:
    """The canonical destination of one spelling.  Raises InvalidName."""
    destination = reply_address(text, owner, spelling)
    if destination.kind == TOPIC and destination.name.startswith("$SYS"):
        raise InvalidName("nobody may publish to $SYS")
    return destination


def reply_address(text: str, owner: str, spelling: Spelling = USUAL) -> Destination:
    """The canonical destination of a reply-to: also of one that nobody may publish to.  Raises InvalidName."""
    if text.startswith(TOPIC_PREFIX):
        return Destination(TOPIC, _name(_decoded(text[len(TOPIC_PREFIX) :], spelling.percent_decode)))
    if text.startswith(TEMPORARY_TOPIC_PREFIX):
        return Destination(TOPIC, _name(_temporary(text, TEMPORARY_TOPIC_PREFIX, owner)))
    if text.startswith(EXCHANGE_PREFIX):
        return Destination(TOPIC, _name(_topic_of_exchange(text)))
    return Destination(QUEUE, _name(_queue_name(text, owner, spelling)))


def is_opaque(text: str, owner: str) -> bool:
    """Is such a reply-to none that one could send to?"""
    try:
        reply_address(text, owner)
    except InvalidName:
        return True
    return False


# -- SUBSCRIBE


def sources_of(text: str, owner: str, spelling: Spelling = USUAL) -> list[Source]:
    """What a SUBSCRIBE names, one source or several.  Raises InvalidName."""
    if "," not in text:
        return [source_of(text, owner, spelling)]
    return [source_of(part, owner, spelling) for part in _parts(text)]


def source_of(text: str, owner: str, spelling: Spelling = USUAL) -> Source:
    """One source.  Raises InvalidName."""
    if text.startswith(TOPIC_PREFIX):
        return _topics(_decoded(text[len(TOPIC_PREFIX) :], spelling.percent_decode))
    if text.startswith(TEMPORARY_TOPIC_PREFIX):
        return _topics(_temporary(text, TEMPORARY_TOPIC_PREFIX, owner))
    if text.startswith(EXCHANGE_PREFIX):
        return _topics(_topic_of_exchange(text))
    if text.startswith(SHARE_PREFIX):
        group, slash, rest = text[len(SHARE_PREFIX) :].partition("/")
        if not group or not slash:
            raise InvalidName("write /share/GROUP/FILTER")
        return Source(TOPIC, "", group, pattern_of(rest))
    if text.startswith(DURABLE_PREFIX):
        client, slash, name = text[len(DURABLE_PREFIX) :].partition("/")
        if not client or not name:
            raise InvalidName("write /dsub/CLIENT/NAME")
        # A client id may have slashes, which are written %2F here.
        client = client.replace("%2F", "/").replace("%25", "%")
        return Source(TOPIC, "", "", Pattern((name,)), durable_key(client, name))
    name = _queue_name(text, owner, spelling)
    if spelling.queue_wildcards and text.startswith(QUEUE_PREFIX):
        pattern = pattern_of(name)
        if not pattern.literal:
            return Source(QUEUE, "", "", pattern)
    name = _name(name)
    return Source(QUEUE, name, "", Pattern((name,)))


def pattern_of(text: str) -> Pattern:
    """A topic filter.  Raises InvalidName."""
    check_name(text)
    return dotted_filter(text, _TO_CANONICAL)


# -- back


def text_of(destination: Destination, owner: str, trims: bool = False) -> str:
    """How a STOMP client sees the destination and can send to it; `owner` sees its temporary ones as it named them.

    `trims`: the client's version loses spaces at the edges.
    """
    name = destination.name.translate(_TO_STOMP)
    if trims and (name.startswith(" ") or name.endswith(" ")):
        bare = name.strip(" ")
        left = len(name) - len(name.lstrip(" "))
        name = EDGE * left + bare + EDGE * (len(name) - left - len(bare))
    own = temporary_name("", owner)
    if destination.kind == TOPIC:
        if name.startswith(TEMPORARY_PREFIX) and name.startswith(own):
            return TEMPORARY_TOPIC_PREFIX + name[len(own) :]
        return TOPIC_PREFIX + name
    if name.startswith(own):
        return TEMPORARY_QUEUE_PREFIX + name[len(own) :]
    return QUEUE_PREFIX + name


def temporary_name(name: str, owner: str) -> str:
    """The canonical name of a connection's temporary queue or topic."""
    return f"{TEMPORARY_PREFIX}{owner}.{name}"


# -- parts of a spelling


def _parts(text: str) -> list[str]:
    parts = text.split(",", PARTS_MAX)
    if len(parts) > PARTS_MAX:
        raise InvalidName(f"more than {PARTS_MAX} destinations")
    return [part.strip(" ") for part in parts]


def _topics(text: str) -> Source:
    return Source(TOPIC, "", "", pattern_of(text))


def _temporary(text: str, prefix: str, owner: str) -> str:
    name = text[len(prefix) :]
    return temporary_name(name, owner) if name else ""


def _topic_of_exchange(text: str) -> str:
    exchange, _, key = text[len(EXCHANGE_PREFIX) :].partition("/")
    if _decoded(exchange, True) != TOPIC_EXCHANGE:
        raise InvalidName(
            f"unknown destination {text[:80]}: amq.topic, which holds the topics, is the only exchange"
        )
    return _decoded(key, True)


def _queue_name(text: str, owner: str, spelling: Spelling) -> str:
    if text.startswith(QUEUE_PREFIX):
        return _decoded(text[len(QUEUE_PREFIX) :], spelling.percent_decode)
    if text.startswith(TEMPORARY_QUEUE_PREFIX):
        return _temporary(text, TEMPORARY_QUEUE_PREFIX, owner)
    for prefix in OTHER_QUEUE_SPELLINGS:
        if text.startswith(prefix):
            return _decoded(text[len(prefix) :], spelling.percent_decode)
    if text.startswith("/") or not spelling.bare_names:
        raise InvalidName(
            f"unknown destination {text[:80]}: there are /queue/, /topic/, /temp-queue/, /temp-topic/, /share/, /dsub/"
        )
    return text


def _decoded(text: str, percent: bool) -> str:
    """`text` with its percent escapes undone.  Raises InvalidName for those that are none."""
    if not percent or "%" not in text:
        return text
    pieces = text.encode().split(b"%")
    result = bytearray(pieces[0])
    for piece in pieces[1:]:
        try:
            result += bytes.fromhex(piece[:2].decode("ascii"))
        except ValueError:
            raise InvalidName("the destination has a % that two hexadecimal digits do not follow") from None
        if len(piece) < 2:
            raise InvalidName("the destination has a % that two hexadecimal digits do not follow")
        result += piece[2:]
    try:
        return result.decode()
    except UnicodeDecodeError:
        raise InvalidName("the destination is not UTF-8 once its escapes are undone") from None


def _name(text: str) -> str:
    check_name(text)
    check_reserved(text, RESERVED)
    return text.translate(_TO_CANONICAL)
