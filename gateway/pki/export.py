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

from gateway.pki import jks, keys, names
from gateway.pki.authority import now
from gateway.pki.errors import PkiError

FORMATS: Final = ("pem", "der", "pkcs12", "pkcs7", "jks", "truststore")
"""truststore: the authorities only, as Java's keytool and clients read it; jks: for Java before 9, with the key of a leaf
or, without one, a trust store too."""

OTHER_WORDS: Final = {
    "p12": "pkcs12",
    "pfx": "pkcs12",
    "p7b": "pkcs7",
    "p7c": "pkcs7",
    "crt": "pem",
    "cer": "der",
}
"""What files of these formats are called."""

SECRET_FORMATS: Final = ("pkcs12", "jks")
"""Formats that always have the private key of a leaf in them."""


JKS_PASSPHRASE_MIN: Final = 6
"""As keytool has it."""


def format_of(word: str) -> str:
    """The format that `word` means.  Raises PkiError."""
    form = OTHER_WORDS.get(word.lower(), word.lower())
    if form not in FORMATS:
        raise PkiError(f"unknown format {word!r}: one of {', '.join([*FORMATS, *OTHER_WORDS])}")
    return form


def export(
    form: str,
    name: str,
    chain: list[x509.Certificate],
    key: CertificateIssuerPrivateKeyTypes | None,
    authorities: list[x509.Certificate],
    passphrase: bytes | None,
) -> bytes:
    """A leaf (`chain` starts with it) in another format.  `key` None leaves it out.  Raises PkiError."""
    form = format_of(form)
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
    if form == "jks":
        return _jks(name, chain, key, authorities, passphrase)
    return trust_store(authorities, passphrase)


def _jks(
    name: str,
    chain: list[x509.Certificate],
    key: CertificateIssuerPrivateKeyTypes | None,
    authorities: list[x509.Certificate],
    passphrase: bytes | None,
) -> bytes:
    if not passphrase or len(passphrase) < JKS_PASSPHRASE_MIN:
        raise PkiError(f"a Java key store needs a passphrase of at least {JKS_PASSPHRASE_MIN} letters")
    if key is not None:
        return jks.key_store(name, key, [*chain, *authorities], passphrase.decode(), now())
    trusted = [(names.common_name(item.subject).lower() or "ca", item) for item in authorities]
    return jks.trust_store(trusted, passphrase.decode(), now())


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
