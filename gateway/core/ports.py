"""What core asks of the world: somewhere to keep things, and somebody who decides what is allowed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from mypy_extensions import mypyc_attr

from gateway.core.destination import Destination
from gateway.core.message import Message
from gateway.core.pattern import Pattern

if TYPE_CHECKING:
    from gateway.core.flow import Publisher


class Operation:
    """One change that the store is asked to keep."""

    __slots__ = ()


@final
@dataclass(init=False, slots=True)
class Enqueued(Operation):
    """`message` took place `sequence` in `queue`."""

    queue: str
    sequence: int
    message: Message

    def __init__(self, queue: str, sequence: int, message: Message) -> None:
        self.queue = queue
        self.sequence = sequence
        self.message = message


@final
@dataclass(init=False, slots=True)
class Dequeued(Operation):
    """The message at `sequence` left `queue`."""

    queue: str
    sequence: int

    def __init__(self, queue: str, sequence: int) -> None:
        self.queue = queue
        self.sequence = sequence


@final
@dataclass(init=False, slots=True)
class Redelivered(Operation):
    """The message at `sequence` in `queue` has now failed `failures` times."""

    queue: str
    sequence: int
    failures: int

    def __init__(self, queue: str, sequence: int, failures: int) -> None:
        self.queue = queue
        self.sequence = sequence
        self.failures = failures


@final
@dataclass(init=False, slots=True)
class Retained(Operation):
    """The last value of `topic` is now `message`; None clears it."""

    topic: str
    message: Message | None

    def __init__(self, topic: str, message: Message | None) -> None:
        self.topic = topic
        self.message = message


# Called seldom enough for implementations that are not compiled.
@mypyc_attr(allow_interpreted_subclasses=True)
class Store:
    """Keeps operations in order.  Core appends and goes on; it never waits.

    `durable` is the highest position that has reached safety; the store raises it and then calls
    `Broker.on_durable`.  Implementations live in gateway/store.
    """

    __slots__ = ("durable",)

    def __init__(self) -> None:
        self.durable = 0

    def append(self, operation: Operation) -> int:
        """Queue one operation for the next commit; returns its position, which is above all earlier ones."""
        raise NotImplementedError

    def begin(self) -> None:
        """What is appended until the matching `end` becomes durable together or not at all.  Pairs may nest."""
        raise NotImplementedError

    def end(self) -> None:
        """See `begin`."""
        raise NotImplementedError


# Called seldom enough for implementations that are not compiled.
@mypyc_attr(allow_interpreted_subclasses=True)
class Authorizer:
    """Decides what a publisher or subscriber may do.  The answer is cached; `generation` rises when rules change."""

    __slots__ = ("generation",)

    def __init__(self) -> None:
        self.generation = 0

    def may_connect(self, user: str | None, secret: bytes | None) -> bool:
        """Is this who they say they are?  None means that no name was given."""
        return True

    def may_publish(self, publisher: "Publisher", destination: Destination) -> bool:
        """May `publisher` send to `destination`?"""
        return True

    def may_subscribe(self, publisher: "Publisher", kind: int, pattern: Pattern) -> bool:
        """May the connection known as `publisher` read from queues (or topics) that match `pattern`?"""
        return True


NOTHING: Final = 0
"""The position of what needs no durability."""
