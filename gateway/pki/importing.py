"""Taking in a certificate that was signed elsewhere."""

from collections.abc import Sequence
from pathlib import Path

from cryptography import x509

from gateway.pki import chain, files, fitness, keys, names
from gateway.pki.authority import load_certificates, now
from gateway.pki.errors import PkiError
from gateway.pki.folder import Folder


def import_leaf(
    folder: Folder,
    name: str,
    certificate_path: Path,
    key_path: Path | None,
    roots: Sequence[x509.Certificate],
    others: Sequence[x509.Certificate] = (),
    hosts: Sequence[str] = (),
    key_passphrase: bytes | None = None,
) -> x509.Certificate:
    """Put a certificate with its key and chain under `issued/`, after checking that they fit.  Raises PkiError.

    Without `key_path` the key is the one that `csr` left.  `hosts` are names that it must be good for.
    """
    leaf = folder.new_leaf(name)
    if leaf.certificate.exists():
        raise PkiError(f"{leaf.certificate} is there: nothing is overwritten")
    found = load_certificates(certificate_path)
    certificate = found[0]
    if chain.is_authority(certificate):
        raise PkiError(f"{certificate_path}: the first certificate is an authority's, not a leaf")
    path = chain.build(certificate, [*found[1:], *others], roots)
    purpose = fitness.SERVER if hosts else fitness.purpose_of(certificate)
    wrong = chain.problems(path, roots, now(), purpose)
    if wrong:
        raise PkiError(f"{certificate_path}: {wrong[0]}")
    for host in hosts:
        if not names.fits_host(certificate, host):
            raise PkiError(f"{certificate_path}: is not for {host}")
    source = key_path or leaf.key
    if not source.exists():
        raise PkiError(f"{source} is not there: the key belongs to the certificate")
    key = keys.load(source, key_passphrase)
    if keys.spki(key.public_key()) != keys.spki(certificate.public_key()):
        raise PkiError(f"{source} is not the key of {certificate_path}")
    if key_path is not None and leaf.key.exists():
        raise PkiError(f"{leaf.key} is there: nothing is overwritten")
    sent = [item for item in path if item not in roots] or path
    files.make_directory(folder.path)
    with files.locked(folder.path):
        folder.write_leaf(leaf, sent, keys.pem(key, key_passphrase) if key_path is not None else None)
    return certificate
