"""A gateway that looks after its own PKI folder: overdue lists are made anew, curl and openssl are answered."""

import socket
import ssl
import subprocess
import time
from collections.abc import Iterator

import pytest
from cryptography import x509
from tls_gateway import TIMEOUT_S, TlsGateway, make_folder, serving

from gateway.pki.revoking import revoke

CONFIG = """
[[connector]]
name = "mutual"
uri = "mqtt+ssl://127.0.0.1:0?transport.needClientAuth=true"
[connector.tls]
certificate = "{leaf.chain}"
key = "{leaf.key}"
ca = ["{path}/root-ca.crt", "{path}/intermediate-ca.crt"]
crl = ["{path}/root-ca.crl", "{path}/intermediate-ca.crl"]
crl_check = "chain"
[pki]
dir = "{path}"
renew_lists = true
uri = "http://127.0.0.1:0"
ocsp = true
[store]
path = ""
[admin]
enabled = false
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsGateway]:
    folder = make_folder(tmp_path_factory.mktemp("pki") / "certs")
    # One that would have every client refused in an hour.
    folder.write_crl("intermediate-ca", None, 1)
    with serving(folder, CONFIG.format(leaf=folder.leaf("broker"), path=folder.path)) as running:
        yield running


def _run(gateway: TlsGateway, *command: str) -> bytes:
    done = subprocess.run(
        command, cwd=gateway.folder.path, capture_output=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl_fetches_a_list_that_was_made_anew_at_the_start(gateway: TlsGateway) -> None:
    url = f"http://127.0.0.1:{gateway.ports['pki']}/intermediate-ca.crl"
    kind = _run(gateway, "curl", "-sS", "-o", "fetched.crl", "-w", "%{content_type}", url)
    assert kind == b"application/pkix-crl"
    listed = x509.load_der_x509_crl((gateway.folder.path / "fetched.crl").read_bytes())
    assert listed.next_update_utc is not None
    assert listed.next_update_utc.timestamp() - time.time() > 29 * 86_400


def test_clients_are_let_in_by_that_list_and_a_revoked_one_is_told_everywhere(gateway: TlsGateway) -> None:
    def shake_hands() -> bytes:
        context = ssl.create_default_context(cafile=gateway.root)
        context.load_cert_chain(*gateway.files("device-17"))
        address = ("localhost", gateway.ports["mutual"])
        with (
            socket.create_connection(address, timeout=TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as channel,
        ):
            channel.sendall(bytes.fromhex("101300044d5154540402003c000764657669636531"))
            return channel.recv(4)

    def ocsp() -> bytes:
        return _run(gateway, "openssl", "ocsp", "-url", f"http://127.0.0.1:{gateway.ports['pki']}/ocsp", "-issuer",
                    "intermediate-ca.crt", "-cert", "issued/device-17.crt", "-CAfile", "root-ca.crt")  # fmt: skip

    assert shake_hands() == b"\x20\x02\x00\x00"
    assert b"device-17.crt: good" in ocsp()
    revoke(gateway.folder, "device-17", "keyCompromise")
    assert b"device-17.crt: revoked" in ocsp()

    def refused() -> bool:
        try:
            return shake_hands() == b""
        except (ssl.SSLError, ConnectionError):
            return True

    gateway.until(refused)
