"""What the operator may choose about HTTP and WebSocket."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(init=False, slots=True)
class HttpSettings:
    """Shared by all `ws` listeners of a broker."""

    paths: tuple[str, ...]
    """Where WebSocket is spoken."""
    origins: tuple[str, ...]
    """Whose pages may come; empty is the same host and this machine; `*` is everybody's."""
    handshake_bytes_max: int
    """Request line and headers."""
    ping_interval_ms: int
    compression: bool
    compression_window_bits: int
    unpacked_max: int
    """Bytes of one message after decompression."""
    demo: bool
    receipts_max: int
    """Deliveries over HTTP that wait for their outcome, all clients together."""
    visibility_timeout_ms: int
    """How long such a delivery waits."""
    pull_max: int
    """Messages in one answer."""
    wait_max_ms: int
    """Longest a request may wait for a message."""
    event_ping_ms: int
    """Silence on a stream of events after which a comment is sent."""
    event_kept_ms: int
    """How long a stream of events whose connection broke is kept; 0 is not at all."""
    event_kept_max: int
    event_kept_bytes_max: int
    """Events that are kept of one stream."""
    event_kept_total_bytes_max: int
    """Bytes of what is kept of all streams."""
    event_streams_max: int
    """Streams whose connection broke."""
    messages_max: int
    """Messages in one POST to /messages."""
    meta_bytes_max: int
    """Bytes of an answer's X-Mx-Meta."""
    values_max: int
    """Values in one JSON text."""

    def __init__(
        self,
        paths: tuple[str, ...] = ("/", "/mqtt", "/ws"),
        origins: tuple[str, ...] = (),
        handshake_bytes_max: int = 16_384,
        ping_interval_ms: int = 30_000,
        compression: bool = False,
        compression_window_bits: int = 12,
        unpacked_max: int = 1_048_576,
        demo: bool = False,
        receipts_max: int = 10_000,
        visibility_timeout_ms: int = 30_000,
        pull_max: int = 100,
        wait_max_ms: int = 60_000,
        event_ping_ms: int = 15_000,
        messages_max: int = 1_000,
        meta_bytes_max: int = 3_072,
        event_kept_ms: int = 60_000,
        event_kept_max: int = 1_000,
        event_kept_bytes_max: int = 1_048_576,
        event_kept_total_bytes_max: int = 67_108_864,
        event_streams_max: int = 1_000,
        values_max: int = 50_000,
    ) -> None:
        self.paths = paths
        self.origins = origins
        self.handshake_bytes_max = handshake_bytes_max
        self.ping_interval_ms = ping_interval_ms
        self.compression = compression
        self.compression_window_bits = compression_window_bits
        self.unpacked_max = unpacked_max
        self.demo = demo
        self.receipts_max = receipts_max
        self.visibility_timeout_ms = visibility_timeout_ms
        self.pull_max = pull_max
        self.wait_max_ms = wait_max_ms
        self.event_ping_ms = event_ping_ms
        self.messages_max = messages_max
        self.event_kept_ms = event_kept_ms
        self.event_kept_max = event_kept_max
        self.event_kept_bytes_max = event_kept_bytes_max
        self.event_kept_total_bytes_max = event_kept_total_bytes_max
        self.event_streams_max = event_streams_max
        self.meta_bytes_max = meta_bytes_max
        self.values_max = values_max


@final
@dataclass(init=False, slots=True)
class Page:
    """A file that is served as it is."""

    content_type: str
    body: bytes

    def __init__(self, content_type: str, body: bytes) -> None:
        self.content_type = content_type
        self.body = body
