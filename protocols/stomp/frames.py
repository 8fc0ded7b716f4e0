"""A record for each frame that a client sends, and the one event that is no frame.

Text is decoded (escapes undone, UTF-8).  `receipt` is the id under which the client wants a RECEIPT (§RECEIPT).
"""

from dataclasses import dataclass
from enum import Enum
from typing import final

from mypy_extensions import mypyc_attr

from protocols.stomp.constants import SPECIAL_NOT_UTF8, SPECIAL_UTF8


class AckMode(Enum):
    """How deliveries of a subscription are acknowledged (§SUBSCRIBE ack Header)."""

    AUTO = "auto"
    CLIENT = "client"
    """Cumulative: an ACK acknowledges all deliveries up to its own."""
    CLIENT_INDIVIDUAL = "client-individual"


@mypyc_attr(acyclic=True)
@dataclass(init=False, slots=True)
class Frame:
    """What `StompConnection.receive_data` returns."""

    receipt: str | None

    def __init__(self) -> None:
        self.receipt = None


@final
@dataclass(init=False, slots=True)
class Connect(Frame):
    """CONNECT or STOMP (§CONNECT or STOMP Frame)."""

    accept_versions: list[str]
    """As the client listed them; empty when it said nothing, which means 1.0."""
    host: str | None
    """The virtual host.  A MUST since 1.1; brokers have never insisted, and neither do we."""
    login: str | None
    passcode: str | None
    heart_beat: tuple[int, int]
    """What the client can send and would like to get, in ms; 0 is nothing (§Heart-beating)."""
    headers: list[tuple[str, str]]
    version: str
    """The version agreed on."""
    client_id: str | None
    implicit: bool
    """It never came: the client began with another frame, and the listener lets that pass."""

    def __init__(
        self,
        accept_versions: list[str],
        host: str | None,
        login: str | None,
        passcode: str | None,
        heart_beat: tuple[int, int],
        headers: list[tuple[str, str]],
        version: str,
        client_id: str | None = None,
        implicit: bool = False,
    ) -> None:
        self.receipt = None
        self.accept_versions = accept_versions
        self.host = host
        self.login = login
        self.passcode = passcode
        self.heart_beat = heart_beat
        self.headers = headers
        self.version = version
        self.client_id = client_id
        self.implicit = implicit


@final
@mypyc_attr(acyclic=True)
@dataclass(init=False, slots=True)
class Send(Frame):
    """SEND (§SEND)."""

    destination: str
    lines: list[bytes]
    """All header lines in their order, as on the wire but for the EOL.  Frames may share the list: do not change it."""
    body: bytes
    transaction: str | None
    persistent: bool
    priority: int
    """-1 when absent."""
    expires_ms: int
    """Absolute time; 0 when absent, or never."""
    expiration_ms: int
    """Time to live; 0 when absent."""
    retain: bool
    content_length: bool
    """There was a content-length header."""
    content_type: bytes | None
    """As on the wire."""
    version: str
    """The escapes in `lines` are this version's."""
    special: int
    """SPECIAL_ bits of rare headers that the broker has to look at; mostly 0."""

    def __init__(
        self,
        destination: str,
        lines: list[bytes],
        body: bytes,
        receipt: str | None,
        transaction: str | None,
        persistent: bool,
        priority: int,
        expires_ms: int,
        expiration_ms: int,
        retain: bool,
        content_length: bool,
        content_type: bytes | None,
        version: str,
        special: int = 0,
    ) -> None:
        self.receipt = receipt
        self.destination = destination
        self.lines = lines
        self.body = body
        self.transaction = transaction
        self.persistent = persistent
        self.priority = priority
        self.expires_ms = expires_ms
        self.expiration_ms = expiration_ms
        self.retain = retain
        self.content_length = content_length
        self.content_type = content_type
        self.version = version
        self.special = special

    @property
    def is_utf8(self) -> bool | None:
        """Is the body, as far as that has been found out?"""
        looked = self.special & (SPECIAL_UTF8 | SPECIAL_NOT_UTF8)
        return looked == SPECIAL_UTF8 if looked else None

    def with_lines(self, lines: list[bytes]) -> "Send":
        """The same with other header lines."""
        return Send(
            self.destination,
            lines,
            self.body,
            self.receipt,
            self.transaction,
            self.persistent,
            self.priority,
            self.expires_ms,
            self.expiration_ms,
            self.retain,
            self.content_length,
            self.content_type,
            self.version,
            self.special,
        )


@final
@dataclass(init=False, slots=True)
class Subscribe(Frame):
    """SUBSCRIBE (§SUBSCRIBE), with the headers that ActiveMQ, Artemis and RabbitMQ added."""

    destination: str
    id: str | None
    """Never None since 1.1."""
    ack: AckMode
    prefetch: int
    """Unacknowledged deliveries wanted at most; -1 when not said."""
    durable_name: str | None
    """The subscription outlives the connection under this name."""
    selector: str | None
    no_local: bool
    headers: list[tuple[str, str]]
    exclusive: bool
    """No other consumer of the queue is to get anything."""
    browser: bool
    """Show what is in the queue, and take nothing."""
    retained: bool
    """The last values of the topics are wanted too."""
    window: int
    """Unacknowledged bytes wanted at most; -1 when not said, or any."""

    def __init__(
        self,
        destination: str,
        id: str | None,
        ack: AckMode,
        prefetch: int,
        durable_name: str | None,
        selector: str | None,
        no_local: bool,
        headers: list[tuple[str, str]],
        receipt: str | None = None,
        exclusive: bool = False,
        browser: bool = False,
        retained: bool = False,
        window: int = -1,
    ) -> None:
        self.receipt = receipt
        self.destination = destination
        self.id = id
        self.ack = ack
        self.prefetch = prefetch
        self.durable_name = durable_name
        self.selector = selector
        self.no_local = no_local
        self.headers = headers
        self.exclusive = exclusive
        self.browser = browser
        self.retained = retained
        self.window = window


@final
@dataclass(init=False, slots=True)
class Unsubscribe(Frame):
    """UNSUBSCRIBE (§UNSUBSCRIBE); at least one of the three names is there."""

    id: str | None
    destination: str | None
    """How 1.0 may name the subscription instead."""
    durable_name: str | None
    """The durable subscription is to be forgotten."""
    headers: list[tuple[str, str]]

    def __init__(
        self,
        id: str | None,
        destination: str | None,
        durable_name: str | None,
        headers: list[tuple[str, str]],
        receipt: str | None = None,
    ) -> None:
        self.receipt = receipt
        self.id = id
        self.destination = destination
        self.durable_name = durable_name
        self.headers = headers


@final
@dataclass(init=False, slots=True)
class Begin(Frame):
    """BEGIN (§BEGIN)."""

    transaction: str

    def __init__(self, transaction: str, receipt: str | None = None) -> None:
        self.receipt = receipt
        self.transaction = transaction


@final
@dataclass(init=False, slots=True)
class Commit(Frame):
    """COMMIT (§COMMIT)."""

    transaction: str

    def __init__(self, transaction: str, receipt: str | None = None) -> None:
        self.receipt = receipt
        self.transaction = transaction


@final
@dataclass(init=False, slots=True)
class Abort(Frame):
    """ABORT (§ABORT)."""

    transaction: str

    def __init__(self, transaction: str, receipt: str | None = None) -> None:
        self.receipt = receipt
        self.transaction = transaction


@final
@dataclass(init=False, slots=True)
class Ack(Frame):
    """ACK (§ACK)."""

    id: str | None
    """1.2: the `ack` header of the MESSAGE; never None there."""
    message_id: str | None
    """1.0 and 1.1; never None there."""
    subscription: str | None
    """1.1, never None there; some 1.0 clients send it too."""
    transaction: str | None

    def __init__(
        self,
        id: str | None,
        message_id: str | None,
        subscription: str | None,
        transaction: str | None,
        receipt: str | None = None,
    ) -> None:
        self.receipt = receipt
        self.id = id
        self.message_id = message_id
        self.subscription = subscription
        self.transaction = transaction


@final
@dataclass(init=False, slots=True)
class Nack(Frame):
    """NACK (§NACK), since 1.1; names its delivery as ACK does."""

    id: str | None
    message_id: str | None
    subscription: str | None
    transaction: str | None
    requeue: bool | None
    """RabbitMQ's header; None when not said."""

    def __init__(
        self,
        id: str | None,
        message_id: str | None,
        subscription: str | None,
        transaction: str | None,
        requeue: bool | None = None,
        receipt: str | None = None,
    ) -> None:
        self.receipt = receipt
        self.id = id
        self.message_id = message_id
        self.subscription = subscription
        self.transaction = transaction
        self.requeue = requeue


@final
@dataclass(init=False, slots=True)
class Disconnect(Frame):
    """DISCONNECT (§DISCONNECT): nothing that comes after it is looked at."""

    def __init__(self, receipt: str | None = None) -> None:
        self.receipt = receipt


@final
@dataclass(init=False, slots=True)
class ConnectionFailed(Frame):
    """The peer broke the protocol or went silent; the last event of its connection.

    `reason` is for the log.  What the peer is told has already been queued.
    """

    reason: str

    def __init__(self, reason: str) -> None:
        self.receipt = None
        self.reason = reason
