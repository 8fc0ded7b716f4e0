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


@final
@dataclass(init=False, slots=True)
class Credentials:
    """What a client says of itself when it connects."""

    user: str | None
    """None when it gives no name."""
    secret: bytes | None
    client_id: str
    peer: str
    """Its address, as host:port."""
    certificate_user: str | None
    """Whom its TLS certificate names; None without one."""

    def __init__(
        self,
        user: str | None,
        secret: bytes | None,
        client_id: str,
        peer: str,
        certificate_user: str | None = None,
    ) -> None:
        self.user = user
        self.secret = secret
        self.client_id = client_id
        self.peer = peer
        self.certificate_user = certificate_user

    def __repr__(self) -> str:
        # A secret must not reach a log by way of a traceback.
        return f"Credentials({self.user!r}, client_id={self.client_id!r}, peer={self.peer!r})"


class Asker:
    """Waits for the answer to one `Authorizer.authenticate`: a connection."""

    __slots__ = ()

    def answer(self, granted: bool, user: str | None) -> None:
        """The client is `user` (None: nobody in particular), or it may not connect.  Called once, perhaps at once."""
        raise NotImplementedError


# Steps of an Exchange.
CONTINUE: Final = 0
GRANTED: Final = 1
REFUSED_STEP: Final = 2


@mypyc_attr(allow_interpreted_subclasses=True)
class Exchange:
    """One challenge-and-response authentication, such as SCRAM: the client and this object take turns."""

    __slots__ = ("data", "user")

    def __init__(self) -> None:
        self.data: bytes | None = None
        """What to send to the client with this step's outcome."""
        self.user: str | None = None
        """Who it is, once GRANTED."""

    def step(self, data: bytes | None) -> int:
        """Take what the client sent; CONTINUE, GRANTED or REFUSED_STEP."""
        raise NotImplementedError


# Called seldom enough for implementations that are not compiled.
@mypyc_attr(allow_interpreted_subclasses=True)
class Authorizer:
    """Decides who may connect and what they may do.  This one says yes to everything.

    Answers are cached: per connection for publishing, with the route for receiving.  Who changes the rules raises
    `generation`, and the topic tree's.
    """

    __slots__ = ("generation", "restricts_publish", "restricts_receive", "verifies_names")

    def __init__(self) -> None:
        self.generation = 0
        self.verifies_names = False
        """Is a user's name more than a claim?"""
        self.restricts_publish = True
        """May `may_publish` say no?  Otherwise connections share what they know of destinations."""
        self.restricts_receive = False
        """Is there a rule about receiving?  Only then is `may_receive` asked."""

    def authenticate(self, credentials: Credentials, asker: Asker) -> None:
        """Find out whether they are who they say they are, and tell `asker`, now or later."""
        asker.answer(True, credentials.user)

    def begin_exchange(self, method: str, credentials: Credentials) -> Exchange | None:
        """Start an exchange by this method; None when it is not known."""
        return None

    def may_publish(self, publisher: "Publisher", destination: Destination) -> bool:
        """May `publisher` send to `destination`?"""
        return True

    def may_subscribe(self, publisher: "Publisher", kind: int, pattern: Pattern, whole: bool = False) -> bool:
        """May the connection known as `publisher` read from queues (or topics) that match `pattern`?

        `whole`: several subscribers share it, so nothing under it can be held back from one of them by `may_receive`.
        """
        return True

    def may_receive(self, publisher: "Publisher", destination: Destination) -> bool:
        """May a subscription of `publisher` be given what is sent to the topic `destination`?"""
        return True


NOTHING: Final = 0
"""The position of what needs no durability."""
