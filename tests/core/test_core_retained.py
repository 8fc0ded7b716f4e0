"""gateway/core/retained.py"""

import tracemalloc

from core_messages import message, pattern, topic_message
from core_queues import broker_with
from hypothesis import given, settings
from hypothesis import strategies as st
from test_core_topics import NAMES, PATTERNS

from gateway.core.destination import TOPIC
from gateway.core.footprint import LEVEL_BYTES
from gateway.core.message import Message
from gateway.core.pattern import Pattern
from gateway.core.retained import RetainedTree
from gateway.core.searching import Walk
from gateway.core.timetable import VAIN_MIN

BROKER = broker_with()


def value(name: str, body: bytes = b"x") -> Message:
    return topic_message(BROKER, name, body, retain=True)


def expiring(name: str, expires_at_ms: int) -> Message:
    return message(BROKER, name, kind=TOPIC, retain=True, expires_at_ms=expires_at_ms)


def found(tree: RetainedTree, wanted: Pattern) -> list[Message]:
    """What it has under `wanted`, in order of publication."""
    walk = Walk(tree.root, wanted, tree.changes)
    messages: list[Message] = []
    while not walk.over:
        messages += walk.step()
    return sorted(messages)


def names(messages: list[Message]) -> list[str]:
    return [message.destination.name for message in messages]


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


def test_levels_behind_the_eighth_count_once_however_many_names_share_them_and_while_they_are_there() -> None:
    tree = RetainedTree()
    deep = "a.b.c.d.e.f.g.h"
    sizes: list[int] = []
    for name in (deep, f"{deep}.i", f"{deep}.i.j.k", f"{deep}.i.x", "a.b.c.d.e.f.g.h.i.x.y"):
        more = tree.more_bytes(name, value(name))
        before = tree.bytes
        tree.set(name, value(name))
        assert tree.bytes == before + more
        assert tree.more_bytes(name, value(name, b"123")) == 2
        sizes.append(more - 1)
    assert sizes == [count * LEVEL_BYTES for count in (0, 1, 2, 1, 1)]
    for name in (deep, f"{deep}.i.j.k", f"{deep}.i", f"{deep}.i.x.y"):
        tree.clear(name)
    assert tree.bytes == 1 + 2 * LEVEL_BYTES
    tree.clear(f"{deep}.i.x")
    assert (tree.bytes, tree.count) == (0, 0)


def test_a_name_of_many_levels_takes_no_more_memory_than_counts() -> None:
    tree = RetainedTree()
    tracemalloc.start()
    try:
        for number in range(200):
            name = f"{number}" + ".a" * 200
            tree.set(name, value(name))
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert tree.bytes / 2 < taken < tree.bytes * 2


def test_clearing_a_parent_keeps_its_children_and_the_other_way_round() -> None:
    tree = RetainedTree()
    for name in ("a", "a.b", "a.b.c"):
        tree.set(name, value(name))
    assert tree.clear("a.b")
    assert names(found(tree, pattern("a.>"))) == ["a", "a.b.c"]
    assert tree.clear("a.b.c")
    assert names(found(tree, pattern(">"))) == ["a"]


def test_matches_come_in_order_of_publication() -> None:
    tree = RetainedTree()
    for name in ("z", "a.b", "m", "a"):
        tree.set(name, value(name))
    assert names(found(tree, pattern(">"))) == ["z", "a.b", "m", "a"]


def test_values_leave_when_their_time_has_run_out_the_earliest_first() -> None:
    tree = RetainedTree()
    for name, expires_at_ms in (("late", 30), ("never", 0), ("early", 10), ("middle", 20)):
        tree.set(name, expiring(name, expires_at_ms))
    assert not tree.is_due(9)
    assert tree.is_due(10)
    assert tree.take_expired(25, 1) == ["early"]
    assert tree.take_expired(25, 9) == ["middle"]
    assert not tree.is_due(25)
    assert names(found(tree, pattern(">"))) == ["late", "never"]
    assert (tree.count, tree.bytes) == (2, 2)


def test_a_value_that_replaced_an_expiring_one_stays() -> None:
    tree = RetainedTree()
    tree.set("a", expiring("a", 10))
    tree.set("a", expiring("a", 0))
    tree.set("b", expiring("b", 10))
    tree.set("b", expiring("b", 50))
    tree.set("c", expiring("c", 10))
    tree.clear("c")
    assert tree.take_expired(20, 9) == []
    assert names(found(tree, pattern(">"))) == ["a", "b"]


def test_what_is_known_of_expiry_is_bounded_by_the_values_however_often_they_change() -> None:
    tree = RetainedTree()
    for round_number in range(1_000):
        for name in ("a", "b"):
            tree.set(name, expiring(name, 1_000_000 - round_number))
    assert tree.expiring <= 2 * (2 * 2 + VAIN_MIN)


def test_dollar_is_hidden_from_leading_wildcards() -> None:
    # MQTT 5.0 §4.7.2
    tree = RetainedTree()
    for name in ("$SYS.x", "$SYS", "a.$b", "a.x"):
        tree.set(name, value(name))
    assert names(found(tree, pattern(">"))) == ["a.$b", "a.x"]
    assert names(found(tree, pattern("*.x"))) == ["a.x"]
    assert names(found(tree, pattern(">.$SYS"))) == []
    assert names(found(tree, pattern("$SYS.>"))) == ["$SYS.x", "$SYS"]


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
    assert [message.id for message in found(tree, wanted)] == expected
    assert tree.count == len(model)
    assert tree.bytes == sum(message.size for message in model.values())
