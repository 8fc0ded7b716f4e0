"""A delivery: one message in one queue, and how it ended."""

from typing import TYPE_CHECKING, Final, final

from mypy_extensions import mypyc_attr

from gateway.core.message import Message

if TYPE_CHECKING:
    from gateway.core.queue import Queue
    from gateway.core.subscription import Binding, Consumer

# Outcomes.  AMQP 1.0 §3.4 has the same five; every protocol's acknowledgements map here.
ACCEPTED: Final = 0
"""Done with: it leaves the queue."""
RELEASED: Final = 1
"""Not tried: back to its old place, nothing counted."""
FAILED: Final = 2
"""Tried in vain: back to its old place with one more failure, or to the dead letters when there were too many."""
REJECTED: Final = 3
"""Never to be tried again: to the dead letters."""
EXPIRED: Final = 4
"""Its time ran out first: to the dead letters, if expired messages go there."""

UNREPRESENTABLE: Final = 5
"""It cannot be put into the consumer's protocol, or is larger than the consumer takes: to the dead letters."""

OUTCOME_NAMES: Final = ("accepted", "released", "failed", "rejected", "expired", "unrepresentable")

# Reasons of a dead letter, as they are told to whoever reads it.
REASON_REJECTED: Final = "rejected"
REASON_DELIVERY_LIMIT: Final = "delivery_limit"
REASON_EXPIRED: Final = "expired"
REASON_MAXLEN: Final = "maxlen"
REASON_UNREPRESENTABLE: Final = "unrepresentable"

# Where it is: see `gateway.core.contents`.
READY: Final = 0
"""In memory, for whoever is ready."""
ACQUIRED: Final = 1
"""With a consumer, until it is settled."""
SETTLED: Final = 2
"""Gone from the queue."""
HELD: Final = 3
"""In memory, behind a transaction that a crash could still undo: nobody may see it."""
FORFEIT: Final = 4
"""Its consumer failed to take it: another object stands for the message now, and what becomes of this one is nobody's."""


@final
@mypyc_attr(acyclic=True)
class Delivery:
    """A message's stay in one queue.  While a consumer has acquired it, it waits for its outcome.

    `acyclic`: compiled, it is not tracked by the garbage collector; its queue lets go of it when it is settled.
    """

    __slots__ = (
        "binding",
        "consumer",
        "failures",
        "message",
        "position",
        "queue",
        "returned",
        "sequence",
        "state",
    )

    def __init__(self, queue: "Queue", message: Message, sequence: int, binding: "Binding | None") -> None:
        self.queue = queue
        self.message = message
        self.sequence = sequence
        """Its place in the queue; rises with each message."""
        self.binding = binding
        """The claim through which it came here, for queues that are bound to topics."""
        self.consumer: Consumer | None = None
        self.failures = 0
        """Earlier deliveries that failed."""
        self.returned = False
        """A consumer has had it and has given it back, with nothing counted."""
        self.position = 0
        """Where the store was told of it in this run; 0 when it was not."""
        self.state = READY

    def again(self) -> "Delivery":
        """Another object for the same stay, and this one FORFEIT: whoever still has it settles nothing with it."""
        other = Delivery(self.queue, self.message, self.sequence, self.binding)
        other.failures = self.failures
        other.returned = self.returned
        other.position = self.position
        self.state = FORFEIT
        return other

    @property
    def stored(self) -> bool:
        """Has the store been told of it?"""
        return self.queue.room.keeps(self.message)

    @property
    def suspect(self) -> bool:
        """May an earlier run have delivered it?  After a crash nobody knows of what was there then."""
        return self.sequence <= self.queue.suspect_through

    @property
    def redelivered(self) -> bool:
        """May it have been delivered before?"""
        return self.failures > 0 or self.returned or self.suspect

    def __lt__(self, other: "Delivery") -> bool:
        return self.sequence < other.sequence

    def settle(self, outcome: int) -> int:
        """Record how this delivery ended and give its credit back.

        Returns the store's position that makes the outcome durable, 0 when there is nothing to wait for.
        """
        return self.queue.settle(self, outcome)
