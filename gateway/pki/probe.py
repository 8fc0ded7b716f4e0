"""What a client sees of a TLS server: chain, names, dates, protocols, ciphers.

Every look is a connection of its own, one after the other, none longer than its time-out.
"""

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, final

from cryptography import x509

from gateway.pki import chain, fitness, names
from gateway.pki.authority import readable
from gateway.pki.errors import PkiError

TIMEOUT_S: Final = 5.0
CIPHERS_MAX: Final = 64
"""Ciphers of one protocol version that are looked for."""

VERSIONS: Final = {
    "TLS 1.0": ssl.TLSVersion.TLSv1,
    "TLS 1.1": ssl.TLSVersion.TLSv1_1,
    "TLS 1.2": ssl.TLSVersion.TLSv1_2,
    "TLS 1.3": ssl.TLSVersion.TLSv1_3,
}
OLD: Final = ("TLS 1.0", "TLS 1.1")


@final
@dataclass(slots=True)
class Target:
    """A server, and what the client brings along."""

    host: str
    port: int
    server_name: str = ""
    """What is asked for and compared; empty: the host."""
    roots: Sequence[x509.Certificate] = ()
    """What is trusted; empty: what the system trusts."""
    certificate: Path | None = None
    """The client's chain."""
    key: Path | None = None
    alpn: Sequence[str] = ()
    timeout_s: float = TIMEOUT_S

    @property
    def name(self) -> str:
        """What the server must be."""
        return self.server_name or self.host


@final
@dataclass(slots=True)
class Seen:
    """What there was to see."""

    version: str = ""
    """Of the best handshake."""
    cipher: str = ""
    alpn: str = ""
    chain: list[x509.Certificate] = field(default_factory=list)
    """As the server sent it."""
    versions: dict[str, list[str]] = field(default_factory=dict)
    """Protocol versions that are accepted, each with its ciphers."""
    wants_certificate: bool = False
    """Does it refuse clients without one?  Known only when we came without."""
    problems: list[str] = field(default_factory=list)


def parse_address(address: str) -> tuple[str, int]:
    """`HOST:PORT` or `[HOST]:PORT`.  Raises PkiError."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit()) or len(port) > 5 or not 0 < int(port) < 65_536:
        raise PkiError(f"{address!r} is not HOST:PORT")
    return host, int(port)


def probe(target: Target, now: datetime) -> Seen:
    """Look at a server.  Raises PkiError when there is none, or it does not speak TLS."""
    seen = Seen()
    context = _context(target)
    with _connect(target) as raw:
        try:
            with context.wrap_socket(raw, server_hostname=target.name) as sock:
                seen.version = _version(sock.version())
                seen.cipher = (sock.cipher() or ("",))[0]
                seen.alpn = sock.selected_alpn_protocol() or ""
                seen.chain = _sent_chain(sock)
                seen.wants_certificate = target.certificate is None and _refuses(sock)
        except (OSError, ValueError) as error:
            raise PkiError(f"{target.host}:{target.port}: {_reason(error)}") from None
    for version in VERSIONS:
        ciphers = _ciphers(target, version)
        if ciphers:
            seen.versions[version] = ciphers
    seen.problems = _problems(target, seen, now)
    return seen


def _context(target: Target, version: str = "", ciphers: str = "") -> ssl.SSLContext:
    """A client that accepts anything, so that it can tell what is wrong."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if target.alpn:
        try:
            context.set_alpn_protocols(list(target.alpn))
        except (ssl.SSLError, ValueError):
            raise PkiError(
                f"{', '.join(target.alpn)!r} is no protocol to offer: 1 to 255 ASCII letters"
            ) from None
    if target.certificate is not None:
        try:
            context.load_cert_chain(target.certificate, target.key)
        except (OSError, ValueError) as error:
            raise PkiError(f"{target.certificate}: {_reason(error)}") from None
    # Level 0 only so that a server's old protocols and ciphers can be found out.
    context.set_ciphers(f"{ciphers or 'ALL:!aNULL:!eNULL'}:@SECLEVEL=0")
    if version:
        # An assignment warns of old versions, which are what is looked for.
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = VERSIONS[version]
            context.minimum_version = VERSIONS[version]
    return context


def _connect(target: Target) -> socket.socket:
    try:
        return socket.create_connection((target.host, target.port), target.timeout_s)
    except (OSError, ValueError) as error:
        # ValueError: a host that no resolver takes.
        raise PkiError(f"{target.host}:{target.port}: {_reason(error)}") from None


def _refuses(sock: ssl.SSLSocket) -> bool:
    """In TLS 1.3 a server says that it wants a certificate only after the client thinks that all is well."""
    sock.settimeout(0.3)
    try:
        return sock.recv(1) == b"" and False
    except TimeoutError:
        return False
    except ssl.SSLError as error:
        return "CERTIFICATE_REQUIRED" in str(error.reason).upper()
    except OSError:
        return False


def _ciphers(target: Target, version: str) -> list[str]:
    """The ciphers of one version, best first, each found by forbidding those before; empty when it is refused."""
    found: list[str] = []
    while len(found) < CIPHERS_MAX:
        excluded = ":".join([f"!{name}" for name in found])
        try:
            context = _context(target, version, f"ALL:!aNULL:!eNULL:{excluded}" if excluded else "")
        except (ssl.SSLError, ValueError):
            return found
        try:
            with _connect(target) as raw, context.wrap_socket(raw, server_hostname=target.name) as sock:
                chosen = (sock.cipher() or ("",))[0]
        except (OSError, PkiError):
            return found
        if not chosen or chosen in found:
            return found
        found.append(chosen)
        if version == "TLS 1.3":
            # Python cannot choose among its three, which are all good.
            return found
    return found


def _sent_chain(sock: ssl.SSLSocket) -> list[x509.Certificate]:
    """The certificates as they were sent.  Python has had a public way to ask only since 3.13."""
    inner: Any = sock
    if not hasattr(inner, "get_unverified_chain"):
        inner = inner._sslobj
    found: list[x509.Certificate] = []
    for item in inner.get_unverified_chain() or ():
        data = item if isinstance(item, bytes) else item.public_bytes(2)
        found.append(x509.load_der_x509_certificate(data))
        readable(found[-1], f"certificate {len(found)} of the server")
    return found


def _version(text: str | None) -> str:
    return (text or "").replace("TLSv", "TLS ")


def _reason(error: Exception) -> str:
    reason = (
        getattr(error, "verify_message", "") or getattr(error, "reason", "") or getattr(error, "strerror", "")
    )
    text = str(reason or error)
    return text.replace("_", " ").lower() if text.isupper() or "_" in text else text


def system_roots() -> list[x509.Certificate]:
    """What this system trusts."""
    context = ssl.create_default_context()
    return [x509.load_der_x509_certificate(data) for data in context.get_ca_certs(binary_form=True)]


def _problems(target: Target, seen: Seen, now: datetime) -> list[str]:
    found: list[str] = []
    if not seen.chain:
        return ["the server sent no certificate"]
    leaf = seen.chain[0]
    roots = list(target.roots) or system_roots()
    found += chain.problems(chain.build(leaf, seen.chain[1:], roots), roots, now, fitness.SERVER)
    if not names.fits_host(leaf, target.name):
        said = ", ".join([names.shown(name) for name in names.alternative_names_of(leaf)]) or "no host"
        found.append(f"the certificate is not for {target.name}, but for {said}")
    found += [f"{version} is accepted" for version in OLD if version in seen.versions]
    for version, ciphers in seen.versions.items():
        weak = [name for name in ciphers if _is_weak(name)]
        if weak and version not in OLD:
            found.append(f"{version} accepts {', '.join(weak)}")
    return found


def _is_weak(cipher: str) -> bool:
    parts = cipher.replace("_", "-").split("-")
    return any(part in parts for part in ("RC4", "DES", "CBC3", "MD5", "NULL", "EXP", "IDEA", "SEED", "SHA"))
