"""What the operator may choose about MQTT."""

from dataclasses import dataclass
from typing import Final, final

from gateway.core.limits import DROP_OLDEST
from protocols.mqtt.accepted import Accepted
from protocols.mqtt.constants import VERSION_3_1, VERSION_3_1_1, VERSION_5

NEVER: Final = 0xFFFF_FFFF
"""The session expiry interval that means `does not expire` (MQTT 5.0 §3.1.2.11.2)."""

LEVELS: Final = {"3.1": VERSION_3_1, "3.1.1": VERSION_3_1_1, "5.0": VERSION_5}
"""Versions as an operator writes them, and as a CONNECT has them."""

# Whether clients are sent to another server.
NO_REDIRECT: Final = "no"
USE_ANOTHER: Final = "use-another-server"
SERVER_MOVED: Final = "server-moved"

# What becomes of a PUBLISH that is not allowed, before MQTT 5, which has no word for it.
ACKNOWLEDGE: Final = "acknowledge"
DISCONNECT: Final = "disconnect"


@final
@dataclass(init=False, slots=True)
class MqttSettings:
    """Shared by all MQTT listeners of a broker."""

    sessions_max: int
    """Sessions, connected or not."""
    sessions_per_user_max: int
    sessions_per_address_max: int
    """Those that one user, or one address, may have begun; 0 for no limit of its own."""
    session_bytes_max: int
    """Bytes of client id, filters and will of one session."""
    sessions_bytes_max: int
    """The same of all sessions together."""
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
    versions: tuple[str, ...]
    """Those of LEVELS that are accepted."""
    topic_alias_send_maximum: int
    """Aliases set up for a client that takes some (MQTT 5.0 §3.1.2.11.5)."""
    check_payload_format: bool
    """Refuse a payload that says that it is UTF-8 and is not (MQTT 5.0 §3.3.2.3.2 leaves it to the server)."""
    response_information: str
    """For who asks (MQTT 5.0 §3.2.2.3.15); `{client_id}` stands for the client's own; empty for none."""
    server_reference: str
    """Another server (MQTT 5.0 §4.11), named when clients are redirected or this one stops."""
    redirect: str
    """NO_REDIRECT, USE_ANOTHER or SERVER_MOVED."""
    publish_denied: str
    """ACKNOWLEDGE or DISCONNECT."""
    queue_qos0: bool
    """Keep QoS 0 messages too for a session without a connection (§3.1.2.11.2 leaves it to the server)."""
    client_id_max_3_1: int
    """Characters of a client id of MQTT 3.1, which allows 23; 0 is any number."""
    control_characters: bool
    """Are they allowed in names (MQTT 5.0 §1.5.4 leaves it to the server)?"""
    accepted: Accepted
    """What the wire room takes: `versions`, and how many user properties and filters a packet may have."""
    sys_interval_s: int
    """How often the $SYS topics are published; 0 for never."""

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
        versions: tuple[str, ...] = ("3.1", "3.1.1", "5.0"),
        topic_alias_send_maximum: int = 10,
        check_payload_format: bool = False,
        response_information: str = "",
        server_reference: str = "",
        redirect: str = NO_REDIRECT,
        publish_denied: str = ACKNOWLEDGE,
        queue_qos0: bool = False,
        client_id_max_3_1: int = 0,
        control_characters: bool = False,
        sys_interval_s: int = 10,
        session_bytes_max: int = 1_048_576,
        sessions_bytes_max: int = 268_435_456,
        sessions_per_user_max: int = 50_000,
        sessions_per_address_max: int = 50_000,
        user_properties_max: int = 2_000,
        filters_max: int = 5_000,
    ) -> None:
        self.sessions_max = sessions_max
        self.sessions_per_user_max = sessions_per_user_max
        self.sessions_per_address_max = sessions_per_address_max
        self.session_bytes_max = session_bytes_max
        self.sessions_bytes_max = sessions_bytes_max
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
        self.versions = versions
        self.topic_alias_send_maximum = topic_alias_send_maximum
        self.check_payload_format = check_payload_format
        self.response_information = response_information
        self.server_reference = server_reference
        self.redirect = redirect
        self.publish_denied = publish_denied
        self.queue_qos0 = queue_qos0
        self.client_id_max_3_1 = client_id_max_3_1
        self.control_characters = control_characters
        self.accepted = Accepted(
            frozenset([LEVELS[version] for version in versions]), user_properties_max, filters_max
        )
        self.sys_interval_s = sys_interval_s
