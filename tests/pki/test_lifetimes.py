"""How long certificates last, as years go by; and folders that have no authorities of their own."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7
from pki_tools import Openssl
from typer.testing import CliRunner

from gateway.cli import pki
from gateway.pki import names, show
from gateway.pki.authority import load_certificates, now
from gateway.pki.check import CRITICAL, WARNING, check
from gateway.pki.errors import PkiError
from gateway.pki.folder import Folder, Plan
from gateway.pki.importing import import_leaf
from gateway.pki.issue import Order, issue, renew, request, sign
from gateway.pki.revoking import revoke

HOST = names.alternative_names(["localhost"])


@pytest.fixture
def old(tmp_path: Path) -> Folder:
    """An intermediate with less time left than leaves usually have."""
    made = Folder(tmp_path / "old")
    made.init(Plan(intermediate_days=200))
    return made


def test_new_certificates_and_lists_are_valid_for_clocks_that_are_slow(issued: Folder) -> None:
    certificate = issue(issued, Order("client", "x"), None)
    assert now() - certificate.not_valid_before_utc >= timedelta(minutes=5)
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=397)
    listed = x509.load_pem_x509_crl(issued.crl_path("intermediate-ca").read_bytes())
    assert now() - listed.last_update_utc >= timedelta(minutes=5)


def test_usual_lifetimes_are_cut_to_what_is_left_of_the_authority(openssl: Openssl, old: Folder) -> None:
    made = issue(old, Order("server", "broker", alternative=HOST), None)
    again = renew(old, "broker", 0, None)
    for certificate in (made, again):
        assert timedelta(days=198) <= certificate.not_valid_after_utc - now() <= timedelta(days=200)
    openssl(
        old.path, "verify", "-CAfile", "root-ca.crt", "-untrusted", "intermediate-ca.crt", "issued/broker.crt"
    )
    with pytest.raises(PkiError, match="left to Gateway Intermediate CA"):
        renew(old, "broker", 397, None)


def test_the_usual_lifetime_is_that_of_the_authoritys_cnf(folder: Folder) -> None:
    conf = folder.intermediate.conf
    conf.write_text(conf.read_text().replace("default_days = 397", "default_days = 90"))
    made = issue(folder, Order("client", "x"), None)
    assert made.not_valid_after_utc - made.not_valid_before_utc == timedelta(days=90)


def test_a_timer_publishes_a_list_only_when_it_is_due(folder: Folder) -> None:
    def run() -> tuple[str, bytes]:
        done = CliRunner().invoke(pki.app, ["crl", "--due-within", "24", "--dir", str(folder.path)])
        assert done.exit_code == 0, done.output
        return done.output, folder.crl_path("intermediate-ca").read_bytes()

    before = folder.crl_path("intermediate-ca").read_bytes()
    assert run() == (f"{folder.crl_path('intermediate-ca')}: is not due yet\n", before)
    folder.write_crl("intermediate-ca", None, 12)
    after = x509.load_pem_x509_crl(run()[1]).next_update_utc
    assert after is not None
    assert after - now() > timedelta(days=29)
    issue(folder, Order("client", "x"), None)
    revoke(folder, "x", "superseded", publish=False)
    assert "1 revoked" in run()[0]
    folder.crl_path("intermediate-ca").unlink()
    assert "1 revoked" in run()[0]


def test_check_says_in_time_that_the_intermediate_is_to_be_renewed(issued: Folder, old: Folder) -> None:
    issue(old, Order("client", "x"), None)
    found = [(item.level, item.text) for item in check(old, now()) if item.what == "intermediate-ca"]
    assert any(level == WARNING and "nothing that it issues lasts longer" in text for level, text in found)
    renew(old, "intermediate-ca", 0, None)
    assert [
        item for item in check(old, now()) if item.what == "intermediate-ca" and item.level == WARNING
    ] == []


def test_a_folder_with_leaves_of_others_only_can_be_listed_and_checked(
    issued: Folder, tmp_path: Path
) -> None:
    mine = Folder(tmp_path / "mine")
    asked = request(mine, Order("server", "web", alternative=HOST))
    sign(issued, Order("server", "theirs"), asked, None)
    import_leaf(mine, "web", issued.leaf("theirs").chain, None, [issued.root.certificate])
    [line] = show.listing(mine, now())
    assert (line.name, line.authority, line.status) == ("web", "elsewhere", "valid")
    found = check(mine, now(), host="localhost")
    assert {item.what for item in found} == {"web"}
    assert all(item.level < CRITICAL for item in found)


@pytest.mark.parametrize("with_authorities", [True, False])
def test_an_exported_foreign_leaf_carries_its_own_chain(
    issued: Folder, tmp_path: Path, with_authorities: bool
) -> None:
    mine = Folder(tmp_path / "mine")
    if with_authorities:
        mine.init(Plan(root_subject="CN=Mine", intermediate_subject="CN=Mine too"))
    leaf = issued.leaf("broker")
    import_leaf(mine, "web", leaf.chain, leaf.key, [issued.root.certificate])
    out = tmp_path / "web.p7b"
    done = CliRunner().invoke(pki.app, ["export", "p7b", str(out), "--name", "web", "--dir", str(mine.path)])
    assert done.exit_code == 0, done.output
    subjects = {item.subject.rfc4514_string() for item in pkcs7.load_pem_pkcs7_certificates(out.read_bytes())}
    assert subjects == {item.subject.rfc4514_string() for item in load_certificates(leaf.chain)}


def test_an_intermediate_may_last_as_long_as_its_root(openssl: Openssl, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "certs")
    folder.init(Plan(root_days=365, intermediate_days=365))
    assert folder.intermediate.certificate.not_valid_after_utc <= folder.root.certificate.not_valid_after_utc
    openssl(folder.path, "verify", "-x509_strict", "-CAfile", "root-ca.crt", "intermediate-ca.crt")
