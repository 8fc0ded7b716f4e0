"""A small HTTP/1.1 endpoint: GET /status and GET /health, as JSON."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, final

import h11

from gateway.connectors.http.origins import allowed, host_allowed, site_allowed

log = logging.getLogger("gateway.admin")

CONNECTIONS_MAX: Final = 64
"""Open at a time; for one more, the one that has waited longest makes room."""

EXCHANGE_TIMEOUT_S: Final = 10.0
"""How long a request may take to come and its answer to be read."""

REQUEST_BYTES_MAX: Final = 16_384
"""Request line and headers."""

UP: Final = "up"
DEGRADED: Final = "degraded"
"""It serves, but not all that it should: the reason is beside it."""


@final
class AdminServer:
    """Serves what `status` returns, and says that all is well unless `trouble` says what is not."""

    def __init__(
        self,
        host: str,
        port: int,
        status: Callable[[], dict[str, Any]],
        trouble: Callable[[], str] = lambda: "",
        compact: Callable[[], None] | None = None,
        reload: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        """`reload` says what was done, or raises an exception with `problems`."""
        self.host = host
        self.port = port
        """The port asked for; after `open`, the one it got."""
        self._status = status
        self._trouble = trouble
        self._compact = compact
        self._reload = reload
        self._server: asyncio.Server | None = None
        # In the order in which they came.
        self._clients: dict[asyncio.Task[None], None] = {}

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
        try:
            event = connection.next_event()
            while event is h11.NEED_DATA:
                connection.receive_data(await reader.read(REQUEST_BYTES_MAX))
                event = connection.next_event()
        except h11.RemoteProtocolError as error:
            return _response(connection, error.error_status_hint, {"error": str(error)})
        if not isinstance(event, h11.Request):
            return b""
        try:
            code, answer = await self._answer(event)
        except Exception:
            log.exception("internal error in the status")
            code, answer = 500, {"error": "internal error"}
        return _response(connection, code, answer, event.method == b"HEAD")

    async def _answer(self, request: h11.Request) -> tuple[int, dict[str, Any]]:
        if not _may_ask(request):
            return 403, {"error": "only for this machine, under its own names, and for no other site's pages"}
        path = request.target.split(b"?", 1)[0]
        if path == b"/compact" and self._compact is not None:
            return _command_refused(request) or self._begin_compacting(self._compact)
        if path == b"/reload" and self._reload is not None:
            return _command_refused(request) or await self._have_reloaded(self._reload)
        if path not in (b"/status", b"/health"):
            return 404, {"error": "there are /status and /health"}
        if request.method != b"GET":
            return 405, {"error": "only GET"}
        if path == b"/status":
            return 200, self._status()
        trouble = self._trouble()
        return (503, {"status": DEGRADED, "reason": trouble}) if trouble else (200, {"status": UP})

    @staticmethod
    def _begin_compacting(compact: Callable[[], None]) -> tuple[int, dict[str, Any]]:
        compact()
        return 202, {"compacting": True}

    @staticmethod
    async def _have_reloaded(reload: Callable[[], Awaitable[str]]) -> tuple[int, dict[str, Any]]:
        try:
            # It goes on though whoever asked for it has lost patience.
            return 200, {"reloaded": True, "done": await asyncio.shield(reload())}
        except Exception as error:
            problems: list[str] | None = getattr(error, "problems", None)
            if problems is None:
                raise
            return 409, {"reloaded": False, "problems": problems}


def _command_refused(request: h11.Request) -> tuple[int, dict[str, Any]] | None:
    """Why a request may not have something done; None where it may."""
    if request.method != b"POST":
        return 405, {"error": "only POST"}
    # Browsers send simple requests anywhere, and name the page that made them do it.
    if any(name in (b"origin", b"sec-fetch-site") for name, _ in request.headers):
        return 403, {"error": "not for pages"}
    return None


def _may_ask(request: h11.Request) -> bool:
    """Does it come from this machine's own programs or pages, as far as its browser says?"""
    said = {name: value.decode("latin-1") for name, value in request.headers}
    host = said.get(b"host")
    if host is not None and not host_allowed(host, (), True):
        return False
    origin = said.get(b"origin")
    if origin is not None:
        return allowed(origin, host or "", (), True)
    return site_allowed(said.get(b"sec-fetch-site"), said.get(b"sec-fetch-mode"), False, True)


def _response(connection: h11.Connection, code: int, answer: dict[str, Any], head: bool = False) -> bytes:
    """A whole response as bytes, after which the connection is closed."""
    body = json.dumps(answer).encode() + b"\n"
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox"),
        ("Connection", "close"),
    ]
    if code == 405:
        headers.append(("Allow", "POST" if "POST" in answer.get("error", "") else "GET"))
    data = connection.send(h11.Response(status_code=code, headers=headers)) or b""
    if not head:
        data += connection.send(h11.Data(data=body)) or b""
    return data + (connection.send(h11.EndOfMessage()) or b"")
