"""gateway/core/looking.py: room on the way to very many is looked for some at a time, each is asked once."""

import gc

from core_doubles import COMPILED, needs_outlet
from core_messages import message, pattern, topic_message
from core_queues import broker_with

from gateway.core.fan_out import OFFERED_AT_ONCE
from gateway.core.flow import Publisher
from gateway.core.limits import REJECT, QueuePolicy
from gateway.core.looking import LOOKED_AT_ONCE
from gateway.core.message import Message
from gateway.core.purging import purge
from gateway.core.queue import Queue
from gateway.core.router import Broker
from gateway.core.routes import WIDE
from gateway.core.subscription import Binding

if not COMPILED:
    from core_doubles import LogOutlet, LogValve

    class AskedOutlet(LogOutlet):
        """Counts how often it is asked whether it has room, and may fail."""

        __slots__ = ("asked", "fails")

        def __init__(self) -> None:
            super().__init__()
            self.asked = 0
            self.fails = False

        def keeps_waiting(self, publisher: Publisher, persistent: bool) -> bool:
            self.asked += 1
            if self.fails:
                raise RuntimeError("a bug")
            return False


pytestmark = needs_outlet

COUNT = WIDE + 3 * LOOKED_AT_ONCE


class Crowd:
    """A topic with very many live subscribers and some queues, and a broker whose chores go on step by step."""

    def __init__(self, queues: int = 0) -> None:
        self.broker: Broker = broker_with(policy=QueuePolicy(messages_max=1))
        self.broker.chores.driven_by(lambda: None)
        self.outlets = [AskedOutlet() for _ in range(COUNT)]
        for outlet in self.outlets:
            self.broker.bind(Binding(pattern("t.*"), outlet))
        self.queues: list[Queue] = []
        for number in range(queues):
            queue = self.broker.queue(f"q{number}")
            self.broker.bind_queue(queue, Binding(pattern("t.*"), queue))
            self.queues.append(queue)
        self.valve = LogValve()
        self.publisher = Publisher("p", self.valve)

    def waits(self, name: str = "t.1") -> bool:
        return self.broker.keeps_waiting(self.publisher, self.broker.topics.topic(name), False)

    def publish(self, name: str = "t.1") -> Message:
        one = topic_message(self.broker, name)
        one.publisher = self.publisher
        self.broker.publish(one, self.broker.topics.topic(name))
        return one

    @property
    def asked(self) -> int:
        return sum([outlet.asked for outlet in self.outlets])

    def steps(self) -> list[int]:
        """Go on until the publisher may; how many were asked in each step."""
        asked = []
        while self.valve.shut and self.broker.chores:
            before = self.asked
            self.broker.chores.step()
            asked.append(self.asked - before)
        return asked


def fill(queue: Queue) -> Publisher:
    """Somebody waits there from now on."""
    other = Publisher("other", LogValve())
    queue.offer(message(queue.broker))
    queue.room.hold(other, False)
    return other


def empty(queue: Queue, other: Publisher) -> None:
    purge(queue)
    queue.room.again()
    other.went_on()


def test_very_many_are_asked_some_a_step_and_then_it_is_published() -> None:
    crowd = Crowd()
    assert crowd.waits()
    assert crowd.steps() == [LOOKED_AT_ONCE] * (COUNT // LOOKED_AT_ONCE)
    assert not crowd.waits()
    one = crowd.publish()
    crowd.broker.chores.finish()
    assert {tuple(outlet.ids) for outlet in crowd.outlets} == {(one.id,)}
    assert crowd.asked == COUNT
    # The next one is looked at anew.
    assert crowd.waits()


def test_it_waits_at_all_places_without_room_at_once_and_only_they_are_asked_again() -> None:
    crowd = Crowd(queues=3)
    others = [fill(queue) for queue in crowd.queues]
    assert crowd.waits()
    crowd.steps()
    assert not crowd.broker.chores
    for queue, other in zip(crowd.queues, others, strict=True):
        assert crowd.valve.shut
        empty(queue, other)
    assert not crowd.valve.shut
    # Others were faster at one of them.
    other = fill(crowd.queues[1])
    assert crowd.waits()
    crowd.publisher.went_on()
    assert crowd.steps() == [0]
    assert crowd.valve.shut
    empty(crowd.queues[1], other)
    crowd.publisher.went_on()
    assert crowd.waits()
    assert crowd.steps() == [0]
    assert not crowd.waits()
    assert crowd.asked == COUNT
    one = crowd.publish()
    crowd.broker.chores.finish()
    assert [queue.browse()[0].message.id for queue in crowd.queues] == [one.id] * 3


def test_of_two_topics_for_one_frame_each_is_looked_at_once() -> None:
    crowd = Crowd()
    names = ["t.1", "t.2"]
    assert [crowd.waits(name) for name in names] == [True, True]
    crowd.steps()
    assert [crowd.waits(name) for name in names] == [False, False]
    for name in names:
        crowd.publish(name)
    assert crowd.asked == 2 * COUNT
    assert crowd.publisher.looks is None


def test_what_is_known_of_topics_that_are_never_published_to_is_bounded_and_goes_with_the_client() -> None:
    crowd = Crowd()
    crowd.broker.limits.transaction_operations_max = 20
    for number in range(23):
        crowd.waits(f"t.{number}")
    assert crowd.publisher.looks is not None
    assert len(crowd.publisher.looks) == 20
    crowd.publisher.leave()
    crowd.broker.chores.finish()
    assert crowd.asked == 0
    assert crowd.publisher.looks is None


def test_a_transaction_to_several_hundred_such_topics_is_committed_once_each_was_looked_at() -> None:
    crowd = Crowd()
    other = fill(crowd.broker.queue("q"))
    transaction = crowd.broker.transaction(crowd.publisher)
    for number in range(300):
        transaction.publish(topic_message(crowd.broker, f"t.{number}"))
    assert transaction.must_wait(crowd.publisher)
    crowd.steps()
    assert not transaction.must_wait(crowd.publisher)
    assert crowd.asked == 300 * COUNT
    assert other.held


def test_what_is_known_of_a_topic_keeps_nobody_in_memory_who_had_room() -> None:
    crowd = Crowd()
    assert crowd.waits()
    crowd.steps()
    binding = crowd.broker.route(crowd.broker.topics.topic("t.1"))[-1]
    assert binding.sink is crowd.outlets[-1]
    crowd.broker.unbind(binding)
    crowd.broker.chores.finish()
    assert [one for one in gc.get_referrers(binding) if isinstance(one, list)] == []


def test_whatever_fails_the_others_are_asked_and_nobody_waits_for_ever() -> None:
    crowd = Crowd()
    crowd.outlets[3].fails = crowd.outlets[-1].fails = True
    assert crowd.waits()
    failed = 0
    while crowd.broker.chores:
        try:
            crowd.broker.chores.step()
        except RuntimeError:
            failed += 1
    assert (failed, crowd.asked) == (2, COUNT)
    assert not crowd.valve.shut
    assert not crowd.waits()


def test_who_has_left_meanwhile_is_waited_for_no_more_be_there_memory_or_not() -> None:
    crowd = Crowd()
    broker = crowd.broker
    queue = broker.queue("gone")
    broker.bind_queue(queue, Binding(pattern("t.*"), queue))
    # Others have all the memory there is.
    broker.unstored.bytes = broker.unstored.bytes_max
    assert crowd.waits()
    crowd.steps()
    assert crowd.valve.shut
    broker.delete_queue(queue)
    assert not crowd.valve.shut
    if crowd.waits():
        crowd.publisher.went_on()
        crowd.steps()
    assert not crowd.valve.shut
    assert not crowd.waits()
    assert (broker.places.shut, broker.unstored.waiting) == (0, 0)


def test_whom_others_wait_for_publishes_to_very_many_whatever_room_there_is() -> None:
    crowd = Crowd(queues=1)
    fill(crowd.queues[0])
    assert crowd.waits()
    crowd.steps()
    assert crowd.valve.shut
    assert crowd.publisher.wait_no_longer()
    # What it has to say is looked at once more, which is not to have said it.
    waits = crowd.waits()
    crowd.publisher.went_on()
    if waits:
        crowd.steps()
        waits = crowd.waits()
        crowd.publisher.went_on()
    assert not waits
    one = crowd.publish()
    crowd.publisher.went_on()
    crowd.broker.chores.finish()
    assert crowd.queues[0].browse()[-1].message.id == one.id
    # Only that: what it says then waits as before.
    assert not crowd.publisher.overdue


def test_where_nobody_drives_the_chores_it_is_looked_at_at_once() -> None:
    crowd = Crowd()
    crowd.broker.chores.driven_by(None)
    assert not crowd.waits()
    assert crowd.asked == COUNT


def test_a_queue_that_fills_up_before_its_turn_and_refuses_has_what_was_let_in_nevertheless() -> None:
    """Its publisher has been told by then, or will be, that all have it."""
    crowd = Crowd()
    queue = crowd.broker.queue("last", QueuePolicy(messages_max=1, when_full=REJECT))
    crowd.broker.bind_queue(queue, Binding(pattern("t.*"), queue))
    one = crowd.publish()
    for _ in range(COUNT // OFFERED_AT_ONCE // 2):
        crowd.broker.chores.step()
    queue.offer(message(crowd.broker))
    crowd.broker.chores.finish()
    assert [delivery.message.id for delivery in queue.browse()][1:] == [one.id]
    assert crowd.broker.counters.dropped_full == 0
