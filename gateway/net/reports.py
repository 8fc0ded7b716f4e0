"""What connections have to report, in the log, but not more often than a log can bear."""

import logging
from typing import Final, final

log = logging.getLogger("gateway.net")

LEFT: Final = "connections ended in order"
ENDED: Final = "connections refused or ended with an error"
HANDSHAKES: Final = "failed TLS handshakes"
"""Kinds of line; those of what clients are refused are in connectors/base."""

LINES_MAX: Final = 10
INTERVAL_MS: Final = 10_000

LINE_MAX: Final = 1_000
"""Characters of a line: what a client was refused for may be a name of many kilobytes."""


@final
class Reports:
    """One for all listeners: an attack on one of them must not fill the disk either.

    Of each kind there are so many lines an interval; what is above that is counted, and named in one line at its end.
    While it goes on like that, this line is all.
    """

    __slots__ = ("_interval_ms", "_kinds", "_lines_max", "_next_ms")

    def __init__(self, lines_max: int = LINES_MAX, interval_ms: int = INTERVAL_MS) -> None:
        self._lines_max = lines_max
        self._interval_ms = interval_ms
        self._next_ms = 0
        self._kinds: dict[str, _Kind] = {}

    @property
    def detailed(self) -> bool:
        """Are lines wanted about what goes as it should?"""
        return log.isEnabledFor(logging.DEBUG)

    def add(self, kind: str, line: str, level: int = logging.INFO) -> None:
        """Log `line`, or count it as one of its kind."""
        if not log.isEnabledFor(level):
            return
        if len(line) > LINE_MAX:
            line = line[:LINE_MAX] + "…"
        known = self._kinds.get(kind)
        if known is None:
            known = self._kinds[kind] = _Kind(self._lines_max, level)
        if known.left > 0:
            known.left -= 1
            log.log(level, line)
        else:
            known.more += 1
            known.last = line

    def tick(self, now_ms: int) -> bool:
        """Let time pass; answers whether an interval is over."""
        if now_ms < self._next_ms:
            return False
        self._next_ms = now_ms + self._interval_ms
        self.sum_up()
        return True

    def sum_up(self) -> None:
        """Say how many lines there would have been, and begin anew."""
        for name, kind in self._kinds.items():
            if kind.more:
                log.log(kind.level, "%d more %s, the last: %s", kind.more, name, kind.last)
            kind.left = self._lines_max if kind.more <= self._lines_max else 0
            kind.more = 0
            kind.last = ""


@final
class _Kind:
    """What is known of one kind in this interval."""

    __slots__ = ("last", "left", "level", "more")

    def __init__(self, left: int, level: int) -> None:
        self.left = left
        self.level = level
        self.more = 0
        self.last = ""
