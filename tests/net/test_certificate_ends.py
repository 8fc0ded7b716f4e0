"""What ends the use of a client's certificate: revocation anywhere in its chain, an overdue list, its last day."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from secure_net import SecureNet
from tls_files import Pki

from gateway.net import tls
from gateway.net.tls import TlsError, TlsSettings, load
from gateway.pki import revoking


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "certs")


@pytest_asyncio.fixture
async def net() -> AsyncIterator[SecureNet]:
    world = SecureNet()
    yield world
    await world.close()


def _chain_settings(pki: Pki, **more: object) -> TlsSettings:
    """As an operator has it who gives both lists, and `ca` as it is by default."""
    folder = pki.folder.path
    ca = (folder / "root-ca.crt", folder / "intermediate-ca.crt")
    lists = (folder / "root-ca.crl", folder / "intermediate-ca.crl")
    return TlsSettings(
        pki.pair(), client_certificates="need", ca=ca, crl=lists, crl_check="chain", **more  # type: ignore[arg-type]
    )  # fmt: skip


async def test_whole_chains_are_looked_at_with_the_usual_authorities(net: SecureNet, pki: Pki) -> None:
    await net.open(_chain_settings(pki))
    assert await net.says(await net.client(pki.client("device"))) == b"ok hello\n"
    pki.revoke("device")
    net.keeper.reload()
    await net.until(lambda: net.keeper.reloads == 1)
    assert "REVOKED" in await net.refused(pki.client("device"))


async def test_a_revoked_authority_ends_the_sessions_below_it(
    net: SecureNet, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    await net.open(_chain_settings(pki))
    streams = await net.client(pki.client("device"))
    assert await net.says(streams) == b"ok hello\n"
    revoking.revoke(pki.folder, "intermediate-ca", "CACompromise")
    with caplog.at_level(logging.INFO, "gateway.net"):
        net.keeper.reload()
        async with asyncio.timeout(10):
            assert await streams[0].readline() == b"bye\n"
    assert "the client's certificate was revoked" in caplog.text
    assert "REVOKED" in await net.refused(pki.client("device"))


def test_whole_chains_need_their_root(pki: Pki) -> None:
    folder = pki.folder.path
    settings = TlsSettings(
        pki.pair(),
        client_certificates="need",
        ca=(folder / "intermediate-ca.crt",),
        crl=(folder / "root-ca.crl", folder / "intermediate-ca.crl"),
        crl_check="chain",
    )
    with pytest.raises(TlsError, match="needs the root above CN=Gateway Intermediate CA"):
        load(settings)


def test_whole_chains_need_the_roots_list(pki: Pki) -> None:
    settings = _chain_settings(pki)
    with pytest.raises(TlsError, match="needs the revocation list of CN=Gateway Root CA"):
        load(replace(settings, crl=settings.crl[1:]))


async def test_a_revoked_authority_that_clients_send_ends_sessions_too(net: SecureNet, pki: Pki) -> None:
    settings = _chain_settings(pki)
    await net.open(replace(settings, ca=settings.ca[:1]))
    streams = await net.client(pki.client("device"))
    assert await net.says(streams) == b"ok hello\n"
    revoking.revoke(pki.folder, "intermediate-ca", "CACompromise")
    net.keeper.reload()
    async with asyncio.timeout(10):
        assert await streams[0].readline() == b"bye\n"


async def test_a_resumed_session_does_not_get_past_an_overdue_list(
    net: SecureNet, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    await net.open(pki.settings("need", crl=(pki.crl,)))
    context = pki.client("device")
    streams = await net.client(context)
    assert await net.says(streams) == b"ok hello\n"
    session = streams[1].get_extra_info("ssl_object").session
    assert net.keeper.identity is not None
    for issuer in net.keeper.identity.lists_due:
        net.keeper.identity.lists_due[issuer] = datetime.now(UTC) - timedelta(seconds=1)
    raw = socket.create_connection(("127.0.0.1", net.listener.port), 5)

    def come_back() -> bytes:
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as sock:
            sock.sendall(b"hello\n")
            return sock.recv(100)

    try:
        said = await asyncio.to_thread(come_back)
    except (ssl.SSLError, ConnectionError):
        said = b""
    assert said == b""
    assert net.keeper.handshakes_failed == 1


async def test_a_list_is_announced_before_it_is_due(
    net: SecureNet, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    await net.open(pki.settings("need", crl=(pki.crl,)))
    assert net.keeper.warnings(datetime.now(UTC) + timedelta(days=26)) == []
    early = datetime.now(UTC) + timedelta(days=28)
    for _ in range(2):
        net.keeper.warn(early)
    assert caplog.text.count("a revocation list is due on") == 1
    assert "a revocation list is due on" in net.keeper.warnings(early)[0]
    net.keeper.warn(early + timedelta(days=3))
    assert caplog.text.count("a revocation list is overdue") == 1


def test_a_list_for_two_days_is_announced_in_its_last_twelve_hours(pki: Pki) -> None:
    pki.folder.write_crl("intermediate-ca", None, 48)
    identity = load(pki.settings("need", crl=(pki.crl,)))
    assert identity.next_crl is not None
    assert identity.warn_crl is not None
    early = identity.next_crl - identity.warn_crl
    assert timedelta(hours=12) <= early <= timedelta(hours=12, minutes=5)


@pytest.mark.parametrize("wanted", ["end", "keep"])
async def test_a_session_ends_with_its_certificate_if_that_is_wanted(
    net: SecureNet, pki: Pki, caplog: pytest.LogCaptureFixture, wanted: str
) -> None:
    pki.odd("short", end_days=2)
    await net.open(pki.settings("need", expired_sessions=wanted))
    short = await net.client(pki.client("short"))
    device = await net.client(pki.client("device"))
    for streams in (short, device):
        assert await net.says(streams) == b"ok hello\n"
    net.listener.tick(datetime.now(UTC) + timedelta(days=1))
    assert await net.says(short) == b"ok hello\n"
    with caplog.at_level(logging.INFO, "gateway.net"):
        net.listener.tick(datetime.now(UTC) + timedelta(days=3))
        if wanted == "end":
            async with asyncio.timeout(10):
                assert await short[0].readline() == b"bye\n"
            assert "the client's certificate has expired" in caplog.text
            # The next one to end is known.
            assert net.keeper.next_expiry < tls.FOREVER
        else:
            assert await net.says(short) == b"ok hello\n"
    assert await net.says(device) == b"ok hello\n"
