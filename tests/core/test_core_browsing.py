"""gateway/core/browsing.py"""

import itertools

from core_doubles import COMPILED, LogOutlet, broker_with, consume, message, needs_outlet
from test_core_paging import fill, paging_broker, restarted

from gateway.core.browsing import SHOWN_AT_ONCE, Browsing, Viewer
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
            self.over = False

        def wants(self, queue: Queue) -> bool:
            return True

        def show(self, message: Message, failures: int) -> bool:
            self.ids.append(message.id)
            return True

        def shown(self) -> None:
            self.over = True


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
        Browsing(broker, [queue], shown).begin()
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
    Browsing(broker, queues, shown).begin()
    steps = [len(shown.ids)]
    while broker.chores:
        broker.chores.step()
        steps.append(len(shown.ids))
    assert max([after - before for before, after in itertools.pairwise([0, *steps])]) <= SHOWN_AT_ONCE
    assert len(steps) >= 5
    assert shown.over
    assert len(shown.ids) == 3 * SHOWN_AT_ONCE


def test_of_all_queues_each_is_shown_once_whatever_is_deleted_meanwhile() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    names = [f"q{number}" for number in range(3 * SHOWN_AT_ONCE)]
    ids = {}
    for name in names:
        ids[name] = message(broker, name)
        broker.queue(name).offer(ids[name])
    shown = Shown()
    # One of them is asked for by its name too.
    Browsing(broker, [broker.queue("q1")], shown, True).begin()
    broker.delete_queue(broker.queue("q0"))
    steps = [len(shown.ids)]
    while broker.chores:
        broker.chores.step()
        steps.append(len(shown.ids))
    assert max([after - before for before, after in itertools.pairwise(steps)]) <= SHOWN_AT_ONCE
    assert shown.over
    assert sorted(shown.ids) == [ids[name].id for name in names[1:]]
