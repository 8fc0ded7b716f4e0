"""Password checks under want: each is answered once, and none is counted for ever."""

from collections.abc import Callable

import pytest

from gateway.security.passwords import PasswordChecks


def test_where_no_thread_can_be_started_the_answer_is_no_and_the_check_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    posted: list[Callable[[], None]] = []
    checks = PasswordChecks(posted.append, 1, 1)
    work: list[Callable[[], None]] = []

    def submit(call: Callable[[], None]) -> None:
        work.append(call)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(checks._pool, "submit", submit)
    answers: list[bool] = []
    # Above one pending check the answer would be no without a try.
    for _ in range(2):
        checks.check("ann", None, b"secret", answers.append)
    assert answers == [False, False]
    assert len(work) == 2
    # A thread that was there comes to it after all.
    work[0]()
    posted[0]()
    assert answers == [False, False]
    checks.close()
