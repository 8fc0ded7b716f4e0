"""gateway/core/searching.py"""

from core_messages import pattern, topic_message
from core_queues import broker_with
from hypothesis import given, settings
from hypothesis import strategies as st
from test_core_topics import NAMES, PATTERNS

from gateway.core.flow import Publisher
from gateway.core.message import Message
from gateway.core.pattern import Pattern
from gateway.core.retained import RetainedTree
from gateway.core.router import Broker
from gateway.core.searching import NODES_AT_ONCE, Search, Seeker, Walk

ANYONE = Publisher("c", None)


class Told(Seeker):
    """Counts how often it was told."""

    def __init__(self) -> None:
        self.count = 0

    def found(self) -> None:
        self.count += 1


def retain(broker: Broker, name: str, body: bytes = b"x") -> Message:
    one = topic_message(broker, name, body, retain=True)
    broker.publish(one, broker.topics.topic(name))
    return one


def driven() -> Broker:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    return broker


def taken(search: Search) -> list[str]:
    names = []
    while (message := search.take()) is not None:
        names.append(message.destination.name)
    return names


def test_few_values_are_found_at_once() -> None:
    broker = driven()
    for name in ("z", "a.b", "m"):
        retain(broker, name)
    told = Told()
    search = broker.values.search([pattern(">")], ANYONE)
    search.begin(told)
    assert search.done
    assert taken(search) == ["z", "a.b", "m"]
    assert (told.count, len(broker.chores)) == (0, 0)


def test_many_values_are_found_some_a_turn_and_told_of_in_order() -> None:
    broker = driven()
    names = [f"t.{number * 7919 % 1_000}" for number in range(1_000)]
    for name in names:
        retain(broker, name)
    told = Told()
    search = broker.values.search([pattern(">")], ANYONE)
    search.begin(told)
    steps = 0
    while not search.done:
        assert told.count == 0
        broker.chores.step()
        steps += 1
    assert steps >= 1_000 // NODES_AT_ONCE
    assert told.count == 1
    assert taken(search) == names


def test_a_step_looks_at_no_more_nodes_whatever_the_pattern_matches() -> None:
    tree = RetainedTree()
    broker = broker_with()
    for number in range(2_000):
        tree.set(f"a.{number}.x", topic_message(broker, f"a.{number}.x"))
    for text in (">", "a.*.nothing", ">.nothing", "*.>.x.>"):
        walk = Walk(tree.root, pattern(text), tree.changes)
        steps = 0
        while not walk.over:
            assert len(walk.step()) <= NODES_AT_ONCE
            steps += 1
        # Each of the 4,001 nodes once and its visit's end once, however often MANY stands in the pattern.
        assert steps <= 8_004 // NODES_AT_ONCE + 1


def test_a_literal_pattern_looks_at_its_own_levels_only() -> None:
    broker = driven()
    for number in range(1_000):
        retain(broker, f"a.{number}")
    search = broker.values.search([pattern("a.77")], ANYONE)
    search.begin(Told())
    assert search.done
    assert taken(search) == ["a.77"]


def test_what_changes_while_a_search_goes_on_is_left_to_the_live_messages() -> None:
    broker = driven()
    for number in range(1_000):
        retain(broker, f"t.{number}")
    search = broker.values.search([pattern("t.*")], ANYONE)
    search.begin(Told())
    retain(broker, "t.999", b"new")
    retain(broker, "t.998", b"")
    retain(broker, "t.1000")
    retain(broker, "t.997", b"")
    retain(broker, "t.997", b"again")
    broker.chores.finish()
    assert taken(search) == [f"t.{number}" for number in range(997)]


def test_a_search_that_nobody_wants_any_more_ends_with_its_next_step() -> None:
    broker = driven()
    for number in range(1_000):
        retain(broker, f"t.{number}")
    told = Told()
    search = broker.values.search([pattern(">")], ANYONE)
    search.begin(told)
    search.stop()
    assert not broker.chores.step()
    assert (told.count, search.over) == (0, True)


def test_several_patterns_find_each_value_once() -> None:
    broker = driven()
    for name in ("a.b", "a.c", "b"):
        retain(broker, name)
    search = broker.values.search([pattern("a.*"), pattern("a.b"), pattern(">")], ANYONE)
    search.begin(Told())
    assert taken(search) == ["a.b", "a.c", "b"]


@given(st.lists(NAMES, max_size=12), st.lists(NAMES, max_size=6), PATTERNS, st.integers(0, 6))
@settings(deadline=None)
def test_no_value_that_was_there_and_stays_is_missed(
    before: list[str], meanwhile: list[str], wanted: Pattern, at: int
) -> None:
    """The tree changes in the midst of a walk that looks at one node a step."""
    broker = broker_with()
    tree = RetainedTree()
    for name in before:
        tree.set(name, topic_message(broker, name))
    walk = Walk(tree.root, wanted, tree.changes)
    found: list[str] = []
    for _ in range(at):
        found += [message.destination.name for message in walk.look(1)]
    for number, name in enumerate(meanwhile):
        if number % 2:
            tree.clear(name)
        else:
            tree.set(name, topic_message(broker, name))
    while not walk.over:
        found += [message.destination.name for message in walk.look(1)]
    stayed = {name for name in before if name not in meanwhile and wanted.matches(name)}
    assert len(set(found)) == len(found)
    assert stayed <= set(found) <= {name for name in before if wanted.matches(name)}
