"""Certificates in order but for one thing that the other side will not take; openssl is asked too, where it knows."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from pki_tools import Openssl

from gateway.pki import chain, fitness, keys, names, profiles
from gateway.pki.authority import build, now, pem
from gateway.pki.check import CRITICAL, check
from gateway.pki.errors import PkiError
from gateway.pki.folder import Folder
from gateway.pki.importing import import_leaf
from gateway.pki.issue import Order, issue, renew
from gateway.pki.profiles import Extensions
from gateway.pki.revoking import revoke

HOST = names.alternative_names(["localhost"], ["127.0.0.1"], [], ["a@mail.example"])
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


def _with(extensions: Extensions, *changed: tuple[x509.ExtensionType, bool]) -> Extensions:
    """`extensions`, those of the same kind exchanged."""
    kinds = {extension.oid for extension, _ in changed}
    return [item for item in extensions if item[0].oid not in kinds] + list(changed)


class Chain:
    """Root, intermediate and leaf, with what is told exchanged."""

    def __init__(
        self,
        leaf: tuple[x509.ExtensionType, bool] | None = None,
        intermediate: tuple[x509.ExtensionType, bool] | None = None,
        kind: str = "server",
    ) -> None:
        root_key, key, leaf_key = [keys.generate("p256") for _ in range(3)]
        root_name, name = names.subject("CN=Root"), names.subject("CN=Inter")
        root_ext = profiles.authority_extensions(root_key.public_key(), None, None)
        self.root = build(root_name, root_name, root_key.public_key(), root_key, 1, 100, root_ext)
        ext = profiles.authority_extensions(key.public_key(), self.root, 0)
        ext = _with(ext, *([intermediate] if intermediate else []))
        self.intermediate = build(name, root_name, key.public_key(), root_key, 2, 100, ext)
        ext = profiles.leaf_extensions(
            profiles.PROFILES[kind], leaf_key.public_key(), self.intermediate, HOST
        )
        ext = _with(ext, *([leaf] if leaf else []))
        subject = names.subject("CN=leaf,O=Example")
        self.leaf = build(subject, name, leaf_key.public_key(), key, 3, 100, ext)
        self.key = leaf_key

    @property
    def path(self) -> list[x509.Certificate]:
        return [self.leaf, self.intermediate, self.root]

    def write(self, path: Path) -> None:
        (path / "root.pem").write_bytes(pem(self.root))
        (path / "chain.pem").write_bytes(pem(self.leaf, self.intermediate))
        (path / "leaf.key").write_bytes(keys.pem(self.key))
        (path / "leaf.key").chmod(0o600)


def _usage(*usages: x509.ObjectIdentifier) -> tuple[x509.ExtensionType, bool]:
    return x509.ExtendedKeyUsage(usages), False


def _constraints(
    permitted: list[x509.GeneralName] | None = None, excluded: list[x509.GeneralName] | None = None
) -> tuple[x509.ExtensionType, bool]:
    return x509.NameConstraints(permitted, excluded), True


def _network(text: str) -> x509.IPAddress:
    import ipaddress

    return x509.IPAddress(ipaddress.ip_network(text))


WRONG = [
    (Chain(leaf=_usage(CLIENT)), "extended key usage is not that of a server", True),
    (Chain(intermediate=_usage(CLIENT)), "does not let it vouch for a server", True),
    (Chain(leaf=(UNKNOWN, True)), "critical extension 1.2.3.4", True),
    (Chain(intermediate=(UNKNOWN, True)), "critical extension 1.2.3.4", True),
    (Chain(leaf=(x509.BasicConstraints(True, None), True)), "CA:TRUE", False),
    (Chain(leaf=(profiles.key_usage(authority=True), True)), "lacks digital signature", True),
    (Chain(intermediate=_constraints([x509.DNSName("example")])), "do not allow DNS:localhost", True),
    (Chain(intermediate=_constraints(None, [x509.DNSName("localhost")])), "do not allow DNS:localhost", True),
    (Chain(intermediate=_constraints([_network("10.0.0.0/8")])), "do not allow IP:127.0.0.1", True),
    (Chain(intermediate=_constraints([x509.RFC822Name(".example.org")])), "do not allow email:a@mail", True),
    (
        Chain(intermediate=_constraints([x509.DirectoryName(names.subject("O=Else"))])),
        "do not allow CN=leaf,O=Example",
        True,
    ),
]

RIGHT = [
    Chain(),
    Chain(leaf=_usage(SERVER, CLIENT)),
    Chain(leaf=(UNKNOWN, False)),
    Chain(intermediate=_usage(SERVER, CLIENT)),
    Chain(intermediate=_constraints([x509.DNSName("localhost"), _network("127.0.0.0/8")])),
    Chain(intermediate=_constraints([x509.RFC822Name("mail.example")], [x509.DNSName("other.example")])),
    Chain(intermediate=_constraints([x509.RFC822Name(".example")])),
    Chain(intermediate=_constraints([x509.DirectoryName(names.subject("O=Example"))])),
]


def _openssl_takes(openssl: Openssl, path: Path, made: Chain, code: int) -> None:
    made.write(path)
    openssl(path, "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "root.pem", "-untrusted",
            "chain.pem", "chain.pem", code=code)  # fmt: skip


@pytest.mark.parametrize(("made", "said", "openssl_agrees"), WRONG)
def test_what_clients_refuse_is_said(
    openssl: Openssl, folder: Folder, tmp_path: Path, made: Chain, said: str, openssl_agrees: bool
) -> None:
    [found] = [text for text in chain.problems(made.path, [made.root], now(), SERVER) if said in text]
    if openssl_agrees:
        _openssl_takes(openssl, tmp_path, made, 2)
    made.write(tmp_path)
    with pytest.raises(PkiError):
        import_leaf(
            folder, "x", tmp_path / "chain.pem", tmp_path / "leaf.key", [made.root], hosts=["localhost"]
        )
    assert not folder.leaf("x").certificate.exists()
    folder.write_leaf(folder.leaf("x"), made.path[:2])
    if fitness.purpose_of(made.leaf) == SERVER:
        assert any(item.what == "x" and said in item.text for item in check(folder, now())), found


@pytest.mark.parametrize("made", RIGHT)
def test_what_clients_take_is_not_blamed(openssl: Openssl, tmp_path: Path, made: Chain) -> None:
    assert chain.problems(made.path, [made.root], now(), SERVER) == []
    _openssl_takes(openssl, tmp_path, made, 0)


def test_a_clients_certificate_is_for_a_client(openssl: Openssl) -> None:
    made = Chain(kind="client")
    assert fitness.purpose_of(made.leaf) == CLIENT
    assert chain.problems(made.path, [made.root], now(), CLIENT) == []
    below = Chain(kind="client", intermediate=_usage(SERVER))
    assert chain.problems(below.path, [below.root], now(), CLIENT) != []


def test_leaves_below_a_revoked_intermediate_are_blamed(issued: Folder) -> None:
    revoke(issued, "intermediate-ca", "CACompromise")
    found = [(item.level, item.text) for item in check(issued, now()) if item.what == "broker"]
    assert found == [(CRITICAL, "is below an authority that is revoked")]


def test_a_revoked_intermediate_issues_nothing(issued: Folder) -> None:
    revoke(issued, "intermediate-ca", "CACompromise")
    for order in (Order("client", "x"), Order("client", "y")):
        with pytest.raises(PkiError, match="is revoked"):
            issue(issued, order, None)
    with pytest.raises(PkiError, match="is revoked"):
        renew(issued, "broker", 10, None)
