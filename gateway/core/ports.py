"""What core asks of the world: somewhere to keep things, and somebody who decides what is allowed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from mypy_extensions import mypyc_attr

from gateway.core.destination import Destination
from gateway.core.message import Message
from gateway.core.pattern import Pattern

if TYPE_CHECKING:
    from gateway.core.flow import Publisher
    from gateway.core.record import LongRecord


class Operation:
    """One change that the store is asked to keep."""

    __slots__ = ()


@final
@dataclass(init=False, slots=True)
class Enqueued(Operation):
    """`message` took place `sequence` in the queue `queue`."""

    queue: int
    """Its number in the store; see QueueMade."""
    sequence: int
    message: Message
    note: bytes
    """What the binding through which it came must know again (`Binding.stored`)."""
    record: bytes | None
    """The message as it is kept, where it was encoded ahead."""

    def __init__(self, queue: int, sequence: int, message: Message, note: bytes = b"") -> None:
        self.queue = queue
        self.sequence = sequence
        self.message = message
        self.note = note
        self.record = None


@final
@dataclass(init=False, slots=True)
class Dequeued(Operation):
    """The message at `sequence` left `queue`."""

    queue: int
    sequence: int
    enqueued: int
    """The position of its Enqueued in this run, 0 when not known: what never reached the disk need not be undone."""

    def __init__(self, queue: int, sequence: int, enqueued: int = 0) -> None:
        self.queue = queue
        self.sequence = sequence
        self.enqueued = enqueued


@final
@dataclass(init=False, slots=True)
class Redelivered(Operation):
    """The message at `sequence` in `queue` has now failed `failures` times."""

    queue: int
    sequence: int
    failures: int

    def __init__(self, queue: int, sequence: int, failures: int) -> None:
        self.queue = queue
        self.sequence = sequence
        self.failures = failures


@final
@dataclass(init=False, slots=True)
class Quarantined(Operation):
    """The message at `sequence` in `queue` cannot be read: set it aside, so that it is neither served nor lost."""

    queue: int
    sequence: int
    reason: str

    def __init__(self, queue: int, sequence: int, reason: str) -> None:
        self.queue = queue
        self.sequence = sequence
        self.reason = reason


@final
@dataclass(init=False, slots=True)
class Cleared(Operation):
    """All messages of one lane from `first` to `last` left `queue`."""

    queue: int
    lane: int
    first: int
    last: int

    def __init__(self, queue: int, lane: int, first: int, last: int) -> None:
        self.queue = queue
        self.lane = lane
        self.first = first
        self.last = last


@final
@dataclass(init=False, slots=True)
class QueueMade(Operation):
    """The queue `key` is kept under `number` from now on; said again when `note` changes."""

    number: int
    """1 to QUEUE_NUMBER_MAX, never that of another queue that is kept."""
    key: str
    note: bytes
    """What it is bound to, for queues that nobody else remembers."""

    def __init__(self, number: int, key: str, note: bytes = b"") -> None:
        self.number = number
        self.key = key
        self.note = note


@final
@dataclass(init=False, slots=True)
class QueueDeleted(Operation):
    """The queue is deleted with everything in it."""

    number: int
    """Not to be used again before it is in `Store.numbers_free`."""

    def __init__(self, number: int) -> None:
        self.number = number


@final
@dataclass(init=False, slots=True)
class Retained(Operation):
    """The last value of `topic` is now `message`; None clears it."""

    topic: str
    message: Message | None

    def __init__(self, topic: str, message: Message | None) -> None:
        self.topic = topic
        self.message = message


@final
@dataclass(init=False, slots=True)
class Noted(Operation):
    """A connector's own state: `key` in `space` is now `value`; None forgets it."""

    space: str
    """Who reads it back: a protocol and a kind, such as `mqtt.session`."""
    key: str
    value: "bytes | LongRecord | None"

    def __init__(self, space: str, key: str, value: "bytes | LongRecord | None") -> None:
        self.space = space
        self.key = key
        self.value = value


SEQUENCE_BITS: Final = 40
SEQUENCE_MAX: Final = (1 << SEQUENCE_BITS) - 1
"""A queue takes this many messages in its life: at 100,000 a second, four months of nothing else."""

EPOCH_SHIFT: Final = 40
"""Bits of a message's number that count within one run; those above count the starts."""

QUEUE_NUMBER_MAX: Final = (1 << 23) - 1
"""Queues that are kept at one time; number and sequence together are one 63-bit key."""


@final
@dataclass(init=False, slots=True)
class Entry:
    """One message of a queue as the store gives it back."""

    sequence: int
    lane: int
    """Its priority, PRIORITY_DEFAULT for none."""
    failures: int
    size: int
    expires_at_ms: int
    note: bytes
    record: bytes
    """As `gateway.core.record` wrote it; empty when only heads were asked for."""
    checked: bool
    """It is whole: of a large one the store has looked, where nobody waits for that."""

    def __init__(
        self,
        sequence: int,
        lane: int,
        failures: int,
        size: int,
        expires_at_ms: int,
        note: bytes,
        record: bytes,
        checked: bool = False,
    ) -> None:
        self.checked = checked
        self.sequence = sequence
        self.lane = lane
        self.failures = failures
        self.size = size
        self.expires_at_ms = expires_at_ms
        self.note = note
        self.record = record


@final
@dataclass(init=False, slots=True)
class Page:
    """A question to the store: the next messages of one lane of a queue, in order."""

    queue: int
    lane: int
    """ANY_LANE asks for all."""
    first: int
    last: int
    """Sequences, both included."""
    count_max: int
    bytes_max: int
    """No more than this many bytes of messages, but always one message."""
    expired_by_ms: int
    """Only those whose time had run out then; 0 asks for all."""
    heads_only: bool
    complete: bool
    """Set with the answer: False when the disk was full, so that what waits for its commit could not be looked at.

    Such an answer holds what is surely before that, and is empty only where expired messages or a reader asked."""
    reader: "PageReader | None"
    """Who gets the answer; None is the queue itself."""

    def __init__(
        self,
        queue: int,
        lane: int,
        first: int,
        last: int,
        count_max: int,
        bytes_max: int,
        expired_by_ms: int = 0,
        heads_only: bool = False,
    ) -> None:
        self.queue = queue
        self.lane = lane
        self.first = first
        self.last = last
        self.count_max = count_max
        self.bytes_max = bytes_max
        self.expired_by_ms = expired_by_ms
        self.heads_only = heads_only
        self.complete = True
        self.reader = None


class PageReader:
    """Has asked the store for a page, beside its queue."""

    __slots__ = ()

    def on_page(self, page: Page, entries: "list[Entry]") -> None:
        """The answer; see StoreListener.on_loaded."""
        raise NotImplementedError


ANY_LANE: Final = -1


@final
@dataclass(init=False, slots=True)
class LaneFound:
    """What one lane of a queue holds at start."""

    lane: int
    count: int
    bytes: int
    first: int
    last: int
    expires_at_ms: int
    """The earliest expiry among them; 0 when none expires."""

    def __init__(self, lane: int, count: int, bytes: int, first: int, last: int, expires_at_ms: int) -> None:
        self.lane = lane
        self.count = count
        self.bytes = bytes
        self.first = first
        self.last = last
        self.expires_at_ms = expires_at_ms


@final
@dataclass(init=False, slots=True)
class QueueFound:
    """One queue that the store kept."""

    number: int
    key: str
    note: bytes
    lanes: list[LaneFound]

    def __init__(self, number: int, key: str, note: bytes, lanes: list[LaneFound]) -> None:
        self.number = number
        self.key = key
        self.note = note
        self.lanes = lanes


@final
@dataclass(init=False, slots=True)
class Recovered:
    """What the store kept of earlier runs, bodies of queues left where they are."""

    epoch: int
    """Rises with every start; 1 is the first."""
    clean: bool
    """The last run ended in order: whoever had unsettled messages gave them back."""
    queues: list[QueueFound]
    retained: list[tuple[str, bytes]]
    """Topic and record."""
    notes: dict[str, dict[str, bytes]]
    """Space → key → value."""
    numbers_used: set[int]
    """Numbers that no new queue may have yet."""
    damaged: bool
    """Some of it may be lost, in this run's start or in one that has not ended in order since."""

    def __init__(
        self,
        epoch: int,
        clean: bool,
        queues: list[QueueFound],
        retained: list[tuple[str, bytes]],
        notes: dict[str, dict[str, bytes]],
        numbers_used: set[int],
        damaged: bool = False,
    ) -> None:
        self.epoch = epoch
        self.clean = clean
        self.queues = queues
        self.retained = retained
        self.notes = notes
        self.numbers_used = numbers_used
        self.damaged = damaged


# Called once a commit, so it may be implemented by what is not compiled.
@mypyc_attr(allow_interpreted_subclasses=True)
class StoreListener:
    """Hears from the store: the broker.  Every call comes on the thread that appends."""

    __slots__ = ()

    def on_durable(self, position: int) -> None:
        """Everything up to `position` is safe."""
        raise NotImplementedError

    def on_refused(self, operation: Operation, why: str) -> None:
        """This could not be written for what it holds; its position counts as durable although it is not there."""
        raise NotImplementedError

    def on_loaded(self, page: Page, entries: list[Entry]) -> None:
        """The answer to `Store.load`; if it is complete, fewer entries than asked for means that there are no more."""
        raise NotImplementedError

    def on_accepting(self, accepting: bool) -> None:
        """The store can keep nothing more (False), or can again."""
        raise NotImplementedError


DISK_FULL: Final = "the broker's disk is full"
DISK_FAILED: Final = "the broker's disk has failed"


# Called seldom enough for implementations that are not compiled.
@mypyc_attr(allow_interpreted_subclasses=True)
class Store:
    """Keeps operations in order.  Core appends and goes on; it never waits.

    Implementations live in gateway/store; tests/store runs one suite against each.
    """

    __slots__ = (
        "accepting",
        "congested",
        "durable",
        "failed",
        "immediate",
        "keeps",
        "numbers_free",
        "pages",
        "position",
        "refusal",
    )

    def __init__(self) -> None:
        self.position = 0
        """The position of what was appended last."""
        self.durable = 0
        """The highest position that has reached safety; raised before `StoreListener.on_durable` is called."""
        self.accepting = True
        """False while the disk is full: persistent messages must be refused, since nothing can confirm them."""
        self.failed = False
        """Nothing will ever be safe again, and the process ends: unlike a full disk this is not to be lived with."""
        self.refusal = DISK_FULL
        """Why nothing new is kept while it is not accepting, in words for clients."""
        self.congested = False
        """More waits to be written than should: publishers had better wait too."""
        self.immediate = False
        """Is everything durable when `append` returns?"""
        self.keeps = True
        """Will a later run find it?  If not, connectors need not describe their sessions."""
        self.pages = False
        """Does `load` give back what was appended?  Then queues may let go of messages."""
        self.numbers_free: list[int] = []
        """Numbers of deleted queues of which the store has nothing left; whoever gives them again takes them out."""

    def append(self, operation: Operation) -> int:
        """Queue one operation for the next commit; returns the position to wait for."""
        raise NotImplementedError

    def begin(self) -> None:
        """What is appended until the matching `end` becomes durable together or not at all.  Pairs may nest.

        The outermost may stay open over several turns: what others append meanwhile is part of it.
        """
        raise NotImplementedError

    def end(self) -> None:
        """See `begin`."""
        raise NotImplementedError

    def encode_ahead(self) -> None:
        """Some more of a group has come that goes on in a later turn: what can be done of its writing is done now."""

    def load(self, page: Page) -> None:
        """Ask for messages; the listener gets them later, everything appended before the call taken into account."""
        raise NotImplementedError

    def recover(self) -> Recovered:
        """What earlier runs left.  Called once, before anything else."""
        raise NotImplementedError

    def fetch(self, queue: int, sequences: list[int]) -> list[Entry]:
        """These messages at once, in order; those that are not there are left out.  Before the first append only."""
        raise NotImplementedError

    def page(self, page: Page) -> list[Entry]:
        """As `load`, but answered at once.  Before the first append only."""
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
    `generation`, and calls `TopicTree.forget_routes`.
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
        user = credentials.user
        asker.answer(True, credentials.certificate_user if user is None else user)

    def begin_exchange(self, method: str, credentials: Credentials) -> Exchange | None:
        """Start an exchange by this method; None when it is not known."""
        return None

    @final
    def may_claim(self, publisher: "Publisher", user: str | bytes | None) -> bool:
        """May a message of `publisher` say that it is from `user`?  Who is nobody may where names are only claims."""
        if user is None or user == publisher.user:
            return True
        return publisher.user is None and not self.verifies_names

    def may_publish(self, publisher: "Publisher", destination: Destination) -> bool:
        """May `publisher` send to `destination`?"""
        return True

    def may_subscribe(self, publisher: "Publisher", kind: int, pattern: Pattern, whole: bool = False) -> bool:
        """May the connection known as `publisher` read from queues (or topics) that match `pattern`?

        `whole`: several subscribers share it, so nothing under it can be held back from one of them by `may_receive`.
        Nor can what is in one queue, so the answer about that says whether it may be received too.
        """
        return True

    def may_receive(self, publisher: "Publisher", destination: Destination) -> bool:
        """May a subscription of `publisher` be given what is sent to the topic `destination`?"""
        return True

    def receivers(self, destination: Destination) -> object:
        """Something hashable that is equal for topics about which `may_receive` answers the same, whoever asks.

        Such topics can share a route.  Asked once for each topic, and only where `restricts_receive`.
        """
        return destination.name


NOTHING: Final = 0
"""The position of what needs no durability."""
