"""protocols/json_writing.py"""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.json_writing import PART_BYTES, Base64, JsonWriting, Ready, Utf8, all_of

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=30,
)


def dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


@given(VALUES)
def test_property_a_value_is_written_as_pythons_own_writer_writes_it(value: Any) -> None:
    assert all_of(value) == dumped(value)


@pytest.mark.parametrize(
    "value",
    [
        "é" * 50_000,
        '"\n\\' * 30_000,
        "\U0001f600" * 40_000,
        ["x" * 5_000] * 30,
        list(range(50_000)),
        "\ud800" * 3_000,
    ],
    ids=["text", "escapes", "wide", "texts", "numbers", "halves"],
)
def test_however_large_it_is_a_step_writes_little_of_it(value: Any) -> None:
    writing = JsonWriting(value)
    parts = []
    while not writing.over:
        parts.append(writing.step())
    assert b"".join(parts) == dumped(value)
    assert max(map(len, parts)) <= 2 * PART_BYTES


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.integers(1, 4_000),
    st.binary(max_size=50),
)
def test_property_what_is_long_stands_for_what_it_says(text: str, times: int, data: bytes) -> None:
    text *= times
    data *= times
    value = {"a": Utf8(text.encode()), "b": [Base64(data), Ready(b'{"c":1}')]}
    assert all_of(value) == dumped({"a": text, "b": [base64.b64encode(data).decode(), {"c": 1}]})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, float("-inf")]])
def test_rfc_8259_6_what_is_no_number_cannot_be_written(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        all_of(value)
