"""A TLS 1.3 client of OpenSSL's own library that asks for new keys, which Python's `ssl` has no call for."""

import ctypes
import ctypes.util
import socket
from typing import Any

KEY_UPDATE_REQUESTED = 1
"""The peer is to use a new key too, and so has to answer (RFC 8446 §4.6.3)."""

_FUNCTIONS: dict[str, Any] = {
    "TLS_client_method": ctypes.c_void_p,
    "SSL_CTX_new": ctypes.c_void_p,
    "SSL_new": ctypes.c_void_p,
    "SSL_set_fd": ctypes.c_int,
    "SSL_connect": ctypes.c_int,
    "SSL_key_update": ctypes.c_int,
    "SSL_do_handshake": ctypes.c_int,
    "SSL_write": ctypes.c_int,
    "SSL_read": ctypes.c_int,
    "SSL_free": None,
    "SSL_CTX_free": None,
}


def find() -> Any:
    """OpenSSL's library, version 1.1.1 or later; None where there is none."""
    name = ctypes.util.find_library("ssl")
    if name is None:
        return None
    library = ctypes.CDLL(name)
    for function, result in _FUNCTIONS.items():
        if not hasattr(library, function):
            return None
        getattr(library, function).restype = result
    return library


class KeyUpdater:
    """One connection.  All calls block, so it is for a thread."""

    def __init__(self, library: Any, port: int) -> None:
        self._library = library
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        # OpenSSL waits by itself.
        self.socket.settimeout(None)
        self._context = ctypes.c_void_p(library.SSL_CTX_new(ctypes.c_void_p(library.TLS_client_method())))
        self._ssl = ctypes.c_void_p(library.SSL_new(self._context))
        library.SSL_set_fd(self._ssl, self.socket.fileno())
        assert library.SSL_connect(self._ssl) == 1

    def ask(self, count: int) -> int:
        """Ask for so many new keys; how many requests went out before the connection ended."""
        for asked in range(count):
            if self._library.SSL_key_update(self._ssl, KEY_UPDATE_REQUESTED) != 1:
                return asked
            if self._library.SSL_do_handshake(self._ssl) != 1:
                return asked
        return count

    def say(self, line: bytes) -> bytes:
        """Send a line; the answer, or b"" when there is none."""
        if self._library.SSL_write(self._ssl, line, len(line)) <= 0:
            return b""
        data = ctypes.create_string_buffer(1_024)
        size = self._library.SSL_read(self._ssl, data, 1_024)
        return data.raw[: max(size, 0)]

    def close(self) -> None:
        """End the connection."""
        self._library.SSL_free(self._ssl)
        self._library.SSL_CTX_free(self._context)
        self.socket.close()
