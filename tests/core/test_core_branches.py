"""gateway/core/branches.py: what a look-up costs at the worst is known, and bounded."""

import itertools
from collections.abc import Iterator

import pytest
from core_messages import pattern
from core_queues import broker_with
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.even_parts import ORDINARY
from gateway.core.flow import Publisher
from gateway.core.limits import CoreLimits, LimitReached
from gateway.core.pattern import MANY, ONE, Pattern
from gateway.core.router import Broker
from gateway.core.subscription import Binding, Outlet
from gateway.core.topics import TopicTree

LEVELS = st.sampled_from(["a", "b", ONE, MANY])


def steps_of(patterns: set[tuple[str, ...]], behind: bool = False) -> int:
    """By the definition: of the literal levels the dearest counts, and all of them behind a MANY."""
    below: dict[str, set[tuple[str, ...]]] = {}
    for levels in patterns:
        if levels:
            below.setdefault(levels[0], set()).add(levels[1:])
    counts = {level: steps_of(rest, behind or level == MANY) for level, rest in below.items()}
    literal = [steps for level, steps in counts.items() if level not in (ONE, MANY)]
    return (
        1 + (sum(literal) if behind else max(literal, default=0)) + counts.get(ONE, 0) + counts.get(MANY, 0)
    )


@given(st.lists(st.tuples(st.lists(LEVELS, min_size=1, max_size=5).map(tuple), st.booleans()), max_size=30))
def test_the_steps_are_those_of_the_definition_whatever_comes_and_goes(
    changes: list[tuple[tuple[str, ...], bool]],
) -> None:
    tree = TopicTree()
    bound: dict[tuple[str, ...], Binding] = {}
    for levels, comes in changes:
        if comes and levels not in bound:
            bound[levels] = Binding(Pattern(levels), Outlet())
            tree.bind(bound[levels])
        elif not comes and levels in bound:
            tree.unbind(bound.pop(levels))
        assert tree.steps == steps_of(set(bound))


def crossing(levels: int) -> list[Pattern]:
    """All filters of so many levels that have a wildcard or an `a` in each."""
    return [Pattern((*levels, "z")) for levels in itertools.product((ONE, "a"), repeat=levels)]


def someone(address: str = "10.0.0.1", user: str | None = None) -> Publisher:
    publisher = Publisher(address, None)
    publisher.address = address
    publisher.user = user
    return publisher


def take_all(broker: Broker, filters: Iterator[Pattern], publisher: Publisher) -> list[Binding]:
    """As many as are let in."""
    taken: list[Binding] = []
    with pytest.raises(LimitReached, match="match the same names"):
        for one in filters:
            binding = Binding(one, Outlet())
            broker.bind(binding, publisher)
            taken.append(binding)
    return taken


def test_filters_whose_names_have_many_ways_are_refused_beyond_the_steps_that_a_look_up_may_take() -> None:
    broker = broker_with(CoreLimits(lookup_steps_max=1_000))
    asked = someone()
    broker.bind(Binding(pattern("sensors.*.x"), Outlet()), asked)
    taken = take_all(broker, iter(crossing(10)), asked)
    assert 360 <= broker.topics.steps <= 376
    # The one that was refused has left nothing, and those that are there go on.
    assert broker.topics.bindings_count == len(taken) + 1
    assert len(broker.topics.match("a." * 10 + "z")) == len(taken)
    # What adds nothing to the longest way is welcome, and so is what nobody asks for now.
    broker.bind(Binding(pattern("sensors.*.y"), Outlet()), asked)
    broker.bind(Binding(crossing(10)[-1], Outlet()))
    for binding in taken:
        broker.unbind(binding)
    assert broker.topics.steps <= 12
    broker.bind(Binding(crossing(10)[5], Outlet()), asked)


@pytest.mark.parametrize("apart", ["user", "address"])
def test_however_many_use_the_steps_of_a_look_up_each_has_an_even_part_and_others_find_some(
    apart: str,
) -> None:
    broker = broker_with(CoreLimits(lookup_steps_max=1_000))
    filters = iter(crossing(10))
    taken: list[list[Binding]] = []
    for count in range(1, 21):
        greedy = someone(f"10.0.0.{count}") if apart == "address" else someone("", f"u{count}")
        taken.append(take_all(broker, filters, greedy))
        assert broker.topics.steps <= 750 * count / (count + 1) + ORDINARY * count
    # A client with ordinary filters is served.
    honest = someone("10.0.1.1", "honest")
    for text in ("devices.*.status", "devices.7.>", "a.*.>", "*.*.z"):
        broker.bind(Binding(pattern(text), Outlet()), honest)
    for bindings in taken:
        for binding in bindings:
            broker.unbind(binding)
    # What is free again, anybody may have.
    assert len(take_all(broker, iter(crossing(10)), greedy)) > 50


def test_who_has_no_name_and_no_address_is_one_with_all_like_that() -> None:
    broker = broker_with(CoreLimits(lookup_steps_max=1_000))
    filters = iter(crossing(10))
    take_all(broker, filters, someone(""))
    assert broker.topics.steps <= 376
    assert take_all(broker, filters, someone("")) == []
    broker.bind(Binding(next(filters), Outlet()), someone("", "u"))


def test_what_is_added_beside_something_longer_counts_once_it_is_the_longest_itself() -> None:
    """Else somebody might hide it there, and add as much once more."""
    broker = broker_with(CoreLimits(lookup_steps_max=1_000))
    greedy = someone()

    def beside(name: str) -> Iterator[Pattern]:
        return iter([Pattern((name, *one.levels)) for one in crossing(10)])

    longest = take_all(broker, beside("first"), greedy)
    hidden = [Binding(one, Outlet()) for one, _ in zip(beside("second"), longest, strict=False)]
    for binding in hidden:
        broker.bind(binding, greedy)
    steps = broker.topics.steps
    for binding in longest:
        broker.unbind(binding)
    assert broker.topics.steps == steps
    # On top of both, and as part of either.
    for filters in (iter([Pattern((ONE, *one.levels)) for one in crossing(10)]), beside("second")):
        take_all(broker, filters, greedy)
        assert broker.topics.steps <= 376
    broker.bind(Binding(pattern("*.*.z"), Outlet()), someone("10.0.0.2"))


@pytest.mark.parametrize("leaving", ["the same", "longer"])
def test_what_somebody_has_added_counts_for_as_long_as_it_is_there_whoever_uses_it_by_then(
    leaving: str,
) -> None:
    broker = broker_with(CoreLimits(lookup_steps_max=266))
    asked = someone(user="u")
    other = someone("10.0.0.2")

    def take(number: int) -> None:
        one = Binding(Pattern((MANY, *[f"l{number}"] * 9, "a")), Outlet())
        broker.bind(one, asked)
        # Another uses all of its levels, or all but the last.
        broker.bind(
            Binding(Pattern(one.pattern.levels[: 11 if leaving == "the same" else 10]), Outlet()), other
        )
        broker.unbind(one)

    with pytest.raises(LimitReached):
        for number in range(100):
            take(number)
    assert 90 <= broker.topics.steps <= 110


def test_what_an_earlier_run_has_left_counts_for_whose_it_is() -> None:
    broker = broker_with(CoreLimits(lookup_steps_max=1_000))
    filters = iter(crossing(10))
    owner = someone("", "u")
    for _ in range(300):
        broker.bind(Binding(next(filters), Outlet(), owner=owner))
    assert broker.topics.steps > 376
    assert take_all(broker, filters, someone("10.0.0.1", "u")) == []
    broker.bind(Binding(next(filters), Outlet()), someone("10.0.0.1", "v"))


def test_who_comes_and_goes_has_added_nothing() -> None:
    broker = broker_with(CoreLimits(lookup_steps_max=50))
    asked = someone(user="u")
    before = broker.topics.steps
    stays = Binding(pattern(">.a.b"), Outlet())
    broker.bind(stays, asked)
    for number in range(100):
        comes = Binding(pattern(f">.a.c{number}.d.e"), Outlet())
        broker.bind(comes, asked)
        broker.unbind(comes)
    broker.unbind(stays)
    assert broker.topics.steps == before


def test_a_hundred_thousand_filters_in_nobodys_way_cost_a_few_steps() -> None:
    tree = TopicTree(steps_max=1_000)
    for n in range(100_000):
        tree.bind(Binding(Pattern(("sensors", ONE, f"x{n}")), Outlet()), someone())
    assert tree.steps == 4
    for n in range(1_000):
        tree.bind(Binding(Pattern((f"site{n}", ONE, f"x{n}", MANY)), Outlet()), someone())
    assert tree.steps == 5
