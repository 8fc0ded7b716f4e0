"""Transactions: publishes and outcomes held back until commit, dropped at abort."""

from typing import TYPE_CHECKING, Final, final

from gateway.core.checking import Checking, Checks, TransactionDenied, TransactionRefused
from gateway.core.committing import Committing, at_once
from gateway.core.dedup import KeyReused, Once
from gateway.core.delivery import Delivery
from gateway.core.flow import Publisher
from gateway.core.leaving import fail
from gateway.core.message import Message
from gateway.core.ports import NOTHING
from gateway.core.schedule import Timing

if TYPE_CHECKING:
    from gateway.core.router import Broker

__all__ = ["Transaction", "TransactionDenied", "TransactionRefused", "TransactionTooLarge"]

MESSAGE_OVERHEAD: Final = 600
"""Bytes that a message which is held back takes beside its own size, about."""

FEW_TO_ASK: Final = 64
"""Operations that are looked at in one go where the rules have changed."""


class TransactionTooLarge(Exception):
    """It would hold back more than the broker's limits; `str(error)` names the limit, fit for the client."""


def held_bytes(message: Message) -> int:
    """What `message` takes of the room for open transactions."""
    return message.size + MESSAGE_OVERHEAD


@final
class Transaction:
    """One client's open transaction.  Deliveries settled in it stay acquired until it ends."""

    __slots__ = (
        "_broker",
        "_bytes",
        "_checking",
        "_generation",
        "_messages",
        "_once",
        "_outcomes",
        "_publisher",
        "_scheduled",
        "_waits_for",
    )

    def __init__(self, broker: "Broker", publisher: Publisher | None) -> None:
        self._broker = broker
        self._publisher = publisher
        # Of the rules by which it was asked whether what it holds may be published.
        self._generation = broker.authorizer.generation
        # Of all it holds back; counted among the broker's until it ends.
        self._bytes = 0
        self._messages: list[Message] = []
        self._outcomes: list[tuple[Delivery, int]] = []
        self._scheduled: list[tuple[Message, Timing]] = []
        # Made when first used.
        self._once: dict[bytes, Once] | None = None
        # What was looked at before the commit, if that is large.
        self._checking: Checking | None = None
        # What was done before and is not done again may not be durable yet.
        self._waits_for = NOTHING

    @property
    def _operations(self) -> int:
        return len(self._messages) + len(self._outcomes) + len(self._scheduled)

    def publish(self, message: Message) -> None:
        """Hold `message` back.  Raises TransactionTooLarge."""
        self._hold(message)
        self._messages.append(message)

    def schedule(self, message: Message, timing: Timing) -> None:
        """Hold back a message that is to be delivered later still.  Raises TransactionTooLarge."""
        self._hold(message)
        self._scheduled.append((message, timing))

    def hold(self, messages: list[Message], timing: Timing | None) -> None:
        """Hold all of them back, to be published or to be delivered later still, or none.  Raises TransactionTooLarge."""
        self.check_room(len(messages), sum([held_bytes(message) for message in messages]))
        for message in messages:
            if timing is None:
                self.publish(message)
            else:
                self.schedule(message, timing)

    def commit_with(self, messages: list[Message], timing: Timing | None) -> int:
        """Hold all of them back and commit at once.  Raises what `hold` and `commit` do, and then nothing is done."""
        try:
            self.hold(messages, timing)
        except TransactionTooLarge:
            self.abort()
            raise
        return self.commit()

    def repeats(self, once: Once) -> bool:
        """Is it a part of this transaction already?  Raises KeyReused when its key is that of something else here."""
        known = None if self._once is None else self._once.get(once.name)
        if known is not None and known.content != once.content:
            raise KeyReused("this key was used for something else")
        return known is not None

    def remember(self, once: Once) -> None:
        """What `once.messages` are published for is done with the commit, unless somebody else has done it by then."""
        if self._once is None:
            self._once = {}
        self._once[once.name] = once

    def wait_for(self, position: int) -> None:
        """The commit is not safe before this position is either: something it repeats is done there."""
        self._waits_for = max(self._waits_for, position)

    def settle(self, delivery: Delivery, outcome: int) -> None:
        """Hold the outcome back.  Raises TransactionTooLarge: `check_room` says so before the delivery is let go of."""
        self.check_room(1)
        self._outcomes.append((delivery, outcome))

    def must_wait(self, publisher: Publisher) -> bool:
        """Is there no room for something it would publish, or so much to be looked at that it takes some turns?

        Then the publisher is made to wait, and the commit is to be tried again.
        """
        generation = self._broker.authorizer.generation
        few = at_once(self._broker)
        most = few if self._generation == generation else min(few, FEW_TO_ASK)
        if self._operations <= most:
            return self._broker.places.shut > 0 and self.keeps_waiting(publisher)
        under_way = self._broker.committing
        if under_way is not None and self._operations > few and under_way.keeps_waiting(publisher):
            return True
        checking = self._checking
        if checking is None or checking.is_outdated(generation):
            checking = self._begin_checking(publisher)
        return checking is not None and checking.keeps_waiting()

    def _begin_checking(self, publisher: Publisher) -> Checking | None:
        """None where the commit will be refused."""
        if self._once is not None:
            try:
                self._leave_out_repeated(self._once)
            except TransactionRefused:
                return None
        self._checking = Checking(
            self._broker,
            publisher,
            self._generation,
            self._messages,
            [message for message, _ in self._scheduled],
            self._outcomes,
        )
        return self._checking

    def keeps_waiting(self, publisher: Publisher) -> bool:
        """Is there no room for something it would publish?  See Broker.keeps_waiting; the commit is to be tried again."""
        broker = self._broker
        under_way = broker.committing
        waits = (
            under_way is not None
            and self._operations > at_once(broker)
            and under_way.keeps_waiting(publisher)
        )
        asked: set[tuple[int, str, bool]] = set()
        for message in self._messages:
            destination = message.destination
            key = (destination.kind, destination.name, message.persistent)
            if key not in asked:
                asked.add(key)
                if broker.keeps_waiting_at(publisher, destination, message.persistent):
                    waits = True
        return waits

    def commit(self) -> int:
        """Do all of it as one; returns the position that makes it durable.

        A large one goes on in later turns (`Committing`), and its sender's confirmations wait for that.
        When it cannot be done nothing is: what was to be settled counts as failed, as in `abort`.  Raises
        LimitReached when a queue would have to be made and there are too many, TransactionRefused when a queue is
        full and its policy is to say so, TransactionDenied when the rules have changed and deny some of it, and
        ScheduleRefused.
        """
        self._let_go()
        try:
            checks: Checks | None = None
            if not self._is_checked():
                checks = Checks(self._broker, self._publisher, self._generation, self._outcomes)
                checks.may_send(self._messages)
                checks.may_send([message for message, _ in self._scheduled])
            if self._once is not None:
                self._leave_out_repeated(self._once)
            # What only consumes makes room.
            if not self._broker.store.accepting and self._brings():
                raise TransactionRefused(self._broker.store.refusal)
            if checks is not None:
                checks.have_places(self._messages)
            self._check_schedule()
        except Exception:
            self.abort()
            raise
        committing = Committing(
            self._broker,
            self._messages,
            self._scheduled,
            self._outcomes,
            self._once or {},
            self._waits_for,
        )
        return committing.begin(self._publisher)

    def _leave_out_repeated(self, all_once: dict[bytes, Once]) -> None:
        """What was done meanwhile under the same keys is not done again."""
        gone: set[int] = set()
        for once in list(all_once.values()):
            try:
                done = self._broker.dedup.find(once)
            except KeyReused as reused:
                raise TransactionRefused(str(reused)) from None
            if done is not None:
                self.wait_for(done.position)
                gone.update(once.messages)
                del all_once[once.name]
        if gone:
            self._messages = [message for message in self._messages if message.id not in gone]
            self._scheduled = [entry for entry in self._scheduled if entry[0].id not in gone]

    def _brings(self) -> bool:
        """Is there a message that the store would have to keep?"""
        return True in [message.persistent for message in self._messages]

    def abort(self) -> None:
        """Do none of it: nothing is published, and what was to be settled counts as a failed delivery."""
        self._let_go()
        fail([delivery for delivery, _ in self._outcomes], self._publisher)
        self._broker.counters.transactions_aborted += 1

    def _is_checked(self) -> bool:
        """Was all of it looked at before, by the rules of now?  Raises what stands in its way."""
        checking = self._checking
        if checking is None or not checking.over:
            return False
        checking.refusal.come_out()
        return checking.generation == self._broker.authorizer.generation

    def _check_schedule(self) -> None:
        size = 0
        for count, (message, timing) in enumerate(self._scheduled):
            self._broker.schedule.check(message, timing, count, size)
            size += message.size

    def check_room(self, operations: int, size: int = 0) -> None:
        """May it hold back so many operations more, with `size` bytes of messages?  Raises TransactionTooLarge."""
        broker = self._broker
        limits = broker.limits
        if self._operations + operations > limits.transaction_operations_max:
            raise TransactionTooLarge(
                f"a transaction may hold {limits.transaction_operations_max} operations"
            )
        if size and self._bytes + size > limits.transaction_bytes_max:
            raise TransactionTooLarge(f"a transaction may hold {limits.transaction_bytes_max} bytes")
        if size and broker.transactions_bytes + size > limits.transactions_bytes_max:
            raise TransactionTooLarge(
                f"open transactions may hold {limits.transactions_bytes_max} bytes together"
            )

    def _hold(self, message: Message) -> None:
        """Take room for one more message."""
        size = held_bytes(message)
        self.check_room(1, size)
        self._bytes += size
        self._broker.transactions_bytes += size

    def _let_go(self) -> None:
        """It ends: what it holds is nobody's, or the queues'."""
        self._broker.transactions_bytes -= self._bytes
        self._bytes = 0
