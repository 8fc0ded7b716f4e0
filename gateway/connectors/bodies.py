"""Kinds of body: what each protocol's own words say about one, and the item that says it where those do not suffice."""

from typing import Final

from gateway.connectors.text import integer, is_plain_text, is_textual, is_utf8
from gateway.connectors.typed_json import dump, load
from gateway.core.message import (
    BYTES,
    LIST,
    MAP,
    NONE,
    OBJECT,
    SEQUENCE,
    TEXT,
    VALUE,
    Fields,
    Message,
    Typed,
)

TEXT_TYPE: Final = "text/plain;charset=utf-8"
JSON_TYPE: Final = "application/json"
JSON_FORM: Final = "json"
"""The form of text that was given as a JSON value."""
OBJECT_TYPE: Final = "application/x-java-serialized-object"
"""Never opened: to deserialise it would run what the sender likes."""

KIND_NAMES: Final = ("none", "bytes", "text", "map", "list", "value", "seq", "object")
_KINDS: Final = {name: kind for kind, name in enumerate(KIND_NAMES)}

# Shapes of a kind that has several, and the kind.
_FORMS: Final = {
    "tnull": TEXT,
    "bnull": BYTES,
    "vstr": TEXT,
    "vbin": BYTES,
    "vlist": LIST,
    "vnull": NONE,
    "json": TEXT,
}
_PLAIN_FORM: Final = "vstr"
"""Text without a content type is this form already."""
_EMPTY_FORMS: Final = frozenset({"tnull", "bnull", "vnull"})
_SECTIONS: Final = "data:"

_STRUCTURED: Final = frozenset({MAP, LIST, VALUE, SEQUENCE})


def stomp_kind(
    content_type: str | None,
    content_encoding: str | None,
    hint: str | None,
    bytes_if_untyped: bool,
    body: bytes,
    known: bool | None = None,
) -> int:
    """What a SEND's own headers say; `hint` is its `amq-msg-type`.  `known`: whether the body is UTF-8, if that is known."""
    if content_type is not None and is_object(content_type):
        return OBJECT
    if hint == "bytes":
        return BYTES
    if hint == "text" and is_utf8(body, known):
        return TEXT
    if content_type is not None:
        return TEXT if is_textual(content_type, content_encoding, body, known) else BYTES
    return TEXT if not bytes_if_untyped and is_plain_text(body, known) else BYTES


def mqtt_kind(
    content_type: str | None,
    content_encoding: str | None,
    payload_format: int | None,
    body: bytes,
    known: bool | None = None,
) -> int:
    """What the properties of a PUBLISH say.  `known`: as for `stomp_kind`."""
    if content_type is not None and is_object(content_type):
        return OBJECT
    if payload_format == 1 and is_utf8(body, known):
        return TEXT
    if content_type is None:
        # Nobody has said: the same as in every protocol.
        return TEXT if is_plain_text(body, known) else BYTES
    return TEXT if is_textual(content_type, content_encoding, body, known) else BYTES


def known_text(fields: Fields) -> bool | None:
    """Is the body UTF-8, as far as its kind says?  Text is."""
    return True if fields.body_kind == TEXT else None


def is_object(content_type: str) -> bool:
    """Is it a serialised Java object?"""
    return content_type.partition(";")[0].strip().lower() == OBJECT_TYPE


def is_json(content_type: str | None) -> bool:
    """Is it JSON, whatever its parameters?"""
    return content_type is not None and content_type.partition(";")[0].strip().lower() == JSON_TYPE


def made_up_type(kind: int, text_too: bool) -> str | None:
    """The content type that a body of this kind gets where it has none; `text_too`: also mere text."""
    if kind in _STRUCTURED:
        return JSON_TYPE
    if kind == OBJECT:
        return OBJECT_TYPE
    return TEXT_TYPE if text_too and kind == TEXT else None


def body_item(fields: Fields, inferred: int, made_up: bool, full: bool) -> str:
    """The `body` item; empty when the frame says enough.  `made_up`: its content type is ours, and must go again."""
    form = fields.body_form
    if form and form != _PLAIN_FORM and (form != JSON_FORM or full or not is_json(fields.content_type)):
        return form
    if full or inferred != fields.body_kind or (made_up and fields.body_kind == TEXT):
        return KIND_NAMES[fields.body_kind]
    return ""


def body_out(message: Message, fields: Fields) -> tuple[bytes, str]:
    """The body for a protocol of bytes and text, and the hints of its types when it is JSON of ours."""
    if fields.body_kind in _STRUCTURED:
        if fields.body_types is not None:
            return message.origin.body(), fields.body_types
        text, types = dump(fields.body_value)
        return text.encode("utf-8", "replace"), types
    return message.origin.body(), ""


def restore_body(
    fields: Fields, item: str, types: str, body: bytes, explicit_type: bool, text_too: bool
) -> bool:
    """Make the body what `item` says; False when it cannot be that, and nothing is changed.

    `explicit_type`: an item says that the content type is the publisher's own.
    """
    form = ""
    kind = _KINDS.get(item, -1)
    if kind < 0:
        form = item
        kind = _FORMS.get(item, -1)
        if item.startswith(_SECTIONS) and _sections_fit(item[len(_SECTIONS) :], len(body)):
            kind = TEXT if is_textual(fields.content_type, fields.content_encoding, body) else BYTES
    if kind < 0 or ((kind == NONE or form in _EMPTY_FORMS) and body) or (kind == TEXT and not is_utf8(body)):
        return False
    if kind in _STRUCTURED and not _restore_value(fields, kind, types, body):
        return False
    if not explicit_type and fields.content_type == made_up_type(kind, text_too):
        fields.content_type = None
    fields.body_kind = kind
    fields.body_form = form
    return True


def _sections_fit(text: str, size: int) -> bool:
    """`len,len,…` of a body that came in several parts."""
    total = 0
    for part in text.split(","):
        length = integer(part, 0, size)
        if length is None:
            return False
        total += length
    return total == size


def _restore_value(fields: Fields, kind: int, types: str, body: bytes) -> bool:
    try:
        value = load(body.decode(), types)
    except ValueError:
        return False
    if kind != VALUE:
        wanted = "map" if kind == MAP else "list"
        if not isinstance(value, Typed) or value.token != wanted:
            return False
        value = value.value
    fields.body_value = value
    fields.body_types = types
    return True
