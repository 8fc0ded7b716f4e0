"""Values of every canonical type, for property tests."""

from hypothesis import strategies as st

from gateway.connectors.text import RANGES
from gateway.core.message import Typed

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@st.composite
def numbers(draw: st.DrawFn) -> Typed:
    """An integer of one of the narrower types."""
    token = draw(st.sampled_from([name for name in RANGES if name != "i64"]))
    low, high = RANGES[token]
    return Typed(token, draw(st.integers(low, high)))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(*RANGES["i64"]),
    st.floats(allow_nan=False),
    TEXTS,
    st.binary(max_size=20),
    numbers(),
    st.floats(width=32, allow_nan=False).map(lambda number: Typed("f32", number)),
    st.uuids().map(lambda uuid: Typed("uuid", str(uuid))),
    st.characters(exclude_categories=["Cs"], exclude_characters="\0").map(
        lambda letter: Typed("char", letter)
    ),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(
        lambda number: Typed("dec9", f"{number:f}")
    ),
    st.from_regex(r"\A[!-~]{1,20}\Z").map(lambda symbol: Typed("sym", symbol)),
)
"""Values of every type that is no list and no map."""


def collections(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Lists and maps of them."""
    pairs = st.lists(st.tuples(SCALARS, inner), min_size=1, max_size=4)
    return st.one_of(
        st.lists(inner, max_size=4).map(lambda parts: Typed("list", parts)),
        st.lists(inner, max_size=4).map(lambda parts: Typed("array", parts)),
        st.dictionaries(TEXTS, inner, max_size=4).map(lambda members: Typed("map", members)),
        pairs.map(lambda members: Typed("map", members)),
    )


VALUES = st.recursive(SCALARS, collections, max_leaves=12)


def alike(one: object, other: object) -> bool:
    """Equal, and of the same types all through."""
    return repr(one) == repr(other)
