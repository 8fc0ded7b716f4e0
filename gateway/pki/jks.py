"""The key store of Java before 9 (JKS), as `keytool` writes and reads it.

Nothing describes it but Java's source (sun.security.provider.JavaKeyStore, KeyProtector): a magic number, a version, the
entries, and a SHA-1 over the password and all of it.  What protects the key is as old as that, and no better: such a file
is to be kept as the key itself is.
"""

import hashlib
import os
import struct
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

MAGIC: Final = 0xFEEDFEED
VERSION: Final = 2
KEY: Final = 1
TRUSTED: Final = 2
DIGEST_BYTES: Final = 20

PROTECTOR: Final = bytes.fromhex("300e060a2b060104012a021101010500")
"""AlgorithmIdentifier: 1.3.6.1.4.1.42.2.17.1.1, no parameters."""


def key_store(
    alias: str,
    key: CertificateIssuerPrivateKeyTypes,
    chain: Sequence[x509.Certificate],
    password: str,
    now: datetime,
) -> bytes:
    """A file with one key and its chain, the leaf first."""
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    protected = _sequence(PROTECTOR + _element(0x04, _protect(plain, _utf16(password))))
    entry = struct.pack(">I", len(protected)) + protected + struct.pack(">I", len(chain))
    entry += b"".join([_certificate(item) for item in chain])
    return _signed([_head(KEY, alias, now) + entry], password)


def trust_store(trusted: Sequence[tuple[str, x509.Certificate]], password: str, now: datetime) -> bytes:
    """A file with certificates that are trusted, each with its alias."""
    entries = [_head(TRUSTED, alias, now) + _certificate(item) for alias, item in trusted]
    return _signed(entries, password)


def _signed(entries: list[bytes], password: str) -> bytes:
    data = struct.pack(">III", MAGIC, VERSION, len(entries)) + b"".join(entries)
    return data + _sha1(_utf16(password), b"Mighty Aphrodite", data)


def _head(tag: int, alias: str, now: datetime) -> bytes:
    return struct.pack(">I", tag) + _text(alias.lower()) + struct.pack(">Q", int(now.timestamp() * 1000))


def _certificate(certificate: x509.Certificate) -> bytes:
    data = certificate.public_bytes(Encoding.DER)
    return _text("X.509") + struct.pack(">I", len(data)) + data


def _protect(plain: bytes, password: bytes) -> bytes:
    """A random salt, the key combined with a chain of digests, and a digest of the key to know a wrong password by."""
    salt = digest = os.urandom(DIGEST_BYTES)
    stream = b""
    while len(stream) < len(plain):
        digest = _sha1(password, digest)
        stream += digest
    return salt + bytes([a ^ b for a, b in zip(plain, stream, strict=False)]) + _sha1(password, plain)


def _sha1(*parts: bytes) -> bytes:
    return hashlib.sha1(b"".join(parts), usedforsecurity=False).digest()


def _utf16(password: str) -> bytes:
    return password.encode("utf-16-be")


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def _sequence(data: bytes) -> bytes:
    return _element(0x30, data)


def _element(tag: int, data: bytes) -> bytes:
    """DER: a tag, the length, the content."""
    if len(data) < 0x80:
        return bytes([tag, len(data)]) + data
    length = len(data).to_bytes((len(data).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + data
