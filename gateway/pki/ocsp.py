"""Answers whether a certificate is revoked: OCSP (RFC 6960), for every authority of a folder.

Answers are signed by a certificate that the authority has issued for nothing else (RFC 6960 §4.2.2.2): its key may lie on a
machine where the authority's own does not.  Such a certificate is itself not looked up anywhere (§4.2.2.2.1), so it is
short-lived.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from gateway.pki import files, keys, ocsp_several, profiles
from gateway.pki.authority import SLOW_CLOCKS, Authority, load_certificate, now, pem
from gateway.pki.database import REASONS, REVOKED, Entry
from gateway.pki.errors import PkiError
from gateway.pki.folder import Folder

REQUEST_BYTES_MAX: Final = 4_096
NONCE_BYTES_MAX: Final = 128
"""RFC 9654 §2.1."""

RESPONDER_DAYS: Final = 60
RENEW_DAYS: Final = 20
"""Days left at which a responder's certificate is made anew."""

DIGESTS: Final[tuple[hashes.HashAlgorithm, ...]] = (
    hashes.SHA1(),  # What nearly all clients name authorities by; nothing is signed with it.
    hashes.SHA256(),
    hashes.SHA384(),
    hashes.SHA512(),
)

MALFORMED: Final = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension)
"""What reading a request that is none raises."""

Hashes = tuple[bytes, bytes]
"""Of an authority's name and key."""

Stamp = tuple[int, int, int]


def responder_paths(folder: Folder, role: str) -> tuple[Path, Path]:
    """Where the certificate and the key of an authority's responder are."""
    return folder.path / role / "ocsp.crt", folder.path / role / "private" / "ocsp.key"


def make_responder(
    folder: Folder, role: str, passphrase: bytes | None, days: int = RESPONDER_DAYS
) -> x509.Certificate:
    """Make the responder's key and certificate for an authority, or new ones.  Raises PkiError."""
    authority = folder.authority(role)
    key = keys.generate(keys.same_kind(authority.certificate.public_key()))
    # 64 letters are the most that a common name may have (RFC 5280, upper bounds).
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{authority.name[:58]} OCSP".strip())])
    extensions = profiles.responder_extensions(key.public_key(), authority.certificate)
    certificate_path, key_path = responder_paths(folder, role)
    days = authority.days_for(days)
    with files.locked(folder.path):
        made = authority.sign(subject, key.public_key(), days, extensions, passphrase)
        files.make_private_directory(key_path.parent)
        files.write(key_path, keys.pem(key), files.PRIVATE)
        files.write(certificate_path, pem(made))
    return made


def responder_is_due(folder: Folder, role: str) -> bool:
    """Has an authority no responder, or one that is of no use for long any more?"""
    try:
        certificate = load_certificate(responder_paths(folder, role)[0])
    except PkiError:
        return True
    issuer = folder.authority(role).certificate
    left = min(certificate.not_valid_after_utc, issuer.not_valid_after_utc) - now()
    return left < timedelta(days=RENEW_DAYS) and certificate.not_valid_after_utc < issuer.not_valid_after_utc


def hashes_of(authority: x509.Certificate, digest: hashes.HashAlgorithm) -> Hashes:
    """What requests call an authority."""
    asked = ocsp.OCSPRequestBuilder().add_certificate(authority, authority, digest).build()
    name = hashes.Hash(digest)
    name.update(authority.subject.public_bytes())
    return name.finalize(), asked.issuer_key_hash


def _stamp(path: Path) -> Stamp:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0, 0
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


@final
@dataclass(slots=True)
class _Known:
    """One authority, as its files are now."""

    authority: Authority
    entries: dict[int, Entry]
    signer: x509.Certificate | None
    """None where there is no responder."""
    key: CertificateIssuerPrivateKeyTypes | None


@final
@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked for, of one certificate."""

    authority: tuple[str, Hashes]
    """How it is called: the digest's name first."""
    digest: hashes.HashAlgorithm
    serial: int
    nonce: bytes
    """Empty without one."""


@final
class Responder:
    """Answers for a folder.  Files are read again when they have changed.  Not for several threads at once."""

    def __init__(self, folder: Folder, valid: timedelta = timedelta(hours=1)) -> None:
        """`valid`: how long an answer may be kept by who gets it."""
        self._folder = folder
        self._valid = valid
        self._by_role: dict[str, _Known] = {}
        self._stamps: list[Stamp] = []
        self._known: dict[tuple[str, Hashes], _Known] = {}

    def answer(self, request: bytes) -> bytes:
        """The response to a request, both DER.  Raises nothing that a request could bring about."""
        if len(request) > REQUEST_BYTES_MAX:
            return _failed(ocsp.OCSPResponseStatus.MALFORMED_REQUEST)
        try:
            asked = [_read_request(request)]
        except NotImplementedError:
            try:
                asked = [_read_request(single) for single in ocsp_several.apart(request)]
            except (PkiError, *MALFORMED):
                return _failed(ocsp.OCSPResponseStatus.MALFORMED_REQUEST)
        except MALFORMED:
            return _failed(ocsp.OCSPResponseStatus.MALFORMED_REQUEST)
        try:
            self._look()
            return self._answer_all(asked)
        except ValueError:
            # Such as a number below zero.
            return _failed(ocsp.OCSPResponseStatus.MALFORMED_REQUEST)
        except PkiError:
            return _failed(ocsp.OCSPResponseStatus.INTERNAL_ERROR)

    def _answer_all(self, asked: list[_Asked]) -> bytes:
        found = self._known.get(asked[0].authority)
        if found is None or found.signer is None or found.key is None:
            # RFC 6960 §2.3, RFC 5019 §2.2.3: not an authority that is answered for here.
            return _failed(ocsp.OCSPResponseStatus.UNAUTHORIZED)
        if any(self._known.get(one.authority) is not found for one in asked):
            # One signs a response, and nobody here may for several authorities (RFC 6960 §4.2.2.2).
            return _failed(ocsp.OCSPResponseStatus.UNAUTHORIZED)
        said = [self._signed(found, one) for one in asked]
        return said[0] if len(said) == 1 else ocsp_several.together(said, found.key)

    def _signed(self, found: _Known, asked: _Asked) -> bytes:
        signer, key = found.signer, found.key
        assert signer is not None
        assert key is not None
        entry = found.entries.get(asked.serial)
        status, revoked, reason = _status(entry)
        time = now()
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response_by_hash(
                *asked.authority[1],
                asked.serial,
                asked.digest,
                status,
                time - SLOW_CLOCKS,
                time + self._valid,
                revoked,
                reason,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, signer)
            .certificates([signer])
        )
        if asked.nonce:
            builder = builder.add_extension(x509.OCSPNonce(asked.nonce), False)
        return builder.sign(key, keys.digest_for(key)).public_bytes(Encoding.DER)

    def _look(self) -> None:
        """Read again what has changed."""
        folder = self._folder
        if self._by_role and self._stamps == self._seen(
            {role: found.authority for role, found in self._by_role.items()}
        ):
            return
        authorities = {role: folder.authority(role) for role in folder.roles()}
        # What changes while it is read is seen as changed the next time.
        stamps = self._seen(authorities)
        by_role = {role: _read(folder, role, authority) for role, authority in authorities.items()}
        self._known = {
            (digest.name, hashes_of(found.authority.certificate, digest)): found
            for found in by_role.values()
            for digest in DIGESTS
        }
        self._by_role, self._stamps = by_role, stamps

    def _seen(self, authorities: dict[str, Authority]) -> list[Stamp]:
        """What tells that something is another: files of each authority, and the folder for further ones."""
        paths = [self._folder.path]
        for role, authority in authorities.items():
            paths += [authority.certificate_path, authority.database.index]
            paths += responder_paths(self._folder, role)
        return [_stamp(path) for path in paths]


def _read(folder: Folder, role: str, authority: Authority) -> _Known:
    entries = {entry.serial: entry for entry in authority.database.entries()}
    certificate_path, key_path = responder_paths(folder, role)
    if not certificate_path.exists() or not key_path.exists():
        return _Known(authority, entries, None, None)
    return _Known(authority, entries, load_certificate(certificate_path), keys.load(key_path))


def _read_request(data: bytes) -> _Asked:
    """A request for one certificate.  Raises MALFORMED, and NotImplementedError for one for several."""
    found = ocsp.load_der_ocsp_request(data)
    digest = found.hash_algorithm
    known = digest.name, (found.issuer_name_hash, found.issuer_key_hash)
    return _Asked(known, digest, found.serial_number, _nonce(found))


def _nonce(asked: ocsp.OCSPRequest) -> bytes:
    """Raises ValueError for one that is too long."""
    try:
        found = asked.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        return b""
    if len(found) > NONCE_BYTES_MAX:
        raise ValueError
    return found


def _status(entry: Entry | None) -> tuple[ocsp.OCSPCertStatus, datetime | None, x509.ReasonFlags | None]:
    if entry is None:
        # Never issued: whoever made it is not this authority (RFC 6960 §2.2).
        return ocsp.OCSPCertStatus.UNKNOWN, None, None
    if entry.status != REVOKED:
        return ocsp.OCSPCertStatus.GOOD, None, None
    reason = REASONS.get(entry.reason)
    if reason is x509.ReasonFlags.unspecified:
        reason = None
    return ocsp.OCSPCertStatus.REVOKED, entry.revoked, reason


def _failed(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)
