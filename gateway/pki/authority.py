"""An authority: its folder as its .cnf describes it, and what it signs."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    CertificatePublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.pki import files, keys, names, places
from gateway.pki.conf import Conf
from gateway.pki.database import REASONS, REVOKED, VALID, Database, Entry, hexadecimal
from gateway.pki.errors import PkiError
from gateway.pki.profiles import CRL_DAYS, LEAF_DAYS, Extensions

CERTIFICATES_MAX: Final = 100
"""Certificates in one file."""


FOREVER: Final = datetime.max.replace(tzinfo=UTC)

SLOW_CLOCKS: Final = timedelta(minutes=5)
"""How much the clock of somebody who looks at a new certificate or list may be behind ours."""


def now() -> datetime:
    """The time, in whole seconds as certificates have it."""
    return datetime.now(UTC).replace(microsecond=0)


def later(time: datetime, by: timedelta) -> datetime:
    """`time` and `by` added.  Raises PkiError beyond the year 9999."""
    try:
        return time + by
    except OverflowError:
        raise PkiError(f"{by.days} days from now no calendar goes on") from None


def days_long(days: int) -> timedelta:
    """So many days.  Raises PkiError for more than can be counted."""
    try:
        return timedelta(days=days)
    except OverflowError:
        raise PkiError(f"{days} days from now no calendar goes on") from None


def readable(found: x509.Certificate | x509.CertificateSigningRequest, what: str) -> None:
    """Raise PkiError for one whose parts cannot be read: they are parsed late, where nobody expects an error."""
    try:
        found.subject.rfc4514_string()
        found.public_key()
        list(found.extensions)
        _ = found.signature_hash_algorithm
        if isinstance(found, x509.Certificate):
            found.issuer.rfc4514_string()
            _ = found.not_valid_before_utc, found.not_valid_after_utc
    except UnsupportedAlgorithm:
        raise PkiError(f"{what}: its key or signature is of an unknown kind") from None
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise PkiError(f"{what}: a name, date or extension in it is malformed") from None


def load_certificates(path: Path) -> list[x509.Certificate]:
    """The certificates in a PEM or DER file, at least one.  Raises PkiError."""
    data = files.read(path)
    try:
        if b"-----BEGIN" in data:
            found = x509.load_pem_x509_certificates(data)
            # A last one cut short is passed over by the parser, and would be missed much later.
            if len(found) != data.count(b"-----BEGIN CERTIFICATE-----"):
                raise ValueError
        else:
            found = [x509.load_der_x509_certificate(data)]
    except ValueError:
        raise PkiError(f"{path}: no certificate, or a damaged one") from None
    if len(found) > CERTIFICATES_MAX:
        raise PkiError(f"{path}: more than {CERTIFICATES_MAX} certificates")
    for certificate in found:
        readable(certificate, str(path))
    return found


def load_certificate(path: Path) -> x509.Certificate:
    """The first certificate in a file.  Raises PkiError."""
    return load_certificates(path)[0]


def pem(*certificates: x509.Certificate) -> bytes:
    """Certificates as PEM, one after the other."""
    return b"".join([certificate.public_bytes(Encoding.PEM) for certificate in certificates])


def build(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: CertificatePublicKeyTypes,
    signer: CertificateIssuerPrivateKeyTypes,
    serial: int,
    days: int,
    extensions: Extensions,
    until: datetime = FOREVER,
) -> x509.Certificate:
    """Sign a certificate that is valid from now on, and for clocks that are a little slow, for so many days and no longer
    than `until`.  Raises PkiError."""
    start = now() - SLOW_CLOCKS
    end = min(later(start, days_long(days)), until)
    try:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(serial)
            .not_valid_before(start)
            .not_valid_after(end)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(signer, keys.digest_for(signer))
    except (ValueError, OverflowError) as error:
        raise PkiError(f"no certificate can be made of this: {error}") from None


@final
class Authority:
    """One authority.  Its key is read when something is signed, and not kept."""

    def __init__(self, conf: Path, base: Path) -> None:
        """As `conf` describes it; relative paths in it count from `base`.  Raises PkiError."""
        self.conf = conf
        text = Conf(conf)
        section = text.get("ca", "default_ca")

        def path(key: str) -> Path:
            return base / text.get(section, key)

        self.certificate_path = path("certificate")
        self.key_path = path("private_key")
        self.new_certificates = path("new_certs_dir")
        self.database = Database(path("database"), path("serial"), path("crlnumber"))
        self._random_serial = text.get(section, "rand_serial", "no") not in ("no", "false", "0")
        days = text.get(section, "default_crl_days", str(CRL_DAYS))
        self.crl_days = int(days) if days.isdigit() else CRL_DAYS
        days = text.get(section, "default_days", str(LEAF_DAYS))
        self.default_days = int(days) if days.isdigit() and int(days) else LEAF_DAYS
        """Of a leaf for which no lifetime is told, as the .cnf has it."""
        self.certificate = load_certificate(self.certificate_path)
        self._text, self._section = text, section
        self.crl_path = path("crl") if text.sections.get(section, {}).get("crl") else None
        """Where the .cnf says that its list is; None where it does not."""
        self.publish = text.sections["default"].get("publish", "")
        """Where the folder's lists are served, if its .cnf says so."""

    def places(self, section: str) -> Extensions:
        """What the .cnf has certificates say of lists and answers, in that section or the usual one.  Raises PkiError."""
        return places.extensions(self._text, self._section, section)

    def allowed(self, subject: x509.Name, *, complete: bool) -> x509.Name:
        """`subject`, if the policy of the .cnf lets it be signed, completed by what must match.  Raises PkiError."""
        return places.subject(self._text, self._section, subject, self.certificate.subject, complete=complete)

    @property
    def name(self) -> str:
        """Its common name."""
        return names.common_name(self.certificate.subject)

    def key(self, passphrase: bytes | None) -> CertificateIssuerPrivateKeyTypes:
        """Its private key, compared with its certificate.  Raises PkiError."""
        if not self.key_path.exists():
            raise PkiError(f"{self.key_path} is not there: the key of {self.name} is kept elsewhere")
        key = keys.load(self.key_path, passphrase)
        if keys.spki(key.public_key()) != keys.spki(self.certificate.public_key()):
            raise PkiError(f"{self.key_path} is not the key of {self.certificate_path}")
        return key

    def days_for(self, usual: int) -> int:
        """`usual`, or what is left of the authority where that is less.  Raises PkiError when nothing is."""
        left = (self.certificate.not_valid_after_utc - now()).days
        if left < 1:
            raise PkiError(f"{self.name} has no whole day left: it must be renewed first")
        return min(usual, left)

    def sign(
        self,
        subject: x509.Name,
        public_key: CertificatePublicKeyTypes,
        days: int,
        extensions: Extensions,
        passphrase: bytes | None,
    ) -> x509.Certificate:
        """Issue a certificate and enter it.  Raises PkiError."""
        end = self.certificate.not_valid_after_utc
        # An authority made a moment ago has all of its days: what it issues then ends with it.
        left = (end - now() + 2 * SLOW_CLOCKS).days
        if not 0 < days <= left:
            raise PkiError(f"{days} days: from 1 to the {max(left, 0)} that are left to {self.name}")
        signer = self.key(passphrase)
        # The number is spent before it is used: what fails half-way never leads to two with the same.
        serial = x509.random_serial_number() if self._random_serial else self.database.next_serial()
        certificate = build(
            subject, self.certificate.subject, public_key, signer, serial, days, extensions, end
        )
        files.write(self.new_certificates / f"{hexadecimal(serial)}.pem", pem(certificate))
        self.database.add(
            Entry(
                VALID, certificate.not_valid_after_utc, None, "", serial, "unknown", names.one_line(subject)
            )
        )
        return certificate

    def issued(self, serial: int) -> x509.Certificate | None:
        """The copy that was kept of a certificate."""
        path = self.new_certificates / f"{hexadecimal(serial)}.pem"
        return load_certificate(path) if path.exists() else None

    def has_issued(self, certificate: x509.Certificate) -> bool:
        """Is a certificate of this authority's making?"""
        if certificate.issuer != self.certificate.subject:
            return False
        return self.database.find(certificate.serial_number) is not None

    def revocation_list(
        self, passphrase: bytes | None, valid: timedelta | None = None
    ) -> x509.CertificateRevocationList:
        """A new list of what is revoked, valid for `valid` (else as the .cnf says).  Raises PkiError."""
        start = now() - SLOW_CLOCKS
        due = later(now(), valid or days_long(self.crl_days))
        signer = self.key(passphrase)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(start)
            .next_update(due)
            .add_extension(x509.CRLNumber(self.database.next_crl_number()), False)
            .add_extension(self._key_identifier(), False)
        )
        for revoked in self._revoked():
            builder = builder.add_revoked_certificate(revoked)
        return builder.sign(signer, keys.digest_for(signer))

    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        try:
            known = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        except x509.ExtensionNotFound:
            key = self.certificate.public_key()
            return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)  # type: ignore[arg-type]
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)

    def _revoked(self) -> Sequence[x509.RevokedCertificate]:
        found: list[x509.RevokedCertificate] = []
        for entry in self.database.entries():
            if entry.status != REVOKED or entry.revoked is None:
                continue
            builder = (
                x509.RevokedCertificateBuilder().serial_number(entry.serial).revocation_date(entry.revoked)
            )
            reason = REASONS.get(entry.reason)
            # RFC 5280 §5.3.1: `unspecified` is said by saying nothing.
            if reason is not None and reason is not x509.ReasonFlags.unspecified:
                builder = builder.add_extension(x509.CRLReason(reason), False)
            found.append(builder.build())
        return found
