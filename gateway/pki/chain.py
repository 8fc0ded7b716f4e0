"""Does a certificate lead to a root that is trusted?  The rules of RFC 5280 §6 that matter between our own."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ObjectIdentifier

from gateway.pki import fitness, keys, names

DEPTH_MAX: Final = 10
"""Certificates between a leaf and its root, both included."""


def is_authority(certificate: x509.Certificate) -> bool:
    """May it sign others?"""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Did `issuer` sign `certificate`?"""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def build(
    leaf: x509.Certificate, others: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> list[x509.Certificate]:
    """`leaf`, the authorities above it and a root; what is missing is missing at the end."""
    path = [leaf]
    while len(path) < DEPTH_MAX and path[-1] not in roots:
        above = next(
            (other for other in (*roots, *others) if other not in path and signed_by(path[-1], other)), None
        )
        if above is None:
            break
        path.append(above)
    return path


def problems(
    path: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    now: datetime,
    purpose: ObjectIdentifier | None = None,
) -> list[str]:
    """What the other side would find wrong in a path that `build` made; `purpose` is what its leaf is shown as."""
    found: list[str] = []
    if path[-1] not in roots:
        issuer = names.common_name(path[-1].issuer) or path[-1].issuer.rfc4514_string()
        found.append(f"the chain ends without a trusted root: {issuer} is unknown")
    for depth, certificate in enumerate(path):
        who = names.common_name(certificate.subject) or certificate.subject.rfc4514_string()
        found += [f"{who}: {text}" for text in own_problems(certificate, now)]
        if depth:
            found += [f"{who}: {text}" for text in _authority_problems(certificate, depth - 1)]
    return found + ([] if purpose is None else unfit(path, purpose))


def unfit(path: Sequence[x509.Certificate], purpose: ObjectIdentifier) -> list[str]:
    """Why the other side would refuse a chain, however well it is signed, a line each."""
    return [
        f"{names.common_name(certificate.subject) or certificate.subject.rfc4514_string()}: {text}"
        for certificate, text in fitness.misfits(path, purpose)
    ]


def own_problems(certificate: x509.Certificate, now: datetime) -> list[str]:
    """Dates, key and signature of one certificate."""
    found: list[str] = []
    if now < certificate.not_valid_before_utc:
        found.append(f"not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
    if now > certificate.not_valid_after_utc:
        found.append(f"expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    weak = keys.weakness(certificate.public_key())
    if weak:
        found.append(f"weak: {weak}")
    if certificate.issuer != certificate.subject:
        # Nobody looks at the signature of a root, which is trusted because it is known.
        weak = keys.weak_digest(certificate.signature_hash_algorithm)
        if weak:
            found.append(f"weak: {weak}")
    return found


def _authority_problems(certificate: x509.Certificate, below: int) -> list[str]:
    """What keeps a certificate from having `below` authorities between itself and the leaf."""
    if not is_authority(certificate):
        return ["signs others, and is no authority"]
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    found: list[str] = []
    if constraints.path_length is not None and below > constraints.path_length:
        found.append(f"path length {constraints.path_length} is exceeded")
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return found
    if not usage.key_cert_sign:
        found.append("its key usage does not allow signing certificates")
    return found
