"""The headers of MESSAGE for messages that came by other protocols."""

from typing import Final, final

from gateway.connectors.bodies import body_item, body_out, known_text, made_up_type, stomp_kind
from gateway.connectors.deaths import death_pairs, own_names
from gateway.connectors.ids import id_to_text
from gateway.connectors.scheduling import NAMES as SCHEDULING
from gateway.connectors.side import CARRY_FULL, CARRY_NONE, Places, field_of
from gateway.connectors.stomp.addresses import is_opaque, text_of
from gateway.connectors.stomp.escaping import place_of
from gateway.connectors.stomp.fitting import Room, fitted_lines
from gateway.connectors.text import is_plain_text
from gateway.core.counters import CoreCounters
from gateway.core.destination import Destination
from gateway.core.message import PRIORITY_NONE, TEXT, Fields, Message
from protocols.stomp.constants import HOP_HEADERS, V1_0, V1_1

HOP: Final = frozenset([name.decode() for name in HOP_HEADERS])

# Headers of SEND that fill a canonical field, and the field; all others are properties.
FIELD_HEADERS: Final = {
    "amqp-message-id": "message_id",
    "correlation-id": "correlation_id",
    "reply-to": "reply_to",
    "type": "subject",
    "content-type": "content_type",
    "content-encoding": "content_encoding",
    "timestamp": "created_at",
    "expires": "expiry",
    "expiration": "expiry",
    "priority": "priority",
    "persistent": "durable",
    "JMSXGroupID": "group_id",
    "JMSXGroupSeq": "group_seq",
    "user-id": "user_id",
    "JMSXUserID": "user_id",
    "app-id": "app_id",
    "retain": "retain",
}

SECONDS_BELOW: Final = 100_000_000_000
"""A timestamp below this is read as seconds: in milliseconds it would lie in 1973."""

ORIGINAL: Final = "original-destination"

# What a property may not be called in STOMP: a server's words, those that would fill a field, and nothing at all.
_WORDS: Final = HOP | frozenset(FIELD_HEADERS) | SCHEDULING | {"retained", ""}
_WORDS_AND_ORIGINAL: Final = _WORDS | {ORIGINAL}

_VARIANT: Final = 0x60


@final
class StompTarget:
    """What a subscriber's connection is, as far as the form of its messages goes."""

    __slots__ = (
        "by_length",
        "carry",
        "counters",
        "identity",
        "key",
        "owner",
        "room",
        "says_more",
        "shared",
        "trims",
        "variant",
        "version",
    )

    def __init__(
        self,
        version: str,
        owner: str,
        counters: CoreCounters,
        carry: int = 0,
        identity: bool = False,
        by_length: bool = False,
        room: Room | None = None,
    ) -> None:
        self.version = version
        self.room = room or Room(1_000, 65_536, 32_768)
        """What its headers may be."""
        self.owner = owner
        """The connection, in whose words its temporary queues are to be named."""
        self.counters = counters
        self.carry = carry
        self.identity = identity
        """Say who published, as far as the broker knows."""
        self.by_length = by_length
        """`stomp.untyped` is activemq: a body with a content-length and no content type is bytes."""
        self.trims = version == V1_0
        """Spaces around values are lost."""
        # Listeners that let different things travel have forms of their own.
        number = 0 if version == V1_0 else 1 if version == V1_1 else 2
        self.variant = _VARIANT | number | carry << 8 | (0x400 if identity else 0)
        self.key = f"{self.variant}"
        self.shared = self.variant | (0x800 if by_length else 0)
        """The variant of what is shared by messages of several brokers."""
        self.says_more = carry == CARRY_FULL or identity
        """Even of a bare message there is something to say."""


def foreign_headers(message: Message, target: StompTarget) -> tuple[list[tuple[str, str]], bytes]:
    """The headers that come after those a server writes itself, and the body."""
    fields = message.fields()
    body, types = body_out(message, fields)
    content_type = fields.content_type
    # Text that looks like text needs no type: that is how one without is read.
    known = known_text(fields)
    typed = target.by_length or not is_plain_text(body, known)
    made_up = made_up_type(fields.body_kind, typed) if content_type is None else None
    if made_up is not None:
        content_type = made_up
    headers: list[tuple[str, str]] = []
    _add(headers, "content-type", content_type)
    _add(headers, "content-encoding", fields.content_encoding)
    _add_native(headers, message, fields, target)
    places = Places(target.carry)
    hint = _type_hint(fields)
    inferred = stomp_kind(content_type, fields.content_encoding, hint, target.by_length, body, known)
    item = body_item(fields, inferred, made_up is not None, target.carry == CARRY_FULL)
    if item:
        places.item("body", item, "body")
        if types:
            places.item("btypes", types, "body")
        if fields.content_type is not None and fields.content_type == made_up_type(fields.body_kind, True):
            places.item("ct", fields.content_type, "content_type")
    if isinstance(fields.reply_to, str) and not is_opaque(fields.reply_to, target.owner):
        # Nothing that one could send to, though it looks like it.
        places.item("reply-to", fields.reply_to, "reply_to")
    places.maybe("rgid", fields.reply_group, "reply_group")
    created = fields.created_at_ms
    if created is not None and created < SECONDS_BELOW:
        places.number("ts", created, "created_at")
    given = fields.payload_format
    if given is not None and (target.carry == CARRY_FULL or given == 0 or fields.body_kind != TEXT):
        places.item("pfi", str(given), "payload_format")
    if target.carry == CARRY_FULL:
        places.number("received", message.received_at_ms, "received_at")
    for name, value in death_pairs(message, fields):
        places.add(name, value, "deaths")
    words = _WORDS if message.original is None else _WORDS_AND_ORIGINAL
    places.properties(fields, words, own_names(message))
    places.annotations(fields)
    if target.identity and message.publisher is not None:
        places.maybe("auth", message.publisher.user, "auth")
        places.item("client", message.publisher.id, "client")
    places.finish()
    headers.extend(places.pairs)
    if places.dropped:
        target.counters.omit(message.origin.protocol(), "ST", tuple(places.dropped))
    return headers, body


def fitted(
    message: Message, headers: list[tuple[str, str]], target: StompTarget, exact: bool
) -> tuple[list[bytes], bool]:
    """Header lines for a subscriber, and whether all are there; what is not is counted."""
    destination = len(text_of(message.destination, target.owner, target.trims).encode())
    lines, omitted = fitted_lines(
        headers, target.version, exact, target.room, destination, target.carry != CARRY_NONE
    )
    if not omitted:
        return lines, True
    lost: list[str] = []
    for name in omitted:
        lost.append(FIELD_HEADERS.get(name) or field_of(name.encode()) or "properties")
    target.counters.omit(message.origin.protocol(), "ST", tuple(lost))
    return lines, False


def _type_hint(fields: Fields) -> str | None:
    """A property that would steer the kind of an echo's body."""
    for name, value in fields.properties:
        if name == "amq-msg-type":
            return value if isinstance(value, str) else None
    return None


def _add_native(
    headers: list[tuple[str, str]], message: Message, fields: Fields, target: StompTarget
) -> None:
    """What STOMP has headers for."""
    where = place_of(target.version)
    if fields.correlation_id is not None:
        headers.append(("correlation-id", id_to_text(fields.correlation_id, where)))
    if fields.message_id is not None:
        headers.append(("amqp-message-id", id_to_text(fields.message_id, where)))
    reply_to = fields.reply_to
    if isinstance(reply_to, Destination):
        headers.append(("reply-to", text_of(reply_to, target.owner, target.trims)))
    elif reply_to is not None and is_opaque(reply_to, target.owner):
        headers.append(("reply-to", reply_to))
    _add(headers, "type", fields.subject)
    created = fields.created_at_ms
    if created is not None and created >= 0:
        headers.append(("timestamp", str(created)))
    if message.expires_at_ms:
        headers.append(("expires", str(message.expires_at_ms)))
    if message.priority != PRIORITY_NONE:
        headers.append(("priority", str(message.priority)))
    if message.persistent:
        headers.append(("persistent", "true"))
    if message.retain:
        headers.append(("retain", "true"))
    _add(headers, "JMSXGroupID", fields.group_id)
    _add_number(headers, "JMSXGroupSeq", fields.group_sequence)
    user = fields.user_id
    _add(headers, "user-id", user.decode("utf-8", "replace") if isinstance(user, bytes) else user)
    _add(headers, "app-id", fields.app_id)


def _add(headers: list[tuple[str, str]], name: str, value: str | None) -> None:
    if value is not None:
        headers.append((name, value))


def _add_number(headers: list[tuple[str, str]], name: str, value: int | None) -> None:
    if value is not None:
        headers.append((name, str(value)))
