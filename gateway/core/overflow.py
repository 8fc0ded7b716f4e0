"""What gives way when one more message comes to a queue that is full: its publisher, the oldest, or the message."""

from typing import TYPE_CHECKING, Final, final

from gateway.core.burying import bury
from gateway.core.chores import Chore
from gateway.core.delivery import REASON_MAXLEN, Delivery
from gateway.core.flow import Publisher
from gateway.core.limits import BLOCK, DROP_OLDEST, REJECT
from gateway.core.message import Message
from gateway.core.passage import Passage
from gateway.core.unstored import RESIDENT_OVERHEAD

if TYPE_CHECKING:
    from gateway.core.queue import Queue
    from gateway.core.subscription import Binding

DROPPED_AT_ONCE: Final = 32
"""Messages that make way for one that comes, or that go in one step where that is not enough."""


def make_room(queue: "Queue", message: Message, binding: "Binding | None") -> bool:
    """Apply the policy of a full queue; False when the message may not come in."""
    when_full = queue.policy.when_full
    room = queue.room
    if room.short_for(message):
        if queue.passes_on and not room.full:
            return True
        room.share.want()
    if when_full == REJECT and queue.broker.assured:
        return True
    if room.lax and not room.full_of_kept:
        if (room.keeps(message) and not room.short_for(message)) or _drop_passing(queue, message):
            return True
    elif when_full == BLOCK:
        twice = room.within_for(message, 2, 1)
        if not room.never_holds(message.publisher) or (binding is not None and not twice):
            hold(queue, message.publisher, message.persistent)
            return True
        # Its own acknowledgements would free the queue, so it must be read; but not without end.
        if twice or queue.broker.assured:
            return True
    elif when_full == DROP_OLDEST and queue.waiting and drop_for(queue, message):
        return True
    queue.broker.counters.dropped_full += 1
    return False


def hold(queue: "Queue", publisher: Publisher | None, persistent: bool) -> bool:
    """Have it wait until there is room for what it sends; False for who cannot be stopped.  See Room.hold."""
    held = queue.room.hold(publisher, persistent)
    if held:
        queue.broker.stalls.watch(queue)
    return held


def drop_oldest(queue: "Queue", for_one_more: bool) -> None:
    """Let the oldest go until there is room; one may not be enough: a large message among small ones."""
    for _ in range(DROPPED_AT_ONCE):
        if not _too_much(queue, for_one_more) or not _drop_first(queue):
            return
    if _too_much(queue, for_one_more):
        _go_on_dropping(queue, for_one_more, False)


def _drop_first(queue: "Queue") -> bool:
    """Let the first go that would leave; False when there is none in memory."""
    contents = queue.contents
    paged = contents.paged
    held = contents.held
    if paged is not None and paged.next_before(contents.backlog):
        # It makes room when the store has given it back.
        paged.ask()
        return False
    if contents.backlog.count:
        oldest = contents.backlog.pop()
    elif held is not None and held.count:
        oldest = held.drop()
    else:
        return False
    _drop(queue, oldest)
    return True


def _drop(queue: "Queue", delivery: Delivery) -> None:
    queue.broker.counters.dropped_full += 1
    bury(queue, delivery, REASON_MAXLEN)


def drop_for(queue: "Queue", message: Message) -> bool:
    """Let the oldest go for `message`; answers whether it may come in."""
    drop_oldest(queue, True)
    return _make_memory(queue, message, True)


def _drop_passing(queue: "Queue", message: Message) -> bool:
    """Let the oldest that are not kept go until there is room for `message`; answers whether there is, or will be.

    Nobody has come for them, and they are no dead letters: those would only fill the next queue.
    """
    room = queue.room
    for _ in range(DROPPED_AT_ONCE):
        if not room.full:
            return _make_memory(queue, message, False)
        if not room.has_passing:
            return False
        _discard(queue, queue.contents.backlog.pop())
    if room.full and room.has_passing:
        _go_on_dropping(queue, True, True)
        return True
    return not room.full and _make_memory(queue, message, False)


def _make_memory(queue: "Queue", message: Message, buries: bool) -> bool:
    """Let the oldest that are in memory alone go until there is memory for `message`; answers whether it may come in.

    A queue may be far above what it may have, since others came to have more.  Twice as much as `message` takes goes at
    most, so that it comes down bit by bit; where few at a time are not enough for it, it does not come in itself.
    """
    room = queue.room
    backlog = queue.contents.backlog
    left = 2 * (message.size + RESIDENT_OVERHEAD)
    for _ in range(DROPPED_AT_ONCE):
        if left <= 0 or not room.short_for(message):
            return True
        if not backlog.count or not (room.is_alone(backlog.first().message) if buries else room.has_passing):
            return False
        left -= backlog.first().message.size + RESIDENT_OVERHEAD
        if buries:
            _drop(queue, backlog.pop())
        else:
            _discard(queue, backlog.pop())
    return left <= message.size + RESIDENT_OVERHEAD or not room.short_for(message)


def _discard(queue: "Queue", delivery: Delivery) -> None:
    counters = queue.broker.counters
    counters.dropped_full += 1
    counters.discarded += 1
    queue.forget(delivery)


# -- where what has come in was as large as very many


def _too_much(queue: "Queue", for_one_more: bool) -> bool:
    return queue.room.full if for_one_more else not queue.room.within(1, 1)


def _go_on_dropping(queue: "Queue", for_one_more: bool, passing: bool) -> None:
    """In later turns of the loop.  Until then there is more than there may be, by as much as has come in."""
    contents = queue.contents
    if not contents.dropping:
        contents.dropping = True
        queue.broker.chores.add(_Dropping(queue, for_one_more, passing))


@final
class _Dropping(Chore):
    """Lets those go that wait now, until there is room: what comes meanwhile makes room for itself."""

    __slots__ = ("_for_one_more", "_passing", "_queue", "_waiting")

    def __init__(self, queue: "Queue", for_one_more: bool, passing: bool) -> None:
        self._queue = queue
        self._for_one_more = for_one_more
        # Only those that are not kept.
        self._passing = passing
        self._waiting = Passage(queue)

    def go_on(self) -> bool:
        """See Chore."""
        queue = self._queue
        contents = queue.contents
        # Not only at the end: were a step to fail, the next message would begin anew.
        contents.dropping = False
        for delivery in self._waiting.next(DROPPED_AT_ONCE):
            kept = self._passing and queue.room.keeps(delivery.message)
            if kept or not _too_much(queue, self._for_one_more):
                return False
            contents.backlog.remove(delivery)
            if self._passing:
                _discard(queue, delivery)
            else:
                _drop(queue, delivery)
        contents.dropping = not self._waiting.over
        return contents.dropping
