"""The listening addresses: a URI each, whose options are the limits of its connections."""

import socket
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field, model_validator

from gateway.config.section import Section, is_loopback, nearest
from gateway.config.tls import TlsSection
from gateway.connectors.base import Limits
from gateway.connectors.side import CARRY_NAMES
from gateway.core.limits import BLOCK, DROP_OLDEST

SCHEMES: Final = {"mqtt": 1883, "stomp": 61613, "ws": 61614}
"""Protocols a connector can speak, and their usual ports."""

OPTIONS_KNOWN_MAX: Final = 100
"""URIs whose options are remembered as they were read."""

AUTO: Final = "auto"
"""A connector that looks at the first bytes to find out which of them a client speaks."""

TLS_SCHEMES: Final = {"mqtt+ssl": "mqtt", "stomp+ssl": "stomp", "wss": "ws", "auto+ssl": AUTO, "ssl": AUTO}
"""Schemes that mean TLS, and what is spoken inside it."""

UNIX_SCHEMES: Final = {"mqtt+unix": "mqtt", "stomp+unix": "stomp", "ws+unix": "ws", "auto+unix": AUTO}
"""Schemes that mean a socket with a name in the file system, and what is spoken there."""

ALL_SCHEMES: Final = {
    **SCHEMES,
    **dict.fromkeys(UNIX_SCHEMES, 0),
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

_DURATION_MAX: Final = 86_400_000

OPTIONS: Final[dict[str, tuple[str, int, int]]] = {
    "maximumConnections": ("maximum_connections", 1, 10_000_000),
    "wireFormat.maxFrameSize": ("max_frame_size", 64, 268_435_460),
    "connectTimeout": ("connect_timeout_ms", 1, _DURATION_MAX),
    "connectFrameSize": ("connect_frame_size", 1_024, 268_435_460),
    "bodyRateMin": ("body_rate_min", 1, 1 << 40),
    "maxInactivityDuration": ("idle_timeout_ms", 0, _DURATION_MAX),
    "maximumSubscriptions": ("max_subscriptions", 0, 10_000_000),
    "maximumInflight": ("max_inflight", 1, 65_535),
    "outputBuffer": ("output_buffer", 1_024, 1 << 40),
    "slowConsumerTimeout": ("slow_consumer_timeout_ms", 1, _DURATION_MAX),
    "messageRate": ("message_rate", 0, 1 << 40),
    "byteRate": ("byte_rate", 0, 1 << 40),
}
"""Options of a connector's URI that are whole numbers: field of Limits, least and most."""

BLOCKING: Final = ("stomp", AUTO)
"""Protocols whose slow readers make publishers wait unless they are told otherwise, as their users expect: a sleeping
device or a page that only looks on must not stop a topic."""

SLOW_CONSUMER: Final = ("block", "drop-oldest", "drop-newest", "disconnect")

PREFIXES: Final = ("wireFormat.", "transport.")
"""What ActiveMQ's users write before some options; it may be left out, or stand before any."""

TLS_OPTIONS: Final = {"needClientAuth": "need", "wantClientAuth": "want"}
"""Options of a connector's URI that are about TLS: the `client_certificates` that `=true` means."""

SOCKET_MODE: Final = "socketMode"
"""Option of a Unix socket's URI: who may connect, as the octal mode of its file."""

SOCKET_MODE_DEFAULT: Final = 0o600

SOCKET_PATH_MAX: Final = 103
"""Bytes of a Unix socket's path that every system takes."""


class ConnectorSection(Section):
    """[[connector]]: one listening address, written as ActiveMQ writes it."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)
    """How it is called in logs and status."""
    uri: str
    """SCHEME://HOST:PORT?option=value&…; port 0 takes a free one.  Or SCHEME+unix:///PATH?option=value&…"""
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
        if self.scheme in UNIX_SCHEMES:
            self._check_path(parts.netloc, parts.path)
            return self
        if not self.host or parts.path.strip("/") or parts.fragment or self.port < 0:
            raise ValueError("must be SCHEME://HOST:PORT?option=value&…")
        if self.scheme not in ALL_SCHEMES:
            raise ValueError(f"unknown protocol {self.scheme!r}{nearest(self.scheme, list(ALL_SCHEMES))}")
        return self

    @staticmethod
    def _check_path(netloc: str, path: str) -> None:
        if not hasattr(socket, "AF_UNIX"):
            raise ValueError("this system has no Unix sockets")
        if netloc or path.endswith("/"):
            raise ValueError("must be SCHEME+unix:///PATH?option=value&…, with the whole path of the socket")
        if len(path.encode()) > SOCKET_PATH_MAX:
            raise ValueError(f"the path of a Unix socket may have {SOCKET_PATH_MAX} bytes")

    @property
    def scheme(self) -> str:
        """What the URI starts with."""
        return urlsplit(self.uri).scheme

    @property
    def protocol(self) -> str:
        """A key of SCHEMES, or AUTO."""
        return TLS_SCHEMES.get(self.scheme) or UNIX_SCHEMES.get(self.scheme, self.scheme)

    @property
    def path(self) -> str:
        """The Unix socket to listen on; empty when it is an address and a port."""
        return unquote(urlsplit(self.uri).path) if self.scheme in UNIX_SCHEMES else ""

    @property
    def socket_mode(self) -> int:
        """The mode of the Unix socket's file.  Raises ValueError."""
        for key, value in _options(self.uri):
            if _option_name(key) == SOCKET_MODE:
                return _mode_of(value)
        return SOCKET_MODE_DEFAULT

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
        for key, value in _options(self.uri):
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
        """The address to listen on; a Unix socket is on this machine."""
        if self.path:
            return "localhost"
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
        limits = Limits(slow_consumer=BLOCK if (protocol or self.protocol) in BLOCKING else DROP_OLDEST)
        seen: set[str] = set()
        for key, value in _options(self.uri):
            option = _option_name(key)
            if option in seen:
                raise ValueError(f"{option} is there twice")
            seen.add(option)
            if option in TLS_OPTIONS:
                continue
            if option == SOCKET_MODE and self.path:
                _mode_of(value)
                continue
            _apply_option(limits, option, value)
        return limits


@lru_cache(OPTIONS_KNOWN_MAX)
def _options(uri: str) -> tuple[tuple[str, str], ...]:
    """What stands behind its question mark: read once, though each protocol asks for its limits by itself."""
    return tuple(parse_qsl(urlsplit(uri).query, keep_blank_values=True))


def _option_name(key: str) -> str:
    """An option as OPTIONS spells it."""
    bare = key
    for prefix in PREFIXES:
        bare = bare.removeprefix(prefix)
    prefixed = PREFIXES[0] + bare
    return prefixed if prefixed in OPTIONS else bare


def _mode_of(value: str) -> int:
    """The mode of a file, as `chmod` takes it.  Raises ValueError."""
    if len(value) != 3 or not set(value) <= set("01234567"):
        raise ValueError(f"{SOCKET_MODE}={value}: three octal digits, such as 660")
    return int(value, 8)


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
