"""How many bytes clients take beside their messages: names, filters, selectors, wills.

Counts bound how many there are of these, and with that what each takes in any case.  Here is what a client can make larger
by writing more: texts, levels, conditions.  It is counted as it lies in memory, and before it does.
"""

from typing import Final, final

from gateway.core.limits import LimitReached
from gateway.core.pattern import Pattern
from gateway.core.subscription import Binding

LEVELS_FREE: Final = 8
"""Levels of a filter that a subscription has in any case."""

LEVEL_BYTES: Final = 320
"""What each further one takes: a text of its own, and a node in the tree of all filters."""


@final
class Footprint:
    """The bytes of all clients together, and the bounds for one and for all."""

    __slots__ = ("all_max", "each_max", "total", "words")

    def __init__(self, each_max: int, all_max: int, words: str) -> None:
        """`words`: what takes the bytes, for who is refused."""
        self.each_max = each_max
        self.all_max = all_max
        self.words = words
        self.total = 0

    def check(self, before: int, more: int) -> None:
        """Raise LimitReached if who takes `before` bytes may not take so many `more`."""
        if before + more > self.each_max:
            raise LimitReached(f"too many bytes of {self.words}")
        if self.total + more > self.all_max:
            raise LimitReached(f"too many bytes of {self.words} of all clients together")


@final
class Share:
    """What one client takes of a Footprint."""

    __slots__ = ("_whole", "bytes")

    def __init__(self, whole: Footprint) -> None:
        self._whole = whole
        self.bytes = 0

    def claim(self, size: int) -> None:
        """It is to take `size` bytes more.  Raises LimitReached, and then it does not."""
        if size > 0:
            self._whole.check(self.bytes, size)
        self.count(size)

    def count(self, size: int) -> None:
        """It takes `size` bytes more, or less, whatever the bounds: what was granted once stays."""
        self.bytes += size
        self._whole.total += size


def wire_bytes(text: str) -> int:
    """Bytes of `text` in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def text_bytes(text: str) -> int:
    """Bytes of the characters of `text` in memory, where the widest of them decides."""
    if text.isascii():
        return len(text)
    widest = max(text)
    return len(text) * (1 if widest < "\u0100" else 2 if widest < "\U00010000" else 4)


def binding_bytes(binding: Binding) -> int:
    """What the filter and selector of a queue's binding take."""
    selector = binding.selector
    return pattern_bytes(binding.pattern) + (0 if selector is None else selector.bytes)


def pattern_bytes(pattern: Pattern) -> int:
    """What a filter takes beyond a plain one of few and short levels, where it is kept and in the tree of all."""
    levels = pattern.levels
    size = max(len(levels) - LEVELS_FREE, 0) * LEVEL_BYTES
    for level in levels:
        size += text_bytes(level)
    return size
