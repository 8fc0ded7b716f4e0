"""The side channel: what a protocol has no place for travels in its free-form properties under reserved names.

One list of items, one spelling and one set of restore rules for all protocols; each connector says only where its
free-form places are, and which words of its own a property may not be called.
"""

from typing import Final, final

from gateway.connectors.ids import id_from_text
from gateway.connectors.text import (
    Hints,
    decode_name,
    encode_name,
    encode_types,
    for_mqtt,
    has_control_characters,
    integer,
    json_for_mqtt,
    packed,
    unpacked,
)
from gateway.connectors.typed_json import dump, load, value_from_text, value_to_text
from gateway.core.message import Fields, Typed
from gateway.core.schedule import Timing

PREFIX: Final = "x-mx-"
PREFIX_BYTES: Final = b"x-mx-"

BROKER_OWNED: Final = frozenset(
    {"client", "auth", "deaths", "received", "delivery-count", "to", "omit", "dedup"}
)
"""Only the broker says these: from a publisher they go no further, whatever protocol takes them.  `dedup` is said to the
broker alone: what a subscriber echoes must not be taken for a repetition."""

BROKER_OWNED_NAMES: Final = frozenset([PREFIX + item for item in BROKER_OWNED])

ANNOTATION: Final = "x-opt-"
"""A property of this name is an annotation in every protocol."""

_PROPERTY: Final = "p-"
_OTHER_ANNOTATION: Final = "ma-"
# The same where the name itself is percent-encoded, since not every character may go.
_QUOTED_PROPERTY: Final = "q-"
_QUOTED_ANNOTATION: Final = "qma-"
_PACKED_ITEMS: Final = "b64"
"""Names of the items whose text is packed."""

# How much travels beside the message (`carry` of a listener).
CARRY_AUTO: Final = 0
"""What a subscriber's echo could not tell from the frame itself."""
CARRY_NONE: Final = 1
"""Nothing; what is lost is counted."""
CARRY_FULL: Final = 2
"""Also what the frame says already, and what the broker knows: for bridges and for debugging."""

CARRY_NAMES: Final = {"auto": CARRY_AUTO, "none": CARRY_NONE, "full": CARRY_FULL}

_I32_LEAST: Final = -(1 << 31)
_U32_MOST: Final = (1 << 32) - 1
_I64_MOST: Final = (1 << 63) - 1

_FIELD_OF_ITEM: Final = {
    b"mid": "message_id",
    b"cid": "correlation_id",
    b"reply-to": "reply_to",
    b"subject": "subject",
    b"ct": "content_type",
    b"ce": "content_encoding",
    b"body": "body",
    b"btypes": "body",
    b"ts": "created_at",
    b"exp": "expiry",
    b"prio": "priority",
    b"gid": "group_id",
    b"gseq": "group_seq",
    b"rgid": "reply_group",
    b"user": "user_id",
    b"app": "app_id",
    b"pfi": "payload_format",
    b"ft": "footer",
    # Known to the router, and counted where a delivery does not show them.
    b"durable": "",
    b"retain": "",
}


def field_of(name: bytes) -> str:
    """The canonical field that a free-form property of this name fills; empty for none that can be lost."""
    if name.startswith(b"x-opt-"):
        return "annotations"
    if not name.startswith(PREFIX_BYTES):
        return "properties"
    item = name[len(PREFIX_BYTES) :]
    if item.startswith((b"ma-", b"qma-")):
        return "annotations"
    if item in _BROKER_OWNED_BYTES:
        return ""
    return _FIELD_OF_ITEM.get(item, "properties")


_BROKER_OWNED_BYTES: Final = frozenset([item.encode() for item in BROKER_OWNED])

# -- out


@final
class Places:
    """The free-form properties of one frame as they are gathered: `pairs` of name and text, repeats allowed."""

    __slots__ = ("_packed", "_types", "carry", "dropped", "fields", "mqtt", "pairs")

    def __init__(self, carry: int, mqtt: bool = False) -> None:
        self.carry = carry
        self.mqtt = mqtt
        """Names and texts may hold no control characters: what does is packed."""
        self.pairs: list[tuple[str, str]] = []
        self.fields: list[str] = []
        """The canonical field behind each of `pairs`."""
        self.dropped: list[str] = []
        """Fields that were to travel as items, where the listener wants none."""
        self._types: list[tuple[str, str]] = []
        self._packed: list[str] = []

    def add(self, name: str, text: str, field: str) -> None:
        """A property under its own name."""
        self.pairs.append((name, text))
        self.fields.append(field)

    def item(self, item: str, text: str, field: str) -> None:
        """Something under a reserved name."""
        if self.carry == CARRY_NONE:
            self.dropped.append(field)
        else:
            if self.mqtt and has_control_characters(text):
                self._packed.append(item)
                text = packed(text)
            self.add(PREFIX + item, text, field)

    def maybe(self, item: str, text: str | None, field: str) -> None:
        """The same, if there is something to say."""
        if text is not None:
            self.item(item, text, field)

    def number(self, item: str, value: int | None, field: str) -> None:
        """The same for a number."""
        if value is not None:
            self.item(item, str(value), field)

    def properties(self, fields: Fields, words: frozenset[str], dropped: frozenset[str]) -> None:
        """The publisher's own properties in their order.

        `words` mean something to the protocol, so a property of such a name travels under another one; where "" is
        among them, no name may be empty.  `dropped` are names that the broker writes itself.
        """
        tokens: list[tuple[str, str]] = []
        for name, value in fields.properties:
            if name in dropped:
                continue
            text, token = value_to_text(value)
            if self.mqtt and self.carry != CARRY_NONE:
                text, token = for_mqtt(text, token)
            if self.mqtt and has_control_characters(name + text):
                self.item(_QUOTED_PROPERTY + encode_name(name), text, "properties")
            elif name in words or name.startswith((PREFIX, ANNOTATION)):
                self.item(_PROPERTY + name, text, "properties")
            else:
                self.add(name, text, "properties")
            tokens.append((name, token))
        typed = frozenset([name for name, token in tokens if token])
        if typed:
            # Of a name that repeats, each occurrence takes the next hint.
            self._types.extend([(name, token or "str") for name, token in tokens if name in typed])

    def annotations(self, fields: Fields) -> None:
        """The annotations, and the footer."""
        for key, value in fields.annotations:
            text, token = value_to_text(value)
            if self.mqtt and self.carry != CARRY_NONE:
                text, token = for_mqtt(text, token)
            if self.mqtt and isinstance(key, str) and has_control_characters(key + text):
                name = _QUOTED_ANNOTATION + encode_name(key)
                self.item(name, text, "annotations")
                name = PREFIX + name
            elif isinstance(key, str) and key.startswith(ANNOTATION):
                name = key
                self.add(name, text, "annotations")
            else:
                name = _OTHER_ANNOTATION + annotation_item(key)
                self.item(name, text, "annotations")
                name = PREFIX + name
            if token:
                self._types.append((name, token))
        if fields.footer:
            pairs: list[object] = []
            for key, value in fields.footer:
                pairs.append((Typed("u64", key) if isinstance(key, int) else key, value))
            text, hints = dump(Typed("map", pairs))
            shown = dump({"footer": text, "types": hints})[0]
            self.item("ft", json_for_mqtt(shown) if self.mqtt else shown, "footer")

    def finish(self) -> None:
        """Everything is in: add the hints."""
        if self._packed:
            self.item(_PACKED_ITEMS, ",".join(self._packed), "types")
        if self._types:
            self.item("types", encode_types(self._types), "types")


def annotation_item(key: str | int) -> str:
    """An annotation's key as text: `#` and its digits for a number."""
    if isinstance(key, int):
        return f"#{key}"
    # A symbol that begins with the mark of a number gets one more of it.
    return "#" + key if key.startswith("#") else key


# -- in


@final
class Taken:
    """Items that concern more than one field, for the connector to judge when it knows them all."""

    __slots__ = ("body", "btypes", "ct")

    def __init__(self) -> None:
        self.body: str | None = None
        self.btypes: str | None = None
        self.ct = False
        """The content type is the publisher's own, though it looks like one of ours."""


def restore(fields: Fields, pairs: list[tuple[str, str]]) -> Taken:
    """Sort the free-form properties of a frame: reserved names fill their field, all others are properties.

    What the frame said in its protocol's own words must be in `fields` before; it wins over an item.
    """
    hints: Hints | None = None
    for name, text in pairs:
        if name == PREFIX + "types":
            hints = Hints(text)
            break
    taken = Taken()
    listed = _listed(pairs)
    seen: set[str] = set()
    for name, text in pairs:
        if name.startswith(ANNOTATION):
            fields.annotations.append((name, _typed(hints, name, text)))
        elif not name.startswith(PREFIX):
            fields.properties.append((name, _typed(hints, name, text)))
        else:
            item = name[len(PREFIX) :]
            if item in BROKER_OWNED or (item == _PACKED_ITEMS and listed):
                continue
            if listed and item in listed:
                text = _unpacked(text)
            if item.startswith(_PROPERTY):
                own = item[len(_PROPERTY) :]
                fields.properties.append((own, _typed(hints, own, text)))
            elif item.startswith(_OTHER_ANNOTATION):
                key = annotation_key(item[len(_OTHER_ANNOTATION) :])
                fields.annotations.append((key, _typed(hints, name, text)))
            elif item.startswith(_QUOTED_PROPERTY):
                own = decode_name(item[len(_QUOTED_PROPERTY) :])
                fields.properties.append((own, _typed(hints, own, text)))
            elif item.startswith(_QUOTED_ANNOTATION):
                own = decode_name(item[len(_QUOTED_ANNOTATION) :])
                fields.annotations.append((own, _typed(hints, name, text)))
            elif item not in seen and _take(fields, taken, item, text):
                seen.add(item)
            else:
                fields.properties.append((name, text))
    return taken


_NOTHING: Final[frozenset[str]] = frozenset()


def _listed(pairs: list[tuple[str, str]]) -> frozenset[str]:
    """The items that are packed."""
    for name, text in pairs:
        if name == PREFIX + _PACKED_ITEMS:
            return frozenset(text.split(","))
    return _NOTHING


def _unpacked(text: str) -> str:
    """The text of an item that is packed; what cannot be is itself."""
    try:
        return unpacked(text)
    except ValueError:
        return text


def leave(fields: Fields, item: str, text: str) -> None:
    """An item that does not fit after all is an ordinary property."""
    fields.properties.append((PREFIX + item, text))


def _typed(hints: Hints | None, name: str, text: str) -> object:
    return text if hints is None else value_from_text(text, hints.take(name))


def annotation_key(text: str) -> str | int:
    """Undo `annotation_item`."""
    if not text.startswith("#"):
        return text
    number = integer(text[1:], 0, (1 << 64) - 1)
    return text[1:] if number is None else number


def _take(fields: Fields, taken: Taken, item: str, text: str) -> bool:
    """Fill the field of one item unless the frame has filled it; False when it does not parse."""
    if item == "types":
        return True
    if item == "body":
        taken.body = text
        return True
    if item == "btypes":
        taken.btypes = text
        return True
    if item in ("mid", "cid"):
        if item == "mid" and fields.message_id is None:
            fields.message_id = id_from_text(text)
        elif item == "cid" and fields.correlation_id is None:
            fields.correlation_id = id_from_text(text)
        return True
    if item == "ft":
        return _take_footer(fields, text)
    return _take_text(fields, taken, item, text) or _take_number(fields, item, text)


def _take_text(fields: Fields, taken: Taken, item: str, text: str) -> bool:
    if item == "ct":
        taken.ct = fields.content_type is None or fields.content_type == text
        if fields.content_type is None:
            fields.content_type = text
    elif item == "ce":
        fields.content_encoding = text if fields.content_encoding is None else fields.content_encoding
    elif item == "subject":
        fields.subject = text if fields.subject is None else fields.subject
    elif item == "reply-to":
        fields.reply_to = text if fields.reply_to is None else fields.reply_to
    elif item == "gid":
        fields.group_id = text if fields.group_id is None else fields.group_id
    elif item == "rgid":
        fields.reply_group = text if fields.reply_group is None else fields.reply_group
    elif item == "user":
        fields.user_id = text if fields.user_id is None else fields.user_id
    elif item == "app":
        fields.app_id = text if fields.app_id is None else fields.app_id
    else:
        return False
    return True


def _take_number(fields: Fields, item: str, text: str) -> bool:
    if item in ("durable", "retain"):
        # What the router must know is read when the message is made.
        return flag(text) is not None
    if item == "prio":
        return priority(text) >= 0
    if item == "exp":
        return integer(text, 0, _I64_MOST) is not None
    if item == "ts":
        number = integer(text, -_I64_MOST, _I64_MOST)
        if number is not None and fields.created_at_ms is None:
            fields.created_at_ms = number
    elif item == "gseq":
        number = integer(text, _I32_LEAST, _U32_MOST)
        if number is not None and fields.group_sequence is None:
            fields.group_sequence = number
    elif item == "pfi":
        number = integer(text, 0, 1)
        if number is not None and fields.payload_format is None:
            fields.payload_format = number
    else:
        return False
    return number is not None


def _take_footer(fields: Fields, text: str) -> bool:
    try:
        holder = load(text, "")
        assert isinstance(holder, Typed)
        members = holder.value
        if not isinstance(members, dict):
            return False
        inner = members.get("footer")
        types = members.get("types")
        if not isinstance(inner, str) or not isinstance(types, str):
            return False
        footer = load(inner, types)
    except (ValueError, AssertionError):
        return False
    if not isinstance(footer, Typed) or not isinstance(footer.value, list) or not footer.value:
        return False
    found: list[tuple[str | int, object]] = []
    for pair in footer.value:
        if not isinstance(pair, tuple):
            return False
        key = pair[0].value if isinstance(pair[0], Typed) else pair[0]
        if not isinstance(key, (str, int)):
            return False
        found.append((key, pair[1]))
    fields.footer = found
    return True


# -- items that the router must know: read when the message is made


def flag(text: str) -> bool | None:
    """`true` or `false`, else nothing."""
    return text == "true" if text in ("true", "false") else None


def priority(text: str) -> int:
    """0 to 255; -1 for what is no priority."""
    number = integer(text, 0, 255)
    return -1 if number is None else number


@final
class Routing:
    """The items of a frame that the router must know, where its own words do not say them."""

    __slots__ = ("claimed_user", "dedup", "durable", "expires_at_ms", "priority", "retain", "timing")

    def __init__(self) -> None:
        self.durable: bool | None = None
        self.retain: bool | None = None
        self.priority = -1
        self.expires_at_ms = -1
        """-1 when it says nothing."""
        self.claimed_user: str | None = None
        self.dedup: str | None = None
        """The key under which it is to be published once."""
        self.timing: Timing | None = None
        """When it is to be delivered; None: now."""


def routing(pairs: list[tuple[str, str]]) -> Routing:
    """The first of each such item that parses as `restore` would have it."""
    found = Routing()
    seen: set[str] = set()
    for name, text in pairs:
        if not name.startswith(PREFIX) or name in seen:
            continue
        item = name[len(PREFIX) :]
        parsed = True
        if item == "durable":
            found.durable = flag(text)
            parsed = found.durable is not None
        elif item == "retain":
            found.retain = flag(text)
            parsed = found.retain is not None
        elif item == "prio":
            found.priority = priority(text)
            parsed = found.priority >= 0
        elif item == "exp":
            number = integer(text, 0, _I64_MOST)
            parsed = number is not None
            found.expires_at_ms = -1 if number is None else number
        elif item == "user":
            found.claimed_user = _unpacked(text) if "user" in _listed(pairs) else text
        elif item == "dedup":
            found.dedup = text
        else:
            continue
        if parsed:
            seen.add(name)
    return found
