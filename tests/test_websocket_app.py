"""WebSocket and HTTP through the whole gateway in this process: users, pages, status and the end."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gateway.app import SERVICES, Gateway, web_pages
from gateway.config import Config, ConnectorSection
from gateway.security.passwords import hash_password

DESTINATIONS = ("topic:{user}.>", "queue:q")


@pytest.fixture(scope="module")
def secret_hash() -> str:
    """A hash takes its time."""
    return hash_password("p")


@pytest_asyncio.fixture
async def guarded(secret_hash: str) -> AsyncIterator[Gateway]:
    """A gateway with one user, who may touch what is called after him."""
    config = Config.model_validate(
        {
            "connector": (
                ConnectorSection(name="w", uri="ws://127.0.0.1:0"),
                ConnectorSection(name="a", uri="auto://127.0.0.1:0"),
            ),
            "admin": {"enabled": False},
            "store": {"path": ""},
            "user": ({"name": "u", "hash": secret_hash},),
            "rule": ({"allow": ("publish", "subscribe", "receive"), "users": ("u",), "destinations": DESTINATIONS},),
        }
    )  # fmt: skip
    async with Gateway(config) as gateway:
        yield gateway


def url(gateway: Gateway, at: int = 0) -> str:
    """Where it listens."""
    return f"ws://127.0.0.1:{gateway.listeners[at].port}/"


def basic(secret: str) -> dict[str, str]:
    """The header of user u."""
    return {"Authorization": "Basic " + base64.b64encode(f"u:{secret}".encode()).decode()}


async def ask(client: ClientConnection, **operation: object) -> dict[str, object]:
    """An operation and the next message."""
    await client.send(json.dumps(operation))
    answer = json.loads(await client.recv())
    assert isinstance(answer, dict)
    return answer


async def http(gateway: Gateway, request: str, at: int = 0) -> bytes:
    """A request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.listeners[at].port)
    line, _, rest = request.partition("\r\n")
    writer.write(f"{line}\r\nHost: localhost\r\nConnection: close\r\n{rest}".encode())
    async with asyncio.timeout(5):
        data = await reader.read()
    writer.close()
    return data


@pytest.mark.parametrize("at", [0, 1])
async def test_who_the_http_request_names_is_who_the_client_is(guarded: Gateway, at: int) -> None:
    async with connect(
        url(guarded, at), subprotocols=["gateway.json"], additional_headers=basic("p")
    ) as client:  # type: ignore[list-item]
        assert await ask(client, op="publish", id=1, to="topic:u.x", body=1) == {"op": "ok", "id": 1}
        refused = await ask(client, op="publish", id=2, to="topic:v.x", body=1)
        assert (refused["code"], refused["id"]) == ("not_allowed", 2)


async def test_connect_says_it_too_and_a_wrong_password_ends_the_connection(guarded: Gateway) -> None:
    async with connect(url(guarded), subprotocols=["gateway.json"]) as client:  # type: ignore[list-item]
        assert (await ask(client, op="connect", user="u", password="p"))["user"] == "u"
    async with connect(url(guarded), subprotocols=["gateway.json"]) as client:  # type: ignore[list-item]
        assert (await ask(client, op="connect", user="u", password="wrong"))["code"] == "unauthorized"
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1008


@pytest.mark.parametrize("at", [0, 1])
async def test_http_asks_who_it_is(guarded: Gateway, at: int) -> None:
    tail = "Content-Length: 1\r\n\r\nx"
    header = f"Authorization: {basic('p')['Authorization']}\r\n"
    assert b" 401 " in await http(guarded, f"POST /queues/q HTTP/1.1\r\n{tail}", at)
    assert b" 202 " in await http(guarded, f"POST /queues/q HTTP/1.1\r\n{header}{tail}", at)
    assert b" 403 " in await http(guarded, f"POST /queues/other HTTP/1.1\r\n{header}{tail}", at)


async def test_what_is_carried_counts_with_its_listener(guarded: Gateway) -> None:
    async with connect(url(guarded), subprotocols=["gateway.json"], additional_headers=basic("p")) as client:  # type: ignore[list-item]
        await ask(client, op="publish", id=1, to="queue:q", body=1)
        found = guarded.status()["connectors"][0]
        assert (found["protocol"], found["connections"], found["messages_in"]) == ("ws", 1, 1)
        assert found["bytes_out"] > 0


async def test_clients_hear_the_stop(guarded: Gateway) -> None:
    async with connect(url(guarded), subprotocols=["gateway.json"], additional_headers=basic("p")) as client:  # type: ignore[list-item]
        await ask(client, op="ping", id=1)
        await guarded.stop()
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1001, "the gateway is shutting down")


async def test_the_schema_is_served_and_the_live_page_only_where_it_is_wanted(guarded: Gateway) -> None:
    answer = await http(guarded, "GET /gateway.schema.json HTTP/1.1\r\n\r\n")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["title"] == "gateway.json"
    assert b" 426 " in await http(guarded, "GET / HTTP/1.1\r\n\r\n")
    assert b" 404 " in await http(guarded, "GET /live.js HTTP/1.1\r\n\r\n")
    assert set(web_pages(False, 1_000)) == {"/gateway.schema.json"}
    assert web_pages(True, 1_000)["/"].body.startswith(b"<!doctype html>")


async def test_protocols_that_are_not_there_yet_are_refused_with_those_that_are(guarded: Gateway) -> None:
    answer = await http(
        guarded,
        "GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\nConnection: upgrade\r\nSec-WebSocket-Protocol: amqp\r\n\r\n",
    )
    assert b" 400 " in answer
    assert b"mqtt, mqttv3.1, v12.stomp, v11.stomp, v10.stomp, gateway.json" in answer


def test_every_protocol_that_says_how_it_is_carried_can_be_told_apart() -> None:
    gateway = Gateway(Config())
    carriages = [carriage for name in SERVICES if (carriage := gateway._service(name).carriage()) is not None]
    names = [name for carriage in carriages for name in carriage.names]
    starts = [start for carriage in carriages for start in carriage.starts]
    assert len(set(names)) == len(names)
    assert not [a for a in starts for b in starts if a is not b and b.startswith(a)]
