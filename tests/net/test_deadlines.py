"""One timer for all: the heap is corrected when entries come up, and holds nothing for those who are gone."""

import asyncio
from collections.abc import Callable
from typing import cast

from gateway.core.timetable import VAIN_MIN
from gateway.net.clock import Clock
from gateway.net.deadlines import CALLED_AT_ONCE, Deadlines, Timed


class Waiting(Timed):
    """Wants to be called at `due_ms`; forgets it then, or not."""

    def __init__(self, due_ms: int | None, stubborn: bool = False) -> None:
        super().__init__()
        self.due_ms = due_ms
        self.stubborn = stubborn
        self.called: list[int] = []

    def next_deadline_ms(self) -> int | None:
        return self.due_ms

    def deadline(self, now_ms: int) -> None:
        self.called.append(now_ms)
        if not self.stubborn:
            self.due_ms = None


class Watch:
    """Counts the timers that are asked of the loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = Clock()
        self.deadlines = Deadlines(self.loop, self.clock)
        self.start_ms = self.clock.now_ms()

    async def until_called(self, *waiting: Waiting) -> None:
        async with asyncio.timeout(5):
            while not all(one.called for one in waiting):
                await asyncio.sleep(0.002)


async def test_each_is_called_at_its_time_and_in_order() -> None:
    watch = Watch()
    late, early = Waiting(watch.start_ms + 40), Waiting(watch.start_ms + 10)
    for one in (late, early):
        watch.deadlines.watch(one)
    await watch.until_called(late, early)
    assert early.called[0] >= watch.start_ms + 10
    assert late.called[0] >= watch.start_ms + 40
    assert len(early.called) == len(late.called) == 1
    assert len(watch.deadlines) == 0


async def test_a_deadline_that_moved_on_is_not_called_at_the_old_time_and_cost_no_entry() -> None:
    watch = Watch()
    one = Waiting(watch.start_ms + 10)
    watch.deadlines.watch(one)
    for later in range(20, 60):
        one.due_ms = watch.start_ms + later
        watch.deadlines.watch(one)
    assert len(watch.deadlines) == 1
    await watch.until_called(one)
    assert one.called[0] >= watch.start_ms + 59


async def test_an_earlier_deadline_takes_the_later_ones_place() -> None:
    watch = Watch()
    one = Waiting(watch.start_ms + 60_000)
    watch.deadlines.watch(one)
    one.due_ms = watch.start_ms + 10
    watch.deadlines.watch(one)
    await watch.until_called(one)
    assert one.called[0] < watch.start_ms + 5_000


async def test_those_who_are_gone_do_not_stay_in_the_heap() -> None:
    watch = Watch()
    for _ in range(10_000):
        one = Waiting(watch.start_ms + 86_400_000)
        watch.deadlines.watch(one)
        watch.deadlines.forget(one)
    assert len(watch.deadlines) <= 2 * VAIN_MIN + 2
    watch.deadlines.close()


async def test_one_that_keeps_asking_for_an_earlier_time_does_not_fill_the_heap() -> None:
    watch = Watch()
    one = Waiting(watch.start_ms + 86_400_000)
    for earlier in range(10_000):
        one.due_ms = watch.start_ms + 86_400_000 - earlier
        watch.deadlines.watch(one)
    assert len(watch.deadlines) <= 2 * VAIN_MIN + 2
    watch.deadlines.close()


async def test_a_deadline_that_stays_in_the_past_does_not_hold_the_loop() -> None:
    watch = Watch()
    one = Waiting(watch.start_ms, stubborn=True)
    watch.deadlines.watch(one)
    await watch.until_called(one)
    await asyncio.sleep(0.02)
    assert 1 <= len(one.called) <= 200
    watch.deadlines.close()


async def test_no_calls_after_closing() -> None:
    watch = Watch()
    one = Waiting(watch.start_ms + 5)
    watch.deadlines.watch(one)
    watch.deadlines.close()
    await asyncio.sleep(0.02)
    assert one.called == []


def test_the_clock_does_not_go_back_with_the_wall_clock(monkeypatch) -> None:
    clock = Clock()
    before = clock.now_ms()
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert clock.now_ms() >= before
    assert clock.now_ms() - before < 5_000


class StillLoop:
    """A loop that calls nothing by itself."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def call_later(self, delay: float, call: Callable[[], None]) -> object:
        self.calls.append(call)
        return call


def test_sockets_are_looked_at_once_more_before_a_deadline_counts() -> None:
    # A process that stood still finds the deadline passed, and in the socket what came in time.
    loop, clock = StillLoop(), Clock()
    deadlines = Deadlines(cast(asyncio.AbstractEventLoop, loop), clock)
    heard, silent = Waiting(clock.now_ms() - 3_000), Waiting(clock.now_ms() - 2_000)
    deadlines.watch(heard)
    deadlines.watch(silent)
    loop.calls.pop()()
    assert (heard.called, silent.called) == ([], [])
    # Between one turn of the loop and the next it is heard.
    heard.due_ms = clock.now_ms() + 60_000
    loop.calls.pop(0)()
    assert heard.called == []
    assert len(silent.called) == 1


def test_very_many_deadlines_that_come_at_once_are_some_a_turn_and_all_in_order() -> None:
    loop, clock = StillLoop(), Clock()
    deadlines = Deadlines(cast(asyncio.AbstractEventLoop, loop), clock)
    start_ms = clock.now_ms() - 100_000
    many = [Waiting(start_ms + number) for number in range(3 * CALLED_AT_ONCE)]
    for one in (many[0], *reversed(many)):
        deadlines.watch(one)
    turns: list[int] = []
    while loop.calls:
        loop.calls.pop()()
        turns.append(sum([len(one.called) for one in many]))
        assert [bool(one.called) for one in many] == [True] * turns[-1] + [False] * (len(many) - turns[-1])
    # Before each of these turns sockets are looked at once more.
    each = CALLED_AT_ONCE
    assert turns == [0, each, each, 2 * each, 2 * each, 3 * each]
    assert len(deadlines) == 0


class Failing(Waiting):
    """Cannot be told."""

    def deadline(self, now_ms: int) -> None:
        raise RuntimeError("a bug")


def test_whatever_fails_the_others_are_called_in_time() -> None:
    loop, clock = StillLoop(), Clock()
    deadlines = Deadlines(cast(asyncio.AbstractEventLoop, loop), clock)
    start_ms = clock.now_ms() - 1_000
    failing, other = Failing(start_ms), Waiting(start_ms + 1)
    for one in (failing, other):
        deadlines.watch(one)
    failed = 0
    while loop.calls:
        try:
            loop.calls.pop()()
        except RuntimeError:
            failed += 1
    assert (failed, len(other.called)) == (1, 1)
