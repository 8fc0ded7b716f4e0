"""Other formats for other programs."""

from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs7,
    pkcs12,
)

from gateway.pki import keys, names
from gateway.pki.errors import PkiError

FORMATS: Final = ("pem", "der", "pkcs12", "pkcs7", "truststore")
"""truststore: the authorities only, as Java's keytool and clients read it."""

SECRET_FORMATS: Final = ("pem", "pkcs12")
"""Formats that have the private key in them."""


def export(
    form: str,
    name: str,
    chain: list[x509.Certificate],
    key: CertificateIssuerPrivateKeyTypes | None,
    authorities: list[x509.Certificate],
    passphrase: bytes | None,
) -> bytes:
    """A leaf (`chain` starts with it) in another format.  `key` None leaves it out.  Raises PkiError."""
    if form == "pem":
        certificates = b"".join([certificate.public_bytes(Encoding.PEM) for certificate in chain])
        return certificates if key is None else keys.pem(key, passphrase) + certificates
    if form == "der":
        return chain[0].public_bytes(Encoding.DER)
    if form == "pkcs7":
        return pkcs7.serialize_certificates([*chain, *authorities], Encoding.PEM)
    if form == "pkcs12":
        if key is None:
            raise PkiError("PKCS#12 needs the private key")
        return pkcs12.serialize_key_and_certificates(
            name.encode(),
            key,  # type: ignore[arg-type]
            chain[0],
            [*chain[1:], *authorities],
            _encryption(passphrase),
        )
    if form == "truststore":
        return trust_store(authorities, passphrase)
    raise PkiError(f"unknown format {form!r}: one of {', '.join(FORMATS)}")


def trust_store(authorities: list[x509.Certificate], passphrase: bytes | None) -> bytes:
    """A PKCS#12 file that Java takes as a trust store: its entries are marked as trusted."""
    if not passphrase:
        raise PkiError("a Java trust store needs a passphrase: keytool reads none without")
    entries = [
        pkcs12.PKCS12Certificate(
            certificate, names.common_name(certificate.subject).lower().encode() or b"ca"
        )
        for certificate in authorities
    ]
    return pkcs12.serialize_java_truststore(entries, _java(passphrase))


def _encryption(passphrase: bytes | None) -> KeySerializationEncryption:
    return _java(passphrase) if passphrase else NoEncryption()


def _java(passphrase: bytes) -> KeySerializationEncryption:
    """What Java 8u301, OpenSSL 1.1 and everything newer read."""
    return (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(50_000)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(passphrase)
    )
