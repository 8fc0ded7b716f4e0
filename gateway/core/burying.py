"""Messages that leave a queue without having been accepted: to the dead letters, or to nowhere when there are none."""

from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore
from gateway.core.delivery import ACQUIRED, REASON_EXPIRED, REASON_MAXLEN, Delivery
from gateway.core.destination import QUEUE, TOPIC, Destination
from gateway.core.message import Message, with_death
from gateway.core.passage import Passage

if TYPE_CHECKING:
    from gateway.core.queue import Queue
    from gateway.core.router import Broker

LOOKED_AT_ONCE: Final = 64
"""Messages that are looked at, and perhaps buried, in one step of looking for expired ones."""


def bury(queue: "Queue", delivery: Delivery, reason: str) -> int:
    """Let the message go from `queue`; the position that makes it durable, or 0."""
    broker = queue.broker
    broker.store.begin()
    try:
        return _move_away(queue, delivery, reason)
    finally:
        broker.store.end()


def _move_away(queue: "Queue", delivery: Delivery, reason: str) -> int:
    broker = queue.broker
    position = queue.forget(delivery)
    dead_letters = queue.policy.dead_letters
    if queue.policy.buries_refused_only and reason in (REASON_EXPIRED, REASON_MAXLEN):
        dead_letters = None
    if (
        reason == REASON_EXPIRED
        and not queue.policy.dead_letters_of_expired_topics
        and _passing(delivery.message)
    ):
        dead_letters = None
    if dead_letters is None or queue.is_named(dead_letters):
        broker.counters.discarded += 1
    else:
        position = max(position, _inter(broker, delivery.message, queue.key.text, dead_letters, reason))
    return position


def _inter(broker: "Broker", message: Message, queue_key: str, dead_letters: str, reason: str) -> int:
    """Move a message that left a queue to the dead letters; returns the position that makes it safe there."""
    message = message.redirected(Destination(QUEUE, dead_letters))
    message.expires_at_ms = 0
    message.deaths = with_death(message.deaths, queue_key, reason, broker.now_ms)
    broker.counters.bury(queue_key, reason)
    # Seen before its move is safe, it would come again after a crash, and as a message that never came before.
    holds = message.persistent and not broker.store.immediate and broker.holding is None
    if holds:
        broker.hold()
    try:
        return _burial_place(broker, dead_letters).inter(message)
    finally:
        if holds:
            broker.release_hold()


def _burial_place(broker: "Broker", name: str) -> "Queue":
    """The queue of dead letters: though there are too many queues, or what was confirmed would go nowhere."""
    assured = broker.assured
    broker.assured = True
    try:
        return broker.queue(name)
    finally:
        broker.assured = assured


def _passing(message: Message) -> bool:
    """A message of a topic that is not persistent: a reading whose time is over, as a rule, and no loss to look into."""
    return message.destination.kind == TOPIC and not message.persistent


def bury_expired(queue: "Queue", delivery: Delivery) -> int:
    """The same for a message whose time has run out, and that is not in the backlog any more."""
    queue.broker.counters.expired += 1
    return bury(queue, delivery, REASON_EXPIRED)


@final
class Expiring(Chore):
    """Looks through what waits in a queue's memory for messages whose time has run out, some at a time."""

    __slots__ = ("_next_ms", "_now_ms", "_queue", "_waiting")

    def __init__(self, queue: "Queue", now_ms: int) -> None:
        self._queue = queue
        self._now_ms = now_ms
        self._waiting = Passage(queue)
        # When the first of those expires that stay.  What comes meanwhile is noted by the backlog.
        self._next_ms = 0
        queue.contents.backlog.expires_at_ms = 0

    def go_on(self) -> bool:
        """See Chore."""
        contents = self._queue.contents
        # Not only at the end: were a step to fail, the next look would begin anew.
        contents.expiring = False
        try:
            for delivery in self._waiting.next(LOOKED_AT_ONCE):
                if delivery.message.expires_at_ms:
                    self._look_at(delivery)
        except Exception:
            # Some have not been looked at, of which nobody knows.
            self._look_again(self._now_ms)
            raise
        if not self._waiting.over:
            contents.expiring = True
            return True
        if self._next_ms:
            self._look_again(self._next_ms)
        return False

    def _look_again(self, due_ms: int) -> None:
        if not self._queue.deleted:
            self._queue.contents.backlog.note_expiry(due_ms)
            self._queue.plan_expiry(due_ms)

    def _look_at(self, delivery: Delivery) -> None:
        expires_at_ms = delivery.message.expires_at_ms
        if expires_at_ms > self._now_ms:
            if self._next_ms == 0 or expires_at_ms < self._next_ms:
                self._next_ms = expires_at_ms
            return
        self._queue.contents.backlog.remove(delivery)
        delivery.state = ACQUIRED
        bury_expired(self._queue, delivery)
