"""The status endpoint: two paths, GET only, and nothing a client sends makes it hang or grow."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.admin import endpoint
from gateway.admin.endpoint import CONNECTIONS_MAX, REQUEST_BYTES_MAX
from gateway.admin.server import AdminServer


@pytest_asyncio.fixture
async def admin() -> AsyncIterator[AdminServer]:
    server = AdminServer("127.0.0.1", 0, lambda: {"answer": 42})
    await server.open()
    yield server
    await server.close()


async def ask(admin: AdminServer, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status code, headers and body of the answer to `request`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", admin.port)
    writer.write(request)
    head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
    writer.close()
    line, *fields = head.decode().split("\r\n")
    return int(line.split()[1]), dict(field.lower().split(": ", 1) for field in fields), body


async def test_status_is_what_it_was_given(admin: AdminServer) -> None:
    code, headers, body = await ask(admin, b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (code, json.loads(body)) == (200, {"answer": 42})
    assert headers["content-type"] == "application/json"
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) == len(body)


async def test_health_is_up(admin: AdminServer) -> None:
    code, _, body = await ask(admin, b"GET /health?now HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (code, json.loads(body)) == (200, {"status": "up"})


async def test_health_says_what_is_wrong() -> None:
    server = AdminServer("127.0.0.1", 0, dict, lambda: "the disk is full")
    await server.open()
    code, _, body = await ask(server, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (code, json.loads(body)) == (503, {"status": "degraded", "reason": "the disk is full"})
    await server.close()


async def test_a_request_may_come_in_pieces(admin: AdminServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", admin.port)
    for piece in (b"GET /hea", b"lth HTTP/1.1\r\nHo", b"st: localhost\r\n\r\n"):
        writer.write(piece)
        await asyncio.sleep(0.01)
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 200")
    writer.close()


@pytest.mark.parametrize(
    ("request_line", "code"),
    [
        (b"GET / HTTP/1.1", 404),
        (b"GET /statusx HTTP/1.1", 404),
        (b"POST /status HTTP/1.1", 405),
        (b"HEAD /nothing HTTP/1.1", 404),
        (b"DELETE /health HTTP/1.1", 405),
    ],
)
async def test_everything_else_is_refused(admin: AdminServer, request_line: bytes, code: int) -> None:
    got, headers, _ = await ask(admin, request_line + b"\r\nHost: localhost\r\n\r\n")
    assert got == code
    assert (headers.get("allow") == "get") == (code == 405)


async def test_what_is_not_http_is_answered_400(admin: AdminServer) -> None:
    code, _, _ = await ask(admin, b"\x10\x1a\x00\x04MQTT\r\n\r\n")
    assert code == 400


async def test_headers_without_end_are_answered_431_and_not_kept(admin: AdminServer) -> None:
    code, _, _ = await ask(admin, b"GET /status HTTP/1.1\r\nx: " + b"y" * (REQUEST_BYTES_MAX * 2))
    assert code == 431


@pytest.mark.parametrize(
    "behind", [b"\r\n", b"Host: a\r\nHost: b\r\n\r\n", b"x: " + b"y" * (REQUEST_BYTES_MAX * 2)]
)
@pytest.mark.parametrize("opening", [[b"HEAD /status HTTP/1.1\r\n"], [b"HE", b"AD /status HTTP/1.1\r\n"]])
async def test_a_head_that_is_refused_has_no_body(
    admin: AdminServer, opening: list[bytes], behind: bytes
) -> None:
    """RFC 9110 §9.3.2"""
    reader, writer = await asyncio.open_connection("127.0.0.1", admin.port)
    for piece in opening:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    writer.write(behind)
    # Of what is too long the end is not read, and the connection may be reset behind the answer.
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert head.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    try:
        assert await asyncio.wait_for(reader.read(), 5) == b""
    except ConnectionResetError:
        pass
    writer.close()


async def test_a_client_that_says_nothing_is_closed(
    admin: AdminServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "EXCHANGE_TIMEOUT_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", admin.port)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_of_those_that_ask_nothing_the_oldest_makes_room(admin: AdminServer) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", admin.port) for _ in range(CONNECTIONS_MAX)]
    assert (await ask(admin, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"))[0] == 200
    assert await asyncio.wait_for(silent[0][0].read(), 5) == b""
    silent[1][1].write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await asyncio.wait_for(silent[1][0].readline(), 5)).startswith(b"HTTP/1.1 200")
    for _, other in silent:
        other.close()


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (b"Host: 127.0.0.1:8161", 200),
        (b"Host: [::1]:8161", 200),
        (b"Host: localhost\r\nOrigin: http://localhost:3000", 200),
        (b"Host: localhost\r\nSec-Fetch-Site: none", 200),
        (b"Host: evil.example", 403),
        (b"Host: localhost.evil.example:8161", 403),
        (b"Host: evil.example\r\nOrigin: http://evil.example", 403),
        (b"Host: localhost\r\nOrigin: https://evil.example", 403),
        (b"Host: localhost\r\nOrigin: null", 403),
        (b"Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors", 403),
        (b"Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate", 403),
    ],
)
@pytest.mark.parametrize("path", [b"/status", b"/health", b"/nothing"])
async def test_pages_of_other_sites_and_foreign_names_get_nothing(
    admin: AdminServer, path: bytes, headers: bytes, code: int
) -> None:
    got, _, body = await ask(admin, b"GET %s HTTP/1.1\r\n%s\r\n\r\n" % (path, headers))
    assert got == (404 if code == 200 and path == b"/nothing" else code)
    assert (b"42" in body) == (got == 200 and path == b"/status")


async def test_a_monitor_of_http_1_0_names_no_host(admin: AdminServer) -> None:
    assert (await ask(admin, b"GET /health HTTP/1.0\r\n\r\n"))[0] == 200


async def test_a_status_that_fails_is_a_500_and_the_next_one_is_answered() -> None:
    answers = iter([None, {"fine": True}])

    def status() -> dict[str, bool]:
        answer = next(answers)
        if answer is None:
            raise RuntimeError("a bug of ours")
        return answer

    server = AdminServer("127.0.0.1", 0, status)
    await server.open()
    request = b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert (await ask(server, request))[0] == 500
    assert json.loads((await ask(server, request))[2]) == {"fine": True}
    await server.close()


@pytest.mark.parametrize(
    ("request_line", "code", "calls"),
    [
        (b"POST /compact HTTP/1.1\r\nHost: localhost\r\n\r\n", 202, 1),
        (b"GET /compact HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, 0),
        (b"POST /compact HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n", 403, 0),
    ],
)
async def test_the_store_is_compacted_when_asked_by_post_and_not_by_a_page(
    request_line: bytes, code: int, calls: int
) -> None:
    called: list[None] = []
    server = AdminServer("127.0.0.1", 0, dict, compact=lambda: called.append(None))
    await server.open()
    assert (await ask(server, request_line))[0] == code
    assert len(called) == calls
    await server.close()
