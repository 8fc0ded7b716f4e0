"""Connectors on Unix sockets: who may connect, whose file it is, and what becomes of it."""

import asyncio
import logging
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.config import Config, ConnectorSection

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")


@pytest.fixture
def directory() -> Iterator[Path]:
    """Short: a socket's path has little room."""
    with tempfile.TemporaryDirectory(prefix="gw") as name:
        yield Path(name)


def config(*uris: str) -> Config:
    connectors = tuple(ConnectorSection(name=f"c{at}", uri=uri) for at, uri in enumerate(uris))
    return Config.model_validate(
        {"connector": connectors, "admin": {"enabled": False}, "store": {"path": ""}}
    )


async def says(path: Path, data: bytes, until: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(data)
    try:
        async with asyncio.timeout(10):
            return await reader.readuntil(until)
    finally:
        writer.close()


CONNECT = b"CONNECT\naccept-version:1.2\nhost:x\n\n\0"


async def test_every_protocol_is_spoken_on_unix_sockets(directory: Path) -> None:
    paths = {name: directory / f"{name}.sock" for name in ("mqtt", "stomp", "ws", "auto")}
    async with Gateway(config(*(f"{name}+unix://{path}" for name, path in paths.items()))) as gateway:
        assert [listener.address for listener in gateway.listeners] == [str(path) for path in paths.values()]
        assert (await says(paths["mqtt"], b"\x10\x0d\0\4MQTT\4\2\0\0\0\1c", b"\0\0")) == b"\x20\2\0\0"
        assert (await says(paths["stomp"], CONNECT, b"\0")).startswith(b"CONNECTED")
        assert (await says(paths["auto"], CONNECT, b"\0")).startswith(b"CONNECTED")
        posted = b"POST /queues/q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"
        assert b" 202 " in await says(paths["ws"], posted, b"\r\n")
        assert gateway.broker.queues["queue:q"].depth == 1


async def test_who_speaks_nothing_that_is_known_is_refused_and_logged(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway")
    path = directory / "auto.sock"
    async with Gateway(config(f"auto+unix://{path}")) as gateway:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"\1\2\3\4nothing\r\n\r\n")
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
        assert gateway.listeners[0].counters.protocol_errors == 1
    assert "c0: local: speaks no protocol that is known" in caplog.text


@pytest.mark.parametrize(("option", "mode"), [("", 0o600), ("?socketMode=660", 0o660)])
async def test_the_file_has_its_mode_and_goes_at_the_end(directory: Path, option: str, mode: int) -> None:
    path = directory / "s.sock"
    async with Gateway(config(f"stomp+unix://{path}{option}")):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    assert not path.exists()


async def test_what_a_crash_left_goes_and_what_is_in_use_stays(directory: Path) -> None:
    path = directory / "s.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with Gateway(config(f"stomp+unix://{path}")):
        with pytest.raises(OSError, match="Address already in use"):
            await Gateway(config(f"stomp+unix://{path}")).start()
        assert (await says(path, CONNECT, b"\0")).startswith(b"CONNECTED")


async def test_a_file_that_is_no_socket_is_left_alone(directory: Path) -> None:
    path = directory / "s.sock"
    path.write_text("precious")
    with pytest.raises(OSError, match=r"s\.sock: there is a file of that name, which is no socket"):
        await Gateway(config(f"stomp+unix://{path}")).start()
    assert path.read_text() == "precious"


async def test_a_name_that_another_has_taken_over_is_not_removed(directory: Path) -> None:
    path = directory / "s.sock"
    async with Gateway(config(f"stomp+unix://{path}")):
        path.unlink()
        path.write_text("another's")
    assert path.read_text() == "another's"


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("mqtt+unix://host/path", "with the whole path of the socket"),
        ("mqtt+unix:///", "with the whole path of the socket"),
        ("mqtt+unix:///" + "x" * 110, "may have 103 bytes"),
        ("mqtt+unix:///a?socketMode=7777", "three octal digits"),
        ("mqtt+unix:///a?socketMode=rw-", "three octal digits"),
        ("mqtt://127.0.0.1:0?socketMode=660", "unknown option 'socketMode'"),
    ],
)
def test_mistakes(uri: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ConnectorSection(name="c", uri=uri)
