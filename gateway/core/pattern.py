"""What a subscriber asks for: levels that are literal, ONE (any single level) or MANY (any number, none too).

Each protocol parses its own wildcards into this form, so one tree matches them all.
"""

from dataclasses import dataclass
from typing import Final, final

from gateway.core.destination import InvalidName, check_separators

# U+0000 is refused in every name, so no literal level can be mistaken for a wildcard.
ONE: Final = "\0one"
MANY: Final = "\0many"

MANY_INSIDE_MAX: Final = 8
"""MANY with other levels behind it in one filter: each may stand for levels in as many ways as the topic has."""


@final
@dataclass(init=False, slots=True)
class Pattern:
    """A topic name or filter, split into levels."""

    levels: tuple[str, ...]
    literal: bool
    """No wildcards: it matches exactly one topic."""

    def __init__(self, levels: tuple[str, ...]) -> None:
        self.levels = levels
        self.literal = ONE not in levels and MANY not in levels

    def __hash__(self) -> int:
        return hash(self.levels)

    def __str__(self) -> str:
        return ".".join(["*" if level == ONE else ">" if level == MANY else level for level in self.levels])

    def matches(self, name: str) -> bool:
        """Does the topic `name` fall under this pattern?  The tree answers for many patterns at once; this for one."""
        levels = name.split(".")
        if levels[0].startswith("$") and self.levels[0] in (ONE, MANY):
            return False
        # Positions of the pattern reachable so far; a set because MANY may stand anywhere.
        reached = skip_many(self.levels, {0})
        for level in levels:
            following: set[int] = set()
            for at in reached:
                if at == len(self.levels):
                    continue
                wanted = self.levels[at]
                if wanted == MANY:
                    following.add(at)
                elif wanted == ONE or wanted == level:
                    following.add(at + 1)
            reached = skip_many(self.levels, following)
        return len(self.levels) in reached


def skip_many(levels: tuple[str, ...], positions: set[int]) -> set[int]:
    """`positions` and those reached by letting a MANY stand for no level at all."""
    result = set(positions)
    for position in positions:
        at = position
        while at < len(levels) and levels[at] == MANY:
            at += 1
            result.add(at)
    return result


def literal(name: str) -> Pattern:
    """The pattern that matches just the topic `name`."""
    return Pattern(tuple(name.split(".")))


def filter_from(levels: list[str]) -> Pattern:
    """The pattern of what a client asks for.  Raises InvalidName for one that would take too long to match."""
    check_separators(len(levels) - 1)
    # Any number of levels behind any number is any number.
    kept = [level for at, level in enumerate(levels) if level != MANY or at == 0 or levels[at - 1] != MANY]
    if kept.count(MANY) > MANY_INSIDE_MAX + (1 if kept[-1] == MANY else 0):
        raise InvalidName(
            f"a filter may have {MANY_INSIDE_MAX} wildcards for any number of levels before its end"
        )
    return Pattern(tuple(kept))
