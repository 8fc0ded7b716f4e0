"""Lists and maps as JSON, with hints for the types that JSON does not have.

Integers beyond 2^53, bytes, identifiers, characters and floats that are no numbers are strings; a map whose keys are
not all text is a list of pairs.  A hint is (JSON pointer, token), for everything but null, bool, i64, f64, str, list and
map with text keys.
"""

import json
from typing import Final

from gateway.connectors.text import (
    COLLECTIONS,
    RANGES,
    decode_types,
    decode_within,
    encode_types,
    encode_within,
    scalar_from_text,
    scalar_to_text,
    to_f32,
)
from gateway.core.message import Typed

DEPTH_MAX: Final = 64
"""Lists and maps within each other: ours to walk, so ours to bound."""

TEXT_MAX: Final = 4_194_304
"""Characters of a document that is looked into, and its values, about: that is done in one go."""

VALUES_MAX: Final = 20_000

_EXACT_MAX: Final = (1 << 53) - 1
"""JSON numbers up to here are the same integer for every reader."""

# -- one property


def value_to_text(value: object) -> tuple[str, str]:
    """A property value as text, and its token with the hints of its parts; an empty token for text itself."""
    if isinstance(value, Typed) and value.token in COLLECTIONS:
        hints: list[tuple[str, str]] = []
        text = _text_of(_plain(value, "", hints, 0))
        return text, encode_within(value.token, [hint for hint in hints if hint[0]])
    return scalar_to_text(value)


def value_from_text(text: str, token: str) -> object:
    """The value that was written as `text` with this token.  A text that does not fit its token stays text."""
    if not token:
        return text
    bare, hints = decode_within(token)
    if bare not in COLLECTIONS:
        return scalar_from_text(text, token)
    hints[""] = bare
    try:
        value = _value(_parse(text), "", hints, 0)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, Typed) and value.token == bare else text


# -- a whole document


def dump(value: object) -> tuple[str, str]:
    """A value as JSON text, and its hints as one text.  Raises ValueError for what is nested too deeply."""
    hints: list[tuple[str, str]] = []
    text = _text_of(_plain(value, "", hints, 0))
    return text, encode_types(hints)


def load(text: str, types: str) -> object:
    """Undo `dump`.  A hint that does not fit is ignored.

    Raises ValueError for what is no JSON, nested too deeply, or too large to be looked into.
    """
    if len(text) > TEXT_MAX or text.count(",") + text.count("[") + text.count("{") > VALUES_MAX:
        raise ValueError("too large a document")
    if types.count(",") > VALUES_MAX:
        raise ValueError("too many hints")
    hints: dict[str, str] = {}
    for pointer, tokens in decode_types(types).items():
        hints[pointer] = tokens[0]
    try:
        return _value(_parse(text), "", hints, 0)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def plain(value: object, name: str, hints: list[tuple[str, str]]) -> object:
    """A value as `json.dumps` takes it; its hints are appended with `name` for its own pointer."""
    return _plain(value, name, hints, 0)


def typed(value: object, token: str) -> object:
    """The canonical value of what `json.loads` gave, with the token that `plain` gave.  Raises ValueError."""
    bare, hints = decode_within(token)
    hints[""] = bare
    return _value(value, "", hints, 0)


def _text_of(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _parse(text: str) -> object:
    result: object = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse)
    return result


def parse(text: str) -> object:
    """JSON, without NaN, and without names that repeat, since one of them would be lost.  Raises ValueError."""
    try:
        return _parse(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result: dict[str, object] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError("a name repeats")
        result[name] = value
    return result


def _refuse(word: str) -> object:
    raise ValueError(word + " is no JSON")


def _step(pointer: str, key: str) -> str:
    """One level below (RFC 6901)."""
    return pointer + "/" + key.replace("~", "~0").replace("/", "~1")


# -- out


def _plain(value: object, pointer: str, hints: list[tuple[str, str]], depth: int) -> object:
    if depth > DEPTH_MAX:
        raise ValueError("nested too deeply")
    if isinstance(value, Typed):
        token = value.token
        inner = value.value
        if token == "list" or token == "map":
            return _plain(inner, pointer, hints, depth)
        hints.append((pointer, token))
        if token == "array":
            return _plain(inner, pointer, hints, depth)
        if isinstance(inner, int) and token != "u64" and -_EXACT_MAX <= inner <= _EXACT_MAX:
            return inner
        if token == "f32" and isinstance(inner, float) and inner - inner == 0:
            return float(scalar_to_text(value)[0])
        return scalar_to_text(value)[0]
    if isinstance(value, dict):
        members: dict[str, object] = {}
        for key, member in value.items():
            members[key] = _plain(member, _step(pointer, key), hints, depth + 1)
        return members
    if isinstance(value, list):
        return _plain_list(value, pointer, hints, depth)
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        if -_EXACT_MAX <= value <= _EXACT_MAX:
            return value
    elif isinstance(value, float) and value - value == 0:
        return value
    text, token = scalar_to_text(value)
    hints.append((pointer, token))
    return text


def _plain_list(value: list[object], pointer: str, hints: list[tuple[str, str]], depth: int) -> object:
    parts: list[object] = []
    if value and isinstance(value[0], tuple):
        hints.append((pointer, "map"))
    for at, part in enumerate(value):
        below = _step(pointer, str(at))
        if isinstance(part, tuple):
            key, member = part
            parts.append(
                [
                    _plain(key, below + "/0", hints, depth + 1),
                    _plain(member, below + "/1", hints, depth + 1),
                ]
            )
        else:
            parts.append(_plain(part, below, hints, depth + 1))
    return parts


# -- in


def _value(found: object, pointer: str, hints: dict[str, str], depth: int) -> object:
    if depth > DEPTH_MAX:
        raise ValueError("nested too deeply")
    token = hints.get(pointer, "")
    if isinstance(found, dict):
        members: dict[str, object] = {}
        for key, member in found.items():
            members[key] = _value(member, _step(pointer, key), hints, depth + 1)
        return Typed("map", members)
    if isinstance(found, list):
        if token == "map":
            return Typed("map", _pairs(found, pointer, hints, depth))
        parts: list[object] = []
        for at, part in enumerate(found):
            parts.append(_value(part, _step(pointer, str(at)), hints, depth + 1))
        return Typed("array" if token == "array" else "list", parts)
    if isinstance(found, str):
        return scalar_from_text(found, token) if token else found
    if found is None or isinstance(found, bool):
        return found
    return _number(found, token)


def _pairs(found: list[object], pointer: str, hints: dict[str, str], depth: int) -> list[object]:
    pairs: list[object] = []
    if not found:
        raise ValueError("an empty map is an object")
    for at, part in enumerate(found):
        if not isinstance(part, list) or len(part) != 2:
            raise ValueError("a map as a list has pairs")
        below = _step(pointer, str(at))
        key = _value(part[0], below + "/0", hints, depth + 1)
        pairs.append((key, _value(part[1], below + "/1", hints, depth + 1)))
    return pairs


def _number(found: object, token: str) -> object:
    """A JSON number with its token; an integer beyond 64 bits is none of ours."""
    if isinstance(found, int):
        if token == "f64":
            return float(found)
        if token == "f32":
            return Typed(token, to_f32(float(found)))
        bounds = RANGES.get(token)
        if bounds is not None and bounds[0] <= found <= bounds[1] and token != "i64":
            return Typed(token, found)
        low, high = RANGES["i64"]
        if not low <= found <= high:
            raise ValueError("too large a number")
        return found
    assert isinstance(found, float)
    if found - found != 0:
        raise ValueError("too large a number")
    return Typed(token, to_f32(found)) if token == "f32" else found
