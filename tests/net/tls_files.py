"""Certificates for the tests of net, made with gateway.pki; clients that use them."""

import ssl
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from cryptography import x509

from gateway.net.tls import KeyPair, TlsSettings
from gateway.pki import issue, keys, names, profiles, revoking
from gateway.pki.authority import now, pem
from gateway.pki.folder import Folder, Plan

HERE = names.alternative_names(["localhost"], ["127.0.0.1"])


class Pki:
    """A PKI folder with a server `broker` and a client `device`."""

    def __init__(self, path: Path) -> None:
        self.folder = Folder(path)
        self.folder.init(Plan())
        self.issue("server", "broker", HERE)
        self.issue("client", "device")

    def issue(
        self, profile: str, name: str, alternative: Sequence[x509.GeneralName] = (), subject: str = ""
    ) -> x509.Certificate:
        return issue.issue(self.folder, issue.Order(profile, name, subject, list(alternative)), None)

    def pair(self, name: str = "broker") -> KeyPair:
        leaf = self.folder.leaf(name)
        return KeyPair(leaf.chain, leaf.key)

    @property
    def root(self) -> Path:
        return self.folder.path / "root-ca.crt"

    @property
    def crl(self) -> Path:
        return self.folder.crl_path("intermediate-ca")

    def revoke(self, name: str) -> None:
        revoking.revoke(self.folder, name, "keyCompromise")

    def settings(self, client_certificates: str = "no", **more: object) -> TlsSettings:
        ca = (self.root,)
        return TlsSettings(self.pair(), client_certificates=client_certificates, ca=ca, **more)  # type: ignore[arg-type]

    def client(self, name: str = "", ca: Path | None = None) -> ssl.SSLContext:
        """A client that trusts our root, with the certificate `name` if there is one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(ca or self.root)
        if name:
            leaf = self.folder.leaf(name)
            context.load_cert_chain(leaf.chain, leaf.key)
        return context

    def odd(
        self,
        name: str,
        kind: str = "client",
        *,
        start_days: int = 0,
        end_days: int = 10,
        issuer: str = "",
        authority: bool = False,
    ) -> None:
        """A leaf as it should not be: dates anywhere, usages of another kind, signed by another leaf."""
        key = keys.generate("p256")
        above = self.folder.intermediate.certificate
        signer = self.folder.intermediate.key(None)
        chain = [above]
        if issuer:
            leaf = self.folder.leaf(issuer)
            above = x509.load_pem_x509_certificate(leaf.certificate.read_bytes())
            signer = keys.load(leaf.key)
            chain = x509.load_pem_x509_certificates(leaf.chain.read_bytes())
        if authority:
            extensions = profiles.authority_extensions(key.public_key(), above, None)
        else:
            extensions = profiles.leaf_extensions(profiles.PROFILES[kind], key.public_key(), above, HERE)
        builder = (
            x509.CertificateBuilder()
            .subject_name(names.subject(f"CN={name}"))
            .issuer_name(above.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now() + timedelta(days=start_days))
            .not_valid_after(now() + timedelta(days=end_days))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        certificate = builder.sign(signer, keys.digest_for(signer))
        self.folder.write_leaf(self.folder.leaf(name), [certificate, *chain], keys.pem(key))

    def replace(
        self, name: str = "broker", alternative: Sequence[x509.GeneralName] = HERE
    ) -> x509.Certificate:
        """Another certificate under the same file names, as a renewal leaves it."""
        leaf = self.folder.leaf(name)
        for path in (leaf.certificate, leaf.key, leaf.chain):
            path.unlink()
        return self.issue("server", name, alternative)


__all__ = ["HERE", "Pki", "pem"]
