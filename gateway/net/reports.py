"""Why connections were ended, in the log, but not more often than a log can bear."""

import logging
from typing import Final, final

log = logging.getLogger("gateway.net")

REPORTS_A_SECOND: Final = 10
"""Lines a second; what is above that is only counted."""


@final
class Reports:
    """One for all listeners: an attack on one of them must not fill the disk either."""

    __slots__ = ("_left", "_next_ms", "_suppressed")

    def __init__(self) -> None:
        self._left = REPORTS_A_SECOND
        self._next_ms = 0
        self._suppressed = 0

    def add(self, line: str) -> None:
        """Log `line`, or count it."""
        if self._left > 0:
            self._left -= 1
            log.info(line)
        else:
            self._suppressed += 1

    def tick(self, now_ms: int) -> None:
        """Once a second, allow more lines, and say how many there would have been."""
        if now_ms < self._next_ms:
            return
        self._next_ms = now_ms + 1_000
        self._left = REPORTS_A_SECOND
        if self._suppressed:
            log.warning("%d more connections were refused or ended with an error", self._suppressed)
            self._suppressed = 0
