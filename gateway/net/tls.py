"""What a TLS listener needs, from files: contexts by name, whom to trust, what is revoked.

`load` reads everything and answers with a whole `Identity`, or raises; nothing is ever half exchanged.
"""

import os
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, final

from cryptography import x509
from cryptography.x509.oid import NameOID

from gateway.pki import chain, fitness

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""TLS 1.2: forward secrecy and authenticated encryption only.  Those of TLS 1.3 are all of that kind."""

LEVEL: Final = "@SECLEVEL=2"
"""OpenSSL's floor: 112 bits of security, which excludes MD5, SHA-1 signatures and RSA below 2048 bits."""

FORBIDDEN: Final = (
    "RC4",
    "DES",
    "CBC3",
    "MD5",
    "NULL",
    "EXP",
    "EXPORT",
    "ADH",
    "AECDH",
    "SEED",
    "IDEA",
    "SHA",
)
"""Parts of the names of ciphers that no list may have; `SHA` alone means SHA-1."""

VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

FILE_BYTES_MAX: Final = 67_108_864
"""No certificate, key or revocation list is larger."""

CRL_WARN: Final = timedelta(days=3)
"""How long before a revocation list is due that is said, or in the last quarter of its time where that is shorter."""

FOREVER: Final = datetime.max.replace(tzinfo=UTC)
NEVER: Final = datetime.min.replace(tzinfo=UTC)

CertificateId = tuple[bytes, int]
"""Issuer's name in DER, serial number."""

Chain = tuple[CertificateId, ...]
"""A client's certificate and, where whole chains are looked at, the authorities above it."""

CHAINS_MAX: Final = 1_000
"""Authorities that clients came with, of which is remembered what is above them."""


class TlsError(Exception):
    """Certificates, keys or lists that cannot be used: file and reason, nothing secret."""


@final
@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate chain and its key."""

    certificate: Path
    """PEM: the leaf, then the authorities above it."""
    key: Path
    password: Callable[[], str | None] | None = None
    """Asked when the key is read; None when it is not encrypted."""


@final
@dataclass(frozen=True, slots=True)
class TlsSettings:
    """One listener's TLS; see gateway/config/tls.py for what each means."""

    pair: KeyPair
    more: tuple[KeyPair, ...] = ()
    ca: tuple[Path, ...] = ()
    crl: tuple[Path, ...] = ()
    crl_check: str = "leaf"
    revoked_sessions: str = "end"
    expired_sessions: str = "keep"
    client_certificates: str = "no"
    user_from: str = "cn"
    versions: tuple[str, ...] = ("1.2", "1.3")
    ciphers: str = ""
    session_tickets: bool = True
    alpn: tuple[str, ...] = ()
    handshake_timeout_ms: int = 10_000
    handshakes_max: int = 1_000
    reload_s: int = 1
    key_group_readable: bool = False

    def files(self) -> list[Path]:
        """Everything that is read."""
        found: list[Path] = []
        for pair in (self.pair, *self.more):
            found += [pair.certificate, pair.key]
        return [*found, *self.ca, *self.crl]


@final
@dataclass(slots=True)
class Identity:
    """What was loaded at one time; connections keep the one they came with."""

    context: ssl.SSLContext
    """For clients that name no host, or one that nobody here is."""
    certificates: list[x509.Certificate]
    """The leaves, the first one for `context`."""
    by_name: dict[str, ssl.SSLContext] = field(default_factory=dict)
    """SNI: names in lower case, wildcards included."""
    revoked: frozenset[CertificateId] = frozenset()
    unfit: tuple[str, ...] = ()
    """That clients will refuse what is shown to them, and why, a sentence each; it is used all the same."""
    next_crl: datetime | None = None
    """When the first of the revocation lists is due."""
    lists_due: dict[bytes, datetime] = field(default_factory=dict)
    """Issuer's name in DER → when its list is due."""
    warn_crl: datetime | None = None
    """From when on it is high time to publish the next list."""
    revoked_issuers: frozenset[bytes] = frozenset()
    """Names in DER of authorities in `ca` that are revoked, where the whole chain is looked at."""
    whole_chains: bool = False
    """Is the revocation of the authorities above a client looked at?"""
    _above: dict[tuple[bytes, bytes], Chain] = field(default_factory=dict)

    def is_revoked(self, path: Chain) -> bool:
        """Is a client's certificate revoked, or an authority above it?"""
        if not path:
            return False
        if len(path) == 1 and path[0][0] in self.revoked_issuers:
            # What is above is not known: its name is.
            return True
        revoked = self.revoked
        return any(item in revoked for item in path)

    def chain_of(self, certificate: x509.Certificate, verified: Iterable[bytes]) -> Chain:
        """A client's certificate and what is above it: the authorities in `verified` (DER, the leaf first), or, where a
        session is resumed and OpenSSL no longer knows, those that it first came with."""
        first = certificate_id(certificate)
        if not self.whole_chains:
            return (first,)
        key = first[0], _issuer_key(certificate)
        above = [certificate_id(x509.load_der_x509_certificate(data)) for data in verified][1:]
        if above:
            known = self._above.get(key, ())
            # One object for all clients of an authority.
            if known == tuple(above):
                return (first, *known)
            if len(self._above) >= CHAINS_MAX:
                self._above.clear()
            self._above[key] = tuple(above)
        return (first, *self._above.get(key, ()))

    def is_overdue(self, path: Chain, now: datetime) -> bool:
        """Is nothing known of the revocation of a certificate in a chain, since its authority's list is overdue or not
        there?  Never without any list."""
        if not self.lists_due:
            return False
        return any(self.lists_due.get(issuer, NEVER) <= now for issuer, _ in path)

    def choose(self, sock: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        """OpenSSL's question, in the middle of a handshake: which certificate for the host `name`?"""
        if name is not None:
            sock.context = self.context_for(name.lower().rstrip("."))

    def context_for(self, host: str) -> ssl.SSLContext:
        """With the certificate for `host`, in lower case; the first one where nobody here is that."""
        found = self.by_name.get(host) or self.by_name.get("*." + host.partition(".")[2])
        return self.context if found is None else found


def load(settings: TlsSettings) -> Identity:
    """Read all files.  Raises TlsError; takes milliseconds, or longer where a key is encrypted."""
    pairs = (settings.pair, *settings.more)
    contexts = [_context(settings, pair) for pair in pairs]
    certificates = [_leaf(pair.certificate) for pair in pairs]
    identity = Identity(contexts[0], certificates)
    unfit = [text for pair in pairs for text in _unfit(pair.certificate)]
    identity.unfit = tuple([f"clients will refuse the certificate: {text}" for text in unfit])
    for context, certificate in zip(contexts, certificates, strict=True):
        for name in host_names(certificate):
            # The first that is written down wins.
            identity.by_name.setdefault(name, context)
    if settings.more:
        contexts[0].sni_callback = identity.choose
    if settings.crl:
        _read_lists(identity, settings)
    return identity


def _context(settings: TlsSettings, pair: KeyPair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = min([VERSIONS[name] for name in settings.versions])
    context.maximum_version = max([VERSIONS[name] for name in settings.versions])
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_COMPRESSION
    _set_ciphers(context, settings.ciphers or CIPHERS)
    if not settings.session_tickets:
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    else:
        # One is enough for a client that comes back, and half the work of the usual two.
        context.num_tickets = 1
    if settings.alpn:
        context.set_alpn_protocols(list(settings.alpn))
    _check_mode(pair.key, settings.key_group_readable)
    _load_pair(context, pair)
    _trust(context, settings)
    return context


def _set_ciphers(context: ssl.SSLContext, ciphers: str) -> None:
    if "SECLEVEL" in ciphers.upper():
        raise TlsError(f"ciphers = {ciphers!r}: the security level is not for choice")
    try:
        context.set_ciphers(f"{ciphers}:{LEVEL}")
    except ssl.SSLError:
        raise TlsError(f"ciphers = {ciphers!r}: OpenSSL knows none of them") from None
    for cipher in context.get_ciphers():
        name = str(cipher["name"])
        if set(name.replace("_", "-").split("-")) & set(FORBIDDEN):
            raise TlsError(f"ciphers = {ciphers!r}: {name} is not accepted here")


def _check_mode(path: Path, group_readable: bool) -> None:
    """A key that others can read is theirs too."""
    if os.name != "posix":
        return
    try:
        mode = path.stat().st_mode & 0o777
    except OSError as error:
        raise TlsError(f"{path}: {error.strerror}") from None
    if mode & (0o037 if group_readable else 0o077):
        raise TlsError(f"{path}: mode {mode:04o} lets others read the key: chmod 600 {path}")


def _load_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    def password() -> str:
        found = None if pair.password is None else pair.password()
        if found is None:
            # Without an answer OpenSSL would ask on the terminal.
            raise TlsError(f"{pair.key}: the key is encrypted: set key_password")
        return found

    try:
        context.load_cert_chain(pair.certificate, pair.key, password)
    except ssl.SSLError as error:
        raise TlsError(f"{pair.certificate}, {pair.key}: {_why(error)}") from None
    except OSError as error:
        missing = pair.certificate if not pair.certificate.exists() else pair.key
        raise TlsError(f"{missing}: {error.strerror or error}") from None


def _why(error: ssl.SSLError) -> str:
    """OpenSSL's reason for not loading a pair, in words."""
    reason = error.reason or ""
    known = {
        "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
        "EE_KEY_TOO_SMALL": "the key is too small",
        "CA_MD_TOO_WEAK": "a signature is too weak",
    }
    if reason in known:
        return known[reason]
    return reason.replace("_", " ").lower() or "no certificate or key, a damaged one, or a wrong key_password"


def _trust(context: ssl.SSLContext, settings: TlsSettings) -> None:
    if settings.client_certificates == "no":
        return
    need = settings.client_certificates == "need"
    context.verify_mode = ssl.CERT_REQUIRED if need else ssl.CERT_OPTIONAL
    if settings.crl and settings.crl_check == "chain":
        # A chain must reach its root, or OpenSSL finds nobody whose list could speak of the last authority.  That in
        # `ca` may be any authority's, and clients still need not send it.
        lonely = _without_root(_authorities(settings.ca))
        if lonely:
            raise TlsError(f'crl_check = "chain" needs the root above {lonely} in `ca`')
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    else:
        # An intermediate authority may be trusted by itself: clients then need not send it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if settings.crl:
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    for path in (*settings.ca, *settings.crl):
        try:
            context.load_verify_locations(path)
        except ssl.SSLError:
            raise TlsError(f"{path}: nothing in PEM form in it, or something damaged") from None
        except OSError as error:
            raise TlsError(f"{path}: {error.strerror}") from None
    if not context.get_ca_certs():
        raise TlsError("client certificates are asked for, and `ca` has no authority")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise TlsError(f"{path}: {error.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise TlsError(f"{path}: larger than {FILE_BYTES_MAX} bytes")
    return data


def _unfit(path: Path) -> list[str]:
    """What clients that know the root will not take in the chain at `path`."""
    try:
        found = x509.load_pem_x509_certificates(_read(path))
        return chain.unfit(found, fitness.SERVER)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return [f"{path}: a name or extension in it is malformed"]


def _leaf(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except ValueError:
        raise TlsError(f"{path}: no certificate, or a damaged one") from None


def _read_lists(identity: Identity, settings: TlsSettings) -> None:
    """All that is revoked, and when lists are due."""
    found: set[CertificateId] = set()
    over = _over(_authorities(settings.ca), datetime.now(UTC))
    for path in settings.crl:
        try:
            listed = x509.load_pem_x509_crl(_read(path))
        except ValueError:
            raise TlsError(f"{path}: no revocation list in PEM form, or a damaged one") from None
        issuer = listed.issuer.public_bytes()
        found.update([(issuer, entry.serial_number) for entry in listed])
        due = listed.next_update_utc
        # A list that names no end is never overdue.
        identity.lists_due[issuer] = max(due or FOREVER, identity.lists_due.get(issuer, due or FOREVER))
        if due is not None and issuer not in over:
            early = due - min(CRL_WARN, (due - listed.last_update_utc) / 4)
            identity.next_crl = due if identity.next_crl is None else min(due, identity.next_crl)
            identity.warn_crl = early if identity.warn_crl is None else min(early, identity.warn_crl)
    identity.revoked = frozenset(found)
    identity.whole_chains = settings.crl_check == "chain"
    if settings.crl_check == "chain":
        authorities = _authorities(settings.ca)
        _need_a_roots_list(authorities, identity)
        # Ours are known from what we show, even where clients send them and `ca` has only the root.
        authorities += _authorities([pair.certificate for pair in (settings.pair, *settings.more)])
        identity.revoked_issuers = _revoked_issuers(authorities, identity.revoked)


def _authorities(paths: Iterable[Path]) -> list[x509.Certificate]:
    found: list[x509.Certificate] = []
    for path in paths:
        try:
            found += x509.load_pem_x509_certificates(_read(path))
        except ValueError:
            raise TlsError(f"{path}: nothing in PEM form in it, or something damaged") from None
    return found


def _over(authorities: Iterable[x509.Certificate], now: datetime) -> set[bytes]:
    """Authorities that have expired, by name: nobody misses a list of theirs."""
    last: dict[bytes, datetime] = {}
    for certificate in authorities:
        name = certificate.subject.public_bytes()
        last[name] = max(certificate.not_valid_after_utc, last.get(name, NEVER))
    return {name for name, end in last.items() if end < now}


def _need_a_roots_list(authorities: Iterable[x509.Certificate], identity: Identity) -> None:
    """Without one every chain ends at an authority of which nothing is known, and every client is refused."""
    roots = [item.subject for item in authorities if item.issuer == item.subject]
    if roots and not any(name.public_bytes() in identity.lists_due for name in roots):
        raise TlsError(
            f'crl_check = "chain" needs the revocation list of {roots[0].rfc4514_string()} in `crl`'
        )


def _revoked_issuers(
    authorities: Iterable[x509.Certificate], revoked: frozenset[CertificateId]
) -> frozenset[bytes]:
    """Authorities all of whose certificates are revoked, by name: a renewed one goes on."""
    by_name: dict[bytes, list[bool]] = {}
    for certificate in authorities:
        by_name.setdefault(certificate.subject.public_bytes(), []).append(
            certificate_id(certificate) in revoked
        )
    return frozenset([name for name, all_revoked in by_name.items() if all(all_revoked)])


def _without_root(authorities: list[x509.Certificate]) -> str:
    """The first authority that leads to no root among the others; empty when all do."""
    roots = [item for item in authorities if item.issuer == item.subject]
    for certificate in authorities:
        if chain.build(certificate, authorities, roots)[-1] not in roots:
            return certificate.subject.rfc4514_string()
    return ""


# -- what is in a certificate


def host_names(certificate: x509.Certificate) -> list[str]:
    """The DNS names that a server's certificate is for, in lower case."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [name.lower() for name in names.get_values_for_type(x509.DNSName)]


def certificate_id(certificate: x509.Certificate) -> CertificateId:
    """What a revocation list calls a certificate."""
    return certificate.issuer.public_bytes(), certificate.serial_number


def _issuer_key(certificate: x509.Certificate) -> bytes:
    """What a certificate says of the key that signed it: authorities of one name may have several."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return b""
    return found.key_identifier or b""


def user_of(certificate: x509.Certificate, user_from: str) -> str | None:
    """The user that a client's certificate names: `cn`, `dn` (RFC 4514), or the `dns`, `email` or `uri` among its
    alternative names.  None when there is none, or when there are several: which is meant cannot be guessed."""
    if user_from == "dn":
        return certificate.subject.rfc4514_string() or None
    if user_from == "cn":
        found = [str(item.value) for item in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    elif user_from == "nothing":
        return None
    else:
        found = _alternative(certificate, user_from)
    return found[0] if len(found) == 1 and found[0] and found[0].isprintable() else None


def _alternative(certificate: x509.Certificate, kind: str) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    if kind == "dns":
        return names.get_values_for_type(x509.DNSName)
    if kind == "email":
        return names.get_values_for_type(x509.RFC822Name)
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def days_left(certificate: x509.Certificate, now: datetime | None = None) -> int:
    """Whole days until a certificate expires; negative once it has."""
    return (certificate.not_valid_after_utc - (now or datetime.now(UTC))).days
