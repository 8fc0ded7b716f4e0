"""One port for TLS and plain connections, and for several protocols."""

import asyncio
import logging
from pathlib import Path

import pytest
from secure_net import SecureNet
from tls_files import HERE, Pki

from gateway.net.tls import TlsSettings
from gateway.pki import issue
from gateway.pki.folder import Folder, Plan


async def test_one_port_takes_plain_and_tls_and_any_protocol(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings(), secure=False, doors=("stomp", "mqtt"))
    for context in (None, pki.client()):
        reader, writer = await tls_net.client(context)
        # Cut in the middle of what tells it.
        writer.write(b"CONN")
        await writer.drain()
        writer.write(b"ECT\nhello\n")
        async with asyncio.timeout(5):
            assert await reader.readline() == b"ok CONNECT\n"
            assert await reader.readline() == b"ok hello\n"
    assert tls_net.listener.counters.connections == 2


async def test_where_tls_is_a_must_plain_text_is_refused(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings(), secure=True, doors=("stomp",))
    reader, writer = await tls_net.client(None)
    writer.write(b"CONNECT\n")
    writer.write_eof()
    async with asyncio.timeout(5):
        await reader.read()
    assert tls_net.acceptor.made == []
    reader, writer = await tls_net.client(pki.client())
    writer.write(b"CONNECT\n")
    async with asyncio.timeout(5):
        assert await reader.readline() == b"ok CONNECT\n"


async def test_what_was_agreed_on_by_alpn_needs_no_detection(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings(alpn=("stomp",)), secure=True, doors=("stomp",))
    context = pki.client()
    context.set_alpn_protocols(["stomp"])
    assert await tls_net.says(await tls_net.client(context), "anything") == b"ok anything\n"


@pytest.mark.parametrize("context", ["plain", "tls"])
async def test_http_is_told_that_it_is_wrong_here(tls_net: SecureNet, pki: Pki, context: str) -> None:
    await tls_net.open(pki.settings(), secure=False, doors=("stomp", "mqtt"))
    reader, writer = await tls_net.client(pki.client() if context == "tls" else None)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(5):
        said = await reader.read()
    assert said.startswith(b"HTTP/1.1 501 ")
    assert said.endswith(b"This port speaks mqtt, stomp, and no HTTP.\n")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"AMQP\x00\x01\x00\x00", "speaks amqp, which is not spoken here (but stomp)"),
        (b"\x00\x00\x00\xf0\x01ActiveMQ\x00\x00\x00\x0c", "speaks openwire, which is not spoken here"),
        (b"hello\n", "speaks no protocol that is known"),
        (b"\x16\x03\x01\x16\x03\x01", "speaks tls"),
    ],
)
async def test_what_is_not_spoken_is_named_in_the_log(
    tls_net: SecureNet, pki: Pki, caplog: pytest.LogCaptureFixture, data: bytes, said: str
) -> None:
    await tls_net.open(pki.settings(), secure=False, doors=("stomp",))
    tls_net.listener.keeper = None
    with caplog.at_level(logging.INFO, "gateway.net"):
        reader, writer = await tls_net.client(None)
        writer.write(data)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
    assert said in caplog.text
    assert tls_net.listener.counters.protocol_errors == 1


async def test_who_says_nothing_is_closed_in_time(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings(), secure=False, doors=("stomp",))
    reader, _ = await tls_net.client(None)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    assert not tls_net.listener._waiting


async def test_an_authority_of_others_serves_too(tls_net: SecureNet, pki: Pki, tmp_path: Path) -> None:
    """A listener whose certificate and whose clients come from different authorities."""
    clients = Folder(tmp_path / "clients")
    clients.init(Plan())
    issue.issue(clients, issue.Order("client", "guest"), None)
    await tls_net.open(
        TlsSettings(pki.pair(), client_certificates="need", ca=(clients.path / "intermediate-ca.crt",))
    )
    context = pki.client()
    context.load_cert_chain(clients.leaf("guest").certificate, clients.leaf("guest").key)
    assert await tls_net.says(await tls_net.client(context)) == b"ok hello\n"
    assert tls_net.latest.certificate_user == "guest"
    assert HERE
