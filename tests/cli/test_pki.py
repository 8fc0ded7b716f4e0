"""`gateway pki` and `gateway tls check` as commands: what they say, and with which exit code."""

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def pki(gateway_command: Command, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Run `gateway pki VERB … --dir`."""

    def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
        return gateway_command("pki", *arguments, "--dir", str(tmp_path / "certs"), **environment)

    return run


def test_from_nothing_to_a_revoked_client(pki: Command, tmp_path: Path) -> None:
    code, out, _ = pki("init")
    assert (code, "root-ca.crt: CN=Gateway Root CA" in out) == (0, True)
    code, out, _ = pki("issue", "server", "--name", "broker", "--dns", "localhost", "--ip", "127.0.0.1")
    assert (code, "broker-chain.crt: CN=broker for DNS:localhost, IP:127.0.0.1" in out) == (0, True)
    assert pki("issue", "client", "--name", "device-17")[0] == 0
    code, out, _ = pki("check", "--host", "localhost")
    assert (code, out.count("ok     ")) == (0, 4)
    code, out, _ = pki("revoke", "device-17", "--reason", "keyCompromise")
    assert (code, "1 revoked" in out) == (0, True)
    code, out, _ = pki("list")
    assert "revoked (keyCompromise)" in out
    code, out, _ = pki("check")
    assert (code, "device-17: is revoked" in out) == (0, True)
    code, out, _ = pki("check", "--in-days", "375")
    assert "warning   broker: expires in 21 days" in out
    code, out, _ = pki("show", "broker")
    assert (code, "usage      serverAuth" in out) == (0, True)
    assert pki("show", str(tmp_path / "certs" / "root-ca.crt"))[1].startswith("subject    CN=Gateway Root CA")
    assert pki("renew", "broker", "--days", "10")[0] == 0
    # Whole days: the tenth has begun, or not yet within this second.
    assert re.findall("broker: expires in (?:9|10) days", pki("check")[1]) != []
    assert pki("crl", "--authority", "root-ca", "--hours", "48")[0] == 0


def test_init_makes_leaves_for_this_machine_too(pki: Command, tmp_path: Path) -> None:
    code, out, err = pki("init", "--server", "broker", "--client", "a", "--client", "b")
    assert code == 0
    assert "DNS:localhost, IP:127.0.0.1, IP:::1" in out
    assert "the key of the root is not encrypted" in err
    assert (tmp_path / "certs" / "issued" / "b.key").exists()


def test_what_cannot_be_done_is_one_line_and_code_1(pki: Command) -> None:
    assert pki("issue", "client", "--name", "x")[::2] == (1, pki("list")[2])
    assert pki("init")[0] == 0
    code, _, err = pki("init")
    assert (code, err.count("\n"), "nothing is overwritten" in err) == (1, 1, True)
    assert pki("issue", "server", "--name", "x")[0] == 1
    assert pki("revoke", "nobody")[0] == 1
    assert pki("crl", "--authority", "mine")[0] == 1


def test_passphrases_come_from_file_or_environment_and_are_not_shown(pki: Command, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("correct horse\nnot this line\n")
    said = ""
    code, *text = pki("init", "--passphrase", "env:PKI_SECRET", PKI_SECRET="correct horse")
    said += "".join(text)
    assert code == 0
    code, *text = pki("issue", "client", "--name", "x")
    said += "".join(text)
    assert (code, "no passphrase was given" in said) == (1, True)
    code, *text = pki("issue", "client", "--name", "x", "--passphrase", f"file:{secret}", "--key-passphrase", "env:K",
                      K="leaf secret")  # fmt: skip
    said += "".join(text)
    assert code == 0
    key = (tmp_path / "certs" / "issued" / "x.key").read_text()
    assert key.startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    code, *text = pki("crl", "--passphrase", "correct horse")
    said += "".join(text)
    assert (code, "`file:PATH`" in said) == (1, True)
    assert "horse" not in said
    assert "leaf secret" not in said


def test_csr_sign_import_and_export(pki: Command, gateway_command: Command, tmp_path: Path) -> None:
    pki("init")
    request = tmp_path / "certs" / "issued" / "web.csr"
    assert pki("csr", "server", "--name", "web", "--dns", "web.example")[0] == 0
    other = ["--dir", str(tmp_path / "other")]
    gateway_command("pki", "init", *other)
    code, out, err = gateway_command("pki", "sign", "server", str(request), "--name", "web", *other)
    assert (code, "DNS:web.example" in out) == (0, True), err
    chain = str(tmp_path / "other" / "issued" / "web-chain.crt")
    code, _, err = pki("import", chain, "--name", "web", "--ca", str(tmp_path / "certs" / "root-ca.crt"))
    assert (code, "without a trusted root" in err) == (1, True)
    code, _, err = pki("import", chain, "--name", "web", "--ca", str(tmp_path / "other" / "root-ca.crt"))
    assert code == 0, err
    target = tmp_path / "web.p12"
    assert (
        pki("export", "pkcs12", str(target), "--name", "web", "--passphrase", "env:P", P="changeit")[0] == 0
    )
    assert target.stat().st_mode & 0o777 == 0o600
    assert (
        pki("export", "pkcs12", str(target), "--name", "web", "--passphrase", "env:P", P="changeit")[0] == 1
    )
    assert pki("export", "truststore", str(tmp_path / "t.p12"), "--passphrase", "env:P", P="changeit")[0] == 0
    assert pki("selfsigned", "--name", "dev")[0] == 0


# -- gateway tls check


class Server(threading.Thread):
    """A TLS server that says nothing, until it is closed."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(daemon=True)
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.start()

    def run(self) -> None:
        while True:
            try:
                raw, _ = self._socket.accept()
            except OSError:
                return
            raw.settimeout(5)
            try:
                with self._context.wrap_socket(raw, server_side=True) as sock:
                    sock.recv(1)
            except OSError:
                raw.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.join(10)


@pytest.fixture
def server(pki: Command, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    pki("init", "--server", "broker", "--client", "device")
    issued = tmp_path / "certs" / "issued"
    made: list[Server] = []

    def make(change: Callable[[ssl.SSLContext], object] = lambda context: None) -> Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(issued / "broker-chain.crt", issued / "broker.key")
        change(context)
        made.append(Server(context))
        return made[-1]

    yield make
    for item in made:
        item.close()


def test_tls_check_of_a_good_server(
    server: Callable[..., Server], gateway_command: Command, tmp_path: Path
) -> None:
    root = str(tmp_path / "certs" / "root-ca.crt")
    running = server(lambda context: context.set_ciphers("ECDHE+AESGCM"))
    code, out, err = gateway_command("tls", "check", f"localhost:{running.port}", "--ca", root)
    assert code == 0, out + err
    assert "agreed on   TLS 1.3" in out
    assert "chain 1     CN=Gateway Intermediate CA" in out
    assert "names       DNS:localhost, IP:127.0.0.1, IP:::1" in out
    assert "TLS 1.2     ECDHE-ECDSA-AES" in out
    assert "no problems found" in out


def test_tls_check_names_every_problem(
    server: Callable[..., Server], gateway_command: Command, tmp_path: Path
) -> None:
    def weaken(context: ssl.SSLContext) -> None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED

    running = server(weaken)
    code, out, _ = gateway_command("tls", "check", f"127.0.0.1:{running.port}", "--server-name", "example.org",
                                   "--warn-days", "1000")  # fmt: skip
    assert code == 1
    assert "problem     the chain ends without a trusted root" in out
    assert "problem     the certificate is not for example.org" in out
    assert "problem     TLS 1.0 is accepted" in out
    assert "problem     CN=broker expires in" in out


def test_tls_check_says_that_a_certificate_is_not_a_servers(
    server: Callable[..., Server], gateway_command: Command, tmp_path: Path
) -> None:
    issued = tmp_path / "certs" / "issued"
    running = server(
        lambda context: context.load_cert_chain(issued / "device-chain.crt", issued / "device.key")
    )
    root = str(tmp_path / "certs" / "root-ca.crt")
    code, out, _ = gateway_command("tls", "check", f"127.0.0.1:{running.port}", "--ca", root)
    assert (code, "problem     device: its extended key usage is not that of a server" in out) == (1, True)


def test_tls_check_says_that_a_client_certificate_is_needed(
    server: Callable[..., Server], gateway_command: Command, tmp_path: Path
) -> None:
    root = str(tmp_path / "certs" / "root-ca.crt")

    def need(context: ssl.SSLContext) -> None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(root)

    running = server(need)
    _, out, _ = gateway_command("tls", "check", f"localhost:{running.port}", "--ca", root)
    assert "client      a certificate is needed" in out
    issued = tmp_path / "certs" / "issued"
    code, out, _ = gateway_command("tls", "check", f"localhost:{running.port}", "--ca", root, "--cert",
                                   str(issued / "device-chain.crt"), "--key", str(issued / "device.key"))  # fmt: skip
    assert (code, "certificate is needed" in out) == (0, False)


def test_tls_check_of_what_is_no_tls_server(gateway_command: Command, start: Callable[..., object]) -> None:
    code, _, err = gateway_command("tls", "check", "127.0.0.1:1")
    assert (code, "refused" in err) == (1, True)
    assert gateway_command("tls", "check", "nothing")[2] == "'nothing' is not HOST:PORT\n"
    running = start()
    code, _, err = gateway_command("tls", "check", f"127.0.0.1:{running.ports['mqtt']}")  # type: ignore[attr-defined]
    assert (code, err.count("\n")) == (1, 1), err
