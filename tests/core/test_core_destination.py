"""gateway/core/destination.py"""

import pytest

from gateway.core.destination import (
    MQTT_BYTES_MAX,
    NAME_BYTES_MAX,
    QUEUE,
    SEPARATORS_MAX,
    TOPIC,
    Destination,
    InvalidName,
    bound_separators,
    check_name,
)
from gateway.core.pattern import ONE, filter_from


def test_equal_by_kind_and_name() -> None:
    assert Destination(QUEUE, "a") == Destination(QUEUE, "a")
    assert Destination(QUEUE, "a") != Destination(TOPIC, "a")
    assert hash(Destination(QUEUE, "a")) == hash(Destination(QUEUE, "a"))
    assert {Destination(QUEUE, "a"): 1}[Destination(QUEUE, "a")] == 1


def test_text_form_names_the_kind() -> None:
    assert str(Destination(QUEUE, "a")) == "queue:a"
    assert str(Destination(TOPIC, "a.b")) == "topic:a.b"


def test_temporary_is_a_prefix() -> None:
    assert Destination(QUEUE, "mx.tmp.1.2").temporary
    assert not Destination(QUEUE, "mx.tmpfile").temporary


@pytest.mark.parametrize("name", ["a", "a.b", ".", "ä", "x" * MQTT_BYTES_MAX, "." * SEPARATORS_MAX])
def test_names_that_can_be(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("", "empty"),
        ("a\0b", "U\\+0000"),
        ("\ud800", "surrogates"),
        ("x" * (NAME_BYTES_MAX + 1), "longer"),
        ("ä" * (NAME_BYTES_MAX // 2 + 1), "longer"),
        ("." * (SEPARATORS_MAX + 1), "256 levels"),
    ],
)
def test_names_that_cannot_be(name: str, what: str) -> None:
    with pytest.raises(InvalidName, match=what):
        check_name(name)


def test_how_deep_names_may_be_is_for_the_operator_to_say() -> None:
    bound_separators(3)
    try:
        check_name("a.b.c.d")
        assert str(filter_from(["a", ONE, "c", "d"])) == "a.*.c.d"
        with pytest.raises(InvalidName, match="4 levels"):
            check_name("a.b.c.d.e")
        with pytest.raises(InvalidName, match="4 levels"):
            filter_from(["a", ONE, "c", "d", "e"])
    finally:
        bound_separators(SEPARATORS_MAX)
