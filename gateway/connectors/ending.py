"""What a connection leaves behind when it is over: its subscriptions, open transactions and queues end some at a time."""

from typing import Final, final

from gateway.connectors.replay import RetainedOutlet
from gateway.core.chores import Chore
from gateway.core.queue import Queue
from gateway.core.router import Broker
from gateway.core.transaction import Transaction

ENDED_AT_ONCE: Final = 64
"""Of them, in one step."""


def end_all(
    broker: Broker,
    subscriptions: list[RetainedOutlet],
    transactions: list[Transaction],
    own: list[Queue],
    tried: bool,
) -> None:
    """No more deliveries, then what was not acknowledged goes back, in order; `own` are queues that die with it.

    `tried`: see `leaving.give_back`.
    """
    for subscription in subscriptions:
        subscription.stop()
    ending = _Ending(broker, subscriptions, transactions, own, tried)
    if ending.go_on():
        broker.chores.add(ending)


@final
class _Ending(Chore):
    """See `end_all`."""

    __slots__ = ("_broker", "_leaving", "_left", "_own", "_transactions", "_tried")

    def __init__(
        self,
        broker: Broker,
        subscriptions: list[RetainedOutlet],
        transactions: list[Transaction],
        own: list[Queue],
        tried: bool,
    ) -> None:
        self._broker = broker
        # Of all of them the first is the last.
        self._leaving = subscriptions[::-1]
        self._transactions = transactions[::-1]
        self._left = subscriptions[::-1]
        self._own = own[::-1]
        self._tried = tried

    def go_on(self) -> bool:
        """See Chore."""
        try:
            for _ in range(ENDED_AT_ONCE):
                if not self._end_one():
                    return False
        except Exception:
            # Whatever is wrong with one of them, it is the turn of the next.
            self._broker.chores.add(self)
            raise
        return True

    def _end_one(self) -> bool:
        """False when nothing is left."""
        if self._leaving:
            self._leaving.pop().detach()
        elif self._transactions:
            self._transactions.pop().abort()
        elif self._left:
            self._left.pop().give_back(self._tried)
        elif self._own:
            self._broker.delete_queue(self._own.pop())
        else:
            return False
        return True
