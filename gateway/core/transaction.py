"""Transactions: publishes and outcomes held back until commit, dropped at abort."""

from typing import TYPE_CHECKING, final

from gateway.core.delivery import FAILED, Delivery
from gateway.core.destination import QUEUE
from gateway.core.message import Message
from gateway.core.ports import NOTHING

if TYPE_CHECKING:
    from gateway.core.router import Broker


class TransactionTooLarge(Exception):
    """It would hold back more operations than the broker's limit."""


@final
class Transaction:
    """One client's open transaction.  Deliveries settled in it stay acquired until it ends."""

    __slots__ = ("_broker", "_messages", "_outcomes")

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._messages: list[Message] = []
        self._outcomes: list[tuple[Delivery, int]] = []

    def publish(self, message: Message) -> None:
        """Hold `message` back.  Raises TransactionTooLarge."""
        self._check_room()
        self._messages.append(message)

    def settle(self, delivery: Delivery, outcome: int) -> None:
        """Hold the outcome back.  Raises TransactionTooLarge."""
        self._check_room()
        self._outcomes.append((delivery, outcome))

    def commit(self) -> int:
        """Do all of it as one; returns the position that makes it durable.

        Raises LimitReached, with nothing done, when a queue would have to be made and there are too many.
        """
        broker = self._broker
        for message in self._messages:
            if message.destination.kind == QUEUE:
                broker.queue(message.destination.name)
        broker.store.begin()
        position = NOTHING
        for message in self._messages:
            position = max(position, broker.publish_to(message.destination, message))
        for delivery, outcome in self._outcomes:
            position = max(position, delivery.settle(outcome))
        broker.store.end()
        broker.counters.transactions_committed += 1
        return position

    def abort(self) -> None:
        """Do none of it: nothing is published, and what was to be settled counts as a failed delivery."""
        for delivery, _ in self._outcomes:
            delivery.settle(FAILED)
        self._broker.counters.transactions_aborted += 1

    def _check_room(self) -> None:
        if len(self._messages) + len(self._outcomes) >= self._broker.limits.transaction_operations_max:
            raise TransactionTooLarge(
                f"a transaction may hold {self._broker.limits.transaction_operations_max} operations"
            )
