"""Where messages go: a kind and a canonical name.

Topic levels are separated by `.`; a level is any text without `.`, and empty levels count.  Queue names are
flat.  Every protocol's spelling is turned into this form at its connector, and back, by a bijection.
"""

import re
from dataclasses import dataclass
from typing import Final, final

QUEUE: Final = 0
TOPIC: Final = 1

TEMPORARY_PREFIX: Final = "mx.tmp."
"""Temporary destinations are ordinary ones whose name starts so; they die with the connection that owns them."""

TEMPORARY_LEVELS: Final = 3
"""Levels of a temporary name that say whose it is."""

NAME_BYTES_MAX: Final = 65_535
"""A name must fit every protocol; MQTT's UTF-8 strings are the shortest (MQTT 5.0 §1.5.4)."""

SEPARATORS_MAX: Final = 255
"""Separators of a name, and of a filter, unless the operator says otherwise; what they may be bounds the walk of a match."""


@final
class _Depth:
    """How deep names may be: one answer for the process, since a name is the same whoever looks at it."""

    __slots__ = ("separators_max",)

    def __init__(self) -> None:
        self.separators_max = SEPARATORS_MAX


_depth: Final = _Depth()


def bound_separators(most: int) -> None:
    """Take names and filters with up to `most` separators from now on; said once, before there are any."""
    _depth.separators_max = most


# Written by one protocol or another for a character that it does not allow in names: U+F000 above its own code.
_RESERVED: Final = re.compile("[\uf000-\uf09f]")
NON_CHARACTERS: Final = frozenset(
    [*range(0xFDD0, 0xFDF0), *[plane << 16 | low for plane in range(17) for low in (0xFFFE, 0xFFFF)]]
)
"""Code points that are no characters in Unicode: no client has to take them (MQTT 5.0 §1.5.4)."""
_NEVER: Final = re.compile("[\x00" + "".join([chr(code) for code in NON_CHARACTERS]) + "]")

MQTT_BYTES_MAX: Final = NAME_BYTES_MAX - len("$queue/")
"""MQTT writes what it does not allow in names with three bytes, and queues with a prefix."""
_LONG_NAME: Final = 16_000
"""Characters up to which a name fits every spelling in any case."""
_WIDER: Final = re.compile("[+#\x01-\x1f\x7f-\x9f]")

_KIND_NAMES: Final = ("queue", "topic")


@final
@dataclass(init=False, slots=True)
class Destination:
    """One queue or one topic by its canonical name, never a wildcard."""

    kind: int
    name: str

    def __init__(self, kind: int, name: str) -> None:
        self.kind = kind
        self.name = name

    def __hash__(self) -> int:
        return hash(self.name) ^ self.kind

    def __str__(self) -> str:
        return f"{_KIND_NAMES[self.kind]}:{self.name}"

    @property
    def temporary(self) -> bool:
        """Does it die with its owner?"""
        return self.name.startswith(TEMPORARY_PREFIX)


class InvalidName(Exception):
    """A destination or pattern that cannot be; `str(error)` says what is wrong, fit for the client."""


def check_name(name: str) -> None:
    """Raise InvalidName unless `name` can be carried by every protocol."""
    if not name:
        raise InvalidName("the destination is empty")
    if not name.isprintable() and _NEVER.search(name) is not None:
        raise InvalidName("a destination may not contain U+0000, nor what Unicode calls non-characters")
    check_levels(name)
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidName("a destination may not contain surrogates") from None
    if size > NAME_BYTES_MAX:
        raise InvalidName(f"the destination is longer than {NAME_BYTES_MAX} bytes")
    if len(name) > _LONG_NAME and size + 2 * len(_WIDER.findall(name)) > MQTT_BYTES_MAX:
        raise InvalidName("the destination is too long for MQTT subscribers")


def check_reserved(name: str, own: frozenset[str] = frozenset()) -> None:
    """Raise InvalidName for what stands for another character, except where a protocol itself writes it so (`own`)."""
    if name.isascii():
        return
    for found in _RESERVED.findall(name):
        if found not in own:
            raise InvalidName("the name has a character that is reserved for translation (U+F000 to U+F09F)")


def check_levels(name: str) -> None:
    """Raise InvalidName for a name with more levels than a match could look at in a reasonable time."""
    check_separators(name.count("."))


def check_separators(count: int) -> None:
    """The same for a name or filter that is in pieces already."""
    most = _depth.separators_max
    if count > most:
        raise InvalidName(f"a destination may have {most + 1} levels")
