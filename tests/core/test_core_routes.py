"""gateway/core/routes.py"""

import gc

import pytest
from core_messages import pattern
from core_queues import broker_with

from gateway.core.chores import Chores
from gateway.core.destination import Destination
from gateway.core.flow import Publisher
from gateway.core.limits import QueuePolicy
from gateway.core.ports import Authorizer
from gateway.core.queue import Queue
from gateway.core.queue_key import named
from gateway.core.routes import DROPPED_AT_ONCE
from gateway.core.subscription import Binding, Sink
from gateway.core.topics import Topic, TopicTree

BROKER = broker_with()


class Rules(Authorizer):
    """Lets publishers receive what `allowed` says; topics with the same first level are alike."""

    def __init__(self, allowed: set[tuple[str, str]]) -> None:
        super().__init__()
        self.restricts_receive = True
        self.allowed = allowed
        self.asked = 0

    def may_receive(self, publisher: Publisher, destination: Destination) -> bool:
        self.asked += 1
        return (publisher.id, destination.name.split(".")[0]) in self.allowed

    def receivers(self, destination: Destination) -> object:
        return destination.name.split(".")[0]


class Named(Rules):
    """The same, for rules of which nothing more is known."""

    def receivers(self, destination: Destination) -> object:
        return Authorizer.receivers(self, destination)


def sink(name: str = "s") -> Sink:
    return Queue(BROKER, named(name), QueuePolicy())


def bind(tree: TopicTree, text: str, owner: Publisher | None = None) -> Binding:
    binding = Binding(pattern(text), sink(), None, owner)
    tree.bind(binding)
    return binding


def topics_of(tree: TopicTree, count: int) -> list[Topic]:
    topics = [tree.topic(f"a.{number}") for number in range(count)]
    for topic in topics:
        tree.refresh(topic)
    return topics


def test_topics_that_match_the_same_patterns_share_a_route() -> None:
    tree = TopicTree()
    for _ in range(100):
        bind(tree, ">")
    bind(tree, "a.7")
    topics = topics_of(tree, 50)
    assert len({id(topic.route) for topic in topics}) == 2
    # A hundred and one bindings, a hundred, and the two themselves: not fifty times a hundred.
    assert tree.routes.cost == 203


def test_a_change_drops_the_routes_of_its_pattern_and_no_others() -> None:
    tree = TopicTree()
    bind(tree, "a.*")
    leaver = bind(tree, "b.*")
    one, other = tree.topic("a.x"), tree.topic("b.x")
    tree.refresh(one)
    tree.refresh(other)
    kept = one.route.bindings
    tree.unbind(leaver)
    assert other.route.bindings is None
    assert one.route.bindings is kept
    assert one.generation == tree.generation


def test_bindings_in_routes_are_bounded_and_the_oldest_are_made_again() -> None:
    tree = TopicTree(bindings_max=40)
    for number in range(20):
        for _ in range(5):
            bind(tree, f"a.{number}")
    topics = topics_of(tree, 20)
    assert tree.routes.cost <= 40
    assert topics[0].route.bindings is None
    assert len(tree.refresh(topics[0])) == 5
    assert topics[19].route.bindings is not None


def test_a_route_larger_than_the_bound_is_kept_alone() -> None:
    tree = TopicTree(bindings_max=3)
    for _ in range(10):
        bind(tree, "a.*")
    bind(tree, "b")
    tree.refresh(tree.topic("b"))
    assert len(tree.refresh(tree.topic("a.x"))) == 10
    assert len(tree.routes) == 1


def test_who_has_left_is_not_kept_in_memory_by_a_route() -> None:
    tree = TopicTree()
    leaver = bind(tree, "a.*")
    bind(tree, "a.*")
    topics = topics_of(tree, 2)
    tree.unbind(leaver)
    assert all(topic.route.bindings is None for topic in topics)
    assert [holder for holder in gc.get_referrers(leaver) if isinstance(holder, list)] == []


def test_many_routes_of_one_pattern_end_in_later_turns() -> None:
    chores = Chores()
    chores.driven_by(lambda: None)
    tree = TopicTree(chores=chores)
    count = 4 * DROPPED_AT_ONCE
    everywhere = bind(tree, ">")
    for number in range(count):
        bind(tree, f"a.{number}")
    topics = topics_of(tree, count)
    assert len(tree.routes) == count
    more = bind(tree, ">")
    assert len(tree.routes) == count
    # Nobody goes on with an old one, whether or not it has been dropped yet.
    assert len(chores) == 1
    assert more in tree.refresh(topics[0])
    assert all(topic.generation != tree.generation for topic in topics[1:])
    tree.unbind(everywhere)
    assert everywhere not in tree.refresh(topics[1])
    steps = 1
    while chores.step():
        steps += 1
    assert steps >= 4
    assert len(tree.routes) <= 2


def test_who_may_not_receive_is_left_out_and_asked_once_for_topics_that_are_alike() -> None:
    tree = TopicTree()
    rules = Rules({("one", "a")})
    allowed = bind(tree, ">", Publisher("one", None))
    bind(tree, ">", Publisher("two", None))
    everybodys = bind(tree, ">")
    for number in range(10):
        assert set(tree.refresh(tree.topic(f"a.{number}"), rules)) == {allowed, everybodys}
        assert tree.refresh(tree.topic(f"b.{number}"), rules) == [everybodys]
    assert rules.asked == 4
    assert len(tree.routes) == 2


def test_rules_that_know_no_topics_alike_decide_for_each() -> None:
    tree = TopicTree()
    rules = Named({("one", "a")})
    allowed = bind(tree, ">", Publisher("one", None))
    assert tree.refresh(tree.topic("a.1"), rules) == [allowed]
    assert tree.refresh(tree.topic("b.1"), rules) == []


@pytest.mark.parametrize("many", [1, 2 * DROPPED_AT_ONCE])
def test_when_rules_change_every_topic_is_decided_anew(many: int) -> None:
    tree = TopicTree()
    rules = Named({("one", "a")})
    binding = bind(tree, ">", Publisher("one", None))
    topics = [tree.topic(f"a.{number}") for number in range(many)]
    assert all(tree.refresh(topic, rules) == [binding] for topic in topics)
    rules.allowed.clear()
    rules.generation += 1
    tree.forget_routes()
    assert all(topic.generation != tree.generation for topic in topics)
    assert all(tree.refresh(topic, rules) == [] for topic in topics)
