"""The broker itself: the process, its bounds, its queues, its store, its log, its status."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from gateway.config.names import pattern_of_queues, queue_name
from gateway.config.section import Section, is_loopback


class GatewaySection(Section):
    """[gateway]"""

    name: str = "gateway"
    """What it is called in its status."""
    connections_max: int = Field(0, ge=0)
    """Connections of all connectors together; 0 is no limit beyond their own."""
    unfinished_bytes_max: int = Field(268_435_456, ge=65_536)
    """Bytes of large frames and bodies that are not whole, of all connections; above it the one goes that began first."""
    shutdown_timeout_ms: int = Field(5_000, ge=0, le=600_000)
    """Longest a stop waits for clients to read what they are owed."""


class CoreSection(Section):
    """[core]: bounds on the whole broker."""

    queues_max: int = Field(100_000, ge=1)
    """Queues, those of subscriptions and sessions included."""
    queues_per_user_max: int = Field(50_000, ge=0)
    """Named queues that one user may have made since the start; 0 is no limit but that for all."""
    queues_per_address_max: int = Field(50_000, ge=0)
    """The same for the clients of one address."""
    queue_names_bytes_max: int = Field(67_108_864, ge=0)
    """Bytes of the names of all queues, clients and durable subscriptions, beyond 255 of each; they take up to four times
    as many in memory."""
    subscriptions_max: int = Field(1_000_000, ge=1)
    """Subscriptions to topics."""
    subscriptions_bytes_max: int = Field(268_435_456, ge=1_048_576)
    """Bytes in memory of ids, filters and selectors of all subscriptions; of those of MQTT see sessions_bytes_max."""
    subscriptions_bytes_per_client_max: int = Field(8_388_608, ge=1_024)
    """Those of one connection: a selector takes up to thirty times its text, an id four times."""
    followed_queues_max: int = Field(1_000_000, ge=1)
    """Queues that are read by subscriptions to many (`/queue/w.*`), once for each of those; about 300 bytes each."""
    followed_queues_per_user_max: int = Field(500_000, ge=0)
    """Those of one user; 0 is no limit but that for all."""
    followed_queues_per_address_max: int = Field(500_000, ge=0)
    """The same for the clients of one address."""
    lookup_steps_max: int = Field(5_000, ge=1_000)
    """Steps that it may take to find who is to have what goes to one name, some 0.4 µs each.  Filters with a wildcard where
    others have a level add to it: `sensors/+/x` and `sensors/a/+` do, a hundred thousand like `sensors/+/x` do not."""
    topics_cached_bytes_max: int = Field(67_108_864, ge=1_024)
    """Bytes of topics that are remembered with their routes; above that the oldest are forgotten, until their next use."""
    route_bindings_max: int = Field(1_000_000, ge=1)
    """Subscriptions in all remembered routes; topics that match the same filters share one.  Eight bytes each."""
    separators_max: int = Field(255, ge=1, le=1_023)
    """Separators in a name or filter; a lower number ends what deeper filters kept sessions have."""
    retained_messages_max: int = Field(1_000_000, ge=0)
    """Topics that have a retained message."""
    retained_bytes_max: int = Field(268_435_456, ge=0)
    """Bytes of retained messages."""
    memory_max: int = Field(268_435_456, ge=1_048_576)
    """Bytes of messages in queues, above which those that the store has too are let go of, until their turn comes."""
    unstored_bytes_max: int = Field(536_870_912, ge=1_048_576)
    """Bytes of messages in queues that the store does not keep, 600 for each included; one queue has half of it at most."""
    transaction_operations_max: int = Field(10_000, ge=1)
    """Sends and acknowledgements in one transaction."""
    transaction_bytes_max: int = Field(134_217_728, ge=1)
    """Bytes of messages in one transaction, 600 for each message included."""
    transactions_bytes_max: int = Field(268_435_456, ge=1)
    """Bytes of messages in all open transactions together."""
    scheduled_messages_max: int = Field(100_000, ge=0)
    """Messages that wait to be delivered later."""
    scheduled_bytes_max: int = Field(67_108_864, ge=0)
    """Bytes of those messages."""
    scheduled_delay_max_ms: int = Field(2_678_400_000, ge=0)
    """Longest a message may be delayed, in milliseconds; 31 days."""
    scheduled_period_min_ms: int = Field(100, ge=1)
    """Shortest time between two deliveries of a message that is repeated, in milliseconds."""
    selector_length_max: int = Field(4_096, ge=1, le=65_536)
    """Characters of a selector."""
    selector_depth_max: int = Field(64, ge=1, le=200)
    """Brackets, signs and operations of a selector within each other."""
    dedup_window_ms: int = Field(600_000, ge=1_000, le=604_800_000)
    """How long a producer's key (Idempotency-Key, dedup, x-mx-dedup) is remembered, in milliseconds."""
    dedup_keys_max: int = Field(100_000, ge=1, le=10_000_000)
    """Keys that are remembered, about 400 bytes each; above that the oldest are forgotten."""
    dedup_keys_per_producer_max: int = Field(10_000, ge=1, le=10_000_000)
    """Those of one producer."""


class QueuesSection(Section):
    """[queues]: how queues behave."""

    messages_max: int = Field(0, ge=0)
    """Messages in one queue; 0 is no limit."""
    bytes_max: int = Field(268_435_456, ge=0)
    """Bytes of messages that one queue holds in memory; 0 is no limit."""
    stored_bytes_max: int = Field(0, ge=0)
    """Bytes of messages in one queue, those that only the store holds included; 0 is no limit but the disk."""
    when_full: Literal["block", "reject", "drop-oldest", "drop-newest"] = "block"
    """block: producers are not read until there is room; reject: they are told no; drop-oldest; drop-newest."""
    topic_wait_max_ms: int = Field(10_000, ge=0)
    """How long a full queue that lets nothing go may block its topic, or readers that wait themselves; ms, 0 is for ever."""
    deliveries_max: int = Field(20, ge=0)
    """Failed deliveries after which a message is dead-lettered; 0 is never."""
    dead_letters: str = "DLQ"
    """Queue for rejected, exhausted and expired messages; empty discards (and counts) them."""
    dead_letters_of_expired_topics: bool = False
    """Do expired messages of topics that are not persistent go there too?  They are counted either way."""

    @field_validator("dead_letters")
    @classmethod
    def _one_queue(cls, name: str) -> str:
        return queue_name(name) if name else name


class StoreSection(Section):
    """[store]: where persistent messages, sessions and retained messages are kept."""

    path: str = "data/store.db"
    """The file; empty keeps everything in memory, until the gateway stops."""
    asynchronous: tuple[str, ...] = ()
    """Queues whose producers are confirmed before their messages are safe, as patterns: `metrics.*`, `log.>`."""
    pending_bytes_max: int = Field(67_108_864, ge=1_024)
    """Bytes of memory that what is to be written may take before whoever sends it must wait."""
    batch_operations_max: int = Field(4_096, ge=1)
    """Operations in one commit: a message that comes, one that leaves, a note …; a transaction is never split."""
    batch_bytes_max: int = Field(8_388_608, ge=1_024)
    """Bytes of memory that the operations of one commit take; a transaction is never split."""
    free_bytes_min: int = Field(67_108_864, ge=0)
    """Bytes that are to stay free on the disk, a tenth of it at most: below that nothing new is kept; 0 is never."""
    reserve_bytes: int = Field(16_777_216, ge=0)
    """Bytes of the disk, a twentieth of it at most, held by a file that is given up when others have filled it."""
    large_bytes: int = Field(65_536, ge=0)
    """Bytes from which on a message is kept outside the database, in a segment file; 0 is never."""
    segment_bytes: int = Field(67_108_864, ge=1_048_576)
    """Bytes after which a new segment file is begun."""
    fanout_copies_max: int = Field(1_000_000, ge=0)
    """Copies of messages that many queues took at once, which are written once; each takes about 30 bytes of memory."""
    check_bytes_max: int = Field(67_108_864, ge=0)
    """Bytes of a database that is looked at in full at each start; of a larger one, what a start reads of it."""

    @field_validator("asynchronous")
    @classmethod
    def _queues(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple([pattern_of_queues(pattern) for pattern in patterns])


class LogSection(Section):
    """[log]"""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least serious lines that are written."""
    format: Literal["text", "json"] = "text"
    """text for people, json for machines; both to stderr."""
    interval_ms: int = Field(10_000, ge=1_000)
    """How often what happens many times is summed up in a line."""
    lines_max: int = Field(10, ge=0)
    """Lines an interval about one kind of thing, such as refused logins; what is above that is counted."""


class AdminSection(Section):
    """[admin]: the status endpoint, on loopback only."""

    enabled: bool = True
    """Is it there?"""
    uri: str = "http://127.0.0.1:8161"
    """Where it listens; port 0 takes a free one."""

    @field_validator("uri")
    @classmethod
    def _loopback(cls, uri: str) -> str:
        parts = urlsplit(uri)
        if parts.scheme != "http" or parts.port is None or parts.path.strip("/") or parts.query:
            raise ValueError("must be http://HOST:PORT")
        if not is_loopback(parts.hostname or ""):
            raise ValueError("must be on a loopback address")
        return uri

    @property
    def host(self) -> str:
        """The address to listen on."""
        return urlsplit(self.uri).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        """The port to listen on."""
        return urlsplit(self.uri).port or 0
