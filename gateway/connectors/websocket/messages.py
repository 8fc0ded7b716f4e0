"""Envelopes and messages, for JSON and for HTTP: what a client sends becomes a Message, a Message becomes JSON once."""

import json
from typing import Any, Final

from gateway.connectors.bodies import (
    JSON_FORM,
    KIND_NAMES,
    is_json,
    is_object,
    known_text,
    made_up_type,
    restore_body,
    stomp_kind,
)
from gateway.connectors.envelope import (
    VARIANT,
    VARIANT_IDENTITY,
    Envelope,
    EnvelopeOrigin,
    InvalidEnvelope,
    envelope_from,
    json_envelope,
    members_of,
)
from gateway.connectors.long_bodies import LongBody
from gateway.core.destination import Destination
from gateway.core.flow import Publisher
from gateway.core.message import BYTES, NONE, OBJECT, TEXT, Message
from gateway.core.router import Broker
from protocols.gatewayjson.frames import Publish
from protocols.json_writing import Base64, Ready, Utf8

BYTES_TYPE: Final = "application/octet-stream"

HTTP: Final = "HT"
JSON: Final = "JS"


def json_of(message: Message, identity: bool) -> bytes:
    """The message as a JSON object; made once, since it is the same for all subscribers.

    With `identity` the object says who published it: `ext.auth`, the user, and `ext.client`.
    """
    variant = VARIANT_IDENTITY if identity else VARIANT
    known = message.form(variant)
    if isinstance(known, bytes):
        return known
    data = dump(members_of(message, identity)) if identity else json_envelope(message)
    message.remember(variant, data)
    return data


def message_from(
    envelope: Envelope,
    protocol: str,
    size: int,
    destination: Destination,
    broker: Broker,
    publisher: Publisher,
) -> Message:
    """The canonical message of an envelope to one destination."""
    expires_at_ms = envelope.expires_at_ms
    if not expires_at_ms and envelope.ttl_ms:
        expires_at_ms = broker.now_ms + envelope.ttl_ms
    return Message(
        broker.next_message_id(),
        destination,
        EnvelopeOrigin(envelope, protocol),
        size,
        broker.now_ms,
        envelope.durable,
        2,
        envelope.retain,
        envelope.priority,
        expires_at_ms,
        publisher,
    )


def once_parts(publish: Publish) -> list[bytes]:
    """What tells a message that is to be sent once from others: the same objects each time."""
    if not publish.told_by:
        envelope: dict[str, object] = {}
        long: list[bytes] = []
        for name, value in publish.envelope.items():
            if isinstance(value, (Utf8, Base64, Ready)):
                long.append(value.data)
            else:
                envelope[name] = value
        publish.told_by = [json.dumps([publish.to, envelope], sort_keys=True).encode(), *long]
    return publish.told_by


# -- HTTP's own way: the body as it is, its type as a header, the rest as `meta`


def raw_envelope(
    meta: dict[str, object], content_type: str | None, body: bytes, known: bool | None = None
) -> Envelope:
    """The envelope of a body that stands by itself.  Raises InvalidEnvelope.  `known`: whether it is UTF-8, if that is."""
    ext = meta.get("ext")
    item: object = None
    types: object = None
    if isinstance(ext, dict):
        item = ext.pop("body", None)
        types = ext.pop("btypes", None)
    explicit = meta.get("content_type") is not None
    if content_type is not None and not explicit:
        meta["content_type"] = content_type
    envelope = envelope_from(meta)
    fields = envelope.fields
    envelope.body = body
    # Where it is said what the body is, the type is no more than a name.
    if item is None and fields.content_type is not None and is_object(fields.content_type):
        fields.body_kind = OBJECT
        fields.content_type = None
    else:
        fields.body_kind = stomp_kind(fields.content_type, fields.content_encoding, None, False, body, known)
    if item is not None:
        hints = types if isinstance(types, str) else ""
        if not isinstance(item, str) or not restore_body(fields, item, hints, body, explicit, True):
            raise InvalidEnvelope("the body is not what ext.body says")
        if not explicit and fields.body_kind in (BYTES, NONE) and fields.content_type == BYTES_TYPE:
            # HTTP has a type for everything; this one says nothing.
            fields.content_type = None
    return envelope


def raw_parts(message: Message, identity: bool) -> tuple[dict[str, object], str | None, bytes]:
    """Undo `raw_envelope`: meta, the content type as a header may carry it, and the body."""
    fields = message.fields()
    body = message.origin.body()
    # Nothing is made of the body.
    meta = members_of(message, identity, LongBody(body))
    meta.pop("body_b64", None)
    shown = meta.pop("body", None)
    content_type = fields.content_type
    meta.pop("content_type", None)
    found = meta.pop("ext", None)
    ext: dict[str, object] = found if isinstance(found, dict) else {}
    ext.pop("text", None)
    kind = fields.body_kind
    said = content_type is not None and kind != NONE
    if fields.body_form == JSON_FORM and not is_json(content_type):
        ext.setdefault("body", JSON_FORM)
    elif kind != OBJECT and not (
        said
        and stomp_kind(content_type, fields.content_encoding, None, False, body, known_text(fields)) == kind
    ):
        ext.setdefault("body", KIND_NAMES[kind])
    if content_type is None:
        content_type = made_up_type(kind, True)
    elif "body" in ext:
        # The publisher's own, though it may be what would be made up.
        meta["content_type"] = content_type
    if kind not in (TEXT, BYTES, OBJECT, NONE):
        body = dump(shown)
    if content_type is not None and not _is_header_text(content_type):
        meta["content_type"] = content_type
        content_type = None
    if ext:
        meta["ext"] = ext
    return meta, content_type, body


def _is_header_text(text: str) -> bool:
    return text != "" and text.isascii() and text.isprintable() and text == text.strip()


def dump(value: Any) -> bytes:
    """JSON without needless spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
