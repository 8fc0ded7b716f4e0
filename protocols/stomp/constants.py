"""The tables of the specification: versions, commands, the headers that the broker itself reads."""

from typing import Final

V1_0: Final = "1.0"
V1_1: Final = "1.1"
V1_2: Final = "1.2"

V_CONNECT: Final = ""
"""Stands for the encoding of CONNECT and CONNECTED, which know no escapes (§Value Encoding), and for no version yet."""

VERSIONS: Final = (V1_2, V1_1, V1_0)
"""What we speak, best first."""

VERSIONS_SPOKEN: Final = "1.0,1.1,1.2"
"""For the `version` header of the ERROR that ends a failed negotiation (§Protocol Negotiation)."""

# Commands of clients (§Client Frames).  STOMP is another spelling of CONNECT (§Connecting).
CONNECT: Final = 0
SEND: Final = 1
SUBSCRIBE: Final = 2
UNSUBSCRIBE: Final = 3
ACK: Final = 4
NACK: Final = 5
BEGIN: Final = 6
COMMIT: Final = 7
ABORT: Final = 8
DISCONNECT: Final = 9

COMMANDS: Final[dict[bytes, int]] = {
    b"CONNECT": CONNECT,
    b"STOMP": CONNECT,
    b"SEND": SEND,
    b"SUBSCRIBE": SUBSCRIBE,
    b"UNSUBSCRIBE": UNSUBSCRIBE,
    b"ACK": ACK,
    b"NACK": NACK,
    b"BEGIN": BEGIN,
    b"COMMIT": COMMIT,
    b"ABORT": ABORT,
    b"DISCONNECT": DISCONNECT,
}

COMMAND_NAMES: Final = (
    "CONNECT",
    "SEND",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "ACK",
    "NACK",
    "BEGIN",
    "COMMIT",
    "ABORT",
    "DISCONNECT",
)

COMMAND_LENGTH_MAX: Final = 11
"""UNSUBSCRIBE."""

# Headers of SEND that the broker reads; all others pass through as they are.
DESTINATION: Final = 1
CONTENT_LENGTH: Final = 2
CONTENT_TYPE: Final = 3
RECEIPT: Final = 4
TRANSACTION: Final = 5
PERSISTENT: Final = 6
PRIORITY: Final = 7
EXPIRES: Final = 8
EXPIRATION: Final = 9
RETAIN: Final = 10
REPLY_TO: Final = 11
MESSAGE_ID: Final = 12
SCHEDULED: Final = 13

# What a SEND has that few have (`Send.special`), so that one look tells the usual ones.
SPECIAL_REPLY_TO: Final = 1
"""A reply-to that names a temporary queue."""
SPECIAL_MESSAGE_ID: Final = 2
"""A message-id, which is for servers to give (§SEND)."""
SPECIAL_SCHEDULED: Final = 4
"""A header of ActiveMQ's that asks for delivery later."""
SPECIAL_UTF8: Final = 8
"""The body, which is long, has been looked at and is UTF-8."""
SPECIAL_NOT_UTF8: Final = 16
"""It has been, and is not."""

TEMPORARY_QUEUE: Final = b"/temp-queue/"

SEND_HEADERS: Final[dict[bytes, int]] = {
    b"destination": DESTINATION,
    b"content-length": CONTENT_LENGTH,
    b"content-type": CONTENT_TYPE,
    b"receipt": RECEIPT,
    b"transaction": TRANSACTION,
    b"persistent": PERSISTENT,
    b"priority": PRIORITY,
    b"expires": EXPIRES,
    b"expiration": EXPIRATION,
    b"retain": RETAIN,
    b"reply-to": REPLY_TO,
    b"message-id": MESSAGE_ID,
    b"AMQ_SCHEDULED_DELAY": SCHEDULED,
    b"AMQ_SCHEDULED_PERIOD": SCHEDULED,
    b"AMQ_SCHEDULED_REPEAT": SCHEDULED,
    b"AMQ_SCHEDULED_CRON": SCHEDULED,
    b"AMQ-SCHEDULED-DELAY": SCHEDULED,
    b"AMQ-SCHEDULED-PERIOD": SCHEDULED,
    b"AMQ-SCHEDULED-REPEAT": SCHEDULED,
    b"AMQ-SCHEDULED-CRON": SCHEDULED,
}

HOP_HEADERS: Final = frozenset(
    {
        b"ack",
        b"content-length",
        b"destination",
        b"message-id",
        b"receipt",
        b"receipt-id",
        b"redelivered",
        b"subscription",
        b"transaction",
        b"x-mx-delivery-count",
    }
)
"""What a MESSAGE gets from the server: a publisher's header of that name must not reach a subscriber."""

CONTENT_TYPE_MAX: Final = 65_535
"""Bytes of a content type: no type is longer than 255 (RFC 6838 §4.2), parameters may follow."""

NUMBER_DIGITS_MAX: Final = 18
"""A decimal of so many digits fits 63 bits, and takes no time to convert."""

PRE_CONNECT_BYTES_MAX: Final = 65_536
"""What a peer that has not introduced itself may send."""

DESTINATIONS_REMEMBERED_MAX: Final = 1_024
"""Decoded destinations that a connection keeps."""

DESTINATION_REMEMBERED_BYTES: Final = 128
"""Longest of them: so many of the longest that a header may hold would fill the memory."""

HEAD_REMEMBERED_MAX: Final = 1_024
"""Bytes of the head that a connection keeps in case the next SEND has the same, and of a body kept with it."""
