"""Which protocol is this?  Told by the first bytes, and by nothing else."""

from typing import Final

UNKNOWN: Final = ""
TLS: Final = "tls"
MQTT: Final = "mqtt"
STOMP: Final = "stomp"
HTTP: Final = "http"
AMQP: Final = "amqp"
OPENWIRE: Final = "openwire"

HEAD_BYTES_MAX: Final = 32
"""Bytes after which every protocol is known."""

_HTTP_METHODS: Final = (
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"PATCH",
    b"TRACE",
    b"CONNECT",
    b"PRI",
)
_HTTP_STARTS: Final = tuple([method + b" " for method in _HTTP_METHODS])
_STOMP_STARTS: Final = tuple([word + end for word in (b"CONNECT", b"STOMP") for end in (b"\n", b"\r\n")])


def recognise(head: bytes) -> str | None:
    """The protocol that starts like `head`; UNKNOWN when none does, None when more bytes are needed."""
    if not head:
        return None
    first = head[0]
    if first == 0x16:
        return _prefix(head, (b"\x16\x03",), TLS)
    if first == 0x10:
        return _mqtt(head)
    if first == 0x00:
        return _openwire(head)
    text = head.lstrip(b"\r\n")
    if not text:
        # Ends of line before a frame (STOMP 1.2, Heart-beating).
        return None if len(head) < HEAD_BYTES_MAX else UNKNOWN
    stomp = _prefix(text, _STOMP_STARTS, STOMP)
    if stomp == STOMP:
        return STOMP
    others = [_prefix(text, _HTTP_STARTS, HTTP), _prefix(head, (b"AMQP",), AMQP)]
    for found in others:
        if found:
            return found
    return None if None in (stomp, *others) else UNKNOWN


def _prefix(head: bytes, starts: tuple[bytes, ...], name: str) -> str | None:
    """`name` when `head` starts with one of `starts`, None when it may still come to that, else UNKNOWN."""
    if head.startswith(starts):
        return name
    return None if any(start.startswith(head) for start in starts) else UNKNOWN


def _mqtt(head: bytes) -> str | None:
    """CONNECT: 0x10, remaining length in one to four bytes, a string of 4 or 6 bytes: MQTT or MQIsdp."""
    at = 1
    while at < 5:
        if at >= len(head):
            return None
        at += 1
        if head[at - 1] < 0x80:
            return _prefix(head[at:], (b"\x00\x04MQTT", b"\x00\x06MQIsdp"), MQTT)
    return UNKNOWN


def _openwire(head: bytes) -> str | None:
    """WireFormatInfo: size in four bytes, type 1, the magic word (loose encoding, as all clients start)."""
    if len(head) < 5:
        return None
    return _prefix(head[4:], (b"\x01ActiveMQ",), OPENWIRE)
