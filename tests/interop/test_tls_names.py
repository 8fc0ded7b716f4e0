"""Names over TLS, where clients may show certificates and there are rules but no [[user]]: each needs its proof."""

import base64
import json
import socket
import ssl
from collections.abc import Callable, Iterator

import pytest
from tls_gateway import TIMEOUT_S, TlsGateway, make_folder, serving

from gateway.pki import issue
from protocols.mqtt.codec import encode_packet
from protocols.mqtt.frames import Connect

POLICIES = ("cn", "email", "nothing")
CERTIFICATES = {"device-17": "", "two": "CN=ann,CN=bob", "nobody": "O=Plant"}
"""Name of the leaf → its subject, where it is not that name alone."""

CONNECTOR = """
[[connector]]
name = "{name}-{policy}"
uri = "{scheme}://127.0.0.1:0"
[connector.tls]
{files}
client_certificates = "want"
user_from = "{policy}"
"""
REST = """
[[rule]]
allow = ["publish", "subscribe", "receive"]
destinations = ["topic:>", "queue:>"]
[store]
path = ""
[admin]
enabled = false
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsGateway]:
    directory = tmp_path_factory.mktemp("names")
    folder = make_folder(directory / "certs")
    for name, subject in CERTIFICATES.items():
        if subject:
            issue.issue(folder, issue.Order("client", name, subject), None)
    leaf = folder.leaf("broker")
    authorities = f'["{folder.path}/root-ca.crt", "{folder.path}/intermediate-ca.crt"]'
    files = f'certificate = "{leaf.chain}"\nkey = "{leaf.key}"\nca = {authorities}'
    connectors = [
        CONNECTOR.format(name=name, scheme=scheme, policy=policy, files=files)
        for name, scheme in (("mqtt", "mqtt+ssl"), ("stomp", "stomp+ssl"), ("web", "wss"))
        for policy in POLICIES
    ]
    with serving(folder, "".join(connectors) + REST) as running:
        assert len(running.ports) == len(connectors), running.log.read_text()
        yield running


def _mqtt(channel: ssl.SSLSocket, user: str) -> bool:
    channel.sendall(encode_packet(Connect("c", True, 0, 4, None, user, b"any", None), 4))
    return channel.recv(4) == b"\x20\x02\x00\x00"


def _stomp(channel: ssl.SSLSocket, user: str) -> bool:
    channel.sendall(f"CONNECT\naccept-version:1.2\nhost:h\nlogin:{user}\npasscode:any\n\n\0".encode())
    return channel.recv(4_096).startswith(b"CONNECTED")


def _http(channel: ssl.SSLSocket, user: str) -> bool:
    access = base64.b64encode(f"{user}:any".encode()).decode()
    head = f"POST /topics/t HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {access}\r\n"
    channel.sendall(f"{head}Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx".encode())
    return channel.recv(4_096).split(b" ")[1].startswith(b"2")


def _json(channel: ssl.SSLSocket, user: str) -> bool:
    head = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    key = base64.b64encode(b"0" * 16).decode()
    more = (
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: gateway.json\r\n"
    )
    channel.sendall((head + more + "\r\n").encode())
    heard = b""
    while b"\r\n\r\n" not in heard:
        heard += channel.recv(4_096)
    assert heard.startswith(b"HTTP/1.1 101")
    said = json.dumps({"op": "connect", "user": user, "password": "any"}).encode()
    # A masked text message, the mask being zero.
    channel.sendall(bytes([0x81, 0x80 | len(said)]) + b"\0\0\0\0" + said)
    return b'"connected"' in channel.recv(4_096)


WAYS: dict[str, tuple[str, Callable[[ssl.SSLSocket, str], bool]]] = {
    "MQTT": ("mqtt", _mqtt),
    "STOMP": ("stomp", _stomp),
    "HTTP": ("web", _http),
    "JSON": ("web", _json),
}


def is_let_in(gateway: TlsGateway, way: str, policy: str, certificate: str, user: str) -> bool:
    name, attempt = WAYS[way]
    context = ssl.create_default_context(cafile=gateway.root)
    if certificate:
        context.load_cert_chain(*gateway.files(certificate))
    with (
        socket.create_connection(
            ("localhost", gateway.ports[f"{name}-{policy}"]), timeout=TIMEOUT_S
        ) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as channel,
    ):
        return attempt(channel, user)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("certificate", ["", *CERTIFICATES])
def test_nobody_claims_a_name_without_a_proof_of_it(
    gateway: TlsGateway, way: str, policy: str, certificate: str
) -> None:
    """Two common names, none, a field that the certificate has not, no field at all, and no certificate."""
    for user in ("ann", "bob", "anybody"):
        assert not is_let_in(gateway, way, policy, certificate, user)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("policy", POLICIES)
def test_the_name_that_the_certificate_proves_is_ones_own(gateway: TlsGateway, way: str, policy: str) -> None:
    assert is_let_in(gateway, way, policy, "device-17", "device-17") == (policy == "cn")
