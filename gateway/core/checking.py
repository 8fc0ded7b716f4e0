"""What is looked at before a transaction is carried out: then nothing stands in its way any more.

Of a large one some messages are looked at in each turn, while its sender waits.  What others do meanwhile is as if they had
done it behind it: queues and room were there when it was asked for.  So where it had to wait for room only those places are
asked again: however often it waits, each message is looked at once.  Rules that change have all of it asked again.
"""

from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore
from gateway.core.delivery import Delivery
from gateway.core.destination import QUEUE
from gateway.core.flow import LOOK, Gate, Publisher, nobody_is_next
from gateway.core.limits import BLOCK, REJECT
from gateway.core.message import Message
from gateway.core.mishap import Mishap
from gateway.core.unstored import RESIDENT_OVERHEAD

if TYPE_CHECKING:
    from gateway.core.queue import Queue
    from gateway.core.router import Broker

CHECKED_AT_ONCE: Final = 8
"""Messages that are looked at in one step: each may ask rules, make a queue, or look at all subscribers of a topic."""


class TransactionRefused(Exception):
    """It cannot be committed, and nothing of it has been done; `str(error)` says why, fit for the client."""


class TransactionDenied(TransactionRefused):
    """It holds what its client may not publish any more: the rules have changed since."""


@final
class Checks:
    """Whether messages of one transaction may be published, one after the other."""

    __slots__ = (
        "_asked",
        "_broker",
        "_generation",
        "_outcomes",
        "_publisher",
        "_settling",
        "_taken",
    )

    def __init__(
        self,
        broker: "Broker",
        publisher: Publisher | None,
        generation: int,
        outcomes: list[tuple[Delivery, int]],
    ) -> None:
        """`generation`: of the rules by which it was asked whether they may be."""
        self._broker = broker
        self._publisher = publisher
        self._generation = generation
        self._outcomes = outcomes
        # Destinations of which the rules were asked.
        self._asked: set[tuple[int, str]] = set()
        # The queues that the transaction itself makes room in; found when first needed.
        self._settling: set[Queue] | None = None
        # What the messages take of queues that refuse when they are full, by key: messages, bytes, and bytes of memory.
        self._taken: dict[str, tuple[int, int, int]] = {}

    def may_send(self, messages: list[Message]) -> None:
        """Raise TransactionDenied where the rules are others now, and deny some of them."""
        authorizer = self._broker.authorizer
        publisher = self._publisher
        if publisher is None or self._generation == authorizer.generation:
            return
        for message in messages:
            destination = message.destination
            key = (destination.kind, destination.name)
            if key not in self._asked:
                self._asked.add(key)
                if not authorizer.may_publish(publisher, destination):
                    raise TransactionDenied(f"not allowed to send to {destination} any more")

    def have_places(self, messages: list[Message]) -> None:
        """Have their queues, with room where they would refuse them.  Raises TransactionRefused and LimitReached."""
        for message in messages:
            self._have_place(message)

    def _have_place(self, message: Message) -> None:
        broker = self._broker
        destination = message.destination
        if destination.kind != QUEUE:
            if broker.refusing:
                for queue in broker.refusers(message, broker.topics.topic(destination.name)):
                    self._take_room(queue, message)
            return
        if destination.temporary and not broker.has_queue(destination.name):
            return
        queue = broker.queue(destination.name)
        when_full = queue.policy.when_full
        if when_full == REJECT:
            self._take_room(queue, message)
        elif (
            when_full == BLOCK
            and queue.room.never_holds(self._publisher)
            and not queue.room.within_for(message, 2, 1)
        ):
            # Such a one does not wait, and is told no instead (see `make_room`), unless this makes room.
            if self._settling is None:
                self._settling = {delivery.queue for delivery, _ in self._outcomes}
            if queue not in self._settling:
                raise TransactionRefused(f"{queue.key.text} is full")

    def _take_room(self, queue: "Queue", message: Message) -> None:
        """One more message goes to `queue`."""
        count, size, unstored = self._taken.get(queue.key.text, (0, 0, 0))
        alone = queue.room.is_alone(message)
        if not queue.room.takes(count, size) or (alone and not queue.room.share.takes(unstored)):
            raise TransactionRefused(f"{queue.key.text} is full")
        if alone:
            unstored += message.size + RESIDENT_OVERHEAD
        self._taken[queue.key.text] = (count + 1, size + message.size, unstored)


@final
class Checking(Chore):
    """All messages of a large transaction, for a publisher that waits."""

    __slots__ = (
        "_again",
        "_asked",
        "_at",
        "_broker",
        "_checks",
        "_gate",
        "_messages",
        "_publisher",
        "_scheduled",
        "_waited",
        "_working",
        "generation",
        "refusal",
    )

    def __init__(
        self,
        broker: "Broker",
        publisher: Publisher,
        generation: int,
        messages: list[Message],
        scheduled: list[Message],
        outcomes: list[tuple[Delivery, int]],
    ) -> None:
        self._broker = broker
        self._publisher = publisher
        self._messages = messages
        self._scheduled = scheduled
        self._checks = Checks(broker, publisher, generation, outcomes)
        self._at = 0
        # Destinations of which it was asked whether there is room.
        self._asked: set[tuple[int, str, bool]] = set()
        # One for each where there was none: the publisher waits there, or did and they are to be asked again.
        self._waited: list[Message] = []
        self._again: list[Message] = []
        self._working = False
        self._gate = Gate(nobody_is_next, LOOK)
        self.generation = broker.authorizer.generation
        """Of the rules that are asked."""
        self.refusal = Mishap()
        """What stands in its way."""

    @property
    def over(self) -> bool:
        """Has all been looked at, as far as it had to be, and was there room?"""
        return self.refusal.there or (self._is_through and not self._waited)

    @property
    def _is_through(self) -> bool:
        return self._at == len(self._messages) + len(self._scheduled) and not self._again

    def is_outdated(self, generation: int) -> bool:
        """Are the rules others than those that were asked?"""
        return self.over and not self.refusal.there and self.generation != generation

    def keeps_waiting(self) -> bool:
        """Look at all of it that is left; does the publisher wait for that, or for room?

        Of who cannot wait nothing is looked at.
        """
        if self._working:
            return True
        # A new one: the turn for which the last has let it go on may not be over.
        self._gate = Gate(nobody_is_next, LOOK)
        if self.over or not self._gate.hold(self._publisher):
            return False
        self._again, self._waited = self._waited, []
        self._working = True
        self._broker.chores.add(self)
        # Where nobody drives the chores it is done by now, or waits.
        return not self.over

    def go_on(self) -> bool:
        """See Chore."""
        self._working = False
        if self._publisher.valve is None:
            # It is gone, and its transaction aborted.
            return False
        try:
            self._some()
        except Exception as error:
            # Whoever commits is told.  What led here would refer to this.
            self.refusal.keep(error.with_traceback(None))
        self._working = not self.refusal.there and not self._is_through
        if not self._working:
            self._gate.open()
        return self._working

    def _some(self) -> None:
        if self._again:
            for _ in range(min(CHECKED_AT_ONCE, len(self._again))):
                self._look_for_room(self._again.pop())
            return
        messages = self._messages[self._at : self._at + CHECKED_AT_ONCE]
        self._checks.may_send(messages)
        self._checks.have_places(messages)
        if self._broker.places.shut:
            for message in messages:
                key = (message.destination.kind, message.destination.name, message.persistent)
                if key not in self._asked:
                    self._asked.add(key)
                    self._look_for_room(message)
        behind = max(self._at - len(self._messages), 0)
        scheduled = self._scheduled[behind : behind + CHECKED_AT_ONCE - len(messages)]
        self._checks.may_send(scheduled)
        self._at += len(messages) + len(scheduled)

    def _look_for_room(self, message: Message) -> None:
        if self._broker.keeps_waiting_at(self._publisher, message.destination, message.persistent):
            self._waited.append(message)
