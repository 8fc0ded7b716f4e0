"""protocols/gatewayjson/reading.py: the same values as Python's parser, a part at a time."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.gatewayjson.codec import load
from protocols.gatewayjson.errors import JsonError
from protocols.gatewayjson.reading import AT_ONCE, BESIDE_MAX, NESTED_MAX, TOKENS_AT_ONCE, WHOLE, JsonText


def read(data: bytes, values_max: int = 1_000_000) -> Any:
    """Its value, read to the end."""
    text = JsonText(data, values_max)
    while not text.step():
        pass
    return text.value


def stepped(data: bytes) -> list[int]:
    """Where each step has come to."""
    text = JsonText(data, 10_000_000)
    places = [0]
    while not text.step():
        places.append(text._at)
    return places


TEXT = st.text(max_size=20) | st.sampled_from(
    ["\\", '"', "\U0001f600", "é" * 3_000, "\n" * 3_000, "x" * 10_000]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_property_what_is_written_is_read(value: Any, ascii_only: bool, indent: int | None) -> None:
    try:
        data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    except UnicodeEncodeError:
        return
    assert read(data) == value
    # And where nothing is small enough to be read as a whole.
    around = b'{"a":[' + data + b"," + b" " * WHOLE + b"1]}"
    assert read(around) == {"a": [value, 1]}


@given(st.text('[]{}:,"\\ntrufalse01.eE+- \x00é', max_size=30))
def test_property_what_is_no_json_for_one_is_none_for_the_other(text: str) -> None:
    data = text.encode()
    try:
        value = load(data)
    except JsonError as error:
        with pytest.raises(JsonError) as caught:
            read(data)
        assert caught.value.code == error.code
    else:
        assert read(data) == value


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_json"),
        (b"[" * 1_000_000, "bad_json"),
        (b'{"a":1,"a":2,"b":"' + b"x" * WHOLE + b'"}', "bad_json"),
        (b'["\xff' + b"x" * WHOLE + b'"]', "bad_json"),
        (b'["\xc3"' + b" " * WHOLE + b"]", "bad_json"),
        (b"[NaN," + b" " * WHOLE + b"1]", "bad_json"),
        (b"[01," + b" " * WHOLE + b"1]", "bad_json"),
        (b"[1.," + b" " * WHOLE + b"1]", "bad_json"),
        (b"[" + b"1" * 5_000 + b"]", "bad_json"),
        (b'["\\x"' + b" " * WHOLE + b"]", "bad_json"),
        (b'["\n"' + b" " * WHOLE + b"]", "bad_json"),
        (b'["a" "b"' + b" " * WHOLE + b"]", "bad_json"),
        (b'["a",' + b" " * WHOLE + b"]", "bad_json"),
        (b'{"a"' + b" " * WHOLE + b"}", "bad_json"),
        (b'{1:2,"' + b"x" * WHOLE + b'":1}', "bad_json"),
        (b"[1]" + b" " * WHOLE + b"1", "bad_json"),
        (b'["' + b"x" * WHOLE, "bad_json"),
        (b"[1e999," + b" " * WHOLE + b"1]", "bad_request"),
    ],
    ids=range(18),
)
def test_rfc_8259_what_is_none_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(JsonError) as caught:
        read(data)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("data", "halves"),
    [
        (b'["\\ud800",' + b" " * WHOLE + b"1]", [0]),
        (b'{"x":["\\ud800"],"' + b"x" * WHOLE + b'":1}', [0]),
        (b'{"\\ud800' + b"x" * WHOLE + b'":1}', [0]),
        (b'"' + b"\\ud800" * 10_000 + b'"', [0]),
        (b'[1,"' + b"x" * WHOLE + b'\\ud83d","\\ude00",3,["\\udfff"],"\\ud83d\\ude00"]', [1, 2, 4]),
        (b'["\\ud83d\\ude00' + b"x" * WHOLE + b'\\ud83d\\ude00"]', []),
        (b'["a\\ude00\\ud83d","' + b"x" * WHOLE + b'"]', [0]),
    ],
    ids=range(7),
)
def test_half_of_a_surrogate_pair_is_found_where_it_is(data: bytes, halves: list[int]) -> None:
    text = JsonText(data)
    while not text.step():
        pass
    assert text.halves == halves
    assert text.value == json.loads(data)


def test_many_halves_cost_no_more_than_as_many_other_escapes() -> None:
    """Python's codec takes a microsecond for each, in one go."""
    data = b'["' + b"\\ud800" * 100_000 + b'"]'
    assert max(after - before for before, after in itertools.pairwise(stepped(data))) <= 2 * AT_ONCE


@pytest.mark.parametrize("before", range(12))
def test_rfc_8259_7_an_escaped_pair_is_one_character_wherever_the_text_is_cut(before: int) -> None:
    data = b'"' + b"x" * before + b"\\ud83d\\ude00" * 3_000 + b'"'
    assert read(data) == "x" * before + "\U0001f600" * 3_000


def test_values_are_counted_as_they_are_made_and_what_stands_in_texts_is_none() -> None:
    data = b"[" + b",".join([b'{"a":",,[[{{","b":1}'] * 1_000) + b"]"
    assert len(read(data, 3_000)) == 1_000
    with pytest.raises(JsonError, match="more than 2999 values"):
        read(data, 2_999)
    # A text of commas only is one value.
    assert read(b'["' + b"," * 100_000 + b'"]', 1) == ["," * 100_000]


@pytest.mark.parametrize(
    "data",
    [
        b'["' + b"x" * 500_000 + b'"]',
        b'["' + "é".encode() * 250_000 + b'"]',
        b'["' + b"\\n" * 250_000 + b'"]',
        b"[" + b" " * 500_000 + b"]",
        b"[" + b",".join([b'{"a":1}'] * 60_000) + b"]",
        b'{"a":{' + b",".join([b'"k%d":1' % n for n in range(50_000)]) + b"}}",
        b"[" + b",".join([b"1" * 4_000] * 100) + b"]",
        b"[" + b",".join([b'{"a":"' + b"x" * WHOLE + b'"}'] * 200) + b"]",
    ],
    ids=["text", "UTF-8", "escapes", "spaces", "objects", "names", "digits", "cut"],
)
def test_however_a_large_text_is_made_a_step_reads_little_of_it(data: bytes) -> None:
    places = stepped(data)
    steps = [after - before for before, after in itertools.pairwise(places)]
    # Each step goes on, and the last token of one may be as large as what is read in one go.
    assert min(steps) > 0
    assert max(steps) <= 2 * AT_ONCE


def test_no_more_tokens_are_read_in_a_step_than_are_worth_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"[" + b",".join([b'"k"'] * 20_000) + b"," + b" " * 10_000 + b"1]"
    places = stepped(data)
    # Four bytes a text and its comma, which are two tokens.
    assert max([after - before for before, after in itertools.pairwise(places)][:-2]) <= max(
        TOKENS_AT_ONCE * 2, WHOLE
    )


@pytest.mark.parametrize("text", ['["a"]', '["\\ud800"]'])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_8259_8_1_what_is_not_utf8_is_no_json_for_either(text: str, encoding: str) -> None:
    for reader in (load, read):
        with pytest.raises(JsonError, match="not JSON"):
            reader(text.encode(encoding))


@pytest.mark.parametrize("data", [b'"\xed\xa0\x80"', b'{"\xed\xa0\xbd\xed\xb8\x80":1}'])
def test_8259_8_1_a_surrogate_written_as_bytes_is_no_text_for_either(data: bytes) -> None:
    for reader in (load, read):
        with pytest.raises(JsonError, match="not JSON"):
            reader(data)


def test_8259_8_1_a_byte_order_mark_is_passed_over_by_both() -> None:
    for reader in (load, read):
        assert reader(b'\xef\xbb\xbf["a"]') == ["a"]
        with pytest.raises(JsonError, match="not JSON"):
            reader(b"\xef\xbb\xbf")


@pytest.mark.parametrize("space", [0, WHOLE], ids=["together", "apart"])
@pytest.mark.parametrize("inner", [1, 250, 400])
def test_both_take_the_same_depth_however_it_is_spread_and_python_can_write_it(
    inner: int, space: int
) -> None:
    for reader in (load, read):
        outer = NESTED_MAX - inner
        ends = b"[" * outer + b" " * space + b"[" * inner, b"]" * inner + b"]" * outer
        json.dumps(reader(b"".join(ends)))
        # As many brackets again, side by side, are no deeper.
        json.dumps(reader(b"[" + b"[]," * NESTED_MAX + b"[" + b"]]"))
        with pytest.raises(JsonError, match="nested too deeply"):
            reader(b"[" + b"".join(ends) + b"]")


BESIDE = b'"' + b"x" * (BESIDE_MAX // 2) + b'"'


@pytest.mark.parametrize(
    "text",
    [
        b'{"op":"publish","body":"' + b"x" * BESIDE_MAX + b'","a":%b}' % BESIDE,
        b'{"op":"publish","body":{"a":["' + b"x" * BESIDE_MAX + b'"]},"a":%b}' % BESIDE,
        b'{"op":"publish","body_b64":"' + b"AAAA" * BESIDE_MAX + b'","a":%b}' % BESIDE,
        b"[" + b",".join([b'{"op":"publish","a":%b}' % BESIDE] * 4) + b"]",
    ],
    ids=["text", "value", "packed", "several"],
)
def test_a_body_does_not_count_among_what_is_beside_it(text: bytes) -> None:
    reading = JsonText(text, keeps=True)
    while not reading.step():
        pass


@pytest.mark.parametrize(
    "text",
    [
        b'{"op":"publish","a":%b,"b":%b}' % (BESIDE, BESIDE),
        b'{"op":"publish","properties":{"a":%b,"b":{"c":[%b]}}}' % (BESIDE, BESIDE),
        b'{"op":"publish","body":"x","a":%b,"b":[%b]}'
        % (BESIDE, b",".join([b"1" * 4_000] * (BESIDE_MAX // 8_000 + 1))),
        b'{"body":"x",%b:1,%b:2}' % (BESIDE, BESIDE[:-2] + b'y"'),
        b'[{"op":"ping"},{"op":"publish","a":%b,"b":%b}]' % (BESIDE, BESIDE),
    ],
    ids=["texts", "within", "digits", "names", "several"],
)
def test_what_is_beside_a_body_is_bounded(text: bytes) -> None:
    """It is handled in one go."""
    reading = JsonText(text, keeps=True)
    with pytest.raises(JsonError, match="beside"):
        while not reading.step():
            pass
    # Where a body itself is looked at there is nothing beside it.
    whole = JsonText(text)
    while not whole.step():
        pass
