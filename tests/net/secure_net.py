"""Listeners with TLS, and clients for them."""

import asyncio
import ssl

from line_net import LineNet

from gateway.connectors.base import Limits
from gateway.net.identity import Keeper
from gateway.net.listener import Listener
from gateway.net.tls import TlsSettings

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class SecureNet(LineNet):
    """Listeners with TLS, and clients for them."""

    def __init__(self) -> None:
        super().__init__(Limits(maximum_connections=100, connect_timeout_ms=300))
        self.keeper: Keeper

    async def open(self, settings: TlsSettings, secure: bool = True, doors: tuple[str, ...] = ()) -> None:
        self.keeper = Keeper("lines", settings, self.machinery.loop)
        await self.keeper.load()
        found = dict.fromkeys(doors, self.acceptor)
        self.listener = Listener(self.acceptor, "127.0.0.1", 0, self.machinery, self.keeper, found, secure)
        await self.listener.open()

    async def client(self, context: ssl.SSLContext | None, name: str = "localhost") -> Streams:
        host = name if context else None
        streams = await asyncio.open_connection(
            "127.0.0.1", self.listener.port, ssl=context, server_hostname=host
        )
        self.writers.append(streams[1])
        return streams

    async def says(self, streams: Streams, line: str = "hello") -> bytes:
        """Send a line, and what comes back for it."""
        streams[1].write(line.encode() + b"\n")
        async with asyncio.timeout(10):
            return await streams[0].readline()

    async def refused(self, context: ssl.SSLContext) -> str:
        """Come with `context`; the reason why that was in vain, as the client sees it."""
        try:
            streams = await self.client(context)
            # In TLS 1.3 the client learns of it only afterwards.
            said = await self.says(streams)
        except (ssl.SSLError, ConnectionError) as error:
            return str(error).upper()
        assert said == b"", said
        return "CLOSED"
