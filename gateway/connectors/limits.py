"""What the connections of one listener may do, and what they count."""

from dataclasses import dataclass
from typing import final

from gateway.core.limits import BLOCK


@final
@dataclass(init=False, slots=True)
class Limits:
    """Bounds on each connection of one listener, with the names they have in its URI."""

    maximum_connections: int
    """`maximumConnections`"""
    max_frame_size: int
    """Bytes; `wireFormat.maxFrameSize`"""
    connect_timeout_ms: int
    """From accept until the protocol's CONNECT is whole; `connectTimeout`"""
    idle_timeout_ms: int
    """For clients that ask for no keep-alive or heart-beat; 0 is never; `maxInactivityDuration`"""
    max_subscriptions: int
    """`maximumSubscriptions`"""
    max_inflight: int
    """Deliveries that wait for this client's acknowledgement; `maximumInflight`"""
    output_buffer: int
    """Bytes held for a client that reads slowly; `outputBuffer`"""
    slow_consumer: str
    """What happens above that to messages that need no acknowledgement; `slowConsumer`"""
    slow_consumer_timeout_ms: int
    """How long a client that does not read may make others wait, or be waited for; `slowConsumerTimeout`"""
    message_rate: int
    """Messages a second a client may send; 0 is any; `messageRate`"""
    byte_rate: int
    """Bytes a second a client may send; 0 is any; `byteRate`"""
    allow_anonymous: bool
    """`allowAnonymous`"""
    carry: int
    """How much travels beside a translated message, a number of `side.CARRY_NAMES`; `carry`"""
    publish_identity: bool
    """Subscribers of other protocols are told who published; `publishIdentity`"""
    connect_frame_size: int
    """Bytes of an HTTP body or a `gateway.json` message before it is known who sends it; `connectFrameSize`"""
    body_rate_min: int
    """Bytes a second at which a body or message must come, after its first `connectTimeout`; `bodyRateMin`"""

    def __init__(
        self,
        maximum_connections: int = 10_000,
        max_frame_size: int = 104_857_600,
        connect_timeout_ms: int = 10_000,
        idle_timeout_ms: int = 0,
        max_subscriptions: int = 1_000,
        max_inflight: int = 1_000,
        output_buffer: int = 8_388_608,
        slow_consumer: str = BLOCK,
        slow_consumer_timeout_ms: int = 10_000,
        message_rate: int = 0,
        byte_rate: int = 0,
        allow_anonymous: bool = True,
        carry: int = 0,
        publish_identity: bool = False,
        connect_frame_size: int = 65_536,
        body_rate_min: int = 4_096,
    ) -> None:
        self.maximum_connections = maximum_connections
        self.max_frame_size = max_frame_size
        self.connect_timeout_ms = connect_timeout_ms
        self.idle_timeout_ms = idle_timeout_ms
        self.max_subscriptions = max_subscriptions
        self.max_inflight = max_inflight
        self.output_buffer = output_buffer
        self.slow_consumer = slow_consumer
        self.slow_consumer_timeout_ms = slow_consumer_timeout_ms
        self.message_rate = message_rate
        self.byte_rate = byte_rate
        self.allow_anonymous = allow_anonymous
        self.carry = carry
        self.publish_identity = publish_identity
        self.connect_frame_size = connect_frame_size
        self.body_rate_min = body_rate_min

    def whole_by_ms(self, begun_ms: int, size: int) -> int:
        """When a body or message that began then, and of which so many bytes have come, has to be whole."""
        return begun_ms + self.connect_timeout_ms + size * 1000 // self.body_rate_min


@final
class Counters:
    """What one listener and its connections count.  Rises only, but for `connections`."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "connections",
        "connections_total",
        "dropped_large",
        "dropped_slow",
        "ended_slow",
        "limit_hits",
        "messages_in",
        "messages_out",
        "protocol_errors",
        "refused",
    )

    def __init__(self) -> None:
        self.connections = 0
        """Open now."""
        self.connections_total = 0
        self.refused = 0
        """Turned away above maximumConnections."""
        self.protocol_errors = 0
        """Connections ended because the peer broke the protocol or ran into a time-out."""
        self.limit_hits = 0
        """Times a limit other than maximumConnections was hit."""
        self.messages_in = 0
        self.messages_out = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.dropped_slow = 0
        """Messages dropped because a subscriber read too slowly."""
        self.ended_slow = 0
        """Connections ended because the client read too slowly."""
        self.dropped_large = 0
        """Messages not sent because they were larger than the subscriber takes."""

    def as_dict(self) -> dict[str, int]:
        """All of them by name."""
        return {
            "connections": self.connections,
            "connections_total": self.connections_total,
            "refused": self.refused,
            "protocol_errors": self.protocol_errors,
            "limit_hits": self.limit_hits,
            "messages_in": self.messages_in,
            "messages_out": self.messages_out,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "dropped_slow": self.dropped_slow,
            "ended_slow": self.ended_slow,
            "dropped_large": self.dropped_large,
        }
