"""What a request is for: its target and its Host (RFC 9112 §3.2)."""

import re
from collections.abc import Iterable
from typing import Final

_HOST: Final = re.compile(
    rb"(?:\[[0-9A-Za-z:.%]+\]|(?:[0-9A-Za-z._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?"
)
"""uri-host [ ":" port ] (RFC 3986 §3.2.2)."""

_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def head_fault(method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Why these are not of a request; empty when they may be."""
    for name, value in headers:
        if name == b"host" and _HOST.fullmatch(value) is None:
            return "Host is no host"
    if method == b"CONNECT":
        # Its target is a host, and nobody is connected to one here.
        return ""
    if target == b"*":
        return "" if method == b"OPTIONS" else "the target * is for OPTIONS"
    if b"#" in target or _BAD_ESCAPE.search(target) is not None:
        return "the target is no URI"
    authority = authority_of(target)
    if authority is None:
        return "" if target.startswith(b"/") else "the target is neither a path nor a URI"
    return "" if _HOST.fullmatch(authority) is not None else "the target names no host"


def authority_of(target: bytes) -> bytes | None:
    """The host of a target that is a whole URI, which goes before Host (RFC 9112 §3.2.2); None of one that is a path."""
    scheme, colon, rest = target.partition(b"://")
    if not colon or scheme.lower() not in (b"http", b"https"):
        return None
    for at in range(len(rest)):
        if rest[at] == 0x2F or rest[at] == 0x3F:
            return rest[:at]
    return rest
