"""What a peer can do wrong, each with what it must be told.

ProtocolError
└── MqttError          carries the reason code of MQTT 5.0 §2.4
    ├── MalformedPacket    0x81: cannot be parsed
    ├── ProtocolViolation  0x82: parsed, and against the rules (or another code where the specification names one)
    ├── PacketTooLarge     0x95
    ├── TooMany            0x97: more properties or filters in one packet than the listener takes
    └── NotMqtt            no MQTT at all: nothing is answered
"""

from protocols.errors import ProtocolError
from protocols.mqtt.constants import ReasonCode


class MqttError(ProtocolError):
    """The peer broke MQTT; `reason_code` is what it is told, where its version has words for it."""

    def __init__(self, reason: str, reason_code: ReasonCode) -> None:
        super().__init__(reason)
        self.reason_code = reason_code


class MalformedPacket(MqttError):
    """Bytes that cannot be parsed according to the specification (§4.13)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, ReasonCode.MALFORMED_PACKET)


class ProtocolViolation(MqttError):
    """Parsed, but not allowed (§4.13)."""

    def __init__(self, reason: str, reason_code: ReasonCode = ReasonCode.PROTOCOL_ERROR) -> None:
        super().__init__(reason, reason_code)


class PacketTooLarge(MqttError):
    """Announces more bytes than the listener takes."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"packet of {size} bytes, above the limit of {limit}", ReasonCode.PACKET_TOO_LARGE)


class TooMany(MqttError):
    """More of something in one packet than the listener takes."""

    def __init__(self, limit: int, what: str) -> None:
        super().__init__(f"more than {limit} {what} in one packet", ReasonCode.QUOTA_EXCEEDED)


class NotMqtt(MqttError):
    """The first bytes are another protocol's."""

    def __init__(self, looks_like: str) -> None:
        super().__init__(f"not MQTT: looks like {looks_like}", ReasonCode.MALFORMED_PACKET)
