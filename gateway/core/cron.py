"""Times by a cron line: minute, hour, day of the month, month, day of the week; in UTC.

A field is `*`, a number, a range `a-b`, either with a step `/n`, or several of them with commas.  Months and days of
the week may be named (jan, mon); Sunday is 0 or 7.  When both days are restricted, either will do, as cron has it.
"""

from datetime import UTC, datetime, timedelta
from typing import Final, final

_MINUTE_MS: Final = 60_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

DAYS_AHEAD_MAX: Final = 366 * 8 + 2
"""29 February may be eight years away; what does not come until then never comes."""

LINE_LENGTH_MAX: Final = 256

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class InvalidCron(Exception):
    """A cron line that cannot be; `str(error)` says what is wrong, fit for the client."""


@final
class Cron:
    """A parsed line."""

    __slots__ = ("_any_day", "_any_weekday", "_days", "_hours", "_minutes", "_months", "_weekdays")

    def __init__(self, line: str) -> None:
        """Raises InvalidCron."""
        fields = line.split()
        if len(fields) != 5 or len(line) > LINE_LENGTH_MAX:
            raise InvalidCron("a cron line has five fields: minute hour day month weekday")
        self._minutes = sorted(_field(fields[0], 0, 59, ()))
        self._hours = sorted(_field(fields[1], 0, 23, ()))
        self._days = _field(fields[2], 1, 31, ())
        self._months = _field(fields[3], 1, 12, _MONTHS)
        self._weekdays = {day % 7 for day in _field(fields[4], 0, 7, _WEEKDAYS)}
        self._any_day = fields[2].startswith("*")
        self._any_weekday = fields[4].startswith("*")

    def after(self, now_ms: int) -> int:
        """The first time of the line that is later than `now_ms`; -1 when there is none within eight years."""
        start = _EPOCH + timedelta(milliseconds=(now_ms // _MINUTE_MS + 1) * _MINUTE_MS)
        day = start.replace(hour=0, minute=0)
        first = start.hour * 60 + start.minute
        for _ in range(DAYS_AHEAD_MAX):
            if self._on(day):
                for hour in self._hours:
                    for minute in self._minutes:
                        if hour * 60 + minute >= first:
                            at = day.replace(hour=hour, minute=minute)
                            return (at - _EPOCH) // timedelta(milliseconds=1)
            day += timedelta(days=1)
            first = 0
        return -1

    def _on(self, day: datetime) -> bool:
        if day.month not in self._months:
            return False
        by_day = day.day in self._days
        by_weekday = day.isoweekday() % 7 in self._weekdays
        if self._any_day or self._any_weekday:
            return by_day and by_weekday
        return by_day or by_weekday


def _field(text: str, low: int, high: int, names: tuple[str, ...]) -> set[int]:
    """The numbers that one field stands for."""
    found: set[int] = set()
    for part in text.lower().split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, 1, high, ()) if slash else 1
        if span == "*":
            begin, end = low, high
        else:
            first, dash, last = span.partition("-")
            begin = _number(first, low, high, names)
            end = _number(last, low, high, names) if dash else (high if slash else begin)
        if begin > end:
            raise InvalidCron(f"a cron line has a range that ends before it begins: {part[:20]}")
        found.update(range(begin, end + 1, step))
    return found


def _number(text: str, low: int, high: int, names: tuple[str, ...]) -> int:
    if text in names:
        return names.index(text) + low
    if not (text.isascii() and text.isdigit()) or len(text) > 4 or not low <= int(text) <= high:
        raise InvalidCron(f"a cron line has {text[:20]!r} where a number from {low} to {high} should be")
    return int(text)
