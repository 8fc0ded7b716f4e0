"""The host that a client asks for, as it stands in the first it says (RFC 8446 §4.1.2, RFC 6066 §3).

OpenSSL says it too, but only when it has decided already whether a session is resumed: by tickets of the context that it
began with, whichever name they were given to.  With the name known before, each name has a context, and so tickets, of its
own (RFC 8446 §4.6.1: a session is resumed for the name it was made for).
"""

from typing import Final, final

HELLO_MAX: Final = 16_384
"""Bytes that are looked at; a longer beginning counts as one without a name."""

HANDSHAKE: Final = 22
CLIENT_HELLO: Final = 1
SERVER_NAME: Final = 0
HOST_NAME: Final = 0


@final
class _Reader:
    """Fields of a message, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """So many bytes.  Raises ValueError where there are fewer."""
        end = self._at + count
        if end > len(self._data):
            raise ValueError
        found = self._data[self._at : end]
        self._at = end
        return found

    def number(self, width: int) -> int:
        """A number of so many bytes.  Raises ValueError."""
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        """What its length, in so many bytes, stands before (RFC 8446 §3.4).  Raises ValueError."""
        return self.take(self.number(width))

    def more(self) -> bool:
        """Is there something left?"""
        return self._at < len(self._data)


@final
class Hello:
    """The beginning of a connection, in whatever pieces it comes: no record is looked at twice."""

    __slots__ = ("_at", "_data", "_hello")

    def __init__(self) -> None:
        self._data = bytearray()
        # Where the next record begins, and what those before it have carried.
        self._at = 0
        self._hello = bytearray()

    @property
    def data(self) -> bytes:
        """All that has come, for OpenSSL."""
        return bytes(self._data)

    def add(self, piece: bytes) -> str | None:
        """The host asked for, in lower case; empty where there is none, or no ClientHello; None while bytes are missing."""
        data = self._data
        data += piece
        hello = self._hello
        while len(data) - self._at >= 5:
            at = self._at
            size = int.from_bytes(data[at + 3 : at + 5], "big")
            if data[at] != HANDSHAKE or size == 0:
                return ""
            if len(data) - at - 5 < size:
                break
            hello += data[at + 5 : at + 5 + size]
            self._at = at + 5 + size
            if hello[0] != CLIENT_HELLO:
                return ""
            end = 4 + int.from_bytes(hello[1:4], "big")
            if len(hello) >= 4 and len(hello) >= end:
                return _name(bytes(hello[4:end]))
        if len(data) >= HELLO_MAX or (data and data[0] != HANDSHAKE):
            return ""
        return None


def _name(hello: bytes) -> str:
    fields = _Reader(hello)
    try:
        # Version and random; then session id, ciphers, compressions.
        fields.take(34)
        for width in (1, 2, 1):
            fields.vector(width)
        extensions = _Reader(fields.vector(2))
        while extensions.more():
            kind = extensions.number(2)
            value = extensions.vector(2)
            if kind == SERVER_NAME:
                names = _Reader(_Reader(value).vector(2))
                if names.number(1) == HOST_NAME:
                    return names.vector(2).decode("ascii").lower().rstrip(".")
    except (ValueError, UnicodeDecodeError):
        # OpenSSL will say what is wrong with it.
        pass
    return ""
