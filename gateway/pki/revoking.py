"""Taking certificates back: revoking, for good or on hold, and lifting a hold.

A certificate is out of use only when the list of its authority says so, so the index and the list change together: what
the list needs is tried first, and the index is put back when the list cannot be written.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

from cryptography import x509

from gateway.pki import files, names
from gateway.pki.authority import Authority, load_certificate, now
from gateway.pki.database import HOLD, REVOKED, VALID, Entry, check_reason, hexadecimal
from gateway.pki.errors import PkiError
from gateway.pki.folder import Folder
from gateway.pki.issue import find


@final
@dataclass(slots=True)
class Change:
    """What a command has taken back, or given back."""

    role: str
    """Of the authority."""
    changed: list[Entry] = field(default_factory=list)
    remaining: list[Entry] = field(default_factory=list)
    """Unexpired certificates of the same name that are still valid."""
    listed: x509.CertificateRevocationList | None = None
    """The new list; None when it was not to be published."""


def revoke(
    folder: Folder, which: str, reason: str, passphrase: bytes | None = None, *, publish: bool = True
) -> Change:
    """Revoke all unexpired certificates of the leaf named `which`, or the one with that serial number, or an authority.

    Nothing is changed unless the list can be published too, where it is to be.  Raises PkiError.
    """
    check_reason(reason)
    role, certificate = issued_here(folder, which)
    authority = folder.authority(role)
    with files.locked(folder.path):
        valid = _same_name(folder, authority, certificate)
        wanted = {certificate.serial_number}
        if _is_name(folder, which):
            wanted |= {entry.serial for entry in valid}
        change = Change(role, remaining=[entry for entry in valid if entry.serial not in wanted])
        change.changed = _to_revoke(authority, wanted, reason)

        def enter() -> None:
            for entry in change.changed:
                authority.database.revoke(entry.serial, reason, now())

        _apply(folder, change, authority, enter, passphrase, publish)
    return change


def release(folder: Folder, which: str, passphrase: bytes | None = None, *, publish: bool = True) -> Change:
    """Lift the hold on a leaf's certificates, or on one by its serial number.  Raises PkiError."""
    role, certificate = issued_here(folder, which)
    authority = folder.authority(role)
    with files.locked(folder.path):
        subject = names.one_line(certificate.subject)
        by_name = _is_name(folder, which)
        held = [
            entry
            for entry in authority.database.entries()
            if entry.status == REVOKED
            and entry.reason == HOLD
            and (entry.serial == certificate.serial_number or (by_name and entry.subject == subject))
        ]
        held = _without_others(folder, certificate, held)
        if not held:
            raise PkiError(f"{which} is not on hold: only {HOLD} can be lifted")
        change = Change(role, held)

        def enter() -> None:
            for entry in held:
                authority.database.release(entry.serial)

        _apply(folder, change, authority, enter, passphrase, publish)
    return change


def issued_here(folder: Folder, which: str) -> tuple[str, x509.Certificate]:
    """The role of the authority that issued `which`, and the certificate.  Raises PkiError."""
    certificate = find(folder, which)
    if certificate.issuer == certificate.subject:
        raise PkiError(f"{which} is signed by itself: it is withdrawn by no longer being trusted")
    for role in reversed(folder.roles()):
        if folder.authority(role).has_issued(certificate):
            return role, certificate
    raise PkiError(f"{which} was not issued here: its authority must revoke it")


def _is_name(folder: Folder, which: str) -> bool:
    """Does `which` name a leaf or authority, and not a single certificate?"""
    return which in folder.roles() or (
        names.FILE_NAME.fullmatch(which) is not None and folder.leaf(which).certificate.exists()
    )


def _without_others(folder: Folder, certificate: x509.Certificate, entries: list[Entry]) -> list[Entry]:
    """`entries`, of one subject, but for those of other leaves: they are somebody else all the same."""
    if all(entry.serial == certificate.serial_number for entry in entries):
        # As nearly always: thousands of files need not be read.
        return entries
    others: set[int] = set()
    for leaf in folder.leaves():
        try:
            other = load_certificate(leaf.certificate)
        except PkiError:
            continue
        if other.issuer == certificate.issuer and other != certificate:
            others.add(other.serial_number)
    return [entry for entry in entries if entry.serial not in others]


def _same_name(folder: Folder, authority: Authority, certificate: x509.Certificate) -> list[Entry]:
    """Entries that are valid and have the subject of `certificate`, but for what other leaves have in use."""
    subject = names.one_line(certificate.subject)
    time = now()
    found = [
        entry
        for entry in authority.database.entries()
        if entry.status == VALID and entry.expires > time and entry.subject == subject
    ]
    return _without_others(folder, certificate, found)


def _to_revoke(authority: Authority, wanted: set[int], reason: str) -> list[Entry]:
    found = [entry for entry in authority.database.entries() if entry.serial in wanted]
    # One on hold may be revoked for good (RFC 5280 §5.3.1).
    left = [entry for entry in found if entry.status != REVOKED or (entry.reason == HOLD != reason)]
    if not left:
        raise PkiError(f"{', '.join([hexadecimal(entry.serial) for entry in found])} is revoked already")
    return left


def _apply(
    folder: Folder,
    change: Change,
    authority: Authority,
    enter: Callable[[], None],
    passphrase: bytes | None,
    publish: bool,
) -> None:
    if not publish:
        enter()
        return
    authority.key(passphrase)
    before = files.read(authority.database.index)
    try:
        enter()
        change.listed = folder.write_crl(change.role, passphrase)
    except BaseException:
        files.write(authority.database.index, before)
        raise
