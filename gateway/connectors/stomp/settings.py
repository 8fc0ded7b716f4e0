"""What the operator may choose about STOMP."""

import ipaddress
from dataclasses import dataclass
from typing import final

from gateway.connectors.stomp.addresses import Spelling
from gateway.connectors.stomp.fitting import Room
from gateway.core.delivery import FAILED, REJECTED, RELEASED


@final
@dataclass(init=False, slots=True)
class StompSettings:
    """Shared by all STOMP listeners of a broker."""

    prefetch: int
    """Unacknowledged deliveries to a subscription that asks for no number of its own."""
    nack: str
    """What a NACK without `requeue` means: failed, rejected or released."""
    heart_beat_send_ms: int
    heart_beat_want_ms: int
    headers_max: int
    header_bytes_max: int
    header_line_bytes_max: int
    id_bytes_max: int
    """Bytes of the id of a subscription, and of the name of a transaction."""
    transactions_max: int
    """Open transactions on one connection."""
    transaction_receipts: str
    """When a frame within a transaction gets its RECEIPT: at-once or commit."""
    virtual_hosts: list[str]
    """Names that `host` may have beside "/" and IP addresses; empty is any."""
    implicit_connect: bool
    """A client may begin without CONNECT."""
    bare_names: str
    """A destination without a prefix: queue or refuse."""
    percent_decode: bool
    """See Spelling."""
    message_id_on_send: str
    """A message-id on SEND: ignore or refuse."""
    temp_queue_replies: str
    """What subscribes to a temporary queue named in reply-to: implicit (the SEND does) or explicit."""
    queue_wildcards: bool
    """See Spelling."""
    selector_converts: bool
    """See Selector."""
    browse_messages_max: int
    """Messages that one browser is shown."""
    untyped: str
    """What a body without a content type is: auto looks at its bytes; activemq at whether there is a content-length."""

    def __init__(
        self,
        prefetch: int = 100,
        nack: str = "failed",
        heart_beat_send_ms: int = 1_000,
        heart_beat_want_ms: int = 10_000,
        headers_max: int = 1_000,
        header_bytes_max: int = 65_536,
        header_line_bytes_max: int = 32_768,
        transactions_max: int = 100,
        transaction_receipts: str = "at-once",
        virtual_hosts: list[str] | None = None,
        implicit_connect: bool = False,
        bare_names: str = "queue",
        percent_decode: bool = False,
        message_id_on_send: str = "ignore",
        temp_queue_replies: str = "implicit",
        queue_wildcards: bool = True,
        selector_converts: bool = True,
        browse_messages_max: int = 10_000,
        untyped: str = "auto",
        id_bytes_max: int = 1_024,
    ) -> None:
        self.prefetch = prefetch
        self.nack = nack
        self.heart_beat_send_ms = heart_beat_send_ms
        self.heart_beat_want_ms = heart_beat_want_ms
        self.headers_max = headers_max
        self.header_bytes_max = header_bytes_max
        self.header_line_bytes_max = header_line_bytes_max
        self.transactions_max = transactions_max
        self.transaction_receipts = transaction_receipts
        self.virtual_hosts = virtual_hosts or []
        self.implicit_connect = implicit_connect
        self.bare_names = bare_names
        self.percent_decode = percent_decode
        self.message_id_on_send = message_id_on_send
        self.temp_queue_replies = temp_queue_replies
        self.queue_wildcards = queue_wildcards
        self.selector_converts = selector_converts
        self.browse_messages_max = browse_messages_max
        self.untyped = untyped
        self.id_bytes_max = id_bytes_max

    def room(self) -> Room:
        """What the head of a MESSAGE may hold: what that of a SEND may."""
        return Room(self.headers_max, self.header_bytes_max, self.header_line_bytes_max)

    def spelling(self) -> Spelling:
        """How names are read."""
        return Spelling(self.bare_names == "queue", self.percent_decode, self.queue_wildcards)

    @property
    def untyped_by_length(self) -> bool:
        """Does a content-length make a body bytes?"""
        return self.untyped == "activemq"

    def nack_outcome(self, requeue: bool | None) -> int:
        """The outcome of a NACK: RabbitMQ's `requeue` header decides, else the policy (camps differ)."""
        if requeue is not None:
            return RELEASED if requeue else REJECTED
        if self.nack == "rejected":
            return REJECTED
        return RELEASED if self.nack == "released" else FAILED

    def serves(self, host: str | None) -> bool:
        """Is `host` a virtual host of ours?  Clients that know of none send "/", or the address that they called."""
        if not self.virtual_hosts or host is None or host in ("", "/") or host in self.virtual_hosts:
            return True
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return False
        return True
