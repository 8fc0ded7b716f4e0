"""What all connectors of one protocol share: MQTT, STOMP."""

from typing import Literal

from pydantic import Field, model_validator

from gateway.config.section import Section


class MqttSection(Section):
    """[mqtt]: shared by all MQTT connectors."""

    sessions_max: int = Field(100_000, ge=1)
    """Sessions, connected or not."""
    sessions_per_user_max: int = Field(50_000, ge=0)
    """Sessions that one user may have begun since the start; 0 is no limit but that for all."""
    sessions_per_address_max: int = Field(50_000, ge=0)
    """The same for the clients of one address."""
    session_bytes_max: int = Field(1_048_576, ge=1)
    """Bytes that client id, topic filters and will of one session may take in memory: a filter is there twice, and each of
    its levels behind the eighth counts 320."""
    sessions_bytes_max: int = Field(268_435_456, ge=1)
    """The same of all sessions together."""
    session_expiry_max_s: int = Field(4_294_967_295, ge=0, le=4_294_967_295)
    """Longest a session is kept without a connection, in seconds; 4294967295 keeps it for good."""
    receive_maximum: int = Field(1_000, ge=1, le=65_535)
    """QoS 1 and 2 messages taken from one client before they are finished."""
    inflight_max: int = Field(1_000, ge=1, le=65_535)
    """Unacknowledged messages sent to a client that names no Receive Maximum."""
    topic_alias_maximum: int = Field(10, ge=0, le=65_535)
    """Topic aliases a client may set."""
    user_properties_max: int = Field(2_000, ge=0)
    """User properties in one packet."""
    filters_max: int = Field(5_000, ge=1)
    """Topic filters in one SUBSCRIBE or UNSUBSCRIBE."""
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
    """Are control characters allowed in topics, filters, client ids, user names and properties?"""
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
    id_bytes_max: int = Field(1_024, ge=64, le=65_535)
    """Bytes of the id of a subscription, and of the name of a transaction."""
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
