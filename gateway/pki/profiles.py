"""What each kind of certificate may be: its extensions, its lifetime, and what a foreign request must not ask for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from gateway.pki import keys, names
from gateway.pki.errors import PkiError

ROOT_DAYS: Final = 3_652
INTERMEDIATE_DAYS: Final = 1_826
LEAF_DAYS: Final = 397
CRL_DAYS: Final = 30

Extensions = list[tuple[x509.ExtensionType, bool]]
"""Extensions, each with whether it is critical."""


@final
@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of leaf."""

    name: str
    usages: tuple[ObjectIdentifier, ...]
    """Extended key usages."""
    needs_host: bool
    """Must it name a host?"""


PROFILES: Final = {
    "server": Profile("server", (ExtendedKeyUsageOID.SERVER_AUTH,), True),
    "client": Profile("client", (ExtendedKeyUsageOID.CLIENT_AUTH,), False),
    "both": Profile("both", (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH), True),
}


def profile(name: str) -> Profile:
    """A profile by name.  Raises PkiError."""
    found = PROFILES.get(name)
    if found is None:
        raise PkiError(f"unknown profile {name!r}: one of {', '.join(PROFILES)}")
    return found


def profile_of(certificate: x509.Certificate) -> Profile:
    """The profile whose usages a certificate has.  Raises PkiError when it is none of ours."""
    try:
        usages = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        usages = set()
    for candidate in PROFILES.values():
        if set(candidate.usages) == usages:
            return candidate
    raise PkiError("its usages are those of no profile (server, client, both)")


def key_usage(*, authority: bool, encipher: bool = False) -> x509.KeyUsage:
    """The key usage of an authority, or of a leaf (`encipher`: RSA key exchange in TLS 1.2)."""
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=encipher,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def authority_extensions(
    public_key: CertificatePublicKeyTypes, issuer: x509.Certificate | None, path_length: int | None
) -> Extensions:
    """What an authority carries; `issuer` None is itself, `path_length` how many further authorities may follow below it."""
    return [
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (key_usage(authority=True), True),
        (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
        (_authority_key(public_key, issuer), False),
    ]


def certified_again(authority: x509.Certificate, issuer: x509.Certificate) -> Extensions:
    """What another certificate of an authority's key carries: path length and key identifier as before, since what is
    below it names them."""
    public_key = authority.public_key()
    known = authority.extensions
    try:
        path_length = known.get_extension_for_class(x509.BasicConstraints).value.path_length
    except x509.ExtensionNotFound:
        path_length = None
    found = authority_extensions(public_key, issuer, path_length)
    try:
        identifier = known.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return found
    return [
        (identifier, False) if isinstance(extension, x509.SubjectKeyIdentifier) else (extension, critical)
        for extension, critical in found
    ]


def responder_extensions(public_key: CertificatePublicKeyTypes, issuer: x509.Certificate) -> Extensions:
    """What a certificate carries that signs OCSP answers for `issuer`, and nothing else (RFC 6960 §4.2.2.2)."""
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (key_usage(authority=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False),
        (x509.OCSPNoCheck(), False),
        (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
        (_authority_key(public_key, issuer), False),
    ]


def leaf_extensions(
    kind: Profile,
    public_key: CertificatePublicKeyTypes,
    issuer: x509.Certificate | None,
    alternative: Sequence[x509.GeneralName],
    crl_uri: str = "",
) -> Extensions:
    """What a leaf of `kind` carries; `issuer` None is the leaf itself.  Raises PkiError."""
    if kind.needs_host and not any(isinstance(name, x509.DNSName | x509.IPAddress) for name in alternative):
        raise PkiError(f"a {kind.name} certificate needs a --dns or --ip: clients compare nothing else")
    found: Extensions = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (key_usage(authority=False, encipher=isinstance(public_key, rsa.RSAPublicKey)), True),
        (x509.ExtendedKeyUsage(kind.usages), False),
        (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
        (_authority_key(public_key, issuer), False),
    ]
    if alternative:
        found.append((x509.SubjectAlternativeName(alternative), False))
    if crl_uri:
        names.alternative_names(uri=[crl_uri])
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl_uri)], None, None, None)
        found.append((x509.CRLDistributionPoints([point]), False))
    return found


def _authority_key(
    public_key: CertificatePublicKeyTypes, issuer: x509.Certificate | None
) -> x509.AuthorityKeyIdentifier:
    if issuer is None:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key)  # type: ignore[arg-type]
    try:
        # The identifier that the issuer has, which need not be the usual hash of its key.
        known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]


def refuse_request(kind: Profile, request: x509.CertificateSigningRequest) -> None:
    """Raise PkiError for the first thing in a foreign request that `kind` forbids."""
    if not request.is_signature_valid:
        raise PkiError("the request is not signed by its own key")
    weak = keys.weakness(request.public_key()) or keys.weak_digest(request.signature_hash_algorithm)
    if weak:
        raise PkiError(f"the request is too weak: {weak}")
    for extension in request.extensions:
        _refuse_extension(kind, extension.value)


def _refuse_extension(kind: Profile, value: x509.ExtensionType) -> None:
    if isinstance(value, x509.BasicConstraints):
        if value.ca:
            raise PkiError("the request wants to be an authority")
    elif isinstance(value, x509.KeyUsage):
        if value.key_cert_sign or value.crl_sign:
            raise PkiError("the request wants to sign certificates or revocation lists")
    elif isinstance(value, x509.ExtendedKeyUsage):
        unwanted = [usage for usage in value if usage not in kind.usages]
        if unwanted:
            raise PkiError(f"the request wants {unwanted[0]._name}, which a {kind.name} certificate has not")
    elif isinstance(value, x509.SubjectAlternativeName):
        for name in value:
            if not isinstance(
                name, x509.DNSName | x509.IPAddress | x509.UniformResourceIdentifier | x509.RFC822Name
            ):
                raise PkiError(f"the request wants the alternative name {names.shown(name)}")
    elif not isinstance(value, x509.SubjectKeyIdentifier):
        raise PkiError(f"the request wants the extension {value.oid.dotted_string}")
