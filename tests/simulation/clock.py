"""Virtual time, and whatever else a process is told that no seed says: clocks and random bytes."""

import math
import random
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from unittest import mock

START_S: Final = 1_700_000_000.0

READ_US: Final = 3
"""Looking at the clock takes a moment, so that work takes time, and a share of the turn can be over."""

STALLED: Final = 0.001
STALL_US: Final = 15_000
"""How often the process stands still between two lines, and for how long at most."""


class Clock:
    """Seconds since the start of the run, in whole microseconds; it moves on when it is looked at."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.us = 1_000_000
        self.offset_s = 0.0
        """By how much somebody has set the wall clock."""
        self.served_offset_s = 0.0
        """The same when the gateway was started, which goes by its own clock from then on."""
        self.served_changes = 0
        """How often a start has found another one than the last."""
        self._furthest_s = 0.0

    def set(self, by_s: float) -> None:
        """Somebody sets the wall clock."""
        self.offset_s += by_s
        self._furthest_s = max(self._furthest_s, self.offset_s)

    def serve(self) -> None:
        """The gateway is started."""
        self.served_changes += self.served_offset_s != self.offset_s
        self.served_offset_s = self.offset_s

    def is_behind(self) -> bool:
        """Does the gateway go by an earlier time than one has before?"""
        return self.served_offset_s < self._furthest_s

    def catch_up(self) -> None:
        """The wall clock is set so that it has never been ahead: what waits for a time waits no longer than it was to."""
        if self.offset_s < self._furthest_s:
            # A little beyond, so that it is seen to have been set.
            self._furthest_s += 0.000_001
            self.offset_s = self._furthest_s

    def served_s(self) -> float:
        """The wall clock as the gateway has it."""
        return START_S + self.served_offset_s + self.us / 1_000_000

    @property
    def now_s(self) -> float:
        """The time, without taking any."""
        return self.us / 1_000_000

    def advance_to(self, when_s: float) -> None:
        """Nothing happens before then."""
        us = math.ceil(when_s * 1_000_000)
        if us > self.us:
            self.us = us
        if self.us / 1_000_000 < when_s:
            self.us += 1

    def monotonic(self) -> float:
        """As `time.monotonic`, for the gateway."""
        self.us += READ_US
        if self._chance.random() < STALLED:
            self.us += self._chance.randrange(STALL_US)
        return self.us / 1_000_000

    def wall(self) -> float:
        """As `time.time`."""
        return START_S + self.offset_s + self.us / 1_000_000


@contextmanager
def installed(clock: Clock, chance: random.Random) -> Iterator[None]:
    """Within, every module of this process sees that clock, and random bytes that the seed decides."""

    def token_bytes(count: int = 32) -> bytes:
        return chance.randbytes(count)

    def strftime(form: str) -> str:
        return real_strftime(form, time.gmtime(clock.wall()))

    real_strftime = time.strftime
    with (
        mock.patch.object(time, "monotonic", clock.monotonic),
        mock.patch.object(time, "perf_counter", clock.monotonic),
        mock.patch.object(time, "time", clock.wall),
        mock.patch.object(time, "strftime", strftime),
        mock.patch.object(secrets, "token_bytes", token_bytes),
        mock.patch.object(secrets, "token_hex", lambda count=32: token_bytes(count).hex()),
        mock.patch.object(secrets, "token_urlsafe", lambda count=32: token_bytes(count).hex()),
    ):
        yield
