"""The same in JSON over WebSocket, and a reader that fetches over HTTP from the same port."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from fault_clients import CONNECTION_LOST, Client, History
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

JSON_LOST = (*CONNECTION_LOST, ConnectionClosed, InvalidHandshake, EOFError)


class JsonClient(Client):
    """Speaks `gateway.json`."""

    connector = "ws"

    async def serve(self) -> None:
        url = f"ws://127.0.0.1:{self.port}/"
        try:
            async with connect(url, subprotocols=["gateway.json"], compression=None) as socket:  # type: ignore[list-item]
                await self.spoken(socket)
        except JSON_LOST:
            raise ConnectionError from None

    async def spoken(self, socket: ClientConnection) -> None:
        """Serve one connection until it is lost."""
        raise NotImplementedError

    @staticmethod
    async def read(socket: ClientConnection) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(await socket.recv())
        return said


class JsonProducer(JsonClient):
    """Numbered messages, `window` at a time; in transactions of `parts`, each one batch, if there are several."""

    def __init__(self, name: str, to: str, history: History, window: int = 20, parts: int = 1) -> None:
        super().__init__(name)
        self.to = to
        self.history = history
        self.window = window
        self.parts = parts
        self.producing = True
        self._number = 0
        self._open: dict[int, list[str]] = {}

    @property
    def finished(self) -> bool:
        return not self._open

    async def spoken(self, socket: ClientConnection) -> None:
        # What was not confirmed may be there or not; it is not sent again.
        self._open.clear()
        while True:
            while self.producing and len(self._open) < self.window:
                await socket.send(json.dumps(self._operations()))
            said = await self.read(socket)
            if said["op"] == "ping":
                continue
            assert said["op"] == "ok", said
            self.history.confirmed.update(self._open.pop(said["id"]))

    def _operations(self) -> list[dict[str, Any]]:
        self._number += 1
        number = self._number
        text = f"{self.name}:{number:06}"
        if self.parts == 1:
            texts = [text]
            operations: list[dict[str, Any]] = [{"op": "publish", "id": number, "to": self.to, "body": text}]
        else:
            texts = [f"{text}/{part}" for part in range(self.parts)]
            operations = [
                {"op": "begin", "tx": "t"},
                *({"op": "publish", "tx": "t", "to": self.to, "body": text} for text in texts),
                {"op": "commit", "tx": "t", "id": number},
            ]
        self._open[number] = texts
        self.history.attempted.update(texts)
        return operations


class JsonConsumer(JsonClient):
    """Acknowledges each message on its own."""

    def __init__(self, name: str, source: str, sort: Callable[[str], History | None]) -> None:
        super().__init__(name)
        self.source = source
        self.subscribed = asyncio.Event()
        self._sort = sort

    async def spoken(self, socket: ClientConnection) -> None:
        subscribe = {"op": "subscribe", "id": "s", "sub": "s", "from": self.source, "ack": "client"}
        await socket.send(json.dumps(subscribe))
        while True:
            said = await self.read(socket)
            if said["op"] == "ok":
                self.subscribed.set()
            elif said["op"] == "message":
                history = self._sort(said["body"])
                if history is not None:
                    history.see(said["body"], "redelivered" in said)
                await socket.send(json.dumps({"op": "ack", "tag": said["tag"]}))
            else:
                assert said["op"] == "ping", said


class HttpConsumer(Client):
    """Fetches one message after the other, and deletes each by its receipt."""

    connector = "ws"

    def __init__(self, name: str, queue: str, sort: Callable[[str], History | None]) -> None:
        super().__init__(name)
        self.queue = queue
        self.subscribed = asyncio.Event()
        self.subscribed.set()
        self._sort = sort

    async def connected(self) -> None:
        while True:
            status, headers, body = await self.request("GET", f"/queues/{self.queue}?wait=5000")
            if status == 204:
                continue
            assert status == 200, (status, body)
            history = self._sort(body)
            if history is not None:
                history.see(body, "redelivered" in json.loads(headers.get("x-mx-meta", "{}")))
            status, _, body = await self.request("DELETE", headers["location"])
            assert status == 202, (status, body)

    async def request(self, method: str, path: str) -> tuple[int, dict[str, str], str]:
        self.writer.write(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(first.split(" ")[1]), headers, body.decode()
