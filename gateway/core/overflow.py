"""What gives way when one more message comes to a queue that is full: its publisher, the oldest, or the message."""

from typing import TYPE_CHECKING

from gateway.core.burying import bury
from gateway.core.delivery import REASON_MAXLEN
from gateway.core.flow import Publisher
from gateway.core.limits import BLOCK, DROP_OLDEST, REJECT
from gateway.core.message import Message

if TYPE_CHECKING:
    from gateway.core.queue import Queue
    from gateway.core.subscription import Binding


def make_room(queue: "Queue", message: Message, binding: "Binding | None") -> bool:
    """Apply the policy of a full queue; False when the message may not come in."""
    when_full = queue.policy.when_full
    room = queue.room
    if when_full == REJECT and queue.broker.assured:
        return True
    if room.lax and not room.full_of_kept(queue.broker.store.pages):
        if room.keeps(message) or _drop_passing(queue):
            return True
    elif when_full == BLOCK:
        if not room.owned_by(message.publisher) or (binding is not None and not room.within(2, 1)):
            hold(queue, message.publisher)
            return True
        # Its own acknowledgements would free the queue, so it must be read; but not without end.
        if room.within(2, 1) or queue.broker.assured:
            return True
    elif when_full == DROP_OLDEST and queue.waiting:
        drop_oldest(queue, True)
        return True
    queue.broker.counters.dropped_full += 1
    return False


def hold(queue: "Queue", publisher: Publisher | None) -> bool:
    """Have it wait until there is room; False for who cannot be stopped."""
    held = queue.room.hold(publisher)
    if held:
        queue.broker.stalls.watch(queue)
    return held


def drop_oldest(queue: "Queue", for_one_more: bool) -> None:
    """Let the oldest go until there is room; one may not be enough: a large message among small ones."""
    backlog = queue.contents.backlog
    while queue.room.full if for_one_more else not queue.room.within(1, 1):
        paged = queue.contents.paged
        if paged is not None and paged.next_before(backlog):
            # It makes room when the store has given it back.
            paged.ask()
            return
        held = queue.contents.held
        if backlog.count:
            oldest = backlog.pop()
        elif held is not None and held.count:
            oldest = held.drop()
        else:
            return
        queue.broker.counters.dropped_full += 1
        bury(queue, oldest, REASON_MAXLEN)


def _drop_passing(queue: "Queue") -> bool:
    """Let the oldest that are not kept go until there is room; answers whether there is.

    Nobody has come for them, and they are no dead letters: those would only fill the next queue.
    """
    room = queue.room
    counters = queue.broker.counters
    while room.full:
        if not room.has_passing:
            return False
        counters.dropped_full += 1
        counters.discarded += 1
        queue.forget(queue.contents.backlog.pop())
    return True
