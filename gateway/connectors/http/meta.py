"""X-Mx-Meta: what HTTP has no header for, as one header that clients and proxies take.

A head above 4 KiB is refused by nginx as it comes, above 8 KiB by aiohttp, above 16 KiB by Node and HAProxy; an answer
that is refused on its way is a message lost for its reader.  So what does not fit is left out, the largest first, and
named in `ext.omit`; `Accept: application/vnd.mx+json` gives all of it, as a body.
"""

import json
from typing import Any, Final

_KEPT: Final = frozenset({"id", "redelivered", "delivery_count", "ext", "properties", "annotations"})
"""Never left out, or only part by part."""

_FIELDS: Final = {
    "expires_at": "expiry",
    "btypes": "body",
    "pfi": "payload_format",
    "types": "properties",
    "uprops": "properties",
}
"""The canonical fields of those that are called otherwise."""

OMIT_MAX: Final = 512
"""Bytes of the names of what was left out."""


def header_text(meta: dict[str, Any], bytes_max: int) -> tuple[str, tuple[str, ...]]:
    """`meta` as ASCII, of no more than so many bytes if that can be; and the canonical fields that were left out."""
    text = _dumped(meta)
    if len(text) <= bytes_max:
        return text, ()
    ext = meta.setdefault("ext", {})
    properties: dict[str, Any] = meta.get("properties") or {}
    annotations: dict[str, Any] = meta.get("annotations") or {}
    # Size, the canonical field, the name to say, and where it stands.
    parts: list[tuple[int, str, str, dict[str, Any], str]] = []
    for group in (meta, ext):
        for name, value in group.items():
            if name not in _KEPT:
                parts.append((_size(name, value), _FIELDS.get(name, name), name, group, name))
    for name, value in properties.items():
        parts.append((_size(name, value), "properties", name, properties, name))
    for name, value in annotations.items():
        parts.append((_size(name, value), "annotations", "ma-" + name, annotations, name))
    parts.sort(key=_by_size, reverse=True)
    size = len(text) + OMIT_MAX
    fields: list[str] = []
    names: list[str] = []
    for length, field, said, group, name in parts:
        if size <= bytes_max:
            break
        del group[name]
        size -= length
        names.append(f"{said}({length})")
        if field not in fields:
            fields.append(field)
    ext["omit"] = _listed(names)
    return _dumped(meta), tuple(fields)


def _by_size(part: tuple[int, str, str, dict[str, Any], str]) -> int:
    return part[0]


def _listed(names: list[str]) -> str:
    """The names of what was left out, as far as there is room for them."""
    listed = ""
    for at, name in enumerate(names):
        longer = f"{listed},{name}" if listed else name
        if len(_dumped(longer)) > OMIT_MAX - 40:
            more = f"{len(names) - at} more"
            return f"{listed},{more}" if listed else more
        listed = longer
    return listed


def _size(name: str, value: Any) -> int:
    """With the colon and the comma."""
    return len(_dumped(name)) + len(_dumped(value)) + 2


def _dumped(value: Any) -> str:
    # JSON may hold DEL as it is, a header may not (RFC 9110 §5.5).
    return json.dumps(value, separators=(",", ":")).replace("\x7f", "\\u007f")
