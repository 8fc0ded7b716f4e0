"""Which host a client asks for, before OpenSSL looks; and that no session is resumed for another one."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from secure_net import SecureNet
from tls_files import Pki

from gateway.net.hello import HELLO_MAX, Hello
from gateway.pki import names


def _said(name: str | None) -> bytes:
    """What Python's client begins with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


def server_name(data: bytes) -> str | None:
    return Hello().add(data)


def test_the_name_is_found_when_all_is_there_and_not_before() -> None:
    data = _said("One.Example")
    assert server_name(data) == "one.example"
    assert server_name(data + b"more") == "one.example"
    assert {server_name(data[:count]) for count in range(len(data))} == {None}


def test_the_name_is_found_over_several_records() -> None:
    data = _said("one.example")
    body = data[5:]
    cut = b"".join(
        [data[:3] + len(part).to_bytes(2, "big") + part for part in (body[:1], body[1:50], body[50:])]
    )
    assert server_name(cut) == "one.example"


def test_who_sends_it_byte_by_byte_in_records_of_one_has_each_looked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = _said("one.example")
    cut = b"".join([data[:3] + b"\0\1" + bytes([byte]) for byte in data[5:]])
    records: list[int] = []

    class Counted(bytearray):
        def __iadd__(self, piece: bytes) -> "Counted":  # type: ignore[override,misc]
            records.append(len(piece))
            self.extend(piece)
            return self

    beginning = Hello()
    monkeypatch.setattr(beginning, "_hello", Counted())
    found = [beginning.add(cut[at : at + 1]) for at in range(len(cut))]
    assert found == [None] * (len(cut) - 1) + ["one.example"]
    assert records == [1] * (len(data) - 5)
    assert beginning.data == cut


def test_what_has_no_name_or_is_something_else_has_none() -> None:
    assert server_name(_said(None)) == ""
    assert server_name(b"GET / HTTP/1.1\r\n") == ""
    assert server_name(b"\x16\x03\x01\x00\x04\x02\x00\x00\x00") == ""
    assert server_name(b"\x16\x03\x01\xff\xff" + b"\x01" * HELLO_MAX) == ""


@given(at=st.integers(0, 500), byte=st.integers(0, 255))
def test_no_byte_changed_raises(at: int, byte: int) -> None:
    data = bytearray(HELLO)
    data[at % len(data)] = byte
    server_name(bytes(data))


HELLO = _said("one.example")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_ticket_of_one_name_is_not_resumed_for_another(
    tls_net: SecureNet, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    pki = Pki(tmp_path / "certs")
    for name in ("one", "two"):
        pki.issue("server", name, names.alternative_names([f"{name}.example"]))
    settings = pki.settings(more=(pki.pair("one"), pki.pair("two")))
    await tls_net.open(settings)
    context = pki.client()
    context.maximum_version = version

    def come(name: str, session: ssl.SSLSession | None = None) -> tuple[bool, ssl.SSLSession | None]:
        raw = socket.create_connection(("127.0.0.1", tls_net.listener.port), 5)
        with context.wrap_socket(raw, server_hostname=name, session=session) as sock:
            sock.sendall(b"hello\n")
            assert sock.recv(100) == b"ok hello\n"
            return bool(sock.session_reused), sock.session

    hosts = ("localhost", "one.example", "two.example")
    for mine in hosts:
        _, session = await asyncio.to_thread(come, mine)
        resumed = {host: (await asyncio.to_thread(come, host, session))[0] for host in hosts}
        assert resumed == {host: host == mine for host in hosts}


async def test_a_beginning_in_pieces_is_put_together(tls_net: SecureNet, tmp_path: Path) -> None:
    pki = Pki(tmp_path / "certs")
    pki.issue("server", "one", names.alternative_names(["one.example"]))
    await tls_net.open(pki.settings(more=(pki.pair("one"),)))
    reader, writer = await tls_net.client(None)
    incoming, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = pki.client().wrap_bio(incoming, out, server_hostname="one.example")
    while True:
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            said = out.read()
            for at in range(0, len(said), 100):
                writer.write(said[at : at + 100])
                await writer.drain()
                await asyncio.sleep(0.001)
            incoming.write(await asyncio.wait_for(reader.read(65_536), 5))
    assert ("DNS", "one.example") in client.getpeercert()["subjectAltName"]  # type: ignore[index]
