"""What browsers and other clients of the ws connectors use: WebSocket, HTTP."""

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from gateway.config.section import Section


class WebSocketSection(Section):
    """[websocket]: shared by all ws connectors."""

    paths: tuple[str, ...] = Field(("/", "/mqtt", "/ws"), min_length=1)
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
    json_name_bytes_max: int = Field(1_024, ge=64, le=65_535)
    """Bytes of the name of a subscription or transaction (`sub`, `tx`)."""
    json_values_max: int = Field(50_000, ge=1_000)
    """Values (members, elements) in one JSON text, over HTTP too."""

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
    event_kept_ms: int = Field(60_000, ge=0, le=86_400_000)
    """How long a stream whose connection broke gathers on, for a client that says Last-Event-ID; 0 is not at all."""
    event_kept_max: int = Field(1_000, ge=0, le=1_000_000)
    """Events kept of one stream; what came before is told to such a client as a gap."""
    event_kept_bytes_max: int = Field(1_048_576, ge=0)
    """Bytes of those events, half of outputBuffer at most."""
    event_kept_total_bytes_max: int = Field(67_108_864, ge=0)
    """Bytes of the events kept of all streams."""
    event_streams_max: int = Field(1_000, ge=0)
    """Streams kept whose connection broke."""
    messages_max: int = Field(1_000, ge=1)
    """Messages in one POST to /messages."""
    meta_bytes_max: int = Field(3_072, ge=1_024, le=65_536)
    """Bytes of an answer's X-Mx-Meta; what does not fit is named in it.  nginx takes 4096 for all headers, Node 16384."""
