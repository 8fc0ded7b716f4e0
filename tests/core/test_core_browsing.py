"""gateway/core/browsing.py"""

import itertools

from core_doubles import COMPILED, LogOutlet, needs_outlet
from core_messages import message
from core_queues import broker_with, consume
from test_core_paging import fill, paging_broker, restarted

from gateway.core.browsing import GOES_ON, OVER, SHOWN_AT_ONCE, WAITS, Browsing, Viewer
from gateway.core.delivery import RELEASED
from gateway.core.message import Message
from gateway.core.ports import ANY_LANE, Page
from gateway.core.queue import Queue

pytestmark = needs_outlet


if not COMPILED:

    class Shown(Viewer):
        """Remembers what it is shown."""

        def __init__(self) -> None:
            self.ids: list[int] = []
            self.room = 1_000_000
            self.answered = 0

        def wants(self, queue: Queue) -> bool:
            return True

        def takes(self) -> bool:
            return len(self.ids) < self.room

        def show(self, message: Message, failures: int) -> bool:
            self.ids.append(message.id)
            return True

        def found(self) -> None:
            self.answered += 1


def test_what_a_session_had_before_a_restart_is_shown_once_when_it_waits_and_not_while_it_is_out() -> None:
    broker, store = paging_broker()
    ids = fill(broker.queue("q"), 10)
    store.commit()
    broker, store = restarted(store)
    queue = broker.queue("q")
    [entry] = store.kept.load(Page(queue.number, ANY_LANE, 3, 3, 1, 1_000))
    consumer = consume(queue, LogOutlet(), 0)
    delivery = queue.reacquire(entry, consumer)
    assert delivery is not None
    for wanted in ([*ids[:2], *ids[3:]], ids):
        shown = Shown()
        browsing = Browsing(broker, [queue], shown)
        while browsing.look() == WAITS:
            store.commit()
        assert sorted(shown.ids) == wanted
        if delivery.consumer is not None:
            queue.detach(consumer)
            delivery.settle(RELEASED)


def test_very_many_messages_and_queues_are_looked_at_some_a_turn() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    queues = [broker.queue(f"q{number}") for number in range(2 * SHOWN_AT_ONCE)]
    for _ in range(3 * SHOWN_AT_ONCE):
        queues[0].offer(message(broker, "q0"))
    shown = Shown()
    browsing = Browsing(broker, queues, shown)
    steps = [0]
    while browsing.look() == GOES_ON:
        steps.append(len(shown.ids))
    assert max([after - before for before, after in itertools.pairwise(steps)]) <= SHOWN_AT_ONCE
    assert len(steps) >= 5
    assert len(shown.ids) == 3 * SHOWN_AT_ONCE


def test_nobody_is_shown_more_than_it_takes_and_what_waits_meanwhile_comes_in_order_once() -> None:
    broker, store = paging_broker()
    queue = broker.queue("q")
    ids = fill(queue, 3_000)
    store.commit()
    assert queue.paged
    shown = Shown()
    browsing = Browsing(broker, [queue], shown)
    for room in range(7, 3_500, 7):
        shown.room = room
        state = browsing.look()
        while state == WAITS:
            store.commit()
            state = browsing.look()
        assert len(shown.ids) <= room
        if state == OVER:
            break
    assert shown.ids == ids


def test_what_comes_into_memory_while_it_is_looked_at_is_shown_once_and_what_has_left_is_not() -> None:
    broker, store = paging_broker()
    queue = broker.queue("q")
    ids = fill(queue, 3_000)
    store.commit()
    shown = Shown()
    browsing = Browsing(broker, [queue], shown)
    shown.room = 1_000
    state = browsing.look()
    while len(shown.ids) < 1_000:
        store.commit()
        state = browsing.look()
    outlet = LogOutlet()
    consume(queue, outlet, 1_200)
    while len(outlet.taken) < 1_200:
        store.commit()
    shown.room = 3_000
    while state != OVER:
        store.commit()
        state = browsing.look()
    assert shown.ids == [*ids[:1_000], *ids[1_200:]]


def test_messages_that_came_back_are_shown_in_their_place() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    offered = [message(broker, "q") for _ in range(10)]
    for one in offered[:6]:
        queue.offer(one)
    outlet = LogOutlet()
    consumer = consume(queue, outlet, 4)
    for one in offered[6:]:
        queue.offer(one)
    first, *others = outlet.taken
    queue.detach(consumer)
    for delivery in others:
        delivery.settle(RELEASED)
    shown = Shown()
    shown.room = 5
    browsing = Browsing(broker, [queue], shown)
    assert browsing.look() == GOES_ON
    assert shown.ids == [one.id for one in offered[1:6]]
    # It comes back where the look has been already, and what comes now was not there when it began.
    first.settle(RELEASED)
    queue.offer(message(broker, "q"))
    shown.room = 100
    assert browsing.look() == OVER
    assert shown.ids == [one.id for one in offered[1:]]


def test_a_look_into_lanes_shows_the_highest_first() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    offered = []
    for number in range(12):
        one = message(broker, "q")
        one.priority = number % 3 * 4
        offered.append(one)
        queue.offer(one)
    shown = Shown()
    browsing = Browsing(broker, [queue], shown)
    for room in range(1, 14):
        shown.room = room
        browsing.look()
    assert shown.ids == [one.id for priority in (8, 4, 0) for one in offered if one.priority == priority]


def test_of_all_queues_each_is_shown_once_whatever_is_deleted_meanwhile() -> None:
    broker = broker_with()
    names = [f"q{number}" for number in range(3 * SHOWN_AT_ONCE)]
    ids = {}
    for name in names:
        ids[name] = message(broker, name)
        broker.queue(name).offer(ids[name])
    shown = Shown()
    # One of them is asked for by its name too.
    browsing = Browsing(broker, [broker.queue("q1")], shown, True)
    steps = [0]
    while browsing.look() != OVER:
        steps.append(len(shown.ids))
        if len(steps) == 2:
            broker.delete_queue(broker.queue("q0"))
    assert max([after - before for before, after in itertools.pairwise(steps)]) <= SHOWN_AT_ONCE
    assert sorted(shown.ids) == [ids[name].id for name in names[1:]]


def test_what_the_store_answers_of_a_queue_that_is_deleted_meanwhile_is_not_taken_for_the_next_ones() -> None:
    broker, store = paging_broker()
    first, second = broker.queue("first"), broker.queue("second")
    ids = fill(second, 20)
    fill(first, 3_000)
    store.commit()
    shown = Shown()
    browsing = Browsing(broker, [first, second], shown)
    while browsing.look() != WAITS:
        pass
    store.commit()
    assert shown.answered
    before = len(shown.ids)
    broker.delete_queue(first)
    while browsing.look() != OVER:
        store.commit()
    assert shown.ids[before:] == ids
