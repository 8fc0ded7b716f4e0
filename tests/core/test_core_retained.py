"""gateway/core/retained.py"""

from core_doubles import broker_with, pattern, topic_message
from hypothesis import given, settings
from hypothesis import strategies as st
from test_core_topics import NAMES, PATTERNS

from gateway.core.message import Message
from gateway.core.pattern import Pattern
from gateway.core.retained import RetainedTree

BROKER = broker_with()


def value(name: str, body: bytes = b"x") -> Message:
    return topic_message(BROKER, name, body, retain=True)


def names(found: list[Message]) -> list[str]:
    return [message.destination.name for message in found]


def test_set_get_clear() -> None:
    tree = RetainedTree()
    first, second = value("a.b", b"12"), value("a.b", b"12345")
    tree.set("a.b", first)
    assert tree.get("a.b") is first
    assert tree.get("a") is None
    assert tree.get("a.b.c") is None
    assert (tree.count, tree.bytes) == (1, 2)
    tree.set("a.b", second)
    assert tree.get("a.b") is second
    assert (tree.count, tree.bytes) == (1, 5)
    assert not tree.clear("a")
    assert not tree.clear("a.b.c")
    assert tree.clear("a.b")
    assert not tree.clear("a.b")
    assert tree.get("a.b") is None
    assert (tree.count, tree.bytes) == (0, 0)


def test_clearing_a_parent_keeps_its_children_and_the_other_way_round() -> None:
    tree = RetainedTree()
    for name in ("a", "a.b", "a.b.c"):
        tree.set(name, value(name))
    assert tree.clear("a.b")
    assert names(tree.match(pattern("a.>"))) == ["a", "a.b.c"]
    assert tree.clear("a.b.c")
    assert names(tree.match(pattern(">"))) == ["a"]


def test_matches_come_in_order_of_publication() -> None:
    tree = RetainedTree()
    for name in ("z", "a.b", "m", "a"):
        tree.set(name, value(name))
    assert names(tree.match(pattern(">"))) == ["z", "a.b", "m", "a"]


def test_dollar_is_hidden_from_leading_wildcards() -> None:
    # MQTT 5.0 §4.7.2
    tree = RetainedTree()
    for name in ("$SYS.x", "$SYS", "a.$b", "a.x"):
        tree.set(name, value(name))
    assert names(tree.match(pattern(">"))) == ["a.$b", "a.x"]
    assert names(tree.match(pattern("*.x"))) == ["a.x"]
    assert names(tree.match(pattern(">.$SYS"))) == []
    assert names(tree.match(pattern("$SYS.>"))) == ["$SYS.x", "$SYS"]


@given(st.lists(NAMES, max_size=10), PATTERNS, st.data())
@settings(deadline=None)
def test_the_tree_answers_as_the_pattern_would(
    published: list[str], wanted: Pattern, data: st.DataObject
) -> None:
    tree = RetainedTree()
    model: dict[str, Message] = {}
    for name in published:
        model[name] = value(name, b"x" * data.draw(st.integers(1, 9)))
        tree.set(name, model[name])
    if model:
        for name in data.draw(st.lists(st.sampled_from(sorted(model)), unique=True)):
            assert tree.clear(name)
            del model[name]
    expected = sorted([message.id for name, message in model.items() if wanted.matches(name)])
    assert [message.id for message in tree.match(wanted)] == expected
    assert tree.count == len(model)
    assert tree.bytes == sum(message.size for message in model.values())
