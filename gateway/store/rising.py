"""Which of a page's keys are where they belong."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any


def rising(keys: Sequence[Any]) -> list[int]:
    """The places of a longest run of keys that rise, in order; what is not among them is out of place."""
    tails: list[Any] = []
    ends: list[int] = []
    before: list[int] = []
    for at, key in enumerate(keys):
        length = bisect_left(tails, key)
        before.append(ends[length - 1] if length else -1)
        if length == len(tails):
            tails.append(key)
            ends.append(at)
        else:
            tails[length] = key
            ends[length] = at
    found: list[int] = []
    at = ends[-1] if ends else -1
    while at >= 0:
        found.append(at)
        at = before[at]
    return found[::-1]
