"""Header lines to records, records to bytes.

Decoding works on one frame's header lines without their EOLs; where a frame begins and ends is the reader's business.
"""

from typing import Final

from protocols.stomp.constants import (
    ABORT,
    ACK,
    BEGIN,
    COMMIT,
    CONNECT,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    CONTENT_TYPE_MAX,
    DESTINATION,
    DESTINATION_REMEMBERED_BYTES,
    DESTINATIONS_REMEMBERED_MAX,
    DISCONNECT,
    EXPIRATION,
    EXPIRES,
    MESSAGE_ID,
    NACK,
    PERSISTENT,
    PRIORITY,
    RECEIPT,
    REPLY_TO,
    RETAIN,
    SCHEDULED,
    SEND_HEADERS,
    SPECIAL_MESSAGE_ID,
    SPECIAL_REPLY_TO,
    SPECIAL_SCHEDULED,
    SUBSCRIBE,
    TEMPORARY_QUEUE,
    TRANSACTION,
    UNSUBSCRIBE,
    V1_0,
    V1_1,
    V1_2,
    V_CONNECT,
    VERSIONS,
    VERSIONS_SPOKEN,
)
from protocols.stomp.errors import MalformedFrame, UnsupportedVersion
from protocols.stomp.frames import (
    Abort,
    Ack,
    AckMode,
    Begin,
    Commit,
    Connect,
    Disconnect,
    Frame,
    Nack,
    Send,
    Subscribe,
    Unsubscribe,
)
from protocols.stomp.headers import (
    decode_header,
    decode_headers,
    escape,
    first,
    is_true,
    number,
    shown,
    truth,
    unescape,
)

ACK_MODES: Final[dict[str, AckMode]] = {mode.value: mode for mode in AckMode}

# -- decoding


def decode_frame(command: int, lines: list[bytes], version: str) -> Frame:
    """Any frame but SEND; CONNECT ignores `version`.  Raises StompError."""
    if command in (ACK, NACK):
        return _decode_ack(command, lines, version)
    if command == CONNECT:
        return _decode_connect(lines)
    headers = decode_headers(lines, version)
    receipt = first(headers, "receipt")
    if command == SUBSCRIBE:
        return _decode_subscribe(headers, version, receipt)
    if command == UNSUBSCRIBE:
        return _decode_unsubscribe(headers, version, receipt)
    if command == BEGIN:
        return Begin(_needed(headers, "transaction", "BEGIN"), receipt)
    if command == COMMIT:
        return Commit(_needed(headers, "transaction", "COMMIT"), receipt)
    if command == ABORT:
        return Abort(_needed(headers, "transaction", "ABORT"), receipt)
    assert command == DISCONNECT
    return Disconnect(receipt)


def decode_send(lines: list[bytes], version: str, escaped: bool, memo: dict[bytes, str]) -> tuple[Send, int]:
    """A SEND without its body, and the body's length; -1 when it ends at the first NUL.  Raises MalformedFrame.

    `escaped`: some line has a backslash.
    Lines that the broker does not read stay as they are; the caller has checked their bytes.  `memo` keeps decoded
    destinations, since connections use the same few; it is bounded here, and serves one version.
    """
    destination: str | None = None
    receipt: str | None = None
    transaction: str | None = None
    content_type: bytes | None = None
    persistent = False
    retain = False
    content_length = -1
    priority = -1
    expires_ms = 0
    expiration_ms = 0
    special = 0
    seen = 0
    trimmed = version == V1_0
    for line in lines:
        name, colon, value = line.partition(b":")
        if trimmed:
            name = name.strip(b" ")
        if not colon or not name:
            # Says what is wrong.
            decode_header(line, version)
        key = SEND_HEADERS.get(name)
        if key is None:
            continue
        # The first one counts when a header is repeated (§Repeated Header Entries).
        if seen >> key & 1:
            continue
        seen |= 1 << key
        if trimmed:
            value = value.strip(b" ")
        if key == DESTINATION:
            destination = memo.get(value)
            if destination is None:
                destination = _remember(value, version, memo)
        elif key == CONTENT_LENGTH:
            content_length = number(value, "content-length")
        elif key == CONTENT_TYPE:
            if len(value) > CONTENT_TYPE_MAX:
                raise MalformedFrame(f"content-type is longer than {CONTENT_TYPE_MAX} bytes")
            content_type = value
        elif key == RECEIPT:
            receipt = unescape(value, version)
        elif key == TRANSACTION:
            transaction = unescape(value, version)
        elif key == PERSISTENT:
            persistent = is_true(value)
        elif key == PRIORITY:
            priority = number(value, "priority")
        elif key == EXPIRES:
            expires_ms = number(value, "expires")
        elif key == EXPIRATION:
            expiration_ms = number(value, "expiration")
        elif key == RETAIN:
            retain = is_true(value)
        elif key == REPLY_TO:
            if value.lstrip(b" ").startswith(TEMPORARY_QUEUE):
                special |= SPECIAL_REPLY_TO
        elif key == MESSAGE_ID:
            special |= SPECIAL_MESSAGE_ID
        elif key == SCHEDULED:
            special |= SPECIAL_SCHEDULED
    if escaped and not trimmed:
        # An undefined escape is fatal even in a header that only passes through: a subscriber would choke on it.
        decode_headers(lines, version)
    if not destination:
        raise MalformedFrame("SEND without destination")
    send = Send(
        destination,
        lines,
        b"",
        receipt,
        transaction,
        persistent,
        priority,
        expires_ms,
        expiration_ms,
        retain,
        content_length >= 0,
        content_type,
        version,
        special,
    )
    return send, content_length


def _remember(raw: bytes, version: str, memo: dict[bytes, str]) -> str:
    text = unescape(raw, version)
    if len(raw) > DESTINATION_REMEMBERED_BYTES:
        return text
    if len(memo) >= DESTINATIONS_REMEMBERED_MAX:
        memo.clear()
    memo[raw] = text
    return text


def negotiate(accept_versions: list[str]) -> str:
    """The highest version in common; 1.0 when the client names none (§Protocol Negotiation).  Raises UnsupportedVersion."""
    if not accept_versions:
        return V1_0
    for version in VERSIONS:
        if version in accept_versions:
            return version
    raise UnsupportedVersion(shown(",".join(accept_versions).encode()))


def heart_beat_of(text: str) -> tuple[int, int]:
    """The two numbers of a heart-beat header (§Heart-beating).  Raises MalformedFrame."""
    first_number, comma, second_number = text.partition(",")
    if not comma:
        raise MalformedFrame(f"heart-beat is not two numbers: {shown(text.encode())}")
    return number(first_number.strip().encode(), "heart-beat"), number(
        second_number.strip().encode(), "heart-beat"
    )


def _decode_connect(lines: list[bytes]) -> Connect:
    headers = decode_headers(lines, V_CONNECT)
    accept = first(headers, "accept-version")
    accept_versions: list[str] = []
    if accept is not None:
        for version in accept.split(","):
            accept_versions.append(version.strip())
    agreed = negotiate(accept_versions)
    if agreed == V1_0:
        headers = decode_headers(lines, V1_0)
    heart_beat = first(headers, "heart-beat")
    return Connect(
        accept_versions,
        first(headers, "host"),
        first(headers, "login"),
        first(headers, "passcode"),
        # 1.0 has no heart-beats.
        heart_beat_of(heart_beat) if heart_beat is not None and agreed != V1_0 else (0, 0),
        headers,
        agreed,
        first(headers, "client-id"),
    )


def _decode_subscribe(headers: list[tuple[str, str]], version: str, receipt: str | None) -> Subscribe:
    destination = _needed(headers, "destination", "SUBSCRIBE")
    subscription = first(headers, "id") if version == V1_0 else _needed(headers, "id", "SUBSCRIBE")
    mode = ACK_MODES.get(first(headers, "ack") or "auto")
    if mode is None:
        raise MalformedFrame("SUBSCRIBE with an ack that is none of auto, client, client-individual")
    prefetch = first(headers, "prefetch-count") or first(headers, "activemq.prefetchSize")
    durable_name = durable_name_of(headers, subscription)
    if durable_name is None and _durable(headers):
        # RabbitMQ makes the id the name of the subscription.
        raise MalformedFrame("SUBSCRIBE that is to be durable, without id")
    window = first(headers, "consumer-window-size")
    return Subscribe(
        destination,
        subscription,
        mode,
        -1 if prefetch is None else number(prefetch.encode(), "prefetch"),
        durable_name,
        first(headers, "selector"),
        _flag(headers, "no-local") or _flag(headers, "activemq.noLocal"),
        headers,
        receipt,
        _flag(headers, "activemq.exclusive") or _flag(headers, "exclusive"),
        _flag(headers, "browser"),
        _flag(headers, "retained") or _flag(headers, "activemq.retroactive"),
        -1 if window is None or window == "-1" else number(window.encode(), "consumer-window-size"),
    )


def _decode_unsubscribe(headers: list[tuple[str, str]], version: str, receipt: str | None) -> Unsubscribe:
    subscription = first(headers, "id")
    destination = first(headers, "destination")
    durable_name = durable_name_of(headers, subscription)
    if not subscription and not durable_name and not (destination and version == V1_0):
        raise MalformedFrame("UNSUBSCRIBE without id")
    return Unsubscribe(subscription, destination, durable_name, headers, receipt)


def _decode_ack(command: int, lines: list[bytes], version: str) -> Frame:
    """ACK or NACK, in one walk over the lines: there is one for each message."""
    handle: str | None = None
    message_id: str | None = None
    subscription: str | None = None
    transaction: str | None = None
    receipt: str | None = None
    requeue: bool | None = None
    for line in lines:
        name, value = decode_header(line, version)
        if name == "id":
            # Before 1.2 it is nobody's header; the first one counts when a header is repeated.
            if handle is None and version == V1_2:
                handle = value
        elif name == "message-id":
            if message_id is None:
                message_id = value
        elif name == "subscription":
            if subscription is None:
                subscription = value
        elif name == "transaction":
            if transaction is None:
                transaction = value
        elif name == "receipt":
            if receipt is None:
                receipt = value
        elif name == "requeue" and requeue is None:
            requeue = truth(value.encode())
    command_name = "ACK" if command == ACK else "NACK"
    if version == V1_2:
        if not handle:
            raise MalformedFrame(f"{command_name} without id")
    elif not message_id:
        raise MalformedFrame(f"{command_name} without message-id")
    elif version == V1_1 and not subscription:
        raise MalformedFrame(f"{command_name} without subscription")
    if command == ACK:
        return Ack(handle, message_id, subscription, transaction, receipt)
    return Nack(handle, message_id, subscription, transaction, requeue, receipt)


_DURABLE_NAMES: Final = (
    "activemq.subscriptionName",
    # So ActiveMQ's documentation wrote it for years.
    "activemq.subcriptionName",
    "durable-subscription-name",
    "durable-subscriber-name",
)


def durable_name_of(headers: list[tuple[str, str]], subscription: str | None) -> str | None:
    """The header of ActiveMQ or Artemis, or RabbitMQ's flag, which makes the id the name."""
    for header in _DURABLE_NAMES:
        name = first(headers, header)
        if name:
            return name
    return subscription if _durable(headers) else None


def _durable(headers: list[tuple[str, str]]) -> bool:
    return _flag(headers, "durable") or _flag(headers, "persistent")


def _flag(headers: list[tuple[str, str]], name: str) -> bool:
    value = first(headers, name)
    return value is not None and is_true(value.encode())


def _needed(headers: list[tuple[str, str]], name: str, command: str) -> str:
    value = first(headers, name)
    if not value:
        raise MalformedFrame(f"{command} without {name}")
    return value


# -- encoding: a server's frames

FRAME_END: Final = b"\0\n"
"""NUL, and an EOL, which may follow (§Augmented BNF): some clients (php-stomp) take it for a part of the frame."""


def encode_connected(version: str, session: str, server: str, heart_beat: tuple[int, int]) -> bytes:
    """CONNECTED (§CONNECTED Frame); `heart_beat` is what we can send and would like to get, in ms."""
    lines = b"CONNECTED\nversion:%b\nheart-beat:%d,%d" % (version.encode(), heart_beat[0], heart_beat[1])
    return (
        lines
        + b"\nsession:"
        + escape(session, V_CONNECT)
        + b"\nserver:"
        + escape(server, V_CONNECT)
        + b"\n\n"
        + FRAME_END
    )


def encode_receipt(receipt_id: str, version: str) -> bytes:
    """RECEIPT (§RECEIPT)."""
    return b"RECEIPT\nreceipt-id:" + escape(receipt_id, version) + b"\n\n" + FRAME_END


def encode_error(message: str, receipt_id: str | None, body: str, version: str) -> bytes:
    """ERROR (§ERROR).  With `version` "" no version has been agreed on, and the ERROR says which ones there are."""
    text = body.encode("utf-8", "replace")
    head = b"ERROR\nmessage:" + escape(message, version)
    if not version:
        head += b"\nversion:" + VERSIONS_SPOKEN.encode()
    if receipt_id is not None:
        head += b"\nreceipt-id:" + escape(receipt_id, version)
    return head + b"\ncontent-type:text/plain\ncontent-length:%d\n\n" % len(text) + text + FRAME_END


def message_head(subscription: str, ack: str, redelivered: bool, delivery_count: int, version: str) -> bytes:
    """The leading lines of MESSAGE, which differ per delivery (§MESSAGE); empty texts and 0 are left out.

    `message_tail` follows.  `delivery_count` is the number of earlier deliveries that failed."""
    head = b"MESSAGE\n"
    if subscription:
        head += b"subscription:" + escape(subscription, version) + b"\n"
    if ack:
        head += b"ack:" + escape(ack, version) + b"\n"
    if redelivered:
        head += b"redelivered:true\n"
    if delivery_count:
        head += b"x-mx-delivery-count:%d\n" % delivery_count
    return head


def message_constant(destination: str, lines: list[bytes], version: str) -> bytes:
    """The header lines of MESSAGE that are the same for all messages with the same head.

    `lines` are header lines escaped for `version`, without the ones that a server writes (`passing_lines`)."""
    head = b"destination:" + escape(destination, version) + b"\n"
    return head + b"\n".join(lines) + b"\n" if lines else head


def message_front(message_id: bytes, constant: bytes, size: int, timestamp: bytes = b"") -> bytes:
    """Of `message_tail` what stands before the body of `size` bytes; behind it comes MESSAGE_END."""
    return b"%bmessage-id:%b\n%bcontent-length:%d\n\n" % (constant, message_id, timestamp, size)


MESSAGE_END: Final = b"\0\n"


def message_tail(message_id: bytes, constant: bytes, body: bytes, timestamp: bytes = b"") -> bytes:
    """What follows `message_head`, the same for all subscribers that speak the version of `constant`.

    `message_id` is ours and needs no escapes.  `timestamp` is a header line for messages that have none of their own,
    which most clients of other brokers count on (`timestamp_line`)."""
    return b"%bmessage-id:%b\n%bcontent-length:%d\n\n%b\0\n" % (
        constant,
        message_id,
        timestamp,
        len(body),
        body,
    )


def timestamp_line(time_ms: int) -> bytes:
    """When a message came, for `message_tail`."""
    return b"timestamp:%d\n" % time_ms


def encode_browser_end(subscription: str, destination: str, version: str) -> bytes:
    """The MESSAGE without content that tells a browser that it has seen everything (ActiveMQ)."""
    constant = message_constant(destination, [b"browser:end"], version)
    return message_head(subscription, "", False, 0, version) + message_tail(b"0", constant, b"")
