"""Which other protocol are these first bytes?  So that a log says more than "bad command"."""

from typing import Final

_HTTP: Final = (
    b"GET ",
    b"POST ",
    b"PUT ",
    b"HEAD ",
    b"OPTIONS ",
    b"DELETE ",
    b"PATCH ",
    b"CONNECT ",
    b"PRI * HTTP",
)

FIRST_BYTES: Final = 16
"""With so many bytes the answer does not change any more."""

MQTT_CONNECT: Final = 0x10
"""The first byte of an MQTT connection; a length follows, which may be the byte of an LF."""


def looks_like(data: bytes) -> str:
    """The name of the protocol that a connection beginning with `data` speaks, or "" when it could be any."""
    head = data[:FIRST_BYTES]
    if head.startswith(b"\x16\x03"):
        return "a TLS hello"
    if head[:1] == b"\x10":
        # CONNECT, its length in one to four bytes, then the protocol's name behind its own length.
        return "MQTT" if b"\0\x04MQTT" in head or b"\0\x06MQIsdp" in head else ""
    if head.startswith(b"AMQP"):
        return "AMQP"
    if b"\x01Active" in head:
        return "OpenWire"
    for method in _HTTP:
        if head.startswith(method):
            return "HTTP"
    return ""
