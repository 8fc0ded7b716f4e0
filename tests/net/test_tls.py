"""Loading: what makes an identity, and every file that makes none."""

import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from tls_files import HERE, Pki

from gateway.net import tls
from gateway.net.tls import KeyPair, TlsError, TlsSettings, load, user_of
from gateway.pki import issue, keys, names
from gateway.pki.folder import Folder, Plan


def test_nothing_old_or_weak_is_accepted(pki: Pki) -> None:
    context = load(pki.settings()).context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    ciphers = [str(cipher["name"]) for cipher in context.get_ciphers()]
    assert ciphers
    for name in ciphers:
        assert name.startswith(("TLS_", "ECDHE-")), name
        assert "GCM" in name or "CHACHA20" in name
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION


@pytest.mark.parametrize(
    "ciphers",
    [
        "AES128-SHA",
        "DES-CBC3-SHA",
        "ALL",
        "ECDHE+AESGCM:ECDHE-RSA-AES128-SHA",
        "ALL:@SECLEVEL=0",
        "NULL",
        "nonsense",
    ],
)
def test_lists_with_weak_ciphers_are_refused(pki: Pki, ciphers: str) -> None:
    with pytest.raises(TlsError, match="ciphers = "):
        load(pki.settings(ciphers=ciphers))


def test_a_list_of_ones_own_is_used(pki: Pki) -> None:
    context = load(pki.settings(ciphers="ECDHE-ECDSA-AES256-GCM-SHA384", versions=("1.2",))).context
    assert context.maximum_version == ssl.TLSVersion.TLSv1_2
    ours = [c["name"] for c in context.get_ciphers() if not str(c["name"]).startswith("TLS_")]
    assert ours == ["ECDHE-ECDSA-AES256-GCM-SHA384"]


def test_files_that_are_not_there(pki: Pki, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    pair = pki.pair()
    for settings in (
        TlsSettings(KeyPair(gone, pair.key)),
        TlsSettings(KeyPair(pair.certificate, gone)),
        TlsSettings(pair, ca=(gone,), client_certificates="need"),
        TlsSettings(pair, crl=(gone,)),
    ):
        with pytest.raises(TlsError, match=r"gone: No such file"):
            load(settings)


def test_files_cut_short_or_of_another_kind(pki: Pki, tmp_path: Path) -> None:
    pair = pki.pair()
    cut = tmp_path / "cut"
    cut.write_bytes(pair.certificate.read_bytes()[:-700])
    cut_key = tmp_path / "cut.key"
    cut_key.write_bytes(pair.key.read_bytes()[:-50])
    cut_key.chmod(0o600)
    for settings in (
        TlsSettings(KeyPair(cut, pair.key)),
        TlsSettings(KeyPair(pair.certificate, cut_key)),
        TlsSettings(pair, ca=(cut_key,), client_certificates="need"),
        TlsSettings(pair, ca=(pki.root,), crl=(pki.root,), client_certificates="need"),
    ):
        with pytest.raises(TlsError) as caught:
            load(settings)
        assert "PRIVATE" not in str(caught.value)


def test_a_key_that_does_not_match(pki: Pki) -> None:
    with pytest.raises(TlsError, match="the key is not that of the certificate"):
        load(TlsSettings(KeyPair(pki.pair().certificate, pki.pair("device").key)))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read(pki: Pki, mode: int) -> None:
    pki.pair().key.chmod(mode)
    with pytest.raises(TlsError, match=f"mode {mode:04o} lets others read the key: chmod 600"):
        load(pki.settings())
    allowed = mode == 0o640
    if allowed:
        assert load(pki.settings(key_group_readable=True))
    else:
        with pytest.raises(TlsError, match="lets others"):
            load(pki.settings(key_group_readable=True))


def test_encrypted_keys(pki: Pki) -> None:
    issue.issue(pki.folder, issue.Order("server", "secret", "", HERE, key_passphrase=b"open sesame"), None)
    leaf = pki.folder.leaf("secret")
    with pytest.raises(TlsError, match="the key is encrypted: set key_password"):
        load(TlsSettings(KeyPair(leaf.chain, leaf.key)))
    with pytest.raises(TlsError, match="wrong key_password") as caught:
        load(TlsSettings(KeyPair(leaf.chain, leaf.key, lambda: "guess")))
    assert "guess" not in str(caught.value)
    assert load(TlsSettings(KeyPair(leaf.chain, leaf.key, lambda: "open sesame")))


def test_a_server_certificate_signed_with_sha1_is_refused(pki: Pki) -> None:
    directory = pki.folder.path
    for command in (
        [
            "req",
            "-new",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "x.key",
            "-out",
            "x.csr",
            "-subj",
            "/CN=x",
        ],
        [
            "ca",
            "-batch",
            "-config",
            "intermediate-ca/intermediate-ca.cnf",
            "-md",
            "sha1",
            "-in",
            "x.csr",
            "-out",
            "x.crt",
        ],
    ):
        subprocess.run(["openssl", *command], cwd=directory, check=True, capture_output=True, timeout=30)
    with pytest.raises(TlsError, match="a signature is too weak"):
        load(TlsSettings(KeyPair(directory / "x.crt", directory / "x.key")))


def test_what_clients_will_refuse_is_known_at_the_start(pki: Pki) -> None:
    assert load(pki.settings()).unfit == ()
    assert load(TlsSettings(pki.pair("device"))).unfit == (
        "clients will refuse the certificate: device: its extended key usage is not that of a server",
    )


def test_client_certificates_need_an_authority(pki: Pki, tmp_path: Path) -> None:
    with pytest.raises(TlsError, match="has no authority"):
        load(TlsSettings(pki.pair(), client_certificates="need"))


def test_revocations_are_read(pki: Pki) -> None:
    certificate = x509.load_pem_x509_certificate(pki.folder.leaf("device").certificate.read_bytes())
    pki.revoke("device")
    identity = load(pki.settings("need", crl=(pki.crl,)))
    assert identity.revoked == {tls.certificate_id(certificate)}
    assert identity.next_crl is not None


@pytest.mark.parametrize(
    ("user_from", "user"),
    [
        ("cn", "device-17"),
        ("dn", "CN=device-17,OU=Attic,O=Example"),
        ("dns", "a.example"),
        ("email", "a@example"),
        ("uri", None),
        ("nothing", None),
    ],
)
def test_whom_a_certificate_names(pki: Pki, user_from: str, user: str | None) -> None:
    alternative = names.alternative_names(["a.example"], [], ["urn:a", "urn:b"], ["a@example"])
    certificate = pki.issue("client", "x", alternative, "CN=device-17,OU=Attic,O=Example")
    assert user_of(certificate, user_from) == user


def test_two_common_names_name_nobody(pki: Pki) -> None:
    assert user_of(pki.issue("client", "x", (), "CN=admin,CN=device"), "cn") is None
    assert user_of(pki.issue("client", "y", (), "O=nameless"), "cn") is None


def test_a_folder_of_each_key_type_serves(tmp_path: Path) -> None:
    for kind in ("p256", "rsa3072", "ed25519"):
        folder = Folder(tmp_path / kind)
        folder.init(Plan(key_type=kind))
        issue.issue(folder, issue.Order("server", "x", "", HERE, key_type=kind), None)
        leaf = folder.leaf("x")
        identity = load(TlsSettings(KeyPair(leaf.chain, leaf.key)))
        assert identity.certificates[0].subject == names.subject("CN=x")
        assert keys.spki(keys.load(leaf.key).public_key()) == keys.spki(identity.certificates[0].public_key())
