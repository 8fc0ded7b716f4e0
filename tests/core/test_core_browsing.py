"""gateway/core/browsing.py"""

from core_doubles import LogOutlet, consume, needs_outlet
from test_core_paging import fill, paging_broker, restarted

from gateway.core.browsing import Browsing, Viewer
from gateway.core.delivery import RELEASED
from gateway.core.message import Message
from gateway.core.ports import ANY_LANE, Page

pytestmark = needs_outlet


def test_what_a_session_had_before_a_restart_is_shown_once_when_it_waits_and_not_while_it_is_out() -> None:
    class Shown(Viewer):
        def __init__(self) -> None:
            self.ids: list[int] = []

        def show(self, message: Message, failures: int) -> bool:
            self.ids.append(message.id)
            return True

        def shown(self) -> None:
            pass

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
