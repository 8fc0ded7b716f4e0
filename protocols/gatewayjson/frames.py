"""Operations of a client, as records.  `id` is what it wants its answer to be named after; None wants none."""

from dataclasses import dataclass
from typing import Any, final

Id = str | int | None


@final
@dataclass(init=False, slots=True)
class Connect:
    """Who I am.  It may be left out; then everything is anonymous."""

    id: Id
    user: str | None
    secret: str | None
    client_id: str
    ping_ms: int

    def __init__(self, id: Id, user: str | None, secret: str | None, client_id: str, ping_ms: int) -> None:
        self.id = id
        self.user = user
        self.secret = secret
        """A password, or a token without `user`."""
        self.client_id = client_id
        self.ping_ms = ping_ms
        """How long we may say nothing before we say `ping`; 0 is for ever."""

    def __repr__(self) -> str:
        return f"Connect({self.id!r}, {self.user!r}, {self.client_id!r}, {self.ping_ms})"


@final
@dataclass(init=False, slots=True)
class Publish:
    """Send one message to each destination."""

    id: Id
    to: list[str]
    envelope: dict[str, Any]
    """What is left of the operation: fields of the message, checked."""
    tx: str | None
    size: int
    """Bytes it took, about."""
    dedup: str | None
    """The key under which it is sent once."""
    told_by: list[bytes]
    """What tells it from others, once somebody has asked: where it is long, that is asked again and again."""

    def __init__(
        self,
        id: Id,
        to: list[str],
        envelope: dict[str, Any],
        tx: str | None,
        size: int,
        dedup: str | None = None,
    ) -> None:
        self.id = id
        self.to = to
        self.envelope = envelope
        self.tx = tx
        self.size = size
        self.dedup = dedup
        self.told_by = []


@final
@dataclass(init=False, slots=True)
class Subscribe:
    """Let me have what is sent to `source`."""

    id: Id
    sub: str
    source: str
    ack: str
    window: int
    """Deliveries that may wait for their outcome; -1 is the server's default."""
    credit: int
    """Deliveries until more are asked for; -1 when the window counts instead."""
    no_local: bool
    retained: bool
    durable: str | None

    def __init__(
        self,
        id: Id,
        sub: str,
        source: str,
        ack: str = "auto",
        window: int = -1,
        credit: int = -1,
        no_local: bool = False,
        retained: bool = False,
        durable: str | None = None,
    ) -> None:
        self.id = id
        self.sub = sub
        self.source = source
        self.ack = ack
        self.window = window
        self.credit = credit
        self.no_local = no_local
        self.retained = retained
        self.durable = durable


@final
@dataclass(init=False, slots=True)
class Unsubscribe:
    """No more of that; with `delete` what is kept for a durable subscription goes too, which may be named by `durable`."""

    id: Id
    sub: str
    delete: bool
    durable: str | None
    """Instead of `sub`, which is empty then."""

    def __init__(self, id: Id, sub: str, delete: bool, durable: str | None = None) -> None:
        self.id = id
        self.sub = sub
        self.delete = delete
        self.durable = durable


@final
@dataclass(init=False, slots=True)
class Credit:
    """So many more deliveries, for a subscription that counts them."""

    id: Id
    sub: str
    count: int

    def __init__(self, id: Id, sub: str, count: int) -> None:
        self.id = id
        self.sub = sub
        self.count = count


@final
@dataclass(init=False, slots=True)
class Settle:
    """`ack` (outcome empty) or `nack` of deliveries."""

    id: Id
    tags: list[int]
    outcome: str
    upto: bool
    """And of all before the last of them in its subscription."""
    tx: str | None

    def __init__(self, id: Id, tags: list[int], outcome: str, upto: bool, tx: str | None) -> None:
        self.id = id
        self.tags = tags
        self.outcome = outcome
        self.upto = upto
        self.tx = tx


@final
@dataclass(init=False, slots=True)
class Transact:
    """`begin`, `commit` or `abort`."""

    id: Id
    word: str
    tx: str

    def __init__(self, id: Id, word: str, tx: str) -> None:
        self.id = id
        self.word = word
        self.tx = tx


@final
@dataclass(init=False, slots=True)
class Ping:
    """Are you there?  Or, as `pong`, I am."""

    id: Id
    pong: bool

    def __init__(self, id: Id, pong: bool = False) -> None:
        self.id = id
        self.pong = pong


@final
@dataclass(init=False, slots=True)
class Mistake:
    """An operation that could not be read; the others of its batch may be fine."""

    id: Id
    code: str
    reason: str

    def __init__(self, id: Id, code: str, reason: str) -> None:
        self.id = id
        self.code = code
        self.reason = reason


Operation = Connect | Publish | Subscribe | Unsubscribe | Credit | Settle | Transact | Ping | Mistake
