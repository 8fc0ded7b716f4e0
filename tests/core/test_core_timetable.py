"""gateway/core/timetable.py"""

from random import Random

import pytest

from gateway.core.timetable import MOVED_AT_ONCE, VAIN_MIN, Appointment, Timetable


def taken(timetable: Timetable[str], now_ms: int) -> list[str]:
    """All for whom something is due."""
    found = []
    while timetable.is_due(now_ms):
        who = timetable.take(now_ms)
        if who is not None:
            found.append(who)
    return found


def test_whoever_is_due_comes_up_once_the_earliest_first() -> None:
    timetable: Timetable[str] = Timetable()
    for due_ms, who in ((30, "c"), (10, "a"), (20, "b"), (10, "also a")):
        timetable.plan(who, due_ms)
    assert not timetable.is_due(9)
    assert taken(timetable, 20) == ["a", "also a", "b"]
    assert taken(timetable, 99) == ["c"]
    assert timetable.count == 0


def test_what_is_cancelled_does_not_come_up_and_may_be_cancelled_again() -> None:
    timetable: Timetable[str] = Timetable()
    first, second = timetable.plan("a", 10), timetable.plan("b", 20)
    timetable.cancel(first)
    timetable.cancel(first)
    timetable.cancel(None)
    assert taken(timetable, 99) == ["b"]
    timetable.cancel(second)
    assert timetable.count == 0


@pytest.mark.parametrize("seed", range(4))
def test_nobody_is_forgotten_while_what_is_in_vain_goes_a_few_at_a_time(seed: int) -> None:
    random = Random(seed)
    timetable: Timetable[str] = Timetable()
    planned: dict[str, Appointment[str]] = {}
    now_ms = 0
    for number in range(6_000):
        who = str(random.randint(0, 500))
        if random.random() < (0.2, 0.5, 0.1, 0.9)[seed]:
            timetable.cancel(planned.pop(who, None))
        else:
            timetable.cancel(planned.get(who))
            planned[who] = timetable.plan(who, now_ms + random.randint(1, 3_000))
        if number % 50 == 0:
            now_ms += random.randint(0, 40)
            due = sorted(name for name, one in planned.items() if one.due_ms <= now_ms)
            assert sorted(taken(timetable, now_ms)) == due
            for name in due:
                del planned[name]
        assert timetable.count == len(planned)
        assert len(timetable) <= 2 * (2 * 501 + VAIN_MIN)


def test_a_change_looks_at_so_many_entries_and_no_more() -> None:
    timetable: Timetable[int] = Timetable()
    appointments = [timetable.plan(number, number) for number in range(10 * VAIN_MIN)]
    before = len(timetable)
    for appointment in reversed(appointments):
        timetable.cancel(appointment)
        assert before - len(timetable) <= MOVED_AT_ONCE
        before = len(timetable)
    assert before < 4 * VAIN_MIN
