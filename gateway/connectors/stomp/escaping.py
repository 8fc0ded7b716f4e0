"""Header lines for versions that cannot escape everything.

STOMP 1.0 has no escapes and takes spaces away at the edges, and 1.1 has no escape for CR.  A header that needs more there
carries the escapes of 1.2 in its own text and is named in `x-mx-esc`; a client that knows nothing of it sends it back as
it came, and it is undone here.  Ids say it within themselves, since who replies sends back nothing else.  A header that
is itself called `x-mx-esc` has another name there, or it would be taken for that list.
"""

from typing import Final

from gateway.connectors.ids import ANYWHERE, IN_STOMP_1_0, IN_STOMP_1_1, id_from_text, id_to_text
from gateway.connectors.text import decode_name, encode_name
from protocols.stomp.constants import V1_0, V1_1, V1_2
from protocols.stomp.errors import MalformedFrame
from protocols.stomp.headers import decode_headers, encode_header, escape, unescape

LIST_NAME: Final = "x-mx-esc"

_OWN_NAME: Final = "\\x-mx-esc"
"""A header of that name that is none of ours: 1.2 has no such escape, so no other name is ever written so."""

# Clients send to what these say, and a backslash is none of their business.
_ADDRESSES: Final = frozenset({"destination", "reply-to"})

_IDS: Final = frozenset({"correlation-id", "amqp-message-id"})

_SPACE: Final = "\\s"
"""A space at an edge, for which 1.2 needs no escape."""


def place_of(version: str) -> int:
    """Where an id stands in a header of `version`, for `ids`."""
    if version == V1_2:
        return ANYWHERE
    return IN_STOMP_1_1 if version == V1_1 else IN_STOMP_1_0


def respelled(headers: list[tuple[str, str]], version: str, other: str) -> list[tuple[str, str]]:
    """Headers of `version` with their ids as they are to stand in `other`; the first of a name counts."""
    result: list[tuple[str, str]] = []
    seen: set[str] = set()
    for name, value in headers:
        if name in _IDS and name not in seen:
            seen.add(name)
            value = id_to_text(id_from_text(value, place_of(version)), place_of(other))
        result.append((name, value))
    return result


def decode_lines(lines: list[bytes], version: str) -> list[tuple[str, str]]:
    """Names and values of a SEND's lines, which the reader has checked; what `x-mx-esc` names is undone."""
    headers = decode_headers(lines, version)
    if version == V1_2:
        return headers
    for name, value in headers:
        if name == LIST_NAME:
            return _undone(headers, frozenset([decode_name(part) for part in value.split(",")]))
    return headers


def _undone(headers: list[tuple[str, str]], listed: frozenset[str]) -> list[tuple[str, str]]:
    result: list[tuple[str, str]] = []
    for name, value in headers:
        if name == LIST_NAME:
            continue
        try:
            own = LIST_NAME if name == _OWN_NAME else _plain(name)
            if own in listed:
                name, value = own, _plain(value)
        except MalformedFrame:
            # Somebody else's backslashes.
            pass
        result.append((name, value))
    return result


def encode_lines(headers: list[tuple[str, str]], version: str, exact: bool = False) -> list[bytes]:
    """Header lines for `version`, and the list of those that needed more than it has.

    `exact`: spaces at the edges count.  Between versions of STOMP they do not, since who writes `name: value` means none.
    """
    if version == V1_2:
        return [encode_header(name, value, version) for name, value in headers]
    # In their order, each once.
    listed: dict[str, None] = {}
    for name, value in headers:
        if name not in listed and needs_more(name, value, version, exact):
            listed[name] = None
    if listed:
        for name, _ in headers:
            if "\\" in name:
                # One that looks like the escaped form of a listed name would be taken for it.
                listed[name] = None
    lines: list[bytes] = []
    for name, value in headers:
        if name in listed:
            # Each of that name, since all are undone.
            name, value = _OWN_NAME if name == LIST_NAME else escaped(name), escaped(value)
        lines.append(encode_header(name, value, version))
    if listed:
        text = ",".join([encode_name(name) for name in listed])
        lines.append(encode_header(LIST_NAME, text, version))
    return lines


def needs_more(name: str, value: str, version: str, exact: bool = False) -> bool:
    """Does the header hold what `version` cannot say?  A backslash in a value is none of that: 1.0 has no escapes."""
    if name == LIST_NAME:
        return version != V1_2
    if version == V1_1:
        return "\r" in value or "\r" in name
    if version != V1_0:
        return False
    if "\n" in value or "\r" in value or "\n" in name or "\r" in name:
        return True
    if exact and (value.strip(" ") != value or name.strip(" ") != name):
        return True
    if name and not name.strip(" "):
        # A line without a name ends the connection of who sends it back.
        return True
    return name not in _ADDRESSES and (":" in name or "\\" in name)


def escaped(text: str) -> str:
    """`text` with the escapes of 1.2, and one for spaces at the edges."""
    text = escape(text, V1_2).decode()
    leading = len(text) - len(text.lstrip(" "))
    inner = text.strip(" ")
    return _SPACE * leading + inner + _SPACE * (len(text) - leading - len(inner))


def _plain(text: str) -> str:
    """Undo `escaped`.  Raises MalformedFrame."""
    # An s behind an escaped backslash is one.
    parts = [unescape(part.replace(_SPACE, " ").encode(), V1_2) for part in text.split("\\\\")]
    return "\\".join(parts)
