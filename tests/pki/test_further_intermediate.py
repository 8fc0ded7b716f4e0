"""A second intermediate: another key takes over, and what the first has issued works until it is revoked."""

import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from pki_tools import Openssl
from typer.testing import CliRunner

from gateway.cli.pki import app
from gateway.pki import keys, names, show
from gateway.pki.authority import load_certificates, now
from gateway.pki.check import CRITICAL, OK, check
from gateway.pki.errors import PkiError
from gateway.pki.folder import Folder, Plan
from gateway.pki.issue import Order, issue, renew
from gateway.pki.revoking import revoke

SECOND = "intermediate-ca-2"
LISTS = ("-crl_check_all", "-CRLfile", "root-ca.crl", "-CRLfile", "intermediate-ca.crl", "-CRLfile",
         "intermediate-ca-2.crl")  # fmt: skip


@pytest.fixture
def crossing(issued: Folder) -> Folder:
    """`broker` and `device-17` are of the first intermediate; a second one issues now, and has issued `new`."""
    assert issued.add_intermediate("", "p256", 0, None, None) == SECOND
    issue(issued, Order("client", "new"), None)
    return issued


def _verify(openssl: Openssl, folder: Folder, name: str, code: int = 0) -> str:
    chain = f"issued/{name}-chain.crt"
    return openssl(folder.path, "verify", "-x509_strict", "-CAfile", "root-ca.crt", "-untrusted", chain, *LISTS, chain,
                   code=code)  # fmt: skip


def _shake_hands(folder: Folder, client: str) -> None:
    """`broker` as the server and `client` as the client, with both lists, without a socket."""
    issued = folder.path / "issued"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(issued / "broker-chain.crt", issued / "broker.key")
    server.verify_mode = ssl.CERT_REQUIRED
    server.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    for name in ("root-ca.crt", "root-ca.crl", "intermediate-ca.crl", f"{SECOND}.crl"):
        server.load_verify_locations(folder.path / name)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    own.load_verify_locations(folder.path / "root-ca.crt")
    own.load_cert_chain(issued / f"{client}-chain.crt", issued / f"{client}.key")
    left, right = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        own.wrap_bio(left, right, server_hostname="localhost"),
        server.wrap_bio(right, left, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue


def test_the_second_has_a_key_and_a_name_of_its_own_and_issues(crossing: Folder) -> None:
    first, second = crossing.intermediate, crossing.issuing()
    assert keys.spki(first.certificate.public_key()) != keys.spki(second.certificate.public_key())
    assert second.name == "Gateway Intermediate CA 2"
    path = load_certificates(crossing.leaf("new").chain)
    assert path[0].issuer == path[1].subject == second.certificate.subject
    assert {line.authority for line in show.listing(crossing, now())} == {
        "root-ca",
        "intermediate-ca",
        SECOND,
    }
    assert {item.what: item.level for item in check(crossing, now(), host="localhost")} == dict.fromkeys(
        ("root-ca", "intermediate-ca", SECOND, "broker", "device-17", "new"), OK
    )


def test_old_and_new_devices_work_at_the_same_time(openssl: Openssl, crossing: Folder) -> None:
    for name in ("broker", "device-17", "new"):
        _verify(openssl, crossing, name)
    for client in ("device-17", "new"):
        _shake_hands(crossing, client)
    renew(crossing, "broker", 0, None)
    for client in ("device-17", "new"):
        _shake_hands(crossing, client)


def test_then_the_first_is_revoked_and_only_its_leaves_are_out(openssl: Openssl, crossing: Folder) -> None:
    renew(crossing, "broker", 0, None)
    assert revoke(crossing, "intermediate-ca", "CACompromise").role == "root-ca"
    _verify(openssl, crossing, "broker")
    _verify(openssl, crossing, "new")
    assert "revoked" in _verify(openssl, crossing, "device-17", 2)
    _shake_hands(crossing, "new")
    with pytest.raises(ssl.SSLError, match=r"certificate verify failed|certificate revoked"):
        _shake_hands(crossing, "device-17")
    critical = {item.what for item in check(crossing, now()) if item.level == CRITICAL}
    # Of the first nothing is left to see to; its device needs another certificate.
    assert critical == {"device-17"}
    assert [item.text for item in check(crossing, now()) if item.what == "intermediate-ca"] == [
        "is revoked, intermediate-ca-2 issues"
    ]
    renew(crossing, "device-17", 0, None)
    late = check(crossing, now() + timedelta(days=200))
    assert [item.level for item in late if item.what == "intermediate-ca"] == [OK]
    # The second goes on.
    issue(crossing, Order("client", "newer"), None)


def test_a_revoked_key_is_not_certified_again(crossing: Folder) -> None:
    revoke(crossing, "intermediate-ca", "keyCompromise")
    before = (crossing.path / "intermediate-ca.crt").read_bytes()
    with pytest.raises(PkiError, match="is revoked, and its key with it"):
        renew(crossing, "intermediate-ca", 0, None)
    assert (crossing.path / "intermediate-ca.crt").read_bytes() == before
    # The other one may be.
    renew(crossing, SECOND, 0, None)


def test_lists_are_made_of_all_intermediates_whose_keys_are_here(crossing: Folder) -> None:
    def made() -> dict[str, int]:
        lists = {
            role: x509.load_pem_x509_crl(crossing.crl_path(role).read_bytes()) for role in crossing.roles()
        }
        return {role: made.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
                for role, made in lists.items()}  # fmt: skip

    first = made()
    run = CliRunner().invoke(app, ["crl", "--dir", str(crossing.path), "--due-within", "10000"])
    assert run.exit_code == 0
    second = made()
    assert second == {role: number + (role != "root-ca") for role, number in first.items()}
    crossing.authority("intermediate-ca").key_path.unlink()
    assert CliRunner().invoke(app, ["crl", "--dir", str(crossing.path)]).exit_code == 0
    assert made() == {**second, SECOND: second[SECOND] + 1}
    assert "is not due yet" in CliRunner().invoke(
        app, ["crl", "--dir", str(crossing.path), "--due-within", "1"]
    ).stdout  # fmt: skip


def test_leaves_of_each_are_revoked_in_its_own_list(crossing: Folder) -> None:
    assert revoke(crossing, "device-17", "superseded").role == "intermediate-ca"
    assert revoke(crossing, "new", "superseded").role == SECOND
    for role in ("intermediate-ca", SECOND):
        assert len(x509.load_pem_x509_crl(crossing.crl_path(role).read_bytes())) == 1


def test_openssl_issues_from_the_second_too(openssl: Openssl, crossing: Folder) -> None:
    openssl(crossing.path, "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "x.key", "-out", "x.csr", "-subj",
            "/CN=x")  # fmt: skip
    openssl(crossing.path, "ca", "-batch", "-config", f"{SECOND}/{SECOND}.cnf", "-in", "x.csr", "-out", "x.crt",
            "-extensions", "client_ext")  # fmt: skip
    assert [line.authority for line in show.listing(crossing, now()) if line.subject == "/CN=x"] == [SECOND]


def test_without_the_roots_key_there_is_no_second(issued: Folder) -> None:
    issued.root.key_path.unlink()
    with pytest.raises(PkiError, match="kept elsewhere"):
        issued.add_intermediate("", "p256", 0, None, None)
    assert issued.intermediates() == ["intermediate-ca"]
    assert not (issued.path / SECOND).exists()


def test_two_authorities_never_have_one_name(crossing: Folder) -> None:
    with pytest.raises(PkiError, match="another --subject"):
        crossing.add_intermediate("CN=Gateway Intermediate CA 2", "p256", 0, None, None)
    assert crossing.add_intermediate("", "p384", 100, None, None) == "intermediate-ca-3"


def test_the_second_has_its_own_passphrase(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "certs")
    folder.init(Plan(root_passphrase=b"root secret", intermediate_passphrase=b"first secret"))
    folder.add_intermediate("", "p256", 0, b"root secret", b"second secret")
    with pytest.raises(PkiError, match="wrong passphrase"):
        issue(folder, Order("client", "x"), b"first secret")
    issue(folder, Order("client", "x", alternative=names.alternative_names(["x"])), b"second secret")
