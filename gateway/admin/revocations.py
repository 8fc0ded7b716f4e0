"""What a PKI folder tells everybody, over plain HTTP: revocation lists, authorities' certificates, OCSP.

Plain HTTP, since all of it is signed, and a client that would have to look up the server's certificate first could go round
in circles (RFC 5280 §8).  Files are read, and answers signed, in a thread, one at a time.
"""

import asyncio
import base64
import binascii
import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from email.utils import format_datetime
from typing import Final, final
from urllib.parse import unquote_to_bytes

import h11
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from gateway.admin.endpoint import Answer, Endpoint
from gateway.pki import files
from gateway.pki.authority import load_certificate, now
from gateway.pki.errors import PkiError
from gateway.pki.folder import Folder
from gateway.pki.ocsp import REQUEST_BYTES_MAX, Responder

OCSP_PATH: Final = "/ocsp"
OCSP_REQUEST: Final = "application/ocsp-request"
OCSP_RESPONSE: Final = "application/ocsp-response"
CRL: Final = "application/pkix-crl"
"""RFC 5280 §4.2.1.13, RFC 2585 §4.2."""
CERTIFICATE: Final = "application/pkix-cert"

AGE_MAX_S: Final = 3_600
"""Longest that a list may be kept by caches on the way: so long somebody who is revoked may go unnoticed."""


@final
class RevocationServer(Endpoint):
    """Serves a folder: /ROLE.crl, /ROLE.crt, and with a responder /ocsp."""

    def __init__(self, host: str, port: int, folder: Folder, responder: Responder | None) -> None:
        super().__init__(host, port, REQUEST_BYTES_MAX)
        self._folder = folder
        self._responder = responder
        self._thread = ThreadPoolExecutor(1, "gateway-pki")

    def serve(self, folder: Folder, responder: Responder | None) -> None:
        """Serve another folder, or with another responder, from the next request on."""
        self._folder = folder
        self._responder = responder

    async def close(self) -> None:
        """Stop listening and end the open connections."""
        await super().close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def answer(self, request: h11.Request, body: bytes) -> Answer:
        """See Endpoint."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._answer, request, body)

    def wrong(self, code: int, reason: str) -> Answer:
        """See Endpoint."""
        return _wrong(code, reason)

    def _answer(self, request: h11.Request, body: bytes) -> Answer:
        path = request.target.split(b"?", 1)[0].decode("latin-1")
        if self._responder is not None and (path == OCSP_PATH or path.startswith(f"{OCSP_PATH}/")):
            return self._ocsp(self._responder, request, path, body)
        name, _, kind = path.removeprefix("/").rpartition(".")
        try:
            if kind not in ("crl", "crt") or name not in self._folder.roles():
                return _wrong(
                    404, "there are lists (/NAME.crl) and certificates (/NAME.crt) of the authorities"
                )
            if request.method not in (b"GET", b"HEAD"):
                return _not_allowed("GET, HEAD")
            return self._list(name, request) if kind == "crl" else self._certificate(name)
        except PkiError:
            # The reason names paths of this machine.
            return _wrong(503, "not there, or damaged")

    def _certificate(self, role: str) -> Answer:
        data = load_certificate(self._folder.path / f"{role}.crt").public_bytes(Encoding.DER)
        return Answer(200, data, CERTIFICATE, [("Cache-Control", f"max-age={AGE_MAX_S}")])

    def _list(self, role: str, request: h11.Request) -> Answer:
        data = files.read(self._folder.crl_path(role))
        try:
            listed = x509.load_pem_x509_crl(data) if b"-----BEGIN" in data else x509.load_der_x509_crl(data)
        except ValueError:
            raise PkiError(f"{role}: no revocation list") from None
        der = listed.public_bytes(Encoding.DER)
        tag = f'"{hashlib.sha256(der).hexdigest()[:32]}"'
        headers = [
            ("ETag", tag),
            ("Last-Modified", _http_date(listed.last_update_utc)),
            *_lifetime(listed.next_update_utc, AGE_MAX_S),
        ]
        asked = [value.decode("latin-1") for name, value in request.headers if name == b"if-none-match"]
        if any(tag in value or value.strip() == "*" for value in asked):
            # Its length is that of the list (RFC 9110 §8.6); the body is left out.
            return Answer(304, der, CRL, headers)
        return Answer(200, der, CRL, headers)

    def _ocsp(self, responder: Responder, request: h11.Request, path: str, body: bytes) -> Answer:
        """RFC 6960, appendix A.1."""
        if request.method == b"POST" and path == OCSP_PATH:
            kinds = [value for name, value in request.headers if name == b"content-type"]
            if not kinds or kinds[0].split(b";")[0].strip().lower() != OCSP_REQUEST.encode():
                return _wrong(415, f"Content-Type must be {OCSP_REQUEST}")
            return Answer(200, responder.answer(body), OCSP_RESPONSE, [("Cache-Control", "no-store")])
        if request.method not in (b"GET", b"HEAD"):
            return _not_allowed("GET, HEAD, POST")
        try:
            asked = base64.b64decode(unquote_to_bytes(path.removeprefix(f"{OCSP_PATH}/")), validate=True)
        except (binascii.Error, ValueError):
            asked = b""
        data = responder.answer(asked)
        return Answer(200, data, OCSP_RESPONSE, _ocsp_lifetime(data))


def _ocsp_lifetime(data: bytes) -> list[tuple[str, str]]:
    """What caches may do with an answer (RFC 5019 §6.2): one with a nonce is for nobody else."""
    said = ocsp.load_der_ocsp_response(data)
    if said.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL or list(said.extensions):
        return [("Cache-Control", "no-store")]
    return [
        ("ETag", f'"{hashlib.sha256(data).hexdigest()[:32]}"'),
        ("Last-Modified", _http_date(said.this_update_utc)),
        *_lifetime(said.next_update_utc, AGE_MAX_S),
    ]


def _lifetime(due: datetime | None, most_s: int) -> list[tuple[str, str]]:
    left = most_s if due is None else int((due - now()).total_seconds())
    headers = [("Cache-Control", f"max-age={max(0, min(left, most_s))}, public, must-revalidate")]
    return headers if due is None else [*headers, ("Expires", _http_date(due))]


def _http_date(time: datetime) -> str:
    return format_datetime(time, usegmt=True)


def _wrong(code: int, reason: str) -> Answer:
    return Answer(code, f"{reason}\n".encode(), "text/plain; charset=utf-8", [("Cache-Control", "no-store")])


def _not_allowed(methods: str) -> Answer:
    answer = _wrong(405, f"only {methods}")
    answer.headers.append(("Allow", methods))
    return answer
