"""`x-mx-esc`: what a version cannot say is said all the same, and nothing else is taken for it."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.connectors.stomp.escaping import decode_lines, encode_lines

WORDS = st.lists(
    st.sampled_from(
        ["a", "s", "n", "r", "c", "\\", "\n", "\r", ":", " ", ",", "%", "\\s", "\\\\", "x-mx-esc", "destination", "é"]
    ),
    min_size=1,
    max_size=4,
).map("".join)  # fmt: skip
HEADERS = st.lists(st.tuples(WORDS, st.just("") | WORDS), max_size=5)


@given(HEADERS, st.sampled_from(["1.0", "1.1", "1.2"]))
def test_property_every_header_comes_back_from_every_version_also_one_called_as_the_list_is(
    headers: list[tuple[str, str]], version: str
) -> None:
    lines = encode_lines(headers, version, exact=True)
    assert not [line for line in lines if b"\n" in line or line.startswith(b":")]
    assert decode_lines(lines, version) == headers
