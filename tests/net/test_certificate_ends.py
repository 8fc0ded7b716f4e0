"""What ends the use of a client's certificate: revocation anywhere in its chain, an overdue list, its last day."""

import asyncio
import logging
import socket
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from secure_net import SecureNet
from tls_files import Pki

from gateway.net import tls
from gateway.net.tls import TlsError, TlsSettings, load
from gateway.pki import revoking


def _chain_settings(pki: Pki, **more: object) -> TlsSettings:
    """As an operator has it who gives both lists, and `ca` as it is by default."""
    folder = pki.folder.path
    ca = (folder / "root-ca.crt", folder / "intermediate-ca.crt")
    lists = (folder / "root-ca.crl", folder / "intermediate-ca.crl")
    return TlsSettings(
        pki.pair(), client_certificates="need", ca=ca, crl=lists, crl_check="chain", **more  # type: ignore[arg-type]
    )  # fmt: skip


async def test_whole_chains_are_looked_at_with_the_usual_authorities(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(_chain_settings(pki))
    assert await tls_net.says(await tls_net.client(pki.client("device"))) == b"ok hello\n"
    pki.revoke("device")
    tls_net.keeper.reload()
    await tls_net.until(lambda: tls_net.keeper.reloads == 1)
    assert "REVOKED" in await tls_net.refused(pki.client("device"))


async def test_a_revoked_authority_ends_the_sessions_below_it(
    tls_net: SecureNet, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    await tls_net.open(_chain_settings(pki))
    streams = await tls_net.client(pki.client("device"))
    assert await tls_net.says(streams) == b"ok hello\n"
    revoking.revoke(pki.folder, "intermediate-ca", "CACompromise")
    with caplog.at_level(logging.INFO, "gateway.net"):
        tls_net.keeper.reload()
        async with asyncio.timeout(10):
            assert await streams[0].readline() == b"bye\n"
    assert "the client's certificate was revoked" in caplog.text
    assert "REVOKED" in await tls_net.refused(pki.client("device"))


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


async def test_a_revoked_authority_that_clients_send_ends_sessions_too(tls_net: SecureNet, pki: Pki) -> None:
    settings = _chain_settings(pki)
    await tls_net.open(replace(settings, ca=settings.ca[:1]))
    streams = await tls_net.client(pki.client("device"))
    assert await tls_net.says(streams) == b"ok hello\n"
    revoking.revoke(pki.folder, "intermediate-ca", "CACompromise")
    tls_net.keeper.reload()
    async with asyncio.timeout(10):
        assert await streams[0].readline() == b"bye\n"


async def test_a_resumed_session_does_not_get_past_an_overdue_list(
    tls_net: SecureNet, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tls_net.open(pki.settings("need", crl=(pki.crl,)))
    context = pki.client("device")
    streams = await tls_net.client(context)
    assert await tls_net.says(streams) == b"ok hello\n"
    session = streams[1].get_extra_info("ssl_object").session
    assert tls_net.keeper.identity is not None
    for issuer in tls_net.keeper.identity.lists_due:
        tls_net.keeper.identity.lists_due[issuer] = datetime.now(UTC) - timedelta(seconds=1)
    raw = socket.create_connection(("127.0.0.1", tls_net.listener.port), 5)

    def come_back() -> bytes:
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as sock:
            sock.sendall(b"hello\n")
            return sock.recv(100)

    try:
        said = await asyncio.to_thread(come_back)
    except (ssl.SSLError, ConnectionError):
        said = b""
    assert said == b""
    assert tls_net.keeper.handshakes_failed == 1


async def test_a_list_is_announced_before_it_is_due(
    tls_net: SecureNet, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    await tls_net.open(pki.settings("need", crl=(pki.crl,)))
    assert tls_net.keeper.warnings(datetime.now(UTC) + timedelta(days=26)) == []
    early = datetime.now(UTC) + timedelta(days=28)
    for _ in range(2):
        tls_net.keeper.warn(early)
    assert caplog.text.count("a revocation list is due on") == 1
    assert "a revocation list is due on" in tls_net.keeper.warnings(early)[0]
    tls_net.keeper.warn(early + timedelta(days=3))
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
    tls_net: SecureNet, pki: Pki, caplog: pytest.LogCaptureFixture, wanted: str
) -> None:
    pki.odd("short", end_days=2)
    await tls_net.open(pki.settings("need", expired_sessions=wanted))
    short = await tls_net.client(pki.client("short"))
    device = await tls_net.client(pki.client("device"))
    for streams in (short, device):
        assert await tls_net.says(streams) == b"ok hello\n"
    tls_net.listener.tick(datetime.now(UTC) + timedelta(days=1))
    assert await tls_net.says(short) == b"ok hello\n"
    with caplog.at_level(logging.INFO, "gateway.net"):
        tls_net.listener.tick(datetime.now(UTC) + timedelta(days=3))
        if wanted == "end":
            async with asyncio.timeout(10):
                assert await short[0].readline() == b"bye\n"
            assert "the client's certificate has expired" in caplog.text
            # The next one to end is known.
            assert tls_net.keeper.next_expiry < tls.FOREVER
        else:
            assert await tls_net.says(short) == b"ok hello\n"
    assert await tls_net.says(device) == b"ok hello\n"


def _further(pki: Pki) -> None:
    """A second intermediate, which no file of the gateway names, and its client `below`."""
    pki.folder.add_intermediate("", "p256", 0, None, None)
    pki.issue("client", "below")


def _both_lists(pki: Pki, **more: object) -> TlsSettings:
    settings = _chain_settings(pki, **more)
    # The client sends its authority itself.
    return replace(
        settings, ca=settings.ca[:1], crl=(*settings.crl, pki.folder.crl_path("intermediate-ca-2"))
    )


async def test_a_revoked_authority_that_only_the_client_showed_ends_the_session(
    tls_net: SecureNet, pki: Pki
) -> None:
    _further(pki)
    await tls_net.open(_both_lists(pki))
    below = await tls_net.client(pki.client("below"))
    device = await tls_net.client(pki.client("device"))
    for streams in (below, device):
        assert await tls_net.says(streams) == b"ok hello\n"
    revoking.revoke(pki.folder, "intermediate-ca-2", "CACompromise")
    tls_net.keeper.reload()
    async with asyncio.timeout(10):
        assert await below[0].readline() == b"bye\n"
    assert await tls_net.says(device) == b"ok hello\n"


async def _again(
    tls_net: SecureNet, context: ssl.SSLContext, session: ssl.SSLSession, kept: list[socket.socket]
) -> tuple[bool, bytes]:
    """Come back with a session: was it resumed, and what was said; the connection stays open in `kept`."""
    raw = socket.create_connection(("127.0.0.1", tls_net.listener.port), 5)

    def come_back() -> tuple[bool, bytes]:
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as sock:
            sock.sendall(b"hello\n")
            said = sock.recv(100)
            resumed = bool(sock.session_reused)
            kept.append(socket.socket(fileno=sock.detach()))
            return resumed, said

    return await asyncio.to_thread(come_back)


async def test_a_resumed_session_ends_with_the_authority_that_it_first_came_with(
    tls_net: SecureNet, pki: Pki
) -> None:
    _further(pki)
    await tls_net.open(_both_lists(pki))
    context = pki.client("below")
    streams = await tls_net.client(context)
    assert await tls_net.says(streams) == b"ok hello\n"
    session = streams[1].get_extra_info("ssl_object").session
    streams[1].close()
    kept: list[socket.socket] = []
    assert await _again(tls_net, context, session, kept) == (True, b"ok hello\n")
    [transport] = [item for item in tls_net.listener.transports if item.connector is not None]
    names = [x509.load_pem_x509_certificate((pki.folder.path / f"{name}.crt").read_bytes())
             for name in ("issued/below", "intermediate-ca-2", "root-ca")]  # fmt: skip
    assert transport.certificate_chain == tuple([tls.certificate_id(item) for item in names])
    kept[0].close()


async def test_a_resumed_session_does_not_get_past_an_overdue_list_of_its_root(
    tls_net: SecureNet, pki: Pki
) -> None:
    await tls_net.open(_chain_settings(pki))
    context = pki.client("device")
    streams = await tls_net.client(context)
    assert await tls_net.says(streams) == b"ok hello\n"
    session = streams[1].get_extra_info("ssl_object").session
    assert tls_net.keeper.identity is not None
    root = x509.load_pem_x509_certificate(pki.root.read_bytes()).subject.public_bytes()
    tls_net.keeper.identity.lists_due[root] = datetime.now(UTC) - timedelta(seconds=1)
    try:
        said = (await _again(tls_net, context, session, []))[1]
    except (ssl.SSLError, ConnectionError):
        said = b""
    assert said == b""
    assert tls_net.keeper.handshakes_failed == 1


def test_nobody_is_warned_of_the_list_of_an_authority_that_has_expired(pki: Pki) -> None:
    pki.folder.write_crl("intermediate-ca", None, 1)
    settings = pki.settings("need", crl=(pki.crl,))
    assert load(settings).warn_crl is not None
    authorities = [pki.folder.authority(role).certificate for role in ("root-ca", "intermediate-ca")]
    late = authorities[1].not_valid_after_utc + timedelta(days=1)
    assert tls._over(authorities, late) == {authorities[1].subject.public_bytes()}
    assert tls._over(authorities, datetime.now(UTC)) == set()
