"""SEND to Message and Message to MESSAGE.

A message that came by STOMP leaves by STOMP with its header lines as they were.  Other messages go through the
canonical fields, once per version, since escaping differs; what those become is in `headers_out`.
"""

from typing import Final, final

from mypy_extensions import mypyc_attr

from gateway.connectors import side
from gateway.connectors.bodies import TEXT_TYPE, restore_body, stomp_kind
from gateway.connectors.deaths import LIST_NAME, death_pairs, own_names
from gateway.connectors.ids import id_from_text
from gateway.connectors.parts import LONG_FRAME
from gateway.connectors.shared import SharedFields, form_key, may_share
from gateway.connectors.stomp.addresses import reply_address, text_of
from gateway.connectors.stomp.escaping import (
    decode_lines,
    encode_lines,
    escaped,
    needs_more,
    place_of,
    respelled,
)
from gateway.connectors.stomp.headers_out import (
    FIELD_HEADERS,
    HOP,
    ORIGINAL,
    SECONDS_BELOW,
    StompTarget,
    fitted,
    foreign_headers,
)
from gateway.connectors.stomp.stored import WIRE_ID, stored_head, stored_send
from gateway.connectors.text import integer, is_plain_text
from gateway.core.destination import Destination, InvalidName
from gateway.core.flow import Publisher
from gateway.core.message import OBJECT, TEXT, Fields, Message, Origin
from gateway.core.router import Broker
from protocols.stomp.codec import message_constant, message_front, message_tail, timestamp_line
from protocols.stomp.constants import HOP_HEADERS, V1_0
from protocols.stomp.frames import Send
from protocols.stomp.headers import encode_header, passing_lines, unescape

_I32_LEAST: Final = -(1 << 31)
_U32_MOST: Final = (1 << 32) - 1

# A head with a line that begins so is looked at again.
_MARKED: Final = (b"x-mx-", b"user-id", b"JMSXUserID")
_BROKER_OWNED: Final = frozenset([name.encode() for name in side.BROKER_OWNED_NAMES])
_TIMESTAMP: Final = b"timestamp:"
_FIELD_OF: Final = {name.encode(): field for name, field in FIELD_HEADERS.items()}


@final
@mypyc_attr(acyclic=True)
class Head:
    """What the header lines of a SEND become in MESSAGE.  A publisher's frames mostly have the same lines."""

    __slots__ = (
        "_fields",
        "_filled",
        "_known",
        "by_length",
        "claimed_user",
        "lines",
        "owner",
        "routing",
        "size",
        "timed",
        "version",
    )

    def __init__(self, lines: list[bytes], version: str, owner: str, by_length: bool = False) -> None:
        self.lines = lines
        """As they came; the reader hands out the same list as long as they do not change."""
        self.version = version
        self.owner = owner
        """The connection, in whose words /temp-queue/ is to be understood."""
        self.by_length = by_length
        """`stomp.untyped` is activemq: a content-length makes the body bytes where no content type says otherwise."""
        self.claimed_user: str | None = None
        """Whom the publisher says it is."""
        self.routing: side.Routing | None = None
        """What is said under reserved names, and the router must know."""
        self._fields: SharedFields | None = None
        self._filled: tuple[str, ...] | None = None
        self._known: list[tuple[Destination, str, bytes]] = []
        self.timed = False
        """There is a timestamp among them."""
        size = 0
        marked = False
        for line in lines:
            size += len(line)
            if line.startswith(_TIMESTAMP):
                self.timed = True
            if line.startswith(_MARKED) or (version == V1_0 and line.startswith(b" ")):
                marked = True
        self.size = size
        if marked:
            self._look_closer()

    def _look_closer(self) -> None:
        """Headers that matter before anybody decodes the message."""
        headers = decode_lines(self.lines, self.version)
        names = frozenset([name for name, value in headers])
        found = side.routing(headers)
        # Its own words say more than an item.
        if "persistent" in names:
            found.durable = None
        if "retain" in names:
            found.retain = None
        if "priority" in names:
            found.priority = -1
        if "expires" in names or "expiration" in names:
            found.expires_at_ms = -1
        self.claimed_user = found.claimed_user
        for name, value in headers:
            if name in ("user-id", "JMSXUserID"):
                self.claimed_user = value
                break
        self.routing = found

    def constant(self, message: Message, target: StompTarget) -> bytes:
        """The header lines for subscribers of a version: made once for each destination."""
        destination = message.destination
        version = target.version
        for known_destination, known_version, known in self._known:
            # Topics and queues have one object for their name.
            if known_destination is destination and known_version == version:
                return known
        constant = head_of(destination, "", self.passing(message, target), version)
        if len(self._known) >= CONSTANTS_MAX:
            self._known.clear()
        self._known.append((destination, version, constant))
        return constant

    def passing(self, message: Message, target: StompTarget) -> list[bytes]:
        """The lines that go on, with the escapes of the target's version, which may need more room."""
        version = target.version
        lines = passing_lines(self.lines)
        if self.routing is not None:
            lines = [line for line in lines if line.partition(b":")[0].strip(b" ") not in _BROKER_OWNED]
        for at, line in enumerate(lines):
            if line.startswith(b"reply-to:") and line[9:].lstrip(b" ").startswith(_TEMPORARY):
                reply_to = unescape(line[9:], self.version)
                lines[at] = encode_header("reply-to", _for_others(reply_to, self.owner), self.version)
        if self.version != version:
            headers = respelled(decode_lines(lines, self.version), self.version, version)
            lines = fitted(message, headers, target, False)[0]
        return lines

    def fields_for(self, send: Send) -> Fields | None:
        """The fields of a SEND with these lines, if one whose body is of the same kind was decoded before."""
        shared = self._fields
        if shared is None:
            return None
        by_length = self.by_length and send.content_length
        kind = stomp_kind(
            shared.content_type, shared.content_encoding, shared.hint, by_length, send.body, send.is_utf8
        )
        return shared.get(kind)

    def keep(self, fields: Fields, content_type: str | None, hint: str | None) -> None:
        """Let others with these lines have `fields`."""
        if self._fields is None:
            self._fields = SharedFields(content_type, fields, hint)
        self._fields.keep(fields)

    def filled(self) -> tuple[str, ...]:
        """Canonical fields that the lines fill, for protocols that have no place for them."""
        known = self._filled
        if known is None:
            found: list[str] = []
            for line in self.lines:
                name = line[: line.find(b":")].strip(b" ")
                if name in HOP_HEADERS:
                    continue
                field = _FIELD_OF.get(name)
                if field is None:
                    field = side.field_of(name)
                if field and field not in found and field != "durable" and field != "retain":
                    found.append(field)
            known = self._filled = tuple(found)
        return known


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
        return stored_send(self.send, self.head.owner, self.head.by_length)

    def stored_parts(self) -> list[bytes | memoryview]:
        """See Origin."""
        return [stored_head(self.send, self.head.owner, self.head.by_length), self.send.body]

    def protocol(self) -> str:
        """See Origin."""
        return "ST"

    def filled(self) -> tuple[str, ...]:
        """See Origin."""
        return self.head.filled()

    def decode(self) -> Fields:
        """See Origin."""
        send = self.send
        known = self.head.fields_for(send)
        if known is not None:
            return known
        fields = Fields()
        free: list[tuple[str, str]] = []
        said: set[str] = set()
        hint: str | None = None
        timestamp = ""
        for name, value in decode_lines(send.lines, send.version):
            if name in HOP:
                continue
            if hint is None and name == "amq-msg-type":
                hint = value
            field = FIELD_HEADERS.get(name)
            if field is None or name in said or not self._set(fields, name, value):
                # Also the second of repeated headers, and what does not parse: nothing gets lost.
                free.append((name, value))
            else:
                said.add(name)
                if name == "timestamp":
                    timestamp = value
        if ("x-mx-ts", timestamp) in free:
            # The same number: the item says that it is milliseconds.
            fields.created_at_ms = None
        taken = side.restore(fields, free)
        self._set_body(fields, taken, hint)
        return fields

    def _set_body(self, fields: Fields, taken: side.Taken, hint: str | None) -> None:
        """The kind of the body: an item says it, or the headers, or the bytes themselves."""
        body = self.send.body
        if taken.body is not None and restore_body(
            fields, taken.body, taken.btypes or "", body, taken.ct, True
        ):
            return
        if taken.body is not None:
            side.leave(fields, "body", taken.body)
        if taken.btypes is not None:
            side.leave(fields, "btypes", taken.btypes)
        by_length = self.head.by_length and self.send.content_length
        content_type = fields.content_type
        is_utf8 = self.send.is_utf8
        fields.body_kind = stomp_kind(content_type, fields.content_encoding, hint, by_length, body, is_utf8)
        if fields.body_kind == OBJECT and not taken.ct:
            fields.content_type = None
        if taken.body is None:
            self.head.keep(fields, content_type, hint)

    def _set(self, fields: Fields, name: str, value: str) -> bool:
        """A header that has a field of its own; False when it does not parse, or another one has filled it."""
        if name == "correlation-id":
            fields.correlation_id = id_from_text(value, place_of(self.send.version))
        elif name == "amqp-message-id":
            fields.message_id = id_from_text(value, place_of(self.send.version))
        elif name == "reply-to":
            fields.reply_to = self._reply_to(value)
        elif name == "type":
            fields.subject = value
        elif name == "content-type":
            fields.content_type = value
        elif name == "content-encoding":
            fields.content_encoding = value
        elif name == "timestamp":
            number = _number(value)
            if number is None:
                return False
            fields.created_at_ms = number * 1000 if number < SECONDS_BELOW else number
        elif name == "expiration":
            fields.ttl_ms = _number(value)
        elif name == "JMSXGroupID":
            fields.group_id = value
        elif name == "JMSXGroupSeq":
            fields.group_sequence = integer(value, _I32_LEAST, _U32_MOST)
            return fields.group_sequence is not None
        elif name in ("user-id", "JMSXUserID"):
            if fields.user_id is not None:
                return False
            fields.user_id = value
        elif name == "app-id":
            fields.app_id = value
        elif name in ("persistent", "retain"):
            # The router knows them from the frame.
            return value.lower() in ("true", "false")
        return True

    def _reply_to(self, text: str) -> Destination | str:
        try:
            return reply_address(text, self.head.owner)
        except InvalidName:
            return text


def message_from(
    send: Send, destination: Destination, origin: StompOrigin, broker: Broker, publisher: Publisher
) -> Message:
    """The canonical message of a SEND to one destination."""
    expires_at_ms = send.expires_ms
    if expires_at_ms == 0 and send.expiration_ms:
        expires_at_ms = broker.now_ms + send.expiration_ms
    head = origin.head
    message = Message(
        broker.next_message_id(),
        destination,
        origin,
        len(send.body) + head.size,
        broker.now_ms,
        send.persistent,
        2,
        send.retain,
        min(send.priority, 255),
        expires_at_ms,
        publisher,
    )
    routing = head.routing
    if routing is not None:
        if routing.durable is not None:
            message.persistent = routing.durable
        if routing.retain is not None:
            message.retain = routing.retain
        if routing.priority >= 0:
            message.priority = routing.priority
        if routing.expires_at_ms >= 0:
            message.expires_at_ms = routing.expires_at_ms
    return message


def is_long(message: Message) -> bool:
    """Is it so large that its body is not to be copied?"""
    return message.size >= LONG_FRAME and message.origin.raw()


def tail_of(message: Message, target: StompTarget) -> bytes:
    """What follows the leading lines of MESSAGE, up to the body where that `is_long`.

    Remembered, since it is the same for all subscribers of a kind.
    """
    if message.destination.temporary:
        # Its owner sees it under another name than the others.
        return _other_tail(message, target)
    origin = message.origin
    variant = target.variant
    known = message.form(variant)
    if isinstance(known, bytes):
        return known
    if isinstance(origin, StompOrigin) and message.original is None:
        send = origin.send
        constant = origin.head.constant(message, target)
        timestamp = b"" if origin.head.timed else _moment_of(message).timestamp
        tail = _tail(message, constant, send.body, timestamp)
    elif (
        origin.bare()
        and message.original is None
        and not message.expires_at_ms
        and message.priority < 0
        and not message.retain
        and not target.says_more
    ):
        body = b"" if is_long(message) else origin.body()
        constant = _bare_constant(message, target, body)
        tail = _tail(message, constant, body, _moment_of(message).timestamp)
    else:
        tail = _other_tail(message, target)
    message.remember(variant, tail)
    return tail


def _tail(message: Message, constant: bytes, body: bytes, timestamp: bytes) -> bytes:
    if is_long(message):
        return message_front(message_id(message), constant, len(message.origin.view()), timestamp)
    return message_tail(message_id(message), constant, body, timestamp)


BARE_REMEMBERED_MAX: Final = 16_384
BARE_LENGTH_MAX: Final = 256
"""Header lines that are remembered, and characters of what they are remembered by."""

# What `_bare_constant` has found, by destination: for messages that are persistent or not, with a body that needs a word
# or none.
_bare_constants: Final[list[dict[str, bytes]]] = [{}, {}, {}, {}]


def _is_plain(message: Message, body: bytes) -> bool:
    """Is the body text?  Of a long one that has been found out, some of it at a time."""
    return message.fields().body_kind == TEXT if is_long(message) else is_plain_text(body)


def _bare_constant(message: Message, target: StompTarget, body: bytes) -> bytes:
    """The header lines of a message of which there is nothing to say but where it was sent."""
    # Its length would make it bytes when it comes back.
    alike = target.by_length and _is_plain(message, body)
    known = _bare_constants[(1 if message.persistent else 0) + (2 if alike else 0)]
    destination = message.destination
    # Names hold no U+0000, so what follows the first one cannot be mistaken for a part of one.
    key = f"{destination.name}\0{target.key}\0{destination.kind}"
    constant = known.get(key)
    if constant is None:
        lines = [b"persistent:true"] if message.persistent else []
        if alike:
            lines.insert(0, b"content-type:" + TEXT_TYPE.encode())
            if target.carry != side.CARRY_NONE:
                lines.append(b"x-mx-body:text")
        constant = head_of(destination, "", lines, target.version)
        if len(known) >= BARE_REMEMBERED_MAX:
            known.clear()
        if len(key) <= BARE_LENGTH_MAX:
            known[key] = constant
    if alike and target.carry == side.CARRY_NONE:
        target.counters.omit(message.origin.protocol(), "ST", ("body",))
    return constant


@final
class _Moment:
    """The time of arrival that was written last: all messages of one read have the same."""

    __slots__ = ("id_start", "ms", "timestamp")

    def __init__(self) -> None:
        self.ms = -1
        self.id_start = b""
        """How the ids of its messages begin."""
        self.timestamp = b""
        """Its header line."""


_moment: Final = _Moment()


def _moment_of(message: Message) -> _Moment:
    """When it came, in writing."""
    moment = _moment
    ms = message.received_at_ms
    if moment.ms != ms:
        moment.ms = ms
        moment.id_start = b"ID-%d-" % ms
        moment.timestamp = timestamp_line(ms)
    return moment


def message_id(message: Message) -> bytes:
    """The same however often the message is delivered, after restarts too, and in no need of escapes.

    The number rises over all runs on one store; the time tells apart those of gateways that share none.
    """
    return b"%b%d" % (_moment_of(message).id_start, message.id)


def head_of(destination: Destination, owner: str, lines: list[bytes], version: str) -> bytes:
    """The constant header lines of MESSAGE."""
    text = text_of(destination, owner, version == V1_0)
    if needs_more("destination", text, version):
        # Only a topic of another protocol can have such a name.
        text = escaped(text)
        lines = _listing_destination(lines)
    return message_constant(text, lines, version)


def _listing_destination(lines: list[bytes]) -> list[bytes]:
    """Name the destination among the headers that needed more escapes than there are."""
    result: list[bytes] = []
    listed = b"x-mx-esc:destination"
    for line in lines:
        if line.startswith(b"x-mx-esc:"):
            listed = line + b",destination"
        else:
            result.append(line)
    result.append(listed)
    return result


def _other_tail(message: Message, target: StompTarget) -> bytes:
    """The same for what cannot take the short way: other protocols, temporary queues, dead letters."""
    origin = message.origin
    version = target.version
    if isinstance(origin, StompOrigin):
        body = origin.body()
        lines = origin.head.passing(message, target)
        if message.original is not None:
            lines = _of_a_copy(lines, message, target)
    elif message.original is not None:
        headers, body = foreign_headers(message, target)
        headers.append((ORIGINAL, text_of(message.original, target.owner, target.trims)))
        lines = fitted(message, headers, target, True)[0]
    else:
        lines, body = _foreign_lines(message, target)
    constant = head_of(message.destination, target.owner, lines, version)
    timed = False
    for line in lines:
        if line.startswith(_TIMESTAMP):
            timed = True
    return _tail(message, constant, body, b"" if timed else _moment_of(message).timestamp)


def _foreign_lines(message: Message, target: StompTarget) -> tuple[list[bytes], bytes]:
    """The lines of a message of another protocol, made once for all that say the same."""
    fields = message.fields()
    reply_to = fields.reply_to
    if (
        not may_share(message, fields)
        or message.expires_at_ms != 0
        or target.says_more
        or target.carry == side.CARRY_NONE
        or (isinstance(reply_to, Destination) and reply_to.temporary)
    ):
        # There is something in it that is this message's own, or has another name for each reader.
        headers, body = foreign_headers(message, target)
        return fitted(message, headers, target, True)[0], body
    body = message.origin.body()
    key = form_key(message, body, target.shared)
    forms = fields.forms
    assert forms is not None
    known = forms.get(key)
    if known is not None:
        return known.split(b"\n") if known else [], body
    lines, whole = fitted(message, foreign_headers(message, target)[0], target, True)
    if whole:
        forms[key] = b"\n".join(lines)
    return lines, body


_EXPIRY: Final = frozenset({b"expires", b"expiration"})


def _of_a_copy(lines: list[bytes], message: Message, target: StompTarget) -> list[bytes]:
    """The lines of a SEND for a copy in another place: where it was sent first, and why it died."""
    original = message.original
    assert original is not None
    written = {ORIGINAL.encode()}
    for name in own_names(message):
        written.add(name.encode())
    died_before = False
    result: list[bytes] = []
    for line in lines:
        name_bytes = line[: line.find(b":")].strip(b" ")
        if name_bytes == _DEATHS:
            died_before = True
        if name_bytes in written or (message.deaths and name_bytes in _EXPIRY):
            continue
        result.append(line)
    pairs = [(ORIGINAL, text_of(original, target.owner, target.trims))]
    pairs.extend(death_pairs(message, message.fields() if died_before else Fields()))
    result.extend(encode_lines(pairs, target.version))
    return result


_DEATHS: Final = LIST_NAME.encode()

_TEMPORARY: Final = (b"/temp-queue/", b"/temp-topic/", b"/reply-queue/")


def _for_others(reply_to: str, owner: str) -> str:
    """A temporary queue of `owner` as everybody can send to it."""
    try:
        return text_of(reply_address(reply_to.strip(), owner), "")
    except InvalidName:
        return reply_to


def _number(text: str) -> int | None:
    """A decimal of at most 18 digits, else nothing."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
