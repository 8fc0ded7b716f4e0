"""gateway/core/selection_index.py"""

import pytest
from core_messages import message
from core_queues import broker_with
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.delivery import Delivery
from gateway.core.limits import QueuePolicy
from gateway.core.message import Fields, Typed
from gateway.core.queue import Queue
from gateway.core.queue_key import named
from gateway.core.selection import Selection
from gateway.core.selection_index import SelectionIndex
from gateway.core.selector import EQUALITIES_MAX, Selector
from gateway.core.selector_parser import parse_selector

BROKER = broker_with()
QUEUE = Queue(BROKER, named("q"), QueuePolicy())

TEXTS = ("x", "5", "5.0", "05", "true", "TRUE", "", "-0", "1e400")
LITERALS = [f"'{text}'" for text in TEXTS] + ["5", "5.0", "0", "1", "0x5", "1e400", "TRUE", "FALSE"]
NAMES = ("a", "b", "JMSPriority", "JMSType", "JMSRedelivered", "JMSXDeliveryCount", "JMSOwn")
VALUES: list[object] = [*TEXTS, True, False, 5, 5.0, 0, 1, -0.0, float("inf"), float("nan"), b"5", None]
VALUES += [Typed("i64", 5), Typed("f32", 5.0), Typed("uuid", "x")]


def selector(text: str, converts: bool = False) -> Selector:
    return parse_selector(text, 100_000, 64, converts)


def delivery(*properties: tuple[str, object], priority: int = 4, failures: int = 0) -> Delivery:
    one = message(BROKER, "q", priority=priority)
    one._fields = Fields()
    one._fields.properties = list(properties)
    made = Delivery(QUEUE, one, 1, None)
    made.failures = failures
    return made


def named(*selectors: Selector, of: Delivery) -> list[str]:
    """The texts of those that could want it."""
    index = SelectionIndex()
    for one in selectors:
        index.add(Selection(one))
    return [selection.selector.text for selection in index.candidates(of)]


ATOMS = st.one_of(
    st.builds("{} = {}".format, st.sampled_from(NAMES), st.sampled_from(LITERALS)),
    st.builds("{1} = {0}".format, st.sampled_from(NAMES), st.sampled_from(LITERALS)),
    st.builds("{} IN ('{}', '{}')".format, st.sampled_from(NAMES), st.sampled_from(TEXTS), st.just("y")),
    st.builds("{} <> {}".format, st.sampled_from(NAMES), st.sampled_from(LITERALS)),
    st.builds("{} IS NULL".format, st.sampled_from(NAMES)),
    st.sampled_from(["a", "a = b", "TRUE"]),
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({} AND {})".format, inner, inner),
        st.builds("({} OR {})".format, inner, inner),
        st.builds("NOT ({})".format, inner),
    ),
    max_leaves=5,
)


@given(
    CONDITIONS,
    st.booleans(),
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "JMSType", "JMSPriority", "JMSOwn"]), st.sampled_from(VALUES)),
        max_size=4,
    ),
    st.sampled_from([0, 4, 5]),
    st.integers(0, 1),
)
@example("a = '5'", True, [("a", 5.0)], 4, 0)
@example("a = TRUE", True, [("a", "TRUE")], 4, 0)
@example("a IN ('5')", True, [("a", "5")], 4, 0)
@settings(deadline=None, max_examples=500)
def test_whoever_wants_a_message_is_named(
    text: str, converts: bool, properties: list[tuple[str, object]], priority: int, failures: int
) -> None:
    one = selector(text, converts)
    of = delivery(*properties, priority=priority, failures=failures)
    if one.matches(of.message, of.failures, of.redelivered):
        assert named(one, of=of) == [text]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a = 'x'", "y"),
        ("'x' = a", "y"),
        ("a = 5", "5"),
        ("a = '5'", 5),
        ("a = 5", 6),
        ("a = 'x' AND b > 3", "y"),
        ("b > 3 AND (c LIKE 'z%' AND a = 'x')", "y"),
        ("a = 'x' OR a = 'z'", "y"),
        ("a IN ('x', 'z')", "y"),
        ("(a = 'x' OR a = 'z') AND b > 3", "y"),
    ],
)
def test_who_needs_another_value_is_not_named(text: str, value: object) -> None:
    assert named(selector(text), of=delivery(("a", value))) == []
    assert named(selector(text), of=delivery(("other", "x"))) == []


@pytest.mark.parametrize("text", ["a <> 'x'", "NOT a = 'x'", "a = 'x' OR b > 3", "a LIKE 'x'", "a IS NULL"])
def test_who_needs_no_equality_is_named_always(text: str) -> None:
    assert named(selector(text), of=delivery(("a", "y"))) == [text]


def test_more_equalities_than_are_worth_it_are_not_looked_up() -> None:
    few = " OR ".join([f"a = '{number}'" for number in range(EQUALITIES_MAX)])
    assert named(selector(few), of=delivery(("a", "y"))) == []
    many = few + " OR a = 'z'"
    assert named(selector(many), of=delivery(("a", "y"))) == [many]


def test_each_is_named_once_however_many_of_its_equalities_hold() -> None:
    text = "a = 'x' OR b = 'x' OR a = 'x'"
    assert named(selector(text), of=delivery(("a", "x"), ("b", "x"), ("a", "x"))) == [text]


@given(st.lists(st.tuples(CONDITIONS, st.booleans()), max_size=6))
@settings(deadline=None)
def test_nothing_is_left_of_those_that_are_gone(texts: list[tuple[str, bool]]) -> None:
    index = SelectionIndex()
    selections = [Selection(selector(text, converts)) for text, converts in texts]
    for selection in selections:
        index.add(selection)
    for selection in selections:
        index.remove(selection)
    assert (index._properties, index._headers, index._others) == ({}, {}, {})
