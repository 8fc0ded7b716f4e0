"""Another root: a time in which devices with the old one and devices with the new one work, and its end.

Both roots certify each other's key (cross-certificates, RFC 4210 §4.4.1 between two names):

    root-ca-2-cross.crt   the new root by the old one: who has only the old root believes what is below the new one
    root-ca-cross.crt     the old root by the new one: who has only the new root believes what is below the old one

A leaf's chain ends with the one that its root has, so whoever looks at it finds the root that he trusts.  That
root-ca-cross.crt is there says that the change is under way; what remains of it afterwards is that the new root has revoked
that certificate.
"""

import shutil
from dataclasses import dataclass, field
from typing import final

from cryptography import x509

from gateway.pki import chain, files, keys
from gateway.pki.authority import Authority, build, load_certificate, now, pem
from gateway.pki.database import REVOKED
from gateway.pki.errors import PkiError
from gateway.pki.folder import INTERMEDIATE, ROOT, Folder
from gateway.pki.issue import write_chains
from gateway.pki.profiles import INTERMEDIATE_DAYS, ROOT_DAYS, authority_extensions, certified_again


@final
@dataclass(slots=True)
class NewRoot:
    """What is made.  Empty names are those of the first with a number."""

    subject: str = ""
    key_type: str = "p256"
    days: int = ROOT_DAYS
    old_passphrase: bytes | None = None
    """Of the key of the root that is there."""
    passphrase: bytes | None = None
    """For the key of the new one."""
    intermediate_subject: str = ""
    intermediate_passphrase: bytes | None = None


@final
@dataclass(slots=True)
class Begun:
    """What was made, by role."""

    old: str
    new: str
    intermediate: str


@final
@dataclass(slots=True)
class Finished:
    """How a change ended."""

    old: str
    new: str
    left: list[str] = field(default_factory=list)
    """Leaves that only the old root vouches for: who no longer trusts it refuses them."""


def begin(folder: Folder, plan: NewRoot) -> Begun:
    """Make another root, the certificates between the two, and an intermediate below it that issues from now on.

    Nothing stops working: leaves of before get a chain that leads to both.  Raises PkiError.
    """
    before = folder.trusted_roots()
    if len(before) > 1:
        raise PkiError(f"the change from {before[0]} to {before[1]} is under way: finish it first")
    old = folder.root
    role, name = folder.further(ROOT, plan.subject)
    folder.further(INTERMEDIATE, plan.intermediate_subject)
    # A wrong passphrase changes nothing.
    old.key(plan.old_passphrase)
    key = keys.generate(plan.key_type)
    public_key = key.public_key()
    new = build(name, name, public_key, key, x509.random_serial_number(), plan.days,
                authority_extensions(public_key, None, None))  # fmt: skip
    with files.locked(folder.path):
        try:
            folder.write_authority(role, new, key, plan.passphrase, INTERMEDIATE_DAYS, old.publish)
            _certify(folder, old, before[0], folder.authority(role), role, plan)
            for which, secret in ((before[0], plan.old_passphrase), (role, plan.passphrase)):
                folder.write_crl(which, secret)
        except BaseException:
            _undo(folder, before[0], role)
            raise
    intermediate = folder.add_intermediate(
        plan.intermediate_subject, plan.key_type, 0, plan.passphrase, plan.intermediate_passphrase
    )
    with files.locked(folder.path):
        for authority in [folder.authority(which) for which in folder.intermediates()]:
            write_chains(folder, authority, folder.sent_above(authority))
    return Begun(before[0], role, intermediate)


def _certify(
    folder: Folder, old: Authority, old_role: str, new: Authority, new_role: str, plan: NewRoot
) -> None:
    """Each root's key by the other root, as long as both last."""
    days = min(old.days_for(plan.days), new.days_for(plan.days))
    for role, of, by, secret in (
        (new_role, new, old, plan.old_passphrase),
        (old_role, old, new, plan.passphrase),
    ):
        certificate = of.certificate
        extensions = certified_again(certificate, by.certificate)
        made = by.sign(certificate.subject, certificate.public_key(), days, extensions, secret)
        files.write(folder.cross_path(role), pem(made))


def _undo(folder: Folder, old_role: str, role: str) -> None:
    for path in (
        folder.path / f"{role}.crt",
        folder.crl_path(role),
        folder.cross_path(role),
        folder.cross_path(old_role),
    ):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder.path / role, ignore_errors=True)


def only_below(folder: Folder, old_role: str) -> list[str]:
    """Leaves that are in use and have been issued below `old_role`, and not below the root that takes its place."""
    roots = [folder.authority(role).certificate for role in folder.trusted_roots() if role != old_role]
    authorities = [folder.authority(role) for role in folder.intermediates()]
    revoked = folder.revoked()
    found: list[str] = []
    for leaf in folder.leaves():
        certificate = load_certificate(leaf.certificate)
        known = (certificate.issuer, certificate.serial_number)
        if certificate.not_valid_after_utc <= now() or known in revoked:
            continue
        above = [item.certificate for item in authorities if chain.signed_by(certificate, item.certificate)]
        # Others' leaves and self-signed ones are none of this change.
        if above and not any(chain.signed_by(item, root) for item in above for root in roots):
            found.append(leaf.name)
    return found


def finish(folder: Folder, passphrase: bytes | None, *, anyway: bool = False) -> Finished:
    """The old root is out of use: the new one takes its certificate back, and chains lead to the new root alone.

    Refused while leaves are in use that only the old root vouches for, unless `anyway`.  May be said again after a crash.
    `passphrase` is that of the new root's key.  Raises PkiError.
    """
    trusted = folder.trusted_roots()
    if len(trusted) < 2:
        raise PkiError("no change of the root is under way")
    old_role, new_role = trusted
    left = only_below(folder, old_role)
    if left and not anyway:
        more = f" and {len(left) - 5} more" if len(left) > 5 else ""
        raise PkiError(f"only {old_role} vouches for {', '.join(left[:5])}{more}: renew or revoke them first")
    new = folder.authority(new_role)
    new.key(passphrase)
    with files.locked(folder.path):
        cross = load_certificate(folder.cross_path(old_role))
        entry = new.database.find(cross.serial_number)
        if entry is not None and entry.status != REVOKED:
            new.database.revoke(cross.serial_number, "superseded", now())
        folder.write_crl(new_role, passphrase)
        folder.cross_path(new_role).unlink(missing_ok=True)
        for authority in [folder.authority(role) for role in folder.intermediates()]:
            write_chains(folder, authority, [authority.certificate])
        # Last, since it says that there is something to finish.
        folder.cross_path(old_role).unlink(missing_ok=True)
    return Finished(old_role, new_role, left)
