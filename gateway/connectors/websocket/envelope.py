"""A message as one JSON object: the canonical fields under their own names.

A body that is text is `body`, one that was JSON is that JSON, any other is `body_b64`.  Types that JSON does not have
are named in `ext.types`, so that they come back when a client sends what it received.
"""

import base64
import binascii
import json
from typing import Any, Final, final

from mypy_extensions import mypyc_attr

from gateway.connectors.text import (
    decode_types,
    encode_types,
    id_from_text,
    id_to_text,
    is_textual,
    value_from_text,
    value_to_text,
)
from gateway.connectors.websocket.addresses import destination_of
from gateway.core.destination import Destination, InvalidName
from gateway.core.flow import Publisher
from gateway.core.message import BYTES, NONE, PRIORITY_NONE, TEXT, Fields, Message, Origin, Typed
from gateway.core.router import Broker

VARIANT: Final = 0x70
"""Under which a message remembers its JSON."""

JSON_FORM: Final = "json"
JSON_TYPE: Final = "application/json"

_LEAST: Final = -(1 << 53) + 1
_MOST: Final = (1 << 53) - 1


class BadEnvelope(Exception):
    """The fields do not fit together; `str(error)` is fit for the client."""


@final
@mypyc_attr(acyclic=True)
class EnvelopeOrigin(Origin):
    """A message that came as JSON fields and a body."""

    __slots__ = ("_body", "_envelope", "_form", "_kind")

    def __init__(self, envelope: dict[str, Any], body: bytes, kind: int, form: str) -> None:
        self._envelope = envelope
        self._body = body
        self._kind = kind
        self._form = form

    def body(self) -> bytes:
        """See Origin."""
        return self._body

    def decode(self) -> Fields:
        """See Origin."""
        envelope = self._envelope
        fields = Fields()
        fields.body_kind = self._kind
        fields.body_form = self._form
        fields.content_type = envelope.get("content_type")
        if self._form == JSON_FORM and fields.content_type is None:
            fields.content_type = JSON_TYPE
        fields.content_encoding = envelope.get("content_encoding")
        message_id = envelope.get("message_id")
        if message_id is not None:
            fields.message_id = id_from_text(message_id)
        correlation_id = envelope.get("correlation_id")
        if correlation_id is not None:
            fields.correlation_id = id_from_text(correlation_id)
        reply_to = envelope.get("reply_to")
        if reply_to is not None:
            fields.reply_to = _address(reply_to)
        fields.subject = envelope.get("subject")
        fields.created_at_ms = envelope.get("created_at")
        fields.ttl_ms = envelope.get("ttl")
        fields.group_id = envelope.get("group_id")
        fields.group_sequence = envelope.get("group_seq")
        fields.reply_group = envelope.get("reply_group")
        fields.user_id = envelope.get("user_id")
        fields.app_id = envelope.get("app_id")
        types = _types(envelope)
        fields.properties = _typed_pairs(envelope.get("properties"), types)
        fields.annotations = _typed_pairs(envelope.get("annotations"), types)
        return fields


def _address(text: str) -> Destination | str:
    try:
        return destination_of(text)
    except InvalidName:
        return text


def _types(envelope: dict[str, Any]) -> dict[str, str]:
    ext = envelope.get("ext")
    hint = ext.get("types") if isinstance(ext, dict) else None
    return decode_types(hint) if isinstance(hint, str) else {}


def _typed_pairs(values: dict[str, Any] | None, types: dict[str, str]) -> list[tuple[str, object]]:
    """JSON's values as canonical ones; a hint refines what it fits."""
    pairs: list[tuple[str, object]] = []
    if values is not None:
        for name, value in values.items():
            token = types.get(name)
            pairs.append((name, _plain(value) if token is None else _hinted(value, token)))
    return pairs


def _plain(value: Any) -> object:
    if isinstance(value, dict):
        return Typed("map", value)
    if isinstance(value, list):
        return Typed("list", value)
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 63:
        return Typed("u64", value) if 0 <= value < 1 << 64 else str(value)
    return value


def _hinted(value: Any, token: str) -> object:
    if isinstance(value, (dict, list)) or value is None:
        return _plain(value)
    if isinstance(value, bool):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    found = value_from_text(text, token)
    # A hint whose type the text does not fit gives the text back; then the value is what JSON says.
    return _plain(value) if isinstance(found, str) and found == text else found


# -- in


def body_of(envelope: dict[str, Any]) -> tuple[bytes, int, str]:
    """The body of an envelope, its kind and form.  Raises BadEnvelope."""
    packed = envelope.get("body_b64")
    content_type = envelope.get("content_type")
    if packed is not None:
        try:
            body = base64.b64decode(packed, validate=True)
        except (binascii.Error, ValueError):
            raise BadEnvelope("`body_b64` is not base64") from None
        return body, kind_of(body, content_type, envelope.get("content_encoding")), ""
    value = envelope.get("body")
    if value is None:
        return b"", (NONE if "body" in envelope else TEXT), ""
    try:
        if isinstance(value, str):
            return value.encode(), TEXT, ""
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), TEXT, JSON_FORM
    except UnicodeEncodeError:
        raise BadEnvelope("`body` has half of a surrogate pair") from None


def kind_of(body: bytes, content_type: str | None, content_encoding: str | None) -> int:
    """Bytes, unless the content type says text and they are that."""
    return TEXT if is_textual(content_type, content_encoding, body) else BYTES


def message_from(
    envelope: dict[str, Any],
    body: tuple[bytes, int, str],
    size: int,
    destination: Destination,
    broker: Broker,
    publisher: Publisher,
) -> Message:
    """The canonical message of an envelope to one destination.  The body is no longer kept in the envelope."""
    ttl_ms = envelope.get("ttl", 0)
    expires_at_ms: int = envelope.get("expires_at", 0)
    if not expires_at_ms and ttl_ms:
        expires_at_ms = broker.now_ms + ttl_ms
    data, kind, form = body
    return Message(
        broker.next_message_id(),
        destination,
        EnvelopeOrigin(envelope, data, kind, form),
        size,
        broker.now_ms,
        envelope.get("durable", True),
        2,
        envelope.get("retain", False),
        envelope.get("priority", PRIORITY_NONE),
        expires_at_ms,
        publisher,
    )


# -- out


def json_envelope(message: Message, node: str) -> bytes:
    """The message as a JSON object; made once, since it is the same for all subscribers."""
    known = message.form(VARIANT)
    if isinstance(known, bytes):
        return known
    envelope = envelope_of(message, node)
    add_body(envelope, message)
    data = dump(envelope)
    message.remember(VARIANT, data)
    return data


def dump(value: Any) -> bytes:
    """JSON without needless spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def envelope_of(message: Message, node: str) -> dict[str, Any]:
    """All fields but the body."""
    fields = message.fields()
    envelope: dict[str, Any] = {"id": f"ID:{node}:{message.id}", "to": str(message.destination)}
    if message.original is not None:
        envelope["original_to"] = str(message.original)
    if fields.message_id is not None:
        envelope["message_id"] = id_to_text(fields.message_id)
    if fields.correlation_id is not None:
        envelope["correlation_id"] = id_to_text(fields.correlation_id)
    if fields.reply_to is not None:
        envelope["reply_to"] = str(fields.reply_to)
    _put(envelope, "subject", fields.subject)
    _put(envelope, "content_type", fields.content_type)
    _put(envelope, "content_encoding", fields.content_encoding)
    _put(envelope, "created_at", fields.created_at_ms)
    envelope["received_at"] = message.received_at_ms
    if message.expires_at_ms:
        envelope["expires_at"] = message.expires_at_ms
    if message.priority != PRIORITY_NONE:
        envelope["priority"] = message.priority
    envelope["durable"] = message.persistent
    _put(envelope, "group_id", fields.group_id)
    _put(envelope, "group_seq", fields.group_sequence)
    _put(envelope, "reply_group", fields.reply_group)
    user_id = fields.user_id
    _put(envelope, "user_id", user_id.decode("utf-8", "replace") if isinstance(user_id, bytes) else user_id)
    _put(envelope, "app_id", fields.app_id)
    types: list[tuple[str, str]] = []
    if fields.properties:
        envelope["properties"] = _json_pairs(fields.properties, types)
    if fields.annotations:
        envelope["annotations"] = _json_pairs(fields.annotations, types)
    if types:
        envelope["ext"] = {"types": encode_types(types)}
    if message.deaths:
        envelope["deaths"] = [
            {
                "queue": death.queue.removeprefix("queue:"),
                "reason": death.reason,
                "count": death.count,
                "first_ms": death.first_ms,
                "last_ms": death.last_ms,
            }
            for death in message.deaths
        ]
    return envelope


def add_body(envelope: dict[str, Any], message: Message) -> None:
    """The body, in the most readable way that is exact."""
    fields = message.fields()
    body = message.origin.body()
    if fields.body_kind == NONE:
        envelope["body"] = None
        return
    if fields.body_kind == BYTES:
        envelope["body_b64"] = base64.b64encode(body).decode()
        return
    try:
        envelope["body"] = json.loads(body) if fields.body_form == JSON_FORM else body.decode()
    except (ValueError, RecursionError):
        envelope["body_b64"] = base64.b64encode(body).decode()


def _json_pairs(pairs: list[tuple[str, object]], types: list[tuple[str, str]]) -> dict[str, Any]:
    """Of repeated names the first; hints for what JSON's own types do not say."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            continue
        json_value, token = _json_value(value)
        found[name] = json_value
        if token:
            types.append((name, token))
    return found


def _json_value(value: object) -> tuple[Any, str]:
    if value is None or isinstance(value, (str, bool)):
        return value, ""
    if isinstance(value, int):
        return (value, "") if _LEAST <= value <= _MOST else (str(value), "i64")
    if isinstance(value, float):
        if value == value and value not in (float("inf"), float("-inf")):
            return value, ""
        return value_to_text(value)
    if isinstance(value, Typed):
        inner: Any = value.value
        if value.token in ("list", "map", "array"):
            return inner, ("array" if value.token == "array" else "")
        if isinstance(inner, int) and not isinstance(inner, bool) and _LEAST <= inner <= _MOST:
            return inner, value.token
    return value_to_text(value)


def _put(envelope: dict[str, Any], name: str, value: object) -> None:
    if value is not None:
        envelope[name] = value
