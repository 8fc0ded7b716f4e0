"""gateway/core/fan_out.py: rules about receiving; the rest is in tests/connectors/mqtt/test_mqtt_fan_out.py."""

from core_doubles import COMPILED, needs_outlet
from core_messages import pattern, topic_message
from core_queues import store_of

from gateway.core.destination import Destination
from gateway.core.fan_out import OFFERED_AT_ONCE
from gateway.core.flow import Publisher
from gateway.core.limits import REJECT, CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer, Noted
from gateway.core.router import Broker
from gateway.core.routes import WIDE
from gateway.core.subscription import Binding

if not COMPILED:
    from core_doubles import LogOutlet, LogStore, LogValve

pytestmark = needs_outlet

COUNT = WIDE + 2 * OFFERED_AT_ONCE


class Rules(Authorizer):
    """Every second user may receive, and topics with the same first level are alike."""

    def __init__(self) -> None:
        super().__init__()
        self.restricts_receive = True
        self.asked: list[str] = []

    def may_receive(self, publisher: Publisher, destination: Destination) -> bool:
        self.asked.append(destination.name)
        return int(publisher.id) % 2 == 0

    def receivers(self, destination: Destination) -> object:
        return destination.name.split(".")[0]


class Crowd:
    """Very many users who follow one pattern."""

    def __init__(self, count: int = COUNT) -> None:
        self.rules = Rules()
        self.broker = Broker(LogStore(), self.rules, CoreLimits(), QueuePolicy())
        self.broker.chores.driven_by(lambda: None)
        self.outlets = [LogOutlet() for _ in range(count)]
        for number, outlet in enumerate(self.outlets):
            self.broker.bind(Binding(pattern("t.*"), outlet, None, Publisher(str(number), None)))

    def publish(self, name: str) -> int:
        one = topic_message(self.broker, name)
        self.broker.publish(one, self.broker.topics.topic(name))
        return one.id

    def steps(self) -> list[int]:
        """Go on to the end; how many were asked about in each step."""
        asked = []
        while self.broker.chores:
            before = len(self.rules.asked)
            self.broker.chores.step()
            asked.append(len(self.rules.asked) - before)
        return asked

    def had(self, ids: list[int]) -> None:
        """Those who may had these, and the others nothing."""
        assert [outlet.ids for outlet in self.outlets] == [ids, []] * (len(self.outlets) // 2)


def test_of_very_many_each_is_asked_about_when_it_is_to_have_a_message_some_a_step() -> None:
    crowd = Crowd()
    first = crowd.publish("t.1")
    assert crowd.rules.asked == []
    assert max(crowd.steps()) == OFFERED_AT_ONCE
    second = crowd.publish("t.2")
    crowd.steps()
    crowd.had([first, second])
    # What is remembered of an answer holds for all topics that are alike.
    assert crowd.rules.asked == ["t.1"] * 2 * COUNT


def test_where_queues_may_refuse_the_rules_are_asked_about_those_alone_before_it_is_published() -> None:
    crowd = Crowd()
    queue = crowd.broker.queue("q", QueuePolicy(messages_max=1, when_full=REJECT))
    for owner in ("1", "2"):
        crowd.broker.bind_queue(queue, Binding(pattern("t.*"), queue, None, Publisher(owner, None)))
    one = crowd.publish("t.1")
    assert len(crowd.rules.asked) <= 2
    crowd.steps()
    crowd.had([one])


def test_of_few_all_are_asked_when_their_route_is_made_and_once_for_all_topics_that_are_alike() -> None:
    crowd = Crowd(10)
    crowd.had([crowd.publish("t.1"), crowd.publish("t.2")])
    assert crowd.rules.asked == ["t.1"] * 10


def test_who_may_not_receive_makes_nobody_wait_and_gets_nothing_of_a_transaction_either() -> None:
    crowd = Crowd(WIDE)
    broker = crowd.broker
    broker.hold()
    one = crowd.publish("t.1")
    store_of(broker).append(Noted("what is to be safe first", "", None))
    broker.release_hold()
    # While it is held there come to be very many.
    for number in range(COUNT - WIDE):
        crowd.outlets.append(LogOutlet())
        broker.bind(Binding(pattern("t.*"), crowd.outlets[-1], None, Publisher(str(WIDE + number), None)))
    store_of(broker).release(broker)
    crowd.steps()
    crowd.had([one])
    valve = LogValve()
    before = len(crowd.rules.asked)
    assert broker.keeps_waiting(Publisher("p", valve), broker.topics.topic("t.3"), False)
    assert max(crowd.steps()) <= OFFERED_AT_ONCE
    assert len(crowd.rules.asked) - before == COUNT
    assert not valve.shut
