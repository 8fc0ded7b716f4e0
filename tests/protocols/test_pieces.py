"""protocols/pieces.py"""

import sys

from hypothesis import given
from hypothesis import strategies as st

from protocols.pieces import CHUNK_BYTES, SMALL_BYTES, Pieces


@given(
    st.lists(st.one_of(st.binary(max_size=10), st.integers(1, 70_000).map(lambda n: b"x" * n)), max_size=20)
)
def test_what_was_added_comes_out_whole_however_it_was_cut(parts: list[bytes]) -> None:
    pieces = Pieces(parts[0] if parts else b"")
    for part in parts[1:]:
        pieces.add(part)
    assert pieces.size == sum(len(part) for part in parts)
    assert pieces.take() == b"".join(parts)


def test_a_large_piece_is_kept_as_it_came() -> None:
    piece = b"x" * SMALL_BYTES
    assert Pieces(piece).take() is piece


def test_single_bytes_cost_little_more_than_they_hold() -> None:
    pieces = Pieces(b"")
    for _ in range(4 * CHUNK_BYTES):
        pieces.add(b"x")
    if hasattr(pieces, "_parts"):  # hidden when compiled
        assert sum(sys.getsizeof(part) for part in pieces._parts) < 4.1 * CHUNK_BYTES
    assert len(pieces.take()) == 4 * CHUNK_BYTES
