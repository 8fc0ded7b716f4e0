"""revoke and release: which certificates, and that the index and the published list change together or not at all."""

from pathlib import Path

import pytest
from cryptography import x509
from pki_tools import Openssl

from gateway.pki.authority import load_certificate
from gateway.pki.database import hexadecimal
from gateway.pki.errors import PkiError
from gateway.pki.folder import Folder, Plan
from gateway.pki.issue import Order, issue, renew
from gateway.pki.revoking import release, revoke


def _listed(folder: Folder, role: str = "intermediate-ca") -> set[int]:
    found = x509.load_pem_x509_crl(folder.crl_path(role).read_bytes())
    return {entry.serial_number for entry in found}


def _state(folder: Folder) -> dict[str, bytes]:
    paths = [folder.path / "intermediate-ca" / "index.txt", folder.crl_path("intermediate-ca")]
    return {path.name: path.read_bytes() for path in paths}


def test_revoke_enters_the_reason_and_the_list_has_it(issued: Folder) -> None:
    change = revoke(issued, "device-17", "keyCompromise")
    [found] = x509.load_pem_x509_crl(issued.crl_path(change.role).read_bytes())
    assert found.serial_number == change.changed[0].serial
    assert found.extensions.get_extension_for_class(x509.CRLReason).value.reason.value == "keyCompromise"
    with pytest.raises(PkiError, match="revoked already"):
        revoke(issued, "device-17", "keyCompromise")


def test_revoke_takes_a_serial_number_and_the_intermediate(issued: Folder) -> None:
    serial = load_certificate(issued.leaf("broker").certificate).serial_number
    assert revoke(issued, f"{serial:x}", "superseded").role == "intermediate-ca"
    assert revoke(issued, "intermediate-ca", "CACompromise").role == "root-ca"


def test_revoking_a_name_takes_back_what_was_renewed_too(openssl: Openssl, issued: Folder) -> None:
    before = issued.leaf("device-17").chain.read_bytes()
    (issued.path / "before.pem").write_bytes(before)
    old = load_certificate(issued.leaf("device-17").certificate)
    new = renew(issued, "device-17", 100, None)
    newest = renew(issued, "device-17", 100, None, keep_key=True)
    change = revoke(issued, "device-17", "keyCompromise")
    wanted = {item.serial_number for item in (old, new, newest)}
    assert {entry.serial for entry in change.changed} == wanted == _listed(issued)
    lists = ["-crl_check_all", "-CRLfile", "root-ca.crl", "-CRLfile", "intermediate-ca.crl"]
    for path in ("before.pem", "issued/device-17.crt"):
        said = openssl(issued.path, "verify", "-CAfile", "root-ca.crt", "-untrusted", "intermediate-ca.crt",
                       *lists, path, code=2)  # fmt: skip
        assert "revoked" in said


def test_another_leaf_with_the_same_subject_stays(issued: Folder) -> None:
    twin = issue(issued, Order("client", "twin", "CN=device-17"), None)
    revoke(issued, "device-17", "superseded")
    assert twin.serial_number not in _listed(issued)


def test_revoking_one_by_its_number_tells_which_remain(issued: Folder) -> None:
    old = load_certificate(issued.leaf("device-17").certificate)
    new = renew(issued, "device-17", 100, None)
    change = revoke(issued, hexadecimal(new.serial_number), "superseded")
    assert [entry.serial for entry in change.remaining] == [old.serial_number]
    # The name still has one that is valid.
    assert [entry.serial for entry in revoke(issued, "device-17", "superseded").changed] == [
        old.serial_number
    ]


@pytest.mark.parametrize("which", ["nobody", "ABCDEF", "x/../y", "device-17-chain"])
def test_revoke_of_what_is_not_there(issued: Folder, which: str) -> None:
    with pytest.raises(PkiError):
        revoke(issued, which, "superseded")


def test_revoke_of_an_unknown_reason_changes_nothing(issued: Folder) -> None:
    with pytest.raises(PkiError, match="unknown reason"):
        revoke(issued, "broker", "boredom")
    assert {entry.status for entry in issued.intermediate.database.entries()} == {"V"}


def test_without_the_authoritys_key_nothing_changes(issued: Folder) -> None:
    before = _state(issued)
    issued.intermediate.key_path.rename(issued.path / "elsewhere.key")
    with pytest.raises(PkiError, match="kept elsewhere"):
        revoke(issued, "device-17", "keyCompromise")
    assert _state(issued) == before
    change = revoke(issued, "device-17", "keyCompromise", publish=False)
    assert change.listed is None
    assert len(change.changed) == 1


def test_with_a_wrong_passphrase_nothing_changes(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "certs")
    folder.init(Plan(intermediate_passphrase=b"secret"))
    issue(folder, Order("client", "device-17"), b"secret")
    before = _state(folder)
    for passphrase in (None, b"wrong"):
        with pytest.raises(PkiError, match="passphrase"):
            revoke(folder, "device-17", "keyCompromise", passphrase)
    assert _state(folder) == before


def test_a_list_that_cannot_be_written_leaves_the_index_as_it_was(issued: Folder) -> None:
    path = issued.crl_path("intermediate-ca")
    path.unlink()
    path.mkdir()
    (path / "x").touch()
    index = issued.path / "intermediate-ca" / "index.txt"
    before = index.read_bytes()
    with pytest.raises(PkiError, match=r"intermediate-ca\.crl"):
        revoke(issued, "device-17", "keyCompromise")
    assert index.read_bytes() == before


def test_a_hold_is_lifted_and_openssl_agrees(openssl: Openssl, issued: Folder) -> None:
    verify = ("verify", "-CAfile", "root-ca.crt", "-untrusted", "intermediate-ca.crt", "-crl_check",
              "-CRLfile", "intermediate-ca.crl", "issued/device-17.crt")  # fmt: skip
    old = load_certificate(issued.leaf("device-17").certificate)
    renew(issued, "device-17", 100, None)
    revoke(issued, "device-17", "certificateHold")
    openssl(issued.path, *verify, code=2)
    assert {entry.serial for entry in release(issued, "device-17").changed} >= {old.serial_number}
    openssl(issued.path, *verify)
    assert _listed(issued) == set()
    with pytest.raises(PkiError, match="is not on hold"):
        release(issued, "device-17")


def test_a_hold_becomes_final_and_is_then_not_lifted(issued: Folder) -> None:
    revoke(issued, "device-17", "certificateHold")
    with pytest.raises(PkiError, match="revoked already"):
        revoke(issued, "device-17", "certificateHold")
    revoke(issued, "device-17", "keyCompromise")
    with pytest.raises(PkiError, match="is not on hold"):
        release(issued, "device-17")
