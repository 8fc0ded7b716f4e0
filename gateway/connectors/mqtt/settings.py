"""What the operator may choose about MQTT."""

from dataclasses import dataclass
from typing import Final, final

from gateway.core.limits import DROP_OLDEST

NEVER: Final = 0xFFFF_FFFF
"""The session expiry interval that means `does not expire` (MQTT 5.0 §3.1.2.11.2)."""


@final
@dataclass(init=False, slots=True)
class MqttSettings:
    """Shared by all MQTT listeners of a broker."""

    sessions_max: int
    """Sessions, connected or not."""
    session_expiry_max_s: int
    """Longest a session is kept without a connection; NEVER keeps what a client asks for, and 3.1.1's for good."""
    receive_maximum: int
    """QoS 1 and 2 messages accepted before their exchange is finished (MQTT 5.0 §3.2.2.3.3)."""
    inflight_max: int
    """Unacknowledged messages sent to a client that names no Receive Maximum."""
    topic_alias_maximum: int
    """Aliases a client may set up (MQTT 5.0 §3.2.2.3.8)."""
    queued_messages_max: int
    """Messages a session holds for its client, connected or not; 0 for no limit."""
    queued_bytes_max: int
    """Bytes a session holds for its client; 0 for no limit."""
    when_full: str
    """What a session does with a message for which it has no room."""
    keep_alive_max_s: int
    """Clients that ask for more, or for none, are given this; 0 lets them choose (MQTT 5.0 §3.2.2.3.14)."""
    qos_max: int
    retain_available: bool

    def __init__(
        self,
        sessions_max: int = 100_000,
        session_expiry_max_s: int = NEVER,
        receive_maximum: int = 1_000,
        inflight_max: int = 1_000,
        topic_alias_maximum: int = 10,
        queued_messages_max: int = 100_000,
        queued_bytes_max: int = 67_108_864,
        when_full: str = DROP_OLDEST,
        keep_alive_max_s: int = 0,
        qos_max: int = 2,
        retain_available: bool = True,
    ) -> None:
        self.sessions_max = sessions_max
        self.session_expiry_max_s = session_expiry_max_s
        self.receive_maximum = receive_maximum
        self.inflight_max = inflight_max
        self.topic_alias_maximum = topic_alias_maximum
        self.queued_messages_max = queued_messages_max
        self.queued_bytes_max = queued_bytes_max
        self.when_full = when_full
        self.keep_alive_max_s = keep_alive_max_s
        self.qos_max = qos_max
        self.retain_available = retain_available
