"""init: what is there afterwards, and what is refused."""

import os
import stat
from pathlib import Path

import pytest
from cryptography import x509

from gateway.pki import chain, keys
from gateway.pki.authority import load_certificate, now
from gateway.pki.database import VALID
from gateway.pki.errors import PkiError
from gateway.pki.folder import Folder, Plan
from gateway.pki.templates import TEMPLATES

ROOT = Path(__file__).parents[2]


def test_init_makes_a_root_and_an_intermediate_with_path_length_0(folder: Folder) -> None:
    root = load_certificate(folder.path / "root-ca.crt")
    below = load_certificate(folder.path / "intermediate-ca.crt")
    assert chain.problems([below, root], [root], now()) == []
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length is None
    assert below.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert [entry.status for entry in folder.root.database.entries()] == [VALID, VALID]
    assert folder.crl_path("root-ca").exists()
    assert folder.crl_path("intermediate-ca").exists()


@pytest.mark.skipif(os.name != "posix", reason="files have no modes here")
def test_keys_and_their_directories_are_for_their_owner_only(issued: Folder) -> None:
    found = list(issued.path.rglob("*.key"))
    assert len(found) == 4
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_init_overwrites_nothing(folder: Folder) -> None:
    before = (folder.path / "root-ca.crt").read_bytes()
    with pytest.raises(PkiError, match=r"root-ca.crt is there: nothing is overwritten"):
        folder.init(Plan())
    assert (folder.path / "root-ca.crt").read_bytes() == before


def test_init_leaves_nothing_half_written_behind(issued: Folder) -> None:
    assert [path for path in issued.path.rglob(".*") if path.name != ".lock"] == []


@pytest.mark.parametrize("kind", keys.KEY_TYPES)
def test_every_key_type_makes_working_authorities(tmp_path: Path, kind: str) -> None:
    folder = Folder(tmp_path / "certs")
    folder.init(Plan(key_type=kind))
    found = [load_certificate(folder.path / f"{role}.crt") for role in ("intermediate-ca", "root-ca")]
    assert chain.problems(found, found[1:], now()) == []


def test_authorities_keys_are_encrypted_with_their_own_passphrases(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "certs")
    folder.init(Plan(root_passphrase=b"root secret", intermediate_passphrase=b"other secret"))
    assert folder.root.key(b"root secret")
    assert folder.intermediate.key(b"other secret")
    with pytest.raises(PkiError, match="wrong passphrase"):
        folder.root.key(b"other secret")
    with pytest.raises(PkiError, match="no passphrase was given"):
        folder.root.key(None)


def test_the_roots_key_may_be_kept_elsewhere(issued: Folder) -> None:
    issued.root.key_path.unlink()
    issued.write_crl("intermediate-ca", None)
    with pytest.raises(PkiError, match="kept elsewhere"):
        issued.write_crl("root-ca", None)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (Plan(root_days=10, intermediate_days=11), "would outlive the root"),
        (Plan(root_subject="CN=same", intermediate_subject="CN=same"), "different names"),
        (Plan(root_subject="nothing"), "is no subject"),
        (Plan(key_type="rsa1024"), "unknown key type"),
    ],
)
def test_plans_that_cannot_be(tmp_path: Path, plan: Plan, said: str) -> None:
    with pytest.raises(PkiError, match=said):
        Folder(tmp_path / "certs").init(plan)
    assert not (tmp_path / "certs" / "root-ca.crt").exists()


def test_a_folder_without_authorities_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(PkiError, match="gateway pki init"):
        _ = Folder(tmp_path).intermediate


def test_a_folders_own_templates_come_first(tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    templates.mkdir()
    own = TEMPLATES["intermediate-ca.cnf"].replace("default_crl_days = ${crl_days}", "default_crl_days = 3")
    (templates / "intermediate-ca.cnf").write_text(own)
    folder = Folder(tmp_path)
    folder.init(Plan())
    assert folder.intermediate.crl_days == 3
    listed = x509.load_pem_x509_crl(folder.crl_path("intermediate-ca").read_bytes())
    assert listed.next_update_utc is not None
    assert (listed.next_update_utc - listed.last_update_utc).days == 3


def test_the_shipped_templates_are_those_that_are_built_in() -> None:
    shipped = {path.name: path.read_text() for path in (ROOT / "certs" / "templates").iterdir()}
    assert shipped == TEMPLATES
