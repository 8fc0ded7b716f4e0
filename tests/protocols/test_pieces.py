"""protocols/pieces.py"""

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.pieces import SURE_BYTES, Pieces


@pytest.fixture(autouse=True)
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def tracemalloc_bytes() -> int:
    return tracemalloc.get_traced_memory()[0]


@given(
    st.lists(st.one_of(st.binary(max_size=10), st.integers(1, 70_000).map(lambda n: b"x" * n)), max_size=20),
    st.integers(0, 2_000_000),
)
def test_what_was_added_comes_out_whole_however_it_was_cut(parts: list[bytes], expected: int) -> None:
    pieces = Pieces(parts[0] if parts else b"", expected)
    for part in parts[1:]:
        pieces.add(part)
    assert pieces.size == sum(len(part) for part in parts)
    assert pieces.take() == b"".join(parts)


def test_a_single_piece_is_kept_as_it_came() -> None:
    piece = b"x" * 10
    assert Pieces(piece, 0).take() is piece


def test_single_bytes_cost_little_more_than_they_hold() -> None:
    before, count = tracemalloc_bytes(), 262_144
    pieces = Pieces(b"", 0)
    for _ in range(count):
        pieces.add(b"x")
    assert tracemalloc_bytes() - before < 1.2 * count + 10_000
    assert len(pieces.take()) == count


def test_the_whole_is_not_copied_again() -> None:
    """A copy of many megabytes takes as many milliseconds, and others wait."""
    count = 4_000_000
    pieces = Pieces(b"", 0)
    for _ in range(40):
        pieces.add(bytes(count // 40))
    before = tracemalloc_bytes()
    whole = pieces.take()
    assert len(whole) == count
    assert tracemalloc_bytes() - before < count // 4


@pytest.mark.parametrize("expected", [0, 3 * SURE_BYTES, 100 * SURE_BYTES])
def test_room_for_what_is_expected_is_there_once_enough_of_it_has_come(expected: int) -> None:
    pieces = Pieces(b"a" * 1_000, expected)
    for _ in range(8):
        pieces.add(b"b" * (SURE_BYTES // 4))
    assert pieces.take() == b"a" * 1_000 + b"b" * (2 * SURE_BYTES)
