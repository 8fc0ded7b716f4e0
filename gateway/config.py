"""The configuration: one documented record per section of the TOML file.

Order of precedence: environment (`GATEWAY_SECTION__KEY`), file, the defaults below.
"""

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gateway.connectors.base import Limits
from gateway.connectors.side import CARRY_NAMES
from gateway.core.limits import BLOCK, DROP_OLDEST
from gateway.security.passwords import is_hash
from gateway.security.rules import ACTIONS, ANONYMOUS, ANYBODY, Area

ENVIRONMENT_PREFIX: Final = "GATEWAY_"

SCHEMES: Final = {"mqtt": 1883, "stomp": 61613, "ws": 61614}
"""Protocols a connector can speak, and their usual ports."""

AUTO: Final = "auto"
"""A connector that looks at the first bytes to find out which of them a client speaks."""

TLS_SCHEMES: Final = {"mqtt+ssl": "mqtt", "stomp+ssl": "stomp", "wss": "ws", "auto+ssl": AUTO, "ssl": AUTO}
"""Schemes that mean TLS, and what is spoken inside it."""

ALL_SCHEMES: Final = {
    **SCHEMES,
    "auto": 61616,
    "mqtt+ssl": 8883,
    "stomp+ssl": 61612,
    "wss": 61615,
    "auto+ssl": 61617,
    "ssl": 61617,
}
"""What a connector's URI may start with, and the usual ports."""

DEFAULT_CONNECTORS: Final = (
    {"name": "mqtt", "uri": "mqtt://127.0.0.1:1883"},
    {"name": "stomp", "uri": "stomp://127.0.0.1:61613"},
    {"name": "ws", "uri": "ws://127.0.0.1:61614"},
)


class ConfigError(Exception):
    """What is wrong with the configuration: one line for each mistake, naming file, key and value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Section(BaseModel):
    """A table of the file; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class GatewaySection(Section):
    """[gateway]"""

    name: str = "gateway"
    """What it is called in its status."""
    connections_max: int = Field(0, ge=0)
    """Connections of all connectors together; 0 is no limit beyond their own."""
    shutdown_timeout_ms: int = Field(5_000, ge=0, le=600_000)
    """Longest a stop waits for clients to read what they are owed."""


class CoreSection(Section):
    """[core]: bounds on the whole broker."""

    queues_max: int = Field(100_000, ge=1)
    """Queues, those of subscriptions and sessions included."""
    subscriptions_max: int = Field(1_000_000, ge=1)
    """Subscriptions to topics."""
    retained_messages_max: int = Field(1_000_000, ge=0)
    """Topics that have a retained message."""
    retained_bytes_max: int = Field(268_435_456, ge=0)
    """Bytes of retained messages."""
    memory_max: int = Field(268_435_456, ge=1_048_576)
    """Bytes of messages in queues, above which those that the store has too are let go of, until their turn comes."""
    transaction_operations_max: int = Field(100_000, ge=1)
    """Sends and acknowledgements in one transaction."""
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
    deliveries_max: int = Field(20, ge=0)
    """Failed deliveries after which a message is dead-lettered; 0 is never."""
    dead_letters: str = "DLQ"
    """Queue for rejected, exhausted and expired messages; empty discards (and counts) them."""


class MqttSection(Section):
    """[mqtt]: shared by all MQTT connectors."""

    sessions_max: int = Field(100_000, ge=1)
    """Sessions, connected or not."""
    session_expiry_max_s: int = Field(4_294_967_295, ge=0, le=4_294_967_295)
    """Longest a session is kept without a connection, in seconds; 4294967295 keeps it for good."""
    receive_maximum: int = Field(1_000, ge=1, le=65_535)
    """QoS 1 and 2 messages taken from one client before they are finished."""
    inflight_max: int = Field(1_000, ge=1, le=65_535)
    """Unacknowledged messages sent to a client that names no Receive Maximum."""
    topic_alias_maximum: int = Field(10, ge=0, le=65_535)
    """Topic aliases a client may set."""
    queued_messages_max: int = Field(100_000, ge=0)
    """Messages one session holds for its client; 0 is no limit."""
    queued_bytes_max: int = Field(67_108_864, ge=0)
    """Bytes one session holds for its client; 0 is no limit."""
    when_full: Literal["block", "drop-oldest", "drop-newest"] = "drop-oldest"
    """What a full session does with one more message."""
    keep_alive_max_s: int = Field(0, ge=0, le=65_535)
    """Longest keep-alive a client may have, in seconds; 0 lets clients choose."""
    qos_max: int = Field(2, ge=0, le=2)
    """Highest QoS."""
    retain_available: bool = True
    """Are retained messages allowed?"""
    versions: tuple[Literal["3.1", "3.1.1", "5.0"], ...] = Field(("3.1", "3.1.1", "5.0"), min_length=1)
    """Versions that are accepted."""
    topic_alias_send_maximum: int = Field(10, ge=0, le=65_535)
    """Topic aliases set up for a client that takes some."""
    check_payload_format: bool = False
    """Refuse payloads that say that they are UTF-8 and are not?"""
    response_information: str = ""
    """Told to clients that ask for it; {client_id} stands for the client's own; empty is none."""
    server_reference: str = ""
    """Another server: named when clients are redirected, or when this one stops."""
    redirect: Literal["no", "use-another-server", "server-moved"] = "no"
    """Send every client there instead?"""
    publish_denied: Literal["acknowledge", "disconnect"] = "acknowledge"
    """What a client before MQTT 5 gets for a PUBLISH that is not allowed: an acknowledgement, or the end."""
    queue_qos0: bool = False
    """Keep QoS 0 messages too for a session without a connection?"""
    client_id_max_3_1: int = Field(0, ge=0, le=65_535)
    """Characters of a client id of MQTT 3.1, which allows 23; 0 is any number."""
    control_characters: bool = False
    """Are control characters allowed in topics, filters, client ids and user names?"""
    sys_interval_s: int = Field(10, ge=0, le=86_400)
    """How often the $SYS topics are published, in seconds; 0 is never."""

    @model_validator(mode="after")
    def _redirect_somewhere(self) -> "MqttSection":
        if self.redirect != "no" and not self.server_reference:
            raise ValueError(f"redirect = {self.redirect!r} needs a server_reference")
        return self


class StompSection(Section):
    """[stomp]: shared by all STOMP connectors."""

    prefetch: int = Field(100, ge=1, le=65_535)
    """Unacknowledged messages sent to a subscription that asks for no number of its own."""
    nack: Literal["failed", "rejected", "released"] = "failed"
    """What a NACK means: failed (again, dead letter after deliveries_max), rejected (dead letter), released (again)."""
    heart_beat_send_ms: int = Field(1_000, ge=0)
    """Most frequent heart-beats the gateway offers, in milliseconds; 0 is none."""
    heart_beat_want_ms: int = Field(10_000, ge=0)
    """Heart-beats the gateway would like from clients, in milliseconds; 0 is none."""
    headers_max: int = Field(1_000, ge=1)
    """Headers in one frame."""
    header_bytes_max: int = Field(65_536, ge=256)
    """Bytes of one frame's headers."""
    header_line_bytes_max: int = Field(32_768, ge=64)
    """Bytes of one header line."""
    transactions_max: int = Field(100, ge=1)
    """Open transactions on one connection."""
    transaction_receipts: Literal["at-once", "commit"] = "at-once"
    """When a frame within a transaction gets its RECEIPT: at-once (ActiveMQ), or after its COMMIT or ABORT."""
    virtual_hosts: list[str] = Field(default_factory=list)
    """Names that the host header of CONNECT may have beside "/" and IP addresses; empty is any."""
    implicit_connect: bool = False
    """May a client begin without CONNECT, as an anonymous one of 1.0 (an option of RabbitMQ)?"""
    bare_names: Literal["queue", "refuse"] = "queue"
    """A destination without a prefix: queue (ActiveMQ), or refuse (RabbitMQ)."""
    percent_decode: bool = False
    """Is %XX in the name of a destination the character of that code (RabbitMQ)?"""
    message_id_on_send: Literal["ignore", "refuse"] = "ignore"
    """A message-id header on SEND: ignore, or refuse (RabbitMQ)."""
    temp_queue_replies: Literal["implicit", "explicit"] = "implicit"
    """Does reply-to:/temp-queue/NAME on SEND subscribe to that queue (RabbitMQ), or does the client have to (ActiveMQ)?"""
    queue_wildcards: bool = True
    """Does SUBSCRIBE to /queue/a.* or /queue/a.> read all queues of such names (ActiveMQ)?  Else those are names."""
    selector_converts: bool = True
    """Does a selector read the text of a number as that number where it is compared with one?"""
    browse_messages_max: int = Field(10_000, ge=1)
    """Messages that one browser is shown."""
    untyped: Literal["auto", "activemq"] = "auto"
    """A body without content-type: auto looks whether it is text; activemq takes it for bytes if it has a content-length."""


class SecuritySection(Section):
    """[security]: how users are checked."""

    password_threads: int = Field(1, ge=1, le=64)
    """Threads that check passwords."""
    password_checks_max: int = Field(1_000, ge=1)
    """Password checks that may be under way or wait; above that logins are refused."""


class UserSection(Section):
    """[[user]]: who may connect by name and password."""

    name: str = Field(min_length=1, max_length=256)
    """What the client says as its user name or login."""
    hash: str = Field(repr=False)
    """argon2id hash of the password, as `gateway user hash` prints it."""
    groups: tuple[str, ...] = ()
    """Names by which rules can mean several users."""

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, name: str) -> str:
        if name in (ANYBODY, ANONYMOUS):
            raise ValueError("means something else in rules")
        return name

    @field_validator("hash")
    @classmethod
    def _a_hash(cls, hash: str) -> str:
        if not is_hash(hash):
            raise ValueError("not an argon2id hash: `gateway user hash` makes one")
        return hash


class RuleSection(Section):
    """[[rule]]: what somebody may or may not do.  The first rule that fits decides; where none fits, it is denied."""

    allow: tuple[Literal["publish", "subscribe", "receive"], ...] = ()
    """What is allowed; or else"""
    deny: tuple[Literal["publish", "subscribe", "receive"], ...] = ()
    """what is denied."""
    users: tuple[str, ...] = ()
    """Names; * is everybody with a name, anonymous is who has none.  Without users and groups: everybody."""
    groups: tuple[str, ...] = ()
    """Groups of [[user]]."""
    destinations: tuple[str, ...] = Field(min_length=1)
    """topic:NAME or queue:NAME; * is a level, > the rest, {user} and {client_id} the client's own."""

    @field_validator("destinations")
    @classmethod
    def _patterns(cls, destinations: tuple[str, ...]) -> tuple[str, ...]:
        for text in destinations:
            Area.parse(text)
        return destinations

    @model_validator(mode="after")
    def _one_of_both(self) -> "RuleSection":
        if bool(self.allow) == bool(self.deny):
            raise ValueError(f"write either allow or deny, a list of {', '.join(ACTIONS)}")
        return self


class StoreSection(Section):
    """[store]: where persistent messages, sessions and retained messages are kept."""

    path: str = "data/store.db"
    """The file; empty keeps everything in memory, until the gateway stops."""
    asynchronous: tuple[str, ...] = ()
    """Queues whose producers are confirmed before their messages are safe, as patterns: `metrics.*`, `log.>`."""
    pending_bytes_max: int = Field(67_108_864, ge=1_024)
    """Bytes of messages that may wait to be written before their producers must."""
    large_bytes: int = Field(65_536, ge=0)
    """Bytes from which on a message is kept outside the database, in a segment file; 0 is never."""
    segment_bytes: int = Field(67_108_864, ge=1_048_576)
    """Bytes after which a new segment file is begun."""


class WebSocketSection(Section):
    """[websocket]: shared by all ws connectors."""

    paths: tuple[str, ...] = ("/", "/mqtt", "/ws")
    """Paths at which WebSocket is spoken."""
    origins: tuple[str, ...] = ()
    """Sites whose pages may come, as https://HOST:PORT; none is the same host and this machine; "*" is everybody's."""
    handshake_bytes_max: int = Field(16_384, ge=1_024, le=1_048_576)
    """Bytes of a request's line and headers."""
    ping_interval_ms: int = Field(30_000, ge=0, le=86_400_000)
    """Silence after which a client is pinged, and after as much again given up; 0 is never."""
    compression: bool = False
    """Is permessage-deflate offered?  It costs memory for each connection, and time for each message."""
    compression_window_bits: int = Field(12, ge=9, le=15)
    """Largest window, as a power of two."""
    unpacked_max: int = Field(1_048_576, ge=1_024)
    """Bytes of one compressed message, once it is unpacked."""
    demo: bool = False
    """Is there a live page at `/`?"""
    json_window: int = Field(100, ge=1, le=65_535)
    """gateway.json: unacknowledged messages sent to a subscription that asks for no number of its own."""
    json_operations_max: int = Field(1_000, ge=1)
    """gateway.json: operations in one batch."""
    json_transactions_max: int = Field(100, ge=1)
    """gateway.json: open transactions on one connection."""

    @field_validator("paths")
    @classmethod
    def _absolute(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for path in paths:
            if not path.startswith("/") or "?" in path:
                raise ValueError(f"{path!r} is no path: it begins with /")
        return paths

    @field_validator("origins")
    @classmethod
    def _sites(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            parts = urlsplit(origin)
            if origin != "*" and (not parts.hostname or origin != f"{parts.scheme}://{parts.netloc}"):
                raise ValueError(f"{origin!r} is no origin: SCHEME://HOST or SCHEME://HOST:PORT")
        return origins


class HttpSection(Section):
    """[http]: requests to ws connectors."""

    receipts_max: int = Field(10_000, ge=1)
    """Deliveries over HTTP that wait for their outcome, all clients together."""
    visibility_timeout_ms: int = Field(30_000, ge=1, le=86_400_000)
    """How long such a delivery waits before it counts as failed."""
    pull_max: int = Field(100, ge=1, le=65_535)
    """Messages in one answer."""
    wait_max_ms: int = Field(60_000, ge=0, le=86_400_000)
    """Longest a request may wait for a message."""
    event_ping_ms: int = Field(15_000, ge=1, le=86_400_000)
    """Silence on a stream of events after which a comment is sent."""


class LogSection(Section):
    """[log]"""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least serious lines that are written."""
    format: Literal["text", "json"] = "text"
    """text for people, json for machines; both to stderr."""


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


_DURATION_MAX: Final = 86_400_000

OPTIONS: Final[dict[str, tuple[str, int, int]]] = {
    "maximumConnections": ("maximum_connections", 1, 10_000_000),
    "wireFormat.maxFrameSize": ("max_frame_size", 64, 268_435_460),
    "connectTimeout": ("connect_timeout_ms", 1, _DURATION_MAX),
    "maxInactivityDuration": ("idle_timeout_ms", 0, _DURATION_MAX),
    "maximumSubscriptions": ("max_subscriptions", 0, 10_000_000),
    "maximumInflight": ("max_inflight", 1, 65_535),
    "outputBuffer": ("output_buffer", 1_024, 1 << 40),
    "messageRate": ("message_rate", 0, 1 << 40),
    "byteRate": ("byte_rate", 0, 1 << 40),
}
"""Options of a connector's URI that are whole numbers: field of Limits, least and most."""

SLOW_CONSUMER: Final = ("block", "drop-oldest", "drop-newest", "disconnect")

PREFIXES: Final = ("wireFormat.", "transport.")
"""What ActiveMQ's users write before some options; it may be left out, or stand before any."""


TLS_OPTIONS: Final = {"needClientAuth": "need", "wantClientAuth": "want"}
"""Options of a connector's URI that are about TLS: the `client_certificates` that `=true` means."""


class KeyPairSection(Section):
    """[[connector.tls.more]]: a further certificate, for clients that ask for one of its names (SNI)."""

    certificate: Path
    """Chain in PEM: the leaf first, then the authorities above it but for the root."""
    key: Path
    """Its private key, PEM; nobody else may be able to read it."""
    key_password: str = ""
    """`file:PATH` (first line) or `env:NAME`, for a key that is encrypted."""

    @field_validator("key_password")
    @classmethod
    def _a_source(cls, source: str) -> str:
        if source and not source.startswith(("file:", "env:")):
            raise ValueError("must be file:PATH or env:NAME, not the password itself")
        return source


class TlsSection(KeyPairSection):
    """[connector.tls]: TLS on the [[connector]] above it.  Paths count from the working directory."""

    certificate: Path = Path("certs/issued/broker-chain.crt")
    """Chain in PEM: the leaf first, then the authorities above it but for the root."""
    key: Path = Path("certs/issued/broker.key")
    """Its private key, PEM; nobody else may be able to read it."""
    key_group_readable: bool = False
    """May the key be readable by its group, as where secrets are mounted for one?"""
    more: tuple[KeyPairSection, ...] = ()
    """Further certificates, for clients that ask for one of their names (SNI)."""
    client_certificates: Literal["no", "want", "need"] = "no"
    """Are clients asked for a certificate (want), and refused without one (need)?"""
    ca: tuple[Path, ...] = (Path("certs/root-ca.crt"), Path("certs/intermediate-ca.crt"))
    """Authorities whose clients are trusted, PEM."""
    user_from: Literal["cn", "dn", "dns", "email", "uri", "nothing"] = "cn"
    """What in a client's certificate is its user: common name, whole subject, or the one alternative name of a kind."""
    crl: tuple[Path, ...] = ()
    """Revocation lists, PEM; with one, a client whose authority has none there, or an overdue one, is refused."""
    crl_check: Literal["leaf", "chain"] = "leaf"
    """Whose revocation is looked for: the client's, or that of every authority above it too."""
    revoked_sessions: Literal["end", "keep"] = "end"
    """What happens to a client that is connected when its certificate is revoked."""
    versions: tuple[Literal["1.2", "1.3"], ...] = Field(("1.2", "1.3"), min_length=1)
    """Versions of TLS."""
    ciphers: str = ""
    """OpenSSL's list for TLS 1.2; empty is forward secrecy with AES-GCM or ChaCha20."""
    alpn: tuple[str, ...] = ()
    """Protocols offered (ALPN); empty is that of the connector."""
    session_tickets: bool = True
    """May clients resume a session without a whole handshake?"""
    handshake_timeout_ms: int = Field(10_000, ge=100, le=600_000)
    """Longest a handshake may take, first bytes included."""
    handshakes_max: int = Field(1_000, ge=1, le=1_000_000)
    """Handshakes under way; above that the one that has taken longest is ended."""
    reload_s: int = Field(1, ge=0, le=86_400)
    """How often files are looked at for changes, in seconds; 0 is only on SIGHUP."""


class ConnectorSection(Section):
    """[[connector]]: one listening address, written as ActiveMQ writes it."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)
    """How it is called in logs and status."""
    uri: str
    """SCHEME://HOST:PORT?option=value&…; port 0 takes a free one."""
    tls: TlsSection | None = None
    """TLS; a scheme with ssl in it has it without this table too."""
    allow_anonymous: bool | None = None
    """May clients come without a name?  Unset: on loopback, as long as there is no [[user]]."""

    @model_validator(mode="after")
    def _check(self) -> "ConnectorSection":
        parts = urlsplit(self.uri)
        if parts.username is not None or parts.password is not None:
            raise ValueError("names and passwords do not belong in a URI")
        self.limits()
        self.client_certificates()
        if not self.host or parts.path.strip("/") or parts.fragment or self.port < 0:
            raise ValueError("must be SCHEME://HOST:PORT?option=value&…")
        if self.scheme not in ALL_SCHEMES:
            raise ValueError(f"unknown protocol {self.scheme!r}{nearest(self.scheme, list(ALL_SCHEMES))}")
        return self

    @property
    def scheme(self) -> str:
        """What the URI starts with."""
        return urlsplit(self.uri).scheme

    @property
    def protocol(self) -> str:
        """A key of SCHEMES, or AUTO."""
        return TLS_SCHEMES.get(self.scheme, self.scheme)

    @property
    def secure(self) -> bool:
        """Is there TLS on every connection?  (`auto` with a `tls` table takes both kinds.)"""
        return self.scheme in TLS_SCHEMES or (self.tls is not None and self.protocol != AUTO)

    @property
    def tls_section(self) -> TlsSection | None:
        """The `tls` table, with what the URI says put in; None without TLS."""
        if self.tls is None and not self.secure:
            return None
        section = self.tls or TlsSection()
        wanted = self.client_certificates()
        return section if wanted is None else section.model_copy(update={"client_certificates": wanted})

    @property
    def certified(self) -> bool:
        """Do its clients show certificates, at least some of them?"""
        found = self.tls_section
        return found is not None and found.client_certificates != "no"

    def client_certificates(self) -> str | None:
        """What the URI says of them, as ActiveMQ writes it; None when it says nothing.  Raises ValueError."""
        found: str | None = None
        for key, value in parse_qsl(urlsplit(self.uri).query, keep_blank_values=True):
            wanted = TLS_OPTIONS.get(_option_name(key))
            if wanted is None:
                continue
            if value not in ("true", "false"):
                raise ValueError(f"{key}={value}: true or false")
            if not self.secure and self.tls is None:
                raise ValueError(f"{key}: this connector has no TLS")
            if value == "true" and found != "need":
                found = wanted
        return found

    @property
    def host(self) -> str:
        """The address to listen on."""
        host = urlsplit(self.uri).hostname
        if not host:
            raise ValueError("the URI has no host: SCHEME://HOST:PORT")
        return host

    @property
    def port(self) -> int:
        """The port to listen on; 0 takes a free one."""
        port = urlsplit(self.uri).port
        return ALL_SCHEMES.get(self.scheme, 0) if port is None else port

    def anonymous(self, users: bool) -> bool:
        """May clients come without a name?  `users`: are there any who could have one?  Raises ValueError."""
        found = self.tls_section
        # Who must show a certificate is somebody, whether there are users with passwords or not.
        known = users or (found is not None and found.client_certificates == "need")
        if self.allow_anonymous is not None and (self.allow_anonymous or known):
            return self.allow_anonymous
        if known:
            return False
        # Without users nobody checks names: refusing who has none would let in everybody who makes one up.
        if not is_loopback(self.host):
            raise ValueError(
                f"{self.host} is not a loopback address: write [[user]] tables, or allow everybody, "
                "allow_anonymous = true"
            )
        if self.allow_anonymous is False:
            raise ValueError("allow_anonymous = false without a [[user]]: nobody could come")
        return True

    def limits(self, protocol: str = "") -> Limits:
        """The limits that the URI's options name, defaults for the others (of `protocol`, where several are spoken).
        Raises ValueError."""
        limits = Limits(slow_consumer=DROP_OLDEST if (protocol or self.protocol) == "mqtt" else BLOCK)
        seen: set[str] = set()
        for key, value in parse_qsl(urlsplit(self.uri).query, keep_blank_values=True):
            option = _option_name(key)
            if option in seen:
                raise ValueError(f"{option} is there twice")
            seen.add(option)
            if option in TLS_OPTIONS:
                continue
            _apply_option(limits, option, value)
        return limits


def _option_name(key: str) -> str:
    """An option as OPTIONS spells it."""
    bare = key
    for prefix in PREFIXES:
        bare = bare.removeprefix(prefix)
    prefixed = PREFIXES[0] + bare
    return prefixed if prefixed in OPTIONS else bare


def _apply_option(limits: Limits, key: str, value: str) -> None:
    if key == "carry":
        if value not in CARRY_NAMES:
            raise ValueError(f"carry={value}: one of {', '.join(CARRY_NAMES)}")
        limits.carry = CARRY_NAMES[value]
        return
    if key == "publishIdentity":
        if value not in ("true", "false"):
            raise ValueError(f"publishIdentity={value}: true or false")
        limits.publish_identity = value == "true"
        return
    if key == "slowConsumer":
        if value not in SLOW_CONSUMER:
            raise ValueError(f"slowConsumer={value}: one of {', '.join(SLOW_CONSUMER)}")
        limits.slow_consumer = value
        return
    option = OPTIONS.get(key)
    if option is None:
        if key == "allowAnonymous":
            raise ValueError("allowAnonymous is a key beside the URI: allow_anonymous")
        known = [*OPTIONS, *TLS_OPTIONS, "slowConsumer", "carry", "publishIdentity"]
        raise ValueError(f"unknown option {key!r}{nearest(key, known)}")
    field, least, most = option
    if not (value.isascii() and value.isdigit()) or len(value) > 18 or not least <= int(value) <= most:
        raise ValueError(f"{key}={value}: a whole number from {least} to {most}")
    setattr(limits, field, int(value))


class Config(Section):
    """The whole file."""

    gateway: GatewaySection = GatewaySection()
    connector: tuple[ConnectorSection, ...] = Field(
        default_factory=lambda: tuple(ConnectorSection(**fields) for fields in DEFAULT_CONNECTORS)
    )
    core: CoreSection = CoreSection()
    queues: QueuesSection = QueuesSection()
    mqtt: MqttSection = MqttSection()
    stomp: StompSection = StompSection()
    websocket: WebSocketSection = WebSocketSection()
    http: HttpSection = HttpSection()
    security: SecuritySection = SecuritySection()
    user: tuple[UserSection, ...] = ()
    rule: tuple[RuleSection, ...] = ()
    store: StoreSection = StoreSection()
    log: LogSection = LogSection()
    admin: AdminSection = AdminSection()

    @field_validator("connector")
    @classmethod
    def _names_differ(cls, connectors: tuple[ConnectorSection, ...]) -> tuple[ConnectorSection, ...]:
        names: set[str] = set()
        for connector in connectors:
            name = _variable_name(connector.name)
            if name in names:
                raise ValueError(f"two connectors are named {connector.name!r}")
            names.add(name)
        return connectors

    @field_validator("user")
    @classmethod
    def _users_differ(cls, users: tuple[UserSection, ...]) -> tuple[UserSection, ...]:
        names = [user.name for user in users]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two users are named {name!r}")
        return users

    @model_validator(mode="after")
    def _somebody_is_checked(self) -> "Config":
        for connector in self.connector:
            try:
                connector.anonymous(bool(self.user))
            except ValueError as error:
                raise ValueError(f"connector[{connector.name}].uri = {connector.uri!r}: {error}") from None
        for rule in self.rule:
            certified = any(connector.certified for connector in self.connector)
            if (rule.groups or set(rule.users) - {ANONYMOUS}) and not self.user and not certified:
                raise ValueError("a [[rule]] about users, and there is no [[user]]")
        return self


def is_loopback(host: str) -> bool:
    """Is it an address of this machine only?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def nearest(word: str, known: list[str]) -> str:
    """`, did you mean …?` for a word that is nearly one of `known`; else the choice."""
    close = difflib.get_close_matches(word, known, 1, 0.5)
    if close:
        return f", did you mean {close[0]!r}?"
    return f"; known are {', '.join(sorted(known))}" if known else ""


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Config:
    """The configuration in `path` (None: defaults only), overridden by the environment.  Raises ConfigError."""
    source = "defaults" if path is None else str(path)
    data: dict[str, Any] = {}
    if path is not None:
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError([f"{source}: {error.strerror}"]) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError([f"{source}: {error}"]) from None
    variables: dict[str, str] = {}
    problems = _override(data, environment, variables)
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        problems += [_problem(source, data, variables, item) for item in error.errors()]
        raise ConfigError(problems) from None
    if problems:
        raise ConfigError(problems)
    return config


def _override(data: dict[str, Any], environment: Mapping[str, str], variables: dict[str, str]) -> list[str]:
    """Put `GATEWAY_SECTION__KEY` into `data`, and into `variables` which key came from where; returns mistakes."""
    problems: list[str] = []
    for variable in sorted(environment):
        if not variable.startswith(ENVIRONMENT_PREFIX) or "__" not in variable:
            continue
        path = variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        table = _table(data, path[:-1])
        if isinstance(table, str):
            problems.append(f"{variable}: {table}")
            continue
        table[path[-1]] = _literal(environment[variable])
        dotted = f"connector[{table['name']}].{path[-1]}" if path[0] == "connector" else ".".join(path)
        variables[dotted] = variable
    return problems


def _table(data: dict[str, Any], path: list[str]) -> dict[str, Any] | str:
    """The table of `data` that a variable's path names, or why there is none."""
    if path[0] != "connector":
        if len(path) != 1:
            return f"write {ENVIRONMENT_PREFIX}SECTION__KEY"
        if path[0] not in Config.model_fields:
            return f"unknown section {path[0]!r}{nearest(path[0], list(Config.model_fields))}"
        table = data.setdefault(path[0], {})
        return table if isinstance(table, dict) else f"{path[0]} is not a section"
    if len(path) != 2:
        return f"write {ENVIRONMENT_PREFIX}CONNECTOR__NAME__KEY"
    connectors = data.setdefault("connector", [dict(fields) for fields in DEFAULT_CONNECTORS])
    if not isinstance(connectors, list):
        return "write [[connector]] in the file, with two brackets"
    named = [item for item in connectors if isinstance(item, dict) and "name" in item]
    for item in named:
        if _variable_name(str(item["name"])) == path[1]:
            return item
    return f"there is no connector named {path[1]!r}{nearest(path[1], [str(item['name']) for item in named])}"


def _variable_name(name: str) -> str:
    """A connector's name as a variable spells it."""
    return name.lower().replace("-", "_").replace(".", "_")


def _literal(text: str) -> Any:
    """A TOML value if it is one, else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _problem(source: str, data: dict[str, Any], variables: Mapping[str, str], item: Any) -> str:
    """One mistake as a line: file or variable, key, value, and what would be right."""
    location: tuple[str | int, ...] = item["loc"]
    key = _dotted(location, data)
    value = item["input"]
    if item["type"] == "extra_forbidden":
        section = _section(location[:-1])
        known = list(section.model_fields) if section is not None else []
        return f"{variables.get(key, source)}: unknown key {key}{nearest(str(location[-1]), known)}"
    if item["type"] == "missing":
        return f"{source}: {key} is missing"
    message = item["msg"].removeprefix("Value error, ")
    if not location:
        # About several tables: the message says which.
        return f"{source}: {message}"
    if location[-1] in ("hash", "key_password"):
        # It may be the password itself.
        return f"{variables.get(key, source)}: {key}: {message}"
    if isinstance(value, dict) and location[0] != "connector":
        return f"{source}: {key}: {message}"
    if isinstance(value, dict) and "tls" not in location:
        # What a connector's table as a whole can get wrong is its URI.
        key = f"{key}.uri"
        value = value.get("uri", "")
    if isinstance(value, list | tuple | dict):
        return f"{source}: {key}: {message}"
    return f"{variables.get(key, source)}: {key} = {_shown(value)}: {message}"


def _shown(value: Any) -> str:
    """A value as it may be shown: not endless, and without what stands before @ in a URI."""
    text = repr(value)
    if "://" in text and "@" in text:
        text = f"{text.split('://', 1)[0]}://…@{text.rsplit('@', 1)[1]}"
    return text if len(text) <= 200 else text[:200] + "…"


def _dotted(location: tuple[str | int, ...], data: dict[str, Any]) -> str:
    """`connector[mqtt].uri`, `queues.bytes_max`."""
    parts: list[str] = []
    for at, part in enumerate(location):
        if isinstance(part, int):
            items = data.get(str(location[at - 1]), [])
            item = items[part] if isinstance(items, list) and part < len(items) else None
            parts[-1] += f"[{item.get('name', part) if isinstance(item, dict) else part}]"
        else:
            parts.append(part)
    return ".".join(parts)


def _section(location: tuple[str | int, ...]) -> type[BaseModel] | None:
    """The record that a key belongs to."""
    if not location:
        return Config
    if location[0] == "connector":
        if "tls" in location:
            return KeyPairSection if "more" in location else TlsSection
        return ConnectorSection
    field = Config.model_fields.get(str(location[0]))
    annotation = None if field is None else field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
