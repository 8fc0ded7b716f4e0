"""Work that goes on in later turns."""

import pytest

from gateway.core.chores import Chore, Chores


class Steps(Chore):
    """Takes some steps, and says of each that it was taken."""

    def __init__(self, name: str, steps: int, log: list[str]) -> None:
        self._name = name
        self._left = steps
        self._log = log

    def go_on(self) -> bool:
        self._log.append(self._name)
        self._left -= 1
        if self._left < 0:
            raise ValueError(self._name)
        return self._left > 0


class Adds(Chore):
    """Finds more to do while it goes on."""

    def __init__(self, chores: Chores, more: Chore) -> None:
        self._chores = chores
        self._more = more

    def go_on(self) -> bool:
        self._chores.add(self._more)
        return False


def test_each_goes_on_in_turn_until_it_is_finished() -> None:
    log: list[str] = []
    asked: list[int] = []
    chores = Chores()
    chores.driven_by(lambda: asked.append(1))
    chores.add(Steps("a", 3, log))
    chores.add(Steps("b", 1, log))
    # It is asked for once, and nothing has been done yet.
    assert (asked, log, len(chores)) == ([1], [], 2)
    assert [chores.step() for _ in range(4)] == [True, True, True, False]
    assert log == ["a", "b", "a", "a"]
    assert not chores.step()
    chores.add(Steps("c", 1, log))
    assert asked == [1, 1]


def test_one_that_fails_does_not_stop_the_others() -> None:
    log: list[str] = []
    chores = Chores()
    chores.driven_by(lambda: None)
    chores.add(Steps("bad", 0, log))
    chores.add(Steps("good", 1, log))
    with pytest.raises(ValueError, match="bad"):
        chores.step()
    assert not chores.step()
    assert log == ["bad", "good"]


def test_without_a_driver_all_of_it_is_done_at_once_and_never_one_within_another() -> None:
    log: list[str] = []
    chores = Chores()
    chores.add(Steps("a", 2, log))
    assert log == ["a", "a"]
    chores.add(Adds(chores, Steps("b", 1, log)))
    assert log == ["a", "a", "b"]
    assert not chores
