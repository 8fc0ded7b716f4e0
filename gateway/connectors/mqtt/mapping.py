"""PUBLISH to Message; the way back is in `outgoing`.

A message that came by MQTT leaves by MQTT without being decoded: as the very packet where nothing about it changes,
else from its topic, property block and payload.  Other messages go through the canonical fields, once per variant;
what those become is in `properties_out`.
"""

from typing import Final, final

from mypy_extensions import mypyc_attr

from gateway.connectors import scheduling, side
from gateway.connectors.bodies import mqtt_kind, restore_body
from gateway.connectors.ids import IN_DATA, id_from_text
from gateway.connectors.mqtt.addresses import (
    canonical_of,
    reply_address,
)
from gateway.connectors.mqtt.stored import WIRE_ID, stored_head, stored_publish
from gateway.connectors.shared import SharedFields
from gateway.connectors.text import is_plain_text
from gateway.core.cron import InvalidCron
from gateway.core.destination import TOPIC, Destination, InvalidName
from gateway.core.flow import Publisher
from gateway.core.message import OBJECT, PRIORITY_NONE, Fields, Message, Origin, Typed
from gateway.core.router import Broker
from protocols.mqtt.codec import publish_head
from protocols.mqtt.constants import PROPERTY_TYPES, USER_PROPERTY
from protocols.mqtt.frames import Publish
from protocols.mqtt.properties import (
    behind_value,
    decode_properties,
    encode_properties,
)
from protocols.mqtt.strings import decode_varint
from protocols.wire import u16

# Canonical fields by the identifiers of properties, for what 3.1.1 cannot carry.
_FIELD_NAMES: Final = {
    0x01: "payload_format",
    0x02: "expiry",
    0x03: "content_type",
    0x08: "reply_to",
    0x09: "correlation_id",
}


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

    def view(self) -> memoryview:
        """See Origin."""
        return self.publish.view()

    def bare(self) -> bool:
        """See Origin."""
        return not self.publish.properties

    def wire_id(self) -> int:
        """See Origin."""
        return WIRE_ID

    def stored(self) -> bytes:
        """See Origin."""
        return stored_publish(self.publish)

    def stored_parts(self) -> list[bytes | memoryview]:
        """See Origin."""
        return [stored_head(self.publish), self.view()]

    def protocol(self) -> str:
        """See Origin."""
        return "M5" if self.publish.protocol_version == 5 else "M3"

    def filled(self) -> tuple[str, ...]:
        """See Origin.  Looks at identifiers and names only."""
        block = self.publish.properties
        if not block:
            return ()
        known = _filled.get(block)
        return _note_filled(block) if known is None else known

    def elsewhere(self) -> Origin:
        """See Origin.  The packet names its topic, so it cannot go to another as it is."""
        return MqttOrigin(self.publish, 0)

    def decode(self) -> Fields:
        """See Origin."""
        block = self.publish.properties
        body = self.body()
        is_utf8 = None if self.publish.tail is None else self.publish.tail.is_utf8
        if not block:
            fields = Fields()
            fields.body_kind = mqtt_kind(None, None, None, body, is_utf8)
            return fields
        known = _fields_for(block, body, is_utf8)
        if known is not None:
            return known
        fields = Fields()
        properties = decode_properties(block)
        fields.content_type = properties.content_type
        fields.payload_format = properties.payload_format
        if properties.correlation_data is not None:
            fields.correlation_id = _correlation_from(properties.correlation_data)
        if properties.response_topic is not None:
            fields.reply_to = _reply_from(properties.response_topic)
        if properties.message_expiry_s is not None:
            fields.ttl_ms = properties.message_expiry_s * 1000
        if properties.user:
            taken = side.restore(fields, properties.user)
        else:
            taken = side.Taken()
        if taken.body is None or not restore_body(
            fields, taken.body, taken.btypes or "", body, taken.ct, False
        ):
            if taken.body is not None:
                side.leave(fields, "body", taken.body)
            if taken.btypes is not None:
                side.leave(fields, "btypes", taken.btypes)
            content_type = fields.content_type
            fields.body_kind = mqtt_kind(
                content_type, fields.content_encoding, fields.payload_format, body, is_utf8
            )
            if fields.body_kind == OBJECT and not taken.ct:
                fields.content_type = None
            if taken.body is None:
                _keep(block, fields, content_type)
        return fields


BLOCKS_REMEMBERED_MAX: Final = 1_024
BLOCK_BYTES_MAX: Final = 1_024
"""Property blocks up to this size are remembered: publishers mostly send the same ones again and again."""

_filled: Final[dict[bytes, tuple[str, ...]]] = {}
_shared: Final[dict[bytes, SharedFields]] = {}


def _note_filled(block: bytes) -> tuple[str, ...]:
    """Canonical fields that the properties in `block` fill."""
    found: list[str] = []
    pos = 0
    end = len(block)
    while pos < end:
        identifier, pos = decode_varint(block, pos, end)
        name = _FIELD_NAMES.get(identifier, "")
        if identifier == USER_PROPERTY:
            name = side.field_of(block[pos + 2 : pos + 2 + u16(block, pos)])
        if name and name not in found:
            found.append(name)
        pos = behind_value(PROPERTY_TYPES[identifier], block, pos, end)
    filled = tuple(found)
    if end <= BLOCK_BYTES_MAX:
        if len(_filled) >= BLOCKS_REMEMBERED_MAX:
            _filled.clear()
        _filled[block] = filled
    return filled


def _fields_for(block: bytes, body: bytes, is_utf8: bool | None) -> Fields | None:
    """The fields of a PUBLISH with these properties, if one whose body is of the same kind was decoded before."""
    shared = _shared.get(block)
    if shared is None:
        return None
    kind = mqtt_kind(shared.content_type, shared.content_encoding, shared.payload_format, body, is_utf8)
    return shared.get(kind)


def _keep(block: bytes, fields: Fields, content_type: str | None) -> None:
    """Let others with these properties have `fields`."""
    if len(block) > BLOCK_BYTES_MAX:
        return
    shared = _shared.get(block)
    if shared is None:
        if len(_shared) >= BLOCKS_REMEMBERED_MAX:
            _shared.clear()
        shared = _shared[block] = SharedFields(content_type, fields, None)
    shared.keep(fields)


# -- in


def has_items(publish: Publish) -> bool:
    """May it have properties that are for us?  Then `take_items` must see it before it becomes a message."""
    return side.PREFIX_BYTES in publish.properties or scheduling.MARK in publish.properties


def take_items(publish: Publish) -> side.Routing:
    """What its properties say to us.  `retain` counts as the flag; what goes no further is taken out."""
    properties = decode_properties(publish.properties)
    found = side.routing(properties.user)
    if found.retain:
        publish.retain = True
    taken = side.BROKER_OWNED_NAMES
    if scheduling.MARK in publish.properties:
        try:
            found.timing = scheduling.timing_of(properties.user)
            taken |= scheduling.NAMES
        except (scheduling.InvalidTiming, InvalidCron):
            # What does not parse is an ordinary property.
            pass
    kept = [pair for pair in properties.user if pair[0] not in taken]
    if len(kept) != len(properties.user):
        properties.user = kept
        block = encode_properties(properties)
        payload = publish.payload()
        publish.frame = publish_head(
            publish.topic, len(payload), publish.qos, publish.retain, publish.dup, publish.packet_id, block
        )
        publish.payload_start = len(publish.frame)
        if publish.tail is None:
            publish.frame += payload
        publish.properties = block
    return found


def message_from(
    publish: Publish, destination: Destination, broker: Broker, publisher: Publisher, items: bool
) -> Message:
    """The canonical message of a PUBLISH; `items`: `has_items` said so, and `take_items` has seen them."""
    qos = publish.qos
    expiry_s = publish.expiry_s
    forwardable = 0
    if qos == 0 and not publish.retain and publish.topic_alias == 0 and expiry_s < 0:
        forwardable = 5 if publish.protocol_version == 5 else 3
    message = Message(
        broker.next_message_id(),
        destination,
        MqttOrigin(publish, forwardable),
        publish.size,
        broker.now_ms,
        qos > 0,
        qos,
        publish.retain,
        PRIORITY_NONE,
        # An interval of 0 expires as soon as it has to wait at all.
        0 if expiry_s < 0 else broker.now_ms + max(1, expiry_s * 1000),
        publisher,
    )
    if items:
        _apply_items(message, publish, broker.now_ms)
    return message


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


def _apply_items(message: Message, publish: Publish, now_ms: int) -> None:
    """Items that the router must know and that MQTT has no words for."""
    found = side.routing(decode_properties(publish.properties).user)
    if found.durable is not None:
        message.persistent = found.durable
    if found.priority >= 0:
        message.priority = found.priority
    expires_at_ms = found.expires_at_ms
    if expires_at_ms == 0 and publish.expiry_s < 0:
        return
    # It may be more exact than the interval, but may not say something else.
    if expires_at_ms > 0 and (
        publish.expiry_s < 0 or seconds_left(expires_at_ms, now_ms) == publish.expiry_s
    ):
        message.expires_at_ms = expires_at_ms


def _correlation_from(data: bytes) -> str | bytes | Typed:
    """Correlation data that is text is that, and may say that it stands for another type."""
    return id_from_text(data.decode(), IN_DATA) if is_plain_text(data) else data


def _reply_from(topic: str) -> Destination | str:
    try:
        return reply_address(topic)
    except InvalidName:
        return topic


def seconds_left(expires_at_ms: int, now_ms: int) -> int:
    """The rest of a message's life, rounded up (§3.3.2.3.3)."""
    return min(max(1, (expires_at_ms - now_ms + 999) // 1000), 0xFFFF_FFFF)
