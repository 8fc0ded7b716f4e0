"""A transaction that is carried out: a small one at once, a large one some operations at a time.

A large one stays one thing all the same.  Its operations are one group of the store, open until the last of them: no
batch is taken past its beginning meanwhile, so a crash leaves all of it or nothing, and whatever others append in between
is safe when it is.  Consumers see none of it before that.  Who has sent it is not heard meanwhile, nor is anything
confirmed to it; others go on.  What it needs room for was looked at before: where others have taken that since, it is
exceeded, by one transaction (`Broker.assured`).

One large one is under way at a time, others wait for its end: groups that overlap are one group, and were there always
another one open, nothing would ever be safe.
"""

from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore
from gateway.core.dedup import Once
from gateway.core.delivery import FAILED, Delivery
from gateway.core.destination import QUEUE
from gateway.core.flow import Gate, Publisher, Valve, nobody_is_next
from gateway.core.holding import HoldPoint
from gateway.core.message import Message
from gateway.core.mishap import Mishap
from gateway.core.ports import NOTHING, Noted
from gateway.core.schedule import Timing

if TYPE_CHECKING:
    from gateway.core.router import Broker

SMALL: Final = 512
"""Operations that are carried out at once."""

CARRIED_OUT_AT_ONCE: Final = 32
"""Operations of a larger one, in one step."""

SMALL_DEAR: Final = 8
"""Operations that are carried out at once where each may take long (`Broker.looks_up_long`)."""

SPACE: Final = "core.committing"
"""Never holds anything: what stands for a transaction of which the store has to keep nothing after all."""


@final
class Committing(Chore):
    """One transaction, which nothing stands in the way of."""

    __slots__ = (
        "_at",
        "_began",
        "_brings",
        "_broker",
        "_gate",
        "_kept",
        "_keys",
        "_messages",
        "_mishap",
        "_once",
        "_outcomes",
        "_over",
        "_point",
        "_position",
        "_scheduled",
        "_valve",
    )

    def __init__(
        self,
        broker: "Broker",
        messages: list[Message],
        scheduled: list[tuple[Message, Timing]],
        outcomes: list[tuple[Delivery, int]],
        once: dict[bytes, Once],
        waits_for: int,
    ) -> None:
        """`waits_for`: a position that is to be durable too before it counts as safe."""
        self._broker = broker
        self._messages = messages
        self._scheduled = scheduled
        self._outcomes = outcomes
        self._once = once
        self._keys = list(once.values())
        # Does it bring something persistent?
        self._brings = True in [message.persistent for message in messages] or True in [
            message.persistent for message, _ in scheduled
        ]
        # Is there anything that a crash could undo?
        self._kept = self._brings or True in [delivery.stored for delivery, _ in outcomes]
        self._at = 0
        self._began = 0
        self._over = False
        # A bug of ours: its sender ends with nothing confirmed.
        self._mishap = Mishap()
        self._point: HoldPoint | None = None
        self._position = waits_for
        self._valve: Valve | None = None
        self._gate = Gate(nobody_is_next)

    @property
    def _count(self) -> int:
        return len(self._messages) + len(self._scheduled) + len(self._outcomes) + len(self._keys)

    def begin(self, publisher: Publisher | None) -> int:
        """Do it; the position to wait for.  A large one of `publisher`'s goes on in later turns, unless another does."""
        broker = self._broker
        valve = None if publisher is None else publisher.valve
        if valve is None or self._count <= at_once(broker) or broker.committing is not None:
            self._open(self._kept and not broker.store.immediate)
            self._carry_out(self._count)
            self._close()
            self._mishap.come_out()
            return self._position
        self._valve = valve
        valve.suspend()
        self._gate.hold(publisher)
        # Without a store too nobody is to see the first half before the second.
        self._open(True)
        # Durable when all of the group is.
        position = self._began + 1 if self._kept else self._position
        if self._keys:
            broker.dedup.begun(self._once, position)
        broker.committing = self
        # Who is to commit asks before.
        broker.places.shut += 1
        broker.chores.add(self)
        return self._position if self._over else position

    def keeps_waiting(self, publisher: Publisher) -> bool:
        """Make who has a large one too wait for the end of this one; False for who cannot wait."""
        return self._gate.hold(publisher)

    def go_on(self) -> bool:
        """See Chore."""
        count = 1 if self._broker.looks_up_long else CARRIED_OUT_AT_ONCE
        self._carry_out(min(self._at + count, self._count))
        self._broker.store.encode_ahead()
        if self._at < self._count:
            return True
        self._end()
        self._mishap.come_out()
        return False

    def _open(self, holds: bool) -> None:
        # Where a crash could still undo it, nobody may see a part of it.
        self._point = HoldPoint() if holds else None
        self._began = self._broker.store.position
        self._broker.store.begin()

    def _close(self) -> None:
        broker = self._broker
        broker.store.end()
        if self._point is not None:
            broker.whole(self._point)

    def _end(self) -> None:
        """All of it has been done."""
        broker = self._broker
        broker.committing = None
        broker.places.shut -= 1
        store = broker.store
        self._over = True
        if self._kept and store.position == self._began:
            # Its sender waits for the first position of the group.
            self._position = store.append(Noted(SPACE, "", None))
        try:
            self._close()
        finally:
            # Whatever is wrong with one of those that get it, its sender does not wait for ever.
            self._let_sender_go_on()

    def _let_sender_go_on(self) -> None:
        if self._keys:
            self._broker.dedup.ended(self._once)
        if self._valve is not None:
            if self._mishap.there:
                # Before it resumes: what waited may be confirmed by that.
                self._valve.cut_off("its transaction could not be carried out")
            self._valve.resume()
        self._gate.open()

    def _carry_out(self, end: int) -> None:
        """The operations up to this one.

        Half of them would be worse than all but one: where one fails the others follow, but what the transaction
        consumed comes again, and its keys are not remembered, so that all of it can be done once more.
        """
        while self._at < end:
            try:
                self._go_through(end)
            except Exception as error:
                self._mishap.keep(error)

    def _go_through(self, end: int) -> None:
        """The same, until one fails."""
        broker = self._broker
        messages = self._messages
        scheduled = self._scheduled
        outcomes = len(messages) + len(scheduled)
        keys = outcomes + len(self._outcomes)
        broker.holding = self._point
        broker.assured = True
        try:
            while self._at < end:
                at = self._at
                self._at += 1
                if at < len(messages):
                    position = self._publish(messages[at])
                elif at < outcomes:
                    message, timing = scheduled[at - len(messages)]
                    position = broker.schedule.add(message, timing)
                elif at < keys:
                    delivery, outcome = self._outcomes[at - outcomes]
                    position = delivery.settle(FAILED if self._mishap.there else outcome)
                elif self._mishap.there:
                    continue
                else:
                    position = broker.dedup.done(self._keys[at - keys], self._position, self._brings)
                if position > self._position:
                    self._position = position
            if self._at == self._count and not self._mishap.there:
                broker.counters.transactions_committed += 1
        finally:
            broker.holding = None
            broker.assured = False

    def _publish(self, message: Message) -> int:
        broker = self._broker
        destination = message.destination
        if destination.temporary and destination.kind == QUEUE and not broker.has_queue(destination.name):
            # Its owner has gone since.
            broker.counters.unroutable += 1
            return NOTHING
        return broker.publish_to(destination, message)


def at_once(broker: "Broker") -> int:
    """How many operations of a transaction are carried out in one go."""
    return SMALL_DEAR if broker.looks_up_long else SMALL
