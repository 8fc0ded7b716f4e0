"""gateway/core/pattern.py"""

import pytest
from core_messages import pattern

from gateway.core.destination import SEPARATORS_MAX, InvalidName
from gateway.core.pattern import MANY, MANY_INSIDE_MAX, Pattern, filter_from, literal


@pytest.mark.parametrize(
    ("wanted", "name", "answer"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a", False),
        ("a.b", "a.b.c", False),
        ("*", "a", True),
        ("*", "a.b", False),
        ("a.*", "a.b", True),
        ("a.*", "a.", True),
        ("a.*", "a", False),
        ("*.b", "a.b", True),
        (">", "a", True),
        (">", "a.b.c", True),
        ("a.>", "a", True),
        ("a.>", "a.b.c", True),
        ("a.>", "b", False),
        (">.c", "c", True),
        (">.c", "a.b.c", True),
        (">.c", "a.c.b", False),
        ("a.>.z", "a.z", True),
        ("a.>.z", "a.b.c.z", True),
        ("a.>.z", "a.b", False),
        (">.m.>", "a.m.b", True),
        (">.m.>", "m", True),
        (">.m.>", "a.b", False),
        ("*.>", "a", True),
        ("a..b", "a..b", True),
        ("a.*.b", "a..b", True),
        # U+0024 is hidden from wildcards in the first level (MQTT 5.0 §4.7.2), and only there.
        (">", "$SYS.x", False),
        ("*.x", "$SYS.x", False),
        (">.x", "$SYS.x", False),
        ("$SYS.>", "$SYS.x", True),
        ("$SYS.*", "$SYS.x", True),
        ("a.*", "a.$b", True),
        ("a.>", "a.$b", True),
        (">.$SYS", "$SYS", False),
    ],
)
def test_matches(wanted: str, name: str, answer: bool) -> None:
    assert pattern(wanted).matches(name) is answer


def test_a_literal_pattern_says_so_and_equals_its_like() -> None:
    assert literal("a.b").literal
    assert literal("a.b") == pattern("a.b")
    assert hash(literal("a.b")) == hash(pattern("a.b"))
    assert not pattern("a.*").literal
    assert not pattern("a.>").literal


def test_text_form_shows_wildcards() -> None:
    assert str(pattern("a.*.b.>")) == "a.*.b.>"


def test_many_manys_do_not_explode() -> None:
    # Backtracking would take 2^n steps here.
    assert not pattern(".".join([">", "a"] * 30 + ["z"])).matches(".".join(["a"] * 60))


def test_any_number_behind_any_number_is_any_number() -> None:
    assert filter_from([MANY, MANY, "a", MANY, MANY]) == pattern(">.a.>")
    assert filter_from([MANY] * (SEPARATORS_MAX + 1)) == pattern(">")


def test_a_filter_that_would_take_long_to_match_is_refused() -> None:
    inside = [MANY, "a"] * MANY_INSIDE_MAX
    assert filter_from([*inside, MANY]) == Pattern((*inside, MANY))
    for levels in ([*inside, MANY, "a"], ["a"] * (SEPARATORS_MAX + 2)):
        with pytest.raises(InvalidName):
            filter_from(levels)
