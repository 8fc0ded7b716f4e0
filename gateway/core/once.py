"""Publishing under a key: what was published under it before is not published again."""

from typing import TYPE_CHECKING, final

from gateway.core.dedup import Once
from gateway.core.message import Message
from gateway.core.schedule import Timing
from gateway.core.transaction import Transaction

if TYPE_CHECKING:
    from gateway.core.router import Broker


@final
class Outcome:
    """What became of it."""

    __slots__ = ("message", "position", "repeated")

    def __init__(self, position: int, message: int, repeated: bool) -> None:
        self.position = position
        """Wait for it before confirming."""
        self.message = message
        """The number of the message that was published; 0 when it was none or several."""
        self.repeated = repeated
        """It was published before."""


def done_before(broker: "Broker", once: Once) -> Outcome | None:
    """The outcome if it was published before.  Raises KeyReused."""
    done = broker.dedup.find(once)
    return None if done is None else Outcome(done.position, done.message, True)


def publish_once(broker: "Broker", once: Once, messages: list[Message], timing: Timing | None) -> Outcome:
    """Publish all of them with their key, or nothing, or learn that it was done before.

    Raises KeyReused, and what Transaction.publish and Transaction.commit raise.
    """
    outcome = done_before(broker, once)
    if outcome is not None:
        return outcome
    transaction = broker.transaction()
    _remember(transaction, once, messages)
    position = transaction.commit_with(messages, timing)
    return Outcome(position, messages[0].id if len(messages) == 1 else 0, False)


def hold_once(
    broker: "Broker", transaction: Transaction, once: Once, messages: list[Message], timing: Timing | None
) -> None:
    """Make all of them part of an open transaction, or nothing; nor what was published before.

    Raises KeyReused and TransactionTooLarge.
    """
    if transaction.repeats(once):
        return
    outcome = done_before(broker, once)
    if outcome is None:
        transaction.hold(messages, timing)
        _remember(transaction, once, messages)
    else:
        transaction.wait_for(outcome.position)


def _remember(transaction: Transaction, once: Once, messages: list[Message]) -> None:
    once.messages = [message.id for message in messages]
    transaction.remember(once)
