"""SEND to Message and Message to MESSAGE.

A message that came by STOMP leaves by STOMP with its header lines as they were.  Other messages go through the
canonical fields, once per version, since escaping differs.
"""

from typing import Final, final

from mypy_extensions import mypyc_attr

from gateway.connectors.stomp.addresses import destination_of, text_of
from gateway.connectors.stomp.stored import WIRE_ID, stored_send
from gateway.connectors.text import (
    decode_types,
    encode_types,
    id_from_text,
    id_to_text,
    is_textual,
    is_utf8,
    value_from_text,
    value_to_text,
)
from gateway.core.destination import Destination, InvalidName
from gateway.core.flow import Publisher
from gateway.core.message import BYTES, NONE, PRIORITY_NONE, TEXT, Fields, Message, Origin
from gateway.core.router import Broker
from protocols.stomp.codec import message_constant, message_tail
from protocols.stomp.constants import HOP_HEADERS, V1_0, V1_1
from protocols.stomp.frames import Send
from protocols.stomp.headers import decode_headers, encode_header, passing_lines

SIDE: Final = "x-mx-"
"""Prefix of the headers that carry what STOMP has no header for."""

TEXT_TYPE: Final = "text/plain;charset=utf-8"

# Headers of SEND that fill a canonical field; all others are properties.
_FIELD_HEADERS: Final = frozenset(
    {
        "amqp-message-id",
        "correlation-id",
        "reply-to",
        "type",
        "content-type",
        "content-encoding",
        "timestamp",
        "expires",
        "expiration",
        "priority",
        "persistent",
        "JMSXGroupID",
        "JMSXGroupSeq",
        "user-id",
        "JMSXUserID",
        "app-id",
        "retain",
    }
)
_HOP: Final = frozenset([name.decode() for name in HOP_HEADERS])

_VARIANT_1_0: Final = 0x60
_VARIANT_1_1: Final = 0x61
_VARIANT_1_2: Final = 0x62

_SECONDS_BELOW: Final = 100_000_000_000
"""A timestamp below this is in seconds: in milliseconds it would lie in 1973."""


@final
@mypyc_attr(acyclic=True)
class Head:
    """What the header lines of a SEND become in MESSAGE.  A publisher's frames mostly have the same lines."""

    __slots__ = ("_known", "lines", "owner", "size", "version")

    def __init__(self, lines: list[bytes], version: str, owner: str) -> None:
        self.lines = lines
        """As they came; the reader hands out the same list as long as they do not change."""
        self.version = version
        self.owner = owner
        """The connection, in whose words /temp-queue/ is to be understood."""
        self.size = sum([len(line) for line in lines])
        self._known: list[tuple[Destination, str, bytes]] = []

    def constant(self, destination: Destination, version: str) -> bytes:
        """The header lines for subscribers of `version`: made once for each destination."""
        for known_destination, known_version, known in self._known:
            # Topics and queues have one object for their name.
            if known_destination is destination and known_version == version:
                return known
        constant = message_constant(text_of(destination, ""), self.passing(version), version)
        if len(self._known) >= CONSTANTS_MAX:
            self._known.clear()
        self._known.append((destination, version, constant))
        return constant

    def passing(self, version: str) -> list[bytes]:
        """The lines that go on, with the escapes of `version`."""
        lines = passing_lines(self.lines)
        for at, line in enumerate(lines):
            if line.startswith(b"reply-to:") and line[9:].lstrip(b" ").startswith(_TEMPORARY):
                lines[at] = encode_header(
                    "reply-to", _for_others(line[9:].decode(), self.owner), self.version
                )
        if self.version != version:
            lines = [
                encode_header(name, value, version) for name, value in decode_headers(lines, self.version)
            ]
        return lines


CONSTANTS_MAX: Final = 8
"""Encoded heads that one Head remembers: three versions, and the destinations of a composite."""


@final
@mypyc_attr(acyclic=True)
class StompOrigin(Origin):
    """A SEND as it came."""

    __slots__ = ("head", "send")

    def __init__(self, send: Send, head: "Head") -> None:
        self.send = send
        self.head = head

    def body(self) -> bytes:
        """See Origin."""
        return self.send.body

    def wire_id(self) -> int:
        """See Origin."""
        return WIRE_ID

    def stored(self) -> bytes:
        """See Origin."""
        return stored_send(self.send, self.head.owner)

    def decode(self) -> Fields:
        """See Origin."""
        fields = Fields()
        send = self.send
        types: dict[str, str] = {}
        headers = decode_headers(send.lines, send.version)
        for name, value in headers:
            if name == SIDE + "types":
                types = decode_types(value)
        for name, value in headers:
            if name in _HOP:
                continue
            if name in _FIELD_HEADERS:
                self._set(fields, name, value)
            elif name.startswith(SIDE + "p-"):
                fields.properties.append((name[len(SIDE) + 2 :], value))
            elif name != SIDE + "types":
                token = types.get(name)
                fields.properties.append((name, value if token is None else value_from_text(value, token)))
        fields.body_kind = self._body_kind(fields.content_type, fields.content_encoding)
        return fields

    def _set(self, fields: Fields, name: str, value: str) -> None:
        """A header that has a field of its own; the first of repeated ones counts."""
        if name == "correlation-id" and fields.correlation_id is None:
            fields.correlation_id = id_from_text(value)
        elif name == "amqp-message-id" and fields.message_id is None:
            fields.message_id = id_from_text(value)
        elif name == "reply-to" and fields.reply_to is None:
            fields.reply_to = self._reply_to(value)
        elif name == "type" and fields.subject is None:
            fields.subject = value
        elif name == "content-type" and fields.content_type is None:
            fields.content_type = value
        elif name == "content-encoding" and fields.content_encoding is None:
            fields.content_encoding = value
        elif name == "timestamp" and fields.created_at_ms is None:
            number = _number(value)
            if number is not None:
                fields.created_at_ms = number * 1000 if number < _SECONDS_BELOW else number
        elif name == "expiration" and fields.ttl_ms is None:
            fields.ttl_ms = _number(value)
        elif name == "JMSXGroupID" and fields.group_id is None:
            fields.group_id = value
        elif name == "JMSXGroupSeq" and fields.group_sequence is None:
            fields.group_sequence = _number(value)
        elif name in ("user-id", "JMSXUserID") and fields.user_id is None:
            fields.user_id = value
        elif name == "app-id" and fields.app_id is None:
            fields.app_id = value

    def _reply_to(self, text: str) -> Destination | str:
        try:
            return destination_of(text, self.head.owner)
        except InvalidName:
            return text

    def _body_kind(self, content_type: str | None, content_encoding: str | None) -> int:
        """Text or bytes: the content type says, and without one the bytes themselves."""
        body = self.send.body
        if content_type is not None:
            return TEXT if is_textual(content_type, content_encoding, body) else BYTES
        return TEXT if 0 not in body and is_utf8(body) else BYTES


def message_from(
    send: Send, destination: Destination, origin: StompOrigin, broker: Broker, publisher: Publisher
) -> Message:
    """The canonical message of a SEND to one destination."""
    expires_at_ms = send.expires_ms
    if expires_at_ms == 0 and send.expiration_ms:
        expires_at_ms = broker.now_ms + send.expiration_ms
    size = len(send.body) + origin.head.size
    return Message(
        broker.next_message_id(),
        destination,
        origin,
        size,
        broker.now_ms,
        send.persistent,
        2,
        send.retain,
        min(send.priority, 255),
        expires_at_ms,
        publisher,
    )


def tail_of(message: Message, version: str, owner: str, node: str) -> bytes:
    """What follows the leading lines of MESSAGE; remembered, since it is the same for all subscribers of a version."""
    if version == V1_0:
        variant = _VARIANT_1_0
    elif version == V1_1:
        variant = _VARIANT_1_1
    else:
        variant = _VARIANT_1_2
    if message.destination.temporary:
        # Its owner sees it under another name than the others.
        return _foreign_tail(message, version, owner, node)
    origin = message.origin
    known = message.form(variant)
    if isinstance(known, bytes):
        return known
    if isinstance(origin, StompOrigin) and message.original is None:
        send = origin.send
        constant = origin.head.constant(message.destination, version)
        tail = message_tail(message_id(message, node), constant, send.body)
    elif origin.bare() and message.original is None and not message.expires_at_ms and message.priority < 0:
        tail = message_tail(message_id(message, node), _bare_constant(message, version), origin.body())
    else:
        tail = _foreign_tail(message, version, owner, node)
    message.remember(variant, tail)
    return tail


BARE_REMEMBERED_MAX: Final = 16_384

# What `_bare_constant` has found, by destination: for messages that are persistent, and for those that are not.
_bare_constants: Final[list[dict[str, bytes]]] = [{}, {}]


def _bare_constant(message: Message, version: str) -> bytes:
    """The header lines of a message of which there is nothing to say but where it was sent."""
    known = _bare_constants[1 if message.persistent else 0]
    destination = message.destination
    # Names hold no U+0000, so the version cannot be mistaken for a part of one.
    key = f"{destination.name}\0{version}\0{destination.kind}"
    constant = known.get(key)
    if constant is None:
        lines = [b"persistent:true"] if message.persistent else []
        constant = message_constant(text_of(destination, ""), lines, version)
        if len(known) >= BARE_REMEMBERED_MAX:
            known.clear()
        known[key] = constant
    return constant


def message_id(message: Message, node: str) -> str:
    """Unique for this gateway, the same however often the message is delivered, and in no need of escapes."""
    return f"ID-{node}-{message.id}"


def _foreign_tail(message: Message, version: str, owner: str, node: str) -> bytes:
    """The same for what cannot take the short way: other protocols, temporary queues, dead letters."""
    origin = message.origin
    if isinstance(origin, StompOrigin):
        lines = origin.head.passing(version)
    else:
        lines = [encode_header(name, value, version) for name, value in _headers_for(message, owner)]
    for name, value in _death_headers(message, owner):
        lines.append(encode_header(name, value, version))
    constant = message_constant(text_of(message.destination, owner), lines, version)
    return message_tail(message_id(message, node), constant, origin.body())


_TEMPORARY: Final = (b"/temp-queue/", b"/reply-queue/")


def _for_others(reply_to: str, owner: str) -> str:
    """A temporary queue of `owner` as everybody can send to it."""
    try:
        return text_of(destination_of(reply_to.strip(), owner), "")
    except InvalidName:
        return reply_to


def _headers_for(message: Message, owner: str) -> list[tuple[str, str]]:
    """The headers of a message of another protocol."""
    fields = message.fields()
    headers: list[tuple[str, str]] = []
    content_type = fields.content_type
    kind = ""
    if fields.body_kind == TEXT and content_type is None:
        content_type = TEXT_TYPE
        kind = "text"
    elif fields.body_kind == NONE:
        kind = "none"
    _add(headers, "content-type", content_type)
    _add(headers, "content-encoding", fields.content_encoding)
    if fields.correlation_id is not None:
        headers.append(("correlation-id", id_to_text(fields.correlation_id)))
    if fields.message_id is not None:
        headers.append(("amqp-message-id", id_to_text(fields.message_id)))
    reply_to = fields.reply_to
    if isinstance(reply_to, Destination):
        headers.append(("reply-to", text_of(reply_to, owner)))
    else:
        _add(headers, "reply-to", reply_to)
    _add(headers, "type", fields.subject)
    _add_number(headers, "timestamp", fields.created_at_ms)
    if message.expires_at_ms:
        headers.append(("expires", str(message.expires_at_ms)))
    if message.priority != PRIORITY_NONE:
        headers.append(("priority", str(message.priority)))
    if message.persistent:
        headers.append(("persistent", "true"))
    _add(headers, "JMSXGroupID", fields.group_id)
    _add_number(headers, "JMSXGroupSeq", fields.group_sequence)
    if isinstance(fields.user_id, str):
        headers.append(("user-id", fields.user_id))
    _add(headers, "app-id", fields.app_id)
    _add(headers, SIDE + "body", kind or None)
    if fields.payload_format is not None and (fields.payload_format == 0 or fields.body_kind != TEXT):
        headers.append((SIDE + "pfi", str(fields.payload_format)))
    _add_properties(headers, fields)
    return headers


def _add_properties(headers: list[tuple[str, str]], fields: Fields) -> None:
    """The publisher's own properties in their order; control words travel under another name."""
    types: list[tuple[str, str]] = []
    for name, value in fields.properties:
        text, token = value_to_text(value)
        if not name or name in _HOP or name in _FIELD_HEADERS or name.startswith(SIDE):
            headers.append((SIDE + "p-" + name, text))
        else:
            headers.append((name, text))
        if token:
            types.append((name, token))
    if types:
        headers.append((SIDE + "types", encode_types(types)))


def _death_headers(message: Message, owner: str) -> list[tuple[str, str]]:
    """Why a message is among the dead letters."""
    headers: list[tuple[str, str]] = []
    if message.original is not None:
        headers.append(("original-destination", text_of(message.original, owner)))
    deaths = message.deaths
    if deaths:
        first = deaths[-1]
        last = deaths[0]
        headers.append(("x-first-death-reason", first.reason))
        headers.append(("x-first-death-queue", first.queue.removeprefix("queue:")))
        headers.append(("x-last-death-reason", last.reason))
        headers.append(("x-last-death-queue", last.queue.removeprefix("queue:")))
    return headers


def _add(headers: list[tuple[str, str]], name: str, value: str | None) -> None:
    if value is not None:
        headers.append((name, value))


def _add_number(headers: list[tuple[str, str]], name: str, value: int | None) -> None:
    if value is not None:
        headers.append((name, str(value)))


def _number(text: str) -> int | None:
    """A decimal of at most 18 digits, else nothing."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
