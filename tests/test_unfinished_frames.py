"""Most of a frame from each of many connections: bounded in bytes over all of them, whatever they speak."""

import asyncio
import base64
import os
import struct

import pytest

from gateway.app import Gateway
from gateway.config import Config, ConnectorSection

SIZE = 400_000
MOST = 1_000_000
"""Two such frames are not too much, three are."""


def config() -> Config:
    names = ("mqtt", "stomp", "ws")
    return Config.model_validate(
        {
            "connector": tuple([ConnectorSection(name=name, uri=f"{name}://127.0.0.1:0") for name in names]),
            "gateway": {"unfinished_bytes_max": MOST},
            "admin": {"enabled": False},
            "store": {"path": ""},
        }
    )


def held(gateway: Gateway) -> int:
    """Bytes of frames that are not whole."""
    return gateway.listeners[0].machinery.unfinished.bytes


class Client:
    """Sends all but the end of a frame that is too large to be kept by everybody."""

    def __init__(self, gateway: Gateway, protocol: str) -> None:
        self._protocol = protocol
        self._gateway = gateway

    async def begin(self) -> None:
        names = ("mqtt", "stomp", "http")
        at = 2 if self._protocol == "websocket" else names.index(self._protocol)
        port = self._gateway.listeners[at].port
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        await getattr(self, f"_{self._protocol}")()
        self.writer.write(b"x" * SIZE)
        while self._counted() < SIZE:
            await asyncio.sleep(0.01)

    def _counted(self) -> int:
        """What the gateway counts of this client."""
        own = f":{self.writer.get_extra_info('sockname')[1]}"
        found = [one for listener in self._gateway.listeners for one in listener.transports]
        return sum([one.unfinished for one in found if one.peer_name().endswith(own)])

    async def _mqtt(self) -> None:
        self.writer.write(b"\x10\x0d\0\4MQTT\5\2\0\0\0\0\0")
        await self.reader.readexactly(2)
        # A topic, no properties, and as many bytes as come, and one.
        size = 4 + 1 + SIZE + 1
        self.writer.write(
            b"\x30" + bytes((size & 127 | 128, size >> 7 & 127 | 128, size >> 14)) + b"\0\2ab\0"
        )

    async def _stomp(self) -> None:
        self.writer.write(b"CONNECT\naccept-version:1.2\nhost:x\n\n\0")
        await self.reader.readuntil(b"\0\n")
        self.writer.write(b"SEND\ndestination:/topic/ab\n\n")

    async def _http(self) -> None:
        head = f"POST /topics/ab HTTP/1.1\r\nHost: localhost\r\nContent-Length: {SIZE + 1}\r\n\r\n"
        self.writer.write(head.encode())

    async def _websocket(self) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self.writer.write(
            "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Protocol: gateway.json\r\n\r\n".encode()
        )
        await self.reader.readuntil(b"\r\n\r\n")
        text = b'{"op":"connect"}'
        self.writer.write(b"\x81" + bytes((0x80 | len(text),)) + bytes(4) + text)
        await self.reader.readuntil(b"}")
        self.writer.write(b"\x81\xff" + struct.pack(">Q", SIZE + 1) + bytes(4))

    async def all_said(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), 10)


SAID = {"mqtt": b"\xe0\x01\x97", "stomp": b"ERROR", "http": b"503", "websocket": b"began first"}


@pytest.mark.parametrize("protocol", sorted(SAID))
async def test_the_frame_that_began_first_goes_and_says_why(protocol: str) -> None:
    async with Gateway(config()) as gateway:
        clients = [Client(gateway, name) for name in (protocol, "stomp", "mqtt")]
        for client in clients:
            await client.begin()
        assert SAID[protocol] in await clients[0].all_said()
        assert 2 * SIZE <= held(gateway) <= MOST
        # The others may end theirs.
        clients[1].writer.write(b"\0DISCONNECT\nreceipt:r\n\n\0")
        assert b"receipt-id:r" in await clients[1].all_said()
        clients[2].writer.write(b"x\xc0\0")
        assert await clients[2].reader.readuntil(b"\xd0\0")
        assert held(gateway) == 0


async def test_a_client_that_leaves_takes_its_part_along() -> None:
    async with Gateway(config()) as gateway:
        client = Client(gateway, "stomp")
        await client.begin()
        assert held(gateway) >= SIZE
        client.writer.close()
        while held(gateway):
            await asyncio.sleep(0.01)
