"""gateway/core/topics.py"""

import time

from core_doubles import COMPILED, broker_with, needs_outlet, pattern
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import topics as topics_module
from gateway.core.limits import QueuePolicy
from gateway.core.pattern import MANY, ONE, Pattern, literal
from gateway.core.queue import Queue
from gateway.core.subscription import Binding, Sink
from gateway.core.topics import TopicTree

BROKER = broker_with()


def sink(name: str = "s") -> Sink:
    """A sink that the compiled core takes too."""
    return Queue(BROKER, name, QueuePolicy())


def bound(tree: TopicTree, *texts: str) -> dict[str, Binding]:
    """A binding for each pattern, each with a sink of its own."""
    bindings = {text: Binding(pattern(text), sink(text)) for text in texts}
    for binding in bindings.values():
        tree.bind(binding)
    return bindings


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


def test_a_route_is_stale_after_any_change_of_bindings() -> None:
    tree = TopicTree()
    topic = tree.topic("a.b")
    assert topic.generation != tree.generation
    tree.refresh(topic)
    assert topic.generation == tree.generation
    binding = Binding(pattern("a.*"), sink())
    tree.bind(binding)
    assert topic.generation != tree.generation
    tree.refresh(topic)
    assert topic.route == [binding]
    tree.unbind(binding)
    assert topic.generation != tree.generation
    tree.refresh(topic)
    assert topic.route == []


@needs_outlet
def test_the_topic_cache_is_bounded_and_held_topics_go_on(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(topics_module, "TOPICS_CACHED_MAX", 3)
    tree = TopicTree()
    held = tree.topic("a")
    for number in range(10):
        tree.topic(f"t{number}")
        assert tree.topics_cached <= 3
    binding = Binding(pattern("a"), sink())
    tree.bind(binding)
    assert held.generation != tree.generation
    tree.refresh(held)
    assert held.route == [binding]


def test_overlapping_bindings_of_one_sink_give_one_copy() -> None:
    tree = TopicTree()
    first, other = sink(), sink()
    for text in ("a.b", "a.*", ">"):
        tree.bind(Binding(pattern(text), first))
    lone = Binding(pattern("a.b"), other)
    tree.bind(lone)
    topic = tree.topic("a.b")
    tree.refresh(topic)
    assert len(topic.route) == 2
    assert {binding.sink for binding in topic.route} == {first, other}
    assert lone in topic.route


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
    topic = tree.topic("a.b")
    tree.refresh(topic)
    assert merged == [["a.*", "a.b"]]
    assert len(topic.route) == 1


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
