"""ActiveMQ's headers for delivery later: AMQ_SCHEDULED_DELAY, _PERIOD, _REPEAT and _CRON, or with hyphens.

Who delivers the message has done what they ask for, so they go no further: sent on, it would be delayed again.
"""

from typing import Final

from gateway.core.cron import Cron
from gateway.core.schedule import FOREVER, Timing

_PREFIXES: Final = ("AMQ_SCHEDULED_", "AMQ-SCHEDULED-")

NAMES: Final = frozenset(
    [prefix + word for prefix in _PREFIXES for word in ("DELAY", "PERIOD", "REPEAT", "CRON")]
)

MARK: Final = b"SCHEDULED"
"""What all of them contain."""

_DIGITS_MAX: Final = 15


class InvalidTiming(Exception):
    """Such headers that make no sense; `str(error)` says why, fit for the client."""


def timing_of(headers: list[tuple[str, str]]) -> Timing | None:
    """When a message is to be delivered; None: now.  Raises InvalidTiming and InvalidCron."""
    delay_ms = _number(headers, "DELAY")
    period_ms = _number(headers, "PERIOD")
    repeats = _number(headers, "REPEAT")
    line = _first(headers, "CRON")
    if repeats < FOREVER or delay_ms < 0 or period_ms < 0:
        raise InvalidTiming("a scheduled message has a number below zero")
    if not line and not delay_ms and not period_ms:
        return None
    # Without a delay the first of several comes after a period, as with ActiveMQ.
    return Timing(delay_ms or period_ms, period_ms, repeats, Cron(line) if line else None)


def _first(headers: list[tuple[str, str]], name: str) -> str:
    for given, value in headers:
        for prefix in _PREFIXES:
            if given == prefix + name:
                return value.strip()
    return ""


def _number(headers: list[tuple[str, str]], name: str) -> int:
    text = _first(headers, name)
    digits = text.removeprefix("-")
    if not text:
        return 0
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _DIGITS_MAX:
        raise InvalidTiming(f"{_PREFIXES[0]}{name} is not a number")
    return int(text)
