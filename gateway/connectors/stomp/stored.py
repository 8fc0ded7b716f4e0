"""A SEND as the store keeps it.

version, flags | lengths of owner, content type and header lines | owner | content type | header lines | body
"""

from struct import Struct
from typing import Final

from protocols.stomp.constants import SPECIAL_NOT_UTF8, SPECIAL_UTF8, VERSIONS
from protocols.stomp.frames import Send

WIRE_ID: Final = 2
"""Names STOMP in the store."""

_HEAD: Final = Struct("<BBHHI")
_CONTENT_LENGTH: Final = 1
_CONTENT_TYPE: Final = 2
_BY_LENGTH: Final = 4
# Of a long body it is known whether it is UTF-8: which of the two it is.
_UTF8: Final = 8
_NOT_UTF8: Final = 16


def stored_send(send: Send, owner: str, by_length: bool) -> bytes:
    """What is needed of a SEND to send it on; `owner` is the connection that it came by (see Head)."""
    parts = _head_of(send, owner, by_length)
    parts.append(send.body)
    return b"".join(parts)


def stored_head(send: Send, owner: str, by_length: bool) -> bytes:
    """The same without the body, which comes behind it."""
    return b"".join(_head_of(send, owner, by_length))


def _head_of(send: Send, owner: str, by_length: bool) -> list[bytes]:
    owner_bytes = owner.encode()
    content_type = send.content_type
    lines = b"\n".join(send.lines)
    flags = (_CONTENT_LENGTH if send.content_length else 0) | (0 if content_type is None else _CONTENT_TYPE)
    if by_length:
        flags |= _BY_LENGTH
    if send.is_utf8 is not None:
        flags |= _UTF8 if send.is_utf8 else _NOT_UTF8
    head = _HEAD.pack(
        VERSIONS.index(send.version), flags, len(owner_bytes), len(content_type or b""), len(lines)
    )
    return [head, owner_bytes, content_type or b"", lines]


def head_end(data: bytes, start: int) -> int:
    """Where the body begins.  What is before it is the same for all frames that share their header lines."""
    _, _, owner_size, content_type_size, lines_size = _HEAD.unpack_from(data, start)
    return start + _HEAD.size + int(owner_size) + int(content_type_size) + int(lines_size)


def restored_send(data: bytes, start: int) -> tuple[Send, str, bool]:
    """The SEND that was stored in `data` from `start` on, without what Message knows of it; owner and `by_length`."""
    version, flags, owner_size, content_type_size, lines_size = _HEAD.unpack_from(data, start)
    owner_at = start + _HEAD.size
    content_type_at = owner_at + owner_size
    lines_at = content_type_at + content_type_size
    body_at = lines_at + lines_size
    lines = data[lines_at:body_at]
    send = Send(
        "",
        lines.split(b"\n") if lines else [],
        data[body_at:],
        None,
        None,
        True,
        -1,
        0,
        0,
        False,
        flags & _CONTENT_LENGTH != 0,
        data[content_type_at:lines_at] if flags & _CONTENT_TYPE else None,
        VERSIONS[version],
        (SPECIAL_UTF8 if flags & _UTF8 else 0) | (SPECIAL_NOT_UTF8 if flags & _NOT_UTF8 else 0),
    )
    return send, data[owner_at:content_type_at].decode(), flags & _BY_LENGTH != 0
