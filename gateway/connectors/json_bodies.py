"""A body as a member of a JSON object: text and values are `body`, bytes are `body_b64`.

What is of type application/json has one shape whoever published it: an object, an array, a number, true and false are
values; a text and null, which mean something else here, are the text that they are.
"""

import base64
import json
from typing import Final

from gateway.connectors.bodies import (
    JSON_FORM,
    JSON_TYPE,
    KIND_NAMES,
    OBJECT_TYPE,
    is_json,
    is_object,
    restore_body,
)
from gateway.connectors.text import encode_types
from gateway.connectors.typed_json import parse, plain
from gateway.core.message import BYTES, LIST, MAP, NONE, OBJECT, SEQUENCE, TEXT, VALUE, Fields
from protocols.json_writing import Base64, Ready, Utf8, all_of

STRUCTURED: Final = frozenset({MAP, LIST, VALUE, SEQUENCE})
"""Kinds that are values without a JSON text of their own."""

SHOWN_MAX: Final = 65_536
"""Bytes of a JSON text of another protocol that is shown as a value: to make one costs time, and a text is as good."""


def put_body(members: dict[str, object], ext: dict[str, object], body: bytes, fields: Fields) -> None:
    """Write the body, and into `ext` what JSON cannot say of it."""
    kind = fields.body_kind
    form = fields.body_form
    if kind == NONE:
        members["body"] = None
    elif kind in STRUCTURED:
        hints: list[tuple[str, str]] = []
        members["body"] = plain(fields.body_value, "", hints)
        ext["body"] = form or KIND_NAMES[kind]
        if hints:
            ext["btypes"] = encode_types(hints)
        return
    elif kind == TEXT:
        text = body.decode("utf-8", "replace")
        if may_be_value(body, fields):
            if _put_value(members, ext, text):
                return
            # Not what it says: then it is text all the same.
            form = ""
        members["body"] = text
    else:
        members["body_b64"] = base64.b64encode(body).decode()
        if kind == OBJECT and fields.content_type is None:
            members["content_type"] = OBJECT_TYPE
    if form:
        ext["body"] = form


def may_be_value(body: bytes, fields: Fields) -> bool:
    """Is it text that is shown as the JSON value that it says, if it says one?"""
    if fields.body_kind != TEXT:
        return False
    form = fields.body_form
    return form == JSON_FORM or (not form and is_json(fields.content_type) and len(body) <= SHOWN_MAX)


def _put_value(members: dict[str, object], ext: dict[str, object], text: str) -> bool:
    """Write a JSON text as the value that it is; False if it is none, or could not be told from something else."""
    try:
        value = parse(text)
        if value is None or isinstance(value, str):
            return False
        shown = _written(value)
    except (ValueError, RecursionError):
        return False
    members["body"] = value
    if shown != text:
        # Signatures are over bytes.
        ext["text"] = text
    return True


def _written(value: object) -> str:
    """As a value is written here.  Raises ValueError for what other readers would not take."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Half of a surrogate pair is no text.
    text.encode()
    return text


def take_body(
    fields: Fields, packed: str | Base64 | None, body: object, item: str | None, ext: dict[str, object]
) -> bytes:
    """Read it again; a long body may be Utf8, Base64 or Ready.  Raises ValueError."""
    found = ext.get("btypes")
    if found is not None and (not isinstance(found, str) or "\0" in found):
        raise ValueError("ext.btypes is text")
    types = "" if found is None else found
    if packed is not None:
        try:
            data = packed.data if isinstance(packed, Base64) else base64.b64decode(packed, validate=True)
        except ValueError:
            raise ValueError("body_b64 is base64") from None
        fields.body_kind = BYTES
        if fields.content_type is not None and is_object(fields.content_type):
            fields.body_kind = OBJECT
            fields.content_type = None
    elif isinstance(body, (str, Utf8)) and (item is None or item not in ("value", "seq")):
        data = body.data if isinstance(body, Utf8) else body.encode("utf-8", "replace")
        fields.body_kind = TEXT
    elif body is None and item is None:
        data = b""
        fields.body_kind = NONE
    else:
        data = _json_of(body, ext.get("text"))
        fields.body_kind = TEXT
        fields.body_form = JSON_FORM
        if item is None and fields.content_type is None:
            fields.content_type = JSON_TYPE
    if item is not None and not restore_body(fields, item, types, data, True, False):
        raise ValueError("the body is not what ext.body says")
    return data


def _json_of(body: object, given: object) -> bytes:
    """The JSON text of a value: the one that it came from, unless it is another value now, or too long to look."""
    if isinstance(body, Ready):
        text = body.data.decode() if len(body.data) <= SHOWN_MAX else ""
    elif isinstance(body, Utf8):
        text = ""
    else:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    if isinstance(given, str) and text and len(given) <= SHOWN_MAX and _may_say(given, text):
        try:
            if _written(parse(given)) == text:
                return given.encode("utf-8", "replace")
        except (ValueError, RecursionError):
            pass
    if isinstance(body, Ready):
        return body.data
    if isinstance(body, Utf8):
        return all_of(body)
    return text.encode("utf-8", "replace")


def _may_say(given: str, text: str) -> bool:
    """Could they be the same value?  One with more commas is more, and may be very much: a text counts as one value."""
    return all(given.count(sign) <= text.count(sign) for sign in (",", "[", "{"))
