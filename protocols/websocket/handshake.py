"""The opening handshake (RFC 6455 §4.2), by the `websockets` package; the HTTP around it is somebody else's."""

from collections.abc import Sequence
from typing import Final, cast, final

from websockets.datastructures import Headers
from websockets.extensions.base import ServerExtensionFactory
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from protocols.websocket.deflate import Deflater, Inflater

SWITCHING: Final = 101

UPGRADE_REQUIRED: Final = 426
VERSION: Final = "13"

NONE_OF_OURS: Final = ""
"""No subprotocol has this name."""


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
        """`headers` with names in lower case; a client that names no subprotocol gets none."""
        factories: list[ServerExtensionFactory] = []
        if compression:
            factories.append(
                ServerPerMessageDeflateFactory(
                    server_max_window_bits=window_bits, client_max_window_bits=window_bits
                )
            )
        chosen = _choose(headers, subprotocols)
        protocol = ServerProtocol(
            subprotocols=None if chosen is None else [Subprotocol(chosen)], extensions=factories
        )
        response = protocol.accept(Request(target, Headers(headers)))
        self.status: int = response.status_code
        """101, or why not."""
        self.headers: list[tuple[str, str]] = list(response.headers.raw_items())
        self.body: bytes = bytes(response.body or b"")
        if self.status != SWITCHING and _is_of_another_version(headers):
            # RFC 6455 §4.4: the refusal names what is spoken; 426 goes with Upgrade (RFC 9110 §15.5.22).
            self.headers.append(("Sec-WebSocket-Version", VERSION))
            if self.status != UPGRADE_REQUIRED:
                self.status = UPGRADE_REQUIRED
                self.headers.append(("Upgrade", "websocket"))
            self.body = f"This is version {VERSION} of WebSocket.\n".encode()
        self.subprotocol: str | None = cast("str | None", protocol.subprotocol)
        self._deflate: PerMessageDeflate | None = None
        self._max_unpacked = max_unpacked
        if chosen == NONE_OF_OURS:
            self.body = f"There are the subprotocols {', '.join(subprotocols)}.\n".encode()
        for extension in protocol.extensions:
            if isinstance(extension, PerMessageDeflate):
                self._deflate = extension
        # The protocol and its parser, a generator, know each other, and it has made packers of 90 KiB, which nobody uses:
        # else they would stay until the collector comes.
        protocol.parser.close()

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


def _is_of_another_version(headers: Sequence[tuple[str, str]]) -> bool:
    return [value.strip() for name, value in headers if name.lower() == "sec-websocket-version"] != [VERSION]


def _choose(headers: Sequence[tuple[str, str]], ours: Sequence[str]) -> str | None:
    """The client's first choice that we have; None when it names none at all (§4.2.2)."""
    offered: list[str] = []
    for name, value in headers:
        if name == "sec-websocket-protocol":
            offered.extend([part.strip() for part in value.split(",")])
    if not offered:
        return None
    for part in offered:
        if part in ours:
            return part
    return NONE_OF_OURS
