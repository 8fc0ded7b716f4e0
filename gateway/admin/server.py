"""The status endpoint: GET /status and GET /health, as JSON."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final, final

import h11

from gateway.admin.endpoint import Answer, Endpoint
from gateway.connectors.http.origins import allowed, host_allowed, site_allowed

UP: Final = "up"
DEGRADED: Final = "degraded"
"""It serves, but not all that it should: the reason is beside it."""


@final
class AdminServer(Endpoint):
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
        super().__init__(host, port)
        self._status = status
        self._trouble = trouble
        self._compact = compact
        self._reload = reload

    async def answer(self, request: h11.Request, _: bytes) -> Answer:
        """See Endpoint."""
        code, answer = await self._answer(request)
        return _json(code, answer)

    def wrong(self, code: int, reason: str) -> Answer:
        """See Endpoint."""
        return _json(code, {"error": reason})

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


def _json(code: int, answer: dict[str, Any]) -> Answer:
    headers = [
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox"),
    ]
    if code == 405:
        headers.append(("Allow", "POST" if "POST" in answer.get("error", "") else "GET"))
    return Answer(code, json.dumps(answer).encode() + b"\n", "application/json", headers)
