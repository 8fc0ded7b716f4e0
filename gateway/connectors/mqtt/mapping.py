"""PUBLISH to Message and Message to PUBLISH.

A message that came by MQTT leaves by MQTT without being decoded: as the very packet where nothing about it changes,
else from its topic, property block and payload.  Other messages go through the canonical fields, once per variant.
"""

from typing import Final, final

from mypy_extensions import mypyc_attr

from gateway.connectors.mqtt.addresses import canonical_of, destination_of, topic_of
from gateway.connectors.mqtt.session import MqttBinding
from gateway.connectors.text import encode_types, id_from_text, id_to_text, is_textual, value_to_text
from gateway.core.destination import TOPIC, Destination, InvalidName
from gateway.core.flow import Publisher
from gateway.core.message import BYTES, PRIORITY_NONE, TEXT, Fields, Message, Origin, Typed
from gateway.core.router import Broker
from protocols.mqtt.codec import encode_publish, publish_parts
from protocols.mqtt.frames import Publish, Will
from protocols.mqtt.properties import Properties, decode_properties, encode_properties, without_hop_properties

SIDE: Final = "x-mx-"
"""Prefix of the user properties that carry what MQTT has no place for."""

_FIRST_BYTES: Final = [bytes((0x30 | flags,)) for flags in range(16)]

# Variants under which a message remembers its encoded forms.
_PLAIN_3: Final = 0x30
_PLAIN_5: Final = 0x50
_PARTS_3: Final = 0x32
_PARTS_5: Final = 0x52
_BLOCK: Final = 0x54
_BLOCK_ACKNOWLEDGED: Final = 0x55


@final
@mypyc_attr(acyclic=True)
class MqttOrigin(Origin):
    """A PUBLISH packet as it came."""

    __slots__ = ("forwardable", "publish")

    def __init__(self, publish: Publish, forwardable: int) -> None:
        self.publish = publish
        self.forwardable = forwardable
        """3 or 5 when subscribers of that version get the packet itself at QoS 0; 0 when something must change."""

    def body(self) -> bytes:
        """See Origin."""
        return self.publish.payload()

    def bare(self) -> bool:
        """See Origin."""
        return not self.publish.properties

    def decode(self) -> Fields:
        """See Origin."""
        fields = Fields()
        body = self.body()
        if not self.publish.properties:
            fields.body_kind = BYTES
            return fields
        properties = decode_properties(self.publish.properties)
        fields.content_type = properties.content_type
        fields.payload_format = properties.payload_format
        if properties.correlation_data is not None:
            fields.correlation_id = _correlation_from(properties.correlation_data)
        if properties.response_topic is not None:
            fields.reply_to = _reply_from(properties.response_topic)
        for name, value in properties.user:
            fields.properties.append((name, value))
        if properties.message_expiry_s is not None:
            fields.ttl_ms = properties.message_expiry_s * 1000
        if fields.payload_format == 1 or (
            fields.content_type is not None and is_textual(fields.content_type, None, body)
        ):
            fields.body_kind = TEXT
        return fields


@final
class WillMessage:
    """The message that a client leaves behind (MQTT 5.0 §3.1.2.5)."""

    __slots__ = ("_will", "delay_s", "version")

    def __init__(self, will: Will, version: int) -> None:
        self._will = will
        self.version = version
        self.delay_s = will.delay_s

    def message(self, broker: Broker, publisher: Publisher) -> Message:
        """The message to publish now; its expiry starts now (§3.1.3.2.4).  Raises InvalidName."""
        will = self._will
        publish = Publish(
            will.payload, will.topic, 0, will.qos, will.retain, False, 0, will.properties, 0, -1, self.version
        )
        expires_at_ms = 0
        if will.properties:
            expiry_s = decode_properties(will.properties).message_expiry_s
            if expiry_s is not None:
                expires_at_ms = broker.now_ms + max(1, expiry_s * 1000)
        return Message(
            broker.next_message_id(),
            destination_of(will.topic),
            MqttOrigin(publish, 0),
            len(will.payload) + len(will.properties) + len(will.topic),
            broker.now_ms,
            will.qos > 0,
            will.qos,
            will.retain,
            PRIORITY_NONE,
            expires_at_ms,
            publisher,
        )


def message_from(publish: Publish, destination: Destination, broker: Broker, publisher: Publisher) -> Message:
    """The canonical message of a PUBLISH."""
    qos = publish.qos
    expiry_s = publish.expiry_s
    forwardable = 0
    if qos == 0 and not publish.retain and publish.topic_alias == 0 and expiry_s < 0:
        forwardable = 5 if publish.protocol_version == 5 else 3
    frame = publish.frame
    return Message(
        broker.next_message_id(),
        destination,
        MqttOrigin(publish, forwardable),
        len(frame),
        broker.now_ms,
        qos > 0,
        qos,
        publish.retain,
        PRIORITY_NONE,
        # An interval of 0 expires as soon as it has to wait at all.
        0 if expiry_s < 0 else broker.now_ms + max(1, expiry_s * 1000),
        publisher,
    )


def own_message(topic: str, payload: bytes, broker: Broker) -> Message:
    """A retained message of the broker itself, such as a $SYS topic; no name of it is refused."""
    publish = Publish(payload, topic, 0, 0, True, False, 0, b"", 0, -1, 4)
    return Message(
        broker.next_message_id(),
        Destination(TOPIC, canonical_of(topic)),
        MqttOrigin(publish, 0),
        len(topic) + len(payload),
        broker.now_ms,
        False,
        0,
        True,
        PRIORITY_NONE,
        0,
        None,
    )


def qos0_frame(message: Message, binding: MqttBinding, version: int, now_ms: int) -> bytes:
    """The packet of a QoS 0 delivery."""
    origin = message.origin
    dynamic = version == 5 and (message.expires_at_ms != 0 or bool(binding.identifiers))
    if binding.plain and not dynamic:
        if isinstance(origin, MqttOrigin) and origin.forwardable == (5 if version == 5 else 3):
            return origin.publish.frame
        variant = _PLAIN_5 if version == 5 else _PLAIN_3
        known = message.form(variant)
        if isinstance(known, bytes):
            return known
        frame = _encode(message, binding, version, 0, False, 0, now_ms)
        message.remember(variant, frame)
        return frame
    return _encode(message, binding, version, 0, retain_flag(message, binding), 0, now_ms)


def acknowledged_frame(
    message: Message, binding: MqttBinding, version: int, qos: int, packet_id: int, dup: bool, now_ms: int
) -> bytes:
    """The packet of a QoS 1 or 2 delivery."""
    retain = retain_flag(message, binding)
    if version == 5 and (message.expires_at_ms != 0 or binding.identifiers):
        frame = _encode(message, binding, version, qos, retain, packet_id, now_ms)
        return bytes((frame[0] | 0x08,)) + frame[1:] if dup else frame
    head, tail = _parts(message, version)
    first = _FIRST_BYTES[(8 if dup else 0) | qos << 1 | (1 if retain else 0)]
    return b"".join([first, head, packet_id.to_bytes(2, "big"), tail])


def retain_flag(message: Message, binding: MqttBinding) -> bool:
    """RETAIN of a delivery: set on replay, kept for who asked to see it as published (§3.3.1.3)."""
    return binding.replay or (binding.retain_as_published and message.retain)


def _parts(message: Message, version: int) -> tuple[bytes, bytes]:
    """What stands before and behind the packet id, the same for every subscriber of this version."""
    variant = _PARTS_5 if version == 5 else _PARTS_3
    known = message.form(variant)
    if isinstance(known, tuple):
        head, tail = known
        assert isinstance(head, bytes)
        assert isinstance(tail, bytes)
        return head, tail
    block = _constant_block(message, True) if version == 5 else None
    parts = publish_parts(_topic_text(message), block, message.origin.body())
    message.remember(variant, parts)
    return parts


def _encode(
    message: Message, binding: MqttBinding, version: int, qos: int, retain: bool, packet_id: int, now_ms: int
) -> bytes:
    block: bytes | None = None
    if version == 5:
        block = _constant_block(message, qos > 0)
        if message.expires_at_ms:
            # The rest of its life, rounded up (§3.3.2.3.3).
            left_s = max(1, (message.expires_at_ms - now_ms + 999) // 1000)
            block += b"\x02" + min(left_s, 0xFFFF_FFFF).to_bytes(4, "big")
        for identifier in binding.identifiers:
            block += b"\x0b" + _varint(identifier)
    return encode_publish(_topic_text(message), message.origin.body(), qos, retain, False, packet_id, block)


def _topic_text(message: Message) -> str:
    origin = message.origin
    if isinstance(origin, MqttOrigin) and message.original is None:
        return origin.publish.topic
    return topic_of(message.destination)


def _varint(value: int) -> bytes:
    """A variable byte integer (§1.5.5)."""
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    result.append(value)
    return bytes(result)


def _constant_block(message: Message, acknowledged: bool) -> bytes:
    """The MQTT 5 properties that are the same for every delivery."""
    origin = message.origin
    if isinstance(origin, MqttOrigin):
        properties = origin.publish.properties
        if not properties or (origin.forwardable == 5 and message.original is None):
            return properties
        variant = _BLOCK
    else:
        variant = _BLOCK_ACKNOWLEDGED if acknowledged else _BLOCK
    known = message.form(variant)
    if isinstance(known, bytes):
        return known
    if isinstance(origin, MqttOrigin):
        block = without_hop_properties(origin.publish.properties)
    else:
        block = encode_properties(_properties_for(message, acknowledged))
    message.remember(variant, block)
    return block


def _properties_for(message: Message, acknowledged: bool) -> Properties:
    """The properties of a message of another protocol."""
    fields = message.fields()
    properties = Properties()
    if fields.body_kind == TEXT:
        properties.payload_format = 1
    elif fields.payload_format is not None:
        properties.payload_format = fields.payload_format
    properties.content_type = fields.content_type
    if fields.correlation_id is not None:
        properties.correlation_data = _correlation_to(fields.correlation_id)
    user: list[tuple[str, str]] = []
    reply_to = fields.reply_to
    if isinstance(reply_to, Destination):
        properties.response_topic = topic_of(reply_to)
    elif reply_to is not None:
        user.append((SIDE + "reply-to", reply_to))
    _add_side_items(user, message, fields, acknowledged)
    _add_properties(user, fields)
    properties.user = user
    return properties


def _add_side_items(
    user: list[tuple[str, str]], message: Message, fields: Fields, acknowledged: bool
) -> None:
    """What MQTT 5 has no property for."""
    if fields.message_id is not None:
        user.append((SIDE + "mid", id_to_text(fields.message_id)))
    if fields.subject is not None:
        user.append((SIDE + "subject", fields.subject))
    if fields.content_encoding is not None:
        user.append((SIDE + "ce", fields.content_encoding))
    if fields.created_at_ms is not None:
        user.append((SIDE + "ts", str(fields.created_at_ms)))
    if message.priority != PRIORITY_NONE:
        user.append((SIDE + "prio", str(message.priority)))
    if message.persistent != acknowledged:
        user.append((SIDE + "durable", "true" if message.persistent else "false"))
    if fields.group_id is not None:
        user.append((SIDE + "gid", fields.group_id))
    if fields.group_sequence is not None:
        user.append((SIDE + "gseq", str(fields.group_sequence)))
    if fields.app_id is not None:
        user.append((SIDE + "app", fields.app_id))


def _add_properties(user: list[tuple[str, str]], fields: Fields) -> None:
    """The publisher's own properties, in their order, and the types of those that are not text."""
    types: list[tuple[str, str]] = []
    for name, value in fields.properties:
        text, token = value_to_text(value)
        user.append((name, text))
        if token:
            types.append((name, token))
    if types:
        user.append((SIDE + "types", encode_types(types)))


def _correlation_from(data: bytes) -> str | bytes | Typed:
    """Correlation data that is valid UTF-8 is text, which may say that it stands for another type."""
    try:
        return id_from_text(data.decode())
    except UnicodeDecodeError:
        return data


def _correlation_to(value: str | bytes | Typed) -> bytes:
    return value if isinstance(value, bytes) else id_to_text(value).encode()


def _reply_from(topic: str) -> Destination | str:
    try:
        return destination_of(topic)
    except InvalidName:
        return topic
