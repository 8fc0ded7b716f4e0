"""Times by a cron line: minute, hour, day of the month, month, day of the week; in UTC.

A field is `*`, a number, a range `a-b`, either with a step `/n`, or several of them with commas.  Months and days of
the week may be named (jan, mon); Sunday is 0 or 7.  When both days are restricted, either will do, as cron has it.
"""

from bisect import bisect_left
from calendar import monthrange
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from typing import Final, final

_MINUTE_MS: Final = 60_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = _EPOCH.toordinal()

_LONGEST: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days of the months, of February in a leap year."""

MONTHS_AHEAD_MAX: Final = 12 * 8 + 2
"""29 February may be eight years away; what does not come until then never comes."""

LINE_LENGTH_MAX: Final = 256

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class InvalidCron(Exception):
    """A cron line that cannot be; `str(error)` says what is wrong, fit for the client."""


@final
class Cron:
    """A parsed line."""

    __slots__ = ("_any_day", "_any_weekday", "_days", "_hours", "_minutes", "_months", "_weekdays", "line")

    def __init__(self, line: str) -> None:
        """Raises InvalidCron."""
        self.line = line
        """As it was written."""
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
        if (self._any_day or self._any_weekday) and min(self._days) > max(
            [_LONGEST[m - 1] for m in self._months]
        ):
            raise InvalidCron("a cron line names days that none of its months has")

    def after(self, now_ms: int) -> int:
        """The first time of the line that is later than `now_ms`; -1 when there is none within eight years."""
        start = _EPOCH + timedelta(milliseconds=(now_ms // _MINUTE_MS + 1) * _MINUTE_MS)
        if start.month in self._months and self._on(start.day, start.isoweekday() % 7):
            minute = self._minute_from(start.hour * 60 + start.minute)
            if minute >= 0:
                return _time_of(start.toordinal(), minute)
        day = self._day_from(start.year, start.month, start.day + 1)
        return -1 if day < 0 else _time_of(day, self._minute_from(0))

    def _minute_from(self, minute: int) -> int:
        """The first minute of a day that is not before `minute`; -1 when the day has no more."""
        hour, rest = divmod(minute, 60)
        at = bisect_left(self._hours, hour)
        if at < len(self._hours) and self._hours[at] == hour:
            later = bisect_left(self._minutes, rest)
            if later < len(self._minutes):
                return hour * 60 + self._minutes[later]
            at += 1
        return -1 if at == len(self._hours) else self._hours[at] * 60 + self._minutes[0]

    def _day_from(self, year: int, month: int, day: int) -> int:
        """The ordinal of the first day that is not before this one; -1 when there is none for long."""
        for _ in range(MONTHS_AHEAD_MAX):
            if month in self._months and year <= MAXYEAR:
                # Monday is 0 here.
                first_weekday, length = monthrange(year, month)
                for number in range(day, length + 1):
                    if self._on(number, (first_weekday + number) % 7):
                        return date(year, month, number).toordinal()
            day = 1
            month += 1
            if month > 12:
                month = 1
                year += 1
        return -1

    def _on(self, day: int, weekday: int) -> bool:
        """Is it one of its days?  Sunday is 0."""
        by_day = day in self._days
        by_weekday = weekday in self._weekdays
        if self._any_day or self._any_weekday:
            return by_day and by_weekday
        return by_day or by_weekday


def _time_of(day: int, minute: int) -> int:
    """Milliseconds since 1970 at `minute` of the day with this ordinal."""
    return ((day - _EPOCH_DAY) * 1440 + minute) * _MINUTE_MS


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
