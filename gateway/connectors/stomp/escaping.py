"""Header lines for versions that cannot escape everything.

STOMP 1.0 has no escapes, and 1.1 none for CR.  A header that needs them there carries the escapes of 1.2 in its own
text and is named in `x-mx-esc`; a client that knows nothing of it sends it back as it came, and it is undone here.
"""

from typing import Final

from gateway.connectors.text import decode_name, encode_name
from protocols.stomp.constants import V1_0, V1_1, V1_2
from protocols.stomp.errors import MalformedFrame
from protocols.stomp.headers import decode_headers, encode_header, escape, unescape

LIST_NAME: Final = "x-mx-esc"

# Clients send to what these say, and a backslash is none of their business.
_ADDRESSES: Final = frozenset({"destination", "reply-to"})


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
            own = unescape(name.encode(), V1_2)
            if own in listed:
                name, value = own, unescape(value.encode(), V1_2)
        except MalformedFrame:
            # Somebody else's backslashes.
            pass
        result.append((name, value))
    return result


def encode_lines(headers: list[tuple[str, str]], version: str) -> list[bytes]:
    """Header lines for `version`, and the list of those that needed more than it has."""
    if version == V1_2:
        return [encode_header(name, value, version) for name, value in headers]
    lines: list[bytes] = []
    listed: list[str] = []
    for name, value in headers:
        if needs_more(name, value, version):
            if name not in listed:
                listed.append(name)
            name, value = escaped(name), escaped(value)
        lines.append(encode_header(name, value, version))
    if listed:
        text = ",".join([encode_name(name) for name in listed])
        lines.append(encode_header(LIST_NAME, text, version))
    return lines


def needs_more(name: str, value: str, version: str) -> bool:
    """Does the header hold what `version` cannot say?"""
    if version == V1_1:
        return "\r" in value or "\r" in name
    if version != V1_0:
        return False
    if "\n" in value or "\r" in value or "\n" in name or "\r" in name:
        return True
    return name not in _ADDRESSES and (":" in name or "\\" in name or "\\" in value)


def escaped(text: str) -> str:
    """`text` with the escapes of 1.2."""
    return escape(text, V1_2).decode()
