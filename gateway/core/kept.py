"""Queues that the store remembers: the numbers it knows them by, and how they come back when the broker starts."""

from typing import TYPE_CHECKING, final

from gateway.core.aside import QUEUE_SPACE
from gateway.core.bindings import restored_bindings, stored_bindings
from gateway.core.limits import LimitReached
from gateway.core.ports import QUEUE_NUMBER_MAX, QueueDeleted, QueueFound, QueueMade, Recovered
from gateway.core.queue import Queue
from gateway.core.queue_key import NAMED, BadKey, QueueKey, read_key, recovered
from gateway.core.subscription import Binding
from gateway.core.suspects import note_suspects, read_suspects, suspect_since
from gateway.core.virtual import bindings_of_name

if TYPE_CHECKING:
    from gateway.core.router import Broker


@final
class KeptQueues:
    """See the module.  One a broker."""

    __slots__ = ("_broker", "_by_number", "_used", "next_number")

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self.next_number = 1
        """Where the search for a free number begins."""
        # Numbers of queues that the store keeps or still forgets.
        self._used: set[int] = set()
        self._by_number: dict[int, Queue] = {}

    def get(self, number: int) -> Queue | None:
        """The queue that the store knows by this number."""
        return self._by_number.get(number)

    def keep(self, queue: Queue) -> None:
        """Give the queue a number and have the store remember it: there is something to keep.  Raises LimitReached."""
        number = queue.number = self._free_number()
        self._by_number[number] = queue
        queue.noted_at = self._broker.store.append(QueueMade(number, queue.key.text, _note_of(queue)))

    def _free_number(self) -> int:
        used = self._used
        free = self._broker.store.numbers_free
        while free:
            used.discard(free.pop())
        number = self.next_number
        while number in used:
            number = number + 1 if number < QUEUE_NUMBER_MAX else 1
            if number == self.next_number:
                raise LimitReached("too many queues are kept")
        self.next_number = number + 1 if number < QUEUE_NUMBER_MAX else 1
        used.add(number)
        return number

    def forget(self, queue: Queue) -> None:
        """The queue is deleted; its number is free once the store has nothing left that bears it."""
        number = queue.number
        del self._by_number[number]
        store = self._broker.store
        store.begin()
        if queue.suspect_through:
            note_suspects(store, number, 0)
        store.append(QueueDeleted(number))
        store.end()

    def note_unsettled(self) -> None:
        """The run ends in order: have the next one remember which queues had deliveries that the store knows nothing of."""
        store = self._broker.store
        for number, queue in self._by_number.items():
            if queue.unsettled or queue.gave_back:
                note_suspects(store, number, queue.last_sequence)

    # -- what earlier runs left

    def recover(self, found: Recovered) -> None:
        """Bring back the queues that the store kept, and what they are bound to."""
        store = self._broker.store
        self._used = set(found.numbers_used)
        suspects = read_suspects(found)
        for kept in found.queues:
            queue = self._recover_queue(kept, found.clean)
            suspect_since(queue, kept, suspects.pop(kept.number, 0), store)
        for number in suspects:
            note_suspects(store, number, 0)

    def _recover_queue(self, kept: QueueFound, clean: bool) -> Queue:
        broker = self._broker
        key = self._key_of(kept)
        is_named = key.kind == NAMED
        queue = Queue(broker, key, broker.policy_for(key.name, None) if is_named else broker.policy, None)
        broker.enter(queue)
        self._by_number[kept.number] = queue
        queue.recovered(kept, clean)
        for binding in bindings_of_name(queue) if is_named else self._bindings_of(kept, queue):
            # Whatever the limit is by now: what is kept was within it.
            broker.topics.bind(binding)
            broker.add_binding(queue, binding)
        return queue

    def _key_of(self, kept: QueueFound) -> QueueKey:
        """Its key; where damage has made of it what none is, one under which its messages can be fetched."""
        try:
            return read_key(kept.key)
        except BadKey as error:
            key = recovered(kept.number, self._broker.queues)
            self._broker.aside.lost(f"queue {kept.number}: {error}; its messages are in {key.name}")
            return key

    def _bindings_of(self, kept: QueueFound, queue: Queue) -> list[Binding]:
        try:
            return restored_bindings(kept.note, queue)
        except Exception as error:
            # Whatever damage makes of a note, the queue's messages are there.
            self._broker.aside.keep(QUEUE_SPACE, kept.key, kept.note, str(error))
            self._broker.store.append(QueueMade(kept.number, kept.key, b""))
            return []


def _note_of(queue: Queue) -> bytes:
    """What the store is to remember of its bindings; those of a named queue are in its name."""
    return b"" if queue.key.kind == NAMED else stored_bindings(queue.bindings)
