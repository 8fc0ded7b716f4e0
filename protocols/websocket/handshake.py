"""The opening handshake (RFC 6455 §4.2), by the `websockets` package; the HTTP around it is somebody else's."""

from collections.abc import Sequence
from typing import Final, cast, final

from websockets.datastructures import Headers
from websockets.exceptions import NegotiationError
from websockets.extensions.base import ServerExtensionFactory
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from protocols.websocket.deflate import Deflater, Inflater

SWITCHING: Final = 101


@final
class Handshake:
    """One request to switch, and what became of it."""

    __slots__ = ("_deflate", "_max_unpacked", "body", "headers", "status", "subprotocol")

    def __init__(
        self,
        target: str,
        headers: Sequence[tuple[str, str]],
        subprotocols: Sequence[str],
        compression: bool,
        window_bits: int,
        max_unpacked: int,
    ) -> None:
        """`subprotocols` in the order of our preference; a client that names none gets none."""
        factories: list[ServerExtensionFactory] = []
        if compression:
            factories.append(
                ServerPerMessageDeflateFactory(
                    server_max_window_bits=window_bits, client_max_window_bits=window_bits
                )
            )
        protocol = ServerProtocol(
            subprotocols=[Subprotocol(name) for name in subprotocols],
            extensions=factories,
            select_subprotocol=_select,
        )
        response = protocol.accept(Request(target, Headers(headers)))
        self.status: int = response.status_code
        """101, or why not."""
        self.headers: list[tuple[str, str]] = list(response.headers.raw_items())
        self.body: bytes = bytes(response.body or b"")
        self.subprotocol: str | None = cast("str | None", protocol.subprotocol)
        self._deflate: PerMessageDeflate | None = None
        self._max_unpacked = max_unpacked
        for extension in protocol.extensions:
            if isinstance(extension, PerMessageDeflate):
                self._deflate = extension

    def inflater(self) -> Inflater | None:
        """For what the client sends; None without compression."""
        agreed = self._deflate
        if agreed is None:
            return None
        return Inflater(self._max_unpacked, agreed.remote_max_window_bits, agreed.remote_no_context_takeover)

    def deflater(self) -> Deflater | None:
        """For what the client is sent; None without compression."""
        agreed = self._deflate
        if agreed is None:
            return None
        return Deflater(agreed.local_max_window_bits, agreed.local_no_context_takeover)


def _select(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The client's first choice that we have; who names only others is told which there are."""
    if not offered:
        return None
    ours = protocol.available_subprotocols or ()
    for name in offered:
        if name in ours:
            return name
    raise NegotiationError("there are the subprotocols " + ", ".join(ours))
