"""The PKI folder: where everything lies, how it is made, and how one made by openssl is taken over.

root-ca.crt  root-ca.crl  intermediate-ca.crt  intermediate-ca.crl
intermediate-ca-2.crt intermediate-ca-2.crl                  further intermediates, the last one issues
root-ca-2.crt root-ca-2.crl root-ca-2-cross.crt root-ca-cross.crt   while the root changes: rollover.py
root-ca/  intermediate-ca/           each: NAME.cnf private/NAME.key index.txt serial crlnumber newcerts/
issued/NAME.crt NAME.key NAME-chain.crt NAME.csr
templates/                           own texts for the .cnf files, if they are wanted
adopted.toml                         only in a folder that openssl made: which .cnf is which authority's
"""

import json
import re
import tomllib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gateway.pki import chain, files, keys, names, templates
from gateway.pki.authority import Authority, build, load_certificate, now, pem
from gateway.pki.database import REVOKED, VALID, Database, Entry, hexadecimal
from gateway.pki.errors import PkiError
from gateway.pki.profiles import CRL_DAYS, INTERMEDIATE_DAYS, LEAF_DAYS, ROOT_DAYS, authority_extensions

ROOT: Final = "root-ca"
INTERMEDIATE: Final = "intermediate-ca"
_OF_AUTHORITIES: Final = re.compile(rf"({ROOT}|{INTERMEDIATE})(-[0-9]+)?")
ADOPTED: Final = "adopted.toml"
ROOT_SUBJECT: Final = "CN=Gateway Root CA"
INTERMEDIATE_SUBJECT: Final = "CN=Gateway Intermediate CA"
CONFIGURATIONS_MAX: Final = 100
"""Files with openssl's settings that are looked at when a folder is adopted."""


def _numbered(name: x509.Name, number: str) -> x509.Name:
    """`name` with a number behind its common name."""
    found: list[Any] = []
    for item in name:
        if item.oid == NameOID.COMMON_NAME and isinstance(item.value, str):
            found.append(x509.NameAttribute(item.oid, f"{item.value} {number}"))
        else:
            found.append(item)
    return x509.Name(found)


@final
@dataclass(slots=True)
class Plan:
    """What `init` makes."""

    root_subject: str = ROOT_SUBJECT
    intermediate_subject: str = INTERMEDIATE_SUBJECT
    key_type: str = "p256"
    root_days: int = ROOT_DAYS
    intermediate_days: int = INTERMEDIATE_DAYS
    root_passphrase: bytes | None = None
    intermediate_passphrase: bytes | None = None
    publish: str = ""
    """Where lists and OCSP will be served, to be told in each certificate; empty: they do not say."""


@final
@dataclass(slots=True)
class Leaf:
    """Where a leaf's files are."""

    name: str
    certificate: Path
    key: Path
    chain: Path
    request: Path


@final
class Folder:
    """One PKI folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # -- what is in it

    @property
    def root(self) -> Authority:
        """The root authority, of several the newest.  Raises PkiError."""
        return self.authority(self.roots()[-1])

    @property
    def intermediate(self) -> Authority:
        """The authority that issues leaves.  Raises PkiError."""
        return self.authority(INTERMEDIATE)

    def has_authorities(self) -> bool:
        """Or only leaves, as where another authority signs what `csr` asks for?"""
        return any((self.path / name).exists() for name in (ADOPTED, ROOT, INTERMEDIATE))

    def roots_above(self, path: list[x509.Certificate]) -> list[x509.Certificate]:
        """Our root, if `path` leads to it."""
        if not self.has_authorities():
            return []
        roots = [self.authority(role).certificate for role in self.trusted_roots()]
        return [root for root in roots if chain.signed_by(path[-1], root)]

    def roots(self) -> list[str]:
        """The roles of all roots, the newest last."""
        return self._series(ROOT)

    def trusted_roots(self) -> list[str]:
        """The roles of the roots that are in use: the newest, and while a root changes the one before."""
        *former, newest = self.roots()
        return [*[role for role in former if self.cross_path(role).exists()], newest]

    def intermediates(self) -> list[str]:
        """The roles of all intermediates, the one that issues last."""
        return self._series(INTERMEDIATE)

    def _series(self, first: str) -> list[str]:
        form = re.compile(rf"{first}-([1-9][0-9]*)")
        found = [
            (int(match[1]), path.stem)
            for path in self.path.glob(f"{first}-*.crt")
            if (match := form.fullmatch(path.stem))
        ]
        return [first, *[role for _, role in sorted(found)]]

    def roles(self) -> list[str]:
        """The roles of all authorities, the roots first."""
        return [*self.roots(), *self.intermediates()]

    def revoked(self) -> set[tuple[x509.Name, int]]:
        """Issuer and serial number of all that the authorities of this folder have revoked."""
        found: set[tuple[x509.Name, int]] = set()
        for role in self.roles():
            authority = self.authority(role)
            name = authority.certificate.subject
            found.update(
                [(name, entry.serial) for entry in authority.database.entries() if entry.status == REVOKED]
            )
        return found

    def sent_above(self, authority: Authority) -> list[x509.Certificate]:
        """What is sent behind a certificate of `authority`: its own, and while the root changes the other root's of its
        root.  A root itself is not sent, as who trusts it has it."""
        found = [authority.certificate]
        for role in self.trusted_roots():
            cross = self.cross_path(role)
            if cross.exists() and chain.signed_by(authority.certificate, self.authority(role).certificate):
                found.append(load_certificate(cross))
        return found

    def issuing(self) -> Authority:
        """The authority that issues leaves, if it still may.  Raises PkiError."""
        authority = self.authority(self.intermediates()[-1])
        if self.has_revoked(authority):
            raise PkiError(f"{authority.name} is revoked: nothing that it issues would be believed")
        return authority

    def has_revoked(self, authority: Authority) -> bool:
        """Is its certificate revoked?"""
        return (authority.certificate.issuer, authority.certificate.serial_number) in self.revoked()

    def authority(self, role: str) -> Authority:
        """The authority of a role.  Raises PkiError."""
        conf = self.path / role / f"{role}.cnf"
        adopted = self.path / ADOPTED
        if adopted.exists():
            try:
                found = tomllib.loads(files.read_text(adopted))
                conf = self.path / found[role] if role in (ROOT, INTERMEDIATE) else conf
            except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
                raise PkiError(f"{adopted}: {error}") from None
        if not conf.exists():
            raise PkiError(f"{self.path} has no authorities: `gateway pki init --dir {self.path}` makes them")
        return Authority(conf, self.path)

    def crl_path(self, role: str) -> Path:
        """Where an authority's revocation list is."""
        if (self.path / ADOPTED).exists() and role in (ROOT, INTERMEDIATE):
            # Whoever took the list from there goes on finding it.
            found = self.authority(role).crl_path
            if found is not None:
                return found
        return self.path / f"{role}.crl"

    def cross_path(self, role: str) -> Path:
        """Where the certificate is that another root has for a root's key; only while the root changes."""
        return self.path / f"{role}-cross.crt"

    def leaf(self, name: str) -> Leaf:
        """The files of a leaf, there or not.  Raises PkiError for what can be no name."""
        issued = self.path / "issued"
        names.check_file_name(name)
        return Leaf(
            name,
            issued / f"{name}.crt",
            issued / f"{name}.key",
            issued / f"{name}-chain.crt",
            issued / f"{name}.csr",
        )

    def new_leaf(self, name: str) -> Leaf:
        """The files of a leaf that is to be.  Raises PkiError, also for names by which authorities are called here."""
        if _OF_AUTHORITIES.fullmatch(name):
            raise PkiError(
                f"{name!r} is what an authority is called: `revoke {name}` would end all that it issued"
            )
        return self.leaf(name)

    def leaves(self) -> list[Leaf]:
        """All leaves that have a certificate here, by name."""
        found = sorted(path.name.removesuffix(".crt") for path in (self.path / "issued").glob("*.crt"))
        return [
            self.leaf(name)
            for name in found
            if names.FILE_NAME.fullmatch(name) and not name.endswith("-chain")
        ]

    def write_leaf(self, leaf: Leaf, path: list[x509.Certificate], key: bytes | None = None) -> None:
        """Write a leaf's certificate, chain and, if given, key."""
        if key is not None:
            files.make_private_directory(leaf.key.parent)
            files.write(leaf.key, key, files.PRIVATE)
        files.write(leaf.certificate, pem(path[0]))
        files.write(leaf.chain, pem(*path))

    # -- making one

    def init(self, plan: Plan) -> None:
        """Make both authorities and their empty revocation lists.  Raises PkiError; never overwrites."""
        for name in (ADOPTED, *[f"{role}{end}" for role in (ROOT, INTERMEDIATE) for end in (".crt", "")]):
            if (self.path / name).exists():
                raise PkiError(f"{self.path / name} is there: nothing is overwritten")
        if plan.intermediate_days > plan.root_days:
            raise PkiError("the intermediate authority would outlive the root")
        root_key = keys.generate(plan.key_type)
        key = keys.generate(plan.key_type)
        root_name = names.subject(plan.root_subject)
        subject = names.subject(plan.intermediate_subject)
        if plan.publish:
            names.alternative_names(uri=[plan.publish])
        if root_name == subject:
            raise PkiError("the two authorities must have different names")
        root_serial = x509.random_serial_number()
        extensions = authority_extensions(root_key.public_key(), None, None)
        root = build(
            root_name, root_name, root_key.public_key(), root_key, root_serial, plan.root_days, extensions
        )
        files.make_directory(self.path)
        with files.locked(self.path):
            self.write_authority(
                ROOT, root, root_key, plan.root_passphrase, plan.intermediate_days, plan.publish
            )
            below = self.root.sign(
                subject,
                key.public_key(),
                plan.intermediate_days,
                authority_extensions(key.public_key(), root, 0) + self.root.places("intermediate_ext"),
                plan.root_passphrase,
            )
            self.write_authority(
                INTERMEDIATE, below, key, plan.intermediate_passphrase, LEAF_DAYS, plan.publish
            )
            self.write_crl(ROOT, plan.root_passphrase)
            self.write_crl(INTERMEDIATE, plan.intermediate_passphrase)

    def write_authority(
        self,
        role: str,
        certificate: x509.Certificate,
        key: CertificateIssuerPrivateKeyTypes,
        passphrase: bytes | None,
        days: int,
        publish: str = "",
    ) -> None:
        """Write the files of a new authority, which issues for so many days.  Raises PkiError."""
        folder = self.path / role
        files.make_private_directory(folder / "private")
        files.write(folder / "private" / f"{role}.key", keys.pem(key, passphrase), files.PRIVATE)
        digest = keys.digest_for(key)
        root = certificate.issuer == certificate.subject
        text = templates.render(
            self.path,
            role,
            days=str(days),
            crl_days=str(CRL_DAYS if not root else 365),
            digest="default" if digest is None else digest.name,
            extensions="intermediate_ext" if root else "server_ext",
            copy="none" if root else "copy",
            example="-extensions intermediate_ext" if root else "-extensions client_ext",
            publish=f"publish = {publish}\n" if publish else "",
            places=templates.places(publish, ocsp=not root),
        )
        files.write(folder / f"{role}.cnf", text.encode())
        database = Database(folder / "index.txt", folder / "serial", folder / "crlnumber")
        # From a random start, counted on: openssl takes the next one from the same file.
        database.create(x509.random_serial_number() >> 32)
        (folder / "newcerts").mkdir(exist_ok=True)
        if root:
            files.write(
                folder / "newcerts" / f"{hexadecimal(certificate.serial_number)}.pem", pem(certificate)
            )
            line = names.one_line(certificate.subject)
            database.add(
                Entry(
                    VALID,
                    certificate.not_valid_after_utc,
                    None,
                    "",
                    certificate.serial_number,
                    "unknown",
                    line,
                )
            )
        files.write(self.path / f"{role}.crt", pem(certificate))

    def write_crl(
        self, role: str, passphrase: bytes | None, hours: int = 0
    ) -> x509.CertificateRevocationList:
        """Publish a new revocation list of an authority, valid for `hours` or as its .cnf says.  Raises PkiError."""
        made = self.authority(role).revocation_list(passphrase, timedelta(hours=hours) if hours else None)
        files.write(self.crl_path(role), made.public_bytes(Encoding.PEM))
        return made

    def add_intermediate(
        self,
        subject: str,
        key_type: str,
        days: int,
        root_passphrase: bytes | None,
        passphrase: bytes | None,
    ) -> str:
        """Make a further intermediate, with a key of its own, that issues from now on; returns its role.

        The one before stays, with its index and list: what it has issued is valid until it expires or is revoked.  An empty
        subject is that of the first with a number.  Raises PkiError.
        """
        root = self.root
        role, name = self.further(INTERMEDIATE, subject)
        key = keys.generate(key_type)
        extensions = authority_extensions(key.public_key(), root.certificate, 0)
        extensions += root.places("intermediate_ext")
        with files.locked(self.path):
            root.key(root_passphrase)
            days = days or root.days_for(INTERMEDIATE_DAYS)
            made = root.sign(name, key.public_key(), days, extensions, root_passphrase)
            self.write_authority(role, made, key, passphrase, LEAF_DAYS, root.publish)
            self.write_crl(role, passphrase)
        return role

    def further(self, first: str, subject: str) -> tuple[str, x509.Name]:
        """Role and name of an authority beside `first`, which is ROOT or INTERMEDIATE.  Raises PkiError."""
        role = f"{first}-{len(self._series(first)) + 1}"
        if (self.path / role).exists() or (self.path / f"{role}.crt").exists():
            raise PkiError(f"{self.path / role} is there: nothing is overwritten")
        number = role.rpartition("-")[2]
        name = (
            names.subject(subject)
            if subject
            else _numbered(self.authority(first).certificate.subject, number)
        )
        if any(self.authority(other).certificate.subject == name for other in self.roles()):
            # Lists are found by the name of their authority, and two keys with one name would have two lists.
            raise PkiError("an authority of that name is there: a further one needs another --subject")
        return role, name

    def crl_is_due(self, role: str, within: timedelta) -> bool:
        """Must a new list be published, as there is none that can be read, or it is due soon, or lacks something?"""
        try:
            data = files.read(self.crl_path(role))
            listed = x509.load_pem_x509_crl(data) if b"-----BEGIN" in data else x509.load_der_x509_crl(data)
        except (PkiError, ValueError):
            return True
        revoked = {
            entry.serial for entry in self.authority(role).database.entries() if entry.status == REVOKED
        }
        due = listed.next_update_utc
        return due is None or due - now() <= within or revoked != {entry.serial_number for entry in listed}

    # -- taking one over

    def adopt(
        self, root_conf: Path | None = None, intermediate_conf: Path | None = None
    ) -> tuple[Path, Path]:
        """Use what openssl made here as its .cnf files describe it; returns those of root and intermediate.

        Without names they are looked for: the root is the one whose certificate is signed by itself.
        Raises PkiError.
        """
        for name in (ADOPTED, ROOT, INTERMEDIATE):
            if (self.path / name).exists():
                raise PkiError(f"{self.path / name} is there: this folder is one of ours already")
        root, root_path = self._only(self._found(root_conf), "root")
        below = [
            (authority, path)
            for authority, path in self._found(intermediate_conf)
            if path != root_path and authority.certificate.issuer == root.certificate.subject
        ]
        intermediate, intermediate_path = self._only(below, "intermediate", signed_by_itself=False)
        try:
            intermediate.certificate.verify_directly_issued_by(root.certificate)
        except Exception:
            raise PkiError(
                f"{intermediate.certificate_path} is not signed by {root.certificate_path}"
            ) from None
        lines = [
            f"{role} = {json.dumps(path.relative_to(self.path).as_posix())}\n"
            for role, path in ((ROOT, root_path), (INTERMEDIATE, intermediate_path))
        ]
        files.write(self.path / ADOPTED, "".join(lines).encode())
        for role, authority in ((ROOT, root), (INTERMEDIATE, intermediate)):
            files.write(self.path / f"{role}.crt", pem(load_certificate(authority.certificate_path)))
        return root_path, intermediate_path

    def _found(self, conf: Path | None) -> list[tuple[Authority, Path]]:
        """Authorities that are described in this folder."""
        if conf is not None:
            path = conf if conf.is_absolute() else self.path / conf
            return [(Authority(path, self.path), path)]
        found: list[tuple[Authority, Path]] = []
        candidates = sorted([*self.path.glob("**/*.conf"), *self.path.glob("**/*.cnf")])
        for path in candidates[:CONFIGURATIONS_MAX]:
            try:
                found.append((Authority(path, self.path), path))
            except PkiError:
                # Settings for requests, or of something else.
                continue
        return found

    def _only(
        self, candidates: list[tuple[Authority, Path]], role: str, signed_by_itself: bool = True
    ) -> tuple[Authority, Path]:
        fitting = [
            (authority, path)
            for authority, path in candidates
            if (authority.certificate.issuer == authority.certificate.subject) == signed_by_itself
        ]
        if len(fitting) == 1:
            return fitting[0]
        what = "none" if not fitting else ", ".join([str(path) for _, path in fitting])
        raise PkiError(
            f"{self.path}: which .cnf is the {role} authority's? found: {what}; name it with --{role}"
        )
