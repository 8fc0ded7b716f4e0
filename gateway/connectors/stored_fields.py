"""Canonical fields as the store keeps them, for messages that have no wire form of their own: tagged JSON.

JSON's own types stand for themselves; `{"b": …}` is base64, `{"t": token, "v": …}` a Typed, `{"q": kind, "n": name}` a
destination, `{"d": [[key, value], …]}` a map.
"""

import json
from base64 import b64decode, b64encode
from typing import Any, Final

from gateway.core.destination import Destination
from gateway.core.message import Fields, Typed

WIRE_ID: Final = 3
"""Names envelopes in the store."""

_NAMES: Final = (
    "message_id", "correlation_id", "reply_to", "subject", "content_type", "content_encoding", "body_kind",
    "body_form", "created_at_ms", "ttl_ms", "group_id", "group_sequence", "reply_group", "user_id", "app_id",
    "payload_format", "body_value", "body_types",
)  # fmt: skip
_LISTS: Final = ("properties", "annotations", "footer")


def fields_out(fields: Fields) -> bytes:
    """The fields that say something."""
    found: dict[str, Any] = {}
    for name in _NAMES:
        value = getattr(fields, name)
        if value is not None:
            found[name] = _out(value)
    for name in _LISTS:
        pairs = getattr(fields, name)
        if pairs:
            found[name] = [[_out(key), _out(value)] for key, value in pairs]
    return json.dumps(found).encode()


def fields_in(data: bytes) -> Fields:
    """What `fields_out` was given."""
    fields = Fields()
    for name, value in json.loads(data).items():
        if name in _LISTS:
            setattr(fields, name, [(_in(key), _in(item)) for key, item in value])
        else:
            setattr(fields, name, _in(value))
    return fields


def _out(value: Any) -> Any:
    # Values came by JSON, whose nesting is bounded where it was read.
    if isinstance(value, bytes):
        return {"b": b64encode(value).decode()}
    if isinstance(value, Typed):
        return {"t": value.token, "v": _out(value.value)}
    if isinstance(value, Destination):
        return {"q": value.kind, "n": value.name}
    if isinstance(value, list | tuple):
        return [_out(item) for item in value]
    if isinstance(value, dict):
        return {"d": [[_out(key), _out(item)] for key, item in value.items()]}
    return value


def _in(value: Any) -> Any:
    if isinstance(value, list):
        return [_in(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "b" in value:
        return b64decode(value["b"])
    if "t" in value:
        return Typed(value["t"], _in(value["v"]))
    if "q" in value:
        return Destination(value["q"], value["n"])
    return {_in(key): _in(item) for key, item in value["d"]}
