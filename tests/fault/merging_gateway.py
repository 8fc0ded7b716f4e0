"""The gateway with a disk that stalls, most of all in the midst of a merge of copies; says so in a file.

The file `merges` beside the configuration gets a `<` when one begins and a `>` when it is committed.  Run as a program by
the tests.
"""

import sys
import time
from pathlib import Path
from typing import Final

import pausing_gateway

from gateway.store.merging import Merging
from gateway.store.tables import Tables

PAUSE_S: Final = 0.1
"""Between what a merge takes out and its commit."""

MERGES: Final = Path(sys.argv[-1]).parent / "merges"

take = Merging.take
merge = Tables.merge


def slow_take(self: Merging) -> list[object]:
    values = take(self)
    time.sleep(PAUSE_S)
    return values


def told_merge(self: Tables) -> None:
    tell("<")
    merge(self)
    tell(">")


def tell(sign: str) -> None:
    with MERGES.open("a") as file:
        file.write(sign)


if __name__ == "__main__":
    Merging.take = slow_take  # type: ignore[method-assign]
    Tables.merge = told_merge  # type: ignore[method-assign]
    pausing_gateway.run()
