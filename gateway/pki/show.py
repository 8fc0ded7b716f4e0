"""Certificates as text for people."""

from dataclasses import dataclass
from datetime import datetime
from typing import final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from gateway.pki import chain, keys, names
from gateway.pki.authority import load_certificate
from gateway.pki.database import REVOKED, hexadecimal
from gateway.pki.errors import PkiError
from gateway.pki.folder import Folder


@final
@dataclass(slots=True)
class Line:
    """One certificate in a list."""

    authority: str
    """`root-ca` or `intermediate-ca`; `elsewhere` for one that was imported, `itself` for a self-signed one."""
    serial: str
    status: str
    """`valid`, `expired`, `revoked (reason)`."""
    expires: datetime | None
    """None when the certificate cannot be read."""
    subject: str
    """`/O=Example/CN=x`, or why the certificate cannot be read."""
    name: str
    """Of its files under issued/; empty when it has none there."""


def listing(folder: Folder, now: datetime) -> list[Line]:
    """All that both authorities have issued, whoever gave the command, and what was imported."""
    found: list[Line] = []
    leaves: dict[x509.Certificate, str] = {}
    for leaf in folder.leaves():
        try:
            leaves[load_certificate(leaf.certificate)] = leaf.name
        except PkiError as error:
            found.append(Line("", "", "unreadable", None, str(error), leaf.name))
    by_serial = {(cert.issuer, cert.serial_number): name for cert, name in leaves.items()}
    alone = not folder.has_authorities() and (leaves or found)
    for role in () if alone else folder.roles():
        authority = folder.authority(role)
        for entry in authority.database.entries():
            status = "valid" if entry.expires > now else "expired"
            if entry.status == REVOKED:
                status = f"revoked ({entry.reason})" if entry.reason else "revoked"
            name = by_serial.pop((authority.certificate.subject, entry.serial), "")
            found.append(Line(role, hexadecimal(entry.serial), status, entry.expires, entry.subject, name))
    for certificate, name in leaves.items():
        if (certificate.issuer, certificate.serial_number) in by_serial:
            status = "valid" if certificate.not_valid_after_utc > now else "expired"
            made_by = "itself" if certificate.issuer == certificate.subject else "elsewhere"
            found.append(
                Line(
                    made_by,
                    hexadecimal(certificate.serial_number),
                    status,
                    certificate.not_valid_after_utc,
                    names.one_line(certificate.subject),
                    name,
                )
            )
    return found


def describe(certificate: x509.Certificate, now: datetime) -> list[tuple[str, str]]:
    """What is in a certificate, as (label, text)."""
    left = (certificate.not_valid_after_utc - now).days
    lines = [
        ("subject", certificate.subject.rfc4514_string()),
        ("issuer", certificate.issuer.rfc4514_string()),
        ("serial", hexadecimal(certificate.serial_number)),
        ("valid", f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} to "
                  f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC ({left} days left)"),
        ("key", keys.kind_of(certificate.public_key())),
        ("signature", _signature(certificate)),
    ]  # fmt: skip
    alternative = names.alternative_names_of(certificate)
    if alternative:
        lines.append(("names", ", ".join([names.shown(name) for name in alternative])))
    lines.append(("usage", _usage(certificate)))
    lines.append(("SHA-256", certificate.fingerprint(hashes.SHA256()).hex(":").upper()))
    return lines


def _signature(certificate: x509.Certificate) -> str:
    digest = certificate.signature_hash_algorithm
    algorithm = certificate.signature_algorithm_oid._name
    return (
        algorithm if digest is None or digest.name in algorithm.lower() else f"{algorithm} with {digest.name}"
    )


def _usage(certificate: x509.Certificate) -> str:
    if chain.is_authority(certificate):
        length = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
        return "authority" if length is None else f"authority, path length {length}"
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return "any"
    return ", ".join([usage._name for usage in usages])
