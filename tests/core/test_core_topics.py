"""gateway/core/topics.py"""

import sys
import time

import pytest
from core_doubles import COMPILED, needs_outlet
from core_messages import pattern
from core_queues import broker_with
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.limits import QueuePolicy
from gateway.core.pattern import MANY, ONE, Pattern, literal
from gateway.core.queue import Queue
from gateway.core.queue_key import named
from gateway.core.subscription import Binding, Sink
from gateway.core.topics import NAME_CACHED_MAX, TOPIC_OVERHEAD, Topic, TopicTree

BROKER = broker_with()


def sink(name: str = "s") -> Sink:
    """A sink that the compiled core takes too."""
    return Queue(BROKER, named(name), QueuePolicy())


def bound(tree: TopicTree, *texts: str) -> dict[str, Binding]:
    """A binding for each pattern, each with a sink of its own."""
    bindings = {text: Binding(pattern(text), sink(text)) for text in texts}
    for binding in bindings.values():
        tree.bind(binding)
    return bindings


def is_valid(tree: TopicTree, topic: Topic) -> bool:
    return topic.generation == tree.generation and topic.route.bindings is not None


def route(tree: TopicTree, topic: Topic) -> list[Binding]:
    """As Broker.announce finds it, without an authorizer."""
    known = topic.route.bindings
    return known if known is not None and is_valid(tree, topic) else tree.refresh(topic)


def matched(tree: TopicTree, name: str) -> list[str]:
    return sorted([str(binding.pattern) for binding in tree.match(name)])


def test_wildcards_anywhere() -> None:
    tree = TopicTree()
    bound(tree, "a.b", "a.*", "*.b", "*.*", ">", "a.>", ">.b", "a.>.b", "*.>.b", "a.b.>", "c")
    assert matched(tree, "a.b") == sorted(
        ["a.b", "a.*", "*.b", "*.*", ">", "a.>", ">.b", "a.>.b", "*.>.b", "a.b.>"]
    )
    assert matched(tree, "a") == [">", "a.>"]
    assert matched(tree, "a.x.b") == sorted([">", "a.>", ">.b", "a.>.b", "*.>.b"])
    assert matched(tree, "c") == [">", "c"]


def test_dollar_is_hidden_from_leading_wildcards() -> None:
    # MQTT 5.0 §4.7.2
    tree = TopicTree()
    bound(tree, ">", "*.x", ">.x", "$SYS.>", "$SYS.*", "$SYS.x")
    assert matched(tree, "$SYS.x") == sorted(["$SYS.>", "$SYS.*", "$SYS.x"])


def test_a_binding_reached_on_several_ways_is_found_once() -> None:
    tree = TopicTree()
    bound(tree, ">.>.a.>", ">.a.>.a")
    assert matched(tree, "a.a.a.a") == [">.>.a.>", ">.a.>.a"]


@pytest.mark.skipif(COMPILED, reason="lines of compiled code cannot be counted")
def test_filters_with_many_wildcards_cost_their_levels_and_not_the_depth_of_the_topic_too() -> None:
    def lines_of(depth: int) -> int:
        count = 0

        def look(frame: object, event: str, argument: object) -> object:
            nonlocal count
            count += 1
            return look

        before = sys.gettrace()
        sys.settrace(look)
        try:
            assert tree.match(".".join(["a"] * depth)) == []
        finally:
            sys.settrace(before)
        return count

    tree = TopicTree()
    bound(
        tree, *[f"*.{n}.x" for n in range(3)], *[">.a.>.a.>.a.>.a.>.a.>.a.>.a." + f"b{n}" for n in range(50)]
    )
    # Only the splitting of the name goes with its depth.
    assert lines_of(200) < 1.5 * lines_of(100)
    assert lines_of(200) < 2_000


def test_empty_levels_count() -> None:
    tree = TopicTree()
    bound(tree, "a.", "a", ".a", "a.*")
    assert matched(tree, "a.") == ["a.", "a.*"]
    assert matched(tree, "a") == ["a"]
    assert matched(tree, ".a") == [".a"]


def test_unbind_undoes_bind_and_prunes() -> None:
    tree = TopicTree()
    texts = ["a.b.c", "a.*.>", ">.x.*", "a"]
    bindings = bound(tree, *texts)
    assert tree.bindings_count == 4
    for text in texts:
        tree.unbind(bindings[text])
        assert matched(tree, "a.b.c") == sorted(
            [t for t in texts[texts.index(text) + 1 :] if pattern(t).matches("a.b.c")]
        )
    assert tree.bindings_count == 0
    if not COMPILED:
        # Nothing of the patterns is left.
        assert tree._root.empty()


def test_unbind_of_the_unknown_is_ignored() -> None:
    tree = TopicTree()
    bindings = bound(tree, "a.b")
    generation = tree.generation
    tree.unbind(Binding(pattern("a.b"), sink()))
    tree.unbind(Binding(pattern("a.c"), sink()))
    tree.unbind(Binding(pattern("a"), sink()))
    tree.unbind(Binding(pattern("x.>"), sink()))
    assert tree.bindings_count == 1
    assert tree.generation == generation
    tree.unbind(bindings["a.b"])
    tree.unbind(bindings["a.b"])
    assert tree.bindings_count == 0


def test_the_same_pattern_serves_many_sinks() -> None:
    tree = TopicTree()
    one, two = Binding(pattern("a"), sink()), Binding(pattern("a"), sink())
    tree.bind(one)
    tree.bind(two)
    tree.unbind(one)
    assert tree.match("a") == [two]


def test_one_topic_object_a_name_while_cached() -> None:
    tree = TopicTree()
    assert tree.topic("a.b") is tree.topic("a.b")
    assert tree.topic("a.b") is not tree.topic("a.c")
    assert tree.topics_cached == 2


def test_a_topic_follows_each_change_of_bindings() -> None:
    tree = TopicTree()
    topic = tree.topic("a.b")
    assert route(tree, topic) == []
    wild, exact = Binding(pattern("a.*"), sink()), Binding(pattern("a.b"), sink())
    tree.bind(wild)
    assert route(tree, topic) == [wild]
    tree.bind(exact)
    assert set(route(tree, topic)) == {wild, exact}
    tree.unbind(wild)
    assert route(tree, topic) == [exact]
    tree.unbind(exact)
    assert route(tree, topic) == []


def test_remembered_topics_are_bounded_in_bytes_and_held_ones_go_on() -> None:
    tree = TopicTree(bytes_max=3 * TOPIC_OVERHEAD + 100)
    held = tree.topic("a")
    for number in range(10):
        tree.topic(f"t{number}")
        assert tree.topics_cached <= 3
    assert tree.bytes <= 3 * TOPIC_OVERHEAD + 100
    assert route(tree, held) == []
    binding = Binding(pattern("a"), sink())
    tree.bind(binding)
    assert route(tree, held) == [binding]
    tree.unbind(binding)
    assert route(tree, held) == []


def test_a_name_that_is_too_long_to_be_remembered_is_routed_all_the_same() -> None:
    tree = TopicTree()
    topic = tree.topic("x" * (NAME_CACHED_MAX + 1))
    assert (tree.topics_cached, route(tree, topic)) == (0, [])
    binding = Binding(pattern(topic.name), sink())
    tree.bind(binding)
    assert route(tree, topic) == [binding]


def test_a_topic_is_looked_up_again_only_when_it_is_touched() -> None:
    tree = TopicTree()
    topic = tree.topic("a.b")
    binding = Binding(pattern("a.*"), sink())
    tree.bind(binding)
    before = route(tree, topic)
    # Other literal patterns, and more bindings of other patterns.
    more = bound(tree, "c", "a.c", "a.b.c")
    tree.bind(Binding(pattern("c"), sink()))
    assert is_valid(tree, topic)
    tree.unbind(more["a.c"])
    assert is_valid(tree, topic)
    # A new wildcard may match anything: it is looked up, and the same route is found.
    tree.bind(Binding(pattern("c.>"), sink()))
    assert not is_valid(tree, topic)
    assert route(tree, topic) is before


def test_overlapping_bindings_of_one_sink_give_one_copy() -> None:
    tree = TopicTree()
    first, other = sink(), sink()
    for text in ("a.b", "a.*", ">"):
        tree.bind(Binding(pattern(text), first))
    lone = Binding(pattern("a.b"), other)
    tree.bind(lone)
    found = route(tree, tree.topic("a.b"))
    assert len(found) == 2
    assert {binding.sink for binding in found} == {first, other}
    assert lone in found


@needs_outlet
def test_overlapping_bindings_are_merged_by_their_sink() -> None:
    class Merging(Sink):
        def merge(self, bindings: list[Binding]) -> Binding:
            merged.append(sorted([str(binding.pattern) for binding in bindings]))
            return bindings[-1]

    merged: list[list[str]] = []
    tree = TopicTree()
    one = Merging()
    for text in ("a.b", "a.*", "c"):
        tree.bind(Binding(pattern(text), one))
    found = route(tree, tree.topic("a.b"))
    assert merged == [["a.*", "a.b"]]
    assert len(found) == 1


def test_100_000_bindings_are_found_without_being_scanned() -> None:
    tree = TopicTree()
    one = sink()
    bindings = [Binding(literal(f"site.{number % 100}.device.{number}"), one) for number in range(100_000)]
    for binding in bindings:
        tree.bind(binding)
    wild = Binding(pattern("site.*.device.77"), one)
    tree.bind(wild)
    assert tree.bindings_count == 100_001
    start = time.perf_counter()
    for number in range(1_000):
        found = tree.match(f"site.{number % 100}.device.{number}")
        assert bindings[number] in found
        assert len(found) == (2 if number == 77 else 1)
    # A scan of all would take tens of seconds.
    assert time.perf_counter() - start < 2
    for binding in bindings:
        tree.unbind(binding)
    tree.unbind(wild)
    assert tree.bindings_count == 0
    assert tree.match("site.1.device.1") == []


LEVELS = st.sampled_from(["a", "b", "", "$x"])
NAMES = st.lists(LEVELS, min_size=1, max_size=5).map(".".join)
PATTERNS = st.lists(st.one_of(LEVELS, st.sampled_from([ONE, MANY])), min_size=1, max_size=5).map(
    lambda levels: Pattern(tuple(levels))
)


def test_leaving_a_pattern_of_many_looks_at_no_other_binding() -> None:
    tree = TopicTree()
    one = sink()
    bindings = [Binding(pattern("a"), one) for _ in range(5)]
    for binding in bindings:
        tree.bind(binding)
    for binding in (bindings[1], bindings[4], bindings[0]):
        tree.unbind(binding)
        assert binding.place == -1
    left = tree.match("a")
    assert set(left) == {bindings[2], bindings[3]}
    # Each knows its place, so it is found without a search.
    assert [binding.place for binding in left] == [0, 1]


@given(st.lists(PATTERNS, max_size=12), st.lists(NAMES, min_size=1, max_size=5), st.data())
@settings(deadline=None)
def test_the_tree_answers_as_each_pattern_would(
    patterns: list[Pattern], names: list[str], data: st.DataObject
) -> None:
    tree = TopicTree()
    bindings = [Binding(wanted, sink()) for wanted in patterns]
    for binding in bindings:
        tree.bind(binding)
    if bindings:
        for binding in data.draw(st.lists(st.sampled_from(bindings), unique_by=id)):
            tree.unbind(binding)
            bindings.remove(binding)
    for name in names:
        found = tree.match(name)
        assert len({id(binding) for binding in found}) == len(found)
        assert {id(binding) for binding in found} == {id(b) for b in bindings if b.pattern.matches(name)}


@given(
    st.lists(st.tuples(st.booleans(), PATTERNS, st.integers(0, 3)), max_size=30), st.lists(NAMES, min_size=1)
)
@settings(deadline=None)
def test_topics_hold_the_routes_that_the_tree_would_find_whatever_comes_and_goes(
    steps: list[tuple[bool, Pattern, int]], names: list[str]
) -> None:
    tree = TopicTree(bytes_max=3 * TOPIC_OVERHEAD, bindings_max=6)
    sinks = [sink(str(number)) for number in range(4)]
    topics = [tree.topic(name) for name in names]
    there: list[Binding] = []
    for comes, wanted, number in steps:
        if comes or not there:
            there.append(Binding(wanted, sinks[number]))
            tree.bind(there[-1])
        else:
            tree.unbind(there.pop(number % len(there)))
        for topic in topics:
            found = route(tree, topic)
            expected = {binding.sink for binding in there if binding.pattern.matches(topic.name)}
            assert len(found) == len(expected)
            assert {binding.sink for binding in found} == expected
            assert tree.routes.cost <= 6 or len(tree.routes) == 1
