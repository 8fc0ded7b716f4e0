"""PUBLISH to Message and Message to PUBLISH.

A message that came by MQTT leaves by MQTT without being decoded: as the very packet where nothing about it changes,
else from its topic, property block and payload.  Other messages go through the canonical fields, once per variant;
what those become is in `properties_out`.
"""

from typing import Final, final

from mypy_extensions import mypyc_attr

from gateway.connectors import scheduling, side
from gateway.connectors.bodies import body_out, mqtt_kind, restore_body
from gateway.connectors.envelope import json_envelope
from gateway.connectors.ids import IN_DATA, id_from_text
from gateway.connectors.mqtt.addresses import (
    JSON_PREFIX,
    canonical_of,
    reply_address,
    topic_of,
)
from gateway.connectors.mqtt.binding import MqttBinding
from gateway.connectors.mqtt.json_packet import JsonPacket
from gateway.connectors.mqtt.properties_out import (
    LOST_3,
    MqttTarget,
    failures_block,
    foreign_block,
    note_lost,
    with_deaths,
)
from gateway.connectors.mqtt.stored import WIRE_ID, stored_head, stored_publish
from gateway.connectors.parts import LONG_FRAME, Pieces
from gateway.connectors.shared import SharedFields, form_key, may_share
from gateway.connectors.text import is_plain_text
from gateway.core.cron import InvalidCron
from gateway.core.destination import TOPIC, Destination, InvalidName
from gateway.core.flow import Publisher
from gateway.core.message import OBJECT, PRIORITY_NONE, Fields, Message, Origin, Typed
from gateway.core.router import Broker
from protocols.mqtt.codec import encode_publish, publish_head, publish_parts
from protocols.mqtt.constants import PROPERTY_TYPES, USER_PROPERTY
from protocols.mqtt.frames import Publish
from protocols.mqtt.properties import (
    behind_value,
    decode_properties,
    encode_properties,
    without_hop_properties,
)
from protocols.mqtt.strings import ONE_BYTE, decode_varint
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


# -- out


def seconds_left(expires_at_ms: int, now_ms: int) -> int:
    """The rest of a message's life, rounded up (§3.3.2.3.3)."""
    return min(max(1, (expires_at_ms - now_ms + 999) // 1000), 0xFFFF_FFFF)


def qos0_frame(
    message: Message,
    binding: MqttBinding,
    target: MqttTarget,
    now_ms: int,
    failures: int = 0,
    redelivered: bool = False,
) -> bytes:
    """The packet of a QoS 0 delivery."""
    if binding.json:
        return _json_frame(message, binding, target, 0, 0, now_ms, failures, redelivered)
    origin = message.origin
    five = target.five
    dynamic = five and (message.expires_at_ms != 0 or bool(binding.identifiers) or failures != 0)
    if binding.plain and not dynamic:
        if isinstance(origin, MqttOrigin) and origin.forwardable == (5 if five else 3):
            return origin.publish.whole()
        variant = target.plain
        known = message.form(variant)
        if isinstance(known, bytes):
            return known
        frame = _encode(message, binding, target, 0, False, 0, now_ms, 0)
        message.remember(variant, frame)
        return frame
    return _encode(message, binding, target, 0, retain_flag(message, binding), 0, now_ms, failures)


def acknowledged_frame(
    message: Message,
    binding: MqttBinding,
    target: MqttTarget,
    qos: int,
    packet_id: int,
    dup: bool,
    now_ms: int,
    failures: int = 0,
    redelivered: bool = False,
) -> bytes:
    """The packet of a QoS 1 or 2 delivery, of which `failures` earlier ones failed."""
    retain = retain_flag(message, binding)
    if binding.json or (target.five and (message.expires_at_ms != 0 or binding.identifiers or failures)):
        if binding.json:
            frame = _json_frame(message, binding, target, qos, packet_id, now_ms, failures, redelivered)
        else:
            frame = _encode(message, binding, target, qos, retain, packet_id, now_ms, failures)
        return bytes((frame[0] | 0x08,)) + frame[1:] if dup else frame
    head, tail = _parts(message, target, retain)
    first = ONE_BYTE[0x30 | (8 if dup else 0) | qos << 1 | (1 if retain else 0)]
    return b"".join([first, head, packet_id.to_bytes(2, "big"), tail])


_JSON: Final = 0x56
"""Variant of a message's JSON envelope."""

_JSON_BLOCK: Final = b"\x01\x01\x03\x00\x10application/json"
"""Payload Format Indicator 1, Content Type."""


def _json_frame(
    message: Message,
    binding: MqttBinding,
    target: MqttTarget,
    qos: int,
    packet_id: int,
    now_ms: int,
    failures: int,
    redelivered: bool,
) -> bytes:
    """The packet of a delivery to a `$json/` filter: all that is known of the message, as its payload.

    First deliveries share the envelope; one that was delivered before says so in its own.
    """
    known = message.form(_JSON)
    if isinstance(known, bytes):
        envelope = known
    else:
        envelope = json_envelope(message)
        message.remember(_JSON, envelope)
    if redelivered:
        envelope = _json_begin(failures, True) + envelope[1:]
    block = _JSON_BLOCK + _dynamic(message, binding, now_ms) if target.five else None
    topic = JSON_PREFIX + _topic_text(message)
    return encode_publish(topic, envelope, qos, retain_flag(message, binding), False, packet_id, block)


def json_packet(
    message: Message,
    binding: MqttBinding,
    target: MqttTarget,
    qos: int,
    packet_id: int,
    dup: bool,
    now_ms: int,
    failures: int,
    redelivered: bool,
) -> JsonPacket:
    """The same for a message of LONG bytes and more."""
    block = _JSON_BLOCK + _dynamic(message, binding, now_ms) if target.five else None
    topic = JSON_PREFIX + _topic_text(message)
    begin = _json_begin(failures, redelivered)
    return JsonPacket(message, topic, qos, retain_flag(message, binding), dup, packet_id, block, begin)


def _json_begin(failures: int, redelivered: bool) -> bytes:
    """How the envelope of a delivery begins."""
    if not redelivered:
        return b"{"
    return b'{"redelivered":true,' + (b'"delivery_count":%d,' % failures if failures else b"")


def is_long(message: Message, binding: MqttBinding) -> bool:
    """Is it so large that its payload is not to be copied?"""
    return message.size >= LONG_FRAME and message.origin.raw() and not binding.json


def long_frame(
    message: Message,
    binding: MqttBinding,
    target: MqttTarget,
    qos: int,
    packet_id: int,
    dup: bool,
    now_ms: int,
    failures: int,
) -> Pieces:
    """The packet of a delivery, in pieces."""
    retain = retain_flag(message, binding)
    block: bytes | None = None
    if target.five:
        block = _constant_block(message, target, qos > 0, retain)
        if failures:
            block += failures_block(failures)
        block += _dynamic(message, binding, now_ms)
    elif message.form(LOST_3) is None:
        message.remember(LOST_3, True)
        note_lost(message, target, qos > 0)
    payload = message.origin.view()
    head = publish_head(_topic_text(message), len(payload), qos, retain, dup, packet_id, block)
    return Pieces([head, payload])


def fitted_frame(
    message: Message,
    binding: MqttBinding,
    target: MqttTarget,
    qos: int,
    packet_id: int,
    dup: bool,
    now_ms: int,
    failures: int,
    maximum: int,
) -> bytes | None:
    """The packet of a delivery that is too large for this client, without its largest properties; None if that is not
    enough, or if it came by MQTT and must stay as it is (§3.1.2.11.4), but for the count of earlier deliveries."""
    if not target.five or binding.json:
        return None
    if message.origin.raw() and len(message.origin.view()) > maximum:
        return None
    retain = retain_flag(message, binding)
    if isinstance(message.origin, MqttOrigin):
        if failures == 0:
            return None
        frame = _encode(message, binding, target, qos, retain, packet_id, now_ms, 0)
        if len(frame) > maximum:
            return None
        return bytes((frame[0] | 0x08,)) + frame[1:] if dup else frame
    made = foreign_block(message, target, qos > 0, retain)
    behind = _dynamic(message, binding, now_ms)
    topic = _topic_text(message)
    body = body_out(message, message.fields())[0]
    made.add_failures(failures)
    while True:
        head = publish_head(topic, len(body), qos, retain, dup, packet_id, made.encode() + behind)
        above = len(head) + len(body) - maximum
        if above <= 0:
            made.count(message, target)
            return head + body
        if not made.leave_out(above):
            return None


def retain_flag(message: Message, binding: MqttBinding) -> bool:
    """RETAIN of a delivery: set on replay, kept for who asked to see it as published (§3.3.1.3)."""
    return binding.replay or (binding.retain_as_published and message.retain)


def _parts(message: Message, target: MqttTarget, retain: bool) -> tuple[bytes, bytes]:
    """What stands before and behind the packet id, the same for every subscriber of this kind."""
    variant = target.parts_retained if retain else target.parts
    known = message.form(variant)
    if isinstance(known, tuple):
        head, tail = known
        assert isinstance(head, bytes)
        assert isinstance(tail, bytes)
        return head, tail
    if target.five:
        block: bytes | None = _constant_block(message, target, True, retain)
    else:
        block = None
        if message.form(target.plain) is None:
            note_lost(message, target, True)
    parts = publish_parts(_topic_text(message), block, _body(message))
    message.remember(variant, parts)
    return parts


def _encode(
    message: Message,
    binding: MqttBinding,
    target: MqttTarget,
    qos: int,
    retain: bool,
    packet_id: int,
    now_ms: int,
    failures: int,
) -> bytes:
    block: bytes | None = None
    if target.five:
        block = _constant_block(message, target, qos > 0, retain)
        if failures:
            block += failures_block(failures)
        block += _dynamic(message, binding, now_ms)
    elif binding.plain:
        if message.form(target.parts) is None:
            note_lost(message, target, qos > 0)
    elif message.form(LOST_3) is None and message.form(target.parts) is None:
        # A retained value, for one more subscriber.
        message.remember(LOST_3, True)
        note_lost(message, target, qos > 0)
    return encode_publish(_topic_text(message), _body(message), qos, retain, False, packet_id, block)


def _dynamic(message: Message, binding: MqttBinding, now_ms: int) -> bytes:
    """The MQTT 5 properties that each delivery has its own of."""
    block = b""
    if message.expires_at_ms:
        seconds = seconds_left(message.expires_at_ms, now_ms)
        if seconds == 1 and message.fields().ttl_ms == 0:
            # An interval of 0, which lives for a millisecond here, stays what it was (MQTT-3.3.2-6).
            seconds = 0
        block = b"\x02" + seconds.to_bytes(4, "big")
    for identifier in binding.identifiers:
        block += b"\x0b" + _varint(identifier)
    return block


def _topic_text(message: Message) -> str:
    origin = message.origin
    if isinstance(origin, MqttOrigin) and message.original is None:
        return origin.publish.topic
    return topic_of(message.destination)


def _body(message: Message) -> bytes:
    """The payload: as it came, unless what came are values of another protocol."""
    origin = message.origin
    if isinstance(origin, MqttOrigin) or origin.raw():
        return origin.body()
    return body_out(message, message.fields())[0]


def _varint(value: int) -> bytes:
    """A variable byte integer (§1.5.5)."""
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    result.append(value)
    return bytes(result)


def _constant_block(message: Message, target: MqttTarget, acknowledged: bool, retain: bool) -> bytes:
    """The MQTT 5 properties that are the same for every delivery."""
    origin = message.origin
    if isinstance(origin, MqttOrigin):
        properties = origin.publish.properties
        if message.deaths is None and (
            not properties or (origin.forwardable == 5 and message.original is None)
        ):
            return properties
        variant = target.own_block
    else:
        variant = target.block(acknowledged, retain)
    known = message.form(variant)
    if isinstance(known, bytes):
        return known
    if isinstance(origin, MqttOrigin):
        block = without_hop_properties(origin.publish.properties)
        if message.deaths is not None:
            block = with_deaths(block, message)
    else:
        block = _shared_block(message, target, variant, acknowledged, retain)
    message.remember(variant, block)
    return block


def _shared_block(
    message: Message, target: MqttTarget, variant: int, acknowledged: bool, retain: bool
) -> bytes:
    """The block of a message of another protocol: made once for all that say the same."""
    fields = message.fields()
    forms = fields.forms
    if not may_share(message, fields) or target.carry == side.CARRY_FULL or target.identity:
        # There is something in it that is this message's own.
        forms = None
    key = 0
    if forms is not None:
        key = form_key(message, message.origin.body(), variant)
        known = forms.get(key)
        if known is not None:
            return known
    made = foreign_block(message, target, acknowledged, retain)
    made.count(message, target)
    block = made.encode()
    if forms is not None and made.whole:
        forms[key] = block
    return block
