"""check: every kind of thing that is wrong is found, and what is right is not blamed."""

import os
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pki_tools import Openssl

from gateway.pki import chain, names, profiles
from gateway.pki.authority import build, load_certificate, now
from gateway.pki.check import CRITICAL, OK, WARNING, Finding, check
from gateway.pki.folder import Folder
from gateway.pki.issue import Order, issue, renew, self_signed
from gateway.pki.keys import generate, load
from gateway.pki.revoking import revoke


def _of(found: list[Finding], what: str) -> list[tuple[int, str]]:
    return [(finding.level, finding.text) for finding in found if finding.what == what]


def test_a_new_folder_is_in_order(issued: Folder) -> None:
    found = check(issued, now(), host="localhost")
    assert [(finding.what, finding.level) for finding in found] == [
        ("root-ca", OK),
        ("intermediate-ca", OK),
        ("broker", OK),
        ("device-17", OK),
    ]


@pytest.mark.parametrize(
    ("days", "level", "said"),
    [(360, OK, "36 days left"), (370, WARNING, "expires in 26 days"), (393, CRITICAL, "expires in 3 days")],
)
def test_days_left(issued: Folder, days: int, level: int, said: str) -> None:
    for role in ("root-ca", "intermediate-ca"):
        issued.write_crl(role, None, 24 * 400)
    found = check(issued, now() + timedelta(days=days, hours=1))
    assert _of(found, "device-17") == [(level, said)]


def test_expired_and_not_yet_valid(issued: Folder) -> None:
    late = check(issued, now() + timedelta(days=398))
    assert any(level == CRITICAL and "expired on" in text for level, text in _of(late, "broker"))
    early = check(issued, now() - timedelta(days=1))
    assert any(level == CRITICAL and "not valid before" in text for level, text in _of(early, "broker"))


def test_a_host_that_the_certificate_is_not_for(issued: Folder) -> None:
    found = check(issued, now(), host="example.org")
    said = "is not for example.org, but for DNS:localhost, IP:127.0.0.1"
    assert _of(found, "broker") == [(CRITICAL, said)]
    assert _of(found, "device-17")[0][0] == OK


@pytest.mark.skipif(os.name != "posix", reason="files have no modes here")
@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_that_others_can_read(issued: Folder, mode: int) -> None:
    issued.leaf("broker").key.chmod(mode)
    [(level, text)] = _of(check(issued, now()), "broker")
    assert level == CRITICAL
    assert f"mode {mode:04o} lets others read it" in text


def test_a_key_of_another_certificate(issued: Folder) -> None:
    leaf = issued.leaf("broker")
    leaf.key.write_bytes(issued.leaf("device-17").key.read_bytes())
    assert _of(check(issued, now()), "broker") == [(CRITICAL, "broker.key is not its key")]


def test_files_cut_short(issued: Folder) -> None:
    for name, path in (("broker", issued.leaf("broker").key), ("device-17", issued.leaf("device-17").chain)):
        path.write_bytes(path.read_bytes()[:-40])
        [(level, text)] = _of(check(issued, now()), name)
        assert level == CRITICAL
        assert "damaged" in text


def test_a_chain_file_of_another(issued: Folder) -> None:
    issued.leaf("broker").chain.write_bytes(issued.leaf("device-17").chain.read_bytes())
    assert _of(check(issued, now()), "broker")[0] == (
        CRITICAL,
        "broker-chain.crt starts with another certificate",
    )


def test_revoked_and_a_list_that_does_not_say_so(issued: Folder) -> None:
    revoke(issued, "broker", "superseded", publish=False)
    found = check(issued, now())
    assert (OK, "is revoked") in _of(found, "broker")
    assert "does not list 1 that are revoked" in _of(found, "intermediate-ca")[0][1]
    renew(issued, "broker", 100, None)
    issued.write_crl("intermediate-ca", None)
    assert [finding.level for finding in check(issued, now())] == [OK] * 4


def test_a_revocation_list_that_is_due_missing_or_anothers(issued: Folder) -> None:
    issued.write_crl("intermediate-ca", None, 1)
    assert _of(check(issued, now()), "intermediate-ca")[0][0] == WARNING
    late = _of(check(issued, now() + timedelta(hours=2)), "intermediate-ca")
    assert late[0][0] == CRITICAL
    assert "was due" in late[0][1]
    issued.crl_path("intermediate-ca").write_bytes(issued.crl_path("root-ca").read_bytes())
    assert (CRITICAL, "intermediate-ca.crl is signed by somebody else") in _of(
        check(issued, now()), "intermediate-ca"
    )
    issued.crl_path("root-ca").unlink()
    assert _of(check(issued, now()), "root-ca")[0][0] == WARNING


def test_self_signed_is_a_warning(folder: Folder) -> None:
    self_signed(folder, Order("server", "dev", alternative=names.alternative_names(["localhost"])))
    assert _of(check(folder, now()), "dev")[0][0] == WARNING


def test_weak_keys_and_signatures(issued: Folder) -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=1024)
    authority = issued.intermediate
    extensions = profiles.leaf_extensions(
        profiles.PROFILES["client"], key.public_key(), authority.certificate, []
    )
    made = build(names.subject("CN=weak"), authority.certificate.subject, key.public_key(), authority.key(None),
                 7, 30, extensions)  # fmt: skip
    issued.write_leaf(issued.leaf("weak"), [made, authority.certificate])
    assert (CRITICAL, "weak: weak: RSA key of 1024 bits, at least 2048") in _of(check(issued, now()), "weak")
    assert chain.own_problems(made, now()) == ["weak: RSA key of 1024 bits, at least 2048"]


# -- chains


def test_a_leaf_cannot_be_an_authority(issued: Folder) -> None:
    leaf = load_certificate(issued.leaf("broker").certificate)
    signer = load(issued.leaf("broker").key)
    forged_key = generate("p256")
    forged = build(names.subject("CN=forged"), leaf.subject, forged_key.public_key(), signer, 1, 10,
                   profiles.leaf_extensions(profiles.PROFILES["client"], forged_key.public_key(), leaf, []))  # fmt: skip
    root = issued.root.certificate
    path = chain.build(forged, [leaf, issued.intermediate.certificate], [root])
    assert [len(path), path[-1]] == [4, root]
    assert "broker: signs others, and is no authority" in chain.problems(path, [root], now())


def test_path_length_is_not_exceeded(issued: Folder) -> None:
    above = issued.intermediate
    key = generate("p256")
    extra = build(names.subject("CN=extra"), above.certificate.subject, key.public_key(), above.key(None), 1, 10,
                  profiles.authority_extensions(key.public_key(), above.certificate, None))  # fmt: skip
    leaf_key = generate("p256")
    leaf = build(names.subject("CN=leaf"), extra.subject, leaf_key.public_key(), key, 2, 10,
                 profiles.leaf_extensions(profiles.PROFILES["client"], leaf_key.public_key(), extra, []))  # fmt: skip
    root = issued.root.certificate
    path = chain.build(leaf, [extra, above.certificate], [root])
    assert chain.problems(path, [root], now()) == ["Gateway Intermediate CA: path length 0 is exceeded"]


def test_a_signature_with_sha1_is_weak(issued: Folder, openssl: Openssl) -> None:
    openssl(
        issued.path,
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
    )
    ca = ("ca", "-batch", "-config", "intermediate-ca/intermediate-ca.cnf", "-extensions", "client_ext")
    openssl(issued.path, *ca, "-md", "sha1", "-in", "x.csr", "-out", "x.crt")
    certificate = load_certificate(issued.path / "x.crt")
    assert chain.own_problems(certificate, now()) == ["weak: signed with sha1"]


def test_a_wildcard_stands_for_one_label(folder: Folder) -> None:
    made = issue(folder, Order("server", "w", alternative=names.alternative_names(["*.example.org"])), None)
    assert names.fits_host(made, "a.example.org")
    assert not names.fits_host(made, "a.b.example.org")
    assert not names.fits_host(made, "example.org")
