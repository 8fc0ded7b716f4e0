"""What is wrong in a PKI folder, or will be soon."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, final

from cryptography import x509

from gateway.pki import chain, files, fitness, keys, names, profiles
from gateway.pki.authority import Authority, load_certificate, load_certificates
from gateway.pki.database import REVOKED
from gateway.pki.errors import PkiError
from gateway.pki.folder import Folder, Leaf

OK: Final = 0
WARNING: Final = 1
CRITICAL: Final = 2
LEVELS: Final = ("ok", "warning", "critical")
"""A finding's level as a word; the number is what a monitor expects as exit code."""


@final
@dataclass(slots=True)
class Finding:
    """Something worth telling."""

    level: int
    what: str
    """The certificate, key or list."""
    text: str


def check(
    folder: Folder, now: datetime, warn_days: int = 30, critical_days: int = 7, host: str = ""
) -> list[Finding]:
    """Everything in a folder; one finding at least for each certificate.  Raises PkiError where there is none at all.

    `host` is a name that server certificates must be good for.
    """
    checker = _Checker(folder, now, warn_days, critical_days, host)
    checker.authorities()
    for leaf in folder.leaves():
        checker.leaf(leaf)
    return checker.findings


@final
class _Checker:
    """Collects findings."""

    def __init__(self, folder: Folder, now: datetime, warn_days: int, critical_days: int, host: str) -> None:
        self.findings: list[Finding] = []
        self._folder = folder
        self._now = now
        self._warn_days = warn_days
        self._critical_days = critical_days
        self._host = host
        alone = not folder.has_authorities() and folder.leaves()

        def named(roles: list[str]) -> dict[str, Authority]:
            return {} if alone else {role: folder.authority(role) for role in roles}

        self._former = named([role for role in folder.roots() if role not in folder.trusted_roots()])
        """Roots that another has taken the place of."""
        self._trusted = named(folder.trusted_roots())
        self._intermediates = named(folder.intermediates())
        self._revoked = set() if alone else folder.revoked()
        self._roots = [item.certificate for item in self._trusted.values()]

    def _add(self, level: int, what: str, text: str) -> None:
        self.findings.append(Finding(level, what, text))

    def authorities(self) -> None:
        """Roots and intermediates, where this folder has them."""
        if not self._trusted:
            return
        *_, (newest, root) = self._trusted.items()
        *_, (issuing, issuer) = self._intermediates.items()
        for role in self._former:
            self._add(OK, role, f"{newest} has taken its place")
        for role, authority in self._trusted.items():
            if role == newest or not self._is_over(authority):
                self._authority(role, authority)
            else:
                self._add(OK, role, f"is over, {newest} goes on: `gateway pki roll-over --finish`")
        for role, authority in self._intermediates.items():
            if role == issuing or not self._is_over(authority):
                self._authority(role, authority)
            else:
                # Somebody has seen to it: neither its dates nor its list matter to anybody but its leaves.
                self._add(OK, role, f"{self._why_over(authority)}, {issuing} issues")
        # Only the last ones issue.
        self._time_to_issue(issuing, issuer, profiles.LEAF_DAYS, "renew it")
        self._time_to_issue(
            newest, root, profiles.LEAF_DAYS * 3 // 2, "`gateway pki roll-over` makes another"
        )

    def _time_to_issue(self, role: str, authority: Authority, wanted: int, what: str) -> None:
        left = (authority.certificate.not_valid_after_utc - self._now).days
        if 0 <= left < wanted:
            self._add(WARNING, role, f"has {left} days left, and nothing that it issues lasts longer: {what}")

    def _is_over(self, authority: Authority) -> bool:
        return bool(self._why_over(authority))

    def _why_over(self, authority: Authority) -> str:
        """Why nothing that an authority has issued is believed any more; empty while it is."""
        certificate = authority.certificate
        if self._is_revoked(certificate):
            return "is revoked"
        if any(certificate.issuer == item.certificate.subject for item in self._former.values()):
            return "is below a former root"
        return (
            f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
            if certificate.not_valid_after_utc < self._now
            else ""
        )

    def _authority(self, role: str, authority: Authority) -> None:
        """Certificate, key and revocation list of an authority."""
        before = len(self.findings)
        path = chain.build(authority.certificate, [], self._roots)
        for text in chain.problems(path, self._roots, self._now):
            self._add(CRITICAL, role, text)
        if not chain.is_authority(authority.certificate):
            self._add(CRITICAL, role, "is no authority")
        if role not in self._trusted and self._is_revoked(authority.certificate):
            self._add(CRITICAL, role, "is revoked")
        self._key(role, authority.key_path, authority.certificate, may_be_elsewhere=True)
        self._crl(role, authority)
        self._days(role, authority.certificate, before)

    def leaf(self, leaf: Leaf) -> None:
        """Certificate, chain and key of a leaf."""
        before = len(self.findings)
        try:
            certificate = load_certificate(leaf.certificate)
            sent = load_certificates(leaf.chain) if leaf.chain.exists() else [certificate]
        except PkiError as error:
            self._add(CRITICAL, leaf.name, str(error))
            return
        if self._is_revoked(certificate):
            # Somebody has seen to it: there is nothing left to do.
            self._add(OK, leaf.name, "is revoked")
            return
        if certificate.issuer == certificate.subject:
            self._add(WARNING, leaf.name, "is signed by itself: nobody vouches for it")
            for text in chain.own_problems(certificate, self._now):
                self._add(CRITICAL, leaf.name, text)
        elif sent[0] != certificate:
            self._add(CRITICAL, leaf.name, f"{leaf.chain.name} starts with another certificate")
        else:
            self._leaf_chain(leaf, certificate, sent[1:])
        self._leaf_names(leaf, certificate)
        self._key(leaf.name, leaf.key, certificate, may_be_elsewhere=True)
        self._days(leaf.name, certificate, before)

    def _leaf_chain(self, leaf: Leaf, certificate: x509.Certificate, others: list[x509.Certificate]) -> None:
        roots = self._roots
        ours = [item.certificate for item in self._intermediates.values()]
        path = chain.build(certificate, [*others, *ours], roots)
        purpose = fitness.purpose_of(certificate)
        for text in chain.problems(path, roots, self._now, purpose):
            # One that was imported leads to a root of others, which this folder need not have.
            foreign = "without a trusted root" in text and certificate.issuer not in [
                item.subject for item in ours
            ]
            self._add(WARNING if foreign else CRITICAL, leaf.name, text)
        if any(self._is_revoked(above) for above in path[1:]):
            self._add(CRITICAL, leaf.name, "is below an authority that is revoked")

    def _leaf_names(self, leaf: Leaf, certificate: x509.Certificate) -> None:
        try:
            kind = profiles.profile_of(certificate)
        except PkiError as error:
            self._add(WARNING, leaf.name, str(error))
            return
        if not kind.needs_host:
            return
        alternative = names.alternative_names_of(certificate)
        if not any(isinstance(name, x509.DNSName | x509.IPAddress) for name in alternative):
            self._add(CRITICAL, leaf.name, "names no host: no client will accept it")
        elif self._host and not names.fits_host(certificate, self._host):
            said = ", ".join([names.shown(name) for name in alternative])
            self._add(CRITICAL, leaf.name, f"is not for {self._host}, but for {said}")

    def _is_revoked(self, certificate: x509.Certificate) -> bool:
        return (certificate.issuer, certificate.serial_number) in self._revoked

    def _key(self, what: str, path: Path, certificate: x509.Certificate, may_be_elsewhere: bool) -> None:
        if not path.exists():
            return
        wrong = files.too_open(path)
        if wrong:
            self._add(CRITICAL, what, f"{path.name}: {wrong}: chmod 600 {path}")
        try:
            if keys.is_encrypted(path):
                return
            key = keys.load(path)
        except PkiError as error:
            self._add(CRITICAL, what, str(error))
            return
        if keys.spki(key.public_key()) != keys.spki(certificate.public_key()):
            self._add(CRITICAL, what, f"{path.name} is not its key")

    def _crl(self, role: str, authority: Authority) -> None:
        path = self._folder.crl_path(role)
        if not path.exists():
            self._add(
                WARNING, role, f"has no revocation list: `gateway pki crl --authority {role}` makes one"
            )
            return
        try:
            data = files.read(path)
            listed = x509.load_pem_x509_crl(data) if b"-----BEGIN" in data else x509.load_der_x509_crl(data)
        except ValueError:
            self._add(CRITICAL, role, f"{path.name} is no revocation list, or a damaged one")
            return
        due = listed.next_update_utc
        if not listed.is_signature_valid(authority.certificate.public_key()):  # type: ignore[arg-type]
            self._add(CRITICAL, role, f"{path.name} is signed by somebody else")
        elif due is not None and due <= self._now:
            self._add(CRITICAL, role, f"{path.name} was due on {due:%Y-%m-%d %H:%M} UTC")
        elif due is not None and (due - self._now).days < min(3, self._warn_days):
            self._add(WARNING, role, f"{path.name} is due on {due:%Y-%m-%d %H:%M} UTC")
        on_it = {entry.serial_number for entry in listed}
        missing = [
            entry
            for entry in authority.database.entries()
            if entry.status == REVOKED and entry.serial not in on_it
        ]
        if missing:
            self._add(
                CRITICAL,
                role,
                f"{path.name} does not list {len(missing)} that are revoked: publish a new one",
            )

    def _days(self, what: str, certificate: x509.Certificate, before: int) -> None:
        left = (certificate.not_valid_after_utc - self._now).days
        if left >= 0 and left < self._critical_days:
            self._add(CRITICAL, what, f"expires in {left} days")
        elif left >= 0 and left < self._warn_days:
            self._add(WARNING, what, f"expires in {left} days")
        elif len(self.findings) == before:
            self._add(OK, what, f"{left} days left")
