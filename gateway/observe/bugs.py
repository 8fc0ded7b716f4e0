"""Tracebacks of bugs of ours, but not more often than a log can bear: who has found one may use it all day long."""

import logging
import threading
from types import TracebackType
from typing import Final, final

log = logging.getLogger("gateway")

PLACES_MAX: Final = 100
"""Places whose bugs are told apart; all others are one."""

Place = tuple[str, str, int]
"""The kind of an exception, and the file and line that raised it."""

_ELSEWHERE: Final[Place] = ("", "", 0)


@final
class Bugs(logging.Filter):
    """For the log's handler, so that it holds for every room, and for asyncio's own reports.

    The first of a place has its traceback; the others of the same interval are counted, and named in one line at its end.
    While it goes on like that, this line is all.  May be asked by any thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        # How many more there were in this interval, and the last.
        self._more: dict[Place, tuple[int, str]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter: is it to be written?"""
        raised = record.exc_info
        if raised is None or raised[0] is None or record.levelno >= logging.CRITICAL:
            return True
        place = _place_of(raised[0], raised[2])
        with self._lock:
            if place not in self._more and len(self._more) >= PLACES_MAX:
                place = _ELSEWHERE
            known = self._more.get(place)
            if known is None:
                self._more[place] = (0, "")
                return True
            self._more[place] = (known[0] + 1, record.getMessage())
            return False

    def sum_up(self) -> None:
        """An interval is over: say how many tracebacks there would have been."""
        with self._lock:
            ended = self._more
            # A place that went on is not told at length again; one that did not may be forgotten.
            self._more = {place: (0, "") for place, (count, _) in ended.items() if count}
        for (kind, file, line), (count, last) in ended.items():
            if count:
                where = f"the same internal error ({kind}, {file}:{line})" if kind else "internal errors"
                log.error("%d more of %s, the last: %s", count, where, last)


BUGS: Final = Bugs()
"""The log is one, and so is this."""


def _place_of(kind: type[BaseException], trace: TracebackType | None) -> Place:
    if trace is None:
        return kind.__name__, "", 0
    while trace.tb_next is not None:
        trace = trace.tb_next
    return kind.__name__, trace.tb_frame.f_code.co_filename, trace.tb_lineno
