"""A small HTTP/1.1 endpoint: GET /status and GET /health, as JSON."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final, final

import h11

CONNECTIONS_MAX: Final = 64
"""Open at a time; more are closed at once."""

IDLE_TIMEOUT_S: Final = 10.0
"""How long a connection may be silent."""

REQUEST_BYTES_MAX: Final = 16_384
"""Request line and headers."""


@final
class AdminServer:
    """Serves what `status` returns.  Knows nothing else of the gateway."""

    def __init__(self, host: str, port: int, status: Callable[[], dict[str, Any]]) -> None:
        self.host = host
        self.port = port
        """The port asked for; after `open`, the one it got."""
        self._status = status
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen.  Raises OSError."""
        self._server = await asyncio.start_server(self._accept, self.host, self.port, limit=REQUEST_BYTES_MAX)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and end the open connections."""
        if self._server is not None:
            self._server.close()
        for task in list(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._clients) >= CONNECTIONS_MAX:
            writer.close()
            return
        self._clients.add(task)
        try:
            await self._serve(reader, writer)
        except (TimeoutError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._clients.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=REQUEST_BYTES_MAX)
        while True:
            try:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    async with asyncio.timeout(IDLE_TIMEOUT_S):
                        connection.receive_data(await reader.read(REQUEST_BYTES_MAX))
                    continue
                if isinstance(event, h11.Request):
                    code, body = self._answer(event)
                    writer.write(_response(connection, code, body, event.method))
                    await writer.drain()
                elif isinstance(event, h11.EndOfMessage):
                    if connection.our_state is h11.MUST_CLOSE:
                        return
                    connection.start_next_cycle()
                elif isinstance(event, h11.ConnectionClosed):
                    return
            except h11.RemoteProtocolError as error:
                if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                    problem = {"error": str(error)}
                    writer.write(_response(connection, error.error_status_hint, problem, b"GET"))
                    await writer.drain()
                return

    def _answer(self, request: h11.Request) -> tuple[int, dict[str, Any]]:
        path = request.target.split(b"?", 1)[0]
        if path not in (b"/status", b"/health"):
            return 404, {"error": "there are /status and /health"}
        if request.method not in (b"GET", b"HEAD"):
            return 405, {"error": "only GET and HEAD"}
        return 200, (self._status() if path == b"/status" else {"status": "up"})


def _response(connection: h11.Connection, code: int, answer: dict[str, Any], method: bytes) -> bytes:
    """A whole response as bytes."""
    body = json.dumps(answer).encode() + b"\n"
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if code == 405:
        headers.append(("Allow", "GET, HEAD"))
    data = connection.send(h11.Response(status_code=code, headers=headers)) or b""
    if method != b"HEAD":
        data += connection.send(h11.Data(data=body)) or b""
    return data + (connection.send(h11.EndOfMessage()) or b"")
