"""A small HTTP/1.1 server for few and short questions: one request a connection, everything bounded."""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Final, final

import h11

log = logging.getLogger("gateway.admin")

CONNECTIONS_MAX: Final = 64
"""Open at a time; for one more, the one that has waited longest makes room."""

EXCHANGE_TIMEOUT_S: Final = 10.0
"""How long a request may take to come and its answer to be read."""

REQUEST_BYTES_MAX: Final = 16_384
"""Request line and headers."""

HEAD: Final = b"HEAD "


@final
@dataclass(slots=True)
class Answer:
    """What is answered to a request."""

    code: int
    body: bytes
    content_type: str
    headers: list[tuple[str, str]] = field(default_factory=list)


class Endpoint:
    """Listens, reads requests, and writes what `answer` says to them."""

    def __init__(self, host: str, port: int, body_bytes_max: int = 0) -> None:
        """A body above `body_bytes_max` is refused; with 0 none is read."""
        self.host = host
        self.port = port
        """The port asked for; after `open`, the one it got."""
        self._body_bytes_max = body_bytes_max
        self._server: asyncio.Server | None = None
        # In the order in which they came.
        self._clients: dict[asyncio.Task[None], None] = {}

    async def answer(self, request: h11.Request, body: bytes) -> Answer:
        """What is said to a request."""
        raise NotImplementedError

    def wrong(self, code: int, reason: str) -> Answer:
        """The same of a request that is none, in the endpoint's own form."""
        raise NotImplementedError

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
            # A request is one packet: whoever has not asked yet is hardly going to.
            oldest = next(iter(self._clients))
            del self._clients[oldest]
            oldest.cancel()
        self._clients[task] = None
        try:
            async with asyncio.timeout(EXCHANGE_TIMEOUT_S):
                writer.write(await self._exchange(reader))
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._clients.pop(task, None)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader) -> bytes:
        """The answer to one request; nobody asks so often that connections would be worth keeping."""
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=REQUEST_BYTES_MAX)
        # h11 forgets the method of what it refuses.
        head = False
        try:
            opening = await reader.read(REQUEST_BYTES_MAX)
            while len(opening) < len(HEAD) and (more := await reader.read(REQUEST_BYTES_MAX)):
                opening += more
            head = opening.startswith(HEAD)
            connection.receive_data(opening)
            request = await _event(connection, reader)
            if not isinstance(request, h11.Request):
                return b""
            head = request.method == b"HEAD"
            body = await self._body(connection, reader) if self._body_bytes_max else b""
        except h11.RemoteProtocolError as error:
            return _response(connection, self.wrong(error.error_status_hint, str(error)), head)
        try:
            if body is None:
                answer = self.wrong(413, f"a body may have {self._body_bytes_max} bytes")
            else:
                answer = await self.answer(request, body)
        except Exception:
            log.exception("internal error in an answer")
            answer = self.wrong(500, "internal error")
        return _response(connection, answer, head)

    async def _body(self, connection: h11.Connection, reader: asyncio.StreamReader) -> bytes | None:
        """What follows a request's head; None where that is too much."""
        parts: list[bytes] = []
        size = 0
        while isinstance(event := await _event(connection, reader), h11.Data):
            size += len(event.data)
            if size > self._body_bytes_max:
                return None
            parts.append(bytes(event.data))
        return b"".join(parts)


async def _event(connection: h11.Connection, reader: asyncio.StreamReader) -> object:
    event = connection.next_event()
    while event is h11.NEED_DATA:
        connection.receive_data(await reader.read(REQUEST_BYTES_MAX))
        event = connection.next_event()
    return event


def _response(connection: h11.Connection, answer: Answer, head: bool) -> bytes:
    """A whole response as bytes, after which the connection is closed; to HEAD without its body (RFC 9110 §9.3.2)."""
    headers = [
        ("Content-Type", answer.content_type),
        ("Content-Length", str(len(answer.body))),
        ("X-Content-Type-Options", "nosniff"),
        ("Connection", "close"),
        *answer.headers,
    ]
    data = connection.send(h11.Response(status_code=answer.code, headers=headers)) or b""
    if head or answer.code == 304:
        return data
    return data + (connection.send(h11.Data(data=answer.body)) or b"")
