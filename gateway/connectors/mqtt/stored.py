"""A PUBLISH as the store keeps it, and the options of the subscription through which it came to a session.

protocol version, flags | lengths of topic and property block | expiry | topic | property block | payload
"""

from struct import Struct
from typing import Final

from protocols.mqtt.frames import LongPayload, Publish

WIRE_ID: Final = 1
"""Names MQTT in the store."""

_HEAD: Final = Struct("<BBHIq")
_QOS: Final = 3
_RETAIN: Final = 4
# Of a long payload it is known whether it is UTF-8: which of the two it is.
_UTF8: Final = 8
_NOT_UTF8: Final = 16

# Options of a subscription.
_RETAIN_AS_PUBLISHED: Final = 4
_REPLAY: Final = 8
_JSON: Final = 16


def stored_publish(publish: Publish) -> bytes:
    """What is needed of a PUBLISH to send it on."""
    parts = _head_of(publish)
    parts.append(publish.payload())
    return b"".join(parts)


def stored_head(publish: Publish) -> bytes:
    """The same without the payload, which comes behind it."""
    return b"".join(_head_of(publish))


def _head_of(publish: Publish) -> list[bytes]:
    topic = publish.topic.encode()
    properties = publish.properties
    flags = publish.qos | (_RETAIN if publish.retain else 0)
    tail = publish.tail
    if tail is not None and tail.is_utf8 is not None:
        flags |= _UTF8 if tail.is_utf8 else _NOT_UTF8
    head = _HEAD.pack(publish.protocol_version, flags, len(topic), len(properties), publish.expiry_s)
    return [head, topic, properties]


def restored_publish(data: bytes, start: int) -> Publish:
    """The PUBLISH that was stored in `data` from `start` on.  The payload stays where it is."""
    version, flags, topic_size, properties_size, expiry_s = _HEAD.unpack_from(data, start)
    topic_at = start + _HEAD.size
    properties_at = topic_at + topic_size
    payload_at = properties_at + properties_size
    publish = Publish(
        data,
        data[topic_at:properties_at].decode(),
        payload_at,
        flags & _QOS,
        flags & _RETAIN != 0,
        False,
        0,
        data[properties_at:payload_at],
        0,
        expiry_s,
        version,
    )
    if flags & (_UTF8 | _NOT_UTF8):
        publish.tail = LongPayload(b"")
        publish.tail.is_utf8 = flags & _UTF8 != 0
    return publish


def stored_options(
    qos: int, retain_as_published: bool, replay: bool, json: bool, identifiers: list[int]
) -> bytes:
    """The options of one subscription, or of several merged."""
    flags = qos | (_RETAIN_AS_PUBLISHED if retain_as_published else 0)
    flags |= (_REPLAY if replay else 0) | (_JSON if json else 0)
    note = bytes((WIRE_ID, flags))
    for identifier in identifiers:
        note += identifier.to_bytes(4, "big")
    return note


def restored_options(note: bytes) -> tuple[int, bool, bool, bool, list[int]]:
    """QoS, retain as published, replay, JSON, identifiers."""
    flags = note[1]
    identifiers = [int.from_bytes(note[at : at + 4], "big") for at in range(2, len(note), 4)]
    return (
        flags & _QOS,
        flags & _RETAIN_AS_PUBLISHED != 0,
        flags & _REPLAY != 0,
        flags & _JSON != 0,
        identifiers,
    )
