"""Tracebacks in the log: the first of a place in full, the others of its interval as a number."""

import io
import logging

import pytest

from gateway.observe.bugs import PLACES_MAX, Bugs


class Book:
    """A log with such a filter, and what it says."""

    def __init__(self) -> None:
        self.bugs = Bugs()
        self._stream = io.StringIO()
        self._handler = logging.StreamHandler(self._stream)
        self._handler.addFilter(self.bugs)
        self.log = logging.getLogger("gateway")

    def __enter__(self) -> "Book":
        self.log.addHandler(self._handler)
        return self

    def __exit__(self, *_: object) -> None:
        self.log.removeHandler(self._handler)

    def said(self) -> str:
        """What has been written since this was asked last."""
        text = self._stream.getvalue()
        self._stream.seek(0)
        self._stream.truncate()
        return text


def one(_: int) -> None:
    raise ValueError("one")


def two(_: int) -> None:
    raise ValueError("two")


def meet(book: Book, bug: object, number: int) -> None:
    try:
        assert callable(bug)
        bug(number)
    except Exception:
        # As any room does, asyncio included.
        logging.getLogger("gateway.net").exception("peer %d: internal error", number)


def test_a_flood_of_one_bug_is_one_traceback_and_one_line_an_interval() -> None:
    with Book() as book:
        for number in range(2_000):
            meet(book, one, number)
        said = book.said()
        assert said.count("Traceback") == 1
        assert "peer 0: internal error" in said
        assert len(said) < 2_000
        for _ in range(3):
            book.bugs.sum_up()
            said = book.said()
            assert said.count("\n") == 1
            assert "more of the same internal error (ValueError, " in said
            assert said.endswith("the last: peer 1999: internal error\n")
            for number in range(2_000):
                meet(book, one, number)
            assert book.said() == ""


def test_another_bug_has_its_own_traceback_and_an_old_one_has_it_again() -> None:
    with Book() as book:
        meet(book, one, 1)
        meet(book, two, 2)
        assert book.said().count("Traceback") == 2
        book.bugs.sum_up()
        assert book.said() == ""
        meet(book, one, 3)
        assert book.said().count("Traceback") == 1


def test_bugs_of_very_many_places_are_bounded_too() -> None:
    with Book() as book:
        places = [f"def bug(_):{chr(10) * at} raise ValueError()" for at in range(PLACES_MAX + 50)]
        for source in places:
            room: dict[str, object] = {}
            exec(source, room)
            meet(book, room["bug"], 0)
        assert book.said().count("Traceback") == PLACES_MAX + 1
        book.bugs.sum_up()
        assert "49 more of internal errors, the last: " in book.said()


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING, logging.ERROR])
def test_lines_that_are_no_tracebacks_pass(level: int) -> None:
    with Book() as book:
        book.log.setLevel(logging.DEBUG)
        for _ in range(50):
            book.log.log(level, "a line")
        assert book.said().count("a line") == 50
