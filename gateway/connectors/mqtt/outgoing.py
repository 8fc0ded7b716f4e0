"""Message to PUBLISH.

A packet that is the same for many subscribers is made once, and the message remembers it; `Outgoing` is a delivery that has
something of its own: properties, an envelope, a size.
"""

from typing import Final, final

from gateway.connectors import side
from gateway.connectors.bodies import body_out
from gateway.connectors.envelope import json_envelope
from gateway.connectors.mqtt.addresses import JSON_PREFIX, topic_of
from gateway.connectors.mqtt.binding import MqttBinding
from gateway.connectors.mqtt.json_packet import JsonPacket
from gateway.connectors.mqtt.mapping import MqttOrigin, seconds_left
from gateway.connectors.mqtt.properties_out import (
    LOST_3,
    MqttTarget,
    failures_block,
    foreign_block,
    note_lost,
    with_deaths,
)
from gateway.connectors.parts import LONG, LONG_FRAME, Parts, Pieces
from gateway.connectors.shared import form_key, may_share
from gateway.core.message import Message
from protocols.mqtt.codec import encode_publish, publish_head, publish_parts
from protocols.mqtt.properties import without_hop_properties
from protocols.mqtt.strings import ONE_BYTE

_JSON: Final = 0x56
"""Variant of a message's JSON envelope."""

_JSON_BLOCK: Final = b"\x01\x01\x03\x00\x10application/json"
"""Payload Format Indicator 1, Content Type."""


def has_its_own(message: Message, binding: MqttBinding, target: MqttTarget, failures: int) -> bool:
    """Has a delivery something that no other one has, so that its packet is an Outgoing's?"""
    return binding.json or (
        target.five and (message.expires_at_ms != 0 or failures != 0 or len(binding.identifiers) != 0)
    )


def shared_frame(message: Message, target: MqttTarget) -> bytes:
    """The packet of a QoS 0 delivery to a binding that is plain: the same for every subscriber of this kind."""
    variant = target.plain
    known = message.form(variant)
    if isinstance(known, bytes):
        return known
    block: bytes | None = None
    if target.five:
        block = _constant_block(message, target, False, False)
    elif message.form(target.parts) is None:
        note_lost(message, target, False)
    frame = encode_publish(_topic_text(message), _body(message), 0, False, False, 0, block)
    message.remember(variant, frame)
    return frame


def acknowledged_frame(
    message: Message, target: MqttTarget, retain: bool, qos: int, packet_id: int, dup: bool
) -> bytes:
    """The packet of a QoS 1 or 2 delivery that has nothing of its own but its packet id and flags."""
    head, tail = _parts(message, target, retain)
    first = ONE_BYTE[0x30 | (8 if dup else 0) | qos << 1 | (1 if retain else 0)]
    return b"".join([first, head, packet_id.to_bytes(2, "big"), tail])


def is_long(message: Message, binding: MqttBinding) -> bool:
    """Is it so large that its payload is not to be copied?"""
    return message.size >= LONG_FRAME and message.origin.raw() and not binding.json


def retain_flag(message: Message, binding: MqttBinding) -> bool:
    """RETAIN of a delivery: set on replay, kept for who asked to see it as published (§3.3.1.3)."""
    return binding.replay or (binding.retain_as_published and message.retain)


@final
class Outgoing:
    """One delivery on its way to one client, and the packet that it becomes."""

    __slots__ = (
        "_binding",
        "_dup",
        "_failures",
        "_message",
        "_now_ms",
        "_packet_id",
        "_qos",
        "_redelivered",
        "_retain",
        "_target",
    )

    def __init__(
        self,
        message: Message,
        binding: MqttBinding,
        target: MqttTarget,
        now_ms: int,
        failures: int,
        redelivered: bool,
    ) -> None:
        """`failures` earlier deliveries of it failed."""
        self._message = message
        self._binding = binding
        self._target = target
        self._now_ms = now_ms
        self._failures = failures
        self._redelivered = redelivered
        self._retain = retain_flag(message, binding)
        self._qos = 0
        self._packet_id = 0
        self._dup = False

    def acknowledged(self, qos: int, packet_id: int, dup: bool) -> "Outgoing":
        """The same at QoS 1 or 2."""
        self._qos = qos
        self._packet_id = packet_id
        self._dup = dup
        return self

    def packet(self) -> bytes | Parts:
        """What is sent: in pieces where the payload is so large that it is not to be copied, a part at a time where it is
        JSON that takes long to make."""
        message = self._message
        if self._binding.json:
            return self._json() if message.size < LONG else self._long_json()
        topic = _topic_text(message)
        block = self._block()
        if not is_long(message, self._binding):
            return self._encoded(topic, _body(message), block)
        payload = message.origin.view()
        head = self._head(topic, len(payload), block)
        return Pieces([head, payload])

    def fitted(self, maximum: int) -> bytes | None:
        """One that is too large for this client, without its largest properties; None if that is not enough, or if it
        came by MQTT and must stay as it is (§3.1.2.11.4), but for the count of earlier deliveries."""
        message = self._message
        target = self._target
        if not target.five or self._binding.json:
            return None
        if message.origin.raw() and len(message.origin.view()) > maximum:
            return None
        failures = self._failures
        topic = _topic_text(message)
        if isinstance(message.origin, MqttOrigin):
            if failures == 0:
                return None
            block = _constant_block(message, target, self._qos > 0, self._retain) + self._dynamic()
            frame = self._encoded(topic, _body(message), block)
            return frame if len(frame) <= maximum else None
        made = foreign_block(message, target, self._qos > 0, self._retain)
        behind = self._dynamic()
        body = body_out(message, message.fields())[0]
        made.add_failures(failures)
        while True:
            head = self._head(topic, len(body), made.encode() + behind)
            above = len(head) + len(body) - maximum
            if above <= 0:
                made.count(message, target)
                return head + body
            if not made.leave_out(above):
                return None

    def _head(self, topic: str, size: int, block: bytes | None) -> bytes:
        """What stands before the `size` bytes of the payload."""
        return publish_head(topic, size, self._qos, self._retain, self._dup, self._packet_id, block)

    def _encoded(self, topic: str, payload: bytes, block: bytes | None) -> bytes:
        return encode_publish(topic, payload, self._qos, self._retain, self._dup, self._packet_id, block)

    def _json(self) -> bytes:
        """To a `$json/` filter: all that is known of the message, as its payload.

        First deliveries share the envelope; one that was delivered before says so in its own.
        """
        message = self._message
        known = message.form(_JSON)
        if isinstance(known, bytes):
            envelope = known
        else:
            envelope = json_envelope(message)
            message.remember(_JSON, envelope)
        if self._redelivered:
            envelope = self._json_begin() + envelope[1:]
        return self._encoded(self._json_topic(), envelope, self._json_block())

    def _long_json(self) -> JsonPacket:
        """The same for a message of LONG bytes and more."""
        return JsonPacket(
            self._message,
            self._json_topic(),
            self._qos,
            self._retain,
            self._dup,
            self._packet_id,
            self._json_block(),
            self._json_begin(),
        )

    def _json_topic(self) -> str:
        return JSON_PREFIX + _topic_text(self._message)

    def _json_block(self) -> bytes | None:
        return _JSON_BLOCK + self._dynamic() if self._target.five else None

    def _json_begin(self) -> bytes:
        """How the envelope begins."""
        if not self._redelivered:
            return b"{"
        return b'{"redelivered":true,' + (b'"delivery_count":%d,' % self._failures if self._failures else b"")

    def _block(self) -> bytes | None:
        """Its MQTT 5 properties; None before MQTT 5, where it is counted what is lost."""
        message = self._message
        target = self._target
        if target.five:
            block = _constant_block(message, target, self._qos > 0, self._retain)
            if self._failures:
                block += failures_block(self._failures)
            return block + self._dynamic()
        if message.form(LOST_3) is None and message.form(target.parts) is None:
            # Once for all that get it, a retained value included.
            message.remember(LOST_3, True)
            note_lost(message, target, self._qos > 0)
        return None

    def _dynamic(self) -> bytes:
        """The properties that each delivery has its own of."""
        message = self._message
        block = b""
        if message.expires_at_ms:
            seconds = seconds_left(message.expires_at_ms, self._now_ms)
            if seconds == 1 and message.fields().ttl_ms == 0:
                # An interval of 0, which lives for a millisecond here, stays what it was (MQTT-3.3.2-6).
                seconds = 0
            block = b"\x02" + seconds.to_bytes(4, "big")
        for identifier in self._binding.identifiers:
            block += b"\x0b" + _varint(identifier)
        return block


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
