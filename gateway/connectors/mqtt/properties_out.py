"""The MQTT 5 properties of messages that came by other protocols, and what MQTT cannot carry.

`Block` is one message's properties as they are put together: the native ones, then user properties, some of which may
have to be left out.
"""

from typing import Final, final

from gateway.connectors import side
from gateway.connectors.bodies import body_item, body_out, known_text, made_up_type, mqtt_kind
from gateway.connectors.deaths import LIST_NAME, death_pairs, own_names
from gateway.connectors.ids import IN_DATA, id_to_text
from gateway.connectors.mqtt.addresses import topic_of, written
from gateway.connectors.scheduling import NAMES as SCHEDULING
from gateway.connectors.side import CARRY_FULL, Places
from gateway.connectors.text import encode_name, is_plain_text, json_for_mqtt
from gateway.core.counters import CoreCounters
from gateway.core.destination import Destination
from gateway.core.message import PRIORITY_NONE, TEXT, Fields, Message, Typed
from protocols.mqtt.properties import ANY_NUMBER, Properties, decode_properties, encode_properties
from protocols.mqtt.strings import has_control_characters

STRING_BYTES_MAX: Final = 65_535
"""What a length of two bytes can say (§1.5.4)."""

NAME_SHOWN_MAX: Final = 255
"""Characters of the name of something that was left out."""

_OWN: Final = 2
"""User properties that may be added: a count, and a list of what was left out."""

_ENTRY_BYTES: Final = 6
"""What an entry of the list of omissions has beside the name."""

# Variants under which a message remembers its encoded forms.
_PLAIN_3: Final = 0x30
_PARTS_3: Final = 0x32
LOST_3: Final = 0x34
_PLAIN_5: Final = 0x50
_PARTS_5: Final = 0x52
_PARTS_5_RETAINED: Final = 0x53
_BLOCK: Final = 0x54
_OWN_BLOCK: Final = 0x58


@final
class MqttTarget:
    """What a subscriber's connection is, as far as the form of its messages goes."""

    __slots__ = (
        "_block",
        "carry",
        "counters",
        "five",
        "identity",
        "name",
        "own_block",
        "parts",
        "parts_retained",
        "plain",
        "user_properties_max",
    )

    def __init__(
        self,
        version: int,
        carry: int,
        identity: bool,
        counters: CoreCounters,
        user_properties_max: int = ANY_NUMBER,
    ) -> None:
        self.five = version == 5
        self.name = "M5" if self.five else "M3"
        """Under which losses are counted."""
        self.carry = carry
        self.identity = identity
        """Say who published, as far as the broker knows."""
        self.counters = counters
        self.user_properties_max = user_properties_max
        """As many as we would take back."""
        # Listeners that let different things travel have forms of their own.
        kind = carry << 8 | (0x400 if identity else 0)
        self.plain = (_PLAIN_5 if self.five else _PLAIN_3) | kind
        self.parts = (_PARTS_5 if self.five else _PARTS_3) | kind
        self.parts_retained = (_PARTS_5_RETAINED if self.five else _PARTS_3) | kind
        self._block = _BLOCK | kind
        self.own_block = _OWN_BLOCK

    def block(self, acknowledged: bool, retain: bool) -> int:
        """The variant of the property block of a message of another protocol."""
        return self._block | (1 if acknowledged else 0) | (2 if retain else 0)


@final
class Block:
    """See the module."""

    __slots__ = ("_counted", "_places", "_properties", "_sizes", "omitted")

    def __init__(self, properties: Properties, places: Places) -> None:
        self._properties = properties
        self._places = places
        self._sizes: list[int] = []
        for name, value in places.pairs:
            self._sizes.append(5 + len(name.encode()) + len(value.encode()))
        self._counted = 0
        self.omitted: list[tuple[str, str, int]] = []
        """What had to be left out: field, name, bytes of its value."""

    def check_strings(self) -> None:
        """Leave out what is longer than a string may be."""
        pairs = self._places.pairs
        for at in range(len(pairs) - 1, -1, -1):
            if self._sizes[at] > STRING_BYTES_MAX:
                name, value = pairs[at]
                if len(value.encode()) > STRING_BYTES_MAX or len(name.encode()) > STRING_BYTES_MAX:
                    self._note(self._places.fields[at], name, len(value.encode()))
                    self._drop(at)
        properties = self._properties
        if properties.content_type is not None and _too_long(properties.content_type.encode()):
            self._note("content_type", "ct", len(properties.content_type.encode()))
            properties.content_type = None
        if properties.response_topic is not None and _too_long(properties.response_topic.encode()):
            self._note("reply_to", "reply-to", len(properties.response_topic.encode()))
            properties.response_topic = None
        if properties.correlation_data is not None and _too_long(properties.correlation_data):
            self._note("correlation_id", "cid", len(properties.correlation_data))
            properties.correlation_data = None

    def check_number(self, most: int) -> None:
        """Leave out the last of too many; a count and what says that something is missing have room."""
        pairs = self._places.pairs
        if len(pairs) <= most:
            return
        for at in range(len(pairs) - 1, max(most, 0) - 1, -1):
            self._note(self._places.fields[at], pairs[at][0], len(pairs[at][1].encode()))
            self._drop(at)

    def add_failures(self, failures: int) -> None:
        """The earlier deliveries that failed, for a block that is one delivery's own."""
        if failures:
            self._places.pairs.append((side.PREFIX + "delivery-count", str(failures)))
            self._places.fields.append("delivery_count")
            self._sizes.append(40)

    def leave_out(self, excess: int) -> bool:
        """Leave out the largest user properties, until about `excess` bytes are saved; False when there are none."""
        sizes = self._sizes
        order = sorted([(-size, at) for at, size in enumerate(sizes)])
        gone: list[int] = []
        saved = 0
        for size, at in order:
            if saved >= excess:
                break
            gone.append(at)
            name, value = self._places.pairs[at]
            # What is left out is named instead.
            saved += -size - min(len(name), NAME_SHOWN_MAX) - _ENTRY_BYTES
            self._note(self._places.fields[at], name, len(value.encode()))
        gone.sort(reverse=True)
        for at in gone:
            self._drop(at)
        return len(gone) > 0

    def _drop(self, at: int) -> None:
        del self._places.pairs[at]
        del self._places.fields[at]
        del self._sizes[at]

    def _note(self, field: str, name: str, size: int) -> None:
        self.omitted.append((field, name, size))

    def encode(self) -> bytes:
        """The property block without its length."""
        properties = self._properties
        user = list(self._places.pairs)
        if self.omitted and self._places.carry != side.CARRY_NONE:
            listed: list[str] = []
            size = 0
            for _, name, length in self.omitted:
                shown = name if len(name) <= NAME_SHOWN_MAX else name[:NAME_SHOWN_MAX] + "…"
                entry = f"{encode_name(shown)}({length})"
                size += len(entry.encode()) + 1
                if size > STRING_BYTES_MAX:
                    # More names than a string can hold: the counters have them all.
                    break
                listed.append(entry)
            user.append((side.PREFIX + "omit", ",".join(listed)))
        properties.user = user
        return encode_properties(properties)

    @property
    def whole(self) -> bool:
        """Is everything there, so that nothing need be counted?"""
        return not self.omitted and not self._places.dropped

    def count(self, message: Message, target: MqttTarget) -> None:
        """Count what does not travel."""
        lost = list(self._places.dropped)
        for field, _, _ in self.omitted:
            lost.append(field)
        if lost:
            target.counters.omit(message.origin.protocol(), target.name, tuple(lost))


def failures_block(failures: int) -> bytes:
    """The user property that says how many earlier deliveries failed."""
    properties = Properties()
    properties.user = [(side.PREFIX + "delivery-count", str(failures))]
    return encode_properties(properties)


def _too_long(value: bytes) -> bool:
    return len(value) > STRING_BYTES_MAX


def foreign_block(message: Message, target: MqttTarget, acknowledged: bool, retain: bool) -> Block:
    """The properties of a message of another protocol, for deliveries of QoS 0 or above, with or without RETAIN."""
    fields = message.fields()
    body, types = body_out(message, fields)
    properties = Properties()
    if fields.payload_format is not None:
        properties.payload_format = fields.payload_format
    elif fields.body_kind == TEXT:
        properties.payload_format = 1
    made_up = made_up_type(fields.body_kind, False) if fields.content_type is None else None
    properties.content_type = fields.content_type if made_up is None else made_up
    places = Places(target.carry, True)
    if properties.content_type is not None and has_control_characters(properties.content_type):
        places.item("ct", properties.content_type, "content_type")
        properties.content_type = None
    if fields.correlation_id is not None:
        properties.correlation_data = correlation_to(fields.correlation_id)
    reply_to = fields.reply_to
    if isinstance(reply_to, Destination):
        properties.response_topic = topic_of(reply_to)
    elif reply_to is not None:
        places.item("reply-to", reply_to, "reply_to")
    _add_items(places, message, fields, acknowledged)
    if message.retain != retain:
        places.item("retain", "true" if message.retain else "false", "retain")
    inferred = mqtt_kind(
        properties.content_type,
        fields.content_encoding,
        properties.payload_format,
        body,
        known_text(fields),
    )
    item = body_item(fields, inferred, made_up is not None, target.carry == CARRY_FULL)
    if item:
        places.item("body", item, "body")
        if types:
            places.item("btypes", types, "body")
        own_type = fields.content_type
        if own_type is not None and own_type == made_up_type(fields.body_kind, False):
            places.item("ct", own_type, "content_type")
    for name, value in _death_pairs(message, fields):
        places.add(name, value, "deaths")
    places.properties(fields, SCHEDULING, own_names(message))
    places.annotations(fields)
    if target.identity and message.publisher is not None:
        places.maybe("auth", message.publisher.user, "auth")
        places.item("client", message.publisher.id, "client")
    places.finish()
    made = Block(properties, places)
    made.check_strings()
    made.check_number(target.user_properties_max - _OWN)
    return made


def _add_items(places: Places, message: Message, fields: Fields, acknowledged: bool) -> None:
    """What MQTT 5 has no property for."""
    full = places.carry == CARRY_FULL
    if fields.message_id is not None:
        places.item("mid", id_to_text(fields.message_id), "message_id")
    places.maybe("subject", fields.subject, "subject")
    places.maybe("ce", fields.content_encoding, "content_encoding")
    places.number("ts", fields.created_at_ms, "created_at")
    if message.priority != PRIORITY_NONE:
        places.number("prio", message.priority, "priority")
    if message.persistent != acknowledged or full:
        places.item("durable", "true" if message.persistent else "false", "durable")
    places.maybe("gid", fields.group_id, "group_id")
    places.number("gseq", fields.group_sequence, "group_seq")
    places.maybe("rgid", fields.reply_group, "reply_group")
    user = fields.user_id
    if user is not None:
        places.item("user", user.decode("utf-8", "replace") if isinstance(user, bytes) else user, "user_id")
    places.maybe("app", fields.app_id, "app_id")
    if full:
        if message.expires_at_ms:
            places.number("exp", message.expires_at_ms, "expiry")
        places.number("received", message.received_at_ms, "received_at")


def correlation_to(value: str | bytes | Typed) -> bytes:
    """Correlation Data.  Bytes go as they are, unless they would come back as text: then they say what they are."""
    if isinstance(value, bytes) and not is_plain_text(value):
        return value
    if isinstance(value, str) and "\0" in value:
        return value.encode()
    return id_to_text(value, IN_DATA).encode()


def with_deaths(block: bytes, message: Message) -> bytes:
    """The block of a message that came by MQTT 5 (or 3.1.1) and is among the dead letters."""
    properties = decode_properties(block) if block else Properties()
    dropped = own_names(message)
    pairs = _death_pairs(message, message.fields() if block else Fields())
    properties.user = pairs + [pair for pair in properties.user if pair[0] not in dropped]
    return encode_properties(properties)


def _death_pairs(message: Message, fields: Fields) -> list[tuple[str, str]]:
    """Names of queues are written as in topics where they have control characters."""
    return [
        (name, json_for_mqtt(text) if name == LIST_NAME else written(text))
        for name, text in death_pairs(message, fields)
    ]


# -- MQTT 3.1.1


def note_lost(message: Message, target: MqttTarget, acknowledged: bool) -> None:
    """Count what a client of MQTT 3.1.1 does not get to know: once a message."""
    origin = message.origin
    lost = origin.filled()
    source = origin.protocol()
    if message.persistent != acknowledged and source != "M5" and source != "M3":
        lost = (*lost, "durable")
    if message.deaths is not None:
        lost = (*lost, "deaths")
    if lost:
        target.counters.omit(source, "M3", lost)
