"""TLS on a listener: who gets through, who is told why not, and that nobody is kept waiting by others."""

import asyncio
import errno
import logging
import os
import select
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import raw_tls
from secure_net import SecureNet, Streams
from tls_files import Pki

from gateway.net.tls import TlsSettings
from gateway.pki import names


async def test_lines_go_both_ways_in_every_version(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings())
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = pki.client()
        context.minimum_version = context.maximum_version = version
        streams = await tls_net.client(context)
        assert await tls_net.says(streams) == b"ok hello\n"
    assert tls_net.keeper.handshakes == 2
    assert tls_net.latest.certificate_user is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_versions_are_refused(tls_net: SecureNet, pki: Pki, version: ssl.TLSVersion) -> None:
    await tls_net.open(pki.settings())
    context = pki.client()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = version
    context.maximum_version = version
    assert "PROTOCOL VERSION" in (await tls_net.refused(context)).replace("_", " ")
    assert tls_net.keeper.handshakes_failed == 1


@pytest.mark.parametrize("ciphers", ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256"])
async def test_weak_ciphers_are_refused(tls_net: SecureNet, pki: Pki, ciphers: str) -> None:
    await tls_net.open(pki.settings())
    context = pki.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    assert "HANDSHAKE" in await tls_net.refused(context)


async def test_megabytes_both_ways(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings())
    reader, writer = await tls_net.client(pki.client())
    writer.write(b"quiet " + b"y" * 3_000_000)
    await tls_net.until(lambda: len(tls_net.acceptor.made) == 1 and len(tls_net.latest.heard) == 3_000_006)
    assert tls_net.latest.heard == b"quiet " + b"y" * 3_000_000
    writer.write(b"\nbig 4000000\n")
    async with asyncio.timeout(20):
        assert await reader.readexactly(4_000_000) == b"x" * 4_000_000


async def test_bytes_one_at_a_time(tls_net: SecureNet, pki: Pki) -> None:
    """Records cut anywhere on their way: a client that writes its ciphertext byte by byte."""
    await tls_net.open(pki.settings())
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = pki.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
    reader, writer = await tls_net.client(None)

    async def exchange() -> None:
        for byte in outgoing.read():
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            incoming.write(await reader.read(65_536))

    while True:
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            await exchange()
    client.write(b"hello\n")
    said = b""
    while said != b"ok hello\n":
        await exchange()
        try:
            said += client.read(100)
        except ssl.SSLWantReadError:
            continue


# -- client certificates


async def test_a_client_certificate_names_the_user_before_the_first_bytes(
    tls_net: SecureNet, pki: Pki
) -> None:
    await tls_net.open(pki.settings("need"))
    streams = await tls_net.client(pki.client("device"))
    assert await tls_net.says(streams) == b"ok hello\n"
    assert tls_net.latest.certificate_user == "device"


async def test_want_lets_clients_without_a_certificate_in(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings("want", user_from="dn"))
    assert await tls_net.says(await tls_net.client(pki.client())) == b"ok hello\n"
    assert tls_net.latest.certificate_user is None
    assert await tls_net.says(await tls_net.client(pki.client("device"))) == b"ok hello\n"
    assert tls_net.latest.certificate_user == "CN=device"


async def test_need_refuses_clients_without_a_certificate(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings("need"))
    assert "CERTIFICATE REQUIRED" in (await tls_net.refused(pki.client())).replace("_", " ")
    assert tls_net.acceptor.made == []


async def _refusal(
    tls_net: SecureNet, pki: Pki, name: str, caplog: pytest.LogCaptureFixture, mode: str = "need"
) -> str:
    """What the log says of a client with the certificate `name`."""
    await tls_net.open(pki.settings(mode))
    with caplog.at_level(logging.INFO, "gateway.net"):
        await tls_net.refused(pki.client(name))
        await tls_net.until(lambda: tls_net.keeper.handshakes_failed == 1)
    assert tls_net.acceptor.made == []
    return caplog.text


async def test_an_unknown_authority(
    tls_net: SecureNet, pki: Pki, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Pki(tmp_path / "other")
    for path in ("device.key", "device.crt", "device-chain.crt"):
        source = other.folder.path / "issued" / path
        (pki.folder.path / "issued" / path).write_bytes(source.read_bytes())
    assert "unable to get" in await _refusal(tls_net, pki, "device", caplog, "want")


async def test_expired(tls_net: SecureNet, pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    pki.odd("odd", start_days=-10, end_days=-1)
    assert "certificate has expired" in await _refusal(tls_net, pki, "odd", caplog)


async def test_not_yet_valid(tls_net: SecureNet, pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    pki.odd("odd", start_days=1)
    assert "certificate is not yet valid" in await _refusal(tls_net, pki, "odd", caplog)


async def test_wrong_extended_key_usage(
    tls_net: SecureNet, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    pki.odd("odd", "server")
    assert "unsuitable certificate purpose" in await _refusal(tls_net, pki, "odd", caplog)


async def test_a_leaf_used_as_an_authority(
    tls_net: SecureNet, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    pki.odd("odd", issuer="device")
    assert "invalid CA certificate" in await _refusal(tls_net, pki, "odd", caplog)


async def test_path_length_exceeded(tls_net: SecureNet, pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    pki.odd("extra", authority=True)
    pki.odd("odd", issuer="extra")
    assert "path length constraint exceeded" in await _refusal(tls_net, pki, "odd", caplog)


async def test_a_server_for_another_host_is_refused_by_its_client(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings())
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        await tls_net.client(pki.client(), "example.org")


# -- revocation


async def test_a_revoked_client_is_refused_and_its_session_ended_when_the_list_changes(
    tls_net: SecureNet, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    pki.issue("client", "other")
    await tls_net.open(pki.settings("need", crl=(pki.crl,)))
    streams = await tls_net.client(pki.client("device"))
    others = await tls_net.client(pki.client("other"))
    assert await tls_net.says(streams) == b"ok hello\n"
    pki.revoke("device")
    with caplog.at_level(logging.INFO, "gateway.net"):
        # Two looks: one that sees the change, one that sees no more of it.
        tls_net.keeper.tick(1)
        tls_net.keeper.tick(2)
        async with asyncio.timeout(5):
            assert await streams[0].readline() == b"bye\n"
            assert await streams[0].read() == b""
    assert "the client's certificate was revoked" in caplog.text
    assert "REVOKED" in await tls_net.refused(pki.client("device"))
    assert await tls_net.says(others) == b"ok hello\n"
    assert tls_net.keeper.status()["revoked"] == 1


async def test_sessions_of_revoked_clients_may_be_kept(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings("need", crl=(pki.crl,), revoked_sessions="keep"))
    streams = await tls_net.client(pki.client("device"))
    await tls_net.says(streams)
    pki.revoke("device")
    tls_net.keeper.reload()
    await tls_net.until(lambda: tls_net.keeper.reloads == 1)
    assert await tls_net.says(streams) == b"ok hello\n"
    assert "REVOKED" in await tls_net.refused(pki.client("device"))


async def test_a_resumed_session_does_not_outlive_a_revocation(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings("need", crl=(pki.crl,)))
    context = pki.client("device")
    streams = await tls_net.client(context)
    assert await tls_net.says(streams) == b"ok hello\n"
    session = streams[1].get_extra_info("ssl_object").session
    pki.revoke("device")
    tls_net.keeper.reload()
    await tls_net.until(lambda: tls_net.keeper.reloads == 1)
    assert session is not None
    raw = socket.create_connection(("127.0.0.1", tls_net.listener.port), 5)

    def come_back() -> bytes:
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as sock:
            sock.sendall(b"hello\n")
            return sock.recv(100)

    with pytest.raises(ssl.SSLError, match="REVOKED"):
        await asyncio.to_thread(come_back)


async def test_who_is_revoked_between_handshake_and_first_bytes_is_not_heard(
    tls_net: SecureNet, pki: Pki
) -> None:
    await tls_net.open(pki.settings("need", crl=(pki.crl,)))
    streams = await tls_net.client(pki.client("device"))
    await tls_net.until(lambda: tls_net.keeper.handshakes == 1)
    assert tls_net.acceptor.made == [], "nobody listens before there is something to hear"
    pki.revoke("device")
    tls_net.keeper.reload()
    await tls_net.until(lambda: tls_net.keeper.reloads == 1)
    assert await tls_net.says(streams) == b""
    assert tls_net.acceptor.made == []


async def test_who_shakes_hands_and_says_nothing_has_its_time(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings(handshake_timeout_ms=200))
    reader, _ = await tls_net.client(pki.client())
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    assert tls_net.keeper.handshakes == 1
    assert not tls_net.listener._waiting


async def test_sessions_are_resumed_and_name_the_same_user(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings("need"))
    context = pki.client("device")

    def visit(session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
        with socket.create_connection(("127.0.0.1", tls_net.listener.port), 5) as raw, context.wrap_socket(
            raw, server_hostname="localhost", session=session
        ) as sock:  # fmt: skip
            sock.sendall(b"hello\n")
            assert sock.recv(100) == b"ok hello\n"
            return bool(sock.session_reused), sock.session

    _, session = await asyncio.to_thread(visit, None)
    reused, _ = await asyncio.to_thread(visit, session)
    assert reused
    assert [connector.certificate_user for connector in tls_net.acceptor.made] == ["device", "device"]


async def test_tickets_leave_with_the_first_answer(tls_net: SecureNet, pki: Pki) -> None:
    """Who writes and closes with something unread in its socket resets it, and loses what it has not sent yet."""
    await tls_net.open(pki.settings())
    context = pki.client()

    def visit() -> tuple[bool, bool]:
        with socket.create_connection(("127.0.0.1", tls_net.listener.port), 5) as raw, context.wrap_socket(
            raw, server_hostname="localhost"
        ) as sock:  # fmt: skip
            assert sock.version() == "TLSv1.3"
            before = bool(select.select([sock], [], [], 0.2)[0])
            sock.sendall(b"hello\n")
            assert sock.recv(100) == b"ok hello\n"
            return before, sock.session is not None and sock.session.has_ticket

    assert await asyncio.to_thread(visit) == (False, True)


@pytest.mark.skipif(
    not hasattr(socket, "TCP_QUICKACK"), reason="Linux alone can be asked to acknowledge at once"
)
async def test_who_has_shaken_hands_does_not_wait_for_a_delayed_acknowledgement(
    tls_net: SecureNet, pki: Pki
) -> None:
    """With Nagle's algorithm, as clients have by default, the first thing that is said waits for the acknowledgement of the
    end of the handshake: 40 ms where that is delayed."""
    await tls_net.open(pki.settings())
    context = pki.client()

    def visit() -> float:
        with socket.create_connection(("127.0.0.1", tls_net.listener.port), 5) as raw, context.wrap_socket(
            raw, server_hostname="localhost"
        ) as sock:  # fmt: skip
            begun = time.monotonic()
            sock.sendall(b"hello\n")
            assert sock.recv(100) == b"ok hello\n"
            return time.monotonic() - begun

    assert min([await asyncio.to_thread(visit) for _ in range(10)]) < 0.03


async def test_without_tickets_nothing_is_resumed(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings(session_tickets=False))
    context = pki.client()
    streams = await tls_net.client(context)
    await tls_net.says(streams)
    assert not streams[1].get_extra_info("ssl_object").session.has_ticket


# -- SNI and ALPN


async def test_each_name_gets_its_certificate(tls_net: SecureNet, pki: Pki) -> None:
    pki.issue("server", "a", names.alternative_names(["a.example"]))
    pki.issue("server", "b", names.alternative_names(["*.b.example"]))
    await tls_net.open(pki.settings(more=(pki.pair("a"), pki.pair("b"))))
    for name in ("localhost", "a.example", "x.b.example"):
        assert await tls_net.says(await tls_net.client(pki.client(), name)) == b"ok hello\n"
    with pytest.raises(ssl.SSLCertVerificationError):
        await tls_net.client(pki.client(), "x.y.b.example")


async def test_client_certificates_are_asked_for_under_every_name(tls_net: SecureNet, pki: Pki) -> None:
    pki.issue("server", "a", names.alternative_names(["a.example"]))
    await tls_net.open(pki.settings("need", more=(pki.pair("a"),)))
    try:
        assert await tls_net.says(await tls_net.client(pki.client(), "a.example")) == b""
    except (ssl.SSLError, ConnectionError) as error:
        assert "CERTIFICATE" in str(error).upper() or "RESET" in str(error).upper()
    assert tls_net.keeper.handshakes_failed == 1
    assert tls_net.acceptor.made == []
    assert await tls_net.says(await tls_net.client(pki.client("device"), "a.example")) == b"ok hello\n"


async def test_alpn_is_agreed_on(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings(alpn=("lines", "mqtt")))
    context = pki.client()
    context.set_alpn_protocols(["other", "mqtt"])
    streams = await tls_net.client(context)
    assert streams[1].get_extra_info("ssl_object").selected_alpn_protocol() == "mqtt"


# -- ends


async def test_the_last_words_come_through_and_so_does_the_end(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings())
    reader, writer = await tls_net.client(pki.client())
    writer.write(b"fail wrong\n" + b"x" * 100_000)
    async with asyncio.timeout(10):
        assert await reader.readline() == b"bad: wrong\n"
        assert await reader.read() == b""
    await tls_net.until(lambda: not tls_net.listener.transports)
    assert tls_net.latest.ends == 1


async def test_a_client_that_closes_is_gone(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings())
    streams = await tls_net.client(pki.client())
    await tls_net.says(streams)
    streams[1].close()
    await tls_net.until(lambda: not tls_net.listener.transports)
    assert tls_net.latest.ends == 1


async def test_a_damaged_record_ends_one_connection(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings())
    good = await tls_net.client(pki.client())
    await tls_net.says(good)

    def damage() -> bytes:
        with socket.create_connection(("127.0.0.1", tls_net.listener.port), 5) as raw:
            sock = pki.client().wrap_socket(raw, server_hostname="localhost", do_handshake_on_connect=True)
            handle = sock.detach()
            broken = socket.socket(fileno=handle)
            broken.settimeout(5)
            broken.sendall(b"\x17\x03\x03\x00\x20" + b"\0" * 32)
            said = b""
            try:
                while data := broken.recv(4096):
                    said += data
            except ConnectionError:
                pass
            broken.close()
            return said

    await asyncio.to_thread(damage)
    await tls_net.until(
        lambda: tls_net.listener.counters.protocol_errors == 1 and not tls_net.listener._waiting
    )
    assert len(tls_net.listener.transports) == 1
    assert await tls_net.says(good) == b"ok hello\n"


OPENSSL = raw_tls.find()
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="needs OpenSSL's library")


@needs_openssl
async def test_keys_may_be_renewed_again_and_again_by_who_reads_the_answers(
    tls_net: SecureNet, pki: Pki
) -> None:
    await tls_net.open(pki.settings())

    def talk() -> list[bytes]:
        client = raw_tls.KeyUpdater(OPENSSL, tls_net.listener.port)
        try:
            answers = [client.say(b"first\n")]
            for _ in range(20):
                assert client.ask(50) == 50
                answers.append(client.say(b"more\n"))
            return answers
        finally:
            client.close()

    assert await asyncio.to_thread(talk) == [b"ok first\n"] + [b"ok more\n"] * 20


@needs_openssl
async def test_who_asks_for_new_keys_and_reads_no_answer_is_ended(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings())
    client = await asyncio.to_thread(raw_tls.KeyUpdater, OPENSSL, tls_net.listener.port)
    try:
        assert await asyncio.to_thread(client.say, b"first\n") == b"ok first\n"
        # Far more than the sockets' own buffers hold.
        most = 1_000_000
        assert await asyncio.to_thread(client.ask, most) < most
    finally:
        client.close()
    await tls_net.until(lambda: not tls_net.listener.transports)
    assert tls_net.listener.counters.protocol_errors == 1


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\x10\x0c\x00\x04MQTT", b"\0" * 100, b"\x16\x03\x01\x00\x05hello"]
)
async def test_what_is_no_tls_is_refused(tls_net: SecureNet, pki: Pki, data: bytes) -> None:
    await tls_net.open(pki.settings())
    reader, writer = await tls_net.client(None)
    writer.write(data)
    if data.startswith(b"\x10"):
        writer.write_eof()
    async with asyncio.timeout(10):
        await reader.read()
    assert tls_net.acceptor.made == []
    assert tls_net.listener.internal_errors == 0


# -- slow handshakes


async def test_a_handshake_has_its_time(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings(handshake_timeout_ms=100))
    reader, writer = await tls_net.client(None)
    writer.write(b"\x16\x03\x01")
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    assert tls_net.keeper.handshakes_timed_out == 1


async def test_a_flood_of_slow_handshakes_does_not_keep_others_out(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings(handshakes_max=20))
    slow: list[Streams] = []
    for number in range(200):
        slow.append(await tls_net.client(None))
        slow[-1][1].write(b"\x16\x03\x01")
        if number % 20 == 0:
            assert await tls_net.says(await tls_net.client(pki.client())) == b"ok hello\n"
    await tls_net.until(lambda: tls_net.keeper.handshakes_pushed_out >= 180)
    assert tls_net.keeper.handshakes == 10
    assert len(tls_net.listener._waiting) <= 20
    assert tls_net.listener.counters.connections == 10


async def test_stopping_ends_handshakes(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings())
    reader, _ = await tls_net.client(None)
    await tls_net.until(lambda: tls_net.listener._waiting)
    tls_net.listener.stop_accepting()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    await tls_net.until(lambda: not tls_net.listener._waiting)


# -- reload


async def test_a_new_certificate_is_shown_to_new_clients_and_old_ones_stay(
    tls_net: SecureNet, pki: Pki
) -> None:
    await tls_net.open(pki.settings())
    old = await tls_net.client(pki.client())
    before = old[1].get_extra_info("peercert")["serialNumber"]
    pki.replace()
    tls_net.keeper.tick(1)
    assert tls_net.keeper._working is None, "files that still change are left alone"
    tls_net.keeper.tick(2)
    await tls_net.until(lambda: tls_net.keeper.reloads == 1)
    new = await tls_net.client(pki.client())
    assert new[1].get_extra_info("peercert")["serialNumber"] != before
    assert await tls_net.says(old) == b"ok hello\n"


async def test_a_bad_file_keeps_the_old_one_and_says_so(
    tls_net: SecureNet, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    await tls_net.open(pki.settings())
    key = pki.pair().key
    good = key.read_bytes()
    key.write_bytes(good[:-40])
    tls_net.keeper.reload()
    await tls_net.until(lambda: tls_net.keeper.reload_problem)
    assert "the old certificates stay in use" in caplog.text
    assert "broker.key" in tls_net.keeper.status()["warnings"][0]
    assert await tls_net.says(await tls_net.client(pki.client())) == b"ok hello\n"
    key.write_bytes(good)
    tls_net.keeper.tick(1)
    tls_net.keeper.tick(2)
    await tls_net.until(lambda: tls_net.keeper.reloads == 1)
    assert tls_net.keeper.status()["warnings"] == []


async def test_files_that_nobody_could_open_just_then_are_read_at_the_next_look(
    tls_net: SecureNet, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tls_net.open(pki.settings())
    pki.replace()
    with monkeypatch.context() as patch:

        def exhausted(path: Path, mode: str) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        patch.setattr(Path, "open", exhausted)
        tls_net.keeper.reload()
        await tls_net.until(lambda: tls_net.keeper.reload_problem)
        assert "Too many open files" in tls_net.keeper.reload_problem
    tls_net.keeper.tick(1)
    tls_net.keeper.tick(2)
    await tls_net.until(lambda: tls_net.keeper.reloads == 1)


async def test_nothing_is_read_again_while_nothing_changes(tls_net: SecureNet, pki: Pki) -> None:
    await tls_net.open(pki.settings())
    identity = tls_net.keeper.identity
    for second in range(5):
        tls_net.keeper.tick(second)
    await asyncio.sleep(0)
    assert tls_net.keeper.identity is identity


# -- expiry


@pytest.mark.parametrize(("days", "said"), [(40, 0), (29, 1), (6, 1), (0, 1), (-1, 1)])
async def test_expiry_is_announced_at_30_7_and_1_days(
    tls_net: SecureNet, tmp_path: Path, caplog: pytest.LogCaptureFixture, days: int, said: int
) -> None:
    pki = Pki(tmp_path / "certs")
    pki.odd("short", "server", start_days=-50, end_days=days)
    if days > 0:
        # A whole day more than the days that are left, less a moment.
        pki.odd("short", "server", start_days=-50, end_days=days + 1)
    await tls_net.open(TlsSettings(pki.pair("short")))
    for second in range(3):
        tls_net.keeper.tick(second)
    warned = [record.getMessage() for record in caplog.records if "CN=short" in record.getMessage()]
    assert len(warned) == said
    assert len(tls_net.keeper.status()["warnings"]) == said


async def test_an_overdue_revocation_list_is_announced(
    tls_net: SecureNet, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    await tls_net.open(pki.settings("need", crl=(pki.crl,)))
    later = datetime.now(UTC) + timedelta(days=31)
    tls_net.keeper.warn(later)
    tls_net.keeper.warn(later)
    assert caplog.text.count("a revocation list is overdue") == 1
    assert "a revocation list is overdue: client certificates are refused" in tls_net.keeper.warnings(later)
