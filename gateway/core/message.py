"""The message: immutable once published, kept in the form it arrived in, translated at most once per target form.

`acyclic`: compiled, messages and their origins are not tracked by the garbage collector.  The one way back from a
message to what holds it is its publisher's valve, which a connection takes away when it ends.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from mypy_extensions import mypyc_attr

from gateway.core.destination import Destination

if TYPE_CHECKING:
    from gateway.core.flow import Publisher

# Kinds of body: what the bytes mean, as far as the origin's protocol said.
NONE: Final = 0
BYTES: Final = 1
TEXT: Final = 2
MAP: Final = 3
LIST: Final = 4
VALUE: Final = 5
SEQUENCE: Final = 6
OBJECT: Final = 7

PRIORITY_NONE: Final = -1
PRIORITY_DEFAULT: Final = 4
"""A message without a priority is scheduled as JMS schedules it."""


@final
@dataclass(init=False, slots=True)
class Typed:
    """A property value whose type Python's own int, float, str, bytes, bool and None do not say."""

    token: str
    """The type's short name: i8 u8 i16 u16 i32 u32 u64 f32 char ts sym uuid d32 d64 d128 dec9 list map array."""
    # `| None` adds nothing to `object`, but mypyc cannot find the bare builtin when it builds the dataclass.
    value: object | None

    def __init__(self, token: str, value: object) -> None:
        self.token = token
        self.value = value


@final
@dataclass(init=False, slots=True)
class Fields:
    """The canonical fields that the router does not need: decoded from the origin's wire form on first use.

    None (or an empty list) means that the publisher did not say.
    """

    message_id: str | bytes | Typed | None
    correlation_id: str | bytes | Typed | None
    reply_to: Destination | str | None
    """A destination, or opaque text when it does not parse as one."""
    subject: str | None
    content_type: str | None
    content_encoding: str | None
    body_kind: int
    body_form: str
    """The origin's shape of that kind, where one kind has several; empty when it has one."""
    created_at_ms: int | None
    ttl_ms: int | None
    group_id: str | None
    group_sequence: int | None
    reply_group: str | None
    user_id: str | bytes | None
    app_id: str | None
    payload_format: int | None
    properties: list[tuple[str, object]]
    annotations: list[tuple[str | int, object]]
    """What is meant for brokers on the way: by symbol, or by number (AMQP 1.0 §3.2.3)."""
    footer: list[tuple[str | int, object]]
    body_value: object | None
    """What a body of kind MAP, LIST, VALUE or SEQUENCE holds: a dict (or a list of pairs, when keys are not text), a
    list, any value, a list of lists."""
    body_types: str | None
    """Not None: the body's bytes are `body_value` as typed JSON already, with these hints."""
    forms: dict[int, bytes] | None
    """Not None: these fields are shared by messages that say the same, and so is what is made of nothing else."""

    def __init__(self) -> None:
        self.message_id = None
        self.correlation_id = None
        self.reply_to = None
        self.subject = None
        self.content_type = None
        self.content_encoding = None
        self.body_kind = BYTES
        self.body_form = ""
        self.created_at_ms = None
        self.ttl_ms = None
        self.group_id = None
        self.group_sequence = None
        self.reply_group = None
        self.user_id = None
        self.app_id = None
        self.payload_format = None
        self.properties = []
        self.annotations = []
        self.footer = []
        self.body_value = None
        self.body_types = None
        self.forms = None


@final
@dataclass(init=False, slots=True)
class Death:
    """One way a message came to be dead-lettered, with how often it took it."""

    queue: str
    """Key of the queue it left."""
    reason: str
    """rejected, delivery_limit, expired, maxlen or unrepresentable."""
    count: int
    first_ms: int
    last_ms: int

    def __init__(self, queue: str, reason: str, count: int, first_ms: int, last_ms: int) -> None:
        self.queue = queue
        self.reason = reason
        self.count = count
        self.first_ms = first_ms
        self.last_ms = last_ms


@mypyc_attr(acyclic=True)
class Origin:
    """The wire form a message arrived in.  Each connector has its own subclass; core only hands it around."""

    __slots__ = ()

    def body(self) -> bytes:
        """The body as it arrived."""
        raise NotImplementedError

    def view(self) -> memoryview:
        """The same without a copy of it."""
        return memoryview(self.body())

    def bare(self) -> bool:
        """Is there nothing to say about it beyond the body (as bytes) and what Message itself holds?"""
        return False

    def raw(self) -> bool:
        """Does every protocol that carries bytes get `body` as it is, whatever kind it is of?"""
        return True

    def decode(self) -> Fields:
        """Read the canonical fields out of the wire form.  Message.fields remembers the answer."""
        raise NotImplementedError

    def wire_id(self) -> int:
        """Which Restorer reads `stored` back: 1 to 255, one a protocol; 0 keeps the body alone."""
        return 0

    def stored(self) -> bytes:
        """The wire form and what is needed to read it, for the store."""
        return self.body()

    def stored_parts(self) -> list[bytes | memoryview]:
        """The same in parts, of a message that is too large to be copied for nothing."""
        return [self.stored()]

    def protocol(self) -> str:
        """The short name of the protocol it came by, under which what is lost in translation is counted."""
        return ""

    def filled(self) -> tuple[str, ...]:
        """Names of the canonical fields that the publisher filled, beyond what every protocol has: cheap to ask."""
        return ()

    def elsewhere(self) -> "Origin":
        """The wire form for a copy that goes to another destination, where that makes a difference."""
        return self


NO_BODY: Final = Origin()
"""Stands for the origin of a message whose body only the store has."""


@final
class Decoders:
    """How often a wire form was decoded in this process: never where a message leaves by the protocol it came by."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields = 0


DECODERS: Final = Decoders()


@final
@mypyc_attr(acyclic=True)
class Message:
    """One published message.  What differs from delivery to delivery is in Delivery, never here."""

    __slots__ = (
        "_fields",
        "_form",
        "_forms",
        "_variant",
        "copies",
        "deaths",
        "destination",
        "expires_at_ms",
        "id",
        "origin",
        "original",
        "persistent",
        "priority",
        "publisher",
        "qos",
        "received_at_ms",
        "retain",
        "size",
    )

    def __init__(
        self,
        id: int,
        destination: Destination,
        origin: Origin,
        size: int,
        received_at_ms: int,
        persistent: bool,
        qos: int,
        retain: bool,
        priority: int,
        expires_at_ms: int,
        publisher: "Publisher | None",
    ) -> None:
        self.id = id
        """Rises with every message of this broker."""
        self.destination = destination
        self.original: Destination | None = None
        """Where it was sent first, when it was dead-lettered or fanned out from there."""
        self.origin = origin
        self.size = size
        """Bytes it counts against limits: its wire form."""
        self.received_at_ms = received_at_ms
        self.persistent = persistent
        self.qos = qos
        """0 to 2: the most a delivery of it may promise; protocols without the notion say 2."""
        self.retain = retain
        self.priority = priority
        self.expires_at_ms = expires_at_ms
        """Absolute, 0 for never."""
        self.publisher = publisher
        self.deaths: list[Death] | None = None
        """Why it was dead-lettered, newest first; the broker alone writes it."""
        self.copies = 0
        """Queues that have it in memory and for which the store does not keep it; see Unstored."""
        # Encoded forms by target variant.  Most messages have one, which needs no dict.
        self._variant = 0
        self._form: object = None
        self._forms: dict[int, object] | None = None
        self._fields: Fields | None = None

    def fields(self) -> Fields:
        """The canonical fields, decoded once."""
        fields = self._fields
        if fields is None:
            DECODERS.fields += 1
            fields = self._fields = self.origin.decode()
        return fields

    def form(self, variant: int) -> object:
        """The encoded form for `variant` (not 0), if a subscriber of that kind was served before; else None."""
        if self._variant == variant:
            return self._form
        forms = self._forms
        return None if forms is None else forms.get(variant)

    def remember(self, variant: int, form: object) -> None:
        """Keep an encoded form for the next subscriber of its kind."""
        if self._variant == 0:
            self._variant = variant
            self._form = form
        elif self._forms is None:
            self._forms = {variant: form}
        else:
            self._forms[variant] = form

    def __lt__(self, other: "Message") -> bool:
        """In order of publication."""
        return self.id < other.id

    def expired(self, now_ms: int) -> bool:
        """Has its time run out?"""
        return 0 < self.expires_at_ms <= now_ms

    @property
    def hollow(self) -> bool:
        """Has only the store its body?"""
        return self.origin is NO_BODY

    def hollowed(self) -> "Message":
        """A copy without its body, which takes no bytes: what a queue has to know of it while only the store has it."""
        return Message(
            self.id,
            self.destination,
            NO_BODY,
            0,
            self.received_at_ms,
            self.persistent,
            self.qos,
            self.retain,
            self.priority,
            self.expires_at_ms,
            None,
        )

    def redirected(self, destination: Destination) -> "Message":
        """A copy for another destination that remembers the first one."""
        copy = Message(
            self.id,
            destination,
            self.origin.elsewhere(),
            self.size,
            self.received_at_ms,
            self.persistent,
            self.qos,
            False,
            self.priority,
            self.expires_at_ms,
            self.publisher,
        )
        copy.original = self.original or self.destination
        copy.deaths = self.deaths
        copy._fields = self._fields
        return copy


def with_death(deaths: list[Death] | None, queue: str, reason: str, now_ms: int) -> list[Death]:
    """The list with one more death at its head; the same queue and reason count up."""
    result: list[Death] = []
    count = 1
    first_ms = now_ms
    for death in deaths or []:
        if death.queue == queue and death.reason == reason:
            count = death.count + 1
            first_ms = death.first_ms
        else:
            result.append(death)
    result.insert(0, Death(queue, reason, count, first_ms, now_ms))
    return result
