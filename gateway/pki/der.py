"""Elements of DER (X.690 §8.1, §10.1), for what is taken apart and put together here as bytes."""

from typing import Final

from gateway.pki.errors import PkiError

SEQUENCE: Final = 0x30
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
CONTEXT: Final = 0xA0
"""Of a constructed element with a number of its own: [0]."""


def made(tag: int, *parts: bytes) -> bytes:
    """An element with `parts` in it."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def elements(data: bytes) -> list[bytes]:
    """The elements that `data` is a row of, each whole.  Raises PkiError."""
    found: list[bytes] = []
    at = 0
    while at < len(data):
        start, size = _header(data, at)
        end = start + size
        if end > len(data):
            raise PkiError("an element goes beyond what it is in")
        found.append(data[at:end])
        at = end
    return found


def content(element: bytes, tag: int) -> bytes:
    """What is in an element that must have `tag`.  Raises PkiError."""
    if not element or element[0] != tag:
        raise PkiError("another element is expected")
    start, size = _header(element, 0)
    if start + size != len(element):
        raise PkiError("an element has another length than its bytes")
    return element[start:]


def _header(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at `at` starts, and its length."""
    if at + 2 > len(data) or data[at] & 0x1F == 0x1F:
        raise PkiError("no element that is known here")
    first = data[at + 1]
    if first < 0x80:
        return at + 2, first
    count = first & 0x7F
    # The indefinite form is none of DER's; four bytes of length are more than anything here has.
    if not 0 < count <= 4 or at + 2 + count > len(data):
        raise PkiError("a length that is none")
    return at + 2 + count, int.from_bytes(data[at + 2 : at + 2 + count], "big")
