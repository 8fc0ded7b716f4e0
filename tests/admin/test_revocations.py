"""Lists, certificates and OCSP over plain HTTP, as curl and openssl fetch them."""

import asyncio
import base64
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from gateway.admin.revocations import RevocationServer
from gateway.config import PkiSection
from gateway.keeping import Keeping
from gateway.pki.authority import load_certificate
from gateway.pki.folder import Folder, Plan
from gateway.pki.issue import Order, issue
from gateway.pki.ocsp import REQUEST_BYTES_MAX, Responder, make_responder
from gateway.pki.revoking import revoke

TIMEOUT_S = 30


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "certs")
    made.init(Plan())
    issue(made, Order("client", "device"), None)
    make_responder(made, "intermediate-ca", None)
    return made


@pytest_asyncio.fixture
async def server(folder: Folder) -> AsyncIterator[RevocationServer]:
    made = RevocationServer("127.0.0.1", 0, folder, Responder(folder))
    await made.open()
    yield made
    await made.close()


async def ask(
    server: RevocationServer, line: str, *headers: str, body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    lines = [f"{line} HTTP/1.1", "Host: pki.example", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    async with asyncio.timeout(TIMEOUT_S):
        head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *others = head.decode().split("\r\n")
    found = {name.lower(): value for name, _, value in (other.partition(": ") for other in others)}
    return int(first.split()[1]), found, rest


def _request(folder: Folder, *, nonce: bytes = b"") -> bytes:
    certificate = load_certificate(folder.leaf("device").certificate)
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        certificate, folder.intermediate.certificate, hashes.SHA1()
    )
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(nonce), False)
    return builder.build().public_bytes(Encoding.DER)


async def test_a_list_is_der_with_its_type_and_may_be_kept_for_an_hour(
    server: RevocationServer, folder: Folder
) -> None:
    code, headers, body = await ask(server, "GET /intermediate-ca.crl")
    assert code == 200
    assert headers["content-type"] == "application/pkix-crl"
    assert headers["cache-control"] == "max-age=3600, public, must-revalidate"
    listed = x509.load_der_x509_crl(body)
    assert listed == x509.load_pem_x509_crl(folder.crl_path("intermediate-ca").read_bytes())
    assert (await ask(server, "HEAD /intermediate-ca.crl"))[0::2] == (200, b"")
    code, again, body = await ask(server, "GET /intermediate-ca.crl", f"If-None-Match: {headers['etag']}")
    assert (code, body, again["etag"]) == (304, b"", headers["etag"])
    # RFC 9110 §8.6: that of the list, or none.
    assert again["content-length"] == headers["content-length"]
    revoke(folder, "device", "keyCompromise")
    code, _, body = await ask(server, "GET /intermediate-ca.crl", f"If-None-Match: {headers['etag']}")
    assert code == 200
    assert len(x509.load_der_x509_crl(body)) == 1


async def test_a_list_near_its_end_is_kept_no_longer(server: RevocationServer, folder: Folder) -> None:
    made = folder.authority("root-ca").revocation_list(None, timedelta(minutes=10))
    folder.crl_path("root-ca").write_bytes(made.public_bytes(Encoding.PEM))
    _, headers, _ = await ask(server, "GET /root-ca.crl")
    assert 0 < int(headers["cache-control"].split(",")[0].removeprefix("max-age=")) <= 600


async def test_an_authoritys_certificate(server: RevocationServer, folder: Folder) -> None:
    code, headers, body = await ask(server, "GET /root-ca.crt")
    assert (code, headers["content-type"]) == (200, "application/pkix-cert")
    assert x509.load_der_x509_certificate(body) == folder.root.certificate


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("GET /", 404),
        ("GET /device.crt", 404),
        ("GET /issued/device.crl", 404),
        ("GET /../certs/root-ca.crl", 404),
        ("GET /root-ca/private/root-ca.key", 404),
        ("GET /root-ca.key", 404),
        ("POST /root-ca.crl", 405),
        ("PUT /ocsp", 405),
        ("POST /ocsp", 415),
    ],
)
async def test_nothing_else_is_given_away(server: RevocationServer, line: str, code: int) -> None:
    found, headers, _ = await ask(server, line)
    assert found == code
    assert ("allow" in headers) == (code == 405)


async def test_a_list_that_is_damaged_is_not_served(server: RevocationServer, folder: Folder) -> None:
    folder.crl_path("root-ca").write_bytes(b"no list")
    code, _, body = await ask(server, "GET /root-ca.crl")
    assert code == 503
    assert str(folder.path).encode() not in body


async def test_ocsp_by_post_and_get(server: RevocationServer, folder: Folder) -> None:
    request = _request(folder, nonce=b"n" * 16)
    code, headers, body = await ask(
        server, "POST /ocsp", "Content-Type: application/ocsp-request", body=request
    )
    assert (code, headers["content-type"], headers["cache-control"]) == (
        200,
        "application/ocsp-response",
        "no-store",
    )
    assert ocsp.load_der_ocsp_response(body).certificate_status is ocsp.OCSPCertStatus.GOOD
    # Appendix A.1: base64, then url-encoded; what caches may keep has no nonce (RFC 5019 §6.2).
    path = quote(base64.b64encode(_request(folder)), safe="")
    code, headers, body = await ask(server, f"GET /ocsp/{path}")
    assert (code, headers["content-type"]) == (200, "application/ocsp-response")
    assert 0 < int(headers["cache-control"].split(",")[0].removeprefix("max-age=")) <= 3_600
    assert ocsp.load_der_ocsp_response(body).certificate_status is ocsp.OCSPCertStatus.GOOD
    code, headers, body = await ask(server, "GET /ocsp/%%%")
    assert (code, headers["cache-control"]) == (200, "no-store")
    malformed = ocsp.OCSPResponseStatus.MALFORMED_REQUEST
    assert ocsp.load_der_ocsp_response(body).response_status is malformed


async def test_a_request_above_the_bound_is_refused_before_it_is_read(server: RevocationServer) -> None:
    body = b"x" * (REQUEST_BYTES_MAX + 1)
    code, _, _ = await ask(server, "POST /ocsp", "Content-Type: application/ocsp-request", body=body)
    assert code == 413


async def test_openssl_asks_over_http(server: RevocationServer, folder: Folder) -> None:
    def run() -> str:
        done = subprocess.run(
            ["openssl", "ocsp", "-url", f"http://127.0.0.1:{server.port}/ocsp", "-issuer", "intermediate-ca.crt",
             "-cert", "issued/device.crt", "-CAfile", "root-ca.crt", "-verify_other", "intermediate-ca.crt"],
            cwd=folder.path, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)  # fmt: skip
        return done.stdout + done.stderr

    said = await asyncio.to_thread(run)
    # With a nonce, which openssl compares.
    assert "Response verify OK" in said
    assert "issued/device.crt: good" in said
    assert "WARNING" not in said
    revoke(folder, "device", "keyCompromise")
    assert "issued/device.crt: revoked" in await asyncio.to_thread(run)


# -- what a running gateway does for its folder


async def test_what_is_due_is_made_at_the_start(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gateway.pki")
    folder.write_crl("intermediate-ca", None, 24)
    before = folder.crl_path("root-ca").read_bytes()
    keeping = Keeping(PkiSection(dir=folder.path, renew_lists=True, uri="http://127.0.0.1:0"))
    await keeping.start()
    assert keeping.server is not None
    _, _, body = await ask(keeping.server, "GET /intermediate-ca.crl")
    await keeping.close()
    due = x509.load_der_x509_crl(body).next_update_utc
    assert due is not None
    assert "made anew: intermediate-ca.crl: 0 revoked" in caplog.text
    assert folder.crl_path("root-ca").read_bytes() == before


async def test_what_was_revoked_without_a_list_is_listed_within_a_minute(folder: Folder) -> None:
    keeping = Keeping(PkiSection(dir=folder.path, renew_lists=True))
    await keeping.start()
    revoke(folder, "device", "keyCompromise", publish=False)
    before = folder.crl_path("intermediate-ca").read_bytes()
    keeping.tick(0)
    await keeping.close()
    after = folder.crl_path("intermediate-ca").read_bytes()
    assert after != before
    assert len(x509.load_pem_x509_crl(after)) == 1


async def test_without_the_key_nothing_is_made_and_nobody_is_bothered(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    for role in folder.roles():
        folder.authority(role).key_path.unlink()
        folder.crl_path(role).unlink()
    keeping = Keeping(PkiSection(dir=folder.path, renew_lists=True, ocsp=True))
    await keeping.start()
    await keeping.close()
    assert caplog.text == ""


async def test_an_encrypted_key_needs_its_passphrase_which_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path / "locked")
    folder.init(Plan(intermediate_passphrase=b"very secret", root_passphrase=b"very secret"))
    folder.write_crl("intermediate-ca", b"very secret", 24)
    monkeypatch.setenv("PKI_SECRET", "wrong one")
    section = PkiSection(dir=folder.path, renew_lists=True, ocsp=True, passphrase="env:PKI_SECRET")
    keeping = Keeping(section)
    await keeping.start()
    keeping.tick(0)
    await keeping.close()
    assert caplog.text.count("could not be made anew: intermediate-ca: ") == 1
    assert "wrong one" not in caplog.text
    monkeypatch.setenv("PKI_SECRET", "very secret")
    keeping = Keeping(section)
    await keeping.start()
    await keeping.close()
    assert not folder.crl_is_due("intermediate-ca", timedelta(days=20))
    assert load_certificate(folder.path / "intermediate-ca" / "ocsp.crt")
