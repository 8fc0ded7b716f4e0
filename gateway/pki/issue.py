"""New leaves: issued whole, or signed for a key that others keep."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.pki import files, keys, names, profiles
from gateway.pki.authority import Authority, build, load_certificate, pem, readable
from gateway.pki.errors import PkiError
from gateway.pki.folder import Folder, Leaf
from gateway.pki.profiles import INTERMEDIATE_DAYS, LEAF_DAYS, Profile


@final
@dataclass(slots=True)
class Order:
    """What is to be made."""

    profile: str
    name: str
    """Of the files; also the common name, unless there is a subject."""
    subject: str = ""
    """RFC 4514; empty: CN=name."""
    alternative: Sequence[x509.GeneralName] = field(default_factory=list)
    days: int = 0
    """0: as the authority's .cnf says, or what is left of it."""
    key_type: str = "p256"
    key_passphrase: bytes | None = None
    """For the new key."""
    crl_uri: str = ""
    """Where the revocation list can be fetched; empty: as the authority's .cnf says."""
    as_requested: bool = False
    """Of a request that is signed: its subject and every alternative name, where none are said here."""

    def subject_name(self) -> x509.Name:
        """Raises PkiError."""
        return names.subject(self.subject) if self.subject else names.subject(_common(self.name))


def _common(name: str) -> str:
    return f"CN={name}"


def _fresh(folder: Folder, name: str) -> Leaf:
    leaf = folder.new_leaf(name)
    for path in (leaf.certificate, leaf.key, leaf.request):
        if path.exists():
            raise PkiError(f"{path} is there: nothing is overwritten; `gateway pki renew {name}` renews")
    return leaf


def issue(folder: Folder, order: Order, passphrase: bytes | None) -> x509.Certificate:
    """Make a key and a certificate for it.  Raises PkiError."""
    leaf = _fresh(folder, order.name)
    kind = profiles.profile(order.profile)
    authority = folder.issuing()
    key = keys.generate(order.key_type)
    subject = authority.allowed(order.subject_name(), complete=not order.subject)
    extensions = _extensions(authority, kind, key.public_key(), order.alternative, order.crl_uri)
    days = order.days or authority.days_for(authority.default_days)
    with files.locked(folder.path):
        certificate = authority.sign(subject, key.public_key(), days, extensions, passphrase)
        folder.write_leaf(
            leaf, [certificate, *folder.sent_above(authority)], keys.pem(key, order.key_passphrase)
        )
    return certificate


def _extensions(
    authority: Authority,
    kind: Profile,
    public_key: CertificatePublicKeyTypes,
    alternative: Sequence[x509.GeneralName],
    crl_uri: str,
) -> profiles.Extensions:
    """What a leaf carries; a list that is named here comes before that of the authority's .cnf."""
    found = profiles.leaf_extensions(kind, public_key, authority.certificate, alternative, crl_uri)
    own = {type(extension) for extension, _ in found}
    return found + [item for item in authority.places(f"{kind.name}_ext") if type(item[0]) not in own]


def request(folder: Folder, order: Order) -> x509.CertificateSigningRequest:
    """Make a key and a request that another authority may sign.  Raises PkiError."""
    leaf = _fresh(folder, order.name)
    kind = profiles.profile(order.profile)
    key = keys.generate(order.key_type)
    builder = x509.CertificateSigningRequestBuilder().subject_name(order.subject_name())
    wanted = profiles.leaf_extensions(kind, key.public_key(), None, order.alternative)
    for extension, critical in wanted:
        # Whose key signs is the authority's to say.
        if not isinstance(extension, x509.AuthorityKeyIdentifier):
            builder = builder.add_extension(extension, critical)
    made = builder.sign(key, keys.digest_for(key))
    files.make_private_directory(leaf.key.parent)
    files.write(leaf.key, keys.pem(key, order.key_passphrase), files.PRIVATE)
    files.write(leaf.request, made.public_bytes(Encoding.PEM))
    return made


def load_request(data: bytes, what: str) -> x509.CertificateSigningRequest:
    """A request as PEM or DER.  Raises PkiError."""
    try:
        found = x509.load_pem_x509_csr(data) if b"-----BEGIN" in data else x509.load_der_x509_csr(data)
    except ValueError:
        raise PkiError(f"{what}: no certificate request, or a damaged one") from None
    readable(found, what)
    return found


def sign(
    folder: Folder, order: Order, wanted: x509.CertificateSigningRequest, passphrase: bytes | None
) -> x509.Certificate:
    """Sign a foreign request as `order` says.  Raises PkiError.

    The request brings its key, and the hosts of a server unless `order` has alternative names.  Whoever made it can write
    any other name into it, so what else it asks for is taken only with `order.as_requested`, and never unchecked.
    """
    leaf = folder.new_leaf(order.name)
    if leaf.certificate.exists():
        raise PkiError(f"{leaf.certificate} is there: nothing is overwritten")
    kind = profiles.profile(order.profile)
    profiles.refuse_request(kind, wanted)
    subject = _signed_subject(order, wanted)
    alternative = order.alternative or _requested_names(kind, order, wanted)
    if leaf.key.exists() and keys.spki(wanted.public_key()) != _public(leaf):
        raise PkiError(f"{leaf.key} belongs to another request: sign under another --name")
    authority = folder.issuing()
    subject = authority.allowed(subject, complete=not (order.subject or order.as_requested))
    extensions = _extensions(authority, kind, wanted.public_key(), alternative, order.crl_uri)
    days = order.days or authority.days_for(authority.default_days)
    with files.locked(folder.path):
        certificate = authority.sign(subject, wanted.public_key(), days, extensions, passphrase)
        folder.write_leaf(leaf, [certificate, *folder.sent_above(authority)])
    return certificate


def _signed_subject(order: Order, wanted: x509.CertificateSigningRequest) -> x509.Name:
    if order.as_requested and not order.subject and list(wanted.subject):
        return names.checked_subject(wanted.subject)
    return order.subject_name()


def _requested_names(
    kind: Profile, order: Order, wanted: x509.CertificateSigningRequest
) -> list[x509.GeneralName]:
    found = names.checked_alternative_names(names.alternative_names_of(wanted))
    for name in found:
        host = kind.needs_host and isinstance(name, x509.DNSName | x509.IPAddress)
        if not host and not order.as_requested:
            raise PkiError(
                f"the request wants to be {names.shown(name)}: say which alternative names it gets, or --as-requested"
            )
    return found


def _public(leaf: Leaf) -> bytes:
    """The public key of a leaf's request, which needs no passphrase; nothing when there is none."""
    if not leaf.request.exists():
        return b""
    return keys.spki(load_request(files.read(leaf.request), str(leaf.request)).public_key())


def renew(
    folder: Folder,
    name: str,
    days: int,
    passphrase: bytes | None,
    *,
    keep_key: bool = False,
    key_passphrase: bytes | None = None,
) -> x509.Certificate:
    """A new certificate with the same names and, unless it is kept, a new key.  Raises PkiError.

    `days` 0 is as long as usual, or what is left of the authority.  The old one stays valid until it expires or is
    revoked.  `intermediate-ca` renews that authority, with its key.
    """
    if name in folder.intermediates():
        return _renew_intermediate(folder, name, days, passphrase)
    leaf = folder.leaf(name)
    if not leaf.certificate.exists():
        raise PkiError(f"{leaf.certificate} is not there: nothing to renew")
    old = load_certificate(leaf.certificate)
    try:
        kind = profiles.profile_of(old)
    except PkiError as error:
        raise PkiError(f"{leaf.certificate}: {error}") from None
    authority = folder.issuing()
    public_key = old.public_key()
    written: bytes | None = None
    if not keep_key:
        if not leaf.key.exists():
            raise PkiError(f"{leaf.key} is not there: its owner makes a new request, or --keep-key")
        if key_passphrase is None and keys.is_encrypted(leaf.key):
            raise PkiError(f"{leaf.key} is encrypted: a passphrase is needed for the new one, or --keep-key")
        key = keys.generate(keys.same_kind(public_key))
        public_key = key.public_key()
        written = keys.pem(key, key_passphrase)
    # Another authority's list would say nothing of it.
    known = {type(extension) for extension, _ in authority.places(f"{kind.name}_ext")}
    same = old.issuer == authority.certificate.subject and x509.CRLDistributionPoints not in known
    crl_uri = _crl_uri(old) if same else ""
    extensions = _extensions(authority, kind, public_key, names.alternative_names_of(old), crl_uri)
    days = days or authority.days_for(authority.default_days)
    with files.locked(folder.path):
        certificate = authority.sign(old.subject, public_key, days, extensions, passphrase)
        folder.write_leaf(leaf, [certificate, *folder.sent_above(authority)], written)
    return certificate


def _renew_intermediate(folder: Folder, role: str, days: int, passphrase: bytes | None) -> x509.Certificate:
    authority = folder.authority(role)
    if folder.has_revoked(authority):
        # Whoever else has its key would be believed again.
        raise PkiError(f"{role} is revoked, and its key with it: `gateway pki intermediate` makes another")
    root = folder.root
    public_key = authority.certificate.public_key()
    extensions = profiles.certified_again(authority.certificate, root.certificate)
    extensions += root.places("intermediate_ext")
    days = days or root.days_for(INTERMEDIATE_DAYS)
    with files.locked(folder.path):
        certificate = root.sign(authority.certificate.subject, public_key, days, extensions, passphrase)
        data = certificate.public_bytes(Encoding.PEM)
        files.write(authority.certificate_path, data)
        files.write(folder.path / f"{role}.crt", data)
        renewed = folder.authority(role)
        write_chains(folder, renewed, folder.sent_above(renewed))
    return certificate


def write_chains(folder: Folder, authority: Authority, above: Sequence[x509.Certificate]) -> None:
    """Have each leaf of `authority` sent with `above` behind it, as the authorities have changed.  Raises PkiError."""
    serials = {entry.serial for entry in authority.database.entries()}
    for leaf in folder.leaves():
        found = load_certificate(leaf.certificate)
        if found.issuer == authority.certificate.subject and found.serial_number in serials:
            files.write(leaf.chain, pem(found, *above))


def _crl_uri(certificate: x509.Certificate) -> str:
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return ""
    for point in points:
        for name in point.full_name or ():
            if isinstance(name, x509.UniformResourceIdentifier):
                return name.value
    return ""


def self_signed(folder: Folder, order: Order) -> x509.Certificate:
    """A leaf that nobody vouches for, to try things out.  Raises PkiError."""
    leaf = _fresh(folder, order.name)
    kind: Profile = profiles.profile(order.profile)
    key = keys.generate(order.key_type)
    subject = order.subject_name()
    extensions = profiles.leaf_extensions(kind, key.public_key(), None, order.alternative)
    certificate = build(
        subject,
        subject,
        key.public_key(),
        key,
        x509.random_serial_number(),
        order.days or LEAF_DAYS,
        extensions,
    )
    files.make_directory(folder.path)
    folder.write_leaf(leaf, [certificate], keys.pem(key, order.key_passphrase))
    return certificate


def find(folder: Folder, which: str) -> x509.Certificate:
    """A certificate by name, by serial number in hexadecimal, or an authority by its role.  Raises PkiError."""
    if which in folder.roles():
        return folder.authority(which).certificate
    if names.FILE_NAME.fullmatch(which) and not which.endswith("-chain"):
        leaf = folder.leaf(which)
        if leaf.certificate.exists():
            return load_certificate(leaf.certificate)
    try:
        serial = int(which.replace(":", ""), 16)
    except ValueError:
        raise PkiError(f"there is no certificate named {which!r} in {folder.path}") from None
    for role in reversed(folder.roles()):
        found = folder.authority(role).issued(serial)
        if found is not None:
            return found
    raise PkiError(f"no authority here has issued {which}")
