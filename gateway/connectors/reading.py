"""What somebody reads from, in the words in which the rules are asked about it."""

from collections.abc import Iterator
from typing import final

from gateway.core.flow import Publisher
from gateway.core.pattern import Pattern


@final
class Reading:
    """One thing that is read; see `sources.may_read`."""

    __slots__ = ("kind", "name", "owner", "pattern", "whole")

    def __init__(self, name: str, kind: int, pattern: Pattern, whole: bool = False, owner: str = "") -> None:
        self.name = name
        """What the client calls it."""
        self.kind = kind
        self.pattern = pattern
        self.whole = whole
        self.owner = owner


class Readings:
    """All that a connection or session reads."""

    __slots__ = ("publisher",)

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher

    def all(self) -> Iterator[Reading]:
        """Each of it that is there now; the rest is asked for in later turns."""
        raise NotImplementedError

    def lose(self, reading: Reading, why: str) -> bool:
        """It may not be read any more: end it; answers whether the rest is to be asked about too."""
        raise NotImplementedError
