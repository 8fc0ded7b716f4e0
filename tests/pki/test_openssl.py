"""The stock openssl command works in our folders, we see what it did, and it accepts what we make."""

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from pki_tools import TIMEOUT_S, Openssl, needs

from gateway.pki import check, show
from gateway.pki.authority import load_certificate, now
from gateway.pki.database import REVOKED
from gateway.pki.folder import Folder, Plan
from gateway.pki.issue import Order, find, issue
from gateway.pki.revoking import revoke

CA = ("ca", "-batch", "-config", "intermediate-ca/intermediate-ca.cnf")


def _request(openssl: Openssl, folder: Folder, name: str) -> None:
    openssl(
        folder.path, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/O=Example/CN={name}",
        "-addext", "subjectAltName=DNS:localhost",
    )  # fmt: skip


def _verify(openssl: Openssl, folder: Folder, certificate: str, *more: str, code: int = 0) -> str:
    return openssl(
        folder.path, "verify", *more, "-CAfile", "root-ca.crt", "-untrusted", "intermediate-ca.crt", certificate,
        code=code,
    )  # fmt: skip


def test_openssl_verifies_what_we_issue(openssl: Openssl, issued: Folder) -> None:
    for name, purpose in (("broker", "sslserver"), ("device-17", "sslclient")):
        assert "OK" in _verify(openssl, issued, f"issued/{name}.crt", "-purpose", purpose, "-x509_strict")
    assert "unsuitable" in _verify(openssl, issued, "issued/broker.crt", "-purpose", "sslclient", code=2)


def test_openssl_sees_what_we_revoke(openssl: Openssl, issued: Folder) -> None:
    lists = ["-crl_check_all", "-CRLfile", "root-ca.crl", "-CRLfile", "intermediate-ca.crl"]
    _verify(openssl, issued, "issued/device-17.crt", *lists)
    revoke(issued, "device-17", "keyCompromise")
    issued.write_crl("intermediate-ca", None)
    assert "revoked" in _verify(openssl, issued, "issued/device-17.crt", *lists, code=2)
    assert "OK" in _verify(openssl, issued, "issued/broker.crt", *lists)


@pytest.mark.parametrize("kind", ["p256", "rsa3072", "ed25519"])
def test_openssl_issues_and_revokes_in_our_folder_and_we_see_it(
    openssl: Openssl, tmp_path: Path, kind: str
) -> None:
    folder = Folder(tmp_path / "certs")
    folder.init(Plan(key_type=kind))
    ours = issue(folder, Order("client", "ours"), None)
    _request(openssl, folder, "theirs")
    openssl(folder.path, *CA, "-in", "theirs.csr", "-out", "theirs.crt", "-extensions", "client_ext")
    theirs = load_certificate(folder.path / "theirs.crt")
    assert theirs.serial_number == ours.serial_number + 1
    assert find(folder, f"{theirs.serial_number:X}") == theirs
    _verify(openssl, folder, "theirs.crt", "-purpose", "sslclient", "-x509_strict")
    after = issue(folder, Order("client", "after"), None)
    assert after.serial_number == theirs.serial_number + 1

    openssl(folder.path, *CA, "-revoke", "issued/ours.crt", "-crl_reason", "superseded")
    openssl(folder.path, *CA, "-gencrl", "-out", "intermediate-ca.crl")
    listed = x509.load_pem_x509_crl((folder.path / "intermediate-ca.crl").read_bytes())
    assert [entry.serial_number for entry in listed] == [ours.serial_number]
    by_subject = {line.subject: line.status for line in show.listing(folder, now())}
    assert by_subject["/CN=ours"] == "revoked (superseded)"
    assert by_subject["/O=Example/CN=theirs"] == "valid"

    revoke(folder, f"{theirs.serial_number:x}", "keyCompromise")
    listed = folder.write_crl("intermediate-ca", None)
    assert len(listed) == 2
    assert "revoked" in _verify(
        openssl, folder, "theirs.crt", "-crl_check", "-CRLfile", "intermediate-ca.crl", code=2
    )


def test_openssl_lets_a_request_override_nothing(openssl: Openssl, folder: Folder) -> None:
    openssl(
        folder.path, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", "x.key", "-out", "x.csr", "-subj", "/CN=x", "-addext", "basicConstraints=critical,CA:true",
    )  # fmt: skip
    openssl(folder.path, *CA, "-in", "x.csr", "-out", "x.crt", "-extensions", "client_ext")
    made = load_certificate(folder.path / "x.crt")
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_openssl_marks_what_has_expired(openssl: Openssl, issued: Folder) -> None:
    openssl(issued.path, *CA, "-updatedb")
    assert all(entry.status == "V" for entry in issued.intermediate.database.entries())


def test_openssl_s_client_accepts_our_server(openssl: Openssl, issued: Folder) -> None:
    """openssl on both sides; the gateway's own listener is tested with the clients in tests/interop."""
    server = subprocess.Popen(
        [needs("openssl", "openssl"), "s_server", "-accept", "127.0.0.1:0", "-cert", "issued/broker.crt",
         "-cert_chain", "intermediate-ca.crt", "-key", "issued/broker.key", "-naccept", "1"],
        cwd=issued.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        while not line.startswith("ACCEPT"):
            line = server.stdout.readline()
        said = openssl(
            issued.path, "s_client", "-connect", line.split()[1], "-CAfile", "root-ca.crt",
            "-verify_return_error", "-verify_hostname", "localhost",
        )  # fmt: skip
        assert "Verify return code: 0 (ok)" in said
    finally:
        server.kill()
        server.communicate(timeout=TIMEOUT_S)


# -- a folder as the public "simple PKI" tutorial leaves it: root, signing authority, TLS server, TLS client

SIMPLE = """
[default]
ca = {name}
dir = .
[req]
default_bits = 2048
encrypt_key = no
default_md = sha256
utf8 = yes
string_mask = utf8only
prompt = no
distinguished_name = dn
req_extensions = asked
[dn]
0.domainComponent = "org"
1.domainComponent = "simple"
organizationName = "Simple Inc"
commonName = "Simple {title} CA"
[asked]
keyUsage = critical,keyCertSign,cRLSign
basicConstraints = critical,CA:true{length}
subjectKeyIdentifier = hash
[ca]
default_ca = it
[it]
certificate = $dir/ca/$ca.crt # the certificate
private_key = $dir/ca/$ca/private/$ca.key
new_certs_dir = $dir/ca/$ca
serial = $dir/ca/$ca/db/$ca.crt.srl
crlnumber = $dir/ca/$ca/db/$ca.crl.srl
database = $dir/ca/$ca/db/$ca.db
unique_subject = no
default_days = 730
default_md = sha256
policy = match
x509_extensions = root_ext
copy_extensions = copy
default_crl_days = 7
crl_extensions = crl_ext
[match]
domainComponent = match
organizationName = match
organizationalUnitName = optional
commonName = supplied
[root_ext]
keyUsage = critical,keyCertSign,cRLSign
basicConstraints = critical,CA:true
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
[signing_ext]
keyUsage = critical,keyCertSign,cRLSign
basicConstraints = critical,CA:true,pathlen:0
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
[server_ext]
keyUsage = critical,digitalSignature,keyEncipherment
basicConstraints = CA:false
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
[client_ext]
keyUsage = critical,digitalSignature
basicConstraints = CA:false
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
[crl_ext]
authorityKeyIdentifier = keyid:always
"""

LEAF_REQUEST = """
[req]
prompt = no
distinguished_name = dn
[dn]
0.domainComponent = "org"
1.domainComponent = "simple"
organizationName = "Simple Inc"
commonName = "{name}"
"""


@pytest.fixture
def simple(tmp_path: Path, openssl: Openssl) -> Folder:
    """Made with nothing but openssl, in the tutorial's order and layout."""
    base = tmp_path / "simple"
    (base / "etc").mkdir(parents=True)
    (base / "certs").mkdir()
    (base / "crl").mkdir()
    for name, title, length in (("root-ca", "Root", ""), ("signing-ca", "Signing", ",pathlen:0")):
        (base / "ca" / name / "private").mkdir(parents=True)
        (base / "ca" / name / "db").mkdir()
        (base / "ca" / name / "db" / f"{name}.db").touch()
        (base / "ca" / name / "db" / f"{name}.crt.srl").write_text("01\n")
        (base / "ca" / name / "db" / f"{name}.crl.srl").write_text("01\n")
        (base / "etc" / f"{name}.conf").write_text(SIMPLE.format(name=name, title=title, length=length))
        key = f"ca/{name}/private/{name}.key"
        openssl(base, "req", "-new", "-config", f"etc/{name}.conf", "-out", f"ca/{name}.csr", "-keyout", key)
    root = ("ca", "-batch", "-config", "etc/root-ca.conf")
    signing = ("ca", "-batch", "-config", "etc/signing-ca.conf")
    openssl(
        base, *root, "-selfsign", "-in", "ca/root-ca.csr", "-out", "ca/root-ca.crt", "-extensions", "root_ext"
    )
    openssl(
        base, *root, "-in", "ca/signing-ca.csr", "-out", "ca/signing-ca.crt", "-extensions", "signing_ext"
    )
    for name, more in (("simple.org", ("-addext", "subjectAltName=DNS:www.simple.org")), ("fred", ())):
        (base / "etc" / f"{name}.conf").write_text(LEAF_REQUEST.format(name=name))
        openssl(base, "req", "-new", "-newkey", "rsa:2048", "-nodes", "-config", f"etc/{name}.conf",
                "-out", f"certs/{name}.csr", "-keyout", f"certs/{name}.key", *more)  # fmt: skip
        extensions = "client_ext" if name == "fred" else "server_ext"
        openssl(
            base, *signing, "-in", f"certs/{name}.csr", "-out", f"certs/{name}.crt", "-extensions", extensions
        )
    return Folder(base)


def test_a_folder_of_the_simple_pki_tutorial_is_adopted(openssl: Openssl, simple: Folder) -> None:
    root, signing = simple.adopt()
    assert (root.name, signing.name) == ("root-ca.conf", "signing-ca.conf")
    assert simple.intermediate.name == "Simple Signing CA"
    subjects = [line.subject for line in show.listing(simple, now())]
    assert subjects[-2:] == [
        "/DC=org/DC=simple/O=Simple Inc/CN=simple.org",
        "/DC=org/DC=simple/O=Simple Inc/CN=fred",
    ]
    made = issue(simple, Order("client", "wilma", "CN=wilma,O=Simple Inc,DC=simple,DC=org"), None)
    assert made.serial_number == 3
    _verify(openssl, simple, "issued/wilma.crt", "-purpose", "sslclient")
    revoke(simple, "02", "keyCompromise")
    for role in ("root-ca", "intermediate-ca"):
        simple.write_crl(role, None)
    assert "revoked" in _verify(
        openssl, simple, "certs/fred.crt", "-crl_check", "-CRLfile", "intermediate-ca.crl", code=2
    )
    levels = {finding.what: finding.level for finding in check.check(simple, now())}
    assert levels == {"root-ca": check.OK, "intermediate-ca": check.OK, "wilma": check.OK}
    # openssl goes on where we stopped.
    signing_ca = ("ca", "-batch", "-config", "etc/signing-ca.conf")
    openssl(simple.path, *signing_ca, "-revoke", "issued/wilma.crt")
    assert {entry.status for entry in simple.intermediate.database.entries()[1:]} == {REVOKED}
