"""What the .cnf says of lists and answers is in every certificate, whoever issues it; its policy decides about subjects."""

import shutil
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID
from pki_tools import Openssl

from gateway.pki import names, rollover
from gateway.pki.authority import load_certificate
from gateway.pki.errors import PkiError
from gateway.pki.folder import Folder, Plan
from gateway.pki.issue import Order, issue, load_request, renew, sign
from gateway.pki.revoking import revoke

URL = "http://pki.example:8080"


@pytest.fixture
def published(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "certs")
    made.init(Plan(publish=URL))
    return made


def _lists(certificate: x509.Certificate) -> list[str]:
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for point in points for name in point.full_name or ()]


def _access(certificate: x509.Certificate) -> dict[str, str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return {}
    kinds = {AuthorityInformationAccessOID.OCSP: "ocsp", AuthorityInformationAccessOID.CA_ISSUERS: "issuer"}
    return {kinds[item.access_method]: str(item.access_location.value) for item in found}


def test_certificates_say_where_lists_and_answers_are(published: Folder) -> None:
    leaf = issue(published, Order("client", "x"), None)
    below = {"ocsp": f"{URL}/ocsp", "issuer": f"{URL}/intermediate-ca.crt"}
    assert (_lists(leaf), _access(leaf)) == ([f"{URL}/intermediate-ca.crl"], below)
    above = published.intermediate.certificate
    # The root's key is kept elsewhere, and nobody answers for it.
    assert (_lists(above), _access(above)) == ([f"{URL}/root-ca.crl"], {"issuer": f"{URL}/root-ca.crt"})
    assert _lists(published.root.certificate) == []


def test_openssl_issues_the_same(openssl: Openssl, published: Folder) -> None:
    ours = issue(published, Order("client", "x"), None)
    openssl(published.path, "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "y.key", "-out", "y.csr",
            "-subj", "/CN=y")  # fmt: skip
    openssl(published.path, "ca", "-batch", "-config", "intermediate-ca/intermediate-ca.cnf", "-in", "y.csr", "-out",
            "y.crt", "-extensions", "client_ext")  # fmt: skip
    theirs = load_certificate(published.path / "y.crt")
    assert (_lists(theirs), _access(theirs)) == (_lists(ours), _access(ours))


def test_another_authoritys_leaf_says_that_ones_places(published: Folder) -> None:
    issue(published, Order("client", "x"), None)
    published.add_intermediate("", "p256", 0, None, None)
    renewed = renew(published, "x", 0, None)
    assert _lists(renewed) == [f"{URL}/intermediate-ca-2.crl"]
    assert _access(renewed)["issuer"] == f"{URL}/intermediate-ca-2.crt"
    rollover.begin(published, rollover.NewRoot())
    assert _lists(published.issuing().certificate) == [f"{URL}/root-ca-2.crl"]
    assert _lists(renew(published, "x", 0, None)) == [f"{URL}/intermediate-ca-3.crl"]
    again = renew(published, "intermediate-ca", 0, None)
    assert _lists(again) == [f"{URL}/root-ca-2.crl"]


def test_a_place_of_another_authority_is_not_taken_over(folder: Folder) -> None:
    issue(folder, Order("client", "x", crl_uri="http://lists.example/first.crl"), None)
    assert _lists(renew(folder, "x", 0, None)) == ["http://lists.example/first.crl"]
    folder.add_intermediate("", "p256", 0, None, None)
    assert _lists(renew(folder, "x", 0, None)) == []


def test_a_place_that_is_told_comes_first(published: Folder) -> None:
    leaf = issue(published, Order("client", "x", crl_uri="http://lists.example/x.crl"), None)
    assert _lists(leaf) == ["http://lists.example/x.crl"]
    assert _access(leaf)["ocsp"] == f"{URL}/ocsp"


def test_nothing_is_said_without_places(issued: Folder) -> None:
    leaf = load_certificate(issued.leaf("broker").certificate)
    assert (_lists(leaf), _access(leaf)) == ([], {})


# -- folders that openssl made

STRICT = """
[strict]
countryName = match
organizationName = match
commonName = supplied
organizationalUnitName = optional
[usr_cert]
basicConstraints = CA:FALSE
crlDistributionPoints = @lists
authorityInfoAccess = @access
[lists]
URI.0 = http://old.example/a.crl
URI.1 = http://old.example/b.crl
[access]
OCSP;URI.0 = http://old.example/ocsp
caIssuers;URI.0 = http://old.example/ca.cer
"""


@pytest.fixture
def adopted(tmp_path: Path) -> Folder:
    """As others have it: another section, a policy, a list in a place of its own."""
    folder = Folder(tmp_path / "certs")
    folder.init(Plan("CN=Old Root,O=Old,C=CH", "CN=Old CA,O=Old,C=CH"))
    for role in ("root-ca", "intermediate-ca"):
        conf = folder.path / role / f"{role}.cnf"
        text = conf.read_text().replace("$dir/$ca/", f"$dir/{role.removesuffix('-ca')}/")
        if role == "intermediate-ca":
            text = text.split("\n# Alternative names")[0] + STRICT
            text = text.replace("policy = any_subject", "policy = strict\ncrl = $dir/pub/list.pem")
            text = text.replace("x509_extensions = server_ext", "x509_extensions = usr_cert")
        conf.write_text(text)
        shutil.move(folder.path / role, folder.path / role.removesuffix("-ca"))
        (folder.path / f"{role}.crl").unlink()
    folder.adopt()
    return folder


def test_an_adopted_folder_keeps_its_places(adopted: Folder) -> None:
    leaf = issue(adopted, Order("client", "x"), None)
    assert _lists(leaf) == ["http://old.example/a.crl", "http://old.example/b.crl"]
    assert _access(leaf) == {"ocsp": "http://old.example/ocsp", "issuer": "http://old.example/ca.cer"}
    revoke(adopted, "x", "superseded")
    listed = x509.load_pem_x509_crl((adopted.path / "pub" / "list.pem").read_bytes())
    assert len(listed) == 1
    assert not (adopted.path / "intermediate-ca.crl").exists()


def test_an_adopted_folder_keeps_its_policy(openssl: Openssl, adopted: Folder) -> None:
    leaf = issue(adopted, Order("client", "x"), None)
    assert {item.value for item in leaf.subject} == {"CH", "Old", "x"}
    assert issue(adopted, Order("client", "y", "CN=y,OU=Attic,O=Old,C=CH"), None)
    for subject, said in (
        ("CN=z,O=New,C=CH", "wants organizationName to be Old"),
        ("CN=z,O=Old", "wants countryName to be CH"),
        ("O=Old,C=CH", "wants a subject with commonName"),
        ("CN=z,O=Old,C=CH,L=Bern", "does not let a subject have localityName"),
    ):
        with pytest.raises(PkiError, match=said):
            issue(adopted, Order("client", "z", subject), None)
    assert not adopted.leaf("z").certificate.exists()
    openssl(adopted.path, "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "z.key", "-out", "z.csr", "-subj",
            "/C=US/O=Other/CN=z")  # fmt: skip
    wanted = load_request((adopted.path / "z.csr").read_bytes(), "z.csr")
    with pytest.raises(PkiError, match="wants countryName to be CH"):
        sign(adopted, Order("client", "z", as_requested=True), wanted, None)
    assert names.common_name(sign(adopted, Order("client", "z"), wanted, None).subject) == "z"
