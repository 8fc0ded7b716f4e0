"""TLS of one connector."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from gateway.config.section import Section


def checked_source(source: str) -> str:
    """Where a password comes from.  Raises ValueError."""
    if source and not source.startswith(("file:", "env:")):
        raise ValueError("must be file:PATH or env:NAME, not the password itself")
    return source


class KeyPairSection(Section):
    """[[connector.tls.more]]: a further certificate, for clients that ask for one of its names (SNI)."""

    certificate: Path
    """Chain in PEM: the leaf first, then the authorities above it but for the root."""
    key: Path
    """Its private key, PEM; nobody else may be able to read it."""
    key_password: str = ""
    """`file:PATH` (first line) or `env:NAME`, for a key that is encrypted."""

    @field_validator("key_password")
    @classmethod
    def _a_source(cls, source: str) -> str:
        return checked_source(source)


class TlsSection(KeyPairSection):
    """[connector.tls]: TLS on the [[connector]] above it.  Paths count from the working directory."""

    certificate: Path = Path("certs/issued/broker-chain.crt")
    """Chain in PEM: the leaf first, then the authorities above it but for the root."""
    key: Path = Path("certs/issued/broker.key")
    """Its private key, PEM; nobody else may be able to read it."""
    key_group_readable: bool = False
    """May the key be readable by its group, as where secrets are mounted for one?"""
    more: tuple[KeyPairSection, ...] = ()
    """Further certificates, for clients that ask for one of their names (SNI)."""
    client_certificates: Literal["no", "want", "need"] = "no"
    """Are clients asked for a certificate (want), and refused without one (need)?"""
    ca: tuple[Path, ...] = (Path("certs/root-ca.crt"), Path("certs/intermediate-ca.crt"))
    """Authorities whose clients are trusted, PEM."""
    user_from: Literal["cn", "dn", "dns", "email", "uri", "nothing"] = "cn"
    """What in a client's certificate is its user: common name, whole subject, or the one alternative name of a kind."""
    crl: tuple[Path, ...] = ()
    """Revocation lists, PEM; with one, a client whose authority has none there, or an overdue one, is refused."""
    crl_check: Literal["leaf", "chain"] = "leaf"
    """Whose revocation is looked for: the client's, or that of every authority above it too."""
    revoked_sessions: Literal["end", "keep"] = "end"
    """What happens to a client that is connected when its certificate, or with `chain` its authority's, is revoked."""
    expired_sessions: Literal["end", "keep"] = "keep"
    """What happens to a client that is connected when its certificate expires."""
    versions: tuple[Literal["1.2", "1.3"], ...] = Field(("1.2", "1.3"), min_length=1)
    """Versions of TLS."""
    ciphers: str = ""
    """OpenSSL's list for TLS 1.2; empty is forward secrecy with AES-GCM or ChaCha20."""
    alpn: tuple[str, ...] = ()
    """Protocols offered (ALPN); empty is that of the connector."""
    session_tickets: bool = True
    """May clients resume a session without a whole handshake?"""
    handshake_timeout_ms: int = Field(10_000, ge=100, le=600_000)
    """Longest a handshake may take, first bytes included."""
    handshakes_max: int = Field(1_000, ge=1, le=1_000_000)
    """Handshakes under way; above that the one that has taken longest is ended."""
    reload_s: int = Field(1, ge=0, le=86_400)
    """How often files are looked at for changes, in seconds; 0 is only on SIGHUP."""
