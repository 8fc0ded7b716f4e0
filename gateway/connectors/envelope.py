"""A whole message as one JSON object: for `$json/` subscriptions, browsers and HTTP.

Names are those of the canonical fields; `ext` holds what JSON has no types for.  A body is `body` when it is text or
values, `body_b64` when it is bytes.
"""

import json
from collections.abc import Sized
from typing import Final, final

from mypy_extensions import mypyc_attr

from gateway.connectors.deaths import deaths_for_json, take_deaths
from gateway.connectors.ids import id_from_text, id_to_text
from gateway.connectors.json_bodies import put_body, take_body
from gateway.connectors.long_bodies import LongBody
from gateway.connectors.side import PREFIX, annotation_item, annotation_key
from gateway.connectors.stored_fields import WIRE_ID, fields_in, fields_out
from gateway.connectors.text import (
    Hints,
    encode_types,
    encode_within,
)
from gateway.connectors.typed_json import dump, load, parse, plain, typed
from gateway.core.destination import QUEUE, TOPIC, Destination, InvalidName, check_name, check_reserved
from gateway.core.message import (
    PRIORITY_NONE,
    TEXT,
    Fields,
    Message,
    Origin,
    Typed,
)
from gateway.core.record import Restorer
from gateway.core.schedule import Timing
from protocols.json_writing import Base64

# -- out

# Under which a message remembers its JSON, without and with who published it.
VARIANT: Final = 0x70
VARIANT_IDENTITY: Final = 0x71


def json_envelope(message: Message) -> bytes:
    """The message as UTF-8 JSON, the same for every subscriber."""
    return _encoded(envelope_of(message))


def envelope_of(message: Message, long: LongBody | None = None) -> dict[str, object]:
    """The same as an object, to which a connector may add what each delivery has of its own.

    With `long` it is for a JsonWriting, the body as that shows it.
    """
    fields = message.fields()
    members: dict[str, object] = {"id": str(message.id), "to": str(message.destination)}
    if message.original is not None:
        members["original_to"] = str(message.original)
    if fields.message_id is not None:
        members["message_id"] = id_to_text(fields.message_id)
    if fields.correlation_id is not None:
        members["correlation_id"] = id_to_text(fields.correlation_id)
    ext: dict[str, object] = {}
    reply_to = fields.reply_to
    if isinstance(reply_to, str) and not isinstance(_reply_to(reply_to), str):
        # Nothing that one could send to, though it looks like it.
        ext["reply-to"] = reply_to
    elif reply_to is not None:
        members["reply_to"] = str(reply_to)
    _put_fields(members, message, fields)
    types: list[tuple[str, str]] = []
    deaths, written = deaths_for_json(message, fields)
    _put_properties(members, ext, types, fields, written)
    _put_annotations(members, ext, types, fields)
    if long is None:
        put_body(members, ext, message.origin.body(), fields)
    else:
        long.put(members, ext, fields)
    if types:
        ext["types"] = encode_types(types)
    if fields.payload_format is not None and (fields.payload_format == 0 or fields.body_kind != TEXT):
        ext["pfi"] = fields.payload_format
    if deaths:
        members["deaths"] = deaths
    if ext:
        members["ext"] = ext
    return members


def members_of(message: Message, identity: bool, long: LongBody | None = None) -> dict[str, object]:
    """The same, with who published it where `identity` says so: `ext.auth`, the user, and `ext.client`."""
    members = envelope_of(message, long)
    publisher = message.publisher
    if identity and publisher is not None:
        ext = members.setdefault("ext", {})
        assert isinstance(ext, dict)
        ext["client"] = publisher.id
        if publisher.user is not None:
            ext["auth"] = publisher.user
    return members


def _put_fields(members: dict[str, object], message: Message, fields: Fields) -> None:
    """What is text, number or flag, as far as there is something to say."""
    user = fields.user_id
    named: list[tuple[str, object]] = [
        ("subject", fields.subject),
        ("content_type", fields.content_type),
        ("content_encoding", fields.content_encoding),
        ("created_at", fields.created_at_ms),
        ("received_at", message.received_at_ms),
        ("expires_at", message.expires_at_ms or None),
        ("priority", None if message.priority == PRIORITY_NONE else message.priority),
        ("durable", message.persistent),
        ("group_id", fields.group_id),
        ("group_seq", fields.group_sequence),
        ("reply_group", fields.reply_group),
        ("user_id", user.decode("utf-8", "replace") if isinstance(user, bytes) else user),
        ("app_id", fields.app_id),
        ("retain", message.retain or None),
    ]
    for name, value in named:
        if value is not None:
            members[name] = value


def _put_properties(
    members: dict[str, object],
    ext: dict[str, object],
    types: list[tuple[str, str]],
    fields: Fields,
    written: frozenset[str],
) -> None:
    """An object of the first value under each name; when a name repeats, also all of them in their order.

    Those in `written` are said elsewhere.
    """
    properties = [pair for pair in fields.properties if pair[0] not in written]
    if not properties:
        return
    first: dict[str, object] = {}
    pairs: list[object] = []
    for name, value in properties:
        shown = _shown(value, name, types)
        pairs.append([name, shown])
        first.setdefault(name, shown)
    members["properties"] = first
    if len(pairs) > len(first):
        ext["uprops"] = pairs
        _name_each(types, properties)


def _name_each(types: list[tuple[str, str]], properties: list[tuple[str, object]]) -> None:
    """Where a name repeats, each occurrence takes the next hint of its name: so none may be missing."""
    hinted = frozenset([name for name, token in types])
    types.clear()
    for name, value in properties:
        before = len(types)
        _shown(value, name, types)
        if len(types) == before and name in hinted:
            types.append((name, "json"))


def _shown(value: object, name: str, types: list[tuple[str, str]]) -> object:
    """A property's value for JSON; its hint goes under `name`."""
    hints: list[tuple[str, str]] = []
    shown = plain(value, "", hints)
    own = ""
    inner: list[tuple[str, str]] = []
    for pointer, token in hints:
        if pointer:
            inner.append((pointer, token))
        else:
            own = token
    if inner and not own:
        assert isinstance(value, Typed)
        own = value.token
    if own:
        types.append((name, encode_within(own, inner)))
    return shown


def _put_annotations(
    members: dict[str, object], ext: dict[str, object], types: list[tuple[str, str]], fields: Fields
) -> None:
    if fields.annotations:
        shown: dict[str, object] = {}
        for key, value in fields.annotations:
            name = annotation_item(key)
            shown.setdefault(name, _shown(value, PREFIX + "ma-" + name, types))
        members["annotations"] = shown
    if fields.footer:
        pairs: list[object] = []
        for key, value in fields.footer:
            pairs.append((Typed("u64", key) if isinstance(key, int) else key, value))
        text, hints = dump(Typed("map", pairs))
        members["footer"] = {"entries": text, "types": hints}


def _encoded(members: dict[str, object]) -> bytes:
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")


# -- in


class InvalidEnvelope(Exception):
    """It is no envelope; `str(error)` says what is wrong with it, fit for the client."""


@final
class Envelope:
    """What `from_envelope` found."""

    __slots__ = (
        "body",
        "delay_ms",
        "deliver_at_ms",
        "destinations",
        "durable",
        "expires_at_ms",
        "fields",
        "priority",
        "retain",
        "ttl_ms",
    )

    def __init__(self) -> None:
        self.destinations: list[Destination] = []
        """Several, each once, when `to` is an array."""
        self.fields = Fields()
        self.body = b""
        self.durable = True
        self.priority = PRIORITY_NONE
        self.expires_at_ms = 0
        """Absolute, 0 for never; `ttl_ms` counts from when the broker has it."""
        self.ttl_ms = 0
        self.deliver_at_ms = 0
        """Absolute, 0 for now; `delay_ms` counts from when the broker has it."""
        self.delay_ms = 0
        self.retain = False

    def timing(self, now_ms: int) -> Timing | None:
        """When it is to be delivered; None: now."""
        delay_ms = max(self.delay_ms, self.deliver_at_ms - now_ms)
        return Timing(delay_ms) if delay_ms > 0 else None


@final
@mypyc_attr(acyclic=True)
class EnvelopeOrigin(Origin):
    """A message that came as an envelope."""

    __slots__ = ("_body", "_fields", "_protocol")

    def __init__(self, envelope: Envelope, protocol: str) -> None:
        self._body = envelope.body
        self._fields = envelope.fields
        self._protocol = protocol
        """HT or JS."""

    def body(self) -> bytes:
        """See Origin."""
        return self._body

    def decode(self) -> Fields:
        """See Origin."""
        return self._fields

    def wire_id(self) -> int:
        """See Origin."""
        return WIRE_ID

    def stored(self) -> bytes:
        """See Origin."""
        parts = self._stored_head()
        parts.append(self._body)
        return b"".join(parts)

    def stored_parts(self) -> list[bytes | memoryview]:
        """See Origin."""
        return [b"".join(self._stored_head()), self._body]

    def _stored_head(self) -> list[bytes]:
        head = fields_out(self._fields)
        return [self._protocol.encode(), len(head).to_bytes(4, "little"), head]

    def protocol(self) -> str:
        """See Origin."""
        return self._protocol

    def filled(self) -> tuple[str, ...]:
        """See Origin."""
        return filled_fields(self._fields)


@final
class EnvelopeRestorer(Restorer):
    """See Restorer."""

    __slots__ = ()

    def origin(self, data: bytes, start: int) -> Origin:
        """See Restorer.  Two letters say the protocol."""
        head_at = start + 6
        body_at = head_at + int.from_bytes(data[start + 2 : head_at], "little")
        envelope = Envelope()
        envelope.fields = fields_in(data[head_at:body_at])
        envelope.body = data[body_at:]
        return EnvelopeOrigin(envelope, data[start : start + 2].decode())


def filled_fields(fields: Fields) -> tuple[str, ...]:
    """Names of the fields that say something, for protocols that have no place for them."""
    found: list[str] = []
    for name, value in (
        ("message_id", fields.message_id),
        ("correlation_id", fields.correlation_id),
        ("reply_to", fields.reply_to),
        ("subject", fields.subject),
        ("content_type", fields.content_type),
        ("content_encoding", fields.content_encoding),
        ("created_at", fields.created_at_ms),
        ("expiry", fields.ttl_ms),
        ("group_id", fields.group_id),
        ("group_seq", fields.group_sequence),
        ("reply_group", fields.reply_group),
        ("user_id", fields.user_id),
        ("app_id", fields.app_id),
        ("payload_format", fields.payload_format),
    ):
        if value is not None:
            found.append(name)
    if fields.properties:
        found.append("properties")
    if fields.annotations:
        found.append("annotations")
    if fields.footer:
        found.append("footer")
    return tuple(found)


# What only the broker says, or what belongs to a delivery: taken and not looked at, so that an envelope may be sent back.
_IGNORED: Final = frozenset(
    {
        "id",
        "original_to",
        "received_at",
        "auth",
        "client",
        "delivery_count",
        "redelivered",
        "group_first",
    }
)
_KNOWN: Final = frozenset(
    {
        "to",
        "message_id",
        "correlation_id",
        "reply_to",
        "subject",
        "content_type",
        "content_encoding",
        "created_at",
        "expires_at",
        "ttl",
        "deliver_at",
        "delay",
        "priority",
        "durable",
        "group_id",
        "group_seq",
        "reply_group",
        "user_id",
        "app_id",
        "retain",
        "properties",
        "annotations",
        "footer",
        "body",
        "body_b64",
        "deaths",
        "ext",
    }
)
PROPERTIES_MAX: Final = 4_000
"""Properties of one message, and its annotations: each becomes one of a protocol that has them one by one."""

_TIME_MOST: Final = (1 << 63) - 1
_SPAN_MOST: Final = 1 << 62
"""Milliseconds from now on: the moment must still be a time that a record holds."""


def from_envelope(data: bytes, around: frozenset[str] = frozenset()) -> Envelope:
    """Undo `json_envelope`.  `around` are names that the caller has dealt with.  Raises InvalidEnvelope."""
    try:
        found = parse(data.decode())
    except ValueError as error:
        raise InvalidEnvelope(f"no JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidEnvelope("an envelope is a JSON object")
    return envelope_from(found, around)


def envelope_from(members: dict[str, object], around: frozenset[str] = frozenset()) -> Envelope:
    """The same for what has been parsed already (`typed_json.parse`)."""
    for name in members:
        if name not in _KNOWN and name not in _IGNORED and name not in around:
            raise InvalidEnvelope(f"unknown name {name[:80]!r}")
    envelope = Envelope()
    fields = envelope.fields
    envelope.destinations = _destinations(members.get("to"))
    ids = _text(members, "message_id")
    fields.message_id = None if ids is None else id_from_text(ids)
    ids = _text(members, "correlation_id")
    fields.correlation_id = None if ids is None else id_from_text(ids)
    fields.reply_to = _reply_to(_text(members, "reply_to"))
    fields.subject = _text(members, "subject")
    fields.content_type = _text(members, "content_type")
    fields.content_encoding = _text(members, "content_encoding")
    fields.created_at_ms = _number(members, "created_at", -_TIME_MOST, _TIME_MOST)
    fields.ttl_ms = _number(members, "ttl", 0, _SPAN_MOST)
    fields.group_id = _text(members, "group_id")
    fields.group_sequence = _number(members, "group_seq", -(1 << 31), (1 << 32) - 1)
    fields.reply_group = _text(members, "reply_group")
    fields.user_id = _text(members, "user_id")
    fields.app_id = _text(members, "app_id")
    envelope.ttl_ms = fields.ttl_ms or 0
    envelope.expires_at_ms = _number(members, "expires_at", 0, _TIME_MOST) or 0
    envelope.deliver_at_ms = _number(members, "deliver_at", 0, _TIME_MOST) or 0
    envelope.delay_ms = _number(members, "delay", 0, _SPAN_MOST) or 0
    if envelope.deliver_at_ms and envelope.delay_ms:
        raise InvalidEnvelope("deliver_at or delay, not both")
    priority = _number(members, "priority", 0, 255)
    envelope.priority = PRIORITY_NONE if priority is None else priority
    envelope.durable = _flag(members, "durable", True)
    envelope.retain = _flag(members, "retain", False)
    ext = _object(members, "ext")
    fields.payload_format = _number(ext, "pfi", 0, 1)
    if fields.reply_to is None:
        fields.reply_to = _text(ext, "reply-to")
    hints = Hints(_text(ext, "types"))
    _take_properties(fields, members, ext, hints)
    take_deaths(fields, members.get("deaths"))
    _take_annotations(fields, members, hints)
    found = members.get("body_b64")
    packed = found if isinstance(found, Base64) else _text(members, "body_b64")
    item = _text(ext, "body")
    try:
        envelope.body = take_body(fields, packed, members.get("body"), item, ext)
    except ValueError as error:
        raise InvalidEnvelope(str(error)) from None
    return envelope


def _destinations(to: object) -> list[Destination]:
    found: list[Destination] = []
    texts = to if isinstance(to, list) else [to]
    for text in texts:
        if not isinstance(text, str):
            raise InvalidEnvelope("`to` is a destination, or an array of them")
        destination = destination_of(text)
        if destination not in found:
            found.append(destination)
    if not found:
        raise InvalidEnvelope("`to` names no destination")
    return found


def destination_of(text: str, replies: bool = False) -> Destination:
    """A destination as envelopes write it: `queue:NAME` or `topic:NAME`.  Raises InvalidEnvelope.

    `replies`: it is only told to others, so that nobody may send to it is for them to find out."""
    kind, colon, name = text.partition(":")
    if not colon or kind not in ("queue", "topic"):
        raise InvalidEnvelope(f"unknown destination {text[:80]!r}: write queue:NAME or topic:NAME")
    try:
        check_name(name)
        check_reserved(name)
    except InvalidName as error:
        raise InvalidEnvelope(str(error)) from None
    if not replies and kind == "topic" and (name == "$SYS" or name.startswith("$SYS.")):
        raise InvalidEnvelope("nobody may publish to $SYS")
    return Destination(QUEUE if kind == "queue" else TOPIC, name)


def _reply_to(text: str | None) -> Destination | str | None:
    if text is None:
        return None
    try:
        return destination_of(text, True)
    except InvalidEnvelope:
        return text


def _text(members: dict[str, object], name: str) -> str | None:
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidEnvelope(f"{name} is text")
    _check_text(value, name)
    return value


def _check_text(text: str, name: str) -> None:
    """Names and headers of other protocols cannot hold U+0000 (MQTT 5.0 §1.5.4); values of properties may."""
    if "\0" in text:
        raise InvalidEnvelope(f"{name[:80]!r} may not contain U+0000")


def _number(members: dict[str, object], name: str, least: int, most: int) -> int | None:
    value = members.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        # JSON has one kind of number: 1.0 is as whole as 1.
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise InvalidEnvelope(f"{name} is a whole number from {least} to {most}")


def _flag(members: dict[str, object], name: str, default: bool) -> bool:
    value = members.get(name)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    raise InvalidEnvelope(f"{name} is true or false")


def _check_count(found: Sized, name: str) -> None:
    if len(found) > PROPERTIES_MAX:
        raise InvalidEnvelope(f"{name} has {PROPERTIES_MAX} members at most")


def _object(members: dict[str, object], name: str) -> dict[str, object]:
    value = members.get(name)
    if value is None:
        return {}
    if isinstance(value, dict):
        _check_count(value, name)
        return value
    raise InvalidEnvelope(f"{name} is an object")


def _take_properties(
    fields: Fields, members: dict[str, object], ext: dict[str, object], hints: Hints
) -> None:
    """The properties; `uprops`, where there is one, has the same and the repeats."""
    pairs = ext.get("uprops")
    if pairs is None:
        for name, value in _object(members, "properties").items():
            _check_text(name, name)
            fields.properties.append((name, _typed(value, hints.take(name))))
        return
    if not isinstance(pairs, list):
        raise InvalidEnvelope("uprops is an array of pairs")
    _check_count(pairs, "uprops")
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise InvalidEnvelope("uprops is an array of pairs")
        name = pair[0]
        _check_text(name, name)
        fields.properties.append((name, _typed(pair[1], hints.take(name))))


def _take_annotations(fields: Fields, members: dict[str, object], hints: Hints) -> None:
    for name, value in _object(members, "annotations").items():
        _check_text(name, name)
        token = hints.take(PREFIX + "ma-" + name)
        fields.annotations.append((annotation_key(name), _typed(value, token)))
    footer = _object(members, "footer")
    if not footer:
        return
    entries = _text(footer, "entries") or ""
    try:
        value = load(entries, _text(footer, "types") or "")
    except ValueError as error:
        raise InvalidEnvelope(f"footer: {error}") from None
    if not isinstance(value, Typed) or not isinstance(value.value, list):
        raise InvalidEnvelope("the footer's entries are pairs")
    for pair in value.value:
        if not isinstance(pair, tuple):
            raise InvalidEnvelope("the footer's entries are pairs")
        key = pair[0].value if isinstance(pair[0], Typed) else pair[0]
        if isinstance(key, (str, int)):
            fields.footer.append((key, pair[1]))


def _typed(value: object, token: str) -> object:
    try:
        return typed(value, token)
    except ValueError as error:
        raise InvalidEnvelope(f"a property: {error}") from None
