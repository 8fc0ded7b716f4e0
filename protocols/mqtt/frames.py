"""Control packets, one record each (§3), and the event that ends a bad connection.

`acyclic`: compiled, they are not tracked by the garbage collector, which they could only keep busy.
"""

from dataclasses import dataclass
from typing import final

from mypy_extensions import mypyc_attr

from protocols.mqtt.constants import ReasonCode
from protocols.mqtt.properties import Properties


@mypyc_attr(acyclic=True)
class Packet:
    """What a connection reports: the packets a peer sends, and ConnectionFailed."""

    __slots__ = ()


@final
@dataclass(init=False, slots=True)
class Will:
    """The will of a CONNECT (§3.1.3.2)."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: bytes
    """Property block as PUBLISH has it: the delay is taken out.  Empty before MQTT 5."""
    delay_s: int

    def __init__(
        self, topic: str, payload: bytes, qos: int, retain: bool, properties: bytes = b"", delay_s: int = 0
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties
        self.delay_s = delay_s


@final
@dataclass(init=False, slots=True)
class Connect(Packet):
    """CONNECT (§3.1)."""

    client_id: str
    clean_start: bool
    keep_alive_s: int
    protocol_version: int
    """3, 4 or 5."""
    will: Will | None
    username: str | None
    password: bytes | None
    properties: Properties | None

    def __init__(
        self,
        client_id: str,
        clean_start: bool = True,
        keep_alive_s: int = 0,
        protocol_version: int = 4,
        will: Will | None = None,
        username: str | None = None,
        password: bytes | None = None,
        properties: Properties | None = None,
    ) -> None:
        self.client_id = client_id
        self.clean_start = clean_start
        self.keep_alive_s = keep_alive_s
        self.protocol_version = protocol_version
        self.will = will
        self.username = username
        self.password = password
        self.properties = properties


@final
@dataclass(init=False, slots=True)
class Connack(Packet):
    """CONNACK (§3.2).  `code` is a reason code in MQTT 5 and a return code before."""

    session_present: bool
    code: int
    properties: Properties | None

    def __init__(self, session_present: bool, code: int, properties: Properties | None = None) -> None:
        self.session_present = session_present
        self.code = code
        self.properties = properties


@final
@mypyc_attr(acyclic=True)
class LongPayload:
    """A payload so large that it is kept beside the head of its packet, and what has been found out about it, which takes a
    while.  As a store gives it back it stands behind its head all the same, and `data` is empty until somebody wants it."""

    __slots__ = ("checksum", "content", "data", "is_utf8")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.is_utf8: bool | None = None
        self.checksum = -1
        """CRC-32 of the topic and of it."""
        self.content = b""
        """What tells the message from others, where it is to be published once."""


@final
@mypyc_attr(acyclic=True)
@dataclass(init=False, slots=True)
class Publish(Packet):
    """PUBLISH (§3.3), with the packet as it came, so that it can go on as it is."""

    frame: bytes
    """The whole packet, but for the `tail`."""
    topic: str
    """Checked; an alias is resolved."""
    payload_start: int
    """Where the payload begins in `frame`."""
    qos: int
    retain: bool
    dup: bool
    packet_id: int
    """0 at QoS 0."""
    properties: bytes
    """The property block without its length; empty before MQTT 5."""
    topic_alias: int
    """0 for none."""
    expiry_s: int
    """Message expiry interval; -1 for none."""
    protocol_version: int
    tail: LongPayload | None
    """The payload, if that is a long one."""

    def __init__(
        self,
        frame: bytes,
        topic: str,
        payload_start: int,
        qos: int,
        retain: bool,
        dup: bool,
        packet_id: int,
        properties: bytes,
        topic_alias: int,
        expiry_s: int,
        protocol_version: int,
    ) -> None:
        self.frame = frame
        self.topic = topic
        self.payload_start = payload_start
        self.qos = qos
        self.retain = retain
        self.dup = dup
        self.packet_id = packet_id
        self.properties = properties
        self.topic_alias = topic_alias
        self.expiry_s = expiry_s
        self.protocol_version = protocol_version
        self.tail = None

    @property
    def size(self) -> int:
        """Bytes of the whole packet."""
        tail = self.tail
        return len(self.frame) if tail is None else len(self.frame) + len(tail.data)

    def payload(self) -> bytes:
        """The application message."""
        tail = self.tail
        if tail is None:
            return self.frame[self.payload_start :]
        if not tail.data:
            # It is cut off once: others will want it too.
            tail.data = self.frame[self.payload_start :]
            self.frame = self.frame[: self.payload_start]
        return tail.data

    def view(self) -> memoryview:
        """The same without a copy of it."""
        tail = self.tail
        if tail is not None and tail.data:
            return memoryview(tail.data)
        return memoryview(self.frame)[self.payload_start :]

    def whole(self) -> bytes:
        """The packet in one piece."""
        tail = self.tail
        return self.frame if tail is None else self.frame + tail.data


@final
@dataclass(init=False, slots=True)
class Puback(Packet):
    """PUBACK (§3.4)."""

    packet_id: int
    reason_code: int
    properties: Properties | None

    def __init__(self, packet_id: int, reason_code: int = 0, properties: Properties | None = None) -> None:
        self.packet_id = packet_id
        self.reason_code = reason_code
        self.properties = properties


@final
@dataclass(init=False, slots=True)
class Pubrec(Packet):
    """PUBREC (§3.5)."""

    packet_id: int
    reason_code: int
    properties: Properties | None

    def __init__(self, packet_id: int, reason_code: int = 0, properties: Properties | None = None) -> None:
        self.packet_id = packet_id
        self.reason_code = reason_code
        self.properties = properties


@final
@dataclass(init=False, slots=True)
class Pubrel(Packet):
    """PUBREL (§3.6)."""

    packet_id: int
    reason_code: int
    properties: Properties | None

    def __init__(self, packet_id: int, reason_code: int = 0, properties: Properties | None = None) -> None:
        self.packet_id = packet_id
        self.reason_code = reason_code
        self.properties = properties


@final
@dataclass(init=False, slots=True)
class Pubcomp(Packet):
    """PUBCOMP (§3.7)."""

    packet_id: int
    reason_code: int
    properties: Properties | None

    def __init__(self, packet_id: int, reason_code: int = 0, properties: Properties | None = None) -> None:
        self.packet_id = packet_id
        self.reason_code = reason_code
        self.properties = properties


@final
@dataclass(init=False, slots=True)
class SubscriptionRequest:
    """One topic filter of a SUBSCRIBE, with its options (§3.8.3.1).  The filter's syntax is not checked yet."""

    filter: str
    qos: int
    no_local: bool
    retain_as_published: bool
    retain_handling: int
    """0 send retained messages, 1 only for a new subscription, 2 never."""

    def __init__(
        self,
        filter: str,
        qos: int,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
    ) -> None:
        self.filter = filter
        self.qos = qos
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.retain_handling = retain_handling


@final
@dataclass(init=False, slots=True)
class Subscribe(Packet):
    """SUBSCRIBE (§3.8)."""

    packet_id: int
    requests: list[SubscriptionRequest]
    subscription_id: int
    """0 for none."""
    properties: Properties | None

    def __init__(
        self,
        packet_id: int,
        requests: list[SubscriptionRequest],
        subscription_id: int = 0,
        properties: Properties | None = None,
    ) -> None:
        self.packet_id = packet_id
        self.requests = requests
        self.subscription_id = subscription_id
        self.properties = properties


@final
@dataclass(init=False, slots=True)
class Suback(Packet):
    """SUBACK (§3.9): one code for each filter."""

    packet_id: int
    codes: list[int]
    properties: Properties | None

    def __init__(self, packet_id: int, codes: list[int], properties: Properties | None = None) -> None:
        self.packet_id = packet_id
        self.codes = codes
        self.properties = properties


@final
@dataclass(init=False, slots=True)
class Unsubscribe(Packet):
    """UNSUBSCRIBE (§3.10)."""

    packet_id: int
    filters: list[str]
    properties: Properties | None

    def __init__(self, packet_id: int, filters: list[str], properties: Properties | None = None) -> None:
        self.packet_id = packet_id
        self.filters = filters
        self.properties = properties


@final
@dataclass(init=False, slots=True)
class Unsuback(Packet):
    """UNSUBACK (§3.11): one code for each filter in MQTT 5, none before."""

    packet_id: int
    codes: list[int]
    properties: Properties | None

    def __init__(self, packet_id: int, codes: list[int], properties: Properties | None = None) -> None:
        self.packet_id = packet_id
        self.codes = codes
        self.properties = properties


@final
@dataclass(init=False, slots=True)
class Pingreq(Packet):
    """PINGREQ (§3.12)."""

    def __init__(self) -> None:
        pass


@final
@dataclass(init=False, slots=True)
class Pingresp(Packet):
    """PINGRESP (§3.13)."""

    def __init__(self) -> None:
        pass


@final
@dataclass(init=False, slots=True)
class Disconnect(Packet):
    """DISCONNECT (§3.14)."""

    reason_code: int
    properties: Properties | None

    def __init__(self, reason_code: int = 0, properties: Properties | None = None) -> None:
        self.reason_code = reason_code
        self.properties = properties


@final
@dataclass(init=False, slots=True)
class Auth(Packet):
    """AUTH (§3.15), MQTT 5 only."""

    reason_code: int
    properties: Properties | None

    def __init__(self, reason_code: int = 0, properties: Properties | None = None) -> None:
        self.reason_code = reason_code
        self.properties = properties


@final
@dataclass(init=False, slots=True)
class ConnectionFailed(Packet):
    """The peer broke the protocol or fell silent: the last event of its connection."""

    reason_code: ReasonCode
    reason: str

    def __init__(self, reason_code: ReasonCode, reason: str) -> None:
        self.reason_code = reason_code
        self.reason = reason
