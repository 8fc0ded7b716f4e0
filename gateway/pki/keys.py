"""Private keys: which kinds there are, how strong they must be, how they lie in files."""

from pathlib import Path
from typing import Final, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    CertificatePublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gateway.pki import files
from gateway.pki.errors import PkiError

KEY_TYPES: Final = ("p256", "p384", "rsa3072", "rsa4096", "ed25519")
"""What can be made."""

RSA_BITS_MIN: Final = 2_048
"""Shorter RSA keys are refused when they come from elsewhere."""

CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")

DIGESTS: Final = ("sha256", "sha384", "sha512")
"""What a signature must be made with; for Ed25519 the question does not arise."""


def generate(kind: str) -> CertificateIssuerPrivateKeyTypes:
    """A new key of a kind in KEY_TYPES.  Raises PkiError."""
    if kind == "p256":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "p384":
        return ec.generate_private_key(ec.SECP384R1())
    if kind in ("rsa3072", "rsa4096"):
        return rsa.generate_private_key(public_exponent=65_537, key_size=int(kind[3:]))
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    raise PkiError(f"unknown key type {kind!r}: one of {', '.join(KEY_TYPES)}")


def kind_of(key: CertificatePublicKeyTypes) -> str:
    """What a public key is, for people: `EC secp256r1`, `RSA 3072`, `Ed25519`."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return (
        "Ed25519"
        if isinstance(key, ed25519.Ed25519PublicKey)
        else type(key).__name__.removesuffix("PublicKey")
    )


def same_kind(key: CertificatePublicKeyTypes) -> str:
    """The kind in KEY_TYPES that a renewed key should have."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "p384" if key.curve.name == "secp384r1" else "p256"
    if isinstance(key, rsa.RSAPublicKey):
        return "rsa4096" if key.key_size >= 4096 else "rsa3072"
    return "ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else "p256"


def weakness(key: CertificatePublicKeyTypes) -> str:
    """Why a public key is too weak; empty when it is not."""
    if isinstance(key, rsa.RSAPublicKey):
        return (
            f"RSA key of {key.key_size} bits, at least {RSA_BITS_MIN}" if key.key_size < RSA_BITS_MIN else ""
        )
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "" if key.curve.name in CURVES else f"curve {key.curve.name}"
    return "" if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) else f"{kind_of(key)} key"


def weak_digest(digest: hashes.HashAlgorithm | None) -> str:
    """Why a signature's digest is too weak; empty when it is not."""
    return f"signed with {digest.name}" if digest is not None and digest.name not in DIGESTS else ""


def digest_for(key: CertificateIssuerPrivateKeyTypes) -> hashes.SHA256 | hashes.SHA384 | None:
    """What `key` should sign with."""
    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size > 256:
        return hashes.SHA384()
    return hashes.SHA256()


def spki(key: CertificatePublicKeyTypes) -> bytes:
    """A public key as bytes that can be compared."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pem(key: CertificateIssuerPrivateKeyTypes, passphrase: bytes | None = None) -> bytes:
    """PKCS#8 as PEM, encrypted when there is a passphrase."""
    encryption: serialization.KeySerializationEncryption = NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def is_encrypted(path: Path) -> bool:
    """Does the key in `path` need a passphrase?  Raises PkiError."""
    data = files.read(path)
    return b"ENCRYPTED" in data


def load(path: Path, passphrase: bytes | None = None) -> CertificateIssuerPrivateKeyTypes:
    """The private key in a PEM or DER file.  Raises PkiError, whose text tells nothing of the key."""
    data = files.read(path)
    try:
        if b"-----BEGIN" in data:
            key = serialization.load_pem_private_key(data, passphrase)
        else:
            key = serialization.load_der_private_key(data, passphrase)
    except TypeError:
        if passphrase is None:
            raise PkiError(f"{path}: the key is encrypted, and no passphrase was given") from None
        # The key is not encrypted at all: a passphrase too many does no harm.
        return load(path)
    except (ValueError, UnsupportedAlgorithm):
        reason = "wrong passphrase, or no private key" if passphrase else "no private key, or a damaged one"
        raise PkiError(f"{path}: {reason}") from None
    return cast(CertificateIssuerPrivateKeyTypes, key)
